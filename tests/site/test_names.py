"""Addresses of photos: readable in any script, and none moves when another comes."""

from __future__ import annotations

import hashlib
import os
from pathlib import PurePath

import pytest

from sdz.export.site.names import names_for, slug


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Über der Stadt", "uber-der-stadt"),
        ("motorcycle_left", "motorcycle-left"),
        ("IMG_0001 (2)", "img-0001-2"),
        ("さくら", "さくら"),
        ("が2", "が2"),
        ("か\u3099", "が"),
        ("Москва, зимой", "москва-зимой"),
        ("Йод", "йод"),
        ("ภาพถ่าย", "ภาพถ่าย"),
        ("हिन्दी चित्र", "हिन्दी-चित्र"),
        ("صورة ٣", "صورة-٣"),
        ("한글", "한글"),
        ("Łódź", "łodz"),
        ("Straße", "strasse"),
        ("ﬁve ½", "five-1-2"),
        ("../../etc", "etc"),
        ("🙂", "photo"),
        ("--", "photo"),
        (os.fsdecode(b"caf\xe9"), "cafe"),
        ("x" * 300, "x" * 64),
        ("写" * 100, "写" * 53),
    ],
)
def test_slug(text: str, name: str) -> None:
    assert slug(text) == name
    assert len(name.encode()) <= 160


def digits(path: str) -> str:
    return hashlib.sha256(path.encode()).hexdigest()[:6]


def test_names_keep_apart_what_is_called_the_same() -> None:
    sources = [PurePath(p) for p in ("Été 1.jpg", "ete-1.png", "b/ete 1.webp", "b/Ete-1.jpg", "写真.jpg")]
    second, fourth = f"ete-1-{digits('ete-1.png')}", f"b/ete-1-{digits('b/Ete-1.jpg')}"
    assert names_for(sources, {}) == ["ete-1", second, "b/ete-1", fourth, "写真"]


def test_a_photo_more_moves_none() -> None:
    before = [PurePath("b.png"), PurePath("b.webp")]
    names = names_for(before, {})
    known = {path.as_posix(): name for path, name in zip(before, names, strict=True)}
    after = [PurePath("B.jpg"), PurePath("a.png"), *before]
    assert names_for(after, known)[2:] == names
    assert names_for(after, known)[:2] == [f"b-{digits('B.jpg')}", "a"]
    # one that goes moves none either
    assert names_for(before[1:], known) == names[1:]


def test_names_that_somebody_wrote_into_the_manifest_are_not_taken() -> None:
    assert names_for([PurePath("a.png")], {"a.png": "../../a"}) == ["a"]
    assert names_for([PurePath("a.png")], {"a.png": "a-012345/../../b"}) == ["a"]
    assert names_for([PurePath("a.png"), PurePath("a.jpg")], {"a.png": "a-01234f", "a.jpg": "a-01234f"}) == ["a-01234f", "a"]
