"""The demo without a key holder: rounds of real processes that lose banks, and what a bank refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bluetusk.demo import data, masked, private
from bluetusk.demo.binning import CELLS, cells_of, choose_bins, histogram
from bluetusk.demo.masked import _Bank
from bluetusk.demo.roles import Job
from bluetusk.demo.runner import Plan, run
from bluetusk.encoding import FixedPoint
from bluetusk.errors import ProtocolAbort
from bluetusk.federated import secagg
from bluetusk.wire.frame import Kind, decode

CUSTOMERS = data.load(rows=900)
SERVER = Ed25519PrivateKey.generate()
NAMES = ["bank-01", "bank-02", "bank-03", "bank-04"]


def make_banks(noise: float = 0.0, names: list[str] = NAMES) -> dict[str, _Bank]:
    banks = {}
    for i, name in enumerate(names):
        part = slice(200 * i, 200 * i + 150 + 10 * i)
        job = Job(
            "bank", i, len(names), 0, 2048, 1.0, None, None, -1, 1.0, "", "secagg+dp" if noise else "secagg", noise
        )
        banks[name] = _Bank(job, name, CUSTOMERS.x[part], CUSTOMERS.y[part])
    return banks


def make_session(
    banks: dict[str, _Bank], tensor: str = "counts", length: int = CELLS + 1, **other: Any
) -> secagg.Session:
    job = next(iter(banks.values())).job
    clients = {name: (bank.public, bank.limit) for name, bank in banks.items()}
    made: dict[str, Any] = {
        "plan": masked.plan_for(len(banks)),
        "encoding": masked._encoding(job, tensor, clients),
        "length": length,
        "clients": masked._weights(job, tensor, clients),
        "server": SERVER.public_key().public_bytes_raw(),
    }
    return secagg.Session(**{**made, **other})


def one_round(banks: dict[str, _Bank], session: secagg.Session, round: int, point: Any = ()) -> secagg.Result:
    server = secagg.Server(session, round, SERVER)
    for bank in banks.values():
        for message in bank.start(round, np.array(point)):
            assert server.step(message)
    while not server.last:
        for name, message in server.advance().items():
            for answer in banks[name].step(decode(message).kind, message):
                assert server.step(answer)
    return server.finish()


def pooled(banks: dict[str, _Bank]) -> np.ndarray:
    return sum(histogram(cells_of(bank.x), bank.y) for bank in banks.values())


def test_counts_and_gradients_are_exact() -> None:
    banks = make_banks()
    session = make_session(banks)
    for bank in banks.values():
        bank.agree(session.to_bytes())
    counts = one_round(banks, session, 0).integers
    assert np.array_equal(counts, pooled(banks))
    bins = choose_bins(counts)
    session = make_session(banks, "gradient", bins.size + 1)
    for bank in banks.values():
        bank.agree(session.to_bytes())
        bank.codes = bins.codes(bank.x)
    result = one_round(banks, session, 5, np.zeros(bins.size + 1))
    assert result.weight == sum(len(bank.y) for bank in banks.values())
    expected = sum((0.5 * len(bank.y) - bank.y.sum()) for bank in banks.values()) / result.weight
    assert result.mean[-1] == pytest.approx(expected, abs=2**-36)


def test_noise_is_all_that_comes_between(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def skellam(shape: Any, sigma: float, *, clients: int) -> np.ndarray:
        asked.append((sigma, clients))
        return np.full(shape, 7)

    monkeypatch.setattr(private.noise, "skellam", skellam)
    banks = make_banks(noise=10.0)
    session = make_session(banks)
    for bank in banks.values():
        bank.agree(session.to_bytes())
    result = one_round(banks, session, 0)
    assert np.array_equal(result.integers, pooled(banks) + 7 * len(banks))
    assert result.weight == len(banks)  # not the number of rows
    assert {limit for _, limit in session.clients.values()} == {1}
    assert session.encoding.limit == private.encoding("counts", 4).limit
    assert asked == [(10.0 * private.sensitivity("counts"), 4)] * 4  # at most floor(4 / 5) banks are corrupt


def test_a_bank_opens_no_more_sums_than_were_accounted_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private, "STEPS", 2)
    banks = make_banks(noise=10.0)
    bins = choose_bins(pooled(banks))
    session = make_session(banks, "gradient", bins.size + 1)
    for bank in banks.values():
        bank.agree(session.to_bytes())
        bank.codes = bins.codes(bank.x)
    for round in range(2):
        one_round(banks, session, round, np.zeros(bins.size + 1))
    with pytest.raises(ProtocolAbort, match="bank-01 has spent the agreed epsilon"):
        one_round(banks, session, 2, np.zeros(bins.size + 1))


def test_sessions_that_a_bank_does_not_agree_to() -> None:
    banks = make_banks()
    stranger = make_banks()
    two = dict(list(banks.items())[:2])
    good = make_session(banks)
    bad = [
        make_session(banks, plan=secagg.plan(4, 0.2, 0.25)),  # a lower threshold
        make_session(banks, min_clients=3),
        make_session(banks, encoding=FixedPoint.integers(limit=2**20 - 1, max_weight=4)),
        make_session(two),
        make_session({**banks, "bank-01": stranger["bank-01"]}),  # another key for this bank
        make_session({name: bank for name, bank in banks.items() if name != "bank-01"}),
    ]
    banks["bank-01"].agree(good.to_bytes())
    bad.append(make_session({**banks, "bank-03": stranger["bank-03"]}))  # for another than it had at first
    for session in bad:
        with pytest.raises(ProtocolAbort, match="bank-01 was sent a session whose terms it does not accept"):
            banks["bank-01"].agree(session.to_bytes())
    banks["bank-01"].agree(make_session({name: banks[name] for name in NAMES[:3]}).to_bytes())  # one is lost


def test_out_of_turn() -> None:
    bank = make_banks()["bank-01"]
    with pytest.raises(ProtocolAbort, match="before the session began"):
        bank.step(Kind.SECAGG_ROSTER, b"")
    with pytest.raises(ProtocolAbort, match="out of turn"):
        bank.start(0, np.zeros(0))
    banks = make_banks()
    banks["bank-01"].agree(make_session(banks, "gradient", 10).to_bytes())
    with pytest.raises(ProtocolAbort, match="before the bins"):
        banks["bank-01"].start(0, np.zeros(10))
    with pytest.raises(ProtocolAbort, match="out of turn"):
        banks["bank-01"].start(0, np.zeros(0))


def test_more_banks_vanish_than_a_round_bears() -> None:
    from bluetusk.demo.evaluate import compare

    plan = Plan(banks=5, rows=1500, penalty=0.01, method="secagg", drop=2, seed=3)
    events = []
    outcome = run(plan, events.append)  # four of five must stay: the round is begun anew with three
    assert len(outcome.banks) == 3
    assert set(outcome.lost.values()) == {"vanished in the middle of a round"}
    assert outcome.starts == [0, 4]
    assert [event.fields["round"] for event in events if event.kind == "step"] == [*range(outcome.rounds)]
    customers = data.load(rows=plan.rows, seed=plan.seed)
    comparison = compare(customers, data.deal(customers, banks=5, seed=plan.seed), outcome, plan.penalty)
    assert comparison.difference < 1e-3
    assert comparison.bins_equal
    assert set(outcome.usage) == {"aggregator", *outcome.banks}


def test_too_few_banks_are_left() -> None:
    with pytest.raises(ProtocolAbort, match="2 banks are left; a sum needs at least 3"):
        run(Plan(banks=3, rows=900, penalty=0.01, method="secagg+dp", drop=1))
    with pytest.raises(ValueError, match="method must be one of paillier, secagg, secagg\\+dp, not 'masks'"):
        run(Plan(method="masks"))
