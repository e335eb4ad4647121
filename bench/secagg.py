"""Secure aggregation by role: seconds and bytes, every sum checked against Python's integers before it is reported.

    python bench/secagg.py [--full] [--repeat 5] [--json FILE] [--only table bonawitz expansion paper]

* ``table``: 10^6 parameters, 10 clients, threshold 7, with 0, 1 and 3 clients that drop out before they send a vector;
  key sharing of one of 100 clients with threshold 51. One thread; the best of the repeats. Beside it Flower's SecAgg+,
  through its functions, if `flwr` is installed.
* ``bonawitz``: the servers of Bonawitz et al., CCS 2017: vectors of 100 000 values of 16 bits on the complete graph, 0,
  10 and 30 % dropped. Reduced to 100 clients; ``--full`` runs 500 and 1000, which takes a quarter of an hour, since all
  clients share this process; ``--clients 1000 --dropped 30`` runs one row.
* ``expansion``: bytes that one of 2^10 clients sends for 2^20 values of 16 bits, exactly, over those of the values.
* ``paper``: plans for 10^3 .. 10^6 clients, and their costs for one client and the server by the measured unit costs;
  the same model compared with an actual round of 100 clients (``--full``: 1000).
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import time
from typing import Any

import numpy as np
from _secagg_model import paper
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import bluetusk as bt
from bluetusk.federated import secagg

clock = time.process_time  # one thread; what a busy machine does not add to


class Run:
    """One round with every client in this process; seconds by client and for the server, bytes by client."""

    def __init__(self, plan: secagg.Plan, encoding: bt.FixedPoint, length: int, gone: int) -> None:
        names = [f"c{i:06}" for i in range(plan.clients)]
        keys = {name: Ed25519PrivateKey.generate() for name in names}
        server_key = Ed25519PrivateKey.generate()
        self.session = secagg.Session(
            plan,
            encoding,
            length,
            {name: (key.public_key().public_bytes_raw(), 1) for name, key in keys.items()},
            server_key.public_key().public_bytes_raw(),
        )
        limit = encoding.limit
        values = np.random.default_rng(0).integers(-limit, limit + 1, length) / encoding.base**encoding.frac
        if encoding.frac == 0:
            values = values.astype(np.int64)
        self.clients = {name: secagg.Client(self.session, name, key) for name, key in keys.items()}
        self.client: dict[str, dict[str, float]] = {name: {} for name in names}
        self.server: dict[str, float] = {}
        self.server_cpu = 0.0  # processor seconds: what a busy machine does not add to
        self.sent = dict.fromkeys(names, 0)
        self.received = dict.fromkeys(names, 0)
        server = secagg.Server(self.session, 0, server_key)
        answers = {name: self._timed(name, "quantise, keys", lambda c: c.start(0, values)) for name in names}
        dropped = set(names[:gone])
        while True:
            phase = server.phase
            if phase == "masked":
                answers = {name: sent for name, sent in answers.items() if name not in dropped}
            began = clock(), time.process_time()
            for name, sent in answers.items():
                for message in sent:
                    if not server.step(message):
                        raise RuntimeError(f"{name}: rejected in phase {phase}")
            self._server(phase, began)
            for name, sent in answers.items():
                self.sent[name] += sum(map(len, sent))
            if server.last:
                break
            began = clock(), time.process_time()
            out = server.advance()
            self._server(phase, began)
            answers = {}
            for name in list(out):
                message = out.pop(name)
                self.received[name] += len(message)
                answers[name] = self._timed(name, server.phase, lambda c, message=message: c.step(message))
        began = clock(), time.process_time()
        result = server.finish()
        self._server("finish", began)
        kept = plan.clients - gone
        expected = [kept * int(v) for v in encoding.quantise(values)[0]]
        if result.integers.tolist() != expected or result.weight != kept:
            raise RuntimeError("the sum is wrong")

    def _timed(self, name: str, phase: str, act: Any) -> list[bytes]:
        began = clock()
        answers: list[bytes] = act(self.clients[name])
        self.client[name][phase] = clock() - began
        return answers

    def _server(self, phase: str, began: tuple[float, float]) -> None:
        self.server[phase] = self.server.get(phase, 0.0) + clock() - began[0]
        self.server_cpu += time.process_time() - began[1]


def best(rows: list[dict[str, float]]) -> dict[str, float]:
    """The row with the least total: one whole run, not phases picked from several."""
    return min(rows, key=lambda row: sum(row.values()))


def table(repeat: int) -> list[dict[str, Any]]:
    """The rows with a target."""
    rows: list[dict[str, Any]] = []
    encoding = bt.FixedPoint(max_weight=100)
    clients: list[dict[str, float]] = []
    targets = {0: 20.0, 1: 25.0, 3: 40.0}
    servers: dict[int, list[dict[str, float]]] = {gone: [] for gone in targets}
    upload = 0
    for _ in range(repeat):
        for gone in targets:  # interleaved, so that a noisy minute hits all
            run = Run(secagg.plan(10, dropout=0.3), encoding, 10**6, gone)
            clients += [run.client[name] for name in list(run.client)[gone:]]
            servers[gone].append(run.server)
            upload = max(run.sent.values())
    client = best(clients)
    rows.append({"what": "client, all rounds", "ms": 1e3 * sum(client.values()), "target": 20.0, "parts": client})
    for gone, seconds in servers.items():
        parts = best(seconds)
        name = f"server, {gone} dropped"
        rows.append({"what": name, "ms": 1e3 * sum(parts.values()), "target": targets[gone], "parts": parts})
    rows.append({"what": "upload per client", "bytes": upload, "target": 4_000_000})
    whole = secagg.plan(100, dropout=0.49, threshold=51, complete=True)
    for plan, name in ((whole, "complete graph, t = 51"), (secagg.plan(100), "the plan's graph")):
        runs = [Run(plan, encoding, 10, 0) for _ in range(max(1, repeat // 2))]
        shares = min(row["shares"] for run in runs for row in run.client.values())
        rows.append({"what": f"key sharing, n = 100, {name}", "ms": 1e3 * shares, "target": 10.0})
    return rows


def bonawitz(clients: list[int], dropped: list[int]) -> list[dict[str, Any]]:
    """Servers on the complete graph."""
    rows = []
    for n in clients:
        encoding = bt.FixedPoint.integers(limit=2**15 - 1, max_weight=1 << 10, guard_bits=0)
        for share in dropped:
            gone = n * share // 100
            plan = secagg.plan(n, dropout=0.3, complete=True)
            run = Run(plan, encoding, 100_000, gone)
            one = sum(best([run.client[name] for name in list(run.client)[gone:]]).values())
            kept = list(run.sent)[gone:]
            rows.append(
                {
                    "clients": n,
                    "dropped": gone,
                    "bits": run.session.bits,
                    "client_ms": 1e3 * one,
                    "server_s": sum(run.server.values()),
                    "server_cpu_s": run.server_cpu,
                    "parts": run.server,
                    "sent": max(run.sent[name] for name in kept),
                    "received": max(run.received[name] for name in kept),
                }
            )
    return rows


def expansion() -> dict[str, Any]:
    """Bytes of one client in Bonawitz et al.'s example, from frames of the true sizes."""
    from bluetusk.federated.secagg._messages import SHARE, about, signed, tagged
    from bluetusk.federated.secagg._peer import box_bytes
    from bluetusk.wire.frame import Kind, encode

    n, d = 1 << 10, 1 << 20
    key = Ed25519PrivateKey.generate()
    clients = {f"c{i:04}": (i.to_bytes(32, "little"), 1) for i in range(n)}
    encoding = bt.FixedPoint.integers(limit=2**15 - 1, max_weight=n, guard_bits=0)
    plan = secagg.plan(n, dropout=0.3, complete=True)
    session = secagg.Session(plan, encoding, d, clients, key.public_key().public_bytes_raw())
    sender = {"sender": n - 1}
    parts = {
        "keys": len(signed(session, 0, Kind.SECAGG_ADVERTISE, sender, bytes(96), key)),
        "shares": len(
            tagged(session, 0, Kind.SECAGG_SHARES, sender, bytes((n - 1) * (4 + box_bytes(plan))), bytes(32))
        ),
        "masked vector": len(
            tagged(session, 0, Kind.SECAGG_MASKED, sender, bytes(-(-(d + 1) * session.bits // 8)), bytes(32))
        ),
        "answer": len(encode(Kind.SECAGG_REVEAL, {**about(session, 0), **sender}, bytes(28 + n * (4 + SHARE)))),
    }
    head = n // 8
    received = {
        "keys": len(signed(session, 0, Kind.SECAGG_ROSTER, {"key": bytes(32)}, bytes(n * 100), key)),
        "shares": len(
            signed(session, 0, Kind.SECAGG_DELIVERY, {"to": n - 1}, bytes(head + (n - 1) * (4 + box_bytes(plan))), key)
        ),
        "request": len(signed(session, 0, Kind.SECAGG_REQUEST, {}, bytes(head), key)),
    }
    clear = 2 * d
    return {
        "bits": session.bits,
        "sent": parts,
        "received": received,
        "sent_ratio": sum(parts.values()) / clear,
        "total_ratio": (sum(parts.values()) + sum(received.values())) / clear,
        "published_ratio": 1.73,
    }


def against_a_run(n: int, d: int) -> list[dict[str, Any]]:
    """The model of `paper` beside a round that was run: one row each."""
    encoding = bt.FixedPoint.integers(limit=(2**29 - 1) // n, max_weight=n)
    if encoding.slot_bits != 32:
        raise RuntimeError("the run is to have the model's ring")
    run = Run(secagg.plan(n, complete=False), encoding, d, n // 10)
    kept = list(run.sent)[n // 10 :]
    parts = [min(run.client[name][phase] for name in kept) for phase in run.client[kept[0]]]
    model = {"what": "model"} | paper([n], d)[0]
    ran = {
        "what": "run",
        "clients": n,
        "neighbours": run.session.plan.neighbours,
        "threshold": run.session.plan.threshold,
        "client_s": sum(parts),
        "client_sends": sum(run.sent[name] for name in kept) // len(kept),
        "client_receives": sum(run.received[name] for name in kept) // len(kept),
        "server_s": run.server_cpu,
        "server_receives_GB": sum(run.sent.values()) / 1e9,
        "server_sends_GB": sum(run.received.values()) / 1e9,
    }
    return [{name: model[name] for name in ran}, ran]


def flower(repeat: int) -> list[dict[str, Any]]:
    """Flower's SecAgg+ by its own functions, if `flwr` is installed: the same sizes, its default ranges."""
    try:
        theirs: Any = importlib.import_module("flwr.client.mod.secure_aggregation.secaggplus_mod")
        from flwr.common import bytes_to_ndarray, ndarrays_to_parameters
        from flwr.common.secure_aggregation import ndarrays_arithmetic as arithmetic
        from flwr.common.secure_aggregation.crypto.shamir import combine_shares
        from flwr.common.secure_aggregation.quantization import dequantize
        from flwr.common.secure_aggregation.secaggplus_constants import Key
    except ImportError as err:
        print(f"\nFlower is left out: {err}")
        return []
    clip, quantised, modulus = 8.0, 1 << 22, 1 << 32  # SecAggPlusWorkflow's defaults

    def run(n: int, t: int, length: int, gone: int) -> tuple[list[dict[str, float]], float, int]:
        values = np.random.default_rng(0).uniform(-4, 4, length)
        parameters = ndarrays_to_parameters([values])
        settings = (n, n, t, clip, quantised, modulus, 1000.0)
        names = ["SAMPLE_NUMBER", "SHARE_NUMBER", "THRESHOLD"]
        names += ["CLIPPING_RANGE", "TARGET_RANGE", "MOD_RANGE", "MAX_WEIGHT"]
        agreed = {getattr(Key, name): value for name, value in zip(names, settings, strict=True)}
        ids = list(range(1, n + 1))
        states = {i: theirs.SecAggPlusState(nid=i) for i in ids}
        spent: dict[int, dict[str, float]] = {i: {} for i in ids}

        def timed(i: int, what: str, act: Any, *arguments: Any) -> Any:
            began = clock()
            out = act(states[i], *arguments)
            spent[i][what] = clock() - began
            return out

        keys = {i: timed(i, "keys", theirs._setup, agreed) for i in ids}
        public = {str(i): (keys[i][Key.PUBLIC_KEY_1], keys[i][Key.PUBLIC_KEY_2]) for i in ids}
        dealt = {i: timed(i, "shares", theirs._share_keys, public) for i in ids}
        boxes: dict[int, dict[int, bytes]] = {i: {} for i in ids}
        for i in ids:
            for to, box in zip(dealt[i][Key.DESTINATION_LIST], dealt[i][Key.CIPHERTEXT_LIST], strict=True):
                boxes[to][i] = box
        alive, dead = ids[gone:], ids[:gone]
        sent = {}
        for i in alive:
            given = {Key.CIPHERTEXT_LIST: list(boxes[i].values()), Key.SOURCE_LIST: list(boxes[i])}
            sent[i] = timed(i, "masked", theirs._collect_masked_vectors, given, 500, parameters)[Key.MASKED_PARAMETERS]
        asked = {Key.ACTIVE_NODE_ID_LIST: alive, Key.DEAD_NODE_ID_LIST: dead}
        told = {i: timed(i, "unmask", theirs._unmask, asked) for i in alive}
        began = clock()
        total: Any = None
        for i in alive:
            vector = [bytes_to_ndarray(part) for part in sent[i]]
            total = vector if total is None else arithmetic.parameters_addition(total, vector)
        total = arithmetic.parameters_mod(total, modulus)
        shares: dict[int, list[bytes]] = {i: [] for i in ids}
        for answer in told.values():
            for i, share in zip(answer[Key.NODE_ID_LIST], answer[Key.SHARE_LIST], strict=True):
                shares[i].append(share)
        shape = arithmetic.get_parameters_shape(total)
        for i in ids:
            secret = combine_shares(shares[i])
            seeds = [(secret, False)]
            if i in dead:
                private = theirs.bytes_to_private_key(secret)
                seeds = [
                    (theirs.generate_shared_key(private, theirs.bytes_to_public_key(public[str(j)][0])), i > j)
                    for j in alive
                ]
            for seed, add in seeds:
                mask = theirs.pseudo_rand_gen(seed, modulus, shape)
                act = arithmetic.parameters_addition if add else arithmetic.parameters_subtraction
                total = act(total, mask)
        factor, total = arithmetic.factor_extract(arithmetic.parameters_mod(total, modulus))
        mean = (dequantize(total, clip, quantised)[0] - (len(alive) - 1) * clip) * (quantised / factor)
        took = clock() - began
        if float(np.abs(mean - values).max()) > 1e-3:
            raise RuntimeError("Flower's sum is wrong")
        return [spent[i] for i in alive], took, max(sum(map(len, vector)) for vector in sent.values())

    rows: list[dict[str, Any]] = []
    clients = []
    for gone in (0, 1, 3):
        runs = [run(10, 7, 10**6, gone) for _ in range(repeat)]
        clients += [client for some, _, _ in runs for client in some]
        rows.append({"what": f"Flower: server, {gone} dropped", "ms": 1e3 * min(took for _, took, _ in runs)})
    rows.insert(0, {"what": "Flower: client, all rounds", "ms": 1e3 * sum(best(clients).values())})
    rows.append({"what": "Flower: upload per client", "bytes": runs[0][2]})
    some, _, _ = run(100, 51, 10, 0)
    shares = min(client["shares"] for client in some)
    rows.append({"what": "Flower: key sharing, n = 100, t = 51", "ms": 1e3 * shares})
    return rows


def show(title: str, rows: list[dict[str, Any]]) -> None:
    """Print a table in Markdown."""
    names = [name for name in rows[0] if name != "parts"]
    for row in rows[1:]:
        names += [name for name in row if name not in names and name != "parts"]
    print(f"\n{title}\n\n| {' | '.join(names)} |\n|{'---|' * len(names)}")
    for row in rows:
        cells = [row.get(name, "") for name in names]
        print(f"| {' | '.join(f'{c:.{1 if c >= 10 else 3}f}' if isinstance(c, float) else str(c) for c in cells)} |")


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--full", action="store_true", help="500 and 1000 clients for bonawitz")
    parser.add_argument("--repeat", type=int, default=5, help="runs of the table's rounds")
    parser.add_argument("--clients", type=int, nargs="+", help="numbers of clients for bonawitz")
    parser.add_argument("--dropped", type=int, nargs="+", default=[0, 10, 30], help="per cent for bonawitz")
    parser.add_argument("--json", metavar="FILE", help="write everything there, with the parts of each time")
    parser.add_argument("--only", nargs="+", choices=("table", "bonawitz", "expansion", "paper"))
    arguments = parser.parse_args()
    bt.set_num_threads(1)
    chosen = arguments.only or ("table", "bonawitz", "expansion", "paper")
    done: dict[str, Any] = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "build": bt.build_info(),
    }
    if "table" in chosen:
        done["table"] = table(arguments.repeat) + flower(arguments.repeat)
        show("10^6 parameters, n = 10, t = 7; milliseconds", done["table"])
    if "bonawitz" in chosen:
        done["bonawitz"] = bonawitz(arguments.clients or ([500, 1000] if arguments.full else [100]), arguments.dropped)
        show("Bonawitz et al. 2017: 100 000 values of 16 bits, complete graph", done["bonawitz"])
    if "expansion" in chosen:
        done["expansion"] = expansion()
        show("2^10 clients, 2^20 values of 16 bits: bytes of a client over those of the values", [done["expansion"]])
    if "paper" in chosen:
        done["paper"] = paper([10**3, 10**4, 10**5, 10**6], 10**6)
        show("10^6 values of 32 bits, 10 % corrupt, 10 % dropped: on paper, from measured unit costs", done["paper"])
        done["against a run"] = against_a_run(1000 if arguments.full else 100, 200_000)
        show("The same for 200 000 values, beside a round that was run", done["against a run"])
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(done, file, indent=1, default=str)


if __name__ == "__main__":
    main()
