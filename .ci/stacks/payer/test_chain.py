"""From a spent budget to a refused request, and back: the function writes the file that a running gateway reads."""

import base64
import datetime
import json
import os
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

import test_deny_file
from test_deny_file import GATEWAY_TOML, budget

# A gateway reads a changed deny file within two seconds. This many seconds are a failure, on a slow machine, too.
PATIENCE = 60


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value):
    return encoded(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Chain(test_deny_file.Function):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.key = rsa.generate_private_key(65537, 2048)
        public = self.key.public_key().public_numbers()
        key = {"kty": "RSA", "kid": "one", "alg": "RS256", "use": "sig", "n": number(public.n), "e": number(public.e)}
        (self.folder / "keys.json").write_text(json.dumps({"keys": [key]}))
        self.port, closed = free_port(), free_port()
        configuration = (
            GATEWAY_TOML.replace('"127.0.0.1:8080"', f'"127.0.0.1:{self.port}"')
            .replace('audiences =', 'jwks_file = "keys.json"\naudiences =')
            .replace('[aws]', f'[aws]\nsts_timeout = "1s"\nendpoints.sts = "http://127.0.0.1:{closed}"')
        )
        (self.folder / "gateway.toml").write_text(configuration)
        self.fetch()
        self.start()

    def start(self):
        log = self.enterContext((self.folder / "log").open("w"))
        command = [os.environ["GATEWAY"], "serve", "--config", "gateway.toml"]
        gateway = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)
        self.addCleanup(gateway.wait)
        self.addCleanup(gateway.kill)

    def fetch(self):
        """What the sidecar of a task does: a copy by an atomic rename."""
        (self.folder / "new").write_bytes(self.text().encode())
        (self.folder / "new").rename(self.folder / "deny.toml")

    def token(self, team):
        header = {"alg": "RS256", "kid": "one", "typ": "JWT"}
        now = int(time.time())
        claims = {"iss": "https://acme.okta.com/oauth2/default", "aud": "bedrock-gateway", "sub": f"alice-{team}"}
        claims |= {"team": team, "iat": now, "exp": now + 3600}
        text = ".".join(encoded(json.dumps(part).encode()) for part in (header, claims))
        signature = self.key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{text}.{encoded(signature)}"

    def status(self, team):
        """The status of a call. No session can be fetched, so a call that is not refused ends with a fault."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/model/us.amazon.nova-pro-v1:0/converse",
            data=b'{"messages":[{"role":"user","content":[{"text":"hello"}]}]}',
            headers={"Authorization": f"Bearer {self.token(team)}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except urllib.error.URLError:
            return 0

    def wait_for(self, team, is_right):
        end = time.monotonic() + PATIENCE
        while not is_right(found := self.status(team)):
            self.assertLess(time.monotonic(), end, f"status {found}; log:\n{(self.folder / 'log').read_text()[-3000:]}")
            time.sleep(0.2)

    def test_a_spent_budget_refuses_its_team_until_it_is_raised(self):
        # The gateway's clock is the real one, so the entry must end in the future. The function skips the first day.
        today = datetime.datetime.fromtimestamp(time.time(), datetime.timezone.utc)
        test_deny_file.Clock.at = today.replace(day=max(today.day, 2)).isoformat()
        self.wait_for("search", lambda status: status >= 500)
        self.run_with([budget("search", "600"), budget("ads", "5")])
        self.fetch()
        self.wait_for("search", lambda status: status == 403)
        self.assertGreaterEqual(self.status("ads"), 500)
        self.run_with([budget("search", "600", limit="1000"), budget("ads", "5")])
        self.fetch()
        self.wait_for("search", lambda status: status >= 500)


if __name__ == "__main__":
    unittest.main()
