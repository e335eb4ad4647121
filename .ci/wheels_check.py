#!/usr/bin/env python3
"""Checks one wheel: every member, RECORD, and the compiled modules as the loader sees them. Run by .ci/wheels.

Arguments: WHEEL TREE ABI SUFFIX [WORD...]. TREE is the sdist unpacked; no member may hold a WORD.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import sys
import zipfile
from email.parser import BytesParser
from pathlib import Path

from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection
from elftools.elf.sections import SymbolTableSection

MODULES = ("field", "modexp", "noise", "pack", "paillier", "ring", "straus")
ARRAYS = ("modexp", "paillier")  # modules with arrays on the stack: -fstack-protector-strong must show
MEGABYTE = 10**6
# libdl: dlopen of gmpy2's extension. The others are part of the C library too.
LIBRARIES = {
    "gnu": {"libc.so.6", "libdl.so.2", "libm.so.6", "libpthread.so.0", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"},
    "musl": {"libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"},
}
PATHS = (b"/root/", b"/home/", b"/tmp/", b"/work/")


def expected(tree: Path, info: str, endings: str) -> set[str]:
    """Return every member that a wheel of this tree must have."""
    src = tree / "src"
    names = {path.relative_to(src).as_posix() for path in src.rglob("*.py")}
    names |= {f"bluetusk/_kernels/{module}{ending}" for module in MODULES for ending in (".pyi", endings)}
    names |= {"bluetusk/py.typed", "bluetusk/demo/credit-default.csv.xz"}
    names |= {f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "top_level.txt")}
    licences = ("LICENSE", "NOTICE", "LICENSES/CC-BY-4.0.txt", "LICENSES/MIT-zig.txt")
    return names | {f"{info}/licenses/{name}" for name in licences}


def check_record(content: dict[str, bytes], info: str) -> None:
    """Compare RECORD with the members."""
    rows = {row[0]: row[1:] for row in csv.reader(io.StringIO(content[f"{info}/RECORD"].decode()))}
    assert rows.keys() == content.keys(), f"RECORD names other files: {sorted(rows.keys() ^ content.keys())}"
    for name, data in content.items():
        if name != f"{info}/RECORD":
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            assert rows[name] == [f"sha256={digest}", str(len(data))], f"RECORD is wrong about {name}"


def check_module(name: str, data: bytes, suffix: str) -> str:
    """Check one compiled module; return the newest glibc whose symbols it takes."""
    machine, _, libc = suffix.split("-")
    elf = ELFFile(io.BytesIO(data))
    arch = {"x86_64": "x64", "aarch64": "AArch64"}[machine]
    assert elf.get_machine_arch() == arch, f"{name} is for {elf.get_machine_arch()}"
    segments = {segment["p_type"]: segment for segment in elf.iter_segments()}
    assert not segments["PT_GNU_STACK"]["p_flags"] & 1, f"{name}: executable stack"
    assert "PT_GNU_RELRO" in segments, f"{name}: no RELRO"
    writable = [s for s in elf.iter_segments() if s["p_type"] == "PT_LOAD" and s["p_flags"] & 3 == 3]
    assert not writable, f"{name}: a segment is writable and executable"
    sections = [section.name for section in elf.iter_sections()]
    assert not [s for s in sections if s.startswith(".debug") or s == ".symtab"], f"{name}: not stripped: {sections}"
    [dynamic] = [section for section in elf.iter_sections() if isinstance(section, DynamicSection)]
    tags: dict[str, list[object]] = {}
    for tag in dynamic.iter_tags():
        tags.setdefault(tag.entry.d_tag, []).append(getattr(tag, "needed", tag.entry.d_val))
    assert not tags.keys() & {"DT_RPATH", "DT_RUNPATH", "DT_TEXTREL"}, f"{name}: {sorted(tags)}"
    assert any(flags & 1 for flags in tags.get("DT_FLAGS_1", [])), f"{name}: bound late"  # type: ignore[operator]
    needed = tags.get("DT_NEEDED", [])
    assert set(needed) <= LIBRARIES[libc], f"{name} needs {needed}"
    newest = (0, 0)
    for section in elf.iter_sections():
        if isinstance(section, GNUVerNeedSection):
            for _, versions in section.iter_versions():
                for version in versions:
                    family, _, number = version.name.partition("_")
                    assert (family, libc) == ("GLIBC", "gnu"), f"{name} needs {version.name}"
                    major, minor, *_ = *number.split("."), "0"
                    newest = max(newest, (int(major), int(minor)))
    assert newest <= (2, 17), f"{name} needs glibc {newest}"
    [symbols] = [s for s in elf.iter_sections() if isinstance(s, SymbolTableSection) and s.name == ".dynsym"]
    defined = {s.name for s in symbols.iter_symbols() if s["st_shndx"] != "SHN_UNDEF"}
    assert defined == {f"PyInit_{Path(name).name.partition('.')[0]}"}, f"{name} exports {sorted(defined)}"
    undefined = {s.name for s in symbols.iter_symbols() if s["st_shndx"] == "SHN_UNDEF"}
    if Path(name).name.partition(".")[0] in ARRAYS:
        assert "__stack_chk_fail" in undefined, f"{name}: built without canaries"
    assert not [s for s in undefined if "san_" in s or s.startswith("__gmp")], f"{name} needs {sorted(undefined)}"
    # zig's run-time library whole, with its mathematics, is a megabyte
    assert len(data) < MEGABYTE, f"{name} has {len(data)} bytes"
    return f"{newest[0]}.{newest[1]}" if libc == "gnu" else ""


def check(wheel: Path, tree: Path, abi: str, suffix: str, words: list[bytes]) -> str:
    """Check a wheel; return what was found, in words."""
    assert wheel.stat().st_size < 3 * MEGABYTE, f"{wheel.stat().st_size} bytes"
    distribution, version, *_ = wheel.name.split("-")
    info = f"{distribution}-{version}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        content = {name: archive.read(name) for name in names}
    assert len(names) == len(content), "a member is there twice"
    endings = ".abi3.so" if abi == "cp311" else f".cpython-310-{suffix}.so"
    wanted = expected(tree, info, endings)
    assert set(names) == wanted, f"members too many or missing: {sorted(set(names) ^ wanted)}"
    check_record(content, info)
    for name, data in content.items():
        if name.startswith("bluetusk/") and not name.endswith(".so"):
            assert data == (tree / "src" / name).read_bytes(), f"{name} is not the sdist's"
        found = [word for word in (*words, *PATHS) if word in data]
        assert not found, f"{name} holds {found}"
    tags = BytesParser().parsebytes(content[f"{info}/WHEEL"]).get_all("Tag")
    python = ["cp311-abi3", "cp310-cp310"][abi == "cp310"]
    assert sorted(tags) == sorted(f"{python}-{each}" for each in wheel.stem.split("-")[-1].split(".")), f"tags {tags}"
    metadata = BytesParser().parsebytes(content[f"{info}/METADATA"])
    assert metadata["License-Expression"] == "Apache-2.0 AND CC-BY-4.0 AND MIT", metadata["License-Expression"]
    modules = {name: data for name, data in content.items() if name.endswith(".so")}
    glibc = max(
        (check_module(name, data, suffix) for name, data in modules.items()), key=lambda text: (len(text), text)
    )
    told = ["auditwheel", "abi3audit"] if abi == "cp311" else ["auditwheel"]
    told += [f"{len(names)} members", f"{len(modules)} modules: RELRO, bound at load, canaries, no run path, stripped"]
    return ", ".join([*told, f"glibc {glibc} or newer" if glibc else "musl"])


if __name__ == "__main__":
    try:
        print(check(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:5], [word.encode() for word in sys.argv[5:]]))
    except AssertionError as error:
        sys.exit(f"{Path(sys.argv[1]).name}: {error}")
