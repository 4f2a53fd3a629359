"""README shows what is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_picture_and_file_that_readme_links_to_is_there() -> None:
    found = re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(found) > 20
    assert [name for name in found if not (ROOT / name).exists()] == []
