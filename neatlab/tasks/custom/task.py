"""custom: your model on your data; labels of texts, classes of images, or language."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from neatlab.errors import BadInput
from neatlab.events import ExamplesChosen
from neatlab.runtime.lazy import lazy
from neatlab.schema import Schema
from neatlab.tasks import pretrained
from neatlab.tasks.answers import Answers
from neatlab.tasks.base import Batch, Score, Split, Task, size
from neatlab.tasks.custom import readers
from neatlab.tasks.custom.answers import label_answers, labelled_examples, language_answers, language_examples
from neatlab.tasks.custom.images import image_shape, normalised
from neatlab.tasks.custom.language import answer_loss, counted, score_answers, score_final
from neatlab.tasks.custom.options import CustomOptions, data_digest, shown_options
from neatlab.tasks.custom.splits import Prepared, prepared
from neatlab.tasks.heads import check_targets, head_of, trained_outputs, usual_targets
from neatlab.tasks.metrics import METRICS, Metric
from neatlab.tasks.outcomes import Outcomes
from neatlab.tasks.sequences import LABEL, forward, label_loss, score_labels

transformers = lazy("transformers")

CLASSES = {
    "labels": "AutoModelForSequenceClassification",
    "regression": "AutoModelForSequenceClassification",
    "images": "AutoModelForImageClassification",
    "language": "AutoModelForCausalLM",
}


class Custom(Task):
    """Your model on your data."""

    title: ClassVar[str] = "your model on your data"
    metric: ClassVar[Metric] = METRICS["accuracy"].metric
    training: ClassVar[dict[str, Any]] = {
        "steps": 200,
        "batch_size": 16,
        "lr": 5e-3,
        "head_lr": 1e-2,
        "eval_every": 50,
        "spectrum_every": 50,
    }
    options: ClassVar[type[Schema]] = CustomOptions

    def __init__(self, options: CustomOptions, trained: Mapping[str, tuple[int, ...]] | None = None) -> None:
        self._options, self._trained = options, trained

    @classmethod
    def metric_for(cls, options: CustomOptions) -> Metric:
        return options.measure

    @classmethod
    def shown_options(cls, options: Mapping[str, str]) -> dict[str, str]:
        return shown_options(options)

    @cached_property
    def targets(self) -> list[str]:  # type: ignore[override]  # the architecture's, not the class's
        model, given = self._loaded[0], self._options.targets
        if not given:
            return usual_targets(model)
        names = [name.strip() for name in given.split("+")]
        check_targets(model, names)
        return names

    @cached_property
    def head(self) -> list[str]:  # type: ignore[override]
        return [] if self._options.kind == "language" else head_of(*self._loaded)

    def describe(self) -> list[str]:
        """What was noticed and chosen: columns, labels, splits, what was cut off, where adapters go."""
        line = (
            f"model {self._options.model}: adapters on {', '.join(self.targets)}; {', '.join(self.head) or 'no head'}"
        )
        return [*self._data.notes, line + (" trains whole" if self.head else "")]

    def without_data(self, shapes: Mapping[str, tuple[int, ...]]) -> Task:
        return Custom(self._options, shapes)

    def base_model(self) -> nn.Module:
        return self._load()[0]

    def split(self, name: Split) -> Batch:
        return self._data.splits[name]

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        if self._options.kind == "language":
            return answer_loss(model, batch)
        return label_loss(forward(model, self._inputs(batch)), batch[LABEL])

    def weight(self, batch: Batch) -> int:
        return int(counted(batch).sum()) if self._options.kind == "language" else size(batch)

    def score(self, model: nn.Module, name: Split) -> Score:
        options, batch = self._options, self.split(name)
        if options.metric == "final-answer":
            return score_final(model, batch, pretrained.tokenizer(self._folder), options.max_answer)
        if options.kind == "language":
            score = score_answers(model, batch)
            return Score(score.loss, score.loss, {}) if options.metric == "loss" else score
        score = score_labels(model, batch, METRICS[options.metric], self._inputs)
        return _in_units(options, score) if options.kind == "regression" else score

    def examples(self) -> ExamplesChosen:
        options, batch = self._options, self.sample()
        if options.kind == "language":
            return language_examples(batch, pretrained.tokenizer(self._folder), options.metric)
        tokenizer = None if options.kind == "images" else pretrained.tokenizer(self._folder)
        return labelled_examples(batch, self._data.labels, tokenizer, options.center, options.scale)

    def answers(self, model: nn.Module, score: Score) -> Answers:
        options, batch = self._options, self.sample()
        if options.kind == "language":
            return language_answers(model, batch, pretrained.tokenizer(self._folder), options.metric, score)
        return label_answers(model, self._inputs(batch), options.center, options.scale)

    def _inputs(self, batch: Batch) -> Batch:
        if self._options.kind != "images":
            return batch
        return {**batch, "pixel_values": normalised(batch["pixel_values"], self._shape)}

    @cached_property
    def _shape(self) -> Any:
        return image_shape(self._folder, pretrained.model_config(self._folder))

    @cached_property
    def _folder(self) -> Path:
        options = self._options
        return pretrained.checked_folder(options.model, options.model_sha256, options.revision or None)

    @cached_property
    def _data(self) -> Prepared:
        options = self._options
        if gone := [data for data in (options.data, options.test) if data and readers.is_gone(data)]:
            raise BadInput(f"data {gone[0]!r} that this run was made with is gone; only training and measuring need it")
        if data_digest(options) != options.data_sha256:
            raise BadInput(f"data {options.data!r} has changed since this run was made ({options.data_sha256})")
        return prepared(options)

    @cached_property
    def _outputs(self) -> int:
        if self._trained is None:
            return self._data.outputs
        auto_class = getattr(transformers, CLASSES[self._options.kind])
        return trained_outputs(auto_class, pretrained.model_config(self._folder), self._trained)

    @cached_property
    def _loaded(self) -> tuple[nn.Module, list[str]]:
        return self._load()

    def _load(self) -> tuple[nn.Module, list[str]]:
        options, settings = self._options, {"dtype": getattr(torch, self._options.dtype)}
        if options.kind != "language":
            settings |= {"num_labels": self._outputs, "ignore_mismatched_sizes": options.new_head}
        loaded: tuple[Any, list[str]] = pretrained.load(
            getattr(transformers, CLASSES[options.kind]), self._folder, options.split_seed, **settings
        )
        model, drawn = loaded
        if options.new_head and options.kind != "language":
            _draw_again(model, head_of(model, drawn), options.split_seed)
        if options.kind == "regression":  # what an exported model's output means
            model.config.update({"label_center": options.center, "label_scale": options.scale})
        if options.kind in ("labels", "regression"):
            model.config.pad_token_id = pretrained.tokenizer(self._folder).pad_token_id
        return model, drawn


def _in_units(options: CustomOptions, score: Score) -> Score:
    """A regression's score with outcomes in the units of the data."""
    values = score.outcomes
    if values is None:
        return score
    true, predicted = (options.center + options.scale * side for side in (values.true, values.predicted))
    return Score.by(METRICS[options.metric], Outcomes.of(true, predicted), score.loss)


def _draw_again(model: nn.Module, head: list[str], seed: int) -> None:
    """Forget a trained classifier."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name in head:
            for module in model.get_submodule(name).modules():
                if isinstance(module, nn.Linear):
                    module.reset_parameters()
