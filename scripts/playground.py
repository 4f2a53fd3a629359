"""The playground as one file that asks for nothing: build/playground.html from the modules in playground/.

Usage: `python scripts/playground.py [FILE]`.
"""

import base64
import hashlib
import json
import re
import sys
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from neatlab.dashboard.shared import tour
from neatlab.plots.looks import TABLE

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "playground"
ARMS = (("lora", "LoRA"), ("neat", "NEAT"))
MAPS = (
    ("weight", "W₀", "the frozen weight"),
    ("truth", "ΔW*", "what is to be learnt"),
    ("lora-delta", "ΔW", "of LoRA, B A"),
    ("neat-delta", "ΔW", "of NEAT, s·f(W₀)"),
    ("lora-hidden", "A", "LoRA’s free matrix"),
    ("neat-hidden", "Hᵀ", "NEAT’s network of W₀"),
)
IMPORT = re.compile(r'^import (\{[^}]*\}) from "\./(\w+)\.js";\n', re.MULTILINE)
EXPORT = re.compile(r"^export ((?:const|function) (\w+))", re.MULTILINE)


def page() -> str:
    """The whole file."""
    script = f"\n{bundle('page')}\n"
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = Environment(loader=FileSystemLoader(SOURCES), undefined=StrictUndefined, trim_blocks=True)  # noqa: S701  # all of it is ours
    parts = {"style": style(), "worker": bundle("worker"), "script": script.strip("\n"), "hash": f"sha256-{digest}"}
    parts["tour"] = tour.panel("playground")
    return environment.get_template("page.html").render(parts, arms=ARMS, maps=MAPS)


def style() -> str:
    """The style sheet, with the lab's colours of the methods, and the tour's."""
    colours = "".join(f"--{arm}: {TABLE[arm][0]}; " for arm, _ in ARMS)
    sheets = (SOURCES / "style.css", tour.STYLE)
    return f":root {{ {colours}}}\n" + "".join(sheet.read_text(encoding="utf-8") for sheet in sheets)


def bundle(entry: str, folder: Path = SOURCES) -> str:
    """One plain script of a module and those that it imports, each in a scope of its own.

    Args:
        entry: Name of the module.
        folder: Where the modules are.

    Returns:
        JavaScript.

    Raises:
        ValueError: A form of import or export that is not understood, or a text that would end the script.
    """
    modules: dict[str, str] = {}
    _add(entry, folder, modules)
    script = "\n".join(['"use strict";', "const modules = {};", *modules.values()])
    if unclear := re.search(r"^(?:import|export)\b.*|</script|<!--", script, re.MULTILINE):
        raise ValueError(f"{entry}: {unclear[0]!r} cannot be bundled")
    return script


def _add(name: str, folder: Path, modules: dict[str, str]) -> None:
    text = _source(name, folder)
    for _, other in IMPORT.findall(text):
        if other not in modules:
            _add(other, folder, modules)
    body = EXPORT.sub(r"\1", IMPORT.sub(r"const \1 = modules.\2;\n", text))
    exported = ", ".join(match[1] for match in EXPORT.findall(text))
    modules[name] = f"modules.{name} = (() => {{\n{body}return {{ {exported} }};\n}})();"


def _source(name: str, folder: Path) -> str:
    if name == "looks":
        table = {arm: {"title": title, "marker": TABLE[arm][1]} for arm, title in ARMS}
        return f"export const LOOKS = {json.dumps(table)};\n"
    if name == "tour":
        return tour.SCRIPT.read_text(encoding="utf-8")
    return (folder / f"{name}.js").read_text(encoding="utf-8")


def main() -> None:
    """Write it."""
    path = Path(sys.argv[1]) if sys.argv[1:] else ROOT / "build" / "playground.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    size = path.write_bytes(page().encode())
    print(f"{path}: {size:,} bytes")


if __name__ == "__main__":
    main()
