"""Lints gateway.yaml with every documented value: fills in the parameters, decides the conditions, and gives the result
to cfn-lint, which then knows each literal value. Also checks the commands of both READMEs against the parameters.
"""

import itertools
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import cfnlint.decode.cfn_yaml as cfn_yaml
import hcl2
from parameters import snake

ROOT = Path(__file__).parents[2]
TEMPLATE = cfn_yaml.load(str(ROOT / "deploy/cloudformation/gateway.yaml"))
PARAMETERS = TEMPLATE["Parameters"]
# The parameters without a default.
GIVEN = {
    "ConfigBucket": "acme-gateway", "VpcId": "vpc-0123456789abcdef0", "BalancerCidr": "10.0.0.0/16",
    "BalancerSubnets": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
    "TaskSubnets": ["subnet-0123456789abcdef2", "subnet-0123456789abcdef3"],
}
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:gateway-tls-AbCdEf"
CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/12345678-1234-1234-1234-123456789012"
TOPIC = "arn:aws:sns:us-east-1:123456789012:alarms"
GONE = object()


def values(name):
    """The documented values of a parameter: all of a list, or both ends of a range."""
    parameter = PARAMETERS[name]
    if name == "AlarmTopicArn":
        return ["", TOPIC]
    if "AllowedValues" in parameter:
        return list(parameter["AllowedValues"])
    if "MinValue" in parameter:
        return [parameter["Default"], parameter["MinValue"], parameter.get("MaxValue", parameter["Default"])]
    return [parameter["Default"]] if "Default" in parameter else [GIVEN[name]]


def decide(condition, chosen):
    function, operands = next(iter(condition.items()))
    if function == "Fn::Not":
        return not decide(operands[0], chosen)
    left, right = (chosen[each["Ref"]] if isinstance(each, dict) else each for each in operands)
    return left == right


def fill(value, chosen, conditions):
    if isinstance(value, list):
        return [each for each in (fill(one, chosen, conditions) for one in value) if each is not GONE]
    if not isinstance(value, dict):
        return value
    if list(value) == ["Ref"]:
        return GONE if value["Ref"] == "AWS::NoValue" else chosen.get(value["Ref"], dict(value))
    if list(value) == ["Fn::If"]:
        name, yes, no = value["Fn::If"]
        return fill(yes if conditions[name] else no, chosen, conditions)
    if list(value) == ["Fn::Sub"]:
        text = re.sub(r"\$\{(\w+)\}", lambda name: str(chosen.get(name[1], name[0])), value["Fn::Sub"])
        return {"Fn::Sub": text} if "${" in text else text
    filled = {key: fill(each, chosen, conditions) for key, each in value.items()}
    return {key: each for key, each in filled.items() if each is not GONE}


def variants():
    """Each documented value at least once with each type of the listener."""
    rest = [name for name in PARAMETERS if name not in ("ListenerProtocol", "TlsSecretArn", "CertificateArn", "Memory")]
    rounds = max(len(values(name)) for name in rest)
    for protocol, number in itertools.product(("TCP", "TLS"), range(rounds)):
        chosen = {name: values(name)[number % len(values(name))] for name in rest}
        chosen |= {"ListenerProtocol": protocol, "Memory": 2 * chosen["Cpu"], "TlsSecretArn": "", "CertificateArn": ""}
        chosen |= {"TlsSecretArn": SECRET} if protocol == "TCP" else {"CertificateArn": CERTIFICATE}
        conditions = {name: decide(each, chosen) for name, each in TEMPLATE["Conditions"].items()}
        filled = {name: fill(TEMPLATE[name], chosen, conditions) for name in ("Resources", "Outputs")}
        yield chosen, {"AWSTemplateFormatVersion": "2010-09-09"} | filled


def check_listener(chosen, resources):
    listener, group = resources["Listener"]["Properties"], resources["TargetGroup"]["Properties"]
    gateway, sidecar = resources["TaskDefinition"]["Properties"]["ContainerDefinitions"]
    names = {each["Name"]: each["Value"] for each in sidecar["Environment"]}
    if chosen["ListenerProtocol"] == "TCP":
        expected = [{"Key": "tcp.idle_timeout.seconds", "Value": chosen["TcpIdleTimeout"]}]
        assert listener["ListenerAttributes"] == expected and not {"AlpnPolicy", "Certificates"} & listener.keys()
        assert "tls.pem" in names["REQUIRED"] and names["TLS_SECRET"] == SECRET and group["Port"] == 8443
    else:
        assert listener["AlpnPolicy"] == ["HTTP2Preferred"] and "ListenerAttributes" not in listener
        assert listener["Certificates"] == [{"CertificateArn": CERTIFICATE}]
        assert "tls.pem" not in names["REQUIRED"] and names["TLS_SECRET"] == "" and group["Port"] == 8080
    assert gateway["PortMappings"][0]["ContainerPort"] == group["Port"]
    actions = [each["Properties"].get("AlarmActions") for each in resources.values()
               if each["Type"] == "AWS::CloudWatch::Alarm"]
    assert actions and all(each == ([TOPIC] if chosen["AlarmTopicArn"] else None) for each in actions)


def required():
    return {name for name, each in PARAMETERS.items() if "Default" not in each} | {"TlsSecretArn"}


def check_readmes():
    """The commands of the pages give every parameter that is needed, and none that is unknown."""
    page = (ROOT / "deploy/cloudformation/README.md").read_text()
    command = re.search(r"--template-file gateway\.yaml(?:.*\\\n)*.*", page)[0]
    given = set(re.findall(r"(\w+)=", command))
    assert required() <= given <= PARAMETERS.keys(), f"deploy/cloudformation/README.md: {given ^ required()}"
    mentioned = set(re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", page, re.M))
    for name in re.findall(r"`(\w+)`", " ".join(mentioned)):
        assert name in PARAMETERS, f"deploy/cloudformation/README.md: there is no parameter {name}"
    page = (ROOT / "deploy/terraform/README.md").read_text()
    snippet = hcl2.loads("".join(re.findall(r"(?s)```hcl\n(.*?)```", page)))
    call = next(body for block in snippet["module"] for name, body in block.items() if name.strip('"') == "gateway")
    given = {name for name in call if not name.startswith("__")} - {"source", "depends_on"}
    known = {snake(name) for name in PARAMETERS} | {"name", "tags"}
    assert {snake(name) for name in required()} <= given <= known, f"deploy/terraform/README.md: {given}"


def main():
    check_readmes()
    with tempfile.TemporaryDirectory() as folder:
        for number, (chosen, template) in enumerate(variants()):
            check_listener(chosen, template["Resources"])
            Path(folder, f"{chosen['ListenerProtocol']}-{number}.json").write_text(json.dumps(template))
        templates = sorted(map(str, Path(folder).iterdir()))
        lint = subprocess.run([str(Path(sys.executable).with_name("cfn-lint")), *templates], check=False)
        if lint.returncode:
            sys.exit(lint.returncode)
    print(f"{len(templates)} variants of gateway.yaml are valid, and the commands of both pages name its parameters")


if __name__ == "__main__":
    main()
