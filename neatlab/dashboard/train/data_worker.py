"""What "Your own data" has done in a process: the upload checked, made a task, and described."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from neatlab.config import make_run, parse_arm
from neatlab.dashboard.shared.field_error import FieldError
from neatlab.dashboard.shared.process import begin
from neatlab.dashboard.train.data_request import COLUMNS, DataOrder, DataPreview, UploadedTask
from neatlab.dashboard.train.data_zip import unzip_images
from neatlab.errors import BadInput
from neatlab.experiments.timing import arm_time
from neatlab.inspection import allowed_folder
from neatlab.tasks import TaskSpec, load_task, pretrained
from neatlab.tasks.custom import readers
from neatlab.tasks.custom.columns import is_continuous
from neatlab.tasks.custom.notes import alternatives
from neatlab.tasks.custom.options import CustomOptions, architecture, usual_kind

PREVIEW_ROWS, MAX_COLUMNS, MAX_CELL = 3, 40, 120


def make(order: DataOrder, root: str, pipe: "Connection[Any, Any]") -> None:
    """Make a task of an upload.

    Args:
        order: The upload.
        root: Runs folder; nothing is written there.
        pipe: Gives ("result", DataPreview) of a table, then ("result", UploadedTask), or ("refused", field, message)
            with nothing left in the order's folder.
    """
    begin()
    try:
        pipe.send(("result", _uploaded_task(order, lambda preview: pipe.send(("result", preview)))))
    except FieldError as refusal:
        shutil.rmtree(order.target, ignore_errors=True)
        pipe.send(("refused", refusal.field, str(refusal).replace(f"{order.target}/", "")))


def _uploaded_task(order: DataOrder, show: Callable[[DataPreview], None]) -> UploadedTask:
    with _field("model"):
        name, folder = _model(order)
        kind = usual_kind("", architecture(folder))
    with _field("file"):
        data = _copied(order)
        preview = _preview(data)
    if preview:
        show(preview)
    with _field("columns"):
        options = _options(order, data, name, kind)
        spec = _spec(options)
    with _field("model"):
        _check_model(options)
    task = load_task("custom", options.model_dump())
    with _field("file"):
        _check_images(options, data)
        task.split("train")
        kinds = _kinds(options)
    with _field("model"):
        notes = [*task.describe(), arm_time(make_run("custom", parse_arm("lora:rank=4"), 0, spec.options, {}))]
    roles = {name: str(getattr(options, name)) for name in (*COLUMNS, "kind")}
    return UploadedTask(spec, notes, roles, kinds, preview)


def _preview(data: Path) -> DataPreview | None:
    if data.is_dir():
        return None
    frame = readers.head(readers.find_source(str(data), "", "train")).frame
    columns = [str(column) for column in frame.columns][:MAX_COLUMNS]
    cells = frame.iloc[:PREVIEW_ROWS, :MAX_COLUMNS].to_numpy().tolist()
    return DataPreview(columns, [[_cell(cell) for cell in row] for row in cells])


def _cell(value: Any) -> str:
    text = "(an image)" if isinstance(value, dict) else str(value)
    return text if len(text) <= MAX_CELL else f"{text[:MAX_CELL]}…"


def _kinds(options: CustomOptions) -> list[str]:
    """The kind that was given or guessed, and the others that fit."""
    if options.kind not in ("labels", "regression"):
        return [options.kind]
    train = readers.read(readers.find_source(options.data, "", "train"), options.rows, options.split_seed)
    return [options.kind, *alternatives(options.kind, train, options.label)]


@contextmanager
def _field(name: str) -> Iterator[None]:
    """Whatever goes wrong is said next to this field."""
    try:
        yield
    except FieldError:
        raise
    except BadInput as error:
        raise FieldError(name, str(error)) from error
    except MemoryError:  # said by `run_entry`, for the file is what takes it: a Parquet file can unpack to any size
        raise
    except Exception as error:  # whatever a reader raises on a stranger's file
        said = str(error).strip().splitlines() or [""]
        raise FieldError(name, f"it cannot be read: {type(error).__name__} {said[0]}".strip()) from error


def _model(order: DataOrder) -> tuple[str, Path]:
    """The model as the task names it, and its folder; of images the small ViT where none was given."""
    if not order.model:
        is_images = order.file.lower().endswith(".zip") or order.kind == "images" or bool(order.image)
        usual = pretrained.SMALL_VIT if is_images else pretrained.MINILM
        return usual, pretrained.model_folder(usual)
    folder = pretrained.model_folder(str(allowed_folder(Path(order.root) / order.model, [order.root])))
    return str(folder), folder


def _copied(order: DataOrder) -> Path:
    """The data in the order's folder: Gradio's copy may go at any time."""
    source, target = Path(order.file), Path(order.target)
    if source.suffix.lower() == ".zip":
        folder = target / Path(order.name).stem
        unzip_images(source, folder)
        return folder
    shutil.copyfile(source, target / order.name)
    readers.head(readers.find_source(str(target / order.name), "", "train"))
    return target / order.name


def _options(order: DataOrder, data: Path, model: str, kind: str) -> CustomOptions:
    """The task's options, what nobody gave filled in; only Parquet and a zip can bring images."""
    is_parquet = data.suffix == ".parquet" and data.is_file()
    if data.is_dir() or order.image:
        kind = "images"
    elif order.kind or (is_parquet and not order.text):
        kind = order.kind or "auto"
    if order.image and not is_parquet:
        raise FieldError(
            "columns", "a column of images is taken from Parquet alone; else give a zip, one folder a class"
        )
    given = {"text": order.text, "label": order.label, "image": order.image} if data.is_file() else {}
    values: dict[str, Any] = {"data": str(data), "kind": kind, "new_head": order.new_head, **given}
    options = CustomOptions.parse({**values, "model": model}, "your data")
    if options.kind == "images" and model == pretrained.MINILM:
        return CustomOptions.parse({**values, "model": pretrained.SMALL_VIT}, "your data")
    if options.kind == "labels" and not order.kind and _is_continuous(options):
        return CustomOptions.parse({**values, "model": model, "kind": "regression"}, "your data")
    return options


def _is_continuous(options: CustomOptions) -> bool:
    return is_continuous(readers.head(readers.find_source(options.data, "", "train")), options.label)


def _check_model(options: CustomOptions) -> None:
    """A model that reads what the data are."""
    folder = pretrained.model_folder(options.model)
    if options.kind != "images":
        pretrained.tokenizer(folder)
    elif hasattr(pretrained.model_config(folder), "vocab_size"):
        raise BadInput(f"these are images and {Path(options.model).name} reads text; give the folder of an image model")


def _spec(options: CustomOptions) -> TaskSpec:
    """The task, whole: reading its text must give the same."""
    defaults = {name: field.default for name, field in CustomOptions.model_fields.items()}
    given = {name: value for name, value in options.model_dump().items() if value != defaults[name]}
    spec = TaskSpec("custom", given)
    if CustomOptions.parse(TaskSpec.parse(str(spec)).options, "your data") != options:
        raise BadInput("a column's name holds characters that a task cannot; rename it in the file")
    return spec


def _check_images(options: CustomOptions, data: Path) -> None:
    """Images of a table must be in it: a path would be read from this machine's disk."""
    if options.kind != "images" or data.is_dir():
        return
    rows = readers.read(readers.find_source(str(data), "", "train"), options.rows, options.split_seed)
    for index, value in enumerate(rows.frame[options.image]):
        if not isinstance(value, dict) or not isinstance(value.get("bytes"), bytes) or not value["bytes"]:
            raise BadInput(f"row {index + 1} has no image in {options.image!r}; the bytes of each must be in the file")
