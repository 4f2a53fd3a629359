"""What the Train tab does when a button is pressed or a view is chosen."""

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from zlib import crc32

import gradio as gr

from neatlab.dashboard.shared.context import Context, Windows
from neatlab.dashboard.shared.field_error import FieldError
from neatlab.dashboard.shared.html import field_messages
from neatlab.dashboard.shared.job import Command
from neatlab.dashboard.shared.live_plot import together
from neatlab.dashboard.train.charts import OTHERS
from neatlab.dashboard.train.follow import Update, follow, update
from neatlab.dashboard.train.form import read_form
from neatlab.dashboard.train.request import Order
from neatlab.dashboard.train.snapshot import read_runs
from neatlab.dashboard.train.verdict import ask
from neatlab.dashboard.train.window import TrainWindow, leave, send_command, start, stop_asking
from neatlab.dashboard.train.words import command_note, refused
from neatlab.errors import NeatlabError
from neatlab.plots.looks import looks
from neatlab.runtime.templates import macros
from neatlab.tasks import TaskSpec

_HTML = macros(__file__)
ENDED = ("idle", "shown", "ended")  # phases after which a window gets no updates by itself
SERVER = secrets.token_hex(4)  # the page compares the numbers of one server's updates alone
MAX_NAME = 200  # characters of a layer or an arm


class Handlers:
    """The handlers of the tab's buttons, lists and slider.

    Args:
        context: What the tabs share.
        windows: The trainings of the browser windows.
        fields: Names of the form's fields, in the order of their values.
        parts: The parts of the form that have a message.
        tasks: Session hash → the uploads of that window: key → task.
    """

    def __init__(
        self,
        context: Context,
        windows: Windows[TrainWindow],
        fields: Sequence[str],
        parts: Sequence[str],
        tasks: Callable[[str | None], dict[str, TaskSpec]],
    ) -> None:
        self._context, self._windows, self._tasks = context, windows, tasks
        self._fields, self._parts = fields, parts

    def begin(self, request: gr.Request, *values: Any) -> list[Any]:
        """Train, or go on."""
        return self._begin("go", request, values)

    def begin_step(self, request: gr.Request, *values: Any) -> list[Any]:
        """Train one step, and pause."""
        return self._begin("step", request, values)

    def _begin(self, first: Command, request: gr.Request, values: Sequence[Any]) -> list[Any]:
        """Check the form, then start its order or go on with it; a refused one trains nothing."""
        window = self._windows.get(request.session_hash)
        try:
            order = read_form(dict(zip(self._fields, values, strict=True)), self._tasks(request.session_hash))
            self._train(window, order, first, self._context.visitors.of(request.session_hash))
            window.refusal = None
        except NeatlabError as error:
            window.refusal = error if isinstance(error, FieldError) else FieldError("run", str(error))
            window.job = window.active  # one that has ended has no say any more: its refusal would cover this one
        text = _status(window, update(window, self._context), request.session_hash)
        return [text, *self._messages(window), command_note(window.order)]

    def _train(self, window: TrainWindow, order: Order, first: Command, visitor: str) -> None:
        if not (window.active and window.order == order):
            start(window, self._context, order, first, visitor)
        elif not send_command(window, self._context, first):
            raise FieldError("run", "another window trains these runs; watch them here, or take another seed")

    def find_out(self, request: gr.Request) -> list[str]:
        """Ask with seeds which arm is better, or stop asking."""
        window = self._windows.get(request.session_hash)
        window.refusal = None
        try:
            if window.is_asking:
                stop_asking(window, self._context)
            else:
                runs = read_runs(window.configs, window.feed).runs
                visitor = self._context.visitors.of(request.session_hash)
                window.verdict = ask(runs, len(window.configs), self._context, window, visitor)
        except NeatlabError as error:
            window.refusal = error if isinstance(error, FieldError) else FieldError("run", str(error))
        return self._messages(window)

    def follow(self, request: gr.Request) -> Iterator[list[Any]]:
        """Status, charts, other layers, table and slider, as long as the training goes on."""
        window = self._windows.get(request.session_hash)
        for now in follow(window, self._context):
            self._windows.touch(request.session_hash)
            yield _shown(window, now, request.session_hash)

    def refresh(self, request: gr.Request) -> Iterator[list[Any]]:
        """Follow again, for a window that has heard nothing for a while though its training goes on.

        Where the server does not know that training any more, as after a restart, the page loads itself again.
        """
        window = self._windows.get(request.session_hash)
        if window.order is None and window.watched is None:
            yield [_HTML.lost(), *[gr.skip()] * 4]
        else:
            yield from self.follow(request)

    def has_drawn(self, request: gr.Request) -> None:
        """The window has drawn what it was sent: the next update may come."""
        self._windows.get(request.session_hash).has_drawn = True

    def controls(self, layer: Any, arm: Any, request: gr.Request) -> list[Any]:
        """Buttons and lists as they are now; asked for when the training's phase or the lists have changed.

        Args:
            layer: What the page's list of layers shows.
            arm: What its list of arms shows.
            request: The window's.
        """
        now = update(self._windows.get(request.session_hash), self._context, ())
        layers = {name: name for name in now.layers}
        arms = {name: look.name for name, look in looks(now.arms).items()}
        return [*_buttons(now.phase), _list(layers, layer, now.layer), _list(arms, arm, now.arm)]

    def send(self, command: Command) -> Callable[[gr.Request], Any]:
        """Of a button: the handler that sends its command."""

        def handle(request: gr.Request) -> Any:
            window = self._windows.get(request.session_hash)
            send_command(window, self._context, command)
            window.commands += 1
            return gr.update(interactive=False)

        return handle

    def clear(self, request: gr.Request) -> list[Any]:
        """Back to the start: the training is stopped, the page emptied; the initialisation stays that of the seed."""
        window = self._windows.get(request.session_hash)
        leave(window, self._context)
        window.clear()
        now = update(window, self._context)
        text, *others = _shown(window, now, request.session_hash)
        return [text, *self._messages(window), command_note(None), *others]

    def choose(self, name: str) -> Callable[[Any, gr.Request], None]:
        """Of a control: the handler that sets one part of the view."""

        def handle(value: Any, request: gr.Request) -> None:
            window = self._windows.get(request.session_hash)
            window.view = window.view._replace(**{name: _checked(window, name, value)})
            if name == "at":
                window.slider = None  # an update on its way may have moved it again

        return handle

    def close(self, request: gr.Request) -> None:
        """The window is gone; its training goes on for a little while, for it may only be loaded again."""
        if window := self._windows.end(request.session_hash):
            window.closed = True

    def mistakes(self, request: gr.Request) -> list[str]:
        """A message where a mistake was made."""
        return self._messages(self._windows.get(request.session_hash))

    def _messages(self, window: TrainWindow) -> list[str]:
        return field_messages(window.refusal, self._parts)


def _shown(window: TrainWindow, now: Update | None, session: str | None) -> list[Any]:
    if now is None:
        return [gr.skip()] * 5
    charts = {name: value for name, value in now.charts.items() if name != OTHERS}
    others = now.charts[OTHERS] or "{}"
    return [_status(window, now, session), together(charts), others, now.table, _slider(window, now)]


def _status(window: TrainWindow, now: Update, session: str | None) -> str:
    """The status with its number, server and window, whether another is to come, and a mark of the controls."""
    text = refused(window.refusal.field, str(window.refusal)) if window.refusal else now.status
    # Not with the layer chosen: the answer would come after the next choice, and take it back.
    mark = crc32(repr((now.phase, window.commands, now.layers, now.arms)).encode())
    goes_on = now.phase not in ENDED or window.is_asking
    return _HTML.update(now.number, SERVER, session, f"{mark:x}", goes_on, text)


def _slider(window: TrainWindow, now: Update) -> Any:
    """Where the slider stands; nothing where it stands there already, for someone may be moving it."""
    position = (now.at, max(now.total, 1))
    if window.slider == position:
        return gr.skip()
    window.slider = position
    return gr.update(value=position[0], maximum=position[1])


def _list(names: Mapping[str, str], shown: Any, chosen: str | None) -> Any:
    """Value → its name, to choose from; a choice that can stay is left alone, for a newer may be on its way."""
    choices = [(name, value) for value, name in names.items()]
    stays = isinstance(shown, str) and shown in names
    return gr.update(choices=choices) if stays else gr.update(choices=choices, value=chosen)


def _checked(window: TrainWindow, name: str, value: Any) -> Any:
    """A part of the view as it can be used: the last step stands for "follow the training"."""
    if name != "at":
        return str(value)[:MAX_NAME] if value is not None else None
    total = window.configs[0].training.steps if window.configs else 0
    return int(value) if isinstance(value, int | float) and 0 <= value < total else None


def _buttons(phase: str) -> list[Any]:
    """Train, Pause, Step, Stop as the phase allows them."""
    active = phase not in (*ENDED, "watching")
    paused = phase in ("pausing", "paused")
    return [
        gr.update(interactive=not active or paused, value="Go on" if paused else "Train"),
        gr.update(interactive=active and not paused),
        gr.update(interactive=not active or paused),
        gr.update(interactive=active),
    ]
