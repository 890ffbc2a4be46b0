"""openai: the plain client; for bedrock-mantle the base is …/mantle/v1 and the model openai.gpt-oss-120b."""

import os

from openai import OpenAI

client = OpenAI(
    base_url=os.environ["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"] + "/openai/v1",
    api_key=os.environ["AWS_BEARER_TOKEN_BEDROCK"],
)
chunks = client.chat.completions.create(
    model="openai.gpt-oss-120b-1:0",
    messages=[{"role": "user", "content": "Who pays for this?"}],
    stream=True,
)
for chunk in chunks:
    for choice in chunk.choices:
        print(choice.delta.content or "", end="", flush=True)
print()
