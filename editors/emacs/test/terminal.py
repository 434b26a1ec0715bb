"""Runs a program in a terminal of its own, and shows what it writes to a file, line by line.

    terminal.py FILE PROGRAM ...

The last line of the file tells the status. RUNLOG_SCREEN names a file for the terminal's output.
"""

import fcntl
import os
import pty
import select
import struct
import sys
import termios
import time

ROWS, COLUMNS = 40, 120
WITHIN = float(os.environ.get("RUNLOG_WITHIN", "240"))

results = sys.argv[1]
open(results, "w").close()
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))

screen = open(os.environ.get("RUNLOG_SCREEN", os.devnull), "wb")
told = open(results, encoding="utf-8", errors="replace")
end = time.monotonic() + WITHIN
status, tail = None, b""
while status is None:
    ready, _, _ = select.select([terminal], [], [], 0.1)
    if ready:
        try:
            output = os.read(terminal, 65536)
        except OSError:
            output = b""
        screen.write(output)
        screen.flush()
        tail = (tail + output)[-4000:]
        if not output:
            break
    for line in told:
        if line.startswith("status "):
            status = int(line.split()[1])
        else:
            print(line, end="", flush=True)
    if time.monotonic() > end:
        print("FAILED it takes too long; the end of its terminal:", repr(tail))
        status = 1
if status is None:
    print("FAILED it ended without a word; the end of its terminal:", repr(tail))
    status = 1
try:
    os.kill(pid, 9)
    os.waitpid(pid, 0)
except OSError:
    pass
sys.exit(status)
