"""What is on a terminal, as cells with colors: pyte, and what it lacks.

Owns the emulation. Knows nothing of time and of pictures.
"""

from collections import defaultdict
import copy
from typing import NamedTuple, Optional

import pyte


class Style(NamedTuple):
    """How characters look. Colors are pyte's names or six hexadecimal digits; `fg` and `bg` are the terminal's own."""

    color: str = "fg"
    background: str = "bg"
    bold: bool = False
    faint: bool = False
    italic: bool = False
    underlined: bool = False


class Run(NamedTuple):
    """Characters of one style, next to each other."""

    column: int
    width: int
    text: str
    style: Style


class View(NamedTuple):
    """A screen: the runs of each row, and the column and row of the cursor unless it is hidden."""

    rows: tuple
    cursor: Optional[tuple]

    def text(self):
        lines = []
        for runs in self.rows:
            line, at = "", 0
            for run in runs:
                line += " " * (run.column - at) + run.text
                at = run.column + run.width
            lines.append(line.rstrip())
        return "\n".join(lines).rstrip("\n")


class Screen(pyte.Screen):
    """pyte's screen with an alternate buffer and faint text, neither of which pyte 0.8 has.

    pyte keeps the attributes of a character in a tuple of fixed fields. Faint text is kept as blinking text; text that
    blinks is drawn as faint.
    """

    ALTERNATE = {47, 1047, 1049}

    def __init__(self, columns, lines):
        self.primary = None
        self.titles = 0
        super().__init__(columns, lines)

    def reset(self):
        self.primary = None
        super().reset()

    def set_title(self, param):
        super().set_title(param)
        self.titles += 1

    def set_mode(self, *modes, **kwargs):
        super().set_mode(*modes, **kwargs)
        if kwargs.get("private") and self.ALTERNATE & set(modes) and self.primary is None:
            self.primary = (self.buffer, copy.copy(self.cursor))
            self.buffer = defaultdict(self.buffer.default_factory)
            self.dirty.update(range(self.lines))

    def reset_mode(self, *modes, **kwargs):
        super().reset_mode(*modes, **kwargs)
        if kwargs.get("private") and self.ALTERNATE & set(modes) and self.primary is not None:
            hidden = self.cursor.hidden
            self.buffer, self.cursor = self.primary
            self.cursor.hidden = hidden
            self.primary = None
            self.dirty.update(range(self.lines))

    def select_graphic_rendition(self, *attrs, **kwargs):
        changed, left = [], list(attrs)
        while left:
            number = left.pop(0)
            if number in (38, 48):
                # The numbers of a color are no attributes.
                count = {5: 2, 2: 4}.get(left[0] if left else 0, 0)
                changed += [number, *left[:count]]
                left = left[count:]
            else:
                changed += {2: [5], 22: [22, 25]}.get(number, [number])
        super().select_graphic_rendition(*changed, **kwargs)

    def view(self):
        rows = tuple(self._runs(y) for y in range(self.lines))
        cursor = None if self.cursor.hidden else (min(self.cursor.x, self.columns - 1), self.cursor.y)
        return View(rows, cursor)

    def _runs(self, y):
        cells = [self.buffer[y][x] for x in range(self.columns)]
        runs = []
        for x, cell in enumerate(cells):
            style = _style(cell)
            if runs and runs[-1].style == style and runs[-1].column + runs[-1].width == x:
                last = runs[-1]
                runs[-1] = last._replace(width=last.width + 1, text=last.text + cell.data)
            elif cell.data != " " or style.background != "bg" or style.underlined:
                runs.append(Run(x, 1, cell.data, style))
        return tuple(filter(None, map(_trimmed, runs)))


def _style(cell):
    color = "fg" if cell.fg == "default" else cell.fg
    background = "bg" if cell.bg == "default" else cell.bg
    if cell.reverse:
        color, background = background, color
    return Style(color, background, cell.bold, cell.blink, cell.italics, cell.underscore)


def _trimmed(run):
    """Without blanks at its end that nobody sees."""
    if run.style.background != "bg" or run.style.underlined:
        return run
    text = run.text.rstrip(" ")
    return run._replace(width=run.width - (len(run.text) - len(text)), text=text) if text else None
