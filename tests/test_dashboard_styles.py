"""The page's style sheets, as Gradio serves them: it puts a prefix before every selector that a comma divides."""

import re
from pathlib import Path

import pytest

from neatlab.dashboard.server import STYLES

COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
SELECTORS = re.compile(r"([^{};]+)\{")
INNERMOST = re.compile(r"\(([^()]*)\)")


def divided(css: str) -> list[str]:
    """Selectors with a comma in parentheses, which Gradio would take for two selectors and break."""
    return [found.strip() for found in SELECTORS.findall(COMMENT.sub("", css)) if _has_inner_comma(found)]


def _has_inner_comma(selector: str) -> bool:
    while inner := INNERMOST.search(selector):
        if "," in inner[1]:
            return True
        selector = selector.replace(inner[0], "", 1)
    return False


@pytest.mark.parametrize("path", STYLES, ids=lambda path: path.name)
def test_no_selector_has_a_comma_in_parentheses(path: Path) -> None:
    assert divided(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("selector", ["#a:not(:has(nav, section))", "p:is(.a, .b) b", "a, b:not(:is(i, u):hover)"])
def test_a_divided_selector_is_recognised(selector: str) -> None:
    assert divided(f"/* a, b */ p, q:not(:hover) {{ margin: min(1px, 2px); }}\n{selector} {{ color: red; }}") == [
        selector
    ]
