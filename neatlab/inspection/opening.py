"""inspect: open an adapter and measure what it did to the weights."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from neatlab.errors import BadInput
from neatlab.inspection.measure import LayerReport, measure
from neatlab.inspection.origin import base_name, origin_task, task_weights
from neatlab.inspection.results import Inspection
from neatlab.inspection.source import Source
from neatlab.inspection.sources import open_source
from neatlab.runtime.files import PathLike

OnLayer = Callable[[int, int, str], None]  # layers done, layers in all, the layer that comes next

DIRECTIONS = 16
MAX_DIRECTIONS = 256


def inspect(
    path: PathLike,
    base: PathLike | None = None,
    *,
    directions: int = DIRECTIONS,
    on_layer: OnLayer | None = None,
) -> Inspection:
    """Measure what an adapter, or a training of all weights, did to each linear layer.

    Files are read layer by layer, so that a base of any size needs the memory of its largest layer.

    Args:
        path: A folder as PEFT writes it (adapter_config.json and adapter_model.safetensors), a LoRA file as Kohya,
            Diffusers or ComfyUI writes it, or a whole checkpoint.
        base: The model's folder, or its name in the local hub cache. Needed where ΔW depends on W₀ (NEAT, PEANuT,
            DoRA, …) and for a whole checkpoint; with it come the relative norm, amplification, overlap and intruders.
            An adapter that neatlab has exported names its task, and with it its base.
        directions: Leading directions of W₀ to compare with; 0 leaves overlaps and intruders out, which is most of
            the time.
        on_layer: Called before each layer with what is done, what there is, and the layer's name.

    Returns:
        The inspection: `.layers`, `.frame()`, `.verdict()`, `.to_dict()`.

    Raises:
        BadInput: What cannot be read, is not known, or does not fit; nothing is measured before that is checked.

    Example:
        >>> import neatlab, peft, torch
        >>> lora = peft.LoraConfig(r=2, target_modules=["0"], init_lora_weights=False)
        >>> peft.get_peft_model(torch.nn.Sequential(torch.nn.Linear(8, 4)), lora).save_pretrained("my-adapter")
        >>> inspection = neatlab.inspect("my-adapter")
        >>> [(layer.name, layer.shape, len(layer.spectrum.singular_values)) for layer in inspection.layers]
        [('0', (4, 8), 2)]
    """
    if isinstance(directions, bool) or not isinstance(directions, int) or not 0 <= directions <= MAX_DIRECTIONS:
        raise BadInput(f"directions={directions!r}; allowed: 0 to {MAX_DIRECTIONS}")
    task = origin_task(Path(path)) if base is None else None
    with ExitStack() as opened:
        weights = opened.enter_context(task_weights(task)) if task else base
        inspection = inspect_source(open_source(path, weights), directions=directions, on_layer=on_layer)
    return replace(inspection, base=base_name(task)) if task else inspection


def inspect_source(source: Source, *, directions: int = DIRECTIONS, on_layer: OnLayer | None = None) -> Inspection:
    """Measure an open source, layer by layer.

    Args:
        source: Where ΔW comes from.
        directions: Leading directions of W₀ to compare with.
        on_layer: As in `inspect`.
    """
    reports: list[LayerReport] = []
    for done, name in enumerate(source.layers):
        if on_layer:
            on_layer(done, len(source.layers), name)
        reports.append(measure(name, source.read(name), directions, source.is_dora))
    return Inspection(
        title=source.title,
        method=source.method,
        settings=dict(source.settings),
        base=source.base,
        layers=reports,
        trained_whole=list(source.trained_whole),
        left_out=dict(source.left_out),
    )
