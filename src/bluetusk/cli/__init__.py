"""The command line, ``bluetusk``: one file for each command.

Exit status 0 for success, 1 for failure, 2 for a wrong call; an error is one line on standard error with its remedy.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

from .._version import __version__
from ..errors import BluetuskError
from . import bench, blacklist, certs, demo, evidence, info, inspect, keygen, party, selftest
from ._common import Failure, Parser, message_of

__all__ = ["main"]

_COMMANDS = (demo, keygen, inspect, selftest, info, bench, certs, party, blacklist, evidence)


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
        The exit status: 0, or 1 for a failure, 130 for Ctrl-C.

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
    try:
        status: int = args.run(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except BrokenPipeError:  # the reader, `head` say, has enough
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (Failure, BluetuskError, OSError, ValueError, MemoryError) as err:
        return _fail(message_of(err, args), 1)
    return status


def _fail(message: str, status: int) -> int:
    print(f"bluetusk: {message}", file=sys.stderr)
    return status
