"""The lab for everybody, as a Space starts it."""

import sys

from neatlab.cli import main

if __name__ == "__main__":
    sys.exit(main(["app", "--public", *sys.argv[1:]]))
