"""anthropic: the plain client."""

import os

from anthropic import Anthropic

client = Anthropic(
    base_url=os.environ["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"] + "/anthropic",
    auth_token=os.environ["AWS_BEARER_TOKEN_BEDROCK"],
)
answer = client.messages.create(
    model="us.anthropic.claude-sonnet-4-6-v1:0",
    max_tokens=100,
    messages=[{"role": "user", "content": "Who pays for this?"}],
)
print(answer.content[0].text)
