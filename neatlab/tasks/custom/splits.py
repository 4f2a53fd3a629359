"""The three splits of `custom`: read, encoded, freed of repetitions, and described."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from neatlab.errors import BadInput
from neatlab.runtime.lazy import lazy
from neatlab.tasks import pretrained
from neatlab.tasks.base import Batch, Split, select, size
from neatlab.tasks.custom import columns, images, readers
from neatlab.tasks.custom import notes as notes_of
from neatlab.tasks.custom.language import PROMPT_LENGTH, counted, encode_answers
from neatlab.tasks.custom.options import CustomOptions, has_split, validation_count
from neatlab.tasks.custom.readers import Rows
from neatlab.tasks.sequences import LABEL, Encoded, encode

selection = lazy("sklearn.model_selection")

TRAINED = ("ForSequenceClassification", "ForImageClassification")
TEST_SHARE = 0.2
MIN_EXAMPLES = 10  # examples to learn from


class Prepared(NamedTuple):
    """Splits, outputs of a classifier (1 for a regression, 0 for language), what to tell about them, its labels."""

    splits: dict[Split, Batch]
    outputs: int
    notes: tuple[str, ...]
    labels: tuple[str, ...] = ()


class _Part(NamedTuple):
    """Where the rows of one split come from."""

    data: str
    subset: str
    split: str
    is_test: bool  # of data to report on, whose columns may have other names


@lru_cache(maxsize=2)
def prepared(options: CustomOptions) -> Prepared:
    """Read the data and make the splits.

    Raises:
        BadInput: Data that cannot be learnt from; says which and why.
    """
    tables = {name: _read(options, part) for name, part in _parts(options).items()}
    notes = [note for name, part in tables.items() for note in notes_of.rows(name, part)]
    order = [] if options.kind == "language" or options.is_regression else _order(options, tables["train"])
    encoded = {name: _encoded(options, rows, name, order) for name, rows in tables.items()}
    notes += notes_of.target(options, tables["train"], order)
    notes += [notes_of.truncation(options, name, part) for name, part in encoded.items() if part.truncated]
    parts = {name: part.batch for name, part in encoded.items()}
    if options.kind == "language":
        parts["train"], silent = _with_answers(options, parts["train"])
        notes += silent
    fresh, repeated = _without_repetitions(parts)
    notes += [f"{repeated} examples left out of training: they are in it twice, or also in another split"] * bool(
        repeated
    )
    splits = _carved(options, fresh)
    notes.append("splits: " + ", ".join(f"{name} {size(batch):,}" for name, batch in splits.items()))
    outputs = len(order) if order else int(options.kind != "language")
    return Prepared(splits, outputs, tuple(notes), tuple(order))


def _parts(options: CustomOptions) -> dict[Split, _Part]:
    """The splits that the data have of their own; the training data always."""
    parts: dict[Split, _Part] = {"train": _Part(options.data, options.subset, options.train_split, False)}
    if options.test:
        parts["test"] = _Part(options.test, options.test_subset, options.test_split, True)
    elif has_split(options.data, options.subset, options.test_split):
        parts["test"] = _Part(options.data, options.subset, options.test_split, False)
    reported = parts.get("test")
    validation = _Part(options.data, options.subset, options.validation_split, False)
    if validation not in (reported, parts["train"]) and has_split(*validation[:3]):
        parts["validation"] = validation
    return parts


def _read(options: CustomOptions, part: _Part) -> Rows:
    folder = images.class_folder(Path(part.data).expanduser(), part.split)
    if folder is None:
        return readers.read(readers.find_source(*part[:3]), options.rows, options.split_seed)
    frame = images.list_images(folder)
    sample = frame
    if len(frame) > options.rows:
        sample = frame.sample(options.rows, random_state=options.split_seed).sort_index().reset_index(drop=True)
    return Rows(sample, len(frame), {})


def _order(options: CustomOptions, rows: Rows) -> list[str]:
    labels = columns.named_labels(rows, options.label)
    config = pretrained.model_config(pretrained.model_folder(options.model, options.revision or None))
    if not options.new_head and str((config.architectures or [""])[0]).endswith(TRAINED):
        columns.label_order(labels, options.data)
        return columns.model_order(labels, {int(k): str(v) for k, v in dict(config.id2label or {}).items()})
    return columns.label_order(labels, options.data)


def _encoded(options: CustomOptions, rows: Rows, name: Split, order: Sequence[str]) -> Encoded:
    label = (options.test_label if name == "test" and options.test else "") or options.label
    where = f"{options.test if name == 'test' and options.test else options.data} ({name})"
    folder = pretrained.model_folder(options.model, options.revision or None)
    if options.kind == "language":
        return _language(options, rows, name, label, where)
    columns.check_columns(rows.frame, [name for name in (options.image or options.text, label) if name], where)
    if options.kind == "images":
        shape = images.image_shape(folder, pretrained.model_config(folder))
        encoded = Encoded(
            {"pixel_values": images.pixels(rows.frame[options.image].tolist(), _root(options, name), shape)}, 0
        )
    else:
        sides = _sides(options, rows, where)
        encoded = encode(pretrained.tokenizer(folder), sides[0], sides[1] if options.pair else None, options.max_length)
    if order:
        labels = torch.tensor(columns.numbered(columns.named_labels(rows, label), order, where))
    else:
        numbers = np.asarray(columns.real_numbers(rows, label, where))
        labels = torch.tensor((numbers - options.center) / options.scale, dtype=torch.float32)
    return Encoded({**encoded.batch, LABEL: labels}, encoded.truncated)


def _sides(options: CustomOptions, rows: Rows, where: str) -> list[list[str]]:
    """Each example's text, or its two."""
    if options.prompt:
        columns.check_columns(rows.frame, columns.PLACEHOLDER.findall(options.prompt), where)
        return [columns.fill(options.prompt, rows)]
    return [columns.texts(rows, column, where) for column in (options.text, options.pair) if column]


def _root(options: CustomOptions, name: Split) -> Path:
    """Where a split's relative paths start."""
    path = Path(options.test if name == "test" and options.test else options.data).expanduser()
    return path if path.is_dir() else path.parent


def _language(options: CustomOptions, rows: Rows, name: Split, label: str, where: str) -> Encoded:
    template = (options.test_prompt if name == "test" and options.test else "") or options.prompt
    columns.check_columns(rows.frame, [*columns.PLACEHOLDER.findall(template), *([label] if label else [])], where)
    prompts = columns.fill(template, rows)
    empty = next((index for index, prompt in enumerate(prompts) if not prompt.strip()), None)
    if empty is not None:
        raise BadInput(f"{where}: row {empty + 1} has no text")
    answers = columns.texts(rows, label, where) if label else None
    tokenizer = pretrained.tokenizer(pretrained.model_folder(options.model, options.revision or None))
    return encode_answers(tokenizer, prompts, answers, options.max_length)


def _with_answers(options: CustomOptions, batch: Batch) -> tuple[Batch, list[str]]:
    """The examples that something can be learnt from, and what to tell about the others."""
    answered = counted(batch).nonzero().flatten()
    filled = f"max_length={options.max_length} tokens and leave none to an answer"
    if not len(answered):
        raise BadInput(f"{options.data}: all prompts fill {filled}; give a larger max_length or a shorter prompt")
    silent = size(batch) - len(answered)
    note = f"{silent:,} examples left out of training: their prompts fill {filled}"
    return select(batch, answered), [note] * bool(silent)


def _without_repetitions(parts: dict[Split, Batch]) -> tuple[dict[Split, Batch], int]:
    """Every example once, in the split that is furthest from training; and how many training lost by it.

    A prompt is in one split only, whatever its answers; within it, another answer makes another example.
    """
    seen: set[bytes] = set()
    fresh: dict[Split, Batch] = {}
    for name in ("test", "validation", "train"):
        if name in parts:
            keys = _keys(parts[name])
            first = {key: index for index, key in reversed([*enumerate(keys)])}
            questions = _questions(parts[name]) if PROMPT_LENGTH in parts[name] else keys
            is_test = name == "test"  # what is reported on stays as it is
            indices = [i for i, key in enumerate(keys) if is_test or (questions[i] not in seen and first[key] == i)]
            seen.update(questions)
            fresh[name] = select(parts[name], torch.tensor(indices, dtype=torch.long))
    if not all(size(batch) for batch in fresh.values()):
        raise BadInput("nothing is left to learn from: every training example is also in the data to report on")
    return fresh, size(parts["train"]) - size(fresh["train"])


def _keys(batch: Batch) -> list[bytes]:
    name, values = next(iter(batch.items()))
    if name != "input_ids":
        return [row.numpy().tobytes() for row in values]
    return [row[mask.bool()].numpy().tobytes() for row, mask in zip(values, batch["attention_mask"], strict=True)]


def _questions(batch: Batch) -> list[bytes]:
    """What each example of a language task asks: its prompt, or all of a text without one."""
    lengths = batch[PROMPT_LENGTH].tolist()
    return [
        row[:length].numpy().tobytes() if length else key
        for row, length, key in zip(batch["input_ids"], lengths, _keys(batch), strict=True)
    ]


def _carved(options: CustomOptions, parts: dict[Split, Batch]) -> dict[Split, Batch]:
    """Test and validation taken from the training data where there are none of their own."""
    train = parts["train"]
    if size(train) < MIN_EXAMPLES:
        raise BadInput(f"{options.data}: {size(train)} different examples; to learn takes at least {MIN_EXAMPLES}")
    splits = dict(parts)
    if "test" not in splits:
        train, splits["test"] = _cut_off(options, train, min(round(TEST_SHARE * size(train)), options.rows))
    if "validation" not in splits:
        train, splits["validation"] = _cut_off(options, train, validation_count(size(train)))
    return {"train": train, "validation": splits["validation"], "test": splits["test"]}


def _cut_off(options: CustomOptions, batch: Batch, count: int) -> tuple[Batch, Batch]:
    labels = batch[LABEL].numpy() if options.kind != "language" and not options.is_regression else None
    if labels is not None:
        counts = np.bincount(labels)
        count = max(count, int((counts > 0).sum()))
        labels = None if counts[counts > 0].min() < 2 else labels
    groups = _groups(batch)
    different = max(groups) + 1
    if different < 2:
        raise BadInput(f"{options.data}: all examples ask the same, so that there is nothing else to be judged on")
    count = round(count * different / size(batch))
    _, cut = selection.train_test_split(
        np.arange(different), test_size=max(count, 1), stratify=labels, random_state=options.split_seed
    )
    is_cut = torch.from_numpy(np.isin(groups, cut))
    return select(batch, ~is_cut), select(batch, is_cut)


def _groups(batch: Batch) -> list[int]:
    """A number for each example, the same for those that ask the same."""
    if PROMPT_LENGTH not in batch:
        return [*range(size(batch))]
    numbers: dict[bytes, int] = {}
    return [numbers.setdefault(key, len(numbers)) for key in _questions(batch)]
