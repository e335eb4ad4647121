"""What a figure depends on: processor, its flags, how busy the machine is, versions."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

FLAGS = ("avx2", "fma", "bmi2", "adx", "avx512f", "avx512ifma")


def describe() -> dict[str, Any]:
    """The machine, for the head of a table."""
    model, flags = platform.processor() or platform.machine(), set[str]()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                model = value.strip()
            elif name.strip() == "flags":
                flags = set(value.split())
    except OSError:
        pass
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": model,
        "cpus": cpus,
        "flags": [flag for flag in FLAGS if flag in flags],
        "missing_flags": [flag for flag in FLAGS if flag not in flags],
        "python": platform.python_version(),
        "system": platform.platform(),
        "load": load(),
    }


def load() -> list[float]:
    """The load averages of 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()]


def sentence(machine: dict[str, Any]) -> str:
    """The machine in a line."""
    return (
        f"{machine['cpu']}, {machine['cpus']} CPUs; has {', '.join(machine['flags']) or 'none of the flags asked for'}"
        + (f", not {', '.join(machine['missing_flags'])}" if machine["missing_flags"] else "")
        + f"; load average {machine['load'][0]:.2f}"
    )
