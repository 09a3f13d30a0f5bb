"""`sdz build --html-in`: a copy of a static site in which photos are `<sdz-img>`.

Takes the folder of a site that any program made, writes another one, hands on what came of it. Every file is copied as it is, but for pages
that show a picture which pays, and the style sheets, whose rules for `img` then hold for `sdz-img` as well. Nothing is written that stands
there already, so a second run changes nothing.
"""

from __future__ import annotations

import json
import posixpath
from collections import Counter
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ...runtime.files import readable, write_atomically
from ...runtime.pack import Pack
from ..site import library
from ..site.assets import Asset, digest, hashed_name
from ..site.photos import open_pack
from ..site.place import SiteWriteError
from ..site.report import plural
from ..workers import Call, Lost, run
from .markup import Image, Markup, for_both, read_markup, rewritten
from .pictures import Outcome, Wanted, convert

RECORD = "sdz-pages.json"
"""What a copy remembers of itself; a folder that has none is not ours."""

FORMAT = 1

PAGES, SHEETS = (".html", ".htm", ".xhtml"), (".css",)

PACKED = (".br", ".gz", ".zst")
"""Endings of files that hold another one compressed, which is out of date once that is rewritten."""

STYLE = b"sdz-img:not(:defined){display:contents}\n"
"""Without scripts, the `<img>` inside is laid out as if nothing were around it."""


@dataclass(frozen=True)
class PlainOptions:
    """`site` is copied to `out`; `jobs` counts worker processes, 0 for none."""

    site: Path
    out: Path
    wanted: Wanted
    pack: Path | None = None
    jobs: int = 0


@dataclass
class PlainReport:
    """What came of it: pages that were rewritten, images on them that became `<sdz-img>`, the pictures behind these with the bytes of their
    own files and as .sdz, why other images stayed as they were, and what a visitor downloads once."""

    out: Path
    pages: int = 0
    images: int = 0
    pictures: int = 0
    before: int = 0
    after: int = 0
    decoder: int = 0
    kept: Counter[str] = field(default_factory=Counter)
    written: int = 0

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {**asdict(self), "out": str(self.out), "kept": dict(self.kept), "saved": self.before - self.after}


def rewrite(options: PlainOptions) -> PlainReport:
    """Makes or updates the copy. Raises SiteWriteError where the folders are not fit for it or the disk refuses, SdzError for a bad pack,
    `library.MissingPartError`."""
    _check(options)
    try:
        return _Copy(options, open_pack(options.pack)).make()
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise SiteWriteError(f"cannot write {options.out}: {error.strerror}{where}") from error


def _check(options: PlainOptions) -> None:
    site, out = options.site.resolve(), options.out.resolve()
    if not site.is_dir():
        raise SiteWriteError(f"{options.site} is no folder of a site")
    if site.is_relative_to(out) or out.is_relative_to(site):
        raise SiteWriteError(f"{options.out} and {options.site} lie in each other: name a folder of its own with --html-out")
    if out.exists() and not (out.is_dir() and (not any(out.iterdir()) or (out / RECORD).is_file())):
        raise SiteWriteError(f"{options.out} holds other files: name a new folder, or one that --html-out made")


class _Copy:
    def __init__(self, options: PlainOptions, pack: Pack) -> None:
        self.options = options
        self.pack = pack
        self.report = PlainReport(options.out)
        self.known: dict[str, Any] = {}
        with suppress(OSError, ValueError, KeyError, TypeError):
            record = json.loads((options.out / RECORD).read_bytes())
            self.known = record if record["format"] == FORMAT else {"files": record["files"]}
        self.files: list[str] = []

    def make(self) -> PlainReport:
        site = self.options.site
        paths = sorted(path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file())
        texts = {path: text for path in paths if path.endswith(PAGES) and (text := _text(site / path)) is not None}
        found = {path: read_markup(text) for path, text in texts.items()}
        shown = {path: self._sources(path, markup, set(paths)) for path, markup in found.items()}
        pictures = self._convert(sorted({picture for sources in shown.values() for picture, _ in sources.values()}))
        for name, _ in (entry for sources in shown.values() for entry in sources.values()):
            if (reason := pictures[name]["reason"]) is not None:
                self.report.kept[reason] += 1
        fresh: set[str] = set()
        if any(outcome.get("sdz") for outcome in pictures.values()):
            fresh = self._rewrite(texts, found, shown, pictures)
            sealed = {_inside(path, href) for path, markup in found.items() for href in markup.sealed}
            fresh |= self._restyle([path for path in paths if path.endswith(SHEETS) and path not in sealed])
        for path in paths:
            stem, dot, ending = path.rpartition(".")
            if path not in fresh and not (dot + ending in PACKED and stem in fresh) and path != RECORD:
                self._put(path, (site / path).read_bytes())
        self._remove_others()
        record = {"format": FORMAT, "key": self._key(), "pictures": pictures, "files": sorted(self.files)}
        self._put(RECORD, (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode())
        return self.report

    def _sources(self, page: str, markup: Markup, paths: set[str]) -> dict[int, tuple[str, Image]]:
        """The images of a page whose pictures are files of the site, by where they begin."""
        out: dict[int, tuple[str, Image]] = {}
        for image in markup.images:
            inside = None if markup.based else _inside(page, image.source)
            if inside in paths:
                out[image.start] = (str(inside), image)
            else:
                self.report.kept["not a file of the site"] += 1
        return out

    def _key(self) -> list[Any]:
        return [self.pack.id.hex(), self.pack.encoder, asdict(self.options.wanted)]

    def _convert(self, names: list[str]) -> dict[str, dict[str, Any]]:
        """What is known of each picture: digest and bytes of its file, digest and bytes of its .sdz, or the reason for none."""
        known = self.known.get("pictures", {}) if self.known.get("key") == self._key() else {}
        out: dict[str, dict[str, Any]] = {}
        waiting: list[str] = []
        for name in names:
            sha256 = digest((self.options.site / name).read_bytes())
            entry = known.get(name, {})
            stands = not entry.get("sdz") or _digest(self.options.out / f"{name}.sdz") == entry["sdz"]
            if entry.get("sha256") == sha256 and stands:
                out[name] = entry
                self.files += [f"{name}.sdz"] * bool(entry.get("sdz"))
            else:
                out[name] = {"sha256": sha256}
                waiting.append(name)
        calls = [Call(convert, (self.options.site / name, self.options.pack, self.options.wanted)) for name in waiting]
        with closing(run(calls, self.options.jobs if calls else 0)) as finished:
            for index, result in finished:
                name = waiting[index]
                outcome = Outcome(0, reason=f"it cannot be read: {result.reason}") if isinstance(result, Lost) else result
                out[name] |= {"bytes": outcome.own, "reason": outcome.reason}
                if outcome.data and (self.options.site / f"{name}.sdz").exists():
                    out[name]["reason"] = "another file has its name"
                elif outcome.data:
                    self._put(f"{name}.sdz", outcome.data)
                    out[name] |= {"sdz": digest(outcome.data), "sdz_bytes": len(outcome.data)}
        return out

    def _rewrite(
        self,
        texts: dict[str, str],
        found: dict[str, Markup],
        shown: dict[str, dict[int, tuple[str, Image]]],
        pictures: dict[str, dict[str, Any]],
    ) -> set[str]:
        shared = library.collect(self.pack)
        # what only the gallery has, and what no page registers
        files = {name: data for name, data in shared.files.items() if not name.startswith("demo/")}
        for name, data in files.items():
            self._put(shared.path(name), data)
        sheet = hashed_name("plain", STYLE, ".css")
        self._put(sheet, STYLE)
        self.report.decoder = downloaded(shared)
        fresh, used = set(), set()
        for path, text in texts.items():
            sources = {}
            for start, (name, image) in shown[path].items():
                if pictures[name]["reason"] is None:
                    sources[start] = f"{urlsplit(image.source).path}.sdz"
                    used.add(name)
            if not sources:
                continue
            to = partial(posixpath.relpath, start=posixpath.dirname(path) or ".")
            entry, fallback = (to(shared.path(name)) for name in (library.ENTRY, library.FALLBACK))
            head = (
                f'<link rel="stylesheet" href="{to(sheet)}">'
                # a module that hangs holds up what comes after it
                f'<script defer src="{fallback}"></script><script type="module" src="{entry}" data-pack="{self.pack.id.hex()}"></script>\n'
            )
            self._put(path, rewritten(text, found[path], sources, head, for_both).encode(errors="surrogateescape"))
            fresh.add(path)
            self.report.pages += 1
            self.report.images += len(sources)
        self.report.pictures = len(used)
        self.report.before = sum(pictures[name]["bytes"] for name in used)
        self.report.after = sum(pictures[name]["sdz_bytes"] for name in used)
        return fresh

    def _restyle(self, sheets: list[str]) -> set[str]:
        fresh = set()
        for path in sheets:
            text = _text(self.options.site / path)
            if text is not None and (new := for_both(text)) != text:
                self._put(path, new.encode(errors="surrogateescape"))
                fresh.add(path)
        return fresh

    def _put(self, path: str, data: bytes) -> None:
        self.files.append(path)
        target = self.options.out / path
        with suppress(OSError):
            if target.read_bytes() == data:
                return
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, data)
        self.report.written += 1

    def _remove_others(self) -> None:
        """Files of an earlier run that this one did not make."""
        root = self.options.out.resolve()
        for path in set(self.known.get("files", ())) - set(self.files) - {RECORD}:
            target = (root / path).resolve()
            if target.is_relative_to(root):
                target.unlink(missing_ok=True)


def _text(path: Path) -> str | None:
    """A file's text, its bytes that are no UTF-8 kept; None of one in UTF-16."""
    data = path.read_bytes()
    return None if data[:2] in (b"\xff\xfe", b"\xfe\xff") else data.decode(errors="surrogateescape")


def _digest(path: Path) -> str | None:
    with suppress(OSError):
        return digest(path.read_bytes())
    return None


def _inside(page: str, address: str) -> str | None:
    """The path inside the site that an address on a page means, which stands at the root of its host; None where it leads elsewhere."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    if parts.scheme or parts.netloc or parts.query or not parts.path:
        return None
    path = posixpath.normpath(posixpath.join("/", posixpath.dirname(page), unquote(parts.path)))
    return path.lstrip("/")


def downloaded(shared: library.Library) -> int:
    """Bytes, with brotli, of what a page loads before its pictures are finished: scripts, the core, tables, networks and what runs them."""
    import brotli

    parts = library.loads([Asset(shared.path(name), len(data), "") for name, data in shared.files.items()], shared)
    loaded = {asset.path for asset in [*parts.scripts, *parts.tables, *parts.graphs, *parts.runtime]} | {shared.path(library.FALLBACK)}
    return sum(len(brotli.compress(data, quality=9)) for name, data in shared.files.items() if shared.path(name) in loaded)


def text_report(report: PlainReport) -> str:
    """What came of it, for people at a terminal."""
    lines = []
    if report.images:
        lines.append(
            f"{plural(report.images, 'image')} on {plural(report.pages, 'page')} {'is' if report.images == 1 else 'are'} <sdz-img> now, "
            f"of {plural(report.pictures, 'picture')}: {report.after:,} bytes instead of {report.before:,}, "
            f"{report.before - report.after:,} saved"
        )
        saving = (report.before - report.after) / report.pictures
        lines.append(
            f"a visitor downloads {report.decoder:,} bytes of decoder once: "
            f"it pays from {plural(round(-(-report.decoder // saving)), 'picture')} on"
        )
    else:
        lines.append("no image became <sdz-img>: the copy is as the site was")
    lines += [f"{count:,} stayed: {readable(reason)}" for reason, count in sorted(report.kept.items())]
    lines.append(f"{plural(report.written, 'file')} written in {report.out}")
    return "\n".join(lines)
