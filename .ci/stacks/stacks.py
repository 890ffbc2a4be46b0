"""Compares the stack of CloudFormation with the module of Terraform, and the first configuration with both.

    stacks.py GATEWAY      the gateway's binary
"""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import cfnlint.decode.cfn_yaml as cfn_yaml
import hcl2

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "deploy/terraform/gateway"
TEMPLATE = ROOT / "deploy/cloudformation/gateway.yaml"
# A value that is decided at deployment. It equals everything.
UNKNOWN = object()
problems = []


def of_template(value):
    """The value as ECS's own JSON has it: keys begin with a small letter, intrinsic functions are unknown."""
    if isinstance(value, dict):
        if len(value) == 1 and (next(iter(value)) == "Ref" or next(iter(value)).startswith("Fn::")):
            return UNKNOWN
        return {key[0].lower() + key[1:]: of_template(each) for key, each in value.items()}
    if isinstance(value, list):
        return [of_template(each) for each in value]
    return value


def of_module(value):
    if isinstance(value, dict):
        return {key.strip('"'): of_module(each) for key, each in value.items() if not key.startswith("__")}
    if isinstance(value, list):
        return [of_module(each) for each in value]
    if isinstance(value, str) and "${" in value.replace("$${", ""):
        return UNKNOWN
    return value[1:-1].replace('\\"', '"') if isinstance(value, str) and value.startswith('"') else value


def compare(where, left, right):
    if left is UNKNOWN or right is UNKNOWN:
        return
    if isinstance(left, dict) and isinstance(right, dict):
        for key in left.keys() | right.keys():
            if key not in left or key not in right:
                problems.append(f"{where}: only one of the stacks has {key}")
            else:
                compare(f"{where}.{key}", left[key], right[key])
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for index, pair in enumerate(zip(left, right)):
            compare(f"{where}[{index}]", *pair)
    elif str(left).lower() != str(right).lower():
        problems.append(f"{where}: {left!r} in CloudFormation, {right!r} in Terraform")


def module_parts():
    """The module's locals and resources."""
    locals_, resources = {}, {}
    for path in MODULE.glob("*.tf"):
        with path.open() as text:
            parsed = hcl2.load(text)
        for block in parsed.get("locals", []):
            locals_ |= of_module(block)
        for block in parsed.get("resource", []):
            for kind, rest in of_module(block).items():
                resources |= {f"{kind}.{name}": body for name, body in rest.items()}
    return locals_, resources


def compare_stacks(template, locals_, resources):
    ours = template["Resources"]
    compare("containers", of_template(ours["TaskDefinition"]["Properties"]["ContainerDefinitions"]),
            locals_["containers"])
    group, module = ours["TargetGroup"]["Properties"], resources["aws_lb_target_group.this"]
    attributes = {each["Key"]: of_template(each["Value"]) for each in group["TargetGroupAttributes"]}
    health = module["health_check"][0]
    for ours_, theirs in (
        (attributes["deregistration_delay.connection_termination.enabled"], module["connection_termination"]),
        (attributes["preserve_client_ip.enabled"], module["preserve_client_ip"]),
        (attributes["proxy_protocol_v2.enabled"], module["proxy_protocol_v2"]),
        (group["HealthCheckPort"], health["port"]),
        (group["HealthCheckPath"], health["path"]),
        (group["HealthCheckIntervalSeconds"], health["interval"]),
        (group["HealthCheckTimeoutSeconds"], health["timeout"]),
        (group["UnhealthyThresholdCount"], health["unhealthy_threshold"]),
        (group["HealthyThresholdCount"], health["healthy_threshold"]),
    ):
        compare("target group", ours_, theirs)
    filters = {name: each["Properties"]["FilterPattern"] for name, each in ours.items()
               if each["Type"] == "AWS::Logs::MetricFilter"}
    compare("metric filters", filters, locals_["filters"])
    names = {"description": "AlarmDescription", "metric": "MetricName", "statistic": "Statistic", "period": "Period",
             "periods": "EvaluationPeriods", "threshold": "Threshold", "comparison": "ComparisonOperator",
             "missing": "TreatMissingData"}
    alarms = {name: {ours_: each["Properties"][theirs] for ours_, theirs in names.items()}
              for name, each in ours.items() if each["Type"] == "AWS::CloudWatch::Alarm"}
    theirs = {name: {key: each[key] for key in names} for name, each in locals_["alarms"].items()}
    compare("alarms", alarms, theirs)
    print(f"both stacks agree: 2 containers, {len(filters)} filters, {len(alarms)} alarms")


def check_permissions(template):
    """Each permission in S3 counts in this account only."""
    statements = template["Resources"]["ReadFiles"]["Properties"]["PolicyDocument"]["Statement"]
    found = [each for each in statements if str(each.get("Action")).startswith("s3:")]
    for each in found:
        if each.get("Condition", {}).get("StringEquals", {}).get("aws:ResourceAccount") != {"Ref": "AWS::AccountId"}:
            problems.append(f"{each['Sid']} of gateway.yaml allows a bucket of another account")
    module = (MODULE / "roles.tf").read_text()
    actions = len(re.findall(r'"s3:Get|"s3:List', module))
    if not len(found) == actions == module.count('"aws:ResourceAccount" = local.account'):
        problems.append("roles.tf allows a bucket of another account")


def check_script(template):
    containers = template["Resources"]["TaskDefinition"]["Properties"]["ContainerDefinitions"]
    sidecar = next(each for each in containers if each["Name"] == "files")
    if sidecar["Command"] != [(MODULE / "fetch.sh").read_text()]:
        problems.append("gateway.yaml does not have fetch.sh word for word")


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)([sm])", text).groups()
    return int(number) * {"s": 1, "m": 60}[unit]


def check_configuration(gateway, template):
    """The first configuration is valid for both types of the listener, and fits the stack."""
    text = (MODULE / "gateway.toml").read_text()
    # As the comment above the line says.
    plain = text.replace('https = "0.0.0.0:8443"', 'http = "0.0.0.0:8080"')
    plain = re.sub(r"(?s)\n\[listen\.tls\].*?(?=\n\n)", "", plain)
    environment = os.environ | {"GATEWAY_BALANCERS": "10.0.0.0/16", "AWS_REGION": "us-east-1"}
    for name, each in (("TCP", text), ("TLS", plain)):
        run = subprocess.run([gateway, "check", "--strict", "--skip-files", "-c", "-"], input=each, env=environment,
                             text=True, capture_output=True, check=False)
        if run.returncode:
            problems.append(f"gateway.toml for a listener of type {name}: {run.stdout}{run.stderr}")
    listen = tomllib.loads(text)["listen"]
    drain = seconds(listen["drain_delay"]) + seconds(listen["drain_timeout"])
    stop = template["Parameters"]["StopTimeout"]["Default"]
    if not drain + 5 <= stop <= 120:
        problems.append(f"a drain takes {drain} s, and ECS waits for {stop} s")
    group = template["Resources"]["TargetGroup"]["Properties"]
    failures = group["HealthCheckIntervalSeconds"] * group["UnhealthyThresholdCount"]
    if seconds(listen["drain_delay"]) < failures:
        problems.append(f"drain_delay is less than the {failures} s that the balancer needs to notice")
    if listen["probe"].rsplit(":")[-1] != group["HealthCheckPort"]:
        problems.append("the health check asks another port than listen.probe")
    if tomllib.loads(plain)["listen"].get("tls") or "tls" not in listen:
        problems.append("only the listener of type TCP needs listen.tls")
    interval = template["Parameters"]["ConfigInterval"]
    if not interval["Default"] <= interval["MaxValue"] <= 20:
        problems.append("files are fetched too rarely to count within a minute")
    # One error in each round is enough, also if AWS lets a round wait as long as its sleep.
    alarm = template["Resources"]["FilesAreOld"]["Properties"]
    if alarm["Period"] // (2 * interval["MaxValue"]) <= alarm["Threshold"]:
        problems.append("FilesAreOld does not fire if each round has one error")
    print(f"the configuration is valid for both listeners; its drain takes {drain} s of {stop} s")


def main():
    template = cfn_yaml.load(str(TEMPLATE))
    compare_stacks(template, *module_parts())
    check_permissions(template)
    check_script(template)
    check_configuration(sys.argv[1], template)
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
