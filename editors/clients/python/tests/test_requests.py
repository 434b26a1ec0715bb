"""Requests and changes against the real daemon, which is killed in the middle."""

import ast
import asyncio
import gc
import json
import os
import pathlib
import pickle
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import unittest
import unittest.mock
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from decimal import Decimal

from runlog import Client, RunlogError

from .place import BINARY, Placed, a_run, until

PROGRAM = f"""
import atexit, os, signal, sys, threading, time, traceback
from runlog import Client, RunlogError
def made():
    return Client(command=[{BINARY!r}, "serve"], projects=sys.argv[1])
"""
FOLDER = pathlib.Path(__file__).parent.parent


class Sources(unittest.TestCase):
    def test_the_oldest_python_understands_them(self):
        for name in ("__init__.py", "types.py"):
            ast.parse((FOLDER / "runlog" / name).read_text(), name, feature_version=(3, 9))


class Requests(Placed):
    def test_a_daemon_is_started_asked_and_ended(self):
        self.place.engine_saves("p", a_run("a"))
        client = self.place.client()
        found = client.request("executions/list", {"sync": True})
        self.assertEqual([run["id"] for run in found["executions"]], ["a"])
        saved = client.request("executions/save", {"projectId": "p", "execution": a_run("b", costUSD=0.02)})
        self.assertEqual(client.request("executions/get", {"projectId": "p", "executionId": "b"})["version"], saved["version"])
        self.assertEqual(client.request("executions/stats")["totalCostUSD"], 0.03)
        pid = client.request("server/status")["pid"]
        self.assertEqual(client.request("ping"), {})
        client.close()
        with self.assertRaises(ProcessLookupError):
            os.kill(pid, 0)
        with self.assertRaises(RunlogError) as raised:
            client.request("executions/list")
        self.assertEqual((raised.exception.kind, raised.exception.retryable), ("unreachable", False))
        self.place.client().close()

    def test_refusals_are_errors_with_what_the_protocol_says_of_them(self):
        client = self.place.client()
        version = client.request("executions/save", {"projectId": "p", "execution": a_run("a")})["version"]
        with self.assertRaises(RunlogError) as raised:
            client.request("executions/get", {"projectId": "p", "executionId": "b"})
        error = raised.exception
        self.assertEqual((error.code, error.kind, error.retryable), (404, "execution-not-found", False))
        with self.assertRaises(RunlogError) as raised:
            client.request("executions/save", {"projectId": "p", "execution": a_run("a"), "ifVersion": "none"})
        self.assertEqual((raised.exception.code, raised.exception.data["currentVersion"]), (409, version))
        with self.assertRaises(RunlogError) as raised:
            client.request("executions/list", {"limit": 0})
        self.assertEqual((raised.exception.code, raised.exception.kind), (-32602, "invalid-params"))
        # the daemon could not say whom its answer is for
        with self.assertRaises(RunlogError) as raised:
            client.request("executions/save", {"projectId": "p", "execution": a_run("c", input="x" * (64 << 20))})
        self.assertEqual((raised.exception.code, raised.exception.kind), (413, "too-large"))
        def nested(levels):
            return [nested(levels - 1)] if levels > 1 else []

        with self.assertRaises(RunlogError) as raised:
            client.request("executions/save", {"projectId": "p", "execution": a_run("c", input=nested(126))})
        self.assertEqual((raised.exception.code, raised.exception.data["limitNesting"]), (413, 128))
        client.request("executions/save", {"projectId": "p", "execution": a_run("a", input=nested(125))})
        with self.assertRaises(ValueError):
            client.request("executions/save", {"projectId": "p", "execution": a_run("c", costUSD=float("nan"))})
        with self.assertRaises(TypeError):
            client.request("executions/save", {"projectId": "p", "execution": a_run("c", input=object())})
        self.assertEqual(client.request("executions/list")["total"], 1)

    def test_a_refusal_can_be_raised_for_another_process(self):
        refusal = RunlogError(409, "changed", {"kind": "version-conflict", "retryable": True})
        copy = pickle.loads(pickle.dumps(refusal))
        self.assertEqual((str(copy), copy.code, copy.kind, copy.data), ("changed", 409, "version-conflict", refusal.data))

    def test_a_request_that_is_cancelled_is_taken_back(self):
        async def main():
            async with self.place.client() as client:
                task = asyncio.ensure_future(client.request_async("executions/list", {"sync": True}))
                await asyncio.sleep(0)
                task.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await task
                listed = await client.request_async("executions/list")
                self.assertEqual(listed["total"], 0)
                # else the answer may be there before it is waited for
                client._loop.call_soon_threadsafe(time.sleep, 0.1)
                with self.assertRaises(NotInTime):
                    client.request("executions/list", {"sync": True}, timeout=0)
                with self.assertRaises(asyncio.TimeoutError):
                    await client.request_async("executions/list", {"sync": True}, timeout=0)
                self.assertEqual(await client.request_async("ping", timeout=30), {})
                answers = [client.request_async("ping") for _ in range(50)]
                self.assertEqual(await asyncio.gather(*answers), [{}] * 50)

        asyncio.run(main())

    def test_what_is_asked_while_the_connection_is_closed_is_refused(self):
        client = self.place.client()

        async def ask():
            connection = await client._connected()
            closed = asyncio.ensure_future(connection.close())
            await asyncio.sleep(0)
            with self.assertRaises(RunlogError):
                await connection.request("ping", {})
            connection.unsubscribe(0)
            await closed

        client._go(ask()).result(30)

    def test_what_is_cancelled_as_its_refusal_comes_is_cancelled(self):
        client = self.place.client()

        async def subscribe():
            connection = await client._connected()
            asked = asyncio.ensure_future(connection.request("executions/subscribe", {}, asyncio.Queue()))
            await asyncio.sleep(0)
            (ident,) = connection._pending
            connection._receive({"id": ident, "error": {"code": 429, "message": "no room"}})
            asked.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await asked

        client._go(subscribe()).result(30)

    def test_what_is_no_answer_leaves_nobody_waiting(self):
        client = self.place.client()

        async def ask():
            connection = await client._connected()
            asked = asyncio.ensure_future(connection.request("ping", {}))
            await asyncio.sleep(0)
            (ident,) = connection._pending
            with unittest.mock.patch("runlog._parsed", return_value={"id": ident, "error": {"code": 5}}):
                with self.assertLogs("runlog"), self.assertRaises(RunlogError) as raised:
                    await asked
            self.assertEqual(raised.exception.kind, "daemon-lost")

        client._go(ask()).result(30)

    def test_nothing_is_said_of_what_goes_out_on_a_broken_connection(self):
        client = self.place.client()

        async def tell():
            connection = await client._connected()
            connection._writer.transport.abort()
            with unittest.mock.patch("asyncio.selector_events.logger.warning") as warned:
                asked = [asyncio.ensure_future(connection.request("ping", {})) for _ in range(9)]
                answers = await asyncio.gather(*asked, return_exceptions=True)
            warned.assert_not_called()
            self.assertEqual([answer.kind for answer in answers], ["daemon-lost"] * 9)

        client._go(tell()).result(30)

    def test_a_socket_that_comes_late_is_waited_for(self):
        async def main():
            async with self.place.client(socket=self.place.socket) as client:
                asked = asyncio.ensure_future(client.request_async("server/status"))
                await asyncio.get_running_loop().run_in_executor(None, self.place.daemon)
                return await asyncio.wait_for(asked, 30)

        status = asyncio.run(main())
        self.assertEqual(status["root"]["path"], os.path.realpath(self.place.root))

    def test_a_client_stays_where_it_was_made(self):
        self.place.daemon()
        self.place.engine_saves("p", a_run("a"))
        self.addCleanup(os.chdir, os.getcwd())
        os.symlink(BINARY, os.path.join(self.place.folder, "program"))
        os.chdir(self.place.folder)
        relative = {"command": ["./program", "serve"], "projects": "projects"}
        ways = [relative, {**relative, "projects": None}, {"socket": "s.sock", "patience": 1}]
        clients = [self.place.client(**way) for way in ways]
        # where the root is named, the folder may go
        gone = os.path.join(self.place.folder, "gone")
        os.mkdir(gone)
        os.chdir(gone)
        clients.append(self.place.client())
        os.rmdir(gone)
        clients.append(self.place.client())
        os.chdir("/")
        for client in clients:
            root = client.request("server/status")["root"]["path"]
            self.assertEqual(root, os.path.realpath(self.place.root))

    def test_what_cannot_be_reached_is_told_at_once_where_waiting_is_no_use(self):
        with self.assertRaises(RunlogError) as raised:
            self.place.client(socket=self.place.socket, patience=0.2).request("executions/list")
        self.assertEqual((raised.exception.kind, raised.exception.retryable), ("unreachable", True))
        began = time.monotonic()
        with self.assertRaisesRegex(RunlogError, "cannot be started"):
            self.place.client(command=["/nowhere/runlog"]).request("executions/list")
        with self.assertRaisesRegex(RunlogError, "status 2"):
            self.place.client(command=[BINARY, "serve", "--no-such-flag"]).request("executions/list")
        self.assertLess(time.monotonic() - began, 20)

    def test_a_daemon_is_looked_for_as_long_as_the_patience_lasts_and_no_longer(self):
        client = self.place.client(socket="/nowhere/s.sock", patience=1)
        for needs in (lambda: client.request("ping"), lambda: client.start("p"), lambda: next(iter(client.changes()))):
            began = time.monotonic()
            with self.assertRaises(RunlogError) as raised:
                needs()
            self.assertEqual((raised.exception.kind, raised.exception.retryable), ("unreachable", True))
            lasted = time.monotonic() - began
            self.assertTrue(0.99 <= lasted < 1.9, lasted)

    def test_a_client_that_is_forgotten_ends_its_daemon_without_a_word(self):
        told = []
        loop = self.place.client()._loop
        loop.set_exception_handler(lambda loop, context: told.append(context))
        self.addCleanup(loop.set_exception_handler, None)
        forgotten = Client(command=[BINARY, "serve"], projects=self.place.root)
        pid = forgotten.request("server/status")["pid"]
        del forgotten
        gc.collect()
        until(lambda: not os.path.exists(f"/proc/{pid}"), "the daemon to end")
        gc.collect()
        self.assertEqual(told, [])

    def test_a_daemon_that_takes_in_and_says_nothing_is_left_in_time(self):
        server = socket.socket(socket.AF_UNIX)
        self.addCleanup(server.close)
        server.bind(self.place.socket)
        server.listen()
        with self.assertRaises(RunlogError) as raised:
            self.place.client(socket=self.place.socket, patience=0.1).request("ping")
        self.assertEqual((raised.exception.kind, raised.exception.retryable), ("unreachable", True))
        # nor does it hold up who does not want to wait
        taken, _ = server.accept()
        taken.close()
        patient = self.place.client(socket=self.place.socket)

        async def main():
            cancelled, closed = (asyncio.ensure_future(patient.request_async("ping")) for _ in range(2))
            loop = asyncio.get_running_loop()
            taken, _ = await loop.run_in_executor(None, server.accept)
            with taken:
                cancelled.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await cancelled
                ended = loop.run_in_executor(None, patient.close)
                # what was said to it, and then nothing: the socket is not left open
                taken.setblocking(True)
                while await loop.run_in_executor(None, taken.recv, 65536):
                    pass
                taken.sendall(b'{"jsonrpc":"2.0","id":1,"result":{}}\n')
            with self.assertRaisesRegex(RunlogError, "too late") as raised:
                await closed
            await ended
            self.assertEqual((raised.exception.kind, raised.exception.retryable), ("unreachable", False))

        asyncio.run(main())

    def test_a_daemon_that_does_not_read_is_left_in_time(self):
        server = socket.socket(socket.AF_UNIX)
        self.addCleanup(server.close)
        server.bind(self.place.socket)
        server.listen()
        client = self.place.client(socket=self.place.socket)
        with ThreadPoolExecutor() as pool:
            large = {"projectId": "p", "execution": a_run("a", input="x" * (8 << 20))}
            asked = pool.submit(client.request, "executions/save", large)
            taken, _ = server.accept()
            with taken:
                ident = json.loads(taken.makefile().readline())["id"]
                taken.sendall(json.dumps({"id": ident, "result": {}}).encode() + b"\n")
                taken.recv(1)
                began = time.monotonic()
                client.close()
                self.assertLess(time.monotonic() - began, 10)
            with self.assertRaises(RunlogError) as raised:
                asked.result()
            self.assertEqual(raised.exception.kind, "daemon-lost")

    def test_what_holds_the_output_of_a_daemon_does_not_hold_up_who_closes_its_client(self):
        client = self.place.client(command=["sh", "-c", 'sleep 15 2>/dev/null & exec "$0" "$@"', BINARY, "serve"])
        client.request("ping")
        began = time.monotonic()
        client.close()
        self.assertLess(time.monotonic() - began, 10)

    def test_an_integer_of_any_length_is_answered_and_saved(self):
        client = self.place.client()
        seed = Decimal("7" * 5000)
        client.request("executions/save", {"projectId": "p", "execution": a_run("a", seed=seed)})
        with ThreadPoolExecutor(8) as pool:
            ids = {"projectId": "p", "executionId": "a"}
            others = [pool.submit(client.request, "ping") for _ in range(20)]
            execution = client.request("executions/get", ids)["execution"]
            self.assertEqual([other.result() for other in others], [{}] * 20)
        # some of the oldest read any
        self.assertEqual(Decimal(execution["seed"]), seed)
        self.assertEqual((execution["costUSD"], type(execution["costUSD"])), (0.01, float))
        client.request("executions/save", {"projectId": "p", "execution": execution})
        self.assertEqual(client.request("executions/get", ids)["execution"], execution)

    def test_what_is_large_or_looks_like_the_end_of_a_line_comes_through_whole(self):
        client = self.place.client()
        text = "\u2028\u2029\u0085\r\né😀" * 2**16
        client.request("executions/save", {"projectId": "p", "execution": a_run("a", input=text)})
        got = client.request("executions/get", {"projectId": "p", "executionId": "a"})
        self.assertTrue(got["execution"]["input"] == text)

    def test_text_has_as_many_bytes_as_in_the_record(self):
        client = self.place.client()
        client.request("ping")
        with unittest.mock.patch("runlog._LINE_BYTES_MAX", 100_000):
            client.request("executions/save", {"projectId": "p", "execution": a_run("a", input="é" * 49_000)})
            client.request("executions/save", {"projectId": "p", "execution": a_run("b", input="\ud83d\ude00")})
        self.assertEqual(self.place.record("p", "b")["input"], "😀")
        client.request("executions/save", {"projectId": "p", "execution": a_run("c", input="a\ud83d")})
        self.assertEqual(self.place.record("p", "c")["input"], "a\ud83d")

    def test_an_option_that_there_is_not_is_an_error(self):
        client = self.place.client()
        save = ["executions/save", {"projectId": "p", "execution": a_run("a")}]
        with self.assertRaises(TypeError):
            client.request(*save, timeuot=1)
        with self.assertRaises(TypeError):
            asyncio.run(client.request_async(*save, timeuot=1))
        # and nothing was asked
        self.assertEqual(client.request("executions/list", {"sync": True})["total"], 0)

    def test_a_forked_child_has_clients_of_its_own(self):
        self.place.daemon()
        self.assertEqual(self.place.client(socket=self.place.socket).request("ping"), {})
        child = os.fork()
        if child == 0:
            try:
                with Client(socket=self.place.socket) as client:
                    os._exit(0 if client.request("ping", timeout=30) == {} else 1)
            finally:
                os._exit(2)
        self.assertEqual(os.waitpid(child, 0)[1], 0)

    def test_a_client_of_before_a_fork_says_so_in_the_child(self):
        client = self.place.client()
        run = client.start("p")
        child = os.fork()
        if child == 0:
            kinds = []
            # what waits for ever ends like this
            signal.alarm(30)
            for use in (lambda: client.request("ping"), lambda: run.add(costUSD=1), lambda: next(iter(client.changes()))):
                try:
                    use()
                except RunlogError as error:
                    kinds.append((error.kind, error.retryable, "before a fork" in error.message))
                except BaseException as error:
                    kinds.append(error)
            os._exit(0 if kinds == [("unreachable", False, True)] * 3 else 1)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        run.finish()


class Ends(Placed):
    """Programs that end without a `close`."""

    def run_to_end(self, program, *args):
        command = [sys.executable, "-B", "-c", PROGRAM + textwrap.dedent(program), self.place.root, *args]
        env = {**os.environ, "PYTHONPATH": str(FOLDER)}
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=30)

    def ends(self, program, begin="client = made()\n"):
        """Runs it, with a `client`: nothing holds up its end, and nothing is said of it."""
        ended = self.run_to_end(begin + textwrap.dedent(program))
        self.assertEqual((ended.returncode, ended.stdout, ended.stderr), (0, "", ""))

    def test_nothing_is_said_of_what_was_not_closed(self):
        self.ends("client.request('ping')")
        self.ends("client.request('ping'); del client; time.sleep(0.1)")
        self.ends("client.request('ping'); del client")
        self.ends("changes = iter(client.changes()); next(changes)")

    def test_a_thread_that_goes_on_is_left_alone(self):
        self.ends(
            """
            def watch():
                for change in client.changes():
                    begun.set()

            def ask():
                Client(socket="/nowhere").request("ping")

            begun = threading.Event()
            for work in (watch, ask):
                threading.Thread(target=work, daemon=True).start()
            begun.wait()
            """
        )

    def test_what_a_generator_records_ends_with_the_program(self):
        self.ends(
            """
            def work():
                with client.run("p", id="a") as run, run.step("s"):
                    yield

            suspended = work()
            next(suspended)
            """
        )
        self.ends(
            """
            def work():
                with client, client.run("p", id="b") as run, run.step("s"):
                    yield

            suspended = work()
            next(suspended)
            """
        )
        for ident in ("a", "b"):
            record = self.place.record("p", ident)
            self.assertEqual((record["status"], record["steps"][0]["status"]), ("cancelled", "cancelled"))

    def test_what_is_recorded_ends_with_the_program_though_the_daemon_has_died(self):
        self.ends(
            """
            def work():
                with client.run("p", id="a") as run, run.step("s"):
                    yield

            suspended = work()
            next(suspended)
            os.kill(client.request("server/status")["pid"], signal.SIGKILL)
            """
        )
        record = self.place.record("p", "a")
        self.assertEqual((record["status"], record["steps"][0]["status"]), ("cancelled", "cancelled"))

    def test_what_clients_record_that_were_made_at_once_ends_with_the_program(self):
        self.ends(
            """
            together, begun = threading.Barrier(4), threading.Barrier(5)

            def work(ident):
                together.wait()
                with made().run("p", id=ident):
                    begun.wait()
                    time.sleep(60)

            for ident in "abcd":
                threading.Thread(target=work, args=[ident], daemon=True).start()
            begun.wait()
            """,
            begin="",
        )
        for ident in "abcd":
            self.assertEqual(self.place.record("p", ident)["status"], "cancelled")

    def test_a_second_ctrl_c_waits_for_nothing(self):
        daemon = self.place.daemon()
        ended = self.run_to_end(
            """
            def interrupt():
                names = []
                while names[:1] != ["wait"] or "_ended" not in names:
                    time.sleep(0.001)
                    stack = traceback.walk_stack(sys._current_frames()[main])
                    names = [frame.f_code.co_name for frame, _ in stack]
                os.kill(os.getpid(), signal.SIGINT)

            main = threading.main_thread().ident
            # whoever started us may have had it ignored
            signal.signal(signal.SIGINT, signal.default_int_handler)
            client = Client(socket=sys.argv[2])
            with client, client.run("p") as run, run.step("s"):
                os.kill(int(sys.argv[3]), signal.SIGSTOP)
                threading.Thread(target=interrupt, daemon=True).start()
                raise KeyboardInterrupt
            """,
            self.place.socket,
            str(daemon.process.pid),
        )
        self.assertEqual(ended.returncode, -signal.SIGINT, ended.stderr)

    def test_a_client_may_be_asked_and_closed_at_the_very_end(self):
        self.ends(
            """
            client.request("ping")
            atexit.register(client.close)
            atexit.register(client.request, "executions/save", {"projectId": "p", "execution": {"id": "a"}})

            def work(root):
                try:
                    yield
                finally:
                    try:
                        client.request("ping")
                    except RunlogError as error:
                        os.rename(root + "/p", root + "/" + error.kind)

            suspended = work(sys.argv[1])
            next(suspended)
            """
        )
        self.assertEqual(os.listdir(self.place.root + "/unreachable/executions"), ["a.json"])

    def test_what_is_collected_in_any_thread_ends_there(self):
        client = self.place.client()

        def work():
            with client.run("p", id="a"):
                yield

        suspended = work()
        next(suspended)
        own = [suspended]
        own.append(own)
        del suspended, own
        collected = threading.Event()
        client._loop.call_soon_threadsafe(lambda: (gc.collect(), collected.set()))
        self.assertTrue(collected.wait(30))
        until(lambda: self.place.record("p", "a")["status"] == "cancelled", "its end")


def asked(client, method, params=None):
    """Asks again where the daemon died before it answered."""
    while True:
        try:
            return client.request(method, params)
        except RunlogError as error:
            if error.kind != "daemon-lost":
                raise
            # of what several daemons died over, the shared one's window knows that nothing was changed
            assert error.retryable and error.data.get("outcome") in ("unknown", None)


class Table:
    """A table that is kept by what is told, as the README says."""

    def __init__(self, client):
        self.client = client
        self.runs = {}

    def list(self):
        page = asked(self.client, "executions/list", {"limit": 1000, "sync": True})
        self.runs = {run["id"]: run["version"] for run in page["executions"]}
        return page["clock"]

    def tell(self, change):
        if change["kind"] == "saved":
            self.runs[change["summary"]["id"]] = change["summary"]["version"]
        elif change["kind"] == "deleted":
            self.runs.pop(change["executionId"], None)
        return change["kind"] == "resync"

    def keep(self):
        while not self.client._closed.done():
            for change in self.client.changes({"since": self.list()}):
                if self.tell(change):
                    break

    async def keep_async(self):
        while True:
            since = await asyncio.get_running_loop().run_in_executor(None, self.list)
            async for change in self.client.changes({"since": since}):
                if self.tell(change):
                    break


class Changes(Placed):
    def disturb(self, client, daemon):
        """Saves as the engine while daemons are killed; what is listed in the end."""
        for number in range(120):
            self.place.engine_saves("p", a_run(f"run-{number % 40}", costUSD=number))
            if number % 30 == 15:
                if daemon is not None:
                    daemon.kill()
                    daemon = self.place.daemon()
                else:
                    os.kill(asked(client, "server/status")["pid"], signal.SIGKILL)
            time.sleep(0.003)
        found = self.place.client().request("executions/list", {"limit": 1000, "sync": True})
        self.assertEqual(found["total"], 40)
        return {run["id"]: run["version"] for run in found["executions"]}

    def test_changes_outlive_the_daemon_on_a_socket(self):
        daemon = self.place.daemon()
        table = Table(self.place.client(socket=self.place.socket))
        kept = threading.Thread(target=table.keep)
        kept.start()
        listed = self.disturb(table.client, daemon)
        until(lambda: table.runs == listed, "the table to be what is listed")
        table.client.close()
        kept.join(30)
        self.assertFalse(kept.is_alive())

    def test_changes_outlive_a_daemon_of_our_own_for_asyncio(self):
        self.outlive_for_asyncio(self.place.client())

    def test_changes_outlive_a_shared_daemon_for_asyncio(self):
        self.outlive_for_asyncio(self.place.shared())

    def outlive_for_asyncio(self, client):
        async def main():
            table = Table(client)
            kept = asyncio.ensure_future(table.keep_async())
            disturbed = asyncio.get_running_loop().run_in_executor(None, self.disturb, table.client, None)
            listed = await disturbed
            end = time.monotonic() + 30
            while table.runs != listed:
                self.assertLess(time.monotonic(), end)
                self.assertFalse(kept.done())
                await asyncio.sleep(0.005)
            kept.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await kept

        asyncio.run(main())

    def test_a_slow_consumer_costs_bounded_memory_and_misses_no_last_state(self):
        self.place.daemon()
        client = self.place.client(socket=self.place.socket)
        changes = iter(client.changes())
        self.assertEqual(next(changes)["kind"], "current")
        writer = self.place.client(socket=self.place.socket)

        def save(number):
            execution = a_run(f"run-{number % 20}", costUSD=number)
            writer.request("executions/save", {"projectId": "p", "execution": execution}, timeout=30)

        with ThreadPoolExecutor(20) as pool:
            list(pool.map(save, range(3000)))
        found = writer.request("executions/list")
        table = {}
        told = 0
        for change in changes:
            told += 1
            if change["kind"] == "saved":
                table[change["summary"]["id"]] = change["summary"]["version"]
            if change["kind"] == "current" and change["clock"] == found["clock"]:
                break
        self.assertEqual(table, {run["id"]: run["version"] for run in found["executions"]})
        self.assertLessEqual(told, 1000 + 20 + 2)

    def test_an_iteration_that_is_left_ends_its_subscription(self):
        client = self.place.client()

        async def main():
            changes = client.changes({"projectId": "p", "status": ["failed"], "where": "costUSD > 1"}).__aiter__()
            await changes.__anext__()
            await changes.aclose()

        asyncio.run(main())
        # a connection may have 256 at a time
        for _ in range(260):
            for _ in client.changes():
                break
        asyncio.run(main())

    def test_an_iteration_for_which_there_is_no_room_is_waited_for_and_then_refused(self):
        client = self.place.client(patience=0.3)
        # a connection may have 256 at a time
        iterations = [iter(client.changes()) for _ in range(256)]
        for changes in iterations:
            next(changes)
        began = time.monotonic()
        with self.assertRaises(RunlogError) as raised:
            next(iter(client.changes()))
        self.assertEqual((raised.exception.code, raised.exception.kind), (429, "overloaded"))
        self.assertGreaterEqual(time.monotonic() - began, 0.29)
        iterations.pop().close()
        self.assertEqual(next(iter(client.changes()))["kind"], "current")

    def test_an_iteration_ends_with_its_client(self):
        client = self.place.client()
        changes = iter(client.changes())
        next(changes)
        threading.Timer(0.05, client.close).start()
        self.assertEqual(list(changes), [])


if __name__ == "__main__":
    unittest.main()
