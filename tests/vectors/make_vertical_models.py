"""Models as bluetusk 0.1.0 saved them, with what they give: `vertical_models_v1.json`.

Run once, with the release that wrote this form: `python tests/vectors/make_vertical_models.py`. Later releases write
another one. What a release has written is never rewritten.
"""

from __future__ import annotations

import json
import tempfile
import threading
import warnings
from pathlib import Path

import numpy as np

from bluetusk.vertical import GradientBoosting, WoEBinning, local_links

HERE = Path(__file__).parent


def both(mine, theirs):
    thread = threading.Thread(target=theirs)
    thread.start()
    result = mine()
    thread.join()
    return result


def saved(model) -> str:
    with tempfile.TemporaryDirectory() as folder:
        model.save(folder + "/model")
        return Path(folder, "model").read_bytes().hex()


def main() -> None:
    rng = np.random.default_rng(11)
    n = 200
    guest_x = np.round(rng.normal(size=(n, 2)), 2)
    guest_x[::9, 1] = np.nan
    job = np.array(["clerk", "farmer", "pilot", None], object)[rng.integers(0, 4, n)]
    code = rng.integers(1, 4, n).astype(float)
    y = ((job == "clerk") | (guest_x[:, 0] > 0.8)).astype(int)
    host_x = np.column_stack([job, code.astype(object), np.round(rng.normal(size=n), 2).astype(object)])
    names = ["job", "code", "amount"]
    here, there = local_links()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        guest = WoEBinning("guest", max_bins=4, min_rows=20, key_size=2048)
        host = WoEBinning("host", max_bins=4, min_rows=20, key_size=2048, categorical=["code"])
        both(lambda: guest.fit(guest_x, y, link=here), lambda: host.fit(host_x, columns=names, link=there))
        common = {"n_estimators": 2, "max_depth": 2, "key_size": 2048}
        trees = GradientBoosting("guest", **common), GradientBoosting("host", **common)
        numbers = np.column_stack([code, host_x[:, 2].astype(float)])
        both(
            lambda: trees[0].fit(guest_x, y, link=here),
            lambda: trees[1].fit(numbers, columns=names[1:], link=there),
        )
        scores = both(
            lambda: trees[0].decision_function(guest_x[:20], link=here),
            lambda: trees[1].decision_function(numbers[:20], link=there),
        )
    found = {
        "source": "bluetusk 0.1.0",
        "binning_guest": saved(guest),
        "binning_host": saved(host),
        "boosting_guest": saved(trees[0]),
        "boosting_host": saved(trees[1]),
        "x_guest": [[None if v != v else v for v in row] for row in guest_x[:20].tolist()],
        "x_host": host_x[:20].tolist(),
        "woe_guest": guest.transform(guest_x[:20]).tolist(),
        "woe_host": host.transform(host_x[:20]).tolist(),
        "labels_host": [bins.labels() for bins in host.bins_],
        "scores": scores.tolist(),
    }
    (HERE / "vertical_models_v1.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
