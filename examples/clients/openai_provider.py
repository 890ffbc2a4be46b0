"""openai 3: its provider for Bedrock, which asks for the token at every call, so that it can be renewed."""

import os

from openai import OpenAI
from openai.providers import bedrock

provider = bedrock(
    endpoint="runtime",
    base_url=os.environ["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"] + "/openai/v1",
    token_provider=lambda: os.environ["AWS_BEARER_TOKEN_BEDROCK"],
)
client = OpenAI(provider=provider)
answer = client.responses.create(model="openai.gpt-oss-120b-1:0", input="Who pays for this?", store=False)
print(answer.output_text)
