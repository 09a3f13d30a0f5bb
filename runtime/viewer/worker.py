"""The thread that decodes for the window. Takes goals (which file, how many of its bytes, how far, which tiles), hands on events with
pixels. Works towards the goals in small steps and looks at them anew before each, so the newest one always wins and nothing is cancelled.
No Qt: events go to a function, on this thread.

An .sdz passes through the stages of the browser: `preview` (the linear stage of its first bytes), `base` (of all of them), `refined` (the
decoder network), `denoised` (the denoiser before it). The first two are painted for the whole picture, reduced where it is large; the
networks run on the tiles asked for only, so a large picture costs its latents and what is in view.
"""

from __future__ import annotations

import io
import os
import stat
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import LimitError, ProviderError, in_words
from ..files import write_atomically
from ..format.container import ALPHA, ALT_TEXT, LATENTS, Container, parse
from ..info import Report, describe
from ..limits import MAX_PIXELS

if TYPE_CHECKING:
    from ..decode import Opened, Stopwatch, Window
    from ..session import Session

Side = Literal["shown", "other"]
SIDES: Final[tuple[Side, ...]] = ("shown", "other")

Stage = Literal["preview", "base", "refined", "denoised"]
STAGES: Final[tuple[Stage, ...]] = ("preview", "base", "refined", "denoised")

Tile = tuple[int, int]
"""Row and column of a tile of TILE_PIXELS a side."""

TILE_PIXELS: Final = 1024
"""As in `runtime.decode`: the networks' margins are cheap at this size, and their memory near 150 MB."""

OVERVIEW_PIXELS: Final = 8 << 20
"""What a whole picture may take while it is painted by the linear stage: more than a large screen shows."""

PREVIEW_BYTES: Final = 6_000
"""Latents of which a preview is made: some hundredths of a second of entropy decoding."""

PREVIEW_SHARE: Final = 8
"""Of a large picture an eighth of the latents, where that is more: fewer are no likeness."""

DIRECT_TILES: Final = 2
"""Pictures of so few tiles are repainted by the last stage at once while the byte slider moves: stages would flicker."""

MAX_FILE_BYTES: Final = 1 << 30
"""No picture within the format's sides needs as much; what is larger is not read into memory."""

CPU: Final = "cpu"

_NETWORKS: Final[dict[Stage, Literal["linear", "decoded", "denoised"]]] = {"base": "linear", "refined": "decoded", "denoised": "denoised"}


@dataclass(frozen=True)
class Version:
    """Which pixels: of the file opened as number `serial`, its first `limit` bytes (None: all), at most at `stage`."""

    serial: int
    limit: int | None
    stage: Stage


@dataclass(frozen=True)
class Goal:
    """What one side of the window wants to show. `tiles`: those wanted, the most wanted first. `describe`: the report as well."""

    path: Path
    version: Version
    tiles: tuple[Tile, ...] = ()
    describe: bool = False


@dataclass(frozen=True)
class Export:
    """A wish for the whole picture: into the file `target`, or as pixels where that is None."""

    path: Path
    version: Version
    target: Path | None


@dataclass(frozen=True)
class Facts:
    """What is known of a file before its pixels. `first` is the offset of the latents, None for an ordinary image."""

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
    """Pixels, uint8 (h, w, 1 to 4). Of the whole picture, its sides divided by `reduce`, where `tile` is None; else of that tile.

    `final`: no later stage will come. `reached` is the last one there will be. `seconds` are those spent on this version by name.
    """

    side: Side
    version: Version
    stage: Stage
    pixels: NDArray[np.uint8]
    tile: Tile | None
    reduce: int
    final: bool
    reached: Stage
    seconds: dict[str, float]


@dataclass(frozen=True)
class Described:
    """The report that `info --json` prints, of the bytes shown."""

    side: Side
    version: Version
    report: Report


@dataclass(frozen=True)
class Failed:
    """A file, or a part of it, cannot be shown; the message is for people."""

    side: Side
    serial: int
    message: str


@dataclass(frozen=True)
class Device:
    """The execution provider in use; `problem` says why it is another than was asked for."""

    name: str
    problem: str | None


@dataclass(frozen=True)
class Exported:
    """A whole picture: saved, or handed over as pixels. `problem` says why not."""

    export: Export
    pixels: NDArray[np.uint8] | None
    problem: str | None


Event = Loaded | Painted | Described | Failed | Device | Exported


@dataclass
class _Held:
    """One side's file, and how far it has come."""

    serial: int
    data: bytes = b""
    container: Container | None = None
    photo: NDArray[np.uint8] | None = None
    opened: Opened | None = None
    opened_limit: int | None = None
    version: Version | None = None
    overview: bool = False
    previewed: bool = False
    described: tuple[int | None, int] | None = None
    failed: bool = False
    reduce: int = 1
    alpha: NDArray[np.uint8] | None = None
    painted: dict[Tile, Stage] = field(default_factory=dict)
    watch: Stopwatch | None = None


class Worker:
    """Decodes on a thread of its own from `start` to `stop`. All methods may be called from any thread and return at once.

    `tell` is called on the worker's thread. `threads`: CPU threads of the networks.
    """

    def __init__(self, tell: Callable[[Event], None], device: str = CPU, threads: int | None = None) -> None:
        self._tell = tell
        self._threads = threads or min(4, os.cpu_count() or 1)
        self._device = device
        self._told_device: str | None = None
        self._news = threading.Condition()
        self._goals: dict[Side, Goal] = {}
        self._held: dict[Side, _Held] = {}
        self._exports: deque[Export] = deque()
        self._sessions: dict[tuple[bytes, str], Session] = {}
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="sdz decoder", daemon=True)

    def start(self) -> None:
        """Begins to work."""
        self._thread.start()

    def stop(self) -> None:
        """Ends after the step under way, without waiting for it: the thread does not hold up the program's end."""
        with self._news:
            self._stopping = True
            self._news.notify()

    def join(self, timeout: float | None = None) -> None:
        """Waits for the end that `stop` asked for."""
        self._thread.join(timeout)

    def aim(self, goals: Mapping[Side, Goal]) -> None:
        """Replaces all goals. Tiles that are no longer wanted are forgotten: whoever wants them again gets them again."""
        with self._news:
            self._goals = dict(goals)
            for side, held in self._held.items():
                goal = goals.get(side)
                if goal is not None and goal.version == held.version:
                    held.painted = {tile: stage for tile, stage in held.painted.items() if tile in goal.tiles}
            self._news.notify()

    def export(self, export: Export) -> None:
        """Asks for a whole picture; wishes are served in turn, before more is painted."""
        with self._news:
            self._exports.append(export)
            self._news.notify()

    def use(self, device: str) -> None:
        """Chooses the execution provider of all that is yet to be decoded."""
        with self._news:
            self._device = device
            self._told_device = None
            self._news.notify()

    def _run(self) -> None:
        while True:
            with self._news:
                if self._stopping:
                    return
                export = self._exports.popleft() if self._exports else None
                goals = dict(self._goals)
            if export is not None:
                self._serve(export)
            elif not any(self._advance(side, goals[side]) for side in SIDES if side in goals):
                with self._news:
                    for side in set(self._held) - set(self._goals):
                        del self._held[side]
                    if self._goals == goals and not self._exports and not self._stopping:
                        self._news.wait()

    def _advance(self, side: Side, goal: Goal) -> bool:
        """One step of a side towards its goal; False where nothing is left to do."""
        held = self._held.get(side)
        if held is None or held.serial != goal.version.serial:
            # the old picture's memory goes before the new one's is taken
            held = _Held(goal.version.serial)
            with self._news:
                self._held[side] = held
            step: Callable[[Side, Goal, _Held], bool] = self._load
        elif held.failed:
            return False
        else:
            step = self._photo_step if held.photo is not None else self._step
        try:
            return step(side, goal, held)
        except ProviderError as error:
            return self._fall_back(side, held, error)
        except Exception as error:  # decoders raise whatever they like, and the thread must live on
            held.failed = True
            held.opened = held.photo = held.alpha = None
            self._tell(Failed(side, held.serial, in_words(error) or type(error).__name__))
            return True

    def _fall_back(self, side: Side, held: _Held, error: ProviderError) -> bool:
        if self._device == CPU:
            held.failed = True
            self._tell(Failed(side, held.serial, in_words(error)))
            return True
        with self._news:
            self._device = self._told_device = CPU
        self._sessions.clear()
        self._tell(Device(CPU, in_words(error)))
        return True

    def _load(self, side: Side, goal: Goal, held: _Held) -> bool:
        from ..decode import Stopwatch

        held.watch = Stopwatch()
        size = _size_of(goal.path)
        if size > MAX_FILE_BYTES:
            raise LimitError(f"{size} bytes, the viewer opens at most {MAX_FILE_BYTES}", None, "file size")
        with held.watch("read"):
            data = goal.path.read_bytes()
        if goal.path.suffix.lower() == ".sdz" or data.startswith(b"SDZ"):
            container = parse(data)
            header = container.header
            if header.width * header.height > MAX_PIXELS:
                raise LimitError(
                    f"{header.width}x{header.height} pixels, this runtime decodes at most {MAX_PIXELS}", None, "width x height"
                )
            held.data, held.container = data, container
            self._tell(Loaded(side, held.serial, _facts_of(container, len(data))))
            return True
        held.photo, facts = _read_photo(data, held.watch)
        self._tell(Loaded(side, held.serial, facts))
        return True

    def _photo_step(self, side: Side, goal: Goal, held: _Held) -> bool:
        if held.version == goal.version:
            return False
        with self._news:
            held.version = goal.version
        assert held.photo is not None and held.watch is not None
        self._tell(Painted(side, goal.version, "denoised", held.photo, None, 1, True, "denoised", dict(held.watch.seconds)))
        return True

    def _step(self, side: Side, goal: Goal, held: _Held) -> bool:
        from ..decode import Stopwatch, open_latents

        assert held.container is not None and held.watch is not None
        version = goal.version
        latents = held.container.find(LATENTS)
        if held.opened is None and not held.previewed and latents is not None and len(latents.payload) > 2 * PREVIEW_BYTES:
            held.previewed = True
            with held.watch("preview"):
                first_bytes = max(PREVIEW_BYTES, len(latents.payload) // PREVIEW_SHARE)
                early = open_latents(held.data, max_bytes=latents.start + first_bytes)
                held.reduce = _reduction(early)
                alpha = early.alpha() if early.has_alpha else None
                pixels = _whole(early, held.reduce, alpha, Stopwatch())
            del early
            self._tell(Painted(side, version, "preview", pixels, None, held.reduce, False, "denoised", dict(held.watch.seconds)))
            return True
        if held.opened is None or held.opened_limit != version.limit:
            first = held.version is None
            if not first:
                held.watch = Stopwatch()
            held.opened = held.alpha = None
            held.opened = open_latents(held.data, max_bytes=version.limit, watch=held.watch)
            held.opened_limit = version.limit
            held.reduce = _reduction(held.opened)
            if held.opened.has_alpha:
                with held.watch("alpha"):
                    held.alpha = held.opened.alpha()
            self._begin(held, version)
            direct = not first and version.stage != "base" and _tile_count(held.opened) <= DIRECT_TILES
            held.overview = direct
            return True
        if held.version != version:
            self._begin(held, version)
            held.overview = False
        reached = _reached(held.opened, version.stage)
        if not held.overview:
            held.overview = True
            pixels = _whole(held.opened, held.reduce, held.alpha, held.watch)
            final = reached == "base" and held.reduce == 1
            self._tell(Painted(side, version, "base", pixels, None, held.reduce, final, reached, dict(held.watch.seconds)))
            return True
        if self._paint_a_tile(side, goal, held, reached):
            return True
        if goal.describe and held.described != (version.limit, version.serial):
            held.described = (version.limit, version.serial)
            self._tell(Described(side, version, describe(held.data if version.limit is None else held.data[: version.limit])))
            return True
        return False

    def _begin(self, held: _Held, version: Version) -> None:
        with self._news:
            held.version = version
            held.painted = {}

    def _paint_a_tile(self, side: Side, goal: Goal, held: _Held, reached: Stage) -> bool:
        opened = held.opened
        assert opened is not None and held.watch is not None
        if reached == "base" and held.reduce == 1:
            return False
        # small pictures show the decoder's work before the denoiser's; large ones go straight to the last stage
        stages: tuple[Stage, ...] = ("refined", reached) if reached == "denoised" and _tile_count(opened) <= DIRECT_TILES else (reached,)
        for stage in stages:
            for tile in goal.tiles:
                if STAGES.index(held.painted.get(tile, "preview")) >= STAGES.index(stage):
                    continue
                window = _window(opened, tile)
                if window is None:
                    continue
                session = None if stage == "base" else self._session(opened)
                pixels = opened.render(window, _NETWORKS[stage], session, watch=held.watch)
                self._tell_device()
                if held.alpha is not None:
                    pixels = np.dstack([pixels, held.alpha[opened.place(window)]])
                with self._news:
                    held.painted[tile] = stage
                final = stage == reached
                self._tell(Painted(side, goal.version, stage, pixels, tile, 1, final, reached, dict(held.watch.seconds)))
                return True
        return False

    def _serve(self, export: Export) -> None:
        try:
            pixels = self._whole_picture(export)
            if export.target is not None:
                _save(pixels, export.target)
                self._tell(Exported(export, None, None))
            else:
                self._tell(Exported(export, pixels, None))
        except ProviderError as error:
            held = _Held(export.version.serial)
            self._fall_back("shown", held, error)
            if held.failed:
                self._tell(Exported(export, None, in_words(error)))
            else:
                self._serve(export)
        except Exception as error:  # as in _advance
            self._tell(Exported(export, None, in_words(error) or type(error).__name__))

    def _whole_picture(self, export: Export) -> NDArray[np.uint8]:
        from ..decode import Stopwatch, open_latents

        held = self._held.get("shown")
        version = export.version
        mine = held is not None and held.serial == version.serial
        if mine and held is not None and held.photo is not None:
            return held.photo
        data = held.data if mine and held is not None and held.data else export.path.read_bytes()
        if not data.startswith(b"SDZ"):
            return _read_photo(data, Stopwatch())[0]
        if mine and held is not None and held.opened is not None and held.opened_limit == version.limit:
            opened = held.opened
        else:
            opened = open_latents(data, max_bytes=version.limit)
        stage = _reached(opened, version.stage)
        session = None if stage == "base" else self._session(opened)
        pixels = opened.paint(_NETWORKS[stage], session)
        return np.dstack([pixels, opened.alpha()]) if opened.has_alpha else pixels

    def _session(self, opened: Opened) -> Session:
        from ..session import Session

        key = (opened.pack.id, self._device)
        if key not in self._sessions:
            self._sessions[key] = Session(opened.pack, self._device, self._threads)
        return self._sessions[key]

    def _tell_device(self) -> None:
        if self._told_device != self._device:
            self._told_device = self._device
            self._tell(Device(self._device, None))


def _size_of(path: Path) -> int:
    """Raises OSError for what is no file of a size: a pipe or a device would be read for ever."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f"{path.name} is not a file")
    return status.st_size


def _reduction(opened: Opened) -> int:
    """What the sides of an overview are divided by."""
    width, height = opened.header.width, opened.header.height
    factor = 1
    while factor < opened.pack.patch and (width // factor) * (height // factor) > OVERVIEW_PIXELS:
        factor *= 2
    return factor


def _facts_of(container: Container, size: int) -> Facts:
    header = container.header
    alt, latents = container.find(ALT_TEXT), container.find(LATENTS)
    mode = ("L" if header.grey else "RGB") + ("" if container.find(ALPHA) is None else "A")
    text = None if alt is None else alt.payload.decode("utf-8")
    return Facts(header.width, header.height, mode, size, "sdz", text, size if latents is None else latents.start)


def _read_photo(data: bytes, watch: Stopwatch) -> tuple[NDArray[np.uint8], Facts]:
    """An ordinary image as the encoder would see it, upright and in sRGB: that is what an .sdz is to be compared with."""
    from ..photo import open_image, prepare

    with watch("image"), open_image(io.BytesIO(data)) as image:
        name = image.format or "image"
        source = prepare(image)
    pixels = source.rgb if source.alpha is None else np.dstack([source.rgb, source.alpha])
    mode = ("L" if source.grey else "RGB") + ("" if source.alpha is None else "A")
    return pixels, Facts(pixels.shape[1], pixels.shape[0], mode, len(data), name, None, None)


def _reached(opened: Opened, stage: Stage) -> Stage:
    """The last stage there will be: `refined` instead of `denoised` where the latents are known well enough."""
    return "refined" if stage == "denoised" and opened.reached("denoised") == "decoded" else stage


def _whole(opened: Opened, reduce: int, alpha: NDArray[np.uint8] | None, watch: Stopwatch) -> NDArray[np.uint8]:
    """The linear stage of the whole picture, its sides divided by `reduce`."""
    from ..decode import reduced_plane

    pixels = opened.paint("linear", reduce=reduce, watch=watch)
    return pixels if alpha is None else np.dstack([pixels, reduced_plane(alpha, reduce)])


def _tile_count(opened: Opened) -> int:
    return -(-opened.header.height // TILE_PIXELS) * -(-opened.header.width // TILE_PIXELS)


def _window(opened: Opened, tile: Tile) -> Window | None:
    """The latent positions of a tile, None where the picture has no such tile."""
    side = TILE_PIXELS // opened.pack.patch
    rows, columns = opened.known.sides
    top, left = tile[0] * side, tile[1] * side
    if not (0 <= top < rows and 0 <= left < columns):
        return None
    return slice(top, min(top + side, rows)), slice(left, min(left + side, columns))


def _save(pixels: NDArray[np.uint8], target: Path) -> None:
    """Writes a picture in the format of the suffix. Raises OSError or ValueError."""
    from PIL import Image

    out = io.BytesIO()
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    picture.save(out, Image.registered_extensions()[target.suffix.lower()])
    write_atomically(target, out.getvalue())
