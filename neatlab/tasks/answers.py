"""What a model answers to a few validation examples, compact enough to be an event: one function a kind of answer."""

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neatlab.events import Value
from neatlab.runtime.lazy import lazy
from neatlab.tasks.outcomes import Outcomes

Image = lazy("PIL.Image")

MAX_EXAMPLES = 24
MAX_TEXT = 160  # characters of an input
MAX_ANSWER = 80  # characters of an answer
MAX_NAMES, MAX_NAME = 100, 40  # named classes, and characters of a name
MAX_CONFUSED = 16  # classes whose confusions are counted
EXACT_SIDE, MAX_SIDE, QUALITY = 16, 32, 60  # pixels of a picture: unchanged up to the first, shrunk to the second
DIGITS, DECIMALS = 4, 3  # significant digits of a number, decimals of a probability


@dataclass(frozen=True)
class Answers:
    """A model's answers to the sampled examples; fields of `Predicted`, which says what they hold."""

    values: tuple[Value, ...]
    probability: tuple[float, ...] = ()
    margin: tuple[float, ...] = ()
    right: tuple[int, ...] = ()


def sampled_rows(count: int) -> Tensor:
    """Which of `count` examples are shown: at most MAX_EXAMPLES, evenly spread, for some splits are sorted by class."""
    shown = min(MAX_EXAMPLES, count)
    return torch.arange(shown) * count // max(shown, 1)


def class_answers(logits: Tensor, true: Tensor) -> Answers:
    """The likeliest class, its probability, and what it is ahead of the next one.

    Args:
        logits: n × classes.
        true: The right classes (n).
    """
    probabilities = logits.detach().float().cpu().softmax(1)
    first, second = probabilities.topk(2, dim=1).values.T
    predicted = logits.argmax(1).cpu()
    right = (predicted == true.cpu()).int()
    return Answers(tuple(predicted.tolist()), _shares(first), _shares(first - second), tuple(right.tolist()))


def _shares(values: Tensor) -> tuple[float, ...]:
    return tuple(round(value, DECIMALS) for value in values.tolist())


def text_answers(given: Sequence[str], right: Iterable[Any], probability: Tensor | None = None) -> Answers:
    """Texts that the model gave, and whether each is right as a whole."""
    share = () if probability is None else _shares(probability)
    return Answers(tuple(text[:MAX_ANSWER] for text in given), share, right=tuple(int(one) for one in right))


def number_answers(values: Tensor) -> Answers:
    """One number an example (n), or a few outputs of each (n × outputs)."""
    rows = values.detach().float().cpu().tolist()
    return Answers(tuple(list(rounded(row)) if isinstance(row, list) else rounded([row])[0] for row in rows))


def rounded(values: Iterable[float]) -> tuple[float, ...]:
    """The values to DIGITS significant digits."""
    return tuple(float(f"{value:.{DIGITS}g}") for value in values)


def shortened(texts: Iterable[str]) -> tuple[str, ...]:
    """Inputs as they are shown, each on one line."""
    return tuple(
        text if len(text := " ".join(each.split())) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…" for each in texts
    )


def class_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names of the classes, short; none where there are more than anyone reads, whose numbers are shown."""
    return tuple(name[:MAX_NAME] for name in names) if len(names) <= MAX_NAMES else ()


def pictures(pixels: Tensor) -> tuple[str, ...]:
    """Images as WebP in base64.

    Args:
        pixels: Values from 0 to 255, n × channels × height × width, with one channel or three.
    """
    return tuple(_picture(image.byte().permute(1, 2, 0).numpy()) for image in pixels.cpu())


def _picture(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> str:
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).convert("RGB")
    is_small = max(image.size) <= EXACT_SIDE
    if not is_small:
        image.thumbnail((MAX_SIDE, MAX_SIDE))
    file = io.BytesIO()
    image.save(file, "WEBP", lossless=is_small, quality=100 if is_small else QUALITY)
    return base64.b64encode(file.getvalue()).decode()


def decoded_inputs(tokenizer: Any, batch: dict[str, Tensor]) -> tuple[str, ...]:
    """Texts as the model reads them; two texts of one example with a bar between them."""
    ends = {tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id}
    borders = {*ends, tokenizer.pad_token_id} - {None}
    return shortened(_joined(tokenizer, row, borders) for row in batch["input_ids"].tolist())


def _joined(tokenizer: Any, row: Sequence[int], borders: set[int]) -> str:
    parts: list[list[int]] = [[]]
    for token in row:
        if token in borders:
            parts.append([])
        else:
            parts[-1].append(token)
    return " | ".join(tokenizer.decode(part) for part in parts if part)


def confusions(outcomes: Outcomes | None, classes: int) -> tuple[tuple[int, ...], ...]:
    """How often each class (row) was taken for each (column); empty without classes, or where the table is large."""
    if outcomes is None or not 0 < classes <= MAX_CONFUSED:
        return ()
    counts = np.zeros((classes, classes), dtype=int)
    np.add.at(counts, (outcomes.true.astype(int), outcomes.predicted.astype(int)), 1)
    return tuple(tuple(row) for row in counts.tolist())
