"""Launch the dashboard: `python app.py [--host H] [--port P] [--runs DIR]`."""

import sys

from neatlab.cli import main

if __name__ == "__main__":
    sys.exit(main(["app", *sys.argv[1:]]))
