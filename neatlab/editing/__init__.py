"""Change a trained adapter: compress, scale, rewind, merge, convert; exact on its thin factors."""

from neatlab.editing.acting import edit
from neatlab.editing.acts import ACTS, parse_act
from neatlab.editing.curve import EditCurve, edit_curve
from neatlab.editing.result import Edit

__all__ = ["ACTS", "Edit", "EditCurve", "edit", "edit_curve", "parse_act"]
