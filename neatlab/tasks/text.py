"""text: which package does this documentation come from? A pre-trained sentence encoder learns to tell eight apart.

The base is all-MiniLM-L6-v2 (22.7 million parameters, six layers of width 384; Wang et al., arXiv:2002.10957), or
any encoder that transformers can put a classifier on.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from neatlab.errors import BadInput
from neatlab.events import ExamplesChosen
from neatlab.runtime.lazy import lazy
from neatlab.schema import Schema
from neatlab.tasks import pretrained
from neatlab.tasks.answers import Answers, class_answers, decoded_inputs
from neatlab.tasks.base import Batch, Score, Split, Task, eval_mode
from neatlab.tasks.docstrings import PACKAGES, Text, docstring_splits, packages_now
from neatlab.tasks.heads import head_of, usual_targets
from neatlab.tasks.metrics import METRICS, Metric
from neatlab.tasks.sequences import LABEL, encode, forward, label_loss, score_labels

transformers = lazy("transformers")


class TextOptions(Schema):
    """Options of `text`.

    Args:
        model: Local folder or hub name of an encoder; all-MiniLM-L6-v2 also comes with the extra `minilm`.
        max_length: Tokens that a text may have.
        per_package: Training texts a package; validation has a quarter of it, the test half.
        split_seed: Seed of which texts are taken and where they go.
        model_sha256: Digest of the model's files; filled in.
        packages: Versions of the packages whose texts they are; filled in.
    """

    model: str = pretrained.MINILM
    max_length: int = Field(48, ge=8, le=512)
    per_package: int = Field(160, ge=4, le=200)
    split_seed: int = Field(0, ge=0, lt=2**32)
    model_sha256: str = ""
    packages: str = ""

    @classmethod
    def parse(cls, values: Mapping[str, Any], what: str) -> Self:
        """Validate, and fill in what the result depends on beside the options themselves."""
        options = super().parse(values, what)
        filled: dict[str, str] = {}
        if not options.model_sha256:
            filled["model_sha256"] = pretrained.model_digest(pretrained.model_folder(options.model))
        if not options.packages:
            filled["packages"] = packages_now()
        return options.model_copy(update=filled)


class TextTask(Task):
    """Documentation of scientific packages → which of the eight it documents."""

    title: ClassVar[str] = "which package does this documentation come from"
    metric: ClassVar[Metric] = METRICS["accuracy"].metric
    training: ClassVar[dict[str, Any]] = {
        "steps": 100,
        "batch_size": 16,
        "lr": 5e-3,
        "head_lr": 1e-2,
        "eval_every": 50,
        "spectrum_every": 50,
    }
    options: ClassVar[type[Schema]] = TextOptions
    choices: ClassVar[Mapping[str, Mapping[str, Any]]] = {"text, on MiniLM": {}}

    def __init__(self, options: TextOptions) -> None:
        self._options = options

    @cached_property
    def targets(self) -> list[str]:  # type: ignore[override]  # the architecture's, not the class's
        return usual_targets(self._loaded()[0])

    @cached_property
    def head(self) -> list[str]:  # type: ignore[override]
        return head_of(*self._loaded())

    def describe(self) -> list[str]:
        options, count = self._options, self._options.per_package
        return [
            f"texts of {options.packages}: {count} of each to train, {count // 4} to validate, {count // 2} to test",
            f"model {options.model}: adapters on {', '.join(self.targets)}; {', '.join(self.head)} trains whole",
        ]

    def base_model(self) -> nn.Module:
        return self._loaded()[0]

    def _loaded(self) -> tuple[nn.Module, list[str]]:
        options = self._options
        return pretrained.load(
            transformers.AutoModelForSequenceClassification, self._folder, options.split_seed, num_labels=len(PACKAGES)
        )

    def split(self, name: Split) -> Batch:
        return self._splits[name]

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return label_loss(forward(model, batch), batch[LABEL])

    def score(self, model: nn.Module, name: Split) -> Score:
        return score_labels(model, self.split(name), METRICS["accuracy"])

    def examples(self) -> ExamplesChosen:
        batch = self.sample()
        shown = decoded_inputs(pretrained.tokenizer(self._folder), batch)
        return ExamplesChosen("text", "class", shown, tuple(batch[LABEL].tolist()), tuple(PACKAGES.values()))

    def answers(self, model: nn.Module, score: Score) -> Answers:
        batch = self.sample()
        with eval_mode(model):
            return class_answers(forward(model, batch), batch[LABEL])

    @cached_property
    def _folder(self) -> Any:
        folder, options = pretrained.model_folder(self._options.model), self._options
        if pretrained.model_digest(folder) != options.model_sha256:
            raise BadInput(f"model {options.model!r} is not the one this run was made with ({options.model_sha256})")
        return folder

    @cached_property
    def _splits(self) -> dict[Split, Batch]:
        options = self._options
        if options.packages != packages_now():
            raise BadInput(f"this run's texts come from {options.packages}; installed are {packages_now()}")
        count, tokenizer = options.per_package, pretrained.tokenizer(self._folder)
        parts = docstring_splits(options.split_seed, count, count // 4, count // 2)
        return {name: _batch(tokenizer, texts, options.max_length) for name, texts in parts.items()}


def _batch(tokenizer: Any, texts: list[Text], max_length: int) -> Batch:
    columns = encode(tokenizer, [text.text for text in texts], None, max_length).batch
    return {**columns, LABEL: torch.tensor([text.label for text in texts])}
