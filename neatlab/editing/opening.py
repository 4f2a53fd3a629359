"""Open what acts work on: an adapter folder, a zip, a LoRA file, or a run of the store."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from neatlab.adapters.factors import Delta
from neatlab.adapters.methods import METHODS
from neatlab.adapters.methods.lora import lora_factors
from neatlab.editing.image_opening import open_image
from neatlab.editing.state import Editable, Origin, Update
from neatlab.errors import BadInput, shown
from neatlab.experiments.trained import load_trained
from neatlab.inspection import open_upload
from neatlab.inspection.adapter_folder import CONFIG, TENSORS, AdapterFolder, is_adapter, read_adapter
from neatlab.inspection.further import FURTHER
from neatlab.inspection.image_file import image_file
from neatlab.inspection.origin import named_task, origin_task, task_weights
from neatlab.inspection.outside import outside_base
from neatlab.inspection.sources import AdapterSource
from neatlab.inspection.weights import Entry, Weights
from neatlab.runs.index import RUN_ID
from neatlab.runs.outside import OutsideRun
from neatlab.runs.run import Run
from neatlab.runs.store import Store
from neatlab.runtime.files import PathLike
from neatlab.tasks.spec import TaskSpec

LAYER = re.compile(r"[\w.\-]{1,180}")  # names that a pattern in adapter_config.json can hold

Base = PathLike | Weights | None


class ModelWeights(Weights):
    """W₀ of a model in memory, under the names of its layers.

    Args:
        path: Where the model comes from, for people.
        layers: Layer → W₀, d_out × d_in.
    """

    def __init__(self, path: Path, layers: Mapping[str, Tensor]) -> None:
        self.path, self.config, self.tensors = path, {}, layers
        self.entries = {f"{n}.weight": Entry(path, f"{n}.weight", tuple(w.shape)) for n, w in layers.items()}

    def weight(self, layer: str) -> Tensor:
        return self.tensors[layer]


@contextmanager
def open_editable(path: PathLike, base: Base = None, runs: PathLike = "runs") -> Iterator[Editable]:
    """An adapter, checked and ready for acts; what a zip unpacked is gone when the block ends.

    Args:
        path: A folder as PEFT writes it, a zip of its two files, a LoRA file as Kohya, Diffusers or ComfyUI writes it,
            or the id of a finished run.
        base: The model that it was trained on; needed where ΔW depends on W₀, and by some acts.
        runs: The runs folder.

    Raises:
        BadInput: Nothing there, or an adapter that acts do not know.
    """
    with ExitStack() as stack:
        yield _open(path, base, runs, stack)


def _open(path: PathLike, base: Base, runs: PathLike, stack: ExitStack) -> Editable:
    task: TaskSpec | None
    if not Path(path).exists() and RUN_ID.fullmatch(str(path)):
        run = _finished(str(path), base, runs)
        folder, title, task = run.path / "adapter", run.config.arm.label, _own_task(run)
        base = _own_base(run) if base is None else base
    else:
        folder, title = _adapter_folder(Path(path), stack), Path(path).resolve().name
        task = named_task(folder)
        if base is None and (own := origin_task(folder)) is not None:
            base = stack.enter_context(task_weights(own))
    weights = base if base is None or isinstance(base, Weights) else Weights(base)
    if (file := image_file(folder)) is not None:
        return open_image(file, weights, lambda other: _open(other, weights, runs, stack))
    adapter = read_adapter(folder)
    _check(adapter)
    source = AdapterSource(adapter, weights)
    return _editable(_origin(title, task, adapter), source, lambda other: _open(other, weights, runs, stack))


def _own_task(run: Run) -> TaskSpec | None:
    return None if isinstance(run.config, OutsideRun) else run.config.spec


def _own_base(run: Run) -> Base:
    if isinstance(run.config, OutsideRun):
        return outside_base(run.config)
    return ModelWeights(run.path, load_trained(run).layers)


def _adapter_folder(path: Path, stack: ExitStack) -> Path:
    if not path.exists():
        raise BadInput(f"{shown(str(path))} is neither a folder, a file nor the id of a run; give one of them")
    if image_file(path) is not None:
        return path
    if path.suffix == ".safetensors":
        raise BadInput(f"{path} holds no LoRA with the names of Kohya, Diffusers or ComfyUI; give an adapter folder")
    if path.is_file():
        return stack.enter_context(open_upload(path))
    if not is_adapter(path):
        raise BadInput(
            f"{path} holds no {CONFIG} and no LoRA file; give one of them, a zip, or the id of a finished run"
        )
    return path


def _finished(run_id: str, base: Base, runs: PathLike) -> Run:
    run = Store(runs).get(run_id)
    arm = run.config.arm
    if METHODS[arm.method].config is None:
        raise BadInput(f"a {arm.method} run has no adapter for acts to work on")
    if run.status != "finished":
        raise BadInput(f"run {run_id} is {run.status}; only a finished run has an adapter")
    if base is not None and not isinstance(base, Weights):
        raise BadInput("--base goes with an adapter folder; a run knows its own")
    return run


def _check(adapter: AdapterFolder) -> None:
    if adapter.settings.get("lora_bias"):
        raise BadInput("lora_bias=True: acts change ΔW, and this LoRA's own biases would not follow")
    if adapter.type == "NEAT" and adapter.settings.get("use_dora"):
        raise BadInput("a NEAT with magnitudes is edited as the DoRA that it is: neatlab export --format lora first")
    for name in [*adapter.layers, *adapter.left_out]:
        if not LAYER.fullmatch(name):
            raise BadInput(f"layer {shown(name)}: names of layers are letters, digits, '_', '-' and '.'")
    for name in adapter.trained_whole:
        if not name.isprintable():
            raise BadInput(f"tensor {shown(name)}: names of tensors are printable")


def _editable(origin: Origin, source: AdapterSource, open_other: Callable[[str], Editable]) -> Editable:
    adapter = source.adapter
    is_dora = adapter.type == "LORA" and bool(adapter.settings.get("use_dora"))
    delta = lru_cache(maxsize=1)(source.delta)  # acts and figures ask for the same layer one after the other
    return Editable(
        origin=origin,
        settings=adapter.settings,
        shapes=source.shapes,
        all_shapes=source.shapes,
        read=_dora_reader(source) if is_dora else lambda name: Update(delta(name), None, adapter.layers[name]),
        reference=delta,
        base_weight=source.weight,
        whole=_tensors(adapter),
        shared=adapter.shared,
        unsupported=adapter.left_out,
        dtype=_dtype(adapter),
        thin=_is_thin(adapter.type),
        # PiSSA's B A is not ΔW; types that no method trains become LoRA
        keeps_type=adapter.type not in FURTHER and not adapter.files.initial(adapter.settings),
        open=open_other,
        kernels=adapter.kernels,
    )


def _is_thin(kind: str) -> bool:
    """Whether ΔW of a type has thin factors."""
    if kind in FURTHER:
        return FURTHER[kind].thin
    return any(row.factors is not None for row in METHODS.values() if row.files and row.files.type == kind)


def _dora_reader(source: AdapterSource) -> Callable[[str], Update]:
    def read(name: str) -> Update:
        tuner: Any = source.tuners[name]
        magnitude: Tensor = tuner.lora_magnitude_vector["default"].weight
        with torch.no_grad():
            factors: Delta = lora_factors(tuner, "default")
        return Update(factors, magnitude.detach(), source.adapter.layers[name])

    return read


def _origin(title: str, task: TaskSpec | None, adapter: AdapterFolder) -> Origin:
    counts = {name: sum(tensor.numel() for tensor in parts.values()) for name, parts in adapter.layers.items()}
    return Origin(title, adapter.path, task, adapter.type, (adapter.path / TENSORS).stat().st_size, counts)


def _tensors(adapter: AdapterFolder) -> dict[str, Tensor]:
    """What was trained whole comes along as it is."""
    with safe_open(adapter.path / TENSORS, "pt") as opened:
        return {name: opened.get_tensor(name) for name in adapter.trained_whole}


def _dtype(adapter: AdapterFolder) -> torch.dtype:
    """The widest of the adapter's own."""
    dtypes = [tensor.dtype for parts in adapter.layers.values() for tensor in parts.values()]
    widest = dtypes[0]
    for dtype in dtypes[1:]:
        widest = torch.promote_types(widest, dtype)
    return widest
