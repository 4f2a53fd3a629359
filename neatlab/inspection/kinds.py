"""What each type of PEFT adapter keeps in its files, and what it takes to state its ΔW from them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

Parts = Mapping[str, Tensor]  # what follows the layer's name → tensor
Config = Mapping[str, Any]
Shape = tuple[int, int]

IN_PLACE = (True, False, "gaussian", "eva", "orthogonal", "true", "True")  # starts of LoRA that leave W₀ as it is
MOVED = ("pissa", "olora")  # starts that take BA out of W₀, and can be made again from it


@dataclass(frozen=True)
class Kind:
    """One type of adapter.

    Args:
        fields: Settings that ΔW depends on.
        shape: (d_out, d_in) from a layer's tensors; None where they do not tell.
        needs_weight: Whether ΔW depends on W₀, given the settings.
        bounded: Settings that cannot exceed the largest side of the tensors.
    """

    fields: tuple[str, ...]
    shape: Callable[[Parts], Shape | None]
    needs_weight: Callable[[Config], bool]
    bounded: tuple[str, ...] = ("r",)


def _pair(left: str, right: str) -> Callable[[Parts], Shape | None]:
    """Shapes from a d_out × r and an r × d_in tensor."""

    def shape(parts: Parts) -> Shape | None:
        if left not in parts or right not in parts:
            return None
        return parts[left].shape[0], parts[right].shape[-1]

    return shape


def _unknown(parts: Parts) -> Shape | None:
    return None


def _lokr(parts: Parts) -> Shape | None:
    """C ⊗ W₂: each side is the product of the factors' sides."""
    sides = []
    for factor in ("lokr_w1", "lokr_w2"):
        whole, pair = parts.get(factor), _pair(f"{factor}_a", f"{factor}_b")(parts)
        if whole is None and pair is None:
            return None
        sides.append(pair if whole is None else (whole.shape[0], whole.shape[1]))
    (a, b), (c, d) = sides  # type: ignore[misc]  # None was returned above
    return a * c, b * d


def _never(config: Config) -> bool:
    return False


def _always(config: Config) -> bool:
    return True


def _lora_needs(config: Config) -> bool:
    return bool(config.get("use_dora")) or config.get("init_lora_weights") in MOVED


def _neat_needs(config: Config) -> bool:
    return config.get("conditioning", "weight") == "weight"


KINDS: dict[str, Kind] = {
    "LORA": Kind(
        ("r", "lora_alpha", "use_rslora", "use_dora", "rank_pattern", "alpha_pattern", "lora_bias"),
        _pair("lora_B.weight", "lora_A.weight"),
        _lora_needs,
    ),
    "NEAT": Kind(
        ("r", "depth", "activation", "residual", "orientation", "conditioning", "scaling", "frequency"),
        _unknown,
        _neat_needs,
        ("r", "depth"),
    ),
    "PEANUT": Kind(("r", "depth", "act_fn", "scaling"), _unknown, _always, ("r", "depth")),
    "VERA": Kind(("r", "projection_prng_key", "save_projection", "d_initial"), _unknown, _never),
    "FOURIERFT": Kind(
        ("n_frequency", "scaling", "random_loc_seed", "n_frequency_pattern"), _unknown, _never, ("n_frequency",)
    ),
    "IA3": Kind((), _unknown, _always, ()),
    "HIRA": Kind(("r", "rank_pattern"), _pair("hira_B", "hira_A"), _always),
    "LOHA": Kind(("r", "alpha", "rank_pattern", "alpha_pattern"), _pair("hada_w1_a", "hada_w1_b"), _never),
    "LOKR": Kind(
        ("r", "alpha", "rank_pattern", "alpha_pattern", "decompose_both", "decompose_factor"),
        _lokr,
        _never,
        (),
    ),
    "MISS": Kind(("r",), _unknown, _never),
    "OFT": Kind(
        ("r", "oft_block_size", "coft", "eps", "block_share", "use_cayley_neumann", "num_cayley_neumann_terms"),
        _unknown,
        _always,
        ("r", "num_cayley_neumann_terms"),
    ),
}

# Settings without a bearing on ΔW. What is set beyond these and a kind's own fields is refused by name.
HARMLESS = {
    "task_type",
    "peft_type",
    "auto_mapping",
    "peft_version",
    "base_model_name_or_path",
    "revision",
    "inference_mode",
    "target_modules",
    "exclude_modules",
    "modules_to_save",
    "layers_to_transform",
    "layers_pattern",
    "bias",
    "fan_in_fan_out",
    "lora_dropout",
    "vera_dropout",
    "hira_dropout",
    "miss_dropout",
    "rank_dropout",
    "module_dropout",
    "rank_dropout_scale",
    "init_lora_weights",
    "init_weights",
    "init_ia3_weights",
    "trainable_token_indices",
    "ensure_weight_tying",
    "runtime_config",
    "loftq_config",
    "eva_config",
    "corda_config",
    "lora_ga_config",
    "megatron_core",
    "qalora_group_size",
    "use_effective_conv2d",
    "mini_r",
    "feedforward_modules",
}
