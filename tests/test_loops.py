"""Ways of training and serving that a whole model goes through: compiled, with checkpointing, in half precision."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import (
    LoraConfig,
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend
from torch._dynamo.utils import counters
from torch._inductor import cpu_vec_isa

from neatlab.adapters.attach import quiet_peft, tuner_layers
from neatlab.adapters.neat import NeatConfig
from tests.models import MODELS

LLAMA = MODELS["llama"]
NEAT: dict[str, Any] = {"r": 3, "depth": 4, "activation": "gelu", "init_weights": False}
CONFIGS: dict[str, Any] = {
    "neat": NeatConfig(target_modules=["0", "2"], **NEAT),
    "neat-in": NeatConfig(target_modules=["0", "2"], orientation="in", **NEAT),
    "lora": LoraConfig(r=3, init_lora_weights=False, target_modules=["0", "2"]),
}


def net(config: Any) -> PeftModel:
    torch.manual_seed(0)
    return get_peft_model(nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 6)), config)


def llama(dtype: torch.dtype = torch.float32, **options: Any) -> PeftModel:
    torch.manual_seed(0)
    with quiet_peft():
        return get_peft_model(LLAMA.build().to(dtype), NeatConfig(target_modules=LLAMA.targets, **NEAT), **options)


def gradients(model: nn.Module) -> dict[str, Tensor]:
    """Those of the adapter, by name; nothing else has any."""
    grads = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    assert grads and all("neat_" in name or "lora_" in name for name in grads)
    model.zero_grad()
    return grads


def assert_close(a: dict[str, Tensor], b: dict[str, Tensor], tolerance: float) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.allclose(a[name], b[name], rtol=0, atol=tolerance * float(b[name].abs().max())), name


def graphs(name: str) -> tuple[int, int]:
    """Graphs and graph breaks of training steps on batches of two sizes, and of evaluation."""
    torch._dynamo.reset()
    counters.clear()
    counter = CompileCounterWithBackend("eager")
    model = net(CONFIGS[name])
    compiled, optimiser = torch.compile(model, backend=counter), torch.optim.SGD(model.parameters(), lr=0.1)
    for rows in (4, 4, 7, 7, 4):
        compiled(torch.randn(rows, 12)).square().sum().backward()
        optimiser.step()
    model.eval()
    with torch.no_grad():
        for _ in range(2):
            compiled(torch.randn(4, 12))
    return counter.frame_count, sum(counters["graph_break"].values())


def test_compiled_it_has_no_more_graphs_than_lora() -> None:
    most, _ = graphs("lora")
    for name in ("neat", "neat-in"):
        count, breaks = graphs(name)
        assert (breaks, 0 < count <= most) == (0, True), (name, count, most)


@pytest.mark.process
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
def test_compiled_by_inductor_it_computes_what_it_does_eagerly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    torch._dynamo.reset()
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(cpu_vec_isa, "valid_vec_isa_list", list)  # finding out what vectors the CPU has takes 8 s
    model, x = net(NeatConfig(target_modules=["2"], **{**NEAT, "activation": "tanh"})), torch.randn(4, 12)
    eager = model(x)
    eager.square().sum().backward()
    grads = gradients(model)
    with torch._inductor.config.patch(compile_threads=1):
        compiled = torch.compile(model)
        result = compiled(x)
        assert torch.allclose(result, eager, atol=1e-6)
        result.square().sum().backward()
        assert_close(gradients(model), grads, 1e-5)
        model.eval()
        with torch.no_grad():
            before = compiled(x)
            assert torch.allclose(before, model(x), atol=1e-6)
            model.base_model.model[2].thetas("default")[-1].mul_(2)
            assert torch.allclose(compiled(x), model(x), atol=1e-6)
            assert not torch.allclose(compiled(x), before, atol=1e-2)


@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing_changes_no_bit_of_a_gradient(reentrant: bool) -> None:
    model = llama()
    LLAMA.loss(model).backward()
    plain = gradients(model)
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    model.enable_input_require_grads()
    forwards = []
    layer = next(layer for _, layer in tuner_layers(model))
    layer.register_forward_hook(lambda *_: forwards.append(torch.is_grad_enabled()))
    LLAMA.loss(model).backward()
    assert len(forwards) == 2  # the second to have what the first did not keep
    again = gradients(model)
    assert again.keys() == plain.keys()
    assert all(torch.equal(again[name], plain[name]) for name in plain)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("options", [{}, {"autocast_adapter_dtype": False}], ids=["float32", "as the base"])
def test_on_a_base_in_half_precision(dtype: torch.dtype, options: dict[str, Any]) -> None:
    exact, model = llama(), llama(dtype, **options)
    thetas = [theta for _, layer in tuner_layers(model) for theta in layer.thetas("default")]
    assert {theta.dtype for theta in thetas} == {dtype if options else torch.float32}
    assert_near(model, exact)
    assert LLAMA.logits(model).dtype == dtype


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast(dtype: torch.dtype) -> None:
    model = llama()
    with torch.autocast("cpu", dtype=dtype):
        assert_near(model, llama())


def assert_near(model: nn.Module, exact: nn.Module) -> None:
    """Loss and gradients to what a mantissa of eight bits leaves of them."""
    with torch.autocast("cpu", enabled=False):
        wanted = LLAMA.loss(exact)
        wanted.backward()
    loss = LLAMA.loss(model)
    assert torch.allclose(loss.float(), wanted, rtol=0.02)
    loss.backward()
    grads, exact_grads = flat(model), flat(exact)
    assert torch.isfinite(grads).all()
    assert (grads - exact_grads).norm() < 0.05 * exact_grads.norm()


def flat(model: nn.Module) -> Tensor:
    return torch.cat([grad.flatten().float() for _, grad in sorted(gradients(model).items())])


def test_made_without_memory_and_filled_it_is_the_one_that_was_saved() -> None:
    model, empty = llama(), llama(low_cpu_mem_usage=True)
    assert {p.is_meta for name, p in empty.named_parameters() if "neat_" in name} == {True}
    set_peft_model_state_dict(empty, get_peft_model_state_dict(model), low_cpu_mem_usage=True)
    assert not any(tensor.is_meta for tensor in [*empty.parameters(), *empty.buffers()])
    assert torch.equal(LLAMA.logits(empty), LLAMA.logits(model))
    LLAMA.loss(empty).backward()
    LLAMA.loss(model).backward()
    assert torch.equal(flat(empty), flat(model))


@pytest.mark.parametrize("options", [{}, {"low_cpu_mem_usage": True}], ids=["", "low_cpu_mem_usage"])
def test_loaded_on_a_base_in_half_precision_it_keeps_its_own(options: dict[str, Any], tmp_path: Path) -> None:
    model, other = llama(torch.bfloat16), llama(torch.bfloat16)
    model.save_pretrained(tmp_path)
    with quiet_peft():
        loaded = PeftModel.from_pretrained(LLAMA.build().bfloat16(), tmp_path, **options)
        other.load_adapter(tmp_path, "other", **options)
    other.set_adapter("other")
    for again in (loaded, other):
        assert {p.dtype for name, p in again.named_parameters() if "neat_" in name} == {torch.float32}
        assert torch.equal(LLAMA.logits(again), LLAMA.logits(model))
