"""What a whole language model costs with adapters: a training step, and 16 new tokens, all methods taking turns.

    python benchmarks/model_cost.py [--model smollm] [--tokens 128 512] [--rounds 7] [--threads 1] [--dtype float32]

A Llama with random weights and every linear layer adapted, nothing merged; a step is AdamW's, on one sequence. Ratios
of medians are over PEFT's LoRA of the same rank. On a machine with CUDA the default is `--model llama-1b --dtype
bfloat16 --tokens 512 2048 8192`: Llama-3.2-1B's shape.
"""

import argparse
import copy
import statistics
from collections.abc import Callable
from functools import partial

import torch
from peft import LoraConfig, PeanutConfig, get_peft_model
from step_cost import alternate
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from neatlab.adapters.neat import NeatConfig
from neatlab.analysis.cost import peak_bytes

CUDA = torch.cuda.is_available()
MODELS = {
    "smollm": LlamaConfig(  # SmolLM2-135M's layers, a fifth of them
        vocab_size=2048, hidden_size=576, intermediate_size=1536, num_hidden_layers=6, num_attention_heads=9,
        num_key_value_heads=3, tie_word_embeddings=True, pad_token_id=0,
    ),
    "llama-1b": LlamaConfig(
        vocab_size=128256, hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, num_attention_heads=32,
        num_key_value_heads=8, tie_word_embeddings=True, pad_token_id=0, max_position_embeddings=8192,
    ),
}  # fmt: skip
SHARED = {"r": 8, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}
ADAPTERS = {
    "base": lambda: None,
    "lora": lambda: LoraConfig(**SHARED),
    "neat-2": lambda: NeatConfig(**SHARED),
    "neat-6": lambda: NeatConfig(**SHARED, depth=6),
    "peanut": lambda: PeanutConfig(**SHARED),
}


def models(shape: str, device: str, dtype: torch.dtype) -> dict[str, nn.Module]:
    """The model alone, and under each method."""
    base = LlamaForCausalLM(MODELS[shape]).to(device, dtype)
    made = {}
    for name, make in ADAPTERS.items():
        config, model = make(), copy.deepcopy(base)
        made[name] = (get_peft_model(model, config) if config else model).to(device)
    return made


def trainer(model: nn.Module, tokens: torch.Tensor) -> Callable[[], None]:
    """One step of training on these tokens."""
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    model.train()

    def step() -> None:
        model(input_ids=tokens, labels=tokens).loss.backward()
        optimiser.step()
        optimiser.zero_grad()

    return step


def table(title: str, work: dict[str, Callable[[], object]], rounds: int, device: str, *, peaks: bool) -> str:
    """A line a method: time over LoRA's, and the peak of what is allocated over LoRA's."""
    most = {name: peak_bytes(run, device) if peaks else 0 for name, run in work.items()}
    times = {name: statistics.median(taken) for name, taken in alternate(work, rounds, device).items()}
    lines = [f"| {title} | over LoRA | ms | peak over LoRA |", "|---|---|---|---|"]
    for name, taken in times.items():
        peak = f"{most[name] / most['lora']:.2f}" if peaks else "—"
        lines.append(f"| {name} | {taken / times['lora']:.2f} | {1e3 * taken:.0f} | {peak} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, default="llama-1b" if CUDA else "smollm")
    parser.add_argument("--tokens", type=int, nargs="+", default=[512, 2048, 8192] if CUDA else [128, 512])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16" if CUDA else "float32")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    device = "cuda" if CUDA else "cpu"
    adapted = models(options.model, device, getattr(torch, options.dtype))
    vocabulary = MODELS[options.model].vocab_size
    for count in options.tokens:
        tokens = torch.randint(1, vocabulary, (1, count), device=device)
        work = {name: trainer(model, tokens) for name, model in adapted.items() if name != "base"}
        title = f"{options.model}, {options.dtype}: a step of {count:,} tokens"
        print(table(title, work, options.rounds, device, peaks=True), end="\n\n", flush=True)
    prompt = torch.randint(1, vocabulary, (1, 32), device=device)
    lengths = {"max_new_tokens": 16, "min_new_tokens": 16, "do_sample": False}
    served = {name: partial(model.eval().generate, input_ids=prompt, **lengths) for name, model in adapted.items()}
    print(table(f"{options.model}, {options.dtype}: 16 new tokens", served, options.rounds, device, peaks=False))


if __name__ == "__main__":
    main()
