"""Pictures in the markup of other programs' pages: which are found, and that nothing else of a page changes."""

from __future__ import annotations

import pytest

from sdz.export.plain.markup import for_both, read_markup, replacement, rewritten


@pytest.mark.parametrize(
    ("text", "sources"),
    [
        ('<img src="a.jpg">', ["a.jpg"]),
        ("<IMG alt=x SRC=a.jpg>", ["a.jpg"]),
        ("<p>1 < 2<img\n src = 'a&amp;b.jpg' />", ["a&b.jpg"]),
        ('<img src="a.jpg" src="b.jpg">', ["a.jpg"]),
        ('<img alt="no source"><img src=""><img src>', []),
        ('<picture><source srcset="a.avif"><img src="a.jpg"></picture><img src="b.jpg">', ["b.jpg"]),
        ('<noscript><img src="a.jpg"></noscript><svg><img src="b.jpg"></svg><template><img src="c.jpg"></template>', []),
        ('<sdz-img src="a.sdz"><noscript><img src="a.jpg"></noscript></sdz-img>', []),
        ('<img src="a.jpg" srcset="b.jpg 2x"><img src="a.jpg" usemap="#m"><img src="a.jpg" data-sdz="a.sdz">', []),
        ("<!-- <img src='a.jpg'> --><script>'<img src=a.jpg>'</script><style>/* <img src=a.jpg> */</style>", []),
    ],
)
def test_images_that_may_be_replaced(text: str, sources: list[str]) -> None:
    found = read_markup(text).images
    assert [image.source for image in found] == sources
    assert all(text[image.start :].startswith(image.tag) for image in found)


def test_everything_else_stays() -> None:
    """Line ends, letters of no encoding, attributes of any spelling, what is no HTML."""
    raw = (
        b"\xef\xbb\xbf<!DOCTYPE html>\r\n<title>\xff \xc3\xa9</title>\r<meta charset=utf-8>\n<style>.x>img{ color:red }</style></HEAD>\r\n"
        b"<p a=1 A = '2'>\r\n  <img class=\"hero\" SRC='a.jpg' alt=\"1 > 2\" /> & &amp; </p></p><x:y/><![CDATA[ <img src=a.jpg>"
    )
    text = raw.decode(errors="surrogateescape")
    markup = read_markup(text)
    out = rewritten(text, markup, {image.start: "a.jpg.sdz" for image in markup.images[:1]}, "<HEAD>", for_both)
    expected = raw.replace(
        b'<img class="hero" SRC=\'a.jpg\' alt="1 > 2" />',
        b'<sdz-img class="hero" SRC="a.jpg.sdz" alt="1 > 2"><noscript><img class="hero" SRC=\'a.jpg\' alt="1 > 2" /></noscript></sdz-img>',
    )
    expected = expected.replace(b"</HEAD>", b"<HEAD></HEAD>").replace(b".x>img{", b".x>:is(img,sdz-img){")
    assert out.encode(errors="surrogateescape") == expected


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("<head><title>t</title></head><body>", "</head>"),
        ("<title>t</title><body class=a><p>", "<body"),
        ("<p>t<img src=a.jpg>", "<img"),
    ],
)
def test_where_the_head_is(text: str, place: str) -> None:
    assert text[read_markup(text).head or 0 :].startswith(place)


def test_what_else_matters_of_a_page() -> None:
    markup = read_markup('<base href="/x/"><link rel=stylesheet href="a.css" integrity="sha256-x"><link rel=stylesheet href=b.css>')
    assert (markup.based, markup.sealed, markup.head) == (True, ["a.css"], None)


def test_attributes_of_a_replacement() -> None:
    tag = "<img id=a src=x.jpg?1 width='5' hidden alt>"
    assert replacement(tag, 'a"b&.sdz') == (
        f"<sdz-img id=a src=\"a&quot;b&amp;.sdz\" width='5' hidden alt><noscript>{tag}</noscript></sdz-img>"
    )


@pytest.mark.parametrize(
    ("css", "both"),
    [
        ("img{a:b}", ":is(img,sdz-img){a:b}"),
        ("p > IMG:hover , .img, #img, figure img.wide{}", "p > :is(img,sdz-img):hover , .img, #img, figure :is(img,sdz-img).wide{}"),
        ("a{background:url(img.png);content:'img'}", "a{background:url(img.png);content:'img'}"),
        ("/* img { */ @media (x:img){ img { y: img } }", "/* img { */ @media (x:img){ :is(img,sdz-img) { y: img } }"),
        ("a{& img{b:c} d:e}", "a{& :is(img,sdz-img){b:c} d:e}"),
        ("a[title='img'],sdz-img,img-x,my-img{}", "a[title='img'],sdz-img,img-x,my-img{}"),
        ("@keyframes img{from{a:b}} @import 'img';", "@keyframes img{from{a:b}} @import 'img';"),
        ("img", "img"),
    ],
)
def test_rules_for_images_hold_for_both(css: str, both: str) -> None:
    assert for_both(css) == both
    assert for_both(both) == both
