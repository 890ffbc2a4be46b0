"""Writes the parameters of the CloudFormation template as the variables of the Terraform module, or compares both.

    parameters.py [--write]
"""

import json
import re
import sys
from pathlib import Path

import cfnlint.decode.cfn_yaml as cfn_yaml

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "deploy/cloudformation/gateway.yaml"
MODULE = ROOT / "deploy/terraform/gateway/parameters.tf"
TYPES = {"String": "string", "Number": "number", "AWS::EC2::VPC::Id": "string",
         "List<AWS::EC2::Subnet::Id>": "list(string)"}


def snake(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def value(raw, kind):
    return json.dumps(float(raw) if "." in str(raw) else int(raw)) if kind == "number" else json.dumps(str(raw))


def conditions(name, kind, parameter):
    """The constraints of the parameter, each as a condition and what it demands."""
    if "AllowedValues" in parameter:
        values = ", ".join(value(each, kind) for each in parameter["AllowedValues"])
        yield f"contains([{values}], var.{name})", "one of " + values.replace('"', "")
    if "MinValue" in parameter and "MaxValue" in parameter:
        low, high = parameter["MinValue"], parameter["MaxValue"]
        yield f"var.{name} >= {low} && var.{name} <= {high}", f"{low} to {high}"
    elif "MinValue" in parameter:
        yield f"var.{name} >= {parameter['MinValue']}", f"at least {parameter['MinValue']}"
    if "AllowedPattern" in parameter:
        pattern = json.dumps(str(parameter["AllowedPattern"]))
        yield f"can(regex({pattern}, var.{name}))", "a text that matches the pattern"


def written():
    template = cfn_yaml.load(str(TEMPLATE))
    parameters = template["Parameters"]
    names = {name: snake(name) for name in parameters}
    source = TEMPLATE.relative_to(ROOT)
    lines = [f"# Written by .ci/stacks/parameters.py --write from the parameters of {source}.", ""]
    for name, parameter in parameters.items():
        kind = TYPES[parameter["Type"]]
        # An exact word of the template becomes the word of the module; "${" would begin an expression in HCL.
        text = " ".join(parameter["Description"].split())
        text = re.sub(r"\b[A-Z]\w+\b", lambda word: names.get(word[0], word[0]), text)
        text = json.dumps(text.replace("${", "$${"), ensure_ascii=False)
        lines += [f'variable "{names[name]}" {{', f"  type        = {kind}", f"  description = {text}"]
        if "Default" in parameter:
            lines.append(f"  default     = {value(parameter['Default'], kind)}")
        for condition, demand in conditions(names[name], kind, parameter):
            lines += ["", "  validation {", f"    condition     = {condition}",
                      f'    error_message = "{names[name]} must be {demand}."', "  }"]
        lines += ["}", ""]
    return "\n".join(lines[:-1]) + "\n"


if __name__ == "__main__":
    if "--write" in sys.argv:
        MODULE.write_text(written())
    elif MODULE.read_text() != written():
        sys.exit(f"{MODULE.relative_to(ROOT)} is old: run .ci/stacks/parameters.py --write")
