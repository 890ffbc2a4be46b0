"""openai-python: the plain client with a base URL and a key, and its provider for Bedrock."""

import openai
from common import BROKEN_TOKEN, ENDPOINT, FORBIDDEN, GPT, GPT_MANTLE, SAID, TOKEN, main, raises
from openai import OpenAI
from openai.providers import bedrock

MESSAGES = [{"role": "user", "content": SAID}]


def chat(client: OpenAI, model: str) -> None:
    answer = client.chat.completions.create(model=model, messages=MESSAGES)
    assert SAID in answer.choices[0].message.content, answer
    assert answer.usage.prompt_tokens > 0, answer

    # With and without usage. Usage is a last chunk that has no choices.
    for options in {"stream_options": {"include_usage": True}}, {}:
        chunks = list(client.chat.completions.create(model=model, messages=MESSAGES, stream=True, **options))
        text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
        assert SAID in text, chunks
        if options:
            assert chunks[-1].usage.completion_tokens > 0, chunks[-1]


def responses(client: OpenAI, model: str) -> None:
    answer = client.responses.create(model=model, input=SAID, store=False)
    assert SAID in answer.output_text, answer
    assert answer.usage.input_tokens > 0, answer

    events = list(client.responses.create(model=model, input=SAID, store=False, stream=True))
    assert SAID in "".join(event.delta for event in events if event.type == "response.output_text.delta"), events
    assert events[-1].type == "response.completed", events[-1]
    assert events[-1].response.usage.output_tokens > 0, events[-1]


def refused(connect, model: str) -> None:
    for stream in False, True:
        with raises(openai.AuthenticationError):
            connect(BROKEN_TOKEN).chat.completions.create(model=model, messages=MESSAGES, stream=stream)
        with raises(openai.PermissionDeniedError):
            connect(TOKEN).chat.completions.create(model=FORBIDDEN, messages=MESSAGES, stream=stream)
    with raises(openai.AuthenticationError):
        connect(BROKEN_TOKEN).responses.create(model=model, input=SAID)
    with raises(openai.PermissionDeniedError):
        connect(TOKEN).responses.create(model=FORBIDDEN, input=SAID)


def runtime() -> None:
    def connect(token: str) -> OpenAI:
        return OpenAI(base_url=f"{ENDPOINT}/openai/v1", api_key=token)

    chat(connect(TOKEN), GPT)
    responses(connect(TOKEN), GPT)
    refused(connect, GPT)
    # Bedrock's runtime does not have this operation, so the gateway does not either.
    with raises(openai.NotFoundError):
        connect(TOKEN).models.list()


def mantle() -> None:
    for path in "/mantle/v1", "/mantle/openai/v1":

        def connect(token: str) -> OpenAI:
            return OpenAI(base_url=ENDPOINT + path, api_key=token)

        chat(connect(TOKEN), GPT_MANTLE)
        responses(connect(TOKEN), GPT_MANTLE)
        refused(connect, GPT_MANTLE)
    client = OpenAI(base_url=f"{ENDPOINT}/mantle/v1", api_key=TOKEN)
    assert any(model.id for model in client.models.list())


def provider() -> None:
    for endpoint, path, model in ("runtime", "/openai/v1", GPT), ("mantle", "/mantle/openai/v1", GPT_MANTLE):

        def connect(token: str) -> OpenAI:
            return OpenAI(provider=bedrock(endpoint=endpoint, base_url=ENDPOINT + path, api_key=token))

        chat(connect(TOKEN), model)
        responses(connect(TOKEN), model)
        refused(connect, model)

        # It can also sign. Then the token is the session token of placeholder credentials.
        placeholder = bedrock(
            endpoint=endpoint,
            base_url=ENDPOINT + path,
            region="us-east-1",
            access_key_id="placeholder",
            secret_access_key="placeholder",
            session_token=TOKEN,
        )
        chat(OpenAI(provider=placeholder), model)


if __name__ == "__main__":
    main(f"openai {openai.__version__}", {"openai": runtime, "mantle": mantle, "provider": provider})
