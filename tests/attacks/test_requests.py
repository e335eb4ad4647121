"""A peer that wants an answer and later denies that it asked, or asks for something else than it signed.

With a log of evidence every request is signed by who asks, every answer by who answers, and each keeps the other's. The
attacker is a guest that leaves the signature out, forges it, sends an old request again, or signs for one purpose and
asks for another; or a host that answers without its word; or the owner of a log that claims a request nobody made.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading

import pytest

import bluetusk as bt
from bluetusk.errors import ProtocolAbort
from bluetusk.evidence._statement import Statement
from bluetusk.evidence.notary import Notary
from bluetusk.vertical.protocol.job import drive
from bluetusk.vertical.protocol.link import local_links

TASK, PURPOSE, JOB = "woe-binning", "binning", "job-7"


class Case:
    """Two parties with a log each, and a small protocol: the guest asks, the host answers with what is its secret."""

    def __init__(self, folder):
        self.folder = folder
        self.signers = {me: bt.evidence.Identity.generate() for me in ("guest", "host")}
        self.logs = {me: self.log(me) for me in self.signers}

    def log(self, me, name=""):
        return bt.evidence.Log.create(self.folder / f"{me}{name}.log", self.signers[me], owner=me)

    def notary(self, me, *, job=JOB, log=None, signer=None):
        peer = "host" if me == "guest" else "guest"
        signer = signer or self.signers[me]
        key = self.signers[peer].public_key
        return Notary(log or self.logs[me], signer, job=job, me=me, peer=peer, key=key)

    def links(self, guest, host):
        here, there = local_links(seconds=5)
        here._signer, there._signer = guest, host
        for link in (here, there):
            link.scope(TASK, 0)
        return here, there

    def refused(self, me):
        return [r.details["reason"] for r in self.logs[me].records if r.what == "statement_refused"]

    def close(self):
        for log in self.logs.values():
            log.close()


@pytest.fixture
def case(tmp_path):
    made = Case(tmp_path)
    yield made
    made.close()


def ask(link, statement=None, purpose=PURPOSE):
    """The attacker's request: with this statement instead of an honest one."""
    if statement is None:
        link.authorise(purpose, ["label"], 900, min_rows=50)
    elif statement:
        link.send("signed", {}, [statement])
    link.send("labels", {"rows": 900})


def answer(link):
    """The honest host."""
    rows = link.receive("labels", ["rows"]).fields["rows"]
    link.authorise(PURPOSE, ["AGE"], rows, min_rows=50)
    link.send("columns", {"secret": 42})


def honest(case, job=JOB):
    """Let both run honestly; return the guest's request."""
    guest, host = case.notary("guest", job=job), case.notary("host", job=job)
    here, there = case.links(guest, host)
    owner = threading.Thread(target=answer, args=(there,))
    owner.start()
    ask(here)
    assert here.receive("columns", ["secret"]).fields == {"secret": 42}
    owner.join()
    return guest.state(TASK, PURPOSE, ["label"], 900, {"min_rows": 50})


# ------------------------------------------------------------------------------------------------- a guest that cheats
def unsigned(case):
    return b"", PURPOSE


def forged(case):
    """Signed with a key that is not the guest's, whose name stands in it."""
    other = case.notary("guest", log=case.log("guest", "-other"), signer=bt.evidence.Identity.generate())
    made = Statement.from_bytes(other.state(TASK, PURPOSE, ["label"], 900, {"min_rows": 50}))
    return dataclasses.replace(made, key=case.signers["guest"].public_key).to_bytes(), PURPOSE


def altered(case):
    made = Statement.from_bytes(case.notary("guest").state(TASK, PURPOSE, ["label"], 900, {"min_rows": 50}))
    return dataclasses.replace(made, rows=9000).to_bytes(), PURPOSE


def replayed(case):
    """The request of an earlier job."""
    return honest(case, "job-6"), PURPOSE


def rolled_back(case):
    """A new request under a counter that was used before: the guest's log is an older one."""
    honest(case, "job-5")
    again = case.notary("guest", log=case.log("guest", "-old"))
    return again.state(TASK, PURPOSE, ["label"], 900, {"min_rows": 50}), PURPOSE


def another_purpose(case):
    return case.notary("guest").state(TASK, "predict", ["label"], 900, {}), PURPOSE


def another_on_retake(case):
    """A step that is taken again, with a request for other terms."""
    honest(case)
    log = case.log("guest", "-new")
    for _ in range(3):
        case.notary("guest", job="other", log=log).state(os.urandom(4).hex(), PURPOSE, ["label"], 9, {})
    made = case.notary("guest", log=log).state(TASK, PURPOSE, ["label"], 9000, {"min_rows": 1})
    return made, PURPOSE


def to_somebody_else(case):
    """The request that the guest has signed for another host, of the same job."""
    other = Notary(
        case.log("guest", "-other"), case.signers["guest"], job=JOB, me="guest", peer="host", key=bytes([9] * 32)
    )
    return other.state(TASK, PURPOSE, ["label"], 900, {"min_rows": 50}), PURPOSE


def answer_for_request(case):
    """The guest's word, but that it answers."""
    made = Statement.from_bytes(case.notary("guest").state(TASK, PURPOSE, ["label"], 900, {"min_rows": 50}))
    made = dataclasses.replace(made, kind="answer", of=bytes(32), signature=b"")
    return made.signed(case.signers["guest"]).to_bytes(), PURPOSE


ATTACKS = {
    unsigned: ("sent no signed request for 'binning'", "require"),
    forged: ("is not signed with its key", "valid"),
    altered: ("is not signed with its key", "valid"),
    replayed: ("of another job or task", "take"),
    rolled_back: ("with counter 1, not above 1", "counter"),
    another_purpose: ("sent no signed request for 'binning'", "require"),
    another_on_retake: ("than the first time", "first"),
    to_somebody_else: ("that it made for somebody else", "take"),
    answer_for_request: ("sent an answer where the signed request was due", "take"),
}


def plant(monkeypatch, fault):
    """Leave one check out of the host's."""
    if fault in ("require", "take"):  # any word, or none, is good enough
        monkeypatch.setattr(Notary, "require", lambda self, task, purpose: None)
        monkeypatch.setattr(Notary, "take", lambda self, task, data: None)
        monkeypatch.setattr(Notary, "state", lambda self, *given: b"")
    elif fault == "valid":
        monkeypatch.setattr(Statement, "valid", lambda self: True)
    else:  # nothing is known of what came before
        whole = Notary.take

        def take(self, task, data):
            self._heard, self._theirs = 0, {}
            whole(self, task, data)

        monkeypatch.setattr(Notary, "take", take)
        if fault == "first":
            state = Notary.state

            def anew(self, *given):
                self._mine = {}
                return state(self, *given)

            monkeypatch.setattr(Notary, "state", anew)


@pytest.mark.parametrize("planted", [True, False])
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_guest_that_cheats_gets_no_answer(case, monkeypatch, attack, planted):
    complaint, fault = ATTACKS[attack]
    statement, purpose = attack(case)
    host = case.notary("host")
    here, there = case.links(None, host)
    ask(here, statement, purpose)
    before = len(case.logs["host"].records)
    if planted:
        with monkeypatch.context() as patch:
            plant(patch, fault)
            answer(there)
        here.receive("signed")
        assert here.receive("columns", ["secret"]).fields == {"secret": 42}
        return
    with pytest.raises(ProtocolAbort, match=complaint) as caught:
        answer(there)
    assert caught.value.party == "guest"
    assert here.channel._in.empty()
    assert any(complaint in reason for reason in case.refused("host"))
    assert "answered" not in {record.what for record in case.logs["host"].records[before:]}


# -------------------------------------------------------------------------------------------------- a host that cheats
def silent(case, guest, request):
    return b""


def answer_of_another(case, guest, request):
    """The answer to the request of an earlier job."""
    honest(case, "job-6")
    kept = [r.details["statement"] for r in case.logs["host"].records if r.what == "answered"]
    return kept[-1]


def answer_to_nothing(case, guest, request):
    """Signed, for this job and task, but to a request with other terms."""
    other = case.notary("guest", log=case.log("guest", "-other"))
    host = case.notary("host", log=case.log("host", "-other"))
    host.take(TASK, other.state(TASK, PURPOSE, ["label"], 9, {}))
    return host.state(TASK, PURPOSE, ["AGE"], 9, {})


def answer_of_a_stranger(case, guest, request):
    made = Statement.from_bytes(answer_to_nothing(case, guest, request))
    made = dataclasses.replace(made, of=Statement.from_bytes(request).digest(), counter=9)
    return made.signed(bt.evidence.Identity.generate()).to_bytes()


@pytest.mark.parametrize(
    ("cheat", "complaint"),
    [
        (silent, "sent no signed answer"),
        (answer_of_another, "of another job or task"),
        (answer_to_nothing, "answered a request for 'binning' that this party did not make"),
        (answer_of_a_stranger, "is not signed with its key"),
    ],
)
def test_a_host_that_answers_without_its_word(case, cheat, complaint):
    guest = case.notary("guest")
    request = guest.state(TASK, PURPOSE, ["label"], 900, {"min_rows": 50})
    statement = cheat(case, guest, request)
    here, there = case.links(guest, None)
    if statement:
        there.send("signed", {}, [statement])
    there.send("columns", {"secret": 42})
    with pytest.raises(ProtocolAbort, match=complaint) as caught:
        here.receive("columns", ["secret"])
    assert caught.value.party == "host"
    assert any(complaint in reason for reason in case.refused("guest"))


# ------------------------------------------------------------------------------------------------- a guest that floods
class Owner:
    """The honest host's step, as a job."""

    name, inputs, steps = TASK, bytes(32), 1

    def step(self, links, index):
        answer(*links)

    def state(self):
        return b""

    def restore(self, state):
        pass


def many(guest, n=200):
    return [guest.state(TASK, f"purpose {k}", ["label"], 900, {}) for k in range(n)]


def again(guest, n=200):
    return [guest.state(TASK, PURPOSE, ["label"], 900, {"min_rows": 50})] * n


def one_more(guest):
    """For what this task does not do."""
    return [*again(guest, 1), guest.state(TASK, "predict", ["label"], 900, {})]


FLOODS = {
    many: ("sent more than 2 requests in a step of task 'woe-binning'", 2),
    again: ("sent the request for 'binning' of task 'woe-binning' twice in a step", 1),
    one_more: ("sent a request for 'predict' in task 'woe-binning', which does not have that purpose here", 2),
}


def flooded(case, attack):
    """Send requests without end; return what the host's log has of them, and the host's error."""
    statements = attack(case.notary("guest"))
    here, there = case.links(None, case.notary("host"))
    for statement in statements:
        here.send("signed", {}, [statement])
    here.send("labels", {"rows": 900})
    error = None
    try:
        drive(Owner(), [there])
    except ProtocolAbort as caught:
        error = caught
    return [r.what for r in case.logs["host"].records].count("peer_asked"), len(statements), error


@pytest.mark.parametrize("attack", FLOODS)
def test_a_guest_that_asks_without_end_is_sent_away(case, attack):
    complaint, most = FLOODS[attack]
    kept, _, error = flooded(case, attack)
    assert error.party == "guest"
    assert complaint in str(error)
    assert kept == most
    assert len(case.refused("host")) == 1


def test_without_the_bound_requests_fill_the_log(case, monkeypatch):
    monkeypatch.setattr("bluetusk.evidence.notary._AT_ONCE", 1 << 40)
    kept, sent, _ = flooded(case, many)
    assert kept == sent


def test_a_step_that_is_taken_again_may_ask_again(case):
    guest, host = case.notary("guest"), case.notary("host")
    for attempt in range(3):
        here, there = case.links(guest, host)
        ask(here)
        if attempt:  # the first one ends before the answer
            drive(Owner(), [there])
    assert [r.what for r in case.logs["host"].records].count("peer_asked") == 1


# ------------------------------------------------------------------------------------------------------ what is proven
def test_each_side_keeps_what_the_other_signed(case):
    request = honest(case)
    kept = {me: {r.what: r.details.get("statement") for r in case.logs[me].records} for me in case.logs}
    assert kept["guest"]["asked"] == kept["host"]["peer_asked"] == request
    assert kept["guest"]["peer_answered"] == kept["host"]["answered"]
    made = Statement.from_bytes(kept["guest"]["peer_answered"])
    assert made.of == Statement.from_bytes(request).digest()
    assert (made.purpose, made.rows, made.columns, made.counter) == (PURPOSE, 900, 1, 1)
    for me, log in case.logs.items():
        assert bt.evidence.verify(case.folder / f"{me}.log", key=case.signers[me].public_key).ok
        log.close()
        log = bt.evidence.Log.open(case.folder / f"{me}.log", case.signers[me])
        case.logs[me] = log
    assert honest(case) == request  # a resumed run states the same bytes, and the logs say nothing twice
    assert [r.what for r in case.logs["host"].records].count("peer_asked") == 1


def test_a_job_of_the_same_name_that_wants_something_else(case):
    honest(case)
    with pytest.raises(ProtocolAbort, match=r"stated another use for 'binning' .* choose a new job name"):
        case.notary("guest").state(TASK, PURPOSE, ["label"], 901, {"min_rows": 50})


@pytest.mark.parametrize("how", ["nothing", "own key", "altered"])
def test_an_owner_that_claims_a_request_nobody_made(case, how):
    """The log is well signed, but what it claims the peer has not signed."""
    made = Statement.from_bytes(honest(case))
    statement = {
        "nothing": b"",
        "own key": dataclasses.replace(made, rows=10**6, signature=bytes(64)).signed(case.signers["host"]).to_bytes(),
        "altered": dataclasses.replace(made, rows=10**6).to_bytes(),
    }[how]
    details = {"party": "guest", "statement": statement}
    index = case.logs["host"].append("peer_asked", by="host", task="job-9/x", details=details)
    report = bt.evidence.verify(case.folder / "host.log", key=case.signers["host"].public_key)
    assert (report.ok, report.first_bad) == (False, index)
    assert f"record {index} is false" in report.reason


def answered(folder, attack, planted):
    """Tell whether the guest gets an answer."""
    folder.mkdir()
    case = Case(folder)
    statement, purpose = attack(case)
    here, there = case.links(None, case.notary("host"))
    ask(here, statement, purpose)
    with pytest.MonkeyPatch.context() as patch:
        if planted:
            plant(patch, ATTACKS[attack][1])
        with contextlib.suppress(ProtocolAbort):
            answer(there)
    case.close()
    return not here.channel._in.empty()


def table(folder):
    """Rows of the table of attacks: attack, who, accuracy, chance, bound, accuracy on the planted weakness."""
    won = [
        sum(answered(folder / f"{attack.__name__}-{planted}", attack, planted) for attack in ATTACKS) / len(ATTACKS)
        for planted in (False, True)
    ]
    return [(f"answers to requests that nobody signed, {len(ATTACKS)} ways", "guest", won[0], 0.0, 0.0, won[1])]
