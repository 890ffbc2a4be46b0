"""What the examples' load balancers and the chart must agree about, for render.py. Only a cluster would show it."""

import ipaddress
import re

from chart import DEPLOY, EXAMPLES, ROOT, merged, problem, read

BALANCERS = ("nlb", "alb", "gateway-api")
UNITS = {"h": 3600, "m": 60, "s": 1}


def seconds(duration: str) -> int:
    """
    >>> seconds("1h2m3s")
    3723
    """
    return sum(int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)([hms])", duration))


def combinations(base: dict) -> dict[str, dict]:
    """Each balancer's example with those that README.md lets one add, in both orders: lists replace each other."""
    examples = {path.stem: read(path) for path in EXAMPLES.glob("*.yaml") if path.stem != "caller"}
    more = sorted(examples.keys() - set(BALANCERS))
    found = {}
    for balancer in BALANCERS:
        for order in ([balancer, *more], [*reversed(more), balancer]):
            values = base
            for name in order:
                values = merged(values, examples[name])
            found["+".join(order)] = values
    return found


def settings(objects: list[dict]) -> dict[str, str]:
    """The settings of the AWS Load Balancer Controller by the last part of their names, attributes included."""
    found = {}
    for item in objects:
        for name, value in (item["metadata"].get("annotations") or {}).items():
            prefix = re.match(r"(alb\.ingress|service\.beta)\.kubernetes\.io/(aws-load-balancer-)?", name)
            if prefix and name.endswith("attributes"):
                found |= dict(pair.strip().split("=") for pair in value.split(","))
            elif prefix:
                found[name[prefix.end() :].removesuffix("-seconds").removesuffix("-count")] = value
    return found


def blocks(peers: list[dict]) -> set[str]:
    return {peer["ipBlock"]["cidr"] for peer in peers if "ipBlock" in peer}


def check_balancers(case: str, objects: list[dict], values: dict) -> None:
    listen = values["listen"]
    seen = settings(objects)
    if seen.get("backend-protocol-version", "HTTP1") != "HTTP1":
        problem(f"{case}: the balancer refuses clients that speak HTTP/1.1")
    if "deregistration_delay.timeout_seconds" in seen:
        delay = int(seen["deregistration_delay.timeout_seconds"])
        drain = seconds(listen["drainDelay"]) + seconds(listen["drainTimeout"])
        if not drain <= delay <= 3600:
            problem(f"{case}: the deregistration delay is {delay} s, and a drain takes {drain} s")
    if "healthcheck-interval" in seen:
        failures = seen.get("unhealthy-threshold") or seen["healthcheck-unhealthy-threshold"]
        found = int(seen["healthcheck-interval"]) * int(failures)
        if found >= seconds(listen["drainDelay"]):
            problem(f"{case}: the balancer notices after {found} s that a pod stops, when it accepts no calls any more")
    if values["service"]["loadBalancerClass"] == "service.k8s.aws/nlb":
        if seconds(listen["drainDelay"]) < 150:
            problem(f"{case}: an NLB sends new connections for two minutes after a deregistration")
        if seen.get("target_health_state.unhealthy.connection_termination.enabled") != "false":
            problem(f"{case}: the NLB cuts the connections of a pod that stops")
    check_policy(case, objects, values, "healthcheck-port" in seen)


def check_policy(case: str, objects: list[dict], values: dict, checks_probe: bool) -> None:
    """A NetworkPolicy admits the peers that the other values need, and none that could name a false client."""
    policy = next((item for item in objects if item["kind"] == "NetworkPolicy"), None)
    rules = policy["spec"]["ingress"] if policy else []
    peers = {rule["ports"][0]["port"]: rule.get("from", []) for rule in rules}
    if policy and checks_probe and not blocks(peers["probe"]):
        problem(f"{case}: the NetworkPolicy cuts the balancer's health checks")
    if policy and values["serviceMonitor"]["enabled"]:
        if not any("namespaceSelector" in peer for peer in peers["probe"]):
            problem(f"{case}: the NetworkPolicy cuts Prometheus")
    if values["listen"]["balancers"]["clientAddress"] == "x-forwarded-for":
        trusted = values["listen"]["balancers"]["peers"]
        admitted = peers.get("https", peers.get("http", []))
        if not admitted or any("ipBlock" not in peer for peer in admitted) or blocks(admitted) - set(trusted):
            problem(f"{case}: others than the balancer reach the port, and may name a client's address")
        if any(ipaddress.ip_network(cidr).num_addresses > 256 for cidr in trusted):
            problem(f"{case}: {trusted} is more than the subnets of a balancer")


def releases() -> set[tuple[str, str]]:
    """The release and its namespace of each `helm install` of the documents."""
    found = set()
    for path in [*ROOT.glob("docs/*.md"), *DEPLOY.glob("README.md")]:
        for command in re.findall(r"^helm install (?:.*\\\n)*.*", path.read_text(), re.MULTILINE):
            words = command.replace("\\\n", " ").split()
            if "--namespace" not in words:
                problem(f"{path.relative_to(ROOT)}: helm install without --namespace")
                continue
            found.add((words[2], words[words.index("--namespace") + 1]))
    return found


def check_names(objects: dict[tuple[str, str], list[dict]]) -> None:
    """The documents name the Service and the service account of the release that they install."""
    if len(objects) != 1:
        problem(f"the documents install different releases: {sorted(objects)}")
    for (_, namespace), items in objects.items():
        services, created = (
            {item["metadata"]["name"] for item in items if item["kind"] == kind} for kind in ("Service", "ServiceAccount")
        )
        caller = (EXAMPLES / "caller.yaml").read_text()
        urls = re.findall(r"https://([\w-]+)\.([\w-]+)\.svc", caller)
        accounts = re.findall(r"--service-account ([\w-]+)", (DEPLOY / "README.md").read_text())
        if not urls or any(name not in services or where != namespace for name, where in urls):
            problem(f"examples/caller.yaml calls {urls}, and the documents install {services} in {namespace}")
        if not accounts or any(name not in created for name in accounts):
            problem(f"README.md associates {accounts}, and the documents install {created}")
