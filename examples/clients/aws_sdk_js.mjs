// aws-sdk-js v3: reads AWS_ENDPOINT_URL_BEDROCK_RUNTIME and AWS_BEARER_TOKEN_BEDROCK by itself; speaks HTTP/2 only.
import { BedrockRuntimeClient, ConverseStreamCommand } from "@aws-sdk/client-bedrock-runtime";

const client = new BedrockRuntimeClient({ region: "us-east-1" });
const answer = await client.send(
  new ConverseStreamCommand({
    modelId: "us.anthropic.claude-sonnet-4-6-v1:0",
    messages: [{ role: "user", content: [{ text: "Who pays for this?" }] }],
  }),
);
for await (const event of answer.stream) {
  process.stdout.write(event.contentBlockDelta?.delta.text ?? "");
}
console.log();
