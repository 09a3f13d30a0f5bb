"""What a training run is asked for: one record, its command line, and the words that explain both."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import torch


def option(default: Any, unit: str, meaning: str) -> Any:
    """A field of an options record: its default, its placeholder in usage strings, and what it means."""
    return field(default=default, metadata={"unit": unit, "meaning": meaning})


def again(record: type[Any], name: str, default: Any) -> Any:
    """A field of `record` with another default."""
    return field(default=default, metadata=next(f.metadata for f in fields(record) if f.name == name))


@dataclass
class TrainingOptions:
    """What every run needs; written into its directory as `options.json`. `steps` and `minutes` count from the run's first step."""

    steps: int = option(20000, "N", "optimizer steps of the whole run, those before an interruption included")
    minutes: float = option(math.inf, "MINUTES", "end the run after this time, those before an interruption included")
    batch: int = option(8, "N", "crops per step")
    crop: int = option(192, "PIXELS", "side of the crops; photos with a shorter side are left out")
    learning_rate: float = option(3e-4, "RATE", "largest learning rate of Adam, reached after a short rise")
    final_learning_rate: float = option(2e-5, "RATE", "learning rate at the end, reached along a cosine")
    quantize_from: float = option(
        2.0, "SHARE", "share of the run after which int8 is simulated; 2: never, or from the first step with weights that ended under it"
    )
    perceptual: float = option(0.0, "LEVELS", "what a unit of ST-LPIPS (AlexNet trunk) is worth, in squared grey levels; 0 leaves it out")
    seed: int = option(1, "N", "of all random draws")
    device: str = option("cpu", "NAME", "torch's name of the device, such as cpu or cuda")
    save_minutes: float = option(4.0, "MINUTES", "time between two saves of the run")


Options = TypeVar("Options", bound=TrainingOptions)


def add_options(command: argparse.ArgumentParser, defaults: TrainingOptions) -> None:
    """The options that every kind of training has, and those of `defaults`."""
    command.add_argument("--data", type=Path, nargs="+", required=True, metavar="PHOTOS", help="folders or .tar shards of training photos")
    command.add_argument("--out", type=Path, required=True, metavar="RUN", help="run directory; an earlier run there is resumed")
    command.add_argument("--weights", type=Path, metavar="RUN", help="start from the weights of this run directory (default: fresh ones)")
    add_fields(command, defaults)
    command.add_argument("--threads", type=int, default=0, metavar="N", help="CPU threads (default: torch's choice)")


def add_fields(command: argparse.ArgumentParser, defaults: Any) -> None:
    """The options of an options record, its values as defaults."""
    for entry in fields(defaults):
        value = getattr(defaults, entry.name)
        shown = "no limit" if value == math.inf else f"{value:g}" if isinstance(value, float) else value
        command.add_argument(
            "--" + entry.name.replace("_", "-"),
            type=type(value),
            default=value,
            metavar=entry.metadata["unit"],
            help=f"{entry.metadata['meaning']} (default: {shown})".replace("%", "%%"),
        )


def chosen(options: argparse.Namespace, defaults: Options) -> Options:
    """The training options among parsed arguments, of the kind of `defaults`; sets torch's threads and seed accordingly."""
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    return type(defaults)(**{entry.name: getattr(options, entry.name) for entry in fields(defaults)})
