"""How many parameters a method puts on one layer of d_out × d_in, without building it.

Every function takes (options, d_out, d_in) and raises BadInput where no such layer can be built, so that a
comparison is refused before a model is loaded.
"""

from neatlab.adapters.options import (
    FourierOptions,
    Ia3Options,
    LokrOptions,
    NeatOptions,
    NoOptions,
    OftOptions,
    PeanutOptions,
    RankOptions,
    VeraOptions,
    neat_config,
)
from neatlab.errors import BadInput


def none(options: NoOptions, d_out: int, d_in: int) -> int:
    """0: the layer stays as it is."""
    return 0


def lora(options: RankOptions, d_out: int, d_in: int) -> int:
    """r·(d_in + d_out): A and B."""
    _check_rank(options.rank, min(d_out, d_in))
    return options.rank * (d_in + d_out)


def dora(options: RankOptions, d_out: int, d_in: int) -> int:
    """LoRA's and a magnitude for each output."""
    return lora(options, d_out, d_in) + d_out


def loha(options: RankOptions, d_out: int, d_in: int) -> int:
    """2·r·(d_in + d_out): two LoRAs, multiplied element by element."""
    return 2 * lora(options, d_out, d_in)


def lokr(options: LokrOptions, d_out: int, d_in: int) -> int:
    """The small Kronecker factor whole, the large one as two rank-r matrices where these are smaller."""
    from peft.tuners.lokr.layer import factorization

    _check_rank(options.rank, min(d_out, d_in))
    (small_out, large_out), (small_in, large_in) = (factorization(d, options.factor) for d in (d_out, d_in))
    thin = options.rank < max(large_out, large_in) / 2
    return small_out * small_in + (options.rank * (large_out + large_in) if thin else large_out * large_in)


def miss(options: RankOptions, d_out: int, d_in: int) -> int:
    """r·d_out: one row of D for each of r groups of inputs."""
    _check_rank(options.rank, d_in)
    return options.rank * d_out


def vera(options: VeraOptions, d_out: int, d_in: int) -> int:
    """r + d_out: the two scales; the matrices between them are frozen and shared."""
    return options.rank + d_out


def fourierft(options: FourierOptions, d_out: int, d_in: int) -> int:
    """One for each coefficient."""
    if options.n_frequency > d_out * d_in:
        raise BadInput(f"n_frequency={options.n_frequency}; allowed: 1 to {d_out * d_in}")
    return options.n_frequency


def ia3(options: Ia3Options, d_out: int, d_in: int) -> int:
    """One for each output or input."""
    return d_out if options.side == "out" else d_in


def oft(options: OftOptions, d_out: int, d_in: int) -> int:
    """d_in·(b−1)/2: a skew-symmetric b × b matrix for each block of b inputs."""
    if d_in % options.block_size:
        sizes = ", ".join(str(size) for size in range(2, d_in + 1) if d_in % size == 0)
        raise BadInput(f"block_size={options.block_size} does not divide the {d_in} inputs; allowed: {sizes}")
    return d_in * (options.block_size - 1) // 2


def peanut(options: PeanutOptions, d_out: int, d_in: int) -> int:
    """2·r·d_out + 2·pairs·r²: A, B, encoders and decoders."""
    _check_rank(options.rank, min(d_out, d_in))
    return 2 * options.rank * d_out + 2 * options.pairs * options.rank**2


def neat(options: NeatOptions, d_out: int, d_in: int) -> int:
    """2·r·n + (L−2)·r², n the side that is mapped over; r·(d_in + d_out) + … without conditioning."""
    from neatlab.adapters.neat_config import parameter_count

    _check_rank(options.rank, min(d_out, d_in))
    return parameter_count(neat_config(options, []), d_in, d_out)


def _check_rank(rank: int, limit: int) -> None:
    if rank > limit:
        raise BadInput(f"rank={rank} is above the layer's size; allowed: 1 to {limit}")
