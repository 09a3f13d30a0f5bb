"""Which photos a command line names."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdz.export.photo_files import NoPhotosError, find_photos


def test_inputs_named_twice_count_once(photos: Path) -> None:
    sources, problems = find_photos([str(photos), photos / "turned.jpg", str(photos / "." / "turned.jpg")])
    assert [s.name for s in sources] == ["broken.jpg", "glass.webp", "turned.jpg", "Über der Stadt.png"]
    assert problems == []


def test_a_folder_without_photos_is_a_problem(photos: Path, tmp_path: Path) -> None:
    found = find_photos([photos / "turned.jpg", tmp_path])
    assert found == ([photos / "turned.jpg"], [f"{tmp_path}: the folder holds no file to read"])
    with pytest.raises(NoPhotosError) as stopped:
        find_photos([tmp_path])
    assert str(stopped.value) == f"{tmp_path}: the folder holds no file to read\nno photos: name picture files, or folders that hold some"
