"""Describes what each role of the demo saw and did not see, by method."""

from __future__ import annotations

from . import private
from .binning import CELLS
from .masked import plan_for
from .roles import MIN_CLIENTS
from .runner import Outcome, Plan

__all__ = ["views"]

_PASSED_ON = "the bins, each point and the model"
_OTHERS = "anything else of another bank; the pooled counts and gradients"


def views(plan: Plan, outcome: Outcome) -> tuple[list[list[str]], str]:
    """Return what each role saw and did not see.

    Parameters
    ----------
    plan : Plan
        The run's parameters.
    outcome : Outcome
        The run's result.

    Returns
    -------
    rows : list of [role, saw, did not see]
    note : str
        What the sums reveal about the rows, and who must not collude.

    Examples
    --------
    >>> from bluetusk.demo.runner import Outcome, Plan
    >>> [row[0] for row in views(Plan(method="secagg"), Outcome())[0]]
    ['aggregator', 'each bank']
    """
    rows, note = {"paillier": _encrypted, "secagg": _masked, "secagg+dp": _noisy}[plan.method](plan, outcome)
    if outcome.lost and plan.method != "secagg+dp":
        note += " Sums with and without the lost banks, at other points, reveal something of the lost banks together."
    return rows, note


def _exact(n: int) -> str:
    return (
        "Sums are exact and reveal the statistics of the pooled sample: a cell with one customer shows that some bank "
        f"has such a customer, and the gradients at {n} points show how the pooled loss curves along the steps between "
        "them. The pooled table of pairs of bins, which a summed second-order matrix would be, was not computed. No "
        "noise is added. "
    )


def _encrypted(plan: Plan, outcome: Outcome) -> tuple[list[list[str]], str]:
    n = outcome.rounds
    rows = [
        [
            "key holder",
            "each bank's name and its number of rows rounded up to thousands; the pooled counts of customers in "
            f"{CELLS} public cells, and of defaults; {n} pooled sums of gradients with the rows behind them; the model",
            "a row; any single bank's counts, gradient or exact size; a sum of fewer than "
            f"{MIN_CLIENTS} banks; a single contribution, even encrypted",
        ],
        [
            "aggregator",
            "who sent how many bytes and when; the banks' rounded sizes; every contribution, encrypted; the bins, "
            "each point and the model, which it passes on",
            "a row, a count, a gradient or a weight in the clear: it has no private key",
        ],
        ["each bank", f"its own rows; the other banks' names and rounded sizes; {_PASSED_ON}", _OTHERS],
    ]
    note = _exact(n) + (
        "The key holder and the aggregator together could decrypt every contribution, and the key holder with all "
        "banks but one could subtract: they must not work together."
    )
    return rows, note


def _trust(plan: Plan) -> str:
    agreed = plan_for(plan.banks)
    return (
        f"No one key opens a contribution. The aggregator and {agreed.threshold} of {plan.banks} banks together could "
        "unmask one, and with all banks but one it could subtract. The aggregator must follow the protocol: here it "
        "passed on the banks' public keys, which in earnest they have from each other."
    )


def _masked(plan: Plan, outcome: Outcome) -> tuple[list[list[str]], str]:
    n = outcome.rounds
    rows = [
        [
            "aggregator",
            "each bank's name and its number of rows rounded up to thousands; who sent how many bytes and when; every "
            f"contribution, masked by uniform numbers; the pooled counts of customers in {CELLS} public cells, and of "
            f"defaults; {n} pooled sums of gradients with the rows behind them; the model",
            f"a row; any single bank's counts, gradient or exact size; a sum of fewer than {MIN_CLIENTS} banks",
        ],
        [
            "each bank",
            "its own rows; the other banks' names and rounded sizes; shares of the others' one-time keys; "
            f"{_PASSED_ON}",
            _OTHERS,
        ],
    ]
    return rows, _exact(n) + _trust(plan)


def _noisy(plan: Plan, outcome: Outcome) -> tuple[list[list[str]], str]:
    n = outcome.rounds
    rows = [
        [
            "aggregator",
            "each bank's name; who sent how many bytes and when; every contribution, masked by uniform numbers; the "
            f"noisy pooled counts of customers in {CELLS} public cells, and of defaults; {n} noisy pooled sums of "
            "gradients; the model",
            "a row; any single bank's counts, gradient or size; any sum without noise, and so the number of rows",
        ],
        [
            "each bank",
            f"its own rows; the other banks' names; shares of the others' one-time keys; {_PASSED_ON}",
            _OTHERS,
        ],
    ]
    note = (
        f"What the aggregator and the other banks saw is ({private.epsilon(outcome.noise):.3g}, {private.DELTA:g})-"
        "differentially private for every single row of every bank. That holds while at most one in five of the banks "
        f"in a session, {plan_for(plan.banks).bad} of {plan.banks}, tell the aggregator their part of the noise. A "
        "whole bank is not hidden in this way: its customers together move the sums by far more than the noise. How "
        "long a bank takes to answer, which follows its size, is not hidden either. "
    )
    return rows, note + _trust(plan)
