"""NeatlabCallback: what a Trainer, or a loop of one's own, trains is written into a runs folder while it goes."""

import math
from collections.abc import Mapping
from typing import Any

from transformers import TrainingArguments
from transformers.trainer_callback import ExportableState, TrainerCallback, TrainerControl, TrainerState

from neatlab.events import Evaluated
from neatlab.experiments.outside_loop import Judged, OutsideLoop

TIMES = ("runtime", "samples_per_second", "steps_per_second", "model_preparation_time")


class NeatlabCallback(OutsideLoop, TrainerCallback, ExportableState):
    """Writes a training down as a run, with its adapter's spectra: for the Trainer, TRL's trainers and other loops.

    The main process alone writes. A training that is cut off leaves its run unfinished; resumed from a checkpoint of
    the Trainer it goes on in the same directory. Nothing of ours trains such a run, or goes on with it. Where it cannot
    be written any more, a warning says so, and the training goes on.

    In a loop of one's own call `begin`, `step`, `evaluated` and `end`.

    Args:
        runs: The runs folder.
        every: Steps between spectra; None measures the first and the last, and others as often as that takes no more
            than 2 % of the time.
        name: What is trained; runs of one name, model and metric are drawn over each other. The model's by default.
        metric: What it is judged by, as the Trainer names it without "eval_"; its `metric_for_best_model` by default,
            else the loss. Of several evaluation sets the first counts.
        higher_is_better: The metric's direction; by default the Trainer's `greater_is_better`, else that of the name: a
            loss is better where it is lower.

    Raises:
        BadInput: An `every` that is no number of steps.

    Example:
        >>> import neatlab, peft, torch
        >>> lora = peft.LoraConfig(r=2, lora_alpha=2, target_modules=["0"])
        >>> model = peft.get_peft_model(torch.nn.Sequential(torch.nn.Linear(8, 4)), lora)
        >>> live = neatlab.NeatlabCallback("my-runs", name="my data")  # or: Trainer(…, callbacks=[live])
        >>> live.begin(model, steps=2, lr=0.01)
        >>> live.step(loss=1.5)
        >>> live.step(loss=1.2)
        >>> live.end()
        >>> [(run.status, run.config.spec.label) for run in neatlab.load_runs("my-runs").runs]
        [('finished', 'from outside: my data, loss')]
    """

    _set = ""  # prefix of the metrics of the evaluation set that counts

    def state(self) -> dict[str, Any]:
        """What a checkpoint of the Trainer says of the run."""
        metric, higher = self._judged
        settings = {"every": self._every, "name": self._name, "metric": metric or None, "higher_is_better": higher}
        return {"args": {"runs": str(self._runs), **settings}, "attributes": {"run_id": self.run_id}}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        self._recording, self._steps, self._set = None, state.global_step, ""
        if state.is_world_process_zero:
            stored = _stored(state, type(self).__name__) if state.global_step else None
            self._start(given["model"], _training(args, state), args.seed, self._by(args), stored)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        self._steps = state.global_step
        if self._recording is not None:
            self._recording.spectra(self._steps)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **given: Any,
    ) -> None:
        if self._recording is not None and logs and "loss" in logs:
            self._recording.step(state.global_step, float(logs["loss"]), float(logs.get("learning_rate") or 0))

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Mapping[str, Any] | None = None,
        **given: Any,
    ) -> None:
        if self._recording is not None and metrics and (event := self._scored(metrics)) is not None:
            self._recording.evaluated(event)

    def on_predict(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Mapping[str, Any] | None = None,
        **given: Any,
    ) -> None:
        self.on_evaluate(args, state, control, metrics, **given)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        self.end()

    def _by(self, args: TrainingArguments) -> Judged:
        metric, higher = self._judged
        if metric:
            return self._judged
        best = args.metric_for_best_model
        return Judged(
            (best or "loss").removeprefix("eval_"), args.greater_is_better if best and higher is None else higher
        )

    def _scored(self, metrics: Mapping[str, Any]) -> Evaluated | None:
        """What an evaluation gave; None of a further evaluation set."""
        prefix = next((name.removesuffix("_runtime") for name in metrics if name.endswith("_runtime")), "eval")
        self._set = self._set or ("" if prefix == "test" else prefix)
        if self._recording is None or prefix not in ("test", self._set):
            return None
        metric = self._recording.config.about.metric
        values = {name: float(value) for name, value in metrics.items() if isinstance(value, int | float)}
        numbers = {name.removeprefix(f"{prefix}_"): value for name, value in values.items()}
        loss = numbers.get("loss", math.nan)
        score = numbers.get(metric, values.get(f"eval_{metric}", math.nan))
        others = {f"{prefix}_{name}": v for name, v in numbers.items() if name not in (*TIMES, "loss", "epoch", metric)}
        return Evaluated(self._steps, "test" if prefix == "test" else "validation", loss, score, others)


def _stored(state: TrainerState, name: str) -> object:
    """The run that a checkpoint names; a file is input, and may say anything."""
    callbacks: Any = state.stateful_callbacks
    own = callbacks.get(name) if isinstance(callbacks, dict) else None
    own = own[-1] if isinstance(own, list) and own else own
    attributes = own.get("attributes") if isinstance(own, dict) else None
    return attributes.get("run_id") if isinstance(attributes, dict) else None


def _training(args: TrainingArguments, state: TrainerState) -> dict[str, Any]:
    """The Trainer's settings as a run has them."""
    return {
        "steps": state.max_steps,
        "batch_size": args.train_batch_size * args.gradient_accumulation_steps * args.world_size,
        "lr": args.learning_rate,
        "head_lr": args.learning_rate,
        "warmup": min(1.0, args.get_warmup_steps(state.max_steps) / max(state.max_steps, 1)),
        "schedule": str(getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type)),
        "weight_decay": args.weight_decay,
        "eval_every": int(state.eval_steps) if args.eval_strategy == "steps" else 0,
        "accumulate": args.gradient_accumulation_steps,
        "precision": "bfloat16" if args.bf16 else "float16" if args.fp16 else "float32",
        "gradient_checkpointing": bool(args.gradient_checkpointing),
        "save_every": int(state.save_steps) if args.save_strategy == "steps" else 0,
    }
