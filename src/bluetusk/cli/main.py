"""The command line, ``bluetusk``: demo, keygen, inspect, selftest, info, bench, certs, party, blacklist, evidence.

Exit status 0 for success, 1 for failure, 2 for a wrong call; an error is one line on standard error with its remedy.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import getpass
import importlib.util
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from .._inspect import describe
from .._version import __version__
from ..demo import credit_cli as _credit
from ..errors import BluetuskError
from . import blacklist as _blacklist
from . import evidence as _evidence
from . import party as _party

__all__ = ["main"]

_KEY_SIZES = (2048, 3072, 4096)
_PASSPHRASE = "BLUETUSK_PASSPHRASE"  # the name of an environment variable  # noqa: S105
_METHODS = ("paillier", "secagg", "secagg+dp")
_EXTRA = 'pip install "bluetusk[demo]"'


class _Failure(Exception):
    """A reason to end with status 1, written for the user."""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs = {"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False, **kwargs}
        super().__init__(**kwargs)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see `{self.prog} --help`\n")


def _number(low: int, high: int) -> Callable[[str], int]:
    """Return a reader of whole numbers from low to high."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{value} is not between {low} and {high}")
        return value

    return read


def _positive(low: float, high: float) -> Callable[[str], float]:
    """Return a reader of numbers from low to high."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no number") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not between {low:g} and {high:g}")
        return value

    return read


# ------------------------------------------------------------------------------------------------------------- demo


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
            raise _Failure(f"the demo needs {module}: {_EXTRA}")

    from ..demo import data, evaluate, report
    from ..demo.methods import cost
    from ..demo.progress import watching
    from ..demo.runner import Plan, run

    start = time.perf_counter()
    plan = Plan(
        banks=args.banks,
        drop=args.drop,
        seed=args.seed,
        key_size=args.key_size,
        threads=args.threads,
        data=args.data,
        rows=args.rows,
        method=args.method,
        epsilon=args.epsilon,
    )
    try:
        customers = data.load(plan.data, rows=plan.rows, seed=plan.seed)
        dealt = data.deal(customers, banks=plan.banks, seed=plan.seed)
    except OSError as err:
        raise _Failure(f"cannot read the customers: {err}; give a file by --data") from None
    except ValueError as err:
        raise _Failure(f"{err}; give other --rows, --banks or --data") from None
    if plan.key_size < _KEY_SIZES[1] and "paillier" in (args.method, *compared):
        print(f"a key of {plan.key_size} bits gives 112-bit security: for a demo, not for data", file=sys.stderr)
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
        _print_json(report.as_json(plan, outcome, comparison, seconds, costs))
    elif compared:
        report.show([report.methods(costs)])
    return 0


def _picture(args: argparse.Namespace) -> Path:
    """Check where the picture is to go before the work is done."""
    path = Path(args.plot)
    if path.suffix.lower() not in (".pdf", ".png", ".svg"):
        args.parser.error(f"argument --plot: {args.plot!r} must end in .png, .svg or .pdf")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        args.parser.error(f"argument --plot: there is no folder {str(path.parent)!r} that can be written to")
    return path


# ------------------------------------------------------------------------------------------------------------- keys


def _passphrase(args: argparse.Namespace) -> str | bytes:
    """Return the passphrase from where the user keeps it."""
    if args.passphrase_file is not None:
        try:
            secret = Path(args.passphrase_file).read_bytes().rstrip(b"\r\n")
        except OSError as err:
            raise _Failure(f"cannot read the passphrase: {err}") from None
        if not secret:
            raise _Failure(f"{args.passphrase_file} is empty: put a passphrase on its first line")
        return secret
    if os.environ.get(_PASSPHRASE):
        return os.environ[_PASSPHRASE]
    if not sys.stdin.isatty():
        raise _Failure(f"no passphrase: give --passphrase-file FILE, or set {_PASSPHRASE}, or run on a terminal")
    typed = getpass.getpass("passphrase for the private key: ")
    if not typed:
        raise _Failure("an empty passphrase protects nothing: type one, or give --passphrase-file FILE")
    if getpass.getpass("once more: ") != typed:
        raise _Failure("the two passphrases differ: try again")
    return typed


def _keygen(args: argparse.Namespace) -> int:
    from ..paillier.keys import generate_keypair

    private = Path(args.file)
    public = Path(args.public) if args.public else private.with_name(private.name + ".pub")
    if private == public:
        args.parser.error("argument --public: the two keys need two files")
    for path in (private, public):
        if os.path.lexists(path):
            raise _Failure(f"{path} is there already and is not overwritten: give another name, or move it away")
        if not path.parent.is_dir():
            raise _Failure(f"there is no folder {path.parent}: make it first")
    passphrase = _passphrase(args)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        pub, priv = generate_keypair(args.bits, suite=args.suite)
    for warning in said:
        print(f"note: {warning.message}", file=sys.stderr)
    content = pub.to_bytes() if args.format == "frame" else pub.to_json().encode() + b"\n"
    with priv:
        with open(public, "xb") as file:
            file.write(content)
        try:
            priv.save(private, passphrase)
        except BaseException:
            public.unlink()
            raise
    print(f"private key  {private} ({args.bits} bits, suite {args.suite}; keep it and the passphrase apart)")
    print(f"public key   {public} ({args.format})")
    print(f"fingerprint  {pub.fingerprint_words}")
    return 0


def _inspect(args: argparse.Namespace) -> int:
    lines = describe(args.file)
    if args.json:
        _print_json(dict(lines))
    else:
        _print_pairs(lines)
    return 0


# ---------------------------------------------------------------------------------------------------------- machine


def _selftest(args: argparse.Namespace) -> int:
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


def _info(args: argparse.Namespace) -> int:
    from .._selftest import build_info

    info = build_info()
    if args.json:
        _print_json(info)
    else:
        _print_pairs([(name, value) for name, value in info.items() if value != ""])
    return 0


def _bench(args: argparse.Namespace) -> int:
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
        _print_json(
            {
                "key_size": args.key_size,
                "threads": threads,
                "figures": [{"operation": f.operation, "seconds": f.seconds, "unit": f.unit} for f in figures],
            }
        )
    return 0


# ----------------------------------------------------------------------------------------------------------- output


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2))


def _print_pairs(pairs: Sequence[tuple[str, Any]]) -> None:
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        print(f"{name:<{width}}  {value}")


# ----------------------------------------------------------------------------------------------------------- parser


def _parser() -> _Parser:
    parser = _Parser(
        prog="bluetusk",
        description="Add, train and share on data that nobody may see: Paillier arrays and federated sums.",
        epilog="""examples:
  bluetusk demo banks                    ten banks train one credit model, no row leaves a bank
  bluetusk keygen bank.key               a key pair: bank.key (encrypted) and bank.key.pub
  bluetusk inspect bank.key.pub          what a file of ours holds
  bluetusk bench                         what this machine does in a second

Every command has a --help of its own.""",
    )
    parser.add_argument("--version", action="version", version=f"bluetusk {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_demo(commands)

    keygen = commands.add_parser(
        "keygen",
        help="make a key pair",
        description="Make a Paillier key pair. The private key is encrypted under a passphrase (scrypt, AES-256-GCM).",
        epilog=f"""examples:
  bluetusk keygen bank.key                                   asks for a passphrase
  bluetusk keygen bank.key --passphrase-file secret.txt      for scripts; or set {_PASSPHRASE}
  bluetusk keygen bank.key --format json --public bank.json  the public key as JSON (JWK-like)

No file is ever overwritten.""",
    )
    keygen.add_argument("file", metavar="FILE", help="where the private key goes")
    keygen.add_argument("--public", metavar="FILE", help="where the public key goes (default: FILE.pub)")
    keygen.add_argument("--bits", type=int, choices=_KEY_SIZES, default=3072, help="size of n (default: 3072)")
    keygen.add_argument(
        "--suite",
        choices=("djn", "standard"),
        default="djn",
        help="djn: short obfuscators, fast (default); standard: r^n",
    )
    keygen.add_argument("--format", choices=("frame", "json"), default="frame", help="of the public key")
    keygen.add_argument("--passphrase-file", metavar="FILE", help="holds the passphrase")
    keygen.set_defaults(run=_keygen, parser=keygen)

    inspect = commands.add_parser(
        "inspect",
        help="say what a file holds",
        description="Say what a file of ours holds: a key, an encrypted array, a message of a sum. Shows no secret.",
        epilog="""examples:
  bluetusk inspect bank.key.pub          kind, size, suite, fingerprint as words to compare aloud
  bluetusk inspect total.frame --json    the same for programs""",
    )
    inspect.add_argument("file", metavar="FILE")
    inspect.add_argument("--json", action="store_true", help="one JSON object")
    inspect.set_defaults(run=_inspect, parser=inspect)

    selftest = commands.add_parser(
        "selftest",
        help="check that this build computes right",
        description="Run the package's own short tests, about a second. Status 1 if one fails.",
    )
    selftest.set_defaults(run=_selftest, parser=selftest)

    info = commands.add_parser(
        "info", help="describe this build", description="Describe this build and what it runs on, for a bug report."
    )
    info.add_argument("--json", action="store_true", help="one JSON object")
    info.set_defaults(run=_info, parser=info)

    bench = commands.add_parser(
        "bench",
        help="measure this machine",
        description="""Measure this machine in under half a minute: encryption, decryption, sums, histograms, products,
a matrix product, keys, bytes, batches of powers.""",
        epilog="""examples:
  bluetusk bench                                  3072 bits, all threads
  bluetusk bench --key-size 2048 --threads 1      to compare with other libraries""",
    )
    _add_key_size(bench)
    bench.add_argument("--threads", type=_number(1, 1024), metavar="N", help="default: one for each CPU")
    bench.add_argument("--json", action="store_true", help="one JSON object")
    bench.set_defaults(run=_bench, parser=bench)
    _party.add_parsers(commands)
    _blacklist.add_parser(commands)
    _evidence.add_parser(commands)
    return parser


def _add_key_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--key-size", type=int, choices=_KEY_SIZES, default=3072, help="bits of the Paillier modulus (default: 3072)"
    )


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser("demo", help="run the main job on real data", description="Run a demo on real data.")
    kinds = demo.add_subparsers(metavar="DEMO", required=True)
    banks = kinds.add_parser(
        "banks",
        help="ten banks train one credit model",
        description="""Ten banks train one model of who will default, on the credit cards of 30 000 customers (UCI data,
CC BY 4.0). Every role is a process of its own; they exchange nothing but encrypted, or masked, and signed values, their
sums, and what everybody may know. The result is compared with scikit-learn on the pooled rows.

methods:
  paillier    a key holder decrypts sums that an aggregator added without seeing them
  secagg      no key holder: the banks' masks cancel in the sum, the aggregator learns the sum alone; the same model
  secagg+dp   as secagg, and the banks add noise: what comes out is differentially private for each customer's row""",
        epilog=f"""examples:
  bluetusk demo banks                            the whole job, under a minute on two CPUs
  bluetusk demo banks --plot gain.png            with ROC curves and each bank's gain
  bluetusk demo banks --drop 2                   two banks vanish in the middle of a round
  bluetusk demo banks --method secagg+dp --epsilon 2 --no-compare     without a key holder, with noise, and nothing else
  bluetusk demo banks --json > result.json       for programs: one object on standard output
  bluetusk demo banks --banks 4 --rows 4000 --key-size 2048     a quick look

needs: {_EXTRA}""",
    )
    banks.add_argument("--banks", type=_number(3, 50), default=10, metavar="N", help="how many banks (default: 10)")
    banks.add_argument(
        "--drop", type=_number(0, 50), default=0, metavar="K", help="how many of them vanish in the middle of a round"
    )
    banks.add_argument(
        "--method", choices=_METHODS, default="paillier", help="how values are summed (default: paillier)"
    )
    banks.add_argument(
        "--epsilon",
        type=_positive(0.01, 100.0),
        default=1.0,
        metavar="E",
        help="what secagg+dp may cost a customer in privacy, at a delta of 1e-6 (default: 1)",
    )
    banks.add_argument(
        "--no-compare", action="store_true", help="do not run the other methods to compare what they cost"
    )
    _add_key_size(banks)
    banks.add_argument(
        "--seed", type=_number(0, 2**63 - 1), default=0, metavar="S", help="who banks where (default: 0)"
    )
    banks.add_argument(
        "--threads",
        type=_number(1, 1024),
        metavar="N",
        help="threads of each process (default: 1 for each bank, all CPUs for the others)",
    )
    banks.add_argument("--rows", type=_number(100, 2**31), metavar="N", help="take only N customers")
    banks.add_argument("--data", metavar="FILE", help="another table with the same columns, CSV or CSV.xz")
    banks.add_argument("--plot", metavar="FILE", help="draw ROC curves and gains to a .png, .svg or .pdf")
    banks.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    banks.add_argument("--quiet", "-q", action="store_true", help="show no progress on standard error")
    banks.set_defaults(run=_demo_banks, parser=banks)
    _credit.add_parser(kinds, _add_key_size)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process by default.

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
        return _fail("standard output is closed: send it to a file, or to /dev/null", 1)
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
    except (_Failure, BluetuskError, OSError, ValueError, MemoryError) as err:
        return _fail(" ".join(str(err).split()) or type(err).__name__, 1)
    return status


def _fail(message: str, status: int) -> int:
    print(f"bluetusk: {message}", file=sys.stderr)
    return status
