"""The command line `sdz`: finds the room that a command lives in and hands its arguments on.

Takes arguments, hands on the command's exit status: 0 done, 1 something could not be done, 2 the command line makes no sense. Nothing is
imported but the room that is asked for, so that a command answers as soon as it can.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Final

from sdz import __version__
from sdz.extras import explained


@dataclass(frozen=True)
class Command:
    """One command: the module whose `main(arguments)` runs it, what it does in one line, the extra it needs."""

    module: str
    summary: str
    extra: str | None = None
    named: bool = True
    """Whether the module's arguments begin with the command's name."""


RUNTIME: Final = "sdz.runtime.__main__"
EXPORT: Final = "sdz.export.cli"

COMMANDS: Final[dict[str, dict[str, Command]]] = {
    "pictures": {
        "encode": Command(RUNTIME, "pictures to .sdz"),
        "decode": Command(RUNTIME, ".sdz to pictures"),
        "info": Command(RUNTIME, "what is in a file, and what each byte went into"),
        "verify": Command(RUNTIME, "check files"),
        "view": Command(RUNTIME, "look at pictures in a window", "viewer"),
        "thumbnail": Command(RUNTIME, "a small PNG, for file managers"),
        "install-desktop": Command(RUNTIME, "make file managers know .sdz"),
    },
    "sites": {
        "build": Command(EXPORT, "photos to a complete static site", "site"),
        "serve": Command("sdz.server.__main__", "a site, or a folder of .sdz files, over HTTP", "server", named=False),
    },
    "model packs": {
        "train": Command(EXPORT, "train the autoencoder and its denoiser", "train"),
        "gpu-train": Command(EXPORT, "train everything on an accelerator, in minutes", "train"),
        "distill": Command(EXPORT, "distill a one-step denoiser or a light decoder for a pack", "train"),
        "prune": Command(EXPORT, "leave out of the networks what no photo wakes", "train"),
        "prime": Command(EXPORT, "learn the entropy coder's tables from photos", "train"),
        "pack": Command(EXPORT, "weights to a model pack", "train"),
    },
    "measurements": {
        "bench": Command(EXPORT, "rate and distortion, cuts, first bytes, lossless files and lettering, beside peers", "bench"),
        "lossless": Command(EXPORT, "the entropy coder beside deflate, PNG and JPEG XL on the same integers", "bench"),
        "speed": Command(EXPORT, "time, memory and download sizes", "bench"),
    },
}
"""Every command, in the order and under the headings of the usage."""


def usage() -> str:
    """All commands with a line each."""
    lines = ["usage: sdz COMMAND ...", "       sdz COMMAND --help", "       sdz --version", ""]
    for heading, commands in COMMANDS.items():
        lines += [f"{heading}:", *(f"  {name:<17}{command.summary}" for name, command in commands.items()), ""]
    return "\n".join(lines).rstrip()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; its exit status. Some commands end in SystemExit with it."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in ("-h", "--help"):
        print(usage())
        return 0
    if given and given[0] == "--version":
        print(f"sdz {__version__}")
        return 0
    if not given:
        print(usage(), file=sys.stderr)
        return 2
    known = {name: command for commands in COMMANDS.values() for name, command in commands.items()}
    name = given[0]
    if name not in known:
        import difflib  # not needed by a command that exists

        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean '{near[0]}'?" if near else "sdz --help lists the commands"
        print(f"sdz: there is no command '{name}': {hint}", file=sys.stderr)
        return 2
    command = known[name]
    with explained(f"sdz {name}", command.extra):
        return int(import_module(command.module).main(given if command.named else given[1:]))
