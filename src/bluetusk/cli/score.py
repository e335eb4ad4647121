"""``bluetusk score``: one side of scoring new rows with a joint model that ``bluetusk party`` has trained."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ..tasks import MODELS
from ._common import number
from ._watching import Watch, add_options
from .party import _listening, _progress, _warned

__all__ = ["add_parser"]


def _score(args: argparse.Namespace) -> int:
    from ..evidence.summary import learned_line
    from ..vertical.party.scoring import ABSENT, Scoring, run_scoring

    names = ("job", "data", "output", "state", "models", "model", "min_intersection")
    scoring = Scoring.load(args.config, role=args.role, **{name: getattr(args, name) for name in names})
    watch = Watch(scoring.config.job, scoring.config.role, _progress(args.progress))
    with _warned(args.progress), watch.running(args):
        result = run_scoring(scoring, progress=watch.progress, listening=_listening(args.progress), watch=watch.opened)
    if args.json:
        print(json.dumps(result))
        return 0
    print(f"{result['scored']} of {result['rows']} rows scored by {' and '.join(result['models'])}")
    if result["unscored"]:
        print(f"{result['unscored']} rows without a score: {ABSENT}")
    print(f"{result['bytes']['sent']:,} bytes sent, {result['bytes']['received']:,} received")
    if "learned" in result:
        print(learned_line("this party", result["learned"]))
    if "output" in result:
        print(f"scores: {result['output']}")
    return 0


def add_parser(commands: Any) -> None:
    """Add the command."""
    score = commands.add_parser(
        "score",
        help="score new rows with a joint model",
        description="""Score the rows of a file with the halves that `bluetusk party` has kept: both sides find the
rows in common and score each of them once with each model, under their policies. The guest gets the scores. After a
kill it resumes from its last step when started again with the same arguments, and delivers the same scores.""",
        epilog="""The configuration file is that of the training: certificates, address, [evidence] and [data] (how a
file is written: id, encoding, dates, ...) hold for the scoring too, of [model] only min_intersection. Flags say what
is scored, or a section of the file, whose paths are relative to it:
  [score]
  job = "scores-2026-12"                # new for every scoring; the same at both parties
  data = "new_customers.csv"            # rows to score: the id and the columns of the training
  output = "new_scores.csv"             # at the guest: id, probability by model, points, reason; never written over
  state = "state-scores-2026-12"        # encrypted; by default the state of the training and the job
  models = "output"                     # the folder of the halves; by default the output of the training
  model = ["logistic_regression", "gradient_boosting"]   # the same at both; by default all in that folder
  min_intersection = 500                # fewest rows in common; by default that of [model]

examples:
  bluetusk score --config party.toml --job scores-1 --data new_payments.csv                            the host
  bluetusk score --config party.toml --job scores-1 --data new_customers.csv --output new_scores.csv   the guest""",
    )
    score.add_argument("--config", required=True, metavar="FILE", help="the TOML file of the training")
    score.add_argument("--role", choices=("guest", "host"), help="overrides the file's role")
    score.add_argument("--job", metavar="NAME", help="name of the scoring, new for every one, the same at both parties")
    score.add_argument("--data", metavar="FILE", help="CSV or Parquet file with the rows to score")
    score.add_argument("--output", metavar="FILE", help="at the guest: the new CSV file for the scores")
    score.add_argument("--models", metavar="FOLDER", help="where `bluetusk party` has written this side's halves")
    score.add_argument(
        "--model",
        action="append",
        choices=[training.name for training, _ in MODELS],
        help="score with this model only; may be given for each",
    )
    score.add_argument("--state", metavar="FOLDER", help="for the encrypted steps of this job; the same to resume")
    score.add_argument(
        "--min-intersection", type=number(0, 1 << 40), metavar="N", help="fewest rows in common that are scored"
    )
    score.add_argument("--json", action="store_true", help="print one JSON object")
    score.add_argument(
        "--progress", choices=("bar", "json", "none"), default="bar", help="progress on standard error (default: bar)"
    )
    add_options(score)
    score.set_defaults(run=_score, parser=score, resumable=True)
