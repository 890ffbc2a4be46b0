"""langchain-aws: over boto3, and so configured by the same variables."""

from langchain_aws import ChatBedrockConverse

chat = ChatBedrockConverse(model="us.anthropic.claude-sonnet-4-6-v1:0")
for chunk in chat.stream("Who pays for this?"):
    print(chunk.text, end="", flush=True)
print()
