"""``bluetusk info``: this build and the machine it runs on."""

from __future__ import annotations

import argparse
from typing import Any

from ._common import print_json, print_pairs

__all__ = ["add_parser"]


def _run(args: argparse.Namespace) -> int:
    from .._selftest import build_info

    info = build_info()
    if args.json:
        print_json(info)
    else:
        print_pairs([(name, value) for name, value in info.items() if value != ""])
    return 0


def add_parser(commands: Any) -> None:
    """Add the command."""
    info = commands.add_parser(
        "info", help="describe this build", description="Describe this build and what it runs on, for a bug report."
    )
    info.add_argument("--json", action="store_true", help="print one JSON object")
    info.set_defaults(run=_run, parser=info)
