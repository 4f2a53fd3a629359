"""The Understand tab's texts: what each knob does, hints, and the construction in words."""

from collections.abc import Sequence

from neatlab.adapters.methods.base import RankOptions
from neatlab.adapters.methods.lora import count
from neatlab.adapters.neat_sizes import neat_parameters
from neatlab.dashboard.shared.presets import PRESETS
from neatlab.dashboard.understand.request import Layer, Side
from neatlab.dashboard.understand.steps import STEPS, drawn_steps, stepped
from neatlab.report.markup import escape, row, table
from neatlab.runtime.numbers import number
from neatlab.runtime.templates import macros

_HTML = macros(__file__)

KNOBS: dict[str, str] = {
    "rank r": (
        "How many directions ΔW can use. It is a ceiling, at every depth and with every activation: the last matrix "
        "alone leads out of the r hidden units. More rank costs parameters in proportion."
    ),
    "depth L": (
        "How many matrices f has, Θ₁ and the last one included. Each further one adds r² parameters and bends f once "
        "more. It does not raise the rank. Deeper is not simply better: the gradient has a longer way."
    ),
    "activation σ": (
        "What makes f more than a product of matrices. With linear, ΔWᵀ = W₀ᵀΘ₁Θ₂: still made from W₀, but no longer "
        "bent. A ReLU's hidden unit that is 0 for every row of W₀ is dead: it gets no gradient, and a direction "
        "of ΔW is lost."
    ),
    "residual": (
        "With paired, the i-th hidden layer from the back adds the i-th from the front, a shorter way for the "
        "gradient; it needs an even depth. With none, f is a plain network of any depth."
    ),
    "orientation": (
        "The side of W₀ that f maps over. It decides the number of parameters: on a wide layer the shorter side costs "
        "less than LoRA at the same rank, the longer one more. On a square layer it is all the same."
    ),
    "start of Θ₁": (
        "As drawn, H is mostly smaller than the matrix that LoRA draws, so one learning rate moves NEAT's layer less. "
        "Calibrated, Θ₁ is rescaled in each layer until H is as large; ΔW starts at 0 with both."
    ),
    "scaling s": (
        "A factor on ΔW. It changes how far one step of the optimiser moves the layer, much as the learning rate does, "
        "so the two are chosen together. LoRA's is α/r."
    ),
    "learning rate": (
        "Often decides more than the method. The best rate differs between methods, so one shared rate can favour "
        "either: compare each at its own, chosen on validation data."
    ),
}

HINTS: dict[str, str] = {
    "neats-home": (
        "NEAT is at home where the update depends on the weight itself and the layer is wide, so that equal parameters "
        "buy it more rank."
    ),
    "loras-home": (
        "Where the right update is any product of two thin matrices, W₀ tells nothing about it. Expect LoRA ahead."
    ),
    "learning-rate": "Before believing that one method wins, look at what another learning rate does to both.",
    "depth": "Depth changes how f bends, not how many directions ΔW has. Look at the spectra: none goes past r.",
}

HONEST = (
    "NEAT does not win everywhere. At equal rank its updates are a subset of LoRA's; on a square layer equal rank is "
    "also equal size, and there it can win only by learning better from little data."
)

PROPOSITION = _HTML.proposition()
PRICE = (
    "Full row rank needs at least as many columns as rows, so the exact side maps over the longer side of the layer "
    "and costs at least twice the LoRA's parameters. To contain LoRA is one thing, to be smaller another."
)
SIDES = ("out: M = W₀ᵀ", "in: M = W₀")
HEAD = ("side", "M", "rank of M", "condition number", "parameters", "‖ΔW_NEAT − PQ‖ / ‖PQ‖")
FREE = _HTML.free()


def heading(text: str) -> str:
    """The heading of a section."""
    return _HTML.heading(text)


def knobs() -> str:
    """What each knob does."""
    return _HTML.knobs(KNOBS)


def hints() -> str:
    """Hints that lead to the presets that show them."""
    return _HTML.hints(HONEST, [(text, name, PRESETS[name].title) for name, text in HINTS.items()])


def construction(layers: Sequence[Layer], chosen: str | None, rank: int, shown: int = STEPS) -> str:
    """What the construction gave on a layer: step by step over one side, then the numbers of both.

    Args:
        layers: All layers.
        chosen: Name of the layer; the first where there is none of that name.
        rank: The LoRA's rank.
        shown: How many of the steps are shown.

    Returns:
        The HTML, with LaTeX between dollar signs.
    """
    layer = next((layer for layer in layers if layer.name == chosen), layers[0])
    lora = count(RankOptions(rank=rank), layer.out.columns, layer.out.rows)
    title = f"{layer.name}: a LoRA of rank {rank}, {lora:,} parameters, as NEAT with {2 * rank} hidden units"
    last = _result(layer, rank) if shown >= STEPS else ""
    return str(_HTML.construction(title, drawn_steps(*stepped(layer), rank)[:shown], last))


def _result(layer: Layer, rank: int) -> str:
    sides = dict(zip(SIDES, (layer.out, layer.inward), strict=True))
    rows = [row(escape(name), _cells(side, rank)) for name, side in sides.items()]
    sentences = [_sentence(name, side) for name, side in sides.items()]
    return _HTML.result(table(HEAD, rows, "The construction on both sides"), sentences, PRICE)


def _cells(side: Side, rank: int) -> list[str]:
    condition = "∞" if side.condition is None else number(side.condition, 1)
    size = neat_parameters(2 * rank, 2, "out", "weight", side.rows, side.columns)
    return [f"{side.rows} × {side.columns}", f"{side.rank} of {side.rows}", condition, f"{size:,}", f"{side.error:.2g}"]


def _sentence(name: str, side: Side) -> str:
    mapped = name.partition(":")[0]
    if side.full:
        return (
            f"Over {mapped} M has full row rank, so MM⁺ = I and the construction is exact: {side.error:.2g} "
            "is rounding, which grows with the condition number."
        )
    return (
        f"Over {mapped} M has {side.rows} rows but rank {side.rank}: no full row rank, so MM⁺ is only a projection, "
        f"and the construction misses this PQ by {100 * side.error:.0f} %."
    )
