"""Measures the cost of each way of summing by running it."""

from __future__ import annotations

from dataclasses import dataclass

from .private import epsilon
from .runner import Outcome, Plan

__all__ = ["Cost", "cost"]

_PHASES = ("keys", "bins", "training")


@dataclass(frozen=True)
class Cost:
    """The resources that one method used in one run, without starting the processes and reading the file.

    Attributes
    ----------
    method : str
        "paillier", "secagg" or "secagg+dp".
    sums : int
        Number of gradients summed.
    bank_bytes : int
        Bytes sent by a bank, on average over those that stayed.
    bytes : int
        Bytes sent by all roles.
    cpu_seconds : float
        Processor time of all roles.
    wall_seconds : float
        Time from the first sum to the model.
    auc : float
        AUC of the model on all test customers.
    auc_interval : (float, float)
        Its interval of 95 %.
    epsilon : float or None
        The privacy loss of a customer; None where sums are exact.
    """

    method: str
    sums: int
    bank_bytes: int
    bytes: int
    cpu_seconds: float
    wall_seconds: float
    auc: float
    auc_interval: tuple[float, float]
    epsilon: float | None


def cost(plan: Plan, outcome: Outcome, auc: float, interval: tuple[float, float]) -> Cost:
    """Add up the resources that a run used.

    Parameters
    ----------
    plan : Plan
        The run's parameters.
    outcome : Outcome
        The run's result.
    auc : float
        AUC of its model.
    interval : (float, float)
        Interval of 95 % of the AUC.

    Returns
    -------
    Cost

    Examples
    --------
    >>> from bluetusk.demo.channel import Usage
    >>> used = {"start": Usage(9.0, 9, 9), "bins": Usage(0.5, 100, 30), "training": Usage(1.5, 1000, 300)}
    >>> seconds = {"bins": 0.25, "training": 1.0}
    >>> outcome = Outcome(rounds=7, usage={"aggregator": used, "bank-01": used}, seconds=seconds)
    >>> got = cost(Plan(method="secagg"), outcome, 0.78, (0.76, 0.8))
    >>> got.bytes, got.bank_bytes, got.cpu_seconds, got.wall_seconds
    (2200, 1100, 4.0, 1.25)
    """
    sent: dict[str, int] = {}
    cpu = 0.0
    for role, phases in outcome.usage.items():
        used = [phases[phase] for phase in _PHASES if phase in phases]
        sent[role] = sum(each.sent for each in used)
        cpu += sum(each.seconds for each in used)
    banks = [size for role, size in sent.items() if role.startswith("bank")]
    return Cost(
        method=plan.method,
        sums=outcome.rounds,
        bank_bytes=sum(banks) // max(len(banks), 1),
        bytes=sum(sent.values()),
        cpu_seconds=cpu,
        wall_seconds=outcome.seconds.get("bins", 0.0) + outcome.seconds.get("training", 0.0),
        auc=auc,
        auc_interval=interval,
        epsilon=epsilon(outcome.noise) if outcome.noise else None,
    )
