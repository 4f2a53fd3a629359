"""A comparison as one file with a slider: the store's own numbers at every moment, within its size, and harmless."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest

import neatlab
from neatlab.cli import main
from neatlab.dashboard.replay import page
from neatlab.dashboard.replay.parts import shared_parts
from neatlab.errors import BadInput, StoreError
from neatlab.runs.comparison import Comparison
from neatlab.runs.run import Run
from neatlab.runs.store import Store
from neatlab.runs.weights import HEADER, read_weights
from tests.dashboard_runs import tiny, trained
from tests.replays import filmed, opened, put_back, spoil

LAYER = "layers.0.linear"
CHARTS = {"weights", "spectrum", "learning", "answers"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Two arms on two seeds."""
    return filmed(tmp_path_factory.mktemp("replay") / "runs", seeds=2)


@pytest.fixture(scope="module")
def file(runs: list[Run], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("file") / "replay.html"
    made = neatlab.replay(Comparison(runs), path)
    assert made.notes == []
    assert made.size == path.stat().st_size
    return path


def test_every_chart_moves_with_what_was_stored_at_each_step(runs: list[Run], file: Path) -> None:
    film = opened(file)
    assert film["steps"] == list(range(7))
    (layer,) = film["layers"]
    charts = film["shared"] | layer["charts"]
    assert set(charts) == CHARTS
    assert {len(values) for values in charts.values()} == {7}
    for index, step in enumerate(film["steps"]):
        lines = [t for t in charts["spectrum"][index]["figure"]["data"] if t.get("mode") == "lines+markers"]
        for run, line in zip(runs[:2], lines, strict=True):
            stored = read_weights(run.path)
            assert stored is not None
            np.testing.assert_allclose(line["y"], stored.spectra(LAYER)[index], rtol=1e-6)
        assert f"step {step}." in charts["weights"][index]["caption"]
        assert [shape["x0"] for shape in charts["learning"][index]["figure"]["layout"]["shapes"]] == [step]
        assert "Answers of step" in charts["answers"][index]["caption"]
    axes = [value["figure"]["layout"]["meta"]["axes"]["linear"]["yaxis"]["range"] for value in charts["spectrum"]]
    assert axes == axes[:1] * 7
    assert len({value["html"] for value in charts["answers"]}) > 1


def test_the_page_says_what_all_seeds_show_and_names_no_address(runs: list[Run], file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    own = text.partition("<script>")[0]
    assert Comparison(runs).decision() in own.replace("<wbr>", "")
    assert "seed 0, one of 2" in own
    assert re.findall(r"(?:https?:)?//[a-z][\w.-]*\.[a-z]+|\b(?:src|href)=|@import|url\(", own) == []
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', own)
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-")
    assert text.count("<script") == text.count("</script>") == 3


def test_another_seed_and_a_layer_can_be_asked_for(runs: list[Run], tmp_path: Path) -> None:
    made = neatlab.replay(runs, tmp_path / "replay.html", seed=1, layers=[LAYER])
    assert (made.seed, made.layers) == (1, [LAYER])
    line = opened(made.path)["layers"][0]["charts"]["spectrum"][-1]["figure"]["data"][0]
    stored = read_weights(runs[2].path)
    assert stored is not None
    np.testing.assert_allclose(line["y"], stored.spectra(LAYER)[-1], rtol=1e-6)


def test_what_a_run_lacks_is_a_sentence_each(tmp_path: Path) -> None:
    lora, neat = filmed(tmp_path / "runs")
    (lora.path / HEADER).unlink()
    events = (neat.path / "events.jsonl").read_bytes().splitlines(keepends=True)
    (neat.path / "events.jsonl").write_bytes(b"".join(line for line in events if b'"Predicted"' not in line))
    (neat.path / "summary.json").unlink()
    store = Store(tmp_path / "runs")
    made = neatlab.replay([store.get(run.run_id) for run in (lora, neat)], tmp_path / "replay.html")
    assert made.notes == [
        "LoRA r 2 stored no weights: it was trained by an older version.",
        "NEAT r 2, depth 2 has not ended and is at step 6: its charts end there.",
        "NEAT r 2, depth 2 kept no answers to the examples.",
    ]
    text = made.path.read_text(encoding="utf-8")
    assert all(note in text for note in made.notes)
    assert "no score" in text


def test_a_strangers_texts_are_texts(tmp_path: Path) -> None:
    spoiled = [spoil(run) for run in filmed(tmp_path / "runs")]
    made = neatlab.replay(spoiled, tmp_path / "replay.html")
    text = made.path.read_text(encoding="utf-8")
    assert "window.pwned" not in text
    html = opened(made.path)["shared"]["answers"][-1]["html"]
    assert "&lt;img src=x" in html
    assert "<script" not in html and "<img" not in html


def test_a_damaged_run_is_one_line(tmp_path: Path) -> None:
    spoiled = [spoil(run, true="no list", names=None) for run in filmed(tmp_path / "runs")]
    with pytest.raises(StoreError, match="one may be damaged") as refused:
        neatlab.replay(spoiled, tmp_path / "replay.html")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "replay.html").exists()


def test_a_film_that_is_too_large_has_fewer_moments_and_says_so(
    runs: list[Run], file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = page._made(runs[:2], None, lambda done, total: None)[0]
    monkeypatch.setattr(page, "MAX_BYTES", len(film.packed()) - 1)
    made = neatlab.replay(runs, tmp_path / "replay.html")
    assert made.steps == [0, 2, 4, 6]
    assert made.notes == ["A replay holds at most 0 MB of numbers: 4 of 7 moments are in it."]
    monkeypatch.setattr(page, "MAX_BYTES", 100)
    with pytest.raises(BadInput, match="give fewer with --layer"):
        neatlab.replay(runs, tmp_path / "none.html")


def test_what_cannot_be_replayed_is_refused_before_it_is_drawn(
    runs: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "make_film", None)  # nothing is drawn
    (other,) = trained(Store(tmp_path / "runs"), tiny("lora", batch_size=8))
    task = replace(other, config=other.config.model_copy(update={"task": "digits", "task_options": {}}))
    twice = replace(other, config=runs[0].config)
    many = [
        replace(other, config=tiny("lora").model_copy(update={"arm": other.config.arm.model_copy(update={"lr": lr})}))
        for lr in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
    ]
    many = [replace(run, path=run.path.with_name(f"{i}")) for i, run in enumerate(many)]
    for given, settings, words in (
        ([], {}, "no runs to replay"),
        ([runs[0], task], {}, "runs of 2 tasks: digits, teacher"),
        ([runs[0], other], {}, "runs in 2 settings"),
        ([runs[0], twice], {}, "2 runs of lora:rank=2 have seed 0"),
        (many, {}, "7 arms; a replay shows at most 6"),
        (runs, {"seed": 7}, "unknown seed 7; allowed: 0, 1"),
        (runs, {"layers": ["layers.0.liner"]}, f"did you mean '{LAYER}'"),
    ):
        with pytest.raises(BadInput, match=re.escape(words)):
            neatlab.replay(given, tmp_path / "replay.html", **settings)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=r"replay .* is a folder; give a file, such as replay\.html"):
        neatlab.replay(runs, tmp_path)


def test_the_command_writes_it_and_says_what_is_in_it(
    runs: list[Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, ids = tmp_path / "replay.html", [run.run_id for run in runs[:2]]
    words = ["replay", *ids, "--out", str(out), "--runs", str(runs[0].path.parent)]
    assert main(words) == 0
    assert capsys.readouterr().out.startswith(f"{out}: 2 arms, seed 0, 1 layers, 7 moments, ")
    assert main([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["path"], document["steps"], document["notes"]) == (str(out), list(range(7)), [])
    assert main([*words, "--seed", "5"]) == 2
    assert capsys.readouterr().err.strip() == "neatlab: unknown seed 5; allowed: 0"


def test_repeated_parts_are_written_once_and_read_back() -> None:
    long = {"values": list(range(100))}
    value = {"a": long, "b": [long, {"c": long["values"], "d": None}], "e": "x" * 100, "f": []}
    marked, parts = shared_parts(value)
    assert put_back(marked, parts) == value
    assert len(orjson.dumps([marked, parts])) < 0.8 * len(orjson.dumps(value))
