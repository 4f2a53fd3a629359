"""METHODS: every way of adapting a model that an arm can name. One row a method.

Every adapter but NEAT comes from PEFT, with dropout 0. AdaLoRA is not here: it needs `update_and_allocate` after
each optimiser step, and a loop without it would train something else under that name.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from neatlab.adapters import counts
from neatlab.adapters.options import (
    FourierOptions,
    Ia3Options,
    LokrOptions,
    LoraOptions,
    NeatOptions,
    NoOptions,
    OftOptions,
    PeanutOptions,
    RankOptions,
    VeraOptions,
    neat_config,
)
from neatlab.schema import Schema

if TYPE_CHECKING:
    from peft import PeftConfig

Targets = list[str]


@dataclass(frozen=True)
class Method:
    """One row of METHODS.

    Args:
        title: Its name for people.
        options: Schema of its options.
        config: Options and target modules → PEFT config; None for methods without an adapter.
        trains: What gets a gradient: the adapter and head ("adapter"), the head alone, or everything ("all").
        equation: ΔW in the field's notation.
        count: Its parameters for one layer of d_out × d_in, as a formula.
        params: (options, d_out, d_in) → adapter parameters of one layer, raising BadInput where it cannot be
            built; None where the target layers do not determine the count.
        size: The option that sets the parameter count; None where nothing does.
        rank: What rank means, for people.
        lr_factor: Its default learning rate as a multiple of the task's default for adapters.
        start: ΔW before the first step.
    """

    title: str
    options: type[Schema]
    config: Callable[[Any, Targets], "PeftConfig"] | None
    trains: str
    equation: str
    count: str
    params: Callable[[Any, int, int], int] | None
    size: str | None = "rank"
    rank: str = "ceiling on the rank of ΔW"
    lr_factor: float = 1.0
    start: str = "0"


def _peft(name: str, targets: Targets, **settings: Any) -> "PeftConfig":
    """One of PEFT's configs; PEFT is imported here, so that the table alone costs no second of imports."""
    return getattr(import_module("peft"), name)(target_modules=targets, **settings)


def _lora(options: LoraOptions, targets: Targets, **variant: Any) -> "PeftConfig":
    return _peft("LoraConfig", targets, r=options.rank, lora_alpha=_alpha(options), **variant)


def _alpha(options: LoraOptions) -> Any:
    return options.rank if options.alpha is None else options.alpha


def _rslora(options: LoraOptions, targets: Targets) -> "PeftConfig":
    return _lora(options, targets, use_rslora=True)


def _dora(options: LoraOptions, targets: Targets) -> "PeftConfig":
    return _lora(options, targets, use_dora=True)


def _pissa(options: LoraOptions, targets: Targets) -> "PeftConfig":
    return _lora(options, targets, init_lora_weights="pissa")


def _vera(o: VeraOptions, targets: Targets) -> "PeftConfig":
    return _peft("VeraConfig", targets, r=o.rank, d_initial=o.initial, projection_prng_key=o.projection_seed)


def _fourierft(o: FourierOptions, targets: Targets) -> "PeftConfig":
    # PEFT's own default draws the coefficients: the adapted model would not start at the checkpoint.
    return _peft(
        "FourierFTConfig",
        targets,
        n_frequency=o.n_frequency,
        scaling=o.scaling,
        random_loc_seed=o.places_seed,
        init_weights=True,
    )


def _ia3(options: Ia3Options, targets: Targets) -> "PeftConfig":
    return _peft("IA3Config", targets, feedforward_modules=targets if options.side == "in" else [])


def _hira(options: RankOptions, targets: Targets) -> "PeftConfig":
    return _peft("HiraConfig", targets, r=options.rank)


def _loha(options: LoraOptions, targets: Targets) -> "PeftConfig":
    return _peft("LoHaConfig", targets, r=options.rank, alpha=_alpha(options))


def _lokr(o: LokrOptions, targets: Targets) -> "PeftConfig":
    return _peft("LoKrConfig", targets, r=o.rank, alpha=_alpha(o), decompose_factor=o.factor)


def _miss(options: RankOptions, targets: Targets) -> "PeftConfig":
    return _peft("MissConfig", targets, r=options.rank)


def _oft(options: OftOptions, targets: Targets) -> "PeftConfig":
    return _peft("OFTConfig", targets, oft_block_size=options.block_size)


def _peanut(o: PeanutOptions, targets: Targets) -> "PeftConfig":
    return _peft("PeanutConfig", targets, r=o.rank, depth=o.pairs, act_fn=o.activation, scaling=o.scaling)


METHODS: dict[str, Method] = {
    "lora": Method("LoRA", LoraOptions, _lora, "adapter", "ΔW = (α/r)·B A", "r·(d_in + d_out)", counts.lora),
    "neat": Method(
        "NEAT",
        NeatOptions,
        neat_config,
        "adapter",
        "ΔW = s·f(W₀ᵀ)ᵀ",
        "2·r·n + (L−2)·r² (n the mapped side)",
        counts.neat,
    ),
    "peanut": Method(
        "PEANuT (PEFT)", PeanutOptions, _peanut, "adapter", "ΔW = s·f(W₀ᵀ)ᵀ", "2·r·d_out + 2·pairs·r²", counts.peanut
    ),
    "rslora": Method("rsLoRA", LoraOptions, _rslora, "adapter", "ΔW = (α/√r)·B A", "r·(d_in + d_out)", counts.lora),
    "dora": Method(
        "DoRA",
        LoraOptions,
        _dora,
        "adapter",
        "ΔW = m ⊙ V/‖V‖ − W₀, V = W₀ + (α/r)·B A, norms by row",
        "r·(d_in + d_out) + d_out",
        counts.dora,
        rank="rank of B A; ΔW has any",
    ),
    "pissa": Method(
        "PiSSA",
        LoraOptions,
        _pissa,
        "adapter",
        "ΔW = (α/r)·(B A − B₀A₀), B₀A₀ the leading part of W₀",
        "r·(d_in + d_out)",
        counts.lora,
        rank="half the ceiling on the rank of ΔW",
        start="0 up to the rounding of W₀ − B₀A₀ + B₀A₀",
    ),
    "vera": Method(
        "VeRA",
        VeraOptions,
        _vera,
        "adapter",
        "ΔW = diag(b) B diag(d) A, A and B frozen and random",
        "r + d_out",
        counts.vera,
        rank="rank of the frozen matrices, one parameter each",
    ),
    "fourierft": Method(
        "FourierFT",
        FourierOptions,
        _fourierft,
        "adapter",
        "ΔW = s·Re F⁻¹(c)",
        "n_frequency",
        counts.fourierft,
        size="n_frequency",
        rank="none; n_frequency sets the size",
    ),
    "ia3": Method(
        "(IA)³",
        Ia3Options,
        _ia3,
        "adapter",
        "ΔW = diag(l − 1) W₀, or W₀ diag(l − 1) with side='in'",
        "d_out (d_in with side='in')",
        counts.ia3,
        size=None,
        rank="none; the size is fixed",
    ),
    "hira": Method(
        "HiRA",
        RankOptions,
        _hira,
        "adapter",
        "ΔW = W₀ ⊙ B A",
        "r·(d_in + d_out)",
        counts.lora,
        rank="rank of B A; ΔW has any",
    ),
    "loha": Method(
        "LoHa",
        LoraOptions,
        _loha,
        "adapter",
        "ΔW = (α/r)·(B₁A₁) ⊙ (B₂A₂)",
        "2·r·(d_in + d_out)",
        counts.loha,
        rank="rank of each product; that of ΔW is at most its square",
    ),
    "lokr": Method(
        "LoKr",
        LokrOptions,
        _lokr,
        "adapter",
        "ΔW = (α/r)·C ⊗ (B A)",
        "C, A and B",
        counts.lokr,
        rank="rank of the larger Kronecker factor",
    ),
    "miss": Method(
        "MiSS", RankOptions, _miss, "adapter", "ΔW = Dᵀ E, E repeating the r × r identity", "r·d_out", counts.miss
    ),
    "oft": Method(
        "OFT",
        OftOptions,
        _oft,
        "adapter",
        "ΔW = W₀ (Rᵀ − I), R block-diagonal and orthogonal",
        "d_in·(b − 1)/2 (b the block size)",
        counts.oft,
        size="block_size",
        rank="none; block_size sets the size",
    ),
    "full": Method(
        "full fine-tuning",
        NoOptions,
        None,
        "all",
        "ΔW free",
        "d_out·d_in",
        None,
        size=None,
        rank="none; ΔW has any",
        lr_factor=0.05,
    ),
    "head": Method("head only", NoOptions, None, "head", "ΔW = 0", "0", counts.none, size=None, rank="0"),
}
