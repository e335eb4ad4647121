"""Two-party risk models: a guest with labels and hosts with more columns train together; no row leaves its owner."""

from . import evaluation
from ._link import Link, Observer, local_links
from .align import intersect
from .binning import WoEBinning
from .blacklist import BlacklistAnswer, blacklist_query, blacklist_serve
from .boosting import GradientBoosting
from .logistic import LogisticRegression
from .report import write_report

__all__ = [
    "BlacklistAnswer",
    "GradientBoosting",
    "Link",
    "LogisticRegression",
    "Observer",
    "WoEBinning",
    "blacklist_query",
    "blacklist_serve",
    "evaluation",
    "intersect",
    "local_links",
    "write_report",
]
