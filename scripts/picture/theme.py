"""The colors of pictures, on a light and on a dark page."""

from typing import NamedTuple


class Theme(NamedTuple):
    name: str
    suffix: str
    page: str
    border: str
    colors: dict

    def color(self, name):
        """The color of one of pyte's names, or of six hexadecimal digits."""
        return self.colors.get(name) or f"#{name}"


LIGHT = Theme(
    "light",
    "",
    "#ffffff",
    "#cfd5dc",
    {
        "fg": "#20262d",
        "bg": "#f7f8fa",
        "black": "#20262d",
        "red": "#b42318",
        "green": "#1b6e34",
        "brown": "#7a5300",
        "blue": "#1552b5",
        "magenta": "#8527a8",
        "cyan": "#0b6a75",
        "white": "#5b6570",
    },
)
DARK = Theme(
    "dark",
    "-dark",
    "#0d1117",
    "#39414b",
    {
        "fg": "#e3e8ee",
        "bg": "#14191f",
        "black": "#77828e",
        "red": "#ff7b72",
        "green": "#62c978",
        "brown": "#e0b252",
        "blue": "#7ab4ff",
        "magenta": "#d79bff",
        "cyan": "#5fccd6",
        "white": "#e3e8ee",
    },
)
THEMES = (LIGHT, DARK)
# Bright colors look like the others: on a light page, a brighter color would be harder to read.
for _theme in THEMES:
    for _name in ("black", "red", "green", "brown", "blue", "magenta", "cyan", "white"):
        _theme.colors[f"bright{_name}"] = _theme.colors[_name]
    _theme.colors["brightblack"] = {"light": "#5b6570", "dark": "#8f9aa6"}[_theme.name]
    # pyte 0.8 spells it like this.
    _theme.colors["bfightmagenta"] = _theme.colors["magenta"]


def luminance(color):
    """Relative luminance as WCAG 2 defines it."""
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    """Contrast ratio as WCAG 2 defines it: 1 to 21; text should have 4.5."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
