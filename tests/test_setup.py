"""What `make app` and `make test` stand on: ranges and locks that agree, an installation that says what is wrong."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from neatlab import __version__
from neatlab.cli import main
from neatlab.errors import MissingExtra
from neatlab.runtime import environment
from neatlab.runtime.lazy import EXTRAS, load
from neatlab.runtime.versions import MISFITS, PACKAGES, installed_versions, misfits

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCKS = {"requirements.txt": "all", "requirements-dev.txt": "dev"}
INTEGRATIONS = "requirements-integrations.txt"


def ranges(extra: str = "") -> list[Requirement]:
    """What pyproject.toml asks for: the core's, or an extra's with those of the extras that it holds."""
    texts = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    wanted = list(map(Requirement, texts))
    held = [inner for requirement in wanted if requirement.name == "neatlab" for inner in requirement.extras]
    return [r for r in wanted if r.name != "neatlab"] + [r for inner in held for r in ranges(inner)]


# As where only the core is installed: a name whose entry in sys.modules is None cannot be imported.
WITHOUT_EXTRAS = """
import sys
from neatlab.runtime.lazy import EXTRAS

sys.modules |= dict.fromkeys((name for packages in EXTRAS.values() for name in packages), None)

import peft, torch
import neatlab
import neatlab.export.adapters
from neatlab.cli import main

lora = peft.LoraConfig(r=2, target_modules=["0"], init_lora_weights=False)
for config in (neatlab.NeatConfig(r=2, target_modules=["0"]), lora):
    adapted = peft.get_peft_model(torch.nn.Sequential(torch.nn.Linear(8, 8)), config)
adapted.save_pretrained(sys.argv[1])
assert main(["inspect", sys.argv[1]]) == 0
assert main(["compare", "--task", "teacher", "--arm", "lora"]) == 1
assert main(["app"]) == 1
for use in (lambda: neatlab.plots, neatlab.inspect(sys.argv[1]).frame):
    try:
        use()
    except neatlab.MissingExtra as error:
        print(error, file=sys.stderr)
"""


def locked(name: str) -> list[Requirement]:
    lines = (line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return [Requirement(line) for line in lines if line]


def version_of(requirement: Requirement) -> str:
    return next(iter(requirement.specifier)).version


class TestLocks:
    @pytest.mark.parametrize("name", [*LOCKS, INTEGRATIONS])
    def test_every_line_is_exact_and_no_build_of_one_machine(self, name: str) -> None:
        for requirement in locked(name):
            assert [s.operator for s in requirement.specifier] == ["=="], requirement
            assert "+" not in version_of(requirement), requirement

    @pytest.mark.parametrize("name", LOCKS)
    def test_it_holds_every_range_within_its_bounds(self, name: str) -> None:
        pins = {requirement.name: version_of(requirement) for requirement in locked(name)}
        for wanted in [*ranges(), *ranges(LOCKS[name])]:
            assert wanted.specifier.contains(pins[wanted.name]), f"{wanted} beside {pins[wanted.name]}"

    def test_that_of_the_integrations_holds_its_group_and_nothing_else(self) -> None:
        group = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["integrations"]
        pins = {requirement.name: version_of(requirement) for requirement in locked(INTEGRATIONS)}
        wanted = {requirement.name: requirement.specifier for requirement in map(Requirement, group)}
        assert pins.keys() == wanted.keys()
        assert all(wanted[name].contains(version) for name, version in pins.items())

    def test_both_hold_the_same_versions(self) -> None:
        app, dev = ({(r.name, version_of(r)) for r in locked(name)} for name in LOCKS)
        assert app <= dev

    @pytest.mark.parametrize("name", LOCKS)
    def test_its_head_names_the_command(self, name: str) -> None:
        head = (ROOT / name).read_text().splitlines()[:2]
        assert re.search(rf"uv pip compile .*--extra {LOCKS[name]} .*--output-file {name}", head[1])

    def test_its_versions_fit_each_other(self) -> None:
        pins = {requirement.name: version_of(requirement) for requirement in locked("requirements.txt")}
        assert misfits(pins) == []

    @pytest.mark.parametrize("row", MISFITS)
    def test_the_ranges_leave_out_what_does_not_fit(self, row: tuple[str, ...]) -> None:
        package, version, other, below, _ = row
        core = {r.name: r.specifier for r in ranges()}
        older = f"{below}.dev0"
        assert not (core[package].contains(version) and core[other].contains(older, prereleases=True))


class TestExtras:
    @pytest.mark.parametrize("extra", EXTRAS)
    def test_the_table_of_packages_holds_what_the_extra_asks_for(self, extra: str) -> None:
        wanted = {Requirement(text).name for text in PROJECT["optional-dependencies"][extra]}
        assert set(EXTRAS[extra].values()) == wanted - {"neatlab"}

    def test_what_no_extra_holds_is_reported_as_it_is(self) -> None:
        with pytest.raises(ModuleNotFoundError, match="no_such_module") as refusal:
            load("no_such_module", "compare")
        assert not isinstance(refusal.value, MissingExtra)

    @pytest.mark.process
    def test_the_core_needs_no_package_of_an_extra_and_names_the_extra_of_what_does(self, tmp_path: Path) -> None:
        command = [sys.executable, "-c", WITHOUT_EXTRAS, str(tmp_path)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stderr.splitlines()[-4:] == [
            "neatlab: compare needs pandas: pip install 'neatlab[lab]'",
            "neatlab: app needs gradio: pip install 'neatlab[app]'",
            "neatlab.plots needs pandas: pip install 'neatlab[lab]'",
            "this needs pandas: pip install 'neatlab[lab]'",
        ]
        assert re.search(r"^layer +d_out × d_in", done.stdout, re.MULTILINE)


class TestVersions:
    def test_a_pair_that_does_not_fit_is_named_with_what_mends_it(self) -> None:
        (line,) = misfits({"transformers": "5.24.0", "peft": "0.21.2"})
        assert "transformers 5.24.0 needs peft 0.22" in line
        assert "pip install 'transformers<5.24'" in line

    @pytest.mark.parametrize(("transformers", "peft"), [("5.23.0", "0.21.2"), ("5.24.0", "0.22.0")])
    def test_a_pair_that_fits_is_not(self, transformers: str, peft: str) -> None:
        assert misfits({"transformers": transformers, "peft": peft}) == []

    def test_a_package_that_is_not_there_fits(self) -> None:
        assert misfits({"transformers": "5.24.0"}) == misfits({}) == []

    def test_the_command_line_says_them_all(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as end:
            main(["--version"])
        lines = capsys.readouterr().out.splitlines()
        assert end.value.code == 0
        assert set(installed_versions()) <= set(PACKAGES)
        assert {f"{name} {version}" for name, version in installed_versions().items()} <= set(lines)
        names = ("neatlab ", "python 3", "device cpu", "cache folder /", "runs folder /")
        assert all(any(line.startswith(name) for line in lines) for name in names)

    def test_a_checkout_that_was_never_installed_has_a_version(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = environment.version

        def version(name: str) -> str:
            assert name != "neatlab", "its metadata exists only where it is installed"
            return real(name)

        monkeypatch.setattr(environment, "version", version)
        assert environment.package_versions()["neatlab"] == __version__


@pytest.mark.process
class TestInstall:
    """Of `scripts/install.sh` and `scripts/chromium.sh`, with stand-ins for what a machine may lack."""

    def stand_in(self, path: Path, script: str) -> Path:
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    def python(self, folder: Path) -> Path:
        """A Python that makes its environments in no time: their python is this one, with the packages it has.

        A mere link would be the Python that this environment was made of, which may have no pip, or not let it in.
        """
        this = self.stand_in(folder / "this", f'exec {sys.executable} "$@"')
        links = "".join(f"ln -s {this} $3/bin/{name}; " for name in ("python", "pip"))
        make = f"mkdir -p $3/bin; {links}echo made >> {folder}/made"
        return self.stand_in(folder / "python3", f'[ "$2" != venv ] || {{ {make}; }}')

    def install(self, folder: Path, python: Path, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        command = ["sh", "scripts/install.sh", str(folder / "venv"), "--dry-run", *words]
        environment = {**os.environ, "PYTHON": str(python), "PIP_RETRIES": "0", **settings}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    def assert_failed(self, done: subprocess.CompletedProcess[str], text: str) -> None:
        (line,) = done.stderr.splitlines()
        assert (done.returncode, line.startswith(f"install: {text}")) == (1, True), line

    def test_a_python_that_is_too_old(self, tmp_path: Path) -> None:
        old = self.stand_in(tmp_path / "bin" / "python3", "exit 1")  # as sys.exit(version < (3, 11)) does
        self.assert_failed(self.install(tmp_path, old, "pip"), "no Python 3.11 or newer among")

    def test_no_network_and_again_when_it_is_back(self, tmp_path: Path) -> None:
        python, bin_ = self.python(tmp_path / "bin"), tmp_path / "bin"
        nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": ""}
        failed = self.install(tmp_path, python, "no-such-package-anywhere", **nowhere)
        self.assert_failed(failed, "the package registry cannot be reached; is there a network?")
        again = self.install(tmp_path, python, "pip")  # it is there already: pip asks nobody
        assert (again.returncode, len(again.stderr.splitlines())) == (0, 1)
        assert "an earlier installation" in again.stderr
        assert (bin_ / "made").read_text() == "made\n" * 2
        assert self.install(tmp_path, python, "pip").stderr == ""
        assert (bin_ / "made").read_text() == "made\n" * 2

    def test_a_half_made_environment_is_made_anew(self, tmp_path: Path) -> None:
        (tmp_path / "venv" / "bin").mkdir(parents=True)  # no python in it, no pip
        done = self.install(tmp_path, self.python(tmp_path / "bin"), "pip")
        assert (done.returncode, done.stderr) == (0, "")
        assert {path.name for path in (tmp_path / "venv").iterdir()} == {"bin", "install.log"}

    def test_no_chromium_and_no_way_to_install_one(self, tmp_path: Path) -> None:
        folder = tmp_path / "bin"
        for name in ("sudo", "playwright"):
            self.stand_in(folder / name, "exit 1")
        self.stand_in(folder / "id", "echo 1000")
        done = subprocess.run(
            ["/bin/sh", "scripts/chromium.sh", str(folder / "playwright")],
            cwd=ROOT,
            env={"PATH": str(folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert "apt install chromium" in line
        assert "CHROMIUM=/path/to/chrome" in line
        assert "make fast needs none" in line

    @pytest.mark.parametrize(
        ("user", "present", "installed"),
        [
            (0, [], ["chromium-headless-shell"]),
            (0, ["chromium"], ["chromium-headless-shell"]),
            (0, ["chromium-headless-shell"], []),
            (1000, ["google-chrome"], []),
            (1000, [], ["chromium-headless-shell"]),
        ],
    )
    def test_which_chromium_is_installed(
        self, tmp_path: Path, user: int, present: list[str], installed: list[str]
    ) -> None:
        folder = tmp_path / "bin"
        for name in present:
            self.stand_in(folder / name, "exit 0")
        self.stand_in(folder / "id", f"echo {user}")
        self.stand_in(folder / "sudo", '[ "$2" = true ] || { shift; "$@"; }')
        self.stand_in(folder / "apt-get", f'for name; do :; done; [ "$1" = update ] || echo "$name" >> {tmp_path}/log')
        (tmp_path / "log").touch()
        subprocess.run(["/bin/sh", "scripts/chromium.sh"], cwd=ROOT, env={"PATH": str(folder)}, check=True)
        assert (tmp_path / "log").read_text().split() == installed
