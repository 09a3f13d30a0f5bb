"""Situations in which style sheets put a picture, and a page that holds all of them, of <img> or of <sdz-img>."""

from __future__ import annotations

from typing import Final

SIZE: Final = (250, 170)
"""Of the picture, pixels."""

OWN: Final = (
    "",
    "max-width: 100%",
    "max-width: 100%; height: auto",
    "width: auto; height: auto; max-width: 100%; max-height: 90px",
    "max-height: 77px",
    "max-height: 50%",
    "min-width: 290px",
    "min-height: 190px; max-width: 200px",
    "width: 61%",
    "height: 3em",
    "width: 100%; height: 100%",
    "display: block",
    "display: block; width: auto; height: auto; max-width: 60%",
    "display: block; margin: 0 auto; max-height: 4em",
    "float: right; width: 40%; shape-outside: none",
    "position: absolute; inset: 0; margin: auto; max-width: 50%",
    "position: absolute; left: 5px; right: 5px; width: 100%",
    "vertical-align: middle",
    "vertical-align: top; padding: 7px 3px; border: 2px solid",
    "box-sizing: border-box; width: 130px; padding: 10%; border: 1px solid",
    "aspect-ratio: 1",
    "aspect-ratio: 2 / 1; width: 120px",
    "aspect-ratio: 3 / 4; height: 80px; object-fit: cover",
    "align-self: stretch",
    "align-self: center; flex: 1",
    "flex: 0 1 auto; min-width: 0",
    "justify-self: stretch; align-self: end",
    "width: min-content",
    "width: fit-content; height: 60px",
    "width: calc(100% - 31px); height: auto",
    "inline-size: 99px",
    "transform: rotate(9deg); width: 90px",
    "border-radius: 30px; width: 100px; opacity: 0.6",
    "width: 40px; height: 40px; object-fit: none",
)

PARENTS: Final = (
    "width: 200px",
    "width: 300px; height: 140px",
    "display: flex; width: 260px; height: 110px",
    "display: flex; flex-direction: column; width: 180px",
    "display: flex; width: 220px; align-items: start; justify-content: space-between",
    "display: grid; width: 240px; height: 150px",
    "display: grid; grid-template-columns: 1fr 2fr; width: 280px",
    "display: table; width: 150px",
    "display: inline-block",
    "columns: 2; width: 320px",
)

FITS: Final = ("fill", "contain", "cover", "none", "scale-down")

POSITIONS: Final = ("", "0 0", "100% 100%", "left 10px bottom 5px", "25% 80%", "-20px 1em")

ATTRIBUTES: Final = (
    'width="120" height="60"',
    'width="80"',
    'height="50"',
    'width="50%"',
    'width="64px" height="twelve"',
    'width=" 90.5"',
    'width="0" height="20"',
    'width="300" height="200" style="max-width: 100%; height: auto"',
    'width="300" height="200" style="width: auto; max-height: 70px"',
    'width="100" height="300" style="width: 70px; height: auto"',
    'style="object-fit: cover" width="70" height="70"',
)


def situations() -> list[tuple[str, str]]:
    """(style of the parent, attributes of the picture) of each."""
    out = [(parent, f'style="{own}"') for parent in PARENTS for own in OWN]
    out += [
        ("width: 200px", f'style="width: {w}px; height: {h}px; object-fit: {fit}; object-position: {position}"')
        for fit in FITS
        for position in POSITIONS
        for w, h in ((90, 90), (300, 60))
    ]
    return out + [(parent, attributes) for parent in PARENTS for attributes in ATTRIBUTES]


def wall(tag: str, source: str, closing: str = "", part: slice = slice(None)) -> str:
    """Situations, one below the other, each beside a word so that baselines count."""
    return "".join(
        f'<section style="position: relative; overflow: hidden; min-height: 20px; {parent}">Ág'
        f'<{tag} class="p" src="{source}" data-stage="linear" alt="" {attributes}>{closing}</section>\n'
        for parent, attributes in situations()[part]
    )


PAINTED: Final = (
    *(
        f"width: {w}px; height: {h}px; object-fit: {fit}; object-position: {position or '50% 50%'}"
        for fit in FITS
        for position in POSITIONS
        for w, h in ((60, 60), (90, 30))
    ),
    "width: 90px; border-radius: 20px",
    "width: 60px; height: 60px; border-radius: 50%; object-fit: cover",
    "width: 60px; height: 40px; padding: 5px 9px; background: teal; object-fit: contain",
    "width: 50px; height: 50px; border: 4px dashed navy; object-fit: contain; background: linear-gradient(gold, red)",
    "width: 60px; height: 40px; border: 6px double green; padding: 4px; border-radius: 18px; object-fit: cover",
    "box-sizing: border-box; width: 80px; height: 60px; padding: 12px; border: 3px solid; object-fit: scale-down; background: pink",
    "width: 60px; height: 60px; border-radius: 30px 0 12px 50%; object-fit: none; object-position: 100% 0",
    "width: 70px; filter: grayscale(1); opacity: 0.5; box-shadow: 3px 3px 2px purple; outline: 2px solid orange",
    "width: 60px; height: 60px; clip-path: circle(40%); object-fit: cover",
    "width: 60px; transform: rotate(20deg) scale(0.8); margin: 9px",
    "width: 60px; height: 60px; object-fit: cover; mix-blend-mode: multiply; background: yellow",
)
"""Styles whose painting is compared, each in a place of 100 x 70 pixels."""

COLUMNS: Final = 10
CELL: Final = (100, 70)
MARK: Final = (255, 0, 255)
"""The colour of the lines around a board, which nothing else has."""


def board(tag: str, source: str, closing: str = "") -> str:
    """All of `PAINTED`, in rows, with lines around them."""
    rows = -(-len(PAINTED) // COLUMNS)
    cells = "".join(
        f'<div style="position: absolute; overflow: hidden; left: {i % COLUMNS * CELL[0]}px; top: {i // COLUMNS * CELL[1]}px; '
        f'width: {CELL[0]}px; height: {CELL[1]}px"><{tag} class="p" src="{source}" data-stage="linear" alt="" style="{style}">'
        f"{closing}</div>"
        for i, style in enumerate(PAINTED)
    )
    size = f"width: {COLUMNS * CELL[0]}px; height: {rows * CELL[1]}px"
    return f'<main style="position: absolute; left: 0; top: 0; background: white; border: 1px solid rgb{MARK}; {size}">{cells}</main>'


BOXES: Final = """[...document.querySelectorAll(".p")].map((element) => {
  const box = element.getBoundingClientRect(), around = element.parentNode.getBoundingClientRect();
  const numbers = [box.x - around.x, box.y - around.y, box.width, box.height, around.width, around.height];
  return [...numbers.map((value) => Math.round(value * 64) / 64), element.width, element.height];
})"""
"""Where each picture is in its parent, its size, the parent's, and what the element itself says."""
