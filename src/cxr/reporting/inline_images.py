"""Pictures as data URIs, so that a page is one file."""

import base64
import io
from pathlib import Path

from PIL import Image

COLOURS = 256


def data_uri(path: Path, *, width: int, film: bool = False) -> str:
    """A picture as an optimised PNG in a data URI.

    Args:
        path: any picture that Pillow reads.
        width: a wider picture is reduced to it, pixels.
        film: keep every grey level and colour; otherwise the picture is a drawing and gets a palette.
    """
    with Image.open(path) as opened:
        image = opened if opened.mode in {"L", "RGB"} else _on_white(opened)
        if image.width > width:
            image = image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)
        if not film and image.mode == "RGB":
            image = image.quantize(COLOURS, dither=Image.Dither.NONE)
        buffer = io.BytesIO()
        image.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _on_white(image: Image.Image) -> Image.Image:
    coloured = image.convert("RGBA")
    paper = Image.new("RGBA", coloured.size, "white")
    return Image.alpha_composite(paper, coloured).convert("RGB")
