"""What is made to stay is left out of Python's collections, whatever becomes of the block."""

import gc

import pytest

from neatlab.runtime.collector import uncollected


@pytest.fixture(autouse=True)
def enabled_again():
    yield
    gc.enable()


def test_no_collection_looks_at_what_is_made_to_stay():
    with uncollected():
        assert not gc.isenabled()
        stays = [[]]
    gc.collect()
    assert gc.isenabled()
    assert not any(item is stays for item in gc.get_objects())


@pytest.mark.parametrize("before", [True, False])
def test_the_collector_is_as_it_was_after_an_import_that_fails(before):
    if not before:
        gc.disable()
    with pytest.raises(ImportError), uncollected():
        raise ImportError
    assert gc.isenabled() is before
