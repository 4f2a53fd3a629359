"""arithmetic: its problems are right, no pair of numbers is in two splits, exact match is what greedy writing gets."""

import pytest
import torch

from neatlab.errors import BadInput
from neatlab.tasks import load_task
from neatlab.tasks.arithmetic import ANSWER, TEST, _known, _problems, decode

SPLITS = ("train", "validation", "test")


def problems(text):
    """Problems as Python reads them: (a, sign, b, answer), each number's digits turned round."""
    for line in text:
        question, answer = line.split("=")
        sign = "+" if "+" in question else "-"
        a, b = question.split(sign)
        yield a[::-1], sign, b[::-1], answer[::-1]


@pytest.mark.parametrize(("operation", "base"), [("subtraction", 10), ("addition", 8), ("subtraction", 6)])
def test_every_answer_is_right(operation, base):
    task = load_task("arithmetic", {"operation": operation, "number_base": base})
    for split in SPLITS:
        for a, sign, b, answer in problems(decode(task.split(split)["tokens"])):
            x, y = int(a, base), int(b, base)
            assert int(answer, base) == (x + y if sign == "+" else x - y) >= 0
            assert sign == "-+"[operation == "addition"]


@pytest.mark.parametrize("base", [10, 8])
def test_without_carrying_and_the_larger_number(base):
    for operation, sign in (("carryless", "+"), ("larger", "-")):
        task = load_task("arithmetic", {"operation": operation, "number_base": base})
        for a, given, b, answer in problems(decode(task.split("validation")["tokens"])):
            digitwise = "".join(str((int(x) + int(y)) % base) for x, y in zip(a, b, strict=True))
            assert (given, answer) == (sign, "0" + (digitwise if operation == "carryless" else max(a, b)))


def test_addition_in_another_base_is_not_decimal_addition():
    task = load_task("arithmetic", {"operation": "addition", "number_base": 8})
    decimal = [int(a) + int(b) == int(c) for a, _, b, c in problems(decode(task.split("test")["tokens"]))]
    assert sum(decimal) < 0.2 * len(decimal)


def pairs_in(text):
    return {frozenset((a, b)) for a, _, b, _ in problems(text)}


@pytest.mark.parametrize("number_base", [6, 7, 8, 9, 10])
def test_no_pair_of_numbers_is_in_two_splits_nor_in_what_the_base_saw(number_base):
    task = load_task("arithmetic", {"samples": 3000, "number_base": number_base, "operation": "subtraction"})
    train, validation, test = (pairs_in(decode(task.split(split)["tokens"])) for split in SPLITS)
    base = pairs_in(decode(_problems(_known(number_base, 0), "addition", 10)["tokens"]))
    assert (len(train), len(test)) == (3000, TEST)
    assert not train & validation
    assert not train & test
    assert not validation & test
    assert not base & (validation | test)
    assert len(base) > 36_000


@pytest.mark.parametrize("samples", [1, 10_000])
def test_there_are_as_many_problems_as_asked_for_even_in_the_smallest_base(samples):
    task = load_task("arithmetic", {"operation": "addition", "number_base": 6, "samples": samples})
    assert len(task.split("train")["tokens"]) == samples


def test_more_training_problems_leave_validation_and_test_alone():
    few, many = (load_task("arithmetic", {"samples": samples}) for samples in (10, 5000))
    assert torch.equal(few.split("test")["tokens"], many.split("test")["tokens"])
    assert torch.equal(few.split("validation")["tokens"], many.split("validation")["tokens"])


def test_exact_match_is_what_writing_greedily_gets():
    task = load_task("arithmetic", {"operation": "addition", "number_base": 8})  # some right, most wrong
    model = task.base_model().eval()
    tokens = task.split("validation")["tokens"]
    told = tokens[:, :-ANSWER]
    for _ in range(ANSWER):
        with torch.no_grad():
            told = torch.cat([told, model(input_ids=told).logits[:, -1:].argmax(2)], dim=1)
    greedy = (told == tokens).all(1).double().mean().item()
    assert 0 < greedy < 0.5
    assert task.score(model, "validation").metric == pytest.approx(greedy)


def test_what_the_base_knows_is_no_task():
    with pytest.raises(BadInput, match="the base model knows addition in base 10"):
        load_task("arithmetic", {"operation": "addition"})
    with pytest.raises(BadInput, match="operation='division'"):
        load_task("arithmetic", {"operation": "division"})
