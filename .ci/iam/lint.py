"""Checks what `bedrock-gateway iam` printed: the policies with parliament, and the Terraform modules with an HCL parser.

    python .ci/iam/lint.py FOLDER
"""

import json
import sys
from pathlib import Path

import hcl2
import parliament

# Actions that are newer than this release of parliament (Service Authorization Reference, Amazon Bedrock).
NEWER = {"bedrock:CallWithBearerToken", "bedrock:CountTokens", "bedrock:InvokeGuardrailChecks"}
NEWER_SERVICES = {"bedrock-mantle"}


def resource_types(action: str) -> int:
    """The number of the types of resources that parliament knows for an action."""
    prefix, name = action.split(":")
    service = next(service for service in parliament.iam_definition if service["prefix"] == prefix)
    privilege = next(privilege for privilege in service["privileges"] if privilege["privilege"] == name)
    return len([kind for kind in privilege["resource_types"] if kind["resource_type"]])


def is_fault(finding) -> bool:
    if finding.issue == "UNKNOWN_ACTION":
        action = str(finding.detail).rsplit(" ", 1)[-1]
        return action not in NEWER
    if finding.issue == "UNKNOWN_PREFIX":
        return not any(service in str(finding.detail) for service in NEWER_SERVICES)
    if finding.issue == "RESOURCE_MISMATCH":
        # parliament wants a resource of every type that an action accepts. One is enough for AWS.
        missing = [entry["action"] for entry in finding.detail]
        return any(missing.count(action) >= resource_types(action) for action in set(missing))
    return True


def as_known(resource: str) -> str:
    """A resource as parliament's release can read it: it knows neither foundation models without a region nor projects of
    bedrock-runtime."""
    if ":bedrock:" in resource and ":project/" in resource:
        return resource.split(":project/")[0] + ":inference-profile/*"
    return resource.replace(":bedrock:::foundation-model/", ":bedrock:*::foundation-model/")


def findings(file: Path) -> list[str]:
    policy = json.loads(file.read_text())
    for statement in policy["Statement"]:
        # parliament reads the policies of principals. Others have a principal besides, and a trust policy has no
        # resource: it is about its own role.
        statement.pop("Principal", None)
        resources = statement.get("Resource", "arn:aws:iam::123456789012:role/BedrockUser")
        resources = [resources] if isinstance(resources, str) else resources
        statement["Resource"] = [as_known(resource) for resource in resources]
    analyzed = parliament.analyze_policy_string(json.dumps(policy))
    return [f"{file}: {found.issue}: {found.detail}" for found in analyzed.findings if is_fault(found)]


def main(folder: Path) -> int:
    policies = [file for file in sorted(folder.rglob("*.json")) if file.name != "template.json"]
    modules = sorted(folder.rglob("*.tf"))
    faults = [fault for file in policies for fault in findings(file)]
    for module in modules:
        try:
            hcl2.loads(module.read_text())
        except Exception as error:  # the parser's errors have no common class
            faults.append(f"{module}: {error}")
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{len(policies)} policies, {len(modules)} modules, {len(faults)} faults")
    return 1 if faults or not policies or not modules else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
