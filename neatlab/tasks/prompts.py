"""What `chat` asks for, one row each of ASKED: an instruction, and prompts with the one answer that is right.

No two splits share a text: of problems and bookings their numbers and names are held out too.
"""

import json
import operator
import random
from collections.abc import Callable
from itertools import islice, product
from typing import NamedTuple

from neatlab.tasks.base import Split
from neatlab.tasks.intents import intent_splits

Problem = tuple[str, Callable[[int, int], int]]
INTENTS = 8
TEST_TO_VALIDATION = 3
PROBLEMS: tuple[Problem, ...] = (
    ("{name} has {a} {thing} and buys {b} more. How many {thing} does {name} have now?", operator.add),
    ("There are {a} {thing} in one box and {b} in another. How many {thing} are there in both?", operator.add),
    ("{name} finds {b} {thing} on Monday and {a} on Tuesday. How many {thing} is that?", operator.add),
    ("{name} has {a} {thing} and gives {b} of them away. How many {thing} are left?", operator.sub),
    ("A shop had {a} {thing} and sold {b}. How many {thing} does it still have?", operator.sub),
    ("{name} wants {a} {thing} and has {b}. How many {thing} are missing?", operator.sub),
)
BOOKINGS = (
    "This is {name}. I would like a table for {guests} on {day} at {hour}.",
    "Could you keep a table for {guests} people, {day} at {hour}? My name is {name}.",
    "{day}, {hour}: {guests} of us will come for dinner. Please book it for {name}.",
    "Hello, {name} here! Do you have room for {guests} at {hour} on {day}?",
)
NAMES = (
    "Ada",
    "Boris",
    "Clara",
    "David",
    "Elif",
    "Femi",
    "Greta",
    "Hugo",
    "Ines",
    "Jonas",
    "Kofi",
    "Lena",
    "Maya",
    "Nils",
)
THINGS = ("apples", "books", "stamps", "coins", "pencils", "shells", "tickets", "cards")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MOST, HOURS, GUESTS = 10, range(17, 23), range(2, 10)


class Example(NamedTuple):
    """What is written to the model, and what it should answer."""

    prompt: str
    answer: str


Drawn = dict[Split, list[Example]]


class Request(NamedTuple):
    """One row of ASKED.

    Args:
        instruction: What every prompt comes after.
        draw: Seed, training and test examples → examples of each split.
    """

    instruction: str
    draw: Callable[[int, int, int], Drawn]


def _intents(seed: int, train: int, test: int) -> Drawn:
    """Questions of customers to a bank, and their intent in words."""
    counts = (test // INTENTS, test // INTENTS // TEST_TO_VALIDATION, train // INTENTS)
    parts = intent_splits("banking77", seed, INTENTS, counts)
    labelled = [(label.replace("_", " ").rstrip("?").lower(), splits) for label, splits in parts.items()]
    splits: tuple[Split, ...] = ("train", "validation", "test")
    return {name: [Example(text, label) for label, part in labelled for text in part[name]] for name in splits}


def _problems(seed: int, train: int, test: int) -> Drawn:
    """Word problems of two numbers; no two splits share the two numbers of a problem."""
    draw, counts = random.Random(seed), _counts(train, test)  # noqa: S311
    pairs = [(a, b) for a in range(3, MOST + 1) for b in range(2, a)]
    draw.shuffle(pairs)
    drawn: Drawn = {}
    for name, count in counts.items():
        left = sum(counts.values()) - sum(map(len, drawn.values()))
        own = [pairs.pop() for _ in range(-(-len(pairs) * count // left))]  # as large a share of the pairs as of all
        drawn[name] = [_problem(draw, *one) for one in draw.sample([*product(PROBLEMS, THINGS, own)], count)]
    return drawn


def _problem(draw: random.Random, problem: Problem, thing: str, pair: tuple[int, int]) -> Example:
    (text, answer), (a, b) = problem, pair
    return Example(text.format(a=a, b=b, name=draw.choice(NAMES), thing=thing), str(answer(a, b)))


def _bookings(seed: int, train: int, test: int) -> Drawn:
    """Bookings of a table, and the same as JSON; no two splits share name, guests, day and hour of one."""
    draw = random.Random(seed)  # noqa: S311
    counts = _counts(train, test)
    every = [*product(NAMES, GUESTS, DAYS, HOURS)]
    rows = iter([_booking(draw, *one) for one in draw.sample(every, sum(counts.values()))])
    return {name: [*islice(rows, count)] for name, count in counts.items()}


def _booking(draw: random.Random, name: str, guests: int, day: str, hour: int) -> Example:
    values = {"name": name, "guests": guests, "day": day, "hour": hour}
    return Example(draw.choice(BOOKINGS).format(**values | {"hour": f"{hour - 12} pm"}), json.dumps(values))


def _counts(train: int, test: int) -> dict[Split, int]:
    return {"test": test, "validation": test // TEST_TO_VALIDATION, "train": train}


ASKED: dict[str, Request] = {
    "intent": Request("Name the customer's intent.", _intents),
    "problem": Request("Answer with the number alone.", _problems),
    "booking": Request("Write the booking as JSON.", _bookings),
}
