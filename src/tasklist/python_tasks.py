# Lists the tasks of a PyTaskFarmer TaskList class, each with a NUL behind it. Started by taskfarmer-mpi:
#   python3 -c THIS CLASS LIST WORKDIR HERE < [[key, value], …]
# HERE is empty if the current folder is not to be searched. Exit code 70: there is no such class.
import sys

# Before anything is imported: a module of the current folder would hide another one of the same name.
if sys.path and sys.path[0] == '':
    del sys.path[0]

import importlib
import json
import os
import shutil
import tempfile
import traceback

# Only tasks go to standard output, whatever the class prints.
out = os.fdopen(os.dup(1), 'wb')
os.dup2(2, 1)

name, path, workdir, here = sys.argv[1:5]
if here:
    sys.path.append('')
arguments = dict(json.loads(sys.stdin.buffer.read().decode('utf-8')))


def say(error):
    sys.stderr.write(''.join(traceback.format_exception_only(type(error), error)))
    sys.stderr.flush()


try:
    module, _, attribute = name.rpartition('.')
    make = getattr(importlib.import_module(module), attribute)
except BaseException as error:
    if not isinstance(error, (ImportError, AttributeError)):
        traceback.print_exc()
    else:
        say(error)
    sys.exit(70)

# PyTaskFarmer's lock would be our own lock file in the workdir.
locks = tempfile.mkdtemp(prefix='taskfarmer-')
if 'taskfarmer.task' in sys.modules:
    sys.modules['taskfarmer.task'].lock_area = locks
try:
    tasks = make(path, workdir, **arguments)
    for number in range(len(tasks)):
        task = tasks[number]
        if isinstance(task, str):
            task = os.fsencode(task)
        elif not isinstance(task, bytes):
            raise TypeError('task %d is a %s; it has to be a str' % (number, type(task).__name__))
        if b'\0' in task:
            raise ValueError('task %d contains a NUL' % number)
        out.write(task)
        out.write(b'\0')
    out.close()
finally:
    shutil.rmtree(locks, ignore_errors=True)
