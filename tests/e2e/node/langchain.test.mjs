// LangChain for JavaScript with only its base URL changed.
import assert from "node:assert/strict";
import test from "node:test";
import { HumanMessage } from "@langchain/core/messages";
import { concat } from "@langchain/core/utils/stream";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI, OpenAIEmbeddings } from "@langchain/openai";
import { z } from "zod";
import { baseURL, count, dot, embedModel, model, question, texts, weather } from "./clients.mjs";

const configuration = { baseURL };
const chat = new ChatOpenAI({
  configuration, apiKey: "none", model, temperature: 0, maxTokens: 60, maxRetries: 0,
});

test("a chat is answered, and streamed in pieces", async () => {
  const whole = await chat.invoke(count);
  assert.ok(whole.content);
  assert.ok(whole.usage_metadata.output_tokens > 5);
  const pieces = [];
  for await (const piece of await chat.stream(count))
    if (piece.content) pieces.push(piece.content);
  assert.ok(pieces.length > 5);
  assert.ok(pieces.join("").length > 5);
});

test("a tool is called with arguments, and its result answered", async () => {
  const getWeather = tool(weather, {
    name: "get_weather", description: "Tells the weather in a city.",
    schema: z.object({ city: z.enum(["Paris", "Rome"]), days: z.number().int() }),
  });
  const caller = chat.bindTools([getWeather], { tool_choice: "get_weather" });
  const ask = new HumanMessage(question);
  const message = await caller.invoke([ask]);
  const [call, ...others] = message.tool_calls;
  assert.deepEqual([call.name, typeof call.args.days, others], ["get_weather", "number", []]);
  const result = await getWeather.invoke(call);
  assert.match(result.content, /days of sun in/);
  assert.ok((await chat.invoke([ask, message, result])).content);

  let streamed;
  for await (const piece of await caller.stream([ask]))
    streamed = streamed ? concat(streamed, piece) : piece;
  assert.deepEqual(streamed.tool_calls.map((c) => typeof c.args.days), ["number"]);
});

test("embeddings know what is alike", async () => {
  const made = new OpenAIEmbeddings({
    configuration, apiKey: "none", model: embedModel, maxRetries: 0,
  });
  const [cat, kitten, market] = await made.embedDocuments(texts);
  assert.equal(cat.length, 384);
  assert.ok(dot(cat, kitten) > 0.5 && dot(cat, market) < 0.5);
  assert.equal((await made.embedQuery(texts[0])).length, 384);
});
