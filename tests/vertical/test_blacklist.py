"""A blacklist tells the asker which of its ids are listed, the owner how many were asked, and nobody more."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

import bluetusk as bt
from bluetusk import cli
from bluetusk.cli.blacklist import Settings, _ids_of, _over_grpc
from bluetusk.vertical import Observer, blacklist_query, blacklist_serve, local_links

psi = pytest.importorskip("private_set_intersection.python", reason="openmined-psi has no wheel for this platform")

ASKED = [f"applicant {i}" for i in range(40)]
LISTED = [f"applicant {i}" for i in range(25, 90)]


class Recorder(Observer):
    def __init__(self):
        self.frames, self.asked, self.counted = [], [], {}

    def authorise(self, **what):
        self.asked.append(what)

    def count(self, *, peer, task, what, number):
        self.counted[what] = self.counted.get(what, 0) + number

    def passed(self, *, peer, task, sent, frame):
        self.frames.append((sent, frame))


def run(both, asked=ASKED, listed=LISTED, observers=(None, None), limit=100, **given):
    here, there = local_links(observers=observers, seconds=20)
    keepers = given.get("keepers", (None, None))
    return both(
        lambda: blacklist_query(asked, link=here, keeper=keepers[0]),
        lambda: blacklist_serve(listed, link=there, limit=limit, keeper=keepers[1]),
    )


def test_the_asker_learns_the_matches_and_the_size(both):
    seen = Recorder(), Recorder()
    answer, asked = run(both, observers=seen)
    assert answer.listed.tolist() == [name in LISTED for name in ASKED]
    assert answer.list_size == 65
    assert asked == 40
    assert [s.asked for s in seen] == [
        [{"peer": peer, "purpose": "blacklist", "columns": ["id"], "rows": 40, "task": "blacklist"}]
        for peer in ("host", "guest")
    ]
    assert [s.counted for s in seen] == [{"rows": 40}, {"rows": 65, "values_revealed": 40}]
    # from the asker to the owner: a greeting and blinded ids in eight parts, nothing that depends on the result
    sent = [frame for out, frame in seen[0].frames if out]
    assert len(sent) == 9
    assert b"applicant" not in b"".join(frame for _, frame in seen[0].frames)
    other, _ = run(both, listed=["none of them"], observers=(again := Recorder(), None))
    assert not other.listed.any()
    assert [len(f) for out, f in again.frames if out] == [len(f) for f in sent]


@pytest.mark.parametrize(("asked", "listed"), [([], LISTED), (ASKED, []), ([7, 8], ["8", "07"])])
def test_small_and_numeric_sets(both, asked, listed):
    answer, number = run(both, asked, listed)
    assert answer.listed.tolist() == [str(name) in listed for name in asked]
    assert number == len(asked)


def test_more_than_the_limit_is_refused(both):
    with pytest.raises(bt.ProtocolAbort, match="at most 39 ids may be asked"):
        run(both, limit=39)
    assert isinstance(both.errors[1], bt.PolicyRefused)
    assert both.errors[1].clause == "limit"


def test_the_owners_policy_caps_what_is_asked_in_all(both, tmp_path):
    """A real guard: 100 ids in all, so the third request of 40 is refused; the log says so."""
    owner, peer = bt.evidence.Identity.generate(), "5a" * 32
    grant = bt.evidence.Grant(
        "g1", peer, ("blacklist",), ("id",), uses=9, until=4_000_000_000, max_ids_per_request=50, max_ids_total=100
    )
    policy = bt.evidence.Policy("network", 1, (grant,)).sign(owner)
    log = bt.evidence.Log.create(tmp_path / "log", owner, owner="host")
    with bt.evidence.Guard(policy, tmp_path / "uses", owner=owner.public_key) as guard:
        for k in range(3):
            recorder = bt.evidence.Recorder(
                log=log, meter=bt.evidence.Meter(), job=f"job-{k}", me="host", peers={"guest": peer}, guard=guard
            )
            if k < 2:
                assert run(both, observers=(None, recorder))[1] == 40
            else:
                with pytest.raises(bt.ProtocolAbort, match="policy does not allow"):
                    run(both, observers=(None, recorder))
                assert isinstance(both.errors[1], bt.PolicyRefused)
    assert [record.what for record in log.records].count("refused") == 1
    log.close()


def test_an_interrupted_request_goes_on(both, steps):
    keepers = steps(), steps()
    whole, _ = run(both, keepers=keepers)
    assert sorted(keepers[0].states) == list(range(1, 18))
    for start in (1, 9, 12, 17):
        again, asked = run(both, keepers=[steps(dict(k.states), start) for k in keepers])
        assert np.array_equal(again.listed, whole.listed)
        assert asked == 40


def written(path, column, values):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([[column, "more"], *([value, "x"] for value in values)])


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """Certificates, tables and configurations of two parties."""
    from bluetusk.vertical.party import make_certificate

    folder = tmp_path_factory.mktemp("case")
    for name in ("bank", "network"):
        make_certificate(name, folder)
    written(folder / "applicants.csv", "national_id", ["007", "08", "9"])
    written(folder / "list.csv", "national_id", ["08", "7", "12"])
    common = 'job = "j"\nevidence = "none"\nid = "national_id"\npatience = 20.0\n'
    for me, peer, more in (
        ("bank", "network", 'file = "applicants.csv"\noutput = "answers.csv"\nconnect = "127.0.0.1:1"\n'),
        ("network", "bank", 'file = "list.csv"\nlimit = 3\nlisten = "127.0.0.1:0"\n'),
    ):
        files = f'certificate = "{me}.cert.pem"\nkey = "{me}.key.pem"\npeer_certificate = "{peer}.cert.pem"\n'
        (folder / f"{me}.toml").write_text(common + files + f'state = "{me}-state"\n' + more)
    return folder


def test_a_list_longer_than_allowed_is_refused():
    here, there = local_links(seconds=5)
    there.scope("blacklist", 0)
    there.send("hello", {"rows": 101})
    with pytest.raises(bt.ProtocolAbort, match="101 ids, more than max_peer_ids = 100") as caught:
        blacklist_query(["a"], link=here, max_peer_ids=100)
    assert caught.value.party == "host"


def test_two_processes_worth_of_settings_over_grpc(both, case, monkeypatch):
    import dataclasses
    import queue

    from bluetusk.cli import blacklist as _blacklist_cli

    addresses = queue.SimpleQueue()
    monkeypatch.setattr(_blacklist_cli, "_listening", lambda kind: addresses.put)
    bank, network = Settings.load(case / "bank.toml", "guest"), Settings.load(case / "network.toml", "host")

    def ask():
        settings = dataclasses.replace(bank, connect=addresses.get(timeout=20))
        return _over_grpc(settings, _ids_of(settings), "none")

    asker, owner = both(ask, lambda: _over_grpc(network, _ids_of(network), "none"))
    assert {k: asker[k] for k in ("asked", "listed", "list_size")} == {"asked": 3, "listed": 1, "list_size": 3}
    assert {k: owner[k] for k in ("asked", "list_size")} == {"asked": 3, "list_size": 3}
    assert (case / "answers.csv").read_text().split() == ["id,listed", "007,0", "08,1", "9,0"]
    assert (case / "answers.csv").stat().st_mode & 0o777 == 0o600


AUDITED = '[evidence]\nlog = "l"\nidentity = "i"\npeer_key = "k"\npolicy = "p"\naudit = "book"\n'


@pytest.mark.parametrize(
    ("role", "change", "message"),
    [
        ("guest", lambda t: t.replace("connect", "listen_") + "", "listen_ is not known"),
        ("guest", lambda t: t.replace('connect = "127.0.0.1:1"', ""), "exactly one of listen and connect"),
        ("guest", lambda t: t + "limit = 3\n", "limit"),
        ("guest", lambda t: t + "max_peer_ids = 0\n", "max_peer_ids must be between 1 and"),
        ("host", lambda t: t + "spool_quota = -1\n", "spool_quota must be between 0 and"),
        ("guest", lambda t: t.replace('job = "j"\n', ""), "lacks the setting 'job'"),
        ("host", lambda t: t.replace("limit = 3", ""), "limit must be"),
        ("host", lambda t: t.replace("limit = 3", "limit = 0"), "limit must be"),
        ("host", lambda t: t + 'output = "x"\n', "output is a setting of the asker"),
        (
            "guest",
            lambda t: t.replace('evidence = "none"\n', "") + AUDITED,
            "evidence.audit is a setting of bluetusk party",
        ),
    ],
)
def test_configurations_are_checked(case, tmp_path, role, change, message):
    given = (case / ("bank.toml" if role == "guest" else "network.toml")).read_text()
    (tmp_path / "c.toml").write_text(change(given))
    with pytest.raises(ValueError, match=message):
        Settings.load(tmp_path / "c.toml", role)


def test_where_answers_go_is_checked_before_the_first_message(case, tmp_path, monkeypatch):
    """An asker that cannot keep the answers must not have asked."""
    import dataclasses
    import os

    from bluetusk.vertical.party import process as _party

    monkeypatch.setattr(_party, "Vault", None)  # whoever comes as far as the connection fails otherwise
    settings = Settings.load(case / "bank.toml", "guest")
    (tmp_path / "file").touch()
    for output, error, message in (
        (tmp_path, ValueError, "is a folder"),
        (tmp_path / "file" / "answers.csv", OSError, "file"),
        (tmp_path / "answers.csv", bt.ProtocolAbort, r"0\.0 MB are free, at least"),
    ):
        if error is bt.ProtocolAbort:
            full = os.statvfs_result((4096, 4096, 9, 0, 0, 9, 9, 9, 0, 255))
            monkeypatch.setattr(os, "statvfs", lambda path, full=full: full)
        with pytest.raises(error, match=message):
            _over_grpc(dataclasses.replace(settings, output=str(output)), ["1"], "none")


@pytest.mark.parametrize(("values", "message"), [(["1", ""], "1 rows have no"), (["1", "1"], "same id")])
def test_tables_are_checked(case, tmp_path, values, message):
    import dataclasses

    written(tmp_path / "t.csv", "national_id", values)
    settings = dataclasses.replace(Settings.load(case / "bank.toml", "guest"), file=str(tmp_path / "t.csv"))
    with pytest.raises(ValueError, match=message):
        _ids_of(settings)


def test_the_demo(capsys):
    assert cli.main(["blacklist", "demo", "--rows", "80", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["asked"], shown["listed"], shown["list_size"], shown["correct"]) == (80, 3, 5, True)
    assert cli.main(["blacklist", "demo", "--rows", "5"]) == 0
    assert "the institution learns   1 applicants are listed" in capsys.readouterr().out
    assert cli.main(["blacklist", "ask", "--config", "/nowhere.toml"]) == 1
    assert "nowhere.toml" in capsys.readouterr().err
