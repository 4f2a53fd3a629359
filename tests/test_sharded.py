"""DDP and FSDP2 on two processes: the gradients of one, and ΔW and merging where the weights are sharded."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests import sharded
from tests.processes import script_ranks

pytestmark = pytest.mark.process
Outcome = dict[str, dict[str, Tensor]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes found."""
    path = tmp_path_factory.mktemp("sharded")
    done = script_ranks(sharded.__file__, path)
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture(params=[(wrap, name) for wrap in sharded.WRAPS for name in sharded.CONFIGS], ids="-".join)
def case(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param


def together(folder: Path, wrap: str, name: str) -> Outcome:
    return torch.load(folder / f"{wrap}-{name}.pt")


@pytest.mark.parametrize("part", ["grads", "trained", "deltas", "merged"])
def test_two_processes_compute_what_one_does(part: str, case: tuple[str, str], folder: Path) -> None:
    both, alone = together(folder, *case)[part], sharded.alone(case[1])[part]
    assert alone and alone.keys() == both.keys()
    for key, tensor in alone.items():
        assert torch.allclose(both[key], tensor, atol=2e-6), key


@pytest.mark.parametrize("wrap", sharded.WRAPS)
def test_unmerging_puts_the_weights_back_bit_by_bit(wrap: str, folder: Path) -> None:
    both = together(folder, wrap, "neat")
    changed = {key for key, tensor in both["trained"].items() if not torch.equal(tensor, both["merged"][key])}
    assert changed == {f"base_model.model.{layer}.base_layer.weight" for layer in both["deltas"]}
    assert all(torch.equal(both["unmerged"][key], tensor) for key, tensor in both["trained"].items())
