"""How far an act can go: one of its options at several values, and the smallest adapter that is still as good."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from neatlab.editing.acting import make_prover
from neatlab.editing.acts import ACTS, Act, make_act
from neatlab.editing.acts.base import items
from neatlab.editing.opening import open_editable
from neatlab.editing.proof import Proof, Prover
from neatlab.editing.state import Editable
from neatlab.editing.writing import write
from neatlab.errors import BadInput, shown, unknown
from neatlab.runs.frames import without_nan
from neatlab.runtime.files import PathLike
from neatlab.runtime.lazy import lazy
from neatlab.schema import parse_pairs
from neatlab.tasks import TaskSpec

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = lazy("pandas")

SWEPT = {  # act → the options that can take several values
    "compress": ("rank", "energy", "parameters"),
    "scale": ("factor",),
    "rewind": ("alpha",),
    "reduce-intruders": ("lambda",),
}
ENOUGH = ("better", "as good", "not worse")  # verdicts of an adapter that may take the place of the one before
MAX_VALUES = 50


class SweptAct(NamedTuple):
    """An act at several values of one option.

    Args:
        option: As in "compress:rank".
        acts: Value → the act.
    """

    option: str
    acts: dict[float, Act]


@dataclass(frozen=True)
class EditPoint:
    """The adapter at one value.

    Args:
        value: Of the option.
        parameters: Numbers in the layers' tensors.
        bytes: Of the file with the tensors.
        relative_frobenius: ‖ΔW′ − ΔW‖/‖ΔW‖ over all layers; NaN where ΔW = 0.
        proof: Scores before and after on the validation split.
    """

    value: float
    parameters: int
    bytes: int
    relative_frobenius: float
    proof: Proof


@dataclass(frozen=True)
class EditCurve:
    """An act at several values of one option, scored on validation data.

    Args:
        adapter: What was edited, for people.
        option: Act and option, as in "compress:rank".
        parameters: Numbers in the layers' tensors before.
        points: A point a value.
        smallest: The value of the smallest adapter that is as good on validation data; None where none is.
        act: The act that makes it; empty where there is none.
        test: Its scores on the test split, looked at once; None where there is none.

    Example:
        >>> import neatlab
        >>> result = neatlab.compare("teacher:d_in=16,d_out=16", ["lora:rank=4"], seeds=1, steps=20)
        >>> curve = neatlab.edit_curve(result.runs[0].run_id, "compress:rank=1+2+4")
        >>> [point.parameters for point in curve.points]
        [32, 64, 128]
    """

    adapter: str
    option: str
    parameters: int
    points: tuple[EditPoint, ...]
    smallest: float | None
    act: str
    test: Proof | None

    @property
    def metric(self) -> str:
        """Name of the task's metric."""
        return self.points[0].proof.metric

    @property
    def base_metric(self) -> str | None:
        """Name of the base's metric; None where the task has none."""
        return self.points[0].proof.base_metric

    @property
    def sentence(self) -> str:
        """Which adapter to take, and what it scores on examples that had no say in that."""
        if self.smallest is None or self.test is None:
            margin = self.points[0].proof.margin
            return f"None of these is shown to be as good as the adapter to within {margin:g} on validation data."
        small = next(point for point in self.points if point.value == self.smallest)
        chosen = f"Smallest that is as good on validation data: {self.act}, {small.parameters:,} parameters"
        return f"{chosen} of {self.parameters:,}. On the test split, {self.test.sentence}"

    def frame(self) -> "pd.DataFrame":
        """One row a value: value, parameters, bytes, relative_frobenius, metric, low, high, verdict, base_metric.

        `low` and `high` are the ends of the 95 % interval of the difference to the adapter before.
        """
        return pd.DataFrame([_row(point) for point in self.points])

    def to_dict(self) -> dict[str, Any]:
        """The whole as plain values, NaN as None."""
        values: dict[str, Any] = without_nan(asdict(self))
        return values | {"sentence": self.sentence}


def edit_curve(
    adapter: PathLike,
    act: str,
    base: PathLike | None = None,
    *,
    task: str | TaskSpec = "own",
    margin: float | None = None,
    runs: PathLike = "runs",
    on_value: Callable[[int, int, str], None] | None = None,
) -> EditCurve:
    """Score an adapter at several values of an act's option, and name the smallest that is as good.

    Every value is judged on the validation split, paired by example with the adapter as it was; the test split is
    looked at once, for the value that was chosen.

    Args:
        adapter: As for `edit`.
        act: An act with several values of one option, such as "compress:rank=1+2+4" or "rewind:alpha=0.5+0.75+1".
        base: As for `edit`.
        task: "own" for that of a run or of what the lab exported, or a task as `compare` takes it.
        margin: The largest difference in score that does not matter; the metric's own by default.
        runs: The runs folder.
        on_value: Called before each value with how many are done, how many there are, and the act.

    Returns:
        The curve, with `.frame()`, `.smallest` and `.test`; `neatlab.plots.edit_curve` draws it.

    Raises:
        BadInput: An act that cannot be varied or done, or an adapter that the task cannot score.
    """
    swept = parse_swept(act)
    with torch.no_grad(), open_editable(adapter, base, runs) as editable, tempfile.TemporaryDirectory() as folder:
        prover, count = make_prover(task, margin, editable), sum(editable.origin.parameters.values())
        written = _Written(editable, prover, Path(folder))
        points = []
        for done, (value, one) in enumerate(swept.acts.items()):
            if on_value:
                on_value(done, len(swept.acts), one.text)
            points.append(written.point(value, one))
        best, title = smallest(points), editable.origin.title
        if best is None:
            return EditCurve(title, swept.option, count, tuple(points), None, "", None)
        chosen = best.value, swept.acts[best.value].text, written.test(best)
        return EditCurve(title, swept.option, count, tuple(points), *chosen)


class _Written:
    """The adapter at each value, as folders that are scored.

    Args:
        editable: The adapter as it was opened.
        prover: Scores.
        folder: Where they are written.
    """

    def __init__(self, editable: Editable, prover: Prover, folder: Path) -> None:
        self._editable, self._prover, self._folder = editable, prover, folder
        self._before = prover.scores(editable.origin.path, "validation")

    def point(self, value: float, act: Act) -> EditPoint:
        """The adapter at a value, on validation data."""
        out = self._folder / f"{value:g}"
        edited = write(act(self._editable), (act.text,), out)
        is_smaller = edited.parameters_after < edited.parameters_before
        proof = self._prover.proof(self._before, self._prover.scores(out, "validation"), is_smaller)
        return EditPoint(value, edited.parameters_after, edited.bytes_after, edited.relative_frobenius, proof)

    def test(self, point: EditPoint) -> Proof:
        """The adapter at a value on the test split."""
        before, after = (
            self._prover.scores(one) for one in (self._editable.origin.path, self._folder / f"{point.value:g}")
        )
        return self._prover.proof(before, after, point.parameters < sum(self._editable.origin.parameters.values()))


def smallest(points: Sequence[EditPoint]) -> EditPoint | None:
    """The point with the fewest parameters that is as good; of equals the smallest value, which changes W₀ least."""
    enough = [point for point in points if point.proof.verdict in ENOUGH]
    return min(enough, key=lambda point: (point.parameters, abs(point.value)), default=None)


def parse_swept(text: str) -> SweptAct:
    """An act with several values of one option.

    Args:
        text: Such as "compress:rank=1+2+4".

    Raises:
        BadInput: An act that has no such option, or not several values of one.
    """
    name, _, rest = text.strip().partition(":")
    if name not in ACTS:
        raise unknown("act", name, ACTS)
    if name not in SWEPT:
        raise BadInput(f"act {name!r} has no option to vary; allowed: {', '.join(SWEPT)}")
    options = parse_pairs(rest.split(",") if rest else [], f"act {text!r}")
    several = [option for option in SWEPT[name] if len(items(options.get(option, ""))) > 1]
    if len(several) != 1:
        raise BadInput(f"act {shown(text)}; give several values of one option, such as {name}:{SWEPT[name][0]}=1+2+4")
    values = items(options[several[0]])
    if len(values) > MAX_VALUES:
        raise BadInput(f"{len(values)} values of {several[0]}; at most {MAX_VALUES}")
    acts = [_at(name, options, several[0], value) for value in values]
    return SweptAct(f"{name}:{several[0]}", dict(sorted(acts, key=lambda pair: pair[0])))


def _at(name: str, options: dict[str, str], option: str, value: str) -> tuple[float, Act]:
    at = options | {option: value}
    act = make_act(name, at, f"{name}:{','.join(f'{key}={one}' for key, one in at.items())}")
    return float(value), act


def _row(point: EditPoint) -> dict[str, Any]:
    proof = point.proof
    return {
        "value": point.value,
        "parameters": point.parameters,
        "bytes": point.bytes,
        "relative_frobenius": point.relative_frobenius,
        "metric": proof.after,
        "low": proof.low,
        "high": proof.high,
        "verdict": proof.verdict,
        "base_metric": proof.base_after,
    }
