"""What a run stores of its weights while it trains: the thin factors of ΔW every few steps, from which all is drawn."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from numpy.typing import NDArray
from torch import Tensor

from neatlab.adapters.attach import Adapted
from neatlab.adapters.factors import Delta, Factors
from neatlab.adapters.methods.base import Network
from neatlab.analysis.pooling import pooled
from neatlab.analysis.spectra import Spectrum, spectrum
from neatlab.analysis.weight_frames import Kind, LayerStart, WeightsBegun, WeightsMeasured
from neatlab.config import TrainingConfig
from neatlab.tasks.base import Task

FRAMES = 60  # that are wished for where someone looks on; the steps at which spectra are measured come besides
MAX_BYTES = 2**24  # of what a run stores
MAX_SIDE = 512  # of a true ΔW whose singular values are computed


@dataclass(frozen=True)
class Film:
    """Which steps are stored, and of which layers.

    Args:
        begun: What is stored.
        every: Steps between two that are stored.
        config: The run's training.
    """

    begun: WeightsBegun
    every: int
    config: TrainingConfig

    @cached_property
    def steps(self) -> set[int]:
        """Steps after which weights are stored: the first, the last, and those of the spectra where they are near."""
        last, measured = self.config.steps, self.config.spectrum_every
        stored = {0, last, *range(0, last, self.every)}
        return stored | set(range(0, last, measured)) if self.every < measured else stored

    @property
    def fits(self) -> bool:
        """Whether there is room for it."""
        return self.begun.base_bytes + len(self.steps) * self.begun.step_bytes <= MAX_BYTES

    def measure(
        self, adapted: Adapted, step: int, deltas: Mapping[str, Delta], spectra: Mapping[str, Spectrum]
    ) -> WeightsMeasured:
        """What is stored of the weights as they are now."""
        networks = adapted.networks()
        layers = self.begun.layers
        return WeightsMeasured(
            step,
            {name: {**_matrices(deltas[name], networks.get(name)), "sigma": _sigma(spectra[name])} for name in layers},
        )


def plan_film(adapted: Adapted, task: Task, config: TrainingConfig, is_film: bool) -> Film:
    """What is stored of a run, from the sizes of its layers.

    Args:
        adapted: The model before the first step.
        task: Knows the true ΔW, if anyone does.
        config: Steps and intervals.
        is_film: Whether to store weights more often than spectra are measured, for whoever looks on.
    """
    networks, true = adapted.networks(), task.true_deltas()
    layers = {
        name: _layer(adapted.layers[name], delta, networks.get(name), true.get(name))
        for name, delta in adapted.deltas().items()
    }
    every = -(-config.steps // FRAMES)
    if not is_film or any(layer.kind == "dense" for layer in layers.values()):  # a dense spectrum costs a dense SVD
        every = max(every, config.spectrum_every)
    return _fitted(Film(WeightsBegun(layers), _aligned(every, config), config))


def _aligned(every: int, config: TrainingConfig) -> int:
    """A multiple of the spectra's interval where it is longer, so that both are of the same steps."""
    measured = config.spectrum_every
    return every if every < measured else -(-every // measured) * measured


def _fitted(wished: Film) -> Film:
    """As many layers as fit with their first and last step, then as many steps as fit."""
    film, names = wished, list(wished.begun.layers)
    while names and film.begun.base_bytes + 2 * film.begun.step_bytes > MAX_BYTES:
        names.pop()
        film = replace(film, begun=WeightsBegun({name: wished.begun.layers[name] for name in names}))
    while not film.fits:
        film = replace(film, every=_aligned(2 * film.every, film.config))
    return replace(film, begun=replace(film.begun, note=_note(wished, film)))


def _note(wished: Film, film: Film) -> str:
    fitting, total = len(film.begun.layers), len(wished.begun.layers)
    if fitting < total:
        fits = f"those of {fitting or 'none'} of {total} layers fit"
    elif film.every > wished.every:
        fits = f"those of every {film.every} steps fit"
    else:
        return ""
    return f"A run stores at most {MAX_BYTES >> 20} MB of its weights: {fits}."


def _layer(weight: Tensor, delta: Delta, network: Network | None, true: Tensor | None) -> LayerStart:
    d_out, d_in = weight.shape
    kind: Kind = "dense"
    if isinstance(delta, Factors):
        kind = network.over if network else "product"
    base = {"weight": pooled(_array(weight))}
    if true is not None:
        base["true"] = pooled(_array(true))
        if min(true.shape) <= MAX_SIDE:
            base["true_sigma"] = _sigma(spectrum(true))
    shapes = {name: matrix.shape for name, matrix in _matrices(delta, network).items()}
    rank = min(d_out, d_in, delta.rank if isinstance(delta, Factors) else d_out)
    return LayerStart((d_out, d_in), kind, base, {**shapes, "sigma": (rank,)})


def _matrices(delta: Delta, network: Network | None) -> dict[str, NDArray]:
    """A layer's ΔW, as its factors with the network that makes them, or pooled."""
    if not isinstance(delta, Factors):
        return {"delta": pooled(_array(delta))}
    matrices = {"left": delta.left, "right": delta.right}
    if network is not None:
        matrices |= {"before": network.before}
        matrices |= {} if network.first is None else {"first": network.first}
        matrices |= {f"inner{i}": theta for i, theta in enumerate(network.inner)}
    return {name: _array(matrix) for name, matrix in matrices.items()}


def _array(matrix: Tensor) -> NDArray:
    return matrix.detach().float().cpu().numpy()


def _sigma(spectrum: Spectrum) -> NDArray:
    return spectrum.singular_values.numpy()
