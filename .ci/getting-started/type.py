#!/usr/bin/env python3
"""Types the commands of docs/GETTING-STARTED.md in one shell, in a fresh clone, and compares the page's figures.

The page says what is replaced. With OPTIMISED in the environment the program is compiled as the page says. The work
stays in target/getting-started, with what the commands printed in `output`.
"""

import json
import math
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import boto3

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "GETTING-STARTED.md"
WORK = ROOT / "target" / "getting-started"
TOOLS = ROOT / "target" / "getting-started-tools" / "bin"
PAYER = ROOT / "deploy" / "cloudformation" / "payer.yaml"
MOST_COMMANDS = 12
PATIENCE_SECONDS = 60
CALLER = {"sub": "alice", "email": "alice@acme.org", "email_verified": True, "department": "search"}
PRINCIPAL = "arn:aws:sts::123456789012:assumed-role/BedrockUser/alice@acme.org"

# In front of the programs that they are named after.
SHIMS = {
    "cargo": '[ -z "${OPTIMISED:-}" ] || exec "$CARGO_OF_CI" "$@"\nexec "$CARGO_OF_CI" "$@" --debug --quiet',
    "bedrock-gateway": """
command=$1
shift
more=()
[ "$command" != init ] || IFS=' ' read -ra more <<<"$STANDIN"
exec "$CARGO_INSTALL_ROOT/bin/bedrock-gateway" "$command" "$@" "${more[@]}"
""",
    "aws": """
if [ "$1 $2" = 'sts assume-role' ]; then
    printf 'export AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=%s\\n' "$GATEWAY_ID" "$GATEWAY_SECRET"
elif [ "$1" = sts ]; then
    exec "$AWS_OF_CI" --endpoint-url "$AWS_ENDPOINT_URL_IAM" "$@"
else
    exec "$AWS_OF_CI" "$@"
fi
""",
}


def blocks() -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def commands(block: str) -> list[str]:
    """The first line of each command. The others begin with spaces."""
    return [line for line in block.splitlines() if line and not line.startswith((" ", "#"))]


def stated(part: str) -> int:
    """The number that the page's table has for this part."""
    row = re.search(rf"^\| {re.escape(part)} \| (\d+)\b", PAGE.read_text(), re.MULTILINE)
    return int(row[1]) if row else sys.exit(f"the page has no row {part!r} with a number")


class Standin:
    """The stand-in as a process."""

    def __init__(self):
        program = ROOT / "target" / "debug" / "examples" / "aws"
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.known = self.answer()

    def answer(self):
        return json.loads(self.process.stdout.readline() or sys.exit("the stand-in has ended"))

    def ask(self, request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self.answer()


def moto() -> tuple[subprocess.Popen, str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (WORK / "moto").open("w")
    process = subprocess.Popen([TOOLS / "moto_server", "-p", str(port)], stdout=log, stderr=log)
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return process, f"http://127.0.0.1:{port}"
        except OSError:
            if time.monotonic() > end or process.poll() is not None:
                sys.exit(f"moto does not start:\n{(WORK / 'moto').read_text()}")
            time.sleep(0.1)


def copy_roles(endpoint: str, standin: Standin) -> None:
    """What the stack has made in moto becomes what the stand-in decides by."""
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    iam = boto3.client("iam", region_name="us-east-1", endpoint_url=endpoint, **keys)

    resources = json.loads((WORK / "iam" / "123456789012" / "template.json").read_text())["Resources"]

    def permissions(role: str) -> list:
        inline = iam.list_role_policies(RoleName=role)["PolicyNames"]
        found = [iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in inline]
        # moto makes the managed policies of a stack, and does not attach them to the role.
        made = [one["Properties"] for one in resources.values() if one["Properties"].get("RoleName") == role]
        for reference in [one["Ref"] for properties in made for one in properties.get("ManagedPolicyArns", [])]:
            name = resources[reference]["Properties"]["ManagedPolicyName"]
            arn = f"arn:aws:iam::123456789012:policy/{name}"
            found.append(iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]["Document"])
        return found

    role = iam.get_role(RoleName="BedrockUser")["Role"]
    policies = permissions("BedrockUser")
    if not policies:
        sys.exit("the stack has given BedrockUser no permissions")
    standin.ask({"gateway": permissions("BedrockGateway")})
    standin.ask({"role": role["Arn"], "trust": role["AssumeRolePolicyDocument"], "permissions": policies})


def export() -> dict:
    """The export of the payer's stack, a day later."""
    query = re.search(r"QueryStatement: >-\n((?: {12}.*\n)+)", PAYER.read_text())
    configuration = {"COST_AND_USAGE_REPORT": {"INCLUDE_IAM_PRINCIPAL_DATA": "TRUE"}}
    return {
        "Export": {
            "ExportArn": "arn:aws:bcm-data-exports:us-east-1:123456789012:export/bedrock-gateway-1",
            "Name": "bedrock-gateway-1",
            "DataQuery": {"QueryStatement": " ".join(query[1].split()), "TableConfigurations": configuration},
        },
        "ExportStatus": {"StatusCode": "HEALTHY", "LastRefreshedAt": int(time.time()) - 3600},
    }


def environment(aws: str, known: dict) -> dict:
    shims = WORK / "shims"
    shims.mkdir()
    for name, text in SHIMS.items():
        (shims / name).write_text(f"#!/usr/bin/env bash\nset -euo pipefail\n{text.strip()}\n")
        (shims / name).chmod(0o755)
    keys = f"aws_access_key_id = {known['access_key_id']}\naws_secret_access_key = {known['secret_access_key']}\n"
    (WORK / "credentials").write_text(f"[default]\n{keys}[payer]\n{keys}")
    (WORK / "config").write_text("[default]\nregion = us-east-1\n")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    origin = "https://github.com/bedrock-gateway/bedrock-gateway"
    return clean | {
        "PATH": f"{shims}:{clean['PATH']}",
        "CARGO_OF_CI": shutil.which("cargo"),
        "AWS_OF_CI": str(TOOLS / "aws"),
        "CARGO_TARGET_DIR": str(ROOT / "target"),
        "CARGO_INSTALL_ROOT": str(WORK / "installed"),
        "GIT_CONFIG_COUNT": "2",
        "GIT_CONFIG_KEY_0": f"url.{ROOT}.insteadOf",
        "GIT_CONFIG_VALUE_0": origin,
        # A container may run as another user than the one who owns the checkout.
        "GIT_CONFIG_KEY_1": "safe.directory",
        "GIT_CONFIG_VALUE_1": "*",
        "AWS_SHARED_CREDENTIALS_FILE": str(WORK / "credentials"),
        "AWS_CONFIG_FILE": str(WORK / "config"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_PAGER": "",
        "AWS_ENDPOINT_URL_IAM": aws,
        "AWS_ENDPOINT_URL_CLOUDFORMATION": aws,
        "AWS_ENDPOINT_URL_BCM_DATA_EXPORTS": known["billing"],
        "AWS_ENDPOINT_URL_COST_EXPLORER": known["billing"],
        "GATEWAY_ID": known["access_key_id"],
        "GATEWAY_SECRET": known["secret_access_key"],
        "STANDIN": " ".join(
            f"--endpoint {name}={known[name]}" for name in ("sts", "bedrock_runtime", "bedrock", "bedrock_mantle")
        ),
    }


class Shell:
    """The shell that the operator types into."""

    def __init__(self, variables: dict):
        self.output = (WORK / "output").open("w")
        read, write = os.pipe()
        self.codes = os.fdopen(read)
        self.process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"], stdin=subprocess.PIPE, stdout=self.output, stderr=self.output,
            cwd=WORK, env=variables, pass_fds=[write], text=True,
        )
        self.write = write
        self.count = 0

    def type(self, block: str) -> float:
        """Runs a block, and returns its seconds."""
        self.count += 1
        file = WORK / f"block-{self.count}"
        file.write_text(f"set -e\n{block}set +e\n")
        begun = time.monotonic()
        self.process.stdin.write(f"(exit 0); . {file} </dev/null; echo $? >&{self.write}\n")
        self.process.stdin.flush()
        code = self.read()
        if code != "0":
            sys.exit(f"{(WORK / 'output').read_text()}\nfailed, {code or 'at once'}:\n{block}")
        return time.monotonic() - begun

    def read(self) -> str:
        """The code of the block; empty if the shell has ended."""
        os.set_blocking(self.codes.fileno(), False)
        while True:
            line = self.codes.readline().strip()
            if line or self.process.poll() is not None:
                return line
            time.sleep(0.02)

    def end(self) -> None:
        """Ends the gateway, which the shell runs in the background, and the shell."""
        if self.process.poll() is None:
            self.process.communicate("kill %1; wait\n")


def main() -> None:
    typed = [command for block in blocks() for command in commands(block)]
    if len(typed) != stated("commands to type") or len(typed) > MOST_COMMANDS:
        sys.exit(f"the page has {len(typed)} commands:\n" + "\n".join(typed))
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    standin, (server, aws) = Standin(), moto()
    shell = None
    try:
        (WORK / "token.jwt").write_text(standin.ask({"token": CALLER})["token"])
        standin.ask({"export": export()})
        standin.ask({"tag": "iamPrincipal/team"})
        shell = Shell(environment(aws, standin.known))
        measured = 0.0
        for block in blocks():
            seconds = shell.type(block)
            print(f"{seconds:6.1f} s  {commands(block)[0][:90]}", flush=True)
            measured += 0 if "cargo install" in block else seconds
            if "--template-file iam/" in block:
                copy_roles(aws, standin)
            if "serve" in block:
                shell.type("until bedrock-gateway probe --address 127.0.0.1:9090; do sleep 0.2; done\n")
        bill = standin.ask({"bill": {}})
    finally:
        if shell:
            shell.end()
        server.terminate()
        standin.process.kill()
    principals = {row["line_item_iam_principal"] for row in bill["rows"]}
    teams = {json.dumps(row["tags"]) for row in bill["rows"]}
    if principals != {PRINCIPAL} or not all("search" in tags for tags in teams) or PRINCIPAL not in PAGE.read_text():
        sys.exit(f"the bill names {principals} with {teams}")
    if bill["active"] is not True:
        sys.exit("the tag is not active")
    minutes = stated("the commands, measured with a stand-in for AWS")
    if math.ceil(measured / 60) > minutes:
        sys.exit(f"the commands took {measured:.0f} s, and the page says {minutes} min")
    print(f"{len(typed)} commands, {measured:.0f} s without compiling; the bill has {len(bill['rows'])} rows of alice")


if __name__ == "__main__":
    main()
