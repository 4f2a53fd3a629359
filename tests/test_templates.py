"""Templates: one environment, everything escaped."""

import pytest
from jinja2 import UndefinedError

from neatlab.export import snippet
from neatlab.runtime.templates import PACKAGE, Code, environment, python


def test_whatever_a_template_is_given_is_escaped() -> None:
    html = environment().from_string("<p>{{ text }}</p>").render(text="<b>&</b>")
    assert html == "<p>&lt;b&gt;&amp;&lt;/b&gt;</p>"


def test_a_missing_value_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        environment().from_string("{{ missing }}").render()


def test_in_python_a_value_is_a_literal_and_what_is_missing_an_error() -> None:
    template = python(snippet.__file__).environment.from_string("a = {{ text }}; b = {{ code }}")
    assert template.render(text="'\n<", code=Code("f()")) == """a = "'\\n<"; b = f()"""
    with pytest.raises(UndefinedError):
        template.render(text="")


def test_every_template_of_the_package_compiles() -> None:
    for path in PACKAGE.rglob("*.html"):
        environment().get_template(path.relative_to(PACKAGE).as_posix())
