"""What the Inspect tab's processes do to an adapter: acts, and both adapters measured side by side."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from neatlab.dashboard.inspect.act_request import ActOrder, ActResult
from neatlab.dashboard.inspect.request import InspectionProgress
from neatlab.dashboard.inspect.worker import opened_adapter, written
from neatlab.dashboard.shared.process import begin
from neatlab.editing import Edit, edit, parse_act
from neatlab.editing.opening import ModelWeights
from neatlab.errors import BadInput, NeatlabError
from neatlab.experiments.trained import load_trained
from neatlab.inspection import compare_sources
from neatlab.inspection.adapter_folder import read_adapter
from neatlab.inspection.opening import DIRECTIONS
from neatlab.inspection.runs import run_source
from neatlab.inspection.source import Source
from neatlab.inspection.sources import AdapterSource, open_source
from neatlab.inspection.weights import Weights
from neatlab.runs.index import RUN_ID
from neatlab.runs.store import Store
from neatlab.runtime.numbers import bytes_number, number


class Opened(NamedTuple):
    """The adapter that acts work on.

    Args:
        source: It, to be measured.
        adapter: It, as `edit` takes it.
        base: The base, as `edit` takes it.
        weights: W₀, to measure the result beside.
    """

    source: Source
    adapter: str | Path
    base: Path | None
    weights: Weights | None


def act(order: ActOrder, root: str, pipe: "Connection[Any, Any]") -> None:
    """Do acts and measure the adapter before and after.

    Args:
        order: What to do to which adapter.
        root: Runs folder.
        pipe: Gives ("result", InspectionProgress) before each layer, ("result", ActResult) at the end, or ("refused",
            "acts", message).
    """
    begin()
    target = Path(order.opened.target)
    tempfile.tempdir = str(target)  # the page's server removes it, however this process ends

    def on_layer(done: int, total: int, layer: str) -> None:
        pipe.send(("result", InspectionProgress(done, total, layer)))

    try:
        _check_merges(order.acts)
        with _opened(order, Store(root)) as opened:
            pipe.send(("result", _acted(order, opened, root, on_layer)))
    except (NeatlabError, OSError) as error:
        said = str(error).replace(f"{target}/", "").replace(str(target), "the adapter")
        pipe.send(("refused", "acts", said.replace("--base", "“base model”")))


def _check_merges(acts: tuple[str, ...]) -> None:
    """Whoever uses the page may merge finished runs; a path of the server's is none of theirs."""
    for text in acts:
        options: Any = parse_act(text).options
        others = getattr(options, "others", "")
        if wrong := [part for part in filter(None, others.split("+")) if not RUN_ID.fullmatch(part.strip())]:
            raise BadInput(f"merge with {wrong[0].strip()!r}; this page merges finished runs: give the id of one")


@contextmanager
def _opened(order: ActOrder, store: Store) -> Iterator[Opened]:
    if order.opened.runs:
        run = store.get(order.opened.runs[0])
        yield Opened(run_source(run), run.run_id, None, ModelWeights(run.path, load_trained(run).layers))
        return
    with opened_adapter(order.opened) as upload:
        source = open_source(upload.folder, upload.base)
        source.title, source.base = upload.title, upload.base_name
        yield Opened(source, upload.folder, upload.base, None if upload.base is None else Weights(upload.base))


def _acted(order: ActOrder, opened: Opened, root: str, on_layer: Any) -> ActResult:
    folder = Path(order.opened.target) / "edited"
    shutil.rmtree(folder, ignore_errors=True)  # of the acts before
    folder.mkdir()
    out, task = folder / "adapter", "own" if order.is_scored else None
    done = edit(opened.adapter, order.acts, out, opened.base, task=task, runs=root, on_layer=on_layer)
    after = AdapterSource(read_adapter(out), opened.weights)
    after.title, after.base = f"{opened.source.title}, after {', '.join(order.acts)}", opened.source.base
    both = compare_sources([opened.source, after], directions=DIRECTIONS, on_layer=on_layer)
    measured = written(both, folder, order.command)
    file = shutil.make_archive(str(folder / "neatlab-edited"), "zip", out)
    return ActResult(order, measured, _summary(done), done.proof.sentence if done.proof else "", file)


def _summary(done: Edit) -> str:
    error = number(done.relative_frobenius, 2) if done.relative_frobenius == done.relative_frobenius else "none"
    return (
        f"{done.type_before} → {done.type_after}, {done.parameters_before:,} → {done.parameters_after:,} parameters, "
        f"{bytes_number(done.bytes_before)} → {bytes_number(done.bytes_after)}, ‖ΔW′ − ΔW‖/‖ΔW‖ {error}."
    )
