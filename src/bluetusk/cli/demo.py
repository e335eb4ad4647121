"""``bluetusk demo``: the main jobs on real data."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import os
import sys
import time
from pathlib import Path
from typing import Any

from . import demo_credit
from ._common import KEY_SIZES, Failure, add_key_size, chosen, number, positive, print_json

__all__ = ["add_parser"]

_METHODS = ("paillier", "secagg", "secagg+dp")
_EXTRA = 'pip install "bluetusk[demo]"'


def _demo_banks(args: argparse.Namespace) -> int:
    from ..demo.roles import MIN_CLIENTS

    if args.drop > args.banks - MIN_CLIENTS:
        args.parser.error(
            f"argument --drop: no sum of fewer than {MIN_CLIENTS} banks is decrypted, so at most "
            f"{args.banks - MIN_CLIENTS} of {args.banks} may vanish: give a smaller --drop or more --banks"
        )
    picture = None if args.plot is None else _picture(args)
    compared = [] if args.no_compare else [method for method in _METHODS if method != args.method]
    noisy = "secagg+dp" in (args.method, *compared)
    for module in ("sklearn", *(["matplotlib"] if picture else []), *(["dp_accounting"] if noisy else [])):
        if importlib.util.find_spec(module) is None:
            raise Failure(f"the demo needs {module}: {_EXTRA}")

    from ..demo import data, evaluate, report
    from ..demo.methods import cost
    from ..demo.progress import watching
    from ..demo.runner import Plan, run

    start = time.perf_counter()
    plan = chosen(Plan, args)
    try:
        customers = data.load(plan.data, rows=plan.rows, seed=plan.seed)
        dealt = data.deal(customers, banks=plan.banks, seed=plan.seed)
    except OSError as err:
        raise Failure(f"cannot read the customers: {err}; give another file with --data") from None
    except ValueError as err:
        raise Failure(f"{err}; give other --rows, --banks or --data") from None
    if plan.key_size < KEY_SIZES[1] and "paillier" in (args.method, *compared):
        print(f"a key of {plan.key_size} bits gives 112-bit security: fit for a demo only", file=sys.stderr)
    with watching(args.quiet) as show:
        outcome = run(plan, show)
    comparison = evaluate.compare(customers, dealt, outcome, plan.penalty)
    if picture:
        from ..demo import plot

        plot.save(picture, comparison, outcome)
    seconds = time.perf_counter() - start
    if not args.json:
        report.show(report.tables(plan, outcome, comparison, seconds))
        if picture:
            print(f"drawn: {picture}")
        sys.stdout.flush()
    costs = [cost(plan, outcome, comparison.federated, comparison.intervals["federated"])]
    for method in compared:
        other = dataclasses.replace(plan, method=method)
        with watching(args.quiet, f"for comparison, {method}: ") as show:
            outcome_of_other = run(other, show)
        costs.append(cost(other, outcome_of_other, *evaluate.auc(customers, dealt, outcome_of_other)))
    if args.json:
        print_json(report.as_json(plan, outcome, comparison, seconds, costs))
    elif compared:
        report.show([report.methods(costs)])
    return 0


def _picture(args: argparse.Namespace) -> Path:
    """Check the picture's path before any work is done."""
    path = Path(args.plot)
    if path.suffix.lower() not in (".pdf", ".png", ".svg"):
        args.parser.error(f"argument --plot: {args.plot!r} must end in .png, .svg or .pdf")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        args.parser.error(f"argument --plot: {str(path.parent)!r} is not a writable folder: give another path")
    return path


def add_parser(commands: Any) -> None:
    """Add the command and its demos."""
    demo = commands.add_parser("demo", help="run the main job on real data", description="Run a demo on real data.")
    kinds = demo.add_subparsers(metavar="DEMO", required=True)
    banks = kinds.add_parser(
        "banks",
        help="ten banks train one credit model",
        description="""Ten banks train one model of who will default, on the credit cards of 30 000 customers (UCI data,
CC BY 4.0). Each role is a separate process; they exchange only values that are encrypted or masked, and signed, their
sums, and public values. The result is compared with scikit-learn on the pooled rows.

methods:
  paillier    a key holder decrypts sums that an aggregator added without seeing them
  secagg      no key holder: the banks' masks cancel in the sum, so the aggregator learns only the sum; the same model
  secagg+dp   as secagg, and the banks add noise: the result is differentially private for each customer's row""",
        epilog=f"""examples:
  bluetusk demo banks                            the whole job, under a minute on two CPUs
  bluetusk demo banks --plot gain.png            with ROC curves and each bank's gain
  bluetusk demo banks --drop 2                   two banks vanish in the middle of a round
  bluetusk demo banks --method secagg+dp --epsilon 2 --no-compare     without a key holder, with noise, and nothing else
  bluetusk demo banks --json > result.json       for programs: one object on standard output
  bluetusk demo banks --banks 4 --rows 4000 --key-size 2048     a quick look

needs: {_EXTRA}""",
    )
    banks.add_argument("--banks", type=number(3, 50), default=10, metavar="N", help="how many banks (default: 10)")
    banks.add_argument(
        "--drop", type=number(0, 50), default=0, metavar="K", help="how many banks vanish in the middle of a round"
    )
    banks.add_argument(
        "--method", choices=_METHODS, default="paillier", help="how values are summed (default: paillier)"
    )
    banks.add_argument(
        "--epsilon",
        type=positive(0.01, 100.0),
        default=1.0,
        metavar="E",
        help="privacy budget of secagg+dp for each customer's row, at delta 1e-6 (default: 1)",
    )
    banks.add_argument(
        "--no-compare", action="store_true", help="skip the other methods, which are run to compare costs"
    )
    add_key_size(banks)
    banks.add_argument("--seed", type=number(0, 2**63 - 1), default=0, metavar="S", help="seeds the deal (default: 0)")
    banks.add_argument(
        "--threads",
        type=number(1, 1024),
        metavar="N",
        help="threads of each process (default: 1 for each bank, all CPUs for the others)",
    )
    banks.add_argument("--rows", type=number(100, 2**31), metavar="N", help="use only N customers")
    banks.add_argument("--data", metavar="FILE", help="another table with the same columns, CSV or CSV.xz")
    banks.add_argument("--plot", metavar="FILE", help="draw ROC curves and gains to a .png, .svg or .pdf")
    banks.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    banks.add_argument("--quiet", "-q", action="store_true", help="show no progress on standard error")
    banks.set_defaults(run=_demo_banks, parser=banks)
    demo_credit.add_parser(kinds)
