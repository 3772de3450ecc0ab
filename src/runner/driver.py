# Uses a runner that is a Python class: `python3 -c DRIVER SPEC check`, or `python3 -c DRIVER SPEC ID` with the
# command of the task on standard input and its log as standard output.
import sys

# Not the folder that it was started in: a module there would hide another one of the same name.
if sys.path and sys.path[0] == "":
    del sys.path[0]

import importlib
import json
import os
import signal
import traceback

INTERRUPTED = 128 + signal.SIGTERM


def make(spec):
    module = importlib.import_module(spec["module"])
    runner = getattr(module, spec["class"])(**dict(spec["arguments"]))
    if not callable(getattr(runner, "run", None)):
        raise TypeError("it has no method run(taskid, command, logfh)")
    return runner


def check(spec):
    try:
        make(spec)
    except BaseException as error:
        sys.stdout.flush()
        sys.exit("".join(traceback.format_exception_only(type(error), error)).strip())


def run(spec, taskid):
    command = os.fsdecode(sys.stdin.buffer.read())
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    runner = make(spec)

    def stop(signum, frame):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        try:
            runner.terminate()
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(INTERRUPTED)

    signal.signal(signal.SIGTERM, stop)
    with os.fdopen(os.dup(1), "w") as log:
        code = runner.run(taskid, command, log)
    if code == 0:
        return 0
    if isinstance(code, int) and -64 <= code < 256:
        return code if code > 0 else 128 - code
    return 1


spec = json.loads(sys.argv[1])
if sys.argv[2] == "check":
    check(spec)
else:
    sys.exit(run(spec, int(sys.argv[2])))
