"""Check that an installed bluetusk runs on a CPU without AVX2: python3 .ci/old_cpu.py PYTHON.

PYTHON is the interpreter it is installed for, on x86-64. In the extensions, no function but those of bt_mont_fma*.c,
bt_mont_ifma*.c, bt_ring_avx2.c, bt_field_avx2.c and bt_registers.c holds an instruction on ymm or zmm registers or a
fused multiply-add.
And under qemu-user as a Nehalem, which has SSE4.2 and POPCNT (NumPy wants these) but neither AVX nor FMA, the self-test
passes and the backend is mpn; as a CPU with everything that qemu knows it is fma.
"""

from __future__ import annotations

import bisect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

VECTOR_FILES = {
    "bt_mont_fma.c",
    "bt_mont_fma_pairs.c",
    "bt_mont_ifma.c",
    "bt_mont_ifma_pairs.c",
    "bt_ring_avx2.c",
    "bt_field_avx2.c",
    "bt_registers.c",
}
VECTOR = re.compile(r"%[yz]mm\d|\tvfn?m(add|sub)")


# OPENBLAS_CORETYPE, where a machine sets it, names the kernels for that machine's CPU, not for the one that is played
PLAIN = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}
AVX2_HERE = {"avx2", "fma"} <= set(Path("/proc/cpuinfo").read_text().split())


def output(*command: str | Path) -> str:
    """Return what a command prints; end the run if it fails."""
    words = [str(part) for part in command]
    run = subprocess.run(words, stdout=subprocess.PIPE, text=True, timeout=600, env=PLAIN)
    if run.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit status {run.returncode}")
    return run.stdout


def functions(extension: Path) -> list[tuple[int, str, str]]:
    """Return (address, function, source file) in order of address; a file's local symbols follow its FILE symbol."""
    found, file = [], ""
    for line in output("readelf", "-sW", extension).splitlines():
        fields = line.split()
        if len(fields) < 8 or not fields[0].rstrip(":").isdigit():
            continue
        _, address, _, kind, binding, _, section, name = fields[:8]
        if kind == "FILE":
            file = name
        elif kind == "FUNC" and section != "UND":
            found.append((int(address, 16), name, file if binding == "LOCAL" else ""))
    return sorted(found)


def check_instructions(extension: Path) -> int:
    """End the run at a vector instruction outside the vector backends; return how many there are inside."""
    known = functions(extension)
    starts = [address for address, _, _ in known]
    inside = 0
    for line in output("objdump", "-d", "--no-show-raw-insn", extension).splitlines():
        match = re.match(r"\s+([0-9a-f]+):\t", line)
        if not match or not VECTOR.search(line):
            continue
        at = bisect.bisect_right(starts, int(match[1], 16)) - 1
        _, name, file = known[at] if at >= 0 else (0, "no function", "")
        if file not in VECTOR_FILES:
            sys.exit(f"{extension.name}: {name} ({file or 'global'}) holds: {line.strip()}")
        inside += 1
    return inside


def main() -> None:
    """Check the instructions, then run."""
    python = sys.argv[1]
    package = Path(output(python, "-c", "import bluetusk; print(bluetusk.__path__[0])").strip())
    counts = {path.name.split(".")[0]: check_instructions(path) for path in package.rglob("*.so")}
    print(f"vector instructions, all of them in {', '.join(sorted(VECTOR_FILES))}: {counts}")
    assert {name for name, count in counts.items() if count} == {"modexp", "paillier", "ring", "field"}, counts
    assert min(counts["modexp"], counts["paillier"]) > 1000, counts

    info = "import bluetusk, json; print(json.dumps(bluetusk.build_info()))"
    for cpu, backend in {"Nehalem": "mpn", "max": "fma"}.items():
        found = json.loads(output("qemu-x86_64", "-cpu", cpu, python, "-c", info))
        print(f"{cpu}: {found['backend']}")
        assert found["backend"] == backend, found
        if backend == "mpn" and AVX2_HERE:  # qemu-user shows the machine's own /proc/cpuinfo
            assert "AVX" in found["warning"], found
    print(output("qemu-x86_64", "-cpu", "Nehalem", python, "-m", "bluetusk", "selftest"), end="")


if __name__ == "__main__":
    main()
