"""The Runs tab as a person uses it: find, select, compare, take away, delete."""

import csv
import zipfile
from pathlib import Path

import orjson
import pytest
from peft import LoraConfig, get_peft_model
from playwright.sync_api import Page, Request, expect
from torch import nn

from neatlab import NeatlabCallback
from neatlab.plots.looks import short_name
from neatlab.runs.comparison import Comparison
from neatlab.runs.run import Run
from neatlab.runs.store import Store
from neatlab.runs.suite import SuiteResult, SuiteTask
from neatlab.runs.suite_record import FILE, record
from tests.browser.conftest import DRAWN, App, chart, settle, shows
from tests.dashboard_runs import tiny, trained

pytestmark = pytest.mark.browser
NEAT = "neat:rank=2,depth=2"


@pytest.fixture
def four(stored: App) -> list[Run]:
    return Store(stored.runs).runs()


def open_runs(page: Page, app: App, *runs: Run) -> None:
    page.goto("&".join([f"{app.url}?tab=runs", *(f"run={run.run_id}" for run in runs)]))
    shows(page.locator("#runs-count"), f"{len(runs)} selected")
    expect(page.locator("#runs-table [role=gridcell]").first).to_be_visible()


def click_row(page: Page, run: Run) -> None:
    page.locator("#runs-table").get_by_text(run.run_id, exact=True).last.click()


def cells(page: Page, row: int) -> list[str]:
    return [text.strip() for text in page.locator(f"#runs-table [data-row='{row}']").all_inner_texts()]


def test_a_training_outside_is_watched_live(page: Page, stored: App) -> None:
    live = NeatlabCallback(stored.runs, every=1)
    live.begin(get_peft_model(nn.Sequential(nn.Linear(8, 4)), LoraConfig(r=2, target_modules=["0"])), steps=3)
    page.goto(f"{stored.url}?tab=runs&run={live.run_id}")
    link = page.get_by_role("link", name=f"watch {live.run_id}").get_attribute("href")
    page.goto(f"{stored.url}{link}")
    shows(page.locator("#status"), f"Run {live.run_id}, from outside: Sequential, loss. It goes on.")
    for step in (1, 2):
        live.step(2.0 / step)
        shows(page.locator("#status"), f"Step {step} of 3")
    live.end()
    shows(page.locator("#status"), "Done.")
    assert chart(page, "learning", "chart => chart.data[0].y") == [2, 1]
    Store(stored.runs).delete(str(live.run_id))


def test_rows_that_are_clicked_are_laid_over_each_other(page: Page, stored: App, four: list[Run]) -> None:
    open_runs(page, stored)
    for count, run in enumerate(four, start=1):
        click_row(page, run)
        shows(page.locator("#runs-count"), f"4 runs, {count} selected")
    for method in ("lora:rank=2", "neat:rank=2,depth=2"):
        found = [run.events for run in four if run.config.arm.label == method]
        last = [[e["metric"] for e in own if e.get("split") == "validation"][-1] for own in found]
        shows(page.locator("#runs-curves-caption"), f"{short_name(method)}: {sum(last) / 2:.4f} at step 6 (2 seeds)")
    names = chart(page, "runs-curves", "chart => chart.data.filter(t => t.showlegend).map(t => t.name)")
    assert names == ["LoRA r 2", "NEAT r 2, depth 2"]
    newest = next(run for run in reversed(four))
    expect(page.locator("#runs-table [role=row][aria-selected=true]")).to_have_count(4)
    assert cells(page, 0)[:4] == [
        newest.run_id,
        "finished",
        "teacher:d_in=16,d_out=8,samples=64",
        "neat:rank=2,depth=2",
    ]
    assert float(cells(page, 0)[9]) == pytest.approx(newest.summary["metric"], abs=5e-5)
    click_row(page, newest)
    shows(page.locator("#runs-count"), "4 runs, 3 selected")
    page.wait_for_function("location.search.split('run=').length === 4")
    page.reload()
    shows(page.locator("#runs-count"), "4 runs, 3 selected")


def test_runs_are_sorted_and_found_and_the_right_one_is_selected(page: Page, stored: App, four: list[Run]) -> None:
    open_runs(page, stored)
    best = min(four, key=lambda run: run.summary["metric"])
    page.get_by_label("sorted by").click()
    page.get_by_role("option", name="metric ↑").click()
    first = page.locator("#runs-table .virtual-row").first.locator("[role=gridcell]").first
    shows(first, best.run_id, exact=True)
    first.click()
    shows(page.locator("#runs-chosen"), best.run_id)
    page.get_by_label("find runs").fill(four[0].run_id)
    expect(page.locator("#runs-table .virtual-row")).to_have_count(1)
    click_row(page, four[0])
    shows(page.locator("#runs-count"), "2 selected")
    page.get_by_label("selected runs").fill(four[1].run_id)
    page.keyboard.press("Enter")
    shows(page.locator("#runs-count"), "3 selected")


def test_a_selection_is_compared_and_taken_away_in_every_form(
    page: Page, stored: App, four: list[Run], tmp_path: Path
) -> None:
    open_runs(page, stored, four[0], four[1])
    rows = page.locator("#runs-differences tbody tr")
    expect(rows).to_have_count(1)  # only the settings that differ are listed
    expect(rows).to_be_visible()
    assert rows.inner_text().split() == ["seed", "0", "1"]
    for count, run in enumerate(four[2:], 3):
        click_row(page, run)
        shows(page.locator("#runs-count"), f"{count} selected")
    with open(saved(page, "csv", tmp_path), encoding="utf-8", newline="") as file:
        assert {row["run"]: float(row["metric"]) for row in csv.DictReader(file)} == {
            run.run_id: run.summary["metric"] for run in four
        }
    assert four[3].run_id in saved(page, "report", tmp_path).read_text(encoding="utf-8")
    assert orjson.loads(saved(page, "notebook", tmp_path).read_bytes())["nbformat"] == 4
    replay = saved(page, "replay", tmp_path)
    with zipfile.ZipFile(saved(page, "adapter", tmp_path)) as archive:
        assert f"{four[0].run_id}-lora/adapter_model.safetensors" in archive.namelist()
    script = saved(page, "script", tmp_path)
    assert script.name == f"{four[0].run_id}-peft.py"
    assert "config = LoraConfig(" in script.read_text(encoding="utf-8")
    page.click("#runs-format input")
    expect(page.get_by_role("option")).to_contain_text(["lora", "neat", "merged"])
    page.get_by_role("option", name="merged").click()
    page.click("#runs-adapter")
    expect(page.locator("#runs-result [role=alert]")).to_be_visible()  # a linear teacher is no transformers model
    expect(page.locator("#runs-file")).to_be_disabled()
    page.goto(replay.as_uri())
    expect(page.locator("#learning-chart .main-svg").first).to_be_visible()


def saved(page: Page, name: str, folder: Path) -> Path:
    with page.expect_download() as download:
        page.click(f"#runs-{name}")
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    shows(page.locator("#runs-file"), path.name)
    return path


def test_a_folder_with_a_suite_shows_what_its_tasks_say(page: Page, stored: App, four: list[Run]) -> None:
    open_runs(page, stored)
    expect(page.locator("#suite")).to_be_hidden()
    comparison = Comparison(four)
    task = SuiteTask(four[0].config.spec.label, "synthetic", {"lora": "lora:rank=2", "neat": NEAT}, comparison)
    suite = SuiteResult(["lora", "neat"], [task])
    record(Store(stored.runs), suite, 2, {"margin": None, "over": "examples", "design": None})
    page.click("#runs-refresh")
    page.get_by_role("button", name="Suite").click()
    shows(page.locator("#suite-groups"), "1 of 2 tasks are done")
    shows(page.locator("#suite-groups h2"), "synthetic: 1 task", exact=True)
    shows(page.locator("#suite-tasks"), comparison.decision() or "")
    (stored.runs / FILE).unlink()


def test_runs_are_tagged_found_by_tag_and_folded_into_groups(page: Page, stored: App, four: list[Run]) -> None:
    open_runs(page, stored, four[0], four[3])
    page.get_by_label("tags that all selected have").fill("to-check")
    page.locator("#runs-note textarea").fill("seen twice")
    page.click("#runs-save")
    shows(page.locator("#runs-result"), "2 runs saved")
    page.locator("#runs-tag input").click()
    page.get_by_role("option", name="to-check").click()
    expect(page.locator("#runs-table .virtual-row")).to_have_count(2)
    shows(page.locator("#runs-matching"), "2 of 4 runs match")
    assert {cells(page, row)[4] for row in (0, 1)} == {"to-check"}
    page.locator("#runs-tag input").click()
    page.get_by_role("option", name="any tag").click()
    page.locator("#runs-group input").click()
    page.get_by_role("option", name="method").click()
    groups = page.locator("#runs-groups .virtual-row")
    expect(groups).to_have_count(2)
    groups.last.locator("[role=gridcell]").first.click()
    shows(page.locator("#runs-count"), "2 selected")
    shows(page.locator("#runs-pareto-caption"), "NEAT r 2, depth 2")
    neat = {run.run_id for run in four if run.config.arm.method == "neat"}
    page.wait_for_function("ids => ids.every(id => location.search.includes(id))", arg=sorted(neat))
    for run in (four[0], four[3]):
        Store(stored.runs).annotate(run.run_id, remove=["to-check"], note="")


def test_lists_that_are_passed_by_ask_for_nothing(page: Page, stored: App, under_way: set[Request]) -> None:
    open_runs(page, stored)
    settle(page, under_way)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for name in ("order", "tag", "group", "find"):
        page.locator(f"#runs-{name}").locator("input, textarea").focus()
        page.evaluate(DRAWN)
    settle(page, under_way)
    assert asked == []


def test_a_run_is_deleted_once_it_is_confirmed(page: Page, stored: App) -> None:
    (gone,) = trained(Store(stored.runs), tiny("lora", seed=7, steps=1))
    open_runs(page, stored, gone)
    page.click("#runs-delete")
    shows(page.locator("#runs-question"), gone.run_id)
    page.click("#runs-no")
    expect(page.locator("#runs-sure")).to_be_hidden()
    assert gone.path.exists()
    page.click("#runs-delete")
    page.click("#runs-yes")
    shows(page.locator("#runs-result"), "1 run deleted.")
    shows(page.locator("#runs-count"), "4 runs, 0 selected")
    assert not gone.path.exists()
    assert len(Store(stored.runs).runs()) == 4


def test_a_link_to_what_is_not_there_says_so(page: Page, stored: App, four: list[Run]) -> None:
    page.goto(f"{stored.url}?tab=runs&run={four[0].run_id}&run=0123456789ab")
    shows(page.locator("#runs-message"), "no run 0123456789ab")
    shows(page.locator("#runs-count"), "1 selected")
    page.goto(f"{stored.url}?tab=runs&run=../../etc/passwd")
    shows(page.locator("#message-page [role=alert]"), "This link cannot be opened")
