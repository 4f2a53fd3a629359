"""What each arm answers to a few validation examples, those first on which the arms disagree."""

import html
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd
import plotly.graph_objects as go

from neatlab.errors import BadInput
from neatlab.plots.looks import Look
from neatlab.plots.tables import Source, arm_looks, table
from neatlab.plots.theme import new_figure
from neatlab.plots.traces import CURSOR, Trace
from neatlab.runtime.numbers import DASH

__all__ = ["BASE", "NO_ANSWERS", "AnswerData", "ArmAnswers", "answer_text", "answers", "answers_data", "only_right"]

BASE = "before training"
NO_ANSWERS = "These runs were made before answers were kept; train them again to see them."
SIGNS = {1: "✓", 0: "✗"}
SHOWN = 48  # characters of an input beside the figure
ROW = 22  # pixels an example
PICTURE = "picture"


class ArmAnswers(NamedTuple):
    """One arm's answers at one step; the lists have an entry an example, or none.

    Args:
        arm: The arm as one writes it.
        look: Its name, colour and marker; None for the base.
        step: The step that they are from.
        values: Class indices, texts, numbers or lists of numbers; None for what is not a number.
        probability: Of each answer.
        margin: What a class's probability is ahead of the next one's.
        right: 1 where the answer is right, else 0.
        confusion: How often each class (row) was taken for each over the whole split.
    """

    arm: str
    look: Look | None
    step: int
    values: list[Any]
    probability: list[float | None]
    margin: list[float | None]
    right: list[int]
    confusion: list[list[int]]

    @property
    def name(self) -> str:
        """What legends call it."""
        return self.look.name if self.look else self.arm

    @property
    def only_answer(self) -> int | None:
        """The class that it takes every example of the split for; None where it tells some apart."""
        taken = [index for index, column in enumerate(zip(*self.confusion, strict=True)) if any(column)]
        return taken[0] if len(taken) == 1 else None


class AnswerData(NamedTuple):
    """Answers of the arms to the same examples, in the order in which they are worth a look.

    Args:
        inputs: What is shown of an example: "picture", "text" or "nothing"; empty where no answers were kept.
        answers: What an answer is: "class", "text", "number", "outputs" or "loss".
        shown: Each example's text, or its picture as WebP in base64.
        true: What each should give; empty for "loss".
        names: Names of the classes.
        disagreed: How many of the first examples the arms answer differently; 0 for numbers, sorted by their spread.
        base: The base's answers; None where they are not kept.
        arms: The arms' answers, in their order.
        seed: The seed that they are of.
    """

    inputs: str
    answers: str
    shown: list[str]
    true: list[Any]
    names: list[str]
    disagreed: int
    base: ArmAnswers | None
    arms: list[ArmAnswers]
    seed: int


EMPTY = AnswerData("", "", [], [], [], 0, None, [], 0)


def answers_data(
    source: Source, step: int | None = None, arms: Sequence[str] | None = None, seed: int | None = None
) -> AnswerData:
    """What the arms answer, those examples first on which they disagree, then those that all get wrong.

    Numbers have no such line: they stand by how far the arms are apart. A single arm is compared with its base.

    Args:
        source: `Results`, a `Comparison`, or their `answers()`.
        step: The last kept step up to this one; the last by default.
        arms: Order of the arms.
        seed: Whose answers; the first seed by default.

    Raises:
        BadInput: Runs that answer different examples.
    """
    frame = table(source, "answers")
    shown_as = arm_looks(frame, arms)
    if arms is not None:
        frame = frame[frame["arm"].isin(arms)]
    if frame.empty:
        return EMPTY
    rows = frame[frame["seed"] == (frame["seed"].min() if seed is None else seed)]
    first = _example(rows)
    base = next((_arm(row, BASE, None) for row in _records(rows[rows["step"] == 0])), None)
    until = rows if step is None else rows[rows["step"] <= step]
    latest = {row["arm"]: row for row in _records(until.sort_values("step", kind="stable"))}
    shown = [_arm(latest[arm], arm, look) for arm, look in shown_as.items() if arm in latest]
    data = AnswerData(*first, 0, base, shown, int(rows["seed"].iloc[0]))
    return _sorted(data)


def _example(rows: pd.DataFrame) -> tuple[str, str, list[str], list[Any], list[str]]:
    """What the examples are, the same in every row."""
    different = {repr((row["shown"], row["true"])) for row in _records(rows.drop_duplicates("run"))}
    if len(different) > 1:
        raise BadInput(f"these runs answer {len(different)} different sets of examples; give those of one task alone")
    first = rows.iloc[0]
    return first["inputs"], first["answers"], [*first["shown"]], [*first["true"]], [*first["names"]]


def _records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return [dict(zip(rows.columns, values, strict=True)) for values in rows.itertuples(index=False, name=None)]


def _arm(row: dict[str, Any], arm: str, look: Look | None) -> ArmAnswers:
    lists = ([*row[name]] for name in ("values", "probability", "margin", "right", "confusion"))
    return ArmAnswers(arm, look, int(row["step"]), *lists)


def _sorted(data: AnswerData) -> AnswerData:
    compared = data.arms if len(data.arms) > 1 else [*([data.base] if data.base else []), *data.arms]
    values = list(zip(*(arm.values for arm in compared), strict=True))  # of each example, one an arm
    if data.answers in ("class", "text"):
        apart = [len({*given}) for given in values]
        wrong = [not any(arm.right[i] for arm in compared) for i in range(len(values))]
        order = sorted(range(len(values)), key=lambda i: (apart[i] < 2, not wrong[i] if apart[i] < 2 else -apart[i]))
        disagreed = sum(count > 1 for count in apart)
    else:
        order, disagreed = sorted(range(len(values)), key=lambda i: -_spread(values[i])), 0
    return _ordered(data._replace(disagreed=disagreed), order)


def _spread(values: Sequence[Any]) -> float:
    """How far the arms' numbers are apart, where that is most; 0 where one is not a number."""
    outputs = zip(*(value if isinstance(value, list) else [value] for value in values), strict=True)
    known = [given for given in outputs if None not in given]
    return max((max(given) - min(given) for given in known), default=0.0)


def _ordered(data: AnswerData, order: Sequence[int]) -> AnswerData:
    def put(values: list[Any]) -> list[Any]:
        return [values[i] for i in order] if values else []

    def arm(one: ArmAnswers) -> ArmAnswers:
        values, probability, margin, right = map(put, (one.values, one.probability, one.margin, one.right))
        return one._replace(values=values, probability=probability, margin=margin, right=right)

    base = arm(data.base) if data.base else None
    return data._replace(shown=put(data.shown), true=put(data.true), base=base, arms=[arm(one) for one in data.arms])


def only_right(data: AnswerData, arm: ArmAnswers) -> list[int]:
    """Which examples this arm gets right and no other arm does, in the order of `data`."""
    others = [other for other in data.arms if other is not arm]
    return [i for i, right in enumerate(arm.right) if right and not any(other.right[i] for other in others)]


def answer_text(data: AnswerData, value: Any) -> str:
    """An answer, or what is true, for people: a class by its name, a number to three digits."""
    if value is None:
        return DASH
    if isinstance(value, list):
        return ", ".join(answer_text(data, one) for one in value)
    if data.answers == "class":
        return data.names[value] if 0 <= value < len(data.names) else f"class {value}"
    return value if isinstance(value, str) else f"{value:.3g}"


def answers(
    source: Source,
    step: int | None = None,
    arms: Sequence[str] | None = None,
    seed: int | None = None,
    dark: bool = False,
) -> go.Figure:
    """What each arm answers to a few validation examples, beside what the base answers; numbers as points.

    Args:
        source: `Results`, a `Comparison`, or their `answers()`.
        step: The last kept step up to this one; the last by default.
        arms: Order of the arms.
        seed: Whose answers; the first seed by default.
        dark: For a dark page.

    Returns:
        The figure.
    """
    data = answers_data(source, step, arms, seed)
    if not data.answers:
        return new_figure(["", ""], dark=dark).add_annotation(text=NO_ANSWERS, showarrow=False)
    return _table(data, dark) if data.answers in ("class", "text") else _points(data, dark)


def _table(data: AnswerData, dark: bool) -> go.Figure:
    columns = [*([data.base] if data.base else []), *data.arms]
    count = len(data.true)
    cells = [[f"{SIGNS[arm.right[i]]} {_plain(data, arm.values[i])}" for arm in columns] for i in range(count)]
    trace = {
        "type": "heatmap",
        "x": [arm.arm for arm in columns],
        "y": list(range(count)),
        "z": [[arm.right[i] for arm in columns] for i in range(count)],
        "zmin": 0,
        "zmax": 1,
        "text": cells,
        "texttemplate": "%{text}",
        "hovertemplate": "%{x}: %{text}<extra></extra>",
        "colorscale": [[0, "rgba(180,35,24,0.28)"], [1, "rgba(26,127,55,0.20)"]],
        "showscale": False,
        "xgap": 2,
        "ygap": 2,
    }
    figure = new_figure(["", f"example: right {data.answers}"], dark=dark, traces=[trace])
    labels = [_label(data, i) for i in range(count)]
    figure.update_yaxes(tickvals=list(range(count)), ticktext=labels, autorange="reversed", showgrid=False)
    return figure.update_layout(height=80 + ROW * count, xaxis={"side": "top", "showgrid": False})


def _label(data: AnswerData, index: int) -> str:
    """An example beside the figure; a picture has only its class."""
    text = "" if data.inputs == PICTURE else f"{html.escape(_short(data.shown[index]), quote=False)}: "
    return f"{text}{_plain(data, data.true[index])}"


def _plain(data: AnswerData, value: Any) -> str:
    """An answer whose signs Plotly does not take for its own."""
    return html.escape(answer_text(data, value), quote=False)


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def _points(data: AnswerData, dark: bool) -> go.Figure:
    names = {"loss": ["loss before training, nats a token", "loss, nats a token"]}
    traces = [_marks(data, arm) for arm in [*([data.base] if data.base else []), *data.arms]]
    figure = new_figure(names.get(data.answers, ["true value", "predicted value"]), dark=dark, traces=traces)
    values = [value for trace in traces for axis in ("x", "y") for value in trace[axis] if value is not None]
    ends = [min(values, default=0), max(values, default=1)]
    return figure.add_shape(
        {"type": "line", "x0": ends[0], "y0": ends[0], "x1": ends[1], "y1": ends[1]},
        line={"dash": "dot", "width": 1, "color": CURSOR},
    )


def _marks(data: AnswerData, arm: ArmAnswers) -> Trace:
    x, y = point_lists(data, arm)
    marker = {"color": CURSOR, "symbol": "circle-open"}
    if arm.look:
        marker = {"color": arm.look.colour, "symbol": arm.look.marker}
    hover = "%{x:.4g} → %{y:.4g}"
    return {"type": "scatter", "mode": "markers", "name": arm.arm, "x": x, "y": y, "marker": marker} | {
        "hovertemplate": f"{hover}<extra>%{{fullData.name}}</extra>"
    }


def point_lists(data: AnswerData, arm: ArmAnswers) -> tuple[list[Any], list[Any]]:
    """Where an arm's numbers stand: what is true, or the base's loss, and what it answers."""
    true = data.true or (data.base.values if data.base else arm.values)
    return _flat(true), _flat(arm.values)


def _flat(values: Sequence[Any]) -> list[Any]:
    return [one for value in values for one in (value if isinstance(value, list) else [value])]


def mean_error(data: AnswerData, arm: ArmAnswers) -> float:
    """Mean absolute error of an arm's numbers, or its mean loss; NaN where one is not a number."""
    x, y = point_lists(data, arm)
    pairs = [(0.0 if data.answers == "loss" else true, given) for true, given in zip(x, y, strict=True)]
    if not pairs or any(None in pair for pair in pairs):
        return math.nan
    return sum(abs(given - true) for true, given in pairs) / len(pairs)
