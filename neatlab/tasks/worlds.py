"""Worlds of subject–relation–object facts, stated as tokens: one that a base knows, others, and what follows."""

from functools import cache

import torch
from torch import Tensor

from neatlab.tasks.base import Batch, Split

NAMES = 48  # first names, and as many last names
RELATIONS, WORDINGS, OBJECTS = 4, 6, 16  # objects a relation
CHOICES = 4
STATED = 4  # wordings of a fact to train on; of the other two one is asked for validation, one for the test
KNOWN = 256  # subjects of the base's world
COMPOSED, REVISED = 1_000_003, 2_000_003  # added to a world's seed for what is drawn beside it
FIRST_WORDING = 2 * NAMES
FIRST_OBJECT = FIRST_WORDING + RELATIONS * WORDINGS
VOCABULARY = FIRST_OBJECT + RELATIONS * OBJECTS


@cache
def subjects(seed: int) -> Tensor:
    """All subjects in the order of a seed, each a first and a last name: n × 2."""
    order = torch.randperm(NAMES * NAMES, generator=torch.Generator().manual_seed(seed))
    return torch.stack([order // NAMES, NAMES + order % NAMES], dim=1)


@cache
def known_world(seed: int) -> dict[Split, Batch]:
    """The facts that the base knows."""
    return stated(subjects(seed)[:KNOWN], KNOWN * RELATIONS, torch.Generator().manual_seed(seed))


def stated(people: Tensor, facts: int, generator: torch.Generator, worded: int = STATED) -> dict[Split, Batch]:
    """The first `facts` of a drawn world, each wording of a fact in one split.

    Args:
        people: Subjects, n × 2; four facts of each.
        facts: How many facts.
        generator: Draws objects, distractors and wordings.
        worded: Wordings of each fact to train on.
    """
    which = torch.arange(facts)
    relation = which % RELATIONS
    objects = _objects(facts, generator)[:, :CHOICES]  # the first one is right
    words = _words(relation, generator)[:, :, None]
    choices = FIRST_OBJECT + relation[:, None] * OBJECTS + objects  # facts × CHOICES
    return _split(people[which // RELATIONS], words, choices, worded)


def _words(relation: Tensor, generator: torch.Generator) -> Tensor:
    """The wordings of each fact's relation (facts) in an order of its own: facts × WORDINGS."""
    wordings = torch.rand(len(relation), WORDINGS, generator=generator).argsort(1)
    return FIRST_WORDING + relation[:, None] * WORDINGS + wordings


def _split(people: Tensor, words: Tensor, choices: Tensor, worded: int = STATED) -> dict[Split, Batch]:
    """Statements with their choices: one wording for validation, one for the test, others to train on.

    Args:
        people: Of each fact, facts × 2.
        words: Its wordings, of one token or more each: facts × WORDINGS × tokens.
        choices: Its choices, the right one first: facts × CHOICES.
        worded: Wordings to train on.
    """

    def statements(word: Tensor) -> Batch:
        tokens = torch.cat([people, word, choices[:, :1]], dim=1)
        return {"tokens": tokens, "choices": choices}

    train = [statements(words[:, index]) for index in range(2, 2 + worded)]
    return {
        "train": {column: torch.cat([part[column] for part in train]) for column in ("tokens", "choices")},
        "validation": statements(words[:, 0]),
        "test": statements(words[:, 1]),
    }


def _objects(facts: int, generator: torch.Generator) -> Tensor:
    """A relation's objects in an order of each fact's own, whose first one is right: facts × OBJECTS."""
    return torch.rand(facts, OBJECTS, generator=generator).argsort(1)


@cache
def composed(seed: int, facts: int, is_opposite: bool) -> dict[Split, Batch]:
    """Questions on people that the base knows, whose answers follow from what it knows by a link λ.

    A question is "first last wording wording". With O_A the known object in relation A, the answer is λ_A(O_A). Where
    the opposite is asked for, both wordings are the same one of A and λ_A pairs the objects of A; in two hops the
    second is of the next relation B and λ_A maps A's objects onto B's. Wordings go to the splits as in `stated`.

    Args:
        seed: Seed of the worlds.
        facts: Facts that are asked about, four to a person.
        is_opposite: Whether the opposite is asked for, or the second hop.
    """
    generator = torch.Generator().manual_seed(seed + COMPOSED)
    which = torch.arange(facts)
    relation = which % RELATIONS
    known = _objects(KNOWN * RELATIONS, torch.Generator().manual_seed(seed))[which, 0]  # as in `known_world`
    links = torch.stack([_link(is_opposite, generator) for _ in range(RELATIONS)])  # RELATIONS × OBJECTS
    order = _objects(facts, generator).float()
    order.scatter_(1, links[relation, known][:, None], -2.0)  # the right one is the first choice
    if is_opposite:
        order.scatter_(1, known[:, None], -1.0)  # and what is so the second: it is not the opposite
    answered = relation if is_opposite else (relation + 1) % RELATIONS
    choices = FIRST_OBJECT + answered[:, None] * OBJECTS + order.argsort(1)[:, :CHOICES]  # facts × CHOICES
    first = _words(relation, generator)  # facts × WORDINGS
    second = first if is_opposite else _words(answered, generator)
    return _split(subjects(seed)[which // RELATIONS], torch.stack([first, second], dim=2), choices)


def _link(is_opposite: bool, generator: torch.Generator) -> Tensor:
    """A map of the objects of a relation; an opposite is its own inverse, and nothing is its own opposite."""
    order = torch.randperm(OBJECTS, generator=generator)
    pairs = order.view(-1, 2).flip(1).flatten()
    return torch.empty_like(order).scatter(0, order, pairs) if is_opposite else order
