"""The three splits of `custom`: read, encoded, freed of repetitions, and told about."""

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
from neatlab.tasks.custom.language import PROMPT_LENGTH, counted, encode_answers
from neatlab.tasks.custom.options import REGRESSION, CustomOptions, has_split, validation_count
from neatlab.tasks.custom.readers import Rows
from neatlab.tasks.sequences import LABEL, Encoded, encode

selection = lazy("sklearn.model_selection")

TRAINED = ("ForSequenceClassification", "ForImageClassification")
TEST_SHARE = 0.2
FEWEST = 10  # examples to learn from


class Prepared(NamedTuple):
    """Splits, outputs of a classifier (1 for a regression, 0 for language), and what to tell about them."""

    splits: dict[Split, Batch]
    outputs: int
    notes: tuple[str, ...]


class _Part(NamedTuple):
    """Where the rows of one split come from."""

    data: str
    subset: str
    split: str
    is_test: bool  # of data to report on, whose columns may have other names


@lru_cache(maxsize=2)
def prepared(told: CustomOptions) -> Prepared:
    """Read the data and make the splits.

    Raises:
        BadInput: Data that cannot be learnt from; says which and why.
    """
    found = {name: _read(told, part) for name, part in _parts(told).items()}
    notes = [_told_rows(name, rows) for name, rows in found.items()]
    order = [] if told.kind == "language" or told.metric in REGRESSION else _order(told, found["train"])
    encoded = {name: _encoded(told, rows, name, order) for name, rows in found.items()}
    notes += [_told_columns(told), *([_told_labels(order)] if order else [])]
    notes += [_told_cut(told, name, part) for name, part in encoded.items() if part.truncated]
    parts = {name: part.batch for name, part in encoded.items()}
    if told.kind == "language":
        parts["train"], silent = _with_answers(told, parts["train"])
        notes += silent
    fresh, repeated = _without_repetitions(parts)
    notes += [f"{repeated} examples left out of training: they are in it twice, or also in another split"] * bool(
        repeated
    )
    splits = _carved(told, fresh)
    notes.append("splits: " + ", ".join(f"{name} {size(batch):,}" for name, batch in splits.items()))
    return Prepared(splits, len(order) if order else int(told.kind != "language"), tuple(notes))


def _parts(told: CustomOptions) -> dict[Split, _Part]:
    """The splits that the data have of their own; the training data always."""
    found: dict[Split, _Part] = {"train": _Part(told.data, told.subset, told.train_split, False)}
    if told.test:
        found["test"] = _Part(told.test, told.test_subset, told.test_split, True)
    elif has_split(told.data, told.subset, told.test_split):
        found["test"] = _Part(told.data, told.subset, told.test_split, False)
    reported = found.get("test")
    own = _Part(told.data, told.subset, told.validation_split, False)
    if own not in (reported, found["train"]) and has_split(*own[:3]):
        found["validation"] = own
    return found


def _read(told: CustomOptions, part: _Part) -> Rows:
    folder = images.class_folder(Path(part.data).expanduser(), part.split)
    if folder is None:
        return readers.read(readers.find_source(*part[:3]), told.rows, told.split_seed)
    frame = images.list_images(folder)
    kept = frame
    if len(frame) > told.rows:
        kept = frame.sample(told.rows, random_state=told.split_seed).sort_index().reset_index(drop=True)
    return Rows(kept, len(frame), {})


def _order(told: CustomOptions, rows: Rows) -> list[str]:
    labels = columns.named_labels(rows, told.label)
    config = pretrained.model_config(pretrained.model_folder(told.model, told.revision or None))
    if not told.new_head and str((config.architectures or [""])[0]).endswith(TRAINED):
        columns.label_order(labels, told.data)
        return columns.model_order(labels, {int(k): str(v) for k, v in dict(config.id2label or {}).items()})
    return columns.label_order(labels, told.data)


def _encoded(told: CustomOptions, rows: Rows, name: Split, order: Sequence[str]) -> Encoded:
    label = (told.test_label if name == "test" and told.test else "") or told.label
    where = f"{told.test if name == 'test' and told.test else told.data} ({name})"
    folder = pretrained.model_folder(told.model, told.revision or None)
    if told.kind == "language":
        return _language(told, rows, name, label, where)
    columns.check_columns(rows.frame, [told.image or told.text, label], where)
    if told.kind == "images":
        shape = images.image_shape(folder, pretrained.model_config(folder))
        found = Encoded({"pixel_values": images.pixels(rows.frame[told.image].tolist(), _root(told, name), shape)}, 0)
    else:
        sides = [columns.texts(rows, column, where) for column in (told.text, told.pair) if column]
        found = encode(pretrained.tokenizer(folder), sides[0], sides[1] if told.pair else None, told.max_length)
    if order:
        labels = torch.tensor(columns.numbered(columns.named_labels(rows, label), order, where))
    else:
        labels = torch.tensor(columns.real_numbers(rows, label, where), dtype=torch.float32)
    return Encoded({**found.batch, LABEL: labels}, found.truncated)


def _root(told: CustomOptions, name: Split) -> Path:
    """Where a split's relative paths start."""
    path = Path(told.test if name == "test" and told.test else told.data).expanduser()
    return path if path.is_dir() else path.parent


def _language(told: CustomOptions, rows: Rows, name: Split, label: str, where: str) -> Encoded:
    template = (told.test_prompt if name == "test" and told.test else "") or told.prompt
    columns.check_columns(rows.frame, [*columns.PLACE.findall(template), *([label] if label else [])], where)
    prompts = columns.fill(template, rows)
    empty = next((place for place, prompt in enumerate(prompts) if not prompt.strip()), None)
    if empty is not None:
        raise BadInput(f"{where}: row {empty + 1} has no text")
    answers = columns.texts(rows, label, where) if label else None
    tokenizer = pretrained.tokenizer(pretrained.model_folder(told.model, told.revision or None))
    return encode_answers(tokenizer, prompts, answers, told.max_length)


def _with_answers(told: CustomOptions, batch: Batch) -> tuple[Batch, list[str]]:
    """The examples that something can be learnt from, and what to tell about the others."""
    kept = counted(batch).nonzero().flatten()
    filled = f"max_length={told.max_length} tokens and leave none to an answer"
    if not len(kept):
        raise BadInput(f"{told.data}: all prompts fill {filled}; give a larger max_length or a shorter prompt")
    lost = size(batch) - len(kept)
    return select(batch, kept), [f"{lost:,} examples left out of training: their prompts fill {filled}"] * bool(lost)


def _without_repetitions(parts: dict[Split, Batch]) -> tuple[dict[Split, Batch], int]:
    """Every example once, in the split that is furthest from training; and how many training lost by it.

    A prompt is in one split only, whatever its answers; within it, another answer makes another example.
    """
    seen: set[bytes] = set()
    fresh: dict[Split, Batch] = {}
    for name in ("test", "validation", "train"):
        if name in parts:
            keys = _keys(parts[name])
            first = {key: place for place, key in reversed([*enumerate(keys)])}
            asked = _asked(parts[name]) if PROMPT_LENGTH in parts[name] else keys
            own = name == "test"  # what is reported on stays as it is
            kept = [p for p, key in enumerate(keys) if own or (asked[p] not in seen and first[key] == p)]
            seen.update(asked)
            fresh[name] = select(parts[name], torch.tensor(kept, dtype=torch.long))
    if not all(size(batch) for batch in fresh.values()):
        raise BadInput("nothing is left to learn from: every training example is also in the data to report on")
    return fresh, size(parts["train"]) - size(fresh["train"])


def _keys(batch: Batch) -> list[bytes]:
    name, values = next(iter(batch.items()))
    if name != "input_ids":
        return [row.numpy().tobytes() for row in values]
    return [row[mask.bool()].numpy().tobytes() for row, mask in zip(values, batch["attention_mask"], strict=True)]


def _asked(batch: Batch) -> list[bytes]:
    """What each example of a language task asks: its prompt, or all of a text without one."""
    lengths = batch[PROMPT_LENGTH].tolist()
    return [
        row[:length].numpy().tobytes() if length else key
        for row, length, key in zip(batch["input_ids"], lengths, _keys(batch), strict=True)
    ]


def _carved(told: CustomOptions, parts: dict[Split, Batch]) -> dict[Split, Batch]:
    """Test and validation taken from the training data where there are none of their own."""
    train = parts["train"]
    if size(train) < FEWEST:
        raise BadInput(f"{told.data}: {size(train)} different examples; to learn takes at least {FEWEST}")
    found = dict(parts)
    if "test" not in found:
        train, found["test"] = _cut_off(told, train, min(round(TEST_SHARE * size(train)), told.rows))
    if "validation" not in found:
        train, found["validation"] = _cut_off(told, train, validation_count(size(train)))
    return {"train": train, "validation": found["validation"], "test": found["test"]}


def _cut_off(told: CustomOptions, batch: Batch, count: int) -> tuple[Batch, Batch]:
    labels = batch[LABEL].numpy() if told.kind != "language" and told.metric not in REGRESSION else None
    if labels is not None:
        counts = np.bincount(labels)
        count = max(count, int((counts > 0).sum()))
        labels = None if counts[counts > 0].min() < 2 else labels
    groups = _groups(batch)
    different = max(groups) + 1
    if different < 2:
        raise BadInput(f"{told.data}: all examples ask the same, so that there is nothing else to be judged on")
    count = round(count * different / size(batch))
    _, cut = selection.train_test_split(
        np.arange(different), test_size=max(count, 1), stratify=labels, random_state=told.split_seed
    )
    is_cut = torch.from_numpy(np.isin(groups, cut))
    return select(batch, ~is_cut), select(batch, is_cut)


def _groups(batch: Batch) -> list[int]:
    """A number for each example, the same for those that ask the same."""
    if PROMPT_LENGTH not in batch:
        return [*range(size(batch))]
    numbers: dict[bytes, int] = {}
    return [numbers.setdefault(key, len(numbers)) for key in _asked(batch)]


def _told_rows(name: str, rows: Rows) -> str:
    kept = len(rows.frame)
    return f"{name} data: {rows.total:,} rows" + (f", a sample of {kept:,} kept" if kept < rows.total else "")


def _told_columns(told: CustomOptions) -> str:
    roles = {"text": told.text, "second text": told.pair, "image": told.image, "label": told.label}
    named = [f"{role} from {column!r}" for role, column in roles.items() if column]
    prompt = [f"prompt {told.prompt!r}"] if told.prompt else []
    return f"{told.kind}: {', '.join([*named, *prompt])}; judged by {told.measure.name}"


def _told_labels(order: Sequence[str]) -> str:
    shown = ", ".join(f"{place} = {label}" for place, label in enumerate(order[:8]))
    return f"{len(order)} labels: {shown}" + (", …" if len(order) > 8 else "")


def _told_cut(told: CustomOptions, name: str, part: Encoded) -> str:
    return f"{name} data: {part.truncated:,} of {size(part.batch):,} texts cut off at {told.max_length} tokens"
