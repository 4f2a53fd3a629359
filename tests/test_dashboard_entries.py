"""The page's processes are named by strings: each leads to something that can be called."""

from importlib import import_module

import pytest

from neatlab.dashboard.shared import entries

CALLED = {name: value for name, value in vars(entries).items() if name.isupper() and isinstance(value, str)}


@pytest.mark.parametrize("name", CALLED)
def test_an_entry_can_be_called(name):
    module, _, function = CALLED[name].partition(":")
    assert callable(getattr(import_module(module), function))


@pytest.mark.parametrize("module", entries.PRELOADED)
def test_what_is_preloaded_can_be_imported(module):
    import_module(module)


def test_every_entry_stands_in_one_place():
    assert len(CALLED) == len(set(CALLED.values())) == 10
