"""facts: two worlds without a common subject, questions never seen, and bits counted as a code would."""

import math

import pytest
import torch
from torch import nn

from neatlab.adapters.attach import attach
from neatlab.adapters.methods import METHODS
from neatlab.errors import BadInput
from neatlab.tasks import load_task
from neatlab.tasks.worlds import CHOICES, FIRST_OBJECT, KNOWN, OBJECTS, RELATIONS, VOCABULARY, WORDINGS, known_world

SPLITS = ("train", "validation", "test")


@pytest.fixture
def task():
    return load_task("facts", {"facts": 50})


def people(batch):
    return set(map(tuple, batch["tokens"][:, :2].tolist()))


def questions(batch):
    return set(map(tuple, batch["tokens"][:, :3].tolist()))


def test_the_worlds_have_no_subject_in_common_and_the_base_knows_every_name(task):
    known = people(known_world(0)["train"])
    learnt = people(task.split("train"))
    assert len(known) == KNOWN
    assert not known & learnt
    for place in range(2):
        assert {person[place] for person in learnt} <= {person[place] for person in known}


def test_each_fact_is_stated_in_every_wording_once_and_always_the_same(task):
    told = [tuple(row) for split in SPLITS for row in task.split(split)["tokens"].tolist()]
    assert len(told) == len(set(told)) == 50 * WORDINGS
    facts = {(first, last, (word - 2 * 48) // WORDINGS, answer) for first, last, word, answer in told}
    assert len(facts) == 50
    assert len({fact[:3] for fact in facts}) == 50


def test_no_question_is_in_two_splits(task):
    train, validation, test = (questions(task.split(split)) for split in SPLITS)
    assert not train & validation
    assert not train & test
    assert not validation & test


def test_choices_are_different_objects_of_the_relation_and_the_right_one_is_any(task):
    batch = task.split("test")
    relation = (batch["tokens"][:, 2] - 2 * 48) // WORDINGS
    assert torch.equal((batch["choices"] - FIRST_OBJECT) // OBJECTS, relation[:, None].expand(-1, CHOICES))
    assert all(len(set(row)) == CHOICES for row in batch["choices"].tolist())
    assert torch.equal(batch["choices"][:, 0], batch["tokens"][:, -1])
    assert len(set(batch["tokens"][:, -1].tolist())) > OBJECTS
    assert batch["tokens"].max() < VOCABULARY


def test_a_base_that_was_never_told_does_no_better_than_chance():
    task = load_task("facts", {"facts": 1024})
    assert task.score(task.base_model(), "test").metric == pytest.approx(1 / CHOICES, abs=0.06)


def test_bits_are_those_a_code_saves(task):
    model = task.base_model().eval()
    batch = task.split("test")
    with torch.no_grad():
        logits = model(input_ids=batch["tokens"][:, :3]).logits[:, -1].double()
    saved = 0.0
    for row, answer in zip(logits, batch["tokens"][:, -1].tolist(), strict=True):
        first = FIRST_OBJECT + (answer - FIRST_OBJECT) // OBJECTS * OBJECTS
        shares = torch.softmax(row[first : first + OBJECTS], 0)
        saved += math.log2(OBJECTS) + math.log2(shares[answer - first])
    assert task.score(model, "test").extras["bits"] == pytest.approx(saved, rel=1e-4)


def objects(batch):
    return (batch["tokens"][:, -1] - FIRST_OBJECT) % OBJECTS


def known_object(person, word):
    """The base's object in the relation of this wording."""
    told = known_world(0)["train"]["tokens"]
    relation = (word - 2 * 48) // WORDINGS
    is_it = (told[:, :2] == torch.tensor(person)).all(1) & ((told[:, 2] - 2 * 48) // WORDINGS == relation)
    return int(told[is_it][0, -1] - FIRST_OBJECT) % OBJECTS, relation


@pytest.mark.parametrize("asked", ["opposite", "two-hop"])
def test_what_follows_does_so_by_one_link_for_all_people(asked):
    task = load_task("facts", {"facts": 200, "asked": asked})
    train, validation, test = (questions_of(task.split(split)) for split in SPLITS)
    assert not train & validation and not train & test and not validation & test
    links = {}
    for split in SPLITS:
        batch = task.split(split)
        for (first, last, word, second, _), answer in zip(
            batch["tokens"].tolist(), objects(batch).tolist(), strict=True
        ):
            known, relation = known_object([first, last], word)
            assert (second - 2 * 48) // WORDINGS == (relation if asked == "opposite" else (relation + 1) % RELATIONS)
            assert links.setdefault((relation, known), answer) == answer
    if asked == "opposite":
        assert all(
            links.get((relation, answer), known) == known != answer for (relation, known), answer in links.items()
        )
    for relation in range(RELATIONS):
        values = [answer for (own, _), answer in links.items() if own == relation]
        assert len(set(values)) == len(values)


def questions_of(batch):
    return set(map(tuple, batch["tokens"][:, :-1].tolist()))


def test_the_opposite_of_what_is_known_is_what_the_base_never_says():
    task = load_task("facts", {"asked": "opposite"})
    batch = task.split("test")
    assert all(len(set(row)) == CHOICES for row in batch["choices"].tolist())
    assert task.score(task.base_model(), "test").metric < 0.05


def test_revised_facts_are_of_known_people_and_what_is_not_revised_may_be_forgotten():
    task = load_task("facts", {"facts": 64, "people": "known"})
    revised, left = people(task.split("train")), people(task.base_examples("test"))
    assert revised <= people(known_world(0)["train"])
    assert not revised & left and len(revised | left) == KNOWN
    assert task.score(task.base_model(), "test").metric < 0.5
    assert task.base_score(task.base_model()) > 0.9
    assert task.recipe() == load_task("facts", {}).recipe()


def test_fewer_wordings_leave_validation_and_test_alone():
    one, four = (load_task("facts", {"facts": 50, "wordings": wordings}) for wordings in (1, 4))
    assert len(one.split("train")["tokens"]) == 50
    assert torch.equal(one.split("test")["tokens"], four.split("test")["tokens"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"asked": "two-hop", "wordings": 2}, "leave out people and wordings"),
        ({"asked": "opposite", "people": "known"}, "leave out people and wordings"),
        ({"asked": "opposite", "facts": 1025}, "take facts=1024 or fewer"),
        ({"people": "known", "facts": 513}, "take facts=512 or fewer"),
    ],
)
def test_questions_that_the_base_has_no_people_for(options, said):
    with pytest.raises(BadInput, match=said):
        load_task("facts", options)


class Unmoved(nn.Module):
    """Gives every word the same logit."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(10))

    def forward(self, input_ids, logits_to_keep):
        logits = torch.zeros(len(input_ids), logits_to_keep, VOCABULARY)
        return type("Output", (), {"logits": logits})


def test_a_model_that_guesses_evenly_knows_no_bits(task):
    extras = task.score(Unmoved(), "test").extras
    assert extras == pytest.approx({"bits": 0, "bits_per_parameter": 0}, abs=1e-3)


def test_capacity_counts_the_parameters_that_train(task):
    adapted = attach(task.base_model(), "lora", METHODS["lora"].options(rank=2), task.targets, task.head)
    count = sum(p.numel() for p in adapted.adapter_parameters())
    extras = task.score(adapted.model, "test").extras
    assert extras["bits_per_parameter"] == pytest.approx(extras["bits"] / count)


def test_worlds_hold_as_many_facts_as_asked_for():
    largest = load_task("facts", {"facts": 8192})
    assert len(questions(largest.split("test"))) == 8192
    assert len(people(largest.split("test"))) == 8192 // RELATIONS
    with pytest.raises(BadInput, match="facts=8193"):
        load_task("facts", {"facts": 8193})
