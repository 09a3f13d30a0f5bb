"""The commands with a module of their own: each explains itself, and a missing package is one line that names the install."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from sdz.export import commands
from sdz.export.commands import COMMANDS, run

ROOT = Path(__file__).resolve().parents[1]


def absent(name: str) -> ModuleNotFoundError:
    return ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_a_command_without_its_packages_says_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(name: str, package: str | None = None) -> Any:
        raise absent("torch")

    monkeypatch.setattr(commands, "import_module", refuse)
    with pytest.raises(SystemExit) as stopped:
        run("train", [])
    assert stopped.value.code == 1
    assert capsys.readouterr().err == "sdz train: torch is needed and not installed: pip install 'sdz[train]'\n"


def test_a_fault_of_our_own_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, package: str | None = None) -> Any:
        raise absent("sdz.export.nowhere")

    monkeypatch.setattr(commands, "import_module", refuse)
    with pytest.raises(ModuleNotFoundError):
        run("train", [])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_every_command_is_explained(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(name, ["--help"])
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"usage: sdz {name} ")
    described = printed.split("options:")[1]
    entries = described.split("\n  -")[1:]
    bare = [part.split()[0] for part in entries if "  " not in part.replace("\n", "  ").strip()]
    assert bare == []


def test_options_of_training_say_what_they_are_in() -> None:
    from sdz.export.training.distill import DistillOptions
    from sdz.export.training.train import JointOptions

    for record in (DistillOptions, JointOptions):
        assert all(f.metadata["unit"] and f.metadata["meaning"] for f in fields(record))
    assert DistillOptions().steps == 2000 and JointOptions().steps == 20000


def test_the_list_of_commands_needs_no_torch() -> None:
    script = "import sys, sdz.export.commands; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout == "False\n"
