"""``bluetusk party``: one side of a joint model, from a configuration file."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from ..errors import DataWarning
from ..tasks import MODELS
from ..vertical.tables.profile import ColumnProfile, show
from . import party_check, party_init
from ._common import add_lang
from ._watching import Watch, add_options

__all__ = ["add_parser"]


def _party(args: argparse.Namespace) -> int:
    if args.config is None:
        args.parser.error("the following arguments are required: --config")
    if args.check:
        return party_check.run(args)
    from ..evidence.summary import learned_line
    from ..vertical.evaluation.metrics import with_interval
    from ..vertical.party.config import Config
    from ..vertical.party.run import run_party

    config = Config.load(args.config, role=args.role)
    if args.lang is not None:
        config = replace(config, lang=args.lang)
    if config.model.key_size < 3072:
        print(f"a key of {config.model.key_size} bits gives 112-bit security", file=sys.stderr)
    watch = Watch(config.job, config.role, _progress(args.progress))
    with _warned(args.progress), watch.running(args):
        result = run_party(
            config,
            progress=watch.progress,
            listening=_listening(args.progress),
            profiled=_profiled(args.progress, config.data.file),
            watch=watch.opened,
        )
    if args.json:
        print(json.dumps(result))
        return 0
    print(f"{result['intersection']} rows in common: {result['train']} for training, {result['test']} held back")
    for name in (training.name for training, _ in MODELS):
        if name in result:
            found = result[name]
            area, apart = (with_interval(found[kind], found[f"{kind}_interval"]) for kind in ("auc", "ks"))
            print(f"{name:20} AUC {area}   KS {apart}   on the rows held back, with 95 % intervals")
    if "unevaluated" in result:
        print(f"not evaluated: {result['unevaluated']}")
    if result["left_out"]:
        print(f"left out of the regression, below model.min_iv: {', '.join(result['left_out'])}")
    print(f"{result['bytes']['sent']:,} bytes sent, {result['bytes']['received']:,} received")
    if "learned" in result:
        print(learned_line("this party", result["learned"]))
    print(f"results: {config.output}")
    return 0


@contextlib.contextmanager
def _warned(kind: str) -> Iterator[None]:
    """Print a DataWarning as one line when it is raised; the results contain it too."""
    said: set[str] = set()

    def say(message: Warning | str, *more: object, **others: object) -> None:
        if str(message) in said:  # a table is binned for the models, and again for the report
            return
        said.add(str(message))
        print(json.dumps({"warning": str(message)}) if kind == "json" else f"warning: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("always", DataWarning)
        warnings.showwarning = say
        yield


def _listening(kind: str) -> Callable[[str], None]:
    def say(address: str) -> None:
        if kind == "json":
            print(json.dumps({"listening": address}), file=sys.stderr, flush=True)
        elif kind == "bar":
            print(f"listening at {address}", file=sys.stderr, flush=True)

    return say


def _profiled(kind: str, file: str) -> Callable[[list[ColumnProfile]], None]:
    def say(profile: list[ColumnProfile]) -> None:
        if kind == "json":
            lines = [each.to_plain() for each in profile]
            print(json.dumps({"profile": lines}), file=sys.stderr, flush=True)
        elif kind == "bar":
            print(f"columns of {file}, as this side alone sees them:", file=sys.stderr)
            show(profile, sys.stderr)

    return say


def _progress(kind: str) -> Callable[[str, int, int], None] | None:
    if kind == "none":
        return None
    if kind == "json":
        began: dict[str, tuple[float, int]] = {}

        def lines(task: str, done: int, of: int) -> None:
            start, first = began.setdefault(task, (time.monotonic(), done))
            line: dict[str, Any] = {"task": task, "done": done, "of": of}
            if done > first:  # of this stage; the steps of one stage take about the same time
                line["seconds_left"] = round((time.monotonic() - start) / (done - first) * (of - done), 1)
            print(json.dumps(line), file=sys.stderr, flush=True)

        return lines
    from tqdm import tqdm

    bars: dict[str, Any] = {}

    def bar(task: str, done: int, of: int) -> None:
        if task not in bars:
            for other in bars.values():
                other.close()
            bars[task] = tqdm(total=of, desc=task, unit="step", file=sys.stderr)
        bars[task].total = of
        bars[task].update(done - bars[task].n)

    return bar


def add_parser(commands: Any) -> None:
    """Add the command."""
    party = commands.add_parser(
        "party",
        help="run one side of a joint model",
        description="""Run one side of a joint credit model: align ids, bin columns, train a logistic regression and
boosted trees with the peer, score. The guest has the labels. No row leaves its owner. After a kill it resumes from its
last step when started again with the same file.""",
        epilog="""a configuration file (TOML; paths are relative to it):
  job = "merchants-2026-11"             # new for every run; the same at both parties
  certificate = "bank.cert.pem"         # made by `bluetusk certs`
  key = "bank.key.pem"
  peer_certificate = "network.cert.pem"
  connect = "net.example.org:7443"      # or: listen = "0.0.0.0:7443"
  state = "state"                       # encrypted; start again with the same one to resume
  output = "output"
  splits = "splits"                     # encrypted; the same one for all jobs, so that rows keep their split
  spool_quota = 4_294_967_296           # bytes on disk, in state, for frames of a peer that runs ahead
  lang = "en"                           # of this party's report: "en", "zh"; by default that of the locale
  max_peer_ids = 16_777_216             # a peer with more ids is refused: each takes up to 190 bytes
  [data]
  file = "bank.csv"                     # or .parquet, with pyarrow
  id = "merchant"
  label = "default"                     # at the guest only
  categorical = ["branch"]              # codes, not amounts. A column that mixes numbers and texts is refused until it
                                        # is declared: here, in text, or in numeric (other texts count as missing)
  missing = ["?", "unknown"]            # besides what pandas reads as missing: empty, NA, NULL, None, nan, ...
  decimal = "."                         # and thousands = ",", if numbers are written like 1,169.50
  encoding = "utf-8"                    # of a CSV file: "gb18030", "utf-16", ...; and delimiter = ","
  dates = ["opened"]                    # become date_unit = "days" (or "months") since date_since = "2000-01-01";
                                        # date_format = "DMY" or "MDY" for dates such as 01/11/2026
  label_words = {good = 0, bad = 1}     # at the guest, if the labels are not 0 and 1
  [model]                               # the same at both; all have defaults
  trees = 10
  min_rows = 50                         # of a bin; min_bucket_rows: of the host's buckets in trees; min_events = 5 and
                                        # min_others = 5 of both. A policy's minima are lower limits
  min_intersection = 500                # rows in common, with min_total_events = 100 events among them
  [evidence]                            # or evidence = "none" above [data]: all is allowed then, nothing logged.
                                        # `bluetusk evidence keygen` makes identities
  identity = "bank.identity"
  peer_key = "network.identity.pub"
  policy = "policy.signed"              # required; `bluetusk evidence policy example` prints one to start from
  log = "evidence.log"

examples:
  bluetusk party init                    # writes party.toml and policy.toml from a few questions
  bluetusk party --check --config bank.toml
  bluetusk party --role host --config network.toml
  bluetusk party --role guest --config bank.toml --json > result.json""",
    )
    party.add_argument("--role", choices=("guest", "host"), help="overrides the file's role")
    party.add_argument("--config", metavar="FILE", help="TOML file, see below")
    party.add_argument(
        "--check",
        action="store_true",
        help="connect to nobody: check files, policy, certificates, uses, ports and disk, and print all that is wrong",
    )
    party.add_argument("--json", action="store_true", help="print one JSON object")
    party.add_argument(
        "--progress", choices=("bar", "json", "none"), default="bar", help="progress on standard error (default: bar)"
    )
    add_lang(party)
    add_options(party)
    party.set_defaults(run=_party, parser=party, resumable=True)
    party_init.add_parser(party.add_subparsers(metavar="init", required=False))
