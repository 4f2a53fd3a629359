#!/bin/sh
# Find a Chromium for the browser tests, or install one: the system's package first, else Playwright's own build.
# A headless shell does the same work in less time than a whole browser, so root gets one beside a browser too.
# Usage: chromium.sh [PLAYWRIGHT]; without PLAYWRIGHT only the system is tried, and finding nothing is no failure.
set -eu

is_there() {
    for name; do
        if [ -n "$name" ] && command -v "$name" >/dev/null 2>&1; then
            return 0
        fi
    done
    return 1
}

has_shell() {
    is_there "${CHROMIUM:-}" chromium-headless-shell
}

has_browser() {
    is_there chromium chromium-browser google-chrome google-chrome-stable
}

is_enough() {
    has_shell || { [ "$(id -u)" != 0 ] && has_browser; }
}

install_package() {
    command -v apt-get >/dev/null 2>&1 || return 1
    as_root=""
    if [ "$(id -u)" != 0 ]; then
        sudo -n true >/dev/null 2>&1 || return 1
        as_root="sudo -n"
    fi
    $as_root apt-get update -qq || return 1
    $as_root apt-get install -y -qq --no-install-recommends chromium-headless-shell && return 0
    has_browser || $as_root apt-get install -y -qq --no-install-recommends chromium
}

if is_enough || install_package >/dev/null 2>&1 || has_browser || [ $# = 0 ] ||
    "$1" install --only-shell chromium >/dev/null 2>&1; then
    exit 0
fi
echo "chromium: the browser tests need a Chromium, and none could be installed: install one (apt install chromium, brew install --cask chromium) or set CHROMIUM=/path/to/chrome; make fast needs none" >&2
exit 1
