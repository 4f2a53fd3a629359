"""The page's form: what it asks for, and where a mistake is."""

import re
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from neatlab.adapters.methods import METHODS
from neatlab.config import make_arm, make_run, parse_arm
from neatlab.dashboard.shared.arm_form import Form, arm_controls, equation
from neatlab.dashboard.shared.arm_values import arm_text
from neatlab.dashboard.shared.choices import PARTS, task_choices
from neatlab.dashboard.shared.field_error import FieldError
from neatlab.dashboard.train.form import arm_fields, read_form
from neatlab.tasks import TASKS, TaskSpec
from tests.folders import llama_folder

FORM: dict[str, Any] = {
    "task": "digits",
    "steps": 150,
    "batch": "",
    "lr": "",
    "seed": 0,
    "match": "none",
    "c.method": "",
    "d.method": "",
    "a.method": "lora",
    "a.rank": 4,
    "a.alpha": "",
    "b.method": "neat",
    "b.rank": 4,
    "b.depth": 2,
    "b.activation": "relu",
    "b.residual": "paired",
    "b.orientation": "out",
    "b.conditioning": "weight",
    "b.scaling": 1,
    "b.frequency": 1,
}


class TestForm:
    def test_the_form_as_it_is_gives_the_runs_of_the_command_line(self) -> None:
        order = read_form(FORM)
        lora, neat = make_arm("lora", {"rank": 4}), make_arm("neat", {"rank": 4})
        assert order.runs() == [make_run("digits", arm, 0, {}, {"steps": 150}) for arm in (lora, neat)]
        assert order.runs()[0].training.lr == TASKS["digits"].training["lr"]
        command = "--task digits --arm lora:rank=4 --arm neat:rank=4,depth=2 --steps 150 --seeds 3"
        assert order.command == f"python -m neatlab compare {command}"

    def test_a_learning_rate_goes_to_every_arm_that_has_none_of_its_own(self) -> None:
        order = read_form({**FORM, "lr": "0.005", "b.lr": "0.1", "batch": "32"})
        assert [config.training.lr for config in order.runs()] == [0.005, 0.1]
        assert {config.training.batch_size for config in order.runs()} == {32}
        assert "--lr 0.005" in order.command

    def test_a_match_is_passed_on(self) -> None:
        order = read_form({**FORM, "match": "params"})
        assert order.match == "params"
        assert order.command.endswith("--match params --seeds 3")

    @pytest.mark.parametrize("text", task_choices().values())
    def test_every_task_on_offer_exists(self, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("neatlab.tasks.pretrained.smollm_folder", lambda: Path(llama_folder()))  # not installed
        spec = TaskSpec.parse(text)
        config = read_form({**FORM, "task": text}).runs()[0]
        assert config.task == spec.name
        assert spec.options.items() <= config.spec.options.items()

    @pytest.mark.parametrize("method", METHODS)
    def test_every_method_can_be_an_arm_with_its_defaults(self, method: str) -> None:
        defaults = {f"b.{name}": value for name, value in METHODS[method].options().model_dump().items()}
        order = read_form({**FORM, "a.rank": 3, **defaults, "b.method": method})
        assert parse_arm(order.arms[1]) == make_arm(method, {})

    def test_four_arms(self) -> None:
        extra = {"c.method": "head", "d.method": "lora", "d.rank": 2, "d.alpha": ""}
        assert read_form({**FORM, **extra}).arms == ("lora:rank=4", "neat:rank=4,depth=2", "head", "lora:rank=2")

    @pytest.mark.parametrize("arm", ["lora:rank=4", "neat:rank=8,depth=4,activation=gelu,lr=0.01", "head"])
    def test_an_arm_goes_into_the_form_and_back(self, arm: str) -> None:
        fields = arm_fields(["lora:rank=2", arm])
        assert parse_arm(arm_text("b", fields) or "") == parse_arm(arm)
        assert arm_text("c", fields) is None

    def test_an_arm_of_a_link_that_cannot_be_built_is_named(self) -> None:
        with pytest.raises(FieldError, match="even depth") as caught:
            arm_fields(["lora", "neat:depth=3"])
        assert caught.value.field == "b"

    @pytest.mark.parametrize(
        ("values", "part", "said"),
        [
            ({"b.depth": 3}, "b", "even depth"),
            ({"b.depth": 0}, "b", "depth=2 here"),
            ({"b.depth": 18}, "b", "depth=18: input should be less than or equal to 16"),
            ({"b.rank": 0}, "b", "rank=0: input should be greater than or equal to 1"),
            ({"b.rank": 513}, "b", "less than or equal to 512"),
            ({"a.rank": 2.5}, "a", "rank=2.5"),
            ({"a.rank": None}, "a", "rank=None"),
            ({"a.alpha": "-1"}, "a", "alpha='-1'"),
            ({"b.activation": "rellu"}, "b", "did you mean 'relu'"),
            ({"a.method": "lorra"}, "a", "did you mean 'lora'"),
            ({"b.method": "lora"}, "b", "arm A is lora:rank=4 too"),
            ({"b.method": ""}, "b", "choose a second arm"),
            ({"d.method": "head"}, "c", "choose arm C before arm D"),
            ({"c.method": "head", "d.method": "head"}, "d", "arm C is head too"),
            ({"task": "custom:model=/etc"}, "run", "unknown task"),
            ({"task": ["digits"]}, "run", "unknown task"),
            ({"batch": 513}, "run", "less than or equal to 512"),
            ({"match": "size"}, "run", "match='size'"),
            ({"b.lr": "1000"}, "b", "lr='1000'"),
            ({"b.activation": "x" * 100_000}, "b", "unknown activation"),
            ({"task": "digts"}, "run", "did you mean 'digits'"),
            ({"steps": 5001}, "run", "less than or equal to 5000"),
            ({"steps": 0}, "run", "greater than or equal to 1"),
            ({"lr": "nan"}, "run", "finite"),
            ({"lr": "-0.1"}, "run", "greater than 0"),
            ({"lr": "fast"}, "run", "valid number"),
            ({"lr": "0,01"}, "run", "lr='0,01': input should be a valid number, with a decimal point: 0.01"),
            ({"seed": -1}, "run", "seed=-1"),
            ({"seed": 0.5}, "run", "seed=0.5"),
        ],
    )
    def test_a_mistake_is_named_with_its_place(self, values: dict[str, Any], part: str, said: str) -> None:
        with pytest.raises(FieldError, match=re.escape(said)) as caught:
            read_form({**FORM, **values})
        assert caught.value.field == part
        assert "\n" not in str(caught.value)
        assert "{" not in str(caught.value)
        assert len(str(caught.value)) < 1000


class TestShown:
    @pytest.fixture
    def form(self) -> Form:
        with gr.Blocks():
            return Form.of(*map(arm_controls, PARTS, ("lora", "neat", "", "")))

    @pytest.mark.parametrize("method", METHODS)
    def test_an_arm_of_a_link_looks_as_one_chosen_by_hand(self, form: Form, method: str) -> None:
        link = dict(zip(form.blocks, form.updates(arm_fields(["lora", "neat", "head", method])), strict=True))
        hand = dict(zip(form.arm_blocks("d"), form.arm_updates("d", {"d.method": method}), strict=True))
        assert {block: link[block] for block in hand} == hand
        assert link[form.extras["d"][0]] == equation(method)
        assert link[form.extras["d"][1]] == gr.update(visible=True)

    @pytest.mark.parametrize(
        ("arm", "is_open"), [("neat:rank=9,depth=4", False), ("neat:scaling=2", True), ("lora:lr=0.1", True)]
    )
    def test_more_options_are_open_where_one_differs(self, form: Form, arm: str, is_open: bool) -> None:
        shown = dict(zip(form.blocks, form.updates(arm_fields(["lora", arm])), strict=True))
        assert shown[form.extras["b"][1]].get("open", False) == is_open
        assert shown[form.extras["c"][1]] == gr.update(visible=False)
        assert dict(zip(form.blocks, form.updates({"steps": 3}), strict=True))[form.extras["b"][1]] == gr.update()
