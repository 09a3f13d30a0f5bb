"""Where a site is written: whose folder that is, and what in it is ours.

Takes the site's directory, hands on nothing but errors. Ours is a folder whose manifest says so, or the journal of a build that was cut
off; in it, the files that these name, and the journal's own folder, where temporary files lie as well. Everything else is somebody's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ...runtime.files import readable
from .assets import WORK
from .manifest import Known, is_ours

NAMED = 8
"""Most files that a refusal names."""


class SiteWriteError(ValueError):
    """The site cannot be written; what stood there before still stands."""


def apart(inputs: Iterable[str], site: Path) -> None:
    """Raises SiteWriteError where an input is the site's folder or lies in it: the site's own pictures would become photos."""
    root = site.resolve()
    for name in inputs:
        if Path(name).resolve().is_relative_to(root):
            place = "is the folder of the site" if Path(name).resolve() == root else f"lies in the site's folder, {site}"
            raise SiteWriteError(f"{readable(name)} {place}: give photos and site folders of their own, with --out")


def skipped(folder: Path, site: Path) -> str | None:
    """Why a folder below an input holds no photos: it is the site that is being built ("", of which nothing is said), or another one."""
    if folder.resolve() == site.resolve():
        return ""
    return "a site that sdz built" if is_ours(folder) else None


def check_folder(site: Path, ours: bool, force: bool) -> None:
    """Raises SiteWriteError where the site's folder, which is not `ours`, holds other things, unless `force`; OSError where it cannot be
    read."""
    if site.is_dir() and not ours:
        others = sorted(path.name for path in site.iterdir() if not _is_kept_pack(path))
        if others and not force:
            raise SiteWriteError(
                f"{site} holds other files, and no site of ours: {_some(others)}. Name an empty folder; "
                "or with --force the site is written among them, over those of the same names"
            )


def check_pages(site: Path, paths: Iterable[str], known: Known, force: bool) -> None:
    """Raises SiteWriteError where files that we did not make stand at paths that are about to be written, unless `force`."""
    wanted = (f"{path}{suffix}" for path in paths for suffix in ("", ".br", ".gz"))
    others = [path for path in wanted if path not in known.paths and (site / path).exists()]
    if others and not force:
        raise SiteWriteError(f"{site} holds files that sdz did not make where pages are to be: {_some(others)}. --force overwrites them")


def sweep(site: Path) -> None:
    """Removes the temporary files of a build that was stopped."""
    for path in (site / WORK).glob(".*.part"):
        path.unlink(missing_ok=True)


def remove(site: Path, path: str) -> None:
    """Removes a file and the directories it leaves empty; a manifest that was tampered with reaches nothing outside the site."""
    target = (site / path).resolve()
    root = site.resolve()
    if not target.is_relative_to(root):
        return
    target.unlink(missing_ok=True)
    for parent in target.parents:
        if parent == root or not parent.is_dir() or any(parent.iterdir()):
            break
        with suppress(OSError):  # another program's file has arrived in it
            parent.rmdir()


def _is_kept_pack(folder: Path) -> bool:
    """Whether a folder holds the packs that `--pack-from` keeps in a site, made before the site is."""
    return folder.name == "packs" and any(folder.glob(".*.request"))


def _some(names: list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(map(readable, names[:NAMED])) + (f" and {more} more" if more > 0 else "")
