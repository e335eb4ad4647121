"""What an operator sees of a run: the log file, the notices on standard error, and the metrics."""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import json
import logging
import logging.handlers
import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TextIO

from ..errors import BluetuskError
from ..evidence.summary import learned
from ._common import Failure
from ._exits import stop_if_asked

if TYPE_CHECKING:
    from ..vertical.party.opening import Opened

__all__ = ["LEVELS", "Watch", "add_options", "address", "log_end"]

LEVELS = ("debug", "info", "warning", "error")
_NAME = "bluetusk"
_log = logging.getLogger("bluetusk.cli")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a command that runs for long."""
    parser.add_argument("--log", metavar="FILE", help="append JSON lines to this file; it may be rotated")
    parser.add_argument("--log-level", choices=LEVELS, default="info", help="the least level logged (default: info)")
    parser.add_argument(
        "--metrics",
        type=address,
        metavar="[HOST:]PORT",
        help="serve Prometheus metrics at this port of 127.0.0.1, or of HOST",
    )


def address(text: str) -> tuple[str, int]:
    """Return host and port of --metrics."""
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535, nor HOST:PORT")
    return host.strip("[]") or "127.0.0.1", int(port)


class Watch:
    """The state of one run, for its log and its metrics.

    Parameters
    ----------
    job, role : str
        Of the settings.
    progress : callable or None
        What else is to be called with task, steps done and steps in all.
    """

    def __init__(self, job: str, role: str, progress: Callable[[str, int, int], None] | None) -> None:
        self.job, self.role, self._progress = job, role, progress
        self.peer = "host" if role == "guest" else "guest"
        self.held: Opened | None = None
        self.stage, self.done, self.of = "", 0, 0

    def opened(self, held: Opened) -> None:
        """Take what a run has opened."""
        self.held = held
        _log.info("started at %s", held.party.address)

    def progress(self, task: str, done: int, of: int) -> None:
        """Take a step of a task."""
        stop_if_asked()
        if task != self.stage:
            _log.info("stage %s of %d steps begins", task, of)
        self.stage, self.done, self.of = task, done, of
        _log.debug("step %d of %d", done, of)
        if done == of:
            _log.info("stage %s is done", task)
        if self._progress is not None:
            self._progress(task, done, of)

    def shown(self) -> dict[str, int]:
        """Return the sums and bits about rows of the other that this party has learned, 0 without evidence."""
        recorder = None if self.held is None else self.held.recorder
        return {"sums": 0, "bits": 0} if recorder is None else learned(recorder.meter.snapshot().values())

    @contextlib.contextmanager
    def running(self, args: argparse.Namespace) -> Iterator[None]:
        """Log and serve while a run lasts."""
        with contextlib.ExitStack() as closing:
            kind = "json" if args.progress == "json" else "bar"
            if args.progress != "none":
                closing.enter_context(_handling(_Notices(sys.stderr, kind), logging.WARNING))
            if args.log is not None:
                handler = _file(args.log)
                handler.setFormatter(_Lines(self))
                closing.enter_context(_handling(handler, getattr(logging, args.log_level.upper())))
            if args.metrics is not None:
                closing.enter_context(_served(self, *args.metrics))
            try:
                yield
            except BaseException as error:
                log_end(error)
                raise
            _log.info("done")


def log_end(error: BaseException) -> None:
    """Log why a run ends; the text of an error that may quote a row or an id stays out."""
    from ._exits import KINDS, kind_of_end

    kind = kind_of_end(error)
    about = f": {error}" if isinstance(error, BluetuskError) else ""
    extra = {"more": {"kind": kind, "exit_code": KINDS[kind]}}
    _log.error("ended by %s%s", type(error).__name__, about, extra=extra)


@contextlib.contextmanager
def _handling(handler: logging.Handler, level: int) -> Iterator[None]:
    logger = logging.getLogger(_NAME)
    before = logger.level
    handler.setLevel(level)
    logger.addHandler(handler)
    logger.setLevel(min([level, *(each.level for each in logger.handlers if each.level)]))
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
        handler.close()


def _file(path: str) -> logging.Handler:
    """Return a handler that appends to a file of mode 0600, and opens it anew after it was moved away."""

    class Private(logging.handlers.WatchedFileHandler):
        def _open(self) -> Any:
            fd = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            return os.fdopen(fd, "a", encoding="utf-8")

        def emit(self, record: logging.LogRecord) -> None:
            try:
                super().emit(record)
            except OSError:  # it cannot be opened anew: logging lets that pass to whoever logs
                self.handleError(record)

        def handleError(self, record: logging.LogRecord) -> None:  # logging's name
            """Lose the line: a full disk must not end a run, nor fill standard error."""

    try:
        return Private(path, encoding="utf-8")
    except OSError as err:
        raise Failure(
            f"cannot write the log --log {path}: {err.strerror}; name a file in a folder that exists"
        ) from None


class _Lines(logging.Formatter):
    """One JSON object a line."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def format(self, record: logging.LogRecord) -> str:
        watch = self._watch
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "job": watch.job,
            "role": watch.role,
            "peer": watch.peer,
            "stage": watch.stage,
            "done": watch.done,
            "of": watch.of,
            "shown": watch.shown(),
            "message": record.getMessage(),
        }
        return json.dumps(line | getattr(record, "more", {}))


if TYPE_CHECKING:
    _Handler = logging.StreamHandler[TextIO]
else:  # CPython 3.10 takes no subscript here
    _Handler = logging.StreamHandler


class _Notices(_Handler):
    """What a party waits for, on standard error."""

    def __init__(self, stream: TextIO, kind: str) -> None:
        super().__init__(stream)
        self._kind = kind
        self.addFilter(lambda record: record.name.startswith("bluetusk.vertical.party"))

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        line = json.dumps({"notice": text}) if self._kind == "json" else text
        with contextlib.suppress(OSError, ValueError):
            if self._kind == "json":
                print(line, file=self.stream, flush=True)
            else:
                from tqdm import tqdm

                tqdm.write(line, file=self.stream)


@contextlib.contextmanager
def _served(watch: Watch, host: str, port: int) -> Iterator[None]:
    """Serve the metrics of a run."""
    try:
        from prometheus_client import CollectorRegistry, start_http_server
    except ImportError:
        raise Failure('--metrics needs prometheus-client: pip install "bluetusk[vertical]"') from None
    registry = CollectorRegistry()
    registry.register(_Collector(watch))
    local = host == "localhost"
    with contextlib.suppress(ValueError):
        local = ipaddress.ip_address(host).is_loopback
    if not local:
        print(f"warning: anybody who reaches {host}:{port} can read the metrics of this run", file=sys.stderr)
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError as err:
        why = err.strerror or str(err)
        raise Failure(f"cannot serve --metrics {host}:{port}: {why}; give another port or host") from err
    _log.info("metrics at http://%s:%d/metrics", host, server.server_port)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5.0)


class _Collector:
    """The metrics, read when somebody requests them."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        watch = self._watch
        steps = GaugeMetricFamily("bluetusk_stage_steps", "Steps of the current stage", labels=["stage", "state"])
        if watch.stage:
            steps.add_metric([watch.stage, "done"], watch.done)
            steps.add_metric([watch.stage, "of"], watch.of)
        yield steps
        learned = CounterMetricFamily(
            "bluetusk_learned", "Sums and bits about rows of the other that this party learned", labels=["what"]
        )
        for what, number in watch.shown().items():
            learned.add_metric([what], number)
        yield learned
        if watch.held is None:
            return
        party = watch.held.party
        passed = CounterMetricFamily("bluetusk_bytes", "Bytes of messages of this process", labels=["direction"])
        passed.add_metric(["sent"], party.link.bytes_sent)
        passed.add_metric(["received"], party.link.bytes_received)
        yield passed
        recovery = party.recovery()
        yield CounterMetricFamily("bluetusk_rewinds", "Times that this process went back a step", recovery["rewinds"])
        yield CounterMetricFamily("bluetusk_kept_steps", "Steps kept, over all stages", recovery["steps"])
        waits, seconds = party.signs()
        yield GaugeMetricFamily("bluetusk_waiting", "1 while the peer has not been heard of for some seconds", waits)
        yield GaugeMetricFamily(
            "bluetusk_peer_last_sign_timestamp_seconds", "When the peer was last heard of", time.time() - seconds
        )
