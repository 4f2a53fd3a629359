"""chat: an instruction-tuned language model learns to answer in a given way.

A customer's intent in words, a word problem's number, a booking as JSON: one answer is right, and greedy decoding has
to give it whole. What is forgotten is the loss on plain text and on general questions that nothing here trains on.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from neatlab.errors import BadInput
from neatlab.events import ExamplesChosen
from neatlab.runtime.lazy import lazy
from neatlab.schema import Schema
from neatlab.tasks import pretrained
from neatlab.tasks.answers import MAX_ANSWER, Answers, shortened, text_answers
from neatlab.tasks.base import Batch, Score, Split, Task, select
from neatlab.tasks.custom.language import LM_LOSS, answer_loss, counted, encode_answers, generate_all, score_answers
from neatlab.tasks.general import PLAIN, QUESTIONS
from neatlab.tasks.heads import linear_names, usual_targets
from neatlab.tasks.metrics import EXACT_MATCH, Metric
from neatlab.tasks.pretraining import LLAMA_TARGETS
from neatlab.tasks.prompts import ASKED, INTENTS, TEST_TO_VALIDATION, Drawn
from neatlab.tasks.sequences import Encoded
from neatlab.tasks.shipped import SETS
from neatlab.tasks.smollm import SMOLLM

transformers, templates = lazy("transformers"), lazy("jinja2.exceptions")

WRITTEN = 8  # validation prompts to which the model writes whole answers at each evaluation
MOST_TOKENS = 32  # of such an answer
DERIVED = ("model_sha256", "data_sha256")


class ChatOptions(Schema):
    """Options of `chat`.

    Args:
        ask: What is to be answered: a customer's intent in words, a word problem's number, a booking as JSON.
        model: Local folder or hub name of a causal language model; SmolLM2-135M-Instruct also comes in a package.
        samples: Training examples.
        scored: Test examples; validation has a third as many.
        max_length: Tokens that instruction, prompt and answer may have together.
        split_seed: Seed that draws the examples.
        model_sha256: Digest of the model's files; filled in.
        data_sha256: Digest of the customers' questions; filled in for `ask=intent`.
    """

    ask: Literal["intent", "problem", "booking"] = "intent"
    model: str = SMOLLM
    samples: int = Field(256, ge=8, le=1200)
    scored: int = Field(96, ge=24, le=240)
    max_length: int = Field(96, ge=16, le=2048)
    split_seed: int = Field(0, ge=0, lt=2**32)
    model_sha256: str = ""
    data_sha256: str = ""

    @model_validator(mode="after")
    def _divide(self) -> Self:
        unit = INTENTS * TEST_TO_VALIDATION
        if self.samples % INTENTS or self.scored % unit:
            raise ValueError(f"samples={self.samples}, scored={self.scored}: multiples of {INTENTS} and {unit}, please")
        return self

    @classmethod
    def parse(cls, values: Mapping[str, Any], what: str) -> Self:
        """Validate, and fill in what the result depends on beside the options themselves."""
        options = super().parse(values, what)
        filled: dict[str, str] = {}
        if not options.model_sha256:
            filled["model_sha256"] = pretrained.digest_of(options.model)
        if options.ask == "intent" and not options.data_sha256:
            filled["data_sha256"] = SETS["banking77"].sha256[:12]
        return options.model_copy(update=filled)


class Chat(Task):
    """Instructions → answers in a given way."""

    title: ClassVar[str] = "a language model answers in a given way"
    family: ClassVar[str] = "language"
    base: ClassVar[str] = "SmolLM2-135M-Instruct"
    license: ClassVar[str] = f"Apache-2.0; intents {SETS['banking77'].license}"
    source: ClassVar[str] = f"made from a seed; intents: {SETS['banking77'].source}"
    metric: ClassVar[Metric] = EXACT_MATCH
    base_metric: ClassVar[Metric] = Metric("loss on plain text and general questions", LM_LOSS.unit, False, 0.05)
    training: ClassVar[dict[str, Any]] = {
        "steps": 60,
        "batch_size": 8,
        "lr": 1e-3,
        "eval_every": 30,
        "spectrum_every": 30,
    }
    options: ClassVar[type[Schema]] = ChatOptions
    choices: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "chat, a customer's intent in words": {},
        "chat, word problems": {"ask": "problem"},
        "chat, bookings as JSON": {"ask": "booking"},
    }

    def __init__(self, options: ChatOptions) -> None:
        self._options = options

    @classmethod
    def count(cls, options: ChatOptions) -> int:
        return options.samples

    @classmethod
    def shown_options(cls, options: Mapping[str, str]) -> dict[str, str]:
        return {option: value for option, value in options.items() if option not in DERIVED}

    @cached_property
    def targets(self) -> list[str]:  # type: ignore[override]  # the architecture's, not the class's
        config = pretrained.model_config(self.folder)
        with torch.device("meta"):
            model = transformers.AutoModelForCausalLM.from_config(config, trust_remote_code=False)
        return LLAMA_TARGETS if {*LLAMA_TARGETS} <= {*linear_names(model)} else usual_targets(model)

    @property
    def head(self) -> list[str]:  # type: ignore[override]
        return []

    def describe(self) -> list[str]:
        """Which layers adapters go on, what is asked, and how many examples lose their end."""
        options, cut = self._options, sum(one.truncated for one in self._encoded.values())
        lost = [f"{cut} examples are longer than max_length={options.max_length} and lose their end"] if cut else []
        return [
            f"model {options.model}: adapters on {', '.join(self.targets)}",
            f"asked: {ASKED[options.ask].instruction} {options.samples} to train, {options.scored} to test",
            *lost,
        ]

    def base_model(self) -> nn.Module:
        return pretrained.load(transformers.AutoModelForCausalLM, self.folder, self._options.split_seed)[0]

    def split(self, name: Split) -> Batch:
        return self._encoded[name].batch

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return answer_loss(model, batch)

    def weight(self, batch: Batch) -> int:
        return int(counted(batch).sum())

    def score(self, model: nn.Module, name: Split) -> Score:
        return score_answers(model, self.split(name))

    def sample(self) -> Batch:
        batch = self.split("validation")
        return select(batch, torch.tensor(self._written))

    def examples(self) -> ExamplesChosen:
        shown = [self._drawn["validation"][row] for row in self._written]
        true = tuple(one.answer[:MAX_ANSWER] for one in shown)
        return ExamplesChosen("text", "text", shortened(one.prompt for one in shown), true)

    def answers(self, model: nn.Module, score: Score) -> Answers:
        """What the model writes to the sampled prompts."""
        given = generate_all(model, self.sample(), self.tokenizer, MOST_TOKENS)
        true = [self._drawn["validation"][row].answer for row in self._written]
        return text_answers(given, [text == answer for text, answer in zip(given, true, strict=True)])

    def base_score(self, model: nn.Module) -> float:
        """The mean of the losses a token on plain text and on the answers to general questions."""
        return sum(score_answers(model, batch).loss for batch in self._general) / len(self._general)

    @cached_property
    def folder(self) -> Path:
        """The model's folder, which must hold what the options' digest says."""
        return pretrained.checked_folder(self._options.model, self._options.model_sha256)

    @cached_property
    def tokenizer(self) -> Any:
        """The model's tokeniser."""
        return pretrained.tokenizer(self.folder)

    @cached_property
    def _drawn(self) -> Drawn:
        options = self._options
        return ASKED[options.ask].draw(options.split_seed, options.samples, options.scored)

    @property
    def _written(self) -> list[int]:
        """The validation examples that are written out, evenly spread, for intents are sorted."""
        count = len(self._drawn["validation"])
        return [row * count // WRITTEN for row in range(WRITTEN)]

    @cached_property
    def _encoded(self) -> dict[Split, Encoded]:
        instruction = ASKED[self._options.ask].instruction
        return {name: self._answered(instruction, [*zip(*part, strict=True)]) for name, part in self._drawn.items()}

    @cached_property
    def _general(self) -> list[Batch]:
        plain = encode_answers(self.tokenizer, PLAIN, None, self._options.max_length).batch
        return [plain, self._answered("", [*zip(*QUESTIONS, strict=True)]).batch]

    def _answered(self, instruction: str, columns: list[tuple[str, ...]]) -> Encoded:
        prompts, answers = columns
        asked = [self._as_chat(instruction, prompt) for prompt in prompts]
        return encode_answers(self.tokenizer, asked, answers, self._options.max_length)

    def _as_chat(self, instruction: str, prompt: str) -> str:
        """As the model's chat template has it, without the token that begins every text; line by line without one."""
        tokenizer, said = self.tokenizer, [*filter(None, [instruction, prompt])]
        if tokenizer.chat_template is None:
            return "\n".join([*said, ""])
        roles = ("system", "user")[-len(said) :]
        messages = [{"role": role, "content": text} for role, text in zip(roles, said, strict=True)]
        try:
            text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except templates.TemplateError as error:
            raise BadInput(f"the chat template of {self._options.model!r} refuses the prompt: {error}") from error
        return str(text).removeprefix(tokenizer.bos_token or "")
