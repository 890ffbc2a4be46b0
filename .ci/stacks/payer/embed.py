"""Keeps what the CloudFormation templates of the payer embed equal to its source in deploy/payer.

    python .ci/stacks/payer/embed.py            compares; exits with 1 if a template differs
    python .ci/stacks/payer/embed.py --write    writes the templates

A comment `# from SOURCE` precedes each embedded block: a literal text (`Key: |`), the columns of the query, or those
of the table.
"""

import csv
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SOURCES = ROOT / "deploy/payer"
TEMPLATES = [ROOT / "deploy/cloudformation" / name for name in ("payer.yaml", "budgets.yaml")]
MARK = re.compile(r"^( *)# from (\S+)$")


def columns() -> list[tuple[str, str]]:
    with (SOURCES / "columns.csv").open(newline="") as file:
        return [(row["name"], row["type"]) for row in csv.DictReader(file)]


def query() -> str:
    return "SELECT " + ", ".join(name for name, _ in columns()) + " FROM COST_AND_USAGE_REPORT"


def block(key: str, source: str, indent: str) -> list[str]:
    """The lines below the line of the key."""
    inner = indent + "  "
    if source == "columns.csv" and key.startswith("Columns:"):
        return [f"{indent}  - {{Name: {name}, Type: '{kind}'}}" for name, kind in columns()]
    if source == "columns.csv":
        return [inner + line for line in wrapped(query(), 118 - len(inner))]
    text = (SOURCES / source).read_text().rstrip("\n")
    return [inner + line if line else "" for line in text.split("\n")]


def wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        if len(lines[-1]) + len(word) + 1 > width:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return lines


def embedded(text: str) -> str:
    lines, out, index = text.split("\n"), [], 0
    while index < len(lines):
        out.append(lines[index])
        mark = MARK.match(lines[index])
        index += 1
        if not mark:
            continue
        indent, source = mark.groups()
        out.append(lines[index])
        out += block(lines[index].strip(), source, indent)
        index += 1
        while index < len(lines) and (lines[index].startswith(indent + "  ") or not lines[index]):
            index += 1
        while not lines[index - 1]:
            index -= 1
    return "\n".join(out)


def main() -> int:
    faults = 0
    for template in TEMPLATES:
        text = template.read_text()
        expected = embedded(text)
        if "--write" in sys.argv:
            template.write_text(expected)
        elif text != expected:
            faults += 1
            print(f"{template}: differs from deploy/payer; run this with --write", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
