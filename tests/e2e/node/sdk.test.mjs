// The official Node SDK against a running modeld; test_node.py starts it and us.
import assert from "node:assert/strict";
import test from "node:test";
import OpenAI from "openai";

const { MODELD_URL, TEXT_MODEL: model, TOOLS_MODEL, EMBED_MODEL } = process.env;
const messages = [{ role: "user", content: "Say hello." }];

for (const path of ["/engines/v1", "/engines/llama.cpp/v1", "/v1"]) {
  const client = new OpenAI({ baseURL: MODELD_URL + path, apiKey: "x", maxRetries: 0 });

  test(`${path}: a chat, streamed and not, says the same`, async () => {
    const ask = { model, messages, max_tokens: 10, temperature: 0 };
    const whole = await client.chat.completions.create(ask);
    assert.equal(whole.model, model);
    assert.ok(whole.choices[0].message.content);
    let text = "";
    let usage;
    const stream = await client.chat.completions.create({
      ...ask, stream: true, stream_options: { include_usage: true },
    });
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta?.content ?? "";
      usage = chunk.usage ?? usage;
    }
    assert.equal(text, whole.choices[0].message.content);
    assert.deepEqual(
      [usage.prompt_tokens, usage.completion_tokens],
      [whole.usage.prompt_tokens, whole.usage.completion_tokens]);
  });

  test(`${path}: completions and embeddings`, async () => {
    const done = await client.completions.create({ model, prompt: "1, 2,", max_tokens: 4 });
    assert.ok(done.choices[0].text.length > 0);
    // The SDK asks for base64 by itself and decodes it.
    const made = await client.embeddings.create({ model: EMBED_MODEL, input: ["a", "b"] });
    assert.equal(made.data.length, 2);
    assert.equal(made.data[1].embedding.length, 384);
  });

  test(`${path}: models, and a missing one`, async () => {
    const ids = [];
    for await (const m of client.models.list()) ids.push(m.id);
    assert.ok(ids.includes(`docker.io/${model}`));
    await assert.rejects(
      client.chat.completions.create({ model: "ai/nothing", messages }),
      (e) => e instanceof OpenAI.NotFoundError && e.code === "model_not_found");
    await assert.rejects(
      client.chat.completions.create({ model, messages, temperature: 99 }),
      (e) => e instanceof OpenAI.BadRequestError && e.param === "temperature");
  });
}

test("a tool is called with arguments, streamed and not", async () => {
  const client = new OpenAI({ baseURL: `${MODELD_URL}/v1`, apiKey: "x", maxRetries: 0 });
  const name = "get_weather";
  const parameters = {
    type: "object", required: ["city", "days"],
    properties: { city: { enum: ["Paris", "Rome"] }, days: { type: "integer" } },
  };
  const ask = {
    model: TOOLS_MODEL, temperature: 0, max_tokens: 60,
    messages: [{ role: "user", content: "How is the weather in Paris for 3 days?" }],
    tools: [{ type: "function", function: { name, parameters } }],
    tool_choice: { type: "function", function: { name } },
  };
  const whole = await client.chat.completions.create(ask);
  const streamed = await client.chat.completions.stream(ask).finalChatCompletion();
  for (const done of [whole, streamed]) {
    const [call, ...others] = done.choices[0].message.tool_calls;
    assert.deepEqual([call.function.name, others], [name, []]);
    assert.equal(typeof JSON.parse(call.function.arguments).days, "number");
  }
});

test("a stream that is aborted ends, and the next request works", async () => {
  const client = new OpenAI({ baseURL: `${MODELD_URL}/v1`, apiKey: "x", maxRetries: 0 });
  const stream = await client.chat.completions.create({
    model, messages, max_tokens: 4000, stream: true, ignore_eos: true,
  });
  let n = 0;
  for await (const _ of stream) if (++n === 3) stream.controller.abort();
  assert.ok(n < 50);
  const next = await client.chat.completions.create({ model, messages, max_tokens: 1 });
  assert.equal(next.usage.completion_tokens, 1);
});
