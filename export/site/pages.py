"""The pages of a site: the templates of `web/demo` filled with what the report says.

Takes a report and the library's assets, hands on (path, text) pairs. Every address is relative, so a site works under any
prefix; nothing inline runs or styles, so a strict Content-Security-Policy holds. Jinja escapes whatever is put in.
"""

from __future__ import annotations

import base64
import gc
import math
import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from ...runtime.options import STAGES
from .albums import Album
from .assets import Asset
from .library import CHOOSER, DEMO, ENTRY, FALLBACK, PANEL_STYLE, STYLE, Library, MissingPartError, module_graph
from .report import LEAST_BYTES, Photo, Report, kilobytes, payback
from .theme.numbers import fixed, grouped, photo_count
from .theme.theme import Theme, explained
from .theme.words import Words

CURVE_WIDTH, CURVE_HEIGHT = 600, 72
"""Units of the rate curve's drawing; it is stretched to the slider's width."""

PHOTOS = 200
"""Most photos on a page of an album."""

EAGER_FIGURES = 4
"""Pictures of the gallery that do not wait to be scrolled to."""

FORMAT_NAMES = {".avif": "AVIF", ".webp": "WebP", ".jpeg": "JPEG"}

TEMPLATES = ("layout.html", "parts.html", "index.html", "photo.html", "how.html")

INDEX = "index.html"

SCRIPTED = ("B", "kB", "used", "natural", "faithful", "original", "approximate", "same", "same_exact", "differ", "share", "fetching")
"""Words that the panel's script writes."""


@dataclass(frozen=True)
class Curve:
    """PSNR over bytes, to be drawn above the byte slider and like it logarithmic in bytes: `low` and `high` in dB, None where it ends in
    the photo itself; the points of a line and of the area under it in units of `width` and `height`, and where the stops are."""

    low: float
    high: float | None
    line: str
    area: str
    marks: list[float]
    width: int = CURVE_WIDTH
    height: int = CURVE_HEIGHT


@dataclass(frozen=True)
class Stop:
    """A place on the byte slider that has a name, one of `STOPS`: so many bytes, and PSNR of what is shown there in dB, None where that is
    the photo itself; `known` says whether it was measured."""

    name: str
    bytes: int
    psnr: float | None
    known: bool


STOPS = ("head", "picture", "exact")
"""What stands in the page itself, the picture that the page shows, the photo itself."""


@dataclass(frozen=True)
class Page:
    """One page being written, for its template: finds the site's files, and says how to address them from where it stands."""

    path: str
    assets: dict[str, Asset]
    shared: Library
    styles: Asset
    graphs: dict[tuple[str, ...], list[str]] = field(default_factory=dict)
    """What modules import, of all pages, as far as it is known."""

    def address(self, asset: Asset) -> str:
        """The relative address of a file."""
        return self._relative(asset.path)

    def of(self, photo: Photo) -> str:
        """The relative address of a photo's page."""
        return self._relative(path_of(photo.name))

    def _relative(self, path: str) -> str:
        # both are clean, and there are many: `posixpath.relpath` would ask where this process is
        start, parts = self.path.split("/")[:-1], path.split("/")
        same = 0
        while same < min(len(start), len(parts) - 1) and start[same] == parts[same]:
            same += 1
        return "/".join([*[".."] * (len(start) - same), *parts[same:]])

    def album(self, album: Album, number: int = 1) -> str:
        """The relative address of an album's page of that number."""
        return self._relative(album_path(album, number))

    def to(self, path: str) -> str:
        """The relative address of a file of the site."""
        return self._relative(path)

    @property
    def sheets(self) -> list[Asset]:
        """The style sheets."""
        return [self._shared(STYLE), self.styles]

    @property
    def panel_sheet(self) -> Asset:
        """The style sheet of a photo's panel."""
        return self._shared(PANEL_STYLE)

    @property
    def entry(self) -> Asset:
        """The element's module."""
        return self._shared(ENTRY)

    @property
    def fallback(self) -> Asset:
        """The script that stands in for the modules."""
        return self._shared(FALLBACK)

    def script(self, name: str) -> Asset:
        """One of the demo's scripts."""
        return self._shared(f"demo/{name}")

    def preloads(self, script: str, sized: bool) -> list[Asset]:
        """What the page's modules import: a browser would discover it one by one. `sized`: with what chooses among sizes."""
        entries = [ENTRY, f"demo/{script}"]
        wanted = [*entries, CHOOSER] if sized else entries
        if tuple(wanted) not in self.graphs:
            self.graphs[tuple(wanted)] = module_graph(self.shared, wanted)
        return [self._shared(name) for name in self.graphs[tuple(wanted)] if name not in entries]

    def _shared(self, name: str) -> Asset:
        return self.assets[self.shared.path(name)]


class Pages:
    """The templates of a theme, read and compiled before a build's work begins; raises MissingPartError, or ThemeError."""

    def __init__(self, theme: Theme | None = None) -> None:
        self.theme = theme or Theme()
        try:
            texts = {name: (DEMO / name).read_text(encoding="utf-8") for name in TEMPLATES}
        except OSError as error:
            raise MissingPartError(f"{error.filename}: {error.strerror}: install sdz again, or repair the checkout") from error
        words = self.theme.words
        with explained():
            self.environment = self.theme.environment(texts)
            self.environment.filters |= {
                "absolute": lambda path, url: absolute(url, path),
                "days": self.theme.days,
                "choice": lambda photo: choice(photo, words),
                "decibels": lambda value, places=2: "∞" if value is None else f"{fixed(value, places, words)} dB",
                "equal_avif": lambda photo: equal_avif(photo, words),
                "fixed": lambda value, places: fixed(value, places, words),
                "format_name": lambda asset: FORMAT_NAMES[posixpath.splitext(asset.path)[1]],
                "grouped": lambda count: grouped(count, words),
                "kilobytes": lambda count: kilobytes(count, words),
                "moment": self.theme.moment,
                "paragraphs": lambda text: [part.strip() for part in re.split(r"\n\s*\n", text or "") if part.strip()],
                "photos": lambda count: photo_count(count, words),
                "share": lambda value: "–" if value is None else fixed(value, 4, words),
                "colour_classes": lambda photo: " ".join(name for name, _ in _colours(photo)),
                "size_class": lambda photo: _size_class(photo.width, photo.height),
            }
            spoken = {"lang": self.theme.lang, "direction": self.theme.direction, "english": self.theme.english}
            self.environment.globals |= {"words": words, "scripted": {name: words[name] for name in SCRIPTED}, **spoken}
            self.templates = {name: self.environment.get_template(name) for name in TEMPLATES}

    def render(
        self,
        albums: Album,
        report: Report,
        assets: list[Asset],
        shared: Library,
        styles: Asset,
        url: str | None = None,
        webgpu: bool = False,
        watched: bool = False,
    ) -> Iterator[tuple[str, str]]:
        """Each of `page_paths` with its HTML, one at a time; `styles` is the asset that holds `size_rules`; `url` the site's address,
        ending in a slash; `webgpu`: the networks run on WebGPU where there is one; `watched`: pages load themselves again when they
        have changed."""
        by_path = {asset.path: asset for asset in [*assets, styles]}
        provider = "webgpu" if webgpu else ""
        common = {"site": albums, "report": report, "pack": report.decoder.pack, "provider": provider, "url": url, "watched": watched}
        with explained():
            for page in self._all(albums, report, common, by_path, shared, styles):
                yield page
                # what a template was filled with are objects in circles, which would stay until there are a hundred thousand of them
                gc.collect(0)

    def _all(
        self,
        albums: Album,
        report: Report,
        common: dict[str, Any],
        by_path: dict[str, Asset],
        shared: Library,
        styles: Asset,
    ) -> Iterator[tuple[str, str]]:
        words = self.theme.words
        graphs: dict[tuple[str, ...], list[str]] = {}
        for album in reversed(albums.everything()):
            for index, photo in enumerate(album.photos):
                before, after = (album.photos[i] if 0 <= i < len(album.photos) else None for i in (index - 1, index + 1))
                page = Page(path_of(photo.name), by_path, shared, styles, graphs)
                own = {"album": album, "photo": photo, "before": before, "after": after, "number": index + 1, "up": index // PHOTOS + 1}
                yield page.path, self.templates["photo.html"].render(**common, **own, **_study(photo, report, words), page=page)
            for number in range(page_count(album), 0, -1):
                page = Page(album_path(album, number), by_path, shared, styles, graphs)
                told = _gallery(album, report, number, words)
                yield page.path, self.templates["index.html"].render(**common, **told, album=album, page=page)


def page_paths(albums: Album) -> Iterator[str]:
    """The paths of all pages, relative to the site: albums after their photos, the gallery last."""
    for album in reversed(albums.everything()):
        yield from (path_of(photo.name) for photo in album.photos)
        yield from (album_path(album, number) for number in range(page_count(album), 0, -1))


def page_count(album: Album) -> int:
    """How many pages an album has."""
    return max(1, math.ceil(len(album.photos) / PHOTOS))


def album_path(album: Album, number: int = 1) -> str:
    """The path of a page of an album, of the root one of the site's own; the first is what the folder's address shows."""
    file = INDEX if number == 1 else f"page-{number}.html"
    return f"albums/{album.name}/{file}" if album.name else file


def absolute(url: str, path: str) -> str:
    """The whole address of a file of the site, of a folder's page without the file's name; `url` ends in a slash."""
    folder, _, name = path.rpartition("/")
    return url + quote(path if name != INDEX else folder and f"{folder}/")


def path_of(name: str) -> str:
    """The path of the page of a photo of that name."""
    return f"photos/{name}.html"


def size_rules(photos: Iterable[Photo]) -> str:
    """A style sheet that gives each size of picture a class, and each colour at the top or at the bottom of one: its place is kept, and
    filled, before anything of it has arrived, and without any script."""
    photos = list(photos)
    sizes = sorted({(p.width, p.height) for p in photos})
    colours = sorted({colour for photo in photos for colour in _colours(photo)})
    rules = [f".{_size_class(w, h)}{{--w:{w};--h:{h}}}\n" for w, h in sizes]
    return "".join([*rules, *(f".{name}{{--{name[0]}:#{digits}}}\n" for name, digits in colours)])


def equal_avif(photo: Photo, words: Words) -> str:
    """The bytes of AVIF of equal ST-LPIPS, or what is known of them."""
    if photo.avif_equal is None:
        return "–"
    count = grouped(photo.avif_equal, words)
    bound = {"<=": "at_most", ">=": "more_than"}.get(photo.avif_bound or "=")
    return count if bound is None else words[bound].format(bytes=count)


def choice(photo: Photo, words: Words) -> str:
    """What was kept, and why, where the build chose."""
    if photo.avif is not None:
        kind = "choice_avif"
    elif photo.compared is None:
        kind = "choice_small"
    else:
        kind = "choice_sdz" if photo.compared else "choice_none"
    return words[kind].format(sdz=grouped(photo.sdz.bytes, words), avif=grouped(photo.compared or 0, words))


def stops(photo: Photo) -> list[Stop]:
    """The places on a photo's byte slider that have names, from left to right."""
    levels = dict(photo.ladder)
    head = len(base64.b64decode(photo.head))
    out = [Stop("head", head, levels.get(head), head in levels)] if 0 < head < photo.sdz.bytes else []
    out.append(Stop("picture", photo.sdz.bytes, photo.best.psnr, True))
    if photo.itself is not None:
        out.append(Stop("exact", photo.itself.file.bytes, None, True))
    return out


def rate_curve(photo: Photo) -> Curve | None:
    """The drawing of a photo's ladder; None where there is too little to draw."""
    if len(photo.ladder) < 2 or photo.sdz.bytes <= LEAST_BYTES:
        return None
    span = math.log(photo.ladder[-1][0] / LEAST_BYTES)
    levels = [level for _, level in photo.ladder if level is not None]
    low, high = min(levels), max(levels)
    points = [
        (
            _across(count, span),
            0 if level is None else round(CURVE_HEIGHT * (0.96 - 0.9 * (level - low) / max(high - low, 1e-6)), 1),
        )
        for count, level in photo.ladder
    ]
    line = " ".join(f"{x:g},{y:g}" for x, y in points)
    area = f"{points[0][0]:g},{CURVE_HEIGHT} {line} {points[-1][0]:g},{CURVE_HEIGHT}"
    marks = [_across(stop.bytes, span) for stop in stops(photo)]
    return Curve(low, None if photo.ladder[-1][1] is None else high, line, area, marks)


def _across(count: int, span: float) -> float:
    """Where a number of bytes is in the curve's drawing."""
    return round(CURVE_WIDTH * max(0.0, math.log(count / LEAST_BYTES)) / span, 1)


def _gallery(album: Album, report: Report, number: int, words: Words) -> dict[str, object]:
    """What the template of an album's page asks for beside the report."""
    photos = album.all_photos()
    own = album.photos[(number - 1) * PHOTOS : number * PHOTOS]
    megapixels = sum(p.width * p.height for p in photos) / 1e6
    albums = album.albums if number == 1 else []
    shown = [*own, *(child.cover for child in albums)]
    sums = {"photos": photo_count(len(photos), words), "bytes": kilobytes(sum(photo.shown.bytes for photo in photos), words)}
    return {
        "photos": own,
        "albums": albums,
        "number": number,
        "more": number < page_count(album),
        "description": words["summary"].format(megapixels=fixed(megapixels, 1, words), **sums),
        "how": _how(photos, words),
        "payback": payback(report, words),
        "eager": EAGER_FIGURES,
        "script": "gallery.js",
        "decodes": any(photo.avif is None for photo in shown),
        "sized": any(photo.sizes for photo in shown if photo.avif is None),
    }


def _how(photos: list[Photo], words: Words) -> str:
    """Where the pictures come from, in a sentence."""
    plain = sum(photo.avif is not None for photo in photos)
    kind = "all_painted" if not plain else "all_plain" if plain == len(photos) else "one_plain" if plain == 1 else "some_plain"
    return words[kind].format(count=grouped(plain, words))


def _study(photo: Photo, report: Report, words: Words) -> dict[str, object]:
    """What a photo's template asks for: the figures of how it was sent, where that was as .sdz."""
    told = {"title": photo.title, "width": photo.width, "height": photo.height, "bytes": kilobytes(photo.shown.bytes, words)}
    return {
        "description": photo.caption or words["described"].format(**told),
        "script": "view.js",
        "decodes": photo.avif is None,
        "sized": bool(photo.sizes),
        "curve": rate_curve(photo),
        "stops": stops(photo),
        "least": min(LEAST_BYTES, photo.sdz.bytes),
        "stages": STAGES,
        # nothing to hold the browser's pixels against where the pack promises none
        "digest": photo.best.sha256 if report.decoder.exact else "",
        "best": STAGES[-1] if report.decoder.denoises else STAGES[-2],
    }


def _colours(photo: Photo) -> list[tuple[str, str]]:
    """A photo's colours at the top and at the bottom, each as a class and its three digits: no more rules than 4,096 of either, whatever
    the number of photos. None of a picture with transparency."""
    found = []
    for place, colour in zip("tb", photo.colors.split()[::2], strict=False):
        digits = "".join(f"{round(int(colour[i : i + 2], 16) / 17):x}" for i in (1, 3, 5))
        found.append((place + digits, digits))
    return found


def _size_class(width: int, height: int) -> str:
    return f"s{width}x{height}"
