"""facts: a tiny Llama that knows one small world learns the facts of another, asked by multiple choice.

A fact is a subject (first and last name), a relation and an object; a relation can be worded in six ways, each
a token, and a statement is "first last wording object". Every fact to learn is stated in four wordings, asked in
a fifth for validation and in a sixth for the test, so that no statement is in two splits. The base has seen the
names and the wordings, not these people.
"""

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from neatlab.events import ExamplesChosen
from neatlab.schema import Schema
from neatlab.tasks.answers import Answers, text_answers
from neatlab.tasks.base import Batch, Score, Split, eval_mode, to_device
from neatlab.tasks.metrics import METRICS, Metric
from neatlab.tasks.outcomes import Outcomes
from neatlab.tasks.pretraining import LLAMA, LLAMA_TARGETS, PretrainedTask, answer_logits, tiny_llama
from neatlab.tasks.worlds import (
    CHOICES,
    FIRST_OBJECT,
    FIRST_WORDING,
    KNOWN,
    NAMES,
    OBJECTS,
    RELATIONS,
    REVISED,
    STATED,
    VOCABULARY,
    WORDINGS,
    composed,
    known_world,
    stated,
    subjects,
)

PRETRAINING: dict[str, Any] = {"steps": 1000, "batch_size": 128, "lr": 5e-3, "seed": 0}


class FactsOptions(Schema):
    """Options of `facts`.

    Args:
        facts: Facts to learn, four to a subject.
        world_seed: Seed of both worlds.
        asked: Facts as they are stated; or, of people that the base knows, in two hops or for the opposite.
        people: Whose facts are to be learnt: those of new people, or others in place of those that the base knows.
        wordings: In how many wordings each fact is stated.
    """

    facts: int = Field(512, ge=16, le=8192)
    world_seed: int = Field(0, ge=0, lt=2**32)
    asked: Literal["fact", "two-hop", "opposite"] = "fact"
    people: Literal["new", "known"] = "new"
    wordings: int = Field(STATED, ge=1, le=STATED)

    @model_validator(mode="after")
    def _are_there(self) -> Self:
        if self.asked != "fact" and (self.people != "new" or self.wordings != STATED):
            raise ValueError(
                f"asked={self.asked} is of known people, in {STATED} wordings; leave out people and wordings"
            )
        most = KNOWN * RELATIONS // (1 if self.asked != "fact" else 2)  # of revised facts half remain, to be forgotten
        if self.facts > most and (self.asked != "fact" or self.people == "known"):
            raise ValueError(f"the base knows {KNOWN} people; take facts={most} or fewer")
        return self


class Facts(PretrainedTask):
    """One world of subject–relation–object facts → another."""

    title: ClassVar[str] = "facts of a new world, by multiple choice"
    family: ClassVar[str] = "reasoning"
    base: ClassVar[str] = "a Llama of two layers, trained here on the facts of a small world"
    license: ClassVar[str] = "Apache-2.0"
    source: ClassVar[str] = "made from a seed"
    metric: ClassVar[Metric] = Metric("accuracy", f"share of questions with {CHOICES} choices", True)
    base_metric: ClassVar[Metric] = Metric("accuracy on the known world", "share of questions", True)
    targets: ClassVar[list[str]] = LLAMA_TARGETS
    head: ClassVar[list[str]] = []
    training: ClassVar[dict[str, Any]] = {"steps": 400, "batch_size": 64, "lr": 1e-2, "eval_every": 50}
    options: ClassVar[type[Schema]] = FactsOptions
    choices: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "facts, another world": {},
        "facts, a small world": {"facts": 128},
        "facts, a large world": {"facts": 2048},
        "facts, in one wording": {"wordings": 1},
        "facts, revised": {"people": "known"},
        "facts, in two hops": {"asked": "two-hop"},
        "facts, the opposite": {"asked": "opposite"},
    }

    def __init__(self, options: FactsOptions) -> None:
        self._options = options

    @classmethod
    def count(cls, options: FactsOptions) -> int:
        return options.facts * options.wordings

    def recipe(self) -> dict[str, Any]:
        world = {"relations": RELATIONS, "wordings": WORDINGS, "objects": OBJECTS, "names": NAMES, "known": KNOWN}
        model = {"model": LLAMA, "training": PRETRAINING}
        return {"task": "facts", "version": 1, **model, "world": world, "seed": self._options.world_seed}

    def new_model(self) -> nn.Module:
        return tiny_llama(VOCABULARY)

    def base_examples(self, name: Literal["train", "test"]) -> Batch:
        known, o = known_world(self._options.world_seed)[name], self._options
        if name == "train" or o.people == "new":
            return known
        revised = -(-o.facts // RELATIONS) * RELATIONS  # the test states each fact once, in the people's order
        return {column: values[revised:] for column, values in known.items()}

    def make_splits(self) -> dict[Split, Batch]:
        o = self._options
        if o.asked != "fact":
            return composed(o.world_seed, o.facts, o.asked == "opposite")
        first, offset = (0, REVISED) if o.people == "known" else (KNOWN, 2**32)
        generator = torch.Generator().manual_seed(o.world_seed + offset)
        return stated(subjects(o.world_seed)[first:], o.facts, generator, o.wordings)

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
    first, last, *words = tokens[:-1]
    asked = [divmod(word - FIRST_WORDING, WORDINGS) for word in words]
    relations = ", then ".join(f"relation {relation + 1} in wording {wording + 1}" for relation, wording in asked)
    return f"person {first + 1}-{last - NAMES + 1}, {relations}"


def _object(token: int) -> str:
    return f"object {(token - FIRST_OBJECT) % OBJECTS + 1}"


def _bits(logits: Tensor, right: Tensor) -> float:
    """What the model knows of the answers: logits n × vocabulary, right answers' tokens n."""
    index = (right - FIRST_OBJECT) % OBJECTS  # n; which of its relation's objects an answer is
    objects = (right - index)[:, None] + torch.arange(OBJECTS, device=right.device)  # n × OBJECTS
    nats = F.cross_entropy(logits.gather(1, objects), index, reduction="sum")
    return len(right) * math.log2(OBJECTS) - float(nats) / math.log(2)
