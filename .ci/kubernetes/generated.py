"""Generates what the chart repeats from another file, and compares it with what is committed.

    python .ci/kubernetes/generated.py [--write]

files/alerts.yaml is generated from docs/METRICS.md; the descriptions of values.schema.json and the table of the chart's
README from the comments of values.yaml.
"""

import json
import re
import sys
import textwrap

from chart import CHART, ROOT, VERSION, finish, keep_true, problem, read

METRICS = (ROOT / "docs/METRICS.md").read_text()
REPOSITORY = "https://github.com/bedrock-gateway/bedrock-gateway/blob/main"
ALERT = re.compile(
    r"^\*\*(?P<summary>[^*]+)\*\* \(`(?P<name>\w+)`, (?P<severity>critical|warning)(?:, for (?P<time>\w+))?\)\."
    r"(?P<text>.*?)\n\n```promql\n(?P<expr>.*?)\n```",
    re.MULTILINE | re.DOTALL,
)


def alerts() -> str:
    section = METRICS.split("\n## Alerts\n")[1].split("\n## ")[0]
    found = list(ALERT.finditer(section))
    if len(found) != section.count("```promql"):
        problem("docs/METRICS.md has an alert without its name, its severity and its expression")
    lines = [
        "# The alerts of docs/METRICS.md, from which CI generates this file. Prometheus reads it as it is.",
        "groups:",
        "  - name: bedrock-gateway",
        "    rules:",
    ]
    for alert in found:
        # Links of the document lose their targets: the runbook is the document.
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", " ".join(alert["text"].split())).replace("`", "")
        lines += [f"      - alert: {alert['name']}", "        expr: |-"]
        lines += [f"          {line}" for line in alert["expr"].splitlines()]
        if alert["time"]:
            lines.append(f"        for: {alert['time']}")
        lines += ["        labels:", f"          severity: {alert['severity']}", "        annotations:"]
        lines.append(f"          summary: {json.dumps(alert['summary'] + '.')}")
        if text:
            lines += ["          description: >-"]
            lines += [f"            {line}" for line in textwrap.wrap(text, 105, break_on_hyphens=False)]
        lines.append(f"          runbook_url: {REPOSITORY}/docs/METRICS.md#alerts")
    return "\n".join(lines) + "\n"


def documented() -> dict[str, str]:
    """The comment of each value by its path. A comment at the left margin after a blank line may be of the file."""
    comments: dict[str, str] = {}
    above: list[str] = []
    path: list[str] = []
    for line in (CHART / "values.yaml").read_text().splitlines():
        key = re.match(r"( *)(\w+):", line)
        if line.strip().startswith("#"):
            above.append(line.strip()[1:].strip())
        elif key:
            path = [*path[: len(key[1]) // 2], key[2]]
            if above:
                comments[".".join(path)] = " ".join(above)
            above = []
        else:
            above = []
    return comments


def leaves(values: dict, comments: dict, before: str = "") -> list[tuple[str, object]]:
    """The values of the table: one with a comment is a value as a whole."""
    found = []
    for key, value in values.items():
        path = f"{before}{key}"
        inner = isinstance(value, dict) and any(name.startswith(f"{path}.") for name in comments)
        if inner:
            found += leaves(value, comments, f"{path}.")
        else:
            if path not in comments:
                problem(f"values.yaml: {path} has no comment")
            found.append((path, value))
    return found


def schema(comments: dict) -> str:
    whole = json.loads((CHART / "values.schema.json").read_text())
    known = set()

    def describe(node: dict, path: str) -> None:
        node.pop("description", None)
        if path in comments:
            described = {"description": comments[path], **node}
            node.clear()
            node.update(described)
        if "properties" in node:
            if node.get("additionalProperties") is not False:
                problem(f"values.schema.json: {path or 'the top'} accepts any name")
            for name, child in node["properties"].items():
                child_path = f"{path}.{name}" if path else name
                known.add(child_path)
                describe(child, child_path)

    describe(whole, "")
    for path, value in leaves(read(CHART / "values.yaml"), comments):
        if path not in known:
            problem(f"values.schema.json does not have {path}")
    for path in known - {"global"}:
        value = read(CHART / "values.yaml")
        for part in path.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        # values.yaml has no keys of lists' objects, and not all keys of resources.
        if value is None and not path.startswith("resources."):
            problem(f"values.yaml does not have {path}, which values.schema.json has")
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def table(comments: dict) -> str:
    rows = ["| Value | Default | Meaning |", "|---|---|---|"]
    for path, value in leaves(read(CHART / "values.yaml"), comments):
        default = json.dumps(value, ensure_ascii=False)
        shown = "see `values.yaml`" if len(default) > 40 else f"`{default}`"
        rows.append(f"| `{path}` | {shown} | {comments.get(path, '')} |")
    return "\n".join(rows)


def main() -> None:
    write = "--write" in sys.argv
    comments = documented()
    keep_true(CHART / "files/alerts.yaml", alerts(), write)
    keep_true(CHART / "values.schema.json", schema(comments), write)
    readme = CHART / "README.md"
    before, rest = readme.read_text().split("<!-- values -->\n")
    _, after = rest.split("\n<!-- end of values -->")
    generated = f"{before}<!-- values -->\n{table(comments)}\n<!-- end of values -->{after}"
    keep_true(readme, generated, write)
    about = read(CHART / "Chart.yaml")
    for key in ("version", "appVersion"):
        if about[key] != VERSION:
            problem(f"Chart.yaml: {key} is {about[key]}, and Cargo.toml has {VERSION}")
    finish("The chart repeats nothing that is out of date.")


main()
