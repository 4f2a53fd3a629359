"""`python -m neatlab`."""

import sys

from neatlab.cli import main

sys.exit(main())
