"""Tasks whose small base model is trained on first use: one loop for all, and a Llama that a minute is enough for."""

import json
from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from tqdm import trange

from neatlab.runtime.cache import Weights, cached_tensors
from neatlab.runtime.lazy import lazy
from neatlab.runtime.progress import report
from neatlab.tasks.base import Batch, Score, Split, Task, select, size

transformers = lazy("transformers")

LLAMA: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 32,
    "rope_parameters": {"rope_type": "default", "rope_theta": 100.0},
    "initializer_range": 0.1,  # about 1/√hidden_size; transformers' 0.02 is for wide models and learns far later here
    "bos_token_id": None,
    "eos_token_id": None,
}
LLAMA_TARGETS = ["q_proj", "k_proj", "v_proj", "up_proj", "down_proj"]  # NEAT's paper on language models: section 5


_weights: dict[str, Weights] = {}  # recipe as JSON → weights, so that a process reads them once


class PretrainedTask(Task):
    """A task whose base model is trained on first use, on data of its own, and cached."""

    is_small: ClassVar[bool] = True
    hidden_size: ClassVar[int] = LLAMA["hidden_size"]

    @classmethod
    def layer_shape(cls, options: Any) -> tuple[int, int]:
        return cls.hidden_size, cls.hidden_size

    @abstractmethod
    def recipe(self) -> dict[str, Any]:
        """Everything that the base's weights depend on: `task`, `version`, `model`, `training`, seeds."""

    @abstractmethod
    def new_model(self) -> nn.Module:
        """The base's architecture, randomly initialised."""

    @abstractmethod
    def base_examples(self, name: Literal["train", "test"]) -> Batch:
        """What the base is trained on, and held-out examples of it."""

    @abstractmethod
    def make_splits(self) -> dict[Split, Batch]:
        """The examples to adapt to; made once."""

    @abstractmethod
    def evaluate(self, model: nn.Module, batch: Batch) -> Score:
        """Loss and metric on some examples, without gradients."""

    def base_model(self) -> nn.Module:
        model, recipe = self.new_model(), self.recipe()
        key = json.dumps(recipe, sort_keys=True)
        if key not in _weights:
            _weights[key] = cached_tensors(recipe, self._pretrained)
        model.load_state_dict(_weights[key])
        return model

    def _pretrained(self) -> Weights:
        recipe = self.recipe()
        return pretrain(recipe["task"], self.new_model, self.loss, self.base_examples("train"), recipe["training"])

    def split(self, name: Split) -> Batch:
        return self._splits[name]

    @cached_property
    def _splits(self) -> dict[Split, Batch]:
        return self.make_splits()

    def score(self, model: nn.Module, name: Split) -> Score:
        return self.evaluate(model, self.split(name))

    def base_score(self, model: nn.Module) -> float:
        return self.evaluate(model, self.base_examples("test")).metric


def tiny_llama(vocabulary: int) -> nn.Module:
    """A randomly initialised causal language model of two layers for sequences of up to 32 tokens."""
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=vocabulary, **LLAMA))


def answer_logits(model: nn.Module, tokens: Tensor, width: int) -> Tensor:
    """Logits for the last `width` of `tokens` (n × length), each from all before it: n × width × vocabulary."""
    return model(input_ids=tokens, logits_to_keep=width + 1).logits[:, :-1]


def pretrain(
    what: str,
    make: Callable[[], nn.Module],
    loss: Callable[[nn.Module, Batch], Tensor],
    data: Batch,
    settings: Mapping[str, Any],
) -> Weights:
    """The weights of a model trained from scratch by AdamW on one cycle of the learning rate.

    Args:
        what: Whose base it is, for the progress bar.
        make: A freshly initialised model.
        loss: The training loss of a batch.
        data: The examples that batches are drawn from, with replacement.
        settings: `steps`, `batch_size`, `lr` and `seed`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings["seed"])
        model = make().train()
        optimizer = torch.optim.AdamW(model.parameters(), settings["lr"])
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings["lr"], settings["steps"])
        for step in trange(settings["steps"], desc=f"training the {what} base model (once)", leave=False):
            report(f"base model of {what}", step, settings["steps"])
            rows = select(data, torch.randint(size(data), (settings["batch_size"],)))
            optimizer.zero_grad()
            loss(model, rows).backward()
            optimizer.step()
            schedule.step()
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
