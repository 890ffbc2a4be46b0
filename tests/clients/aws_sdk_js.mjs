// The unmodified AWS SDK for JavaScript over HTTP/2. Node trusts the CA in NODE_EXTRA_CA_CERTS.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import {
  AccessDeniedException,
  BedrockRuntimeClient,
  ConverseCommand,
  ConverseStreamCommand,
  InvokeModelCommand,
  InvokeModelWithResponseStreamCommand,
} from "@aws-sdk/client-bedrock-runtime";

const { version } = createRequire(import.meta.url)("@aws-sdk/client-bedrock-runtime/package.json");
const endpoint = process.env.AWS_ENDPOINT_URL_BEDROCK_RUNTIME;
const token = process.env.AWS_BEARER_TOKEN_BEDROCK;
const user = process.env.CLIENT_USER;
const region = "us-east-1";

const models = [
  "us.anthropic.claude-sonnet-4-6-v1:0",
  "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abcdefghijkl",
];
const forbidden = "meta.llama3-8b-instruct-v1:0"; // no role rule of the quickstart permits it
const broken = token.slice(0, -16) + "A".repeat(16);
const said = `hello from ${user}`;
const messages = [{ role: "user", content: [{ text: said }] }];
const body = JSON.stringify({
  anthropic_version: "bedrock-2023-05-31",
  max_tokens: 100,
  messages: [{ role: "user", content: said }],
});

// A refusal ends with it, since the SDK shows the message and hides the headers.
const requestId = /Request id: [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

// `bedrock-gateway why` finds the request by the id that a person sees, and names the person and the reason.
async function isExplained(message, reason) {
  const [id] = message.match(requestId);
  const command = ["why", id, "--admin", process.env.GATEWAY_ADMIN];
  let done;
  // The gateway writes the record when the answer is sent, which may be a moment after the client has read it.
  for (let tries = 0; tries < 50; tries++) {
    done = spawnSync(process.env.BEDROCK_GATEWAY, command, { encoding: "utf8" });
    if (done.status === 0) break;
    await new Promise((wake) => setTimeout(wake, 100));
  }
  assert.equal(done.status, 0, done.stderr);
  assert.ok(done.stdout.includes(reason) && done.stdout.includes(user), done.stdout);
}

// The token is a bearer token from the environment. The SDK reads it for every call.
function bearer(value) {
  process.env.AWS_BEARER_TOKEN_BEDROCK = value;
  return new BedrockRuntimeClient({ endpoint, region });
}

// The token is the session token of placeholder credentials, and the client signs.
function signed(value) {
  delete process.env.AWS_BEARER_TOKEN_BEDROCK;
  const credentials = { accessKeyId: "placeholder", secretAccessKey: "placeholder", sessionToken: value };
  return new BedrockRuntimeClient({ endpoint, region, credentials });
}

const parse = (bytes) => JSON.parse(new TextDecoder().decode(bytes));

async function all(stream) {
  const items = [];
  for await (const item of stream) items.push(item);
  return items;
}

async function dataPath(connect) {
  const client = connect(token);
  for (const modelId of models) {
    const answer = await client.send(new ConverseCommand({ modelId, messages }));
    assert.ok(answer.output.message.content[0].text.includes(said));
    assert.ok(answer.usage.inputTokens > 0);

    const streamed = await client.send(new ConverseStreamCommand({ modelId, messages }));
    const events = await all(streamed.stream);
    assert.ok(events.map((event) => event.contentBlockDelta?.delta.text ?? "").join("").includes(said));
    assert.ok(events.at(-1).metadata.usage.outputTokens > 0);

    const invoked = await client.send(new InvokeModelCommand({ modelId, body }));
    assert.ok(parse(invoked.body).content[0].text.includes(said));

    const chunked = await client.send(new InvokeModelWithResponseStreamCommand({ modelId, body }));
    const chunks = (await all(chunked.body)).map((event) => parse(event.chunk.bytes));
    assert.ok(chunks.map((chunk) => chunk.delta?.text ?? "").join("").includes(said));
    assert.ok("amazon-bedrock-invocationMetrics" in chunks.at(-1));
  }

  // Many concurrent calls on one connection.
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => client.send(new ConverseCommand({ modelId: models[0], messages }))),
  );
  assert.ok(answers.every((answer) => answer.output.message.content[0].text.includes(said)));

  let refusal;
  await assert.rejects(client.send(new ConverseCommand({ modelId: forbidden, messages })), (error) => {
    assert.ok(error instanceof AccessDeniedException);
    refusal = error.message;
    return true;
  });
  await isExplained(refusal, "model_forbidden");
  client.destroy();

  const rejected = connect(broken);
  for (const Command of [ConverseCommand, ConverseStreamCommand]) {
    await assert.rejects(rejected.send(new Command({ modelId: models[0], messages })), (error) => {
      assert.equal(error.name, "UnrecognizedClientException");
      assert.equal(error.$metadata.httpStatusCode, 401);
      refusal = error.message;
      return true;
    });
    await isExplained(refusal, "token_signature");
  }
  rejected.destroy();
}

const groups = { "data-path": () => dataPath(bearer), signed: () => dataPath(signed) };
const group = process.argv[2];
if (!Object.hasOwn(groups, group)) throw new Error(`groups: ${Object.keys(groups).join(" ")}`);
await groups[group]();
console.log(`aws-sdk-js ${version}: ${group} as ${user}`);
