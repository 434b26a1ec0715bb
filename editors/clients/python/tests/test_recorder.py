"""The recorder against the real daemon: what it writes, and that nothing is lost or counted twice."""

import asyncio
import datetime
import errno
import itertools
import json
import os
import signal
import threading
import time
import unittest
import unittest.mock
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import runlog
from runlog import RunlogError

from .place import Placed, until


def millis(text):
    return round(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


class Whole:
    """A whole number that is no `int`, as NumPy's are."""

    def __init__(self, value):
        self.value = value

    def __index__(self):
        return self.value


class Recorder(Placed):
    def check_whole(self, ident):
        record = self.place.record("p", ident)
        self.assertEqual(record["status"], "completed")
        self.assertEqual((record["name"], record["input"], record["output"]), ("Nightly", "go", "done"))
        self.assertEqual(record["costUSD"], 0.7)
        self.assertEqual(record["tokenUsage"], {"input": 15, "output": 5, "total": 20})
        self.assertEqual(record["duration"], millis(record["completedAt"]) - millis(record["startedAt"]))
        search, write = record["steps"]
        self.assertEqual(search["duration"], millis(search["completedAt"]) - millis(search["startedAt"]))
        times = {"startedAt": 0, "completedAt": 0, "duration": 0}
        self.assertEqual(
            {**search, **times},
            {
                "id": "step-1", "name": "search", "nodeId": "n1", "nodeType": "agent", "status": "completed",
                "input": {"q": 1}, "output": [1, None], "model": "m", "costUSD": 0.3,
                "tokenUsage": {"input": 10, "output": 5, "total": 15}, **times,
            },
        )
        self.assertEqual((write["id"], write["nodeId"], write["status"]), ("step-2", "write", "completed"))

    def test_what_is_lacking_for_a_moment_is_waited_for(self):
        for name in ("runlog.subprocess.Popen", "runlog.sockets.socketpair"):
            works, lacking = eval(name), [errno.EMFILE, errno.EAGAIN]

            def begin(*args, works=works, lacking=lacking, **more):
                if lacking:
                    raise OSError(lacking.pop(), "lacking")
                return works(*args, **more)

            client = self.place.client()
            with unittest.mock.patch(name, begin), client.run("p") as run:
                run.add(costUSD=0.5)
            self.assertEqual(lacking, [])
            record = self.place.record("p", run.id)
            self.assertEqual((record["status"], record["costUSD"]), ("completed", 0.5))

    def test_a_run_is_one_whole_record_from_its_beginning_to_its_end(self):
        client = self.place.client()
        with client.run("p", name="Nightly", input="go") as run:
            self.assertRegex(run.id, r"^exec-\d{13}-[0-9a-z]{9}$")
            self.assertEqual(self.place.record("p", run.id)["status"], "running")
            with run.step("search", nodeId="n1", input={"q": 1}) as step:
                step.add(costUSD=0.1, input=10, output=1)
                step.add(costUSD=0.2, output=4)
                step.set(output=[1, None], model="m")
            with run.step("write"):
                pass
            run.add(costUSD=Decimal("0.4"), input=5)
            run.set(output="done")
        self.check_whole(run.id)

    def test_a_run_is_one_whole_record_for_asyncio(self):
        async def main():
            async with self.place.client() as client:
                async with client.run("p", name="Nightly", input="go") as run:
                    async with run.step("search", nodeId="n1", input={"q": 1}) as step:
                        await step.add(costUSD=0.1, input=10, output=1)
                        await step.add(costUSD=0.2, output=4)
                        await step.set(output=[1, None], model="m")
                    async with run.step("write"):
                        pass
                    await asyncio.gather(run.add(costUSD=0.4), run.add(input=5))
                    await run.set(output="done")
            return run.id

        self.check_whole(asyncio.run(main()))

    def test_what_is_recorded_when_its_client_is_closed_ends_as_cancelled(self):
        began = []

        async def work(client, number):
            async with client.run("p", id=f"run-{number}") as run:
                async with run.step("search"):
                    began.append(number)
                    if number == 0:
                        while len(began) < 3:
                            await asyncio.sleep(0.001)
                        raise ValueError("no index")
                    await asyncio.Event().wait()

        async def main():
            async with self.place.client() as client:
                # the others go on until the program ends them, which is later
                await asyncio.gather(*(work(client, number) for number in range(3)))

        with self.assertRaises(ValueError), unittest.mock.patch("runlog._log.warning") as refused:
            asyncio.run(main())
        refused.assert_not_called()
        for number, status in enumerate(["failed", "cancelled", "cancelled"]):
            record = self.place.record("p", f"run-{number}")
            self.assertEqual((record["status"], record["steps"][0]["status"]), (status, status))

    def test_what_another_thread_records_ends_with_the_client(self):
        client = self.place.client()
        begun, closed = threading.Event(), threading.Event()

        def work():
            with client.run("p", id="a"):
                begun.set()
                closed.wait()

        thread = threading.Thread(target=work)
        thread.start()
        begun.wait()
        client.close()
        closed.set()
        thread.join()
        self.assertEqual(self.place.record("p", "a")["status"], "cancelled")

    def test_a_run_of_start_goes_on_when_its_client_is_closed_and_nothing_begins_after_it(self):
        client = self.place.client()
        run = client.start("p", id="a")
        client.close()
        self.assertEqual(self.place.record("p", "a")["status"], "running")
        for use in (run.finish, lambda: client.start("p")):
            with self.assertRaises(RunlogError) as raised:
                use()
            self.assertEqual((raised.exception.kind, raised.exception.retryable), ("unreachable", False))

    def test_what_begins_while_its_client_is_closed_is_refused_or_ends(self):
        ids = []

        def work(client):
            with self.assertRaises(RunlogError) as raised:
                while True:
                    with client.run("p") as run:
                        ids.append(run.id)
                        for _ in range(2):
                            with run.step("s") as step:
                                step.add(input=1)
            self.assertEqual((raised.exception.kind, raised.exception.retryable), ("unreachable", False))

        with ThreadPoolExecutor(6) as pool:
            for number in range(1, 6):
                client = self.place.client()
                told = [pool.submit(work, client) for _ in range(6)]
                until(lambda: len(ids) >= 10 * number, "several to begin")
                client.close()
                for one in told:
                    one.result()
        for ident in ids:
            record = self.place.record("p", ident)
            self.assertNotIn("running", [record["status"], *(step["status"] for step in record["steps"])])

    def test_a_ctrl_c_waits_for_the_ends_that_are_being_written(self):
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.addCleanup(signal.signal, signal.SIGINT, before)
        self.place.daemon()
        between = self.place.between()
        here = threading.main_thread().ident

        def judge(message):
            if (message["params"].get("set") or {}).get("status"):
                signal.pthread_kill(here, signal.SIGINT)
                # whoever does not wait has gone by then
                time.sleep(0.1)
            return "pass"

        def close():
            client = self.place.client(socket=between.path)
            client.run("p", id="close").__enter__()
            between.fate = judge
            client.close()

        def leave():
            with self.place.client(socket=between.path).run("p", id="leave"):
                between.fate = judge

        async def close_async():
            async with self.place.client(socket=between.path) as client:
                await client.run("p", id="close_async").__aenter__()
                between.fate = judge

        async def leave_async():
            async with self.place.client(socket=between.path).run("p", id="leave_async"):
                between.fate = judge

        def cancelled(work):
            async def main():
                loop, task = asyncio.get_running_loop(), asyncio.current_task()
                loop.add_signal_handler(signal.SIGINT, task.cancel)
                await work()

            return lambda: asyncio.run(main())

        for end in (close, leave, cancelled(close_async), cancelled(leave_async)):
            with self.assertRaises((KeyboardInterrupt, asyncio.CancelledError)):
                end()
            between.fate = lambda message: "pass"
        for ident in ("close", "leave", "close_async", "leave_async"):
            status = "cancelled" if ident.startswith("close") else "completed"
            self.assertEqual(self.place.record("p", ident)["status"], status, ident)

    def test_a_step_that_comes_again_ends_again(self):
        client = self.place.client()
        with client.run("p", id="a") as run:
            scope = run.step("s")
            for _ in range(2):
                with scope:
                    self.assertEqual(self.place.record("p", "a")["steps"][0]["status"], "running")
                self.assertEqual(self.place.record("p", "a")["steps"][0]["status"], "completed")

    def test_what_has_not_begun_says_how(self):
        client = self.place.client()
        with self.assertRaisesRegex(AttributeError, "with … as"):
            client.run("p").add(costUSD=1)
        with client.run("p") as run, self.assertRaisesRegex(AttributeError, "with … as"):
            run.step("s").set(output=1)

    def test_a_run_ends_as_its_code_does(self):
        client = self.place.client()

        class Silent(Exception):
            def __str__(self):
                raise RuntimeError("no text")

        def ended(error):
            try:
                with client.run("p") as run:
                    with run.step("search"):
                        raise error
            except type(error):
                pass
            record = self.place.record("p", run.id)
            self.assertEqual(record.get("error"), record["steps"][0].get("error"))
            self.assertEqual(record["status"], record["steps"][0]["status"])
            return record["status"], record.get("error")

        self.assertEqual(ended(TypeError("no index")), ("failed", "TypeError: no index"))
        self.assertEqual(ended(Silent()), ("failed", "Silent: its text cannot be had"))
        self.assertEqual(ended(ValueError("x" * (65 << 20))), ("failed", "ValueError: ".ljust(8192, "x")))
        self.assertEqual(ended(KeyboardInterrupt()), ("cancelled", None))
        self.assertEqual(ended(SystemExit(0)), ("completed", None))
        self.assertEqual(ended(SystemExit(3)), ("failed", "SystemExit: 3"))
        # what somebody else ended cannot go on
        with self.assertRaises(RunlogError) as raised, self.assertLogs("runlog", "WARNING"):
            with client.run("p") as run:
                ids = {"projectId": "p", "executionId": run.id}
                client.request("executions/update", {**ids, "set": {"status": "cancelled"}})
                run.add(costUSD=1)
        self.assertEqual((raised.exception.code, raised.exception.kind), (409, "already-finished"))
        # and an end that the code chose stays
        own = client.start("p", id="own")
        for word in ("success", "paused", None):
            with self.assertRaisesRegex(ValueError, "completed, failed or cancelled"):
                own.finish(word)
        self.assertEqual(self.place.record("p", "own")["status"], "running")
        own.finish("failed", error="by hand")
        own.finish()
        record = self.place.record("p", "own")
        self.assertEqual((record["status"], record["error"]), ("failed", "by hand"))
        with self.assertRaises(RunlogError):
            own.add(costUSD=1)
        with self.assertRaises(RunlogError) as raised:
            client.start("p", id="own")
        self.assertEqual(raised.exception.kind, "already-exists")

    def test_a_cancelled_task_cancels_its_run_and_loses_nothing(self):
        async def main():
            async with self.place.client() as client:
                begun = asyncio.Event()
                ids = []

                async def work():
                    async with client.run("p") as run:
                        ids.append(run.id)
                        async with run.step("search") as step:
                            begun.set()
                            while True:
                                await step.add(costUSD=0.01, input=1)

                task = asyncio.ensure_future(work())
                await begun.wait()
                await asyncio.sleep(0.05)
                task.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await task
                return ids[0]

        record = self.place.record("p", asyncio.run(main()))
        step = record["steps"][0]
        self.assertEqual((record["status"], step["status"]), ("cancelled", "cancelled"))
        self.assertEqual(record["costUSD"], step["costUSD"])
        self.assertEqual(record["costUSD"], record["tokenUsage"]["input"] / 100)

    def test_a_ctrl_c_in_the_middle_of_a_write_loses_nothing(self):
        self.place.daemon()
        between = self.place.between()
        client = self.place.client(socket=between.path)
        # whoever started the tests may have had them ignore it
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.addCleanup(signal.signal, signal.SIGINT, before)
        here = threading.main_thread().ident

        def interrupt(message):
            signal.pthread_kill(here, signal.SIGINT)
            return "pass"

        with self.assertRaises(KeyboardInterrupt):
            with client.run("p") as run:
                between.fate = interrupt
                try:
                    run.add(costUSD=0.25)
                finally:
                    between.fate = lambda message: "pass"
        record = self.place.record("p", run.id)
        self.assertEqual((record["status"], record["costUSD"]), ("cancelled", 0.25))

    def test_what_is_interrupted_while_it_begins_is_cancelled(self):
        here = threading.main_thread().ident

        def interrupted(method, interrupt):
            """A client all of whose work is interrupted with the first request of this method."""
            self.doCleanups()
            self.setUp()
            # whoever started us may have had it ignored
            before = signal.signal(signal.SIGINT, signal.default_int_handler)
            self.addCleanup(signal.signal, signal.SIGINT, before)
            self.place.daemon()
            between = self.place.between()
            seen = []

            def judge(message):
                if message["method"] == method and not seen:
                    seen.append(message)
                    interrupt()
                return "pass"

            between.fate = judge
            return self.place.client(socket=between.path)

        def check(method):
            record = self.place.record("p", "a")
            steps = [step["status"] for step in record["steps"]]
            self.assertEqual((record["status"], steps), ("cancelled", ["cancelled"] * (method == "executions/update")))

        for method in ("executions/start", "executions/update"):
            with self.subTest(method=method):
                with self.assertRaises(KeyboardInterrupt):
                    with interrupted(method, lambda: signal.pthread_kill(here, signal.SIGINT)) as client:
                        with client.run("p", id="a") as run, run.step("s"):
                            self.fail("it has begun")
                check(method)
            with self.subTest(method=method, way="asyncio"):

                async def main():
                    loop, task = asyncio.get_running_loop(), asyncio.current_task()
                    async with interrupted(method, lambda: loop.call_soon_threadsafe(task.cancel)) as client:
                        async with client.run("p", id="a") as run, run.step("s"):
                            self.fail("it has begun")

                with self.assertRaises(asyncio.CancelledError):
                    asyncio.run(main())
                check(method)

    def test_what_was_told_is_written_before_a_client_is_closed(self):
        async def main():
            async with self.place.client() as client:
                run = await client.run("p", id="a").__aenter__()
                told = [run.set(name=f"name {number}") for number in range(20)]
            await asyncio.gather(*told)

        asyncio.run(main())
        self.assertEqual(self.place.record("p", "a")["name"], "name 19")

    def test_closing_waits_for_a_daemon_that_is_away(self):
        daemon = self.place.daemon()
        client = self.place.client(socket=self.place.socket)
        client.run("p", id="a").__enter__()
        daemon.kill()
        with ThreadPoolExecutor(1) as pool:
            closed = pool.submit(client.close)
            daemon = self.place.daemon()
            closed.result()
        self.assertEqual(self.place.record("p", "a")["status"], "cancelled")
        # though no longer than its patience lasts
        client = self.place.client(socket=self.place.socket, patience=0.5)
        scope = client.run("p", id="b")
        scope.__enter__()
        daemon.kill()
        began = time.monotonic()
        client.close()
        self.assertGreater(time.monotonic() - began, 0.45)
        with self.assertRaises(RunlogError) as raised:
            scope.told({}).result()
        self.assertEqual(raised.exception.kind, "unreachable")

    def test_closing_waits_for_a_disk_that_is_full(self):
        client = self.place.client()
        client.run("p", id="a").__enter__()
        ask, full = client._ask, [True, True]

        async def asked(method, params):
            if full:
                full.pop()
                raise RunlogError(507, "the disk is full", {"kind": "storage-full", "retryable": True})
            return await ask(method, params)

        client._ask = asked
        client.close()
        self.assertEqual((full, self.place.record("p", "a")["status"]), ([], "cancelled"))

    def test_what_was_told_while_the_first_connection_is_made_is_written(self):
        client = self.place.client()
        begun = client.run("p", id="a")._begin()
        client.close()
        begun.result()
        self.assertEqual(self.place.record("p", "a")["status"], "cancelled")

    def test_what_may_not_last_is_written_until_it_does(self):
        client = self.place.client(patience=1)
        ask = client._ask
        written = []

        def may_not_last(times, then="passes"):
            """The disk refuses the last step of so many writes; `then` it is full for what writes that again, or
            the record is away for a moment."""
            written.clear()

            async def asked(method, params):
                if then == "is full" and method == "executions/update" and "add" not in params:
                    raise RunlogError(507, "the disk is full", {"kind": "storage-full", "retryable": True})
                if then == "is away" and len(written) == times and method == "executions/update":
                    written.append("away")
                    raise RunlogError(404, "there is no such execution", {"kind": "execution-not-found"})
                result = await ask(method, params)
                if "version" in result and method != "executions/get":
                    written.append(method)
                    if len(written) <= times:
                        data = {"kind": "storage", "retryable": True, "outcome": "unknown"}
                        raise RunlogError(500, "it was changed, but it cannot be told whether that will last", data)
                return result

            client._ask = asked

        may_not_last(2)
        run = client.start("p", id="a")
        self.assertEqual(written, ["executions/start", "executions/update", "executions/update"])
        may_not_last(2)
        run.add(costUSD=1)
        self.assertEqual(len(written), 3)
        may_not_last(1, "is away")
        run.add(input=5)
        self.assertEqual(self.place.record("p", "a")["tokenUsage"]["input"], 5)
        for cost, how in ((2, [1000]), (4, [1, "is full"])):
            may_not_last(*how)
            with self.assertRaises(RunlogError) as raised:
                run.add(costUSD=cost)
            # whoever added it again would count it twice
            self.assertEqual((raised.exception.kind, raised.exception.data["outcome"]), ("storage", "unknown"))
            self.assertFalse(raised.exception.retryable)
        may_not_last(0)
        run.add(costUSD=8)
        self.assertEqual(self.place.record("p", "a")["costUSD"], 15)
        # what has ended cannot be written again
        may_not_last(1)
        with self.assertRaises(RunlogError) as raised:
            run.finish()
        self.assertEqual((raised.exception.kind, raised.exception.data["outcome"]), ("storage", "unknown"))

    def test_what_cannot_be_recorded_is_refused_and_the_rest_of_it_is_not(self):
        client = self.place.client()
        with client.run("p") as run:
            for cost in [-1, float("nan"), "1", Decimal("1e-31"), Decimal("1e99")]:
                with self.assertRaises(ValueError) as raised:
                    run.add(costUSD=cost)
                why = f"costUSD must be a number of at most 30 decimal places that is not negative: {cost!r}"
                self.assertEqual(str(raised.exception), why)
            for count in [-1, 5.0, float("inf"), "1"]:
                with self.assertRaises(ValueError) as raised:
                    run.add(input=count)
                why = f"input must be a whole number that is not negative: {count!r}"
                self.assertEqual(str(raised.exception), why)
            # else the block's own end would be refused
            with self.assertRaisesRegex(ValueError, "by `finish`"):
                run.set(status="completed", output="o")
            with ThreadPoolExecutor(8) as pool:
                told = [
                    pool.submit(run.add, costUSD=0.1), pool.submit(run.step("a").__enter__),
                    pool.submit(run.step("b", input=object()).__enter__), pool.submit(run.add, costUSD=0.2, input=1),
                    pool.submit(run.set, id="other"), pool.submit(run.add, costUSD=1e-7, output=Whole(2)),
                ]
            refused = [type(one.exception()) for one in told]
            self.assertEqual(refused, [type(None), type(None), TypeError, type(None), RunlogError, type(None)])
        record = self.place.record("p", run.id)
        self.assertEqual((record["costUSD"], record["tokenUsage"]["total"]), (0.3000001, 3))
        self.assertEqual([step["name"] for step in record["steps"]], ["a"])

    def test_what_is_refused_of_a_step_is_counted_neither_in_it_nor_in_the_run(self):
        async def main():
            async with self.place.client() as client:
                async with client.run("p", id="a") as run, run.step("s") as step:
                    await step.add(costUSD=1, input=10)
                    # more than can be counted
                    with self.assertRaises(RunlogError) as raised:
                        await step.add(costUSD=1e10, input=10)
                    self.assertEqual(raised.exception.code, -32602)
                    told = [step.add(costUSD=1), step.add(costUSD=1e10), step.add(input=10)]
                    return await asyncio.gather(*told, return_exceptions=True)

        self.assertEqual([type(one) for one in asyncio.run(main())], [type(None), RunlogError, type(None)])
        record = self.place.record("p", "a")
        for counted in (record, record["steps"][0]):
            self.assertEqual((counted["costUSD"], counted["tokenUsage"]["total"]), (2, 20))

    def test_a_step_takes_no_other_one_in_and_one_that_comes_again_goes_on(self):
        client = self.place.client()
        planned = {"id": "step-2", "name": "planned", "costUSD": 5}
        with client.run("p", id="a", steps=[planned], costUSD=5) as run:
            for name, members in (("given", {"id": "step-1"}), ("made up", {}), ("again", {"id": "k"}), ("again", {"id": "k"})):
                with run.step(name, **members) as step:
                    step.add(costUSD=1)
        record = self.place.record("p", "a")
        self.assertEqual(record["costUSD"], 9)
        self.assertEqual(
            [(step["id"], step["name"], step["costUSD"]) for step in record["steps"]],
            [("step-2", "planned", 5), ("step-1", "given", 1), ("step-3", "made up", 1), ("k", "again", 2)],
        )

    def test_what_is_added_to_a_step_comes_on_top_of_what_was_told_of_it(self):
        client = self.place.client()
        usage = {"input": 10, "output": 5, "cached": 8, "total": 23}
        with client.run("p", id="a", steps=[{"id": "planned", "costUSD": 5}]) as run:
            with run.step("one", costUSD=1.5, tokenUsage=usage) as step:
                usage["input"] = 99
                step.add(costUSD=0.1, input=1)
                step.add(output=2)
            with run.step("two", tokenUsage={"input": 3}) as step:
                step.add(costUSD=4)
                step.set(costUSD=2)
                step.add(costUSD=0.25, output=1)
            with run.step("three", id="planned") as step:
                step.add(costUSD=1)
                self.assertEqual(self.place.record("p", "a")["steps"][0]["costUSD"], 6)
                step.set(costUSD="free")
                with self.assertRaises(ValueError):
                    step.add(costUSD=1)
                step.set(costUSD=None)
                step.add(costUSD=1)
        steps = {step["id"]: step for step in self.place.record("p", "a")["steps"]}
        self.assertEqual(steps["step-1"]["costUSD"], 1.6)
        self.assertEqual(steps["step-1"]["tokenUsage"], {"input": 11, "output": 7, "cached": 8, "total": 26})
        self.assertEqual(steps["step-2"]["costUSD"], 2.25)
        self.assertEqual(steps["step-2"]["tokenUsage"], {"input": 3, "output": 1, "total": 4})
        self.assertEqual(steps["planned"]["costUSD"], 1)

    def test_sums_are_exact(self):
        client = self.place.client()
        amounts = [Decimal("4291.39"), 0.1, Decimal("1e-30"), 1e-12, Decimal("123456.123456789012345678"), 1234567.1]
        with client.run("p", id="a") as run, run.step("s", costUSD=0, output="0.1") as step:
            for amount in amounts:
                step.add(costUSD=amount)
            with ThreadPoolExecutor(50) as pool:
                for told in [pool.submit(step.add, costUSD=amount, input=2**52) for amount in amounts]:
                    told.result()
        with open(self.place.file("p", "a"), encoding="utf-8") as file:
            record = json.load(file, parse_float=Decimal)
        for counted in (record, record["steps"][0]):
            self.assertEqual(str(counted["costUSD"]), "2724629.426913578026691356000000000002")
            self.assertEqual(counted["tokenUsage"], {"input": 6 * 2**52, "output": 0, "total": 6 * 2**52})

    def test_what_is_told_during_a_write_shares_the_next_one(self):
        client = self.place.client()
        ticks = lambda: int(client.request("executions/list")["clock"].rsplit(":")[-1])  # noqa: E731
        before = ticks()
        with client.run("p") as run:
            with ThreadPoolExecutor(50) as pool:
                told = [pool.submit(run.add, costUSD=0.1, output=1) for _ in range(400)]
                told += [pool.submit(run.set, **{f"member{number}": number}) for number in range(30)]
                for one in told:
                    one.result()
        record = self.place.record("p", run.id)
        self.assertEqual((record["costUSD"], record["tokenUsage"]["output"]), (40, 400))
        self.assertEqual([record[f"member{number}"] for number in range(30)], list(range(30)))
        self.assertLess(ticks() - before, 200)

    def test_a_silent_run_is_told_to_be_alive(self):
        quiet = self.place.client(heartbeat=0).start("p")
        began = os.stat(self.place.file("p", quiet.id)).st_mtime_ns
        client = self.place.client(heartbeat=0.02)
        with client.run("p") as run:
            file = self.place.file("p", run.id)
            before = os.stat(file)
            until(lambda: os.stat(file).st_mtime_ns > before.st_mtime_ns, "a heartbeat")
            self.assertEqual(os.stat(file).st_ino, before.st_ino)
            # a person's note does not stop it
            ids = {"projectId": "p", "executionId": run.id}
            client.request("executions/update", {**ids, "set": {"note": "slow"}})
            noted = os.stat(file).st_mtime_ns
            until(lambda: os.stat(file).st_mtime_ns > noted, "another")
        self.assertEqual(self.place.record("p", run.id)["note"], "slow")
        self.assertEqual(os.stat(self.place.file("p", quiet.id)).st_mtime_ns, began)

    def test_an_end_that_cannot_be_told_is_not_the_end(self):
        client = self.place.client()
        with self.assertRaises(TypeError):
            with client.run("p") as run:
                run.finish(output=object())
        record = self.place.record("p", run.id)
        self.assertEqual(record["status"], "failed")
        self.assertRegex(record["error"], "^TypeError: ")

    def test_a_run_that_somebody_else_ended_is_not_told_to_be_alive(self):
        self.place.daemon()
        between = self.place.between()
        run = self.place.client(socket=between.path, heartbeat=0.005).start("p")
        beats = []

        def judge(message):
            if message["method"] == "executions/update":
                beats.append(time.monotonic())
            return "pass"

        between.fate = judge
        until(lambda: len(beats) > 2, "signs of life")
        other = self.place.client(socket=self.place.socket)
        ids = {"projectId": "p", "executionId": run.id}
        other.request("executions/update", {**ids, "set": {"status": "cancelled"}})
        until(lambda: time.monotonic() - beats[-1] > 0.2, "them to end")
        self.assertEqual(self.place.record("p", run.id)["status"], "cancelled")

    def test_a_run_is_told_to_be_alive_though_that_was_refused_but_not_once_its_end_was(self):
        self.place.daemon()
        between = self.place.between()
        run = self.place.client(socket=between.path, heartbeat=0.005).start("p")
        file = self.place.file("p", run.id)
        beats = []
        between.fate = lambda message: beats.append(time.monotonic()) or "pass"

        def more():
            before = len(beats)
            until(lambda: len(beats) > before + 3, "signs of life")

        os.rename(file, file + "~")
        more()
        os.rename(file + "~", file)
        before = os.stat(file).st_mtime_ns
        until(lambda: os.stat(file).st_mtime_ns > before, "a heartbeat")
        os.rename(file, file + "~")
        with self.assertRaises(RunlogError):
            run.finish()
        os.rename(file + "~", file)
        until(lambda: time.monotonic() - beats[-1] > 0.2, "them to end")
        run.add(input=1)
        more()
        run.finish()
        self.assertEqual(self.place.record("p", run.id)["status"], "completed")

    def test_a_run_that_cannot_begin_leaves_the_other_of_its_name_alone(self):
        client = self.place.client(heartbeat=0.005)
        first = client.start("p", id="own")
        with self.assertRaises(RunlogError) as raised:
            client.start("p", id="own")
        self.assertEqual(raised.exception.kind, "already-exists")
        first.finish()
        before = os.stat(self.place.file("p", "own")).st_mtime_ns
        time.sleep(0.1)
        self.assertEqual(os.stat(self.place.file("p", "own")).st_mtime_ns, before)

    def test_an_answer_is_lost(self):
        strangers = {
            "nobody": None,
            "a note": {"set": {"note": "seen"}},
            "more cost": {"add": {"costUSD": 0.5, "tokenUsage": {"input": 7}}},
        }
        for number, (fate, who) in enumerate(itertools.product(["before", "after"], strangers)):
            with self.subTest(fate=fate, who=who):
                if number:
                    self.doCleanups()
                    self.setUp()
                self.answer_is_lost(fate, who, strangers[who])

    def answer_is_lost(self, fate, who, what):
        """Each write loses its first answer; the stranger comes before it is repeated."""
        self.place.daemon()
        between = self.place.between()
        other = self.place.client(socket=self.place.socket)
        client = self.place.client(socket=between.path)
        client.request("executions/list")
        lost, strange = [], []

        def stranger():
            params = told[0]
            ended = (params.get("set") or {}).get("status")
            if what and "executionId" in params and not (ended and fate == "after"):
                ids = {name: params[name] for name in ("projectId", "executionId")}
                strange.append(other.request("executions/update", {**ids, **what}))

        told = [None]

        def judge(message):
            if message["method"] not in ("executions/start", "executions/update"):
                return "pass"
            params = message["params"]
            mark = (params.get("execution") or params.get("set"))["recorder"]
            if mark in lost:
                return "pass"
            lost.append(mark)
            told[0] = params
            if fate == "before":
                stranger()
            return fate

        between.fate = judge
        between.lost = stranger
        with client.run("p", name="n") as run:
            for _ in range(3):
                with run.step("work") as step:
                    step.add(costUSD=0.1, input=2, output=1)
                run.add(costUSD=0.01)
            run.set(output="done")
        record = self.place.record("p", run.id)
        self.assertEqual(len(lost), 1 + 3 * 4 + 1 + 1)
        if what:
            self.assertGreaterEqual(len(strange), 12)
        self.assertEqual((record["status"], record["output"]), ("completed", "done"))
        self.assertEqual(
            [(step["id"], step["status"], step["costUSD"]) for step in record["steps"]],
            [(f"step-{number}", "completed", 0.1) for number in (1, 2, 3)],
        )
        more = len(strange) if who == "more cost" else 0
        self.assertEqual(record["costUSD"], float(Decimal("0.33") + Decimal("0.5") * more))
        self.assertEqual(record["tokenUsage"], {"input": 6 + 7 * more, "output": 3, "total": 9 + 7 * more})

    def test_a_lost_answer_is_looked_for_before_a_write_is_taken_apart(self):
        for count, (fate, back) in itertools.product((1, 5), (("before", True), ("after", True), ("after", False))):
            with self.subTest(count=count, fate=fate, back=back):
                self.doCleanups()
                self.setUp()
                for answer in asyncio.run(self.away_after_a_lost_answer(count, fate, back)):
                    if back:
                        self.assertIsNone(answer)
                    else:
                        self.assertEqual((answer.kind, answer.data["outcome"]), ("execution-not-found", "unknown"))
                self.assertEqual(self.place.record("p", "a")["costUSD"], count)

    async def away_after_a_lost_answer(self, count, fate, back):
        """What becomes of `count` adds in a write whose answer is lost and whose repetition finds no record."""
        self.place.daemon()
        between = self.place.between()
        file = self.place.file("p", "a")
        queued = threading.Event()
        sent = []

        def judge(message):
            if not message["method"].startswith("executions/"):
                return "pass"
            sent.append(message)
            if len(sent) == 1:
                queued.wait()
            if len(sent) == 4 and back:
                os.rename(file + "~", file)
            if len(sent) == 2 and fate == "before":
                os.rename(file, file + "~")
            return fate if len(sent) == 2 else "pass"

        between.lost = lambda: os.rename(file, file + "~")
        async with self.place.client(socket=between.path, patience=30 if back else 0.5) as client:
            async with client.run("p", id="a") as run:
                between.fate = judge
                first = run.set(name="n")
                until(lambda: sent, "a write")
                adds = [run.add(costUSD=1) for _ in range(count)]
                queued.set()
                answers = await asyncio.gather(*adds, return_exceptions=True)
                if not back:
                    os.rename(file + "~", file)
                await first
        return answers

    def test_what_may_have_gone_through_is_not_to_be_told_again(self):
        daemon = self.place.daemon()
        between = self.place.between()
        between.lost = daemon.kill
        run = self.place.client(socket=between.path, patience=0.5).start("p", id="a")
        between.fate = lambda message: "after"
        with self.assertRaises(RunlogError) as raised:
            run.add(costUSD=1)
        # whoever added it again would count it twice
        self.assertEqual((raised.exception.data["outcome"], raised.exception.retryable), ("unknown", False))
        self.assertEqual(self.place.record("p", "a")["costUSD"], 1)

    def test_a_program_that_is_away_for_a_moment_is_waited_for_where_an_answer_was_lost(self):
        program = self.place.program_that_loses(["executions/start", "executions/update"])
        spawn = runlog._spawn
        away = []

        def put_back(*command):
            try:
                return spawn(*command)
            except RunlogError:
                away.append(command)
                os.rename(program + "~", program)
                raise

        async def main():
            async with self.place.client(command=[program]) as client:
                async with client.run("p", id="a") as run:
                    await asyncio.gather(*(run.add(costUSD=1) for _ in range(5)))

        with unittest.mock.patch("runlog._spawn", put_back):
            asyncio.run(main())
        self.assertEqual(len(away), 2)
        self.assertEqual(self.place.record("p", "a")["costUSD"], 5)

    def kills(self, client, daemon):
        """Six workers record runs while daemons are killed."""
        done = itertools.count(1)
        seen = [0]

        def work(number):
            with client.run(f"p{number % 2}", name=f"run {number}") as run:
                for at in range(20):
                    with run.step("work") as step:
                        step.add(costUSD=0.01, input=3, output=2)
                        step.set(output=at)
                    seen[0] = next(done)
            return run

        over = threading.Event()
        killed = []

        def kill(daemon):
            due = 5
            while not over.wait(0.002):
                if seen[0] < due:
                    continue
                due = seen[0] + 10
                if daemon is not None:
                    daemon.kill()
                    daemon = self.place.daemon()
                else:
                    try:
                        os.kill(client.request("server/status")["pid"], signal.SIGKILL)
                    except RunlogError:
                        continue
                killed.append(due)

        killer = threading.Thread(target=kill, args=[daemon])
        killer.start()
        with ThreadPoolExecutor(6) as pool:
            runs = list(pool.map(work, range(6)))
        over.set()
        killer.join()
        self.assertGreaterEqual(len(killed), 5)
        for run in runs:
            record = self.place.record(run.projectId, run.id)
            self.assertEqual((record["status"], record["costUSD"]), ("completed", 0.2))
            self.assertEqual(record["tokenUsage"], {"input": 60, "output": 40, "total": 100})
            told = [(step["id"], step["status"], step["costUSD"], step["output"]) for step in record["steps"]]
            self.assertEqual(told, [(f"step-{at + 1}", "completed", 0.01, at) for at in range(20)])
        # the last kill may meet the connection that this goes out on
        for left in reversed(range(5)):
            try:
                total = client.request("executions/list", {"sync": True})["total"]
                break
            except RunlogError as error:
                if not (error.retryable and left):
                    raise
        self.assertEqual(total, 6)

    def test_nothing_is_lost_or_counted_twice_while_daemons_on_a_socket_are_killed(self):
        daemon = self.place.daemon()
        self.kills(self.place.client(socket=self.place.socket), daemon)

    def test_nothing_is_lost_or_counted_twice_while_daemons_of_our_own_are_killed(self):
        self.kills(self.place.client(), None)

    def test_nothing_is_lost_or_counted_twice_while_shared_daemons_are_killed(self):
        self.kills(self.place.shared(), None)


if __name__ == "__main__":
    unittest.main()
