"""boto3 where only credentials can be set: the token is the session token, the keys are placeholders."""

import os

import boto3

# botocore takes the bearer token of this variable before any credentials.
token = os.environ.pop("AWS_BEARER_TOKEN_BEDROCK")
client = boto3.client(
    "bedrock-runtime",
    aws_access_key_id="placeholder",
    aws_secret_access_key="placeholder",
    aws_session_token=token,
)
answer = client.converse(
    modelId="us.anthropic.claude-sonnet-4-6-v1:0",
    messages=[{"role": "user", "content": [{"text": "Who pays for this?"}]}],
)
print(answer["output"]["message"]["content"][0]["text"])
