"""The page's API: start, status, list and stop, for `gradio_client` and anything that speaks HTTP.

from gradio_client import Client
lab = Client("http://127.0.0.1:7860")
job = lab.predict("digits", ["lora:rank=4", "neat:rank=4"], 150, api_name="/start")
lab.predict(job["job"], api_name="/status")
"""

import hmac
import secrets
from typing import Any

import gradio as gr
from gradio.events import api

from neatlab.config import RunConfig, parse_arm
from neatlab.dashboard.shared.choices import PARTS, check_arm
from neatlab.dashboard.shared.context import Context
from neatlab.dashboard.shared.entries import TRAIN
from neatlab.dashboard.shared.job import Job
from neatlab.dashboard.shared.visitors import VISITOR
from neatlab.dashboard.train.feed import Feed
from neatlab.dashboard.train.request import Order
from neatlab.dashboard.train.snapshot import last_evaluation, steps_done
from neatlab.errors import BadInput, NeatlabError

MAX_LISTED = 1000


def expose(context: Context) -> None:
    """Add the endpoints to the page that is being built."""
    endpoints = _Endpoints(context)
    for name in ("start", "status", "list", "stop"):
        api(getattr(endpoints, name), api_name=name, queue=False)


class _Endpoints:
    """What the API can be asked; each answers with plain values, and refuses with one line."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def start(
        self,
        request: gr.Request,
        task: str,
        arms: list[str],
        steps: int | None = None,
        seed: int = 0,
        lr: float | None = None,
        batch_size: int | None = None,
        match: str | None = None,
    ) -> dict[str, Any]:
        """Train one to four arms, such as "neat:rank=4,depth=4"; returns {"job", "token", "phase", "place"}.

        The training goes on when the caller leaves; `stop` ends it, for the same client or with the token.
        """
        settings = {"steps": steps, "seed": seed, "lr": lr, "batch_size": batch_size, "match": match}
        try:
            owner, visitor = _Owner(request.session_hash), _visitor(request)
            order = _order(task, arms, settings)
            job = self._context.jobs.submit(TRAIN, order, detached=True, owner=owner, visitor=visitor)
        except NeatlabError as error:
            raise _refused(error) from None
        return {**self._described(job), "token": owner.token}

    def status(self, job: int) -> dict[str, Any]:
        """A training's phase (waiting, preparing, running, paused, ended), place in the queue, refusal and runs."""
        return self._described(self._job(job))

    def list(self) -> dict[str, Any]:
        """The trainings that have not ended, and the newest runs of the runs folder with their results."""
        runs = self._context.store.runs()[-MAX_LISTED:]
        return {
            "jobs": [self._described(job) for job in self._context.jobs.active()],
            "runs": [
                {"run": run.run_id, "arm": run.config.arm.label, "status": run.status, **run.summary} for run in runs
            ],
        }

    def stop(self, request: gr.Request, job: int, token: str = "") -> dict[str, Any]:
        """Stop a training of yours; runs that have not ended stay unfinished."""
        running = self._job(job)
        if not (self._context.shared_runs or _may_stop(running, token, request.session_hash)):
            raise _refused(BadInput(f"training {job} is not yours to stop; give the token that `start` gave for it"))
        self._context.jobs.send(running, "stop")
        return self._described(running)

    def _job(self, key: Any) -> Job:
        job = self._context.jobs.get(key) if type(key) is int else None
        if job is None:
            raise _refused(
                BadInput(f"no training {str(key)[:40]!r}; `start` gives the number, `list` shows those there are")
            )
        return job

    def _described(self, job: Job) -> dict[str, Any]:
        phase = job.phase  # before its runs: those of a job that has ended are whole
        refusal = None if job.refusal is None else {"part": job.refusal.field, "message": str(job.refusal)}
        runs = [self._run(config) for config in job.runs]
        return {
            "job": job.key,
            "phase": phase,
            "place": self._context.jobs.position(job),
            "refusal": refusal,
            "runs": runs,
        }

    def _run(self, config: RunConfig) -> dict[str, Any]:
        run = Feed(self._context.store.root).read(config)
        shown = {"run": config.run_id, "arm": config.arm.label, "steps": config.training.steps, "done": 0}
        if run is None:
            return {**shown, "status": "unfinished"}
        score = last_evaluation(run, "validation").get("metric")
        return {**shown, "done": steps_done(run), "status": run.status, "validation": score, "summary": run.summary}


class _Owner:
    """Whoever has started a training by the API.

    Args:
        session: The client's session hash; None for a plain request.
    """

    closed = False

    def __init__(self, session: str | None) -> None:
        self.session, self.token = session, secrets.token_hex(16)

    def is_meant(self, token: Any, session: str | None) -> bool:
        """Whether a request comes from them."""
        is_same = session is not None and session == self.session
        return is_same or hmac.compare_digest(str(token).encode(), self.token.encode())


def _visitor(request: gr.Request) -> str:
    return str(request.request.scope.get(VISITOR, "")) if request.request else ""


def _may_stop(job: Job, token: Any, session: str | None) -> bool:
    """As on the page: whoever has started it, or anybody once their window is closed."""
    if isinstance(job.owner, _Owner):
        return job.owner.is_meant(token, session)
    return job.owner is None or bool(job.owner.closed)


def _order(task: Any, arms: Any, settings: dict[str, Any]) -> Order:
    if not isinstance(arms, list) or not 1 <= len(arms) <= len(PARTS) or not all(isinstance(arm, str) for arm in arms):
        raise BadInput(f"arms: a list of 1 to {len(PARTS)} texts such as 'neat:rank=4'")
    parsed = [parse_arm(arm[:500]) for arm in arms]
    checked = [check_arm(part, arm.method, arm.given()) for part, arm in zip(PARTS, parsed, strict=False)]
    return Order.check(task, checked, settings)


def _refused(error: NeatlabError) -> gr.Error:
    return gr.Error(str(error)[:600], print_exception=False)
