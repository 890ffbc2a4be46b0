"""LiteLLM as a library: the endpoint and the token are given at each call, so a token can be renewed."""

import os

from litellm import completion

answer = completion(
    model="bedrock/converse/us.anthropic.claude-sonnet-4-6-v1:0",
    messages=[{"role": "user", "content": "Who pays for this?"}],
    aws_bedrock_runtime_endpoint=os.environ["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"],
    api_key=os.environ["AWS_BEARER_TOKEN_BEDROCK"],
)
print(answer.choices[0].message.content)
