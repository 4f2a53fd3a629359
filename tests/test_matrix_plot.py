"""Pictures of matrices: the right entries, each on its own scale, top row on top."""

import numpy as np
import torch

from neatlab import plots
from neatlab.plots.theme import DARK, LIGHT

MATRICES = {"steps": np.array([[0.0, 2.0], [-4.0, 0.0]]), "nothing": torch.zeros(2, 3)}


def test_entries_are_shares_of_the_largest() -> None:
    steps, nothing = plots.matrix_data(MATRICES)
    assert (steps.name, steps.rows, steps.largest) == ("steps", [[0, 0.5], [-1, 0]], 4)
    assert (nothing.rows, nothing.largest) == ([[0, 0, 0], [0, 0, 0]], 0)


def test_each_matrix_has_a_panel_with_its_title_and_the_first_row_on_top() -> None:
    figure = plots.matrices(MATRICES)
    assert [trace.xaxis for trace in figure.data] == ["x", "x2"]
    assert figure.layout.xaxis.domain[1] < figure.layout.xaxis2.domain[0]
    assert [note.text for note in figure.layout.annotations] == ["steps", "nothing"]
    assert figure.layout.yaxis.autorange == figure.layout.yaxis2.autorange == "reversed"
    assert all((trace.zmin, trace.zmax) == (-1, 1) for trace in figure.data)


def test_it_has_both_themes_and_survives_nothing() -> None:
    assert plots.matrices(MATRICES, dark=True).layout.template == DARK
    assert plots.matrices({}).layout.template == LIGHT
