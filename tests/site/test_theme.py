"""Themes: templates over the built-in ones, colours that can be read, languages and their directions."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from browser import Site, picture
from sites import options

from sdz.export import cli
from sdz.export.site.build import build
from sdz.export.site.photos import PhotoOptions
from sdz.export.site.report import Report, kilobytes
from sdz.export.site.theme.numbers import photo_count
from sdz.export.site.theme.theme import CONTRAST, PAPERS, Theme, ThemeError, contrast, readable_on
from sdz.export.site.theme.words import WORDS

DAYS = [("2024-05-03", "2024-05-03"), ("2024-05-03", "2024-05-09"), ("2024-04-30", "2024-05-02"), ("2023-12-30", "2024-01-02")]


def test_languages_have_the_same_words() -> None:
    assert {frozenset(words) for words in WORDS.values()} == {frozenset(WORDS["en"])}
    assert all(len(words["months"].split()) == 12 for words in WORDS.values())
    assert all(words["place"].format(number=2, count=7).count("7") == 1 for words in WORDS.values())
    places = {lang: {name: sorted(re.findall(r"{\w+}", text)) for name, text in words.items()} for lang, words in WORDS.items()}
    assert all(found == places["en"] for found in places.values())


def test_numbers_of_a_language() -> None:
    assert [kilobytes(n, WORDS["de"]) for n in (9_999, 41_234, 2_690_000)] == ["9.999 B", "41,2 kB", "2,69 MB"]
    assert [kilobytes(n, WORDS["fr"]) for n in (9_999, 41_234)] == ["9\u202f999 o", "41,2 ko"]
    assert photo_count(1, WORDS["fr"]) == "1 photo"


@pytest.mark.parametrize(("lang", "own", "marked"), [("de", "de", False), ("fr-CA", "fr", False), ("ar", "en", True)])
def test_everything_is_in_the_language(lang: str, own: str, marked: bool, one: Path, pack: Path, tmp_path: Path) -> None:
    """No text of another is left; where the language has none, what is English says so."""
    report = built(one, pack, tmp_path, Theme(lang=lang))
    pages = {path: (report.site / path).read_text() for path in ("index.html", "photos/a.html", "photos/b.html")}
    for text in pages.values():
        assert f'<html lang="{lang}"' in text
        assert ('lang="en" dir="ltr"' in text) == marked
    others = {text for name in WORDS for key, text in WORDS[name].items() if name != own and text not in WORDS[own].values()}
    # what no other language could contain by chance
    long = {re.sub(r"{.*", "", text) for text in others}
    assert [text for text in long if len(text) > 12 and any(text in page for page in pages.values())] == []
    said = WORDS[own]["described"].format(title="B", width=48, height=32, bytes=kilobytes(report.photos[1].sdz.bytes, WORDS[own]))
    assert f'<meta name="description" content="{said}">' in pages["photos/b.html"]
    assert WORDS[own]["sent"] in pages["photos/a.html"] and WORDS[own]["gallery_sent"] in pages["index.html"]


def test_dates_in_other_languages() -> None:
    german = [Theme(lang="de-CH").days(days) for days in DAYS]
    assert german == ["3. Mai 2024", "3.–9. Mai 2024", "30. April – 2. Mai 2024", "2023–2024"]
    assert [Theme(lang="fr").days(days) for days in DAYS[:2]] == ["3 mai 2024", "3–9 mai 2024"]
    assert Theme(lang="fr").moment("2024-08-03T08:05:00") == "3 août 2024, 08:05"


@pytest.mark.parametrize(
    ("lang", "direction"),
    [("en", "ltr"), ("ar", "rtl"), ("AR-EG", "rtl"), ("he", "rtl"), ("ku-Arab-IQ", "rtl"), ("ku", "ltr"), ("art", "ltr")],
)
def test_directions(lang: str, direction: str) -> None:
    assert Theme(lang=lang).direction == direction


def test_an_accent_can_be_read() -> None:
    assert Theme().rules() == ""
    assert Theme(accent="#06c").rules() == (":root{--accent:#0066cc}@media (prefers-color-scheme:dark){:root{--accent:#2e82d5}}\n")
    for colour in ((255, 255, 0), (0, 0, 0), (255, 255, 255), (128, 128, 128)):
        for paper in PAPERS.values():
            text = readable_on(paper, colour)
            assert contrast(paper, tuple(bytes.fromhex(text[1:]))) >= CONTRAST
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    for wrong in ("red", "#12", "#12345", "url(x)"):
        with pytest.raises(ThemeError, match="is no colour: #rgb or #rrggbb"):
            Theme(accent=wrong).rules()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "theme"
    made.mkdir()
    return made


@pytest.fixture
def one(tmp_path: Path) -> Path:
    made = tmp_path / "photos"
    (made / "sub").mkdir(parents=True)
    for name in ("a.png", "b.png", "sub/c.png"):
        picture(48, 32).save(made / name)
    (made / "a.txt").write_text("title: <i>A</i>\n\nTwo & two")
    return made


def built(one: Path, pack: Path, tmp_path: Path, theme: Theme) -> Report:
    return build(options(one, pack, tmp_path / "site", photo=PhotoOptions(ms_ssim=False, fallback="jpeg"), judged=0, theme=theme))


def test_a_theme_of_its_own(one: Path, pack: Path, tmp_path: Path, folder: Path) -> None:
    (folder / "index.html").write_text(
        '{% extends "sdz/index.html" %}{% block head %}<meta name="author" content="{{ site.title }}">{% endblock %}'
        "{% block ledger %}<footer>Mine{% for photo in photos %} · {{ photo.title }}{% endfor %}</footer>{% endblock %}"
    )
    (folder / "style.css").write_text(".wall { gap: 0 }\n")
    (folder / "words.json").write_text(json.dumps({"more": "Weiter", "photos": "Bilder"}))
    report = built(one, pack, tmp_path, Theme(folder, "#06c", "de"))
    text = (report.site / "index.html").read_text()
    assert text.startswith('<!doctype html>\n<html lang="de">\n')
    assert '<meta name="author" content="Three &amp; more"></head>' in text
    assert "<footer>Mine · &lt;i&gt;A&lt;/i&gt; · B</footer>" in text
    assert 'class="ledger"' not in text
    assert '<span class="count">1 Foto</span>' in text
    sheet = next((report.site / "assets").glob("sizes.*.css")).read_text()
    assert sheet.endswith(f"{Theme(accent='#06c').rules()}.wall {{ gap: 0 }}\n")
    page = (report.site / "photos/a.html").read_text()
    assert ("Herunterladen" in page, '<span class="place">1 von 2</span>' in page) == (True, True)
    assert re.search(r'<details class="how" data-sheet="[^"]+">\n<summary>Wie dieses Bild gesendet wurde <small>', page)
    # another theme makes no photo again
    again = built(one, pack, tmp_path, Theme())
    assert again.reused == 3
    assert 'class="ledger">' in (report.site / "index.html").read_text()


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("index.html", "<p>\n{% if %}", "{folder}/index.html, line 2: Expected an expression, got 'end of statement block'"),
        ("photo.html", "{{ nothing.here }}", "a template of the theme: 'nothing' is undefined"),
        ("words.json", '{"no": "x"}', "{folder}/words.json: it holds texts by these names: {names}; not no"),
        ("words.json", "[", "{folder}/words.json: Expecting value: line 1 column 2 (char 1)"),
        ("words.json", '{"months": "one two"}', "{folder}/words.json: months are twelve names, separated by blanks"),
    ],
)
def test_what_is_wrong_with_a_theme(
    name: str, text: str, problem: str, one: Path, pack: Path, tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / name).write_text(text)
    line = ["build", str(one), "--out", str(tmp_path / "site"), "--pack", str(pack), "--jobs", "1", "--quiet", "--template", str(folder)]
    assert cli.main(line) == 1
    expected = problem.replace("{folder}", str(folder)).replace("{names}", ", ".join(WORDS["en"]))
    assert capsys.readouterr().err == f"sdz build: {expected}\n"
    assert not (tmp_path / "site/index.html").exists()


def test_no_folder_of_templates(one: Path, pack: Path, tmp_path: Path) -> None:
    with pytest.raises(ThemeError, match="is no folder of templates"):
        built(one, pack, tmp_path, Theme(tmp_path / "gone"))


def test_words_of_another_direction_keep_their_order(one: Path, pack: Path, tmp_path: Path) -> None:
    """English between Hebrew: "1 of 2" and not "of 2 1"; what has no letters follows the page."""
    (one / "a.txt").write_text("title: 12:30\ndate: 2024-05-03\n\nA wave.")
    pages = {lang: (built(one, pack, tmp_path / lang, Theme(lang=lang)).site / "photos/a.html").read_text() for lang in ("he", "en")}
    own = [re.findall(r"<bdi>([^<]+)</bdi>", pages[lang]) for lang in ("he", "en")]
    assert own == [["Three &amp; more", "1 of 2", "3 May 2024", "A wave."], []]
    assert "<h1>12:30</h1>" in pages["he"] and "<p>A wave.</p>" in pages["en"]


def test_from_right_to_left(chromium: Any, one: Path, pack: Path, tmp_path: Path) -> None:
    """What comes next lies to the left, for keys and for the eye."""
    pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright")
    report = built(one, pack, tmp_path, Theme(lang="he"))
    host = Site("/")
    host.files = {path.relative_to(report.site).as_posix(): path for path in report.site.rglob("*") if path.is_file()}
    page = chromium.new_context(viewport={"width": 390, "height": 844}).new_page()
    page.goto(host.url("photos/a.html"))
    page.wait_for_function("customElements.get('sdz-img') !== undefined && document.querySelector('.full').hidden === false")
    assert page.evaluate("[document.dir, document.documentElement.lang]") == ["rtl", "he"]
    box = page.locator("a[rel=next]").bounding_box()
    assert box["x"] == 0
    with page.expect_navigation():
        page.keyboard.press("ArrowLeft")
    assert page.url.endswith("b.html")
    page.wait_for_function("customElements.get('sdz-img') !== undefined && document.querySelector('.full').hidden === false")
    box = page.locator("a[rel=prev]").bounding_box()
    assert box["x"] + box["width"] == 390
    page.goto(host.url("index.html"))
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.context.close()
    host.close()
