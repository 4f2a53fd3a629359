"""Links, presets and lessons: input that is checked, and states that are read back as they were written."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neatlab.adapters.methods import METHODS
from neatlab.adapters.neat.hidden import activation_names
from neatlab.adapters.placement import place
from neatlab.config import parse_arm
from neatlab.dashboard.lessons import read_lessons
from neatlab.dashboard.links import TAB_LINKS, Link, check_apart
from neatlab.dashboard.page import TABS
from neatlab.dashboard.shared.choices import check_arm, task_choices
from neatlab.dashboard.shared.links import PageLink, write
from neatlab.dashboard.shared.presets import PRESETS
from neatlab.dashboard.sweeps.request import SweepOrder
from neatlab.dashboard.train.form import arm_fields
from neatlab.dashboard.train.request import Order
from neatlab.errors import BadInput

BAD = [
    ("?colour=red", "unknown parameter of the link 'colour'"),
    ("?steps=99999", "less than or equal to 5000"),
    ("?steps=many", "valid integer"),
    ("?run=../../etc/passwd", "run.0='../../etc/passwd'"),
    ("?run=0123456789AB", "run.0"),
    ("?lesson=../secret", "lesson='../secret'"),
    ("?preset=<script>alert(1)</script>", "preset="),
    ("?task=custom:model=/etc", "task="),
    ("?tab=admin", "tab='admin'"),
    ("?hide=everything", "hide.0"),
    ("?arm=" + "x" * 300, "arm.0"),
    ("?" + "&".join(["arm=lora"] * 5), "at most 4"),
    ("?depth=1", "depth.0"),
    ("?lr=nan", "lr='nan'"),
    ("?tour=9", "tour='9'"),
    ("?tour=0", "tour='0'"),
    ("?seed=-1", "seed='-1'"),
    ("?layer=" + "a" * 5000, "longer than 4000 characters"),
    ("?steps=1&steps=2&tab=train&tab=runs&at=-1", "at='-1'"),
]

LINKS = st.fixed_dictionaries(
    {},
    optional={
        "tab": st.sampled_from(["train", "ablate", "runs", "understand"]),
        "task": st.sampled_from(list(task_choices().values())),
        "arm": st.lists(st.sampled_from(["lora:rank=4", "neat:rank=2,depth=4", "head"]), min_size=1, max_size=4).map(
            tuple
        ),
        "steps": st.integers(1, 5000),
        "seed": st.integers(0, 2**32 - 1),
        "lr": st.floats(1e-6, 100),
        "match": st.sampled_from(["none", "rank", "params"]),
        "layer": st.text(min_size=1, max_size=60).filter(lambda text: "\0" not in text),
        "depth": st.lists(st.integers(2, 16), min_size=1, max_size=5).map(tuple),
        "activation": st.lists(st.sampled_from(["relu", "gelu_new"]), min_size=1, max_size=5).map(tuple),
        "run": st.lists(st.from_regex(r"[0-9a-f]{12}|x[0-9a-f]{11}", fullmatch=True), min_size=1, max_size=20).map(
            tuple
        ),
        "tour": st.integers(1, 7),
        "watch": st.from_regex(r"x[0-9a-f]{11}", fullmatch=True),
        "hide": st.lists(st.sampled_from(["presets", "ablate"]), min_size=1, max_size=2).map(tuple),
    },
)


class TestLink:
    @given(LINKS)
    def test_what_is_written_is_read_back(self, said: dict[str, Any]) -> None:
        read = Link.text(write(said)).said()
        assert read.pop("lr", 0.0) == pytest.approx(said.pop("lr", 0.0), rel=1e-5)
        assert read == said

    @pytest.mark.parametrize(("query", "said"), BAD)
    def test_what_it_cannot_be_is_refused_in_one_line(self, query: str, said: str) -> None:
        with pytest.raises(BadInput, match=re.escape(said)) as caught:
            Link.text(query)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 1000

    def test_gradios_own_parameters_are_left_alone(self) -> None:
        assert Link.text("?__theme=dark&tab=runs").said() == {"tab": "runs"}

    def test_a_link_goes_over_its_preset(self) -> None:
        merged = Link.text("?preset=depth&seed=3&task=teacher:kind=low-rank").over(Link.text(PRESETS["depth"].link))
        assert (merged.seed, merged.task, len(merged.arm or ())) == (3, "teacher:kind=low-rank", 4)

    def test_two_tabs_cannot_use_one_parameter_for_two_things(self) -> None:
        class Another(PageLink):
            depth: int | None = None

        with pytest.raises(TypeError, match="same parameter of the link: depth"):
            check_apart([*TAB_LINKS.values(), Another])

    def test_every_tab_has_a_model_of_its_link(self) -> None:
        assert [tab.name for tab in TABS] == list(TAB_LINKS)

    def test_every_activation_can_stand_in_a_link(self) -> None:
        assert all(Link.text(f"?activation={name}").said() for name in activation_names())


SWEPT = [name for name, preset in PRESETS.items() if Link.text(preset.link).tab == "ablate"]


@pytest.mark.parametrize("name", [name for name in PRESETS if name not in SWEPT])
def test_every_preset_is_a_state_that_can_be_trained(name: str) -> None:
    link = Link.text(PRESETS[name].link)
    arms = [parse_arm(arm) for arm in link.arm or ()]
    assert 2 <= len(arms) <= 4
    assert arm_fields(link.arm or ())["a.method"] == arms[0].method
    settings = {"steps": link.steps, "match": link.match}
    order = Order.check(link.task, [check_arm("a", arm.method, arm.given()) for arm in arms], settings)
    assert len(order.plan().runs([0])) == len(arms)
    assert dict(parse_qsl(PRESETS[name].link[1:]))["task"] == str(order.task)


@pytest.mark.parametrize("name", SWEPT)
def test_or_one_that_can_be_swept(name: str) -> None:
    link = Link.text(PRESETS[name].link)
    order = SweepOrder.check(link.ablate_task, link.base, link.axes(), {"seeds": 3})
    (axis,) = [axis for axis, values in order.axes if len(values) > 1]
    varied = [cell for cell in order.cells if cell.arm.label != order.reference]
    arms = {cell.share if axis == "train_size" else cell.arm.options[axis]: cell.arm for cell in varied}
    task = order.task.load()
    model = task.base_model()
    assert len(arms) >= 2
    for arm in arms.values():
        assert place(model, METHODS[arm.method].options(**arm.options), task.targets, task.head)


class TestLessons:
    def test_a_folder_of_lessons(self, tmp_path: Path) -> None:
        self._write(tmp_path / "first-look.json", title="First", text="Look.", link="?preset=depth&hide=settings")
        lessons = read_lessons(tmp_path)
        assert list(lessons) == ["first-look"]
        assert lessons["first-look"].title == "First"

    @pytest.mark.parametrize(
        ("name", "values", "said"),
        [
            ("a.json", {"title": "A", "link": "?steps=0"}, "steps='0'"),
            ("a.json", {"title": "A"}, "link"),
            ("a.json", {"title": "", "link": "?"}, "title"),
            ("a.json", {"title": "A", "link": "?", "script": 1}, "unknown option of lesson a.json 'script'"),
            ("a.json", {"title": "A", "link": "?preset=none"}, "unknown preset in lesson a.json"),
            ("a.json", {"title": "A", "link": "?arm=neat:rank=99999"}, "rank"),
            ("a.json", [1], "is not an object"),
            ("A b.json", {"title": "A", "link": "?"}, "small letters"),
        ],
    )
    def test_a_file_that_is_no_lesson_is_named(self, tmp_path: Path, name: str, values: Any, said: str) -> None:
        (tmp_path / name).write_bytes(orjson.dumps(values))
        with pytest.raises(BadInput, match=re.escape(said)):
            read_lessons(tmp_path)

    def test_a_torn_file_an_empty_folder_and_none(self, tmp_path: Path) -> None:
        for folder, said in ((tmp_path, "0 .json files"), (tmp_path / "none", "no such folder")):
            with pytest.raises(BadInput, match=said):
                read_lessons(folder)
        (tmp_path / "a.json").write_text("{")
        with pytest.raises(BadInput, match=r"lesson a\.json cannot be read"):
            read_lessons(tmp_path)

    def _write(self, path: Path, **values: Any) -> None:
        path.write_bytes(orjson.dumps(values))
