"""A finished run's model, with the weights that it trained."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from peft import PeftModel, get_peft_model_state_dict, load_peft_weights, set_peft_model_state_dict
from peft.utils import SAFETENSORS_WEIGHTS_NAME
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn

from neatlab.adapters.attach import Adapted
from neatlab.adapters.folders import PREFIX
from neatlab.errors import BadInput, StoreError
from neatlab.experiments.execute import TRAINED, build, make_task
from neatlab.runs.run import Run
from neatlab.tasks import Task


def load_trained(run: Run) -> Adapted:
    """The base model of a run with the weights that it trained.

    Raises:
        BadInput: The run is not finished.
        StoreError: Its weights are missing or damaged.
    """
    if run.status != "finished":
        raise BadInput(f"run {run.run_id} is {run.status}; only a finished run has weights to load")
    folder = run.path / "adapter"
    adapted = build(run.config, trained_task(run))
    with _readable(folder):
        _load(adapted, folder)
    return adapted


def trained_task(run: Run) -> Task:
    """The task of a finished run, made without its data, which may be gone.

    Raises:
        StoreError: The run's weights are missing or damaged.
    """
    folder = run.path / "adapter"
    with _readable(folder):
        shapes = _shapes(folder)
    return make_task(run.config).without_data(shapes)


def merged(adapted: Adapted) -> nn.Module:
    """The trained model with W₀ + ΔW in its weights, frozen; the adapter is used up."""
    model: Any = adapted.model
    plain: nn.Module = model.merge_and_unload() if isinstance(model, PeftModel) else model
    return plain.requires_grad_(False)


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise StoreError(f"{folder} cannot be read: {str(error).splitlines()[0]}") from error


def _shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Name in the base model → shape, of the head and what else was trained under its own name."""
    plain = folder / TRAINED
    with safe_open(plain if plain.exists() else folder / SAFETENSORS_WEIGHTS_NAME, "pt") as weights:
        return {name.removeprefix(PREFIX): tuple(weights.get_slice(name).get_shape()) for name in weights.keys()}  # noqa: SIM118


def _load(adapted: Adapted, folder: Path) -> None:
    model = adapted.model
    if isinstance(model, PeftModel):
        weights = load_peft_weights(str(folder), device="cpu")
        _check_names(get_peft_model_state_dict(model, save_embedding_layers=False), weights)
        set_peft_model_state_dict(model, weights)
        return
    trained = load_file(folder / TRAINED)
    _check_names([name for name, p in model.named_parameters() if p.requires_grad], trained)
    model.load_state_dict(trained, strict=False)


def _check_names(expected: Iterable[str], stored: Iterable[str]) -> None:
    mismatched = sorted(set(expected) ^ set(stored))
    if mismatched:
        raise ValueError(f"it and the run's model differ in {len(mismatched)} tensors, such as {mismatched[0]}")
