"""What NeatlabCallback costs a Trainer: steps with it and without it, taking turns in one process.

    python benchmarks/callback_cost.py [--models tiny minilm] [--methods lora neat] [--steps 20] [--rounds 5]
        [--threads 1] [--json]

A round trains the same steps without and with the callback, at its default interval and with a loss logged at every
step, the most that it is asked to write. The time of a step is from the first step's begin to the last's, over their
number, so that spectra count in full; the first and the last spectra, which a training has once, stand beside it. The
ratio is the median over rounds of with over without.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from tqdm import tqdm
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from neatlab import NeatConfig, NeatlabCallback, load_runs
from neatlab.adapters.attach import quiet_peft

BERT = ["query", "key", "value", "dense"]
LLAMA = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
SMOLLM = {"hidden_size": 576, "intermediate_size": 1536, "num_attention_heads": 9, "num_key_value_heads": 3}


@dataclass(frozen=True)
class Shape:
    """A model of random weights, and a batch for it.

    Args:
        build: Makes it.
        targets: Layers to adapt.
        rows: Sequences of a batch.
        tokens: Of each.
    """

    build: Any
    targets: list[str]
    rows: int
    tokens: int


def bert(hidden: int, layers: int) -> Any:
    """A classifier of MiniLM's kind."""
    size = {"hidden_size": hidden, "intermediate_size": 4 * hidden, "num_attention_heads": 12}
    return BertForSequenceClassification(BertConfig(vocab_size=1000, num_hidden_layers=layers, num_labels=2, **size))


SHAPES = {
    "tiny": Shape(lambda: bert(96, 2), BERT, 16, 32),
    "minilm": Shape(lambda: bert(384, 6), BERT, 8, 64),
    "smollm2": Shape(
        lambda: LlamaForCausalLM(LlamaConfig(vocab_size=1000, num_hidden_layers=30, **SMOLLM)), LLAMA, 1, 128
    ),
}
METHODS = {
    "lora": lambda targets: LoraConfig(r=8, target_modules=targets),
    "neat": lambda targets: NeatConfig(r=8, target_modules=targets),
}


@dataclass(frozen=True)
class Row:
    """One model and method.

    Args:
        layers: Adapted layers.
        step_ms: Median time of a step without the callback.
        ratio: Median over rounds of the time with it over that without.
        low: Smallest ratio of a round.
        high: Largest.
        measured: Times that the spectra were measured in a training, the first and the last included.
        once_ms: Time of one measurement of all spectra.
    """

    model: str
    method: str
    layers: int
    step_ms: float
    ratio: float
    low: float
    high: float
    measured: int
    once_ms: float


class Clock(TrainerCallback):
    """When each step began."""

    def __init__(self) -> None:
        self.begins: list[float] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Note the time."""
        self.begins.append(time.perf_counter())

    @property
    def pace(self) -> float:
        """Seconds a step."""
        return (self.begins[-1] - self.begins[0]) / (len(self.begins) - 1)


def train(shape: Shape, method: str, steps: int, folder: str, live: NeatlabCallback | None) -> tuple[float, Any]:
    """Seconds a step of one training, and its model."""
    torch.manual_seed(0)
    with quiet_peft():
        model = get_peft_model(shape.build(), METHODS[method](shape.targets))
    ids = torch.randint(1000, (shape.rows, shape.tokens))
    is_language = shape.targets is LLAMA
    data = [{"input_ids": row, "labels": row if is_language else torch.tensor(i % 2)} for i, row in enumerate(ids)]
    settings: dict[str, Any] = {"max_steps": steps, "per_device_train_batch_size": shape.rows, "logging_steps": 1}
    quiet: dict[str, Any] = {"report_to": [], "disable_tqdm": True, "save_strategy": "no", "use_cpu": True}
    clock = Clock()
    callbacks = [clock, *([live] if live else [])]
    trainer = Trainer(model, TrainingArguments(folder, **settings, **quiet), train_dataset=data, callbacks=callbacks)
    trainer.remove_callback(
        next(c for c in trainer.callback_handler.callbacks if type(c).__name__ == "PrinterCallback")
    )
    trainer.train()
    return clock.pace, model


def measure(name: str, method: str, steps: int, rounds: int) -> Row:
    """All rounds of one model and method; a first one warms up."""
    from neatlab.experiments.outside_model import OutsideModel

    shape, ratios, plain, counts, once = SHAPES[name], [], [], [], []
    layers = 0
    for turn in range(rounds + 1):  # the first warms up
        with tempfile.TemporaryDirectory() as folder:
            without, _ = train(shape, method, steps, folder, None)
            paced, model = train(shape, method, steps, folder, NeatlabCallback(f"{folder}/runs"))
            spectra = load_runs(f"{folder}/runs").spectra()
        read = OutsideModel(model)
        layers = len([*read.measure()])
        begin = time.perf_counter()
        list(read.measure())
        if turn:
            once.append(time.perf_counter() - begin)
            plain.append(without)
            ratios.append(paced / without)
            counts.append(int(spectra["step"].nunique()))
    middle = statistics.median
    times = (1e3 * middle(plain), middle(ratios), min(ratios), max(ratios), int(middle(counts)), 1e3 * middle(once))
    return Row(name, method, layers, *times)


def table(rows: list[Row]) -> str:
    """A line a model and method."""
    lines = [
        "| model | method | layers | a step, ms | with over without | of a round | spectra measured | once, ms |",
        "|---" * 8 + "|",
    ]
    for r in rows:
        ratio = f"{r.ratio:.3f} | {r.low:.3f} to {r.high:.3f}"
        lines.append(
            f"| {r.model} | {r.method} | {r.layers} | {r.step_ms:.1f} | {ratio} | {r.measured} | {r.once_ms:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=SHAPES, default=["tiny", "minilm"])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=[*METHODS])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cases = [(name, method) for name in options.models for method in options.methods]
    rows = [measure(name, method, options.steps, options.rounds) for name, method in tqdm(cases, file=sys.stderr)]
    print(json.dumps([asdict(row) for row in rows]) if options.json else table(rows))


if __name__ == "__main__":
    main()
