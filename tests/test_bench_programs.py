"""The benchmark programs: what they compute from figures, and how they talk to a library's process."""

from __future__ import annotations

import ast
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gmpy2
import pytest
from hypothesis import given
from hypothesis import strategies as st

BENCH = Path(__file__).resolve().parents[1] / "bench"
OF_BENCH = ("_peers", "_secagg_model", "adapters", "attacks", "kernel", "scaling", "secagg", "worker")


@pytest.fixture(scope="module", autouse=True)
def _bench_on_path() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCH))
        patch.syspath_prepend(str(BENCH / "_peers"))  # as a worker has it
        yield
    for name in [name for name in sys.modules if name.split(".")[0] in OF_BENCH]:
        del sys.modules[name]


def figures(median: float, best: float, n: int = 64) -> dict[str, Any]:
    return {"median_us": median, "best_us": best, "windows": 3, "n": n}


FACTS = {
    "version": "1.0",
    "python": "3.11",
    "constant_time": "no",
    "same_primes": False,
    "note": "",
    "packs": False,
    "matrix": [2, 50],
    "bytes": 515.0,
    "key_memory": 2**20,
    "table_bytes": None,
    "peak_rss": 2**25,
    "versions": {},
}


def a_report(results: dict[str, Any], bits: int = 2048) -> dict[str, Any]:
    from _peers import report
    from _peers.rows import ROWS

    libraries = dict.fromkeys(("Bluetusk", "HEU", "pypaillier"), FACTS)
    about = {
        "cpu": "a CPU",
        "cpus": 2,
        "flags": ["avx2"],
        "missing_flags": [],
        "python": "3.11",
        "load": [0.1, 0.2, 0.3],
    }
    return {
        "bits": bits,
        "clock": "cpu",
        "machine": about,
        "load_after": [0.2, 0.2, 0.3],
        "libraries": libraries,
        "absent": {"IPCL": "no wheel"},
        "failed": {},
        "rows": report.assemble(ROWS, results, libraries, bits),
    }


# -------------------------------------------------------------------------------------------------------------- rows


def test_every_row_has_a_key_of_its_own_and_names_an_existing_one() -> None:
    from _peers.rows import ROWS

    keys = [row.key for row in ROWS]
    assert len(set(keys)) == len(keys)
    assert {row.against for row in ROWS if row.against} <= set(keys)
    assert all(row.rival[0] in row.ratios for row in ROWS if row.rival)


def test_rows_are_chosen_by_words_of_their_titles() -> None:
    from _peers.rows import ROWS, chosen

    assert [row.key for row in chosen(["HISTOGRAM", "c + c"])] == ["add", "histogram"]
    assert chosen([]) == list(ROWS)
    assert chosen(["no such word"]) == []


@given(ours=st.floats(0.5, 1e4), theirs=st.floats(0.5, 1e4))
def test_a_target_is_missed_exactly_where_the_figures_say_so(ours: float, theirs: float) -> None:
    from _peers.rows import Row, misses

    row = Row("x", "x", "value", target_us=280, ratios={"HEU": 2.0, "phe": 3.0})
    said = misses(row, {"Bluetusk": figures(1, ours), "HEU": figures(1, theirs)}, {}, 2048)
    assert any("us, target" in text for text in said) == (ours > 280)
    assert any("HEU" in text for text in said) == (theirs / ours < 2.0)
    assert not any("phe" in text for text in said)  # not measured: nothing to miss
    at_3072 = misses(row, {"Bluetusk": figures(1, ours), "HEU": figures(1, theirs)}, {}, 3072)
    assert at_3072 == [text for text in said if "HEU" in text]  # the microseconds are those of 2048 bits


def test_bytes_and_memory_are_targets_too() -> None:
    from _peers.rows import Row, misses

    row = Row("x", "x", "value", target_bytes=520)
    assert misses(row, {"Bluetusk": figures(1, 1)}, {}, 2048, {"bytes": 520.0}) == []
    assert misses(row, {"Bluetusk": figures(1, 1)}, {}, 2048, {"bytes": 527.0}) == ["527 bytes, target 520"]
    row = Row("x", "x", "key", target_table=8)
    assert misses(row, {"Bluetusk": figures(1, 1)}, {}, 3072, {"table_bytes": 8 << 20}) == []
    assert misses(row, {"Bluetusk": figures(1, 1)}, {}, 3072, {"table_bytes": 9 << 20}) == ["9.0 MiB, target 8"]


# -------------------------------------------------------------------------------------------------------------- table


def test_the_table_compares_and_judges() -> None:
    from _peers import report

    told = a_report(
        {
            "encrypt": {
                "Bluetusk": figures(250, 200),
                "HEU": figures(500, 400),
                "pypaillier": figures(1000, 600),
            },
            "encrypt_owner": {"Bluetusk": figures(100, 100)},
            "encrypt #1000": {"Bluetusk": figures(250, 200, 1000), "HEU": figures(500, 400, 300)},
        }
    )
    encrypt, owner, _thousand = told["rows"]
    assert encrypt["best_peer"] == "HEU"
    assert encrypt["ratio_median"] == {"HEU": 2.0, "pypaillier": 4.0}
    assert encrypt["ratio_best"] == {"HEU": 2.0, "pypaillier": 3.0}
    assert encrypt["missed"] == ["3.00x pypaillier, target 3.3x"]
    assert owner["ratio_best"]["HEU"] == 4.0  # it has nothing like it: against its encryption
    assert owner["missed"] == []
    text = report.markdown(told)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    assert "| 250 (200) | HEU | 2.00x (2.00x) |" in text
    assert "missed: 3.00x pypaillier, target 3.3x" in text
    assert "500 (400) [300]" in text
    assert "Left out: IPCL: no wheel." in text


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    from _peers import chart

    told = a_report(
        {
            "encrypt": {"Bluetusk": figures(250, 200), "HEU": figures(500, 400)},
            "encrypt_owner": {"Bluetusk": figures(100, 100)},
            "powers of 2048": {"Bluetusk": figures(500, 490), "gmpy2": figures(1500, 1490)},
        }
    )
    assert [name for name, _ in chart.bars(told["rows"][0], told)] == ["Bluetusk, key owner", "Bluetusk", "HEU"]
    chart.draw(told, str(tmp_path / "bars.png"))
    assert (tmp_path / "bars.png").read_bytes()[:4] == b"\x89PNG"


# ---------------------------------------------------------------------------------------------------- windows, workers


class FakeWorker:
    """Answers at once; notes when its turn was."""

    def __init__(self, label: str, turns: list[str], fails: bool = False) -> None:
        self.label, self.turns, self.fails = label, turns, fails

    def ask(self, do: str, **order: Any) -> dict[str, Any]:
        from _peers.process import WorkerError

        if do == "row":
            return {"n": order["n"]}
        if self.fails:
            raise WorkerError("gives wrong results")
        self.turns.append(self.label)
        seconds = 1e-6 * (len(self.turns) + 1)
        return {"mean": seconds, "best": seconds / 2, "calls": 2, "wall": 0.01, "cpu": 0.01}


def test_windows_take_turns_in_an_order_that_rotates() -> None:
    from _peers.measure import Plan, contestants, measure_row
    from _peers.rows import ROWS

    turns: list[str] = []
    workers: Any = [FakeWorker("Bluetusk", turns), FakeWorker("A", turns), FakeWorker("B", turns, fails=True)]
    row = next(row for row in ROWS if row.key == "add")
    those = contestants(row, workers, {"Bluetusk": {"add"}, "A": {"add"}, "B": {"add"}})
    told, failed = measure_row(row, those, Plan(seconds=0.04, least=4), lambda text: None)
    assert failed == {"B": "gives wrong results"}
    assert turns[:4] == ["Bluetusk", "A", "A", "Bluetusk"]
    assert turns.count("A") == turns.count("Bluetusk") == 4
    assert told["Bluetusk"]["best_us"] == 1.0  # half of the first window's 2 us
    assert told["A"]["windows"] == 4


def test_a_library_runs_in_a_process_of_its_own() -> None:
    """phe, under a toy key: it is checked, timed and described."""
    from _peers.process import Worker, WorkerError

    p, q = gmpy2.next_prime(2**255 + 2**200), gmpy2.next_prime(2**255 + 2**210)
    worker = Worker("phe", Path(sys.executable), "phe")
    try:
        with pytest.raises(WorkerError, match=r"Overflow|wrong results"):
            worker.ask("open", adapter="phe", bits=512, p=hex(p), q=hex(q + 4))  # not a prime
        assert worker.ask("open", adapter="phe", bits=512, p=hex(p), q=hex(q)) == {}
        can = worker.ask("can", rows=["encrypt", "matvec", "histogram", "encrypt @2", "parse"])["rows"]
        assert can == ["encrypt", "matvec", "parse"]
        n = worker.ask("row", row="decrypt", n=16, limit=10.0)["n"]
        assert n == 16
        window = worker.ask("window", row="decrypt", seconds=0.01, clock="cpu")
        assert 0 < window["best"] <= window["mean"] < 1
        assert worker.ask("row", row="decrypt", n=1000, limit=1e-9)["n"] == 1
        facts = worker.ask("facts")
        assert facts["same_primes"] is True
        assert 300 < facts["bytes"] < 320  # 1024 bits in decimal
        with pytest.raises(WorkerError, match="KeyError"):
            worker.ask("window", row="encrypt", seconds=0.01, clock="cpu")  # not made ready
    finally:
        worker.close()


@pytest.mark.parametrize("wrong", [None, "add", "total", "scale", "matvec", "histogram", "parse"])
def test_a_library_that_errs_is_not_timed(wrong: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    import worker
    from adapters.base import BINS, Numbers

    class Plain(Numbers):
        """No encryption at all: exact, until one of its operations errs."""

        def __init__(self, bits: int, p: int, q: int) -> None:
            if wrong:
                right = getattr(self, wrong)
                setattr(self, wrong, lambda *args: [v + 1 for v in right(*args)])

        def encrypt(self, values: Any) -> list[int]:
            return [int(v) for v in values]

        def decrypt(self, c: list[int]) -> list[int]:
            return c

        def histogram(self, c: list[int], codes: Any) -> list[int]:
            return [sum(v for v, code in zip(c, codes, strict=True) if code == b) for b in range(BINS)]

        def dump(self, c: list[int]) -> list[int]:
            return c

        def parse(self, data: list[int]) -> list[int]:
            return data

    module = types.ModuleType("adapters.plain")
    module.__dict__["Library"] = Plain
    monkeypatch.setitem(sys.modules, "adapters.plain", module)
    if wrong:
        with pytest.raises(worker.Check, match="gives wrong results"):
            worker.Bench("plain", 2048, 0, 0)
    else:
        assert worker.Bench("plain", 2048, 0, 0).can("sum")


def test_a_missing_python_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from _peers.environments import Peer, Unavailable, find_python, prepare

    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert find_python((here,)).exists()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    (tmp_path / "python3.99").write_text("#!/bin/sh\nexit 0\n")
    (tmp_path / "python3.99").chmod(0o755)
    with pytest.raises(Unavailable, match=r"needs CPython 3\.98 or 3\.97"):
        find_python(("3.98", "3.97"))
    assert find_python(("3.98", "3.99")) == tmp_path / "python3.99"
    with pytest.raises(Unavailable, match=r"needs CPython 3\.98"):
        prepare(Peer("X", "x", "no_such_module", ("3.98",), ()), tmp_path, lambda text: None)


# ------------------------------------------------------------------------------------------------------ scaling, kernel


def test_scaling_finds_where_overhead_ends() -> None:
    import scaling

    assert list(scaling.lengths(100, quick=True)) == [1, 10, 100]
    assert list(scaling.lengths(30, quick=False)) == [1, 2, 5, 10, 20]
    points = [scaling.Point("sum", 2048, 1, n, 1e-5 + 2e-6 * n) for n in scaling.lengths(10_000, quick=True)]
    least, ends, growth = scaling.floor(points)
    assert least == pytest.approx(2.001)
    assert ends == 100  # 10 us of overhead on 100 elements of 2 us are 5 %
    assert growth == pytest.approx(0.9955, abs=1e-3)
    assert "| sum | 2048 | 1 | 12 | 3 | 2.1 |" in scaling.table(points)


def test_the_kernel_s_table_shows_how_many_times_as_long_mpn_takes() -> None:
    import kernel

    times = {"mul": 1.0, "sqr": 1.0, "pow": 500.0, "load": 1.0, "store": 1.0}
    rows = [{"backend": "fma", "bits": 2048, **times}, {"backend": "mpn", "bits": 2048, **times, "pow": 1500.0}]
    assert "| 2048 | fma | 1.000 | 1.000 | 500 | 1.000 | 1.000 | 3.00x |" in kernel.table(rows, 1024)


def test_the_kernel_driver_compiles_and_times_both_backends(tmp_path: Path) -> None:
    import argparse

    import kernel

    program = kernel.build(tmp_path, "cc", ["-O1", "-Werror"])
    args = argparse.Namespace(elements=4, seconds=0.01, exponent_bits=64, bits=[1024])
    rows = kernel.measure(program, args)
    assert "mpn" in [row["backend"] for row in rows]
    assert all(0 < row[kind] < 1e5 for row in rows for kind in kernel.KINDS)


@pytest.mark.parametrize("malicious", [False, True])
def test_sizes_of_messages_on_paper_are_those_of_a_round(malicious: bool) -> None:
    import _secagg_model as model
    import secagg as bench

    from bluetusk import FixedPoint
    from bluetusk.federated import secagg

    n, d, gone = 40, 50, 2
    plan = secagg.plan(n, 0.05, 0.1, malicious, complete=False, security=6, correctness=3)
    run = bench.Run(plan, FixedPoint.integers(limit=(2**29 - 1) // n, max_weight=n), d, gone)
    assert run.session.bits == 32
    kept = list(run.sent)[gone:]
    sent, received = model.message_sizes(n, plan, d)
    mean_sent, mean_received = (sum(size[name] for name in kept) / len(kept) for size in (run.sent, run.received))
    # each draws its holders: how many shares a client is dealt, and answers for, is k on average only
    slack = plan.neighbours * model.box_bytes(plan) / 4 if malicious else 1
    assert abs(mean_sent - sum(sent.values())) <= slack
    assert abs(mean_received - sum(received.values())) <= slack


# ------------------------------------------------------------------------------------------------------ attacks


def test_attacks_table() -> None:
    import attacks

    path = attacks.ATTACKS / "test_split.py"
    rows = [
        ("one", "host", 0.5, 0.25, 0.125, 1.0),
        ("two", "guest", 33, 33, 0, 128),
        ("three", "guest", 1, 0.5, None, 1),
    ]
    assert list(attacks.lines_of(path, rows)) == [
        "| one | host | .500 | .250 | .375 | 1 | `test_split.py` |",
        "| two | guest | 33 | 33 | 33 | 128 | `test_split.py` |",
        "| three | guest | 1 | .500 | none | 1 | `test_split.py` |",
    ]
    (line,) = attacks.lines_of(path, None)
    assert line.startswith("| A host that wants labels, or a say in the split, from which rows of `bluetusk party` are")


def test_attacks_page(tmp_path: Path) -> None:
    import attacks

    page = f"before {attacks.BEGIN} old {attacks.END} after"
    assert attacks.written(page, "new") == f"before {attacks.BEGIN}\n\nnew\n\n{attacks.END} after"
    for part in (attacks.BEGIN, attacks.END):
        with pytest.raises(ValueError, match="between which the table belongs"):
            attacks.written(page.replace(part, ""), "new")


def test_attacks_that_win_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import attacks

    found = [
        ("as guessed", "host", 0.5, 0.5, 0.0, 1.0),
        ("unbounded", "host", 1, 0.5, None, 1),
        ("won", "host", 1, 0, 0, 1),
    ]
    monkeypatch.setattr(attacks, "rows_of", lambda path, folder: found)
    table, won = attacks.made([attacks.ATTACKS / "test_split.py"], True)
    assert won == ["won"]
    assert table.count("`test_split.py`") == 3
    assert "Made on 20" in table


def test_tables_of_attacks_take_nothing_or_a_folder() -> None:
    import attacks

    for path in attacks.files():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name == "table":
                assert [each.arg for each in node.args.args] in ([], ["folder"]), path.name


def test_microbenchmarks_are_found() -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "bench",
        "--benchmark-only",
        "--collect-only",
        "-q",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(command, cwd=BENCH.parent, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout
    assert {line.partition("::")[0] for line in done.stdout.splitlines() if "::" in line} == {
        f"bench/{path.name}" for path in BENCH.glob("test_*.py")
    }
