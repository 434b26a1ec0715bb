"""A client of runlog for Python 3.9 or later: requests, changes that outlive the daemon, a recorder.

Everything comes in two manners: plain calls block, and beside them are the ones that asyncio awaits
(`request_async`, `async for`, `async with`). Both stand on threads of the client's own, one to read, one
to write, and one for each run that is being recorded, so that neither a busy event loop nor a Ctrl-C
leaves a run half told.

Where a connection is lost, the next request makes a new one. What was under way then fails with
`data["outcome"]` "unknown", but for changes, which go on from their last clock, and for what a recorder
writes, which is brought to an end exactly once.

    with Client() as client:
        with client.run("website", name="Nightly") as run:
            with run.step("search") as step:
                step.add(costUSD=0.002, input=900, output=120)
"""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import datetime
import itertools
import json
import logging
import math
import os
import queue
import secrets
import socket as sockets
import subprocess
import threading
import time
from concurrent.futures import Future
from decimal import Decimal
from typing import (
    Any, AsyncIterator, BinaryIO, Callable, Deque, Dict, Iterator, List, Optional, Sequence, Tuple, Union, cast,
)

import runlog_types as types
from runlog_types import Told

__all__ = [
    "AsyncRun", "AsyncStep", "Changes", "Client", "Run", "RunlogError", "Step", "types",
]

# How many changes wait in memory for a slow consumer.
_QUEUED_CHANGES_MAX = 1000
# How long to wait before the second try, in seconds; doubled for each further one until a daemon has answered.
_FIRST_DELAY = 0.05
_LONGEST_DELAY = 5.0
# How long a daemon has to end once its input has.
_END_WITHIN = 3.0
_FRAME_BYTES_MAX = 64 * 1024 * 1024

# What takes work back, rather than making it fail.
_CANCELLED = (KeyboardInterrupt, asyncio.CancelledError, GeneratorExit)

_log = logging.getLogger("runlog")

Amount = Union[int, float, Decimal]


class RunlogError(Exception):
    """What the daemon, or the way to it, has refused.

    `code` is the protocol's: 404, 409, -32602, …; `data` says what else there is to know of this kind:
    `currentVersion`, `outcome`, ….
    """

    def __init__(self, code: int, message: str, data: Optional[Dict[str, Any]] = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data: Dict[str, Any] = data or {}

    @property
    def kind(self) -> str:
        """The stable word for what happened: the protocol's, or `unreachable`."""
        return str(self.data.get("kind", "unknown"))

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later."""
        return self.data.get("retryable") is True


class Client(types.Requests):
    """Runs the daemon or meets it, asks it, and hears what it tells. Begins when it is first needed.

    `socket` is a daemon's Unix socket, or True for the root's own, as `runlog socket` prints it; without
    it, `command` is started. `projects` is the root; otherwise the daemon looks for it from the current
    folder. `patience` is for how long to look for a daemon, in seconds, before what needs it fails, and
    `heartbeat` how often a silent run of ours is told to be alive.
    """

    def __init__(
        self,
        *,
        socket: Union[None, str, bool] = None,
        command: Sequence[str] = ("runlog", "serve", "--shared"),
        projects: Union[None, str, os.PathLike[str]] = None,
        patience: float = 30.0,
        heartbeat: float = 60.0,
    ) -> None:
        self._socket = socket
        self._command = list(command)
        self._root = [] if projects is None else ["--projects", os.fspath(projects)]
        self._patience = patience
        self._heartbeat = heartbeat
        self._lock = threading.Lock()
        self._connection: Optional[Future[_Connection]] = None
        self._delay = 0.0
        self._closing = threading.Event()

    # `request` and `request_async`, typed for every method, come from `runlog_types`

    def submit(
        self,
        method: str,
        params: Any = None,
        *,
        on_progress: Optional[Callable[[Dict[str, Any]], None]] = None,
        _subscriber: Optional[_Subscription] = None,
    ) -> Future[Any]:
        """Asks without waiting; a future of the answer.

        Cancelling it takes the request back; a mutation may have gone through all the same. `on_progress`
        is told, by another thread, how far the request has come.
        """
        answer: Future[Any] = Future()

        def ask(opened: Future[_Connection]) -> None:
            try:
                opened.result().submit(method, params or {}, answer, on_progress, _subscriber)
            except BaseException as error:  # what cannot be said in JSON, too
                _settle(answer, error=error)

        self._connected().add_done_callback(ask)
        return answer

    def _request(self, method: str, params: Any, *, timeout: Optional[float] = None, **options: Any) -> Any:
        answer = self.submit(method, params, **options)
        try:
            return answer.result(timeout)
        except concurrent.futures.TimeoutError:
            answer.cancel()
            raise TimeoutError(f"{method} was not answered within {timeout} seconds") from None
        except BaseException:
            answer.cancel()
            raise

    async def _request_async(self, method: str, params: Any, **options: Any) -> Any:
        return await asyncio.wrap_future(self.submit(method, params, **options))

    def list(self, params: Optional[types.ExecutionsListParams] = None) -> types.ListResult:
        return self.request("executions/list", params)

    def get(self, projectId: str, executionId: str) -> types.GetResult:
        return self.request("executions/get", {"projectId": projectId, "executionId": executionId})

    def save(self, params: types.ExecutionsSaveParams) -> types.SaveResult:
        return self.request("executions/save", params)

    def stats(self, params: Optional[types.ExecutionsStatsParams] = None) -> types.StatsResult:
        return self.request("executions/stats", params)

    def changes(
        self,
        *,
        projectId: Optional[str] = None,
        status: Optional[types.Statuses] = None,
        since: Optional[str] = None,
    ) -> Changes:
        """Changes as they happen, for `for` and `async for`: see :class:`Changes`."""
        return Changes(self, {"projectId": projectId, "status": status, "since": since})

    def run(self, projectId: str, **members: Any) -> Run:
        """A run to be recorded, for `with` and `async with`: see :class:`Run`.

        `members` are the record's: `name`, `input`, `model`, …; its `id` is made up where it has none.
        """
        return Run(self, projectId, members)

    def close(self) -> None:
        """Ends the connection, and the daemon if it was started for it. Iterations of changes end."""
        self._closing.set()
        with self._lock:
            connection = self._connection
        if connection is not None and connection.exception() is None:
            connection.result().close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: Any) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self.close)

    def _connected(self) -> Future[_Connection]:
        with self._lock:
            if self._connection is None:
                self._connection = Future()
                threading.Thread(target=self._open, args=[self._connection], daemon=True).start()
            return self._connection

    def _open(self, opened: Future[_Connection]) -> None:
        began = time.monotonic()
        while True:
            try:
                if not self._closing.wait(self._delay):
                    self._delay = min(max(2 * self._delay, _FIRST_DELAY), _LONGEST_DELAY)
                    connection = _Connection.open(self, self._ended)
                    break
                error: Exception = _Hopeless("the client is closed")
            except Exception as caught:
                error = caught
            patient = time.monotonic() - began + self._delay < self._patience
            if isinstance(error, _Hopeless) or not patient:
                with self._lock:
                    self._connection = None
                data = {"kind": "unreachable", "retryable": not self._closing.is_set()}
                opened.set_exception(RunlogError(503, f"no daemon can be reached: {error}", data))
                return
        opened.set_result(connection)
        if connection.lost:  # since it was opened
            self._ended(connection)
        if self._closing.is_set():
            connection.close()

    def _ended(self, connection: _Connection) -> None:
        if connection.answered:
            self._delay = _FIRST_DELAY
        with self._lock:
            opened = self._connection
            # one that ends before it is of any use is no connection yet
            if opened is not None and opened.done() and opened.result() is connection:
                self._connection = None


class _Hopeless(Exception):
    """What no further try would mend."""


class _Pending:
    def __init__(
        self,
        answer: Future[Any],
        on_progress: Optional[Callable[[Dict[str, Any]], None]],
        subscriber: Optional[_Subscription],
    ) -> None:
        self.answer = answer
        self.on_progress = on_progress
        self.subscriber = subscriber


class _Connection:
    """One way to a daemon, from its first byte to its last."""

    def __init__(
        self, reader: BinaryIO, writer: BinaryIO, end: Callable[[], None], ended: Callable[[_Connection], None]
    ) -> None:
        # whether it was of any use
        self.answered = False
        self.lost = False
        self._end = end
        self._ended = ended
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._pending: Dict[int, _Pending] = {}
        self._subscribers: Dict[int, _Subscription] = {}
        # what is sent here is written by a thread of its own: whoever reads must never wait for that
        self._outgoing: queue.SimpleQueue[Optional[bytes]] = queue.SimpleQueue()
        self._reading = threading.Thread(target=self._read, args=[reader], daemon=True)
        self._reading.start()
        threading.Thread(target=self._write, args=[writer], daemon=True).start()

    @staticmethod
    def open(client: Client, ended: Callable[[_Connection], None]) -> _Connection:
        process = None
        if client._socket is None:
            process, connection = _Connection._spawn(client._command + client._root, ended)
        else:
            path = client._socket
            if isinstance(path, bool):
                asked = [client._command[0], "socket", *client._root]
                path = subprocess.run(asked, check=True, stdout=subprocess.PIPE).stdout.decode().rstrip("\n")
            connection = _Connection._meet(path, ended)
        hello: Future[Any] = Future()
        about = {"processId": os.getpid(), "protocolVersion": 1, "clientInfo": {"name": "runlog-python"}}
        try:
            connection.submit("initialize", about, hello)
            hello.result()
        except RunlogError:
            connection.close()
            if process is not None and process.returncode > 0:
                raise _Hopeless(
                    f"{client._command[0]} ended with status {process.returncode}; its stderr says why"
                ) from None
            raise
        return connection

    @staticmethod
    def _meet(path: str, ended: Callable[[_Connection], None]) -> _Connection:
        stream = sockets.socket(sockets.AF_UNIX)
        try:
            stream.connect(path)
        except BaseException:
            stream.close()
            raise

        def end() -> None:
            try:
                stream.shutdown(sockets.SHUT_RDWR)
            except OSError:
                pass  # it is over already
            stream.close()

        return _Connection(stream.makefile("rb"), stream.makefile("wb"), end, ended)

    @staticmethod
    def _spawn(
        command: List[str], ended: Callable[[_Connection], None]
    ) -> Tuple[subprocess.Popen[bytes], _Connection]:
        try:
            # a session of its own: a Ctrl-C that ends this program is not the daemon's
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
            )
        except OSError as error:
            raise _Hopeless(f"{command[0]} cannot be started: {error.strerror}") from None

        def end() -> None:
            try:
                process.wait(_END_WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

        output, input_ = cast(BinaryIO, process.stdout), cast(BinaryIO, process.stdin)
        return process, _Connection(output, input_, end, ended)

    def submit(
        self,
        method: str,
        params: Any,
        answer: Future[Any],
        on_progress: Optional[Callable[[Dict[str, Any]], None]] = None,
        subscriber: Optional[_Subscription] = None,
    ) -> None:
        ident = next(self._ids)
        if on_progress is not None:
            params = {**params, "workDoneToken": ident}
        frame = _frame({"id": ident, "method": method, "params": params})
        with self._lock:
            if self.lost:
                raise _lost()
            if answer.cancelled():
                return
            self._pending[ident] = _Pending(answer, on_progress, subscriber)
        self._outgoing.put(frame)

        def take_back(answer: Future[Any]) -> None:
            if answer.cancelled():
                self._outgoing.put(_frame({"method": "$/cancelRequest", "params": {"id": ident}}))

        answer.add_done_callback(take_back)

    def unsubscribe(self, subscription: int) -> None:
        self._subscribers.pop(subscription, None)
        try:
            self.submit("executions/unsubscribe", {"subscription": subscription}, Future())
        except RunlogError:
            pass  # it is over already

    def close(self) -> None:
        self._outgoing.put(None)
        self._end()
        self._reading.join()

    def _write(self, writer: BinaryIO) -> None:
        try:
            while True:
                frame = self._outgoing.get()
                if frame is None:
                    break
                writer.write(frame)
                writer.flush()
        except OSError:
            pass  # the reader finds the end
        try:
            writer.close()
        except OSError:
            pass

    def _read(self, reader: BinaryIO) -> None:
        try:
            while True:
                length = None
                while True:
                    line = reader.readline(1024)
                    if not line:
                        raise EOFError
                    if line == b"\r\n":
                        break
                    name, _, value = line.partition(b":")
                    if name.strip().lower() == b"content-length":
                        length = int(value)
                if length is None:
                    raise ValueError("a message without Content-Length")
                body = reader.read(length)
                if len(body) < length:
                    raise EOFError
                self._receive(json.loads(body))
        except (OSError, EOFError):
            pass
        except Exception:
            _log.exception("what the daemon says cannot be understood")
        with self._lock:
            self.lost = True
        self._outgoing.put(None)
        self._end()
        reader.close()
        self._ended(self)
        for pending in self._pending.values():
            _settle(pending.answer, error=_lost())
        for subscriber in list(self._subscribers.values()):
            subscriber.lost()

    def _receive(self, message: Dict[str, Any]) -> None:
        params = message.get("params")
        method = message.get("method")
        if method == "executions/changed" and params:
            subscriber = self._subscribers.get(params["subscription"])
            if subscriber is not None:
                subscriber.told(params["result"])
        elif method == "$/progress" and params:
            pending = self._pending.get(params["token"])
            if pending is not None and pending.on_progress is not None:
                try:
                    pending.on_progress(params["value"])
                except Exception:
                    _log.exception("on_progress")
        elif method is None:
            if message["id"] is None:
                raise ValueError("the daemon did not understand us")
            with self._lock:
                pending = self._pending.pop(message["id"], None)
            error = message.get("error")
            if error is None:
                self.answered = message["id"] > 1
            if pending is None:
                return
            if error is not None:
                refusal = RunlogError(error["code"], error["message"], error.get("data"))
                _settle(pending.answer, error=refusal)
                return
            if pending.subscriber is not None:
                self._subscribers[message["result"]] = pending.subscriber
                pending.subscriber.begun(self, message["result"])
            _settle(pending.answer, message["result"])


class Changes:
    """Changes as they happen: each `for` and each `async for` over it is a subscription.

    A lost connection is made again, and the changes go on after the last clock; `resync` says where
    something may be missing: drop what you hold and list again. `current` says that you have seen
    everything up to its clock; the first one, that what follows is live. Of what a slow consumer has not
    taken, the daemon keeps the latest states.
    """

    def __init__(self, client: Client, params: Dict[str, Any]) -> None:
        self._client = client
        self._params = params

    def __iter__(self) -> Iterator[Told]:
        subscription = _Subscription(self._client, self._params)
        try:
            while not subscription.over:
                told = subscription.take()
                if told is not None:
                    yield told
                else:
                    subscription.more().result()
        finally:
            subscription.close()

    async def __aiter__(self) -> AsyncIterator[Told]:
        subscription = _Subscription(self._client, self._params)
        try:
            while not subscription.over:
                told = subscription.take()
                if told is not None:
                    yield told
                else:
                    await asyncio.wrap_future(subscription.more())
        finally:
            subscription.close()


class _Subscription:
    """What a consumer has not taken yet, and the way to more of it."""

    def __init__(self, client: Client, params: Dict[str, Any]) -> None:
        self.over = False
        self._client = client
        self._params = dict(params)
        self._lock = threading.Lock()
        self._queue: Deque[Told] = collections.deque()
        # whether a subscription goes on, or is about to
        self._live = False
        self._stop: Optional[Callable[[], None]] = None
        self._more: Optional[Future[None]] = None

    def take(self) -> Optional[Told]:
        with self._lock:
            return self._queue.popleft() if self._queue else None

    def more(self) -> Future[None]:
        """Done when there is something to take, or a reason to look."""
        more: Future[None] = Future()
        with self._lock:
            if self._queue:
                more.set_result(None)
                return more
            ask, self._live = not self._live, True
            self._more = more
        if ask:
            answer = self._client.submit("executions/subscribe", self._params, _subscriber=self)
            answer.add_done_callback(self._asked)
        return more

    def close(self) -> None:
        with self._lock:
            self.over = True
            stop, self._stop = self._stop, None
        if stop is not None:
            stop()

    # what follows is called by other threads

    def _asked(self, answer: Future[Any]) -> None:
        error = answer.exception()
        if error is None:
            return
        with self._lock:
            self._live = False
        if self._client._closing.is_set():
            self.over = True
            self._wake()
        elif isinstance(error, RunlogError) and error.retryable and error.kind != "unreachable":
            timer = threading.Timer(_FIRST_DELAY, self._wake)
            timer.daemon = True
            timer.start()
        else:
            self._wake(error)

    def begun(self, connection: _Connection, subscription: int) -> None:
        def stop() -> None:
            connection.unsubscribe(subscription)

        with self._lock:
            over = self.over
            self._stop = stop
        if over:
            stop()

    def told(self, told: Told) -> None:
        stop = None
        with self._lock:
            self._queue.append(told)
            self._params["since"] = told["clock"]
            if len(self._queue) >= _QUEUED_CHANGES_MAX:
                # once these are taken, another subscription goes on from the last one
                stop, self._stop = self._stop, None
                self._live = False
        if stop is not None:
            stop()
        self._wake()

    def lost(self) -> None:
        with self._lock:
            self._live = False
            self._stop = None
        self._wake()

    def _wake(self, error: Optional[BaseException] = None) -> None:
        with self._lock:
            more, self._more = self._more, None
        if more is not None:
            _settle(more, None, error)


class _Change:
    def __init__(
        self,
        set: Optional[Dict[str, Any]] = None,
        add: Optional[Dict[str, Amount]] = None,
        steps: Optional[List[Dict[str, Any]]] = None,
    ) -> None:
        self.set = set
        self.add = add
        self.steps = steps
        self.done: Future[None] = Future()
        # whoever stops waiting for it does not take it back
        self.done.set_running_or_notify_cancel()

    def params(self, recorder: str) -> Dict[str, Any]:
        params: Dict[str, Any] = {}
        if self.set is not None or self.add is not None or self.steps is not None:
            params["set"] = {**(self.set or {}), "recorder": recorder}
        if self.add is not None:
            add: Dict[str, Any] = {}
            if "costUSD" in self.add:
                add["costUSD"] = float(self.add["costUSD"])
            tokens = {name: self.add[name] for name in ("input", "output") if name in self.add}
            if tokens:
                add["tokenUsage"] = tokens
            params["add"] = add
        if self.steps is not None:
            params["steps"] = self.steps
        return params


class Run:
    """A run being recorded; one per record.

    `with` records what its block does: completed when it ends, failed with the error's text when it
    raises, cancelled on a KeyboardInterrupt or where its task is cancelled. `async with` does the same and
    gives an :class:`AsyncRun`. Everything is durable when the call returns, in the order of the calls;
    what other threads tell while a write is under way shares the next one.

    Nothing is lost or counted twice where an answer fails to come. Each write expects the version that
    was answered last, and leaves a mark of its own in the record, its member `recorder`. Repeated, it
    either finds that version, so that the first try has not gone through and never will, or is refused;
    then the record is read. With the mark in it the first try went through, whoever wrote since. Without
    it somebody else wrote before, and the write is repeated on top of that. (Who puts back an old copy of
    the record takes back what was written since, mark and all.)
    """

    def __init__(self, client: Client, projectId: str, members: Dict[str, Any]) -> None:
        self.projectId = projectId
        self.id: str = members.get("id") or _new_id()
        self._client = client
        self._members = members
        self._recorder = secrets.token_hex(8)
        self._version = ""
        self._writes = itertools.count()
        self._steps = itertools.count(1)
        self._waiting: Deque[_Change] = collections.deque()
        self._changed = threading.Condition()
        self._finished = False
        self._over = False
        self._begun: Future[None] = Future()
        self._begun.set_running_or_notify_cancel()

    def start(self) -> Run:
        """Begins a run whose end is told by :meth:`finish`, where no `with` does both."""
        try:
            self._start().result()
        except _CANCELLED:
            self._finish({"status": "cancelled"})  # it begins all the same
            raise
        return self

    def add(
        self, *, costUSD: Optional[Amount] = None, input: Optional[int] = None, output: Optional[int] = None
    ) -> None:
        """Cost and tokens that come on top of the run's."""
        self._add(_amounts(costUSD, input, output)).result()

    def set(self, **members: Any) -> None:
        """New values of the record's members; None removes one."""
        self._put(_Change(set=members)).result()

    def step(self, name: str, **members: Any) -> Step:
        """A step to be recorded, for `with`; `nodeId` is its name if absent, `nodeType` agent."""
        return Step(self, name, members)

    def finish(self, status: str = "completed", **members: Any) -> None:
        """Ends the run; what is told of it later is refused. Only the first call counts."""
        self._finish({**members, "status": status}).result()

    def __enter__(self) -> Run:
        return self.start()

    def __exit__(self, kind: Any, error: Optional[BaseException], trace: Any) -> None:
        _tell(self._finish(_end_of(error)), error)

    async def __aenter__(self) -> AsyncRun:
        try:
            await asyncio.wrap_future(self._start())
        except _CANCELLED:
            self._finish({"status": "cancelled"})  # it begins all the same
            raise
        return AsyncRun(self)

    async def __aexit__(self, kind: Any, error: Optional[BaseException], trace: Any) -> None:
        await _tell_async(self._finish(_end_of(error)), error)

    def _start(self) -> Future[None]:
        threading.Thread(target=self._record, daemon=True).start()
        return self._begun

    def _add(self, amounts: Dict[str, Amount]) -> Future[None]:
        return self._put(_Change(add=amounts))

    def _finish(self, members: Dict[str, Any]) -> Future[None]:
        change = _Change(set=members)
        with self._changed:
            first, self._finished = not self._finished, True
        if first:
            change.done.add_done_callback(self._end)
            self._put(change)
        else:
            change.done.set_result(None)
        return change.done

    def _end(self, _: Future[None]) -> None:
        with self._changed:
            self._over = True
            self._changed.notify()

    def _put(self, change: _Change) -> Future[None]:
        with self._changed:
            if self._over:
                refusal = {"kind": "already-finished", "retryable": False}
                change.done.set_exception(RunlogError(409, "the run has ended; start another one", refusal))
            else:
                self._waiting.append(change)
                self._changed.notify()
        return change.done

    # what follows runs in the run's own thread

    def _record(self) -> None:
        try:
            execution = {**self._members, "id": self.id}

            def write(recorder: str) -> Dict[str, Any]:
                params = {"projectId": self.projectId, "execution": {**execution, "recorder": recorder}}
                return cast(Dict[str, Any], self._client.request("executions/start", cast(Any, params)))

            self._surely(write)
        except BaseException as error:
            self._over = True
            self._begun.set_exception(error)
            return
        self._begun.set_result(None)
        while True:
            with self._changed:
                # silent for so long, it tells that it is alive
                self._changed.wait_for(lambda: self._waiting or self._over, self._client._heartbeat)
                batch = [self._waiting.popleft()] if self._waiting else []
                # `set` comes before `add`: a change that sets something begins another write
                while self._waiting and self._waiting[0].set is None:
                    batch.append(self._waiting.popleft())
                if not batch and self._over:
                    return
            self._write(batch)

    def _write(self, batch: List[_Change]) -> None:
        try:
            self._update(_merged(batch))
        except BaseException as error:
            unsure = isinstance(error, RunlogError) and error.retryable
            if len(batch) > 1 and not unsure:
                # refused for sure: which of them is to blame shows when they are alone
                for change in batch:
                    self._write([change])
                return
            # what is wrong with a sign of life shows in the next write
            for change in batch:
                change.done.set_exception(error)
        else:
            for change in batch:
                change.done.set_result(None)

    def _update(self, change: _Change) -> None:
        def write(recorder: str) -> Dict[str, Any]:
            params = {
                "projectId": self.projectId,
                "executionId": self.id,
                **change.params(recorder),
                "ifVersion": self._version,
            }
            return cast(Dict[str, Any], self._client.request("executions/update", cast(Any, params)))

        self._surely(write)

    def _surely(self, write: Callable[[str], Dict[str, Any]]) -> None:
        """Writes exactly once, under the mark that `write` is given."""
        recorder = f"{self._recorder}:{next(self._writes)}"
        until = None
        conflict: Optional[RunlogError] = None
        delay = _FIRST_DELAY
        while True:
            try:
                if conflict is not None:
                    got = self._client.get(self.projectId, self.id)
                    ours = cast(Dict[str, Any], got["execution"]).get("recorder") == recorder
                    if not ours and conflict.kind != "version-conflict":
                        raise conflict
                    self._version = got["version"]
                    if ours:
                        return
                    conflict = None
                self._version = write(recorder)["version"]
                return
            except RunlogError as error:
                if error is conflict:
                    raise
                until = until or time.monotonic() + self._client._patience
                if error.code == 409:
                    conflict = error
                elif not error.retryable:
                    raise
                if time.monotonic() >= until or error.kind == "unreachable":
                    raise
                if error.code != 409:
                    time.sleep(delay)
                    delay = min(2 * delay, _LONGEST_DELAY)


class Step:
    """A step being recorded, in the manner of :class:`Run`."""

    def __init__(self, run: Run, name: str, members: Dict[str, Any]) -> None:
        self.id: str = members.get("id") or f"step-{next(run._steps)}"
        self._run = run
        self._members = {"name": name, "nodeId": name, "nodeType": "agent", **members}
        self._began = 0
        self._lock = threading.Lock()
        self._spent: Dict[str, Decimal] = {}

    def add(
        self, *, costUSD: Optional[Amount] = None, input: Optional[int] = None, output: Optional[int] = None
    ) -> None:
        """Cost and tokens that come on top, of the step and of the run."""
        self._add(_amounts(costUSD, input, output)).result()

    def set(self, **members: Any) -> None:
        """New values of the step's members."""
        self._set(members).result()

    def __enter__(self) -> Step:
        try:
            self._begin().result()
        except _CANCELLED as error:
            self._end(error)  # it begins all the same
            raise
        return self

    def __exit__(self, kind: Any, error: Optional[BaseException], trace: Any) -> None:
        _tell(self._end(error), error)

    def _begin(self) -> Future[None]:
        self._began = _now_ms()
        return self._set({"status": "running", "startedAt": _date(self._began), **self._members})

    def _end(self, error: Optional[BaseException]) -> Future[None]:
        ended = _now_ms()
        times = {"completedAt": _date(ended), "duration": ended - self._began}
        return self._set({**_end_of(error), **times})

    def _set(self, members: Dict[str, Any]) -> Future[None]:
        return self._run._put(_Change(steps=[{**members, "id": self.id}]))

    def _add(self, amounts: Dict[str, Amount]) -> Future[None]:
        step: Dict[str, Any] = {"id": self.id}
        with self._lock:
            for name, amount in amounts.items():
                self._spent[name] = self._spent.get(name, Decimal(0)) + _decimal(amount)
            if "costUSD" in self._spent:
                step["costUSD"] = float(self._spent["costUSD"])
            if "input" in self._spent or "output" in self._spent:
                read, written = (int(self._spent.get(name, 0)) for name in ("input", "output"))
                step["tokenUsage"] = {"input": read, "output": written, "total": read + written}
            # in the lock: the larger sum must come later
            return self._run._put(_Change(add=amounts, steps=[step]))


class AsyncRun:
    """A :class:`Run` for asyncio."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.projectId = run.projectId
        self.id = run.id

    async def add(
        self, *, costUSD: Optional[Amount] = None, input: Optional[int] = None, output: Optional[int] = None
    ) -> None:
        """Cost and tokens that come on top of the run's."""
        await asyncio.wrap_future(self._run._add(_amounts(costUSD, input, output)))

    async def set(self, **members: Any) -> None:
        """New values of the record's members; None removes one."""
        await asyncio.wrap_future(self._run._put(_Change(set=members)))

    def step(self, name: str, **members: Any) -> AsyncStep:
        """A step to be recorded, for `async with`."""
        return AsyncStep(Step(self._run, name, members))

    async def finish(self, status: str = "completed", **members: Any) -> None:
        """Ends the run; what is told of it later is refused. Only the first call counts."""
        await asyncio.wrap_future(self._run._finish({**members, "status": status}))


class AsyncStep:
    """A :class:`Step` for asyncio."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self.id = step.id

    async def add(
        self, *, costUSD: Optional[Amount] = None, input: Optional[int] = None, output: Optional[int] = None
    ) -> None:
        """Cost and tokens that come on top, of the step and of the run."""
        await asyncio.wrap_future(self._step._add(_amounts(costUSD, input, output)))

    async def set(self, **members: Any) -> None:
        """New values of the step's members."""
        await asyncio.wrap_future(self._step._set(members))

    async def __aenter__(self) -> AsyncStep:
        try:
            await asyncio.wrap_future(self._step._begin())
        except _CANCELLED as error:
            self._step._end(error)  # it begins all the same
            raise
        return self

    async def __aexit__(self, kind: Any, error: Optional[BaseException], trace: Any) -> None:
        await _tell_async(self._step._end(error), error)


def _end_of(error: Optional[BaseException]) -> Dict[str, Any]:
    """How something ended that raised `error`."""
    if error is None or (isinstance(error, SystemExit) and not error.code):
        return {"status": "completed"}
    if isinstance(error, _CANCELLED):
        return {"status": "cancelled"}
    return {"status": "failed", "error": f"{type(error).__name__}: {error}"}


def _tell(told: Future[None], error: Optional[BaseException]) -> None:
    """Waits until an end is told; the error that led to it comes before one of telling."""
    try:
        told.result()
    except RunlogError as other:
        if error is None:
            raise
        _log.warning("an end was not recorded: %s", other)


async def _tell_async(told: Future[None], error: Optional[BaseException]) -> None:
    try:
        await asyncio.wrap_future(told)
    except RunlogError as other:
        if error is None:
            raise
        _log.warning("an end was not recorded: %s", other)


def _merged(changes: List[_Change]) -> _Change:
    """Several changes, of which only the first sets members, as one."""
    if len(changes) == 1:
        return changes[0]
    merged = _Change()
    amounts: Dict[str, Decimal] = {}
    for change in changes:
        merged.set = merged.set if change.set is None else change.set
        for name, amount in (change.add or {}).items():
            amounts[name] = amounts.get(name, Decimal(0)) + _decimal(amount)
        if change.steps is not None:
            merged.steps = (merged.steps or []) + change.steps
    if amounts:
        merged.add = {name: amount if name == "costUSD" else int(amount) for name, amount in amounts.items()}
    return merged


def _amounts(
    costUSD: Optional[Amount], input: Optional[int], output: Optional[int]
) -> Dict[str, Amount]:
    """What is given of them; an error where it cannot be added."""
    given = {"costUSD": costUSD, "input": input, "output": output}
    amounts: Dict[str, Amount] = {name: amount for name, amount in given.items() if amount is not None}
    for name, amount in amounts.items():
        fine = math.isfinite(amount) and (name == "costUSD" or isinstance(amount, int))
        if not fine or amount < 0:
            raise ValueError(f"{name}: {amount} cannot be added")
    return amounts


def _decimal(amount: Amount) -> Decimal:
    """The number that JSON spells: sums of these are exact, of floats they would not be."""
    return Decimal(repr(amount)) if isinstance(amount, float) else Decimal(amount)


def _settle(future: Future[Any], result: Any = None, error: Optional[BaseException] = None) -> None:
    if not future.set_running_or_notify_cancel():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def _frame(message: Dict[str, Any]) -> bytes:
    # a number that JSON lacks would make the message one that has no answer, and so would too many bytes
    body = json.dumps({"jsonrpc": "2.0", **message}, allow_nan=False, separators=(",", ":")).encode()
    if len(body) > _FRAME_BYTES_MAX:
        data = {
            "kind": "too-large",
            "retryable": False,
            "sizeBytes": len(body),
            "limitBytes": _FRAME_BYTES_MAX,
        }
        raise RunlogError(413, f"the request has {len(body)} bytes", data)
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def _lost() -> RunlogError:
    data = {"kind": "daemon-lost", "retryable": True, "outcome": "unknown"}
    return RunlogError(503, "the connection ended before the answer", data)


def _new_id() -> str:
    """An id as the engine makes them."""
    digits = "".join(secrets.choice("0123456789abcdefghijklmnopqrstuvwxyz") for _ in range(9))
    return f"exec-{_now_ms()}-{digits}"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _date(millis: int) -> str:
    moment = datetime.datetime.fromtimestamp(millis // 1000, datetime.timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{millis % 1000:03}Z"
