"""arithmetic: a tiny Llama that adds decimal numbers learns another operation, or another base.

A problem is written digit by digit, the lowest first: 123 + 989 = 1112 as "321+989=2111". The base
model never sees the two numbers of a validation or test problem together, digit for digit, in either order.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from neatlab.events import ExamplesChosen
from neatlab.schema import Schema
from neatlab.tasks.answers import Answers, text_answers
from neatlab.tasks.base import Batch, Score, Split, eval_mode, to_device
from neatlab.tasks.metrics import EXACT_MATCH, METRICS, Metric
from neatlab.tasks.outcomes import Outcomes
from neatlab.tasks.pretraining import LLAMA, LLAMA_TARGETS, PretrainedTask, answer_logits, tiny_llama

Operation = Literal["addition", "subtraction", "carryless", "larger"]

CHARACTERS = "0123456789+-="
DIGITS = 3  # of each number; an answer has one more
ANSWER = DIGITS + 1
DRAWN = 40_000  # ordered pairs of numbers that the splits and the base's data are taken from
TEST, VALIDATION = 1000, 500
SIGNS: dict[Operation, str] = {"addition": "+", "subtraction": "-", "carryless": "+", "larger": "-"}
PRETRAINING: dict[str, Any] = {"steps": 450, "batch_size": 128, "lr": 5e-3, "seed": 0}


class ArithmeticOptions(Schema):
    """Options of `arithmetic`.

    Args:
        operation: What is to be learnt; "carryless" adds digit by digit and drops what is carried, "larger" names the
            larger number.
        number_base: The base that numbers are written in.
        samples: Training problems.
        split_seed: Seed that draws the problems.
    """

    operation: Operation = "subtraction"
    number_base: int = Field(10, ge=6, le=10)
    samples: int = Field(1000, ge=1, le=10_000)
    split_seed: int = Field(0, ge=0, lt=2**32)

    @model_validator(mode="after")
    def _is_new(self) -> Self:
        if (self.operation, self.number_base) == ("addition", 10):
            raise ValueError("the base model knows addition in base 10; take operation=subtraction or another base")
        return self


class Arithmetic(PretrainedTask):
    """Decimal addition → subtraction, or addition in another base."""

    title: ClassVar[str] = "arithmetic: from adding to another operation or base"
    family: ClassVar[str] = "arithmetic"
    base: ClassVar[str] = "a Llama of two layers, trained here to add decimal numbers"
    license: ClassVar[str] = "Apache-2.0"
    source: ClassVar[str] = "made from a seed"
    metric: ClassVar[Metric] = EXACT_MATCH
    base_metric: ClassVar[Metric] = Metric(
        "exact match on decimal addition", EXACT_MATCH.unit, True, EXACT_MATCH.margin
    )
    targets: ClassVar[list[str]] = LLAMA_TARGETS
    head: ClassVar[list[str]] = []
    training: ClassVar[dict[str, Any]] = {"steps": 300, "batch_size": 64, "lr": 1e-2, "eval_every": 50}
    options: ClassVar[type[Schema]] = ArithmeticOptions
    choices: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "arithmetic, a new operation": {},
        "arithmetic, another base": {"operation": "addition", "number_base": 8},
        "arithmetic, a new operation in another base": {"number_base": 8},
        "arithmetic, without carrying": {"operation": "carryless"},
        "arithmetic, the larger number": {"operation": "larger"},
        "arithmetic, two hundred problems": {"samples": 200},
    }

    def __init__(self, options: ArithmeticOptions) -> None:
        self._options = options

    @classmethod
    def count(cls, options: ArithmeticOptions) -> int:
        return options.samples

    def recipe(self) -> dict[str, Any]:
        o = self._options
        avoided = {} if o.number_base == 10 else {"held_out_in_base": o.number_base}
        training = {"training": PRETRAINING, "split_seed": o.split_seed}
        return {"task": "arithmetic", "version": 1, "model": LLAMA, **training, **avoided}

    def new_model(self) -> nn.Module:
        return tiny_llama(len(CHARACTERS))

    def base_examples(self, name: Literal["train", "test"]) -> Batch:
        o = self._options
        pairs = _known(o.number_base, o.split_seed) if name == "train" else _pairs(10, o.split_seed)[:TEST]
        return _problems(pairs, "addition", 10)

    def make_splits(self) -> dict[Split, Batch]:
        o = self._options
        pairs = _pairs(o.number_base, o.split_seed)
        held_out = TEST + VALIDATION
        parts: dict[Split, Tensor] = {
            "train": pairs[held_out : held_out + o.samples],
            "validation": pairs[TEST:held_out],
            "test": pairs[:TEST],
        }
        return {name: _problems(part, o.operation, o.number_base) for name, part in parts.items()}

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return _cross_entropy(answer_logits(model, batch["tokens"], ANSWER), batch["tokens"])

    def evaluate(self, model: nn.Module, batch: Batch) -> Score:
        """Loss and exact match: a greedy answer is right if and only if each digit is, after the right ones."""
        tokens = to_device(batch, model)["tokens"]
        with eval_mode(model):
            logits = answer_logits(model, tokens, ANSWER)
        given, wanted = decode(logits.argmax(2)), decode(tokens[:, -ANSWER:])
        outcomes = Outcomes.answers([answer == text for answer, text in zip(given, wanted, strict=True)])
        return Score.by(METRICS["exact-match"], outcomes, float(_cross_entropy(logits, tokens)))

    def examples(self) -> ExamplesChosen:
        tokens = self.sample()["tokens"]
        true = (text[::-1] for text in decode(tokens[:, -ANSWER:]))
        return ExamplesChosen("text", "text", tuple(map(_readable, decode(tokens[:, :-ANSWER]))), tuple(true))

    def answers(self, model: nn.Module, score: Score) -> Answers:
        """What greedy decoding writes, lowest digit first, up to its first wrong digit: one forward pass tells that."""
        tokens = to_device(self.sample(), model)["tokens"]
        with eval_mode(model):
            given = decode(answer_logits(model, tokens, ANSWER).argmax(2))
        pairs = list(zip(given, decode(tokens[:, -ANSWER:]), strict=True))
        return text_answers([_until_wrong(*pair) for pair in pairs], [one == wanted for one, wanted in pairs])


def _until_wrong(given: str, wanted: str) -> str:
    """An answer as people write it, the highest digit first, with "…" for what comes after its first wrong digit."""
    right = next((i for i, pair in enumerate(zip(given, wanted, strict=True)) if pair[0] != pair[1]), ANSWER)
    return ("…" if right < ANSWER - 1 else "") + given[: right + 1][::-1]


def _readable(problem: str) -> str:
    """A problem with the digits in the order in which people write them."""
    return f"{problem[:DIGITS][::-1]} {problem[DIGITS]} {problem[DIGITS + 1 : -1][::-1]} ="


@cache
def _pairs(number_base: int, seed: int) -> Tensor:
    """Distinct pairs of numbers, n × 2; (a, b) and (b, a) are the same pair and come once."""
    count = number_base**DIGITS
    drawn = torch.randperm(count * count, generator=torch.Generator().manual_seed(seed))[:DRAWN].tolist()
    ordered = (divmod(code, count) for code in drawn)
    return torch.tensor(list({(min(pair), max(pair)): pair for pair in ordered}.values()))


def _known(number_base: int, seed: int) -> Tensor:
    """The pairs that the base adds, n × 2: none is held out, none is written like one held out in `number_base`."""
    held_out = _read_as_decimal(_pairs(number_base, seed)[: TEST + VALIDATION], number_base)
    pairs = _pairs(10, seed)[TEST + VALIDATION :]
    return pairs[~torch.isin(_unordered(pairs), _unordered(held_out))]


def _read_as_decimal(numbers: Tensor, number_base: int) -> Tensor:
    """The numbers that the same digits write in base 10."""
    digits = _digits(numbers.flatten(), DIGITS, number_base)
    return (digits * 10 ** torch.arange(DIGITS)).sum(1).view_as(numbers)


def _unordered(pairs: Tensor) -> Tensor:
    """One number for a pair (n), whichever comes first."""
    return pairs.amin(1) * 10**DIGITS + pairs.amax(1)


def _problems(pairs: Tensor, operation: Operation, number_base: int) -> Batch:
    """Problems with their answers as tokens, n × (2·DIGITS + 2 + ANSWER); a difference is never negative."""
    a, b = (pairs.amax(1), pairs.amin(1)) if operation == "subtraction" else pairs.T
    first, second = _digits(a, DIGITS, number_base), _digits(b, DIGITS, number_base)
    answer = _answer(operation, a, b, (first + second) % number_base, number_base)
    sign, equals = (torch.full_like(pairs[:, :1], CHARACTERS.index(c)) for c in (SIGNS[operation], "="))
    return {"tokens": torch.cat([first, sign, second, equals, answer], dim=1)}


def _answer(operation: Operation, a: Tensor, b: Tensor, digitwise: Tensor, number_base: int) -> Tensor:
    """Digits of the answer, n × ANSWER; `digitwise` are those of the sum without carrying, n × DIGITS."""
    if operation == "carryless":
        return F.pad(digitwise, (0, ANSWER - DIGITS))
    value = {"addition": a + b, "subtraction": a - b, "larger": torch.maximum(a, b)}[operation]
    return _digits(value, ANSWER, number_base)


def _digits(values: Tensor, width: int, number_base: int) -> Tensor:
    """Digits of `values` (n) in a base, the lowest first: n × width."""
    return torch.stack([values // number_base**index % number_base for index in range(width)], dim=1)


def _cross_entropy(logits: Tensor, tokens: Tensor) -> Tensor:
    """Mean over all digits of the answers; logits n × ANSWER × vocabulary, tokens n × length."""
    return F.cross_entropy(logits.flatten(0, 1), tokens[:, -ANSWER:].flatten())


def decode(tokens: Tensor) -> list[str]:
    """Each row of tokens (n × length) as text."""
    return ["".join(CHARACTERS[token] for token in row) for row in tokens.tolist()]
