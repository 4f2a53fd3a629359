"""What may be asked for, and the one line that says why something may not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neatlab.config import RunConfig, make_arm, make_run, parse_arm
from neatlab.errors import BadInput
from neatlab.tasks import TaskSpec


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("lora:rank=4", "lora:rank=4"),
        ("neat:rank=4,depth=4,activation=gelu", "neat:rank=4,depth=4,activation=gelu"),
        (" neat : rank = 4 , depth=2", "neat:rank=4,depth=2"),
        ("neat:rank=4,depth=3,residual=none,lr=0.02", "neat:rank=4,depth=3,residual=none,lr=0.02"),
        ("head", "head"),
    ],
)
def test_arms_are_read_as_they_are_written(text, label):
    assert parse_arm(text.replace(" : ", ":")).label == label
    assert parse_arm(label).label == label


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lorra:rank=4", "unknown arm 'lorra'.*did you mean 'lora'"),
        ("lora:rnak=4", "unknown option of arm 'lora' 'rnak'.*did you mean 'rank'"),
        ("lora:depth=4", "unknown option of arm 'lora' 'depth'; allowed: .*lr, .*rank"),
        ("lora:rank=0", "rank='0'.*greater than or equal to 1"),
        ("lora:rank=four", "rank='four'.*valid integer"),
        ("lora:rank", "'rank' is not of the form name=value"),
        ("lora:rank=4,rank=8", "rank is given twice"),
        ("neat:depth=3", "depth=3 with residual='paired'"),
        ("neat:depth=0", "PEANuT's depth=0 is depth=2 here"),
        ("neat:activation=gellu", "unknown activation 'gellu'.*did you mean"),
        ("neat:rank=4,lr=-1", "lr='-1'.*greater than 0"),
        ("neat:rank=4,lr=nan", "lr='nan'.*finite number"),
        ("neat:scaling=inf", "scaling='inf'.*finite number"),
        ("", "unknown arm ''"),
    ],
)
def test_bad_arms_are_refused_in_one_line(text, message):
    with pytest.raises(BadInput, match=message) as caught:
        parse_arm(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("task", "options", "training", "message"),
    [
        ("digts", {}, {}, "unknown task 'digts'.*did you mean 'digits'"),
        ("teacher", {"kind": "lowrank"}, {}, "kind='lowrank'.*'low-rank'"),
        ("teacher", {"d_inn": 4}, {}, "did you mean 'd_in'"),
        ("teacher", {}, {"lr": float("nan")}, "lr=nan.*finite"),
        ("teacher", {}, {"lr": -0.1}, "lr=-0.1.*greater than 0"),
        ("teacher", {}, {"steps": 0}, "steps=0"),
        ("teacher", {}, {"schedule": "cosin"}, "schedule='cosin'.*'cosine'"),
    ],
)
def test_bad_runs_are_refused_in_one_line(task, options, training, message):
    with pytest.raises(BadInput, match=message) as caught:
        make_run(task, parse_arm("lora"), 0, options, training)
    assert "\n" not in str(caught.value)


def test_defaults_are_the_tasks_and_the_arms_own_rate_goes_first():
    assert make_run("digits", parse_arm("lora"), 0, {}, {}).training.lr == 2e-2
    assert make_run("digits", parse_arm("full"), 0, {}, {}).training.lr == pytest.approx(1e-3)
    assert make_run("digits", parse_arm("lora"), 0, {}, {"lr": 0.5}).training.lr == 0.5
    assert make_run("digits", parse_arm("lora:lr=0.1"), 0, {}, {"lr": 0.5}).training.lr == 0.1


@given(st.integers(1, 64), st.sampled_from([2, 4, 6]), st.sampled_from(["relu", "sin"]), st.integers(0, 2**32 - 1))
def test_a_run_survives_its_own_file(rank, depth, activation, seed):
    arm = make_arm("neat", {"rank": rank, "depth": depth, "activation": activation})
    run = make_run("teacher", arm, seed, {}, {})
    again = RunConfig.parse(run.model_dump(), "run")
    assert again == run
    assert again.run_id == run.run_id


def test_a_task_is_written_as_it_is_read():
    spec = TaskSpec.parse('custom:data=a.csv,prompt="Q: {x},\\nA: "')
    assert spec == TaskSpec("custom", {"data": "a.csv", "prompt": "Q: {x},\nA: "})
    for wrong in ("teacher:a", "teacher:a=1,,b=2", "teacher:a=1,"):
        with pytest.raises(BadInput):
            TaskSpec.parse(wrong)


VALUES = st.text("x n\\,=\n{}':") | st.text().filter(lambda text: '"' not in text) | st.integers() | st.floats(0, 1)


@given(st.from_regex("[a-z]+", fullmatch=True), st.dictionaries(st.from_regex("[a-z_]+", fullmatch=True), VALUES))
def test_a_task_is_read_back_as_it_is_written(name, options):
    spec = TaskSpec(name, options)
    again = TaskSpec.parse(str(spec))
    assert again == spec and hash(again) == hash(spec)
    assert str(again) == str(spec)
    assert TaskSpec.parse(spec) is spec


def test_a_task_is_labelled_by_what_differs_from_its_defaults():
    assert (
        make_run("teacher", parse_arm("lora"), 0, {"noise": 0.5, "d_in": "256"}, {}).spec.label == "teacher:noise=0.5"
    )
    assert TaskSpec("digits").label == "digits"


def test_a_double_quote_in_a_task_is_refused_only_where_it_would_be_written():
    spec = TaskSpec("custom", {"label": 'a "b"'})
    assert spec.label
    with pytest.raises(BadInput, match="double quote"):
        str(spec)


def test_a_task_is_varied_once_an_option():
    spec = TaskSpec.parse("teacher:kind=low-rank")
    assert spec.varied({"d_in": 8}) == TaskSpec.parse("teacher:d_in=8,kind=low-rank")
    with pytest.raises(BadInput, match="kind is given twice"):
        spec.varied({"kind": "full-rank"})
