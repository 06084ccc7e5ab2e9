"""The line that installs what is missing can be typed as it stands, wherever the install came from."""

from __future__ import annotations

import json
import shlex
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from sie_online.errors import UsageError
from streams import extras
from tests.support.brokers import ROOT


class Installed:
    """A distribution that pip installed from ``url`` (None: an index)."""

    def __init__(self, url: str | None) -> None:
        self.noted = None if url is None else json.dumps({"url": url, "dir_info": {}})

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return self.noted


@pytest.fixture(autouse=True)
def activated(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment whose pip is the shell's."""
    monkeypatch.setattr(extras, "find_spec", lambda _name: object())
    monkeypatch.setattr(extras.shutil, "which", lambda _name: str(Path(sys.executable).parent / "pip"))


def installed_from(monkeypatch: pytest.MonkeyPatch, url: str | None) -> None:
    monkeypatch.setattr(extras, "CHECKOUT", Path("/nowhere"))
    monkeypatch.setattr(extras, "distribution", lambda _name: Installed(url))


def test_in_a_checkout_the_line_is_that_of_the_docs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert extras.install_line("worker") == "pip install -c constraints.txt '.[worker]'"
    assert f"\n{extras.install_line('worker')}" in (ROOT / "README.md").read_text()
    assert f"\n{extras.install_line('worker', 'trainer')}" in (ROOT / "docs" / "training.md").read_text()


def test_from_elsewhere_it_names_the_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert extras.install_line("demo") == f"pip install -c {ROOT}/constraints.txt '{ROOT}[demo]'"


def test_installed_from_a_folder_it_names_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = tmp_path / "a shop's"
    source.mkdir()
    installed_from(monkeypatch, source.as_uri())
    assert shlex.split(extras.install_line("worker")) == ["pip", "install", f"{source}[worker]"]


def test_installed_from_a_wheel_it_names_the_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wheel = tmp_path / "sie_online-0.2.0-py3-none-any.whl"
    wheel.touch()
    monkeypatch.chdir(tmp_path)
    installed_from(monkeypatch, wheel.as_uri())
    assert extras.install_line("trainer") == f"pip install '{wheel.name}[trainer]'"


@pytest.mark.parametrize("url", [None, "file:///gone/since", "https://example.org/sie_online-0.2.0.tar.gz"])
def test_installed_from_an_index_or_from_what_is_gone_it_names_the_package(
    monkeypatch: pytest.MonkeyPatch, url: str | None
) -> None:
    installed_from(monkeypatch, url)
    assert extras.install_line("worker") == "pip install 'sie-online[worker]'"


def test_run_from_source_without_an_install_it_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_name: str) -> None:
        raise PackageNotFoundError

    installed_from(monkeypatch, None)
    monkeypatch.setattr(extras, "distribution", none)
    assert extras.install_line("worker") == "pip install 'sie-online[worker]'"


def test_the_pip_is_that_of_this_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(extras.shutil, "which", lambda _name: "/usr/bin/pip")  # the system's, no environment activated
    line = extras.install_line("demo")
    assert line == f"{sys.executable} -m pip install -c constraints.txt '.[demo]'"
    monkeypatch.setattr(extras, "find_spec", lambda _name: None)  # an environment of uv's
    assert extras.install_line("demo") == f"uv pip install --python {sys.executable} -c constraints.txt '.[demo]'"


def test_what_is_missing_is_refused_with_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "torch" else object())
    extras.require("this", ("numpy",), "worker")
    with pytest.raises(UsageError) as refused:
        extras.require("this", ("numpy", "torch"), "trainer")
    assert str(refused.value) == f"this needs the package torch: {extras.install_line('trainer')}"


def test_an_environment_that_the_shell_does_not_know_is_to_be_activated(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (bin_folder := tmp_path / ".venv" / "bin").mkdir(parents=True)
    (bin_folder / "activate").touch()
    monkeypatch.setattr(extras.sys, "executable", str(bin_folder / "python"))
    monkeypatch.setattr(extras.shutil, "which", lambda _name: "/usr/local/bin/sie")  # another one
    monkeypatch.chdir(tmp_path)
    assert extras.activate_line() == ". .venv/bin/activate"
    monkeypatch.chdir(tmp_path.parent)
    assert extras.activate_line() == f". {tmp_path.name}/.venv/bin/activate"
    monkeypatch.setattr(extras.shutil, "which", lambda _name: str(bin_folder / "sie"))
    assert extras.activate_line() == ""
