"""digits: a small ViT that read upright digits learns them turned by 90° with inverted ink, or otherwise.

scikit-learn's bundled copy of the UCI handwritten digits: 1,797 images of 8 × 8 pixels. The base never
sees a validation or test image in any orientation.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from neatlab.events import ExamplesChosen
from neatlab.runtime.lazy import lazy
from neatlab.schema import Schema
from neatlab.tasks.answers import Answers, class_answers, pictures
from neatlab.tasks.base import Batch, Score, Split, eval_mode, select, size, to_device
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


Change = Literal["turned-inverted", "turned", "inverted", "shifted", "noisy"]
HALF = 5  # digits below it are the half of the classes
SPLITS: tuple[Split, ...] = get_args(Split)
SHIFT = 2  # pixels
NOISE = 0.5  # standard deviation of what is added to pixels from −1 to 1


class DigitsOptions(Schema):
    """Options of `digits`.

    Args:
        split_seed: Seed that draws the splits.
        change: What is done to the images.
        asked: What is to be told of them: which digit it is, or whether it is even (0) or not (1).
        digits: All ten, or 0 to 4 only.
        per_class: Training images of each digit; 0 for all there are.
    """

    split_seed: int = Field(0, ge=0, lt=2**32)
    change: Change = "turned-inverted"
    asked: Literal["digit", "parity"] = "digit"
    digits: Literal["all", "half"] = "all"
    per_class: int = Field(0, ge=0, le=80)


class Digits(PretrainedTask):
    """Upright dark-on-light digits → turned by 90°, light-on-dark."""

    title: ClassVar[str] = "digits turned by 90°, ink inverted"
    family: ClassVar[str] = "vision"
    base: ClassVar[str] = "a ViT of 0.14 M parameters, trained here on upright digits"
    license: ClassVar[str] = "CC-BY-4.0"
    source: ClassVar[str] = "UCI handwritten digits (Alpaydin and Kaynak 1998), in scikit-learn"
    metric: ClassVar[Metric] = Metric("accuracy", "share of images", True)
    base_metric: ClassVar[Metric] = Metric("accuracy on upright digits", "share of images", True)
    targets: ClassVar[list[str]] = ["q_proj", "v_proj"]
    head: ClassVar[list[str]] = ["classifier"]
    hidden_size: ClassVar[int] = ARCHITECTURE["hidden_size"]
    training: ClassVar[dict[str, Any]] = {"steps": 150, "batch_size": 64, "lr": 2e-2, "head_lr": 5e-3}
    options: ClassVar[type[Schema]] = DigitsOptions
    choices: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "digits, turned and inverted": {},
        "digits, inverted": {"change": "inverted"},
        "digits, shifted": {"change": "shifted"},
        "digits, turned, inverted and noisy": {"change": "noisy"},
        "digits, half of the classes": {"digits": "half"},
        "digits, even or not": {"asked": "parity"},
        "digits, ten examples a class": {"per_class": 10},
    }

    def __init__(self, options: DigitsOptions) -> None:
        self._options, self._seed = options, options.split_seed

    @classmethod
    def count(cls, options: DigitsOptions) -> int:
        return size(cls(options).split("train"))

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
        return {name: self._changed(name, batch) for name, batch in _upright_splits(self._seed).items()}

    def _changed(self, name: Split, upright: Batch) -> Batch:
        options, batch = self._options, upright
        if options.digits == "half":
            batch = select(batch, (batch["label"] < HALF).nonzero()[:, 0])
        if options.per_class and name == "train":
            batch = select(batch, first_of_each(batch["label"], options.per_class))
        noise = torch.Generator().manual_seed(len(SPLITS) * self._seed + SPLITS.index(name))
        label = batch["label"] % 2 if options.asked == "parity" else batch["label"]
        return {"pixels": CHANGES[options.change](batch["pixels"], noise), "label": label}

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
        return ExamplesChosen("picture", "class", shown, tuple(batch["label"].tolist()), self._names())

    def _names(self) -> tuple[str, ...]:
        """Of the classifier's ten outputs; to tell even from odd it takes the first two."""
        return ("even", "odd", *"23456789") if self._options.asked == "parity" else tuple("0123456789")

    def answers(self, model: nn.Module, score: Score) -> Answers:
        batch = to_device(self.sample(), model)
        with eval_mode(model):
            return class_answers(model(pixel_values=batch["pixels"]).logits, batch["label"])


def turned(pixels: Tensor) -> Tensor:
    """Images (n × 1 × 8 × 8, values in −1 to 1) turned by 90° with inverted ink."""
    return -torch.rot90(pixels, dims=(2, 3)).contiguous()


def shifted(pixels: Tensor, _: torch.Generator) -> Tensor:
    """Images moved to the right and down; what leaves on one side comes in on the other."""
    return pixels.roll((SHIFT, SHIFT), dims=(2, 3))


def noisy(pixels: Tensor, noise: torch.Generator) -> Tensor:
    """Images with normal noise on every pixel, within −1 and 1."""
    return (pixels + NOISE * torch.randn(pixels.shape, generator=noise)).clamp(-1, 1)


CHANGES: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "turned-inverted": lambda pixels, _: turned(pixels),
    "turned": lambda pixels, _: -turned(pixels),
    "inverted": lambda pixels, _: -pixels,
    "shifted": shifted,
    "noisy": lambda pixels, noise: noisy(turned(pixels), noise),
}


def first_of_each(labels: Tensor, count: int) -> Tensor:
    """Indices of the first `count` examples of each class, in their order."""
    is_class = labels[:, None] == labels.unique()  # n × classes
    return (is_class & (is_class.cumsum(0) <= count)).any(1).nonzero()[:, 0]


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
