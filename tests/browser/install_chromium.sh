#!/bin/sh
# Find a Chromium for the browser tests, or install one: the system's package first, else Playwright's own build.
# Usage: install_chromium.sh VENV_BIN
set -eu

for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome; do
    if [ -n "$name" ] && command -v "$name" >/dev/null 2>&1; then
        exit 0
    fi
done

if command -v apt-get >/dev/null 2>&1; then
    as_root=""
    [ "$(id -u)" = 0 ] || as_root="sudo"
    if $as_root apt-get update -qq && $as_root apt-get install -y -qq --no-install-recommends chromium; then
        exit 0
    fi
fi

"$1/playwright" install --with-deps chromium
