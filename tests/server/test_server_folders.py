"""The pages of folders without an index: what they hold, what they leave out, and where a folder's name without a slash leads."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from sdz.server.app import create_app
from sdz.server.listing import listing

PHOTO = (Path(__file__).parents[1] / "vectors" / "valid" / "everything.sdz").read_bytes()
GREY = (Path(__file__).parents[1] / "vectors" / "valid" / "grey.sdz").read_bytes()


def addresses(text: str) -> list[str]:
    return re.findall(r'<a href="([^"]*)"', text)


def test_a_root_with_folders_only_is_a_page_of_them(tmp_path: Path) -> None:
    for name in ("b", "a/deep", "empty", ".hidden"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "b" / "1.sdz").write_bytes(GREY)
    (tmp_path / "a" / "deep" / "2.sdz").write_bytes(PHOTO)
    (tmp_path / ".hidden" / "3.sdz").write_bytes(PHOTO)
    client = TestClient(create_app(tmp_path))
    page = client.get("/")
    assert (page.status_code, addresses(page.text)) == (200, ["./a/", "./b/"])
    assert "<h1>Pictures</h1>\n<p>2 folders</p>" in page.text
    # the first picture of a folder is its cover; one with folders only has none
    assert re.findall(r'<img src="([^"]*)" alt="" width="40" height="40"', page.text) == ["./b/1.sdz"]
    assert page.text.count('class="empty"') == 1
    below = client.get("/a/")
    assert (addresses(below.text), "<h1>a</h1>\n<p>1 folder</p>" in below.text) == (["../", "./deep/"], True)
    assert client.get("/empty/").status_code == 404
    assert client.get("/.hidden/").status_code == 404


def test_a_page_does_not_follow_links_out_of_the_folder(tmp_path: Path) -> None:
    outside, site = tmp_path / "outside", tmp_path / "site"
    outside.mkdir()
    (site / "own").mkdir(parents=True)
    (outside / "secret.sdz").write_bytes(PHOTO)
    (site / "own" / "a.sdz").write_bytes(GREY)
    (site / "link.sdz").symlink_to(outside / "secret.sdz")
    (site / "folder").symlink_to(outside)
    (site / "own" / "up.sdz").symlink_to(outside / "secret.sdz")
    (site / "only").mkdir()
    (site / "only" / "linked.sdz").symlink_to(outside / "secret.sdz")
    (site / "inside.sdz").symlink_to(site / "own" / "a.sdz")
    client = TestClient(create_app(site))
    page = client.get("/")
    assert addresses(page.text) == ["./own/", "./inside.sdz"]
    assert "Füße" not in page.text
    assert addresses(client.get("/own/").text) == ["../", "./a.sdz"]
    for path in ("/folder/", "/only/", "/link.sdz", "/folder/secret.sdz"):
        assert client.get(path).status_code == 404


def test_names_that_are_not_utf_8(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    Path(os.fsdecode(folder)).mkdir()
    for name in (b"/\xfcber.sdz", "/über.sdz".encode()):
        Path(os.fsdecode(folder + name)).write_bytes(PHOTO)
    (tmp_path / "ok.sdz").write_bytes(GREY)
    client = TestClient(create_app(tmp_path))
    page = client.get("/")
    assert addresses(page.text) == ["./caf%E9/", "./ok.sdz"]
    assert "caf\ufffd <small>folder" in page.text
    below = client.get("/caf%E9", follow_redirects=False)
    assert (below.status_code, below.headers["location"]) == (307, "./caf%E9/")
    listed = client.get("/caf%E9/")
    assert sorted(addresses(listed.text)) == ["../", "./%C3%BCber.sdz", "./%FCber.sdz"]
    for path in ("/caf%E9/%FCber.sdz", "/caf%E9/%C3%BCber.sdz"):
        assert client.get(path).content == PHOTO
    assert client.get("/caf%EF%BF%BD/").status_code == 404
    assert client.get("/caf%E9/%2e%2e/%2e%2e/etc/passwd").status_code == 404
    mounted = TestClient(Starlette(routes=[Mount("/sites/mine", app=create_app(tmp_path))]))
    assert mounted.get("/sites/mine/caf%E9/%FCber.sdz").content == PHOTO


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "[::1]"])
def test_a_location_never_names_a_host(tmp_path: Path, host: str) -> None:
    (tmp_path / "wall").mkdir()
    (tmp_path / "wall" / "a.sdz").write_bytes(PHOTO)
    (tmp_path / "site & co").mkdir()
    (tmp_path / "site & co" / "index.html").write_bytes(b"<!doctype html>")
    client = TestClient(create_app(tmp_path))
    for path, location in (
        ("/wall", "./wall/"),
        ("/wall?a=1&b=//x", "./wall/?a=1&b=//x"),
        ("/site%20%26%20co", "./site%20%26%20co/"),
    ):
        sent = client.get(path, headers={"host": host}, follow_redirects=False)
        assert (sent.status_code, sent.headers["location"]) == (307, location)


def test_more_files_than_a_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdz.server.listing.MOST", 2)
    for name in "abc":
        (tmp_path / f"{name}.sdz").write_bytes(GREY)
    page = listing(tmp_path, tmp_path)
    assert page is not None
    text = bytes(page.body).decode()
    assert (addresses(text), "<p>3 files (the first 2 of them here)</p>" in text) == (["./a.sdz", "./b.sdz"], True)
