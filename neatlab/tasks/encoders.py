"""Tasks on a pre-trained encoder: a new classifier, or one output, is put on it, and texts are split by the task.

The base is all-MiniLM-L6-v2 (22.7 million parameters, six layers of width 384; Wang et al., arXiv:2002.10957), or
any encoder that transformers can put a classifier on.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from neatlab.errors import BadInput
from neatlab.events import ExamplesChosen
from neatlab.runtime.lazy import lazy
from neatlab.schema import Schema
from neatlab.tasks import pretrained
from neatlab.tasks.answers import Answers, class_answers, decoded_inputs, number_answers
from neatlab.tasks.base import Batch, Score, Split, Task, eval_mode
from neatlab.tasks.heads import head_of, usual_targets
from neatlab.tasks.metrics import METRICS, Measure
from neatlab.tasks.sequences import LABEL, encode, forward, label_loss, score_labels
from neatlab.tasks.shipped import SETS

transformers = lazy("transformers")

DERIVED = ("model_sha256", "data_sha256")
DIGITS = 12  # hexadecimal, of a set's digest


class Example(NamedTuple):
    """A text, and its class or number."""

    text: str
    label: int | float


class ShippedOptions(Schema):
    """Options of a task on texts that come with the package.

    Args:
        model: Local folder or hub name of an encoder; all-MiniLM-L6-v2 also comes with the extra `minilm`.
        max_length: Tokens that a text may have.
        split_seed: Seed of which texts are taken and where they go.
        model_sha256: Digest of the model's files; filled in.
        data_sha256: Digests of the sets that the texts come from; filled in.
    """

    sets: ClassVar[tuple[str, ...]]  # names in SETS

    model: str = pretrained.MINILM
    max_length: int = Field(48, ge=8, le=512)
    split_seed: int = Field(0, ge=0, lt=2**32)
    model_sha256: str = ""
    data_sha256: str = ""

    @classmethod
    def parse(cls, values: Mapping[str, Any], what: str) -> Self:
        """Validate, and fill in what the result depends on beside the options themselves."""
        options = super().parse(values, what)
        filled: dict[str, str] = {}
        if not options.model_sha256:
            filled["model_sha256"] = pretrained.digest_of(options.model)
        if not options.data_sha256:
            filled["data_sha256"] = cls.data_digest()
        return options.model_copy(update=filled)

    @classmethod
    def data_digest(cls) -> str:
        """The beginnings of the sets' digests."""
        return "-".join(SETS[name].sha256[:DIGITS] for name in cls.sets)


class EncoderTask(Task):
    """Texts → a class, or a number."""

    family: ClassVar[str] = "language"
    base: ClassVar[str] = "all-MiniLM-L6-v2"
    training: ClassVar[dict[str, Any]] = {
        "steps": 100,
        "batch_size": 16,
        "lr": 5e-3,
        "head_lr": 1e-2,
        "eval_every": 50,
        "spectrum_every": 50,
    }
    measure: ClassVar[Measure] = METRICS["accuracy"]

    def __init__(self, options: Any) -> None:
        self._options = options

    @property
    @abstractmethod
    def class_names(self) -> Sequence[str]:
        """The classes in the order of their labels; one name for a number."""

    @abstractmethod
    def texts(self) -> dict[Split, list[Any]]:
        """The examples of each split, as pairs of text and label."""

    @cached_property
    def targets(self) -> list[str]:  # type: ignore[override]  # the architecture's, not the class's
        return usual_targets(self._loaded()[0])

    @cached_property
    def head(self) -> list[str]:  # type: ignore[override]
        return head_of(*self._loaded())

    def described_model(self) -> str:
        """Which layers adapters go on, and what trains whole."""
        layers = ", ".join(self.targets)
        return f"model {self._options.model}: adapters on {layers}; {', '.join(self.head)} trains whole"

    def base_model(self) -> nn.Module:
        return self._loaded()[0]

    def _loaded(self) -> tuple[nn.Module, list[str]]:
        return pretrained.load(
            transformers.AutoModelForSequenceClassification,
            self.folder,
            self._options.split_seed,
            num_labels=len(self.class_names),
        )

    def split(self, name: Split) -> Batch:
        return self._splits[name]

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return label_loss(forward(model, batch), batch[LABEL])

    def score(self, model: nn.Module, name: Split) -> Score:
        return score_labels(model, self.split(name), self.measure)

    def examples(self) -> ExamplesChosen:
        batch = self.sample()
        shown, true = decoded_inputs(self.tokenizer, batch), batch[LABEL]
        if true.is_floating_point():
            return ExamplesChosen("text", "number", shown, number_answers(true).values)
        return ExamplesChosen("text", "class", shown, tuple(true.tolist()), tuple(self.class_names))

    def answers(self, model: nn.Module, score: Score) -> Answers:
        batch = self.sample()
        with eval_mode(model):
            logits = forward(model, batch)
        is_number = batch[LABEL].is_floating_point()
        return number_answers(logits.squeeze(-1)) if is_number else class_answers(logits, batch[LABEL])

    @cached_property
    def folder(self) -> Path:
        """The model's folder, which must hold what the options' digest says."""
        return pretrained.checked_folder(self._options.model, self._options.model_sha256)

    @cached_property
    def tokenizer(self) -> Any:
        """The model's tokeniser."""
        return pretrained.tokenizer(self.folder)

    @cached_property
    def _splits(self) -> dict[Split, Batch]:
        return {name: self.encoded(examples) for name, examples in self.texts().items()}

    def encoded(self, examples: Sequence[tuple[str, int | float]]) -> Batch:
        """Texts as token columns (n × longest), with their labels (n)."""
        columns = encode(self.tokenizer, [text for text, _ in examples], None, self._options.max_length).batch
        return {**columns, LABEL: torch.tensor([label for _, label in examples])}


class ShippedTask(EncoderTask):
    """Texts of sets that come with the package → a class, or a number."""

    @classmethod
    def shown_options(cls, options: Mapping[str, str]) -> dict[str, str]:
        return {option: value for option, value in options.items() if option not in DERIVED}

    def texts(self) -> dict[Split, list[Example]]:
        options = self._options
        if options.data_sha256 != options.data_digest():
            raise BadInput(f"this run's texts are those of {options.data_sha256}; here are {options.data_digest()}")
        return self.drawn()

    @abstractmethod
    def drawn(self) -> dict[Split, list[Example]]:
        """The examples of each split; no text of one is like a text of another."""
