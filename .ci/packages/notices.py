#!/usr/bin/env python3
"""Prints the licence texts of all crates that the binary contains, as their licences demand of who distributes it."""

import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
NAMES = ("license", "licence", "copying", "notice", "copyright", "unlicense")


def crates(target: str) -> list[dict]:
    """The packages that are linked into the binary: no build scripts, no tests, no other platform."""
    metadata = json.loads(
        subprocess.run(
            ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", target],
            cwd=ROOT, check=True, stdout=subprocess.PIPE,
        ).stdout
    )
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    start = metadata["resolve"]["root"]
    found, todo = {start}, [start]
    while todo:
        for dependency in nodes[todo.pop()]["deps"]:
            normal = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            if normal and dependency["pkg"] not in found:
                found.add(dependency["pkg"])
                todo.append(dependency["pkg"])
    packages = [package for package in metadata["packages"] if package["id"] in found - {start}]
    return sorted(packages, key=lambda package: (package["name"], package["version"]))


def texts(package: dict) -> list[str]:
    """The licence files beside a crate's manifest."""
    folder = pathlib.Path(package["manifest_path"]).parent
    files = [file for file in folder.iterdir() if file.is_file() and file.name.lower().startswith(NAMES)]
    return [file.read_text(encoding="utf-8", errors="replace").strip() for file in sorted(files)]


def main() -> None:
    host = subprocess.run(["rustc", "-vV"], check=True, stdout=subprocess.PIPE, text=True).stdout
    target = host.split("host: ")[1].split("\n")[0]
    users: dict[str, list[str]] = {}
    print("bedrock-gateway contains these crates, under these licences. The texts follow, each once.\n")
    print("Rust's standard library: MIT OR Apache-2.0, the Rust Project Contributors")
    for package in crates(target):
        name = f"{package['name']} {package['version']}"
        authors = [author.split(" <")[0] for author in package["authors"]] or ["its authors"]
        print(f"{name}: {package['license'] or 'see its text'}, {', '.join(authors)}")
        found = texts(package)
        if not found and not package["license"]:
            sys.exit(f"{name} has neither a licence nor its text")
        for text in found:
            users.setdefault(text, []).append(name)
    for text, names in users.items():
        print(f"\n{'-' * 100}\n{', '.join(names)}\n{'-' * 100}\n\n{text}")


main()
