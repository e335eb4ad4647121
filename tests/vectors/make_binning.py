"""Halves of a binning as the release before weights stayed at the guest saved them: `binning_v2.json`.

Run once, with a commit that wrote version 2: `python tests/vectors/make_binning.py`. Later ones write another form.
What was written is never rewritten.
"""

from __future__ import annotations

import json
import tempfile
import threading
import warnings
from pathlib import Path

import numpy as np

from bluetusk.vertical import WoEBinning, local_links

HERE = Path(__file__).parent


def saved(half: WoEBinning) -> str:
    with tempfile.TemporaryDirectory() as folder:
        half.save(folder + "/half")
        return Path(folder, "half").read_bytes().hex()


def main() -> None:
    rng = np.random.default_rng(12)
    n = 240
    own = np.round(rng.normal(size=(n, 1)), 2)
    job = np.array(["clerk", "farmer", "pilot", None], object)[rng.integers(0, 4, n)]
    amount = np.round(rng.normal(size=n), 2)
    y = ((job == "clerk") | (amount > 0.9)).astype(int)
    table = {"job": job, "amount": amount.tolist()}
    here, there = local_links()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        guest = WoEBinning("guest", max_bins=6, min_rows=15, key_size=2048)
        host = WoEBinning("host", max_bins=6, min_rows=15, monotonic=True, key_size=2048)
        thread = threading.Thread(target=host.fit, args=(table,), kwargs={"link": there})
        thread.start()
        guest.fit(own, y, link=here)
        thread.join()
    few = {name: list(values[:30]) for name, values in table.items()}
    found = {
        "source": "bluetusk 0.1.0 at commit 7e5f053",
        "guest": saved(guest),
        "host": saved(host),
        "x": few,
        "woe_host": host.transform(few).tolist(),
        "codes_host": host.codes(few).tolist(),
        "iv_host": host.iv_,
        "labels_host": [bins.labels() for bins in host.bins_],
    }
    (HERE / "binning_v2.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
