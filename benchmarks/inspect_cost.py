"""Time and peak memory of inspecting a rank-16 adapter on all linear layers of a base shaped as a Llama.

The base is made here: random weights, bfloat16, in shards. Each case runs in a fresh process, and its memory is what
it peaks at above the same process with everything imported.

python benchmarks/inspect_cost.py [--model 1b|7b] [--layers N] [--method lora|neat] [--directions 16] [--json]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file

# Hidden, intermediate and key-value widths, blocks, vocabulary: of Llama-3.2-1B and of Llama-2-7B.
MODELS = {"1b": (2048, 8192, 512, 16, 128256), "7b": (4096, 11008, 4096, 32, 32000)}
RANK = 16

CASE = """
import json, re, sys, time
from pathlib import Path
import torch
import neatlab.inspection as inspection

def peak():  # of this program alone: getrusage would count what its parent held before it
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024

torch.set_num_threads(2)
adapter, base, directions = sys.argv[1], sys.argv[2] or None, int(sys.argv[3])
before, begin, busy = peak(), time.perf_counter(), time.process_time()
found = inspection.inspect(adapter, base, directions=directions)
times = {"seconds": time.perf_counter() - begin, "cpu_seconds": time.process_time() - busy}
print(json.dumps({"layers": len(found.layers), **times, "megabytes": peak() - before}))
"""


def shapes(model: str) -> dict[str, tuple[int, int]]:
    """Linear layers of a block, d_out × d_in."""
    hidden, intermediate, keys, *_ = MODELS[model]
    return {
        "self_attn.q_proj": (hidden, hidden),
        "self_attn.k_proj": (keys, hidden),
        "self_attn.v_proj": (keys, hidden),
        "self_attn.o_proj": (hidden, hidden),
        "mlp.gate_proj": (intermediate, hidden),
        "mlp.up_proj": (intermediate, hidden),
        "mlp.down_proj": (hidden, intermediate),
    }


def write_base(folder: Path, model: str, layers: int) -> None:
    """A shard of four blocks at a time, and one for the embeddings; the index names them all."""
    folder.mkdir()
    mapped: dict[str, str] = {}
    for first in range(0, layers, 4):
        blocks = range(first, min(first + 4, layers))
        tensors = {
            f"model.layers.{block}.{name}.weight": torch.randn(shape, dtype=torch.bfloat16) * 0.02
            for block in blocks
            for name, shape in shapes(model).items()
        }
        _save(folder, f"model-{first:05d}.safetensors", tensors, mapped)
    hidden, *_, vocabulary = MODELS[model]
    table = {"model.embed_tokens.weight": torch.randn(vocabulary, hidden, dtype=torch.bfloat16) * 0.02}
    _save(folder, "model-embed.safetensors", table, mapped)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": mapped}))
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}))


def _save(folder: Path, name: str, tensors: dict[str, torch.Tensor], mapped: dict[str, str]) -> None:
    save_file(tensors, folder / name)
    mapped |= dict.fromkeys(tensors, name)


def write_adapter(folder: Path, model: str, layers: int, method: str) -> None:
    """The adapter's two files, as PEFT writes them."""
    folder.mkdir()
    tensors = {}
    for block in range(layers):
        for name, (d_out, d_in) in shapes(model).items():
            sides = {"lora_A.weight": (RANK, d_in), "lora_B.weight": (d_out, RANK)}
            if method == "neat":
                sides = {"neat_theta.0": (RANK, d_out), "neat_theta.1": (RANK, d_out)}
            prefix = f"base_model.model.model.layers.{block}.{name}"
            tensors |= {f"{prefix}.{part}": torch.randn(shape) * 0.01 for part, shape in sides.items()}
    save_file(tensors, folder / "adapter_model.safetensors")
    settings = {
        "peft_type": method.upper(),
        "r": RANK,
        "target_modules": [name.split(".")[-1] for name in shapes(model)],
    }
    settings |= {"lora_alpha": RANK} if method == "lora" else {}
    (folder / "adapter_config.json").write_text(json.dumps(settings))


def measure(adapter: Path, base: Path | None, directions: int, cache: Path) -> dict[str, float]:
    """One case in a fresh process with an empty cache."""
    words = [sys.executable, "-c", CASE, str(adapter), str(base or ""), str(directions)]
    environment = {**os.environ, "NEATLAB_CACHE": str(cache), "OMP_NUM_THREADS": "2"}
    done = subprocess.run(words, env=environment, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, default="1b")
    parser.add_argument("--layers", type=int, help="blocks; the model's own by default")
    parser.add_argument("--method", choices=("lora", "neat"), default="lora")
    parser.add_argument("--directions", type=int, default=16)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        layers = options.layers or MODELS[options.model][3]
        write_base(folder / "base", options.model, layers)
        write_adapter(folder / "adapter", options.model, layers, options.method)
        cases: dict[str, tuple[Path | None, int]] = {} if options.method == "neat" else {"alone": (None, 0)}
        cases["with W₀"] = (folder / "base", 0)
        if options.directions:
            cases[f"overlaps of {options.directions}"] = (folder / "base", options.directions)
        found = {name: measure(folder / "adapter", *case, folder / "cache") for name, case in cases.items()}
    if options.json:
        print(json.dumps(found))
        return
    for name, case in found.items():
        print(
            f"{name:16} {case['layers']:.0f} layers: {case['seconds']:.1f} s ({case['cpu_seconds']:.1f} s of a core), "
            f"{case['megabytes']:.0f} MB above what it had imported"
        )


if __name__ == "__main__":
    main()
