"""Figures of runs and comparisons. Each is a data function, which only computes, and a draw function.

A plot is one file and one row here: what the file names in its `__all__` is what users call.

Example:
    >>> import neatlab
    >>> result = neatlab.compare("teacher:d_in=16,d_out=16", ["lora:rank=2", "neat:rank=2"], seeds=2, steps=20)
    >>> [axis.title.text for axis in neatlab.plots.loss_curves(result).select_xaxes()]
    ['training step']
"""

from neatlab.plots.alignment import *
from neatlab.plots.answers import *
from neatlab.plots.critical_difference import *
from neatlab.plots.curves import *
from neatlab.plots.edit_curve import *
from neatlab.plots.energy import *
from neatlab.plots.heatmap import *
from neatlab.plots.intervals import *
from neatlab.plots.layers import *
from neatlab.plots.lessons import *
from neatlab.plots.matrices import *
from neatlab.plots.parameters import *
from neatlab.plots.pareto import *
from neatlab.plots.profile import *
from neatlab.plots.rates import *
from neatlab.plots.rewinding import *
from neatlab.plots.scaling import *
from neatlab.plots.spectrum import *
from neatlab.plots.stability import *
from neatlab.plots.traces import *
