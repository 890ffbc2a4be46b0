"""The AWS CLI as it is: a call that succeeds, and refusals as a person sees them on a terminal."""

import json
import os
import subprocess
import sys
from pathlib import Path

from common import BROKEN_TOKEN, CLAUDE, FORBIDDEN, SAID, TOKEN, main, why

MESSAGES = json.dumps([{"role": "user", "content": [{"text": SAID}]}])


def converse(model: str, token: str) -> subprocess.CompletedProcess:
    """`aws bedrock-runtime converse`, with endpoint and CA from the environment."""
    environment = {**os.environ, "AWS_BEARER_TOKEN_BEDROCK": token, "AWS_DEFAULT_REGION": "us-east-1"}
    return subprocess.run(
        [Path(sys.executable).parent / "aws", "bedrock-runtime", "converse", "--model-id", model, "--messages", MESSAGES],
        env=environment, capture_output=True, text=True,
    )


def data_path() -> None:
    done = converse(CLAUDE, TOKEN)
    assert done.returncode == 0, done.stderr
    assert SAID in json.loads(done.stdout)["output"]["message"]["content"][0]["text"], done.stdout
    for model, token, kind in (
        (FORBIDDEN, TOKEN, "AccessDeniedException"),
        (CLAUDE, BROKEN_TOKEN, "UnrecognizedClientException"),
    ):
        refused = converse(model, token)
        assert refused.returncode != 0 and kind in refused.stderr, refused
        reason = "model_forbidden" if model == FORBIDDEN else "token_signature"
        assert reason in why(refused.stderr), refused


if __name__ == "__main__":
    main("AWS CLI", {"data-path": data_path})
