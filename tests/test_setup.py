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
from neatlab.runtime import environment
from neatlab.runtime.versions import MISFITS, PACKAGES, installed_versions, misfits

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCKS = {"requirements.txt": [], "requirements-dev.txt": ["dev", "minilm"]}


def locked(name: str) -> list[Requirement]:
    lines = (line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return [Requirement(line) for line in lines if line]


def version_of(requirement: Requirement) -> str:
    return next(iter(requirement.specifier)).version


class TestLocks:
    @pytest.mark.parametrize("name", LOCKS)
    def test_every_line_is_exact_and_no_build_of_one_machine(self, name: str) -> None:
        for requirement in locked(name):
            assert [s.operator for s in requirement.specifier] == ["=="], requirement
            assert "+" not in version_of(requirement), requirement

    @pytest.mark.parametrize("name", LOCKS)
    def test_it_holds_every_range_within_its_bounds(self, name: str) -> None:
        pins = {requirement.name: version_of(requirement) for requirement in locked(name)}
        ranges = [*PROJECT["dependencies"]]
        ranges += [text for extra in LOCKS[name] for text in PROJECT["optional-dependencies"][extra]]
        for wanted in map(Requirement, ranges):
            if wanted.name != "neatlab":
                assert wanted.specifier.contains(pins[wanted.name]), f"{wanted} beside {pins[wanted.name]}"

    def test_both_hold_the_same_versions(self) -> None:
        app, dev = ({str(requirement) for requirement in locked(name)} for name in LOCKS)
        assert app <= dev

    @pytest.mark.parametrize("name", LOCKS)
    def test_its_head_names_the_command(self, name: str) -> None:
        head = (ROOT / name).read_text().splitlines()[:2]
        assert re.search(rf"uv pip compile .*--output-file {name}", head[1])

    def test_its_versions_fit_each_other(self) -> None:
        pins = {requirement.name: version_of(requirement) for requirement in locked("requirements.txt")}
        assert misfits(pins) == []

    @pytest.mark.parametrize("row", MISFITS)
    def test_the_ranges_leave_out_what_does_not_fit(self, row: tuple[str, ...]) -> None:
        package, version, other, below, _ = row
        ranges = {r.name: r.specifier for r in map(Requirement, PROJECT["dependencies"])}
        older = f"{below}.dev0"
        assert not (ranges[package].contains(version) and ranges[other].contains(older, prereleases=True))


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
        """A Python that makes its environments in no time: their python is this one."""
        links = "".join(f"ln -s {sys.executable} $3/bin/{name}; " for name in ("python", "pip"))
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
