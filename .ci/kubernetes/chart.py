"""Paths of the chart, and what several of its checks need."""

import sys
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / ".ci/kubernetes"
DEPLOY = ROOT / "deploy/kubernetes"
CHART = DEPLOY / "bedrock-gateway"
EXAMPLES = DEPLOY / "examples"
VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]

# A problem is printed at once; `finish` fails if there was one.
problems: list[str] = []


def problem(text: str) -> None:
    problems.append(text)
    print(f"error: {text}", file=sys.stderr)


def finish(done: str) -> None:
    if problems:
        sys.exit(f"{len(problems)} problems of the chart")
    print(done)


def read(path: Path):
    return yaml.safe_load(path.read_text())


def merged(under: dict, over: dict) -> dict:
    """Values as Helm merges files of them: tables by key, everything else replaced.

    >>> merged({"a": {"b": 1, "c": [1]}}, {"a": {"c": [2]}, "d": 3})
    {'a': {'b': 1, 'c': [2]}, 'd': 3}
    """
    result = dict(under)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def keep_true(path: Path, text: str, write: bool) -> None:
    """Compares a generated file with the committed one, or writes it."""
    if write:
        path.write_text(text)
    elif not path.exists() or path.read_text() != text:
        problem(f"{path.relative_to(ROOT)} is stale: run .ci/kubernetes/run --write")
