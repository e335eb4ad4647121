"""A guest that trains the same model again and again, so that the same rows are scored by each, with another rounding.

The weights differ by a few units of the last place, so the mean of 16 trainings' points shows what 16 roundings of one
score show: of 100 rows held back, 72 scores to an eighth of a point, where one training shows 17. Each training is
another model, and `max_models` must count it as one.
"""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

import bluetusk as bt
from bluetusk.evidence import Grant, Guard, Identity, Log, Meter, Policy, Recorder
from bluetusk.vertical import LogisticRegression, local_links

OWNER, PEER = Identity.generate(), "5a" * 32
MOST, TRAININGS = 1, 3
ROWS, HELD = 40, np.arange(40) < 8


class Forgetful:
    """A keeper that keeps nothing, as in a job that was not interrupted."""

    def resume(self, task):
        return 0, None

    def commit(self, task, index, state):
        pass


def trained(folder, *, keeper, session):
    """Return how many trainings the host's policy allows."""
    grant = Grant(
        "g", PEER, ("logistic_regression", "predict"), ("*",), uses=99, until=1 << 39, min_intersection=1,
        max_models=MOST,
    )  # fmt: skip
    X = np.random.default_rng(0).normal(size=(ROWS, 2))
    y = np.arange(ROWS) % 2
    models = set()
    with (
        Guard(Policy("owner", 1, (grant,)).sign(OWNER), folder / "uses", owner=OWNER.public_key) as guard,
        Log.create(folder / "log", OWNER, owner="host") as log,
    ):
        for k in range(TRAININGS):
            about = {"meter": Meter(), "job": f"job {k}", "me": "host", "peers": {"guest": PEER}, "resumed": True}
            links = local_links(observers=(None, Recorder(log=log, guard=guard, **about)), seconds=60)
            for link in links:
                link.session = session(k)
            guest, host = (LogisticRegression(r, epochs=1, key_size=2048, random_state=5) for r in ("guest", "host"))
            refused = []

            def theirs(host=host, link=links[1], refused=refused):
                try:
                    host.fit(X[:, 1:], link=link, ids=range(ROWS), held_back=HELD, keeper=keeper())
                except bt.PolicyRefused as error:
                    refused.append(error.clause)

            other = threading.Thread(target=theirs)
            other.start()
            try:
                guest.fit(X[:, :1], y, link=links[0], held_back=HELD, keeper=keeper())
                models.add(guest.model_)
            except bt.ProtocolAbort:
                pass
            other.join()
            assert refused in ([], ["max_models"])
    return len(models)


def table(folder):
    """Rows of the table of attacks: attack, who, accuracy, chance, bound, accuracy on the planted weakness."""
    found = []
    for name, keeper in (("package", lambda: None), ("planted", Forgetful)):
        (place := Path(folder) / name).mkdir()
        found.append(trained(place, keeper=keeper, session=lambda k: b""))
    name = "models from the same rows, trained again; chance: allowed; planted: without their name"
    return [(name, "guest", found[0], MOST, 0, found[1])]


@pytest.mark.filterwarnings("ignore::bluetusk.DataWarning")
@pytest.mark.parametrize(
    ("keeper", "session"), [(lambda: None, lambda k: b""), (Forgetful, lambda k: f"job {k}".encode())]
)
def test_each_training_is_another_model(tmp_path, keeper, session):
    assert trained(tmp_path, keeper=keeper, session=session) == MOST


@pytest.mark.filterwarnings("ignore::bluetusk.DataWarning")
def test_trainings_that_nothing_tells_apart_count_as_one(tmp_path):
    """What a program does that resumes trainings, and gives all its links the same session."""
    assert trained(tmp_path, keeper=Forgetful, session=lambda k: b"") == TRAININGS
