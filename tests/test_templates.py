"""Templates: one environment, everything escaped."""

import pytest
from jinja2 import UndefinedError

from neatlab.runtime.templates import PACKAGE, environment


def test_whatever_a_template_is_given_is_escaped() -> None:
    html = environment().from_string("<p>{{ text }}</p>").render(text="<b>&</b>")
    assert html == "<p>&lt;b&gt;&amp;&lt;/b&gt;</p>"


def test_a_missing_value_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        environment().from_string("{{ missing }}").render()


def test_every_template_of_the_package_compiles() -> None:
    for path in PACKAGE.rglob("*.html"):
        environment().get_template(path.relative_to(PACKAGE).as_posix())
