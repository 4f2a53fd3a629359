"""What each arm answers to a few validation examples, at the step on the slider."""

from collections.abc import Hashable, Sequence

from neatlab.dashboard.shared.live_plot import Chart, shown_html
from neatlab.dashboard.train.charts.base import Drawing, LiveChart
from neatlab.dashboard.train.snapshot import each_arm, steps_done
from neatlab.plots.answers import answer_text
from neatlab.plots.looks import looks
from neatlab.report.answers import AnswerData, answers_data, panel
from neatlab.runtime.templates import macros

QUESTIONS = macros(__file__).questions(
    (
        ("neats-home", "See NEAT win", "The right update is a function of W₀."),
        ("loras-home", "See LoRA win", "The right update is a product of two thin matrices."),
        ("depth", "Which depth?", "Two to eight matrices side by side."),
    )
)

HINT = (
    "The same examples of the validation split for every arm, and what each answers to them at its last evaluation up "
    "to the step shown. Those on which the arms disagree stand first, with a bar at their side; after them those that "
    "all get wrong. The open circle is the base before training. Beside a picture's class stands its probability, "
    "beside a text's what its probability is ahead of the next one's."
)


def caption(arms: Sequence[str], data: AnswerData) -> str:
    """The steps that the answers are from, on how many examples the arms disagree, and who has learnt nothing."""
    steps = {arm.arm: arm.step for arm in data.arms}
    shown = looks(arms)
    missing = [shown[arm].name for arm in arms if arm not in steps]
    apart = f" {data.disagreed} examples are answered differently." if data.disagreed else ""
    silent = f" No answers of {', '.join(missing)}." if missing else ""
    only = {arm.name: arm.only_answer for arm in data.arms if arm.only_answer is not None}
    blind = [f" {name} answers {answer_text(data, answer)} to every example." for name, answer in only.items()]
    same = f"step {next(iter(steps.values()))}" if len({*steps.values()}) == 1 else f"steps {each_arm(arms, steps, 0)}"
    return f"Answers of {same}.{apart}{silent}{''.join(blind)}"


def _depends(drawing: Drawing) -> Hashable:
    return drawing.runs.key, drawing.answered, _has_stepped(drawing), drawing.view.at


def _has_stepped(drawing: Drawing) -> bool:
    return any(map(steps_done, drawing.runs.runs))


def _draw(drawing: Drawing) -> str | None:
    """Empty before the first answers; runs that train without any were made before they were kept."""
    arms = drawing.runs.arms
    data = answers_data(drawing.runs.results, drawing.view.at, arms)
    if data.answers:
        return shown_html(panel(data), caption(arms, data))
    return shown_html(panel(data), "") if _has_stepped(drawing) else None


CHART: LiveChart = LiveChart(Chart("answers", "Answers", QUESTIONS, 270, HINT), _depends, _draw)
