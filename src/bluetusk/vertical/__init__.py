"""Trains risk models of a guest, who has labels, and hosts, who have more columns; no row leaves its owner."""

from types import ModuleType

from . import evaluation
from .align.estimator import intersect
from .binning.estimator import WoEBinning
from .binning.labels import LabelArray, LabelBook
from .blacklist.query import BlacklistAnswer, blacklist_query, blacklist_serve
from .boosting.estimator import GradientBoosting
from .evaluation.report import write_report
from .logistic.estimator import LogisticRegression
from .protocol.link import Link, Observer, local_links
from .tables.files import read_columns

__all__ = [
    "BlacklistAnswer",
    "GradientBoosting",
    "LabelArray",
    "LabelBook",
    "Link",
    "LogisticRegression",
    "Observer",
    "WoEBinning",
    "blacklist_query",
    "blacklist_serve",
    "evaluation",
    "intersect",
    "local_links",
    "party",
    "read_columns",
    "write_report",
]


def __getattr__(name: str) -> ModuleType:
    """Import ``party`` on first use: it needs certificates, whose import takes a tenth of the package's import time."""
    if name == "party":
        import importlib

        return importlib.import_module(".party", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
