"""``bluetusk demo credit``: its arguments, progress bars, tables and picture."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..demo.credit import CreditPlan, Result
    from ..demo.report import Table

from ..storage import files
from ..tasks import MODELS, TASKS
from ._common import add_key_size, add_lang, chosen

__all__ = ["add_parser"]

_EXTRA = 'pip install "bluetusk[vertical]"'
_COLUMNS = {"guest_alone": "bank alone", "joint": "joint", "pooled": "pooled plaintext"}


def _run(args: argparse.Namespace) -> int:
    missing = [
        name for name in ("grpc", "private_set_intersection", "sklearn") if importlib.util.find_spec(name) is None
    ]
    if args.plot:
        args.plot = _target(args, "--plot", args.plot, (".png", ".svg", ".pdf"))
    if args.report:
        args.report = _target(args, "--report", args.report, (".html",))
    if missing:
        raise ValueError(f"the demo needs {', '.join(missing)}: {_EXTRA}")
    from ..demo.credit import CreditPlan, run

    if args.epochs == 0 and args.trees == 0:
        args.parser.error("--epochs 0 and --trees 0 leave nothing to train: set one of them above 0")
    plan = chosen(CreditPlan, args)
    if args.keep is not None and args.keep.exists() and any(args.keep.iterdir()):
        args.parser.error(f"argument --keep: {args.keep} is not empty: give a new folder")
    if plan.key_size < 3072:
        print(f"a key of {plan.key_size} bits gives 112-bit security: fit for a demo only", file=sys.stderr)
    with _watching(args.quiet) as progress:
        result = run(plan, progress)
    if args.plot:
        from ..demo.credit_plot import save

        save(args.plot, result)
    if args.report and result.report is not None:
        files.write(args.report, result.report.encode(), overwrite=True)
    if args.json:
        print(json.dumps(result.summary, indent=2))
    else:
        from ..demo.report import show

        show(_tables(plan, result))
        for path in (args.plot, args.report):
            if path:
                print(f"written: {path}")
    return 0 if result.summary["evidence"]["verified"] else 1


def _target(args: argparse.Namespace, option: str, given: str, endings: tuple[str, ...]) -> Path:
    path = Path(given)
    if path.suffix.lower() not in endings:
        args.parser.error(f"argument {option}: {given!r} must end in {' or '.join(endings)}")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        args.parser.error(f"argument {option}: {str(path.parent)!r} is not a writable folder: give another path")
    return path


def _tables(plan: CreditPlan, result: Result) -> list[Table]:
    from ..demo.report import Table, size
    from ..vertical.evaluation.metrics import with_interval

    summary = result.summary
    rows, cost = [], []
    for task in (training for training, _ in MODELS):
        name = task.name
        if name not in summary:
            continue
        found = summary[name]
        rows.append(
            [task.title, *(with_interval(found[kind], found[f"{kind}_interval"]) for kind in (*_COLUMNS, "ks"))]
        )
    for task in TASKS:
        if task.stage in summary["stages"]:
            stage = summary["stages"][task.stage]
            cost.append([task.title, f"{stage['seconds']:.1f} s", size(stage["bytes"])])
    cost.append(["all, with starting and comparing", f"{summary['seconds']:.1f} s", ""])
    logs = summary["evidence"]["logs"]
    held_heads = "; ".join(f"{role}: {log['records']} records, its head held by the peer" for role, log in logs.items())
    learned = [(name, summary["learned"][role]) for role, name in (("guest", "the bank"), ("host", "the network"))]
    facts = [
        ["customers in common", f"{summary['intersection']:,} of {plan.rows:,}; each side's others stay unknown"],
        ["the bank saw", "counts and events per bin; sums of gradients per bucket; points of the rows held back"],
        ["the network saw", "when the training ended; which rows its splits part; no label, weight or coefficient"],
        ["learned", "; ".join(f"{role}: {n['sums']:,} sums, {n['bits']:,} bits" for role, n in learned)],
        ["evidence", held_heads],
        ["verified", "yes, both logs against the peer's head" if summary["evidence"]["verified"] else "NO"],
    ]
    held = len(result.labels)
    return [
        Table(
            f"AUC on {held:,} customers held back, with 95 % intervals",
            ["", *_COLUMNS.values(), "KS joint"],
            rows,
            note="Pooled: scikit-learn on both tables together, same rows and split. The network's columns carry most "
            "of the signal: the gain is the bank's.",
        ),
        Table("What it took, both processes on this machine", ["stage", "time", "to and fro"], cost),
        Table("What happened, and who can prove it", ["", ""], facts, text=True),
    ]


@contextlib.contextmanager
def _watching(quiet: bool) -> Iterator[Callable[[str, str, int, int], None] | None]:
    """Show the guest's progress: a moving bar on a terminal, else a line for each stage."""
    if quiet:
        yield None
        return
    if sys.stderr.isatty():
        with contextlib.suppress(ImportError):
            from rich.console import Console
            from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            parts = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(30), TimeElapsedColumn())
            with Progress(*parts, console=Console(stderr=True), transient=True) as bar:
                bars = {role: bar.add_task(f"{role}: starting", total=1) for role in ("guest", "host")}

                def draw(role: str, task: str, done: int, of: int) -> None:
                    bar.update(bars[role], description=f"{role}: {task}", completed=done, total=of)

                yield draw
            return
    seen: set[str] = set()
    start = time.monotonic()

    def write(role: str, task: str, done: int, of: int) -> None:
        if role == "guest" and (task not in seen or done == of):
            seen.add(task)
            sys.stderr.write(f"{time.monotonic() - start:6.1f} s  {task}: step {done} of {of}\n")

    yield write


def add_parser(kinds: Any) -> None:
    """Add the demo to the parsers of ``bluetusk demo``.

    Parameters
    ----------
    kinds : argparse subparsers
        The parsers of the demos.
    """
    credit = kinds.add_parser(
        "credit",
        help="a bank and a payment network train one credit model",
        description="""A bank knows who repaid, a payment network what merchants really do. Two processes here find
their common customers by private set intersection, bin columns, train a logistic regression that stays shared and
boosted trees on encrypted gradients, and score, over gRPC with mutual TLS, each under its own signed policy and with
a log of evidence that the other can check. No row leaves its owner. The result is compared with the bank alone, and
with scikit-learn on both tables together (UCI data, 30 000 customers, CC BY 4.0).""",
        epilog=f"""examples:
  bluetusk demo credit --key-size 2048                 the whole demo, a few minutes
  bluetusk demo credit --rows 3000 --epochs 1 --trees 3 --key-size 2048      a quick look
  bluetusk demo credit --report model.html --plot model.png
  bluetusk demo credit --report model.html --lang zh   the report in Chinese
  bluetusk demo credit --json > result.json            for programs
  bluetusk demo credit --keep case                     the parties' files stay: configurations, logs, models

needs: {_EXTRA}""",
    )
    add_key_size(credit)
    number = {"type": int, "metavar": "N"}
    credit.add_argument("--rows", default=30_000, **number, help="customers, 1000 to 30000 (default: 30000)")
    credit.add_argument("--epochs", **number, help="epochs of the regression; 0 leaves it out (default: by the rows)")
    credit.add_argument("--trees", default=10, **number, help="trees of the boosting; 0 leaves it out (default: 10)")
    credit.add_argument("--seed", default=0, **number, help="seed that deals the customers to the parties (default: 0)")
    credit.add_argument("--plot", metavar="FILE", help="draw the ROC curves to a .png, .svg or .pdf")
    credit.add_argument("--report", metavar="FILE.html", help="write the bank's report of the joint models")
    add_lang(credit)
    credit.add_argument("--keep", type=Path, metavar="DIR", help="keep the parties' files in a new folder")
    credit.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    credit.add_argument("--quiet", "-q", action="store_true", help="show no progress on standard error")
    credit.set_defaults(run=_checked, parser=credit)


def _checked(args: argparse.Namespace) -> int:
    ranges = {"rows": (1000, 30_000), "epochs": (0, 1000), "trees": (0, 1000), "seed": (0, 2**32 - 1)}
    for name, (low, high) in ranges.items():
        if getattr(args, name) is not None and not low <= getattr(args, name) <= high:
            args.parser.error(f"argument --{name}: {getattr(args, name)} is not between {low} and {high}")
    return _run(args)
