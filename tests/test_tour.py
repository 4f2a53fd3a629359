"""The tour: its stops are whole, agree with the lessons, and point at what is there; both places have all of them."""

import re
import runpy
from pathlib import Path
from typing import Any

import gradio as gr
import orjson
import pytest

from neatlab.dashboard.links import TAB_LINKS, Link
from neatlab.dashboard.page import TABS, build
from neatlab.dashboard.shared.context import Context
from neatlab.dashboard.shared.tour import STOPS, Stop, panel, read_stops
from neatlab.dashboard.understand.cards import WIDE
from neatlab.errors import BadInput
from neatlab.runs.store import Store

ROOT = Path(__file__).parents[1]
LESSONS = {int(path.name[:2]): path for path in sorted((ROOT / "notebooks").glob("0*.ipynb"))}
GOOD = STOPS[0].model_dump(exclude_none=True)


def test_seven_stops_with_one_right_choice_each() -> None:
    assert len(STOPS) == 7
    assert len({stop.title for stop in STOPS}) == 7
    for stop in STOPS:
        assert [*stop.choices].count(stop.right) == 1 and len({*stop.choices}) == len(stop.choices)


@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: stop.title)
def test_a_stop_says_what_its_lesson_says(stop: Stop) -> None:
    cells = orjson.loads(LESSONS[stop.lesson].read_bytes())["cells"]
    assert any(stop.says in "".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def test_its_numbers_are_those_of_the_cards() -> None:
    _, lora, neat, *_ = STOPS
    assert (WIDE.d_in, WIDE.d_out, WIDE.rank) == (256, 64, 4)
    assert lora.right == f"{WIDE.lora:,}" and f"{WIDE.d_in * WIDE.d_out:,}" in lora.shows
    assert neat.right == str(WIDE.neat_rank) and f"{WIDE.neat_at(WIDE.neat_rank):,}" in neat.question


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"right": "none of them"}, "is not one of the choices"),
        ({"choices": ["zero"]}, "at least 2"),
        ({"preset": "nobodys-home"}, "there is no preset"),
        ({"page": {"do": "Look.", "at": "#train, body"}}, "page.at"),
        ({"lesson": 0}, "lesson"),
        ({"script": "x"}, "unknown option of a stop 'script'"),
    ],
)
def test_a_stop_that_is_none_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=re.escape(said)):
        Stop.parse(GOOD | change, "a stop")


def test_a_file_without_stops_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tour.toml").write_text("title = 'x'\n")
    with pytest.raises(BadInput, match="a list of"):
        read_stops(tmp_path / "tour.toml")


def ids(block: Any) -> set[str]:
    """The ids that a block brings into the page."""
    shown = f"{block.value} {block.html_template}" if isinstance(block, gr.HTML) else ""
    return {block.elem_id, *re.findall(r'\bid="([\w-]+)"', shown)}


def tab_of(block: Any) -> str | None:
    while block is not None and not isinstance(block, gr.Tab):
        block = block.parent
    return block.id if block is not None else None


def test_every_control_of_the_page_is_there_and_in_its_tab(runs: Path) -> None:
    jobs: Any = None
    blocks = build(Context(Store(runs), jobs)).blocks.values()
    for stop in STOPS:
        tabs = {tab_of(block) for block in blocks if stop.page.at in ids(block)}
        assert tabs and tabs <= {stop.page.tab, None}, stop.title  # None: above all tabs
        assert stop.page.tab in TAB_LINKS
    assert "tour-part" in {block.elem_id for block in blocks}
    assert [kind.title.lower() for kind in TABS] == [*TAB_LINKS]  # by which the script opens one


def test_every_control_of_the_playground_is_there() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "playground.py"))
    page, settings = script["page"](), (ROOT / "playground" / "settings.js").read_text(encoding="utf-8")
    for stop in STOPS:
        name = stop.playground.at
        made = {f"set-{setting.replace('.', '-')}" for setting in re.findall(r'^ *"?([\w.]+)"?: \w+\(', settings, re.M)}
        made |= {f"set-{setting.replace('.', '-')}" for setting in re.findall(r'"((?:lora|neat)\.\w+)":', settings)}
        assert f'id="{name}"' in page or name in made, stop.title
        assert stop.preset is None or f'"{stop.preset}"' in page
    assert f'whole("stop of the tour", [1, {len(STOPS)}], 0)' in settings
    assert page.count("data-stop=") == len(STOPS)


def test_the_presets_of_the_panel_open_as_links() -> None:
    html = str(panel("page"))
    links = [link.replace("&amp;", "&") for link in re.findall(r'href="([^"]*)"', html)]
    assert [Link.text(link).preset for link in links] == [stop.preset for stop in STOPS if stop.preset]
    assert [Link.text(link).tour for link in links] == [i for i, stop in enumerate(STOPS, 1) if stop.preset]
    assert "href" not in panel("playground")
