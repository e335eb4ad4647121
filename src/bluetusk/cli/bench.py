"""``bluetusk bench``: the speed of this machine."""

from __future__ import annotations

import argparse
from typing import Any

from ._common import add_key_size, number, print_json

__all__ = ["add_parser"]


def _run(args: argparse.Namespace) -> int:
    from .._bench import measure
    from .._parallel import get_num_threads, set_num_threads

    if args.threads is not None:
        set_num_threads(args.threads)
    threads = get_num_threads()
    figures = []
    if not args.json:
        print(f"Paillier, {args.key_size} bits, {threads} thread{'s' if threads > 1 else ''}")
    for figure in measure(args.key_size, threads):
        figures.append(figure)
        if not args.json:
            each = f"{1e6 * figure.seconds:12.1f} us per {figure.unit}"
            print(f"  {figure.operation:<32}{each:<33}{figure.per_second:12,.0f} /s", flush=True)
    if args.json:
        print_json(
            {
                "key_size": args.key_size,
                "threads": threads,
                "figures": [{"operation": f.operation, "seconds": f.seconds, "unit": f.unit} for f in figures],
            }
        )
    return 0


def add_parser(commands: Any) -> None:
    """Add the command."""
    bench = commands.add_parser(
        "bench",
        help="measure this machine",
        description="""Measure this machine in under half a minute: encryption, decryption, sums, histograms, products,
a matrix product, keys, bytes, batches of powers.""",
        epilog="""examples:
  bluetusk bench                                  3072 bits, all threads
  bluetusk bench --key-size 2048 --threads 1      to compare with other libraries""",
    )
    add_key_size(bench)
    bench.add_argument("--threads", type=number(1, 1024), metavar="N", help="threads (default: one for each CPU)")
    bench.add_argument("--json", action="store_true", help="print one JSON object")
    bench.set_defaults(run=_run, parser=bench)
