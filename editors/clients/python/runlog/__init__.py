"""A client of runlog for Python 3.9 or later: requests, changes that outlive the daemon, a recorder.

Everything comes in two manners: plain calls block, and beside them are the ones that asyncio awaits
(`request_async`, `async for`, `async with`). Both are served by an event loop on a thread of its own, so
that neither a busy program nor a Ctrl-C leaves a run half told.

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
import atexit
import contextlib
import decimal
import errno
import functools
import itertools
import json
import logging
import operator
import os
import re
import secrets
import socket as sockets
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from copy import copy
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Generic, Literal, Optional, SupportsIndex, TypeVar, Union, cast, get_args

from . import types
from .types import Told

__all__ = ["Changes", "Client", "Run", "RunlogError", "Step", "types"]

# How many changes wait in memory for a slow consumer.
_QUEUED_CHANGES_MAX = 1000
# How long to wait before the second try, in seconds; doubled for each further one.
_FIRST_DELAY = 0.05
_LONGEST_DELAY = 5.0
# How long a daemon has to end once its input has.
_END_WITHIN = 3.0
# why a program may be startable a moment later
_LACKING = frozenset({errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
# The daemon could not say of a longer line, or of one that is nested deeper, whom its answer is for.
_LINE_BYTES_MAX = 64 * 1024 * 1024
_NESTING_MAX = 128
# What is kept of an error's text.
_ERROR_CHARS_MAX = 8192
# What takes work back, rather than making it fail.
_CANCELLED = (KeyboardInterrupt, asyncio.CancelledError, GeneratorExit)

# Sums of what the daemon takes, which has 30 places after the point.
_EXACT = decimal.Context(prec=100, traps=[decimal.Inexact, decimal.InvalidOperation])
_SMALLEST = Decimal("1e-30")
# Before the digits of a number that JSON is to have as it is; no text that is told can have guessed it.
_DIGITS = secrets.token_hex(16)

_log = logging.getLogger("runlog")

Amount = Union[int, float, Decimal]
Ended = Literal["completed", "failed", "cancelled"]
# Changes that wait to be taken, and None after the last.
_Queue = asyncio.Queue[Optional[Told]]
# What is to be written, and who waits for that.
_Batch = list[tuple[dict[str, Any], Future[None]]]
# What `with` gives, what `async with` gives, and what the calls of these do.
S = TypeVar("S")
A = TypeVar("A")
T = TypeVar("T")


_shared: asyncio.AbstractEventLoop | None = None
_shared_lock = threading.RLock()
# whether a second Ctrl-C has broken off a wait since something has begun
_hurried = False
_clients: weakref.WeakSet[Client] = weakref.WeakSet()


def _loop() -> asyncio.AbstractEventLoop:
    """Where all clients work, as long as the program lasts."""
    global _shared
    with _shared_lock:
        if _shared is None:
            loop = asyncio.SelectorEventLoop()
            threading.Thread(target=loop.run_forever, name="runlog", daemon=True).start()
            _shared = loop
        return _shared


def _forked() -> None:
    """A child has the loop and the clients, but not the thread, nor the one that may hold the lock."""
    global _shared, _shared_lock, _clients
    _shared, _shared_lock, _clients = None, threading.RLock(), weakref.WeakSet()


os.register_at_fork(after_in_child=_forked)


@atexit.register
def _at_exit() -> None:
    if _shared is not None:
        # what has ended the program may be a Ctrl-C
        _ended(asyncio.run_coroutine_threadsafe(_end_all(), _shared), getattr(sys, "last_value", None))


async def _end_all() -> None:
    """Ends what is still recorded while there is a thread that does it; the rest goes without a word."""
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    await asyncio.gather(*(client._end() for client in list(_clients) if client._open or client._writing))


class RunlogError(Exception):
    """What the daemon, or the way to it, has refused.

    `code` is the protocol's: 404, 409, -32602, …; `kind` the stable word for what happened, the protocol's
    or `unreachable`; `retryable` says whether the same request may succeed later, and `data` what else
    there is to know: `currentVersion`, `outcome`, ….
    """

    def __init__(self, code: int, message: str, data: dict[str, Any] | None = None) -> None:
        super().__init__(code, message, data)
        self.code = code
        self.message = message
        self.data = data or {}
        self.kind = str(self.data.get("kind", "unknown"))
        self.retryable = self.data.get("retryable") is True
        # whether it may have gone through; whether the same may succeed; and whether to wait for that: a daemon
        # that could not be reached has been waited for
        self._unknown = self.data.get("outcome") == "unknown"
        self._passing = self.retryable and code != 409
        self._waitable = self._passing and self.kind != "unreachable"

    def __str__(self) -> str:
        return self.message


class Client(types.Requests):
    """Runs the daemon or meets it, asks it, and hears what it tells. Begins when it is first needed.

    `socket` is a daemon's Unix socket, as `runlog socket` prints the root's own; without it, `command` is
    started. `projects` is the root; otherwise the daemon looks for it. All of them are meant from the folder
    that is current now. `patience` is for how long to look for a daemon, in seconds, before what needs it
    fails or is closed, and `heartbeat` how often a silent run of ours is told to be alive; 0: never.

    `request` and `request_async`, typed for every method, come from `runlog.types`. A request that is
    cancelled, or not answered within `timeout` seconds, is taken back; a mutation may have gone through.
    An integer of more digits than `int` reads, which are 4300, is answered as the Decimal that it is.
    """

    def __init__(
        self,
        *,
        socket: str | None = None,
        command: Sequence[str] = ("runlog", "serve", "--shared"),
        projects: str | os.PathLike[str] | None = None,
        patience: float = 30.0,
        heartbeat: float = 60.0,
    ) -> None:
        # wherever the program goes from here
        self._folder = ""
        with contextlib.suppress(OSError):
            self._folder = os.getcwd()
        self._socket = socket and os.path.join(self._folder, socket)
        self._command = [*command, *([] if projects is None else ["--projects", os.fspath(projects)])]
        self._patience = patience
        self._heartbeat = heartbeat
        self._own_loop = _loop()
        # whether nothing new is told; and once what was told is written, or our patience over
        self._closing = False
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._connection: asyncio.Future[_Connection] | None = None
        # what recorders have still to write, and what has begun and not ended, in the order of beginning
        self._writing: set[asyncio.Task[None]] = set()
        self._open: dict[_Scope[Any, Any], None] = {}
        # nothing begins or ends while that is being closed
        self._lock = threading.RLock()
        _clients.add(self)

    def _request(self, method: str, params: Any, timeout: float | None) -> Any:
        return _result(self._go(self._ask(method, params)), timeout)

    async def _request_async(self, method: str, params: Any, timeout: float | None) -> Any:
        return await asyncio.wait_for(asyncio.wrap_future(self._go(self._ask(method, params))), timeout)

    def changes(self, params: types.ExecutionsSubscribeParams | None = None) -> Changes:
        """Changes as they happen, for `for` and `async for`: see :class:`Changes`."""
        return Changes(self, params)

    def run(self, projectId: str, **members: Any) -> _Scope[Run[None], Run[Awaitable[None]]]:
        """A run to be recorded, for `with` and `async with`: see :class:`Run`.

        `members` are the record's: `name`, `input`, `model`, …; its `id` is made up where it has none.
        """
        recorder = _Recorder(self, projectId, members)
        execution = {**members, "id": recorder.id}
        begin = functools.partial(recorder.put, execution=execution, steps=members.get("steps"))
        awaited = Run[Awaitable[None]](recorder, None, asyncio.wrap_future)
        return _Scope(self, begin, recorder.finish, Run[None](recorder, None, _result), awaited)

    def start(self, projectId: str, **members: Any) -> Run[None]:
        """Begins a run whose end is told by its `finish`, where no `with` does both."""
        scope = self.run(projectId, **members)
        run = scope.__enter__()
        self._open.pop(scope, None)
        return run

    def close(self) -> None:
        """Ends the connection, and the daemon if it was started for it. Iterations of changes end.

        What a `with` still records, in another task or thread, is told to be cancelled, as it is when the
        program ends.
        """
        self.__exit__(None, None, None)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        # the program's end was its end, too
        if not sys.is_finalizing():
            _ended(self._go(self._close()), error)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: Any) -> None:
        await _ended_async(self._go(self._close()))

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        if self._own_loop is not _shared:
            raise _unreachable("the client was made before a fork; a child needs one of its own", retryable=False)
        if sys.is_finalizing():
            raise _unreachable("the program has ended", retryable=False)
        return self._own_loop

    def _go(self, work: Any) -> Future[Any]:
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop)
        except RunlogError:
            work.close()
            raise

    # what follows runs in the loop

    async def _ask(self, method: str, params: Any) -> Any:
        connection = await self._connected()
        return await connection.request(method, params or {})

    async def _connected(self) -> _Connection:
        known = self._connection
        if known is None or known.done() and (known.exception() or known.result().lost):
            opened = self._patiently(lambda: _Connection.open(self), lambda error: error._passing)
            known = self._connection = asyncio.ensure_future(opened)
        return await asyncio.shield(known)

    async def _patiently(
        self, work: Callable[[], Awaitable[T]], again: Callable[[RunlogError], bool] = lambda error: error._waitable
    ) -> T:
        """Does again what `again` says, the last time once our patience is over."""
        until = time.monotonic() + self._patience
        delay = _FIRST_DELAY
        while True:
            try:
                return await work()
            except RunlogError as error:
                left = until - time.monotonic()
                if self._closed.done() or left <= 0 or not again(error):
                    raise
            await asyncio.wait([self._closed], timeout=min(delay, left))
            delay = min(2 * delay, _LONGEST_DELAY)

    async def _end(self) -> None:
        """Tells that it is over, and waits until what was told is written."""
        with self._lock:
            # steps before their runs
            for scope in reversed(list(self._open)):
                scope.told({"status": "cancelled"})
            self._closing = True
        # those are joined in this turn of the loop
        await asyncio.sleep(0)
        if self._writing:
            # nobody waits for it, but it was told before
            await asyncio.wait(self._writing, timeout=self._patience)
        if not self._closed.done():
            self._closed.set_result(None)

    async def _close(self) -> None:
        await self._end()
        if self._connection is not None:
            await asyncio.wait([self._connection])
            if self._connection.exception() is None:
                await self._connection.result().close()


class _Connection:
    """One way to a daemon, from its first byte to its last."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, daemon: subprocess.Popen[bytes] | None
    ) -> None:
        # whether nothing more goes out on it
        self.lost = False
        self._writer = writer
        self._daemon = daemon
        self._ids = itertools.count(1)
        self._pending: dict[int, tuple[asyncio.Future[Any], _Queue | None]] = {}
        self._told: dict[int, _Queue] = {}
        self._ended = asyncio.ensure_future(self._read(reader))

    @staticmethod
    async def open(client: Client) -> _Connection:
        if client._closed.done():
            raise _unreachable("the client is closed", retryable=False)
        near, daemon = _spawn(client._command, client._folder) if client._socket is None else (None, None)
        try:
            streams = await asyncio.open_unix_connection(client._socket, sock=near, limit=2 * _LINE_BYTES_MAX)
        except OSError as error:
            raise _unreachable(str(error), retryable=True) from None
        connection = _Connection(*streams, daemon)
        about = {"processId": os.getpid(), "protocolVersion": 1, "clientInfo": {"name": "runlog-python"}}
        hello = asyncio.ensure_future(connection.request("initialize", about))
        # one that takes us in and then says nothing has no more time than one that is not there
        await asyncio.wait([hello, client._closed], timeout=client._patience, return_when=asyncio.FIRST_COMPLETED)
        if hello.done() and hello.exception() is None:
            # holds it as long as there is the client, and ends it where that is forgotten and not closed
            end = weakref.finalize(client, asyncio.get_running_loop().call_soon_threadsafe, connection.end)
            end.atexit = False  # type: ignore[misc]
            connection._ended.add_done_callback(lambda _: end.detach())
            return connection
        await connection.close()
        if daemon is not None and daemon.returncode > 0:
            ended = f"{client._command[0]} ended with status {daemon.returncode}; its stderr says why"
            raise _unreachable(ended, retryable=False)
        late = hello.exception() or "its answer came too late"
        raise _unreachable(str(late), retryable=not client._closed.done())

    async def request(self, method: str, params: Any, told: _Queue | None = None) -> Any:
        if self.lost:
            # which it has not gone out on
            raise RunlogError(503, "the connection has ended", {"kind": "daemon-lost", "retryable": True})
        ident = next(self._ids)
        self._send({"id": ident, "method": method, "params": params})
        answer = asyncio.get_running_loop().create_future()
        self._pending[ident] = answer, told
        try:
            return await answer
        except asyncio.CancelledError:
            if answer.cancelled():
                self._send({"method": "$/cancelRequest", "params": {"id": ident}})
            elif told is not None and answer.exception() is None:
                self.unsubscribe(answer.result())
            raise

    def unsubscribe(self, subscription: int) -> None:
        told = self._told.pop(subscription, None)
        if told is not None:
            told.put_nowait(None)
            params = {"subscription": subscription}
            self._send({"id": next(self._ids), "method": "executions/unsubscribe", "params": params})

    def end(self) -> None:
        if not self.lost:
            self.lost = True
            self._writer.write_eof()
            asyncio.get_running_loop().call_later(_END_WITHIN, self._abort)

    async def close(self) -> None:
        self.end()
        await self._ended

    def _abort(self) -> None:
        # `close` would wait for what nobody reads
        self._writer.transport.abort()
        if self._daemon is not None:
            self._daemon.kill()

    def _send(self, message: dict[str, Any]) -> None:
        if _deeper(message, _NESTING_MAX):
            data = {"kind": "too-large", "retryable": False, "limitNesting": _NESTING_MAX}
            raise RunlogError(413, f"the request is nested deeper than {_NESTING_MAX} levels", data)
        # a number that JSON lacks would make the message one that has no answer, and so would too many bytes
        told = {"jsonrpc": "2.0", **message}
        text = json.dumps(told, default=_digits, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        # half of a pair of surrogates is escaped, which JSON writes as Python does
        line = re.sub(f'"{_DIGITS}([^"]*)"', r"\1", text).encode(errors="backslashreplace") + b"\n"
        if len(line) > _LINE_BYTES_MAX:
            data = {"kind": "too-large", "retryable": False, "sizeBytes": len(line), "limitBytes": _LINE_BYTES_MAX}
            raise RunlogError(413, f"the request has {len(line)} bytes", data)
        # what has broken off would be warned of
        if not (self.lost or self._writer.is_closing()):
            self._writer.write(line)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            # what breaks off is no line
            while (line := await reader.readline()).endswith(b"\n"):
                self._receive(_parsed(line))
        except OSError:
            pass  # that is an end, too
        except Exception:
            _log.exception("what the daemon says cannot be understood")
        self.end()
        self._writer.transport.abort()
        # not in a thread: none begins any more when the program ends
        while self._daemon is not None and self._daemon.poll() is None:
            await asyncio.sleep(0.005)
        lost = {"kind": "daemon-lost", "retryable": True, "outcome": "unknown"}
        for answer, _ in self._pending.values():
            if not answer.done():
                answer.set_exception(RunlogError(503, "the connection ended before the answer", lost))
        for told in self._told.values():
            told.put_nowait(None)
        self._told.clear()

    def _receive(self, message: dict[str, Any]) -> None:
        method, ident = message.get("method"), message.get("id")
        if method == "executions/changed":
            subscription = message["params"]["subscription"]
            told = self._told.get(subscription)
            if told is not None:
                told.put_nowait(message["params"]["result"])
                if told.qsize() == _QUEUED_CHANGES_MAX:
                    # once these are taken, another subscription goes on from the last one
                    self.unsubscribe(subscription)
        elif method is None and ident is None:
            raise ValueError("the daemon did not understand us")
        elif ident in self._pending:
            answer, told = self._pending[ident]
            error, result = message.get("error"), cast(Any, message.get("result"))
            refusal = None if error is None else RunlogError(error["code"], error["message"], error.get("data"))
            if told is not None and refusal is None:
                self._told[result] = told
            # only now: what is no answer loses the connection, and whoever waits is told so
            del self._pending[ident]
            if answer.done():
                if told is not None and refusal is None:
                    self.unsubscribe(result)
            elif refusal is None:
                answer.set_result(result)
            else:
                answer.set_exception(refusal)


class Changes:
    """Changes as they happen: each `for` and each `async for` over it is a subscription.

    A lost connection is made again, and the changes go on after the last clock; `resync` says where
    something may be missing: drop what you hold and list again. `current` says that you have seen
    everything up to its clock; the first one, that what follows is live. Of what a slow consumer has not
    taken, the daemon keeps the latest states.
    """

    def __init__(self, client: Client, params: Any) -> None:
        self._client = client
        self._params = params or {}

    def __iter__(self) -> Iterator[Told]:
        told = self._tell()
        try:
            while (change := _result(self._client._go(_next(told)))) is not None:
                yield change
        finally:
            self._leave(told)

    async def __aiter__(self) -> AsyncIterator[Told]:
        told = self._tell()
        try:
            while (change := await asyncio.wrap_future(self._client._go(_next(told)))) is not None:
                yield change
        finally:
            self._leave(told)

    def _leave(self, told: AsyncGenerator[Told, None]) -> None:
        # after a fork, and at the program's end, there is nobody to be told
        with contextlib.suppress(RunlogError):
            self._client._go(told.aclose())

    # in the loop
    async def _tell(self) -> AsyncGenerator[Told, None]:
        client, params = self._client, dict(self._params)

        async def subscribe() -> tuple[_Connection, _Queue, int]:
            queue = _Queue()
            connection = await client._connected()
            return connection, queue, await connection.request("executions/subscribe", params, queue)

        while not client._closed.done():
            try:
                connection, queue, subscription = await client._patiently(subscribe)
            except RunlogError:
                if client._closed.done():
                    return
                raise
            try:
                while (told := await queue.get()) is not None:
                    params["since"] = told["clock"]
                    yield told
            finally:
                connection.unsubscribe(subscription)
            await asyncio.sleep(_FIRST_DELAY)


@dataclass(eq=False)
class _Scope(Generic[S, A]):
    """What begins and ends with a block, of `with` or of `async with`; or with its client, if that is sooner."""

    client: Client
    begin: Callable[[], Future[None]]
    end: Callable[[dict[str, Any]], Future[None]]
    blocking: S
    awaited: A
    _end: Future[None] | None = None

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(f"it has not begun and has no {name!r}: use `with … as`, or `client.start` for a run")

    def told(self, how: dict[str, Any]) -> Future[None]:
        """Tells its end, once."""
        with self.client._lock:
            self.client._open.pop(self, None)
            if self._end is None:
                self._end = self.end(how)
            return self._end

    def _begin(self) -> Future[None]:
        global _hurried
        _hurried = False
        with self.client._lock:
            begun = self.begin()
            self._end = None
            self.client._open[self] = None
        begun.add_done_callback(lambda begun: begun.exception() and self.client._open.pop(self, None))
        return begun

    def __enter__(self) -> S:
        try:
            self._begin().result()
            return self.blocking
        except _CANCELLED as error:
            self.__exit__(type(error), error, None)  # it begins all the same
            raise

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        with _first(error):
            _ended(self.told(_end_of(error)), error)

    async def __aenter__(self) -> A:
        try:
            await asyncio.wrap_future(self._begin())
            return self.awaited
        except _CANCELLED as error:
            await self.__aexit__(type(error), error, None)  # it begins all the same
            raise

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        with _first(error):
            await _ended_async(self.told(_end_of(error)))


@contextlib.contextmanager
def _first(error: BaseException | None) -> Iterator[None]:
    """What led to an end comes before what becomes of telling it."""
    try:
        yield
    except RunlogError as refusal:
        if error is None:
            raise
        _log.warning("an end was not recorded: %s", refusal)


class Step(Generic[T]):
    """A step being recorded, in the manner of :class:`Run`, and what can be told of either."""

    def __init__(self, recorder: _Recorder, step: str | None, wait: Callable[[Future[None]], T]) -> None:
        self.projectId = recorder.projectId
        self.id = step or recorder.id
        self._recorder = recorder
        self._step = step
        self._wait = wait

    def add(
        self, *, costUSD: Amount | None = None, input: SupportsIndex | None = None, output: SupportsIndex | None = None
    ) -> T:
        """Cost and tokens that come on top: of the run, and of the step if it is one."""
        given = {"costUSD": costUSD, "input": input, "output": output}
        amounts = {name: _exact(name, amount, name != "costUSD") for name, amount in given.items() if amount is not None}
        return self._wait(self._recorder.put(add=amounts, steps=[{"id": self._step}] if self._step else []))

    def set(self, **members: Any) -> T:
        """New values of its members; None removes one of a run's, whose end is told by `finish`."""
        if self._step is None and members.get("status") in get_args(Ended):
            raise ValueError(f"a run ends as {members['status']} by `finish`, not by `set`")
        return self._wait(self._recorder.set(self._step, members))


class Run(Step[T]):
    """A run being recorded; one per record.

    `with` records what its block does: completed when it ends, failed with the error's text when it
    raises, cancelled on a KeyboardInterrupt or where its task is cancelled. With `async with`, the calls of
    the run and its steps are to be awaited. Everything is durable when a call is over, in the order of the
    calls; what is told while a write is under way shares the next one.
    """

    def step(self, name: str, **members: Any) -> _Scope[Step[None], Step[Awaitable[None]]]:
        """A step to be recorded, for `with`; `nodeId` is its name if absent, `nodeType` agent."""
        recorder, ident = self._recorder, self._recorder.step_id(members.get("id"))
        began = _now_ms()

        def begin() -> Future[None]:
            first = {"name": name, "nodeId": name, "nodeType": "agent", "status": "running", "startedAt": _date(began)}
            return recorder.set(ident, {**first, **members})

        def end(members: dict[str, Any]) -> Future[None]:
            ended = _now_ms()
            return recorder.set(ident, {**members, "completedAt": _date(ended), "duration": ended - began})

        awaited = Step[Awaitable[None]](recorder, ident, asyncio.wrap_future)
        return _Scope(recorder.client, begin, end, Step[None](recorder, ident, _result), awaited)

    def finish(self, status: Ended = "completed", **members: Any) -> T:
        """Ends the run; what is told of it later is refused. Only the first call that goes through counts."""
        if status not in get_args(Ended):
            raise ValueError(f"a run ends as completed, failed or cancelled, not as {status!r}")
        return self._wait(self._recorder.finish({**members, "status": status}))


class _Recorder:
    """Writes what is told of a run, in its order, and exactly once.

    A write expects the version that was answered last, and leaves its mark in the record, the member
    `recorder`. Repeated, it finds that version, so that the first try has not gone through and never will, or
    is refused; then the record is read. With the mark in it the first try went through, whoever wrote since;
    without it the write is repeated on top of what somebody else wrote. Where it cannot be read, or what may not
    last cannot be written again, for as long as the client's patience lasts, the outcome is unknown, and said to be.
    (Who puts back an old copy of the record takes back what was written since, mark and all.)
    """

    def __init__(self, client: Client, projectId: str, members: dict[str, Any]) -> None:
        self.projectId = projectId
        # as the engine makes them
        self.id = members.get("id") or f"exec-{_now_ms()}-{secrets.token_hex(5)[:9]}"
        # the ids of steps that there are, and those for others
        self._steps = {str(step.get("id")) for step in members.get("steps") or [] if isinstance(step, dict)}
        self._step_ids = map("step-{}".format, itertools.count(1))
        self.client = client
        self._marks = map(f"{secrets.token_hex(8)}:{{}}".format, itertools.count())
        self._version = ""
        self._finished: Future[None] | None = None
        # what each step has cost, as it was told last
        self._spent: dict[str, dict[str, Any]] = {}
        # the write that has not begun, the last one, and when to tell that we are alive
        self._next: _Batch | None = None
        self._written: asyncio.Task[None] | None = None
        self._beat: asyncio.TimerHandle | None = None

    def step_id(self, given: str | None) -> str:
        """The one that is `given`, or one that no other step has."""
        ident = given or next(ident for ident in self._step_ids if ident not in self._steps)
        self._steps.add(ident)
        return ident

    def set(self, step: str | None, members: dict[str, Any]) -> Future[None]:
        return self.put(set=members) if step is None else self.put(steps=[{**members, "id": step}])

    def finish(self, members: dict[str, Any]) -> Future[None]:
        if self._finished is None or self._finished.done() and self._finished.exception():
            self._finished = self.put(set=members)
        return self._finished

    def put(self, **change: Any) -> Future[None]:
        """Has `execution` begin the record, or `set`, `steps` and `add` change it, the latter the `steps`, too."""
        if self.client._closing:
            raise _unreachable("the client is closed", retryable=False)
        done: Future[None] = Future()
        done.set_running_or_notify_cancel()  # whoever stops waiting for it does not take it back
        self.client._loop.call_soon_threadsafe(self._join, change, done)
        return done

    # what follows runs in the loop

    def _join(self, change: dict[str, Any], done: Future[None]) -> None:
        # within a write `set` comes before `add`: a change that sets something begins another one
        if self._next is None or "set" in change:
            self._next = []
            self._written = asyncio.ensure_future(self._write(self._next, self._written))
            self.client._writing.add(self._written)
            self._written.add_done_callback(self.client._writing.discard)
        self._next.append((change, done))

    async def _write(self, batch: _Batch, before: asyncio.Task[None] | None = None) -> None:
        if before is not None:
            await before
        if self._next is batch:
            self._next = None
        if self._beat is not None:
            self._beat.cancel()
        # one whose end was told, though in vain, is to turn stale
        over = batch[0][0].get("set", {}).get("status") in get_args(Ended)
        try:
            await self._update([change for change, _ in batch])
        except Exception as error:
            passing = isinstance(error, RunlogError) and (error._passing or error._unknown)
            if len(batch) > 1 and not passing:
                # refused for sure: which of them is to blame shows when they are alone
                for one in batch:
                    await self._write([one])
                return
            for _, done in batch:
                done.set_exception(error)
            over = over or isinstance(error, RunlogError) and error.kind == "already-finished"
        else:
            for _, done in batch:
                done.set_result(None)
        # whatever else is wrong shows in the next write, or goes by
        if self._version and not over and self.client._heartbeat > 0 and not self.client._closing:
            self._beat = self.client._loop.call_later(self.client._heartbeat, self._join, {}, Future())

    async def _update(self, changes: list[dict[str, Any]]) -> None:
        """Writes changes, of which only the first begins the run or sets members, as one."""
        first = changes[0]
        ids = {"projectId": self.projectId, "executionId": self.id}
        mark = next(self._marks)
        add, steps, spent = self._together(changes)
        method, params = "executions/update", {**ids, "ifVersion": self._version}
        if "execution" in first:
            method = "executions/start"
            params = {"projectId": self.projectId, "execution": {**first["execution"], "recorder": mark}}
        elif not self._version:
            raise RunlogError(404, "the run has not begun", {"kind": "execution-not-found"})
        elif any(changes):
            params.update(set={**first.get("set", {}), "recorder": mark}, add=add, steps=steps)
        # whether a try before may have gone through, and who says that it may not last
        lost = False
        unsure: RunlogError | None = None

        async def write() -> Any:
            nonlocal method, params, lost, unsure
            while True:
                try:
                    return (await self.client._ask(method, params))["version"]
                except RunlogError as error:
                    # a sign of life may come twice
                    lost = any(changes) and (lost or error._unknown)
                    if error._unknown and error.kind == "storage":
                        unsure = error
                    if error._passing or not (lost or error.code == 409):
                        raise
                    found = await self.client._ask("executions/get", {**ids, "fields": ["/recorder"]})
                    if found["fields"]["/recorder"].get("value") != mark:
                        lost = False
                        if error.code == 409 and error.kind != "version-conflict":
                            raise
                    elif unsure is None:
                        return found["version"]
                    elif error.code != 409 or error.kind == "already-finished":
                        raise
                    else:
                        # once what is there is written again it lasts; until then its outcome is unknown
                        method, params = "executions/update", {**ids, "set": {"recorder": mark}}
                    params = {**params, "ifVersion": found["version"]}

        def again(error: RunlogError) -> bool:
            return error._waitable or lost and error.kind != "already-finished"

        try:
            self._version = await self.client._patiently(write, again)
        except RunlogError as error:
            if not lost:
                raise
            why = unsure or error
            raise RunlogError(why.code, why.message, {**why.data, "retryable": False, "outcome": "unknown"}) from error
        self._spent.update(spent)

    def _together(self, changes: list[dict[str, Any]]) -> tuple[dict[str, Any], list[Any], dict[str, dict[str, Any]]]:
        """What is added to the run, what is told of steps, and what these have cost then."""
        sums: dict[str, Decimal] = {}
        steps: list[Any] = []
        spent: dict[str, dict[str, Any]] = {}
        for change in changes:
            added = change.get("add", {})
            sums.update({name: _sum(name, sums.get(name), amount) for name, amount in added.items()})
            for step in change.get("steps") or []:
                if isinstance(step, dict):
                    ident = str(step.get("id"))
                    held = spent.get(ident) or self._spent.get(ident, {})
                    step = {**step, **_on_top(held, added)}
                    news = {name: copy(step[name]) for name in ("costUSD", "tokenUsage") if name in step}
                    spent[ident] = {**held, **news}
                steps.append(step)
        return {"costUSD": sums.pop("costUSD", None), "tokenUsage": sums}, steps, spent


def _end_of(error: BaseException | None) -> dict[str, Any]:
    """How something ended that raised `error`."""
    if error is None or (isinstance(error, SystemExit) and not error.code):
        return {"status": "completed"}
    if isinstance(error, _CANCELLED):
        return {"status": "cancelled"}
    try:
        text = str(error)
    except Exception:
        text = "its text cannot be had"
    return {"status": "failed", "error": f"{type(error).__name__}: {text}"[:_ERROR_CHARS_MAX]}


def _exact(name: str, amount: Any, whole: bool = False) -> Decimal:
    """The number that its shortest spelling is, or that it stands for if it is to be `whole`."""
    with contextlib.suppress(TypeError, decimal.DecimalException):
        exact = Decimal(str(operator.index(amount) if whole else amount))
        if exact >= 0 and not isinstance(amount, str):
            return _EXACT.quantize(exact, _SMALLEST)
    kind = "whole number" if whole else "number of at most 30 decimal places"
    raise ValueError(f"{name} must be a {kind} that is not negative: {amount!r}")


def _sum(name: str, *amounts: Any) -> Decimal:
    exact = (_exact(name, amount) for amount in amounts if amount is not None)
    return functools.reduce(_EXACT.add, exact, Decimal(0))


def _on_top(held: dict[str, Any], more: dict[str, Decimal]) -> dict[str, Any]:
    """What a step has cost then, as the daemon adds to a run's amounts."""
    sums: dict[str, Any] = {}
    if "costUSD" in more:
        sums["costUSD"] = _sum("costUSD", held.get("costUSD"), more["costUSD"])
    if "input" in more or "output" in more:
        usage = held.get("tokenUsage") or {}
        counts = {name: _sum(name, usage.get(name), more.get(name)) for name in ("input", "output")}
        # a total that counts more than the two keeps what it counts
        known = usage.get("total")
        before = [usage.get("input"), usage.get("output")] if known is None else [known]
        total = _sum("total", *before, more.get("input"), more.get("output"))
        sums["tokenUsage"] = {**usage, **counts, "total": total}
    return sums


def _digits(value: Any) -> str:
    """In the place of a Decimal, which would lose digits as a float."""
    if not isinstance(value, Decimal) or not value.is_finite():
        raise TypeError(f"{value!r} cannot be told in JSON")
    text = format(value, "f")
    return _DIGITS + (text.rstrip("0").rstrip(".") if "." in text else text)


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return json.loads(line, parse_int=_whole)


def _whole(digits: str) -> int | Decimal:
    """Exactly that, though `int` takes only so many digits."""
    try:
        return int(digits)
    except ValueError:
        return Decimal(digits)


def _deeper(value: Any, levels: int) -> bool:
    """Whether it is nested deeper than so many levels."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return False
    return levels == 0 or any(_deeper(one, levels - 1) for one in value)


def _result(future: Future[Any], timeout: float | None = None) -> Any:
    """What comes of it; what nobody waits for any more is taken back."""
    try:
        return future.result(timeout)
    finally:
        future.cancel()


def _ended(end: Future[None], error: BaseException | None = None) -> None:
    """Waits until an end is told; the first Ctrl-C may be the `error` that led to it.

    A second one breaks that off, and so it does for all that ends until something begins again.
    """
    global _hurried
    # a generator is left where it is collected: in the loop, too, and where there is no loop any more
    if _hurried or sys.is_finalizing() or asyncio._get_running_loop() is _shared:
        return
    interrupt = error if isinstance(error, KeyboardInterrupt) else None
    while not (end.done() or _hurried):
        try:
            wait([end])
        except KeyboardInterrupt as another:
            _hurried = interrupt is not None
            interrupt = another
    if interrupt is not None and interrupt is not error:
        raise interrupt
    end.result()


async def _ended_async(end: Future[None]) -> None:
    """Waits until an end is told, though its task is cancelled meanwhile; twice, as by two Ctrl-C, breaks it off."""
    told = asyncio.wrap_future(end)
    times = getattr(asyncio.current_task(), "cancelling", int)
    try:
        if times() < 2:
            await asyncio.shield(told)
    except asyncio.CancelledError:
        if times() < 2:
            await asyncio.wait([told])
        raise


async def _next(told: AsyncGenerator[Told, None]) -> Told | None:
    # it begins in the loop, which is told of that
    async for change in told:
        return change
    return None


def _spawn(command: list[str], folder: str) -> tuple[sockets.socket, subprocess.Popen[bytes]]:
    # a folder may be gone by now; a session of its own: a Ctrl-C that ends this program is not the daemon's
    at = folder if os.path.isdir(folder) else None
    try:
        near, far = sockets.socketpair()
        with far, contextlib.ExitStack() as failed:
            failed.callback(near.close)
            daemon = subprocess.Popen(command, stdin=far.fileno(), stdout=far.fileno(), cwd=at, start_new_session=True)
            failed.pop_all()
            return near, daemon
    except OSError as error:
        why = f"{command[0]} cannot be started: {error.strerror}"
        raise _unreachable(why, retryable=error.errno in _LACKING) from None


def _unreachable(why: str, *, retryable: bool) -> RunlogError:
    return RunlogError(503, f"no daemon can be reached: {why}", {"kind": "unreachable", "retryable": retryable})


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _date(millis: int) -> str:
    return datetime.fromtimestamp(millis / 1000, timezone.utc).isoformat(timespec="milliseconds")[:23] + "Z"
