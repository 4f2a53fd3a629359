"""What 16 new tokens cost: NEAT beside PEFT's LoRA and PEANuT, in one process, taking turns.

    python benchmarks/generation_cost.py [--rounds 7] [--threads 1] [--dtype float32]

A small Llama of SmolLM2's shape writes, every linear layer adapted and nothing merged.
"""

import argparse
import copy
import statistics

import torch
from peft import LoraConfig, PeanutConfig, get_peft_model
from step_cost import alternate
from transformers import LlamaConfig, LlamaForCausalLM

from neatlab.adapters.neat import NeatConfig

LLAMA = LlamaConfig(
    vocab_size=2048, hidden_size=576, intermediate_size=1536, num_hidden_layers=6, num_attention_heads=9,
    num_key_value_heads=3, tie_word_embeddings=True, pad_token_id=0,
)  # fmt: skip
SHARED = {"r": 8, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}
ADAPTERS = {
    "base": lambda: None,
    "lora": lambda: LoraConfig(**SHARED),
    "neat-2": lambda: NeatConfig(**SHARED),
    "neat-6": lambda: NeatConfig(**SHARED, depth=6),
    "peanut": lambda: PeanutConfig(**SHARED),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32", help="of the base")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    base = LlamaForCausalLM(LLAMA).to(getattr(torch, options.dtype)).eval()
    prompt = torch.randint(1, 2048, (1, 32), device=device)
    work = {}
    for name, make in ADAPTERS.items():
        config, model = make(), copy.deepcopy(base)
        model = (get_peft_model(model, config) if config else model).to(device).eval()
        lengths = {"max_new_tokens": 16, "min_new_tokens": 16, "do_sample": False}
        work[name] = lambda model=model, lengths=lengths: model.generate(input_ids=prompt, **lengths)
    times = {name: statistics.median(taken) for name, taken in alternate(work, options.rounds, device).items()}
    lines = [f"| {name} | {taken / times['lora']:.2f} | {1e3 * taken:.0f} |" for name, taken in times.items()]
    print("\n".join([f"| 16 new tokens, {options.dtype} | over LoRA | ms |", "|---|---|---|", *lines]))


if __name__ == "__main__":
    main()
