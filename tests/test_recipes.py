"""Every recipe on a stand-in, a tiny model folder and data with the real columns: only the download is untested."""

import json

import pytest
from PIL import Image

from neatlab.adapters.presets import PRESETS
from neatlab.config import TrainingConfig, parse_arm
from neatlab.errors import BadInput
from neatlab.experiments.compare import compare
from neatlab.recipes import load_recipe, recipe_names
from neatlab.tasks import TaskSpec, load_task
from neatlab.tasks.base import size
from neatlab.tasks.custom.columns import PLACEHOLDER
from neatlab.tasks.custom.options import MEASURES
from tests.folders import llama_folder, roberta_folder, vit_folder

NAMES = recipe_names()
MODELS = {"labels": roberta_folder, "images": vit_folder, "language": lambda: llama_folder(64)}  # rank 32 fits
PRESET = {"glue": "neat-l", "vision": "vit-qv", "commonsense": "llm", "math": "llm"}
EXAMPLES = {"train": 24, "validation": 6, "validation_matched": 6, "test": 6}


def columns(task, is_test):
    """Names of the real data set's columns that the recipe reads."""
    given = {role: task.get(f"test_{role}" if is_test else role) or task.get(role) for role in ("prompt", "label")}
    read = [
        task.get("text"),
        task.get("pair"),
        task.get("image"),
        given["label"],
        *PLACEHOLDER.findall(given["prompt"] or ""),
    ]
    return [name for name in read if name]


def row(task, name, number, folder):
    if name == task.get("image"):
        shade = (200, 30, 30) if number % 2 else (30, 30, 200)
        Image.new("RGB", (16, 16), (*shade[:2], number)).save(folder / f"{number}.png")
        return f"{number}.png"
    if name == task["label"] and task["kind"] != "language":
        return number / 5 if task["metric"] == "pearson" else number % 2
    return f"{name} {number}"


def write_split(folder, task, split, start):
    (folder / task.get("subset", "")).mkdir(parents=True, exist_ok=True)
    names, places = columns(task, split == "other"), range(start, start + EXAMPLES.get(split, 6))
    rows = [{name: row(task, name, number, folder) for name in names} for number in places]
    path = folder / task.get("subset", "") / f"{'test' if split == 'other' else split}.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))


@pytest.fixture
def stand_in(tmp_path):
    """Writes a recipe's data and gives the options that point to it."""

    def make(recipe):
        task = recipe.task
        splits = ["train", *["validation"] * recipe.own_validation, task.get("test_split", "test")]
        for place, split in enumerate(dict.fromkeys(splits)):
            write_split(tmp_path / "data", task, split, 50 * place)
        other = {}
        if "test" in task:
            (tmp_path / "other").mkdir()
            write_split(tmp_path / "other", {**task, "subset": task.get("test_subset", "")}, "other", 200)
            other = {"test": str(tmp_path / "other")}
        return {"model": MODELS[task["kind"]](), "data": str(tmp_path / "data"), **other}

    return make


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_runs_on_a_stand_in(name, stand_in, runs):
    changes = stand_in(load_recipe(name)) | {"max_answer": 4}
    recipe = load_recipe(str(TaskSpec(name, changes)))
    request = recipe.request() | {"steps": 3, "lr": None}
    request["training"] |= {"batch_size": 4, "accumulate": min(2, recipe.training.get("accumulate", 1))}
    found = compare(**request, seeds=1, runs=runs)
    frame = found.frame()
    assert (frame["status"] == "finished").all() and len(frame) == len(recipe.arms)
    assert (frame["steps"] == 3).all()
    assert found.metric == MEASURES[recipe.task["kind"]][recipe.task["metric"]]
    assert frame["metric"].between(-1, 1).all()


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_tells_where_it_comes_from(name):
    recipe = load_recipe(name)
    assert {*recipe.sources} == {"task", "training", "neat", "lora", "estimates"}
    assert "estimates, not measured" in recipe.sources["estimates"]
    assert recipe.estimates.memory_gib <= 24
    assert recipe.published and recipe.title and "last step" in recipe.selection
    TrainingConfig.parse(recipe.training, name)
    told = "\n".join(recipe.describe())
    assert "estimate" in told and recipe.selection in told
    for arm, text in recipe.arms.items():
        unknown = parse_arm(text).lr is None
        assert not unknown or recipe.lr == "auto"
        assert not unknown or "unknown" in recipe.sources[arm] or "validation data" in recipe.sources[arm]


@pytest.mark.parametrize("name", NAMES)
def test_neat_is_as_in_the_papers_presets(name):
    recipe, preset = load_recipe(name), PRESETS[PRESET[name.partition("/")[0]]]
    options = parse_arm(recipe.arms["neat"]).options
    assert options["rank"] == preset["r"]
    assert options["orientation"] == preset.get("orientation", "out")
    assert set(recipe.task["targets"].split("+")) == set(preset["target_modules"])


def test_the_four_benchmarks_are_there():
    counts = {part: sum(name.startswith(f"{part}/") for name in NAMES) for part in PRESET}
    assert counts == {"glue": 8, "vision": 10, "commonsense": 8, "math": 2}


def test_published_figures_have_a_source_and_what_has_none_says_so():
    published = {name: load_recipe(name).published for name in NAMES}
    assert {name for name, text in published.items() if text.startswith("unknown")} == {"vision/flowers", "vision/food"}
    assert all("arXiv:" in text for text in published.values())
    assert "78.4" in published["glue/rte"] and "86.6" in published["glue/rte"] and "Warning" in published["glue/rte"]
    assert "untuned" in published["vision/cars"] and "never counts" in published["math/gsm8k"]
    assert "NEAT 71.7, LoRA 69.8" in published["commonsense/boolq"]


@pytest.mark.parametrize("name", [name for name in NAMES if PRESET[name.partition("/")[0]] == "llm"])
def test_language_models_train_as_the_authors_script_does(name):
    recipe, lora = load_recipe(name), parse_arm(load_recipe(name).arms["lora"])
    assert (recipe.epochs, recipe.training["batch_size"], recipe.task["max_length"]) == (1, 16, 256)
    assert (lora.options["rank"], lora.options["alpha"], lora.lr) == (32, 32, 3e-4)
    assert "finetune.sh" in recipe.sources["training"] and "finetune.sh" in recipe.sources["lora"]


def test_a_recipe_that_chose_on_the_reported_split_says_so():
    for name in NAMES:
        assert ("best epoch on the GLUE validation split" in load_recipe(name).selection) == name.startswith("glue/")


@pytest.mark.parametrize(
    ("name", "an_epoch"),
    [
        ("glue/rte", 66),  # ⌊(2490 − 374)/32⌋: 15 % are set aside
        ("glue/mnli", 12209),  # ⌊(392702 − 2000)/32⌋
        ("vision/resisc45", 73),  # ⌊18900/256⌋: it has a validation split
    ],
)
def test_steps_follow_from_the_epochs(name, an_epoch):
    recipe = load_recipe(name)
    assert recipe.steps == recipe.epochs * an_epoch
    assert recipe.request()["training"]["eval_every"] == an_epoch


@pytest.mark.parametrize("name", NAMES)
def test_an_epoch_is_one_pass_over_what_is_learnt_from(name, stand_in):
    recipe = load_recipe(name)
    small = recipe.model_copy(update={"examples": EXAMPLES["train"], "training": {"batch_size": 3}})
    task = load_task("custom", {**recipe.task, **stand_in(recipe)})
    assert small.steps_an_epoch == size(task.split("train")) // 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("glue/rtf", "unknown recipe 'glue/rtf'.*did you mean 'glue/rte'"),
        ("glue/../glue/rte", "unknown recipe"),
        ("glue/rte:modle=x", "did you mean 'model'"),
    ],
)
def test_recipes_that_are_not_there(text, message):
    with pytest.raises(BadInput, match=message):
        load_recipe(text)


def test_the_command_line_takes_a_recipe(stand_in, runs, capsys):
    from neatlab.cli import main

    changes = stand_in(load_recipe("glue/rte"))
    words = [
        "compare",
        "--recipe",
        str(TaskSpec("glue/rte", changes)),
        "--steps",
        "2",
        "--seeds",
        "1",
        "--runs",
        str(runs),
    ]
    assert main([*words, "--arm", "lora:rank=2", "--json"]) == 0
    out, err = capsys.readouterr()
    assert [arm["arm"] for arm in json.loads(out)["arms"]] == ["lora:rank=2"]
    assert "best epoch on the GLUE validation split" in err and "text from 'sentence1'" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--task", "digits"], "compare needs --arm"),
        (["--arm", "lora"], "compare needs --task"),
        (["--recipe", "glue/rte", "--task", "digits"], "--task beside --recipe"),
    ],
)
def test_half_a_request_is_refused(words, message, capsys):
    from neatlab.cli import main

    assert main(["compare", *words]) == 2
    assert message in capsys.readouterr().err
