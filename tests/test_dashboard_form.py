"""The page's form: what it asks for, and where a mistake is."""

import re
from typing import Any

import pytest

from neatlab.adapters.methods import METHODS
from neatlab.config import make_arm, make_run
from neatlab.dashboard.form import TASK_CHOICES, Refusal, read_form
from neatlab.lab import parse_task
from neatlab.tasks import TASKS

FORM: dict[str, Any] = {
    "task": "digits",
    "steps": 150,
    "lr": "",
    "seed": 0,
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
        asked = read_form(FORM)
        lora, neat = make_arm("lora", {"rank": 4}), make_arm("neat", {"rank": 4})
        assert asked.configs == tuple(make_run("digits", arm, 0, {}, {"steps": 150}) for arm in (lora, neat))
        assert asked.configs[0].training.lr == TASKS["digits"].training["lr"]
        command = "--task digits --arm lora:rank=4 --arm neat:rank=4,depth=2 --steps 150 --seeds 3"
        assert asked.command == f"python -m neatlab compare {command}"

    def test_a_learning_rate_goes_to_both_arms(self) -> None:
        asked = read_form({**FORM, "lr": "0.005"})
        assert {config.training.lr for config in asked.configs} == {0.005}
        assert asked.command.endswith("--lr 0.005 --seeds 3")

    @pytest.mark.parametrize("text", TASK_CHOICES.values())
    def test_every_task_on_offer_exists(self, text: str) -> None:
        name, options = parse_task(text)
        config = read_form({**FORM, "task": text}).configs[0]
        assert (config.task, config.task_options | options) == (name, config.task_options)

    @pytest.mark.parametrize("method", METHODS)
    def test_every_method_can_be_an_arm_with_its_defaults(self, method: str) -> None:
        defaults = {f"b.{name}": value for name, value in METHODS[method].options().model_dump().items()}
        asked = read_form({**FORM, "a.rank": 3, **defaults, "b.method": method})
        assert asked.configs[1].arm == make_arm(method, {})

    @pytest.mark.parametrize(
        ("values", "part", "said"),
        [
            ({"b.depth": 3}, "b", "even depth"),
            ({"b.depth": 0}, "b", "depth=2 here"),
            ({"b.depth": 17}, "b", "depth=17: input should be less than or equal to 16"),
            ({"b.rank": 0}, "b", "rank=0: input should be greater than or equal to 1"),
            ({"b.rank": 513}, "b", "less than or equal to 512"),
            ({"a.rank": 2.5}, "a", "rank=2.5"),
            ({"a.rank": None}, "a", "rank=None"),
            ({"a.alpha": "-1"}, "a", "alpha='-1'"),
            ({"b.activation": "rellu"}, "b", "did you mean 'relu'"),
            ({"a.method": "lorra"}, "a", "did you mean 'lora'"),
            ({"b.method": "lora"}, "b", "both arms are lora:rank=4"),
            ({"task": "digts"}, "run", "did you mean 'digits'"),
            ({"steps": 5001}, "run", "less than or equal to 5000"),
            ({"steps": 0}, "run", "greater than or equal to 1"),
            ({"lr": "nan"}, "run", "finite"),
            ({"lr": "-0.1"}, "run", "greater than 0"),
            ({"lr": "fast"}, "run", "valid number"),
            ({"seed": -1}, "run", "seed=-1"),
            ({"seed": 0.5}, "run", "seed=0.5"),
        ],
    )
    def test_a_mistake_is_named_with_its_place(self, values: dict[str, Any], part: str, said: str) -> None:
        with pytest.raises(Refusal, match=re.escape(said)) as caught:
            read_form({**FORM, **values})
        assert caught.value.part == part
        assert "\n" not in str(caught.value)
        assert "{" not in str(caught.value)
