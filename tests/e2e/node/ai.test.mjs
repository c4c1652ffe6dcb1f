// The Vercel AI SDK with only its base URL changed.
import assert from "node:assert/strict";
import test from "node:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { cosineSimilarity, embedMany, generateObject, generateText, streamText, tool } from "ai";
import { z } from "zod";
import { baseURL, count, embedModel, model, question, texts, weather } from "./clients.mjs";

const modeld = createOpenAICompatible({
  name: "modeld", baseURL, includeUsage: true, supportsStructuredOutputs: true,
});
const ask = { model: modeld(model), temperature: 0, maxOutputTokens: 60, maxRetries: 0 };
const place = z.object({ city: z.enum(["Paris", "Rome"]), days: z.number().int() });
const tools = {
  get_weather: tool({
    description: "Tells the weather in a city.", inputSchema: place, execute: weather,
  }),
};

test("a chat is answered, and streamed in pieces", async () => {
  const whole = await generateText({ ...ask, prompt: count });
  assert.ok(whole.text);
  const pieces = [];
  const stream = streamText({ ...ask, prompt: count });
  for await (const piece of stream.textStream) pieces.push(piece);
  assert.ok(pieces.length > 5);
  assert.ok(pieces.join("").length > 5);
  assert.ok((await stream.usage).outputTokens >= pieces.length);
});

test("a tool is called with arguments, and its result answered", async () => {
  const steps = [];
  const done = await generateText({
    ...ask, prompt: question, tools,
    stopWhen: ({ steps }) => steps.length === 2,
    // The first step must call it, the second has its result and answers.
    prepareStep: ({ stepNumber }) => ({
      toolChoice: stepNumber === 0 ? { type: "tool", toolName: "get_weather" } : "none",
    }),
    onStepFinish: (step) => { steps.push(step); },
  });
  assert.equal(steps.length, 2);
  assert.equal(steps[0].finishReason, "tool-calls");
  const [result] = steps[0].toolResults;
  assert.equal(typeof result.input.days, "number");
  assert.match(result.output, /days of sun in/);
  assert.ok(done.text);

  const stream = streamText({ ...ask, prompt: question, tools, toolChoice: "required",
    providerOptions: { modeld: { parallel_tool_calls: false } } });
  const [streamed, ...others] = await stream.toolCalls;
  assert.ok(place.safeParse(streamed.input).success);
  assert.deepEqual(others, []);
});

test("an object has its schema", async () => {
  const made = await generateObject({ ...ask, prompt: question, schema: place });
  assert.ok(place.safeParse(made.object).success);
});

test("embeddings know what is alike", async () => {
  const { embeddings: [cat, kitten, market], usage } = await embedMany({
    model: modeld.textEmbeddingModel(embedModel), values: texts,
  });
  assert.equal(cat.length, 384);
  assert.ok(usage.tokens > 15);
  assert.ok(cosineSimilarity(cat, kitten) > 0.5 && cosineSimilarity(cat, market) < 0.5);
});
