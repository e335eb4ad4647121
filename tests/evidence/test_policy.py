"""The policy and its guard: every clause granted at its limit and refused beyond it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bluetusk.errors import FrameError, PolicyRefused
from bluetusk.evidence import Grant, Guard, Identity, Policy
from bluetusk.evidence._request import Request
from bluetusk.evidence.policy import EXAMPLE, UNLIMITED
from bluetusk.wire import frame

OWNER, OTHER = Identity.generate(), Identity.generate()
BANK, SHOP = "5a" * 32, "6b" * 32
START, END = 1_700_000_000, 1_800_000_000

GRANT = Grant(
    "g",
    BANK,
    ("intersect", "binning", "logistic_regression", "blacklist"),
    ("PAY_0", "BILL"),
    uses=3,
    not_before=START,
    until=END,
    min_rows=50,
    min_intersection=1000,
    max_ids_per_request=100,
    max_ids_total=250,
    name="bank",
)
USE: dict[str, Any] = {
    "peer": BANK,
    "purpose": "binning",
    "columns": ["PAY_0"],
    "rows": 1000,
    "task": "t",
    "min_rows": 50,
    "min_events": 5,
    "min_others": 5,
    "bins": 16,
}


INTERSECT = {"purpose": "intersect", "columns": [], "min_intersection": 1000}


ALL = {"total_events": 100}
GROW = {"purpose": "gradient_boosting", "trees": 20, "depth": 4, "cuts": 10}
PREDICT = {"purpose": "predict", "min_rows": None, "model": bytes(32)}


class Clock:
    def __init__(self) -> None:
        self.now = float(START)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def guarded(tmp_path: Path, clock: Clock) -> Iterator[Callable[..., Guard]]:
    """Opens a guard with these grants; the one before is closed."""
    opened: list[Guard] = []

    def open_with(*grants: Grant, serial: int = 1, revoked: tuple[str, ...] = ()) -> Guard:
        if opened:
            opened.pop().close()
        policy = Policy("network", serial, grants, revoked).sign(OWNER, issued=START)
        opened.append(Guard(policy, tmp_path / "uses", owner=OWNER.public_key, clock=clock))
        return opened[-1]

    yield open_with
    for guard in opened:
        guard.close()


def clause(call: Callable[..., Any], **arguments: Any) -> str:
    """The clause that refuses."""
    with pytest.raises(PolicyRefused) as refused:
        call(**arguments)
    assert refused.value.clause in str(refused.value)
    return refused.value.clause


# ------------------------------------------------------------------------------------------------------------- clauses

AT_LIMIT_AND_BEYOND = [
    ("peer", {}, {"peer": SHOP}),
    ("peer", {}, {"peer": BANK[:63] + "b"}),
    ("purpose", {}, {"purpose": "predict"}),
    ("columns", {"columns": ["PAY_0", "BILL"]}, {"columns": ["PAY_0", "AGE"]}),
    ("columns", {"columns": []}, {"columns": ["*"]}),
    ("min_rows", {"min_rows": 50}, {"min_rows": 49}),
    ("min_rows", {"purpose": "logistic_regression", "min_rows": None}, {"min_rows": None}),
    ("min_intersection", {"rows": 1000}, {"rows": 999}),
    ("max_ids_per_request", {"purpose": "blacklist", "rows": 100}, {"purpose": "blacklist", "rows": 101}),
    ("max_ids_per_request", {**INTERSECT, "rows": 100}, {**INTERSECT, "rows": 101}),
    ("max_ids_per_request", {**INTERSECT, "asked": 100}, {**INTERSECT, "asked": 101}),
    ("min_intersection", {**INTERSECT, "asked": 9}, {**INTERSECT, "asked": 9, "min_intersection": 999}),
    ("min_intersection", {**INTERSECT, "asked": 9}, {**INTERSECT, "asked": 9, "min_intersection": None}),
    ("min_intersection", {"min_intersection": 1000}, {"min_intersection": 999}),
    ("max_ids_per_request", {"asked": 100}, {"asked": 101}),
    ("min_rows", {}, {"min_rows": None}),
    ("min_events", {"min_events": 5}, {"min_events": 4}),
    ("min_events", {"min_events": 5}, {"min_events": None}),
    ("min_others", {"min_others": 5}, {"min_others": 4}),
    ("min_others", {"min_others": 5}, {"min_others": None}),
    ("min_total_events", {"total_events": 100}, {"total_events": 99}),
    ("min_total_events", {"columns": ["label"], "total_events": 100}, {"columns": ["label"]}),
    ("max_bins", {"bins": 16}, {"bins": 17}),
    ("max_bins", {"sums": 0, "bins": None}, {"bins": None}),
    ("max_bins", {"sums": 0}, {"sums": 0, "bins": 17}),
    ("max_cuts", {**GROW, "sums": 0, "cuts": None}, {**GROW, "cuts": None}),
    ("second_labels", {"second_labels": 0}, {"second_labels": 1}),
    ("max_trees", GROW, {**GROW, "trees": 21}),
    ("max_trees", GROW, {**GROW, "trees": None}),
    ("max_depth", GROW, {**GROW, "depth": 5}),
    ("max_depth", GROW, {**GROW, "depth": None}),
    ("max_cuts", {**GROW, "trees": 2, "cuts": 640}, {**GROW, "trees": 2, "cuts": 641}),
    ("max_cuts", GROW, {**GROW, "cuts": None}),
    ("max_models", PREDICT, {**PREDICT, "model": None}),
    ("max_rows_scored", {**PREDICT, "rows": 100_000, "bits": 1}, {**PREDICT, "rows": 100_001, "bits": 1}),
    ("max_bits", {**PREDICT, "rows": 62_500}, {**PREDICT, "rows": 62_501}),  # 80: 20 trees of 4 levels
    (
        "max_bits",
        {**PREDICT, "rows": 20_833, "trees": 60, "depth": 4},
        {**PREDICT, "rows": 20_834, "trees": 60, "depth": 4},
    ),
    (
        "max_sums",
        {"columns": ["label"], **ALL, "reveal": ["woe"], "sums": 9},
        {"columns": ["label"], **ALL, "reveal": ["woe"]},
    ),
    ("max_sums", {"sums": 250_000}, {"sums": 250_001}),
    ("max_bits", {"bits": 5_000_000}, {"bits": 5_000_001}),
    ("max_columns", {"columns": [f"c{k}" for k in range(64)]}, {"columns": [f"c{k}" for k in range(65)]}),
    ("reveal", {"reveal": ()}, {"reveal": ("scores",)}),
]


@pytest.mark.parametrize(("name", "fine", "bad"), AT_LIMIT_AND_BEYOND)
def test_granted_at_the_limit_refused_beyond(
    guarded: Callable[..., Guard], name: str, fine: dict[str, Any], bad: dict[str, Any]
) -> None:
    purposes = (*GRANT.purposes, *{use["purpose"] for use in (GROW, PREDICT) if use["purpose"] == fine.get("purpose")})
    columns = ("*",) if name in ("max_columns", "max_sums", "min_total_events") else GRANT.columns
    guard = guarded(replace(GRANT, purposes=purposes, columns=columns, reveal=tuple(fine.get("reveal", ()))))
    assert clause(guard.authorise, **{**USE, **bad}) == name
    assert guard.usage() == {"g": {"uses": 0, "ids": 0}}
    assert guard.authorise(**{**USE, **fine}).uses_left == 2


def test_time(guarded: Callable[..., Guard], clock: Clock) -> None:
    guard = guarded(GRANT)
    clock.now = START - 0.001
    assert clause(guarded(GRANT).authorise, **USE) == "not_before"
    clock.now = START
    guard = guarded(GRANT)
    assert guard.authorise(**USE).until == END
    clock.now = END - 0.001
    guard.authorise(**{**USE, "task": "last"})
    clock.now = END
    assert clause(guard.authorise, **{**USE, "task": "late"}) == "until"
    assert clause(guard.authorise, **USE) == "until"  # a resumed task, too


def test_clock_that_goes_back(guarded: Callable[..., Guard], clock: Clock) -> None:
    guard = guarded(GRANT)
    clock.now = END - 100.0
    guard.authorise(**USE)
    clock.now -= 1.5  # the system's own corrections
    guard.authorise(**{**USE, "task": "b"})
    clock.now = END - 103.0
    assert clause(guard.authorise, **{**USE, "task": "c"}) == "clock"
    assert clause(guard.release, peer=BANK, purpose="binning", task="t") == "clock"
    guard = guarded(GRANT)  # nor by a restart
    assert clause(guard.authorise, **{**USE, "task": "c"}) == "clock"
    clock.now = END - 100.0
    guard.authorise(**{**USE, "task": "c"})
    clock.now = END  # a corrected clock does not lengthen a grant
    assert clause(guard.authorise, **{**USE, "task": "d"}) == "until"
    clock.now = END - 1.0
    assert clause(guard.authorise, **{**USE, "task": "d"}) == "until"


def test_uses_count_once_a_task_and_outlive_the_process(guarded: Callable[..., Guard]) -> None:
    guard = guarded(GRANT)
    assert [guard.authorise(**{**USE, "task": task}).uses_left for task in "abab"] == [2, 1, 1, 1]
    guard = guarded(GRANT)
    again = guard.authorise(**{**USE, "task": "a"})
    assert (again.again, again.uses_left) == (True, 1)
    assert guard.authorise(**{**USE, "task": "c"}).again is False
    assert clause(guard.authorise, **{**USE, "task": "d"}) == "uses"
    assert guard.authorise(**{**USE, "task": "b"}).uses_left == 0
    assert guard.usage()["g"] == {"uses": 3, "ids": 0}


def test_a_task_is_one_use(guarded: Callable[..., Guard]) -> None:
    """The same task may not be used to get more: other columns, rows, groups or details are another use."""
    guard = guarded(GRANT)
    guard.authorise(**USE)
    for change in ({"columns": ["BILL"]}, {"rows": 2000}, {"min_rows": 60}, {"bins": 10}, {"epochs": 10}, {"asked": 5}):
        assert clause(guard.authorise, **{**USE, **change}) == "task"
    guard.authorise(**{**USE, "columns": list(USE["columns"])})
    guard.authorise(**{**USE, "purpose": "logistic_regression"})  # another purpose of the job counts by itself
    assert guard.usage()["g"]["uses"] == 2


def test_half_an_entry_whose_task_has_the_letters_of_a_frame_is_cut(
    tmp_path: Path, guarded: Callable[..., Guard]
) -> None:
    guard = guarded(GRANT)
    end = (tmp_path / "uses").stat().st_size
    guard.authorise(**{**USE, "task": f"{frame.MAGIC.decode()}-credit"})
    guard.close()
    whole = (tmp_path / "uses").read_bytes()
    for size in range(end, len(whole)):  # a power loss within the entry
        (tmp_path / "uses").write_bytes(whole[:size])
        assert guarded(GRANT).usage() == {"g": {"uses": 0, "ids": 0}}
        assert (tmp_path / "uses").stat().st_size == end


def test_ids_in_all(guarded: Callable[..., Guard]) -> None:
    guard = guarded(replace(GRANT, uses=10))
    ask = {**USE, "purpose": "blacklist", "columns": []}
    for task, number in (("a", 100), ("b", 100)):
        guard.authorise(**{**ask, "task": task, "rows": number})
    guard = guarded(replace(GRANT, uses=10))
    assert clause(guard.authorise, **{**ask, "task": "c", "rows": 51}) == "max_ids_total"
    guard.authorise(**{**ask, "task": "c", "rows": 50})
    assert guard.authorise(**{**ask, "task": "c", "rows": 50}).again
    assert clause(guard.authorise, **{**ask, "task": "d", "rows": 1}) == "max_ids_total"
    assert guard.usage()["g"] == {"uses": 3, "ids": 250}


def test_what_is_unlimited_need_not_be_stated(guarded: Callable[..., Guard]) -> None:
    bare = {name: value for name, value in USE.items() if name not in ("min_rows", "min_events", "min_others", "bins")}
    least = {"min_rows": 1, "min_events": 0, "min_others": 0, "min_total_events": 0}
    lifted = replace(GRANT, **least, max_bins=UNLIMITED, max_sums=UNLIMITED, columns=("*",))
    guard = guarded(lifted)
    assert guard.authorise(**bare).uses_left == 2
    assert guard.authorise(**{**bare, "task": "b", "columns": ["label"], "reveal": ()}).uses_left == 1
    guard = guarded(replace(lifted, max_sums=250_000), serial=2)
    assert clause(guard.authorise, **{**bare, "task": "c"}) == "max_sums"  # how many it shows is not known
    assert guard.authorise(**{**bare, "task": "c", "sums": 3}).uses_left == 0
    predicting = replace(GRANT, purposes=("predict",), max_models=UNLIMITED, max_rows_scored=UNLIMITED)
    guard = guarded(predicting, serial=3)
    assert guard.usage()["g"]["uses"] == 3
    guard = guarded(replace(predicting, id="h"), serial=4)
    assert guard.authorise(**{**USE, **PREDICT, "model": None, "task": "d"}).uses_left == 2


def test_exact_forms_need_their_name(guarded: Callable[..., Guard]) -> None:
    guard = guarded(replace(GRANT, reveal=("woe", "scores")))
    assert guard.policy.grants[0].reveal == ("scores", "woe")
    assert clause(guard.authorise, **{**USE, "reveal": ("coefficients", "woe")}) == "reveal"
    assert guard.authorise(**{**USE, "reveal": ["woe"]}).uses_left == 2
    for wrong in (("labels",), ("woe", "woe"), ["woe"], "woe"):
        with pytest.raises(ValueError, match="reveal of grant 'g'"):
            replace(GRANT, reveal=wrong)
    for wrong, error in (("woe", TypeError), ((3,), TypeError)):
        with pytest.raises(error, match="reveal"):
            guard.authorise(**{**USE, "task": "b", "reveal": wrong})
    for name in ("model", "intersection"):
        with pytest.raises(ValueError, match=f"{name} must be 32 bytes"):
            guard.authorise(**{**USE, "task": "b", name: b"short"})


def test_release(guarded: Callable[..., Guard], clock: Clock) -> None:
    guard = guarded(GRANT)
    named = {"peer": BANK, "purpose": "intersect", "task": "t"}
    assert clause(guard.release, **named, intersection=5000) == "task"
    guard.authorise(**{**USE, **INTERSECT, "rows": 100})
    guard.release(**named, intersection=1000, min_rows=50)
    assert clause(guard.release, **named, intersection=999) == "min_intersection"
    assert clause(guard.release, **named, min_rows=49) == "min_rows"
    guard.replace(Policy("network", 2, (GRANT,), ("g",)).sign(OWNER))
    assert clause(guard.release, **named, intersection=1000) == "revoked"
    guard.replace(Policy("network", 3, ()).sign(OWNER))
    assert clause(guard.release, **named, intersection=1000) == "revoked"
    guard.replace(Policy("network", 4, (GRANT,)).sign(OWNER))
    clock.now = END
    assert clause(guard.release, **named, intersection=1000) == "until"


@pytest.mark.parametrize("narrowed", [{"peer": "7c" * 32}, {"purposes": ("binning",)}])
def test_a_grant_that_became_another_holds_no_longer(guarded: Callable[..., Guard], narrowed: dict[str, Any]) -> None:
    """Under its id a newer policy may have another peer, or fewer purposes."""
    guard = guarded(GRANT)
    guard.authorise(**{**USE, **INTERSECT, "rows": 100})
    named = {"peer": BANK, "purpose": "intersect", "task": "t"}
    guard.release(**named, intersection=1000)
    guard.replace(Policy("network", 2, (replace(GRANT, **narrowed),)).sign(OWNER))
    assert clause(guard.release, **named, intersection=1000) == "revoked"
    assert clause(guard.retaken, **named, step=1, times=1, sums=1) == "revoked"


def test_several_grants(guarded: Callable[..., Guard]) -> None:
    """The first that allows it counts; if none does, the refusal is that of the grant that came closest."""
    wide = replace(GRANT, id="wide", columns=("*",), uses=1, purposes=("binning",))
    guard = guarded(GRANT, wide)
    assert guard.authorise(**USE).grant == "g"
    assert guard.authorise(**{**USE, "task": "b", "columns": ["AGE"]}).grant == "wide"
    assert clause(guard.authorise, **{**USE, "task": "c", "columns": ["AGE"]}) == "uses"
    assert guard.authorise(**{**USE, "task": "c"}).grant == "g"


def test_few_rows_may_be_scored(guarded: Callable[..., Guard]) -> None:
    """A prediction is of one applicant as often as not; what it may show is limited by uses."""
    guard = guarded(replace(GRANT, purposes=("predict",)))
    assert guard.authorise(**{**USE, **PREDICT, "rows": 1}).uses_left == 2


def test_arguments(guarded: Callable[..., Guard]) -> None:
    guard = guarded(GRANT)
    for change in ({"peer": 3}, {"task": None}, {"purpose": b"binning"}):
        with pytest.raises(TypeError):
            guard.authorise(**{**USE, **change})
    for change in ({"rows": -1}, {"rows": 1.5}, {"min_rows": -1}, {"asked": -1}, {"task": ""}, {"task": "t" * 257}):
        with pytest.raises(ValueError, match=r"rows|asked|task"):
            guard.authorise(**{**USE, **change})
    assert guard.usage()["g"]["uses"] == 0


# ------------------------------------------------------------------------------------------------------------- policies


def test_only_the_owners_newest_policy_holds(tmp_path: Path, guarded: Callable[..., Guard]) -> None:
    guard = guarded(GRANT, serial=5)
    guard.authorise(**USE)
    for bad, name in (
        (Policy("network", 6, ()).sign(OTHER), "signature"),
        (Policy("network", 6, ()), "signature"),
        (replace(Policy("network", 6, ()).sign(OWNER), serial=7), "signature"),
        (Policy("network", 4, ()).sign(OWNER), "serial"),
        (Policy("network", 5, ()).sign(OWNER), "serial"),  # the same serial, another policy
    ):
        assert clause(guard.replace, policy=bad) == name
    assert guard.policy.serial == 5
    guard.replace(Policy("network", 6, (replace(GRANT, uses=1),)).sign(OWNER))
    assert clause(guard.authorise, **{**USE, "task": "b"}) == "uses"  # uses go on counting under the grant's id
    guard.close()
    for bad in (Policy("network", 5, (GRANT,)).sign(OWNER, issued=START), Policy("network", 9, (GRANT,)).sign(OTHER)):
        with pytest.raises(PolicyRefused):
            Guard(bad, tmp_path / "uses", owner=OWNER.public_key)
    with pytest.raises(PolicyRefused) as refused:
        Guard(Policy("network", 9, ()).sign(OTHER), tmp_path / "uses", owner=OTHER.public_key)
    assert refused.value.clause == "store"  # the uses of another owner


def test_revocation(guarded: Callable[..., Guard]) -> None:
    guard = guarded(GRANT, replace(GRANT, id="shop", peer=SHOP))
    guard.authorise(**USE)
    guard.replace(Policy("network", 2, guard.policy.grants, ("g",)).sign(OWNER))
    assert clause(guard.authorise, **USE) == "revoked"
    guard.authorise(**{**USE, "peer": SHOP})
    guard.replace(Policy("network", 3, guard.policy.grants, (SHOP,)).sign(OWNER))
    assert clause(guard.authorise, **{**USE, "peer": SHOP}) == "revoked"
    assert guard.authorise(**USE).again


def test_a_policy_file_is_read_before_every_use(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "policy.signed"
    path.write_bytes(Policy("network", 1, (GRANT,)).sign(OWNER).to_bytes())
    with Guard(path, tmp_path / "uses", owner=OWNER.public_key, clock=clock) as guard:
        guard.authorise(**USE)
        path.write_bytes(Policy("network", 2, (GRANT,), ("g",)).sign(OWNER).to_bytes())
        assert clause(guard.authorise, **{**USE, "task": "b"}) == "revoked"
        path.write_bytes(Policy("network", 1, (GRANT,)).sign(OWNER).to_bytes())
        assert clause(guard.authorise, **{**USE, "task": "b"}) == "serial"
        path.write_bytes(Policy("network", 3, (GRANT,)).sign(OTHER).to_bytes())
        assert clause(guard.authorise, **{**USE, "task": "b"}) == "signature"
        path.unlink()
        assert clause(guard.authorise, **{**USE, "task": "b"}) == "signature"
        path.write_bytes(Policy("network", 3, (GRANT,)).sign(OWNER).to_bytes())
        assert guard.authorise(**{**USE, "task": "b"}).uses_left == 1


def test_every_bit_of_a_signed_policy_counts() -> None:
    data = Policy("network", 1, (GRANT,), ("x",)).sign(OWNER).to_bytes()
    assert Policy.from_bytes(data).signed_by(OWNER.public_key)
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]
        with pytest.raises((FrameError, PolicyRefused)):
            Policy.from_bytes(changed)
    for header in (
        {},
        {"format": 2},
        {**frame.decode(data).header, "format": 3},
        {**frame.decode(data).header, "x": 1},
    ):
        with pytest.raises(FrameError):
            Policy.from_bytes(frame.encode(frame.Kind.POLICY, header))
    with pytest.raises(ValueError, match="not signed"):
        Policy("network", 1, ()).to_bytes()


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    text = EXAMPLE.replace("PASTE-THE-FINGERPRINT-HERE", BANK)
    (tmp_path / "policy.toml").write_text(text)
    policy = Policy.load(tmp_path / "policy.toml")
    assert (policy.owner, policy.serial, policy.revoked) == ("payment-network", 1, ())
    grant = policy.grants[0]
    assert grant.until == 1_798_761_600  # 2027-01-01T00:00:00Z, by `date -d`
    assert (grant.min_rows, grant.uses, grant.columns) == (50, 20, ("id", "PAY_0", "BILL"))
    entry = {"id": "bank-2026", "peer": BANK, "name": "bank", "purposes": list(grant.purposes), "uses": 20}
    entry |= {
        "columns": ["id", "PAY_0", "BILL"],
        "until": "2027-01-01T01:00:00+01:00",
    }
    entry |= {"max_ids_per_request": 30000, "max_ids_total": 100000}  # all others have the values of the example
    (tmp_path / "policy.json").write_text(json.dumps({"owner": "payment-network", "serial": 1, "grants": [entry]}))
    assert Policy.load(tmp_path / "policy.json") == policy
    signed = policy.sign(OWNER)
    (tmp_path / "policy.signed").write_bytes(signed.to_bytes())
    assert Policy.load(tmp_path / "policy.signed") == signed


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("serial = 1", "", "lacks the clause 'serial'"),
        ("serial = 1", "serial = 0", "serial must be"),
        ("serial = 1", "serial = true", "serial must be"),
        ('id = "bank-2026"', 'id = ""', "id of a grant"),
        ('name = "bank"', "name = 3", "name of grant"),
        ('"predict"]', '"' + "p" * 300 + '"]', "at most 256 characters"),
        ("uses = 20", "", "lacks the clause 'uses'"),
        ("uses = 20", "uses = 0", "uses of grant 'bank-2026' must be"),
        ("uses = 20", 'uses = "20"', "uses of grant"),
        ("uses = 20", "uses = 20\nmax_use = 3", "unknown clause 'max_use'"),
        ("until = 2027-01-01T00:00:00Z", "", "lacks the clause 'until'"),
        ("until = 2027-01-01T00:00:00Z", "until = 2027-01-01", "until must be a time with its zone"),
        ("until = 2027-01-01T00:00:00Z", "until = 2027-01-01T00:00:00", "until must be a time with its zone"),
        ("until = 2027-01-01T00:00:00Z", 'until = "soon"', "until must be a time with its zone"),
        ("until = 2027-01-01T00:00:00Z", "until = 5\nnot_before = 5", "later than not_before"),
        ('columns = ["id", "PAY_0", "BILL"]', "columns = []", "columns of grant"),
        ('columns = ["id", "PAY_0", "BILL"]', "columns = [3]", "columns of grant"),
        ('columns = ["id", "PAY_0", "BILL"]', 'columns = "PAY_0"', "columns of grant"),
        ('"predict"]', '"Predict!"]', "must be a word"),
        (BANK, BANK.upper(), "must be a fingerprint"),
        ("revoked = []", 'revoked = "x"', "revoked must be"),
        ("revoked = []", "revoked = [3]", "revoked must"),
        ("min_rows = 50", "min_rows = 0", "min_rows of grant"),
        ("min_rows = 50", 'min_rows = "unlimited"', "min_rows of grant"),
        ("max_sums = 250000", 'max_sums = "many"', "max_sums of grant"),
        ("max_bins = 16", "max_bins = -1", "max_bins of grant"),
        ("max_columns = 64", "max_columns = 5000", 'must be at most 4096, or "unlimited"'),
        ("reveal = []", 'reveal = ["labels"]', "reveal of grant"),
        ("reveal = []", 'reveal = "woe"', "reveal of grant"),
        ("second_labels = false", "second_labels = 1", "second_labels of grant"),
        ('owner = "payment-network"', "owner = 3", "owner must be"),
        ("[[grants]]", "[grants]", "grants must be a list"),
        ("uses = 20", "uses = ", "is not a TOML file"),
    ],
)
def test_a_wrong_clause_is_named(tmp_path: Path, before: str, after: str, said: str) -> None:
    text = EXAMPLE.replace("PASTE-THE-FINGERPRINT-HERE", BANK)
    assert before in text
    path = tmp_path / "policy.toml"
    path.write_text(text.replace(before, after))
    with pytest.raises(ValueError, match=re.escape(said)):
        Policy.load(path)


def test_two_grants_of_one_id() -> None:
    with pytest.raises(ValueError, match="must differ"):
        Policy("network", 1, (GRANT, replace(GRANT, peer=SHOP)))


def test_other_files_are_no_policy(tmp_path: Path) -> None:
    for name, data in (("a.json", b"[]"), ("a.json", b"{"), ("a.json", b"[" * 9999), ("a.toml", b"\xff"), ("a", b"3")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ValueError, match=r"policy|is no (TOML|JSON) file"):
            Policy.load(tmp_path / name)
    (tmp_path / "a").write_bytes(bytes(1 << 21))
    with pytest.raises(ValueError, match="too large"):
        Policy.load(tmp_path / "a")


def test_numbers_of_a_request_are_kept_as_ints() -> None:
    given: dict[str, Any] = {
        "rows": np.int64(7),
        "min_rows": np.uint8(3),
        "asked": np.int32(2),
        "min_intersection": None,
    }
    rows = given.pop("rows")
    request = Request(peer="bank", purpose="intersect", columns=("id",), rows=rows, task="t", details=given)
    assert (request.rows, request.numbers, request.ids) == (7, {"min_rows": 3, "asked": 2}, 2)
    assert {type(number) for number in (request.rows, *request.numbers.values())} == {int}


@pytest.mark.parametrize(
    ("given", "error"),
    [({"columns": "AGE"}, TypeError), ({"rows": 1 << 70}, ValueError), ({"sums": 1 << 64}, ValueError)],
)
def test_a_request_of_another_form_is_not_noted(guarded: Callable[..., Guard], given: Any, error: Any) -> None:
    guard = guarded(GRANT)
    with pytest.raises(error):
        guard.authorise(**{**USE, **given})
    assert guard.usage()["g"]["uses"] == 0
