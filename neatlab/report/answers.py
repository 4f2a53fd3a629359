"""What each arm answers, as HTML that reports and the page share: examples with every arm's answer, or points."""

from typing import Any, NamedTuple

from markupsafe import Markup

from neatlab.plots.answers import (
    NO_ANSWERS,
    AnswerData,
    ArmAnswers,
    answer_text,
    answers_data,
    mean_error,
    only_right,
    point_lists,
)
from neatlab.report.markup import key
from neatlab.runs.comparison import Comparison
from neatlab.runtime.numbers import DASH, is_known, number
from neatlab.runtime.templates import macros

__all__ = ["AnswerData", "answers_data", "panel", "score", "section"]

WIDTH, HEIGHT, EDGE = 440, 190, 26  # of the picture of points
BASE_MARKER = "circle"  # open
SHAPES = {  # marker of plots.looks → its outline around a point
    "circle": "m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0",
    "square": "m-2.7-2.7h5.4v5.4h-5.4z",
    "diamond": "m0-4l4 4-4 4-4-4z",
    "triangle-up": "m0-3.8l3.6 6.4h-7.2z",
    "cross": "m-1-3.5h2v2.500h2.500v2h-2.500v2.500h-2v-2.500h-2.500v-2h2.500z",
    "x": "m-3-3l6 6m-6 0l6-6",
    "triangle-down": "m0 3.8l3.6-6.4h-7.2z",
    "star": "m0-4l1.100 2.800 3 .2-2.300 1.900.8 2.900-2.600-1.600-2.600 1.600.8-2.900-2.300-1.900 3-.2z",
    "hexagon": "m-3.300-2l3.300-2 3.300 2v4l-3.300 2-3.300-2z",
    "pentagon": "m0-3.800l3.700 2.700-1.400 4.400h-4.600l-1.400-4.400z",
}


class Answer(NamedTuple):
    """One arm's answer to one example; `right` is None where an answer is neither right nor wrong."""

    arm: ArmAnswers
    key: Markup
    text: str
    detail: str
    right: int | None


class Card(NamedTuple):
    """One example: what is shown of it, what is true, and every arm's answer."""

    shown: str
    true: str
    is_apart: bool
    answers: list[Answer]


def section(comparison: Comparison, arms: list[str], where: str) -> Markup:
    """The answers at the end of the runs of a comparison under a heading; nothing for runs without.

    Args:
        comparison: Runs of one setting.
        arms: The arms; their order gives the colours.
        where: Ends the heading.
    """
    data = answers_data(comparison, arms=arms)
    if not data.answers:
        return Markup("")
    return macros(__file__).section(where, _words(data), panel(data))


def _words(data: AnswerData) -> str:
    count, steps = _count(data), sorted({arm.step for arm in data.arms})
    first = f"; {data.disagreed} of them, the first, are answered differently" if data.disagreed else ""
    return f"{count} examples of the validation split, seed {data.seed}, step {' and '.join(map(str, steps))}{first}."


def panel(data: AnswerData) -> Markup:
    """The examples with every arm's answer; numbers as points too. A sentence where there are none."""
    if not data.answers:
        return macros(__file__).nothing(NO_ANSWERS)
    columns = _columns(data)
    scores = [(_key(arm), arm.name, score(data, arm)) for arm in columns]
    cards = [] if data.inputs == "nothing" else [_card(data, i) for i in range(_count(data))]
    marks = [] if data.answers in ("class", "text") else _points(data)
    only = [(_key(arm), arm, [cards[i] for i in only_right(data, arm)]) for arm in data.arms] if data.true else []
    return macros(__file__).panel(
        data,
        scores,
        cards,
        marks,
        _ends(data),
        [(_key(arm), arm.name, arm.confusion) for arm in columns if arm.confusion],
        [entry for entry in only if len(data.arms) > 1 and entry[2]],
        [answer_text(data, i) for i in range(len(data.arms[0].confusion if data.arms else ()))],
    )


def score(data: AnswerData, arm: ArmAnswers) -> str:
    """How an arm does on these examples, in a few characters."""
    if arm.right:
        return f"{sum(arm.right)} of {len(arm.right)}"
    return f"{'mean loss' if data.answers == 'loss' else 'mean error'} {number(mean_error(data, arm), 3)}"


def _columns(data: AnswerData) -> list[ArmAnswers]:
    return [*([data.base] if data.base else []), *data.arms]


def _count(data: AnswerData) -> int:
    return len(data.arms[0].values) if data.arms else len(data.true)


def _key(arm: ArmAnswers) -> Markup:
    return key(arm.look, line=False) if arm.look else macros(__file__).base_key()


def _card(data: AnswerData, index: int) -> Card:
    given = [_answer(data, arm, index) for arm in _columns(data)]
    true = answer_text(data, data.true[index]) if data.true else ""
    return Card(data.shown[index], true, index < data.disagreed, given)


def _answer(data: AnswerData, arm: ArmAnswers, index: int) -> Answer:
    right = arm.right[index] if arm.right else None
    return Answer(arm, _key(arm), answer_text(data, arm.values[index]), _detail(data, arm, index), right)


def _detail(data: AnswerData, arm: ArmAnswers, index: int) -> str:
    """A picture's class with its probability, a text's with what it is ahead of the next by."""
    values = arm.margin if data.inputs == "text" and arm.margin else arm.probability
    if not values:
        return ""
    value = values[index]
    if value is None or not is_known(value):
        return DASH
    return f"+{value:.2f}" if values is arm.margin else f"{value:.0%}"


class Marks(NamedTuple):
    """One arm's points as the outline of one shape."""

    arm: str
    colour: str
    path: str
    is_open: bool


def _ends(data: AnswerData) -> tuple[float, float]:
    """Lowest and highest number of all, true ones and answers."""
    values = [v for arm in _columns(data) for axis in point_lists(data, arm) for v in axis if _is_number(v)]
    low, high = min(values, default=0.0), max(values, default=1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _points(data: AnswerData) -> list[Marks]:
    low, high = _ends(data)

    def place(x: float, y: float) -> str:
        across, up = ((value - low) / (high - low) for value in (x, y))
        return f"M{EDGE + across * (WIDTH - 2 * EDGE):.1f} {HEIGHT - EDGE - up * (HEIGHT - 2 * EDGE):.1f}"

    marks = []
    for arm in _columns(data):
        marker, colour = (arm.look.marker, arm.look.colour) if arm.look else (BASE_MARKER, "currentColor")
        pairs = zip(*point_lists(data, arm), strict=True)
        path = "".join(place(x, y) + SHAPES[marker] for x, y in pairs if _is_number(x) and _is_number(y))
        marks.append(Marks(arm.name, colour, path, arm.look is None or marker == "x"))
    return marks
