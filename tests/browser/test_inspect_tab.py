"""The Inspect tab as a person uses it: open a run, take its numbers away, turn a direction down."""

import contextlib
import io
import zipfile
from pathlib import Path

import orjson
import pytest
from playwright.sync_api import Page, expect
from safetensors.torch import save_file

from neatlab import cli
from neatlab.experiments.execute import make_task
from neatlab.runs.run import Run
from neatlab.runs.store import Store
from tests.browser.conftest import TRAINED, App, chart, shows

pytestmark = pytest.mark.browser
COLUMNS = {"effective_rank": 2, "stable_rank": 2, "norm": 4, "relative_norm": 4, "overlap_left": 3, "overlap_right": 3}


def on_the_command_line(run: Run, folder: Path) -> dict[str, float]:
    """The layer as `neatlab inspect --json` measures it, from the run's files and the base's."""
    base = folder / "base.safetensors"
    save_file(make_task(run.config).base_model().state_dict(), base)
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        assert cli.main(["inspect", str(run.path / "adapter"), "--base", str(base), "--json"]) == 0
    (layer,) = orjson.loads(output.getvalue())["layers"]
    return dict(layer)


def test_a_run_is_opened_measured_and_turned_down(page: Page, stored: App, tmp_path: Path) -> None:
    runs = [run for run in Store(stored.runs).runs() if run.config.seed == 0]
    lora, neat = sorted(runs, key=lambda run: run.config.arm.method)
    page.goto(f"{stored.url}?tab=inspect")
    page.click("#inspect-run input")
    page.get_by_role("option", name=neat.run_id).click()
    page.click("#inspect-start")
    shows(page.locator("#inspect-status"), "Done: neat:rank=2,depth=2", TRAINED)
    shows(page.locator("#inspect-verdict"), "Rank 2 asked")
    wanted = on_the_command_line(neat, tmp_path)
    cells = page.locator("#inspect-table tbody td").all_inner_texts()
    assert cells[1:] == ["2", *(f"{wanted[name]:.{digits}f}" for name, digits in COLUMNS.items()), "0"]
    drawn = chart(page, "inspect-spectrum", "chart => chart.data[0].y")
    assert drawn == pytest.approx(wanted["singular_values"], rel=1e-4)
    with page.expect_download() as download:
        page.click("#inspect-json")
    (layer,) = orjson.loads(Path(download.value.path()).read_bytes())["layers"]
    assert layer["norm"] == pytest.approx(wanted["norm"], rel=1e-5)

    page.click("#scale-start")
    shows(page.locator("#scale-said"), "Direction 1 in all layers at factor 1:", TRAINED)
    page.locator("#scale-factor input[type=range]").press("ArrowLeft")
    shows(page.locator("#scale-said"), "at factor 0.75:")
    assert chart(page, "scale-chart-box", "chart => chart.data[0].x") == [0, 0.25, 0.5, 0.75, 1]

    page.click("#act-start")  # keep 99 % of the energy
    shows(page.locator("#act-said"), "NEAT → LORA", TRAINED)
    shows(page.locator("#act-said code").last, f"neatlab edit {neat.run_id} --act compress:energy=0.99 --out edited")
    shows(page.locator("#inspect-verdict"), "Shared and own directions")
    page.wait_for_function("document.querySelector('#inspect-spectrum-chart').data.length > 1")
    with page.expect_download() as download:
        page.click("#act-file")
    with zipfile.ZipFile(download.value.path()) as archive:
        assert "adapter_model.safetensors" in archive.namelist()
    page.click("#act-undo")
    shows(page.locator("#act-said"), "Choose an act", TRAINED)
    expect(page.locator("#inspect-verdict")).not_to_contain_text("Shared and own directions")

    page.click("#inspect-other input")
    page.get_by_role("option", name=lora.run_id).click()
    page.click("#inspect-start")
    shows(page.locator("#inspect-verdict"), "Shared and own directions", TRAINED)
    shows(page.locator("#inspect-angles-caption"), "smallest")
    page.goto(f"{stored.url}?tab=inspect&inspect={lora.run_id}")
    shows(page.locator("#inspect-status"), "Done: lora:rank=2", TRAINED)


def test_a_hostile_upload_is_refused_beside_it(page: Page, stored: App, tmp_path: Path) -> None:
    page.goto(f"{stored.url}?tab=inspect")
    expect(page.get_by_label("a folder", exact=True)).to_have_count(0)
    page.get_by_label("an upload").check()
    tricky, pickled = tmp_path / "tricky.zip", tmp_path / "adapter_model.bin"
    with zipfile.ZipFile(tricky, "w") as archive:
        archive.writestr("../../adapter_config.json", "{}")
    pickled.write_bytes(b"\x80\x04.")
    for file, said in ((tricky, "leads out of its folder"), (pickled, "holds no adapter_config.json")):
        page.locator("#inspect-files input[type=file]").set_input_files(file)
        shows(page.locator("#inspect-files"), file.stem[:5])
        page.click("#inspect-start")
        shows(page.locator("#inspect-message-upload [role=alert]"), said, TRAINED)
        page.locator("#inspect-files").get_by_label("Clear").click()
    shows(page.locator("#inspect-table"), "appears here")
