"""anthropic: its class for bedrock-mantle, which takes a model's own id; reads AWS_BEARER_TOKEN_BEDROCK by itself."""

import os

from anthropic import AnthropicBedrockMantle

client = AnthropicBedrockMantle(base_url=os.environ["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"] + "/mantle/anthropic")
answer = client.messages.create(
    model="anthropic.claude-sonnet-4-6-v1:0",
    max_tokens=100,
    messages=[{"role": "user", "content": "Who pays for this?"}],
)
print(answer.content[0].text)
