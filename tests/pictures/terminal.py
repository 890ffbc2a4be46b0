"""A program in a terminal of a given width, and what it prints there."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time


class Terminal:
    """Runs a command in a pseudo-terminal. Keeps what it prints, with its styles."""

    def __init__(self, command: list[str], columns: int):
        self.text = ""
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        # Typed keys are not part of a picture.
        modes = termios.tcgetattr(slave)
        modes[3] &= ~termios.ECHO
        termios.tcsetattr(slave, termios.TCSANOW, modes)
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "TMPDIR")}
        environment = kept | {"TERM": "xterm-256color", "LANG": "C.UTF-8", "COLUMNS": str(columns)}
        self.child = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
        )
        os.close(slave)

    def until(self, words: str | None, seconds: float = 60) -> None:
        """Reads until the words appear after what was read before; without words, to the end."""
        end, begin = time.monotonic() + seconds, len(self.text)
        while words is None or words not in self.text[begin:]:
            ready, _, _ = select.select([self.master], [], [], max(0, end - time.monotonic()))
            if not ready:
                self.child.kill()
                sys.exit(f"waited in vain for {words or 'the end'} of {self.child.args}:\n{self.text}")
            try:
                read = os.read(self.master, 65536)
            except OSError:  # Linux reports the end like this
                read = b""
            if not read:
                if words is None:
                    break
                sys.exit(f"{self.child.args} ended before {words!r}:\n{self.text}")
            self.text += read.decode("utf-8", "replace").replace("\r\n", "\n")

    def type(self, line: str) -> None:
        os.write(self.master, f"{line}\n".encode())

    def wait(self) -> int:
        self.until(None)
        return self.child.wait()
