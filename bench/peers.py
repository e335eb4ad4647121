"""Bluetusk beside its peers: the same numbers, one run, one thread, every result checked before timing.

Each library runs in its own process and virtual environment (made on the first run, under bench/.peers). In each round
every library gets one short window per operation, in an order that rotates, so that a noisy minute affects all. The
table gives the median of the windows and the best call, how many times as long the others take, and whether the
project's own targets are reached.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from _peers import chart, environments, machine, report
from _peers.measure import Plan, contestants, measure_row
from _peers.process import Worker, WorkerError
from _peers.rows import OURS, Row, chosen

EPILOG = """examples:
  python bench/peers.py                                    everything, a quarter of an hour or more
  python bench/peers.py --quick --plot peers.png           under five minutes once the environments exist
  python bench/peers.py --only encrypt decrypt --peer HEU  two rows against one library
  python bench/peers.py --bits 3072 --json peers.json      another key size; figures for programs

how to read it:
  Processor time is measured, so that neighbours on a shared machine disturb little (--clock wall for the other); rows
  of two threads use the wall clock and want a quiet machine. A peer whose Python or wheel is missing is left out and
  named. Pythons are looked for in ~/.pyenv/versions and on the PATH. HEU's OU is another scheme and is never measured.

exit status: 0 if every target in reach was met, 1 if one was missed (it is named), 2 for a wrong call."""


class Progress:
    """One line on standard error that is written over, or nothing if nobody watches."""

    def __init__(self) -> None:
        self.start, self.shown = time.monotonic(), sys.stderr.isatty()

    def __call__(self, text: str) -> None:
        if self.shown:
            print(f"\r\x1b[K[{time.monotonic() - self.start:5.0f} s] {text}", end="", file=sys.stderr, flush=True)

    def line(self, text: str) -> None:
        """Say something that stays."""
        clear = "\r\x1b[K" if self.shown else ""
        print(f"{clear}[{time.monotonic() - self.start:5.0f} s] {text}", file=sys.stderr, flush=True)


def open_workers(args: argparse.Namespace, say: Progress) -> tuple[list[Worker], dict[str, str]]:
    """Start a process for every library, with a checked key in it; say why one is missing."""
    from bluetusk.paillier.primes import generate_primes

    p, q = (hex(int(prime)) for prime in generate_primes(args.bits // 2))
    wanted = {name.lower() for name in args.peer or ()}
    peers = [peer for peer in environments.PEERS if not wanted or {peer.label.lower(), peer.adapter} & wanted]
    workers: list[Worker] = []
    absent: dict[str, str] = {}

    def start(label: str, python: Path, adapter: str) -> None:
        say(f"starting {label}")
        worker = Worker(label, python, adapter)
        try:
            worker.ask("open", adapter=adapter, bits=args.bits, p=p, q=q)
        except WorkerError:
            worker.close()
            raise
        workers.append(worker)

    try:
        start(OURS, Path(sys.executable), "bluetusk")
    except WorkerError as err:
        raise SystemExit(f"{OURS} itself does not run: {err}") from None
    for peer in peers:
        try:
            start(peer.label, environments.prepare(peer, args.peers_dir, say.line), peer.adapter)
        except (environments.Unavailable, WorkerError) as err:  # noqa: PERF203
            absent[peer.label] = str(err)
            say.line(f"without {peer.label}: {err}")
    return workers, absent


def run(args: argparse.Namespace, rows: list[Row], say: Progress) -> dict[str, Any]:
    """Measure everything; return the report."""
    about = machine.describe()
    workers, absent = open_workers(args, say)
    try:
        can = {worker.label: set(worker.ask("can", rows=[row.operation for row in rows])["rows"]) for worker in workers}
        plan = Plan(args.seconds, 2 if args.quick else 5, args.clock)
        results: report.Result = {}
        failed: dict[str, dict[str, str]] = {}
        for number, row in enumerate(rows, 1):
            measured, wrong = measure_row(row, contestants(row, workers, can), plan, say)
            results[row.key] = measured
            if wrong:
                failed[row.title] = wrong
            ours = report.cell(measured.get(OURS))
            say.line(f"{number:2}/{len(rows)} {row.title}: {ours} us per {row.unit}")
        facts = {worker.label: worker.ask("facts") for worker in workers}
    finally:
        for worker in workers:
            worker.close()
    return {
        "bits": args.bits,
        "clock": args.clock,
        "machine": about,
        "load_after": machine.load(),
        "libraries": facts,
        "absent": absent,
        "failed": failed,
        "rows": report.assemble(rows, results, facts, args.bits),
    }


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ", ".join(peer.label for peer in environments.PEERS)
    parser.add_argument("--bits", type=int, choices=(2048, 3072, 4096), default=2048, help="size of n (default 2048)")
    parser.add_argument("--quick", action="store_true", help="fewer windows: under five minutes at 2048 bits")
    parser.add_argument("--seconds", type=float, help="for each library and row (default 2.5; with --quick 0.4)")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="only rows whose name contains one of these words")
    parser.add_argument("--peer", nargs="+", metavar="NAME", help=f"only these beside {OURS}: {names}")
    parser.add_argument("--json", metavar="FILE", help="write all figures to FILE")
    parser.add_argument("--markdown", metavar="FILE", help="write the table to FILE, too")
    parser.add_argument("--plot", metavar="FILE", help="draw bars to FILE (.png, .svg, .pdf); needs matplotlib")
    parser.add_argument("--clock", choices=("cpu", "wall"), default="cpu", help="for one thread (default: cpu)")
    parser.add_argument(
        "--peers-dir",
        metavar="DIR",
        type=Path,
        default=environments.DEFAULT,
        help="where the peers' environments are or are made (default: bench/.peers)",
    )
    args = parser.parse_args(argv)
    known = {name for peer in environments.PEERS for name in (peer.label.lower(), peer.adapter)}
    if unknown := [name for name in args.peer or () if name.lower() not in known]:
        parser.error(f"argument --peer: {unknown[0]!r} is none of {names} (quote a name with a space)")
    if not chosen(args.only):
        parser.error(f"argument --only: no row's name contains {' or '.join(map(repr, args.only))}")
    args.seconds = args.seconds if args.seconds is not None else 0.4 if args.quick else 2.5
    return args


def main(argv: list[str] | None = None) -> int:
    """Run, print the table, write the files."""
    args = parse(argv)
    rows = chosen(args.only)
    needed = {row.against for row in rows if row.against}
    rows = [row for row in chosen(None) if row in rows or row.key in needed]
    say = Progress()
    result = run(args, rows, say)
    say("")
    table = report.markdown(result)
    if args.markdown:
        Path(args.markdown).write_text(table + "\n")
    if args.json:
        Path(args.json).write_text(json.dumps(result, indent=1) + "\n")
    if args.plot:
        chart.draw(result, args.plot)
    print(table)
    missed = [f"  {row['operation']}: {'; '.join(row['missed'])}" for row in result["rows"] if row["missed"]]
    if missed:
        print("\n".join(["", "targets missed:", *missed]))
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
