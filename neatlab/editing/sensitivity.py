"""How a task's loss changes with the weight of each adapted layer."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from neatlab.adapters.attach import tuner_layers
from neatlab.errors import BadInput
from neatlab.tasks import Task
from neatlab.tasks.base import to_device
from neatlab.training.batches import shuffled_batches


class LayerGradients:
    """∂loss/∂W of every adapted layer on a few training examples, W being W₀ + ΔW.

    Args:
        task: The task.
        model: Its base with the adapter.
    """

    def __init__(self, task: Task, model: nn.Module) -> None:
        self._task, self._model = task, model
        self._measured: dict[int, dict[str, Tensor]] = {}

    def __call__(self, layer: str, examples: int) -> Tensor:
        """Of one layer, d_out × d_in.

        Args:
            layer: Its name.
            examples: How many training examples, drawn from seed 0.

        Raises:
            BadInput: The layer is not linear, or the loss does not depend on it.
        """
        if examples not in self._measured:
            self._measured[examples] = self._measure(examples)
        if layer not in self._measured[examples]:
            raise BadInput(f"layer {layer} is not linear, or the loss does not depend on it: it has no gradient here")
        return self._measured[examples][layer]

    def _measure(self, examples: int) -> dict[str, Tensor]:
        sums: dict[str, Tensor] = {}
        tuners: list[tuple[str, Any]] = [*tuner_layers(self._model)]
        linear = [(name, tuner) for name, tuner in tuners if isinstance(tuner.get_base_layer(), nn.Linear)]
        hooks = [tuner.register_forward_hook(partial(_watch, sums, name)) for name, tuner in linear]
        batch = next(shuffled_batches(self._task.split("train"), examples, 0))
        try:
            with torch.enable_grad():
                self._task.loss(self._model.eval(), to_device(batch, self._model)).backward()
        finally:
            for hook in hooks:
                hook.remove()
        return sums


def _watch(sums: dict[str, Tensor], name: str, module: nn.Module, given: tuple[Tensor, ...], output: Any) -> Tensor:
    """Have a layer's output say its gradient when it comes: Σ over positions of ∂loss/∂y xᵀ."""
    x = given[0].detach()
    y: Tensor = output if output.requires_grad else output.detach().requires_grad_()

    def add(gradient: Tensor) -> None:
        own = gradient.flatten(0, -2).double().T @ x.flatten(0, -2).double()  # d_out × d_in
        sums[name] = sums[name] + own if name in sums else own

    y.register_hook(add)
    return y
