"""digits: a small ViT that read upright digits learns to read them turned by 90° with inverted ink.

scikit-learn's bundled copy of the UCI handwritten digits: 1,797 images of 8 × 8 pixels. The base never
sees a validation or test image in any orientation.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from neatlab.events import ExamplesChosen
from neatlab.runtime.lazy import lazy
from neatlab.schema import Schema
from neatlab.tasks.answers import Answers, class_answers, pictures
from neatlab.tasks.base import Batch, Score, Split, eval_mode, to_device
from neatlab.tasks.metrics import METRICS, Metric
from neatlab.tasks.outcomes import Outcomes
from neatlab.tasks.pretraining import PretrainedTask

datasets, selection = lazy("sklearn.datasets"), lazy("sklearn.model_selection")
transformers = lazy("transformers")

ARCHITECTURE: dict[str, Any] = {
    "image_size": 8,
    "patch_size": 2,
    "num_channels": 1,
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "num_labels": 10,
}
PRETRAINING: dict[str, Any] = {"steps": 300, "batch_size": 64, "lr": 2e-3, "seed": 0}


class DigitsOptions(Schema):
    """Options of `digits`: the seed that draws the splits."""

    split_seed: int = Field(0, ge=0, lt=2**32)


class Digits(PretrainedTask):
    """Upright dark-on-light digits → turned by 90°, light-on-dark."""

    title: ClassVar[str] = "digits turned by 90°, ink inverted"
    metric: ClassVar[Metric] = Metric("accuracy", "share of images", True)
    base_metric: ClassVar[Metric] = Metric("accuracy on upright digits", "share of images", True)
    targets: ClassVar[list[str]] = ["q_proj", "v_proj"]
    head: ClassVar[list[str]] = ["classifier"]
    hidden_size: ClassVar[int] = ARCHITECTURE["hidden_size"]
    training: ClassVar[dict[str, Any]] = {"steps": 150, "batch_size": 64, "lr": 2e-2, "head_lr": 5e-3}
    options: ClassVar[type[Schema]] = DigitsOptions
    choices: ClassVar[Mapping[str, Mapping[str, Any]]] = {"digits, turned and inverted": {}}

    def __init__(self, options: DigitsOptions) -> None:
        self._seed = options.split_seed

    def recipe(self) -> dict[str, Any]:
        return {
            "task": "digits",
            "version": 1,
            "model": ARCHITECTURE,
            "training": PRETRAINING,
            "split_seed": self._seed,
        }

    def new_model(self) -> nn.Module:
        model: nn.Module = transformers.ViTForImageClassification(transformers.ViTConfig(**ARCHITECTURE))
        return model

    def base_examples(self, name: Literal["train", "test"]) -> Batch:
        return _upright_splits(self._seed)[name]

    def make_splits(self) -> dict[Split, Batch]:
        upright = _upright_splits(self._seed)
        return {name: {"pixels": turned(b["pixels"]), "label": b["label"]} for name, b in upright.items()}

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return F.cross_entropy(model(pixel_values=batch["pixels"]).logits, batch["label"])

    def evaluate(self, model: nn.Module, batch: Batch) -> Score:
        batch = to_device(batch, model)
        with eval_mode(model):
            logits = model(pixel_values=batch["pixels"]).logits  # n × 10
        outcomes = Outcomes.of(batch["label"].tolist(), logits.argmax(1).tolist())
        return Score.by(METRICS["accuracy"], outcomes, float(F.cross_entropy(logits, batch["label"])))

    def examples(self) -> ExamplesChosen:
        batch = self.sample()
        shown = pictures((batch["pixels"] + 1) * 127.5)
        return ExamplesChosen("picture", "class", shown, tuple(batch["label"].tolist()), tuple("0123456789"))

    def answers(self, model: nn.Module, score: Score) -> Answers:
        batch = to_device(self.sample(), model)
        with eval_mode(model):
            return class_answers(model(pixel_values=batch["pixels"]).logits, batch["label"])


def turned(pixels: Tensor) -> Tensor:
    """Images (n × 1 × 8 × 8, values in −1 to 1) turned by 90° with inverted ink."""
    return -torch.rot90(pixels, dims=(2, 3)).contiguous()


@cache
def _upright_splits(seed: int) -> dict[Split, Batch]:
    data = datasets.load_digits()
    pixels = torch.tensor(data.images / 8 - 1, dtype=torch.float32).unsqueeze(1)  # n × 1 × 8 × 8, −1 to 1
    labels = torch.tensor(data.target)  # n
    index = np.arange(len(labels))
    train, rest = selection.train_test_split(index, test_size=0.5, stratify=data.target, random_state=seed)
    validation, test = selection.train_test_split(rest, test_size=0.6, stratify=data.target[rest], random_state=seed)
    parts: dict[Split, Any] = {"train": train, "validation": validation, "test": test}
    return {name: {"pixels": pixels[i], "label": labels[i]} for name, i in parts.items()}
