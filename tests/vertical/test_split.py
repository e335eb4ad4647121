"""The split that both parties draw: by hand, after restarts and lost directories, and free of labels in messages."""

from __future__ import annotations

import hashlib
import hmac
import os
import warnings

import numpy as np
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

import bluetusk as bt
from bluetusk.vertical import local_links
from bluetusk.vertical.party.config import Config, Data, Model
from bluetusk.vertical.party.pipeline import run
from bluetusk.vertical.party.rows import Rows
from bluetusk.vertical.party.splits import SplitKey, Splits, agree_on_split
from bluetusk.wire.frame import Kind, decode

LABEL = b"bluetusk/vertical/party/split/v1\0"
IDS = [f"M{k:03d}" for k in range(60)]


def agreed(both, guest, host):
    here, there = local_links(seconds=20)
    return both(lambda: agree_on_split(guest, here), lambda: agree_on_split(host, there))


def test_the_rule_by_hand(both):
    """HMACs as plain integers; the key from the two parts that the directories hold."""
    sides = {"guest": Splits(pair=b"bank network"), "host": Splits(pair=b"bank network")}
    keys = agreed(both, sides["guest"], sides["host"])
    assert keys[0] == keys[1]
    pair = hashlib.sha256(LABEL + b"pair bank network").digest()
    parts = [sides[me].contribution()[0] for me in ("guest", "host")]
    secret = HKDF(hashes.SHA256(), 32, pair, LABEL + b"key").derive(b"".join(parts))
    assert keys[0].secret == secret
    of_rows = hmac.new(secret, LABEL + b"test", "sha256").digest()
    for share in (0.0, 0.3, 1.0):
        for text, held in zip(IDS, keys[0].held_back(IDS, share), strict=True):
            number = int.from_bytes(hmac.new(of_rows, text.encode(), "sha256").digest()[:8], "big")
            assert held == (number / 2**64 < share)
    of_order = hmac.new(secret, LABEL + b"order", "sha256").digest()
    by_hand = sorted(IDS, key=lambda text: hmac.new(of_order, text.encode(), "sha256").digest())
    assert [IDS[k] for k in keys[0].order(IDS)] == by_hand
    backwards = IDS[::-1]
    assert [backwards[k] for k in keys[0].order(backwards)] == by_hand
    assert len({secret, keys[0].hash(), keys[0].derived("test"), keys[0].derived("batches 0")}) == 4
    assert secret.hex() not in repr(keys[0])
    with pytest.raises(bt.FrameError, match="has 60 bytes"):  # the rows held back themselves, as older states have
        SplitKey(bytes(60))


def test_the_share_is_met(both):
    ids = [f"{k}" for k in range(20_000)]
    held = SplitKey(os.urandom(32)).held_back(ids, 0.3).sum()
    assert held == pytest.approx(6000, abs=6 * (20_000 * 0.3 * 0.7) ** 0.5)


def directories(tmp_path, pair=b"p"):
    return [Splits(tmp_path / me, bytes([k]) * 32, pair=pair) for k, me in enumerate(("guest", "host"))]


def test_a_pair_keeps_its_key_over_whatever_rows(both, tmp_path):
    """No row comes to be scored by leaving another one out: the key is of the pair."""
    first = agreed(both, *directories(tmp_path))[0]
    assert agreed(both, *directories(tmp_path)) == [first, first]  # other processes, other jobs
    held = dict(zip(IDS, first.held_back(IDS, 0.3), strict=True))
    for k in range(20):
        fewer = IDS[:k] + IDS[k + 1 :]
        assert first.held_back(fewer, 0.3).tolist() == [held[text] for text in fewer]
    assert agreed(both, *directories(tmp_path, pair=b"q"))[0] != first
    assert agreed(both, *directories(tmp_path))[0] == first
    assert IDS[0].encode() not in b"".join(path.read_bytes() for path in (tmp_path / "guest").iterdir())


@pytest.mark.parametrize("lost", ["guest", "host"])
def test_a_lost_directory_is_named(both, tmp_path, lost):
    """Neither side goes on with another split; when both owners remove their part they may agree anew."""
    first = agreed(both, *directories(tmp_path))[0]
    kept = "host" if lost == "guest" else "guest"
    (part,) = [path for path in (tmp_path / lost).iterdir() if path.name != "lock"]
    saved = part.read_bytes()
    part.unlink()
    with pytest.raises(bt.ProtocolAbort):
        agreed(both, *directories(tmp_path))
    told = dict(zip(("guest", "host"), map(str, both.errors), strict=True))
    assert f"{lost!r} has another part of the split" in told[kept]
    (own,) = [path for path in (tmp_path / kept).iterdir() if path.name != "lock"]
    assert str(own) in told[kept]
    assert "a splits directory was lost" in told[lost]
    part.write_bytes(saved)  # the backup
    assert agreed(both, *directories(tmp_path))[0] == first
    part.unlink()
    own.unlink()
    assert agreed(both, *directories(tmp_path))[0] != first


def test_what_is_shown_must_be_what_was_committed_to(both):
    here, there = local_links(seconds=20)

    def liar():
        there.send("commit", {}, [bytes(32)])
        there.receive("commit", parts=1)
        there.receive("reveal", parts=1)
        there.send("reveal", {}, [bytes(32)])

    with pytest.raises(bt.ProtocolAbort, match="not what was committed to"):
        both(lambda: agree_on_split(Splits(), here), liar)


def test_a_commitment_does_not_serve_the_other_party(both):
    """A host that sends the guest's messages back, so that the key would be one that it did not help to make."""
    here, there = local_links(seconds=20)

    def echo():
        for topic in ("commit", "reveal"):
            there.send(topic, {}, [bytes(there.receive(topic, parts=1).parts[0])])

    with pytest.raises(bt.ProtocolAbort, match="not what was committed to"):
        both(lambda: agree_on_split(Splits(), here), echo)


# ------------------------------------------------------------------------------ labels and numbers that both know
MODEL = Model(
    key_size=2048,
    min_intersection=50,
    min_total_events=10,
    min_bucket_rows=10,
    max_bins=3,
    min_rows=20,
    min_events=0,
    min_others=0,
    min_iv=0.5,
    epochs=1,
    batch_size=64,
    trees=1,
    depth=2,
    tree_bins=6,
)
RANDOM = {("intersect", topic) for topic in ("common", "request", "committed", "opened")}  # fresh in every run
OF_LABELS = {("gradient_boosting", "level"), ("gradient_boosting", "choice"), ("gradient_boosting.predict", "ask")}
PLAIN = {"commit", "reveal"}  # parts that are neither ciphertexts nor statistics that the tables name


class Tap:
    def __init__(self, inner, frames):
        self.inner, self.frames = inner, frames

    def send(self, data):
        self.frames.append(data)
        self.inner.send(data)

    def recv(self):
        return self.inner.recv()


class Nothing:
    def resume(self, task):
        return 0, None

    def commit(self, task, index, state):
        pass


def customers():
    rng = np.random.default_rng(5)
    ids = np.array([f"{v:016x}" for v in rng.integers(1 << 60, 1 << 63, 150).tolist()], object)
    return ids, rng.normal(size=(150, 4))


def said(both, labels, splits):
    """Run both parties; return what the guest said, without what is fresh randomness or a statistic in the tables."""
    pytest.importorskip("private_set_intersection", reason="alignment needs openmined-psi, which is not installed")
    ids, x = customers()
    tables = {
        "guest": Rows(ids, ["a", "b"], list(x[:, :2].T), labels),
        "host": Rows(ids, ["c", "d"], list(x[:, 2:].T), None),
    }
    links, frames = local_links(seconds=100), []
    links[0].channel = Tap(links[0].channel, frames)

    def side(me, link):
        config = Config(me, "j", "-", "-", "-", Data("-", label="y" if me == "guest" else None), model=MODEL)
        return run(config, tables[me], link, Nothing(), splits=splits[me])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        outcomes = both(lambda: side("guest", links[0]), lambda: side("host", links[1]))
    messages = []
    for data in frames:
        got = decode(data, Kind.VERTICAL)
        head = got.header
        name = (head["task"], head["topic"])
        fields = {
            key: value for key, value in head["fields"].items() if key not in ("model", "ids")
        }  # hashes under fresh keys
        parts = bytes(got.payload) if name[1] in PLAIN else head["parts"]
        if name not in RANDOM | OF_LABELS:
            messages.append((*name, head["step"], fields, parts))
    return messages, outcomes


@pytest.mark.parametrize(
    "sets", [((0, 0), (3, 0.8)), pytest.param(((0, 0), (1, 0), (3, 0.8)), marks=pytest.mark.nightly)], ids=len
)
def test_no_message_is_a_function_of_labels_and_public_randomness(both, sets):
    """Sets of labels, the same ids, settings and keys: what is not ciphertext or named in a table is the same.

    The rows held back, their order, the batches' seed, how many columns take part though `min_iv` leaves some out.
    """
    splits = {me: Splits() for me in ("guest", "host")}
    _, x = customers()
    runs = [said(both, (x[:, column] > level).astype(np.int64), splits) for column, level in sets]
    left = [[outcome.left_out for outcome in outcomes] for _, outcomes in runs]
    assert not any(host for _, host in left)  # it does not notice
    assert len({tuple(guest) for guest, _ in left}) > 1
    for messages, (guest, host) in runs[1:]:
        assert messages == runs[0][0]
        assert np.array_equal(guest.test, runs[0][1][0].test)
        assert guest.ids.tolist() == host.ids.tolist() == runs[0][1][0].ids.tolist()
    tasks = {message[0] for message in runs[0][0]}
    assert {"agree", "split", "woe-binning", "logistic_regression", "gradient_boosting"} <= tasks
