"""ACTS: everything that can be done to an adapter. One file and one row an act."""

from neatlab.editing.acts.base import Act, ActRow
from neatlab.editing.acts.table import ACTS, make_act, parse_act

__all__ = ["ACTS", "Act", "ActRow", "make_act", "parse_act"]
