"""Text that comes with the package: whole, licensed, and split so that no text of one split is like one of another."""

import dataclasses
import itertools
import re
import tomllib
from collections import Counter
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neatlab.errors import BadInput
from neatlab.tasks import TASKS, TaskSpec, load_task
from neatlab.tasks.base import size
from neatlab.tasks.duplicates import Taken, are_alike, words_of
from neatlab.tasks.encoders import Example
from neatlab.tasks.intents import ASKED, MEANT, OTHERS, TEST, embeddings, intent_splits
from neatlab.tasks.ratings import CLEAR, DOMAINS, rated_splits
from neatlab.tasks.sentiment import FITTED, KNOWN, fit_output, output_layer
from neatlab.tasks.sequences import forward
from neatlab.tasks.shipped import ROOT, SETS
from tests.task_texts import CASES

SPLITS = ("train", "validation", "test")
PROJECT = Path(__file__).parents[1]
COUNTS = {"banking77": 13_083, "clinc150": 23_700, "vader": 23_703}
MAX_BYTES = 4_000_000
WORDS = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=8).map(" ".join)


def make(name, **options):
    return load_task(name, {**CASES[name].options, **options})


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_whole_and_says_whose_it_is(name):
    assert len(SETS[name].rows) == COUNTS[name]
    assert len({len(row) for row in SETS[name].rows}) == 1
    about = (ROOT / name / "README.md").read_text(encoding="utf-8")
    assert f"{COUNTS[name]:,} " in about and "Cite: " in about
    assert (ROOT / name / "LICENSE").stat().st_size > 1000
    assert re.search(rf"^{name} .* {re.escape(SETS[name].license)} ", (PROJECT / "NOTICE").read_text(), re.MULTILINE)


def test_all_of_it_is_small_and_goes_into_the_wheel():
    files = [path for path in ROOT.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MAX_BYTES
    setup = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    patterns = setup["tool"]["setuptools"]["package-data"]["neatlab"]
    shipped = [str(path.relative_to(ROOT.parents[1])) for path in files]
    assert [path for path in shipped if not any(fnmatch(path, pattern) for pattern in patterns)] == []
    assert "NOTICE" in setup["project"]["license-files"]


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data + b"\0", lambda data: b""])
def test_a_file_that_is_another_is_named(tmp_path, monkeypatch, damage):
    folder = tmp_path / "banking77"
    folder.mkdir()
    (folder / "examples.tsv.gz").write_bytes(damage(SETS["banking77"].path.read_bytes()))
    monkeypatch.setattr("neatlab.tasks.shipped.ROOT", tmp_path)
    with pytest.raises(BadInput, match=r"banking77/examples\.tsv\.gz is not the file.*SHA-256.*install neatlab again"):
        _ = dataclasses.replace(SETS["banking77"]).rows


def test_a_file_that_is_gone_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("neatlab.tasks.shipped.ROOT", tmp_path)
    with pytest.raises(BadInput, match=r"vader/examples\.tsv\.gz cannot be read"):
        _ = dataclasses.replace(SETS["vader"]).rows


@given(st.lists(WORDS, max_size=12), st.integers(0, 12))
def test_what_is_drawn_is_what_comparing_all_pairs_draws(pool, count):
    plain = []
    for text in pool:
        if len(plain) < count and not any(are_alike(words_of(text), words_of(other)) for other in plain):
            plain.append(text)
    assert Taken().draw(pool, count) == plain


def test_two_texts_that_say_the_same_count_as_one():
    assert Taken().draw(["My card is lost!", "is my card LOST", "My card is lost today", "Where is my card"], 9) == [
        "My card is lost!",
        "Where is my card",
    ]


def assert_apart(texts):
    """No two texts of different splits share four fifths of their words, by a product of all with all."""
    every = {word for part in texts.values() for text in part for word in words_of(text)}
    words = {word: column for column, word in enumerate(every)}
    bags = {name: np.zeros((len(part), len(words)), np.float32) for name, part in texts.items()}
    for name, part in texts.items():
        for row, text in enumerate(part):
            bags[name][row, [words[word] for word in words_of(text)]] = 1
    for one, other in itertools.combinations(bags.values(), 2):
        common = one @ other.T
        assert not (5 * common >= 4 * (one.sum(1)[:, None] + other.sum(1) - common)).any()


@pytest.mark.parametrize("name", ["banking77", "clinc150"])
def test_intents_are_balanced_tested_as_their_authors_do_and_apart(name):
    parts = intent_splits(name, 0, 20, (TEST, 5, 20))
    assert len(parts) == 20 and "oos" not in parts
    assert all([len(part[split]) for split in SPLITS] == [20, 5, TEST] for part in parts.values())
    theirs = {(label, text) for split, label, text in SETS[name].rows if split == "test"}
    drawn = {split: [(label, t) for label, part in parts.items() for t in part[split]] for split in SPLITS}
    assert {*drawn["test"]} <= theirs and not theirs & {*drawn["train"], *drawn["validation"]}
    assert_apart({split: [text for _, text in rows] for split, rows in drawn.items()})
    assert intent_splits.__wrapped__(name, 0, 20, (TEST, 5, 20)) == parts
    assert list(intent_splits(name, 1, 20, (TEST, 5, 20))) != list(parts)


def test_the_most_intents_with_the_most_texts_are_there_and_more_are_refused():
    """Of the smaller set, whose authors test on forty texts an intent."""
    assert len(intent_splits("banking77", 0, 60, (TEST, 6, 24))) == 60
    with pytest.raises(BadInput, match="intents=60: only 0 of banking77 have as many texts"):
        intent_splits("banking77", 0, 60, (41, 0, 0))


@pytest.mark.parametrize("domain", DOMAINS)
def test_polarities_are_balanced_clear_and_apart_and_documents_whole(domain):
    parts = rated_splits(domain, 0, (240, 60, 240), False)
    assert {n: Counter(e.label for e in part) for n, part in parts.items()} == {
        "train": {0: 240, 1: 240},
        "validation": {0: 60, 1: 60},
        "test": {0: 240, 1: 240},
    }
    rows = [row for row in SETS["vader"].rows if row[0] == domain]
    ratings = {(text, float(rating) > 0) for _, _, rating, text in rows if abs(float(rating)) >= CLEAR}
    assert all((e.text, e.label == 1) in ratings for part in parts.values() for e in part)
    assert_apart({name: [e.text for e in part] for name, part in parts.items()})
    by_text = {}
    for _, document, _, text in rows:
        by_text.setdefault(text, set()).add(document)
    documents = {
        n: {d for e in part if len(by_text[e.text]) == 1 for d in by_text[e.text]} for n, part in parts.items()
    }
    assert not any(a & b for a, b in itertools.combinations(documents.values(), 2))
    assert len(rated_splits(domain, 0, (FITTED, 0, KNOWN), False)["train"]) == 2 * FITTED


def test_ratings_are_the_means_of_those_who_rated():
    parts = rated_splits("films", 0, (20, 5, 20), True)
    known = {(text, float(rating)) for _, _, rating, text in SETS["vader"].rows}
    assert [len(part) for part in parts.values()] == [40, 10, 40]
    assert {(e.text, e.label) for part in parts.values() for e in part} <= known
    task = make("sentiment", domain="films", kind="rating")
    assert task.split("train")["label"].dtype == torch.float32
    assert TASKS["sentiment"].metric_for(task._options).name == "R²"
    model = task.base_model()
    score = task.score(model, "test")
    given = task.answers(model, score)
    assert task.examples().answers == "number"
    assert task.examples().true == pytest.approx(task.sample()["label"].tolist(), rel=1e-3)
    assert len(given.values) == size(task.sample())
    errors = score.outcomes.true - score.outcomes.predicted
    assert score.metric == pytest.approx(1 - (errors**2).sum() / (np.var(score.outcomes.true) * len(errors)), rel=1e-4)


def test_the_base_of_sentiment_is_fitted_to_the_other_domains_and_to_nothing_of_its_own():
    tweets, films = (make("sentiment", domain=domain) for domain in ("tweets", "films"))
    assert (tweets._others, films._others) == ([*DOMAINS[1:]], ["tweets", *DOMAINS[2:]])
    assert size(tweets._known) == 3 * 2 * KNOWN
    one, two = tweets.base_model(), films.base_model()
    assert not torch.equal(one.classifier.weight, two.classifier.weight)
    for first, second in zip(one.bert.parameters(), two.bert.parameters(), strict=True):
        assert torch.equal(first, second)


@pytest.mark.parametrize("is_number", [False, True])
def test_an_output_is_fitted_to_what_it_is_given(is_number):
    task = make("sentiment", kind="rating" if is_number else "polarity")
    model, texts = task._loaded()[0], [f"{'good' if number % 2 else 'bad'} {number}" for number in range(60)]
    batch = task.encoded([Example(text, number % 2 * (1.0 if is_number else 1)) for number, text in enumerate(texts)])
    layer = output_layer(model, task.head)
    layer.load_state_dict(fit_output(model, layer, batch))
    logits = forward(model, batch).detach()
    decided = logits[:, 0] > 0.5 if is_number else logits.argmax(1)
    assert (decided == batch["label"]).float().mean() > 0.9


def test_what_an_encoder_knows_is_told_by_the_nearest_mean():
    task = make("banking77")
    model = task.base_model().eval()
    batch = task._known["asked"]
    assert (size(batch), size(task._known["means"])) == (OTHERS * ASKED, OTHERS * MEANT)
    rows = embeddings(model, batch)
    with torch.no_grad():
        inputs = {name: batch[name][:1] for name in ("input_ids", "attention_mask")}
        hidden = model.bert(**inputs).last_hidden_state[0]
    mean = hidden[batch["attention_mask"][0].bool()].mean(0)
    assert torch.allclose(rows[0], mean / mean.norm(), atol=1e-5)
    assert 0 < task.base_score(model) <= 1


@pytest.mark.parametrize("name", ["sentiment", "banking77", "clinc150"])
def test_a_run_remembers_its_model_and_texts_and_labels_do_not_show_them(name):
    options = make(name)._options.model_dump()
    assert len(options["model_sha256"]) == 16 and options["data_sha256"]
    with pytest.raises(BadInput, match=r"this run's texts are those of 0000; here are"):
        load_task(name, {**options, "data_sha256": "0000"}).split("train")
    with pytest.raises(BadInput, match="not the one this run was made with"):
        load_task(name, {**options, "model_sha256": "0" * 16}).base_model()
    assert not {"model_sha256", "data_sha256"} & TaskSpec(name, options).shown_options.keys()


def test_minilm_knows_intents_that_it_was_never_shown():
    """Twenty of CLINC150's: one question in twenty would be right by chance."""
    task = load_task("banking77", {})
    assert task.base_score(task.base_model()) > 0.75
