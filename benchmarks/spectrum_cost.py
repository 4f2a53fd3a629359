"""Time of ΔW's spectrum from its thin factors against an SVD of the built ΔW, taking turns.

python benchmarks/spectrum_cost.py [--d 2048] [--rank 32] [--rounds 3] [--json]
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch

from neatlab.adapters.factors import Factors


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def measure(d: int, rank: int, rounds: int) -> dict[str, float]:
    """Medians of both, their ratio, and the largest error relative to the largest singular value."""
    torch.manual_seed(0)
    left, right = torch.randn(d, rank), torch.randn(rank, d)
    built = left @ right
    Factors(left, right).singular_values()
    dense, thin = [], []
    for _ in range(rounds):
        dense.append(seconds(lambda: torch.linalg.svdvals(built)))
        thin += [seconds(lambda: Factors(left, right).singular_values()) for _ in range(5)]
    exact = torch.linalg.svdvals(built.double())[:rank]
    error = (Factors(left, right).singular_values() - exact).abs().max() / exact[0]
    slow, fast = statistics.median(dense), statistics.median(thin)
    return {
        "d": d,
        "rank": rank,
        "dense_s": slow,
        "thin_s": fast,
        "faster": slow / fast,
        "relative_error": float(error),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--d", type=int, default=2048)
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found = measure(options.d, options.rank, options.rounds)
    if options.json:
        print(json.dumps(found))
        return
    print(
        f"ΔW {found['d']} × {found['d']}, r = {found['rank']}: thin {1e3 * found['thin_s']:.2f} ms, "
        f"dense {1e3 * found['dense_s']:.0f} ms, {found['faster']:.0f} times faster, "
        f"relative error {found['relative_error']:.1e}"
    )


if __name__ == "__main__":
    main()
