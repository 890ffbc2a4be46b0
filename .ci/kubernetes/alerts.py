"""Tests each alert by promtool: it fires when it should, and not without cause. Checks the dashboard's queries, too.

    python .ci/kubernetes/alerts.py OUT
"""

import json
import re
import subprocess
import sys
from pathlib import Path

from chart import CHART, HERE, ROOT, finish, problem, read

RULES = CHART / "files/alerts.yaml"
AT = "20m"


def tests() -> dict:
    rules = {rule["alert"]: rule for group in read(RULES)["groups"] for rule in group["rules"]}
    cases = read(HERE / "alerts.yaml")
    for name in rules.keys() ^ cases.keys():
        problem(f"{name} is only in one of files/alerts.yaml and .ci/kubernetes/alerts.yaml")
    found = []
    for name, case in cases.items():
        rule = rules.get(name, {})
        alert = {"exp_labels": {**rule.get("labels", {}), **case.get("labels", {})}}
        alert["exp_annotations"] = rule.get("annotations", {})
        for kind, expected in (("fires", [alert]), ("quiet", [])):
            series = [{"series": series, "values": values} for series, values in case[kind].items()]
            when = {"eval_time": AT, "alertname": name, "exp_alerts": expected}
            found.append({"name": f"{name} {kind}", "interval": "1m", "input_series": series, "alert_rule_test": [when]})
    return {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": found}


def dashboard() -> dict:
    """The dashboard's queries as rules, so that promtool reads them. Each metric is one of docs/METRICS.md."""
    documented = set(re.findall(r"^\| `(\w+)`", (ROOT / "docs/METRICS.md").read_text(), re.MULTILINE))
    rules = []
    seen: set[int] = set()
    for panel in json.loads((CHART / "files/dashboard.json").read_text())["panels"]:
        if panel["id"] in seen:
            problem(f"the dashboard has two panels {panel['id']}")
        seen.add(panel["id"])
        for target in panel["targets"]:
            for metric in re.findall(r"\b(?:bedrock_gateway|process)_\w+", target["expr"]):
                if re.sub(r"_(bucket|count|sum)$", "", metric) not in documented:
                    problem(f"the dashboard's panel {panel['title']} reads {metric}, which docs/METRICS.md does not have")
            expression = target["expr"].replace("$__rate_interval", "5m").replace("$job", ".*")
            rules.append({"record": f"panel:{panel['id']}:{target['refId']}", "expr": expression})
    return {"groups": [{"name": "dashboard", "rules": rules}]}


def main() -> None:
    out = Path(sys.argv[1])
    for name, content in (("alerts-test", tests()), ("dashboard-rules", dashboard())):
        (out / f"{name}.json").write_text(json.dumps(content))
    # JSON is YAML. checkov reads *.yaml of the folder, so these are not named so.
    for command in (
        ["check", "rules", RULES],
        ["check", "rules", out / "dashboard-rules.json"],
        ["test", "rules", out / "alerts-test.json"],
    ):
        done = subprocess.run(["promtool", *command], capture_output=True, text=True)
        if done.returncode:
            problem(f"promtool {command[0]} {command[1]}:\n{done.stdout}{done.stderr}")
    finish(f"{len(read(HERE / 'alerts.yaml'))} alerts fire when they should, and the dashboard's queries are valid.")


main()
