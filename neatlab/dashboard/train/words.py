"""The page's fixed texts."""

import html

from neatlab.adapters.methods import METHODS
from neatlab.dashboard.shared.html import status
from neatlab.dashboard.train.request import Order


def equation(method: str) -> str:
    """What a method makes of ΔW; nothing where there is none."""
    return f'<p class="equation">{html.escape(METHODS[method].equation)}</p>' if method else ""


_TWO = "".join(
    f"<div><dt>{html.escape(METHODS[name].title)}</dt><dd>{html.escape(METHODS[name].equation)}</dd></div>"
    for name in ("lora", "neat")
)

HEADER = f"""<header class="head">
<h1>neatlab</h1>
<p>Train two adapters side by side, from the same checkpoint, on the same data in the same order, and see what each
does to the weights.</p>
<dl class="equations"><div><dt>adapted layer</dt><dd>y = (W₀ + ΔW) x</dd></div>{_TWO}</dl>
</header>"""

READY = status("Choose a task and two to four arms, then press Train. The settings as they are take about ten seconds.")
PREPARING = status("Preparing: loading the base checkpoint. The first time, it is trained for some seconds.")
STARTING = status("Starting.")
PAUSING = status("Pausing.")
PAUSED = status("Paused. Before the first step.")
STOPPING = status("Stopping.")
STOPPED = status("Stopped. Before the first step.")
NO_TABLE = '<p class="hint">The table of results appears here.</p>'
NOTE = (
    '<p class="hint">A run that the runs folder already holds is shown from there and not trained again. '
    "One seed an arm shows how training goes; it does not show which arm is better.</p>"
)


def waiting(place: int, training: int) -> str:
    """The status in the queue."""
    return status(f"Waiting: place {place} in the queue; {training} {'trains' if training == 1 else 'train'} now.")


def refused(part: str, text: str) -> str:
    """The status after a refusal, for those who do not see the fields."""
    return status(f"Not started. {'Settings' if part == 'run' else f'Arm {part.upper()}'}: {text}")


def command_note(order: Order | None) -> str:
    """The command that answers the question with intervals, once there is one."""
    if order is None:
        return NOTE
    shown = f"<pre><code>{html.escape(order.command)}</code></pre>"
    return f"{NOTE}<p class='hint'>For an answer with intervals over seeds:</p>{shown}"
