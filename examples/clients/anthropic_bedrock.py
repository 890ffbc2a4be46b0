"""anthropic: its class for Bedrock's own API; reads AWS_BEARER_TOKEN_BEDROCK and AWS_DEFAULT_REGION by itself."""

import os

from anthropic import AnthropicBedrock

client = AnthropicBedrock(base_url=os.environ["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"])
with client.messages.stream(
    model="us.anthropic.claude-sonnet-4-6-v1:0",
    max_tokens=100,
    messages=[{"role": "user", "content": "Who pays for this?"}],
) as stream:
    for text in stream.text_stream:
        print(text, end="", flush=True)
print()
