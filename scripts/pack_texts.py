"""Writes neatlab/tasks/data/*/examples.tsv.gz from the files that the sets' authors publish, the same bytes each time.

    python scripts/pack_texts.py FOLDER

FOLDER holds banking77/train.csv and test.csv (github.com/PolyAI-LDN/task-specific-datasets), clinc150/data_full.json
(github.com/clinc/oos-eval), and the four *_GroundTruth.txt of vaderSentiment's source package in vader/. White space
within a text becomes one space; nothing else is changed or left out. The digests that it prints belong in SETS of
neatlab/tasks/shipped.py.
"""

import csv
import gzip
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

TARGET = Path(__file__).parents[1] / "neatlab" / "tasks" / "data"
DOMAINS = {
    "tweets": "tweets",
    "films": "movieReviewSnippets",
    "products": "amazonReviewSnippets",
    "editorials": "nytEditorialSnippets",
}
Row = tuple[str, ...]


def banking77(folder: Path) -> Iterator[Row]:
    """Customers' questions to a bank, each with its intent."""
    yield "split", "label", "text"
    for split in ("train", "test"):
        with (folder / f"{split}.csv").open(encoding="utf-8", newline="") as file:
            for text, label in list(csv.reader(file))[1:]:
                yield split, label, text


def clinc150(folder: Path) -> Iterator[Row]:
    """Requests to an assistant, each with its intent; those out of scope have the label oos."""
    yield "split", "label", "text"
    for split, rows in json.loads((folder / "data_full.json").read_text(encoding="utf-8")).items():
        for text, label in rows:
            yield split.removeprefix("oos_"), label, text


def vader(folder: Path) -> Iterator[Row]:
    """Sentences, each with the mean of at least twenty ratings; those of one document have its number in common."""
    yield "domain", "document", "rating", "text"
    for domain, name in DOMAINS.items():
        for line in (folder / f"{name}_GroundTruth.txt").read_text(encoding="utf-8").splitlines():
            number, rating, text = line.split("\t")
            yield domain, number.partition("_")[0], rating, text


def main(source: Path) -> None:
    """Write every set, and print its digest."""
    for rows in (banking77, clinc150, vader):
        lines = ["\t".join(" ".join(cell.split()) for cell in row) for row in rows(source / rows.__name__)]
        packed = gzip.compress("\n".join(lines).encode(), 9, mtime=0)
        (TARGET / rows.__name__ / "examples.tsv.gz").write_bytes(packed)
        print(rows.__name__, len(lines) - 1, len(packed), hashlib.sha256(packed).hexdigest())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
