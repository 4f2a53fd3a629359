"""The Runs tab without a browser: the table, what is selected, what is deleted and what is given away."""

import math
import statistics
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import orjson
import pytest

from neatlab.config import RunConfig, make_run, parse_arm
from neatlab.dashboard.runs.delete import asking, delete_runs
from neatlab.dashboard.runs.finder import Asked
from neatlab.dashboard.runs.tab import RunsTab
from neatlab.dashboard.runs.table import COLUMNS, EMPTY, count_text, rows
from neatlab.dashboard.runs.view import (
    Selection,
    arm_names,
    curves,
    difference_table,
    differences,
    quality_and_cost,
)
from neatlab.dashboard.shared.context import Context
from neatlab.dashboard.shared.listing import MAX_SELECTED, Listing, by_task, choose, read_store, require_runs
from neatlab.errors import BadInput
from neatlab.plots.looks import short_name
from neatlab.runs.curves import read_points
from neatlab.runs.notes import NO_NOTES
from neatlab.runs.run import Run
from neatlab.runs.store import Store
from tests.awaiting import awaited
from tests.dashboard_runs import SMALL, four_runs, tiny, trained

HOSTILE = "<script>alert(1)</script>"
NOTHING_ASKED = Asked(None, None, None, None, None)
HERE: Any = SimpleNamespace(session_hash="here", username="teacher")


@pytest.fixture(autouse=True)
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "served"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Read by tests that change nothing."""
    return four_runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def four(folder: Store) -> list[Run]:
    return folder.runs()


def every(stream: Any) -> list[list[Any]]:
    async def gather() -> list[list[Any]]:
        return [values async for values in stream]

    return awaited(gather())


class TestTable:
    def test_a_row_a_run_newest_first_with_the_store_s_numbers(self, four: list[Run], folder: Store) -> None:
        table = rows(read_store(folder), {four[1].run_id})
        assert [row[0] for row in table] == [run.run_id for run in reversed(four)]
        for row, run in zip(reversed(table), four, strict=True):
            found = dict(zip(COLUMNS, row, strict=True))
            assert found["arm"] == run.config.arm.label
            assert found["adapter params"] == run.summary["adapter_params"]
            assert found["metric"] == pytest.approx(run.summary["metric"], abs=5e-5)
            assert found["effective rank"] == pytest.approx(run.summary["effective_rank"], abs=5e-3)
            assert found["judged by"] == "recovered error ↓"
            assert found["status"] == "finished"

    def test_a_run_in_training_says_so(self, runs: Path) -> None:
        store, config = Store(runs), tiny("lora")
        store.start(config).close()
        assert rows(read_store(store), {config.run_id})[0][1] == "training"
        assert rows(read_store(store), set())[0][1] == "unfinished"

    def test_damaged_runs_are_named_and_escaped_and_the_others_shown(self, runs: Path) -> None:
        store = Store(runs)
        (kept,) = trained(store, tiny("lora", steps=1))
        broken = [damaged(store, task=HOSTILE), damaged(store, method=HOSTILE), damaged(store, options={HOSTILE: 1})]
        (runs / "0123456789ab").mkdir()
        listing = read_store(store)
        assert list(listing.runs) == [kept.run_id]
        assert set(listing.damaged) == {*broken, "0123456789ab"}
        said = count_text(listing, 0)
        assert "1 run, 0 selected" in said
        assert "4 damaged runs" in said
        assert all(run_id in said for run_id in listing.damaged)
        assert "<script>" not in said
        assert "&lt;script&gt;" in said

    def test_a_table_needs_nothing_but_configurations_and_summaries(
        self, folder: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(path: Path) -> None:
            raise AssertionError(f"{path} was read")

        monkeypatch.setattr("neatlab.runs.run.read_lines", refuse)
        monkeypatch.setattr("neatlab.runs.curves.read_lines", refuse)
        assert len(rows(read_store(folder), set())) == 4


def damaged(store: Store, **changes: Any) -> str:
    """A run directory whose settings are consistent with its name and yet make no sense; returns its id."""
    plain = tiny("lora").model_dump()
    plain["task"] = changes.get("task", plain["task"])
    plain["arm"]["method"] = changes.get("method", plain["arm"]["method"])
    plain["arm"]["options"] = changes.get("options", plain["arm"]["options"])
    config = RunConfig(**plain)
    path = store.root / config.run_id
    path.mkdir(parents=True)
    (path / "config.json").write_bytes(orjson.dumps({"run": plain, "environment": {"created": HOSTILE}}))
    return config.run_id


REFUSED_SELECTIONS = [3, "0123456789ab", {"a": 1}, [1], [None], [["0123456789ab"]], [f"{i:012x}" for i in range(21)]]


class TestSelection:
    @pytest.mark.parametrize("given", REFUSED_SELECTIONS)
    def test_what_is_no_selection_is_refused(self, folder: Store, given: Any) -> None:
        with pytest.raises(BadInput, match=r"not a list of run ids|at most 20"):
            choose(read_store(folder), given)

    @pytest.mark.parametrize("given", ["", "..", "../../etc/passwd", HOSTILE, "0" * 12, "0" * 10_000])
    def test_what_is_no_run_is_named_and_left_out(self, folder: Store, four: list[Run], given: str) -> None:
        found = choose(read_store(folder), [four[0].run_id, given, four[0].run_id])
        assert [run.run_id for run in found.runs] == [four[0].run_id]
        assert len(found.problems) == 1
        assert len(found.problems[0]) < 200
        with pytest.raises(BadInput):
            require_runs(read_store(folder), [given])

    def test_runs_of_one_arm_differ_in_the_seed_alone(self, runs: Path) -> None:
        configs = [tiny("lora", **s) for s in ({}, {"seed": 1}, {"lr": 0.5}, {"steps": 5})] + [tiny("neat")]
        names = arm_names([Run(runs / config.run_id, config, {}, {}) for config in configs])
        assert [names[config.run_id] for config in configs] == [
            "lora:rank=2 @ steps=6,lr=0.03",
            "lora:rank=2 @ steps=6,lr=0.03",
            "lora:rank=2 @ steps=6,lr=0.5",
            "lora:rank=2 @ steps=5",
            "neat:rank=2,depth=2 @ steps=6",
        ]

    def test_the_curves_are_means_over_the_seeds_of_an_arm(self, four: list[Run]) -> None:
        value = orjson.loads(curves(four) or "")
        lines = [t for t in value["figure"]["data"] if t.get("mode") == "lines+markers" and t.get("yaxis") == "y2"]
        assert [line["name"] for line in lines] == ["LoRA r 2", "NEAT r 2, depth 2"]
        for line in lines:
            last = [validation(run)[-1] for run in four if short_name(run.config.arm.label) == line["name"]]
            assert line["y"][-1] == pytest.approx(sum(last) / 2)
            assert f"{line['name']}: {sum(last) / 2:.4f} at step 6 (2 seeds)" in value["caption"]
        assert "lower is better" in value["caption"]
        assert "band" in value["caption"]

    def test_tasks_are_drawn_apart(self, four: list[Run], runs: Path) -> None:
        other = make_run("teacher", parse_arm("lora:rank=2"), 0, {**SMALL, "kind": "low-rank"}, {"steps": 2})
        groups = by_task([*four, Run(runs / other.run_id, other, {}, {})])
        assert {name: len(found) for name, found in groups.items()} == {
            "teacher:d_in=16,d_out=8,samples=64": 4,
            "teacher:kind=low-rank,d_in=16,d_out=8,samples=64": 1,
        }
        assert curves([]) is None

    def test_only_settings_that_differ_are_listed(self, four: list[Run]) -> None:
        assert differences(four[:2]) == {"seed": ["0", "1"]}
        found = differences([four[0], four[2]])
        assert found["method"] == ["lora", "neat"]
        assert found["depth"] == ["–", "2"]
        assert found.keys().isdisjoint({"task", "rank", "steps", "seed"})

    def test_the_difference_table_escapes_what_files_say(self, four: list[Run]) -> None:
        odd = Run(four[0].path, four[0].config, {**four[0].environment, "device": HOSTILE}, {})
        table = difference_table([four[0], odd])
        assert "<script>" not in table
        assert '<th scope="row">device</th><td>cpu</td><td>&lt;script&gt;' in table


def validation(run: Run) -> list[float]:
    return [e["metric"] for e in run.events if e["type"] == "Evaluated" and e["split"] == "validation"]


class Busy:
    """Jobs that train given runs."""

    def __init__(self, *configs: RunConfig) -> None:
        self._configs = configs
        self.makers: dict[str, str] = {}

    def active(self) -> list[Any]:
        return [SimpleNamespace(runs=self._configs)]


def tab(store: Store, *training: RunConfig) -> RunsTab:
    jobs: Any = Busy(*training)
    with gr.Blocks() as demo, gr.Tabs(), gr.Tab("Runs"):
        made = RunsTab(Context(store, jobs))
    with demo:
        made.connect(demo)
    return made


@pytest.fixture(scope="module")
def made(folder: Store) -> RunsTab:
    return tab(folder)


@pytest.fixture
def pairs(runs: Path) -> Iterator[tuple[Store, list[str]]]:
    """A store of two unfinished runs, and their ids."""
    store = Store(runs)
    for seed in (0, 1):
        store.start(tiny("lora", seed=seed)).close()
    yield store, [tiny("lora", seed=seed).run_id for seed in (0, 1)]


def renewed(tab: RunsTab) -> dict[str, Any]:
    """Element id → what it becomes when the tab is opened."""
    outputs = [tab._chosen, tab._finder.tag, tab._finder.group, *tab._finder.shown, *tab._shown]
    values = tab._renew([], None, None, None, None, *NOTHING_ASKED, HERE)
    return dict(zip((output.elem_id for output in outputs), values, strict=True))


def listed(tab: RunsTab, *asked: Any) -> list[str]:
    """Ids of the rows that are shown."""
    return [cells[0] for cells in tab._finder.find(read_store(tab.context.store), Asked(*asked))[0]["value"]]


def fresh_selection(tab: RunsTab, folder: Store) -> list[list[Any]]:
    """The table's rows; what the window clicked in an earlier test is forgotten."""
    tab._choose(HERE)
    return rows(read_store(folder), set())


class TestHandlers:
    def test_an_empty_folder_invites(self, runs: Path) -> None:
        made = tab(Store(runs))
        shown = renewed(made)
        assert "0 runs" in shown["runs-count"]
        assert shown["runs-empty"] == EMPTY
        assert shown["runs-table"]["visible"] is shown["runs-groups"]["visible"] is False
        assert shown["runs-message"] == ""
        _, _, _, _, *charts = made._show([], None, None, None, None, HERE)[:6]
        assert charts == [None, None]

    @pytest.mark.parametrize("given", [*REFUSED_SELECTIONS, [HOSTILE]])
    def test_a_selection_that_cannot_be_is_a_message(self, made: RunsTab, given: Any) -> None:
        _, _, message, _, *charts = made._show(given, given, given, given, given, HERE)[:6]
        assert 'role="alert"' in message
        assert "<script>" not in message
        assert charts == [None, None]
        assert 'role="alert"' in made._notes._keep(given, "good", "text", *NOTHING_ASKED, HERE)[0]
        for name in ("csv", "report", "notebook"):
            *_, (_, said) = made._downloads._maker(name)(given, HERE)
            assert 'role="alert"' in said
        downloads = made._downloads
        for asked in (
            downloads._export(given, "lora", HERE),
            downloads._export_script(given, HERE),
            downloads._export_replay(given, HERE),
        ):
            ((_, said),) = every(asked)
            assert 'role="alert"' in said
        assert made._delete._ask(given, HERE)[0].startswith('<p role="alert">')
        assert "0 runs deleted" in made._delete._confirm(given, HERE)[1]
        assert made._selection._draw(given, given, given) == [None, None]
        assert made._downloads._offer(given, given)["choices"] == []

    def test_rows_are_found_by_words_and_settings_and_sorted(self, made: RunsTab, four: list[Run]) -> None:
        def found(words: Any, order: Any = None) -> list[str]:
            return listed(made, words, order)

        newest = [run.run_id for run in reversed(four)]
        for nothing in (None, "", "  ", [], {}):
            assert found(nothing) == newest
        assert found("LORA seed=1") == [run.run_id for run in four if run.config.seed == 1 and "lora" in found_arm(run)]
        assert found("rank=2 finished") == newest
        assert found("method=lora") == found("lora") == [i for i in newest if i in found("lora:rank=2")]
        assert found("rank=20") == found("rank=") == found(HOSTILE) == []
        by_metric = sorted(four, key=lambda run: float(run.summary["metric"]))
        assert found("", "metric ↑") == [run.run_id for run in by_metric]
        assert found("", "metric ↓") == [run.run_id for run in reversed(by_metric)]
        assert found("", HOSTILE) == newest

    def test_a_browser_is_sent_a_hundred_rows(self, made: RunsTab, four: list[Run]) -> None:
        many = {f"{i:012x}": Run(four[0].path.with_name(f"{i:012x}"), four[0].config, {}, {}) for i in range(150)}
        for page, part, words in ((1, slice(100), "1 to 100"), (2, slice(100, 150), "101 to 150")):
            table, _, note, number, pager = made._finder.find(Listing(many, {}), Asked("lora", page=page))
            assert [cells[0] for cells in table["value"]] == list(many)[part]
            assert f"150 of 150 runs match; {words} are shown" in note
            assert (number["value"], number["maximum"], pager["visible"]) == (page, 2, True)
        for page, shown in ((0, 1), (3, 2), (10**30, 1), (None, 1), ("x", 1), (float("nan"), 1), ([], 1)):
            assert made._finder.find(Listing(many, {}), Asked(page=page))[3]["value"] == shown
        assert made._finder.find(Listing(dict(list(many.items())[:100]), {}), Asked())[4]["visible"] is False

    def test_groups_have_count_mean_and_spread_and_one_press_selects_them(self, made: RunsTab, four: list[Run]) -> None:
        listing = read_store(made.context.store)
        asked = Asked(group="method")
        runs_table, groups, note, _, _ = made._finder.find(listing, asked)
        assert (runs_table["visible"], groups["visible"]) == (False, True)
        assert "4 of 4 runs match, in 2 groups" in note
        for cells, method in zip(groups["value"], ("lora", "neat"), strict=True):
            members = [run for run in four if run.config.arm.method == method]
            scores = [float(run.summary["metric"]) for run in members]
            assert cells[:4] == [method, members[0].config.spec.label, 2, 2]
            assert cells[4] == pytest.approx(statistics.mean(scores), abs=5e-5)
            assert cells[5] == pytest.approx(statistics.stdev(scores), abs=5e-5)
            update, said = made._choose_group(*asked, picked(cells), HERE)
            assert set(update["value"]) == {run.run_id for run in members}
            assert f"2 runs of group {method} selected." in said
        (alone,) = made._finder.find(listing, Asked("depth=2", group="depth"))[1]["value"]
        assert alone[:3] == ["2", four[0].config.spec.label, 2]
        assert [cells[0] for cells in made._finder.find(listing, Asked(group="depth"))[1]["value"]] == ["2", "–"]
        for wrong in (None, [], [1], ["lora"], [HOSTILE, HOSTILE], "text"):
            _, said = made._choose_group(*asked, picked(wrong), HERE)
            assert 'role="alert"' in said
        for nothing in ("", None, "no setting", HOSTILE, [], {}):
            assert made._finder.find(listing, Asked(group=nothing))[1]["visible"] is False

    def test_runs_can_be_grouped_by_what_is_not_the_same_in_all(self, made: RunsTab) -> None:
        _, group = made._finder.lists(read_store(made.context.store), Asked(group="seed"))
        offered = {value for _, value in group["choices"]}
        assert offered >= {"", "method", "arm", "depth", "seed"}
        assert offered.isdisjoint({"task", "rank", "steps", "d_in", "lr"})
        assert group["value"] == "seed"

    def test_a_group_that_is_too_large_is_selected_in_part(self, made: RunsTab, four: list[Run]) -> None:
        many = {f"{i:012x}": Run(four[0].path.with_name(f"{i:012x}"), four[0].config, {}, {}) for i in range(30)}
        members = made._finder.group_of(Listing(many, {}), Asked(group="method"), ["lora", four[0].config.spec.label])
        assert members is not None
        assert [run.run_id for run in members.runs] == list(many)

    def test_a_click_selects_and_a_second_takes_away(self, made: RunsTab, folder: Store) -> None:
        table = fresh_selection(made, folder)
        first = made._toggle([], picked(table[0]), HERE)[0]["value"]
        both = made._toggle(first, picked(table[2]), HERE)[0]["value"]
        assert both == [table[0][0], table[2][0]]
        assert made._toggle(both, picked(table[0]), HERE)[0]["value"] == [table[2][0]]

    def test_a_click_counts_that_comes_before_the_page_shows_the_click_before(
        self, made: RunsTab, folder: Store
    ) -> None:
        table = fresh_selection(made, folder)
        for row in (table[0], table[1], table[2]):
            after = made._toggle([], picked(row), HERE)[0]["value"]
        assert after == [row[0] for row in table[:3]]
        made._choose(HERE)  # the list is changed by hand: what the page shows counts again
        assert made._toggle([table[1][0]], picked(table[0]), HERE)[0]["value"] == [table[1][0], table[0][0]]

    def test_what_cannot_be_selected_is_said(self, made: RunsTab, folder: Store) -> None:
        table = fresh_selection(made, folder)
        full = [f"{i:012x}" for i in range(MAX_SELECTED)]
        update, said = made._toggle(full, picked(table[0]), HERE)
        assert "value" not in update
        assert "20 runs are selected" in said
        for odd in (None, [], [1, 2], "text"):
            assert "value" not in made._toggle(full, picked(odd), HERE)[0]

    def test_runs_whose_events_are_damaged_are_named_and_the_others_drawn(self, runs: Path) -> None:
        store = Store(runs)
        good, bad = trained(store, tiny("lora"), tiny("neat"))
        (bad.path / "events.jsonl").write_text('nonsense\n{"type":"Step"}\n')
        _, _, message, _, *charts = tab(store)._show([good.run_id, bad.run_id], None, None, None, None, HERE)[:6]
        assert bad.run_id in message
        assert "line 1 is not JSON" in message
        assert all("LoRA r 2" in chart and "NEAT" not in chart for chart in charts)

    def test_what_was_asked_about_is_deleted_and_nothing_else(self, pairs: tuple[Store, list[str]]) -> None:
        store, (first, second) = pairs
        made = tab(store)
        _, panel, question = made._delete._ask([first], HERE)
        assert panel["visible"]
        assert first in question
        assert "may be in training elsewhere" in question
        left, said, panel = made._delete._confirm([first, second], HERE)
        assert left["value"] == [second]
        assert "1 run deleted." in said
        assert not panel["visible"]
        assert [path.name for path in store.root.glob("?" * 12)] == [second]
        assert "0 runs deleted." in made._delete._confirm([second], HERE)[1]

    def test_another_selection_or_keep_forgets_the_question(self, pairs: tuple[Store, list[str]]) -> None:
        store, (first, second) = pairs
        made = tab(store)
        for forget in (lambda: made._show([second], None, None, None, None, HERE), lambda: made._delete._keep(HERE)):
            made._delete._ask([first], HERE)
            forget()
            made._delete._confirm([first], HERE)
        other: Any = SimpleNamespace(session_hash="another window", username="teacher")
        made._delete._ask([first], HERE)
        made._delete._confirm([first], other)
        assert len(read_store(store).runs) == 2

    @pytest.mark.parametrize("shown_again", ["_show", "_renew"])
    def test_the_same_selection_shown_again_leaves_the_question(
        self, pairs: tuple[Store, list[str]], shown_again: str
    ) -> None:
        store, (first, second) = pairs
        made = tab(store)
        more = NOTHING_ASKED if shown_again == "_renew" else ()
        for answers_later in (made._delete._ask, lambda *_: None):  # computed before the question, or after it
            *_, panel = getattr(made, shown_again)([first], None, None, None, None, *more, HERE)
            assert "visible" not in panel
            answers_later([first], HERE)
        *_, panel = getattr(made, shown_again)([first, second], None, None, None, None, *more, HERE)
        assert panel["visible"] is False
        assert "0 runs deleted." in made._delete._confirm([first], HERE)[1]

    def test_a_run_in_training_is_not_deleted(self, pairs: tuple[Store, list[str]]) -> None:
        store, (first, second) = pairs
        made = tab(store, tiny("lora"))
        said, panel, _ = made._delete._ask([second, first], HERE)
        assert f"run {first} is being trained" in said
        assert not panel["visible"]
        gone, said = delete_runs(store, [first, second], {first})
        assert gone == [second]
        assert f"run {first} is being trained and was kept" in said
        with pytest.raises(BadInput):
            asking(require_runs(read_store(store), [first]), {first})

    def test_a_window_that_closes_takes_its_files_along(self, made: RunsTab, four: list[Run]) -> None:
        *_, (file, _) = made._downloads._maker("csv")([four[0].run_id], HERE)
        assert Path(file["value"]).exists()
        made._close(HERE)
        assert not Path(file["value"]).parents[1].exists()


class TestNotes:
    def test_what_all_selected_have_is_changed_in_all(self, pairs: tuple[Store, list[str]]) -> None:
        store, ids = pairs
        made = tab(store)
        store.annotate(ids[0], ["old", "own"], note="before")
        store.annotate(ids[1], ["old"])
        tags, note, save = made._notes.show(store.runs(), HERE.session_hash)
        assert (tags["value"], note["value"], save["interactive"]) == ("old", "", True)
        assert "different notes" in note["placeholder"]
        said, tags, note, _, choices, _, table, *_ = made._notes._keep(ids, "New, later", "", *NOTHING_ASKED, HERE)
        assert "2 runs saved" in said
        assert (tags["value"], note["value"]) == ("later new", "")
        assert [value for _, value in choices["choices"]] == ["", "later", "new", "own"]
        notes = {run.run_id: run.notes for run in store.runs()}
        assert [notes[i].tags for i in ids] == [("later", "new", "own"), ("later", "new")]
        assert [notes[i].note for i in ids] == ["before", ""]
        shown = {cells[0]: dict(zip(COLUMNS, cells, strict=True)) for cells in table["value"]}
        assert shown[ids[0]]["tags"] == "later new own"
        assert shown[ids[0]]["note"] == "before"
        made._notes._keep(ids, "later new", "for both", *NOTHING_ASKED, HERE)
        assert {run.notes.note for run in store.runs()} == {"for both"}

    def test_what_is_being_typed_is_not_overwritten_by_the_same_selection(self, pairs: tuple[Store, list[str]]) -> None:
        store, ids = pairs
        made = tab(store)
        assert made._notes.show([], "here")[2] == gr.skip()  # nothing can be typed yet
        assert made._notes.show(store.runs(), "here")[1]["interactive"]
        again = made._notes.show(store.runs(), "here")
        assert again == [gr.skip()] * 3
        assert made._notes.show(store.runs(), "elsewhere")[0]["value"] == ""
        store.annotate(ids[0], ["new"])
        store.annotate(ids[1], ["new"])
        assert made._notes.show(store.runs(), "here")[0]["value"] == "new"
        tags = made._notes._keep(ids, "new, new", "", *NOTHING_ASKED, HERE)[1]
        assert tags["value"] == "new"  # also where the runs have it already
        assert made._notes.show([], "here")[1] == {"value": "", "placeholder": "", "interactive": False, **gr.update()}

    def test_runs_are_found_by_their_tag(self, pairs: tuple[Store, list[str]]) -> None:
        store, ids = pairs
        made = tab(store)
        store.annotate(ids[0], ["good", "better"], note="Seen twice")
        for asked in (("", None, "good"), ("tag=good",), ("seen TWICE",), ("tag=better", None, "good")):
            assert listed(made, *asked) == [ids[0]]
        for asked in (("tag=goo",), ("", None, "goo"), ("", None, HOSTILE), ("", None, ["good"])):
            assert listed(made, *asked) == []
        store.annotate(ids[0], remove=["good"])
        assert listed(made, "tag=good") == []
        gone = made._finder.lists(read_store(store), Asked(tag="good"))[0]
        assert (gone["value"], gone["choices"][1:]) == ("", [("better", "better")])

    @pytest.mark.parametrize(
        "given", [("<b>", "text"), ("good", "n" * 2001), (" ".join(f"t{i}" for i in range(21)), "")]
    )
    def test_what_is_refused_changes_nothing_and_stays_in_its_fields(
        self, pairs: tuple[Store, list[str]], given: tuple[str, str]
    ) -> None:
        store, ids = pairs
        said, *others = tab(store)._notes._keep(ids, *given, *NOTHING_ASKED, HERE)
        assert said.count('role="alert"') == 1
        assert "<b>" not in said
        assert all(value == gr.skip() for value in others)
        assert {run.notes for run in store.runs()} == {NO_NOTES}

    def test_a_window_that_did_not_make_a_run_may_not_change_it(self, pairs: tuple[Store, list[str]]) -> None:
        store, (mine, other) = pairs
        made = tab(store)
        made.context.visitors.enter("window", "visitor")
        made.context.jobs.makers[mine] = "visitor"
        window: Any = SimpleNamespace(session_hash="window", username=None)
        said, *_ = made._notes._keep([mine, other], "good", "text", *NOTHING_ASKED, window)
        assert f"run {other} was not made in this browser" in said
        assert {run.notes for run in store.runs()} == {NO_NOTES}
        said, *_ = made._notes._keep([mine], "good", "text", *NOTHING_ASKED, window)
        assert "1 run saved" in said
        assert {run.run_id: run.notes.tags for run in store.runs()} == {mine: ("good",), other: ()}


class TestQualityAndCost:
    def test_a_mark_an_arm_with_its_interval(self, four: list[Run]) -> None:
        value = orjson.loads(quality_and_cost(four, "adapter_params") or "")
        marks = {trace["name"]: trace for trace in value["figure"]["data"]}
        assert marks.keys() == {"LoRA r 2", "NEAT r 2, depth 2"}  # two seeds of each: no front
        for name, mark in marks.items():
            members = [run for run in four if short_name(run.config.arm.label) == name]
            scores = [float(run.summary["metric"]) for run in members]
            assert mark["x"] == [members[0].summary["adapter_params"]]
            assert mark["y"] == [pytest.approx(statistics.mean(scores))]
            half = 12.706205 * statistics.stdev(scores) / math.sqrt(2)  # t of one degree of freedom
            assert mark["error_y"]["array"] == [pytest.approx(half, rel=1e-5)]
        assert "lower is better" in value["caption"]
        assert "No front is drawn: that takes 3 seeds of every arm" in value["caption"]

    def test_a_front_where_every_arm_has_three_seeds(self, runs: Path) -> None:
        ended = {"status": "finished", "seconds_per_step": 0.1, "saved_bytes": 5}
        reached = {"lora": (100, 0.5), "neat": (50, 0.7), "dora": (200, 0.6)}  # an error: DoRA is beaten by LoRA
        drawn = []
        for method, (cost, error) in reached.items():
            for seed in range(3):
                config = tiny(method, seed=seed)
                summary = {**ended, "adapter_params": cost, "metric": error + seed / 100}
                drawn.append(Run(runs / config.run_id, config, {}, summary))
        value = orjson.loads(quality_and_cost(drawn, HOSTILE) or "")
        (front,) = [trace for trace in value["figure"]["data"] if trace["mode"] == "lines"]
        assert (front["x"], front["y"]) == ([50, 100], [pytest.approx(0.71), pytest.approx(0.51)])
        assert value["caption"].endswith("in the mean: LoRA r 2, NEAT r 2, depth 2.")
        fewer = quality_and_cost(drawn[:-1], "adapter_params") or ""
        assert "No front is drawn" in fewer
        assert quality_and_cost([], "adapter_params") is None


def found_arm(run: Run) -> str:
    return run.config.arm.label


def picked(row: Any) -> gr.SelectData:
    return gr.SelectData(None, {"index": [0, 1], "value": "", "row_value": row})


def test_the_selection_s_curves_hold_every_point(four: list[Run]) -> None:
    assert len(Selection(four).curves()) == sum(len(read_points(run)) for run in four)
