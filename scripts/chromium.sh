#!/bin/sh
# Find a Chromium for the browser tests, or install one: the system's package first, else Playwright's own build.
# Usage: chromium.sh [PLAYWRIGHT]; without PLAYWRIGHT only the system is tried, and finding nothing is no failure.
set -eu

is_there() {
    for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable; do
        if [ -n "$name" ] && command -v "$name" >/dev/null 2>&1; then
            return 0
        fi
    done
    return 1
}

install_package() {
    command -v apt-get >/dev/null 2>&1 || return 1
    as_root=""
    if [ "$(id -u)" != 0 ]; then
        sudo -n true >/dev/null 2>&1 || return 1
        as_root="sudo -n"
    fi
    $as_root apt-get update -qq && $as_root apt-get install -y -qq --no-install-recommends chromium
}

if is_there || install_package >/dev/null 2>&1 || [ $# = 0 ] || "$1" install chromium >/dev/null 2>&1; then
    exit 0
fi
echo "chromium: the browser tests need a Chromium, and none could be installed: install one (apt install chromium, brew install --cask chromium) or set CHROMIUM=/path/to/chrome; make fast needs none" >&2
exit 1
