"""The methods' equations with a layer's own numbers in them."""

from typing import NamedTuple

import gradio as gr

from neatlab.adapters.methods import METHODS
from neatlab.dashboard.understand.request import LayerSizes
from neatlab.runtime.templates import macros

_HTML = macros(__file__)
DOLLARS: list[dict[str, str | bool]] = [{"left": "$", "right": "$", "display": False}]
LORA = r"\Delta W = \tfrac{\alpha}{r}\,B A"
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


class Card(NamedTuple):
    """A method on a layer, with the layer's numbers in its equations; `equation` is LaTeX."""

    method: str
    title: str
    equation: str
    matrices: list[str]
    parameters: str
    note: str


def with_equations(html: str, name: str) -> gr.Markdown:
    """HTML with LaTeX between dollar signs, which Gradio's own KaTeX sets.

    Args:
        html: What is shown, escaped already; without an empty line, after which Markdown would read it.
        name: Its id in the page.
    """
    return gr.Markdown(html, elem_id=name, latex_delimiters=DOLLARS, sanitize_html=False)


def side_by_side(sizes: LayerSizes) -> str:
    """LoRA and NEAT on one layer: equation, matrices, parameters, and what equal parameters would buy."""
    return _HTML.side_by_side(sizes, [_lora(sizes), _neat(sizes)], _share(sizes))


def _lora(sizes: LayerSizes) -> Card:
    r, d_in, d_out = sizes.rank, sizes.d_in, sizes.d_out
    matrices = [f"A: {r:,} × {d_in:,}", f"B: {d_out:,} × {r:,}"]
    count = f"r·(d_in + d_out) = {r:,}·({d_in:,} + {d_out:,}) = {sizes.lora:,}"
    return Card("lora", METHODS["lora"].title, LORA, matrices, count, "with α = r the factor is 1")


def _neat(sizes: LayerSizes) -> Card:
    r, n, depth = sizes.rank, sizes.mapped, sizes.depth
    between = " … ".join(dict.fromkeys([_theta(2), _theta(depth - 1)]))
    hidden = [f"{between}: {r:,} × {r:,}"] if depth > 2 else []
    matrices = [f"{_theta(1)}: {n:,} × {r:,}", *hidden, f"{_theta(depth)}: {r:,} × {n:,}"]
    count = f"2·r·n + (L−2)·r² = 2·{r:,}·{n:,} + {depth - 2}·{r:,}² = {sizes.neat:,}"
    condition = "; an odd depth needs residual=none" if depth % 2 else ""
    over = "outputs" if sizes.over_outputs else "inputs"
    note = f"n = {n:,}: f maps over the {over}{condition}"
    return Card("neat", METHODS["neat"].title, written_out(sizes), matrices, count, note)


def written_out(sizes: LayerSizes) -> str:
    """NEAT's ΔW at this depth and activation, over this side, in LaTeX; a line may end before each σ and Θ."""
    sigma = rf"\operatorname{{{sizes.activation}}}"
    body = (r"W_0^\top" if sizes.over_outputs else "W_0") + r"\Theta_{1}"
    for index in range(2, sizes.depth + 1):
        body = rf"\allowbreak {sigma}({body})\allowbreak\,\Theta_{{{index}}}"
    return rf"\Delta W = s\,({body})^\top" if sizes.over_outputs else rf"\Delta W = s\,{body}"


def _share(sizes: LayerSizes) -> str:
    """How many parameters NEAT has at the rank that comes nearest to LoRA's."""
    count = sizes.neat_at(sizes.neat_rank)
    return "exactly as many" if count == sizes.lora else f"{count:,}, {100 * (count / sizes.lora - 1):+.0f} %"


def _theta(index: int) -> str:
    return f"Θ{index}".translate(SUBSCRIPTS)
