"""A Hugging Face Space, ready to push: build/space from the package, the lock and what lies in space/.

Usage: `python scripts/space.py [FOLDER]`.
"""

import re
import shutil
import sys
from pathlib import Path

from jinja2 import Environment, StrictUndefined

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "space"
COPIED = ("LICENSE", "NOTICE")
CPU = "--extra-index-url https://download.pytorch.org/whl/cpu"  # a build without CUDA has a local version, which wins


def locked(package: str) -> str:
    """The version of a package in the lock.

    Raises:
        ValueError: It is not there.
    """
    match = re.search(rf"^{re.escape(package)}==(\S+)", _lock(), re.MULTILINE)
    if match is None:
        raise ValueError(f"requirements.txt does not lock {package}; make lock writes it")
    return match[1]


def write(folder: Path) -> None:
    """Write the Space into a folder, in place of what was written there before.

    Args:
        folder: One that holds nothing else: but for `.git` it is emptied.

    Raises:
        ValueError: It holds something else than a Space.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(path.name != ".git" for path in folder.iterdir()) and not (folder / ".gitattributes").exists():
        raise ValueError(f"{folder} holds something else than a Space; give a folder of its own")
    for old in folder.iterdir():
        if old.name != ".git":
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    shutil.copytree(ROOT / "neatlab", folder / "neatlab", ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    for name in COPIED:
        shutil.copy(ROOT / name, folder / name)
    shutil.copy(SOURCES / "app.py", folder / "app.py")
    shutil.copy(SOURCES / "gitattributes", folder / ".gitattributes")
    (folder / "README.md").write_text(_readme(), encoding="utf-8")
    (folder / "requirements.txt").write_text(f"{CPU}\n{_lock()}", encoding="utf-8")


def _readme() -> str:
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)  # noqa: S701  # Markdown, ours
    return environment.from_string((SOURCES / "README.md").read_text(encoding="utf-8")).render(gradio=locked("gradio"))


def _lock() -> str:
    return (ROOT / "requirements.txt").read_text(encoding="utf-8")


def main() -> None:
    """Write it."""
    folder = Path(sys.argv[1]) if sys.argv[1:] else ROOT / "build" / "space"
    write(folder)
    files = [path for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts]
    print(f"{folder}: {len(files)} files, {sum(path.stat().st_size for path in files) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
