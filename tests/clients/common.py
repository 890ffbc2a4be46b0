"""Shared by the Python clients: the gateway's address, the token, the models, the prompt, and how refusals look."""

import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager

ENDPOINT = os.environ["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"]
TOKEN = os.environ["AWS_BEARER_TOKEN_BEDROCK"]
USER = os.environ["CLIENT_USER"]

CLAUDE = "us.anthropic.claude-sonnet-4-6-v1:0"
CLAUDE_PROFILE = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abcdefghijkl"
# bedrock-mantle and CountTokens take the model's own id, not an inference profile's.
CLAUDE_BASE = "anthropic.claude-sonnet-4-6-v1:0"
GPT = "openai.gpt-oss-120b-1:0"
GPT_MANTLE = "openai.gpt-oss-120b"
VIDEO = "amazon.nova-reel-v1:1"
GUARDRAIL = "abcdefghijkl"
# No role of the quickstart names it.
FORBIDDEN = "meta.llama3-8b-instruct-v1:0"

# The stand-in's answers repeat it.
SAID = f"hello from {USER}"

# A token whose signature does not fit: as long and as well-formed as the good one.
BROKEN_TOKEN = TOKEN[:-16] + ("A" * 16 if not TOKEN.endswith("A" * 16) else "B" * 16)


# A refusal ends with it, since these clients show the message and hide the headers.
REQUEST_ID = re.compile(r"Request id: [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")


def why(shown: str) -> str:
    """The story of the request whose id a person sees in this text, as `bedrock-gateway why` prints it."""
    found = REQUEST_ID.search(shown)
    assert found, f"no request id is shown: {shown}"
    command = [os.environ["BEDROCK_GATEWAY"], "why", found.group(), "--admin", os.environ["GATEWAY_ADMIN"]]
    # The gateway writes the record when the answer is sent, which may be a moment after the client has read it.
    for _ in range(50):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode == 0:
            break
        time.sleep(0.1)
    assert done.returncode == 0, done.stderr
    story = done.stdout
    assert re.search(r"^Refused by the gateway: [45]\d\d, \w+\.$", story, re.MULTILINE), story
    # Without an operation the gateway does not look at the token.
    assert USER in story or "route_unknown" in story, f"the story does not name {USER}: {story}"
    assert re.search(r"^Next ", story, re.MULTILINE), story
    return story


@contextmanager
def raises(expected: type[Exception], check=lambda error: True):
    """The block must raise this error of the gateway. Its text must show a person the request id, and `why` explain it."""
    try:
        yield
    except expected as error:
        assert check(error), f"{type(error).__name__} as expected, but: {error}"
        why(str(error))
    else:
        raise AssertionError(f"{expected.__name__} was expected, and nothing was raised")


def main(client: str, groups: dict) -> None:
    """Runs the group of calls that the command line names."""
    name = sys.argv[1] if len(sys.argv) == 2 else None
    if name not in groups:
        sys.exit(f"usage: {sys.argv[0]} {'|'.join(groups)}")
    groups[name]()
    print(f"{client}: {name} as {USER}")
