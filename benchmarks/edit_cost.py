"""Time and memory of acts on adapters: compress against PEFT's own way, and a 1B-shaped adapter compressed and merged.

Both ways begin with an adapter and end with a folder. PEFT's needs the model, which is one linear layer here and is
loaded before the clock starts; ours reads the adapter's folder. Each case of the large adapter runs in a fresh process;
its memory is what it peaks at above the same process with everything imported.

python benchmarks/edit_cost.py [--d 2048] [--rank 64] [--to 32] [--rounds 3] [--blocks 16] [--json]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

# Outputs and inputs of the linear layers of a block of Llama-3.2-1B.
BLOCK = {
    "self_attn.q_proj": (2048, 2048),
    "self_attn.k_proj": (512, 2048),
    "self_attn.v_proj": (512, 2048),
    "self_attn.o_proj": (2048, 2048),
    "mlp.gate_proj": (8192, 2048),
    "mlp.up_proj": (8192, 2048),
    "mlp.down_proj": (2048, 8192),
}
PREFIX = "base_model.model."

CASE = """
import json, re, sys, time
from pathlib import Path
import torch
import neatlab.editing
import neatlab.editing.acts.merge, peft.utils.merge_utils

def peak():  # of this program alone: getrusage would count what its parent held before it
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024

threads, adapter, out, *acts = sys.argv[1:]
torch.set_num_threads(int(threads))
before, begin, busy = peak(), time.perf_counter(), time.process_time()
done = neatlab.editing.edit(adapter, acts, out)
times = {"seconds": time.perf_counter() - begin, "cpu_seconds": time.process_time() - busy}
ranks = sorted({layer.rank_after for layer in done.layers})
print(json.dumps({"layers": len(done.layers), "ranks": ranks, **times, "megabytes": peak() - before}))
"""


def write_adapter(folder: Path, shapes: dict[str, tuple[int, int]], rank: int, seed: int) -> Path:
    """The two files as PEFT writes them, with a spectrum that falls."""
    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(seed)
    falling = torch.logspace(0, -2, rank)
    tensors = {}
    for name, (d_out, d_in) in shapes.items():
        tensors[f"{PREFIX}{name}.lora_A.weight"] = torch.randn(rank, d_in, generator=generator) * 0.02
        tensors[f"{PREFIX}{name}.lora_B.weight"] = torch.randn(d_out, rank, generator=generator) * 0.02 * falling
    save_file(tensors, folder / "adapter_model.safetensors")
    targets = sorted({name.split(".")[-1] for name in shapes})
    settings = {"peft_type": "LORA", "r": rank, "lora_alpha": rank, "target_modules": targets}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def against_peft(d: int, rank: int, to: int, rounds: int, folder: Path) -> dict[str, float]:
    """Medians of both ways, taking turns, and how far each is from the best ΔW of that rank."""
    from peft import PeftModel
    from peft.tuners.lora.conversion import save_as_lora

    from neatlab.editing import edit

    adapter = write_adapter(folder / "adapter", {"lin": (d, d)}, rank, 0)
    base = nn.Module()
    base.lin = nn.Linear(d, d, bias=False)
    model = PeftModel.from_pretrained(base, str(adapter))
    theirs, ours = [], []
    for turn in range(rounds):
        theirs.append(seconds(lambda turn=turn: save_as_lora(folder / f"peft-{turn}", model, to)))
        ours += [
            seconds(lambda turn=turn, i=i: edit(adapter, [f"compress:rank={to}"], folder / f"ours-{turn}-{i}"))
            for i in range(5)
        ]
    exact = product(adapter)
    u, s, vh = torch.linalg.svd(exact)
    best = (u[:, :to] * s[:to]) @ vh[:to]
    slow, fast = statistics.median(theirs), statistics.median(ours)
    return {
        "d": d,
        "rank": rank,
        "to": to,
        "peft_s": slow,
        "neatlab_s": fast,
        "faster": slow / fast,
        "peft_error": float((product(folder / "peft-0") - best).norm() / best.norm()),
        "neatlab_error": float((product(folder / "ours-0-0") - best).norm() / best.norm()),
    }


def product(folder: Path) -> torch.Tensor:
    """B A in float64, of adapters whose scaling is 1."""
    tensors = load_file(folder / "adapter_model.safetensors")
    left, right = (tensors[f"{PREFIX}lin.lora_{side}.weight"].double() for side in "BA")
    return left @ right


def large(blocks: int, rank: int, to: int, threads: int, folder: Path) -> dict[str, dict[str, Any]]:
    """A 1B-shaped adapter compressed, and merged with another."""
    shapes = {f"model.layers.{block}.{name}": shape for block in range(blocks) for name, shape in BLOCK.items()}
    one, other = (write_adapter(folder / name, shapes, rank, seed) for seed, name in enumerate(("one", "other")))
    acts = {
        f"compress to {to}": f"compress:rank={to}",
        "merge": f"merge:with={other}",
        "merge, 0.7 + 0.3": f"merge:with={other},weights=0.7+0.3",
        f"merge, cut to {to}": f"merge:with={other},rank={to}",
    }
    return {name: case(one, folder / f"out-{index}", act, threads) for index, (name, act) in enumerate(acts.items())}


def case(adapter: Path, out: Path, act: str, threads: int) -> dict[str, Any]:
    """One act in a fresh process."""
    words = [sys.executable, "-c", CASE, str(threads), str(adapter), str(out), act]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(words, env=environment, check=True, capture_output=True, text=True)
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--d", type=int, default=2048)
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--to", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--blocks", type=int, default=16, help="of seven layers each")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as temporary:
        beside = against_peft(options.d, options.rank, options.to, options.rounds, Path(temporary, "layer"))
        cases = large(options.blocks, options.rank, options.to, options.threads, Path(temporary, "model"))
    if options.json:
        print(json.dumps({"against_peft": beside, "large": cases}))
        return
    print(
        f"{options.d} × {options.d}, r = {options.rank} → {options.to}: neatlab {1e3 * beside['neatlab_s']:.0f} ms, "
        f"PEFT {1e3 * beside['peft_s']:.0f} ms, {beside['faster']:.0f} times faster; from the best of that rank "
        f"{beside['neatlab_error']:.1e} and {beside['peft_error']:.1e} of its norm"
    )
    for name, measured in cases.items():
        print(
            f"{name:17} {measured['layers']} layers: {measured['seconds']:.1f} s "
            f"({measured['cpu_seconds']:.1f} s of a core), {measured['megabytes']:.0f} MB above what it had imported"
        )


if __name__ == "__main__":
    main()
