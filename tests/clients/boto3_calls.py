"""boto3 as it is: endpoint and CA from the environment; the token as bearer or in placeholder credentials."""

import json
import os
import tempfile
import time

import boto3
from botocore.exceptions import ClientError
from common import (
    BROKEN_TOKEN,
    CLAUDE,
    CLAUDE_BASE,
    CLAUDE_PROFILE,
    ENDPOINT,
    FORBIDDEN,
    GUARDRAIL,
    SAID,
    TOKEN,
    VIDEO,
    main,
    raises,
)

MESSAGES = [{"role": "user", "content": [{"text": SAID}]}]
BODY = json.dumps(
    {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": SAID}],
    }
)


def bearer(token: str = TOKEN, service: str = "bedrock-runtime", path: str = ""):
    os.environ["AWS_BEARER_TOKEN_BEDROCK"] = token
    return boto3.client(service, endpoint_url=ENDPOINT + path)


def signed(token: str = TOKEN, service: str = "bedrock-runtime", path: str = ""):
    # botocore prefers the variable even to credentials that are given in code.
    os.environ.pop("AWS_BEARER_TOKEN_BEDROCK", None)
    return boto3.client(
        service,
        endpoint_url=ENDPOINT + path,
        aws_access_key_id="placeholder",
        aws_secret_access_key="placeholder",
        aws_session_token=token,
    )


def data_path(connect) -> None:
    client = connect()
    for model in CLAUDE, CLAUDE_PROFILE:
        answer = client.converse(modelId=model, messages=MESSAGES)
        assert SAID in answer["output"]["message"]["content"][0]["text"], answer
        assert answer["usage"]["inputTokens"] > 0, answer
        assert answer["ResponseMetadata"]["HTTPHeaders"]["x-gateway-request-id"], answer

        events = list(client.converse_stream(modelId=model, messages=MESSAGES)["stream"])
        deltas = [event["contentBlockDelta"]["delta"]["text"] for event in events if "contentBlockDelta" in event]
        assert SAID in "".join(deltas), events
        assert events[-1]["metadata"]["usage"]["outputTokens"] > 0, events

        answer = client.invoke_model(modelId=model, body=BODY)
        assert SAID in json.loads(answer["body"].read())["content"][0]["text"]

        answer = client.invoke_model_with_response_stream(modelId=model, body=BODY)
        chunks = [json.loads(event["chunk"]["bytes"]) for event in answer["body"]]
        assert SAID in "".join(chunk.get("delta", {}).get("text", "") for chunk in chunks), chunks
        assert "amazon-bedrock-invocationMetrics" in chunks[-1], chunks[-1]

    with raises(client.exceptions.AccessDeniedException, lambda error: status(error) == 403):
        client.converse(modelId=FORBIDDEN, messages=MESSAGES)
    with raises(client.exceptions.AccessDeniedException):
        client.invoke_model_with_response_stream(modelId=FORBIDDEN, body=BODY)
    with raises(ClientError, lambda error: code(error) == "UnknownOperationException"):
        connect(path="/nowhere").converse(modelId=CLAUDE, messages=MESSAGES)
    with raises(ClientError, unrecognized):
        connect(BROKEN_TOKEN).converse(modelId=CLAUDE, messages=MESSAGES)
    with raises(ClientError, unrecognized):
        connect(BROKEN_TOKEN).converse_stream(modelId=CLAUDE, messages=MESSAGES)


def count_tokens() -> None:
    client = bearer()
    for asked in {"converse": {"messages": MESSAGES}}, {"invokeModel": {"body": BODY}}:
        answer = client.count_tokens(modelId=CLAUDE_BASE, input=asked)
        assert answer["inputTokens"] > 0, answer
    with raises(client.exceptions.AccessDeniedException):
        client.count_tokens(modelId=FORBIDDEN, input={"converse": {"messages": MESSAGES}})
    with raises(ClientError, unrecognized):
        bearer(BROKEN_TOKEN).count_tokens(modelId=CLAUDE_BASE, input={"converse": {"messages": MESSAGES}})


def guardrail() -> None:
    client = bearer()
    content = [{"text": {"text": SAID}}]
    for name in GUARDRAIL, f"arn:aws:bedrock:us-east-1:123456789012:guardrail/{GUARDRAIL}":
        answer = client.apply_guardrail(
            guardrailIdentifier=name, guardrailVersion="1", source="INPUT", content=content
        )
        assert answer["action"] in ("NONE", "GUARDRAIL_INTERVENED"), answer
        assert answer["usage"]["contentPolicyUnits"] >= 0, answer
    with raises(ClientError, unrecognized):
        bearer(BROKEN_TOKEN).apply_guardrail(
            guardrailIdentifier=GUARDRAIL, guardrailVersion="DRAFT", source="OUTPUT", content=content
        )


def async_invoke() -> None:
    client = bearer()
    start = {
        "modelInput": {"taskType": "TEXT_VIDEO", "textToVideoParams": {"text": SAID}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://acme-videos/clients/"}},
    }
    started = client.start_async_invoke(modelId=VIDEO, **start)["invocationArn"]
    answer = client.get_async_invoke(invocationArn=started)
    assert answer["invocationArn"] == started, answer
    assert answer["status"] in ("InProgress", "Completed"), answer
    answer = client.list_async_invokes(maxResults=10, sortBy="SubmissionTime", sortOrder="Descending")
    assert started in [each["invocationArn"] for each in answer["asyncInvokeSummaries"]], answer
    # Here the body names the model, not the path.
    with raises(client.exceptions.AccessDeniedException):
        client.start_async_invoke(modelId=FORBIDDEN, **start)
    with raises(ClientError, unrecognized):
        bearer(BROKEN_TOKEN).start_async_invoke(modelId=VIDEO, **start)


def control_plane() -> None:
    client = bearer(service="bedrock")
    answer = client.list_foundation_models(byProvider="anthropic")
    assert any("anthropic.claude" in each["modelId"] for each in answer["modelSummaries"]), answer
    pages = client.get_paginator("list_inference_profiles").paginate(typeEquals="SYSTEM_DEFINED")
    profiles = [each["inferenceProfileId"] for page in pages for each in page["inferenceProfileSummaries"]]
    assert any("anthropic.claude" in each for each in profiles), profiles
    # Of the control plane only the lists are for callers.
    with raises(ClientError, lambda error: code(error) in ("UnknownOperationException", "AccessDeniedException")):
        client.delete_guardrail(guardrailIdentifier=GUARDRAIL)
    with raises(ClientError, unrecognized):
        bearer(BROKEN_TOKEN, service="bedrock").list_foundation_models()


def renewal() -> None:
    """A profile whose credentials the gateway's command line prints outlives its tokens."""
    os.environ.pop("AWS_BEARER_TOKEN_BEDROCK", None)
    lifetime = int(os.environ["TOKEN_SECONDS"])
    command = f"{os.path.abspath(os.environ['BEDROCK_GATEWAY'])} credentials --token-file {os.environ['TOKEN_FILE']}"
    with tempfile.NamedTemporaryFile("w") as profile:
        profile.write(f"[profile acme]\nregion = us-east-1\ncredential_process = {command}\n")
        profile.flush()
        os.environ["AWS_CONFIG_FILE"] = profile.name
        session = boto3.Session(profile_name="acme")
        client = session.client("bedrock-runtime", endpoint_url=ENDPOINT)
        first = session.get_credentials().get_frozen_credentials().token
        tokens, end = {first}, time.monotonic() + 2.5 * lifetime
        while time.monotonic() < end:
            answer = client.converse(modelId=CLAUDE, messages=MESSAGES)
            assert SAID in answer["output"]["message"]["content"][0]["text"], answer
            tokens.add(session.get_credentials().get_frozen_credentials().token)
            time.sleep(0.2)
    assert len(tokens) > 2, f"{len(tokens)} tokens in two and a half lifetimes"
    with raises(ClientError, lambda error: code(error) == "ExpiredTokenException"):
        signed(first).converse(modelId=CLAUDE, messages=MESSAGES)


def status(error: ClientError) -> int:
    return error.response["ResponseMetadata"]["HTTPStatusCode"]


def code(error: ClientError) -> str:
    return error.response["Error"]["Code"]


def unrecognized(error: ClientError) -> bool:
    return status(error) == 401 and code(error) == "UnrecognizedClientException"


if __name__ == "__main__":
    main(
        f"boto3 {boto3.__version__}",
        {
            "data-path": lambda: data_path(bearer),
            "signed": lambda: data_path(signed),
            "renewal": renewal,
            "count-tokens": count_tokens,
            "guardrail": guardrail,
            "async": async_invoke,
            "control-plane": control_plane,
        },
    )
