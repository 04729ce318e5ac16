"""Renders an SVG picture as PNG."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from penstock.drawing.svg import FONTS
from penstock.errors import CommandError

try:
    import resvg_py
except ImportError:
    raise CommandError(
        'PNG output requires the extra png: pip install ".[png]" in a checkout of Penstock; or use -o svg'
    ) from None

ZOOM: Final = 2.0
"""PNG pixels per SVG pixel: sharp on high-resolution screens."""
MAX_SIDE: Final = 16_000
MAX_PIXELS: Final = 60_000_000
"""Four bytes of memory each. Larger pictures are scaled down."""
MIN_ZOOM: Final = 0.5
"""Below this, text is not readable."""
_SIZE: Final = re.compile(r'width="(\d+)" height="(\d+)"')


def paint(svg: str, warn: Callable[[str], None]) -> bytes:
    """Render a picture.

    Args:
        svg: the output of `penstock.drawing.svg`.
        warn: called with a message if the picture was scaled down so far that it is not readable.

    Returns:
        A PNG file.

    Raises:
        CommandError: this machine has no suitable font.
    """
    if not _has_fonts():
        raise CommandError(
            "no suitable font found for PNG output: install one, such as fonts-dejavu-core, or use -o svg"
        )
    size = _SIZE.search(svg)
    assert size is not None, "our SVG pictures have width and height"
    width, height = int(size[1]), int(size[2])
    zoom = min(ZOOM, MAX_SIDE / max(width, height), (MAX_PIXELS / (width * height)) ** 0.5)
    if zoom < MIN_ZOOM:
        warn(f"the graph is very large and was scaled down by a factor of {1 / zoom:.0f}; -o svg is readable")
    return resvg_py.svg_to_bytes(svg, zoom=zoom)


def _has_fonts() -> bool:
    """Whether text is rendered: without fonts it is omitted silently."""
    start = f'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9" font-family="{FONTS}">'
    return resvg_py.svg_to_bytes(f'{start}<text y="9">M</text></svg>') != resvg_py.svg_to_bytes(f"{start}</svg>")
