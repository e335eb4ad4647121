"""``bluetusk inspect``: describe a bluetusk file."""

from __future__ import annotations

import argparse
from typing import Any

from .._inspect import describe
from ._common import print_json, print_pairs

__all__ = ["add_parser"]


def _run(args: argparse.Namespace) -> int:
    lines = describe(args.file)
    if args.json:
        print_json(dict(lines))
    else:
        print_pairs(lines)
    return 0


def add_parser(commands: Any) -> None:
    """Add the command."""
    inspect = commands.add_parser(
        "inspect",
        help="describe a bluetusk file",
        description="Describe a bluetusk file: a key, an encrypted array, a message of a sum. Shows no secret.",
        epilog="""examples:
  bluetusk inspect bank.key.pub          kind, size, suite, fingerprint as words to compare aloud
  bluetusk inspect total.frame --json    the same for programs""",
    )
    inspect.add_argument("file", metavar="FILE")
    inspect.add_argument("--json", action="store_true", help="print one JSON object")
    inspect.set_defaults(run=_run, parser=inspect)
