"""A terminal of 80 columns and 24 lines: a command in it, and what stands on its screen."""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time

COLUMNS, ROWS = 80, 24
_CONTROL = re.compile(r"\x1b\[(\?25[lh]|\d*A|2K|[\d;]*m)")


class Screen:
    """
    What is on a screen after all that was written to it, past lines too; what it does not know is an error.

    seen
        Every line that ever stood there while somebody could look: at each moment when nothing more was coming.
    """

    def __init__(self):
        self.lines, self.seen, self.colours, self.cursor_is_shown = [""], set(), set(), True
        self._row = self._column = 0

    def write(self, text):
        while text:
            control = _CONTROL.match(text)
            if control:
                self._obey(control[1])
            elif text[0] == "\r":
                self._column = 0
            elif text[0] == "\n":
                self._down()
            else:
                assert text[0].isprintable(), f"a terminal was sent {text[:20]!r}"
                self._put(text[0])
            text = text[control.end() :] if control else text[1:]
        self.seen.update(self.lines)

    def _obey(self, control):
        if control.startswith("?25"):
            self.cursor_is_shown = control.endswith("h")
        elif control == "2K":
            self.lines[self._row] = ""
        elif control.endswith("A"):
            self._row = max(0, self._row - int(control[:-1] or 1))
        else:
            self.colours.add(control)

    def _down(self):
        self._row += 1
        if self._row == len(self.lines):
            self.lines.append("")

    def _put(self, character):
        if self._column == COLUMNS:
            self._column = 0
            self._down()
        line = self.lines[self._row].ljust(self._column)
        self.lines[self._row] = line[: self._column] + character + line[self._column + 1 :]
        self._column += 1


class Terminal:
    """A command that believes to be in a terminal; its stdout goes to a file."""

    def __init__(self, command, stdout, **environment):
        self.screen, self.status = Screen(), None
        self.pid, self._end = pty.fork()
        if self.pid == 0:
            os.dup2(os.open(stdout, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
            known = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
            os.execve(command[0], command, {**known, "TERM": "xterm-256color", **environment})
        fcntl.ioctl(self._end, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))

    def until(self, condition, seconds=60):
        """Read what is written until a condition of the screen holds, or None: until the command has ended."""
        end = time.monotonic() + seconds
        while not (condition and condition(self.screen)):
            assert time.monotonic() < end, "\n".join(self.screen.lines)
            if not self._read(end):
                assert condition is None, "\n".join(self.screen.lines)
                break
        return self.screen

    def _read(self, end):
        with contextlib.suppress(OSError):
            ready, _, _ = select.select([self._end], [], [], max(0, end - time.monotonic()))
            written = os.read(self._end, 65536) if ready else b" "[:0]
            while written and select.select([self._end], [], [], 0.02)[0]:
                more = os.read(self._end, 65536)
                if not more:
                    break
                written += more
            if written:
                self.screen.write(written.decode())
                return True
        return False

    def press(self, key):
        os.write(self._end, key)

    def ended(self):
        """Wait for its end and return its exit status."""
        self.until(None)
        self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status

    def close(self):
        if self.status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._end)
