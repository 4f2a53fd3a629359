"""What the tests of the playground share: the built file, its modules in a browser, and the lab's numbers for them."""

import runpy
from pathlib import Path
from typing import Any, NamedTuple

import torch
from playwright.sync_api import Page, Route
from torch import Tensor

from neatlab.adapters.attach import Adapted, attach
from neatlab.adapters.factors import Factors
from neatlab.adapters.methods import METHODS
from neatlab.analysis.spectra import spectrum
from neatlab.tasks.teacher import Teacher, TeacherOptions

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "playground"
ADDRESS = "http://playground.test/"  # nobody's: the test answers
STEPS, ROWS, RATE = 20, 16, 0.01
Rows = list[list[float]]


def built() -> str:
    """The whole page, by the script of `make playground`."""
    return str(runpy.run_path(str(ROOT / "scripts" / "playground.py"))["page"]())


def open_modules(page: Page) -> None:
    """An empty page from which the playground's modules can be imported."""

    def answer(route: Route) -> None:
        name = route.request.url.removeprefix(ADDRESS)
        if name.endswith(".js"):
            route.fulfill(body=(SOURCES / name).read_text(encoding="utf-8"), content_type="text/javascript")
        else:
            route.fulfill(body="<!doctype html><title>modules</title>", content_type="text/html")

    page.route(f"{ADDRESS}**", answer)
    page.goto(ADDRESS)


class Case(NamedTuple):
    """One arm on one layer, with everything random in it.

    Args:
        method: A key of METHODS.
        options: Its options in the lab's words.
        task: The task's options.
    """

    method: str
    options: dict[str, Any]
    task: dict[str, Any]

    def made(self) -> tuple[Teacher, Adapted, list[Tensor]]:
        """Task, adapted model and its parameters, all in double precision."""
        torch.manual_seed(3)
        task = Teacher(TeacherOptions(**self.task))
        options = METHODS[self.method].options(**self.options)
        adapted = attach(task.base_model().double(), self.method, options, Teacher.targets, [])
        adapted.model.double()
        return task, adapted, list(adapted.adapter_parameters())

    def flat(self, parameters: list[Tensor]) -> list[Rows]:
        """Parameters as the playground has them: of LoRA A and Bᵀ, of NEAT Θ₁ᵀ … Θ_L; each r × something."""
        tensors = [parameters[0], parameters[1].T] if self.method == "lora" else parameters
        return [tensor.detach().tolist() for tensor in tensors]

    def numbers(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What the playground is handed; and what the lab computes of it, at three places of the parameters.

        These are the start, where twenty steps of the lab's optimiser lead, and one that is far from either.
        """
        task, adapted, parameters = self.made()
        given = self._given(task, parameters)
        lab = {"start": self._seen(task, adapted, parameters)}
        optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0)
        for rows in given["batches"]:
            optimizer.zero_grad()
            loss(task, adapted, rows).backward()
            optimizer.step()
        lab["trained"] = self._seen(task, adapted, parameters)
        with torch.no_grad():
            for parameter in parameters:
                parameter.copy_(torch.randn_like(parameter) * 0.3)
        given["away"] = self.flat(parameters)
        return given, {**lab, "away": self._seen(task, adapted, parameters)}

    def _given(self, task: Teacher, parameters: list[Tensor]) -> dict[str, Any]:
        (weight,), (truth,) = (matrices.double() for matrices in task._truth)
        data = task.split("train")
        x = data["x"].double()
        change = data["y"][:, 0].double() - x @ weight.T  # n × d_out
        matrices = {"weight": weight, "truth": truth, "x": x, "change": change}
        return {
            "method": self.method,
            "options": {**self.options, "rate": RATE},
            **{name: matrix.tolist() for name, matrix in matrices.items()},
            "start": self.flat(parameters),
            "batches": batches(len(x)),
        }

    def _seen(self, task: Teacher, adapted: Adapted, parameters: list[Tensor]) -> dict[str, Any]:
        adapted.model.zero_grad()
        value = loss(task, adapted, batches(len(task.split("train")["x"]))[0])
        value.backward()
        (delta,) = adapted.deltas().values()
        assert isinstance(delta, Factors)
        measured, truth = spectrum(delta), task._truth[1][0].double()
        return {
            "loss": value.item(),
            "gradients": self.flat([p.grad for p in parameters if p.grad is not None]),
            "parameters": self.flat(parameters),
            "delta": delta.dense().tolist(),
            "sigma": measured.singular_values.tolist(),
            "effectiveRank": measured.effective_rank,
            "error": ((delta.dense() - truth).norm() / truth.norm()).item(),
        }


def loss(task: Teacher, adapted: Adapted, rows: list[int]) -> Tensor:
    """The task's loss on some of its training examples."""
    data = task.split("train")
    return task.loss(adapted.model, {name: column[rows].double() for name, column in data.items()})


def batches(count: int) -> list[list[int]]:
    """The rows of each step."""
    return [[(ROWS * step + 5 * i) % count for i in range(ROWS)] for step in range(STEPS)]


# What is handed over → the same as the lab's, by the playground's modules.
MEASURE = """async (cases) => {
  const [training, { rowsOf }] = [await import("/training.js"), await import("/matrix.js")];
  const matrix = (rows) => ({ rows: rows.length, columns: rows[0].length, values: Float64Array.from(rows.flat()) });
  const lists = ({ rows, columns, values }) =>
    Array.from({ length: rows }, (_, i) => [...values.subarray(i * columns, (i + 1) * columns)]);
  const put = (arm, given) => arm.adapter.parameters.forEach((p, i) => p.values.set(given[i].flat()));
  return cases.map(({ method, options, weight, truth, x, change, start, away, batches }) => {
    const arm = training.makeArm(method, options, matrix(weight), Math.random);
    const [all, target] = [matrix(x), matrix(change)];
    const parts = batches.map((rows) => ({ x: rowsOf(all, rows), change: rowsOf(target, rows) }));
    const seen = () => {
      const { loss, left, right } = training.lossAndGradients(arm.adapter.factors(), parts[0]);
      const gradients = arm.adapter.gradients(left, right).map(lists);
      const { delta, spectrum, effectiveRank, error } = arm.look(matrix(truth));
      const parameters = arm.adapter.parameters.map(lists);
      return { loss, gradients, parameters, delta: lists(delta), sigma: spectrum.sigma, effectiveRank, error };
    };
    put(arm, start);
    const out = { start: seen() };
    parts.forEach((part, i) => arm.step(part, i + 1));
    out.trained = seen();
    put(arm, away);
    return { ...out, away: seen() };
  });
}"""
