"""The playground's one file: how large it is, what it may do, and what its bundler refuses."""

import base64
import hashlib
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAX_BYTES, MAX_LINES = 300_000, 300
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "playground.py"))
SOURCES = sorted((ROOT / "playground").glob("*.js"))


@pytest.fixture(scope="module")
def page() -> str:
    return str(SCRIPT["page"]())


def test_it_is_small_and_names_no_other_address(page: str) -> None:
    assert len(page.encode()) <= MAX_BYTES
    assert re.findall(r"(?:https?:)?//[a-z][\w.-]*\.[a-z]+|\b(?:src|href)=|@import|url\(", page) == []


def test_only_its_own_script_may_run(page: str) -> None:
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    script = page.rpartition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}' blob:;" in policy
    assert "default-src 'none'" in policy


def test_nothing_is_evaluated_or_written_as_html() -> None:
    texts = {path.name: path.read_text(encoding="utf-8") for path in SOURCES}
    assert len(texts) > 10
    refused = re.compile(
        r"innerHTML|outerHTML\s*=|insertAdjacentHTML|document\.write|\beval\b|new Function|fetch\(|XMLHttp"
    )
    assert {name: refused.findall(text) for name, text in texts.items() if refused.search(text)} == {}


def test_its_modules_are_short() -> None:
    assert {path.name for path in SOURCES if len(path.read_text(encoding="utf-8").splitlines()) > MAX_LINES} == set()


@pytest.mark.parametrize(
    "line",
    ['import x from "./matrix.js";', 'import "./matrix.js";', "export default 1;", "export { x };", "x = '</script>';"],
)
def test_what_the_bundler_does_not_understand_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.js").write_text(f"{line}\n")
    bundle = SCRIPT["bundle"]
    with pytest.raises(ValueError, match="cannot be bundled"):
        bundle("a", tmp_path)


def test_a_module_is_bundled_once_and_after_what_it_needs(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text(
        'import { b } from "./b.js";\nimport { c } from "./c.js";\nexport const a = b + c;\n'
    )
    (tmp_path / "b.js").write_text('import { c } from "./c.js";\nexport function b() { return c; }\n')
    (tmp_path / "c.js").write_text("export const c = 1;\n")
    script = SCRIPT["bundle"]("a", tmp_path)
    assert re.findall(r"^modules\.(\w+) =", script, re.MULTILINE) == ["c", "b", "a"]
