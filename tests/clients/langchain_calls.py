"""langchain-aws: ChatBedrockConverse over boto3, configured only by the environment."""

import os
from importlib.metadata import version

from botocore.exceptions import ClientError
from common import BROKEN_TOKEN, CLAUDE, CLAUDE_BASE, CLAUDE_PROFILE, FORBIDDEN, SAID, main, raises
from langchain_aws import ChatBedrockConverse


def data_path() -> None:
    chat = ChatBedrockConverse(model=CLAUDE)
    answer = chat.invoke(SAID)
    assert SAID in answer.text, answer
    assert answer.usage_metadata["input_tokens"] > 0, answer

    chunks = list(chat.stream(SAID))
    assert len(chunks) > 1, chunks
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    assert SAID in whole.text, whole
    assert whole.usage_metadata["output_tokens"] > 0, whole

    # Without base_model_id it would ask the control plane for the model of the profile.
    chat = ChatBedrockConverse(model=CLAUDE_PROFILE, base_model_id=CLAUDE_BASE, provider="anthropic")
    assert SAID in chat.invoke(SAID).text

    with raises(ClientError, lambda error: error.response["Error"]["Code"] == "AccessDeniedException"):
        ChatBedrockConverse(model=FORBIDDEN).invoke(SAID)
    os.environ["AWS_BEARER_TOKEN_BEDROCK"] = BROKEN_TOKEN
    with raises(ClientError, lambda error: error.response["Error"]["Code"] == "UnrecognizedClientException"):
        ChatBedrockConverse(model=CLAUDE).invoke(SAID)


if __name__ == "__main__":
    main(f"langchain-aws {version('langchain-aws')}", {"data-path": data_path})
