"""Two-party risk models: a guest with labels and hosts with more columns train together; no row leaves its owner."""

from ._link import Link, Observer, local_links
from .logistic import LogisticRegression

__all__ = ["Link", "LogisticRegression", "Observer", "local_links"]
