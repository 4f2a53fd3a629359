"""The page as a whole: text, figures and everything that draws them in one file."""

import os
import tempfile
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

import orjson
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from neatlab.errors import BadInput
from neatlab.plots.looks import looks
from neatlab.plots.theme import DARK, LIGHT
from neatlab.report import answers
from neatlab.report.figures import Figure, figures, section
from neatlab.report.text import arms, differences, ordered, question, repeat, runs, setup, title, verdict
from neatlab.runs.comparison import Comparison
from neatlab.runtime.files import PathLike
from neatlab.runtime.templates import environment


def write_report(comparison: Comparison, path: PathLike, command: str) -> None:
    """Write a comparison as one HTML page: question, verdict, set-up, tables, figures and how to repeat it.

    The page holds everything it needs and asks for nothing outside itself. It is written whole or not at all.

    Args:
        comparison: What to report.
        path: The file; an old one is replaced.
        command: The command that repeats it, shown as it is.

    Raises:
        BadInput: The file cannot be written.
    """
    check_target(path)
    write_page(render(comparison, command), path)


def write_page(text: str, path: PathLike, kind: str = "report") -> None:
    """Write a page whole or not at all.

    Args:
        text: The page.
        path: The file; an old one is replaced.
        kind: What errors call it.

    Raises:
        BadInput: The file cannot be written.
    """
    try:
        _write(Path(path), text)
    except OSError as error:
        raise _refusal(path, error, kind) from error


def check_target(path: PathLike, kind: str = "report") -> None:
    """Find out whether a report can be written, best before hours of training.

    Args:
        path: The file.
        kind: What errors call it.

    Raises:
        BadInput: It cannot, and why.
    """
    if Path(path).is_dir():
        raise BadInput(f"{kind} {os.fspath(path)} is a folder; give a file, such as {kind}.html")
    try:
        with tempfile.TemporaryFile(dir=Path(path).parent):
            pass
    except OSError as error:
        raise _refusal(path, error, kind) from error


def render(comparison: Comparison, command: str) -> str:
    """The page as text.

    Args:
        comparison: What to report.
        command: The command that repeats it.
    """
    drawn = {name: figures(part, ordered(part)) for name, part in comparison.parts().items()}
    body = [
        question(comparison),
        verdict(comparison),
        setup(comparison),
        *(_part(name, part, drawn[name]) for name, part in comparison.parts().items()),
        differences(comparison),
        runs(comparison),
        repeat(comparison, command),
    ]
    return page(title(comparison), body, [figure for part in drawn.values() for figure in part])


def page(title: str, body: Iterable[Markup], drawn: Iterable[Figure]) -> str:
    """A page that holds everything it needs.

    Args:
        title: Its title and first heading, as plain text.
        body: Ready-made HTML, top to bottom; empty parts are left out.
        drawn: The figures whose elements stand in the body.
    """
    return (
        environment()
        .get_template("report/page.html")
        .render(
            title=title,
            style=_asset("style.css") + _asset("answers.css"),
            body=Markup("\n").join(filter(None, body)),
            plotly=get_plotlyjs(),
            figures=_json({figure.id: figure.plain() for figure in drawn}),
            templates=_json({"light": LIGHT.to_plotly_json(), "dark": DARK.to_plotly_json()}),
            script=_asset("report.js"),
        )
    )


def _part(name: str, part: Comparison, drawn: list[Figure]) -> Markup:
    order, where = ordered(part), f" with {name}" if name else ""
    pictures = section(f"Figures{where}", looks(order), drawn)
    return arms(part, order, where) + pictures + answers.section(part, order, where)


def _json(value: object) -> str:
    """JSON that may stand inside a script element, whatever the names in it."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode().replace("<", "\\u003c")


def _asset(name: str) -> str:
    return files("neatlab.report").joinpath(name).read_text(encoding="utf-8")


def _write(path: Path, text: str) -> None:
    """Write to a temporary file, then rename: an old report stays until the new one is whole."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".part", encoding="utf-8", delete=False) as file:
        temporary = Path(file.name)
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _refusal(path: PathLike, error: OSError, kind: str) -> BadInput:
    return BadInput(f"{kind} {os.fspath(path)} cannot be written: {error.strerror or error}; give another file")
