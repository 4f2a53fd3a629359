"""Your own data on the Train tab: a file and a model become a task, and its numbers are those of the store."""

import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import TRAINED, App, choose, fill, open_page, says, shows, unfold, wait_until
from tests.folders import bert_folder

pytestmark = pytest.mark.browser
MOODS = ("good", "bad", "dull")


def test_an_upload_is_looked_at_chosen_and_trained_on(page: Page, app: App, tmp_path: Path) -> None:
    shutil.copytree(bert_folder(), app.models / "tiny-bert", dirs_exist_ok=True)
    rows = [f"{i} a {MOODS[i % 3]} day,{MOODS[i % 3]}" for i in range(60)]
    (tmp_path / "moods.csv").write_text("\n".join(["review,mood", *rows]), encoding="utf-8")
    open_page(page, app, "?task=arithmetic")
    unfold(page, "#data > button")
    fill(page, data_model="tiny-bert")
    page.set_input_files("#data-file input[type=file]", tmp_path / "moods.csv")
    about = page.locator("#data-about")
    shows(about, "It is the task now", TRAINED)
    fill(page, data_label="mod")
    shows(page.locator("#message-data-columns [role=alert]"), "did you mean 'mood'", TRAINED)
    shows(about, "Not used")
    shows(about.locator("td").first, "0 a good day")

    choose(page, "data-label", "mood")
    shows(about, "text from 'review', label from 'mood'", TRAINED)
    shows(about, "3 labels: 0 = bad, 1 = dull, 2 = good")
    expect(page.locator("#message-data-columns [role=alert]")).to_have_count(0)
    expect(page.locator("#task input")).to_have_value("your data: moods.csv")
    expect(page.locator("#steps input")).to_have_value("200")
    expect(page).not_to_have_url(re.compile("[?&]task="))
    expect(page).to_have_url(re.compile(r"[?&]data=moods\.csv"))

    fill(page, steps=3, seed=77)
    expect(page).to_have_url(re.compile("seed=77"))
    page.click("#train")
    says(page, "Done.")
    runs = app.stored(77)
    assert set(runs) == {"lora:rank=4", "neat:rank=4,depth=2"}
    for run in runs.values():
        assert (run.status, run.config.task) == ("finished", "custom")
        cells = page.locator(f'tr[data-run="{run.run_id}"] td').all_inner_texts()
        assert f"{run.summary['validation_metric']:.4f}" in cells and f"{run.summary['metric']:.4f}" in cells
    assert "task=" not in page.url.replace("ablate_task=", "")
    shows(page.locator("#command"), "moods.csv")
    assert "neatlab-data-" not in page.inner_text("#command")

    kept = {Path(run.config.task_options["data"]) for run in runs.values()}
    assert all(file.is_file() for file in kept)
    page.reload()
    shows(about, "made with moods.csv, and the data are not in it")
    expect(page.locator("#task input")).not_to_have_value("your data: moods.csv")
    expect(page.locator("#train")).to_be_enabled()
    wait_until(lambda: not any(file.exists() for file in kept))


DROP = """([name, text]) => {
  const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0)); // Latin-1
  const data = new DataTransfer();
  data.items.add(new File([bytes], name));
  const event = { bubbles: true, cancelable: true, dataTransfer: data };
  document.querySelector("#status").dispatchEvent(new DragEvent("drop", event));
}"""


def test_decimals_dropped_on_the_page_are_a_regression_that_trains_and_can_be_swept(page: Page, app: App) -> None:
    shutil.copytree(bert_folder(), app.models / "tiny-bert", dirs_exist_ok=True)
    rows = [f"{i} für {MOODS[i % 3]};{i % 3},{i:03}" for i in range(60)]
    open_page(page, app)
    unfold(page, "#data > button")
    fill(page, data_model="tiny-bert")
    page.click("#data > button")
    page.evaluate(DROP, ["noten.csv", "\r\n".join(["Text;Note", *rows])])
    about = page.locator("#data-about")
    shows(about, "regression: text from 'Text', label from 'Note'; judged by R²", TRAINED)
    shows(about, "read as Windows-1252, columns separated by semicolons")
    shows(about, "read with decimal commas")
    shows(about, re.compile(r"about \d+ s an arm here"))
    expect(page.locator("#data-kind input")).to_have_value("regression")
    expect(page.locator("#task input")).to_have_value("your data: noten.csv")

    fill(page, steps=3, seed=78)
    expect(page).to_have_url(re.compile("seed=78"))
    page.click("#train")
    says(page, "Done.")
    runs = app.stored(78)
    assert {run.config.spec.metric.name for run in runs.values()} == {"R²"} and len(runs) == 2
    for run in runs.values():
        cells = page.locator(f'tr[data-run="{run.run_id}"] td').all_inner_texts()
        assert f"{run.summary['metric']:.4f}" in cells
        assert run.config.spec.label.startswith("custom:model=tiny-bert,data=noten.csv@")

    unfold(page, "#tab-ablate-button")
    choose(page, "ablate-task", "your data: noten.csv")
    shows(page.locator("#ablate-command"), "noten.csv")
    assert "neatlab-data-" not in page.inner_text("#ablate-command")
    expect(page).not_to_have_url(re.compile("upload:"))
