"""Whatever is sent to the API or stands in a link: an answer with a message, never a traceback."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neatlab.dashboard.links import Link
from neatlab.errors import BadInput
from tests.browser.conftest import App

# Two thousand with NEATLAB_TEST_ROUNDS=8.
EXAMPLES = 250 * int(os.environ.get("NEATLAB_TEST_ROUNDS", "1"))
TEXTS = st.one_of(
    st.text(max_size=30), st.sampled_from(["digits", "lora:rank=4", "neat:rank=2,depth=4", "../..", "\0"])
)
NUMBERS = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)
# Steps are none: what is asked for must be refused, for no test waits for five thousand trainings.
STARTS = st.tuples(
    st.one_of(st.just("digits"), VALUES),
    st.one_of(st.lists(TEXTS, max_size=5), VALUES),
    st.one_of(st.integers(max_value=0), TEXTS),
    VALUES,
    VALUES,
    VALUES,
    VALUES,
)
CALLS = st.one_of(
    st.tuples(st.just("start"), STARTS.map(list)),
    st.tuples(st.sampled_from(["status", "stop", "list", "start"]), st.lists(VALUES, max_size=3)),
    st.tuples(TEXTS, VALUES),
)
PARAMETERS = st.lists(st.tuples(st.one_of(st.sampled_from([*Link.model_fields]), TEXTS), TEXTS), max_size=8)
UNHURRIED = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[*HealthCheck])


@pytest.mark.process
def test_a_call_is_answered_or_told_what_is_wrong(http: httpx.Client, server: App) -> None:
    @UNHURRIED
    @given(CALLS)
    def check(call: tuple[str, Any]) -> None:
        name, data = call
        answer = http.post(f"gradio_api/run/{quote(name, safe='')}", json={"data": data})
        assert answer.status_code in (200, 404, 405, 422) or answer.json()["error"], (answer.status_code, answer.text)

    check()
    assert "Traceback" not in Path(server.runs.parent / "app.log").read_text()


@pytest.mark.process
def test_the_page_of_any_link_is_served(http: httpx.Client, server: App) -> None:
    @settings(UNHURRIED, max_examples=EXAMPLES // 50)
    @given(PARAMETERS)
    def check(parameters: list[tuple[str, str]]) -> None:
        assert http.get(f"?{urlencode(parameters)}").status_code == 200

    check()
    assert "Traceback" not in Path(server.runs.parent / "app.log").read_text()


@UNHURRIED
@given(PARAMETERS)
def test_a_link_is_read_or_refused_in_one_line(parameters: list[tuple[str, str]]) -> None:
    try:
        link = Link.read(parameters)
    except BadInput as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert link.said().keys() <= Link.model_fields.keys()
