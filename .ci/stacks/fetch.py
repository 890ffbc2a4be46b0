"""Runs the sidecar's script against moto's S3 and Secrets Manager, and the gateway from the folder that it fills.
Applies the stack's metric filters to the lines that both of them log.

    fetch.py GATEWAY SHELL      the gateway's binary, and the shell to run the script with
"""

import fnmatch
import json
import logging
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import boto3
from moto.server import ThreadedMotoServer
from stacks import module_parts

logging.getLogger("werkzeug").setLevel(logging.ERROR)
GATEWAY, SHELL = sys.argv[1:]
ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "deploy/terraform/gateway/fetch.sh"
BUCKET, PREFIX, SECRET = "acme-gateway", "gateway/", "gateway-tls"
# "Within a minute": the interval of one second, a fetch, a reload, and a slow machine.
SOON = 60


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


MOTO, HTTPS, PROBE = free_port(), free_port(), free_port()
ENDPOINT = f"http://127.0.0.1:{MOTO}"
ENVIRONMENT = {
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
}
CONFIGURATION = f"""
[listen]
https = "127.0.0.1:{HTTPS}"
probe = "127.0.0.1:{PROBE}"
tls = {{ cert = "tls.pem", key = "tls.pem" }}
[aws]
region = "us-east-1"
endpoints = {{ sts = "{ENDPOINT}" }}
[[issuer]]
name = "okta"
url = "https://okta.test"
audiences = ["bedrock-gateway"]
jwks_file = "keys.json"
session = {{ name = "claims.sub" }}
[[role]]
arn = "arn:aws:iam::123456789012:role/BedrockUser"
concurrency = CONCURRENCY
[revoke]
file = "deny.toml"
"""
KEYS = {"keys": [{"kty": "EC", "crv": "P-256", "kid": "1", "alg": "ES256", "use": "sig",
                  "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                  "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}


def certificate(folder, name):
    """A PEM text of a new certificate and its key."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", folder / "key", "-out",
         folder / "cert"], check=True, capture_output=True)
    return (folder / "cert").read_text() + (folder / "key").read_text()


def served():
    """The certificate that the gateway's TLS listener shows."""
    return ssl.get_server_certificate(("127.0.0.1", HTTPS), timeout=5)


def refused():
    """The status of a request without a token."""
    request = urllib.request.Request(f"https://127.0.0.1:{HTTPS}/model/amazon.nova-pro-v1:0/converse", b"{}")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(request, timeout=5, context=context) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def matches(pattern, line):
    """Whether CloudWatch's filter matches the line: the terms that the stack uses, joined by &&."""
    if pattern.startswith('"'):
        return pattern.strip('"') in line
    try:
        event = json.loads(line)
    except ValueError:
        return False
    for term in pattern.strip("{} ").split(" && "):
        field, operator, value = re.fullmatch(r"\$\.(\w+) (=|!=|>=) (.+)", term).groups()
        if field not in event:
            return False
        value = json.loads(value)
        if operator == ">=":
            holds = event[field] >= value
        else:
            holds = fnmatch.fnmatchcase(str(event[field]), value) == (operator == "=")
        if not holds:
            return False
    return True


def check_filters(lines):
    filters = module_parts()[0]["filters"]

    def found(line):
        return {name for name, pattern in filters.items() if matches(pattern, line)}

    seen = set().union(*map(found, lines))
    check(seen == {"FetchFailed", "Problem"}, f"the filters find these lines, and no request: {sorted(seen)}")
    access = next(event for event in map(json.loads, (each for each in lines if each.startswith("{")))
                  if event.get("reason") == "token_missing")
    check(access["status"] == 401, "the access log has status and reason")
    for status, reason, expected in (
        (503, "sts_timeout", {"GatewayFailed", "NoSession"}),
        (500, "unsignable", {"GatewayFailed"}),
        (503, "upstream_error", set()),
    ):
        line = json.dumps(access | {"status": status, "reason": reason})
        check(found(line) == expected, f"{status} {reason} counts as {sorted(expected)}")


def metric(name):
    with urllib.request.urlopen(f"http://127.0.0.1:{PROBE}/metrics", timeout=5) as page:
        for line in page.read().decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
    raise KeyError(name)


def until(what, condition):
    """Waits until the condition holds, and prints how long it took."""
    begun = time.monotonic()
    while True:
        try:
            if condition():
                print(f"ok {what}: {time.monotonic() - begun:.1f} s")
                return
        except (OSError, KeyError):
            pass
        if time.monotonic() - begun > SOON:
            sys.exit(f"not within {SOON} s: {what}\n{LOG.read_text()}")
        time.sleep(0.1)


work = Path(tempfile.mkdtemp(prefix="fetch-"))
folder, LOG = work / "folder", work / "log"
folder.mkdir()
log = LOG.open("w")
processes = []


def start(command, **environment):
    process = subprocess.Popen(command, env=ENVIRONMENT | environment, stdout=log, stderr=log, start_new_session=True)
    processes.append(process)
    return process


def starts_not(name, text):
    """Whether a new gateway ends with an error when the file has this text, while the running one goes on."""
    copy = Path(tempfile.mkdtemp(dir=work))
    shutil.copytree(folder, copy, dirs_exist_ok=True)
    (copy / name).write_text(text)
    command = [GATEWAY, "serve", "--config", copy / "gateway.toml"]
    run = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=SOON, check=False)
    return run.returncode != 0 and name in run.stderr


def check(condition, what):
    if not condition:
        sys.exit(f"wrong: {what}\n{LOG.read_text()}")
    print(f"ok {what}")


def stop(sidecar):
    sidecar.send_signal(signal.SIGTERM)
    check(sidecar.wait(timeout=SOON) == 0, "it ends at SIGTERM with exit code 0")


server = ThreadedMotoServer("127.0.0.1", MOTO, verbose=False)
server.start()
try:
    session = boto3.Session("AKIAIOSFODNN7EXAMPLE", "secret", region_name="us-east-1")
    s3 = session.client("s3", endpoint_url=ENDPOINT)
    secrets = session.client("secretsmanager", endpoint_url=ENDPOINT)
    s3.create_bucket(Bucket=BUCKET)

    def put(name, text):
        s3.put_object(Bucket=BUCKET, Key=PREFIX + name, Body=text.encode())

    put("keys.json", json.dumps(KEYS))
    put("gateway.toml", CONFIGURATION.replace("CONCURRENCY", "10"))
    put("other/gateway.toml", "not of this task")
    put("../escape", "not of this task")
    first, second = certificate(work, "first.test"), certificate(work, "second.test")
    secret = secrets.create_secret(Name=SECRET, SecretString=first)["ARN"]
    fetch = start([SHELL, str(SCRIPT)], BUCKET=BUCKET, PREFIX=PREFIX, FOLDER=str(folder), INTERVAL="1",
                  TLS_SECRET=secret, TLS_ROUNDS="2", REQUIRED="gateway.toml deny.toml", AWS_ENDPOINT_URL=ENDPOINT)
    ready = folder / ".fetch/ready"
    until("it names the missing deny file", lambda: "missing: deny.toml" in LOG.read_text())
    check(not ready.exists(), "it is not healthy without the deny file")
    put("deny.toml", "")
    until("it is healthy", ready.exists)
    check({file.name for file in folder.iterdir()} == {".fetch", "deny.toml", "gateway.toml", "keys.json", "tls.pem"},
          "it copies the files of the prefix only")

    gateway = start([GATEWAY, "serve", "--config", str(folder / "gateway.toml")])
    until("the gateway serves", lambda: metric("bedrock_gateway_config_generation") == 1)
    check(served().strip() in first, "the gateway shows the certificate of the secret")
    check(refused() == 401, "the gateway answers")
    put("gateway.toml", CONFIGURATION.replace("CONCURRENCY", "20"))
    until("a changed configuration counts", lambda: metric("bedrock_gateway_config_generation") == 2)
    put("deny.toml", '[[revoke]]\nissuer = "okta"\nsubject = "00u1abc"\n')
    until("a changed deny file counts", lambda: metric("bedrock_gateway_revocations") == 1)
    secrets.put_secret_value(SecretId=SECRET, SecretString="no certificate")
    until("a secret that is no PEM text is refused", lambda: "is no PEM text" in LOG.read_text())
    secrets.put_secret_value(SecretId=SECRET, SecretString=second)
    until("a renewed certificate counts", lambda: served().strip() in second)

    for name in ("gateway.toml", "deny.toml"):
        check(starts_not(name, "[listen"), f"with an invalid {name} a new gateway does not start")
    put("gateway.toml", "[listen")
    until("the gateway rejects an invalid configuration", lambda: metric("bedrock_gateway_config_reload_failed") == 1)
    put("gateway.toml", CONFIGURATION.replace("CONCURRENCY", "30"))
    until("and loads the next valid one", lambda: metric("bedrock_gateway_config_reload_failed") == 0)

    s3.delete_object(Bucket=BUCKET, Key=PREFIX + "deny.toml")
    until("it reports a deleted object", lambda: "deny.toml is gone" in LOG.read_text())
    check("00u1abc" in (folder / "deny.toml").read_text(), "and keeps its last copy")

    server.stop()
    until("it reports an S3 that does not answer", lambda: "cannot list" in LOG.read_text())
    check(all((folder / name).stat().st_size for name in ("gateway.toml", "deny.toml", "tls.pem")),
          "it keeps every file meanwhile")
    check(metric("bedrock_gateway_revocations") == 1 and fetch.poll() is None, "the gateway goes on with them")
    server = ThreadedMotoServer("127.0.0.1", MOTO, verbose=False)
    server.start()
    put("deny.toml", '[[revoke]]\nissuer = "okta"\nsubject = "00u1abc"\n[[revoke]]\nexpression = "true"\n')
    until("it goes on when S3 answers again", lambda: metric("bedrock_gateway_revocations") == 2)

    stop(fetch)
    fetch = start([SHELL, str(SCRIPT)], BUCKET=BUCKET, PREFIX=PREFIX, FOLDER=str(folder), INTERVAL="1",
                  TLS_SECRET=secret, TLS_ROUNDS="1000", REQUIRED="gateway.toml", AWS_ENDPOINT_URL=ENDPOINT)
    before = LOG.read_text().count("is new")
    put("keys.json", json.dumps(KEYS) + "\n")
    until("started again, it fetches the change", lambda: LOG.read_text().count("is new") > before)
    check(LOG.read_text().count("is new") == before + 1, "and nothing else")
    stop(fetch)
    secrets.put_secret_value(SecretId=SECRET, SecretString="no certificate")
    failures = LOG.read_text().count("is no PEM text")
    fetch = start([SHELL, str(SCRIPT)], BUCKET=BUCKET, PREFIX=PREFIX, FOLDER=str(folder), INTERVAL="1",
                  TLS_SECRET=secret, TLS_ROUNDS="1000", REQUIRED="gateway.toml", AWS_ENDPOINT_URL=ENDPOINT)
    until("after a failure it reads the secret in each round",
          lambda: LOG.read_text().count("is no PEM text") >= failures + 3)
    secrets.put_secret_value(SecretId=SECRET, SecretString=first)
    until("until it has the certificate", lambda: served().strip() in first)
    gateway.terminate()
    check(gateway.wait(timeout=SOON) == 0, "the gateway stops")
    check_filters(LOG.read_text().splitlines())
finally:
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    server.stop()
    shutil.rmtree(work)
