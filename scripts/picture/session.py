"""Records a session: types commands into a shell on a terminal and notes what comes back, and when.

Owns the terminal and the clock; scenes.py says what is typed. The clock is that of the machine, except that typing takes
as long as a person needs: the pauses between keys are added to the clock, and nobody waits for them.
"""

import codecs
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import termios
import time

import pyte

from . import stage
from .screen import Screen

# Seconds: between two keys, before Enter, and before the first key at a new prompt.
KEY = 0.05
ENTER = 0.35
THINK = 0.9
# A session that shows nothing new for this long is stuck.
PATIENCE = 120


class Session:
    """A shell with a prompt, on a terminal of this size."""

    def __init__(self, binary, host, setup, columns, rows):
        self.columns, self.rows = columns, rows
        self.events = []
        self.screen = Screen(columns, rows)
        self.stream = pyte.Stream(self.screen)
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.started = time.monotonic()
        self.added = 0.0
        words = stage.shell(binary, host, setup)
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            os.execvpe(words[0], words, stage.environment())
        self._wait_for(lambda: self.screen.titles > 0 and self._at_prompt())
        # What comes before the first prompt takes no time in the picture.
        self.started, self.added = time.monotonic(), 0.0
        self.events = [(0.0, "".join(text for _, text in self.events))]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.terminal)
        try:
            os.kill(self.pid, signal.SIGHUP)
        except ProcessLookupError:
            pass
        os.waitpid(self.pid, 0)

    def run(self, command, interrupt_at=None):
        """Types a command and waits until it has ended; presses Ctrl-C when the screen shows `interrupt_at`."""
        prompts = self.screen.titles
        self.added += THINK
        for key in command:
            self._press(key)
            self.added += KEY
        self.added += ENTER
        os.write(self.terminal, b"\r")

        def has_ended():
            return self.screen.titles > prompts and self._at_prompt()

        if interrupt_at:
            self._wait_for(lambda: has_ended() or re.search(interrupt_at, self.screen.view().text()))
            if has_ended():
                raise LookupError(f"{command} never showed {interrupt_at}:\n{self.screen.view().text()}")
            os.write(self.terminal, b"\x03")
        self._wait_for(has_ended)

    def _press(self, key):
        seen = len(self.events)
        os.write(self.terminal, key.encode())
        self._wait_for(lambda: len(self.events) > seen)

    def _at_prompt(self):
        lines = self.screen.display
        return lines[self.screen.cursor.y][: self.screen.cursor.x] == stage.PROMPT

    def _wait_for(self, condition):
        while not condition():
            if not select.select([self.terminal], [], [], PATIENCE)[0]:
                raise TimeoutError(f"nothing new for {PATIENCE} seconds after:\n{self.screen.view().text()}")
            try:
                data = os.read(self.terminal, 65536)
            except OSError:
                data = b""
            if not data:
                raise EOFError(f"the shell ended after:\n{self.screen.view().text()}")
            text = self.decoder.decode(data)
            self.events.append((time.monotonic() - self.started + self.added, text))
            self.stream.feed(text)

    def cast(self):
        """The recording in asciicast's format, for players of such files."""
        head = {"version": 2, "width": self.columns, "height": self.rows}
        lines = [head, *([round(at, 3), "o", text] for at, text in self.events)]
        return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
