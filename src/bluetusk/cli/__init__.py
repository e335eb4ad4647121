"""The command line, ``bluetusk``: one file for each command.

Exit status 0 for success, 2 for a wrong call; :mod:`._exits` has one for each kind of end. An error is one line on
standard error with its remedy, with ``--json`` an object on standard output too.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Sequence

from .._version import __version__
from ..errors import BluetuskError
from ..vertical.protocol.refusal import Terminated
from . import bench, blacklist, certs, demo, evidence, info, inspect, keygen, party, score, selftest
from ._common import Failure, Parser, message_of
from ._exits import KINDS, kind_of_end, quick_second_signal

__all__ = ["main"]

_COMMANDS = (demo, keygen, inspect, selftest, info, bench, certs, party, score, blacklist, evidence)


def _parser() -> Parser:
    parser = Parser(
        prog="bluetusk",
        description="Compute on encrypted data: Paillier arrays, federated sums, two-party risk models.",
        epilog="""examples:
  bluetusk demo banks                    ten banks train one credit model, no row leaves a bank
  bluetusk keygen bank.key               a key pair: bank.key (encrypted) and bank.key.pub
  bluetusk inspect bank.key.pub          what a bluetusk file contains
  bluetusk bench                         operations per second on this machine

Run `bluetusk COMMAND --help` for a command's options.""",
    )
    parser.add_argument("--version", action="version", version=f"bluetusk {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    argv : sequence of str, optional
        The command-line arguments; ``sys.argv[1:]`` by default.

    Returns
    -------
    int
        The exit status: 0, or that of the kind of failure, 130 for Ctrl-C.

    Raises
    ------
    SystemExit
        With status 2 for a wrong call, 0 after ``--help`` and ``--version``.

    Examples
    --------
    >>> main(["info", "--json"])            # doctest: +ELLIPSIS
    {
      "version": ...
    0
    """
    # Python has no object for a standard stream that was closed before it started
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stdout is None:  # the next file opened would take its place, and what is printed
        return _fail("standard output is closed: redirect it to a file or to /dev/null", 1)
    args = _parser().parse_args(argv)
    resumable = getattr(args, "resumable", False)
    try:
        with quick_second_signal() if resumable else contextlib.nullcontext():
            status: int = args.run(args)
        sys.stdout.flush()
    except (KeyboardInterrupt, Terminated) as err:
        what = "interrupted" if isinstance(err, KeyboardInterrupt) else "stopped by SIGTERM"
        more = ": the kept steps are on disk; start again with the same file to resume" if resumable else ""
        return _end(args, err, what + more)
    except BrokenPipeError:  # the reader, `head` say, has enough
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (Failure, BluetuskError, OSError, ValueError, MemoryError) as err:
        return _end(args, err, message_of(err, args))
    return status


def _end(args: argparse.Namespace, error: BaseException, message: str) -> int:
    """Report an error, with --json as an object on standard output too; return the exit status of its kind."""
    kind = kind_of_end(error)
    if getattr(args, "json", False):
        about = {"kind": kind, "exit_code": KINDS[kind], "type": type(error).__name__, "message": message}
        about |= {name: value for name in ("party", "clause") if (value := getattr(error, name, None)) is not None}
        with contextlib.suppress(OSError):
            print(json.dumps({"error": about}), flush=True)
    return _fail(message, KINDS[kind])


def _fail(message: str, status: int) -> int:
    print(f"bluetusk: {message}", file=sys.stderr)
    return status
