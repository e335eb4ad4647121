#!/usr/bin/env python3
"""Checks one wheel: every member, RECORD, the metadata, and the compiled modules as the loader sees them.

    wheels_check.py WHEEL TREE ABI PLATFORM [WORD...]
    wheels_check.py --attack WHEEL TREE ABI PLATFORM [WORD...]
    wheels_check.py --sdist SDIST TREE [CHECKOUT]

Run by .ci/wheels. TREE is the sdist unpacked; no member may hold a WORD. --attack spoils a good wheel in memory, in one
way after the other, and demands that each is refused for what was spoilt. --sdist compares an sdist with its
pyproject.toml and with the files that it was made of.
"""

from __future__ import annotations

import base64
import configparser
import csv
import hashlib
import io
import re
import struct
import sys
import zipfile
from collections.abc import Callable
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

import tomllib
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection
from elftools.elf.sections import SymbolTableSection
from packaging.requirements import Requirement

MODULES = ("field", "modexp", "noise", "pack", "paillier", "ring", "straus")
ARRAYS = ("modexp", "paillier")  # modules with arrays on the stack: -fstack-protector-strong must show
MEGABYTE = 10**6
# libdl: dlopen of gmpy2's extension. The others are part of the C library too.
LIBRARIES = {
    "gnu": {"libc.so.6", "libdl.so.2", "libm.so.6", "libpthread.so.0", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"},
    "musl": {"libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"},
}
PATHS = (b"/root/", b"/home/", b"/tmp/", b"/work/")
LICENCES = ("LICENSE", "NOTICE", "LICENSES/CC-BY-4.0.txt", "LICENSES/MIT-zig.txt")
PYTHONS = {"cp311": "cp311-abi3", "cp310": "cp310-cp310"}
SYSTEMS = {
    "manylinux": ("gnu", "manylinux2014_{0}.manylinux_2_17_{0}"),
    "musllinux": ("musl", "musllinux_1_2_{0}"),
}
# What setuptools adds to the tracked files; a tag in setup.cfg would rename the release
SETUP_CFG = b"[egg_info]\ntag_build = \ntag_date = 0\n\n"
Content = dict[str, bytes]


class Refused(Exception):
    """What is wrong with the file, in one line."""


def demand(held: object, why: str) -> None:
    """Refuse the file unless this holds; `assert` would be left out under python -O."""
    if not held:
        raise Refused(why)


def expected(tree: Path, info: str, endings: str) -> set[str]:
    """Return every member that a wheel of this tree must have."""
    src = tree / "src"
    names = {path.relative_to(src).as_posix() for path in src.rglob("*.py")}
    names |= {f"bluetusk/_kernels/{module}{ending}" for module in MODULES for ending in (".pyi", endings)}
    names |= {"bluetusk/py.typed", "bluetusk/demo/credit-default.csv.xz", "bluetusk/demo/credit-default.NOTICE.txt"}
    names |= {f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "top_level.txt")}
    return names | {f"{info}/licenses/{name}" for name in LICENCES}


def check_record(content: dict[str, bytes], info: str) -> None:
    """Compare RECORD with the members."""
    rows = {row[0]: row[1:] for row in csv.reader(io.StringIO(content[f"{info}/RECORD"].decode()))}
    demand(rows.keys() == content.keys(), f"RECORD names other files: {sorted(rows.keys() ^ content.keys())}")
    for name, data in content.items():
        if name != f"{info}/RECORD":
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            demand(rows[name] == [f"sha256={digest}", str(len(data))], f"RECORD is wrong about {name}")


def check_module(name: str, data: bytes, suffix: str) -> str:
    """Check one compiled module; return the newest glibc whose symbols it takes."""
    machine, _, libc = suffix.split("-")
    elf = ELFFile(io.BytesIO(data))
    arch = {"x86_64": "x64", "aarch64": "AArch64"}[machine]
    demand(elf.get_machine_arch() == arch, f"{name} is for {elf.get_machine_arch()}")
    segments = {segment["p_type"]: segment for segment in elf.iter_segments()}
    demand(not segments["PT_GNU_STACK"]["p_flags"] & 1, f"{name}: executable stack")
    demand("PT_GNU_RELRO" in segments, f"{name}: no RELRO")
    writable = [s for s in elf.iter_segments() if s["p_type"] == "PT_LOAD" and s["p_flags"] & 3 == 3]
    demand(not writable, f"{name}: a segment is writable and executable")
    sections = [section.name for section in elf.iter_sections()]
    demand(not [s for s in sections if s.startswith(".debug") or s == ".symtab"], f"{name}: not stripped: {sections}")
    [dynamic] = [section for section in elf.iter_sections() if isinstance(section, DynamicSection)]
    tags: dict[str, list[object]] = {}
    for tag in dynamic.iter_tags():
        tags.setdefault(tag.entry.d_tag, []).append(getattr(tag, "needed", tag.entry.d_val))
    demand(not tags.keys() & {"DT_RPATH", "DT_RUNPATH", "DT_TEXTREL"}, f"{name}: {sorted(tags)}")
    demand(any(flags & 1 for flags in tags.get("DT_FLAGS_1", [])), f"{name}: bound late")  # type: ignore[operator]
    needed = tags.get("DT_NEEDED", [])
    demand(set(needed) <= LIBRARIES[libc], f"{name} needs {needed}")
    newest = (0, 0)
    for section in elf.iter_sections():
        if isinstance(section, GNUVerNeedSection):
            for _, versions in section.iter_versions():
                for version in versions:
                    family, _, number = version.name.partition("_")
                    demand((family, libc) == ("GLIBC", "gnu"), f"{name} needs {version.name}")
                    major, minor, *_ = *number.split("."), "0"
                    newest = max(newest, (int(major), int(minor)))
    demand(newest <= (2, 17), f"{name} needs glibc {newest}")
    [symbols] = [s for s in elf.iter_sections() if isinstance(s, SymbolTableSection) and s.name == ".dynsym"]
    defined = {s.name for s in symbols.iter_symbols() if s["st_shndx"] != "SHN_UNDEF"}
    demand(defined == {f"PyInit_{Path(name).name.partition('.')[0]}"}, f"{name} exports {sorted(defined)}")
    undefined = {s.name for s in symbols.iter_symbols() if s["st_shndx"] == "SHN_UNDEF"}
    if Path(name).name.partition(".")[0] in ARRAYS:
        demand("__stack_chk_fail" in undefined, f"{name}: built without canaries")
    demand(not [s for s in undefined if "san_" in s or s.startswith("__gmp")], f"{name} needs {sorted(undefined)}")
    # zig's run-time library whole, with its mathematics, is a megabyte
    demand(len(data) < MEGABYTE, f"{name} has {len(data)} bytes")
    return f"{newest[0]}.{newest[1]}" if libc == "gnu" else ""


def project_of(tree: Path) -> dict:  # type: ignore[type-arg]
    """Return the table `project` of a tree's pyproject.toml."""
    return tomllib.loads((tree / "pyproject.toml").read_text())["project"]  # type: ignore[no-any-return]


def requirements(project: dict) -> list[str]:  # type: ignore[type-arg]
    """Return what Requires-Dist must say, in one spelling."""
    found = [str(Requirement(line)) for line in project["dependencies"]]
    for extra, lines in project["optional-dependencies"].items():
        for line in lines:
            need = Requirement(line)
            also = f"({need.marker}) and " if need.marker else ""
            need.marker = None
            found.append(str(Requirement(f'{need} ; {also}extra == "{extra}"')))
    return sorted(found)


def compare(what: str, message: Message, wanted: dict[str, list[str]]) -> None:
    """Demand exactly these fields with these values, in any order."""
    found: dict[str, list[str]] = {}
    for name, value in message.items():
        found.setdefault(name, []).append(str(value))
    for name in sorted(found.keys() | wanted):
        have, want = sorted(found.get(name, [])), sorted(wanted.get(name, []))
        demand(have == want, f"{what}: {name} is {have}, not {want}")


def check_metadata(content: Content, info: str, tree: Path) -> None:
    """Compare METADATA, entry points, the package's name and the licences with the tree's."""
    project = project_of(tree)
    metadata = BytesParser().parsebytes(content[f"{info}/METADATA"])
    needs = [str(Requirement(line)) for line in metadata.get_all("Requires-Dist", [])]
    del metadata["Requires-Dist"]
    demand(sorted(needs) == requirements(project), f"METADATA: Requires-Dist is {needs}, not {requirements(project)}")
    wanted = {
        "Metadata-Version": ["2.4"],
        "Name": [project["name"]],
        "Version": [project["version"]],
        "Summary": [project["description"]],
        "Author": [", ".join(author["name"] for author in project["authors"])],
        "License-Expression": [project["license"]],
        "License-File": list(LICENCES),
        "Dynamic": ["license-file"],  # by setuptools, for its license-files
        "Keywords": [",".join(project["keywords"])],
        "Classifier": project["classifiers"],
        "Requires-Python": [project["requires-python"]],
        "Description-Content-Type": ["text/markdown"],
        "Provides-Extra": list(project["optional-dependencies"]),
    }
    compare("METADATA", metadata, wanted)
    readme = (tree / project["readme"]).read_bytes()
    body = content[f"{info}/METADATA"].partition(b"\n\n")[2]
    demand(body.strip() == readme.strip(), f"METADATA: the description is not {project['readme']}")
    points = configparser.ConfigParser(delimiters="=", interpolation=None)
    points.optionxform = str  # type: ignore[assignment,method-assign]
    points.read_string(content[f"{info}/entry_points.txt"].decode())
    found = {section: dict(points[section]) for section in points.sections()}
    demand(found == {"console_scripts": project["scripts"]}, f"entry_points.txt: {found}, not {project['scripts']}")
    top = content[f"{info}/top_level.txt"]
    demand(top == b"bluetusk\n", f"top_level.txt: {top!r}")
    for name in LICENCES:
        same = content[f"{info}/licenses/{name}"] == (tree / name).read_bytes()
        demand(same, f"{info}/licenses/{name} is not the sdist's")


def check(name: str, members: list[tuple[str, bytes]], tree: Path, abi: str, platform: str, words: list[bytes]) -> str:
    """Check a wheel's name and members; return what was found, in words."""
    project = project_of(tree)
    family, _, machine = platform.partition("_")
    libc, system = SYSTEMS[family][0], SYSTEMS[family][1].format(machine)
    stem = f"{project['name']}-{project['version']}"
    demand(name == f"{stem}-{PYTHONS[abi]}-{system}.whl", f"file name: not {stem}-{PYTHONS[abi]}-{system}.whl")
    info, suffix = f"{stem}.dist-info", f"{machine}-linux-{libc}"
    content = dict(members)
    demand(len(members) == len(content), "a member is there twice")
    endings = ".abi3.so" if abi == "cp311" else f".cpython-310-{suffix}.so"
    wanted = expected(tree, info, endings)
    demand(content.keys() == wanted, f"members too many or missing: {sorted(content.keys() ^ wanted)}")
    check_record(content, info)
    for member, data in content.items():
        if member.startswith("bluetusk/") and not member.endswith(".so"):
            demand(data == (tree / "src" / member).read_bytes(), f"{member} is not the sdist's")
        found = [word for word in (*words, *PATHS) if word in data]
        demand(not found, f"{member} holds {found}")
    wheel = BytesParser().parsebytes(content[f"{info}/WHEEL"])
    generator = wheel["Generator"] or ""
    demand(re.fullmatch(r"setuptools \([0-9.]+\)", generator), f"WHEEL: Generator is {generator!r}")
    tags = [f"{PYTHONS[abi]}-{each}" for each in system.split(".")]
    fields = {"Wheel-Version": ["1.0"], "Generator": [generator], "Root-Is-Purelib": ["false"], "Tag": tags}
    compare("WHEEL", wheel, fields)
    check_metadata(content, info, tree)
    modules = {member: data for member, data in content.items() if member.endswith(".so")}
    glibc = max(
        (check_module(member, data, suffix) for member, data in modules.items()), key=lambda text: (len(text), text)
    )
    told = ["auditwheel", "abi3audit"] if abi == "cp311" else ["auditwheel"]
    told += [f"{len(members)} members, metadata as in pyproject.toml"]
    told += [f"{len(modules)} modules: RELRO, bound at load, canaries, no run path, stripped"]
    return ", ".join([*told, f"glibc {glibc} or newer" if glibc else "musl"])


def read(wheel: Path) -> list[tuple[str, bytes]]:
    """Return the members of a wheel; its size is checked here."""
    demand(wheel.stat().st_size < 3 * MEGABYTE, f"{wheel.stat().st_size} bytes")
    with zipfile.ZipFile(wheel) as archive:
        return [(info.filename, archive.read(info)) for info in archive.infolist()]


def check_sdist(sdist: Path, tree: Path, checkout: Path | None) -> str:
    """Check an sdist, unpacked in a tree, and compare it with the files that it was made of."""
    project = project_of(tree)
    stem = f"{project['name']}-{project['version']}"
    demand(sdist.name == f"{stem}.tar.gz", f"file name: not {stem}.tar.gz")
    demand(tree.name == stem, f"its folder is {tree.name}, not {stem}")
    metadata = BytesParser().parsebytes((tree / "PKG-INFO").read_bytes())
    for field in ("name", "version"):
        found = metadata.get_all(field)
        demand(found == [project[field]], f"PKG-INFO: {field} is {found}, not {project[field]}")
    demand((tree / "setup.cfg").read_bytes() == SETUP_CFG, "setup.cfg is not setuptools' own")
    for path in sorted(tree.rglob("*")) if checkout else []:
        name = path.relative_to(tree)
        if path.is_file() and str(name) not in {"PKG-INFO", "setup.cfg"} and name.parts[1:2] != ("bluetusk.egg-info",):
            original = checkout / name  # type: ignore[operator]
            demand(original.is_file() and original.read_bytes() == path.read_bytes(), f"{name} is not the checkout's")
    return f"{sdist.name}: name and version as in pyproject.toml"


def resign(content: Content, info: str) -> None:
    """Make RECORD right again, so that it does not hide what else was spoilt."""
    lines = [f"{info}/RECORD,,\n"]
    for name, data in content.items():
        if name != f"{info}/RECORD":
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            lines.append(f"{name},sha256={digest},{len(data)}\n")
    content[f"{info}/RECORD"] = "".join(lines).encode()


def segment(data: bytes, kind: str, field: int, value: int) -> bytes:
    """Set the type (field 0) or the flags (1) of the first segment of a kind."""
    elf = ELFFile(io.BytesIO(data))
    index = next(i for i, each in enumerate(elf.iter_segments()) if each["p_type"] == kind)
    place = elf["e_phoff"] + index * elf["e_phentsize"] + 4 * field
    return data[:place] + struct.pack("<I", value) + data[place + 4 :]


def dynamic(data: bytes, kind: str, new: tuple[int, int | None]) -> bytes:
    """Replace the first entry of a kind in the dynamic section; None keeps its value."""
    elf = ELFFile(io.BytesIO(data))
    [section] = [each for each in elf.iter_sections() if isinstance(each, DynamicSection)]
    index = next(i for i, tag in enumerate(section.iter_tags()) if tag.entry.d_tag == kind)
    place = section["sh_offset"] + 16 * index
    value = data[place + 8 : place + 16] if new[1] is None else struct.pack("<Q", new[1])
    return data[:place] + struct.pack("<Q", new[0]) + value + data[place + 16 :]


def attack(name: str, members: list[tuple[str, bytes]], tree: Path, abi: str, platform: str, words: list[bytes]) -> str:
    """Spoil a good wheel in many ways and demand that each is refused, with the words that belong to it."""
    check(name, members, tree, abi, platform, words)
    [record] = [each for each, _ in members if each.endswith(".dist-info/RECORD")]
    info = record.rpartition("/")[0]
    [module] = [each for each, _ in members if each.startswith("bluetusk/_kernels/modexp.") and each.endswith(".so")]
    libc = LIBRARIES[SYSTEMS[platform.partition("_")[0]][0]]
    python, machine = PYTHONS[abi], platform.partition("_")[2]
    refused = []

    def refuse(what: str, why: str, new_name: str, new_members: list[tuple[str, bytes]]) -> None:
        try:
            check(new_name, new_members, tree, abi, platform, words)
        except Refused as error:
            demand(why in str(error), f"attack: {what}: refused for another reason: {error}")
            refused.append(what)
        else:
            raise Refused(f"attack: {what}: accepted")

    def spoil(what: str, why: str, member: str, change: Callable[[bytes], bytes]) -> None:
        content = dict(members)
        old = content[member]
        content[member] = change(old)
        demand(content[member] != old, f"attack: {what}: nothing to spoil")
        if member != record:
            resign(content, info)
        refuse(what, why, name, list(content.items()))

    def line(old: str, new: str) -> Callable[[bytes], bytes]:
        return lambda data: re.sub(old.encode(), new.encode(), data, count=1, flags=re.MULTILINE)

    for what, other in {
        "another version": name.replace("-", "-9", 1),
        "another project": f"x{name}",
        "another Python": name.replace(python, "cp312-abi3"),
        "another machine": name.replace(machine, "riscv64"),
        "an older C library": name.replace("manylinux2014", "manylinux1").replace("musllinux_1_2", "musllinux_1_1"),
        "a build number": name.replace(f"-{python}", f"-1-{python}"),
    }.items():
        refuse(f"file name: {what}", "file name", other, members)
    extra = {**dict(members), "bluetusk/extra.py": b""}
    resign(extra, info)
    refuse("a member more", "bluetusk/extra.py", name, list(extra.items()))
    less = {each: data for each, data in members if each != "bluetusk/cli/info.py"}
    resign(less, info)
    refuse("a member less", "bluetusk/cli/info.py", name, list(less.items()))
    refuse("a member twice", "twice", name, [*members, members[0]])
    metadata = [
        ("Name", r"^Name: .*", "Name: other"),
        ("Name", r"^Name: .*", r"\g<0>\nName: other"),
        ("Version", r"^Version: .*", "Version: 9"),
        ("Requires-Python", r"^Requires-Python: .*", "Requires-Python: >=3.8"),
        ("Requires-Python", r"^Requires-Python: .*\n", ""),
        ("Requires-Dist", r"^Requires-Dist: cryptography.*", "Requires-Dist: cryptography"),
        ("Requires-Dist", r"^Requires-Dist: numpy.*\n", ""),
        ("Requires-Dist", r"^Requires-Dist: numpy.*", r"\g<0>\nRequires-Dist: evil"),
        ("Requires-Dist", r"^(Requires-Dist: .*); extra == .*", r"\1"),
        ("Provides-Extra", r"^Provides-Extra: .*", "Provides-Extra: other"),
        ("License-Expression", r"^License-Expression: .*", "License-Expression: MIT"),
        ("License-File", r"^License-File: NOTICE\n", ""),
        ("Dynamic", r"^Version: .*", r"\g<0>\nDynamic: version"),
        ("the description", r"\n\n", r"\n\nMore. "),
    ]
    for field, old, new in metadata:
        spoil(f"METADATA: {field}: {new!r}", f"METADATA: {field}", f"{info}/METADATA", line(old, new))
    texts = [
        ("WHEEL", "WHEEL: Root-Is-Purelib", r"^Root-Is-Purelib: .*", "Root-Is-Purelib: true"),
        ("WHEEL", "WHEEL: Tag", r"^Tag: .*", "Tag: py3-none-any"),
        ("WHEEL", "WHEEL: Build", r"^Tag: .*", r"Build: 1\n\g<0>"),
        ("entry_points.txt", "entry_points.txt", r"bluetusk\.cli:main", "bluetusk.cli:other"),
        ("entry_points.txt", "entry_points.txt", r"\Z", "pip = bluetusk.cli:main\n"),
        ("top_level.txt", "top_level.txt", r"\Z", "numpy\n"),
        ("RECORD", "RECORD is wrong", r"sha256=.", "sha256=_"),
        ("RECORD", "RECORD names other", r"^bluetusk/cli/info\.py,.*\n", ""),
        *((f"licenses/{each}", "is not the sdist's", r"\Z", "\n") for each in LICENCES),
    ]
    for member, why, old, new in texts:
        spoil(f"{member}: {new!r}", why, f"{info}/{member}", line(old, new))
    for member in ("bluetusk/cli/info.py", "bluetusk/_kernels/ring.pyi", "bluetusk/py.typed"):
        spoil(member, "is not the sdist's", member, lambda data: data + b"\n")
    needed = next(each.encode() for each in sorted(libc) if b"\0%s\0" % each.encode() in dict(members)[module])
    modules: list[tuple[str, str, Callable[[bytes], bytes]]] = [
        ("another machine", "is for", lambda data: data[:18] + struct.pack("<H", 243) + data[20:]),
        ("executable stack", "executable stack", lambda data: segment(data, "PT_GNU_STACK", 1, 7)),
        ("no RELRO", "no RELRO", lambda data: segment(data, "PT_GNU_RELRO", 0, 0)),
        ("writable code", "writable and executable", lambda data: segment(data, "PT_LOAD", 1, 7)),
        ("bound late", "bound late", lambda data: dynamic(data, "DT_FLAGS_1", (0x6FFFFFFB, 0))),
        ("run path", "DT_RUNPATH", lambda data: dynamic(data, "DT_NEEDED", (29, None))),
        ("another library", "needs", lambda data: data.replace(b"\0%s\0" % needed, b"\0x%s\0" % needed[1:])),
        ("another export", "exports", lambda data: data.replace(b"\0PyInit_modexp\0", b"\0PyInit_modexx\0")),
        ("no canaries", "canaries", lambda data: data.replace(b"__stack_chk_fail", b"__stack_chk_fall")),
        ("a path of the builder", "holds", lambda data: data + b"/home/builder"),
        ("a megabyte more", "bytes", lambda data: data + bytes(MEGABYTE)),
    ]
    if platform.startswith("manylinux"):
        modules.append(("newer glibc", "needs glibc", lambda data: data.replace(b"\0GLIBC_2.", b"\0GLIBC_3.")))
    for what, why, change in modules:
        spoil(f"module: {what}", why, module, change)
    return f"the check of wheels refuses each of {len(refused)} spoilt ones"


def main(args: list[str]) -> int:
    """Check what the command line names."""
    mode = args.pop(0) if args[0].startswith("--") else ""
    file, tree = Path(args[0]), Path(args[1])
    try:
        if mode == "--sdist":
            print(check_sdist(file, tree, Path(args[2]) if args[2:] else None))
        else:
            words = [word.encode() for word in args[4:]]
            print((attack if mode == "--attack" else check)(file.name, read(file), tree, args[2], args[3], words))
    except (Refused, OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        print(f"{file.name}: {error if isinstance(error, Refused) else repr(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
