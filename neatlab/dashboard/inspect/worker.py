"""What the Inspect tab's processes do: open, measure, and write what can be downloaded."""

import shlex
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pandas as pd

from neatlab.dashboard.inspect.request import (
    MAX_BYTES,
    AdapterSummary,
    InspectionProgress,
    InspectionResult,
    InspectOrder,
    ScaleOrder,
    ScalingCurve,
)
from neatlab.dashboard.shared.listing import run_text
from neatlab.dashboard.shared.process import begin
from neatlab.errors import NeatlabError
from neatlab.inspection import (
    AdapterComparison,
    Inspection,
    allowed_folder,
    compare_sources,
    inspect_source,
    open_upload,
)
from neatlab.inspection.causal import Slider
from neatlab.inspection.opening import DIRECTIONS, OnLayer
from neatlab.inspection.origin import base_name, origin_task, task_weights
from neatlab.inspection.runs import run_source
from neatlab.inspection.source import Source
from neatlab.inspection.sources import open_source
from neatlab.report.inspection import write_inspection
from neatlab.runs.run import Run
from neatlab.runs.store import Store


def inspect(order: InspectOrder, root: str, pipe: "Connection[Any, Any]") -> None:
    """Inspect one adapter, or compare two runs.

    Args:
        order: What to open.
        root: Runs folder.
        pipe: Gives ("result", InspectionProgress) before each layer, ("result", InspectionResult) at the end, or
            ("refused", field, message) for what cannot be opened.
    """
    begin()
    tempfile.tempdir = order.target  # the page's server removes it, however this process ends
    field = "upload" if order.files else "folder" if order.folder else "run"

    def on_layer(done: int, total: int, layer: str) -> None:
        pipe.send(("result", InspectionProgress(done, total, layer)))

    try:
        pipe.send(("result", _inspected(order, Store(root), on_layer)))
    except (NeatlabError, OSError) as error:
        said = str(error).replace(f"{order.target}/", "").replace(order.target, "the upload")
        pipe.send(("refused", "base" if "--base" in said else field, said.replace("--base", "“base model”")))


def scale(order: ScaleOrder, root: str, pipe: "Connection[Any, Any]") -> None:
    """Measure a run with a part of its ΔW scaled down.

    Args:
        order: Run and part.
        root: Runs folder.
        pipe: Gives ("result", ScalingCurve) or ("refused", "scale", message).
    """
    begin()
    try:
        layers = [order.layer] if order.layer else None
        measured = Slider(Store(root).get(order.run)).scale(order.which, layers=layers)
        what = {"intruders": "Intruders", "all": "All of ΔW"}.get(str(order.which), f"Direction {order.which}")
        part = f"{what} in {order.layer or 'all layers'}"
        pipe.send(("result", ScalingCurve(part, measured.metric, measured.base_metric, measured.frame())))
    except (NeatlabError, OSError) as error:
        pipe.send(("refused", "scale", str(error)))


def _inspected(order: InspectOrder, store: Store, on_layer: OnLayer) -> InspectionResult:
    with ExitStack() as open_until_read:
        if order.runs:
            inspected = _runs([store.get(run_id) for run_id in order.runs], on_layer)
        else:
            inspected = _opened(open_until_read, order, on_layer)
    return written(inspected, Path(order.target), _command(order, store))


def _runs(runs: list[Run], on_layer: OnLayer) -> Inspection | AdapterComparison:
    sources = [run_source(run) for run in runs]
    if len({source.title for source in sources}) < len(sources):
        for run, source in zip(runs, sources, strict=True):
            source.title = run_text(run)
    if len(sources) == 1:
        return inspect_source(sources[0], on_layer=on_layer)
    return compare_sources(sources, directions=DIRECTIONS, on_layer=on_layer)


def _opened(until_read: ExitStack, order: InspectOrder, on_layer: OnLayer) -> Inspection:
    opened = until_read.enter_context(opened_adapter(order))
    source: Source = open_source(opened.folder, opened.base)
    source.title = opened.title
    return replace(inspect_source(source, on_layer=on_layer), base=opened.base_name)


class OpenedAdapter(NamedTuple):
    """An upload or a folder, with the base that was asked for.

    Args:
        folder: The adapter.
        title: Its name for people.
        base: Where the base's weights are; None where none was named.
        base_name: Its name for people.
    """

    folder: Path
    title: str
    base: Path | None
    base_name: str | None


@contextmanager
def opened_adapter(order: InspectOrder) -> Iterator[OpenedAdapter]:
    """What an order opens that is no run; an upload's folder is gone when the block ends.

    Raises:
        BadInput: No adapter, or a folder that lies elsewhere.
    """
    with ExitStack() as until_read:
        if order.files:
            folder = until_read.enter_context(open_upload(_whole(order.files), MAX_BYTES))
            title = Path(order.files[0]).stem if len(order.files) == 1 else "uploaded adapter"
        else:
            folder = allowed_folder(Path(order.root) / order.folder, [order.root])
            title = folder.name
        base, name = until_read.enter_context(_base(order, folder))
        yield OpenedAdapter(folder, title, base, name)


def _whole(files: tuple[str, ...]) -> str | tuple[str, ...]:
    return files[0] if len(files) == 1 else files


@contextmanager
def _base(order: InspectOrder, adapter: Path) -> Iterator[tuple[Path | None, str | None]]:
    """The base's weights and its name: of a folder, of the chosen task, or of the one that the adapter names."""
    if order.base_folder:
        folder = allowed_folder(Path(order.root) / order.base_folder, [order.root])
        yield folder, folder.name
    elif (task := order.base or origin_task(adapter)) is not None:
        with task_weights(task) as file:
            yield file, base_name(task)
    else:
        yield None, None


def _command(order: InspectOrder, store: Store) -> str:
    """What repeats it outside the page."""
    if not order.runs:
        base = shlex.join(["--base", order.base_folder]) if order.base_folder else ""
        note = f"  # base: that of task {order.base}" if order.base else ""
        return f"python -m neatlab inspect {shlex.quote(order.folder or 'ADAPTER_DIR')} {base}".rstrip() + note
    runs = ", ".join(f"Store({str(store.root)!r}).get({run_id!r})" for run_id in order.runs)
    name = "inspect_run" if len(order.runs) == 1 else "compare_runs"
    given = runs if len(order.runs) == 1 else f"[{runs}]"
    lines = (
        "from neatlab.runs.store import Store",
        f"from neatlab.inspection.runs import {name}",
        f"print({name}({given}).frame())",
    )
    return shlex.join(["python", "-c", "; ".join(lines)])


def written(inspected: Inspection | AdapterComparison, folder: Path, command: str) -> InspectionResult:
    """The result, with its files in a folder.

    Args:
        inspected: What was measured.
        folder: Where its JSON and its report go.
        command: What repeats it outside the page.
    """
    json, report = folder / "inspection.json", folder / "inspection.html"
    json.write_bytes(orjson.dumps(inspected.to_dict(), option=orjson.OPT_INDENT_2))
    write_inspection(inspected, report, command)
    comparison = inspected if isinstance(inspected, AdapterComparison) else None
    return InspectionResult(
        [_summary(inspection) for inspection in inspected.inspections],
        comparison.verdict() if comparison else [],
        inspected.frame(),
        pd.concat([inspection.spectra() for inspection in inspected.inspections], ignore_index=True),
        comparison.angles() if comparison else None,
        str(json),
        str(report),
    )


def _summary(inspection: Inspection) -> AdapterSummary:
    settings = [f"{name} {value}" for name, value in inspection.settings.items() if not isinstance(value, dict | list)]
    base = f"base: {inspection.base}" if inspection.base else "no base given, so nothing is measured beside W₀"
    about = "; ".join(filter(None, [f"method {inspection.method}", ", ".join(settings), base]))
    return AdapterSummary(inspection.title, about, [finding.to_dict() for finding in inspection.verdict()])
