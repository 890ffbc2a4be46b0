"""anthropic-python: its two classes for Bedrock, and the plain client with a key in either header."""

import os

import anthropic
from anthropic import Anthropic, AnthropicBedrock, AnthropicBedrockMantle
from common import BROKEN_TOKEN, CLAUDE, CLAUDE_BASE, CLAUDE_PROFILE, ENDPOINT, FORBIDDEN, SAID, TOKEN, main, raises

MESSAGES = [{"role": "user", "content": SAID}]

# Each client gets its token in code. The library would send the environment's token beside another one.
os.environ.pop("ANTHROPIC_AUTH_TOKEN", None)


def messages(client, model: str) -> None:
    answer = client.messages.create(model=model, max_tokens=100, messages=MESSAGES)
    assert SAID in answer.content[0].text, answer
    assert answer.usage.input_tokens > 0, answer

    with client.messages.stream(model=model, max_tokens=100, messages=MESSAGES) as stream:
        text = "".join(stream.text_stream)
        assert SAID in text, text
        assert stream.get_final_message().usage.output_tokens > 0


def refused(connect, model: str) -> None:
    for stream in False, True:
        with raises(anthropic.AuthenticationError):
            connect(BROKEN_TOKEN).messages.create(model=model, max_tokens=100, messages=MESSAGES, stream=stream)
        with raises(anthropic.PermissionDeniedError):
            connect(TOKEN).messages.create(model=FORBIDDEN, max_tokens=100, messages=MESSAGES, stream=stream)


def data_path() -> None:
    def connect(token: str) -> AnthropicBedrock:
        return AnthropicBedrock(base_url=ENDPOINT, api_key=token)

    messages(connect(TOKEN), CLAUDE)
    messages(connect(TOKEN), CLAUDE_PROFILE)
    refused(connect, CLAUDE)

    # The header of a beta feature is also copied into the body.
    client = connect(TOKEN)
    beta = client.beta.messages.create(model=CLAUDE, max_tokens=100, messages=MESSAGES, betas=["some-beta-2026-01-01"])
    assert SAID in beta.content[0].text, beta


def signed() -> None:
    # The class rejects a token together with credentials, and reads the token from the environment.
    os.environ.pop("AWS_BEARER_TOKEN_BEDROCK", None)

    def connect(token: str) -> AnthropicBedrock:
        return AnthropicBedrock(
            base_url=ENDPOINT,
            aws_access_key="placeholder",
            aws_secret_key="placeholder",
            aws_session_token=token,
        )

    messages(connect(TOKEN), CLAUDE)
    refused(connect, CLAUDE)


def runtime() -> None:
    def by_key(token: str) -> Anthropic:
        return Anthropic(base_url=f"{ENDPOINT}/anthropic", api_key=token)

    def by_bearer(token: str) -> Anthropic:
        return Anthropic(base_url=f"{ENDPOINT}/anthropic", auth_token=token)

    # This version sends both as bearer token. The 0.x versions and other clients send a key in this header.
    def by_header(token: str) -> Anthropic:
        return Anthropic(base_url=f"{ENDPOINT}/anthropic", default_headers={"X-Api-Key": token})

    for connect in by_key, by_bearer, by_header:
        messages(connect(TOKEN), CLAUDE)
        refused(connect, CLAUDE)


def mantle() -> None:
    def own_class(token: str) -> AnthropicBedrockMantle:
        return AnthropicBedrockMantle(base_url=f"{ENDPOINT}/mantle/anthropic", api_key=token)

    def plain(token: str) -> Anthropic:
        return Anthropic(base_url=f"{ENDPOINT}/mantle/anthropic", api_key=token)

    def by_header(token: str) -> Anthropic:
        return Anthropic(base_url=f"{ENDPOINT}/mantle/anthropic", default_headers={"X-Api-Key": token})

    def signed(token: str) -> AnthropicBedrockMantle:
        return AnthropicBedrockMantle(
            base_url=f"{ENDPOINT}/mantle/anthropic",
            aws_region="us-east-1",
            aws_access_key="placeholder",
            aws_secret_key="placeholder",
            aws_session_token=token,
        )

    for connect in own_class, plain, by_header, signed:
        messages(connect(TOKEN), CLAUDE_BASE)
        counted = connect(TOKEN).messages.count_tokens(model=CLAUDE_BASE, messages=MESSAGES)
        assert counted.input_tokens > 0, counted
        refused(connect, CLAUDE_BASE)


if __name__ == "__main__":
    main(
        f"anthropic {anthropic.__version__}",
        {"data-path": data_path, "signed": signed, "anthropic": runtime, "mantle": mantle},
    )
