"""The freedesktop.org desktop: installing its files for .sdz (`install`), and thumbnails (`thumbnail`)."""
