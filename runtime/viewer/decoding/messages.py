"""What the window asks of the worker, and what the worker answers: goals, and events with pixels. Plain records, without Qt.

Stages are those of the whole project (`runtime.options`), linear, decoded, denoised, and the photo itself of files that hold it, exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from ...info import Report
from ...options import STAGES, Stage

Side = Literal["shown", "other"]
SIDES: Final[tuple[Side, ...]] = ("shown", "other")

Shown = Stage | Literal["exact"]
SHOWN: Final[tuple[Shown, ...]] = (*STAGES, "exact")
"""What may be on the screen, each nearer to the photo than the one before."""

Tile = tuple[int, int]
"""Row and column of a tile of TILE_PIXELS a side."""

TILE_PIXELS: Final = 1024
"""As in `runtime.decode`: the networks' margins are cheap at this size, and their memory near 150 MB."""

DIRECT_TILES: Final = 2
"""While the byte slider moves, a picture of at most so many tiles is repainted at its last stage only: earlier stages would flicker."""

CPU: Final = "cpu"


@dataclass(frozen=True)
class Version:
    """Which pixels: those of the file opened as number `serial`, of its first `limit` bytes (None: all), up to `stage`."""

    serial: int
    limit: int | None
    stage: Stage


@dataclass(frozen=True)
class Goal:
    """What one side of the window is to show. `tiles`: the tiles to decode, the most urgent first. `describe`: the report as well."""

    path: Path
    version: Version
    tiles: tuple[Tile, ...] = ()
    describe: bool = False


@dataclass(frozen=True)
class Export:
    """A request for the whole picture: written to the file `target`, or as pixels where that is None; turned to the right by so many
    quarters of a turn."""

    path: Path
    version: Version
    target: Path | None
    turn: int = 0


@dataclass(frozen=True)
class Facts:
    """What is known of a file before it is decoded. `first` is the offset of the latents, None for an ordinary image."""

    width: int
    height: int
    mode: str
    bytes: int
    format: str
    alt: str | None
    first: int | None


@dataclass(frozen=True)
class Loaded:
    """A file has been read."""

    side: Side
    serial: int
    facts: Facts


@dataclass(frozen=True)
class Painted:
    """Pixels, uint8 (h, w, 1 to 4): of the whole picture, its sides divided by `reduce`, where `tile` is None; else of that tile.

    `final`: no further pixels of this place will follow. `reached` is the last stage there will be. `seconds` were spent on this
    version, by name.
    """

    side: Side
    version: Version
    stage: Shown
    pixels: NDArray[np.uint8]
    tile: Tile | None
    reduce: int
    final: bool
    reached: Shown
    seconds: dict[str, float]


@dataclass(frozen=True)
class Described:
    """The report that `info --json` prints, of the bytes shown."""

    side: Side
    version: Version
    report: Report


@dataclass(frozen=True)
class Failed:
    """A file cannot be shown; `message` says why, in words."""

    side: Side
    serial: int
    message: str


@dataclass(frozen=True)
class Device:
    """The execution provider in use; `problem` says why it is not the chosen one."""

    name: str
    problem: str | None


@dataclass(frozen=True)
class Exported:
    """A whole picture has been saved, or here are its pixels; or `problem` says why not."""

    export: Export
    pixels: NDArray[np.uint8] | None
    problem: str | None


Event = Loaded | Painted | Described | Failed | Device | Exported
