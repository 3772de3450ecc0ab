"""A timeline → SVG: a row for each slot, a box for each attempt, colored by how it ended.

Owns the drawing. Where the timeline comes from is not known here.
"""

from .svg import FONTS, document, escaped, number
from .timeline import FAILED, FINISHED, INTERRUPTED, STOP

COLORS = {
    "light": {FINISHED: "#4a90d9", FAILED: "#c2410c", INTERRUPTED: "#59636e"},
    "dark": {FINISHED: "#4f9be8", FAILED: "#ff8a4c", INTERRUPTED: "#8f9aa6"},
}
LEGEND = {
    FINISHED: "exit code 0",
    FAILED: "ended in any other way",
    INTERRUPTED: "ran again after the resume",
}

WIDTH = 800
LEFT, RIGHT, TOP = 76, 22, 58
ROW, GAP, HEAD, FOOT = 17, 12, 22, 28
# If nothing runs for this many seconds, the next run begins. The space between two runs, in pixels.
BETWEEN, BREAK = 0.4, 30


class Axis:
    """Where times are. The time between two runs, when nothing runs anywhere, is not drawn."""

    def __init__(self, boxes):
        # The first and the last moment of each run.
        self.runs = []
        for box in sorted(boxes, key=lambda box: box.start):
            if self.runs and box.start - self.runs[-1][1] < BETWEEN:
                self.runs[-1] = (self.runs[-1][0], max(box.end, self.runs[-1][1]))
            else:
                self.runs.append((box.start, box.end))
        self.seconds = sum(end - start for start, end in self.runs)
        self.scale = (WIDTH - LEFT - RIGHT - BREAK * (len(self.runs) - 1)) / self.seconds

    def stretches(self):
        """Where each run is: x and width."""
        x = LEFT
        for start, end in self.runs:
            width = (end - start) * self.scale
            yield x, width
            x += width + BREAK

    def place(self, time):
        """The x of a time within a run."""
        placed = zip(self.runs, self.stretches())
        return next(x + (time - start) * self.scale for (start, end), (x, _) in placed if start <= time <= end)


def picture(timeline, theme):
    """The SVG."""
    colors = COLORS[theme.name]
    axis = Axis(timeline.boxes)
    # Where each row is.
    rows, body, y = {}, [], TOP
    for rank in sorted(timeline.names):
        body.append(f'<text class="b" x="14" y="{y + 14}">{escaped(timeline.names[rank])}</text>\n')
        y += HEAD
        slots = {box.slot for box in timeline.boxes if box.rank == rank}
        for slot in range(max(slots, default=0) + 1):
            body.append(f'<text class="m" x="{LEFT - 10}" y="{y + 12}" text-anchor="end">slot {slot}</text>')
            for x, width in axis.stretches():
                body.append(f'<rect class="r" x="{number(x)}" y="{y}" width="{number(width)}" height="{ROW - 2}"/>\n')
            rows[(rank, slot)] = y
            y += ROW
        y += GAP
    body += _ticks(axis, y)
    for box in timeline.boxes:
        x, top = axis.place(box.start), rows[(box.rank, box.slot)]
        # A gap between neighbors, but no box is invisible.
        width = max((box.end - box.start) * axis.scale - 1, 1)
        place = f'x="{number(x)}" y="{top}" width="{number(width)}" height="{ROW - 2}"'
        body.append(f'<rect class="{box.how}" {place} rx="2"/>')
        if width > 17:
            body.append(f'<text class="i {box.how}-i" x="{number(x + 4)}" y="{top + 12}">{box.task}</text>')
        body.append("\n")
    body += _legend()
    height = y + FOOT
    count = {how: sum(box.how == how for box in timeline.boxes) for how in LEGEND}
    description = (
        f"A chart with a row for each slot of {', '.join(timeline.names.values())}, and a time axis for each of "
        f"{len(axis.runs)} runs, {axis.seconds:.1f} seconds in all. Each box is an attempt of a task, with the task's ID: "
        f"{count[FINISHED]} finished, {count[FAILED]} failed, and {count[INTERRUPTED]} were interrupted when the farm was "
        "stopped and ran again after it was resumed."
    )
    window = (
        f'<rect x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1}" rx="8" fill="{theme.color("bg")}" '
        f'stroke="{theme.border}"/>\n<text class="b" x="14" y="24">timeline.json of a farm that was stopped by '
        f"--timeout {STOP} and resumed</text>\n"
    )
    style = _style(theme, colors)
    return document(WIDTH, height, "Timeline of a farm", description, style, window + "".join(body))


def _style(theme, colors):
    background, text = theme.color("bg"), theme.color("fg")
    return (
        f"text{{font:12px {FONTS};fill:{text}}}.b{{font-weight:bold}}.m{{fill:{theme.color('white')}}}"
        f".r{{fill:{theme.border};fill-opacity:.35}}.t{{stroke:{theme.border}}}.i{{font-size:11px;fill:{background}}}"
        f".{FINISHED}{{fill:{colors[FINISHED]}}}.{FAILED}{{fill:{colors[FAILED]}}}"
        f".{INTERRUPTED}{{fill:none;stroke:{colors[INTERRUPTED]};stroke-dasharray:3 2}}.{INTERRUPTED}-i{{fill:{text}}}"
    )


def _ticks(axis, y):
    """Whole seconds since the start of each run, 14 ticks at most."""
    step = next((step for step in (1, 2, 5, 10, 30, 60, 300) if axis.seconds / step <= 14), 3600)
    for start, end in axis.runs:
        for at in range(0, int(end - start) + 1, step):
            x = number(axis.place(start + at))
            yield f'<path class="t" d="M{x} {TOP + HEAD}V{y}"/>'
            yield f'<text class="m" x="{x}" y="{y + 15}" text-anchor="middle">{at} s</text>\n'


def _legend():
    x = 14
    for how, meaning in LEGEND.items():
        words = f"{how}: {meaning}"
        yield f'<rect class="{how}" x="{number(x)}" y="36" width="14" height="12" rx="2"/>'
        yield f'<text x="{number(x + 20)}" y="46">{words}</text>\n'
        x += 40 + len(words) * 7.3
