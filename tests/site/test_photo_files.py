"""Which photos a command line names."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from sdz.export.photo_files import NoPhotosError, find_photos
from sdz.runtime.pictures import kinds


def test_inputs_named_twice_count_once(photos: Path) -> None:
    found = find_photos([str(photos), photos / "turned.jpg", str(photos / "." / "turned.jpg")])
    assert [s.inside.as_posix() for s in found.photos] == ["broken.jpg", "glass.webp", "turned.jpg", "Über der Stadt.png"]
    assert (found.problems, found.left_out) == ([], [])


def test_a_folder_without_photos_is_a_problem(photos: Path, tmp_path: Path) -> None:
    found = find_photos([photos / "turned.jpg", tmp_path])
    assert [s.path for s in found.photos] == [photos / "turned.jpg"]
    assert found.problems == [f"{tmp_path}: the folder holds no file to read"]
    with pytest.raises(NoPhotosError) as stopped:
        find_photos([tmp_path])
    assert str(stopped.value) == f"{tmp_path}: the folder holds no file to read\nno photos: name picture files, or folders that hold some"


def test_paths_begin_with_the_folder_where_several_are_named(tmp_path: Path) -> None:
    for name in ("a/x.png", "b/deep/x.png", "c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = find_photos([tmp_path / "a", tmp_path / "b", tmp_path / "c.png"])
    assert [s.inside.as_posix() for s in found.photos] == ["a/x.png", "b/deep/x.png", "c.png"]
    assert [s.inside.as_posix() for s in find_photos([tmp_path / "b"]).photos] == ["deep/x.png"]


def test_what_a_folder_leaves_out_is_named_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, other = tmp_path / "photos", tmp_path / "other"
    for name in ("a.png", "clip.MOV", "raw/b.CR3", "logo.svg", "notes.txt", ".hidden.nef", "c.heic", "d.jxl", "e.xcf", "film.mpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "f.jpg_large").write_bytes(b"\xff\xd8\xff\xe0 and so on, sixteen bytes")
    (folder / "g").write_bytes(b"\0\0\0\x1cftypavif and so on")
    other.mkdir()
    (other / "far.png").touch()
    (folder / "linked").symlink_to(other)
    (folder / "linked.png").symlink_to(other / "far.png")
    (folder / "gone.png").symlink_to("nowhere.png")
    monkeypatch.setattr(kinds, "find_spec", lambda name: None)
    kinds.image_suffixes.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(Image, "EXTENSION", {k: v for k, v in Image.EXTENSION.items() if v not in ("HEIF", "JXL")})
        found = find_photos([folder])
    kinds.image_suffixes.cache_clear()
    assert [s.inside.as_posix() for s in found.photos] == ["a.png", "linked.png"]
    assert found.left_out == [
        f"{folder / name}: left out: {reason}"
        for name, reason in (
            ("c.heic", "HEIC needs pillow-heif, which is not installed: pip install 'sdz[heif]'"),
            ("clip.MOV", "a video"),
            ("d.jxl", "JPEG XL needs pillow-jxl-plugin, which is not installed: pip install 'sdz[bench]'"),
            ("e.xcf", "an editor's project: export it as PNG or TIFF"),
            ("f.jpg_large", "holds a picture, JPEG, but is not called one: give it the suffix"),
            ("film.mpg", "a video"),
            ("g", "holds a picture, AVIF, but is not called one: give it the suffix"),
            ("gone.png", "a broken link, to nowhere.png"),
            ("linked", "a link to a folder: name it to have it read"),
            ("logo.svg", "a drawing: publish it as SVG, or save it as PNG"),
            ("raw/b.CR3", "a camera's raw data: develop it to JPEG or TIFF first"),
        )
    ]
    assert find_photos([folder / "linked"]).photos[0].path == folder / "linked" / "far.png"
