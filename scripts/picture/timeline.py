"""A real run of two ranks, stopped and resumed, and the picture of its timeline.json.

Owns the run and the drawing.
"""

import json
import subprocess
import sys
from typing import NamedTuple

from . import stage
from .svg import FONTS, document, escaped, number

# Sixty tasks of 0.3 to 2.7 seconds; every 13th fails, after a second at most.
TASKS = r"""
for i in $(seq 0 59); do
    case $((i % 13)) in
        7) echo "sleep 0.$((3 + i % 7)); exit 1" ;;
        *) echo "sleep $((i * 7 % 5 / 2)).$((3 + i * 3 % 5))" ;;
    esac
done > tasks.txt
"""
SLOTS = 6
STOP = "3"

# The second run resumes the first, which is stopped in the middle. A host name of its own makes a node of each rank.
RUN = r"""
exec 3>&1 1>&2
cat > ~/bin/on-node <<'END'
#!/bin/bash
exec unshare --uts bash -c 'hostname "$1"; shift; exec "$@"' on-node "$@"
END
chmod 755 ~/bin/on-node
. ~/.bashrc
farm() { # OPTIONS
    local farm=(taskfarmer-mpi --quiet --proc "$SLOTS" "$@" tasks.txt)
    if [ ${#launch[@]} = 0 ]; then
        on-node nid0001 "${farm[@]}"
    else
        "${launch[@]}" -n 1 on-node nid0001 "${farm[@]}" : -n 1 on-node nid0002 "${farm[@]}"
    fi
}
status=0; farm --timeout "$STOP" || status=$?
[ "$status" = 3 ] || exit 10
status=0; farm || status=$?
[ "$status" = 1 ] || exit 11
cat tasks.txt_workdir/timeline.json >&3
"""

FINISHED, FAILED, INTERRUPTED = "finished", "failed", "interrupted"
COLORS = {
    "light": {FINISHED: "#4a90d9", FAILED: "#c2410c", INTERRUPTED: "#59636e"},
    "dark": {FINISHED: "#4f9be8", FAILED: "#ff8a4c", INTERRUPTED: "#8f9aa6"},
}
LEGEND = {
    FINISHED: "exit code 0",
    FAILED: "ended in any other way",
    INTERRUPTED: "ran again after the resume",
}
# The categories of events in timeline.json.
KINDS = {"task": FINISHED, "task,failed": FAILED, "task,interrupted": INTERRUPTED}


class Box(NamedTuple):
    """An attempt: the ID, where it ran, when it started and ended, in seconds, and how it ended."""

    task: int
    rank: int
    slot: int
    start: float
    end: float
    how: str


class Timeline(NamedTuple):
    boxes: list
    # By rank.
    names: dict


def record(binary, project):
    """Runs the farm: two ranks if the program was built with MPI and its launcher is there, otherwise one."""
    version = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    which = subprocess.run([project / ".ci" / "which-mpirun"], capture_output=True, text=True, check=True)
    launch = []
    if which.stdout and "Loaded from" in version:
        launch = [which.stdout.strip()]
        if "Open MPI" in version:
            launch += ["--oversubscribe", "--bind-to", "none"]
    setup = f"{TASKS}SLOTS={SLOTS if launch else 8}\nSTOP={STOP}\nlaunch=({' '.join(launch)})\n"
    words = stage.command(binary, "nid0001", setup, ["bash", "-c", RUN])
    ran = subprocess.run(words, env=stage.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if ran.returncode != 0:
        sys.exit(f"pictures: the run for the timeline ended with exit code {ran.returncode}:\n{ran.stderr}")
    return read(json.loads(ran.stdout))


def read(events):
    """What timeline.json says."""
    names, boxes = {}, []
    for event in events:
        if event["ph"] == "M" and event["name"] == "process_name":
            names[event["pid"]] = event["args"]["name"]
        elif event["ph"] == "X":
            start, args = event["ts"] / 1e6, event["args"]
            end = start + event["dur"] / 1e6
            boxes.append(Box(args["id"], event["pid"], args["slot"], start, end, KINDS[event["cat"]]))
    return Timeline(sorted(boxes, key=lambda box: (box.rank, box.slot, box.start)), names)


WIDTH = 800
LEFT, RIGHT, TOP = 76, 22, 58
ROW, GAP, HEAD, AXIS = 17, 12, 22, 28


def picture(timeline, theme):
    """The SVG."""
    colors = COLORS[theme.name]
    first = min(box.start for box in timeline.boxes)
    last = max(box.end for box in timeline.boxes)
    scale = (WIDTH - LEFT - RIGHT) / (last - first)
    # Where each row is.
    rows, body, y = {}, [], TOP
    for rank in sorted(timeline.names):
        body.append(f'<text class="b" x="14" y="{y + 14}">{escaped(timeline.names[rank])}</text>\n')
        y += HEAD
        slots = {box.slot for box in timeline.boxes if box.rank == rank}
        for slot in range(max(slots, default=0) + 1):
            body.append(f'<text class="m" x="{LEFT - 10}" y="{y + 12}" text-anchor="end">slot {slot}</text>')
            body.append(f'<rect class="r" x="{LEFT}" y="{y}" width="{WIDTH - LEFT - RIGHT}" height="{ROW - 2}"/>\n')
            rows[(rank, slot)] = y
            y += ROW
        y += GAP
    body += _axis(y, last - first, scale)
    for box in timeline.boxes:
        x, top = LEFT + (box.start - first) * scale, rows[(box.rank, box.slot)]
        # A gap between neighbors, but no box is invisible.
        width = max((box.end - box.start) * scale - 1, 1)
        place = f'x="{number(x)}" y="{top}" width="{number(width)}" height="{ROW - 2}"'
        body.append(f'<rect class="{box.how}" {place} rx="2"/>')
        if width > 17:
            body.append(f'<text class="i {box.how}-i" x="{number(x + 4)}" y="{top + 12}">{box.task}</text>')
        body.append("\n")
    body += _legend()
    height = y + AXIS
    count = {how: sum(box.how == how for box in timeline.boxes) for how in LEGEND}
    description = (
        f"A chart with a row for each slot of {', '.join(timeline.names.values())}, and a time axis of "
        f"{last - first:.1f} seconds. Each box is an attempt of a task, with the task's ID: {count[FINISHED]} finished, "
        f"{count[FAILED]} failed, and {count[INTERRUPTED]} were interrupted when the farm was stopped and ran again "
        "after it was resumed."
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


def _axis(y, seconds, scale):
    """Ticks at whole seconds, 12 at most."""
    step = next(step for step in (1, 2, 5, 10, 30, 60, 300, 3600) if seconds / step <= 12 or step == 3600)
    for at in range(0, int(seconds) + 1, step):
        x = number(LEFT + at * scale)
        yield f'<path class="t" d="M{x} {TOP + HEAD}V{y}"/>'
        yield f'<text class="m" x="{x}" y="{y + 15}" text-anchor="middle">{at} s</text>\n'


def _legend():
    x = 14
    for how, meaning in LEGEND.items():
        words = f"{how}: {meaning}"
        yield f'<rect class="{how}" x="{number(x)}" y="36" width="14" height="12" rx="2"/>'
        yield f'<text x="{number(x + 20)}" y="46">{words}</text>\n'
        x += 40 + len(words) * 7.3
