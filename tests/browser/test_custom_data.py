"""Your own data on the Train tab: a file and a model become a task, and its numbers are those of the store."""

import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import TRAINED, App, fill, open_page, says, shows, wait_until
from tests.folders import bert_folder

pytestmark = pytest.mark.browser
MOODS = ("good", "bad", "dull")


def test_an_upload_is_looked_at_chosen_and_trained_on(page: Page, app: App, tmp_path: Path) -> None:
    shutil.copytree(bert_folder(), app.models / "tiny-bert", dirs_exist_ok=True)
    rows = [f"{i} a {MOODS[i % 3]} day,{MOODS[i % 3]}" for i in range(60)]
    (tmp_path / "moods.csv").write_text("\n".join(["review,mood", *rows]), encoding="utf-8")
    open_page(page, app, "?task=arithmetic")
    page.click("#data > button")
    page.set_input_files("#data-file input[type=file]", tmp_path / "moods.csv")
    shows(page.locator("#data-file"), "moods")
    fill(page, data_model="tiny-bert", data_label="mod")
    page.click("#data-use")
    shows(page.locator("#message-data-columns [role=alert]"), "did you mean 'mood'", TRAINED)
    expect(page.locator("#task input")).to_have_value("arithmetic, a new operation")

    fill(page, data_label="")
    page.click("#data-use")
    about = page.locator("#data-about")
    shows(about, "text from 'review', label from 'mood'", TRAINED)
    shows(about, "3 labels: 0 = bad, 1 = dull, 2 = good")
    expect(page.locator("#message-data-columns [role=alert]")).to_have_count(0)
    expect(page.locator("#task input")).to_have_value("your data: moods.csv")
    expect(page.locator("#steps input")).to_have_value("200")
    expect(page).not_to_have_url(re.compile("[?&]task="))

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
    expect(page.locator("#task input")).not_to_have_value("your data: moods.csv")
    expect(page.locator("#train")).to_be_enabled()
    wait_until(lambda: not any(file.exists() for file in kept))
