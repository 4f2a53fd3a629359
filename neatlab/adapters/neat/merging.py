"""Merging ΔW into the base weight and taking it out again, bit by bit."""

import warnings
from abc import abstractmethod
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer, check_adapters_to_merge
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from neatlab.adapters.factors import Factors


class MergingLayer(BaseTunerLayer):
    """A layer around a linear one whose ΔW depends on W₀, which is stored on the CPU while something is merged."""

    base_layer: nn.Module
    merged_adapters: list[str]
    _weight_before_merge: Tensor | None

    @abstractmethod
    def holds(self, adapter_name: str) -> bool:
        """Whether the layer has this adapter."""

    @abstractmethod
    def factors(self, adapter_name: str) -> Factors:
        """ΔW of an adapter as left @ right, d_out × r and r × d_in."""

    def base_weight(self) -> Tensor:
        """W₀ as d_out × d_in, before any merge; a view wherever nothing is merged."""
        base: Any = self.get_base_layer()
        weight: Tensor = base.weight.detach()
        if self._weight_before_merge is not None:
            weight = self._weight_before_merge.to(weight.device)
        return weight.T if isinstance(base, Conv1D) else weight

    def get_delta_weight(self, adapter_name: str) -> Tensor:
        """ΔW in the layout and dtype of the base weight. Builds the whole matrix."""
        base: Any = self.get_base_layer()
        delta = self._dense_delta(adapter_name).to(base.weight.dtype)
        return delta.T if isinstance(base, Conv1D) else delta

    def _dense_delta(self, adapter_name: str) -> Tensor:
        """ΔW as d_out × d_in, in float32 at least."""
        factors = self.factors(adapter_name)
        dtype = torch.promote_types(factors.left.dtype, torch.float32)
        return factors.left.to(dtype) @ factors.right.to(dtype)

    @torch.no_grad()
    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Write W₀ + ΣΔW into the base layer; every ΔW is f of the weight before any merge.

        Args:
            safe_merge: Check that the sum is finite before anything is written.
            adapter_names: Adapters to merge; the active ones by default.

        Raises:
            ValueError: `safe_merge` and a sum that is not finite; the layer is left as it was.
        """
        names = [name for name in check_adapters_to_merge(self, adapter_names) if self.holds(name)]
        if not names:
            return
        base: Any = self.get_base_layer()
        before = self.base_weight()
        merged = before.to(torch.promote_types(before.dtype, torch.float32), copy=True)
        for name in [*self.merged_adapters, *names]:
            merged += self._dense_delta(name)
        if safe_merge and not torch.isfinite(merged).all():
            # PEFT's words: scripts look for them.
            raise ValueError(f"NaNs detected in the merged weights. The adapter {', '.join(names)} seems to be broken")
        if self._weight_before_merge is None:
            self._weight_before_merge = base.weight.detach().clone().cpu()
        base.weight.copy_(merged.T if isinstance(base, Conv1D) else merged)
        self.merged_adapters.extend(names)

    @torch.no_grad()
    def unmerge(self) -> None:
        """Restore W₀ bit by bit."""
        if self._weight_before_merge is None:
            warnings.warn("Already unmerged. Nothing to do.", stacklevel=2)
            return
        base: Any = self.get_base_layer()
        base.weight.copy_(self._weight_before_merge)
        self._weight_before_merge = None
        self.merged_adapters.clear()
