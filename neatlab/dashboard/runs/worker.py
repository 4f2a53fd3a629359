"""What a process does that writes a run's adapter or script for a download."""

import shutil
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import orjson

from neatlab.dashboard.shared.process import begin
from neatlab.errors import NeatlabError
from neatlab.export.adapters import export
from neatlab.export.formats import ERRORS, SCRIPTS
from neatlab.export.snippet import snippet
from neatlab.runs.store import Store


def write(order: tuple[str, str, str], root: str, pipe: "Connection[Any, Any]") -> None:
    """Write an adapter's archive or a script, whole or not at all.

    Args:
        order: Run id, format and path of the file.
        root: Runs folder.
        pipe: Gives ("refused", "run", message) where nothing could be written.
    """
    begin()
    run_id, format, target = order
    try:
        with tempfile.TemporaryDirectory(dir=Path(target).parent) as folder:
            _write(Store(root), run_id, format, Path(folder), Path(target))
    except (NeatlabError, OSError) as error:
        pipe.send(("refused", "run", str(error)))


def _write(store: Store, run_id: str, format: str, folder: Path, target: Path) -> None:
    run, name = store.get(run_id), f"{run_id}-{format}"
    if format in SCRIPTS:
        (folder / name).write_text(snippet(run, format), encoding="utf-8")
        (folder / name).replace(target)
        return
    errors = export(run, format, folder / name)
    if errors:
        (folder / name / ERRORS).write_bytes(orjson.dumps(errors))
    made = shutil.make_archive(str(folder / "whole"), "zip", root_dir=folder, base_dir=name)
    Path(made).replace(target)
