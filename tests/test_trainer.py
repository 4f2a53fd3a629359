"""transformers' Trainer: a training that was cut off goes on bit by bit, and the best checkpoint comes back."""

import copy
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel, get_peft_model
from torch import Tensor
from transformers import Trainer, TrainingArguments

from neatlab.adapters.attach import quiet_peft
from neatlab.adapters.neat import NeatConfig
from tests.models import MODELS, TOKENS

LLAMA = MODELS["llama"]
STEPS, BETWEEN = 12, 4


def rows(seed: int) -> list[dict[str, Tensor]]:
    ids = torch.randint(TOKENS, (6, 8), generator=torch.Generator().manual_seed(seed))
    return [{"input_ids": row, "labels": row} for row in ids]


def trainer(folder: Path, **evaluation: Any) -> Trainer:
    torch.manual_seed(1)
    config = NeatConfig(r=3, depth=4, activation="prelu", dropout=0.2, target_modules=LLAMA.targets)
    with quiet_peft():
        model = get_peft_model(LLAMA.build(), config)
    arguments = TrainingArguments(
        folder,
        max_steps=STEPS,
        learning_rate=0.1,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
        save_steps=BETWEEN,
        logging_steps=1,
        disable_tqdm=True,
        report_to=[],
        use_cpu=True,
        **evaluation,
    )
    order = count()
    scores = {"compute_metrics": lambda _: {"order": next(order)}}
    return Trainer(model, arguments, train_dataset=rows(0), eval_dataset=rows(1), **scores)


def checkpoint(done: Trainer, step: int) -> Path:
    return Path(done.args.output_dir) / f"checkpoint-{step}"


def loaded(folder: Path) -> PeftModel:
    with quiet_peft():
        return PeftModel.from_pretrained(LLAMA.build(), folder)


def losses(done: Trainer) -> list[float]:
    return [entry["loss"] for entry in done.state.log_history if "loss" in entry]


def assert_equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """Trained with a score that is worse at every evaluation, so that the first checkpoint is the best."""
    done = trainer(
        tmp_path_factory.mktemp("evaluated"),
        eval_strategy="steps",
        eval_steps=BETWEEN,
        load_best_model_at_end=True,
        metric_for_best_model="order",
        greater_is_better=False,
    )
    done.train()
    return done


def test_what_goes_on_from_a_checkpoint_is_what_was_never_stopped(tmp_path):
    through, resumed = trainer(tmp_path / "through"), trainer(tmp_path / "resumed")
    through.train()
    resumed.train(resume_from_checkpoint=str(checkpoint(through, BETWEEN)))
    assert losses(resumed) == losses(through)
    last, first = (loaded(checkpoint(through, step)).state_dict() for step in (STEPS, BETWEEN))
    assert_equal(loaded(checkpoint(resumed, STEPS)).state_dict(), last)
    assert not any(torch.equal(first[name], last[name]) for name in last if "neat_" in name)


def test_the_best_checkpoint_comes_back_at_the_end(evaluated):
    assert evaluated.state.best_model_checkpoint == str(checkpoint(evaluated, BETWEEN))
    best, last = (LLAMA.logits(loaded(checkpoint(evaluated, step))) for step in (BETWEEN, STEPS))
    assert torch.equal(LLAMA.logits(evaluated.model), best)
    assert not torch.allclose(best, last, atol=1e-3)


def test_it_learns_and_leaves_the_base_alone(evaluated):
    batch = {name: torch.stack([row[name] for row in rows(0)]) for name in ("input_ids", "labels")}
    trained, base = loaded(checkpoint(evaluated, STEPS)).eval(), LLAMA.build().eval()
    with torch.no_grad():
        assert trained(**batch).loss < 0.9 * base(**batch).loss
    assert_equal(copy.deepcopy(evaluated.model).unload().state_dict(), base.state_dict())
