"""The table, as markdown and as data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from . import machine
from .rows import OURS, RIVALS, TARGET_BITS, Row, best_peer, misses, ratios, show

Result = dict[str, dict[str, dict[str, float]]]  # row key -> label -> figures


def assemble(rows: Sequence[Row], results: Result, facts: Mapping[str, Any], bits: int) -> list[dict[str, Any]]:
    """One object per measured row: figures, ratios, target, misses."""
    out = []
    for row in rows:
        figures = results.get(row.key, {})
        if OURS not in figures:
            continue
        others = {name: f for name, f in results.get(row.against or "", {}).items() if name != OURS}
        by_median, by_best = (ratios(row, figures, others, judge) for judge in ("median_us", "best_us"))
        fastest = best_peer(by_median if row.judge == "median_us" else by_best)
        out.append(
            {
                "key": row.key,
                "operation": row.title,
                "unit": row.unit,
                "target": row.target(bits),
                "figures": figures,
                "compared_with": row.against,
                "best_peer": fastest,
                "best_peer_figures": {**others, **figures}[fastest] if fastest else None,
                "ratio_median": by_median,
                "ratio_best": by_best,
                "missed": misses(row, figures, others, bits, facts[OURS]),
                "judged_by": row.judge,
                "least": dict(row.ratios),
                "at_once": row.n if row.batch else None,
            }
        )
    return out


def cell(figures: Mapping[str, float] | None, wanted: int | None = None) -> str:
    """Median and best; also the batch size, if the row is about batches and it is smaller than wanted."""
    if not figures:
        return ""
    text = f"{show(figures['median_us'])} ({show(figures['best_us'])})"
    if wanted and figures["n"] != wanted:
        text += f" [{figures['n']:.0f}]"
    return text + (f" *{figures['threads']:.1f} threads*" if figures.get("threads") else "")


def reached(row: Mapping[str, Any]) -> str:
    """Whether the target was reached."""
    if not row["target"]:
        return ""
    return "missed: " + "; ".join(row["missed"]) if row["missed"] else "yes"


def markdown(report: Mapping[str, Any]) -> str:
    """The whole table with its head and its notes."""
    peers = [name for name in report["libraries"] if name != OURS]
    head = ["operation", "per", OURS, "fastest other", "ratio", "target", "reached", *peers]
    lines = [
        f"{report['bits']}-bit key, one thread, microseconds: median (best). {machine.sentence(report['machine'])}.",
        "",
        _line(head),
        "|" + "---|" * len(head),
    ]
    for entry in report["rows"]:
        figures, name, wanted = entry["figures"], entry["best_peer"], entry["at_once"]
        fastest = ratio = ""
        if name:
            shown = name in RIVALS or entry["compared_with"]  # else it has a column
            fastest = f"{name} {cell(entry['best_peer_figures'])}" if shown else name
            ratio = f"{entry['ratio_median'][name]:.2f}x ({entry['ratio_best'][name]:.2f}x)"
        cells = [entry["operation"], entry["unit"], cell(figures[OURS], wanted), fastest, ratio]
        cells += [entry["target"], reached(entry), *(cell(figures.get(peer), wanted) for peer in peers)]
        lines.append(_line(cells))
    for title, value in FACTS:
        ours, *theirs = (value(report["libraries"][name]) for name in [OURS, *peers])
        lines.append(_line([title, "", ours, "", "", "", "", *theirs]))
    return "\n".join([*lines, "", *(f"* {text}" for text in notes(report))])


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _mib(size: float | None) -> str:
    return f"{size / 2**20:.1f}" if size else ""


FACTS: tuple[tuple[str, Callable[[Mapping[str, Any]], str]], ...] = (
    ("bytes per ciphertext, serialised", lambda f: f"{f['bytes']:.0f}" if f["bytes"] else ""),
    ("memory of key and first batch, MiB", lambda f: _mib(f["key_memory"])),
    ("of which the table of powers, MiB", lambda f: _mib(f["table_bytes"])),
    ("most memory of its process, MiB", lambda f: _mib(f["peak_rss"])),
    ("constant time", lambda f: str(f["constant_time"])),
    ("key", lambda f: "the same primes" if f["same_primes"] else "its own"),
    ("version, Python", lambda f: f"{f['version']}, {f['python']}"),
)


def notes(report: Mapping[str, Any]) -> Iterator[str]:
    """Notes that a reader needs to trust the table."""
    libraries, about = report["libraries"], report["machine"]
    figures = {entry["key"]: entry["figures"] for entry in report["rows"]}
    clock = "processor time" if report["clock"] == "cpu" else "wall clock"
    yield (
        f"All libraries measured in one run, in short turns; {clock}, and wall clock for two threads. Every result was "
        "decrypted and compared with Python's integers before anything was timed."
    )
    yield (
        "A ratio is the other's time divided by ours: of medians (of bests). Targets apply to bests (key generation: "
        f"medians); microseconds and bytes only at {TARGET_BITS} bits."
    )
    matrices = [
        f"{name} {' x '.join(map(str, libraries[name]['matrix']))}"
        for name in figures.get("matvec", ())
        if libraries[name]["matrix"] != libraries[OURS]["matrix"]
    ]
    if matrices:
        yield f"The matrix product was measured, per multiply-add, on smaller matrices: {', '.join(matrices)}."
    unpacked = [name for name in figures.get("encrypt_packed", ()) if not libraries[name]["packs"]]
    if unpacked:
        yield f"Without packing, each gradient takes a ciphertext: {', '.join(unpacked)}."
    batches = [(entry["at_once"], f["n"]) for entry in report["rows"] for f in entry["figures"].values()]
    if any(wanted and wanted != n for wanted, n in batches):
        yield "[n]: n at a time, because more would take too long; the cost of each is the same."
    if "IPCL" in libraries and "avx512ifma" in about["flags"]:
        yield "IPCL uses AVX-512 IFMA, which this CPU has; on a CPU without, it is several times slower."
    own = [name for name, facts in libraries.items() if not facts["same_primes"]]
    if own:
        yield f"These libraries make their own keys, of the same size, because they accept no primes: {', '.join(own)}."
    yield from (f"{name}: {facts['note']}." for name, facts in libraries.items() if facts["note"])
    versions = libraries[OURS]["versions"] | {"python": about["python"]}
    yield f"{OURS} with {', '.join(f'{name} {number}' for name, number in versions.items())}."
    yield from (f"Left out: {name}: {reason}." for name, reason in report["absent"].items())
    for row, them in report["failed"].items():
        yield from (f"Failed: {name}, {row}: {reason}." for name, reason in them.items())
    before, after = about["load"][0], report["load_after"][0]
    busy = " The machine was busy: figures of two threads mean little." if max(before, after - 1) > 0.5 else ""
    yield f"Load average before and after: {before:.2f}, {after:.2f}.{busy}"
