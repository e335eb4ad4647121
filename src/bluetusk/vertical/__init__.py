"""Two-party risk models: a guest with labels and hosts with more columns train together; no row leaves its owner."""

from . import evaluation
from ._link import Link, Observer, local_links
from .align import intersect
from .binning import WoEBinning
from .boosting import GradientBoosting
from .logistic import LogisticRegression
from .report import write_report

__all__ = [
    "GradientBoosting",
    "Link",
    "LogisticRegression",
    "Observer",
    "WoEBinning",
    "evaluation",
    "intersect",
    "local_links",
    "write_report",
]
