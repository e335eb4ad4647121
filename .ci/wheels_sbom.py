#!/usr/bin/env python3
"""Writes the SBOM of a release, CycloneDX 1.6 in JSON. Run by .ci/wheels.

Arguments: INTERPRETER PYPROJECT FOLDER PINS. The interpreter is that of an environment with the runtime dependencies.

Lists the package with the ranges that it asks for, and its runtime dependencies in the releases that it was tried with.
They are installed beside it, none is inside. GMP, MPFR and MPC stand under gmpy2, whose wheel brings them. What tools
left in the modules (Cython's runtime code, one division of zig's) are components of the package; the tools themselves
are properties: none of their files is installed.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

import tomllib
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

BUILDERS = ("setuptools", "Cython", "ziglang", "auditwheel")


def output(*command: str | Path) -> str:
    """Run a program and return what it prints."""
    return subprocess.run([*map(str, command)], check=True, text=True, stdout=subprocess.PIPE).stdout


def edges(installed: dict[str, Distribution]) -> dict[str, list[str]]:
    """Return who needs whom; cyclonedx-py counts what only an extra asks for, like numpy for gmpy2's tests."""
    found = {}
    for name, distribution in installed.items():
        needs = [Requirement(line) for line in distribution.requires or []]
        needs = [need for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
        found[name] = sorted(
            canonicalize_name(need.name) for need in needs if canonicalize_name(need.name) in installed
        )
    return found


def sbom(interpreter: Path, pyproject: Path, folder: Path, pins: Path) -> str:
    """Return the SBOM as text."""
    tool = Path(sys.executable).parent / "cyclonedx-py"
    options = ("--mc-type", "library", "--output-reproducible", "--sv", "1.6", "--of", "JSON")
    bom = json.loads(output(tool, "environment", interpreter, "--pyproject", pyproject, *options))
    project = tomllib.loads(pyproject.read_text())["project"]
    [site] = interpreter.parents[1].glob("lib/python*/site-packages")
    installed = {canonicalize_name(each.metadata["Name"]): each for each in distributions(path=[str(site)])}
    refs = {canonicalize_name(each["name"]): each["bom-ref"] for each in bom["components"]}
    if refs.keys() != installed.keys():
        raise SystemExit(f"cyclonedx-py lists {sorted(refs)}, installed are {sorted(installed)}")

    root = bom["metadata"]["component"]
    asked = [Requirement(line) for line in project["dependencies"]]
    root["licenses"] = [{"expression": project["license"], "acknowledgement": "declared"}]
    root["purl"] = f"pkg:pypi/{project['name']}@{project['version']}"
    versions = dict(line.split("==") for line in pins.read_text().splitlines() if "==" in line)
    root["properties"] = [
        {"name": "bluetusk:gmp", "value": "the library that gmpy2's wheel brings, bound at import; none is inside"},
        *({"name": f"bluetusk:requires:{need.name}", "value": str(need.specifier)} for need in asked),
        *({"name": f"bluetusk:built-with:{name}", "value": versions[name]} for name in BUILDERS),
    ]
    root["components"] = [
        {
            "type": "data",
            "bom-ref": "credit-default",
            "name": "Default of Credit Card Clients",
            "author": "I-Cheng Yeh",
            "description": "bluetusk/demo/credit-default.csv.xz",
            "licenses": [{"license": {"id": "CC-BY-4.0"}}],
            "externalReferences": [{"type": "documentation", "url": "https://doi.org/10.24432/C55S3H"}],
        },
        {
            "type": "library",
            "bom-ref": "compiler-rt",
            "name": "zig-compiler-rt",
            "version": versions["ziglang"],
            "description": "the division of 128-bit integers in the compiled modules of the wheels",
            "licenses": [{"license": {"id": "MIT"}}],
        },
        {
            "type": "library",
            "bom-ref": "cython-runtime",
            "name": "Cython",
            "version": versions["Cython"],
            "description": "runtime code that Cython writes into the compiled modules of the wheels",
            "licenses": [{"license": {"id": "Apache-2.0"}}],
        },
    ]
    root["externalReferences"] = [
        {
            "type": "distribution",
            "url": path.name,
            "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(path.read_bytes()).hexdigest()}],
        }
        for path in sorted(folder.iterdir())
        if path.suffix in {".whl", ".gz"}
    ]
    code = "import gmpy2 as g; print(g.mp_version(), g.mpfr_version(), g.mpc_version(), sep='\\n')"
    brought = dict(line.split(" ", 1) for line in output(interpreter, "-c", code).splitlines())
    [gmpy2] = [each for each in bom["components"] if each["name"] == "gmpy2"]
    gmpy2["components"] = [
        {
            "type": "library",
            "bom-ref": f"{name.lower()}=={version}",
            "name": name.lower(),
            "version": version,
            "description": f"GNU {name}, in gmpy2's wheel"
            + ("; bluetusk calls the same copy" if name == "GMP" else ""),
            "licenses": [
                {"expression": "LGPL-3.0-or-later OR GPL-2.0-or-later" if name == "GMP" else "LGPL-3.0-or-later"}
            ],
        }
        for name, version in brought.items()
    ]
    needs = {refs[name]: [refs[need] for need in needed] for name, needed in edges(installed).items()}
    refs_brought = [each["bom-ref"] for each in gmpy2["components"]]
    needs[gmpy2["bom-ref"]] += refs_brought
    needs |= {ref: [] for ref in refs_brought}
    needs[root["bom-ref"]] = [
        *sorted(refs[canonicalize_name(need.name)] for need in asked),
        "compiler-rt",
        "credit-default",
        "cython-runtime",
    ]
    bom["dependencies"] = [{"ref": ref, "dependsOn": needed} for ref, needed in sorted(needs.items())]
    text = json.dumps(bom, indent=2, sort_keys=True) + "\n"
    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if problem is not None:
        raise SystemExit(f"the SBOM does not fit the schema: {problem}")
    return text


if __name__ == "__main__":
    python, source, files, constraints = map(Path, sys.argv[1:])
    version = tomllib.loads(source.read_text())["project"]["version"]
    (files / f"bluetusk-{version}.cdx.json").write_text(sbom(python, source, files, constraints))
