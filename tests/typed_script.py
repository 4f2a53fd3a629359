"""A user's script as a type checker sees it: `make check` reads it, nothing runs it."""

from typing import assert_type

import pandas as pd

import neatlab
from neatlab import METHODS, TASKS, Comparison, NeatConfig, plots

result: Comparison = neatlab.compare("digits", ["lora:rank=4"], seeds=1)
assert_type(result.arms()[0].mean, float)
assert_type(result.differences()[0].shown, bool)
assert_type(
    neatlab.sweep("digits", ["lora"], {"rank": [1, 2]}, reference="lora:rank=4", seeds=[0, 1]), neatlab.Comparison
)
assert_type(neatlab.load_runs("runs").frame(), pd.DataFrame)
assert_type(neatlab.inspect("folder").verdict()[0].text, str)
assert_type(METHODS["neat"].title, str)
assert_type(TASKS["digits"].title, str)
figure = plots.intervals(result)
NeatConfig(r=4, target_modules=["q"])

# Mistakes: where they are none, the check says that these comments are unused.
neatlab.sweep("digits", ["lora"], seed=3)  # type: ignore[call-arg]
neatlab.compair  # type: ignore[attr-defined]  # noqa: B018
