"""Figures of runs and comparisons. Each is a data function, which only computes, and a draw function."""

from neatlab.plots.curves import CurveData, learning_curves, loss_curves, loss_data, metric_curves, metric_data
from neatlab.plots.parameters import ParameterData, parameter_counts, parameter_data
from neatlab.plots.spectrum import (
    EffectiveRankData,
    SpectrumData,
    effective_rank,
    effective_rank_data,
    spectrum,
    spectrum_data,
)

__all__ = [
    "CurveData",
    "EffectiveRankData",
    "ParameterData",
    "SpectrumData",
    "effective_rank",
    "effective_rank_data",
    "learning_curves",
    "loss_curves",
    "loss_data",
    "metric_curves",
    "metric_data",
    "parameter_counts",
    "parameter_data",
    "spectrum",
    "spectrum_data",
]
