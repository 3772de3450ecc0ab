"""Frames of a terminal → SVG, moving or still.

A picture has one element for each text that stood in a row for some time, and CSS shows it for that time. No scripts:
many sites remove them from pictures. Where CSS does not move, or the reader wants no motion, the last frame is shown.
"""

from collections import defaultdict

from . import film
from .svg import FONTS, document, escaped, number

FONT_SIZE = 14
CELL = 8.4
LINE = 19
BASELINE = 14
PADDING = 14


def still(view, rows, columns, theme, title, description):
    """A picture of one screen."""
    return animated([film.Frame(0.0, view)], rows, columns, theme, title, description)


def animated(frames, rows, columns, theme, title, description):
    """A picture that plays the frames again and again."""
    spans = [*_row_spans(frames, rows), *_cursor_spans(frames)]
    end = film.length(frames)
    groups, styles = defaultdict(list), {}
    for first, last, element in spans:
        groups[(first, last)].append(element(theme, styles))
    css, body = _base_css(theme), [_window(rows, columns, theme)]
    moving = len(frames) > 1
    if moving:
        css += f"g{{animation:{number(end)}s step-end infinite}}.x{{visibility:hidden}}"
    for index, ((first, last), elements) in enumerate(sorted(groups.items())):
        if first == 0 and last == len(frames):
            body += elements
            continue
        show, hide = (f"{number(frames[at].at / end * 100)}%" for at in (first, min(last, len(frames) - 1)))
        if last == len(frames):
            css += f"@keyframes a{index}{{0%{{visibility:hidden}}{show}{{visibility:visible}}}}"
            body.append(f'<g class="a{index}">{"".join(elements)}</g>\n')
        else:
            css += f"@keyframes a{index}{{{show}{{visibility:visible}}{hide}{{visibility:hidden}}}}"
            body.append(f'<g class="x a{index}">{"".join(elements)}</g>\n')
        css += f".a{index}{{animation-name:a{index}}}"
    css += "".join(f".{name}{{{rule}}}" for rule, name in styles.items())
    if moving:
        css += "@media(prefers-reduced-motion:reduce){g{animation-name:none!important}}"
    return document(_width(columns), _height(rows), title, description, css, "".join(body))


def _row_spans(frames, rows):
    """For each text of each row: its first frame, the frame after its last one, and how to draw it."""
    for y in range(rows):
        first = 0
        for at in range(1, len(frames) + 1):
            runs = frames[first].view.rows[y]
            if at == len(frames) or frames[at].view.rows[y] != runs:
                if runs:
                    yield first, at, lambda theme, styles, y=y, runs=runs: _row(y, runs, theme, styles)
                first = at


def _cursor_spans(frames):
    first = 0
    for at in range(1, len(frames) + 1):
        cursor = frames[first].view.cursor
        if at == len(frames) or frames[at].view.cursor != cursor:
            if cursor:
                yield first, at, lambda _theme, _styles, cursor=cursor: _cursor(*cursor)
            first = at


def _row(y, runs, theme, styles):
    parts = []
    for run in runs:
        x, width = PADDING + run.column * CELL, run.width * CELL
        if run.style.background != "bg":
            parts.append(
                f'<rect x="{number(x)}" y="{PADDING + y * LINE}" width="{number(width)}" height="{LINE}" '
                f'fill="{theme.color(run.style.background)}"/>'
            )
        name = _class(run.style, theme, styles)
        # The length makes every font as wide as the cells.
        parts.append(
            f'<text{name} x="{number(x)}" y="{PADDING + y * LINE + BASELINE}" textLength="{number(width)}">'
            f"{escaped(run.text)}</text>"
        )
    return "".join(parts) + "\n"


def _cursor(x, y):
    return f'<rect class="c" x="{number(PADDING + x * CELL)}" y="{PADDING + y * LINE}" width="8" height="{LINE - 1}"/>'


def _class(style, theme, styles):
    rules = []
    if style.color != "fg":
        rules.append(f"fill:{theme.color(style.color)}")
    if style.bold:
        rules.append("font-weight:bold")
    if style.faint:
        rules.append("fill-opacity:.7")
    if style.italic:
        rules.append("font-style:italic")
    if style.underlined:
        rules.append("text-decoration:underline")
    if not rules:
        return ""
    return f' class="{styles.setdefault(";".join(rules), f"s{len(styles)}")}"'


def _base_css(theme):
    # Some browsers keep blanks because of this rule, others because of xml:space.
    text = f"text{{font:{FONT_SIZE}px {FONTS};fill:{theme.color('fg')};white-space:pre}}"
    return text + f".c{{fill:{theme.color('fg')};fill-opacity:.55}}"


def _window(rows, columns, theme):
    return (
        f'<rect x=".5" y=".5" width="{number(_width(columns) - 1)}" height="{number(_height(rows) - 1)}" rx="8" '
        f'fill="{theme.color("bg")}" stroke="{theme.border}"/>\n'
    )


def _width(columns):
    return columns * CELL + 2 * PADDING


def _height(rows):
    return rows * LINE + 2 * PADDING
