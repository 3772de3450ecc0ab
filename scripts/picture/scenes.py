"""The sessions of which there are pictures: what is there before, and what is typed."""

from typing import NamedTuple, Optional


class Step(NamedTuple):
    """A command. Ctrl-C is pressed when the screen shows `interrupt_at`."""

    command: str
    interrupt_at: Optional[str] = None


class Scene(NamedTuple):
    """A session. `setup` runs before the picture begins; `moment` is a pattern of text, without blanks, on
    a screen of which there is a still picture."""

    name: str
    title: str
    description: str
    setup: str
    steps: list
    # High, so that nothing scrolls out of the picture; the picture is as high as what is used.
    rows: int = 200
    moment: Optional[str] = None


# A program that takes a while, as simulations do, and a list that calls it 40 times. Three of its seeds fail.
SIMULATIONS = r"""
mkdir out
cat > simulate <<'END'
#!/bin/bash
seed=$2
sleep "0.$((2 + seed * 7 % 8))"
case $seed in 9 | 22 | 31)
    echo "seed $seed: no convergence after 500 steps" >&2
    exit 1
esac
echo "seed $seed"
END
chmod +x simulate
for seed in $(seq "${1:-40}"); do
    echo "./simulate --seed $seed > out/$seed.dat"
done > tasks.txt
"""

MIXED = r"""
printf '%s\n' > tasks.txt \
    'sleep 0.3; echo fine' \
    'echo "reading input/17.h5" && ls input/17.h5' \
    'ls input/18.h5' \
    'no-such-program --help' \
    'sleep 0.2; kill -SEGV $$' \
    'sleep 0.5; kill -KILL $$' \
    'sleep 30' \
    'exit 7' \
    './a\ program\ with\ a\ name --and --many --options=that,do,not,fit --into "the width of a usual terminal" > out'
"""

SCENES = [
    Scene(
        "run",
        "A first run of taskfarmer-mpi",
        "A terminal shows the first three lines of a tasklist. Then the command “taskfarmer-mpi tasks.txt” runs 40 "
        "tasks in 2 slots. A live line shows the progress. At the end, a summary counts the tasks that finished and the "
        "tasks that failed, and says why they failed.",
        SIMULATIONS,
        [Step("head -n 3 tasks.txt"), Step("taskfarmer-mpi tasks.txt")],
        moment=r"2\d/40",
    ),
    Scene(
        "failures",
        "Kinds of failures",
        "A terminal shows a run in which most tasks fail, each in a different way; then a list of the failed tasks.",
        MIXED,
        [Step("taskfarmer-mpi --task-timeout 2 tasks.txt"), Step("taskfarmer-mpi status --failed")],
    ),
    Scene(
        "interrupt",
        "Ctrl-C, and the same command again",
        "A terminal shows a run that is stopped by Ctrl-C and then resumed by the same command.",
        SIMULATIONS,
        [Step("taskfarmer-mpi tasks.txt", interrupt_at=r"\b1[2-9]/40"), Step("taskfarmer-mpi tasks.txt")],
        moment="Ctrl-C|SIGINT",
    ),
    Scene(
        "watch",
        "A look at a running farm",
        "A terminal shows how a farm is doing, repeated until it has ended.",
        f"set 100\n{SIMULATIONS}(taskfarmer-mpi tasks.txt 2> ~/other-terminal &)\n"
        "until [ -s tasks.txt_workdir/status.json ] && [ -e tasks.txt_workdir/failed ]; do :; done\n",
        [Step("taskfarmer-mpi status --watch 1")],
        # A usual height: this program draws whole screens.
        rows=24,
        moment="runningon8slots",
    ),
    Scene(
        "help",
        "The help of taskfarmer-mpi",
        "A terminal shows the help text.",
        "",
        [Step("taskfarmer-mpi --help")],
    ),
]
