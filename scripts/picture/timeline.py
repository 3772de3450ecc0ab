"""A real run of two ranks, stopped and resumed, and what its timeline.json says.

Owns the run. timeline_svg.py draws it.
"""

import json
import subprocess
import sys
from typing import NamedTuple

from . import stage

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
STOP = "4"

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


def launcher(project):
    """The mpirun that `make` uses; empty if there is none."""
    which = subprocess.run([project / "scripts" / "which-mpirun"], capture_output=True, text=True, check=True)
    return which.stdout.strip()


def record(binary, project):
    """Runs the farm: two ranks if the program was built with MPI and its launcher is there, otherwise one."""
    version = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    launch = []
    mpirun = launcher(project)
    if mpirun and "Loaded from" in version:
        launch = [mpirun]
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
