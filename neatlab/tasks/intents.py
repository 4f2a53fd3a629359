"""What a question to a bank or an assistant asks for: real questions, of which a few intents are told apart.

What the base knows is which sentences mean the same. It is measured on the other set's intents, which nobody trains:
each is the mean of a few embeddings, and a question goes to the nearest.
"""

import random
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from neatlab.errors import BadInput
from neatlab.tasks.base import Batch, Split, eval_mode, select, size
from neatlab.tasks.duplicates import Taken
from neatlab.tasks.encoders import Example, ShippedOptions, ShippedTask
from neatlab.tasks.metrics import METRICS, Metric
from neatlab.tasks.sequences import CHUNK, LABEL, mean_states
from neatlab.tasks.shipped import SETS

OUTSIDE = "oos"  # the label of CLINC150 for what has no intent
TEST = 20  # texts an intent to test on
MEANT, ASKED = 5, 10  # texts of each of the other set's intents: for its mean, and to be told apart
OTHERS = 20  # of the other set's intents
BASE_METRIC = Metric("accuracy on intents that nobody trains", "share of questions", True)


class IntentOptions(ShippedOptions):
    """Options of `banking77` and `clinc150`.

    Args:
        intents: How many are to be told apart, drawn by `split_seed`.
        per_intent: Training texts an intent; validation has a quarter of it, the test twenty.
    """

    intents: int = Field(20, ge=2, le=60)
    per_intent: int = Field(20, ge=4, le=24)


class IntentTask(ShippedTask):
    """Questions → which of some intents each has."""

    metric: ClassVar[Metric] = METRICS["accuracy"].metric
    options: ClassVar[type[IntentOptions]]

    @classmethod
    def count(cls, options: Any) -> int:
        return int(options.intents * options.per_intent)

    def describe(self) -> list[str]:
        o = self._options
        each = f"{o.per_intent} texts of each to train, {o.per_intent // 4} to validate, {TEST} to test"
        return [f"{o.intents} intents: {each}", self.described_model()]

    @property
    def class_names(self) -> Sequence[str]:
        return list(self._drawn)

    def drawn(self) -> dict[Split, list[Example]]:
        labelled = list(enumerate(self._drawn.values()))
        names: tuple[Split, ...] = ("train", "validation", "test")
        return {name: [Example(text, label) for label, parts in labelled for text in parts[name]] for name in names}

    @cached_property
    def _drawn(self) -> dict[str, dict[Split, list[str]]]:
        o = self._options
        return intent_splits(o.sets[0], o.split_seed, o.intents, (TEST, o.per_intent // 4, o.per_intent))

    def base_score(self, model: nn.Module) -> float:
        """The share of the other set's questions that are nearest to the mean of their own intent."""
        known = self._known
        means = torch.stack([part.mean(0) for part in embeddings(model, known["means"]).split(MEANT)])
        nearest = (embeddings(model, known["asked"]) @ F.normalize(means, dim=1).T).argmax(1)
        return float((nearest == known["asked"][LABEL]).float().mean())

    @cached_property
    def _known(self) -> dict[str, Batch]:
        o = self._options
        parts = intent_splits(o.sets[1], o.split_seed, OTHERS, (ASKED, 0, MEANT)).values()
        labelled = {"asked": [*enumerate(part["test"] for part in parts)]}
        labelled["means"] = [*enumerate(part["train"] for part in parts)]
        return {name: self.encoded([(t, i) for i, ts in rows for t in ts]) for name, rows in labelled.items()}


def embeddings(model: nn.Module, batch: Batch) -> Tensor:
    """Each text as the base compares it, at length one: n × width."""
    with eval_mode(model):
        rows = [mean_states(model, select(batch, index)) for index in torch.arange(size(batch)).split(CHUNK)]
    return F.normalize(torch.cat(rows).cpu(), dim=1)


@lru_cache(maxsize=8)
def intent_splits(
    name: str, seed: int, intents: int, counts: tuple[int, int, int]
) -> dict[str, dict[Split, list[str]]]:
    """Intents of a set in the seed's order, each with its texts: those that have enough of them, no two texts alike.

    Args:
        name: A key of SETS, with columns split, label, text.
        seed: Seed of which intents and texts are taken.
        intents: How many intents.
        counts: Texts an intent to test on, of those that the set's authors test on, to validate and to train on.

    Raises:
        BadInput: There are fewer such intents.
    """
    drawn, taken, draw = dict[str, dict[Split, list[str]]](), Taken(), random.Random(seed)  # noqa: S311
    by_label = _by_label(name)
    for label in draw.sample(sorted(by_label), len(by_label)):
        parts = _intent(by_label[label], taken, draw, counts)
        if all(len(texts) == count for texts, count in zip(parts.values(), counts, strict=True)):
            drawn[label] = parts
        if len(drawn) == intents:
            return drawn
    raise BadInput(f"intents={intents}: only {len(drawn)} of {name} have as many texts; take fewer, or fewer of each")


def _intent(
    pools: Mapping[bool, Sequence[str]], taken: Taken, draw: random.Random, counts: tuple[int, int, int]
) -> dict[Split, list[str]]:
    test, rest = (draw.sample(pools[is_test], len(pools[is_test])) for is_test in (True, False))
    own = taken.draw(rest, counts[1] + counts[2])
    return {"test": taken.draw(test, counts[0]), "validation": own[: counts[1]], "train": own[counts[1] :]}


def _by_label(name: str) -> dict[str, dict[bool, list[str]]]:
    """Label → whether its authors test on them → texts."""
    by_label: dict[str, dict[bool, list[str]]] = {}
    for split, label, text in SETS[name].rows:
        if label != OUTSIDE:
            by_label.setdefault(label, {True: [], False: []})[split == "test"].append(text)
    return by_label
