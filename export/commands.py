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

from ..extras import explained

PROGRAM: Final = "sdz"
"""The program's name in usage strings and messages, whichever way it was started."""


@dataclass(frozen=True)
class Command:
    """`module` relative to this package; `extra` of the distribution that it needs."""

    module: str
    summary: str
    extra: str


COMMANDS: Final = {
    "train": Command(".training.train", "train the autoencoder and its denoiser", "train"),
    "gpu-train": Command(".training.gpu_train", "train everything on an accelerator, in minutes", "train"),
    "distill": Command(".training.distill", "distill a one-step denoiser or a light decoder for a pack", "train"),
    "prune": Command(".training.prune", "leave out of the networks what no photo wakes", "train"),
    "pack": Command(".packs.trained", "weights to a model pack: ONNX, int8, parity gate, manifest", "train"),
    "prime": Command(".packs.prime", "learn the entropy coder's tables from photos", "train"),
    "bench": Command(".bench.run", "measure the codec beside its peers", "bench"),
    "lossless": Command(".bench.lossless", "compare lossless coders on the same integers of a pack", "bench"),
    "speed": Command(".speed.run", "measure time, memory and download sizes beside a TAESD-shaped decoder", "bench"),
}


def run(name: str, arguments: list[str]) -> int:
    """Run one of COMMANDS; a package that is missing is one line that names what to install."""
    command = COMMANDS[name]
    with explained(f"{PROGRAM} {name}", command.extra):
        return int(import_module(command.module, __package__).main(arguments))


def parser(name: str, description: str) -> argparse.ArgumentParser:
    """An empty parser of a command."""
    return argparse.ArgumentParser(prog=f"{PROGRAM} {name}", description=description)


def failed(name: str, problem: object, code: int = 1) -> int:
    """Say on standard error why a command could not do something, a line per line of `problem`; returns `code`."""
    for line in str(problem).splitlines() or [type(problem).__name__]:
        print(f"{PROGRAM} {name}: {line}", file=sys.stderr)
    return code
