"""boto3: reads AWS_ENDPOINT_URL_BEDROCK_RUNTIME, AWS_BEARER_TOKEN_BEDROCK and AWS_DEFAULT_REGION by itself."""

import boto3

client = boto3.client("bedrock-runtime")
answer = client.converse_stream(
    modelId="us.anthropic.claude-sonnet-4-6-v1:0",
    messages=[{"role": "user", "content": [{"text": "Who pays for this?"}]}],
)
for event in answer["stream"]:
    if "contentBlockDelta" in event:
        print(event["contentBlockDelta"]["delta"]["text"], end="", flush=True)
print()
