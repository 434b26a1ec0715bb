"""A root of its own, daemons on it that can be killed, and a go-between that loses messages."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from runlog import Client

BINARY = os.environ["RUNLOG_BINARY"]


_PROGRAM_THAT_LOSES = """
import json, os, subprocess, sys
pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
with subprocess.Popen([BINARY, "serve", *sys.argv[1:]], bufsize=0, **pipes) as daemon:
    for line in sys.stdin.buffer:
        daemon.stdin.write(line)
        answer = daemon.stdout.readline()
        method = json.loads(line)["method"]
        lost = sys.argv[0] + method.replace("/", "-")
        if method in METHODS and not os.path.exists(lost):
            open(lost, "w").close()
            os.rename(sys.argv[0], sys.argv[0] + "~")
            break
        sys.stdout.buffer.write(answer)
        sys.stdout.buffer.flush()
    daemon.stdin.close()
"""


def until(wanted, what):
    """Waits until `wanted` gives something."""
    end = time.monotonic() + 30
    while True:
        found = wanted()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain for {what}")
        time.sleep(0.005)


def a_run(ident, **more):
    record = {"id": ident, "projectId": "p", "status": "completed", "costUSD": 0.01, "steps": []}
    return {**record, "startedAt": "2025-10-15T05:02:46.569Z", **more}


class Placed(unittest.TestCase):
    def setUp(self):
        self.place = Place(self)


class Place:
    def __init__(self, test):
        self.test = test
        self.folder = tempfile.mkdtemp(prefix="runlog-client-")
        test.addCleanup(shutil.rmtree, self.folder)
        self.root = os.path.join(self.folder, "projects")
        os.mkdir(self.root)
        self.socket = os.path.join(self.folder, "s.sock")

    def daemon(self, *args):
        """A daemon on the socket."""
        command = [BINARY, "serve", "--projects", self.root, *(args or [f"--socket={self.socket}"])]
        daemon = Daemon(command, {**os.environ, "XDG_RUNTIME_DIR": self.folder})
        self.test.addCleanup(daemon.kill)
        return daemon

    def client(self, **options):
        """A client that starts its daemon, or meets the one on `socket`."""
        client = Client(**{"command": [BINARY, "serve"], "projects": self.root, **options})
        self.test.addCleanup(client.close)
        return client

    def shared(self):
        """A client of the root's shared daemon, which is ended with it."""
        command = ["env", f"XDG_RUNTIME_DIR={self.folder}", BINARY, "serve", "--shared"]
        client = self.client(command=command)

        def end():
            pid = client.request("server/status")["pid"]
            # else its window would start another one
            client.close()
            os.kill(pid, signal.SIGKILL)
            until(lambda: not os.path.exists(f"/proc/{pid}"), "the daemon to end")

        self.test.addCleanup(end)
        return client

    def file(self, project, ident):
        return os.path.join(self.root, project, "executions", f"{ident}.json")

    def record(self, project, ident):
        """What is stored of a run."""
        with open(self.file(project, ident), encoding="utf-8") as file:
            return json.load(file)

    def engine_saves(self, project, execution):
        """What CloutAgent's engine does to save a run."""
        file = self.file(project, execution["id"])
        os.makedirs(os.path.dirname(file), exist_ok=True)
        with open(file + ".tmp", "w", encoding="utf-8") as temporary:
            json.dump(execution, temporary, indent=2)
        os.rename(file + ".tmp", file)

    def program_that_loses(self, methods):
        """A daemon that ends with the first answer of each of these, and whose program is away then."""
        program = os.path.join(self.folder, "program")
        with open(program, "w", encoding="utf-8") as file:
            file.write(f"#!{sys.executable}\nBINARY, METHODS = {BINARY!r}, {methods!r}\n{_PROGRAM_THAT_LOSES}")
        os.chmod(program, 0o700)
        return program

    def between(self):
        between = Between(self)
        self.test.addCleanup(between.close)
        return between


class Daemon:
    def __init__(self, command, env):
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=env)
        json.loads(self.process.stdout.readline())

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Between:
    """A go-between before the daemon's socket.

    `fate(message)` says of each request whether to "pass" it, to end the connection "before" the daemon
    sees it, or "after" the daemon has answered.
    """

    def __init__(self, place):
        self.path = os.path.join(place.folder, "between.sock")
        self.fate = lambda message: "pass"
        self.lost = lambda: None
        self._far = place.socket
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(self.path)
        self._server.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self):
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            try:
                far.connect(self._far)
            except OSError:
                near.close()
                far.close()
                continue
            condemned = []

            def request(message, condemned=condemned):
                fate = self.fate(message)
                if fate == "after":
                    condemned.append(message["id"])
                return fate != "before"

            def answer(message, condemned=condemned):
                if message.get("id") not in condemned:
                    return True
                self.lost()
                return False

            for one, other, judge in ((near, far, request), (far, near, answer)):
                threading.Thread(target=self._forward, args=[one, other, judge], daemon=True).start()

    @staticmethod
    def _forward(one, other, judge):
        reader = one.makefile("rb")
        try:
            for line in reader:
                if not judge(json.loads(line)):
                    break
                other.sendall(line)
        except (OSError, ValueError):
            pass
        for end in (one, other):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        reader.close()
        one.close()
