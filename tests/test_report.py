"""The figures of a sweep, and the report: whole, offline, escaped, and readable in a real browser."""

import html.parser
import math

import pandas as pd
import pytest

from neatlab import plots
from neatlab.analysis.statistics import mean_interval
from neatlab.config import make_run, parse_arm
from neatlab.errors import BadInput
from neatlab.plots.looks import short_name
from neatlab.report import check_target, write_report
from neatlab.runs.comparison import Comparison
from neatlab.runs.store import Store
from tests.chromium import executable

ARMS = ["lora:rank=4"] + [f"neat:rank=4,depth={d},activation={a}" for d in (2, 4) for a in ("relu", "gelu")]
RATES = (0.01, 0.03, 0.1)
COMMAND = "neatlab sweep --arm '</script><script>alert(1)</script>' && echo \"$1\""


def write(store, config, summary):
    writer = store.start(config)
    (writer.path / "events.jsonl").write_bytes(
        b'{"type":"Step","step":1,"loss":1.0,"lr":0.1,"seconds":0.1}\n'
        b'{"type":"Evaluated","step":1,"split":"validation","loss":0.9,"metric":0.5,"extras":{}}\n'
    )
    costs = {"adapter_params": 1, "trainable_params": 1, "seconds": 1.0, "seconds_per_step": 0.1}
    writer.finish({"status": "finished", **costs, **summary})
    return store.get(config.run_id)


def report_runs(store, options=None, task="digits", arms=ARMS):
    settings = {"steps": 10}
    return [
        write(
            store,
            make_run(task, parse_arm(arm), seed, options or {}, settings),
            {
                "metric": 0.8 + place / 100 + (place + 1) * seed / 500,
                "adapter_params": 100 + place,
                "trainable_params": 110 + place,
                "seconds_per_step": 0.2 - place / 100,
                "effective_rank": 2 + place / 10,
                "saved_bytes": 2**20 + place,
                "base_metric_before": 0.95,
                "base_metric": 0.6 - place % 3 / 50 + (place + 1) * seed / 400,
            },
        )
        for place, arm in enumerate(arms)
        for seed in range(3)
    ]


def search_runs(store):
    texts = [f"{arm},lr={rate}" for arm in ARMS[:2] for rate in RATES] + [f"{ARMS[0]},lr=0.03,alpha=12"]
    configs = [make_run("digits", parse_arm(text), 2**31, {}, {"steps": 10}, "tune") for text in texts]
    runs = [write(store, c, {"validation_metric": 0.5 + i / 100}) for i, c in enumerate(configs[:-2])]
    runs.append(write(store, configs[-2], {"status": "failed", "validation_metric": 0.9, "seconds": None}))
    return [*runs, write(store, configs[-1], {"validation_metric": 0.95})]


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("report"))
    return Comparison(report_runs(store), search_runs(store))


@pytest.fixture(scope="module")
def page(comparison, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_report(comparison, path, COMMAND)
    return path


def test_the_margin_is_a_band_about_the_reference(comparison):
    arm = comparison.arms()[0]
    for margin, given in ((comparison.margin, {}), (0.05, {"margin": 0.05})):
        (band,) = [s for s in plots.intervals(comparison, reference=arm.arm, **given).layout.shapes if s.type == "rect"]
        assert (band.x0, band.x1) == pytest.approx((arm.mean - margin, arm.mean + margin))
    assert not [s for s in plots.intervals(comparison).layout.shapes if s.type == "rect"]


def test_interval_data_are_the_arms_intervals(comparison):
    data = plots.interval_data(comparison)
    assert data.name == "accuracy, share of images"
    for entry, arm in zip(data.arms, comparison.arms(), strict=True):
        assert (entry.arm, entry.score.mean, [entry.score.low, entry.score.high]) == (
            arm.arm,
            arm.mean,
            list(arm.ci95),
        )


def test_heat_map_of_the_options_that_were_crossed(comparison):
    assert plots.crossed(comparison) == ("depth", "activation")
    data = plots.heatmap_data(comparison)
    assert (data.rows, data.columns) == (["2", "4"], ["relu", "gelu"])
    frame = comparison.frame().query("depth == 4 and activation == 'relu'")
    assert data.cells[1][0] == mean_interval(frame["metric"])
    assert plots.heatmap(comparison).data[0].text[1][0].startswith(f"{data.cells[1][0].mean:.3f}<br>±")
    with pytest.raises(BadInput, match=r"unknown option 'dept'.*did you mean 'depth'"):
        plots.heatmap_data(comparison, "dept")


@pytest.mark.parametrize("higher", [True, False])
def test_better_cells_stand_out_more_and_all_of_them_are_pale_enough_for_their_text(comparison, higher):
    cells = plots.heatmap(comparison, higher_is_better=higher).data[0]
    strength = [(value - cells.zmin) / (cells.zmax - cells.zmin) for row in cells.z for value in row]
    strength = [1 - share if cells.reversescale else share for share in strength]
    best = [value if higher else -value for row in cells.z for value in row]
    assert (min(strength), max(strength)) == pytest.approx((0, 1 / 3))
    assert strength.index(max(strength)) == best.index(max(best))


def test_what_was_not_crossed_has_no_heat_map():
    rows = [(2, "relu"), (2, "tanh"), (2, "sin"), (4, "relu"), (6, "relu")]
    frame = pd.DataFrame(rows, columns=["depth", "activation"]).assign(metric=0.5, seed=0)
    assert plots.crossed(frame) is None
    assert plots.crossed(frame[["metric", "seed"]]) is None


def test_a_cell_of_several_arms_is_their_mean_by_seed_and_an_empty_one_a_gap():
    rows = [(2, "relu", 0, 0.4), (2, "relu", 0, 0.6), (2, "relu", 1, 0.7), (2, "relu", 1, 0.9), (4, "sin", 0, 0.1)]
    frame = pd.DataFrame(rows, columns=["depth", "activation", "seed", "metric"])
    (first, gap), (_, alone) = plots.heatmap_data(frame).cells
    assert (first.mean, first.count, gap, alone.count) == (pytest.approx(0.65), 2, None, 1)


def test_a_heat_map_does_not_mix_what_differs_in_another_option():
    rows = [(2, "relu", "weight", 0.8), (2, "sin", "weight", 0.7), (4, "relu", "weight", 0.6), (2, "relu", "none", 0.1)]
    frame = pd.DataFrame(rows, columns=["depth", "activation", "conditioning", "metric"]).assign(seed=0)
    data = plots.heatmap_data(frame)
    assert data.held == {"conditioning": "weight"}
    assert data.cells[0][0].mean == 0.8


def test_rates_are_the_searchs_own_and_a_diverged_run_is_a_gap(comparison):
    data = plots.rate_data(comparison)
    lora, neat = data.curves
    assert data.name == "validation accuracy, at the end"
    assert lora.arm == "lora:rank=4"
    assert lora.x == RATES
    assert lora.mean == pytest.approx((0.5, 0.51, 0.52))
    assert math.isnan(neat.mean[-1])
    (other,) = data.scalings
    assert (other.look, other.variant, other.lr, other.score) == (lora.look, "lora:rank=4,alpha=12", 0.03, 0.95)
    assert plots.rates(comparison).layout.xaxis.type == "log"


def test_pareto_data_follow_the_comparison(comparison):
    fronts = comparison.pareto()
    for cost, front in fronts.items():
        data = plots.pareto_data(comparison, cost)
        assert [entry.arm for entry, on in zip(data.arms, data.front, strict=True) if on] == front
    assert len(fronts["adapter_params"]) == len(ARMS)
    assert len(fronts["seconds_per_step"]) == 1
    with pytest.raises(BadInput, match="unknown cost"):
        plots.pareto_data(comparison, "money")


def test_stability_data_are_both_intervals_of_every_arm_and_the_front_of_their_means(comparison):
    data = plots.stability_data(comparison)
    assert (data.name, data.base_name) == ("accuracy, share of images", "accuracy on upright digits")
    assert data.before == pytest.approx(0.95)
    for entry, kept, arm in zip(data.arms, data.retained, comparison.arms(), strict=True):
        assert (entry.score.mean, entry.score.low, entry.score.high) == (arm.mean, *arm.ci95)
        assert (kept.mean, kept.low, kept.high) == (arm.base_metric, *arm.base_ci95)
    assert data.front == [False, False, False, True, True]
    line, *points = plots.stability(comparison).data
    assert list(line.x) == sorted(data.retained[place].mean for place in (3, 4))
    for point, entry, kept in zip(points, data.arms, data.retained, strict=True):
        assert (point.x, point.y) == ((kept.mean,), (entry.score.mean,))
        assert (point.error_x.array, point.error_y.array) == ((kept.half_width,), (entry.score.half_width,))


def test_stability_knows_directions_and_leaves_out_what_has_no_base():
    frame = pd.DataFrame({"arm": ["a", "b", "c"], "seed": 0, "metric": [1, 2, 3], "base_metric": [1.0, 2.0, math.nan]})
    assert plots.stability_data(frame).front == [False, False]  # one seed shows no front
    frame = pd.concat([frame, frame.assign(seed=1)])
    assert plots.stability_data(frame).front == [False, True]
    assert plots.stability_data(frame, higher_is_better=(False, True)).front == [True, True]
    assert plots.stability_data(frame, higher_is_better=(False, False)).front == [True, False]
    assert plots.stability_data(frame.drop(columns="base_metric")).arms == []


def test_ranks_are_one_point_a_run(comparison):
    data = plots.rank_data(comparison)
    assert [len(entry.ranks) for entry in data] == [3] * len(ARMS)
    assert data[1].ranks == [2.1] * 3


DRAWN = (plots.intervals, plots.heatmap, plots.rates, plots.pareto, plots.stability, plots.rank_against_metric)


@pytest.mark.parametrize("draw", DRAWN)
def test_axes_are_named_and_both_looks_drawn(comparison, draw):
    light, dark = draw(comparison), draw(comparison, dark=True)
    assert light.layout.xaxis.title.text
    assert light.layout.template != dark.layout.template
    assert str(light.data) == str(dark.data)  # NaN differs from itself


@pytest.mark.parametrize("draw", [plots.intervals, plots.pareto, plots.stability, plots.rank_against_metric])
def test_runs_without_a_score_draw_nothing(draw):
    assert not draw(pd.DataFrame({"arm": ["a"], "seed": [0]})).data
    assert not draw(pd.DataFrame()).data


class Words(html.parser.HTMLParser):
    """The text of a page outside scripts and styles, and the addresses that it names."""

    def __init__(self, text):
        super().__init__()
        self.text, self.addresses, self._skip = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self._skip = tag in ("script", "style")
        self.addresses += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag):
        self._skip = False

    def handle_data(self, data):
        self.text += [] if self._skip else [data]


def test_the_page_says_what_it_must(page, comparison):
    words = Words(page.read_text(encoding="utf-8"))
    said = "".join(words.text)
    assert not words.addresses
    assert COMMAND in said
    base = [difference.sentence for difference in comparison.base_differences()]
    assert len(base) == len(ARMS) - 1
    last, best = [arm.arm for arm in comparison.arms()][3:]
    assert f"leaves as much of the base in the mean): {short_name(best)}, {short_name(last)}." in said
    for text in (
        comparison.decision(),
        *comparison.verdict(),
        *base,
        "Set-up",
        "Holm",
        "7 further runs",
        "torch",
        "Depth × activation",
    ):
        assert text in said
    first = [run.run_id for run in comparison.runs if run.config.seed == 0]
    assert f"neatlab replay {' '.join(first)} --out replay.html" in said
    assert "NaN" not in said
    assert "nan" not in said.split()


def test_what_a_name_holds_cannot_end_the_script(page):
    text = page.read_text(encoding="utf-8")
    assert "<script>alert" not in text
    assert text.count("<script>") == text.count("</script>")


def test_runs_on_several_settings_are_shown_apart(tmp_path):
    store = Store(tmp_path / "runs")
    kinds = ("low-rank", "weight-aware")
    runs = [run for kind in kinds for run in report_runs(store, {"kind": kind}, "teacher", ARMS[:2])]
    write_report(Comparison(runs), tmp_path / "report.html", "neatlab sweep")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "2 settings" in text
    assert all(f"<h2>Arms with kind={kind}</h2>" in text for kind in kinds)


def test_one_run_of_one_arm_is_a_report_too(tmp_path):
    one = report_runs(Store(tmp_path / "runs"), arms=ARMS[:1])[:1]
    write_report(Comparison(one), tmp_path / "report.html", "neatlab compare")
    assert "nothing to compare" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("seeds", [1, 2])
def test_no_front_is_drawn_or_named_from_one_seed(seeds, tmp_path):
    found = Comparison([run for run in report_runs(Store(tmp_path / "runs")) if run.config.seed < seeds])
    write_report(found, tmp_path / "report.html", "neatlab compare")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    fronts = ("On the front", "pareto-adapter_params", "stability-", ">params")
    assert [front in text for front in fronts] == [seeds > 1] * len(fronts)
    assert any(trace.name is None for trace in plots.stability(found).data) == (seeds > 1)


def test_an_arm_without_a_score_is_listed(tmp_path):
    store = Store(tmp_path / "runs")
    lost = write(store, make_run("digits", parse_arm("neat:rank=2"), 0, {}, {"steps": 10}), {"status": "pruned"})
    write_report(Comparison([*report_runs(store), lost]), tmp_path / "report.html", "neatlab sweep")
    assert "0 of 1" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_where_it_cannot_be_written_is_said_in_one_line(comparison, tmp_path):
    for path in (tmp_path, tmp_path / "none" / "report.html"):
        with pytest.raises(BadInput, match=r"cannot be written|is a folder") as refused:
            check_target(path)
        assert "\n" not in str(refused.value)
        with pytest.raises(BadInput):
            write_report(comparison, path, "")


def test_a_full_disk_leaves_the_old_report(comparison, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    path = tmp_path / "report.html"
    path.write_text("old")
    monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(BadInput, match="No space left"):
        write_report(comparison, path, "")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


@pytest.fixture(scope="module")
def chromium(playwright):
    opened = playwright.chromium.launch(args=["--no-sandbox", "--disable-gpu"], **executable())
    yield opened
    opened.close()


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_in_a_browser_every_figure_is_drawn_nothing_is_asked_for_and_nothing_sticks_out(chromium, page, width, scheme):
    shown = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    asked, errors = [], []
    shown.on("request", lambda request: asked.append(request.url))
    shown.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    shown.on("pageerror", lambda error: errors.append(str(error)))
    shown.goto(page.as_uri())
    shown.wait_for_function(
        "document.querySelectorAll('.plot').length == document.querySelectorAll('.main-svg').length / 3"
    )
    assert asked == [page.as_uri()]
    assert not errors
    assert shown.evaluate("document.documentElement.scrollWidth") == width
    text, ground = (shown.evaluate(f"getComputedStyle(document.body).{name}") for name in ("color", "backgroundColor"))
    assert (text, ground)[scheme == "dark"] == "rgb(31, 41, 51)"
    shown.emulate_media(color_scheme="dark" if scheme == "light" else "light")
    other = "rgb(228, 231, 235)" if scheme == "light" else "rgb(31, 41, 51)"
    shown.wait_for_function(
        f"getComputedStyle(document.querySelector('.plot .xtitle')).fill == '{other}'", timeout=9000
    )
    shown.close()
