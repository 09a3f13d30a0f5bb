"""What a build knows when it is done: the records of photos and downloads, and the sentences and tables that say them.

Takes what was measured, hands on records that the manifest keeps, and text. Pages and command line both say what is here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .assets import Asset
from .library import Library, loads
from .metadata import Facts
from .theme.numbers import fixed, grouped, photo_count
from .theme.words import ENGLISH, WORDS, Words

LEAST_BYTES = 30
"""Where the byte slider of a photo's page begins: a header, and the first bits of a colour."""

Ladder = list[tuple[int, float | None]]
"""Byte counts and PSNR of what so many bytes decode to, in dB; None where that is the photo itself."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A stage of the decoded photo, or "avif": PSNR in dB (None when equal), MS-SSIM, and the SHA-256 of its RGBA bytes, row by row."""

    stage: str
    psnr: float | None
    ms_ssim: float | None
    sha256: str


@dataclass(frozen=True, slots=True)
class Size:
    """A smaller file of a photo, and its fallback."""

    width: int
    height: int
    shown: Asset
    fallback: Asset | None

    def assets(self) -> list[Asset]:
        """Its files."""
        return [self.shown] if self.fallback is None else [self.shown, self.fallback]

    @staticmethod
    def from_json(entry: dict[str, Any]) -> Size:
        """The inverse of `dataclasses.asdict`; raises KeyError or TypeError for anything else."""
        fallback = Asset(**entry["fallback"]) if entry["fallback"] is not None else None
        return Size(**{**entry, "shown": Asset(**entry["shown"]), "fallback": fallback})


@dataclass(frozen=True, slots=True)
class Exact:
    """The `.sdz` of a photo that ends in its exact pixels: their sides, and the SHA-256 of them as RGBA, row by row."""

    file: Asset
    width: int
    height: int
    sha256: str

    @staticmethod
    def from_json(entry: dict[str, Any]) -> Exact:
        """The inverse of `dataclasses.asdict`; raises KeyError or TypeError for anything else."""
        return Exact(**{**entry, "file": Asset(**entry["file"])})


@dataclass(frozen=True, slots=True)
class Protection:
    """What a page shows of a photo's regions: the borders between blocks of different precision as an SVG path, and a box around the
    largest of the finest regions, (left, top, width, height), all in pixels of the largest file. `plain` is an `.sdz` of as many bytes
    without regions, where there is one, and `inside` PSNR of the finest blocks in dB, with regions and in `plain`."""

    outline: str
    closer: tuple[int, int, int, int]
    plain: Asset | None = None
    inside: tuple[float, float] | None = None

    @staticmethod
    def from_json(entry: dict[str, Any]) -> Protection:
        """The inverse of `dataclasses.asdict`; raises KeyError or TypeError for anything else."""
        plain = Asset(**entry["plain"]) if entry["plain"] is not None else None
        inside = entry["inside"]
        return Protection(**{**entry, "closer": tuple(entry["closer"]), "plain": plain, "inside": inside and (inside[0], inside[1])})


@dataclass(frozen=True, slots=True)
class Photo:
    """What the manifest says of a photo; files are paths relative to the site. Width, height and all figures are those of the largest file,
    `sizes` are the smaller ones, the smallest first.

    `choice` says in words, where the build chose, what was kept and why; `compared` is the size of the AVIF beside it, 0 where none is as
    near, None where the picture is too small to be compared. Where `avif` was, there is no file `sdz`, only its record, and no fallback:
    the AVIF needs none. `rendered` is a JPEG of the decoded pixels, `original` what was published of the file itself. `realism` is in
    sixteenths of the denoiser's moves. `facts` are those of the file, `file_title` is made of its name; of these and of what stands
    beside it `title`, `alt`, `caption` and `taken` (as in `Facts`) were chosen. `ladder` goes on to the end of the file `exact` where
    that has the size of the picture; `not_exact` says why a photo of a lossless build has no such file.
    """

    key: str
    name: str
    title: str
    source: str
    width: int
    height: int
    step_index: int
    realism: int
    sdz: Asset
    fallback: Asset | None
    rendered: Asset
    original: Asset | None
    stages: list[Measured]
    ladder: Ladder
    encode_ms: float
    decode_ms: float
    st_lpips: float | None = None
    avif_equal: int | None = None
    avif_bound: str | None = None
    avif: Asset | None = None
    choice: str | None = None
    compared: int | None = None
    facts: Facts = field(default_factory=Facts)
    file_title: str = ""
    alt: str | None = None
    caption: str | None = None
    taken: str | None = None
    colors: str = ""
    """What stands in for the picture until it is decoded: CSS colours from top to bottom."""
    head: str = ""
    """The first bytes of the picture, in base64, which a page paints before it asks for the file."""
    sizes: list[Size] = field(default_factory=list)
    exact: Exact | None = None
    """An `.sdz` that ends in the photo's exact pixels, in full size, for those who ask for it."""
    not_exact: str | None = None
    protection: Protection | None = None

    @property
    def shown(self) -> Asset:
        """The file that a visitor with JavaScript sees."""
        return self.sdz if self.avif is None else self.avif

    @property
    def bpp(self) -> float:
        """Bits per pixel of the file that is shown."""
        return 8.0 * self.shown.bytes / (self.width * self.height)

    @property
    def best(self) -> Measured:
        """The last stage."""
        return self.stages[-1]

    @property
    def itself(self) -> Exact | None:
        """The file that ends in the photo, where its picture has the size of the page's: the byte slider goes on in it."""
        same = self.exact is not None and self.avif is None and (self.exact.width, self.exact.height) == (self.width, self.height)
        return self.exact if same else None

    def assets(self) -> list[Asset]:
        """All files of the photo."""
        exact = None if self.exact is None else self.exact.file
        plain = None if self.protection is None else self.protection.plain
        own = (self.shown, self.rendered, self.fallback, self.original, exact, plain)
        return [*(asset for asset in own if asset is not None), *(asset for size in self.sizes for asset in size.assets())]

    @staticmethod
    def from_json(entry: dict[str, Any]) -> Photo:
        """The inverse of `dataclasses.asdict`; raises KeyError or TypeError for anything else."""
        assets: dict[str, Any] = {
            k: Asset(**entry[k]) if entry[k] is not None else None for k in ("sdz", "fallback", "rendered", "original", "avif")
        }
        assets["exact"] = Exact.from_json(entry["exact"]) if entry["exact"] is not None else None
        assets["protection"] = Protection.from_json(entry["protection"]) if entry["protection"] is not None else None
        stages = [Measured(**stage) for stage in entry["stages"]]
        ladder = [(int(n), None if p is None else float(p)) for n, p in entry["ladder"]]
        sizes = [Size.from_json(size) for size in entry["sizes"]]
        return Photo(**{**entry, **assets, "sizes": sizes, "stages": stages, "ladder": ladder, "facts": Facts.from_json(entry["facts"])})


@dataclass(frozen=True)
class Download:
    """Files a visitor downloads for one purpose: how many, their bytes, and their bytes with brotli."""

    files: int
    raw: int
    brotli: int

    @staticmethod
    def of(assets: Iterable[Asset]) -> Download:
        """The sum over some files."""
        listed = list(assets)
        return Download(len(listed), sum(a.bytes for a in listed), sum(a.wire for a in listed))


@dataclass(frozen=True)
class Decoder:
    """What the pages need to know of the pack: its id in hexadecimal, whether its decoder gives the same bits everywhere (`exact`), and
    whether it has a denoiser."""

    pack: str
    exact: bool = True
    denoises: bool = True


@dataclass(frozen=True)
class Report:
    """What was built. `pays_after` counts the images after which sdz has sent fewer bytes than AVIF of equal ST-LPIPS:
    None means never (or not measured, when `judged` is 0); `saving` is in bytes per image, 0 for one that is kept as AVIF. `problems` are
    lines about photos that were not made, `left_out` about files that were not tried, `notes` about texts that could not be used."""

    site: Path
    decoder: Decoder
    photos: list[Photo]
    reused: int
    problems: list[str]
    left_out: list[str]
    notes: list[str]
    downloads: dict[str, Download]
    judged: int
    saving: float | None
    pays_after: int | None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        out = asdict(self)
        out |= {"site": str(self.site), **out.pop("decoder")}
        for entry, photo in zip(out["photos"], self.photos, strict=True):
            entry["bpp"] = photo.bpp
        out |= {"without_alt": self.without_alt, "verdict": verdict(self)}
        return out

    @property
    def once(self) -> int:
        """Bytes of the decoder, which a visitor downloads once."""
        return self.downloads["runtime"].brotli + self.downloads["models"].brotli

    @property
    def without_alt(self) -> list[str]:
        """The sources of photos that nobody described."""
        return [photo.source for photo in self.photos if photo.alt is None]


def summarize(
    site: Path,
    decoder: Decoder,
    photos: list[Photo],
    assets: list[Asset],
    shared: Library,
    reused: int,
    problems: list[str],
    left_out: list[str],
    notes: Iterable[str] = (),
) -> Report:
    """Adds up what a visitor downloads, and when that has paid for itself against AVIF of equal ST-LPIPS."""
    parts = loads(assets, shared)
    downloads = {
        "runtime": Download.of(parts.scripts + parts.runtime),
        "models": Download.of(parts.tables + parts.graphs),
        "images": Download.of(p.shown for p in photos),
        "fallbacks": Download.of(a for p in photos if (a := p.fallback or p.avif) is not None),
        "first_paint": Download.of(parts.scripts + parts.tables),
    }
    savings = [0 if p.avif is not None else p.avif_equal - p.sdz.bytes for p in photos if p.avif_equal is not None]
    saving = sum(savings) / len(savings) if savings else None
    once = downloads["runtime"].brotli + downloads["models"].brotli
    pays_after = math.ceil(once / saving) if saving is not None and saving > 0.0 else None
    return Report(site, decoder, photos, reused, problems, left_out, list(notes), downloads, len(savings), saving, pays_after)


def kilobytes(count: int, words: Words = WORDS[ENGLISH]) -> str:
    """A byte count as a person reads it: 4,981 B, 41.2 kB, 2.69 MB (powers of ten)."""
    if count < 10_000:
        return f"{grouped(count, words)} {words['B']}"
    if count < 1_000_000:
        return f"{fixed(count / 1000, 1, words)} {words['kB']}"
    return f"{fixed(count / 1_000_000, 2, words)} {words['MB']}"


def plural(count: int, noun: str) -> str:
    """A count and its noun: 1 photo, 3 photos."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def payback(report: Report, words: Words = WORDS[ENGLISH]) -> str:
    """After how many photos the decoder has paid for itself against AVIF of equal ST-LPIPS, in one or two sentences."""
    if report.saving is None:
        return words["not_measured"]
    decoder, judged = kilobytes(report.once, words), photo_count(report.judged, words)
    after = None if report.pays_after is None else photo_count(report.pays_after, words)
    paid = "" if after is None else words["paid"].format(decoder=decoder, photos=after)
    saving = kilobytes(round(abs(report.saving)), words)
    if any(photo.choice is not None for photo in report.photos):
        count = sum(photo.avif is not None for photo in report.photos)
        kept = words["kept"].format(kept=grouped(count, words), photos=photo_count(len(report.photos), words))
        return words["kept_save" if paid else "saves_nothing"].format(kept=kept, saving=saving, judged=judged, paid=paid)
    return words["larger" if paid else "smaller"].format(saving=saving, judged=judged, paid=paid, decoder=decoder)


def verdict(report: Report) -> str:
    """What a visitor who sees all photos, at their largest, downloads with sdz and with AVIF alone, and which of the two to use. The AVIF
    of photos that were not compared is estimated from those that were."""
    if report.saving is None:
        return f"{WORDS[ENGLISH]['not_measured']} --judge 5 compares five photos, --auto all."
    compared = [photo for photo in report.photos if photo.avif_equal is not None]
    equal = sum(photo.avif_equal or 0 for photo in compared)
    others = sum(photo.sdz.bytes for photo in report.photos if photo.avif_equal is None)
    avif = equal + round(others * equal / sum(photo.sdz.bytes for photo in compared))
    decodes = any(photo.avif is None for photo in report.photos)
    own = report.downloads["images"].brotli + report.once * decodes
    count = len(report.photos)
    said = f"A visitor who sees {plural(count, 'photo')} downloads {kilobytes(own)} with sdz and {kilobytes(avif)} with AVIF at equal looks"
    if len(compared) < count:
        said += f" (by {len(compared):,} of them)"
    if own < avif:
        return f"{said}."
    if not decodes:
        return f"{said}: every photo is kept as AVIF."
    after = report.pays_after
    return f"{said}: use AVIF here" + (f"; sdz pays from {plural(after, 'photo')} on." if after is not None else ".")


ALT_NAMED = 12
"""Most photos without alternative text that a person is shown by name."""

DOWNLOADS = {
    "runtime": "runtime, once",
    "models": "models, once",
    "images": "all images",
    "fallbacks": "or, without JavaScript",
    "first_paint": "before the first paint",
}


def text_report(report: Report) -> str:
    """The table of photos and what a visitor downloads, for people at a terminal."""
    rows: list[tuple[str, ...]] = [("photo", "pixels", "bytes", "bpp", "PSNR", "MS-SSIM", "AVIF at equal ST-LPIPS", "encode ms")]
    for photo in report.photos:
        best = photo.best
        rows.append(
            (
                photo.name,
                f"{photo.width}x{photo.height}",
                f"{photo.shown.bytes}",
                f"{photo.bpp:.3f}",
                "inf" if best.psnr is None else f"{best.psnr:.2f}",
                "-" if best.ms_ssim is None else f"{best.ms_ssim:.4f}",
                "-" if photo.avif_equal is None else f"{photo.avif_bound}{photo.avif_equal}".removeprefix("="),
                f"{photo.encode_ms:.0f}",
            )
        )
    rows = _told(rows)
    costs: list[tuple[str, ...]] = [("a visitor downloads", "files", "raw", "brotli")]
    for name, label in DOWNLOADS.items():
        cost = report.downloads[name]
        costs.append((label, str(cost.files), kilobytes(cost.raw), kilobytes(cost.brotli)))
    choices: list[tuple[str, ...]] = [(photo.name, photo.choice) for photo in report.photos if photo.choice is not None]
    tables = [rows, [("kept", ""), *choices] if choices else [], costs]
    count = len(report.photos)
    made = f"{plural(count, 'photo')} in {report.site}, {count - report.reused} made, {report.reused} unchanged"
    lost = len(report.problems) + len(report.left_out)
    made += f", {plural(lost, 'file')} left out" * bool(lost) + f"; pack {report.decoder.pack}"
    silent = [_without_alt(report.without_alt)] if report.without_alt else []
    inexact = [f"{photo.source}: no lossless file: {photo.not_exact}" for photo in report.photos if photo.not_exact is not None]
    compared = [payback(report)] if report.saving is not None else []
    return "\n\n".join([verdict(report), *("\n".join(_columns(table)) for table in tables if table), *compared, *silent, *inexact, made])


def _without_alt(sources: list[str]) -> str:
    named = ", ".join(sources[:ALT_NAMED]) + (f" and {len(sources) - ALT_NAMED:,} more (--json lists them)" * (len(sources) > ALT_NAMED))
    return (
        f"{plural(len(sources), 'photo')} without alternative text: {named}. Write it as `alt: …` into a .txt beside a photo, or photos.csv"
    )


def _told(rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The columns in which any row below the headings says something."""
    kept = [i for i in range(len(rows[0])) if any(row[i] != "-" for row in rows[1:])]
    return [tuple(row[i] for i in kept) for row in rows]


def _columns(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
