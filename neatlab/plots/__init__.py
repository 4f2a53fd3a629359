"""Figures of runs and comparisons. Each is a data function, which only computes, and a draw function."""

from neatlab.plots.alignment import AngleLine, OverlapData, angle_data, overlap, overlap_data, principal_angles
from neatlab.plots.curves import CurveData, learning_curves, loss_curves, loss_data, metric_curves, metric_data
from neatlab.plots.energy import EnergyData, energy, energy_data
from neatlab.plots.heatmap import HeatmapData, crossed, heatmap, heatmap_data
from neatlab.plots.intervals import IntervalData, interval_data, intervals
from neatlab.plots.layers import (
    QUANTITIES,
    LayerCurveData,
    LayerMapData,
    layer_curve_data,
    layer_curves,
    layer_map,
    layer_map_data,
)
from neatlab.plots.lessons import (
    FunctionData,
    SizeData,
    function_curve,
    function_data,
    size_curves,
    size_data,
)
from neatlab.plots.matrices import MatrixData, matrices, matrix_data
from neatlab.plots.parameters import ParameterData, parameter_counts, parameter_data
from neatlab.plots.pareto import ParetoData, RankData, pareto, pareto_data, rank_against_metric, rank_data
from neatlab.plots.profile import KindData, ProfileData, kind_data, kinds, profile, profile_data
from neatlab.plots.rates import RateData, rate_data, rates
from neatlab.plots.scaling import ScalingData, scaling, scaling_data
from neatlab.plots.spectrum import (
    EffectiveRankData,
    SpectrumData,
    effective_rank,
    effective_rank_data,
    spectrum,
    spectrum_data,
)
from neatlab.plots.traces import mark_step

__all__ = [
    "AngleLine",
    "CurveData",
    "EffectiveRankData",
    "EnergyData",
    "FunctionData",
    "HeatmapData",
    "IntervalData",
    "KindData",
    "LayerCurveData",
    "LayerMapData",
    "MatrixData",
    "OverlapData",
    "ParameterData",
    "ParetoData",
    "ProfileData",
    "QUANTITIES",
    "RankData",
    "RateData",
    "ScalingData",
    "SizeData",
    "SpectrumData",
    "angle_data",
    "crossed",
    "effective_rank",
    "effective_rank_data",
    "energy",
    "energy_data",
    "function_curve",
    "function_data",
    "heatmap",
    "heatmap_data",
    "interval_data",
    "intervals",
    "kind_data",
    "kinds",
    "layer_curve_data",
    "layer_curves",
    "layer_map",
    "layer_map_data",
    "learning_curves",
    "loss_curves",
    "loss_data",
    "mark_step",
    "matrices",
    "matrix_data",
    "metric_curves",
    "metric_data",
    "overlap",
    "overlap_data",
    "parameter_counts",
    "parameter_data",
    "pareto",
    "pareto_data",
    "principal_angles",
    "profile",
    "profile_data",
    "rank_against_metric",
    "rank_data",
    "rate_data",
    "rates",
    "scaling",
    "scaling_data",
    "size_curves",
    "size_data",
    "spectrum",
    "spectrum_data",
]
