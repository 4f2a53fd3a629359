"""Tables and images that people bring: what is read, sampled, and refused."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from neatlab.errors import BadInput
from neatlab.tasks.custom import columns, images, readers

ROWS = [{"text": f"row {i}, with a comma", "label": ["a", "b"][i % 2]} for i in range(50)]


def write(folder, kind, rows=ROWS, name="data"):
    path = folder / f"{name}{kind}"
    if kind in (".csv", ".tsv"):
        pd.DataFrame(rows).to_csv(path, index=False, sep="," if kind == ".csv" else "\t")
    elif kind == ".json":
        path.write_text(json.dumps(rows))
    else:
        path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    return str(path)


def all_rows(data, limit=1_000, seed=0):
    return readers.read(readers.find_source(data, "", "train"), limit, seed)


@pytest.mark.parametrize("kind", [".csv", ".tsv", ".json", ".jsonl", ".ndjson"])
def test_every_kind_gives_the_same_rows(tmp_path, kind):
    found = all_rows(write(tmp_path, kind))
    assert (found.total, found.frame.to_dict("records")) == (50, ROWS)


def test_a_byte_order_mark_and_missing_values_are_text(tmp_path):
    (tmp_path / "a.csv").write_bytes("\ufefftext,label\nNA,null\n".encode())
    assert all_rows(str(tmp_path / "a.csv")).frame.to_dict("records") == [{"text": "NA", "label": "null"}]


@pytest.mark.parametrize(
    "layout", ["train.csv", "sub/train-00000-of-00001.jsonl", "sub/data/train.json", "data/train.tsv"]
)
def test_folders_by_split(tmp_path, layout):
    path = tmp_path / layout
    path.parent.mkdir(parents=True, exist_ok=True)
    written = write(path.parent, path.suffix, name=path.stem)
    source = readers.find_source(str(tmp_path), "sub", "train")
    assert [str(file) for file in source.files] == [written]
    with pytest.raises(BadInput, match=r"neither images by class nor test\*\.csv"):
        readers.find_source(str(tmp_path), "sub", "test")


@settings(max_examples=25)
@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 3))
def test_a_sample_keeps_its_order_whatever_the_pieces(tmp_path_factory, piece, limit, seed):
    path = write(tmp_path_factory.mktemp("tables"), ".csv", [{"text": str(i)} for i in range(40)])
    whole, readers.CHUNK_ROWS = readers.CHUNK_ROWS, piece
    try:
        found = all_rows(path, limit, seed)
    finally:
        readers.CHUNK_ROWS = whole
    kept = [int(text) for text in found.frame["text"]]
    assert (found.total, len(kept), kept) == (40, min(limit, 40), sorted(set(kept)))
    assert kept == [int(text) for text in all_rows(path, limit, seed).frame["text"]]


def test_a_hundred_megabytes_are_streamed(tmp_path, monkeypatch):
    path = tmp_path / "large.csv"
    line = "a" * 990 + ",x\n"
    path.write_text("text,label\n" + line * 100_000)
    assert path.stat().st_size > 99e6
    most = []
    pieces = readers._pieces_of

    def watched(*told):
        for piece in pieces(*told):
            most.append(len(piece))
            yield piece

    monkeypatch.setattr(readers, "_pieces_of", watched)
    found = all_rows(str(path), 50)
    assert (found.total, len(found.frame)) == (100_000, 50)
    assert max(most) <= readers.CHUNK_ROWS


def test_what_is_too_large_is_refused_with_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "MAX_BYTES", 2**20)
    (tmp_path / "a.csv").write_bytes(b"x" * (3 * 2**20))
    with pytest.raises(BadInput, match=r"has 3 MiB; at most 1 MiB of a \.csv file"):
        readers.find_source(str(tmp_path / "a.csv"), "", "train")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "text,label\na,b\nc,d,e\n", "line 3"),
        ("a.csv", b"text\n\xff\xfe\x00", "cannot be read"),
        ("a.csv", "", "cannot be read"),
        ("a.csv", "text,label\n", "has no rows"),
        ("a.jsonl", '{"text": "a"}\n{"text":\n', "line 2"),
        ("a.jsonl", "[1, 2]\n", "not a list of objects"),
        ("a.json", "{", "cannot be read"),
        ("a.json", '{"text": "a"}', "not a list of objects"),
        ("a.xlsx", "x", "is none of"),
        ("a.pkl", "x", "is none of"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BadInput, match=message) as caught:
        all_rows(str(path))
    assert name in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("data", ["nowhere.csv", "./nowhere", "/no/where"])
def test_data_that_is_not_there(data):
    with pytest.raises(BadInput, match="no file or folder"):
        readers.find_source(data, "", "train")


def test_what_an_extra_is_needed_for(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "find_spec", lambda name: None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    for data in (str(tmp_path / "a.parquet"), "nyu-mll/glue"):
        with pytest.raises(BadInput, match=r"pip install '\.\[datasets\]' in neatlab's folder"):
            readers.find_source(data, "", "train")


def test_the_digest_follows_the_content(tmp_path):
    path = write(tmp_path, ".csv")
    before = readers.digest(readers.find_source(path, "", "train"))
    assert before == readers.digest(readers.find_source(path, "", "train"))
    write(tmp_path, ".csv", ROWS[1:])
    assert readers.digest(readers.find_source(path, "", "train")) != before


# Columns.

FRAME = pd.DataFrame(
    {"id": range(9), "Sentence": ["words"] * 9, "remark": ["longer words"] * 9, "kind": list("abcabcabc")}
)


def test_columns_are_guessed_by_name_else_by_content():
    assert columns.guess_text(FRAME, []) == "Sentence"
    assert columns.guess_text(FRAME[["kind", "remark"]], []) == "remark"
    assert columns.guess_label(FRAME, ["Sentence"]) == "kind"
    assert columns.guess_label(FRAME.rename(columns={"id": "Label"}), ["Sentence"]) == "Label"
    for guess in (columns.guess_text, columns.guess_label):
        with pytest.raises(BadInput, match="columns: one"):
            guess(pd.DataFrame({"one": [1, 1, 1]}), [])


def test_templates():
    rows = readers.Rows(pd.DataFrame({"a": ["x", None], "b": [1, 2]}), 2, {})
    assert columns.fill("{b}: {a}!", rows) == ["1: x!", "2: !"]
    assert columns.fill("{a}{b}", rows) == ["x1", "2"]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a"] * 9, "takes two or more"),
        (["a"] * 8 + ["b"], "'b' has 1 example"),
        (["a"] * 5 + [""] * 5, "without a label"),
    ],
)
def test_labels_that_cannot_be_learnt(labels, message):
    with pytest.raises(BadInput, match=message):
        columns.label_order(labels, "data.csv")


def test_label_orders():
    assert columns.label_order(["10", "9"] * 4, "") == ["9", "10"]
    assert columns.label_order(["b", "a"] * 4, "") == ["a", "b"]
    assert columns.model_order(["bad", "good"], {0: "bad", 1: "good", 2: "other"}) == ["bad", "good", "other"]
    assert columns.model_order(["0", "1"], {0: "bad", 1: "good"}) == ["0", "1"]
    with pytest.raises(BadInput, match="outside the model's: fine; it knows bad, good; new_head=true"):
        columns.model_order(["bad", "fine"], {0: "bad", 1: "good"})


# Images.

SHAPE = images.Shape(8, 3, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def paint(path, color, size=(12, 9)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)


def test_images_by_class(tmp_path):
    for name in ("cat/1.png", "cat/sub/2.jpg", "dog/3.webp"):
        paint(tmp_path / name, (255, 0, 0))
    (tmp_path / "cat/notes.txt").write_text("no image")
    assert images.class_folder(tmp_path) == tmp_path
    assert images.class_folder(tmp_path / "cat/sub") is None
    frame = images.list_images(tmp_path)
    assert frame[images.CLASS].tolist() == ["cat", "cat", "dog"]
    found = images.pixels(frame[images.IMAGE].tolist(), tmp_path, SHAPE)
    assert found.shape == (3, 3, 8, 8) and found.dtype == torch.uint8
    assert torch.allclose(images.normalised(found, SHAPE)[0, :, 0, 0], torch.tensor([1.0, -1.0, -1.0]))


def test_the_middle_is_taken_and_turned_to_what_the_model_takes(tmp_path):
    stripes = np.zeros((8, 16, 3), np.uint8)
    stripes[:, 4:12] = 200
    Image.fromarray(stripes).save(tmp_path / "a.png")
    data = {"bytes": (tmp_path / "a.png").read_bytes(), "path": None}
    for value in ("a.png", data, {"bytes": None, "path": "a.png"}):
        assert (images.pixels([value], tmp_path, SHAPE) == 200).all()
    assert images.pixels(["a.png"], tmp_path, SHAPE._replace(channels=1)).shape == (1, 1, 8, 8)


def test_broken_images_are_named(tmp_path):
    paint(tmp_path / "good.png", (1, 2, 3))
    for i in range(4):
        (tmp_path / f"bad{i}.png").write_bytes(b"\x89PNG no")
    Image.effect_noise((64, 64), 90).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:999])
    with pytest.raises(BadInput, match=r"bad0\.png.*bad1\.png.*bad2\.png.*and 1 more"):
        images.pixels(["good.png", *(f"bad{i}.png" for i in range(4))], tmp_path, SHAPE)
    with pytest.raises(BadInput, match=r"cut\.png"):
        images.pixels(["good.png", "cut.png"], tmp_path, SHAPE)
    with pytest.raises(BadInput, match="row 1"):
        images.pixels([3], tmp_path, SHAPE)


def test_an_image_that_unpacks_to_a_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    paint(tmp_path / "large.png", (1, 2, 3))
    with pytest.raises(BadInput, match=r"large\.png"):
        images.pixels(["large.png"], tmp_path, SHAPE)
