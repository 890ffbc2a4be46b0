"""Renders the chart with each documented combination of values, and checks what comes out.

    python .ci/kubernetes/render.py OUT

Writes OUT/CASE.yaml for each case, and OUT/foreign.json with the objects that Kubernetes itself does not define.
GATEWAY names the built program, which checks each rendered configuration.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import kubernetes_validate
import yaml
from balancers import check_balancers, check_names, combinations, releases, seconds
from chart import CHART, EXAMPLES, HERE, finish, merged, problem, read
from helm_python import Chart, lint
from helm_python.errors import HelmError

# From kubeVersion of Chart.yaml to the newest that kubernetes-validate has. Each costs three seconds.
KUBERNETES = ["1.27", "1.30", "1.33", "1.35", "1.37"]
FOREIGN = ("gateway.networking.k8s.io/", "monitoring.coreos.com/")
GATEWAY = os.environ["GATEWAY"]
warnings.filterwarnings("ignore", category=UserWarning, module="kubernetes_validate")


def cases() -> dict[str, dict]:
    base = read(HERE / "base.yaml")
    found = {"base": base}
    overlays = [path for path in EXAMPLES.glob("*.yaml") if path.stem != "caller"]
    for path in sorted([*overlays, *HERE.glob("values/*.yaml")]):
        for number, overlay in enumerate(yaml.safe_load_all(path.read_text())):
            found[path.stem + (f"-{number + 1}" if number else "")] = merged(base, overlay)
    return found | combinations(base)


def set_values(values: dict, defaults: dict, before: str = "") -> set[str]:
    """The paths of values that differ from the defaults."""
    found = set()
    for key, value in values.items():
        path = f"{before}{key}"
        default = defaults.get(key) if isinstance(defaults, dict) else None
        if isinstance(value, dict) and isinstance(default, dict) and default:
            found |= set_values(value, default, f"{path}.")
        elif value != default:
            found.add(path)
    return found


def validate(case: str, item: dict) -> None:
    for version in KUBERNETES:
        try:
            kubernetes_validate.validate(item, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            problem(f"{case}: {item['kind']} {item['metadata']['name']}, Kubernetes {version}: {error.message}")
            return


def check_configuration(case: str, objects: list[dict]) -> None:
    for item in objects:
        files = item.get("data", {}) if item["kind"] == "ConfigMap" else {}
        if "gateway.toml" in files:
            command = [GATEWAY, "check", "--skip-files", "--strict", "--config", "-"]
            done = subprocess.run(command, input=files["gateway.toml"], capture_output=True, text=True)
            if done.returncode:
                problem(f"{case}: the gateway rejects its configuration:\n{done.stdout}{done.stderr}")
        if "deny.toml" in files:
            check_deny_file(case, files["deny.toml"])


def check_deny_file(case: str, text: str) -> None:
    """The gateway reads the deny file for `check`, if its configuration names it."""
    with tempfile.TemporaryDirectory() as folder:
        deny = Path(folder, "deny.toml")
        deny.write_text(text)
        config = read(HERE / "base.yaml")["config"]
        listen = '[listen]\nhttp = "127.0.0.1:8080"\n[revoke]\nfile = "deny.toml"\n'
        Path(folder, "gateway.toml").write_text(listen + config)
        command = [GATEWAY, "check", "--strict", "--config", f"{folder}/gateway.toml"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            problem(f"{case}: the gateway rejects its deny file:\n{done.stdout}{done.stderr}")


def only(objects: list[dict], kind: str) -> dict:
    return next(item for item in objects if item["kind"] == kind)


def check_pods(case: str, objects: list[dict], values: dict) -> None:
    """What neither Kubernetes nor a linter knows: the parts fit each other, and the gateway."""
    deployment = only(objects, "Deployment")
    pod = deployment["spec"]["template"]
    labels = pod["metadata"]["labels"]
    container = pod["spec"]["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for item in objects:
        spec = item.get("spec", {})
        selector = {"Service": spec.get("selector"), "Deployment": spec.get("selector", {}).get("matchLabels")}.get(
            item["kind"]
        )
        if item["kind"] in ("PodDisruptionBudget", "NetworkPolicy"):
            selector = spec.get("selector", spec.get("podSelector"))["matchLabels"]
        if selector and not selector.items() <= labels.items():
            problem(f"{case}: {item['kind']} {item['metadata']['name']} selects other pods")
        if item["kind"] == "Service":
            for port in spec["ports"]:
                if port["targetPort"] not in ports:
                    problem(f"{case}: the Service has the port {port['targetPort']}, and the pods do not")
        if item["kind"] == "ServiceMonitor":
            probe = next(one for one in objects if one["metadata"]["name"].endswith("-probe"))
            if not spec["selector"]["matchLabels"].items() <= probe["metadata"]["labels"].items():
                problem(f"{case}: the ServiceMonitor selects another Service")
    test = next(item for item in objects if item["kind"] == "Pod")
    if deployment["spec"]["selector"]["matchLabels"].items() <= test["metadata"]["labels"].items():
        problem(f"{case}: the Service sends calls to the test pod")
    for probe, path in (("livenessProbe", "/healthz"), ("readinessProbe", "/readyz"), ("startupProbe", "/healthz")):
        if container.get(probe, {}).get("httpGet") != {"path": path, "port": "probe"}:
            problem(f"{case}: the {probe} does not ask {path}")
    if any("subPath" in mount for mount in container["volumeMounts"]):
        problem(f"{case}: the kubelet does not update a subPath")
    grace = pod["spec"]["terminationGracePeriodSeconds"]
    drain = seconds(values["listen"]["drainDelay"]) + seconds(values["listen"]["drainTimeout"])
    if grace < drain + 10:
        problem(f"{case}: the grace period of {grace} s is shorter than a drain of {drain} s")
    check_listeners(case, objects, ports)


def check_listeners(case: str, objects: list[dict], ports: dict) -> None:
    """The pod's ports are those of the configuration that the chart writes."""
    for item in objects:
        text = item.get("data", {}).get("gateway.toml", "")
        for name, address in re.findall(r'^(https?|probe) = "(?:0\.0\.0\.0|\[::\]):(\d+)"', text, re.MULTILINE):
            if ports.get(name) != int(address):
                problem(f"{case}: the configuration has {name} on port {address}, and the pod {ports}")


def rendered(chart: Chart, values: dict, name: str = "demo", namespace: str = "llm") -> list[dict]:
    texts = chart.render(values, name=name, namespace=namespace)
    texts = {path: text for path, text in texts.items() if not path.endswith("NOTES.txt")}
    return [item for text in texts.values() for item in yaml.safe_load_all(text) if item]


def check_notes(case: str, chart: Chart, values: dict) -> None:
    """The notes have the tables that an existing ConfigMap needs, and the gateway accepts them."""
    texts = chart.render(values, name="demo", namespace="llm")
    notes = next(text for path, text in texts.items() if path.endswith("NOTES.txt"))
    if not values.get("existingConfigMap"):
        if "[listen]" in notes:
            problem(f"{case}: the notes demand what the chart has written")
        return
    tables = notes.split("---\n")[1]
    config = read(HERE / "base.yaml")["config"]
    check_configuration(case, [{"kind": "ConfigMap", "data": {"gateway.toml": tables + config}}])
    for line in ('probe = "0.0.0.0:9090"', 'file = "/etc/bedrock-gateway/deny.toml"'):
        if line not in tables.splitlines():
            problem(f"{case}: the notes do not have {line}")


def refused(chart: Chart) -> None:
    """Each misspelt name is refused by the schema, and each contradiction by the chart's own words."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    base = read(HERE / "base.yaml")

    def sections(node: dict, path: list[str]):
        if "properties" in node:
            yield path
            for name, child in node["properties"].items():
                yield from sections(child, [*path, name])

    for path in sections(schema, []):
        wrong: dict = {"mispelt": 1}
        for name in reversed(path):
            wrong = {name: wrong}
        expect_refusal(chart, merged(base, wrong), "mispelt", f"a misspelt name in {'.'.join(path) or 'the top'}")
    for wrong in yaml.safe_load_all((HERE / "refused.yaml").read_text()):
        expect_refusal(chart, merged(base, wrong["values"]), wrong["says"], json.dumps(wrong["values"]))


def expect_refusal(chart: Chart, values: dict, words: str, name: str) -> None:
    try:
        chart.render(values, name="demo")
    except HelmError as error:
        if words not in str(error):
            problem(f"{name}: the refusal does not say {words!r}: {error}")
    else:
        problem(f"{name} is accepted")


def check_caller(objects: list[dict]) -> None:
    """The worked example: the caller's token is the one that its case has."""
    caller = list(yaml.safe_load_all((EXAMPLES / "caller.yaml").read_text()))
    for item in caller:
        validate("caller", item)
    pod = only(caller, "Job")["spec"]["template"]["spec"]
    token = pod["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]
    claims = json.loads((EXAMPLES / "cases/indexer.json").read_text())["claims"]
    account = claims["kubernetes.io"]
    seen = [account["namespace"], account["serviceaccount"]["name"], claims["aud"]]
    job = only(caller, "Job")["metadata"]["namespace"]
    if seen != [job, pod["serviceAccountName"], [token["audience"]]]:
        problem("examples/caller.yaml has another token than cases/indexer.json")
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "gateway.toml")
        config.write_text(only(objects, "ConfigMap")["data"]["gateway.toml"])
        command = [GATEWAY, "check", "--skip-files", "--config", config, "--cases", EXAMPLES / "cases"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            problem(f"the cases of the worked example fail:\n{done.stdout}{done.stderr}")


def main() -> None:
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("*.yaml"):
        old.unlink()
    used: set[str] = set()
    foreign = []
    with Chart.load(CHART) as chart:
        defaults = chart.values
        for case, values in cases().items():
            used |= set_values(values, defaults)
            objects = rendered(chart, values)
            whole = chart.merge_values(values)
            for item in objects:
                if item["apiVersion"].startswith(FOREIGN):
                    foreign.append({"case": case, "object": item})
                else:
                    validate(case, item)
            check_configuration(case, objects)
            check_pods(case, objects, whole)
            check_balancers(case, objects, whole)
            check_notes(case, chart, values)
            if case == "workloads":
                check_caller(objects)
            (out / f"{case}.yaml").write_text(yaml.safe_dump_all(objects, sort_keys=False))
            report = lint(CHART, values, strict=True, kube_version="v1.37.0")
            # No icon is no fault.
            bad = [one for one in report["messages"] if one["severity"] >= 2]
            for one in bad:
                problem(f"{case}: helm lint: {one['path']}: {one['error']}")
        refused(chart)
        base = read(HERE / "base.yaml")
        check_names({release: rendered(chart, base, *release) for release in releases()})
        for path in sorted(set_values_of_schema(defaults) - used):
            problem(f"no case sets {path}: add it to .ci/kubernetes/values")
    (out / "foreign.json").write_text(json.dumps(foreign))
    finish(f"{len(cases())} combinations of values are valid, from Kubernetes {KUBERNETES[0]} to {KUBERNETES[-1]}.")


def set_values_of_schema(values: dict, before: str = "") -> set[str]:
    """The paths of all values: an empty table is one."""
    found = set()
    for key, value in values.items():
        path = f"{before}{key}"
        found |= set_values_of_schema(value, f"{path}.") if isinstance(value, dict) and value else {path}
    # Defaults that are right for everyone; a change of them is the user's own risk.
    fixed = ("podSecurityContext.", "securityContext.")
    return {path for path in found if not path.startswith(fixed)}


main()
