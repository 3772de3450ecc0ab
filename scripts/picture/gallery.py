"""All pictures of a folder on one page, and as PNG files."""

import html
import re

from .svg import FONTS
from .theme import THEMES


def write(folder, png):
    """Writes index.html, and a PNG file for each still picture."""
    if png:
        for picture in sorted(folder.glob("*-end.svg")) + sorted(folder.glob("*-moment.svg")):
            _to_png(picture, picture.with_suffix(".png"))
    parts = ['<!DOCTYPE html>\n<html lang="en"><meta charset="utf-8"><title>Pictures</title>\n']
    parts.append("<style>body{font:16px sans-serif;margin:0}section{padding:1em}img{margin:.5em}</style>\n")
    for theme in THEMES:
        parts.append(f'<section style="background:{theme.page};color:{theme.color("fg")}">\n<h1>{theme.name}</h1>\n')
        for picture in sorted(folder.glob(f"*-{theme.name}*.svg")):
            name = html.escape(picture.name)
            parts.append(f'<h2>{name}</h2>\n<img src="{name}" alt="{name}">\n')
        parts.append("</section>\n")
    (folder / "index.html").write_text("".join(parts), encoding="utf-8")


def _to_png(picture, target):
    # Installed only for --png.
    import cairosvg

    # CairoSVG takes only the first font of a list, and one of several blanks.
    text = picture.read_text(encoding="utf-8").replace(FONTS, "monospace")
    text = re.sub("(?<=>)[^<>]+(?=</text>)", lambda found: found[0].replace(" ", "\N{NO-BREAK SPACE}"), text)
    cairosvg.svg2png(bytestring=text.encode(), write_to=str(target), scale=2)
