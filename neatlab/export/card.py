"""The README of an exported adapter: what it is, the lines that load it, and a script that trains it anew."""

from neatlab import __version__
from neatlab.export.snippet import snippet
from neatlab.runs.run import Run
from neatlab.runtime.numbers import number
from neatlab.runtime.templates import Code, python

_ADAPTER = """{imports}from peft import PeftModel
from transformers import AutoModel  # or what your base is

base = AutoModel.from_pretrained("the base model")
model = PeftModel.from_pretrained(base, "this folder")"""
_MERGED = """from transformers import AutoModel  # or what the base was

model = AutoModel.from_pretrained("this folder")"""
_NEAT = "import neatlab  # registers NEAT with PEFT\n"
_NOTES = {
    "neat": "PEFT knows the type NEAT once neatlab is imported; `neatlab export` writes the same adapter as a LoRA.",
    "lora": "Plain PEFT loads it: neatlab is not needed.",
    "peanut": "Plain PEFT loads it: neatlab is not needed.",
}


def card(run: Run, format: str) -> str:
    """A README for what was exported from a run.

    Args:
        run: The run.
        format: In which form: "neat", "peanut", "lora" or "merged".

    Returns:
        Markdown, with the head that the Hugging Face hub reads.
    """
    config = run.config
    words = ["python -m neatlab compare", f"--task {config.spec.label}", f"--arm {config.arm.label}", "--seeds 3"]
    words += [f"--train train_size={config.training.train_size:g}"] if config.training.train_size < 1 else []
    loading = _MERGED if format == "merged" else _ADAPTER.format(imports=_NEAT if format == "neat" else "")
    said = {
        "library": "transformers" if format == "merged" else "peft",
        "method": config.arm.method,
        "arm": config.arm.label,
        "format": format,
        "version": __version__,
        "run": run.run_id,
        "task": config.spec.label,
        "metric": config.spec.metric.name,
        "score": number(run.summary.get("metric"), 4),
        "loading": loading,
        "note": _NOTES.get(format, ""),
        "script": snippet(run).rstrip(),
        "command": " ".join(words),
    }
    return python(__file__).render(seed=config.seed, **{name: Code(text) for name, text in said.items()})
