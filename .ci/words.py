#!/usr/bin/env python3
"""Finds words that readers stumble over, in code, messages and documents.

Each pattern of `words.toml` stands beside the words to use instead. The exceptions of that file name a path, a
pattern and a reason; one that nothing needs is an error, so that the list stays short.

    .ci/words.py                 everything that git knows
    .ci/words.py src/server docs  files and folders
    .ci/words.py --self-test     shows that each pattern finds its example, and that a finding fails the check
"""

import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENDINGS = {".rs", ".md", ".txt", ".toml", ".json", ".py", ".mjs", ".yml", ".yaml", ".sh", ""}
# The rules quote what they forbid, and the lock files are not ours.
OUTSIDE = {".ci/words.toml", ".ci/words.py", "Cargo.lock", "LICENSE"}
# Inputs of the fuzz targets are bytes of a peer.
NO_TEXT = "tests/fuzz/corpus/"


def rules():
    table = tomllib.loads((HERE / "words.toml").read_text())
    for rule in table["word"]:
        # In names, "_" separates words.
        pattern = rule["pattern"].replace(r"\b", r"(?:\b|(?<=_)|(?=_))")
        rule["regex"] = re.compile(pattern, re.IGNORECASE if not rule.get("case") else 0)
    return table["word"], table.get("exception", [])


def files(paths):
    """The files that git knows or would add. A source archive has no git: then all but hidden folders and builds."""
    # A container may run as another user than the one who owns the checkout.
    git = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *paths]
    listed = subprocess.run(git, capture_output=True, text=True)
    if listed.returncode == 0:
        return listed.stdout.split("\0")[:-1]
    found = (path for top in paths or ["."] for path in [Path(top), *Path(top).rglob("*")])
    skipped = {"target", "node_modules", ".git"}
    return sorted({str(path) for path in found if path.is_file() and not skipped & set(path.parts)})


def texts(paths):
    for name in files(paths):
        path = Path(name)
        if name in OUTSIDE or name.startswith(NO_TEXT) or path.suffix not in ENDINGS or name.endswith("lock.json") or not path.is_file():
            continue
        try:
            yield name, path.read_text()
        except UnicodeDecodeError:
            continue


def findings(name, text, words):
    """Every place of `text` that a pattern finds, line by line."""
    for number, line in enumerate(text.splitlines(), 1):
        for rule in words:
            if found := rule["regex"].search(line):
                yield rule, f'{name}:{number}: "{found.group().strip()}": say {rule["say"]}'


def check(paths):
    words, exceptions = rules()
    needed, count, read = set(), 0, 0
    for name, text in texts(paths):
        read += 1
        for rule, finding in findings(name, text, words):
            for index, exception in enumerate(exceptions):
                if exception["path"] == name and exception["pattern"] == rule["pattern"]:
                    needed.add(index)
                    break
            else:
                count += 1
                print(finding)
    if not read:
        sys.exit(f"no file to check in {' '.join(paths) or 'this folder'}")
    if not paths:
        for index, exception in enumerate(exceptions):
            if index not in needed:
                count += 1
                print(f'.ci/words.toml: nothing needs the exception for "{exception["pattern"]}" in {exception["path"]}')
    return count


def expect(holds, message):
    if not holds:
        sys.exit(f"self-test: {message}")


def self_test():
    words, exceptions = rules()
    expect(words, "there are no patterns")
    for exception in exceptions:
        expect(exception.get("why"), f"an exception of {exception['path']} says no reason")
    for rule in words:
        expect(any(found is rule for found, _ in findings("example", rule["example"], words)), rule["example"])
        expect(not any(found is rule for found, _ in findings("say", rule["say"], words)), rule["say"])
    with tempfile.TemporaryDirectory() as folder:
        # The run of CI: this script and these rules in a repository, without a path.
        ci = Path(folder, ".ci")
        ci.mkdir()
        ci.joinpath("words.py").write_text(HERE.joinpath("words.py").read_text())
        patterns = HERE.joinpath("words.toml").read_text().split("\n[[exception]]")[0]
        subprocess.run(["git", "init", "-q", folder], check=True)
        page, rejected = Path(folder, "page.md"), words[0]["example"] + "\n"
        exempt = f"\n[[exception]]\npath = 'page.md'\npattern = '{words[0]['pattern']}'\nwhy = 'a test'\n"
        for text, exception, code in [
            ("The gateway rejects the token.\n", "", 0),
            (rejected, "", 1),
            (rejected, exempt, 0),
            ("The gateway rejects the token.\n", exempt, 1),
        ]:
            page.write_text(text)
            ci.joinpath("words.toml").write_text(patterns + exception)
            ended = subprocess.run([sys.executable, ci / "words.py"], cwd=folder, capture_output=True, text=True)
            expect(ended.returncode == code, f"{text!r} {exception!r} ended with {ended.returncode}: {ended.stdout}")
    print(f"{len(words)} patterns find their examples, and a finding fails the check")


if __name__ == "__main__":
    # Paths are those of the repository, wherever this was called.
    os.chdir(HERE.parent)
    if sys.argv[1:] == ["--self-test"]:
        self_test()
    elif count := check(sys.argv[1:]):
        sys.exit(f"{count} to change; CONTRIBUTING.md has the ten rules, docs/GLOSSARY.md the words")
