"""Options of `custom`, and how those that nobody gave are filled in: the kind of task, the columns, the metric."""

import math
import statistics
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field

from neatlab.errors import BadInput, unknown
from neatlab.schema import Schema
from neatlab.tasks.custom import columns, images, readers
from neatlab.tasks.custom.language import FINAL_ANSWER, LM_LOSS
from neatlab.tasks.metrics import METRICS, Metric
from neatlab.tasks.pretrained import MINILM, file_digest, model_config, model_digest, model_folder

Kind = Literal["auto", "labels", "regression", "images", "language"]
REGRESSION = ("pearson", "spearman")
MEASURES: dict[str, dict[str, Metric]] = {  # kind → what it can be judged by, the usual one first
    "labels": {name: METRICS[name].metric for name in ("accuracy", "f1", "macro-f1", "matthews", *REGRESSION)},
    "regression": {name: METRICS[name].metric for name in ("r2", *REGRESSION)},
    "images": {name: METRICS[name].metric for name in ("accuracy", "macro-f1")},
    "language": {"exact-match": METRICS["exact-match"].metric, "final-answer": FINAL_ANSWER, "loss": LM_LOSS},
}

PATHS = ("data", "test", "model")
DIGESTS = ("data_sha256", "model_sha256")
USUAL_MODEL = MINILM.rpartition("/")[2]
VALIDATION_SHARE, MAX_VALIDATION = 0.15, 2_000  # of the training examples, set aside to choose settings on


class CustomOptions(Schema):
    """Options of `custom`; what is empty is filled in.

    Args:
        model: Local folder or hub name.
        revision: Branch, tag or commit of a hub name.
        data: A file (CSV, TSV, JSON, JSON lines, Parquet), a folder of such files by split, a folder of images by
            class, or a `datasets` name.
        subset: Folder in `data`, or configuration of a data set.
        train_split: Split to train on, where `data` has splits.
        validation_split: Split to choose settings on; without it a part of the training data.
        test_split: Split to report on; without it a part of the training data.
        test: Other data to report on.
        test_subset: Folder or configuration in it.
        kind: What to learn: labels of texts, a number for each (regression), classes of images, or language (answers to
            prompts, or plain text).
        text: Column of texts.
        pair: Column of second texts.
        label: Column of labels, or of answers.
        image: Column of images.
        prompt: A template such as "Question: {question}\\nAnswer:"; by default the text, with a new line
            for language; all other columns where none holds text.
        test_prompt: The same for `test`, where its columns have other names.
        test_label: Column of labels in `test`.
        metric: What to be judged by.
        center: Of a regression: what is subtracted from each number; filled in.
        scale: Of a regression: what the difference is divided by, so that the model learns numbers about 1; filled in.
        targets: Names of the layers that adapters go on, joined by "+".
        new_head: Train a new classifier though the model has one.
        dtype: Precision of the frozen weights.
        max_length: Tokens an example.
        max_answer: Tokens that the final answer's generation may take.
        limit: Rows that are kept of each split, drawn by `split_seed`; 0 for 20,000, and 5,000 of images.
        split_seed: Seed of sample and splits.
        model_sha256: Digest of the model's files; filled in.
        data_sha256: Digest of the data; filled in, so that a changed file makes another run.
    """

    model: str
    data: str
    revision: str = ""
    subset: str = ""
    train_split: str = "train"
    validation_split: str = "validation"
    test_split: str = "test"
    test: str = ""
    test_subset: str = ""
    kind: Kind = "auto"
    text: str = ""
    pair: str = ""
    label: str = ""
    image: str = ""
    prompt: str = ""
    test_prompt: str = ""
    test_label: str = ""
    metric: str = ""
    center: float = 0.0
    scale: float = Field(1.0, gt=0)
    targets: str = ""
    new_head: bool = False
    dtype: Literal["float32", "bfloat16"] = "float32"
    max_length: int = Field(128, ge=8, le=8192)
    max_answer: int = Field(256, ge=1, le=4096)
    limit: int = Field(0, ge=0, le=2_000_000)
    split_seed: int = Field(0, ge=0, lt=2**32)
    model_sha256: str = ""
    data_sha256: str = ""

    @classmethod
    def parse(cls, values: Mapping[str, Any], what: str) -> Self:
        """Validate, look at model and data, and fill in the rest."""
        options = super().parse(values, what)
        return options if options.data_sha256 else options.model_copy(update=_filled_in(options))

    @property
    def rows(self) -> int:
        """Rows that are kept of each split."""
        return self.limit or (5_000 if self.kind == "images" else 20_000)

    @property
    def measure(self) -> Metric:
        """What the task is judged by."""
        return MEASURES[self.kind][self.metric]

    @property
    def is_regression(self) -> bool:
        """Whether the labels are numbers."""
        return self.kind == "regression" or self.metric in REGRESSION


def validation_count(examples: int) -> int:
    """How many of so many training examples are set aside where the data have no validation split."""
    return min(round(VALIDATION_SHARE * examples), MAX_VALIDATION)


def _filled_in(options: CustomOptions) -> dict[str, Any]:
    folder = model_folder(options.model, options.revision or None)
    filled = _images_by_class(options) or _columns(options, architecture(folder))
    metric = options.metric or _usual_metric(filled)
    if metric not in MEASURES[filled["kind"]]:
        raise unknown(f"metric for {filled['kind']}", metric, MEASURES[filled["kind"]])
    filled = {**filled, "metric": metric, **(_numbers(options, filled) if filled["kind"] == "regression" else {})}
    digests = {"model_sha256": model_digest(folder), "data_sha256": data_digest(options)}
    return {**filled, **digests}


def _usual_metric(filled: Mapping[str, Any]) -> str:
    if filled["kind"] == "language" and not filled["label"]:
        return "loss"
    return next(iter(MEASURES[filled["kind"]]))


def architecture(folder: Path) -> str:
    """The class that a model's configuration names; empty where it names none."""
    return str((model_config(folder).architectures or [""])[0])


def _images_by_class(options: CustomOptions) -> dict[str, Any] | None:
    if images.class_folder(Path(options.data).expanduser(), options.train_split) is None:
        return None
    if options.kind not in ("auto", "images"):
        raise BadInput(f"data {options.data!r} is a folder of images by class; kind is {options.kind!r}")
    return {"kind": "images", "image": images.IMAGE, "label": images.CLASS}


def _columns(options: CustomOptions, model_class: str) -> dict[str, Any]:
    source = readers.find_source(options.data, options.subset, options.train_split)
    rows = readers.head(source)
    frame = rows.frame
    image = options.image or (columns.guess_image(frame) if options.kind in ("auto", "images") else "")
    kind = options.kind if options.kind != "auto" else usual_kind(image, model_class)
    filled = {"kind": kind, **_roles(options, frame, kind, image, source.name)}
    if options.kind == "auto" and kind == "labels" and options.metric in ("", *MEASURES["regression"]):
        filled["kind"] = "regression" if columns.is_continuous(rows, filled["label"]) else kind
    used = [filled.get(role, "") for role in ("text", "pair", "label", "image")]
    placeholders = columns.PLACEHOLDER.findall(filled.get("prompt", ""))
    columns.check_columns(frame, [name for name in (*used, *placeholders) if name], source.name)
    return filled


def usual_kind(image: str, model_class: str) -> str:
    """What to learn, by the column of images, if there is one, and the model's class."""
    if image:
        return "images"
    return "language" if model_class.endswith(("ForCausalLM", "LMHeadModel")) else "labels"


def _roles(options: CustomOptions, frame: Any, kind: str, image: str, where: str) -> dict[str, str]:
    given = [name for name in (options.text, options.pair, options.label, options.image) if name]
    columns.check_columns(frame, given, where)
    if kind == "images":
        return {"image": image, "label": options.label or columns.guess_label(frame, [image])}
    if kind == "language":
        return _language_roles(options, frame, given)
    if options.prompt:
        return {"prompt": options.prompt, "label": options.label or columns.guess_label(frame, given)}
    if not options.text and not columns.holds_text(frame, given):
        label = options.label or columns.guess_label(frame, given)
        return {"prompt": columns.template(frame, label), "label": label}
    text = options.text or columns.guess_text(frame, given)
    label = options.label or columns.guess_label(frame, [*given, text])
    return {"text": text, "pair": options.pair, "label": label}


def _language_roles(options: CustomOptions, frame: Any, given: Sequence[str]) -> dict[str, str]:
    if options.prompt:
        return {"prompt": options.prompt, "label": options.label}
    text = options.text or columns.guess_text(frame, given)
    return {"prompt": f"{{{text}}}\n", "text": text, "label": options.label}


def _numbers(options: CustomOptions, filled: Mapping[str, Any]) -> dict[str, float]:
    """Center and scale, rounded: that they come from all rows tells of the test examples next to nothing."""
    if (options.center, options.scale) != (0.0, 1.0):
        return {}
    source = readers.find_source(options.data, options.subset, options.train_split)
    return _spread(source, readers.digest(source), filled["label"], options.rows, options.split_seed)


@lru_cache(maxsize=16)
def _spread(source: readers.Source, digest: str, label: str, limit: int, seed: int) -> dict[str, float]:
    numbers = columns.real_numbers(readers.read(source, limit, seed), label, source.name)
    mean, deviation = statistics.fmean(numbers), statistics.pstdev(numbers)
    if deviation <= 1e-12 * max(1.0, abs(mean)):
        raise BadInput(f"{source.name}: every row has the number {numbers[0]:g} in {label!r}; to learn takes several")
    digits = 2 - math.floor(math.log10(deviation))
    return {"center": round(mean, digits), "scale": round(deviation, digits)}


def shown_options(options: Mapping[str, str]) -> dict[str, str]:
    """What tells tasks apart for people: files and model by name, data and model with the begin of their digest.

    What was filled in from these, and no one chose, is left out.
    """
    named = {name: Path(options[name]).name for name in PATHS if options.get(name)}
    digests = "".join(options.get(name, "") for name in DIGESTS)
    if digests and named.get("data"):
        named["data"] += f"@{readers.hashed([digests])[:4]}"
    left_out = {*DIGESTS, "center", "scale", "kind", "text", "prompt", "image"}
    others = {name: value for name, value in options.items() if name not in left_out}
    return {name: value for name, value in (others | named).items() if (name, value) != ("model", USUAL_MODEL)}


def data_digest(options: CustomOptions) -> str:
    """Digest of everything that is read: the training data, and other data to report on."""
    parts = [
        (options.data, options.subset, split)
        for split in (options.train_split, options.validation_split, options.test_split)
    ]
    parts += [(options.test, options.test_subset, options.test_split)] if options.test else []
    digests = [_digest(*part) for part in parts[:1] + [part for part in parts[1:] if has_split(*part)]]
    return "-".join(dict.fromkeys(digests))


def _digest(data: str, subset: str, split: str) -> str:
    folder = images.class_folder(Path(data).expanduser(), split)
    if folder is None:
        return readers.digest(readers.find_source(data, subset, split))
    files = (Path(file) for file in images.list_images(folder)[images.IMAGE])
    return readers.hashed(f"{file.relative_to(folder).as_posix()} {file_digest(file)}" for file in files)


def has_split(data: str, subset: str, split: str) -> bool:
    """Whether data has a split of that name; a file has none, and stands for itself as `test`."""
    path = Path(data).expanduser()
    if path.is_file():
        return False
    if path.is_dir():
        return images.class_folder(path / split) is not None or bool(readers.split_files(path, subset, split))
    readers.find_source(data, subset, split)  # refuses what is no name of a data set
    return split in readers.split_names(data, subset)
