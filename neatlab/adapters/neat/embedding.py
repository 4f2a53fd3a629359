"""An embedding with NEAT adapters: W₀ is its table transposed, d_out × rows."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from neatlab.adapters.factors import Factors
from neatlab.adapters.neat.hidden import thin_product
from neatlab.adapters.neat.layer import NeatLayer


class NeatEmbedding(NeatLayer):
    """An `nn.Embedding` with NEAT adapters: row e of the table gets e + s·f(e) where f maps over d_out.

    While it trains, such an f meets the rows that a batch asks for and no others. An f that maps over the rows of the
    table costs 2·r·rows parameters; "auto" takes the cheaper side. Tokens are not dropped: `dropout` is without effect.

    Args:
        base_layer: The embedding, without `max_norm`, `sparse` and `scale_grad_by_freq`.
        adapter_name: Name of the first adapter.
        config: Its configuration.
        requantise: Not used: no backend quantises embeddings.

    Raises:
        BadInput: A rank above min(rows, d_out).
    """

    @staticmethod
    def unsupported(base: Any) -> str:
        """What about a base layer of this kind is beyond NEAT, "" for nothing."""
        for name in ("max_norm", "sparse", "scale_grad_by_freq"):
            if getattr(base, name):
                return f"{name}={getattr(base, name)}; NEAT adapts embeddings without it"
        return ""

    def drawn_size(self) -> float:
        """Of an embedding PEFT's LoRA draws B, from N(0, 1)."""
        return 1.0

    def drops(self, adapter_name: str) -> bool:
        """Tokens are not dropped."""
        return False

    def add_update(self, result: Tensor, x: Tensor, adapter_name: str, frozen: Tensor | None) -> Tensor:
        """The base layer's result for x with the rows of ΔWᵀ added."""
        base: Any = self.get_base_layer()
        if self._is_of_rows(adapter_name) and torch.is_grad_enabled() and x.numel() < self.in_features:
            left, thin = self._factors_of_rows(x, adapter_name)  # d_out × r, … × r
            if base.padding_idx is not None:  # no gradient from padding to H, as in a look-up
                thin = torch.where((x == base.padding_idx)[..., None], thin.detach(), thin)
        else:
            factors: Factors = self.factors(adapter_name)
            left, thin = factors.left, F.embedding(x, factors.right.T, padding_idx=base.padding_idx)
        update = thin.to(result.dtype) @ left.T.to(result.dtype)
        scale = getattr(base, "embed_scale", None)  # some models scale what they look up
        return result + (update if scale is None else update * scale)

    def _is_of_rows(self, adapter_name: str) -> bool:
        """Whether the update of a row of the table depends on that row alone."""
        return self.neat_config[adapter_name].conditioning == "weight" and self.maps_out(adapter_name)

    def _factors_of_rows(self, x: Tensor, adapter_name: str) -> tuple[Tensor, Tensor]:
        rows = self.base_weight().T[x.flatten()]  # n × d_out
        first, *_ = self.thetas(adapter_name)
        hidden = self.hidden(adapter_name, thin_product(first, rows.T))  # r × n
        return self.last(adapter_name).T, hidden.T.unflatten(0, x.shape)
