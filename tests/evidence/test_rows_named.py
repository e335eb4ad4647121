"""A request and its answer name the rows that they are about; the policy and the peer refuse them for others."""

from __future__ import annotations

import threading

import pytest

import bluetusk as bt
from bluetusk.evidence import Grant, Guard, Identity, Log, Meter, Policy, Recorder
from bluetusk.evidence._statement import kept_statement
from bluetusk.evidence.notary import Notary
from bluetusk.vertical import local_links

SIGNERS = {role: Identity.generate() for role in ("guest", "host")}
PEERS = {"guest": "host", "host": "guest"}
ROWS, OTHERS = bytes([1] * 32), bytes([2] * 32)


@pytest.fixture
def ends(tmp_path):
    """Both ends of a link, with a log and a notary each, and at the host a policy."""
    logs = {role: Log.create(tmp_path / role, signer, owner=role) for role, signer in SIGNERS.items()}
    grant = Grant("g", "5a" * 32, ("binning",), ("*",), uses=9, until=1 << 39)
    guard = Guard(
        Policy("host", 1, (grant,)).sign(SIGNERS["host"]), tmp_path / "uses", owner=SIGNERS["host"].public_key
    )
    made = {}
    for role, link in zip(("guest", "host"), local_links(seconds=20), strict=True):
        peers = {PEERS[role]: "5a" * 32}
        about = {"log": logs[role], "meter": Meter(), "job": "j", "me": role, "peers": peers, "resumed": True}
        link.observer = Recorder(**about, guard=guard if role == "host" else None)
        key = SIGNERS[PEERS[role]].public_key
        link._signer = Notary(logs[role], SIGNERS[role], job="j", me=role, peer=PEERS[role], key=key)
        made[role] = link
    yield made
    for each in (*logs.values(), guard):
        each.close()


def asked(ends, *, attempt=0):
    """Ask and answer; return each side's error."""
    errors = {}

    def side(role):
        link = ends[role]
        try:
            link.scope("woe-binning", 0)
            if role == "guest":
                link.authorise("binning", ["label"], 900)
                link.send("labels")
                link.receive("columns", parts=0)
            else:
                link.receive("labels", parts=0)
                link.authorise("binning", ["AGE"], 900, bins=5, min_rows=50, min_events=5, min_others=5)
                link.send("columns")
        except bt.BluetuskError as error:
            errors[role] = error
            link.abort("refused")

    sides = [threading.Thread(target=side, args=(role,)) for role in ends]
    for each in sides:
        each.start()
    for each in sides:
        each.join(20)
    return errors


def test_both_name_the_same_rows(ends):
    for link in ends.values():
        link.rows["woe-binning"] = ROWS
    assert asked(ends) == {}
    for role, link in ends.items():
        said = [statement for record in link.observer.log.records if (statement := kept_statement(record)) is not None]
        assert [statement.ids for statement in said] == [ROWS, ROWS], role
        (granted,) = [record for record in link.observer.log.records if record.what == "authorised"]
        assert granted.hashes["intersection"] == ROWS
    ends["host"].rows["woe-binning"] = OTHERS  # the task was granted, for the other rows
    with pytest.raises(bt.PolicyRefused, match="another use"):
        ends["host"].observer.authorise(
            **{"peer": "guest", "purpose": "binning", "columns": ["AGE"], "rows": 900, "task": "woe-binning"},
            **{"bins": 5, "min_rows": 50, "min_events": 5, "min_others": 5, "intersection": OTHERS},
        )


@pytest.mark.parametrize("said", [OTHERS, None])
def test_a_request_for_other_rows_is_refused(ends, said):
    ends["host"].rows["woe-binning"] = ROWS
    if said is not None:
        ends["guest"].rows["woe-binning"] = said
    error = asked(ends)["host"]
    assert isinstance(error, bt.ProtocolAbort)
    assert "other rows" in str(error)
    assert error.party == "guest"
    assert [r.what for r in ends["host"].observer.log.records][-1] == "statement_refused"


def test_an_answer_for_other_rows_is_refused(ends):
    ends["guest"].rows["woe-binning"] = ROWS
    error = asked(ends)["guest"]
    assert isinstance(error, bt.ProtocolAbort)
    assert "for other rows" in str(error)
    assert error.party == "host"
