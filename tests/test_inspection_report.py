"""Figures of inspections give the tables' numbers beside the random ones; the page is whole, offline and escaped."""

import math
import re

import pandas as pd
import pytest
from markupsafe import escape

from neatlab import plots
from neatlab.errors import BadInput
from neatlab.inspection import compare_adapters, inspect
from neatlab.plots.alignment import DEGREES
from neatlab.report.inspection import render_inspection, write_inspection
from tests.models import MODELS
from tests.test_inspection import trained_lora


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapters")
    MODELS["llama"].build().save_pretrained(folder / "base")
    paths = [
        trained_lora(folder / name, seed) for seed, name in enumerate(("first", "<b>second</b>".replace("/", "_")))
    ]
    return compare_adapters(paths, folder / "base", directions=3)


def test_profiles_are_the_tables_columns(found):
    frame = found.frame()
    for quantity in ("norm", "relative_norm", "effective_rank", "amplification", "intruders"):
        data = plots.profile_data(found, quantity)
        for line in data.lines:
            rows = frame[frame["adapter"] == line.adapter]
            assert line.values == rows[quantity].tolist()
            if quantity != "norm" and quantity != "relative_norm":
                assert line.random == rows[f"random_{quantity}"].tolist()
        drawn = plots.profile(found, quantity)
        assert drawn.layout.yaxis.title.text == data.name
        assert len(drawn.data) == sum(1 + bool(line.random) for line in data.lines)
    with pytest.raises(BadInput, match=r"unknown quantity 'nrom'.*did you mean 'norm'"):
        plots.profile_data(found, "nrom")


def test_a_layer_that_one_adapter_lacks_is_a_gap(found):
    frame = found.frame()
    shorter = frame.drop(frame.index[-1])
    assert math.isnan(plots.profile_data(shorter).lines[1].values[-1])


def test_shares_of_the_kinds_sum_to_one(found):
    data = plots.kind_data(found)
    assert [sum(shares) for shares in data.shares] == pytest.approx([1, 1])
    frame = found.frame().query("adapter == 'first'")
    energies = (frame["norm"] ** 2).groupby(frame["kind"]).sum()
    assert data.shares[0] == pytest.approx([energies[kind] / energies.sum() for kind in data.kinds])
    assert len(plots.kinds(found).data) == 2
    still = found.frame().assign(norm=0.0)
    assert plots.kind_data(still).adapters == []


def test_overlaps_have_a_panel_a_side_and_chance_beside(found):
    data, drawn = plots.overlap_data(found), plots.overlap(found)
    frame = found.frame()
    for line in data.lines:
        rows = frame[frame["adapter"] == line.adapter]
        assert line.similarity == rows[f"overlap_{line.side}"].tolist()
        assert line.random == rows[f"random_overlap_{line.side}"].tolist()
    assert len(drawn.data) == 2 * len(data.lines)
    assert drawn.layout.yaxis.title.text == "overlap, writes to (left)"
    assert drawn.layout.yaxis2.title.text == "overlap, reads from<br>(right)"
    with pytest.raises(BadInput, match="no overlaps were measured; inspect with --base"):
        plots.overlap_data(frame.drop(columns="overlap_left"))


def test_angles_are_means_in_degrees(found):
    lines, frame = plots.angle_data(found), found.angles()
    assert [line.side for line in lines] == ["left", "right"]
    first = frame[(frame["side"] == "left") & (frame["i"] == 1)]
    assert lines[0].angles[0] == pytest.approx(first["angle"].mean() * DEGREES)
    assert lines[0].random[0] == pytest.approx(first["random_angle"].mean() * DEGREES)
    assert plots.angle_data(found, "model.layers.0.mlp.up_proj")[0].angles != lines[0].angles
    assert len(plots.principal_angles(found).data) == 4
    assert len(plots.principal_angles(pd.DataFrame(columns=frame.columns)).data) == 0


def test_the_page_says_everything_and_asks_for_nothing(found, tmp_path):
    path = tmp_path / "page.html"
    write_inspection(found, path, "neatlab inspect '</script><script>alert(1)</script>'")
    page = path.read_text()
    body = page[page.index("<main>") : page.index("</main>")]
    for said in [*found.inspections[0].verdict(), *found.inspections[1].verdict()]:
        assert escape(said.text) in body
    assert all(layer.name in body.replace("<wbr>", "") for layer in found.inspections[0].layers)
    figures = set(re.findall(r'class="plot" id="(\w+)"', body))
    assert figures == {"norms", "kinds", "ranks", "spectrum", "overlap", "angles"}
    assert "<b>second" not in body
    assert "<script>alert" not in page
    assert not re.search(r"""(?:src|href)=["']?https?:""", body)


def test_the_page_of_one_adapter_without_a_base(found, tmp_path):
    page = render_inspection(inspect(trained_lora(tmp_path)), "neatlab inspect DIR")
    figures = set(re.findall(r'class="plot" id="(\w+)"', page))
    assert figures == {"norms", "kinds", "ranks", "spectrum"}
    assert "not given" in page


def test_a_page_that_cannot_be_written_is_refused(found, tmp_path):
    with pytest.raises(BadInput, match="is a folder"):
        write_inspection(found, tmp_path, "")
