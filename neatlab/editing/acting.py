"""edit: acts on an adapter, in the order given."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from neatlab.editing.acts import ACTS, Act, parse_act
from neatlab.editing.opening import open_editable
from neatlab.editing.proof import Prover
from neatlab.editing.result import Edit
from neatlab.editing.state import Editable
from neatlab.editing.writing import OnLayer, write
from neatlab.errors import BadInput
from neatlab.runtime.files import PathLike
from neatlab.tasks import TaskSpec


def edit(
    adapter: PathLike,
    acts: Sequence[str | Act],
    out: PathLike,
    base: PathLike | None = None,
    *,
    task: str | TaskSpec | None = None,
    margin: float | None = None,
    runs: PathLike = "runs",
    on_layer: OnLayer | None = None,
) -> Edit:
    """Change an adapter and write the result as an adapter folder that PEFT loads, or as the LoRA file that it was.

    Acts work on the thin factors of ΔW; ΔW itself is built for types that have none, for DoRA's figures and for TIES
    and DARE, one layer at a time. Tensors that were trained whole, such as a classifier, come along as they are.

    Args:
        adapter: A folder as PEFT writes it, a zip of its two files, the id of a finished run, or a LoRA file as Kohya,
            Diffusers or ComfyUI writes it; then the result is a file of the same style.
        acts: What to do, in this order: "compress:rank=2", "rewind:alpha=0.8", …; the names are those of `ACTS`.
        out: The folder to write; it must not exist yet, or be empty.
        base: The model that the adapter was trained on, a folder or its name in the local hub cache. Needed where ΔW
            depends on W₀ (NEAT, PEANuT, DoRA, PiSSA, …), and by reduce-intruders and convert:to=neat.
        task: Score the adapter before and after on the test split of this task: "own" for that of a run or of what the
            lab exported, or a task as `compare` takes it.
        margin: The largest difference in score that does not matter; the metric's own by default.
        runs: The runs folder.
        on_layer: Called before each layer with what is done, what there is, and the layer's name.

    Returns:
        What was done: `.layers`, `.frame()`, `.relative_frobenius`, `.to_dict()`, with a task `.proof`.

    Raises:
        BadInput: An act or adapter that cannot be used, or an act that the adapter's type does not allow; then there
            is nothing at `out`.

    Example:
        >>> import neatlab, peft, torch
        >>> lora = peft.LoraConfig(r=4, target_modules=["0"], init_lora_weights=False)
        >>> peft.get_peft_model(torch.nn.Sequential(torch.nn.Linear(8, 8)), lora).save_pretrained("my-adapter")
        >>> edit = neatlab.edit("my-adapter", ["rewind:alpha=0.5"], out="half-of-it")
        >>> round(edit.relative_frobenius, 6)
        0.5
    """
    if not acts:
        raise BadInput(f"no act is given; such as --act compress:rank=2; allowed: {', '.join(ACTS)}")
    parsed = [parse_act(act) if isinstance(act, str) else act for act in acts]
    with torch.no_grad(), open_editable(adapter, base, runs) as editable:
        if task is None and margin is not None:
            raise BadInput(f"margin={margin:g} says which difference in score does not matter; give the task too")
        prover = None if task is None else make_prover(task, margin, editable)
        if prover and any(act.row.needs_task for act in parsed):
            editable = replace(editable, gradient=prover.gradients(editable.origin.path))
        for act in parsed:
            editable = act(editable)
        before = prover.scores(editable.origin.path) if prover else None
        done = write(editable, tuple(act.text for act in parsed), out, on_layer)
        if prover is None or before is None:
            return done
        is_smaller = done.parameters_after < done.parameters_before
        return replace(done, proof=prover.proof(before, prover.scores(Path(out)), is_smaller))


def make_prover(task: str | TaskSpec, margin: float | None, adapter: Editable) -> Prover:
    """What scores an adapter before and after.

    Args:
        task: "own" for that of a run or of what the lab exported, or a task as `compare` takes it.
        margin: The largest difference that does not matter; the metric's own by default.
        adapter: What is edited.

    Raises:
        BadInput: No such task, an adapter without one of its own, or a margin that bounds nothing.
    """
    if adapter.image is not None:
        raise BadInput(f"{adapter.origin.title} is a LoRA of an image model, and no task here has one; leave task out")
    if task == "own":
        if adapter.origin.task is None:
            raise BadInput(f"{adapter.origin.title} names no task of its own; name the task, such as digits")
        return Prover(adapter.origin.task, margin)
    return Prover(task if isinstance(task, TaskSpec) else TaskSpec.parse(task), margin)
