"""Suites: which tasks, what the tasks show together, one at a time in a folder, and nothing trained twice."""

import json
import math
import os
import signal
import subprocess
import sys

import gradio as gr
import psutil
import pytest

import neatlab
from neatlab import BadInput, plots
from neatlab.cli import main
from neatlab.cli.suite import suite_text
from neatlab.config import make_run, parse_arm
from neatlab.dashboard.runs.suite_part import SuitePart
from neatlab.dashboard.shared.context import Context
from neatlab.errors import StoreError
from neatlab.experiments.cluster import cluster
from neatlab.experiments.suite_request import ARMS, LOCK, Suite
from neatlab.experiments.suite_tasks import QUICK, listed
from neatlab.plots.looks import looks
from neatlab.report.suite import render_suite
from neatlab.runs.comparison import Comparison
from neatlab.runs.store import Store
from neatlab.runs.suite import OUTCOMES, SuiteResult, SuiteTask
from neatlab.runs.suite_record import FILE, has_record, read_suite, record
from neatlab.runtime.locks import exclusive
from neatlab.tasks import TASKS
from tests.gate import Gate
from tests.test_report import write
from tests.waiting import is_alive, wait_until

TINY = ["teacher:d_in=24,d_out=12,samples=60", "teacher:d_in=24,d_out=12,samples=60,kind=low-rank"]
PAIR = ["lora:rank=2", "neat:depth=2"]
SHORT = {"training": {"steps": 3}, "seeds": 2}
NAMES = ("lora:rank=8", "neat:depth=2", "full", "head")
SPREAD = (-0.004, 0.001, 0.003)


def made(store, task, options, means, family="vision", status=None, base=0.5):
    """A task whose arms have these means over three seeds."""
    runs = []
    for arm, mean in means.items():
        for seed, spread in enumerate(SPREAD):
            config = make_run(task, parse_arm(arm), seed, options, {"steps": 10})
            scores = {
                "metric": mean * (1 + spread),
                "base_metric_before": 0.8,
                "base_metric": base,
                "seconds_per_step": 0.1,
            }
            runs.append(write(store, config, {**scores, **((status or {}) if seed == 2 and arm == "full" else {})}))
    comparison = Comparison(runs)
    labels = [arm.arm for arm in comparison.arms()]
    return SuiteTask(str(runs[0].config.spec.label), family, dict(zip(means, labels, strict=True)), comparison)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """Eight tasks of two families: NEAT ahead on digits, level on arithmetic, where there is no head to train alone."""
    store, lost = Store(tmp_path_factory.mktemp("suite")), {"status": "failed", "metric": None, "error": "nan"}
    ahead = {"lora:rank=8": 0.8, "neat:depth=2": 0.9, "full": 0.7, "head": 0.3}
    tasks = [made(store, "digits", {"split_seed": seed}, ahead) for seed in range(4)]
    level = {"lora:rank=8": 0.80, "neat:depth=2": 0.801, "full": 0.6}
    tasks += [made(store, "arithmetic", {"split_seed": seed}, level, "arithmetic", base=0.2) for seed in range(3)]
    tasks += [made(store, "arithmetic", {"split_seed": 3}, level, "arithmetic", lost, 0.2)]
    return SuiteResult(NAMES, tasks, {"facts": "1 of 2 runs were lost"})


class TestTasks:
    def test_all_of_the_table_but_what_was_made_for_a_method(self, tmp_path):
        rows = [row for row in neatlab.data(tmp_path) if row["family"] != "synthetic"]
        assert [(str(one.spec), one.family) for one in listed()] == [(row["task"], row["family"]) for row in rows]
        assert {one.family for one in listed(families=["synthetic"])} == {"synthetic"}

    def test_the_quick_form_has_two_of_every_family_and_says_them_right(self):
        families = {row.family for row in TASKS.values() if row.choices}
        assert set(QUICK) == families and all(len(set(quick.tasks)) == 2 for quick in QUICK.values())
        assert {f: [str(one.spec) for one in listed(families=[f], quick=True)] for f in families} == {
            family: list(quick.tasks) for family, quick in QUICK.items()
        }
        assert {one.family for one in listed(quick=True)} == families - {"synthetic"}

    @pytest.mark.parametrize(
        ("settings", "said"),
        [
            ({"families": ["visoin"]}, "unknown family 'visoin'; allowed: .*; did you mean 'vision'"),
            (
                {"tasks": ["digits"], "families": ["arithmetic"]},
                "nothing to do: none of these tasks is of family arith",
            ),
            ({"tasks": ["digits", "digits"]}, "give none twice"),
            ({"tasks": ["digitz"]}, "did you mean 'digits'"),
            ({"tasks": TINY, "arms": ["lora"]}, "a suite compares: give at least two, and none twice"),
            ({"tasks": TINY, "arms": ["lora", " lora"]}, "a suite compares"),
            ({"tasks": ["facts"], "arms": ["head", "lora", "neat"]}, "facts has no head to train alone"),
            ({"tasks": TINY, "arms": PAIR, "seeds": 2000}, "up to 8,000 runs; more than 5,000 need --yes"),
            ({"tasks": TINY, "arms": PAIR, "seeds": "some"}, "give a number of seeds, or 'auto'"),
            ({"tasks": TINY, "arms": PAIR, "match": "size"}, "unknown match 'size'"),
        ],
    )
    def test_bad_requests_are_refused_before_anything_trains(self, runs, settings, said):
        with pytest.raises(BadInput, match=said):
            neatlab.suite(runs=runs, **settings)
        assert not runs.exists()

    def test_arms_are_the_tasks_own_and_sized_as_the_first(self, runs):
        request = Suite(["facts", "digits"], quick=True, runs=runs)
        facts, digits = request._entries
        assert facts.names == ARMS[:-1] and digits.names == ARMS
        (plan,) = digits.sweep.plans
        assert [arm.label for arm in plan.arms][:3] == ["lora:rank=8", "neat:rank=8,depth=2", "neat:rank=7,depth=4"]
        assert digits.sweep.configs[0].training.steps == 60 and digits.outlook == (4 * 6 + 4 + 6 * 3, 0)


@pytest.fixture
def recorded(result):
    """The store of the runs of `result`, with the suite's file."""
    store = Store(result.tasks[0].comparison.runs[0].path.parent)
    record(store, result, 9, {"margin": None, "over": "examples", "design": None})
    return store


class TestTogether:
    def test_outcomes_are_counted_against_the_reference(self, result):
        vision, arithmetic, everything = result.groups
        assert [group.name for group in result.groups] == ["vision", "arithmetic", "all"]
        neat, full, head = vision.arms[1:]
        assert neat.outcomes == dict.fromkeys(OUTCOMES, 0) | {"better": 4}
        assert full.outcomes["worse"] == head.outcomes["worse"] == 4
        assert sum(everything.arms[1].outcomes.values()) == 8 and everything.arms[1].outcomes["better"] == 4
        assert arithmetic.arms[1].outcomes["better"] == 0 and not vision.arms[0].outcomes

    def test_only_tasks_with_every_arm_count_for_ranks_and_it_is_said(self, result):
        vision, arithmetic, everything = result.groups
        assert vision.ranking.mean_ranks == (2, 1, 3, 4)
        assert everything.ranking.arms == NAMES[:3] and len(everything.ranking.tasks) == 7
        assert math.isnan(everything.arms[3].mean_rank) and everything.arms[3].tasks == 4
        assert "head is not ranked: 4 tasks cannot have it." in everything.sentences()
        assert "arithmetic:split_seed=3 does not count: full lost runs." in arithmetic.sentences()

    def test_signed_ranks_over_tasks_are_corrected_or_said_to_be_too_few(self, result):
        vision, _, everything = result.groups
        assert "Too few tasks for Wilcoxon's" in " ".join(vision.sentences())
        assert everything.arms[1].p == pytest.approx(2 / 2**8)
        assert everything.arms[1].p_holm == pytest.approx(3 * 2 / 2**8)
        assert "shows a difference to the reference for neat:depth=2 (p = 0.023), full (p = 0.023)." in " ".join(
            everything.sentences()
        )

    def test_costs_and_what_is_left_of_the_base(self, result):
        everything = result.groups[-1]
        assert everything.arms[1].base_left == pytest.approx((0.5 + 0.2) / 2 / 0.8)
        assert everything.arms[1].seconds_per_step == pytest.approx(0.1)

    def test_the_document_is_json_with_each_comparison(self, result):
        document = json.loads(json.dumps(result.to_dict()))
        assert document.keys() >= {"arms", "reference", "tasks", "groups", "verdict", "lost"}
        assert document["reference"] == "lora:rank=8" and len(document["tasks"]) == 8
        assert document["tasks"][0]["comparison"]["metric"] == "accuracy"
        assert document["tasks"][0]["outcomes"]["neat:depth=2"] == "better"
        group = document["groups"][-1]
        assert group["friedman"]["p"] < 0.05 and group["ranked_arms"] == list(NAMES[:3])
        assert group["arms"][3]["mean_rank"] is None
        assert document["lost"] == {"facts": "1 of 2 runs were lost"}

    def test_the_text_has_every_task_and_group(self, result):
        said = suite_text(result)
        lines = said.splitlines()
        assert lines[0].split() == ["task", "family", "metric", "seeds", *NAMES]
        assert len([line for line in lines if line.startswith(("digits", "arithmetic"))]) >= 16
        assert "0.9000 +" in said and "− *" in said and "–" in lines[5]
        assert "facts: no comparison, 1 of 2 runs were lost" in lines

    def test_the_report_is_one_page_with_every_group(self, result):
        page = render_suite(result, "neatlab suite --arm '</script><script>alert(1)</script>'")
        assert "alert(1)</script>'" not in page and "&lt;/script&gt;" in page
        for heading in ("all: 8 tasks", "vision: 4 tasks", "arithmetic: 4 tasks", "Verdicts by task", "Repeat it"):
            assert f"<h2>{heading}</h2>" in page
        assert page.count('class="plot"') == 3 and "0.9000 (better)" in page


class TestRecord:
    def test_what_was_written_is_read_again_with_every_verdict(self, result, recorded):
        read, planned = read_suite(recorded)
        assert planned == 9 and has_record(recorded)
        assert read.to_dict() == result.to_dict()

    def test_a_folder_without_one_has_no_suite(self, tmp_path):
        assert not has_record(Store(tmp_path)) and read_suite(Store(tmp_path)) is None

    def test_a_task_whose_runs_were_deleted_is_named(self, result, recorded):
        gone = result.tasks[0]
        runs = recorded.root / gone.comparison.runs[0].run_id
        runs.rename(recorded.root / "elsewhere")
        read, _ = read_suite(recorded)
        (recorded.root / "elsewhere").rename(runs)
        assert "1 of its runs are not there any more" in read.lost[gone.task]
        assert len(read.tasks) == len(result.tasks) - 1

    @pytest.mark.parametrize("text", [b"{", b"[]", b'{"arms": []}', b'{"arms": 1, "tasks": [{"runs": []}]}'])
    def test_a_damaged_one_is_refused_in_a_line(self, tmp_path, text):
        (tmp_path / FILE).write_bytes(text)
        with pytest.raises(
            StoreError, match=r"suite\.json cannot be read: .*; the suite's command writes it anew"
        ) as one:
            read_suite(Store(tmp_path))
        assert "\n" not in str(one.value)

    def test_the_page_shows_its_groups_ranks_and_verdicts(self, recorded):
        with gr.Blocks():
            part = SuitePart(Context(recorded, None))
        groups, ranks, tasks = part._show()
        assert part.look()["visible"] and "8 of 9 tasks are done" in groups
        assert "all: 8 tasks" in groups and "facts: no comparison, 1 of 2 runs were lost" in tasks.replace("<wbr>", "")
        assert json.loads(ranks)["caption"].startswith("3 arms on 7 tasks")


class TestDiagram:
    def test_its_numbers_are_the_rankings(self, result):
        data = plots.critical_difference_data(result)
        assert data.arms == ["neat:depth=2", "lora:rank=8", "full"]
        assert data.ranking == result.groups[-1].ranking
        vision = plots.critical_difference_data(result.frame(), NAMES, "vision")
        assert vision.ranking == result.groups[0].ranking

    @pytest.mark.parametrize("dark", [False, True])
    def test_arms_look_as_elsewhere_and_the_axis_is_named(self, result, dark):
        figure = plots.critical_difference(result, dark=dark)
        assert figure.layout.xaxis.title.text == "mean rank over tasks, 1 for the best"
        shown = {t.name: (t.marker.color, t.marker.symbol) for t in figure.data if t.mode == "markers"}
        expected = looks(NAMES)
        assert shown == {one.name: (one.colour, one.marker) for arm, one in expected.items() if arm != "head"}
        (ruler,) = [trace for trace in figure.data if trace.name == "critical difference"]
        apart = result.groups[-1].ranking.critical_difference
        assert list(ruler.x) == pytest.approx([1, 1 + apart])
        assert "7 tasks" in " ".join(note.text for note in figure.layout.annotations)

    def test_nothing_ranked_is_an_empty_figure(self, result):
        assert len(plots.critical_difference(result.frame().iloc[:0]).data) == 0


@pytest.mark.process
def test_a_lock_keeps_others_out_and_goes_with_a_killed_process(tmp_path):
    code = "import sys; from pathlib import Path; from neatlab.runtime.locks import exclusive\n"
    code += "with exclusive(Path(sys.argv[1]), 'suite'): print('held', flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}  # it holds the lock until it is killed
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / LOCK)], **pipes, text=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(BadInput, match=rf"another suite in .* is under way \(process {holder.pid}\); wait for it"):
        Suite(TINY, PAIR, runs=tmp_path, **SHORT).run()
    assert not Store(tmp_path).runs()
    holder.kill()
    holder.wait()
    with exclusive(tmp_path / LOCK, "suite"):
        pass
    with pytest.raises(BadInput, match="cannot be opened: Is a directory"), exclusive(tmp_path, "suite"):
        pass


@pytest.mark.cluster
class TestTraining:
    def test_killed_in_the_middle_it_trains_nothing_twice(self, runs, tmp_path, capsys):
        """Of twelve runs of the search and eight others the first driver is let finish five."""
        store, gate = Store(runs), Gate(tmp_path)
        tasks = [word for task in TINY for word in ("--task", task)]
        words = ["suite", *tasks, "--arm", PAIR[0], "--arm", PAIR[1], "--steps", "3", "--seeds", "2"]
        words += ["--runs", str(runs)]
        command = [sys.executable, "-m", "tests.gated_neatlab", *words, "--workers", "1"]
        first = subprocess.Popen(command, env={**os.environ, "NEATLAB_TEST_GATE": gate.path}, stderr=subprocess.PIPE)
        gate.let_go(5)
        wait_until(lambda: len(finished(store)) == 5)
        family = psutil.Process(first.pid).children(recursive=True)
        first.send_signal(signal.SIGKILL)
        first.communicate()
        wait_until(lambda: not any(map(is_alive, family)))
        before = finished(store)

        assert main([*words, "--dry-run", "--json"]) == 0
        estimate = json.loads(capsys.readouterr().out)
        assert (estimate["tasks"], estimate["runs"], estimate["finished"], estimate["most"]) == (2, 32, 5, 32)
        started, progress = [], []
        with cluster(workers=1) as client:
            request = Suite(TINY, PAIR, runs=runs, **SHORT)
            heard = {"on_event": lambda config, event: started.append(config.run_id), "on_task": progress.append}
            result = request.run(scheduler=client.scheduler.address, **heard)
        assert not before.keys() & set(started) and len(set(started)) == 32 - 5
        assert before.items() <= finished(store).items() and len(finished(store)) == 32
        assert [(one.done, one.tasks, one.latest.task) for one in progress] == [(1, 2, TINY[0]), (2, 2, TINY[1])]

        assert read_suite(store)[0].to_dict() == result.to_dict()
        assert main([*words, "--json"]) == 0  # all is there: no cluster, the same answer
        assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(result.to_dict()))


def finished(store):
    """Run id → when it was made, of the finished ones."""
    return {run.run_id: run.environment["created"] for run in store.runs() if run.status == "finished"}
