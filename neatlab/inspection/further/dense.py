"""Further types whose ΔW has no thin factors: by their formula, or as PEFT's own layer builds it around W₀."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from neatlab.adapters.methods import AdapterFiles
from neatlab.adapters.methods.base import Config, Layers, Parts, Shape, always
from neatlab.errors import BadInput
from neatlab.inspection.further.base import FurtherType, LayerTensors
from neatlab.inspection.further.thin import check_projection


def _c3a(layer: LayerTensors) -> Tensor:
    """Circulant blocks over d_in (arXiv:2407.19342)."""
    from peft.tuners.c3a.utils import get_circulant_fast

    delta: Tensor = get_circulant_fast(layer.parts["c3a_kernel"].float()) / layer.shape[1]
    return delta


def _c3a_shape(parts: Parts, config: Config) -> Shape | None:
    kernel = parts.get("c3a_kernel")  # d_out/b × d_in/b × b
    if kernel is None or kernel.ndim != 3:
        return None
    return kernel.shape[0] * kernel.shape[2], kernel.shape[1] * kernel.shape[2]


def _randlora(layer: LayerTensors) -> Tensor:
    """α/r · Σ Bᵢ Λᵢ A Γᵢ over as many frozen bases as full rank takes (arXiv:2502.00987)."""
    d_out, d_in = layer.shape
    scales, gamma = layer.parts["randlora_lambda"], layer.parts["randlora_gamma"]  # r × n, n × min(d)
    if len(gamma) != math.ceil(min(d_out, d_in) / len(scales)):
        raise BadInput(f"{len(gamma)} bases of rank {len(scales)}; {min(d_out, d_in)} directions take another number")
    A = layer.shared["randlora_A"][:, : len(gamma), : min(d_out, d_in)]  # r × 1 × min(d)
    B = layer.shared["randlora_B"][: max(d_out, d_in), : len(gamma)]  # max(d) × n × r
    delta = B.flatten(1) @ (scales[:, :, None] * A * gamma).flatten(end_dim=1)
    return (delta if d_in <= d_out else delta.T) * (layer.number("randlora_alpha") / layer.number("r"))


def _shira(layer: LayerTensors) -> Tensor:
    """Numbers at chosen places, each by its row and column (arXiv:2406.13175)."""
    return torch.sparse_coo_tensor(
        layer.parts["shira_indices"].long(), layer.parts["shira_weight"], layer.shape, check_invariants=True
    ).to_dense()


def _supertuning(layer: LayerTensors) -> Tensor:
    """Numbers at chosen places, and α/r · B A beside them where there is a rank (arXiv:2607.09287)."""
    d_out, d_in = layer.shape
    values = layer.parts["supertuning_values"].float()
    places = torch.zeros(d_out * d_in).scatter_add(0, layer.parts["supertuning_indices"].long(), values)
    delta = places.view(d_out, d_in)
    if layer.settings.get("r") is None:
        return delta
    scaling = layer.number("lora_alpha") / layer.number("r")
    return delta + scaling * layer.parts["supertuning_lora_B.weight"] @ layer.parts["supertuning_lora_A.weight"]


def _check_places(config: Config) -> None:
    if not config.get("save_precomputed_indices", True):
        raise BadInput("save_precomputed_indices=False: the places of its numbers are not in the file")


def _osf(layer: LayerTensors) -> Tensor:
    """U S V − U₀S₀V₀, the trained low part of W₀'s SVD less the same as it was (arXiv:2504.07097)."""
    U, S, V = (layer.parts[f"osf_svd_params.{name}_low"] for name in "USV")
    left, values, right = torch.linalg.svd(layer.base_weight.float(), full_matrices=False)
    high = len(values) - len(S)
    return (U * S) @ V - (left[:, high:] * values[high:]) @ right[high:]


def _boft(layer: LayerTensors) -> Tensor:
    """diag(s) W₀ Rᵀ − W₀, R a product of butterflies: orthogonal blocks between permutations (arXiv:2311.06243)."""
    from peft.tuners.boft.layer import BOFTLayer

    stages, weight = layer.parts["boft_R"].float(), layer.base_weight.float()  # (m + 1) × n × b × b
    count, size = stages.shape[1:3]
    permutation: Any = BOFTLayer.block_butterfly_perm  # which needs no layer
    identity, halves = torch.eye(size), (stages - stages.transpose(2, 3)) / 2
    blocks = torch.linalg.solve(identity + halves, identity - halves, left=False)  # Cayley
    turned = weight
    for index, block in enumerate(blocks):
        order = permutation(None, weight.shape[1], count // 2**index, size // 2, len(stages) - 1)
        moved = torch.empty_like(turned)
        moved[:, order] = turned
        turned = torch.einsum("onb,nab->ona", moved.view(-1, count, size), block).reshape(weight.shape)[:, order]
    return layer.parts["boft_s"] * turned - weight


def _peft(layer: Any, weight: Tensor) -> Tensor:
    """ΔW as PEFT builds it."""
    delta: Tensor = layer.get_delta_weight("default")
    return delta


def _frequencies(config: Config, layers: Layers) -> Mapping[str, Any]:
    """As many as the one layer's spectrum has, whatever shared them out."""
    (parts,) = layers.values()
    return {"n_frequency": len(parts["waveft_spectrum"])}


C3A: FurtherType = FurtherType(
    AdapterFiles("C3A", ("block_size",), _c3a_shape, bounded=(), harmless=("block_size_pattern",), max_dims=3),
    _c3a,
)
RANDLORA: FurtherType = FurtherType(
    AdapterFiles(
        "RANDLORA",
        ("r", "randlora_alpha", "projection_prng_key"),
        harmless=("randlora_dropout", "save_projection", "sparse", "very_sparse"),
        shared=("randlora_A", "randlora_B"),
        max_dims=3,
        check=check_projection,
    ),
    _randlora,
)
SHIRA: FurtherType = FurtherType(
    AdapterFiles("SHIRA", ("r", "mask_type"), bounded=(), harmless=("random_seed",), indices=("shira_indices",)),
    _shira,
)
SUPERTUNING: FurtherType = FurtherType(
    AdapterFiles(
        "SUPERTUNING",
        ("sparsity", "r", "lora_alpha"),
        harmless=("lora_dropout", "select_top", "save_precomputed_indices"),
        check=_check_places,
        indices=("supertuning_indices",),
    ),
    _supertuning,
)
OSF: FurtherType = FurtherType(
    AdapterFiles(
        "OSF",
        ("effective_rank",),
        needs_weight=always,
        bounded=(),
        harmless=("rank_pattern", "target_svd_config"),
    ),
    _osf,
)
BOFT: FurtherType = FurtherType(
    AdapterFiles(
        "BOFT",
        ("boft_block_size", "boft_block_num", "boft_n_butterfly_factor"),
        needs_weight=always,
        bounded=(),
        harmless=("boft_dropout",),
        max_dims=4,
    ),
    _boft,
)
PSOFT: FurtherType = FurtherType(
    AdapterFiles(
        "PSOFT",
        (
            *("r", "psoft_alpha", "ab_svd_init", "psoft_svd", "psoft_svd_lowrank_niter", "random_seed", "psoft_orth"),
            *("psoft_mag_b", "psoft_mag_a", "use_cayley_neumann", "num_cayley_neumann_terms", "cayley_neumann_eps"),
        ),
        needs_weight=always,
        bounded=("r", "num_cayley_neumann_terms"),
        harmless=("psoft_dropout",),
    ),
    built=_peft,
)
WAVEFT: FurtherType = FurtherType(
    AdapterFiles(
        "WAVEFT",
        ("n_frequency", "scaling", "wavelet_family", "use_idwt", "random_loc_seed"),
        bounded=(),
        harmless=("n_frequency_pattern", "proportional_parameters"),
        adjust=_frequencies,
    ),
    built=_peft,
)
