"""What a training step on a 4-bit base costs: NEAT beside PEFT's LoRA, in one process, taking turns.

    make build/.integrations
    PYTHONPATH=$(echo build/integrations/lib/python*/site-packages) python benchmarks/quantised_cost.py
        [--size 2048] [--rank 8] [--rounds 11] [--threads 1] [--dtype float32]

Ratios of medians, and of the peak of what a step allocates, which is counted exactly. Both adapters stand on
bitsandbytes' NF4; `base` is that layer alone. All on the GPU where there is one.
"""

import argparse
import statistics
from functools import partial

import bitsandbytes as bnb
import torch
from peft import LoraConfig, get_peft_model
from step_cost import TOKENS, alternate, step
from torch import nn

from neatlab.adapters.neat import NeatConfig
from neatlab.analysis.cost import peak_bytes

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def models(size: int, rank: int, dtype: torch.dtype) -> dict[str, nn.Module]:
    """The 4-bit layer (size × size), and the same under each method."""

    def base() -> nn.Module:
        torch.manual_seed(0)
        layer = bnb.nn.Linear4bit(size, size, bias=False, compute_dtype=dtype, quant_type="nf4")
        return nn.Sequential(layer).to(dtype).to(DEVICE)  # quantised from this precision

    configs = {
        "lora": LoraConfig(r=rank, target_modules=["0"], init_lora_weights=False),
        "neat out": NeatConfig(r=rank, target_modules=["0"], init_weights=False),
        "neat in": NeatConfig(r=rank, orientation="in", target_modules=["0"], init_weights=False),
    }
    made = {"base": base()} | {name: get_peft_model(base(), config) for name, config in configs.items()}
    return {name: model.to(DEVICE) for name, model in made.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--dtype",
        choices=["float32", "bfloat16"],
        default="float32",
        help="of the weights that were quantised, and of the computation",
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    dtype = getattr(torch, options.dtype)
    adapted = models(options.size, options.rank, dtype)
    print(f"{options.size}², {options.dtype}, over LoRA: time (peak memory)")
    for tokens in TOKENS:
        x = torch.randn(tokens, options.size, dtype=dtype, device=DEVICE, requires_grad=True)
        grad = torch.randn(tokens, options.size, dtype=dtype, device=DEVICE)
        work = {name: partial(step, model, x, grad) for name, model in adapted.items()}
        seconds = {name: statistics.median(times) for name, times in alternate(work, options.rounds, DEVICE).items()}
        peaks = {name: peak_bytes(run, DEVICE) for name, run in work.items()}
        ratios = [
            f"{n} {seconds[n] / seconds['lora']:.2f} ({peaks[n] / peaks['lora']:.2f})" for n in work if n != "lora"
        ]
        print(f"{tokens:>5} tokens  {'  '.join(ratios)}  LoRA {1000 * seconds['lora']:.2f} ms")


if __name__ == "__main__":
    main()
