"""``bluetusk party --check``: all that is wrong, before anybody connects."""

from __future__ import annotations

import argparse
import sys

from ..vertical.tables.profile import show
from ._common import print_json, print_pairs

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """Check the files of a configuration; return 0 if a run may begin, 1 if there are faults."""
    from ..vertical.party.check import check_party

    found = check_party(args.config, role=args.role)
    if args.json:
        print_json({"faults_count": len(found.faults), **found.to_plain()})
        return 1 if found.faults else 0
    if found.profile:
        print("columns, as this side alone sees them:")
        show(found.profile, sys.stdout)
    if found.facts:
        print_pairs(list(found.facts.items()))
    for text in found.warnings:
        print(f"warning  {text}")
    for each in found.faults:
        print(f"FAULT    {each.text}")
    if found.proposed:
        print("         for [data], if the first proposal of each fault is right (in place of lines of the same name):")
        print("\n".join(f"             {line}" for line in found.proposed))
    count = len(found.faults)
    if count:
        print(f"{count} {'fault' if count == 1 else 'faults'}: nothing was sent, no use was taken")
        return 1
    print("GOOD     this side can start: the peer's side is not checked here")
    return 0
