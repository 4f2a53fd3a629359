"""What one step of an adapted layer costs: NEAT beside PEFT's LoRA and PEANuT, in one process, taking turns.

    python benchmarks/step_cost.py [--shapes laptop] [--tokens 128 512 2048] [--dtype float32] [--no-compile]
        [--rank 8] [--rounds 25] [--threads 2] [--full] [--json]

Ratios of medians come first: clocks on shared machines wander, ratios of alternating runs much less. The bytes
kept for the backward pass, the peak of what a step allocates and the largest tensor made on the way are counted
exactly. A decode is the forward of one token without gradients, as in generation. On a machine with CUDA the default is
`--shapes gpu --tokens 128 512 2048 8192 --dtype bfloat16 --compile`; `--shapes llama` and `--shapes flux` are those of
Llama-3.2-3B and of FLUX's wide outputs.
"""

import argparse
import copy
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import torch
from peft import LoraConfig, PeanutConfig, get_peft_model
from torch import Tensor, nn
from tqdm import tqdm

from neatlab.adapters.neat import NeatConfig
from neatlab.analysis.cost import largest_temporary, peak_bytes, saved_bytes

SHAPES = {
    "quick": [(768, 768), (2048, 2048)],
    "laptop": [
        *[(768, 768), (768, 3072), (3072, 768), (384, 384), (2048, 2048), (2048, 512)],
        *[(576, 192), (576, 1536), (1536, 576)],  # SmolLM2-135M's
    ],
    "gpu": [(4096, 4096), (4096, 11008), (4096, 1024)],
    "llama": [(3072, 3072), (3072, 1024), (3072, 8192), (8192, 3072)],
    "flux": [(3072, 12288), (3072, 18432)],
}
TOKENS = [128, 512, 2048]
PASSES = ("train", "eval", "decode")
DECODED = 20  # tokens of one turn
NEATS = ("neat-2", "neat-2-in", "neat-4", "neat-6")


@dataclass(frozen=True)
class Row:
    """One method at one shape.

    Args:
        seconds: Median of the rounds.
        spread: Interquartile range over the median.
        over_lora: Median over LoRA's.
        floor: Arithmetic of the adapted layer over the base layer's: no ratio to the base can be below it.
        saved: Bytes kept for the backward pass, parameters aside; the input counts, since a frozen base alone
            would not keep it.
        peak: The most that a step holds at once of what it allocates, bytes.
        largest: Elements of the largest tensor made beyond inputs and outputs, with 8 tokens.
    """

    d_in: int
    d_out: int
    tokens: int
    method: str
    compiled: bool
    kind: str
    seconds: float
    spread: float
    over_lora: float
    floor: float
    saved: int
    peak: int
    largest: int


class Net(nn.Module):
    """One linear layer with a name to target."""

    def __init__(self, d_in: int, d_out: int) -> None:
        super().__init__()
        self.lin = nn.Linear(d_in, d_out)

    def forward(self, x: Tensor) -> Tensor:
        """x W₀ᵀ + b."""
        return self.lin(x)


def models(d_in: int, d_out: int, rank: int, device: str, dtype: torch.dtype) -> dict[str, nn.Module]:
    """The frozen base layer and the same layer under each method; B and Θ_L are not zero, as after training."""
    base = Net(d_in, d_out).to(device, dtype).requires_grad_(False)
    configs = {
        "lora": LoraConfig(r=rank, lora_alpha=rank, target_modules=["lin"]),
        "neat-2": NeatConfig(r=rank, depth=2, target_modules=["lin"]),
        "neat-2-in": NeatConfig(r=rank, depth=2, orientation="in", target_modules=["lin"]),
        "neat-4": NeatConfig(r=rank, depth=4, target_modules=["lin"]),
        "neat-6": NeatConfig(r=rank, depth=6, target_modules=["lin"]),
        "peanut": PeanutConfig(r=rank, depth=0, target_modules=["lin"]),
    }
    made = {"base": base} | {name: get_peft_model(copy.deepcopy(base), config) for name, config in configs.items()}
    with torch.no_grad():
        for parameter in (p for model in made.values() for p in model.parameters() if p.requires_grad):
            parameter.normal_(0, 0.02)
    return made


def compile_anew(model: nn.Module) -> nn.Module:
    """The model compiled whole, or an error: past its limit of recompilations torch would quietly not compile."""
    dynamo = torch._dynamo.config
    dynamo.recompile_limit, dynamo.fail_on_recompile_limit_hit = 64, True
    return torch.compile(model)


def step(model: nn.Module, x: Tensor, grad: Tensor) -> None:
    """Forward, backward, and a change of all parameters at once, as an optimiser's: nothing can be reused."""
    model(x).backward(grad)
    x.grad = None
    trained = [parameter for parameter in model.parameters() if parameter.grad is not None]
    if trained:
        with torch.no_grad():
            torch._foreach_mul_(trained, 0.999)
    for parameter in trained:
        parameter.grad = None


def evaluate(model: nn.Module, x: Tensor) -> None:
    """Forward alone."""
    with torch.no_grad():
        model(x)


def decode(model: nn.Module, token: Tensor) -> None:
    """Forward alone, a token at a time."""
    with torch.no_grad():
        for _ in range(DECODED):
            model(token)


def alternate(work: dict[str, Callable[[], None]], rounds: int, device: str) -> dict[str, list[float]]:
    """Seconds of each piece of work, all taking turns; the first fifth of the rounds warms up."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(rounds + rounds // 5 + 1):
        for name, run in work.items():
            _wait(device)
            begin = time.perf_counter()
            run()
            _wait(device)
            if turn > rounds // 5:
                times[name].append(time.perf_counter() - begin)
    return times


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def floor(name: str, d_in: int, d_out: int, tokens: int, rank: int, kind: str) -> float:
    """Multiply-adds of the adapted layer over the base layer's.

    Base: n·d_in·d_out forward, as much backward (the gradient of x). An update of rank r adds n·r·(d_in + d_out)
    forward and twice that backward; NEAT adds r·d_in·d_out in each direction, not at all in evaluation.
    """
    passes, tokens = (2, tokens) if kind == "train" else (1, 1 if kind == "decode" else tokens)
    base = passes * tokens * d_in * d_out
    thin = (3 if kind == "train" else 1) * tokens * rank * (d_in + d_out)
    extra = {"base": 0, "lora": thin, "peanut": (2 * passes * rank + passes * tokens) * d_in * d_out}
    weight = passes * rank * d_in * d_out if kind == "train" else 0
    return 1 + extra.get(name, thin + weight) / base


def measure(shape: tuple[int, int], tokens: int, options: argparse.Namespace, compiled: bool) -> Iterator[Row]:
    """All methods at one shape."""
    (d_in, d_out), device = shape, options.device
    torch.compiler.reset()
    made = models(d_in, d_out, options.rank, device, options.dtype)
    x = torch.randn(1, tokens, d_in, device=device, dtype=options.dtype, requires_grad=True)
    grad = torch.randn(1, tokens, d_out, device=device, dtype=options.dtype)
    few = x[:, :8].detach().requires_grad_()
    saved = {name: saved_bytes(lambda m=m: m(x), m.parameters()) for name, m in made.items()}
    largest = {name: largest_temporary(lambda m=m: m(few).sum().backward()) for name, m in made.items()}
    for model in made.values():
        model.zero_grad()
    peaks = {name: peak_bytes(lambda m=m: step(m, x, grad), device) for name, m in made.items()}
    runs = {name: compile_anew(m) if compiled else m for name, m in made.items()}
    work = {
        "train": {name: (lambda m=m: step(m, x, grad)) for name, m in runs.items()},
        "eval": {name: (lambda m=m: evaluate(m, x)) for name, m in runs.items()},
        "decode": {name: (lambda m=m: decode(m, few[:, :1].detach())) for name, m in runs.items()},
    }
    for kind in PASSES:
        times = alternate(work[kind], options.rounds, device)
        lora = statistics.median(times["lora"])
        for name, seconds in times.items():
            low, middle, high = statistics.quantiles(seconds, n=4)
            bound = floor(name, d_in, d_out, tokens, options.rank, kind)
            spread = (high - low) / middle
            numbers = (middle, spread, middle / lora, bound, saved[name], peaks[name], largest[name])
            yield Row(d_in, d_out, tokens, name, compiled, kind, *numbers)


def table(rows: list[Row]) -> str:
    """Ratios first; a line a method, shape and pass."""
    lines = [
        "| d_in × d_out | tokens | pass | method | over LoRA | over base | floor over base | ms | spread "
        "| saved, kB | peak, kB | largest made |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    bases = {(r.d_in, r.d_out, r.tokens, r.kind, r.compiled): r.seconds for r in rows if r.method == "base"}
    for r in rows:
        base = bases[r.d_in, r.d_out, r.tokens, r.kind, r.compiled]
        name = r.method + (" compiled" if r.compiled else "")
        cells = (
            f"{r.d_in} × {r.d_out} | {r.tokens} | {r.kind} | {name} | {r.over_lora:.2f} | {r.seconds / base:.2f} "
            f"| {r.floor:.2f} | {1e3 * r.seconds:.2f} | ±{50 * r.spread:.0f} % | {r.saved / 1024:.0f} "
            f"| {r.peak / 1024:.0f} | {r.largest:,}"
        )
        lines.append(f"| {cells} |")
    return "\n".join(lines)


def summary(rows: list[Row]) -> str:
    """A line a shape: medians over LoRA's, and exact counts."""
    lines = [
        "| d_in × d_out | tokens | step: base | NEAT 2 | NEAT 2, in | NEAT 4 | NEAT 6 | PEANuT | PEANuT / NEAT 2 "
        "| forward: NEAT 2 | PEANuT | one token: NEAT 2 | NEAT 2, in | NEAT 6 | PEANuT "
        "| saved: NEAT 2 | PEANuT | peak: NEAT 2 | PEANuT | largest made: NEAT 2 | PEANuT |",
        "|---" * 21 + "|",
    ]
    for key in dict.fromkeys((r.d_in, r.d_out, r.tokens, r.compiled) for r in rows):
        same = [r for r in rows if (r.d_in, r.d_out, r.tokens, r.compiled) == key]
        step, forward, one = ({r.method: r for r in same if r.kind == kind} for kind in PASSES)
        ratios = [step[name].over_lora for name in ("base", *NEATS, "peanut")]
        ratios += [step["peanut"].seconds / step["neat-2"].seconds]
        ratios += [forward[name].over_lora for name in ("neat-2", "peanut")]
        ratios += [one[name].over_lora for name in ("neat-2", "neat-2-in", "neat-6", "peanut")]
        ratios += [step[name].saved / step["lora"].saved for name in ("neat-2", "peanut")]
        ratios += [step[name].peak / step["lora"].peak for name in ("neat-2", "peanut")]
        largest = [f"{step[name].largest:,}" for name in ("neat-2", "peanut")]
        name = f"{key[0]} × {key[1]}" + (" compiled" if key[3] else "")
        lines.append(f"| {' | '.join([name, f'{key[2]:,}', *(f'{ratio:.2f}' for ratio in ratios), *largest])} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    cuda = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--shapes", choices=SHAPES, default="gpu" if cuda else "laptop")
    parser.add_argument("--tokens", type=int, nargs="+", default=[*TOKENS, 8192] if cuda else TOKENS)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16" if cuda else "float32")
    compiling = argparse.BooleanOptionalAction
    parser.add_argument("--compile", action=compiling, default=cuda, help="measure with torch.compile too")
    parser.add_argument("--full", action="store_true", help="a line a method and pass, with floors and spreads")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    options.device = "cuda" if cuda else "cpu"
    options.dtype = getattr(torch, options.dtype)
    cases = itertools.product(SHAPES[options.shapes], options.tokens, [False, True] if options.compile else [False])
    rows = []
    for shape, tokens, compiled in tqdm([*cases], file=sys.stderr):
        rows += measure(shape, tokens, options, compiled)
    show = table if options.full else summary
    print(json.dumps([asdict(row) for row in rows]) if options.json else show(rows))


if __name__ == "__main__":
    main()
