"""README's PEFT example on a tiny model made on the spot, then an inspection of what it wrote: what the core must do.

Usage: `python scripts/readme_example.py`. It works in a folder of its own and asks no hub for anything.
"""

import os
import re
import tempfile
from contextlib import chdir
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
HEADING = "## NEAT in your own PEFT script"


def example() -> str:
    """The Python of README's section."""
    section = README.read_text(encoding="utf-8").partition(HEADING)[2].partition("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    return str(code)


def write_model(folder: str) -> None:
    """A Llama of two layers with random weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    LlamaForCausalLM(LlamaConfig(vocab_size=64, **sizes)).save_pretrained(folder)


def run() -> list[str]:
    """Run the example in this folder.

    Returns:
        The layers in which the adapter that it saved changes the model.
    """
    write_model("my-model")
    exec(compile(example(), "README.md", "exec"), {})  # noqa: S102  # README is ours
    import neatlab

    return [layer.name for layer in neatlab.inspect("my-adapter", base="my-model").layers]


if __name__ == "__main__":
    os.environ["HF_HUB_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        print(*run(), sep="\n")
