#!/usr/bin/env python3
"""Checks the locked dependency graph against deny.toml: every licence is allowed, denied crates are absent."""

import doctest
import json
import pathlib
import re
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent


def allowed(expression: str, licences: set) -> bool:
    """Whether the licences satisfy an SPDX expression. OR binds weakest, then AND, then WITH (SPDX 2.3, annex D).

    >>> accepted = {"MIT", "Apache-2.0 WITH LLVM-exception", "ISC"}
    >>> [allowed(text, accepted) for text in ("MIT", "GPL-3.0", "GPL-3.0 OR MIT", "GPL-3.0/MIT")]
    [True, False, True, True]
    >>> [allowed(text, accepted) for text in ("MIT AND GPL-3.0", "MIT AND (GPL-3.0 OR ISC)")]
    [False, True]
    >>> [allowed(text, accepted) for text in ("MIT OR ISC AND GPL-3.0", "(MIT OR ISC) AND GPL-3.0")]
    [True, False]
    >>> [allowed(text, accepted) for text in ("Apache-2.0 WITH  LLVM-exception", "Apache-2.0", "MIT WITH x")]
    [True, False, False]
    >>> for wrong in ("", "MIT OR", "(MIT", "MIT)", "MIT ISC", "AND MIT"):
    ...     try:
    ...         allowed(wrong, accepted)
    ...     except ValueError as error:
    ...         print(error)
    no SPDX expression: ''
    no SPDX expression: 'MIT OR'
    no SPDX expression: '(MIT'
    no SPDX expression: 'MIT)'
    no SPDX expression: 'MIT ISC'
    no SPDX expression: 'AND MIT'
    """
    words = re.findall(r"[()/]|[^()/\s]+", expression)

    def skip(*wanted: str) -> bool:
        return bool(words) and words[0] in wanted and bool(words.pop(0))

    def require(is_so: bool) -> None:
        if not is_so:
            raise ValueError(f"no SPDX expression: {expression!r}")

    def alternatives() -> bool:
        result = conjunction()
        while skip("OR", "/"):  # old manifests write a slash
            result = conjunction() or result
        return result

    def conjunction() -> bool:
        result = operand()
        while skip("AND"):
            result = operand() and result
        return result

    def operand() -> bool:
        if skip("("):
            result = alternatives()
            require(skip(")"))
            return result
        licence = identifier()
        return (f"{licence} WITH {identifier()}" if skip("WITH") else licence) in licences

    def identifier() -> str:
        require(bool(words) and words[0] not in ("(", ")", "/", "OR", "AND", "WITH"))
        return words.pop(0)

    result = alternatives()
    require(not words)
    return result


def numbers(version: str) -> tuple:
    return tuple(int(part) for part in version.split("."))


def denies(crate: str, name: str, version: str) -> bool:
    """Whether cargo-deny's specification `crate` matches this package.

    >>> [denies(crate, "h2", "0.3.27") for crate in ("h2", "h2:<0.4", "h2:<0.3", "hyper")]
    [True, True, False, False]
    >>> denies("h2:^0.3", "h2", "0.3.27")
    Traceback (most recent call last):
    ValueError: only `name` and `name:<version` are read here: h2:^0.3
    """
    specification = re.fullmatch(r"([\w-]+)(?::<(\d+(?:\.\d+)*))?", crate)
    if not specification:
        raise ValueError(f"only `name` and `name:<version` are read here: {crate}")
    denied, below = specification.groups()
    if denied != name or below is None:
        return denied == name
    below = numbers(below)
    return numbers(re.split(r"[-+]", version)[0])[: len(below)] < below


def built() -> set:
    """Names and versions of the packages that are compiled; `cargo metadata` also lists those of disabled features."""
    command = ["cargo", "tree", "--locked", "--workspace", "--edges=all", "--prefix=none", "--format={p}"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return {tuple(line.replace(" v", " ").split()[:2]) for line in lines if line.strip()}


def faults_of(package: dict, allow: set, deny: list) -> list:
    name, version, licence = package["name"], package["version"], package["license"]
    faults = [
        f"{name} {version} is denied: {entry['reason']}" for entry in deny if denies(entry["crate"], name, version)
    ]
    try:
        if licence is None:
            faults.append(f"{name} {version} states no licence")
        elif not allowed(licence, allow):
            faults.append(f"{name} {version} has the licence {licence}")
    except ValueError as error:
        faults.append(f"{name} {version}: {error}")
    return faults


def main() -> int:
    if doctest.testmod().failed:
        return 1
    rules = tomllib.loads((ROOT / "deny.toml").read_text())
    allow, deny = set(rules["licenses"]["allow"]), rules["bans"]["deny"]
    target = rules["graph"]["targets"][0]
    command = ["cargo", "metadata", "--locked", "--format-version=1", f"--filter-platform={target}"]
    metadata = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    compiled = built()
    packages = [package for package in metadata["packages"] if (package["name"], package["version"]) in compiled]
    faults = [fault for package in packages for fault in faults_of(package, allow, deny)]
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{len(packages)} packages, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
