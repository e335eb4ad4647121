"""The tasks of two-party models, one row each; read by models, the party, evidence, demos and the command line.

A task's name stands in each of its messages, its purpose in the policies of those whose data it uses.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "AGREE",
    "BINNING",
    "BLACKLIST",
    "BOOSTING",
    "BOOSTING_SCORES",
    "CONFIRM",
    "HEADS",
    "INTERSECT",
    "LOGISTIC",
    "LOGISTIC_SCORES",
    "MODELS",
    "PURPOSES",
    "SPLIT",
    "TASKS",
    "Task",
]


@dataclass(frozen=True)
class Task:
    """One task of two parties.

    Attributes
    ----------
    name : str
        The name in each message, in the meter and in the log.
    purpose : str
        The purpose that a policy grants; empty if the task uses no row.
    stage : str
        The name among the stages of a whole run.
    title : str
        The name in tables and reports.
    guest, host : str
        The inputs of each party.
    reveals : str
        What the task reveals, and to whom.
    groups : bool
        Whether the task opens sums over groups of rows, so that a policy's least size of a group applies.
    asks : bool
        Whether the task looks up ids, so that a policy's limits of ids apply.
    few : bool
        Whether few rows are allowed: their number is known only afterwards, or one applicant may be scored.
    """

    name: str
    purpose: str
    stage: str
    title: str
    guest: str
    host: str
    reveals: str
    groups: bool = False
    asks: bool = False
    few: bool = False


AGREE = Task(
    "agree", "", "agree", "compare settings", "its settings", "its settings", "to both: whether the settings are equal"
)
INTERSECT = Task(
    "intersect",
    "intersect",
    "intersect",
    "find the customers in common",
    "ids",
    "ids",
    "to both: which of their ids the other has, and how many ids it has",
    asks=True,
    few=True,
)
SPLIT = Task(
    "split", "", "split", "hold rows back", "a random key", "a random key", "to both: which rows are held back"
)
BINNING = Task(
    "woe-binning",
    "binning",
    "binning",
    "bin columns",
    "labels",
    "columns",
    "to the guest: the host's bins, their rows and events; to the host: nothing of the labels",
    groups=True,
)
LOGISTIC = Task(
    "logistic_regression",
    "logistic_regression",
    "logistic_regression",
    "logistic regression",
    "labels, columns, its key",
    "columns, its key",
    "to both: whether the training goes on, one bit a check; to the guest: a bound of the curvature of the host's bins, "
    "points of the rows held back, 10 bits a row",
)
LOGISTIC_SCORES = Task(
    "logistic_regression.predict",
    "predict",
    "logistic_regression_scores",
    "scores of the regression",
    "columns",
    "columns",
    "to the guest: points, 10 bits a row; to the host: how many rows",
    few=True,
)
BOOSTING = Task(
    "gradient_boosting",
    "gradient_boosting",
    "gradient_boosting",
    "gradient boosting",
    "labels, columns, its key",
    "columns",
    "to the guest: sums of gradients left of the host's cuts, and which rows go left at its splits; to the host: the "
    "rows of each node above the leaves, and which of its splits won",
    groups=True,
)
BOOSTING_SCORES = Task(
    "gradient_boosting.predict",
    "predict",
    "gradient_boosting_scores",
    "scores of the trees",
    "columns",
    "columns",
    "to the guest: the side that each row takes at those of the host's splits that it reaches; to the host: how many "
    "rows, and which reach its splits",
    few=True,
)
BLACKLIST = Task(
    "blacklist",
    "blacklist",
    "blacklist",
    "ask a blacklist",
    "ids",
    "a list of ids",
    "to the guest: which of its ids are listed, and the size of the list; to the host: how many are asked",
    asks=True,
    few=True,
)
HEADS = Task(
    "heads",
    "",
    "heads",
    "exchange heads of the logs",
    "the head of its log",
    "the head of its log",
    "to each: the other's signed head",
)
CONFIRM = Task("kept", "", "kept", "confirm the results", "notice", "notice", "to both: that the other has its results")

TASKS = (
    AGREE,
    INTERSECT,
    SPLIT,
    BINNING,
    LOGISTIC,
    LOGISTIC_SCORES,
    BOOSTING,
    BOOSTING_SCORES,
    BLACKLIST,
    HEADS,
    CONFIRM,
)
"""In the order of a run."""

MODELS = ((LOGISTIC, LOGISTIC_SCORES), (BOOSTING, BOOSTING_SCORES))
"""The training task of each model, with the task that scores rows."""

PURPOSES = tuple(dict.fromkeys(task.purpose for task in TASKS if task.purpose))
"""The purposes that a policy may grant."""
