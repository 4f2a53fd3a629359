"""facts: a tiny Llama that knows one small world learns the facts of another, asked by multiple choice.

A fact is a subject (first and last name), a relation and an object; a relation can be worded in six ways, each
a token, and a statement is "first last wording object". Every fact to learn is stated in four wordings, asked in
a fifth for validation and in a sixth for the test, so that no statement is in two splits. The base has seen the
names and the wordings, not these people.
"""

import math
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from neatlab.events import ExamplesChosen
from neatlab.schema import Schema
from neatlab.tasks.answers import Answers, text_answers
from neatlab.tasks.base import Batch, Score, Split, eval_mode, to_device
from neatlab.tasks.metrics import METRICS, Metric
from neatlab.tasks.outcomes import Outcomes
from neatlab.tasks.pretraining import LLAMA, LLAMA_TARGETS, PretrainedTask, answer_logits, tiny_llama

NAMES = 48  # first names, and as many last names
RELATIONS, WORDINGS, OBJECTS = 4, 6, 16  # objects a relation
CHOICES = 4
KNOWN = 256  # subjects of the base's world
FIRST_WORDING = 2 * NAMES
FIRST_OBJECT = FIRST_WORDING + RELATIONS * WORDINGS
VOCABULARY = FIRST_OBJECT + RELATIONS * OBJECTS
PRETRAINING: dict[str, Any] = {"steps": 1000, "batch_size": 128, "lr": 5e-3, "seed": 0}


class FactsOptions(Schema):
    """Options of `facts`.

    Args:
        facts: Facts to learn, four to a subject.
        world_seed: Seed of both worlds.
    """

    facts: int = Field(512, ge=16, le=8192)
    world_seed: int = Field(0, ge=0, lt=2**32)


class Facts(PretrainedTask):
    """One world of subject–relation–object facts → another."""

    title: ClassVar[str] = "facts of a new world, by multiple choice"
    metric: ClassVar[Metric] = Metric("accuracy", f"share of questions with {CHOICES} choices", True)
    base_metric: ClassVar[Metric] = Metric("accuracy on the known world", "share of questions", True)
    targets: ClassVar[list[str]] = LLAMA_TARGETS
    head: ClassVar[list[str]] = []
    training: ClassVar[dict[str, Any]] = {"steps": 400, "batch_size": 64, "lr": 1e-2, "eval_every": 50}
    options: ClassVar[type[Schema]] = FactsOptions
    choices: ClassVar[Mapping[str, Mapping[str, Any]]] = {"facts, another world": {}}

    def __init__(self, options: FactsOptions) -> None:
        self._options = options

    def recipe(self) -> dict[str, Any]:
        world = {"relations": RELATIONS, "wordings": WORDINGS, "objects": OBJECTS, "names": NAMES, "known": KNOWN}
        model = {"model": LLAMA, "training": PRETRAINING}
        return {"task": "facts", "version": 1, **model, "world": world, "seed": self._options.world_seed}

    def new_model(self) -> nn.Module:
        return tiny_llama(VOCABULARY)

    def base_examples(self, name: Literal["train", "test"]) -> Batch:
        return _known(self._options.world_seed)[name]

    def make_splits(self) -> dict[Split, Batch]:
        o = self._options
        subjects = -(-o.facts // RELATIONS)
        world = _subjects(o.world_seed)[KNOWN : KNOWN + subjects]
        return _stated(world, o.facts, torch.Generator().manual_seed(o.world_seed + 2**32))

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return F.cross_entropy(answer_logits(model, batch["tokens"], 1)[:, 0], batch["tokens"][:, -1])

    def evaluate(self, model: nn.Module, batch: Batch) -> Score:
        """Loss, accuracy, and `bits` learnt, whole and as `bits_per_parameter` of those that train.

        With V objects a relation, Σ over facts of log₂V + log₂p(object), p among the relation's objects: what a
        code for the facts saves by knowing the model (Allen-Zhu and Li, arXiv:2404.05405, measure capacity so).
        Negative where guessing evenly would be better.
        """
        batch = to_device(batch, model)
        choices, right = batch["choices"], batch["tokens"][:, -1]  # n × CHOICES, n
        with eval_mode(model):
            logits = answer_logits(model, batch["tokens"], 1)[:, 0]  # n × vocabulary
        chosen = logits.gather(1, choices).argmax(1)  # n; the first choice is right
        outcomes = Outcomes.of([0] * len(chosen), chosen.tolist())
        bits = _bits(logits, right)
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        extras = {"bits": bits, "bits_per_parameter": bits / max(trained, 1)}
        return Score.by(METRICS["accuracy"], outcomes, float(F.cross_entropy(logits, right)), extras)

    def examples(self) -> ExamplesChosen:
        tokens = self.sample()["tokens"]
        asked = tuple(_question(row) for row in tokens.tolist())
        return ExamplesChosen("text", "text", asked, tuple(map(_object, tokens[:, -1].tolist())))

    def answers(self, model: nn.Module, score: Score) -> Answers:
        """The likeliest of each question's choices, and its probability among them."""
        batch = to_device(self.sample(), model)
        with eval_mode(model):
            logits = answer_logits(model, batch["tokens"], 1)[:, 0]  # n × vocabulary
        probability, chosen = logits.gather(1, batch["choices"]).float().softmax(1).max(1)  # the first choice is right
        given = batch["choices"].gather(1, chosen[:, None])[:, 0].tolist()
        return text_answers([*map(_object, given)], (chosen == 0).tolist(), probability)


def _question(tokens: list[int]) -> str:
    """A statement without its object, in words."""
    first, last, word = tokens[:3]
    relation, wording = divmod(word - FIRST_WORDING, WORDINGS)
    return f"person {first + 1}-{last - NAMES + 1}, relation {relation + 1} in wording {wording + 1}"


def _object(token: int) -> str:
    return f"object {(token - FIRST_OBJECT) % OBJECTS + 1}"


@cache
def _subjects(seed: int) -> Tensor:
    """All subjects in the order of a seed, each a first and a last name: n × 2."""
    order = torch.randperm(NAMES * NAMES, generator=torch.Generator().manual_seed(seed))
    return torch.stack([order // NAMES, NAMES + order % NAMES], dim=1)


@cache
def _known(seed: int) -> dict[Split, Batch]:
    return _stated(_subjects(seed)[:KNOWN], KNOWN * RELATIONS, torch.Generator().manual_seed(seed))


def _stated(subjects: Tensor, facts: int, generator: torch.Generator) -> dict[Split, Batch]:
    """The first `facts` of a drawn world, each wording of a fact in one split."""
    which = torch.arange(facts)
    relation, people = which % RELATIONS, subjects[which // RELATIONS]  # facts, facts × 2
    objects = torch.rand(facts, OBJECTS, generator=generator).argsort(1)[:, :CHOICES]  # the first one is right
    wordings = torch.rand(facts, WORDINGS, generator=generator).argsort(1)
    choices = FIRST_OBJECT + relation[:, None] * OBJECTS + objects  # facts × CHOICES
    words = FIRST_WORDING + relation[:, None] * WORDINGS + wordings  # facts × WORDINGS

    def statements(word: Tensor) -> Batch:
        tokens = torch.cat([people, word[:, None], choices[:, :1]], dim=1)
        return {"tokens": tokens, "choices": choices}

    train = [statements(word) for word in words[:, 2:].T]
    return {
        "train": {column: torch.cat([part[column] for part in train]) for column in ("tokens", "choices")},
        "validation": statements(words[:, 0]),
        "test": statements(words[:, 1]),
    }


def _bits(logits: Tensor, right: Tensor) -> float:
    """What the model knows of the answers: logits n × vocabulary, right answers' tokens n."""
    index = (right - FIRST_OBJECT) % OBJECTS  # n; which of its relation's objects an answer is
    objects = (right - index)[:, None] + torch.arange(OBJECTS, device=right.device)  # n × OBJECTS
    nats = F.cross_entropy(logits.gather(1, objects), index, reduction="sum")
    return len(right) * math.log2(OBJECTS) - float(nats) / math.log(2)
