"""Linear layers that bitsandbytes, torchao and HQQ have quantised, on the CPU."""

import bitsandbytes as bnb
import torch
from hqq.core.quantize import BaseQuantizeConfig, HQQLinear
from torch import nn
from torchao.quantization import Int8WeightOnlyConfig, IntxWeightOnlyConfig, quantize_

D_IN, D_OUT = 128, 64  # blocks of 64 weights share a scale


class Net(nn.Module):
    """One layer, which torchao finds by its name."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.lin = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lin(x)


def bnb8() -> Net:
    layer = bnb.nn.Linear8bitLt(D_IN, D_OUT, has_fp16_weights=False)
    layer.load_state_dict(nn.Linear(D_IN, D_OUT).state_dict())
    return Net(layer.to("cpu"))


def bnb4(**options) -> Net:
    layer = bnb.nn.Linear4bit(D_IN, D_OUT, compute_dtype=torch.float32, quant_type="nf4", **options)
    layer.load_state_dict(nn.Linear(D_IN, D_OUT).state_dict())
    return Net(layer.to("cpu"))


def torchao(config) -> Net:
    net = Net(nn.Linear(D_IN, D_OUT))
    quantize_(net, config)
    return net


def hqq() -> Net:
    config = BaseQuantizeConfig(nbits=4, group_size=64)
    return Net(HQQLinear(nn.Linear(D_IN, D_OUT), config, compute_dtype=torch.float32, device="cpu"))


class Quantiser:
    """What transformers leaves on a model that it has had torchao quantise."""

    def __init__(self, config) -> None:
        self.quantization_config = self
        self.get_apply_tensor_subclass = lambda: config


def torchao_by_transformers(config) -> Net:
    net = torchao(config)
    net.hf_quantizer = Quantiser(config)
    return net


BASES = {
    "bnb8": bnb8,
    "bnb4": bnb4,
    "bnb4-nested": lambda: bnb4(compress_statistics=True),
    "bnb4-fsdp": lambda: bnb4(quant_storage=torch.bfloat16),  # its weight says that it is floating-point
    "torchao-int8": lambda: torchao_by_transformers(Int8WeightOnlyConfig()),
    "torchao-int4": lambda: torchao_by_transformers(IntxWeightOnlyConfig(weight_dtype=torch.int4)),
    "hqq4": hqq,
}
# What rounding to the base's few bits may change of a merged weight, over the largest weight.
STEPS = {"bnb8": 1 / 127, "torchao-int8": 1 / 127} | dict.fromkeys([b for b in BASES if "8" not in b], 1 / 6)
