"""text: which package does this documentation come from? A pre-trained sentence encoder learns to tell eight apart."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import Field

from neatlab.errors import BadInput
from neatlab.schema import Schema
from neatlab.tasks import pretrained
from neatlab.tasks.base import Split
from neatlab.tasks.docstrings import PACKAGES, Text, docstring_splits, packages_now
from neatlab.tasks.encoders import EncoderTask
from neatlab.tasks.metrics import METRICS, Metric


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
            filled["model_sha256"] = pretrained.digest_of(options.model)
        if not options.packages:
            filled["packages"] = packages_now()
        return options.model_copy(update=filled)


class TextTask(EncoderTask):
    """Documentation of scientific packages → which of the eight it documents."""

    title: ClassVar[str] = "which package does this documentation come from"
    metric: ClassVar[Metric] = METRICS["accuracy"].metric
    options: ClassVar[type[Schema]] = TextOptions
    choices: ClassVar[Mapping[str, Mapping[str, Any]]] = {"text, on MiniLM": {}}
    license: ClassVar[str] = "the packages' own"
    source: ClassVar[str] = "documentation of the installed " + ", ".join(PACKAGES.values())

    @classmethod
    def count(cls, options: TextOptions) -> int:  # at most: a package may have fewer
        return len(PACKAGES) * options.per_package

    @property
    def class_names(self) -> list[str]:
        return list(PACKAGES.values())

    def describe(self) -> list[str]:
        options, count = self._options, self._options.per_package
        return [
            f"texts of {options.packages}: {count} of each to train, {count // 4} to validate, {count // 2} to test",
            self.described_model(),
        ]

    def texts(self) -> dict[Split, list[Text]]:
        options = self._options
        if options.packages != packages_now():
            raise BadInput(f"this run's texts come from {options.packages}; installed are {packages_now()}")
        count = options.per_package
        return docstring_splits(options.split_seed, count, count // 4, count // 2)
