"""Albums: the tree of folders that photos come from, each with its texts, its photos in their order, a cover and the days it spans.

Takes photos with their sources and what is written beside them, hands on the root of the tree.
"""

from __future__ import annotations

import posixpath
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath

from ...runtime.files import readable
from ..photo_files import Source
from .names import slug
from .report import Photo
from .texts import Folder, Texts, read_folder

ORDERS = ("date", "name")


@dataclass
class Album:
    """One album: `path` are the folders below what was named, `name` its address's part, unique on the site; the root has neither.
    `photos` are its own, in their order, `albums` those of its sub-folders."""

    title: str
    path: tuple[str, ...] = ()
    name: str = ""
    caption: str | None = None
    photos: list[Photo] = field(default_factory=list)
    albums: list[Album] = field(default_factory=list)
    parents: tuple[Album, ...] = ()
    chosen: Photo | None = None

    def all_photos(self) -> list[Photo]:
        """Its own photos, then those of its sub-albums."""
        return [*self.photos, *(photo for album in self.albums for photo in album.all_photos())]

    def everything(self) -> list[Album]:
        """The album and all below it."""
        return [self, *(album for child in self.albums for album in child.everything())]

    @property
    def way(self) -> tuple[Album, ...]:
        """The albums from the root to this one."""
        return (*self.parents, self)

    @property
    def cover(self) -> Photo:
        """The photo that stands for it: the one that was chosen, or its first."""
        return self.chosen or self.all_photos()[0]

    @property
    def days(self) -> tuple[str, str] | None:
        """The first and the last day on which its photos were taken, as far as they say."""
        days = sorted(photo.taken[:10] for photo in self.all_photos() if photo.taken)
        return (days[0], days[-1]) if days else None


def _above(source: Source) -> list[tuple[tuple[str, ...], Path]]:
    """The folders above a photo's own, down from the one that was named: the path as the site has it, and where it is."""
    if source.folder is None:
        return []
    inside, below = source.inside.parent.parts, source.path.relative_to(source.folder).parent.parts
    named = len(inside) - len(below)
    return [(inside[: named + depth], source.folder.joinpath(*below[:depth])) for depth in range(len(below))]


def read_folders(sources: Iterable[Source]) -> dict[Path, Folder]:
    """What is written in the folders of photos, and in those above them."""
    photos_of: dict[Path, list[str]] = {}
    for source in sources:
        photos_of.setdefault(source.path.parent, []).append(source.path.name)
        for _, above in _above(source):
            photos_of.setdefault(above, [])
    return {path: read_folder(path, names) for path, names in photos_of.items()}


def make_albums(
    title: str | None, made: Sequence[tuple[Source, Photo]], folders: Mapping[Path, Folder], order: str, default: str = ""
) -> tuple[Album, list[str]]:
    """The root of the tree, whose title is the site's: `title`, or its folder's own, or else `default`; and a line for each text that could
    not be used. `folders` are those of all photos.

    In an album, what its `order.txt` names stands first; then come photos by the time they were taken, those that do not say last, or with
    `order` "name" by name; sub-albums stand by name.
    """
    problems = [problem for folder in folders.values() for problem in folder.problems]
    root = Album(title or default)
    known: dict[tuple[str, ...], Album] = {(): root}
    homes: dict[tuple[str, ...], Folder] = {}
    entries: dict[tuple[str, ...], list[tuple[Source, Photo]]] = {}
    for source, photo in made:
        parts = source.inside.parent.parts
        folder = folders[source.path.parent]
        _album(parts, known)
        # files that were named one by one have no folder in common, and no order
        homes.setdefault(parts, folder if source.folder is not None else Folder())
        for inside, above in _above(source):
            homes.setdefault(inside, folders[above])
        entries.setdefault(parts, []).append((source, _described(photo, folder.photos.get(source.path.name, Texts()))))
    for parts, folder in homes.items():
        album, listed = known[parts], entries.get(parts, [])
        place = {name: index for index, name in enumerate(folder.order)}
        listed.sort(key=lambda entry: (place.get(entry[0].path.name, len(place)), *_key(entry[1], order)))
        album.photos = [photo for _, photo in listed]
        album.title = (folder.album.title or album.title) if parts or title is None else album.title
        album.caption = folder.album.caption
        if folder.album.cover is not None:
            album.chosen = next((photo for source, photo in listed if source.path.name == folder.album.cover), None)
            if album.chosen is None:
                problems.append(f"album {'/'.join(parts) or album.title}: there is no photo {folder.album.cover} to be the cover")
    for parts, album in known.items():
        place = {name: index for index, name in enumerate(homes[parts].order)} if parts in homes else {}
        album.albums.sort(key=lambda child: (place.get(child.path[-1], len(place)), child.path))
    return root, problems


def _album(parts: tuple[str, ...], known: dict[tuple[str, ...], Album]) -> Album:
    if parts not in known:
        parent = _album(parts[:-1], known)
        taken = {album.name for album in known.values()}
        plain = name = posixpath.join(parent.name, slug(parts[-1]))
        number = 2
        while name in taken:
            name, number = f"{plain}-{number}", number + 1
        title = unicodedata.normalize("NFC", readable(parts[-1]))
        known[parts] = Album(title, parts, name, parents=(*parent.parents, parent))
        parent.albums.append(known[parts])
    return known[parts]


def _described(photo: Photo, texts: Texts) -> Photo:
    """A photo with the texts that stand beside it, or else those of its file."""
    facts = photo.facts
    return replace(
        photo,
        title=texts.title or facts.title or photo.file_title,
        alt=texts.alt or facts.alt,
        caption=texts.caption or facts.caption,
        taken=texts.date or facts.taken,
    )


def _key(photo: Photo, order: str) -> tuple[bool, str, PurePath]:
    taken = photo.taken if order == "date" else None
    return (taken is None, taken or "", PurePath(photo.source))
