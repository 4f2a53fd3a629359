"""Further types whose ΔW is a product of thin factors."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from neatlab.adapters.factors import Factors
from neatlab.adapters.methods import AdapterFiles
from neatlab.adapters.methods.base import Config, Parts, Shape, always, pair_shape
from neatlab.errors import BadInput
from neatlab.inspection.further.base import FurtherType, LayerTensors

MAX_NUMBERS = 2**28  # of a factor that a small file can ask for
EPSILON = 1e-5  # that PEFT's AdaLoRA adds to the rank
SMALLEST = 1e-4  # norm that PEFT's DeLoRA divides by at least


def _adalora(layer: LayerTensors) -> Factors:
    """α/r · B diag(E) A, r what the allocation left (arXiv:2303.10512)."""
    A, B = layer.parts["lora_A"], layer.parts["lora_B"]  # r × d_in, d_out × r
    alpha, rank = layer.number("lora_alpha"), len(A)
    return Factors(B * ((alpha if alpha > 0 else rank) / (rank + EPSILON)), A * layer.parts["lora_E"])


def _delora(layer: LayerTensors) -> Factors:
    """λ/r · B diag(1/(‖a‖‖b‖)) A diag(‖w‖), norms of the rows of A, the columns of B and of W₀ (arXiv:2503.18225)."""
    A, B = layer.parts["delora_A"], layer.parts["delora_B"]
    sizes = A.norm(dim=1).clamp(min=SMALLEST) * B.norm(dim=0).clamp(min=SMALLEST)  # r
    return Factors(B * (layer.parts["delora_lambda"] / len(A) / sizes), A * layer.parts["delora_w_norm"])


def _deft(layer: LayerTensors) -> Factors:
    """Q (s·R − Pᵀ W₀): W₀'s part in a subspace taken out, R put in its place; without R taken out alone."""
    P = layer.parts["deft_P"].float()  # d_out × r
    is_qr = layer.settings["decomposition_method"] == "qr"
    left = torch.linalg.qr(P)[0] if is_qr else P
    removed = (left if is_qr else torch.relu(P)).T @ layer.base_weight.float()  # r × d_in
    if layer.settings.get("para"):
        return Factors(left, -removed)
    scaling = layer.number("alpha") / P.shape[1] if layer.settings.get("alpha") else 1.0
    return Factors(left, layer.parts["deft_R"].float() * scaling - removed)


def _hra(layer: LayerTensors) -> Factors:
    """W₀ (H₁ … H_r − I), Hᵢ = I − 2uᵢuᵢᵀ, which is W₀ C Uᵀ with cᵢ = −2 H₁ … Hᵢ₋₁ uᵢ (arXiv:2405.17484)."""
    U = layer.parts["hra_u"]  # d_in × r
    U = _gram_schmidt(U) if layer.settings.get("apply_GS") else U / U.norm(dim=0)
    C = torch.zeros_like(U)
    for index in range(U.shape[1]):
        u = U[:, index]
        C[:, index] = -2 * (u + C[:, :index] @ (U[:, :index].T @ u))
    return Factors(layer.base_weight.to(U.dtype) @ C, U.T)


def _gram_schmidt(vectors: Tensor) -> Tensor:
    done: list[Tensor] = []
    for vector in vectors.T:
        for other in done:
            vector = vector - (other @ vector) * other
        done.append(vector / vector.norm())
    return torch.stack(done, 1)


def _pvera(layer: LayerTensors) -> Factors:
    """diag(b) B diag(d) A at the mean of PVeRA's distribution: the first half of d and A."""
    d_out, d_in = layer.shape
    rank = len(layer.parts["pvera_lambda_d"]) // 2
    left = layer.parts["pvera_lambda_b"][:, None] * layer.shared["pvera_B"][:d_out]
    return Factors(left, layer.parts["pvera_lambda_d"][:rank, None] * layer.shared["pvera_A"][:rank, :d_in])


def _tinylora(layer: LayerTensors) -> Factors:
    """B (Σ vᵢPᵢ) A; which v is the layer's says the seed that its P was drawn with (arXiv:2602.04118)."""
    A, B, P = (layer.parts[f"tinylora_{name}"] for name in "ABP")
    groups = max(1, round(layer.count * (1 - layer.number("weight_tying"))))
    index = _layer_index(layer, P) if groups > 1 else 0
    v = layer.shared[f"tinylora_v.{min(index // max(1, layer.count // groups), groups - 1)}"]
    return Factors(B @ torch.einsum("i,ijk->jk", v, P.to(v.dtype)), A)


def _layer_index(layer: LayerTensors, projection: Tensor) -> int:
    """The layer's place in its model: that whose seed gives its projection."""
    for index in range(layer.count):
        generator = torch.Generator().manual_seed(int(layer.number("projection_seed")) + index)
        drawn = torch.normal(0.0, projection.shape[-1] ** -0.5, projection.shape, generator=generator)
        if torch.allclose(drawn, projection.float(), atol=0.05):
            return index
    raise BadInput("no seed of this adapter gives the layer's projection, so its vector v is not known")


def _unilora(layer: LayerTensors) -> Factors:
    """Factors whose numbers are those of one vector θ, each times a fixed scale."""
    theta, parts = layer.shared["unilora_theta_d"], layer.parts
    left, right = (theta[parts[f"unilora_indices_{n}"].long()] * parts[f"unilora_scales_{n}"] for n in "BA")
    return Factors(left, right)


def _vblora(layer: LayerTensors) -> Factors:
    """Factors of blocks, each a mixture of the topk vectors of one bank (arXiv:2405.15179)."""
    A, B = _mixtures(layer, "vblora_logits_A"), _mixtures(layer, "vblora_logits_B")  # r × n × b, n × r × b
    return Factors(B.transpose(1, 2).reshape(-1, B.shape[1]), A.reshape(len(A), -1))


def _mixtures(layer: LayerTensors, name: str) -> Tensor:
    bank = layer.shared["vblora_vector_bank"]
    if name in layer.parts:
        top, indices = layer.parts[name].topk(int(layer.number("topk")), dim=-1)
        shares = F.softmax(top, dim=-1)
    else:
        indices, first = layer.parts[f"{name}_topk_indices"].long(), layer.parts[f"{name}_topk_weights"]
        shares = torch.cat([first, 1 - first.sum(-1, keepdim=True)], -1)
    if (numbers := math.prod(indices.shape[:-1]) * bank.shape[1]) > MAX_NUMBERS:
        raise BadInput(f"a factor of {numbers:,} numbers is asked for; allowed: {MAX_NUMBERS:,}")
    mixture = torch.zeros(*indices.shape[:-1], len(bank)).scatter(-1, indices, shares)
    return mixture @ bank


def _blocks_shape(parts: Parts, config: Config) -> Shape | None:
    """Blocks of one length on both sides."""
    name = "" if "vblora_logits_A" in parts else "_topk_indices"
    A, B, length = parts.get(f"vblora_logits_A{name}"), parts.get(f"vblora_logits_B{name}"), config.get("vector_length")
    if A is None or B is None or A.ndim != 3 or not isinstance(length, int):
        return None
    return B.shape[0] * length, A.shape[1] * length


def check_projection(config: Config) -> None:
    """Refuse frozen matrices that the file does not hold.

    Raises:
        BadInput: Says why.
    """
    if not config.get("save_projection", True):
        raise BadInput(
            "save_projection=False: the frozen matrices are not in the file, and were drawn on another machine"
        )


def _check_indices(config: Config) -> None:
    if not config.get("save_indices", False):
        raise BadInput(
            "save_indices=False: which numbers a layer has follows from the order of the model's layers, which no file "
            "tells; save it with save_indices=True"
        )


ADALORA: FurtherType = FurtherType(
    AdapterFiles(
        "ADALORA",
        ("lora_alpha", "target_r", "init_r"),
        pair_shape("lora_B", "lora_A"),
        bounded=(),
        harmless=(
            *("r", "rank_pattern", "lora_dropout", "init_lora_weights", "loftq_config", "tinit", "tfinal", "deltaT"),
            *("beta1", "beta2", "orth_reg_weight", "total_step"),
        ),
    ),
    _adalora,
    thin=True,
)
DELORA: FurtherType = FurtherType(
    AdapterFiles(
        "DELORA",
        ("r", "delora_lambda"),
        pair_shape("delora_B", "delora_A"),
        harmless=("module_dropout", "rank_pattern", "lambda_pattern"),
    ),
    _delora,
    thin=True,
)
DEFT: FurtherType = FurtherType(
    AdapterFiles(
        "DEFT",
        ("r", "decomposition_method", "alpha", "para"),
        pair_shape("deft_P", "deft_R"),
        always,
        bounded=(),  # PEFT takes the smaller of r and d_out
        harmless=("init_scale", "deft_dropout"),
    ),
    _deft,
    thin=True,
)
HRA: FurtherType = FurtherType(AdapterFiles("HRA", ("r", "apply_GS"), needs_weight=always), _hra, thin=True)
PVERA: FurtherType = FurtherType(
    AdapterFiles(
        "PVERA",
        ("r", "projection_prng_key"),
        harmless=("pvera_dropout", "d_initial", "save_projection", "sample_at_inference", "generator_seed"),
        shared=("pvera_A", "pvera_B"),
        check=check_projection,
    ),
    _pvera,
    thin=True,
)
TINYLORA: FurtherType = FurtherType(
    AdapterFiles(
        "TINYLORA",
        ("r", "u", "weight_tying", "projection_seed"),
        pair_shape("tinylora_B", "tinylora_A"),
        bounded=("u",),  # PEFT takes the smaller of r and the layer's sides
        harmless=("init_v_bound", "tinylora_dropout", "save_projection"),
        shared=("tinylora_v",),
        max_dims=3,
        check=check_projection,
    ),
    _tinylora,
    thin=True,
)
UNILORA: FurtherType = FurtherType(
    AdapterFiles(
        "UNILORA",
        ("r", "theta_d_length", "proj_seed"),
        pair_shape("unilora_indices_B", "unilora_indices_A"),
        harmless=("unilora_dropout", "init_theta_d_bound", "save_indices"),
        shared=("unilora_theta_d",),
        check=_check_indices,
        indices=("unilora_indices_A", "unilora_indices_B"),
    ),
    _unilora,
    thin=True,
)
VBLORA: FurtherType = FurtherType(
    AdapterFiles(
        "VBLORA",
        ("r", "num_vectors", "vector_length", "topk", "save_only_topk_weights"),
        _blocks_shape,
        bounded=("r", "num_vectors", "vector_length", "topk"),
        harmless=("vblora_dropout", "init_vector_bank_bound", "init_logits_std"),
        shared=("vblora_vector_bank",),
        max_dims=3,
        indices=("vblora_logits_A_topk_indices", "vblora_logits_B_topk_indices"),
    ),
    _vblora,
    thin=True,
)
