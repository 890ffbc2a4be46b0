#!/usr/bin/env python3
"""Checks what the build of the image made.

    check.py sizes UNPACKED PACKED    bytes, against the limit and the table of deploy/container/README.md
    check.py limit PACKED             bytes, against the limit alone: the image of a release, on its own base
    check.py bill FILE BINARY         an SBOM, by the schema of CycloneDX 1.6, and against the crates in the binary
    check.py sources FILE             the sources of the binary, as cargo lists them: a container build sees them all
    check.py facts FILE               the process in the image, as .ci/container/gateway saw it
"""

import json
import pathlib
import re
import sys

SOURCES = pathlib.Path(__file__).resolve().parents[2]
README = SOURCES / "deploy/container/README.md"
# Of the packed layers: what a machine fetches from a registry.
LIMIT = 30_000_000
PROCESS = {
    "health": "ready",
    "uid": ["65532"] * 4,
    "gid": ["65532"] * 4,
    "capabilities": [0] * 4,
    "no_new_privileges": "1",
    "seccomp": "2",
    "writable": ["/proc"],
}


def sizes(unpacked: str, packed: str) -> list:
    """A figure may be 5 % off: another release of Debian or Ubuntu has another C library."""
    faults = []
    row = re.search(r"^\| the image .*\| ([\d.]+) MB \| ([\d.]+) MB \|$", README.read_text(), re.MULTILINE)
    for name, bytes_, stated in zip(("unpacked", "packed"), map(int, (unpacked, packed)), row.groups(), strict=True):
        print(f"{name}: {bytes_ / 1e6:.1f} MB")
        if abs(bytes_ / 1e6 / float(stated) - 1) > 0.05:
            faults.append(f"{README.name} says {stated} MB {name}, and the image has {bytes_ / 1e6:.1f} MB")
    return faults + limit(packed)


def limit(packed: str) -> list:
    """A base from a registry may grow unnoticed."""
    print(f"{int(packed) / 1e6:.1f} MB packed, of {LIMIT / 1e6:.0f} MB at most")
    return ["the image is too large"] if int(packed) >= LIMIT else []


def crates_in(binary: str) -> set:
    """Names and versions in the paths of sources that the binary's messages have, for example of a panic."""
    found = re.findall(rb"/crates/[^/]+/([\w-]+?)-(\d+\.\d[\w.+-]*)/", pathlib.Path(binary).read_bytes())
    return {(name.decode(), version.decode()) for name, version in found}


def bill(file: str, binary: str) -> list:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = pathlib.Path(file).read_text()
    if fault := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        return [f"{file}: {fault}"]
    content = json.loads(text)
    components = {each["bom-ref"]: each for each in content["components"]}
    names = {each["name"] for each in components.values()}
    listed = {(each["name"], each["version"]) for each in components.values()}
    seen = crates_in(binary)
    print(f"{file}: {len(components)} components; messages of the binary name {len(seen)} of them")
    assert len(seen) > 50, "deploy/container/compile writes other paths into the binary now"
    faults = [f"{name} is missing" for name in ("hyper", "aws-lc-sys", "libc6", "ca-certificates") if name not in names]
    faults += [f"{name} {version} is in the binary, and not in {file}" for name, version in sorted(seen - listed)]
    # One compiles other crates only, one tests only.
    faults += [f"{name} is not in the binary" for name in ("serde_derive", "proptest") if name in names]
    for reference, each in components.items():
        if reference.startswith("pkg:cargo/"):
            licence, digest = each["licenses"][0]["expression"], each["hashes"][0]["content"]
            faults += [] if licence and digest else [f"{reference} has no licence or no digest"]
    known = {*components, content["metadata"]["component"]["bom-ref"]}
    for each in content["dependencies"]:
        faults += [f"{reference} is no component" for reference in {each["ref"], *each["dependsOn"]} - known]
    return faults


def sources(file: str) -> list:
    """cargo separates files by spaces, and writes a space of a name with a backslash."""
    ignore = (SOURCES / "deploy/container/Containerfile.dockerignore").read_text().splitlines()
    seen = tuple(line[1:] for line in ignore if line.startswith("!"))
    listed = pathlib.Path(file).read_text().partition(": ")[2]
    names = [name.replace("\\ ", " ") for name in re.split(r"(?<!\\)\s+", listed.strip())]
    inside = [pathlib.Path(name).relative_to(SOURCES) for name in names if name.startswith(f"{SOURCES}/")]
    inside = [path for path in inside if path.parts[0] not in ("target", ".git")]
    print(f"{file}: {len(inside)} sources")
    assert len(inside) > 100, "cargo writes this file in another way now"
    return [f"{path} is not in the build of a container" for path in inside if path.parts[0] not in seen]


def facts(file: str) -> list:
    found = json.loads(pathlib.Path(file).read_text())
    print(f"the process: {found}")
    return [f"{name} is {found[name]}, and must be {value}" for name, value in PROCESS.items() if found[name] != value]


if __name__ == "__main__":
    problems = {"sizes": sizes, "limit": limit, "bill": bill, "sources": sources, "facts": facts}[sys.argv[1]](*sys.argv[2:])
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit(bool(problems))
