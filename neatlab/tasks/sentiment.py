"""sentiment: how a text of one domain is meant, by a base that can tell it in three others.

Tweets, film reviews, product reviews and newspaper editorials of VADER (Hutto and Gilbert 2014), each sentence with
the mean of at least twenty people's ratings. The base is an encoder whose classifier was fitted to the other domains,
the encoder frozen: there, adaptation to one domain shows what it forgets.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from neatlab.errors import BadInput
from neatlab.runtime.cache import Weights, cached_tensors
from neatlab.runtime.lazy import lazy
from neatlab.tasks.base import Batch, Split, eval_mode, select, size
from neatlab.tasks.encoders import Example, ShippedOptions, ShippedTask
from neatlab.tasks.metrics import METRICS, Metric
from neatlab.tasks.ratings import DOMAINS, Domain, rated_splits
from neatlab.tasks.sequences import CHUNK, LABEL, forward
from neatlab.tasks.shipped import SETS

linear_model = lazy("sklearn.linear_model")

FITTED, KNOWN = 400, 60  # texts of each polarity and other domain that the base is fitted to, and tested on
NAMES = ("negative", "positive")


class SentimentOptions(ShippedOptions):
    """Options of `sentiment`.

    Args:
        domain: Where the texts to adapt to come from; the base knows the other three.
        kind: What is learnt: the polarity of clear texts, or the mean rating of any.
        per_polarity: Training texts of each polarity, or half of all; validation has a quarter, the test as many.
    """

    sets: ClassVar[tuple[str, ...]] = ("vader",)

    domain: Domain = "tweets"
    kind: Literal["polarity", "rating"] = "polarity"
    per_polarity: int = Field(200, ge=4, le=240)


class Sentiment(ShippedTask):
    """Texts of one domain → positive or negative, or their mean rating."""

    title: ClassVar[str] = "positive or negative, in another domain"
    metric: ClassVar[Metric] = METRICS["accuracy"].metric
    base_metric: ClassVar[Metric] = Metric("accuracy in the other domains", "share of texts", True)
    options: ClassVar[type[SentimentOptions]] = SentimentOptions
    choices: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sentiment of tweets": {},
        "sentiment of film reviews": {"domain": "films"},
        "sentiment of product reviews": {"domain": "products"},
        "sentiment of editorials": {"domain": "editorials"},
        "ratings of film reviews": {"domain": "films", "kind": "rating"},
    }
    license: ClassVar[str] = SETS["vader"].license
    source: ClassVar[str] = SETS["vader"].source

    @classmethod
    def count(cls, options: SentimentOptions) -> int:
        return 2 * options.per_polarity

    @classmethod
    def metric_for(cls, options: SentimentOptions) -> Metric:
        return METRICS[_measure(options)].metric

    def __init__(self, options: SentimentOptions) -> None:
        super().__init__(options)
        self._is_rating = options.kind == "rating"
        self.measure = METRICS[_measure(options)]  # type: ignore[misc]  # the options', not the class's

    @property
    def class_names(self) -> Sequence[str]:
        return ("rating",) if self._is_rating else NAMES

    def describe(self) -> list[str]:
        o, count = self._options, 2 * self._options.per_polarity
        learnt = "mean ratings" if self._is_rating else "half of them positive"
        others = ", ".join(self._others)
        return [
            f"{o.domain}: {count} texts to train, {count // 4} to validate, {count} to test, {learnt}; known: {others}",
            self.described_model(),
        ]

    def drawn(self) -> dict[Split, list[Example]]:
        return self._of(self._options.domain, self._options.per_polarity, self._options.per_polarity)

    def _of(self, domain: Domain, train: int, test: int) -> dict[Split, list[Example]]:
        return rated_splits(domain, self._options.split_seed, (train, train // 4, test), self._is_rating)

    @property
    def _others(self) -> list[Domain]:
        return [domain for domain in DOMAINS if domain != self._options.domain]

    def base_model(self) -> nn.Module:
        model = super().base_model()
        fitted = cached_tensors(self._recipe(), lambda: self._fitted(model))
        output_layer(model, self.head).load_state_dict(fitted)
        return model

    def _recipe(self) -> dict[str, Any]:
        names = ("model_sha256", "data_sha256", "domain", "kind", "split_seed", "max_length")
        return {"task": "sentiment", "version": 1, "fitted": FITTED, **self._options.model_dump(include=set(names))}

    def _fitted(self, model: nn.Module) -> Weights:
        parts = [self._of(domain, FITTED, KNOWN)["train"] for domain in self._others]
        batch = self.encoded([example for part in parts for example in part])
        return fit_output(model, output_layer(model, self.head), batch)

    def base_score(self, model: nn.Module) -> float:
        """The share of clear texts of the other domains whose polarity is right; a rating's is its sign."""
        with eval_mode(model):
            rows = torch.arange(size(self._known)).split(CHUNK)
            logits = torch.cat([forward(model, select(self._known, index)).float().cpu() for index in rows])
        is_positive = logits[:, 0] > 0 if self._is_rating else logits.argmax(1) == 1
        return float((is_positive == self._known[LABEL].bool()).float().mean())

    @cached_property
    def _known(self) -> Batch:
        seed = self._options.split_seed
        parts = [rated_splits(domain, seed, (FITTED, 0, KNOWN), False)["test"] for domain in self._others]
        return self.encoded([example for part in parts for example in part])


def _measure(options: SentimentOptions) -> str:
    return "r2" if options.kind == "rating" else "accuracy"


def output_layer(model: nn.Module, head: Sequence[str]) -> nn.Linear:
    """The layer that gives the logits: the head's last one.

    Raises:
        BadInput: There is none.
    """
    layers = [
        module for name in head for module in model.get_submodule(name).modules() if isinstance(module, nn.Linear)
    ]
    if not layers:
        raise BadInput(f"the model's head ({', '.join(head)}) has no linear layer; take an encoder such as MiniLM")
    return layers[-1]


def fit_output(model: nn.Module, layer: nn.Linear, batch: Batch) -> Weights:
    """Weights of the output layer by ridge or logistic regression, everything before it as it is.

    Args:
        model: An encoder that gives one vector a text to `layer`.
        layer: The layer; of two classes each output gets half of the difference.
        batch: Texts with classes 0 and 1, or with numbers.
    """
    features = _inputs_of(model, layer, batch)
    labels = batch[LABEL].numpy()
    if batch[LABEL].is_floating_point():
        fitted = linear_model.Ridge().fit(features, labels)
        weight, bias = fitted.coef_[None], np.array([fitted.intercept_])
    else:
        fitted = linear_model.LogisticRegression(max_iter=2000).fit(features, labels)
        half = np.array([[-0.5], [0.5]])
        weight, bias = half * fitted.coef_, half[:, 0] * fitted.intercept_
    return {"weight": torch.tensor(weight, dtype=torch.float32), "bias": torch.tensor(bias, dtype=torch.float32)}


def _inputs_of(model: nn.Module, layer: nn.Linear, batch: Batch) -> Any:
    """What the layer is given for each text: n × width."""
    seen: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].float().cpu()))
    try:
        with eval_mode(model):
            for index in torch.arange(size(batch)).split(CHUNK):
                forward(model, select(batch, index))
    finally:
        hook.remove()
    return torch.cat(seen).numpy()
