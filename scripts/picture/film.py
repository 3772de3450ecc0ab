"""From a recording to frames: what was on the screen, and from when.

Owns the time of pictures: what is too quick to be seen is left out, and what takes too long is shortened.
"""

import re
from typing import NamedTuple

import pyte

from .screen import Screen, View

# Seconds. Output within this time is one frame, so that a line that is erased and written again stays visible.
MOMENT = 0.04
# If nothing changes for longer, the picture shows this much of it.
IDLE = 1.2
# All times of a longer session are shortened by the same factor.
LENGTH = 12.0
# The last frame stays for this long before the picture starts again.
HOLD = 3.0


class Frame(NamedTuple):
    at: float
    view: View


def frames(events, columns, rows):
    """The frames of a recording, which consists of pairs of time and text."""
    screen = Screen(columns, rows)
    stream = pyte.Stream(screen)
    found = []
    for at, text in _moments(events):
        stream.feed(text)
        view = screen.view()
        if not found or found[-1].view != view:
            found.append(Frame(at, view))
    return _shortened(found)


def _moments(events):
    """The texts that came at the same moment, joined."""
    first, texts = None, []
    for at, text in events:
        if texts and at - first > MOMENT:
            yield first, "".join(texts)
            texts = []
        if not texts:
            first = at
        texts.append(text)
    if texts:
        yield first, "".join(texts)


def _shortened(found):
    now, before, kept = 0.0, 0.0, []
    for at, view in found:
        now += min(at - before, IDLE)
        before = at
        kept.append(Frame(now, view))
    factor = min(1.0, (LENGTH - HOLD) / now) if now else 1.0
    return [Frame(frame.at * factor, frame.view) for frame in kept]


def length(found):
    """How long a picture of these frames takes before it starts again."""
    return found[-1].at + HOLD


def height(found):
    """The rows that are used, from the first."""
    used = 1
    for frame in found:
        used = max([used, *(y + 1 for y, runs in enumerate(frame.view.rows) if runs)])
        if frame.view.cursor:
            used = max(used, frame.view.cursor[1] + 1)
    return used


def moment(found, pattern):
    """The first frame whose text matches, or else the one at half time.

    Blanks and ends of lines do not count: narrow terminals break lines anywhere.
    """
    matching = (frame for frame in found if re.search(pattern, re.sub(r"\s", "", frame.view.text())))
    half = (frame for frame in found if frame.at >= found[-1].at / 2)
    return next(matching, None) or next(half)
