"""What machines read of a site whose address is known: a feed of its photos, and a list of its pages.

Takes the albums and the address, hands on (path, text) pairs. Nothing in them depends on when they are written.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from xml.sax.saxutils import escape, quoteattr

from .albums import Album
from .pages import absolute, album_path, page_count, path_of
from .report import Photo

FEED, SITEMAP = "feed.xml", "sitemap.xml"

FEED_PHOTOS = 100
"""Latest photos in the feed."""


def feeds(albums: Album, url: str) -> list[tuple[str, str]]:
    """The feed (RSS 2.0) and the list of pages (sitemaps.org 0.9)."""
    photos = albums.all_photos()
    latest = sorted(photos, key=lambda photo: photo.taken or "", reverse=True)[:FEED_PHOTOS]
    items = "".join(_item(photo, url) for photo in latest)
    title, words = escape(albums.title), escape(albums.caption or albums.title)
    head = f"<title>{title}</title><link>{escape(url)}</link><description>{words}</description>"
    own = f'<atom:link href={quoteattr(absolute(url, FEED))} rel="self" type="application/rss+xml"/>'
    feed = f'<rss version="2.0" xmlns:atom="http://www.w3.org/2005/Atom"><channel>{head}{own}\n{items}</channel></rss>\n'
    of_albums = (album_path(album, number + 1) for album in albums.everything() for number in range(page_count(album)))
    pages = [*of_albums, *(path_of(photo.name) for photo in photos)]
    listed = "".join(f"<url><loc>{escape(absolute(url, path))}</loc></url>\n" for path in pages)
    sitemap = f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{listed}</urlset>\n'
    start = '<?xml version="1.0" encoding="UTF-8"?>\n'
    return [(FEED, start + feed), (SITEMAP, start + sitemap)]


def _item(photo: Photo, url: str) -> str:
    page = absolute(url, path_of(photo.name))
    image = photo.rendered
    parts = [f"<title>{escape(photo.title)}</title>", f"<link>{escape(page)}</link>", f"<guid>{escape(page)}</guid>"]
    if photo.caption:
        parts.append(f"<description>{escape(photo.caption)}</description>")
    if photo.taken:
        # cameras do not say in which zone their clock runs
        parts.append(f"<pubDate>{format_datetime(datetime.fromisoformat(photo.taken).replace(tzinfo=UTC))}</pubDate>")
    parts.append(f'<enclosure url={quoteattr(absolute(url, image.path))} length="{image.bytes}" type="image/jpeg"/>')
    return f"<item>{''.join(parts)}</item>\n"
