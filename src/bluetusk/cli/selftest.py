"""``bluetusk selftest``: run the tests that ship with the package."""

from __future__ import annotations

import argparse
import warnings
from typing import Any

__all__ = ["add_parser"]


def _run(args: argparse.Namespace) -> int:
    from .._selftest import build_info, selftest

    info = build_info()
    print(f"bluetusk {info['version']}, built by {info['compiler']}, backend {info['backend']}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the same text follows below
        for result in selftest():
            print(f"ok  {result.name} ({1000 * result.seconds:.0f} ms)")
    if info["warning"]:
        print(f"warning: {info['warning']}")
    print("all tests passed")
    return 0


def add_parser(commands: Any) -> None:
    """Add the command."""
    selftest = commands.add_parser(
        "selftest",
        help="check that this build computes correctly",
        description="Run the package's own short tests, about a second. Status 1 if one fails.",
    )
    selftest.set_defaults(run=_run, parser=selftest)
