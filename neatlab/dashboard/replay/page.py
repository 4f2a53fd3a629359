"""A finished comparison as one file that needs no network: the charts of the Train tab, moved by a slider."""

import base64
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from plotly.offline import get_plotlyjs

from neatlab.dashboard.replay.film import CHARTS, Film, evenly, lacks, make_film, moments, read_all
from neatlab.dashboard.shared.live_plot import THEMES, figures, script
from neatlab.dashboard.train.snapshot import RunsSnapshot, snapshot
from neatlab.errors import BadInput, NeatlabError, StoreError, unknown
from neatlab.plots.looks import looks
from neatlab.report.markup import key
from neatlab.report.page import check_target, write_page
from neatlab.report.text import title
from neatlab.runs.comparison import Comparison
from neatlab.runs.results import Results
from neatlab.runs.run import Run
from neatlab.runtime.files import PathLike
from neatlab.runtime.numbers import is_known, number
from neatlab.runtime.templates import environment

KIND = "replay"  # what errors call the file
MAX_ARMS = 6
MAX_LAYERS = 12
MAX_BYTES = 12 * 2**20  # of the packed film; a third more in the file, beside what draws it
STYLES = ("dashboard/shared/live_plot.css", "dashboard/shared/weights.css", "report/answers.css")


class Replay(NamedTuple):
    """What was written.

    Args:
        path: The file.
        seed: Whose runs it shows.
        arms: Their labels.
        layers: The layers that it shows.
        steps: The step of each moment.
        size: Bytes of the file.
        notes: What it lacks, a sentence each.
    """

    path: Path
    seed: int
    arms: list[str]
    layers: list[str]
    steps: list[int]
    size: int
    notes: list[str]


def replay(
    runs: Results | Sequence[Run],
    out: PathLike,
    seed: int | None = None,
    layers: Sequence[str] | None = None,
    on_moment: Callable[[int, int], None] = lambda done, total: None,
) -> Replay:
    """Write finished runs as one page with a slider through time: weights, spectrum, curves and answers move with it.

    The page holds everything it needs and asks for nothing outside itself. It is written whole or not at all.

    Args:
        runs: A comparison, or runs of one task and setting.
        out: The file; an old one is replaced.
        seed: Whose runs are shown, one an arm; by default the first that most arms have.
        layers: Names of layers; by default twelve of them, evenly from the first to the last.
        on_moment: Called with the moments drawn so far and all of them.

    Returns:
        What was written, and what the runs lack.

    Raises:
        BadInput: Runs that are no single comparison, an unknown seed or layer, too much for a file, or a file that
            cannot be written.
        StoreError: A run's events are damaged.

    Example:
        >>> import neatlab
        >>> result = neatlab.compare("teacher:d_in=16,d_out=16", ["lora:rank=2", "neat:rank=2"], seeds=1, steps=20)
        >>> neatlab.replay(result, "replay.html").arms
        ['lora:rank=2', 'neat:rank=2,depth=2']
    """
    check_target(out, KIND)
    comparison = _comparison(runs)
    chosen = _of_seed(comparison.runs, seed)
    try:
        made, notes, view = _made(chosen, layers, on_moment)
    except NeatlabError:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"the events of these runs cannot be drawn, one may be damaged: {error!r}") from error
    film, packed = _fitted(made)
    notes += _thinned(len(made.steps), len(film.steps))
    write_page(_page(comparison, view, packed, notes), out, KIND)
    path = Path(out)
    first = chosen[0].config.seed
    return Replay(path, first, view.arms, list(film.layers), film.steps, path.stat().st_size, notes)


def _comparison(runs: Results | Sequence[Run]) -> Comparison:
    """The comparison that the runs are."""
    given = runs.runs if isinstance(runs, Results) else list(runs)
    if not given:
        raise BadInput("no runs to replay; give the ids of some, as `neatlab runs list` shows them")
    if len(tasks := sorted({run.config.task for run in given})) > 1:
        raise BadInput(f"runs of {len(tasks)} tasks: {', '.join(tasks)}; a replay shows the runs of one")
    comparison = runs if isinstance(runs, Comparison) else Comparison(given)
    if len(parts := comparison.parts()) > 1:
        raise BadInput(f"runs in {len(parts)} settings: {'; '.join(parts)}; a replay shows those of one")
    return comparison


def _of_seed(runs: Sequence[Run], seed: int | None) -> list[Run]:
    """One run an arm."""
    counts = Counter(run.config.seed for run in runs)
    if seed is not None and seed not in counts:
        raise unknown("seed", seed, counts)
    shown = min(counts, key=lambda one: (-counts[one], one)) if seed is None else seed
    chosen = [run for run in runs if run.config.seed == shown]
    arms = Counter(run.config.arm.label for run in chosen)
    if twice := [arm for arm, count in arms.items() if count > 1]:
        raise BadInput(f"{arms[twice[0]]} runs of {twice[0]} have seed {shown}; a replay shows one run an arm")
    if len(chosen) > MAX_ARMS:
        raise BadInput(f"{len(chosen)} arms; a replay shows at most {MAX_ARMS}: give the ids of those to be seen")
    return chosen


def _made(
    runs: list[Run], layers: Sequence[str] | None, on_moment: Callable[[int, int], None]
) -> tuple[Film, list[str], RunsSnapshot]:
    """The film, what it lacks, and the runs as the charts see them."""
    view, stored = snapshot([run.config for run in runs], runs), read_all(runs)
    if not moments(runs, stored):
        raise BadInput("these runs have measured nothing yet; train them to their end")
    chosen = _layers(view, layers)
    notes = lacks(view, stored)
    if layers is None and len(chosen) < len(view.layers):
        notes.append(f"{len(chosen)} of {len(view.layers)} layers are in it; --layer NAME chooses others.")
    return make_film(view, stored, chosen, on_moment), notes, view


def _layers(view: RunsSnapshot, given: Sequence[str] | None) -> list[str]:
    for layer in given or ():
        if layer not in view.layers:
            raise unknown("layer", layer, view.layers)
    return evenly(view.layers, MAX_LAYERS) if given is None else list(dict.fromkeys(given))


def _fitted(film: Film) -> tuple[Film, bytes]:
    """The film with as many moments as fit into a file, and its bytes."""
    packed = film.packed()
    while len(packed) > MAX_BYTES:
        if len(film.steps) <= 2:
            raise BadInput(
                f"the first and the last moment of {len(film.layers)} layers have {len(packed):,} bytes, more than the "
                f"{MAX_BYTES:,} of a replay; give fewer with --layer"
            )
        film = film.thinned()
        packed = film.packed()
    return film, packed


def _thinned(before: int, after: int) -> list[str]:
    if before == after:
        return []
    return [f"A replay holds at most {MAX_BYTES >> 20} MB of numbers: {after} of {before} moments are in it."]


def _page(comparison: Comparison, view: RunsSnapshot, packed: bytes, notes: Sequence[str]) -> str:
    draws = _script()
    plotly = get_plotlyjs()
    seeds = len({run.config.seed for run in comparison.runs})
    return (
        environment()
        .get_template("dashboard/replay/page.html")
        .render(
            title=title(comparison),
            style="\n".join(map(_asset, (*STYLES, "dashboard/replay/replay.css"))),
            seed=view.runs[0].config.seed,
            seeds=seeds,
            decision=comparison.decision().splitlines() if seeds > 1 else [],
            arms=_arms(comparison, view),
            notes=notes,
            charts=figures(CHARTS),
            film=base64.b64encode(packed).decode(),
            plotly=plotly,
            script=draws,
            hashes=[_hash(plotly), _hash(draws)],
        )
    )


def _arms(comparison: Comparison, view: RunsSnapshot) -> list[tuple[str, str, str]]:
    """Key, name and score on the test split of each arm."""
    shown = looks(view.arms)
    scores = {run.config.arm.label: run.summary.get("metric") for run in view.runs}
    name = comparison.metric.name
    texts = {arm: f"{name} {number(score)}" if is_known(score) else "no score" for arm, score in scores.items()}
    return [(key(look), look.name, texts[arm]) for arm, look in shown.items()]


def _script() -> str:
    """What draws the charts and moves them; Gradio hands the same names to it on the page."""
    drawn = f"const livePlot = (element, props, watch) => {{\n{script(CHARTS)}\n}};"
    themes = THEMES.replace("<", "\\u003c")  # nothing may end the script
    return f"{drawn}\nconst THEMES = {themes};\n{_asset('dashboard/replay/replay.js')}"


def _hash(text: str) -> str:
    """By which a browser knows the one script that may run."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _asset(name: str) -> str:
    return files("neatlab").joinpath(name).read_text(encoding="utf-8")
