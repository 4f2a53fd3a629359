"""The methods' equations with a layer's own numbers in them."""

from neatlab.adapters.methods import METHODS
from neatlab.dashboard.understand.request import LayerSizes
from neatlab.report.words import escape

SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def side_by_side(sizes: LayerSizes) -> str:
    """LoRA and NEAT on one layer: equation, matrices, parameters, and what equal parameters would buy."""
    return f'<div class="pair">{_lora(sizes)}{_neat(sizes)}</div>{_budget(sizes)}'


def _lora(sizes: LayerSizes) -> str:
    r, d_in, d_out = sizes.rank, sizes.d_in, sizes.d_out
    matrices = [f"A: {r:,} × {d_in:,}", f"B: {d_out:,} × {r:,}"]
    count = f"r·(d_in + d_out) = {r:,}·({d_in:,} + {d_out:,}) = {sizes.lora:,}"
    return _card("lora", METHODS["lora"].equation, matrices, count, "with α = r the factor is 1")


def _neat(sizes: LayerSizes) -> str:
    r, n, depth = sizes.rank, sizes.mapped, sizes.depth
    between = " … ".join(dict.fromkeys([_theta(2), _theta(depth - 1)]))
    hidden = [f"{between}: {r:,} × {r:,}"] if depth > 2 else []
    matrices = [f"{_theta(1)}: {n:,} × {r:,}", *hidden, f"{_theta(depth)}: {r:,} × {n:,}"]
    count = f"2·r·n + (L−2)·r² = 2·{r:,}·{n:,} + {depth - 2}·{r:,}² = {sizes.neat:,}"
    odd = "; an odd depth needs residual=none" if depth % 2 else ""
    over = "outputs" if sizes.over_outputs else "inputs"
    note = f"n = {n:,}: f maps over the {over}{odd}"
    return _card("neat", written_out(sizes), matrices, count, note)


def written_out(sizes: LayerSizes) -> str:
    """NEAT's ΔW at this depth and activation, over this side: "ΔW = s·(relu(W₀ᵀ Θ₁) Θ₂)ᵀ"."""
    body = f"{'W₀ᵀ' if sizes.over_outputs else 'W₀'} {_theta(1)}"
    for index in range(2, sizes.depth + 1):
        body = f"{sizes.activation}({body}) {_theta(index)}"
    return f"ΔW = s·({body})ᵀ" if sizes.over_outputs else f"ΔW = s·{body}"


def _budget(sizes: LayerSizes) -> str:
    rank = sizes.neat_rank
    count, share = sizes.neat_at(rank), sizes.neat_at(rank) / sizes.lora - 1
    met = "exactly as many" if count == sizes.lora else f"{count:,}, {100 * share:+.0f} %"
    return (
        f"<p>At LoRA's {sizes.lora:,} parameters, NEAT has rank <strong>{rank:,}</strong> ({met}). "
        f"Either way ΔW has at most the method's own rank, and a trained NEAT of rank {sizes.rank:,} is served as "
        f"a LoRA of rank {sizes.rank:,}: {sizes.lora:,} numbers.</p>"
    )


def _card(method: str, equation: str, matrices: list[str], count: str, note: str) -> str:
    items = "".join(f"<li>{escape(matrix)}</li>" for matrix in matrices)
    return (
        f'<section class="size" id="size-{method}"><h3>{escape(METHODS[method].title)}</h3>'
        f'<p class="equation">{escape(equation)}</p><ul>{items}</ul>'
        f'<p><strong class="count">{escape(count)}</strong></p><p class="hint">{escape(note)}</p></section>'
    )


def _theta(index: int) -> str:
    return f"Θ{index}".translate(SUBSCRIPTS)
