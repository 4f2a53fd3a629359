"""The page's terms: each is asked for somewhere, and what is asked for is explained, once."""

import re
from pathlib import Path
from typing import Any

import gradio as gr

from neatlab.dashboard.page import build
from neatlab.dashboard.shared.context import Context
from neatlab.dashboard.shared.terms import TERMS
from neatlab.runs.store import Store


def test_every_term_is_asked_for_and_explained_once(runs: Path) -> None:
    jobs: Any = None
    blocks = build(Context(Store(runs), jobs)).blocks.values()
    page = " ".join(f"{block.value} {block.html_template}" for block in blocks if isinstance(block, gr.HTML))
    asked = re.findall(r'popovertarget="term-([a-z-]+)"', page)
    assert set(asked) == set(TERMS)
    assert sorted(re.findall(r'id="term-([a-z-]+)"', page)) == sorted(TERMS)


def test_a_term_is_a_sentence_or_three() -> None:
    for term in TERMS.values():
        assert 1 <= len(re.findall(r"[.:](?: |$)", term.text)) <= 4 and len(term.text) <= 260
