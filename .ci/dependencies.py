#!/usr/bin/env python3
"""Checks the locked dependency graph: licences are ones we accept, banned crates are absent."""

import json
import re
import subprocess
import sys

ACCEPTED = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
    "CDLA-Permissive-2.0", "ISC", "MIT", "MIT-0", "OpenSSL", "Unicode-3.0", "Unlicense", "Zlib",
}
# What must not come back, and why.
BANNED = {
    "ring": "aws-lc-rs is the one crypto library",
    "openssl": "rustls is the one TLS library",
    "openssl-sys": "rustls is the one TLS library",
    "native-tls": "rustls is the one TLS library",
    "rsa": "RUSTSEC-2023-0071, unfixed",
    "reqwest": "hyper-util's client is the one HTTP client",
}
BANNED_BELOW = {"hyper": (1,), "http": (1,), "h2": (0, 4), "rustls": (0, 23)}


def accepted(expression: str) -> bool:
    """Evaluates an SPDX expression of OR, AND and parentheses over the accepted licences."""
    tokens = re.findall(r"\(|\)|[^()\s/]+(?:\s+WITH\s+[^()\s/]+)?|/", expression)
    words = []
    for token in tokens:
        if token in ("(", ")"):
            words.append(token)
        elif token in ("OR", "/"):
            words.append("or")
        elif token == "AND":
            words.append("and")
        else:
            words.append(str(re.sub(r"\s+", " ", token) in ACCEPTED))
    return bool(eval(" ".join(words), {"__builtins__": {}}))  # only True, False, and, or, ( )


def built() -> set:
    """Names and versions that are compiled; `cargo metadata` also lists what sits behind features nobody turned on."""
    command = ["cargo", "tree", "--locked", "--workspace", "--edges=all", "--prefix=none", "--format={p}"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return {tuple(line.replace(" v", " ").split()[:2]) for line in lines if line.strip()}


def main() -> int:
    command = ["cargo", "metadata", "--locked", "--format-version=1", "--filter-platform=x86_64-unknown-linux-gnu"]
    metadata = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    compiled = built()
    packages = [package for package in metadata["packages"] if (package["name"], package["version"]) in compiled]
    faults = []
    for package in packages:
        name, version, licence = package["name"], package["version"], package["license"]
        if licence is None and not package["license_file"]:
            faults.append(f"{name} {version} states no licence")
        elif licence is not None and not accepted(licence):
            faults.append(f"{name} {version} has the licence {licence}")
        if name in BANNED:
            faults.append(f"{name} {version} is banned: {BANNED[name]}")
        least = BANNED_BELOW.get(name)
        if least and tuple(int(part) for part in version.split(".")[: len(least)]) < least:
            faults.append(f"{name} {version} is banned below {'.'.join(map(str, least))}")
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{len(packages)} packages, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
