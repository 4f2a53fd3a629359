"""Gradio's script for calls is served mended, as long as Gradio's own has the fault."""

from pathlib import Path

import httpx
import pytest

from neatlab.dashboard.doors import scripts

pytestmark = pytest.mark.process


def test_the_page_is_given_the_mended_script(http: httpx.Client) -> None:
    ((path, text),) = scripts.mended().items()  # empty once Gradio has mended it: then this door can go
    own = (scripts.FOLDER / Path(path).name).read_text(encoding="utf-8")
    assert text.replace(scripts.MENDED, scripts.LACKING) == own != text
    answer = http.get(path)
    assert (answer.status_code, answer.text) == (200, text)
    assert answer.headers["content-type"].startswith("text/javascript")
    assert http.head(path).headers["content-length"] == str(len(text.encode()))


def test_other_files_are_gradios(http: httpx.Client) -> None:
    name = next(path.name for path in scripts.FOLDER.glob("index-*.js"))
    assert http.get(f"/assets/{name}").content == (scripts.FOLDER / name).read_bytes()
    assert http.get("/assets/Blocks-none.js").status_code == 404


def test_a_script_that_reads_otherwise_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scripts, "FOLDER", tmp_path)
    (tmp_path / "Blocks-none.js").write_text("n=`closed`")
    (tmp_path / "Blocks-twice.js").write_text(scripts.LACKING * 2)
    assert scripts.mended() == {}
    (tmp_path / "Blocks-once.js").write_text(f"for(;;){scripts.LACKING}")
    assert scripts.mended() == {"/assets/Blocks-once.js": f"for(;;){scripts.MENDED}"}
