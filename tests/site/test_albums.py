"""Albums: texts beside photos and in them, order, covers, days, and the pages, feed and list that they make."""

from __future__ import annotations

import io
import json
import os
import re
import struct
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from browser import picture
from PIL import Image, TiffImagePlugin
from sites import options

from sdz.export import cli
from sdz.export.site import texts
from sdz.export.site.build import build
from sdz.export.site.metadata import Facts, day_of, read_facts
from sdz.export.site.originals import strip_jpeg, strip_png
from sdz.export.site.pages import absolute
from sdz.export.site.photos import PhotoOptions
from sdz.export.site.report import Report, text_report
from sdz.export.site.texts import Texts, read_folder
from sdz.export.site.theme.theme import Theme

FAST: dict[str, Any] = {"judged": 0, "brotli_quality": 0, "photo": PhotoOptions(fallback="none", ms_ssim=False, originals=True)}

XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:Iptc4xmpCore="http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/"
 xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" photoshop:Headline="A headline">
<dc:title><rdf:Alt><rdf:li xml:lang="de">Der Hafen</rdf:li><rdf:li xml:lang="x-default">The harbour</rdf:li></rdf:Alt></dc:title>
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">Boats &amp; gulls</rdf:li></rdf:Alt></dc:description>
<Iptc4xmpCore:AltTextAccessibility><rdf:Alt><rdf:li xml:lang="x-default">Three boats</rdf:li></rdf:Alt></Iptc4xmpCore:AltTextAccessibility>
</rdf:Description></rdf:RDF></x:xmpmeta>"""


def shot(taken: str | None = None, **options: Any) -> bytes:
    """A JPEG as a camera writes it: with a place, a serial number, an owner."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Canon", "Canon EOS R5"
    exif[0x013B], exif[0x8298] = "OWNER NAME", "OWNER NAME"
    camera = exif.get_ifd(0x8769)
    if taken:
        camera[0x9003] = taken
    camera[0x829A], camera[0x829D] = TiffImagePlugin.IFDRational(1, 250), TiffImagePlugin.IFDRational(28, 10)
    camera[0x8827], camera[0x920A], camera[0xA434] = 200, TiffImagePlugin.IFDRational(50), "RF 50mm"
    camera[0xA431], camera[0xA430] = "SERIAL12345", "OWNER NAME"
    place = exif.get_ifd(0x8825)
    place[1], place[2], place[3], place[4] = "N", (52.0, 30.0, 12.5), "E", (13.0, 20.0, 0.0)
    place[29] = "GPSDATE"
    for tag, value in options.pop("exif", {}).items():
        exif[tag] = value
    out = io.BytesIO()
    picture(48, 32).save(out, "JPEG", exif=exif, quality=90, **options)
    return out.getvalue()


# what a file says of itself


def test_facts_of_exif() -> None:
    assert read_facts(shot("2024:05:03 18:30:05", exif={0x010E: "  At the sea \0"})) == Facts(
        caption="At the sea",
        taken="2024-05-03T18:30:05",
        capture=(
            ("Camera", "Canon EOS R5"),
            ("Lens", "RF 50mm"),
            ("Exposure", "1/250 s"),
            ("Aperture", "f/2.8"),
            ("ISO", "200"),
            ("Focal length", "50 mm"),
        ),
    )
    assert read_facts(shot(exif={0x9C9B: "Título".encode("utf-16-le") + b"\0\0"})).title == "Título"


def test_facts_of_xmp_stand_above_those_of_exif() -> None:
    found = read_facts(shot(exif={0x010E: "camera"}, xmp=XMP.encode()))
    assert (found.title, found.caption, found.alt) == ("The harbour", "Boats & gulls", "Three boats")
    headline = re.sub(r"<dc:title>.*?</dc:title>", "", XMP)
    assert read_facts(shot(xmp=headline.encode())).title == "A headline"


def test_facts_of_iptc() -> None:
    def dataset(number: int, text: bytes) -> bytes:
        return b"\x1c\x02" + bytes([number]) + len(text).to_bytes(2, "big") + text

    block = dataset(5, "Ein Käfer".encode("latin-1")) + dataset(120, b"On a leaf")
    resource = b"8BIM\x04\x04\0\0" + len(block).to_bytes(4, "big") + block + bytes(len(block) % 2)
    segment = b"Photoshop 3.0\0" + resource
    data = shot()
    data = data[:2] + b"\xff\xed" + (2 + len(segment)).to_bytes(2, "big") + segment + data[2:]
    assert (read_facts(data).title, read_facts(data).caption) == ("Ein Käfer", "On a leaf")


@pytest.mark.parametrize("packet", [b"<x", b"<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>", b"\xff\xfe\0", b""])
def test_damaged_blocks_say_nothing(packet: bytes) -> None:
    assert read_facts(shot(xmp=packet)).title is None
    assert read_facts(b"no picture") == Facts()


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2024:05:03 18:30:05", "2024-05-03T18:30:05"),
        ("2024-05-03 18:30", "2024-05-03T18:30:00"),
        ("2024-05-03", "2024-05-03"),
        ("0000:00:00 00:00:00", None),
        ("2023-02-30", None),
        ("yesterday", None),
    ],
)
def test_dates(text: str, day: str | None) -> None:
    assert day_of(text) == day


def test_originals_keep_pixels_and_orientation_and_nothing_else() -> None:
    data = shot("2024:05:03 18:30:05", exif={0x0112: 6}, xmp=XMP.encode(), comment=b"OWNER NAME", progressive=True)
    clean = strip_jpeg(data + b"\xff\xd8 a second picture with SERIAL12345")
    assert b"SERIAL12345" in data and b"OWNER" in data and b"GPSDATE" in data
    assert not [word for word in (b"SERIAL", b"OWNER", b"GPS", b"Canon", b"2024", b"harbour", b"second") if word in clean]
    with Image.open(io.BytesIO(data)) as before, Image.open(io.BytesIO(clean)) as after:
        assert dict(after.getexif()) == {0x0112: 6}
        assert after.tobytes() == before.tobytes()
    with pytest.raises((IndexError, ValueError)):
        strip_jpeg(data[:-400])


def test_a_photo_too_large_for_pillow_keeps_its_orientation(monkeypatch: pytest.MonkeyPatch) -> None:
    data = shot(exif={0x0112: 6})
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    clean = strip_jpeg(data)
    monkeypatch.undo()
    with Image.open(io.BytesIO(clean)) as after:
        assert dict(after.getexif()) == {0x0112: 6}


def test_originals_keep_a_pngs_pixels_and_colours() -> None:
    from PIL import ImageCms, PngImagePlugin

    words = PngImagePlugin.PngInfo()
    words.add_text("Author", "OWNER NAME")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    out = io.BytesIO()
    picture(20, 20).save(out, "PNG", pnginfo=words, icc_profile=profile, exif=Image.Exif())
    clean = strip_png(out.getvalue())
    assert b"OWNER" in out.getvalue() and b"OWNER" not in clean
    with Image.open(io.BytesIO(clean)) as after:
        assert (after.tobytes(), after.info["icc_profile"]) == (picture(20, 20).tobytes(), profile)
    with pytest.raises((IndexError, struct.error)):
        strip_png(out.getvalue()[:60])


# what stands beside photos


def test_texts_beside_photos(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(
        "title: Été à Nice\nALT: A beach\ndate: 2024-05-03 18:30\n\nFirst line.\n\nNote: more.\n", encoding="utf-8"
    )
    (tmp_path / "b.md").write_bytes("# Käse\n\nalt: A cheese\n\nGood.".encode("utf-8-sig"))
    (tmp_path / "c.txt").write_bytes("Note: only a caption, in Latin-1: é".encode("latin-1"))
    (tmp_path / "d.txt").write_text("date: yesterday")
    (tmp_path / "album.md").write_text("# My album\ncover: b.jpg\n\nWords.")
    (tmp_path / "photos.csv").write_text('file;Title;alt\na.jpg;;"From; the table"\nx.jpg;X;\n;Y;\n')
    (tmp_path / "order.txt").write_text("# first\nb.jpg\n\nsub/\n")
    found = read_folder(tmp_path, ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"])
    assert found.photos == {
        "a.jpg": Texts("Été à Nice", "From; the table", "First line.\n\nNote: more.", "2024-05-03T18:30:00"),
        "b.jpg": Texts("Käse", "A cheese", "Good."),
        "c.jpg": Texts(caption="Note: only a caption, in Latin-1: é"),
    }
    assert found.album == Texts("My album", caption="Words.", cover="b.jpg")
    assert found.order == ["b.jpg", "sub"]
    assert found.problems == [
        f"{tmp_path / 'd.txt'}: 'yesterday' is no date: write it as 2024-05-31 or 2024-05-31 18:30",
        f"{tmp_path / 'photos.csv'}, line 4: the column 'file' has no name",
        f"{tmp_path / 'photos.csv'}: there is no photo x.jpg",
    ]


def test_a_text_that_is_too_long_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "MAX_BYTES", 10)
    (tmp_path / "a.txt").write_text("eleven byte")
    found = read_folder(tmp_path, ["a.jpg"])
    assert (found.photos, found.problems) == ({}, [f"{tmp_path / 'a.txt'}: more than 10 bytes are no caption"])


@pytest.mark.parametrize(
    ("days", "words"),
    [
        (None, ""),
        (("2024-05-03", "2024-05-03"), "3 May 2024"),
        (("2024-05-03", "2024-05-09"), "3–9 May 2024"),
        (("2024-04-30", "2024-05-02"), "30 April – 2 May 2024"),
        (("2022-04-30", "2024-05-02"), "2022–2024"),
    ],
)
def test_days_in_words(days: tuple[str, str] | None, words: str) -> None:
    assert Theme().days(days) == words


def test_moments_and_addresses() -> None:
    assert [Theme().moment(text) for text in ("2024-05-03", "2024-05-03T08:05:00")] == ["3 May 2024", "3 May 2024, 08:05"]
    url = "https://example.org/x/"
    paths = ("index.html", "albums/a/index.html", "photos/さ.html")
    assert [absolute(url, path) for path in paths] == [url, f"{url}albums/a/", f"{url}photos/%E3%81%95.html"]


# a site of albums


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("albums") / "in"
    files = {
        "z.jpg": shot("2020:01:01 00:00:00"),
        "Été à Nice/b.jpg": shot("2024:05:01 10:00:00"),
        "Été à Nice/a.jpg": shot("2024:05:03 10:00:00", xmp=XMP.encode()),
        "Été à Nice/c.jpg": shot(),
        "Été à Nice/cafés/d.jpg": shot("2024:05:02 10:00:00"),
        "been/e.jpg": shot(),
        "been/f.jpg": shot("2021:01:01 00:00:00"),
        "been/photos.csv": b"file,title,alt\nf.jpg,<b>F</b>,An F\n",
        "been/album.md": b"# Where we have been\ncover: f.jpg\n\nTwo lines\n\nof words.\n",
        "been/order.txt": b"e.jpg\n",
        "order.txt": "Été à Nice\n".encode(),
    }
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


@pytest.fixture(scope="module")
def site(tree: Path, pack: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    return build(options(tree, pack, tmp_path_factory.mktemp("made") / "site", url="https://example.org/x/", **FAST))


def page(site: Report, path: str) -> str:
    return (site.site / path).read_text(encoding="utf-8")


def test_albums_and_their_order(site: Report) -> None:
    assert [(photo.name, photo.title, photo.alt) for photo in site.photos] == [
        ("z", "Z", None),
        ("ete-a-nice/b", "B", None),
        ("ete-a-nice/a", "The harbour", "Three boats"),
        ("ete-a-nice/c", "C", None),
        ("ete-a-nice/cafes/d", "D", None),
        ("been/e", "E", None),
        ("been/f", "<b>F</b>", "An F"),
    ]
    root = page(site, "index.html")
    cards = re.findall(
        r'<a href="(albums/[^"]+)">.*?alt="([^"]*)".*?<span class="name">([^<]*)</span><span class="count">([^<]*)</span>', root
    )
    assert cards == [
        ("albums/ete-a-nice/index.html", "B", "Été à Nice", "4 photos · 1–3 May 2024"),
        ("albums/been/index.html", "An F", "Where we have been", "2 photos · 1 January 2021"),
    ]
    assert re.findall(r'<figure[^>]*><a href="([^"]*)"', root) == ["photos/z.html"]
    inner = page(site, "albums/ete-a-nice/cafes/index.html")
    assert re.findall(r'<li><a href="([^"]*)">([^<]*)</a></li>', inner) == [
        ("../../../index.html", "Three &amp; more"),
        ("../index.html", "Été à Nice"),
    ]
    assert "<h1>cafés</h1>" in inner
    been = page(site, "albums/been/index.html")
    assert "<p>Two lines</p>\n<p>of words.</p>" in been and "&lt;b&gt;F&lt;/b&gt;" in been
    assert "What a visitor downloads" in root and "What a visitor downloads" not in been


def test_a_photos_page(site: Report) -> None:
    text = page(site, "photos/ete-a-nice/a.html")
    assert re.findall(r'rel="(prev|next)" href="([^"]*)" aria-label="([^"]*)"', text) == [
        ("prev", "b.html", "Previous: B"),
        ("next", "c.html", "Next: C"),
    ]
    assert "2 of 3" in text and 'data-up="../../albums/ete-a-nice/index.html"' in text
    assert '<time datetime="2024-05-03T10:00:00">3 May 2024, 10:00</time>' in text
    assert "<p>Boats &amp; gulls</p>" in text and "<dt>Camera</dt><dd>Canon EOS R5</dd>" in text
    meta = dict(re.findall(r'<meta (?:property|name)="((?:og|twitter):[^"]*)" content="([^"]*)">', text))
    photo = site.photos[2]
    assert meta == {
        "og:type": "article",
        "og:site_name": "Three &amp; more",
        "og:title": "The harbour · Été à Nice",
        "og:description": "Boats &amp; gulls",
        "og:url": "https://example.org/x/photos/ete-a-nice/a.html",
        "og:image": f"https://example.org/x/{photo.rendered.path}",
        "og:image:type": "image/jpeg",
        "og:image:width": "48",
        "og:image:height": "32",
        "og:image:alt": "Three boats",
        "twitter:card": "summary_large_image",
    }
    assert '<link rel="canonical" href="https://example.org/x/photos/ete-a-nice/a.html">' in text
    with Image.open(site.site / photo.rendered.path) as image:
        assert (image.format, image.size) == ("JPEG", (48, 32))


def test_feed_and_list_of_pages(site: Report) -> None:
    feed = ElementTree.fromstring(page(site, "feed.xml"))
    items = [(item.findtext("title"), item.findtext("link"), item.findtext("pubDate")) for item in feed.iter("item")]
    assert items[0] == ("The harbour", "https://example.org/x/photos/ete-a-nice/a.html", "Fri, 03 May 2024 10:00:00 +0000")
    assert len(items) == 7 and items[-1][2] is None
    enclosure = next(feed.iter("enclosure")).attrib
    assert enclosure == {
        "url": f"https://example.org/x/{site.photos[2].rendered.path}",
        "length": str(site.photos[2].rendered.bytes),
        "type": "image/jpeg",
    }
    listed = [element.text for element in ElementTree.fromstring(page(site, "sitemap.xml")).iter() if element.tag.endswith("loc")]
    assert len(listed) == 4 + 7 and listed[:2] == ["https://example.org/x/", "https://example.org/x/albums/ete-a-nice/"]


def test_addresses_of_nested_pages_lead_somewhere(site: Report) -> None:
    pages = list(site.site.rglob("*.html"))
    assert len(pages) == 4 + 7
    for path in pages:
        for address in re.findall(r'\s(?:src|href|data-src|data-original|data-up)="([^"]*)"', path.read_text(encoding="utf-8")):
            assert address == "data:," or address.startswith("https://example.org/x/") or (path.parent / address).is_file(), address


def test_private_metadata_never_reaches_the_site(site: Report) -> None:
    words = (b"SERIAL12345", b"OWNER NAME", b"GPSDATE")
    private = [path for path in site.site.rglob("*") if path.is_file() and any(word in path.read_bytes() for word in words)]
    assert private == []
    for path in site.site.rglob("*.jpg"):
        with Image.open(path) as image:
            assert dict(image.getexif()) == {}


def test_metadata_is_kept_on_request(tree: Path, pack: Path, tmp_path: Path) -> None:
    wanted = PhotoOptions(fallback="none", ms_ssim=False, originals=True, keep_metadata=True)
    report = build(options(tree / "z.jpg", pack, tmp_path / "site", **{**FAST, "photo": wanted}))
    original = report.photos[0].original
    assert original is not None and (report.site / original.path).read_bytes() == (tree / "z.jpg").read_bytes()
    assert b"SERIAL12345" in (report.site / report.photos[0].sdz.path).read_bytes()


def test_no_original_unless_asked_for(tree: Path, pack: Path, tmp_path: Path) -> None:
    wanted = PhotoOptions(fallback="none", ms_ssim=False)
    report = build(options(tree / "z.jpg", pack, tmp_path / "site", **{**FAST, "photo": wanted}))
    assert report.photos[0].original is None
    text = page(report, "photos/z.html")
    assert "data-original" not in text and f'href="../{report.photos[0].rendered.path}" download="Z"' in text
    assert "og:image" not in text and not (report.site / "feed.xml").exists()


def test_texts_change_without_making_a_photo_again(tree: Path, pack: Path, site: Report, tmp_path: Path) -> None:
    for path in tree.rglob("*"):
        if path.is_file():
            target = tmp_path / "in" / path.relative_to(tree)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    wanted = options(tmp_path / "in", pack, tmp_path / "site", **FAST)
    assert build(wanted).reused == 0
    (tmp_path / "in/z.txt").write_text("title: Ünbound\nalt: At last")
    report = build(wanted)
    assert (report.reused, report.photos[0].title, report.photos[0].alt) == (7, "Ünbound", "At last")
    (tmp_path / "in/z.txt").unlink()
    assert build(wanted).photos[0].title == "Z"


def test_order_by_name_and_what_is_reported(tree: Path, pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["build", str(tree), "--out", str(tmp_path / "site"), "--pack", str(pack), "--jobs", "1", "--fallback", "none"]
    assert cli.main([*command, "--order", "name", "--json", "--quiet"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [photo["source"] for photo in report["photos"]][:4] == ["z.jpg", "Été à Nice/a.jpg", "Été à Nice/b.jpg", "Été à Nice/c.jpg"]
    silent = ["z.jpg", "Été à Nice/b.jpg", "Été à Nice/c.jpg", "Été à Nice/cafés/d.jpg", "been/e.jpg"]
    assert report["without_alt"] == silent


def test_photos_without_alternative_text_are_named(site: Report) -> None:
    line = next(line for line in text_report(site).splitlines() if "alternative text" in line)
    assert line == (
        "5 photos without alternative text: z.jpg, Été à Nice/b.jpg, Été à Nice/c.jpg, Été à Nice/cafés/d.jpg, been/e.jpg. "
        "Write it as `alt: …` into a .txt beside a photo, or photos.csv"
    )


@pytest.mark.parametrize("address", ["example.org", "ftp://example.org/", "https://", "https://example.org/?a=b"])
def test_an_address_that_is_none(address: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["build", "a.png", "--out", str(tmp_path), "--url", address])
    assert stopped.value.code == 2


def test_folders_whose_names_are_not_utf8(pack: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in" / os.fsdecode(b"caf\xe9s")
    folder.mkdir(parents=True)
    (folder / os.fsdecode(b"\xe9.jpg")).write_bytes(shot())
    (folder / os.fsdecode(b"\xe9.txt")).write_text("alt: é")
    report = build(options(tmp_path / "in", pack, tmp_path / "site", **FAST))
    assert [(p.name, p.source, p.alt) for p in report.photos] == [("cafes/e", "cafés/é.jpg", "é")]
    assert "<h1>cafés</h1>" in page(report, "albums/cafes/index.html")


def test_texts_of_folders_that_hold_only_folders(pack: Path, tmp_path: Path) -> None:
    """The root's title is the site's, where none is given."""
    (tmp_path / "in/a/b").mkdir(parents=True)
    (tmp_path / "in/a/c").mkdir()
    for name in ("a/b/one.png", "a/c/two.png"):
        picture(40, 30).save(tmp_path / "in" / name)
    (tmp_path / "in/album.md").write_text("# Everything\ncover: none.png\n\nAll of it.\n")
    (tmp_path / "in/a/album.txt").write_text("title: The A\n\nOf A.\n")
    (tmp_path / "in/a/order.txt").write_text("c\nb\n")
    report = build(options(tmp_path / "in", pack, tmp_path / "site", **FAST | {"title": None}))
    root, album = ((report.site / path).read_text() for path in ("index.html", "albums/a/index.html"))
    assert ("<h1>Everything</h1>" in root, "<p>All of it.</p>" in root) == (True, True)
    assert ("<h1>The A</h1>" in album, "<p>Of A.</p>" in album) == (True, True)
    assert re.findall(r'<span class="name">([^<]*)</span>', album) == ["c", "b"]
    assert report.notes == ["album Everything: there is no photo none.png to be the cover"]
    again = build(options(tmp_path / "in", pack, tmp_path / "site", **FAST | {"title": "Given"}))
    assert "<h1>Given</h1>" in (again.site / "index.html").read_text()
