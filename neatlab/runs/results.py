"""Runs as tidy tables."""

from collections.abc import Sequence

import pandas as pd

from neatlab.errors import BadInput
from neatlab.runs import frames
from neatlab.runs.run import Run
from neatlab.runs.store import Store
from neatlab.runtime.files import PathLike


class Results:
    """A set of runs as tables: `frame` a row a run, `curves` a row a measurement, `spectra` a row a layer and step,
    `answers` a row a step at which answers were kept.

    Args:
        runs: The runs, in the order they are to be shown.

    Example:
        >>> import neatlab
        >>> runs = neatlab.load_runs("runs")
        >>> runs.frame().groupby("arm").size().to_dict()
        {'lora:rank=2': 2, 'neat:rank=2,depth=2': 2}
        >>> runs.curves().columns.tolist()
        ['run', 'arm', 'seed', 'step', 'split', 'loss', 'metric', 'lr', 'seconds']
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = list(runs)

    def frame(self) -> pd.DataFrame:
        """One row a run: identity, options, parameter counts, scores, cost; NaN where unknown."""
        return frames.frame(self.runs, self.label)

    def curves(self) -> pd.DataFrame:
        """One row a training step or evaluation: run, arm, seed, step, split, loss, metric, lr, seconds."""
        return frames.curves(self.runs, self.label)

    def spectra(self) -> pd.DataFrame:
        """One row a layer and measured step: run, arm, seed, step, layer, singular_values and what sums them up."""
        return frames.spectra(self.runs, self.label)

    def answers(self) -> pd.DataFrame:
        """One row an evaluation, with the model's answers to a few validation examples: run, arm, seed, step, `values`.

        `probability`, `margin` and `right` have an entry an example too; `shown`, `true` and `names` say what these
        are, `inputs` and `answers` of what kind. Older runs have none.
        """
        return frames.answers(self.runs, self.label)

    def label(self, run: Run) -> str:
        """The arm that a run counts for in the tables."""
        return run.config.arm.label


def load_runs(runs: PathLike = "runs") -> Results:
    """Every readable run of a folder.

    Args:
        runs: The runs folder.

    Returns:
        Their tables: `.frame()`, `.curves()`, `.spectra()`, `.answers()`.

    Raises:
        BadInput: No such folder.

    Example:
        >>> import neatlab
        >>> runs = neatlab.load_runs("runs")
        >>> sorted(set(runs.frame()["status"]))
        ['finished']
    """
    store = Store(runs)
    if not store.root.is_dir():
        raise BadInput(f"no runs folder {store.root}; a comparison with --runs makes one")
    return Results(store.runs())
