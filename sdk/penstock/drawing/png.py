"""An SVG picture as pixels."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from penstock.drawing.svg import FONTS
from penstock.errors import CommandError

try:
    import resvg_py
except ImportError:
    raise CommandError('a PNG needs what is not installed: pip install "penstock[png]"; -o svg needs nothing') from None

ZOOM: Final = 2.0
"""Pixels of the PNG for each of the SVG: sharp on screens with many of them."""
MAX_SIDE: Final = 16_000
MAX_PIXELS: Final = 60_000_000
"""Four bytes of memory each. What would be larger is painted smaller."""
MIN_ZOOM: Final = 0.5
"""Text that is smaller can't be read."""
_SIZE: Final = re.compile(r'width="(\d+)" height="(\d+)"')


def paint(svg: str, warn: Callable[[str], None]) -> bytes:
    """Paint a picture.

    Args:
        svg: as `penstock.drawing.svg` writes it.
        warn: told if it had to be made so small that it can't be read.

    Returns:
        A PNG file.

    Raises:
        CommandError: this machine has none of the fonts.
    """
    if not _has_fonts():
        raise CommandError(
            "this machine has none of the fonts that text is painted with: "
            "install one (fonts-dejavu-core, say), or take -o svg"
        )
    size = _SIZE.search(svg)
    assert size is not None, "our own pictures say how large they are"
    width, height = int(size[1]), int(size[2])
    zoom = min(ZOOM, MAX_SIDE / max(width, height), (MAX_PIXELS / (width * height)) ** 0.5)
    if zoom < MIN_ZOOM:
        warn(f"the graph is so large that it was made {1 / zoom:.0f} times smaller: -o svg can be read")
    return resvg_py.svg_to_bytes(svg, zoom=zoom)


def _has_fonts() -> bool:
    """Whether text leaves a mark: without fonts it is left out without a word."""
    start = f'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9" font-family="{FONTS}">'
    return resvg_py.svg_to_bytes(f'{start}<text y="9">M</text></svg>') != resvg_py.svg_to_bytes(f"{start}</svg>")
