"""Comparisons: same start, same data, matched seeds, honest words."""

import math
from types import SimpleNamespace

import pytest

import neatlab
from neatlab import BadInput, StoreError, compare, load_runs
from neatlab.experiments.plan import Plan
from neatlab.tasks import TASKS

SMALL = "teacher:d_in=24,d_out=12,samples=60"
RATES = (1e-2, 3e-2)


def test_a_comparison_in_tables(runs):
    found = compare(SMALL, ["lora:rank=2", "neat:rank=3,depth=4"], seeds=2, steps=5, runs=runs)
    frame = found.frame()
    assert list(frame["arm"]) == ["lora:rank=2"] * 2 + ["neat:rank=3,depth=4"] * 2
    assert list(frame["seed"]) == [0, 1, 0, 1]
    assert list(frame["adapter_params"]) == [2 * 36] * 2 + [2 * 3 * 12 + 2 * 9] * 2
    assert set(found.curves()["split"]) == {"train", "validation", "test"}
    assert len(found.curves().query("split == 'train'")) == 4 * 5
    spectra = found.spectra()
    assert spectra["layer"].unique() == ["layers.0.linear"]
    assert [len(v) for v in spectra.groupby("arm")["singular_values"].first()] == [2, 3]
    assert math.isnan(spectra.query("step == 0")["effective_rank"].iloc[0])
    first, second = found.arms()
    assert first.ci95[0] < first.mean < first.ci95[1]
    assert first.config["rank"] == 2
    (difference,) = found.differences()
    assert difference.mean == pytest.approx(first.mean - second.mean)


def test_finished_runs_are_taken_from_the_folder(runs):
    heard = []
    arguments = {"seeds": 2, "steps": 3, "runs": runs, "on_event": lambda run, event: heard.append(run.run_id)}
    first = compare(SMALL, ["lora:rank=2"], **arguments)
    count = len(heard)
    again = compare(SMALL, ["lora:rank=2", "neat:rank=2"], **arguments)
    assert len(set(heard)) == 4
    assert len(set(heard[count:])) == 2
    assert again.to_dict()["arms"][0] == first.to_dict()["arms"][0]
    assert len(load_runs(runs).frame()) == 4


def test_lr_auto_chooses_each_arms_rate_on_validation_data_and_other_seeds(runs):
    found = compare(
        SMALL, ["lora:rank=2", "neat:rank=2,lr=0.01"], seeds=(s for s in [3, 4]), lr="auto", steps=20, runs=runs
    )
    assert len(found.search) == 6  # four rates, then two scalings; the second arm names its own
    assert {run.config.purpose for run in found.search} == {"tune"}
    assert not {run.config.seed for run in found.search} & {3, 4}
    assert all("metric" not in run.summary for run in found.search)
    best = min(found.search, key=lambda run: run.summary["validation_loss"])
    assert found.runs[0].config.training.lr == best.config.training.lr
    assert found.runs[-1].config.training.lr == 0.01
    assert found.to_dict()["search"]["seconds"] > 0


def test_a_diverged_run_is_said_and_left_out_of_the_mean(runs):
    found = compare(SMALL, ["lora:rank=2", "neat:rank=2,lr=100"], seeds=2, steps=200, runs=runs)
    assert found.to_dict()["arms"][1]["mean"] is None
    assert any("2 of 2 runs of neat:rank=2,depth=2,lr=100 diverged" in line for line in found.verdict())


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        (None, ["lora:rank=2", "neat:rank=3,depth=4", "full"]),
        ("rank", ["lora:rank=2", "neat:rank=2,depth=4", "full"]),
        ("params", ["lora:rank=2", "neat:rank=3,depth=2", "full"]),
    ],
)
def test_matched_arms(runs, match, expected):
    depth = 2 if match == "params" else 4  # 2·36 = 72 = 2·3·12
    arms = ["lora:rank=2", f"neat:rank={7 if match else 3},depth={depth}", "full"]
    found = compare(SMALL, arms, seeds=1, steps=2, match=match, runs=runs)
    assert [arm.arm for arm in found.arms()] == expected
    if match == "params":
        assert found.frame()["adapter_params"].iloc[:2].tolist() == [72, 72]


@pytest.mark.parametrize(
    ("task", "arms", "settings", "message"),
    [
        (
            SMALL,
            ["lora:rank=1", "neat:rank=2,depth=6"],
            {"match": "params"},
            "neat has no size within 10 %.*closest is rank=1",
        ),
        (SMALL, ["full", "lora"], {"match": "size"}, "unknown match 'size'; allowed: params, rank"),
        (SMALL, ["full"], {"match": "rank"}, "needs an arm with an adapter"),
        ("digits", ["lora:rank=65"], {}, "q_proj.*rank=65 is above the layer's size; allowed: 1 to 64"),
        ("digits", ["neat:rank=65"], {}, "rank=65 is above"),
        (SMALL, ["head"], {}, "'head' has nothing to train"),
        (SMALL, ["lora", "lora:lr=0.03"], {"lr": "auto"}, "differ only in what lr='auto' chooses"),
        (SMALL, ["lora"], {"seeds": 3_000_000_000}, "at most 10,000"),
        (SMALL, [], {}, "give at least one"),
        (SMALL, ["lora", "lora:rank=4"], {}, "none twice"),
        (SMALL, ["lora"], {"seeds": 0}, "seeds=0"),
        (SMALL, ["lora"], {"seeds": [1, 1]}, "none twice"),
        (SMALL, ["lora"], {"lr": "fast"}, "lr='fast'; give a positive number or 'auto'"),
        (SMALL, ["lora"], {"lr": -1.0}, "greater than 0"),
        (SMALL, ["lora"], {"training": {"stesp": 3}}, "did you mean 'steps'"),
        ("teacher:kind=x", ["lora"], {}, "kind='x'"),
        ("teacher:kind", ["lora"], {}, "not of the form name=value"),
    ],
)
def test_bad_requests_are_refused_before_anything_is_written(runs, task, arms, settings, message):
    with pytest.raises(BadInput, match=message):
        compare(task, arms, runs=runs, **settings)
    assert not runs.exists()


def test_one_bad_arm_stops_all_before_the_first_step(runs):
    with pytest.raises(BadInput, match="rank=13"):
        compare(SMALL, ["lora:rank=2", "neat:rank=13"], runs=runs)
    assert not runs.exists()


def test_a_folder_that_cannot_be_written_or_does_not_exist(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        compare(SMALL, ["lora"], runs=tmp_path / "file")
    with pytest.raises(BadInput, match="no runs folder"):
        load_runs(tmp_path / "none")


@pytest.fixture(scope="module")
def best(tmp_path_factory):
    """Error of each arm at its best of two rates, chosen on validation loss; equal parameters in each pair."""
    folder = tmp_path_factory.mktemp("teacher")

    def error(kind, d_in, arm):
        task = f"teacher:kind={kind},d_in={d_in},d_out=64"
        tried = compare(task, [f"{arm},lr={lr}" for lr in RATES], seeds=1, runs=folder).frame()
        return tried.loc[tried["validation_loss"].idxmin(), ["metric", "adapter_params"]]

    return error


def test_on_a_wide_layer_each_method_wins_at_home(best):
    aware = {
        arm: best("weight-aware", 256, arm) for arm in ("lora:rank=4", "neat:rank=10", "neat:rank=10,activation=linear")
    }
    lora, neat, linear = aware.values()
    assert lora["adapter_params"] == neat["adapter_params"] == 1280
    assert neat["metric"] < lora["metric"] / 5
    assert linear["metric"] > lora["metric"]  # it is the nonlinearity, not the extra rank
    lora, neat = best("low-rank", 256, "lora:rank=4"), best("low-rank", 256, "neat:rank=10")
    assert lora["metric"] < neat["metric"]


@pytest.mark.parametrize("kind", ["weight-aware", "low-rank"])
def test_on_a_square_layer_neat_is_not_ahead(best, kind):
    lora, neat = best(kind, 64, "lora:rank=4"), best(kind, 64, "neat:rank=4")
    assert lora["adapter_params"] == neat["adapter_params"]
    assert neat["metric"] >= lora["metric"]


def test_public_names_exist():
    assert all(getattr(neatlab, name) is not None for name in neatlab.__all__)
    assert neatlab.__all__ == sorted(neatlab.__all__)


def test_a_search_takes_the_highest_accuracy_where_the_task_selects_by_its_metric():
    assert TASKS["digits"].selects_by == "metric"

    def finish(configs):
        """Runs whose validation accuracy rises with the learning rate."""
        return [
            SimpleNamespace(
                run_id=config.run_id,
                config=config,
                status="finished",
                summary={"validation_metric": config.training.lr, "validation_loss": 1.0},
            )
            for config in configs
        ]

    plan, search = Plan("digits", ["lora:rank=2"], {}, "auto").tuned(finish)
    assert plan.arms[0].lr == max(run.config.training.lr for run in search)
