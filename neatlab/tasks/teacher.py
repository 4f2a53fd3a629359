"""teacher: regression on frozen linear layers whose true update ΔW* is known.

y = (W₀ + ΔW*) x + noise. ΔW* is of a chosen kind: low rank (LoRA's home), a small network of W₀ (NEAT's
home), or full rank (nobody's). The metric is the error of the recovered update, ‖ΔW − ΔW*‖_F / ‖ΔW*‖_F.
"""

from collections import OrderedDict
from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from neatlab.events import ExamplesChosen
from neatlab.schema import Schema
from neatlab.tasks.answers import Answers, number_answers
from neatlab.tasks.base import Batch, Score, Split, Task, eval_mode, to_device
from neatlab.tasks.metrics import Metric

OUTPUTS = 4  # of each example that are shown
Kind = Literal["low-rank", "weight-aware", "full-rank"]


class TeacherOptions(Schema):
    """Options of `teacher`.

    Args:
        kind: What ΔW* is.
        d_in: Inputs of each layer.
        d_out: Outputs of each layer.
        layers: Layers side by side, each with its own W₀ and ΔW*.
        rank: Rank of a low-rank ΔW*, hidden width of a weight-aware one.
        noise: Standard deviation of the noise on y, as a share of ΔW*x's.
        samples: Training examples; validation and test have half as many each.
        data_seed: Seed of W₀, ΔW* and the data.
    """

    kind: Kind = "weight-aware"
    d_in: int = Field(256, ge=2, le=4096)
    d_out: int = Field(64, ge=2, le=4096)
    layers: int = Field(1, ge=1, le=64)
    rank: int = Field(8, ge=1, le=4096)
    noise: float = Field(0.1, ge=0, le=100)
    samples: int = Field(2000, ge=2, le=1_000_000)
    data_seed: int = Field(0, ge=0, lt=2**32)


class LinearStack(nn.Module):
    """Linear layers without bias, side by side on one input: n × d_in → n × layers × d_out."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        count, d_out, d_in = weights.shape
        named = (OrderedDict[str, nn.Module](linear=nn.Linear(d_in, d_out, bias=False)) for _ in range(count))
        self.layers = nn.ModuleList(nn.Sequential(layer) for layer in named)
        with torch.no_grad():
            for parameter, weight in zip(self.parameters(), weights, strict=True):
                parameter.copy_(weight)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([layer(x) for layer in self.layers], dim=1)


class Teacher(Task):
    """Recover a known ΔW* from noisy examples."""

    title: ClassVar[str] = "a linear teacher with a known ΔW*"
    family: ClassVar[str] = "synthetic"
    base: ClassVar[str] = "a linear layer drawn from a seed"
    license: ClassVar[str] = "Apache-2.0"
    source: ClassVar[str] = "made from a seed"
    metric: ClassVar[Metric] = Metric("recovered error", "‖ΔW−ΔW*‖/‖ΔW*‖", False, 0.02)
    selects_by: ClassVar[Literal["metric", "loss"]] = "loss"  # the metric knows ΔW*: choosing by it would be peeking
    targets: ClassVar[list[str]] = ["linear"]
    head: ClassVar[list[str]] = []
    training: ClassVar[dict[str, Any]] = {"steps": 600, "batch_size": 128, "lr": 3e-2, "eval_every": 100}
    options: ClassVar[type[Schema]] = TeacherOptions
    choices: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "teacher, ΔW* a function of W₀": {"kind": "weight-aware"},
        "teacher, ΔW* of low rank": {"kind": "low-rank"},
        "teacher, ΔW* of full rank": {"kind": "full-rank"},
    }
    is_small: ClassVar[bool] = True

    def __init__(self, options: TeacherOptions) -> None:
        self._options = options

    @classmethod
    def count(cls, options: TeacherOptions) -> int:
        return options.samples

    @classmethod
    def layer_shape(cls, options: TeacherOptions) -> tuple[int, int]:
        return options.d_out, options.d_in

    def base_model(self) -> nn.Module:
        return LinearStack(self._truth[0])

    def true_deltas(self) -> dict[str, Tensor]:
        return {f"layers.{index}.linear": delta for index, delta in enumerate(self._truth[1])}

    def split(self, name: Split) -> Batch:
        return self._splits[name]

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return nn.functional.mse_loss(model(batch["x"]), batch["y"])

    def score(self, model: nn.Module, name: Split) -> Score:
        base, delta = self._truth
        batch = to_device({**self.split(name), "each": torch.eye(base.shape[2])}, model)
        with eval_mode(model):
            loss = self.loss(model, batch)
            learnt = model(batch["each"]).permute(1, 2, 0).cpu() - base  # layers × d_out × d_in
        return Score(float(loss), float((learnt - delta).norm() / delta.norm()), {})

    def examples(self) -> ExamplesChosen:
        return ExamplesChosen("nothing", "outputs", (), number_answers(_some_outputs(self.sample()["y"])).values)

    def answers(self, model: nn.Module, score: Score) -> Answers:
        with eval_mode(model):
            return number_answers(_some_outputs(model(to_device(self.sample(), model)["x"])))

    @cached_property
    def _truth(self) -> tuple[Tensor, Tensor]:
        """(W₀, ΔW*), each layers × d_out × d_in; ‖ΔW*‖ is ‖W₀‖ in each layer."""
        o, generator = self._options, torch.Generator().manual_seed(self._options.data_seed)
        base = torch.randn(o.layers, o.d_out, o.d_in, generator=generator) / o.d_in**0.5
        delta = torch.stack([_true_delta(o, weight, generator) for weight in base])
        return base, delta * (base.norm(dim=(1, 2)) / delta.norm(dim=(1, 2)))[:, None, None]

    @cached_property
    def _splits(self) -> dict[Split, Batch]:
        o, generator = self._options, torch.Generator().manual_seed(self._options.data_seed + 1)
        sizes: dict[Split, int] = {"train": o.samples, "validation": o.samples // 2, "test": o.samples // 2}
        return {name: self._examples(count, generator) for name, count in sizes.items()}

    def _examples(self, count: int, generator: torch.Generator) -> Batch:
        base, delta = self._truth
        x = torch.randn(count, base.shape[2], generator=generator)
        change = torch.einsum("ni,loi->nlo", x, delta)
        noise = torch.randn(change.shape, generator=generator) * change.std() * self._options.noise
        return {"x": x, "y": torch.einsum("ni,loi->nlo", x, base) + change + noise}


def _some_outputs(outputs: Tensor) -> Tensor:
    """A few evenly spread outputs of each example: n × layers × d_out → n × OUTPUTS."""
    flat = outputs.flatten(1)
    count = min(OUTPUTS, flat.shape[1])
    return flat[:, torch.arange(count) * flat.shape[1] // count]


def _true_delta(options: TeacherOptions, weight: Tensor, generator: torch.Generator) -> Tensor:
    d_out, d_in = weight.shape

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    if options.kind == "low-rank":
        return normal(d_out, options.rank) @ normal(options.rank, d_in)
    if options.kind == "weight-aware":
        return (torch.relu(weight.T @ normal(d_out, options.rank)) @ normal(options.rank, d_out)).T
    return normal(d_out, d_in)
