"""Merging ΔW into the base weight and taking it out again, bit by bit."""

import warnings
from abc import abstractmethod
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer, check_adapters_to_merge
from torch import Tensor, nn

from neatlab.adapters.factors import Factors
from neatlab.adapters.neat.storage import Storage


class MergingLayer(BaseTunerLayer):
    """A layer around another whose ΔW depends on W₀, which is kept aside while something is merged."""

    base_layer: nn.Module
    merged_adapters: list[str]
    storage: Storage
    _modules: dict[str, Any]
    _before_merge: Any

    @abstractmethod
    def holds(self, adapter_name: str) -> bool:
        """Whether the layer has this adapter."""

    @abstractmethod
    def factors(self, adapter_name: str) -> Factors:
        """ΔW of an adapter as left @ right, d_out × r and r × d_in."""

    def get_base_layer(self) -> nn.Module:
        """What stands under this layer and any other tuner's; PEFT's own takes as long as a small product."""
        base: Any = self._modules["base_layer"]
        return base.get_base_layer() if "base_layer" in base._modules else base

    def base_weight(self) -> Tensor:
        """W₀ as d_out × d_in, before any merge; a view wherever nothing is merged and nothing quantised."""
        return self.storage.read(self.get_base_layer(), self._before_merge)

    def stored_weight(self) -> Tensor:
        """The tensor that changes where W₀ does."""
        return self.storage.stored(self.get_base_layer(), self._before_merge)

    def get_delta_weight(self, adapter_name: str) -> Tensor:
        """ΔW in the layout and dtype of the base weight. Builds the whole matrix."""
        return self.storage.like_weight(self.get_base_layer(), self.dense_delta(adapter_name))

    def dense_delta(self, adapter_name: str) -> Tensor:
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
            BadInput: A quantised layer, and it is not known how to quantise it anew.
            ValueError: `safe_merge` and a sum that is not finite; the layer is left as it was.
        """
        wanted = self.active_adapters if adapter_names is None else adapter_names
        names = check_adapters_to_merge(self, [name for name in wanted if self.holds(name)])
        if not names:
            return
        self.storage.check_writable()
        before = self.base_weight()
        merged = before.to(torch.promote_types(before.dtype, torch.float32), copy=True)
        for name in [*self.merged_adapters, *names]:
            merged += self.dense_delta(name)
        if safe_merge and not torch.isfinite(merged).all():
            # PEFT's words: scripts look for them.
            raise ValueError(f"NaNs detected in the merged weights. The adapter {', '.join(names)} seems to be broken")
        if self._before_merge is None:
            self._before_merge = self.storage.save(self.get_base_layer())
        self.storage.write(self, merged)
        self.merged_adapters.extend(names)

    @torch.no_grad()
    def unmerge(self) -> None:
        """Restore W₀ bit by bit."""
        if self._before_merge is None:
            warnings.warn("Already unmerged. Nothing to do.", stacklevel=2)
            return
        self.storage.restore(self, self._before_merge)
        self._before_merge = None
        self.merged_adapters.clear()
