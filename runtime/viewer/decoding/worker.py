"""The thread that decodes for the window: takes goals (which file, how many of its bytes, up to which stage, which tiles), and tells
events with pixels. It works in small steps and reads the goals again before each, so the newest goal always wins and nothing needs to be
cancelled. No Qt: events go to a function, called on this thread.

An .sdz passes through the browser's stages: `linear` (of a long file a preview from its first bytes, then of all bytes), `decoded` (the
decoder network), `denoised` (the denoiser, then the decoder network). The linear stage is painted for the whole picture, reduced where that
is large; the networks run on the requested tiles only, so a large picture costs its latents and the tiles in view.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...errors import ProviderError, in_words
from ...info import describe
from ...options import STAGES, Stage
from .messages import (
    CPU,
    DIRECT_TILES,
    SHOWN,
    SIDES,
    Described,
    Device,
    Event,
    Export,
    Exported,
    Failed,
    Goal,
    Loaded,
    Painted,
    Shown,
    Side,
    Version,
)
from .picture import Picture, load, read_photo, reduction, save, tile_count, whole

if TYPE_CHECKING:
    from ...decode import Opened
    from ...engines.installed import Networks


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
        self._held: dict[Side, Picture] = {}
        self._exports: deque[Export] = deque()
        self._sessions: dict[tuple[bytes, str], Networks] = {}
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="sdz decoder", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Has the thread end after the current step, without waiting for it, so that the program can end at once."""
        with self._news:
            self._stopping = True
            self._news.notify()

    def join(self, timeout: float | None = None) -> None:
        """Waits for the thread to end after `stop`."""
        self._thread.join(timeout)

    def aim(self, goals: Mapping[Side, Goal]) -> None:
        """Replaces all goals. Tiles that are no longer asked for are forgotten, and decoded again when asked for again."""
        with self._news:
            self._goals = dict(goals)
            for side, held in self._held.items():
                goal = goals.get(side)
                if goal is not None and goal.version == held.version:
                    held.painted = {tile: stage for tile, stage in held.painted.items() if tile in goal.tiles}
            self._news.notify()

    def export(self, export: Export) -> None:
        """Asks for a whole picture. Requests are served in turn, before anything else is painted."""
        with self._news:
            self._exports.append(export)
            self._news.notify()

    def use(self, device: str) -> None:
        """Chooses the execution provider for everything decoded from now on."""
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
        """One step of a side towards its goal; False when there is nothing left to do."""
        held = self._held.get(side)
        if held is None or held.serial != goal.version.serial:
            # this frees the old picture's memory before the new one needs its own
            held = Picture(goal.version.serial)
            with self._news:
                self._held[side] = held
            step: Callable[[Side, Goal, Picture], bool] = self._load
        elif held.failed:
            return False
        else:
            step = self._photo_step if held.photo is not None else self._step
        try:
            return step(side, goal, held)
        except ProviderError as error:
            return self._fall_back(side, held, error)
        except Exception as error:  # libraries raise exceptions of their own, and the thread must survive them
            held.failed = True
            held.opened = held.photo = held.alpha = None
            self._tell(Failed(side, held.serial, in_words(error) or type(error).__name__))
            return True

    def _fall_back(self, side: Side, held: Picture, error: ProviderError) -> bool:
        if self._device == CPU:
            held.failed = True
            self._tell(Failed(side, held.serial, in_words(error)))
            return True
        with self._news:
            self._device = self._told_device = CPU
        self._sessions.clear()
        self._tell(Device(CPU, in_words(error)))
        return True

    def _load(self, side: Side, goal: Goal, held: Picture) -> bool:
        from ...decode import Stopwatch

        held.watch = Stopwatch()
        held.container, held.data, held.photo, facts = load(goal.path, held.watch)
        self._tell(Loaded(side, held.serial, facts))
        return True

    def _photo_step(self, side: Side, goal: Goal, held: Picture) -> bool:
        if held.version == goal.version:
            return False
        with self._news:
            held.version = goal.version
        assert held.photo is not None and held.watch is not None
        self._tell(Painted(side, goal.version, "denoised", held.photo, None, 1, True, "denoised", dict(held.watch.seconds)))
        return True

    def _step(self, side: Side, goal: Goal, held: Picture) -> bool:
        assert held.container is not None and held.watch is not None
        version = goal.version
        if held.opened is None and not held.previewed:
            held.previewed = True
            if held.preview_end is not None:
                self._preview(side, version, held, held.preview_end)
                return True
        if held.opened is None or held.opened_limit != version.limit:
            self._open(version, held)
            return True
        if held.version != version:
            self._begin(held, version)
            held.overview = False
        reached = held.opened.reached(version.stage)
        last: Shown = "exact" if version.stage == STAGES[-1] and held.opened.tail is not None else reached
        if not held.overview:
            held.overview = True
            pixels = whole(held.opened, held.reduce, held.alpha, held.watch)
            final = last == "linear" and held.reduce == 1
            self._tell(Painted(side, version, "linear", pixels, None, held.reduce, final, last, dict(held.watch.seconds)))
            return True
        if self._paint_exactly(side, goal, held) or self._paint_a_tile(side, goal, held, reached, last):
            return True
        if last == "exact" and self._decode_a_band(held):
            return True
        if goal.describe and held.described != (version.limit, version.serial):
            held.described = (version.limit, version.serial)
            self._tell(Described(side, version, describe(held.data if version.limit is None else held.data[: version.limit])))
            return True
        return False

    def _preview(self, side: Side, version: Version, held: Picture, end: int) -> None:
        """Paints the linear stage of the first `end` bytes."""
        from ...decode import Stopwatch, open_latents

        assert held.watch is not None
        with held.watch("preview"):
            early = open_latents(held.data, max_bytes=end)
            held.reduce = reduction(early)
            alpha = early.alpha() if early.has_alpha else None
            pixels = whole(early, held.reduce, alpha, Stopwatch())
        self._tell(Painted(side, version, "linear", pixels, None, held.reduce, False, version.stage, dict(held.watch.seconds)))

    def _open(self, version: Version, held: Picture) -> None:
        """Decodes the latents of the bytes that `version` asks for."""
        from ...decode import Stopwatch, open_latents

        first = held.version is None
        if first:
            assert held.watch is not None
        else:
            held.watch = Stopwatch()
        held.opened = held.alpha = None
        held.opened = open_latents(held.data, max_bytes=version.limit, watch=held.watch)
        held.opened_limit = version.limit
        held.reduce = reduction(held.opened)
        if held.opened.has_alpha:
            with held.watch("alpha"):
                held.alpha = held.opened.alpha()
        self._begin(held, version)
        # with few tiles the pixels of the bytes before stay until the last stage replaces them
        networks = held.opened.reached(version.stage) != "linear"
        held.overview = not first and networks and tile_count(held.opened) <= DIRECT_TILES

    def _begin(self, held: Picture, version: Version) -> None:
        with self._news:
            held.version = version
            held.painted = {}
            held.bands, held.exact = None, []

    def _paint_a_tile(self, side: Side, goal: Goal, held: Picture, reached: Stage, last: Shown) -> bool:
        opened = held.opened
        assert opened is not None and held.watch is not None
        if reached == "linear" and held.reduce == 1:
            return False
        # small pictures show the decoder's work before the denoiser's; large ones go straight to the last stage
        stages: tuple[Stage, ...] = ("decoded", reached) if reached == "denoised" and tile_count(opened) <= DIRECT_TILES else (reached,)
        for stage in stages:
            for tile in goal.tiles:
                done = held.painted.get(tile)
                if done is not None and SHOWN.index(done) >= SHOWN.index(stage):
                    continue
                pixels = held.tile(tile, stage, None if stage == "linear" else self._session(opened))
                if pixels is None:
                    continue
                self._tell_device()
                with self._news:
                    held.painted[tile] = stage
                self._tell(Painted(side, goal.version, stage, pixels, tile, 1, stage == last, last, dict(held.watch.seconds)))
                return True
        return False

    def _paint_exactly(self, side: Side, goal: Goal, held: Picture) -> bool:
        """Paints a tile of the photo itself whose rows have come out of the lossless tail."""
        assert held.watch is not None
        for tile in goal.tiles if held.exact else ():
            pixels = None if held.painted.get(tile) == "exact" else held.exact_tile(tile)
            if pixels is not None:
                with self._news:
                    held.painted[tile] = "exact"
                self._tell(Painted(side, goal.version, "exact", pixels, tile, 1, True, "exact", dict(held.watch.seconds)))
                return True
        return False

    def _decode_a_band(self, held: Picture) -> bool:
        """Decodes the next rows of the lossless tail; False where there are no more."""
        assert held.opened is not None and held.watch is not None
        if held.bands is None:
            held.bands = held.opened.exact_bands()
        with held.watch("lossless"):
            band = next(held.bands, None)
        if band is not None:
            held.exact.append(band[1])
        return band is not None

    def _serve(self, export: Export) -> None:
        try:
            pixels = np.ascontiguousarray(np.rot90(self._whole_picture(export), -export.turn))
            if export.target is not None:
                save(pixels, export.target)
                self._tell(Exported(export, None, None))
            else:
                self._tell(Exported(export, pixels, None))
        except ProviderError as error:
            held = Picture(export.version.serial)
            self._fall_back("shown", held, error)
            if held.failed:
                self._tell(Exported(export, None, in_words(error)))
            else:
                self._serve(export)
        except Exception as error:  # as in _advance
            self._tell(Exported(export, None, in_words(error) or type(error).__name__))

    def _whole_picture(self, export: Export) -> NDArray[np.uint8]:
        from ...decode import Stopwatch, open_latents

        held = self._held.get("shown")
        version = export.version
        mine = held is not None and held.serial == version.serial
        if mine and held is not None and held.photo is not None:
            return held.photo
        data = held.data if mine and held is not None and held.data else export.path.read_bytes()
        if not data.startswith(b"SDZ"):
            return read_photo(data, Stopwatch())[0]
        if mine and held is not None and held.opened is not None and held.opened_limit == version.limit:
            opened = held.opened
        else:
            opened = open_latents(data, max_bytes=version.limit)
        stage = opened.reached(version.stage)
        session = None if stage == "linear" else self._session(opened)
        pixels = opened.paint(stage, session)
        if version.stage == STAGES[-1]:
            exact = opened.exact()
            pixels[: len(exact)] = exact
        return np.dstack([pixels, opened.alpha()]) if opened.has_alpha else pixels

    def _session(self, opened: Opened) -> Networks:
        from ...engines import networks_of

        key = (opened.pack.id, self._device)
        if key not in self._sessions:
            self._sessions[key] = networks_of(opened.pack, None, self._device, self._threads)
        return self._sessions[key]

    def _tell_device(self) -> None:
        if self._told_device != self._device:
            self._told_device = self._device
            self._tell(Device(self._device, None))
