#!/bin/sh
# Make a virtual environment and install into it; whatever stands in the way is said in one line.
# Usage: install.sh VENV PIP_INSTALL_ARGUMENT...
# PYTHON names the interpreter; without it the first of python3, python3.13, python3.12, python3.11 that is new enough.
set -eu

venv=$1
shift
log=$venv/install.log
unfinished=$venv/.unfinished # there while an installation runs, so also after one that was cut off

fail() {
    echo "install: $1" >&2
    exit 1
}

find_python() {
    for name in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    fail "no Python 3.11 or newer among: ${PYTHON:-python3 python3.13 python3.12 python3.11}; install one, or name it: PYTHON=/path/to/python3.12 make"
}

make_environment() {
    if [ -e "$unfinished" ]; then
        echo "install: an earlier installation into $venv was cut off; it is made anew" >&2
    fi
    if [ -e "$unfinished" ] || [ ! -x "$venv/bin/pip" ]; then
        rm -rf "$venv"
        python=$(find_python)
        mkdir -p "$venv"
        touch "$unfinished"
        "$python" -m venv "$venv" >"$log" 2>&1 || fail "$python cannot make a virtual environment; see $log (Debian and Ubuntu: apt install python3-venv)"
    fi
}

reason() {
    if grep -q -e "No space left" "$log"; then
        echo "the disk is full"
    elif grep -q -e "Connection" -e "NameResolutionError" -e "ConnectTimeout" -e "(from versions: none)" "$log"; then
        echo "the package registry cannot be reached; is there a network?"
    else
        grep -m 1 "^ERROR:" "$log" || echo "pip failed"
    fi
}

make_environment
touch "$unfinished"
# Python compiles a file when it is first imported: most of these twenty thousand never are.
"$venv/bin/python" -m pip install --quiet --no-compile "$@" >"$log" 2>&1 || fail "$(reason) (the whole log: $log)"
rm "$unfinished"
