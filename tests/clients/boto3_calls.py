"""The four calls with boto3 as it is: endpoint, CA and bearer token from the environment."""

import json
import sys

import boto3
from botocore.exceptions import ClientError

MODELS = [
    "us.anthropic.claude-sonnet-4-6-v1:0",
    "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abcdefghijkl",
]


def text_of_stream(events):
    return "".join(event["contentBlockDelta"]["delta"]["text"] for event in events if "contentBlockDelta" in event)


def main(user: str) -> None:
    client = boto3.client("bedrock-runtime")
    said = f"hello from {user}"
    messages = [{"role": "user", "content": [{"text": said}]}]
    body = json.dumps(
        {
            "anthropic_version": "bedrock-2023-05-31",
            "max_tokens": 100,
            "messages": [{"role": "user", "content": said}],
        }
    )
    for model in MODELS:
        answer = client.converse(modelId=model, messages=messages)
        assert said in answer["output"]["message"]["content"][0]["text"], answer
        assert answer["usage"]["inputTokens"] > 0, answer
        assert answer["ResponseMetadata"]["HTTPHeaders"]["x-gateway-request-id"], answer

        answer = client.converse_stream(modelId=model, messages=messages)
        assert said in text_of_stream(answer["stream"])

        answer = client.invoke_model(modelId=model, body=body)
        assert said in json.loads(answer["body"].read())["content"][0]["text"]

        answer = client.invoke_model_with_response_stream(modelId=model, body=body)
        chunks = [json.loads(event["chunk"]["bytes"]) for event in answer["body"]]
        text = "".join(chunk.get("delta", {}).get("text", "") for chunk in chunks)
        assert said in text, chunks
        assert "amazon-bedrock-invocationMetrics" in chunks[-1], chunks[-1]

    try:
        client.converse(modelId="meta.llama3-8b-instruct-v1:0", messages=messages)
        raise SystemExit("a model that the role does not name was served")
    except client.exceptions.AccessDeniedException as error:
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 403

    stranger = boto3.client("bedrock-runtime", endpoint_url=client.meta.endpoint_url + "/nowhere")
    try:
        stranger.converse(modelId=MODELS[0], messages=messages)
        raise SystemExit("a path that is not in the table was served")
    except ClientError as error:
        assert error.response["Error"]["Code"] == "UnknownOperationException", error.response

    print(f"boto3 {boto3.__version__} as {user}: {4 * len(MODELS)} calls answered, 2 refused as they should be")


if __name__ == "__main__":
    main(sys.argv[1])
