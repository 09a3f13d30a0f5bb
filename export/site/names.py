"""Names fit for addresses: of photos and of albums, readable in any script, the same in every build.

Takes the paths of sources, hands on names. Letters and digits of all scripts stay, Latin ones without their accents; whatever else there is
becomes a hyphen.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import PurePath

from ...runtime.files import readable

MAX_CHARACTERS, MAX_BYTES = 64, 160
"""Of a name: file systems hold 255 bytes, of which a digest and suffixes take up to 40."""

FALLBACK = "photo"
"""Of a file whose name has neither letters nor digits."""

_DIGITS = re.compile("(-[0-9a-f]{6,64})?")


def names_for(insides: Sequence[PurePath], known: Mapping[str, str]) -> list[str]:
    """A unique name for each source, by its path below the folder that was named: the names of its folders, and its own.

    `known` has the names that sources were given before, by their paths; they keep them. Of several new sources for one name the first has
    it plain, and each of the others with six digits of a digest of its own path: none of them moves when another comes or goes.
    """
    plain_names = {source_key(inside): "/".join(map(slug, (*inside.parent.parts, inside.stem))) for inside in insides}
    names: dict[str, str] = {}
    taken: set[str] = set()
    for key, plain in plain_names.items():
        name = known.get(key, "")
        # no other name, whoever wrote it down
        if name.startswith(plain) and _DIGITS.fullmatch(name, len(plain)) and name not in taken:
            names[key] = name
            taken.add(name)
    for key, plain in plain_names.items():
        if key in names:
            continue
        name, digits = plain, 6
        while name in taken:
            name = f"{plain}-{hashlib.sha256(key.encode()).hexdigest()[:digits]}"
            digits += 2
        names[key] = name
        taken.add(name)
    return [names[source_key(inside)] for inside in insides]


def source_key(inside: PurePath) -> str:
    """A source's path as text, by which one build knows it from another."""
    return readable(inside.as_posix())


def slug(text: str) -> str:
    """A name of letters, digits and single hyphens, lower case: `Über der Stadt` is `uber-der-stadt`, `さくら 2` is `さくら-2`."""
    kept: list[str] = []
    latin = False
    for character in unicodedata.normalize("NFKD", readable(text)).casefold():
        kind = unicodedata.category(character)[0]
        if kind == "M" and (latin or not kept or kept[-1] == "-"):
            continue
        latin = character.isascii()
        kept.append(character if kind in "LNM" else "-")
    parts = unicodedata.normalize("NFC", "".join(kept)).split("-")
    name = "-".join(part for part in parts if part)[:MAX_CHARACTERS]
    return name.encode()[:MAX_BYTES].decode(errors="ignore").strip("-") or FALLBACK
