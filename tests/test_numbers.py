"""Numbers for people: one way to write each, and a dash where there is none."""

import math

import pytest

from neatlab.runtime import numbers
from neatlab.runtime.numbers import DASH


@pytest.mark.parametrize("write", [numbers.number, numbers.signed, numbers.p_number])
@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_what_is_unknown_is_a_dash(write, value):
    assert write(value) == DASH
    assert numbers.bytes_number(value) == DASH


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (numbers.number(1234567, 0), "1,234,567"),
        (numbers.number(0.12345), "0.1235"),
        (numbers.signed(-0.5), "-0.5000"),
        (numbers.interval(0.1, 0.2), "0.1000 to 0.2000"),
        (numbers.signed_interval(-0.1, 0.2), "-0.1000 to +0.2000"),
        (numbers.signed_interval(math.nan, math.nan), DASH),
        (numbers.p_number(0.00001), "< 0.0001"),
        (numbers.bytes_number(1536), "1.5 KiB"),
        (numbers.bytes_number(3 * 2**30), "3 GiB"),
        (numbers.duration(90), "90 s"),
        (numbers.duration(3600), "60 min"),
        (numbers.duration(9000), "2.5 h"),
    ],
)
def test_numbers_are_written_in_one_way(written, expected):
    assert written == expected
