"""The official Python SDK against every path form, over TCP and the Unix socket."""

import asyncio
import base64
import json
import struct

import httpx
import openai
import pytest

from clients_fixtures import clients  # noqa: F401
from conftest import EMBED, TEXT, eventually

PATHS = ["/engines/v1", "/engines/llama.cpp/v1", "/v1"]
HELLO = [{"role": "user", "content": "Say hello."}]


@pytest.fixture(params=[*PATHS, "socket"])
def client(request, modeld):
    if request.param == "socket":
        http = httpx.Client(transport=httpx.HTTPTransport(uds=str(modeld.socket)))
        return openai.OpenAI(base_url="http://localhost/engines/v1", api_key="x",
                             http_client=http, max_retries=0)
    return openai.OpenAI(base_url=modeld.url + request.param, api_key="x", max_retries=0)


@pytest.fixture
def plain(modeld):
    return openai.OpenAI(base_url=modeld.url + "/v1", api_key="x", max_retries=0)


def test_a_chat_is_answered(client):
    r = client.chat.completions.create(model=TEXT, messages=HELLO, max_tokens=12, temperature=0)
    choice = r.choices[0]
    assert choice.message.role == "assistant" and choice.message.content
    assert choice.finish_reason in ("stop", "length")
    assert r.model == TEXT
    assert r.usage.total_tokens == r.usage.prompt_tokens + r.usage.completion_tokens
    assert 1 <= r.usage.completion_tokens <= 12


def test_a_streamed_chat_says_the_same(client):
    ask = dict(model=TEXT, messages=HELLO, max_tokens=12, temperature=0, seed=1)
    whole = client.chat.completions.create(**ask)
    text, usage, finish = "", None, None
    for chunk in client.chat.completions.create(
            **ask, stream=True, stream_options={"include_usage": True}):
        assert chunk.model == TEXT
        if chunk.choices:
            text += chunk.choices[0].delta.content or ""
            finish = chunk.choices[0].finish_reason or finish
        if chunk.usage:
            usage = chunk.usage
    assert text == whole.choices[0].message.content
    assert finish == whole.choices[0].finish_reason
    assert usage.completion_tokens == whole.usage.completion_tokens
    assert usage.prompt_tokens == whole.usage.prompt_tokens


def test_a_completion_is_continued(client):
    r = client.completions.create(model=TEXT, prompt="One, two, three,", max_tokens=6,
                                  temperature=0)
    assert r.object == "text_completion" and r.choices[0].text
    streamed = "".join(c.choices[0].text for c in client.completions.create(
        model=TEXT, prompt="One, two, three,", max_tokens=6, temperature=0, stream=True)
        if c.choices)
    assert streamed == r.choices[0].text


WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": {
    "type": "object", "required": ["city", "days"],
    "properties": {"city": {"enum": ["Paris", "Rome"]}, "days": {"type": "integer"}}}}}


@pytest.mark.parametrize("choice", [
    "required", {"type": "function", "function": {"name": "get_weather"}}])
def test_a_tool_is_called_and_its_result_answered(clients, choice):  # noqa: F811
    client = openai.OpenAI(base_url=clients.url, api_key="x", max_retries=0)
    question = {"role": "user", "content": "How is the weather in Paris for 3 days?"}
    ask = dict(model=clients.chat, messages=[question], tools=[WEATHER], tool_choice=choice,
               parallel_tool_calls=False, temperature=0, max_tokens=60)
    message = client.chat.completions.create(**ask).choices[0].message
    with client.chat.completions.stream(**ask) as stream:
        streamed = stream.get_final_completion().choices[0]
    for got in (message, streamed.message):
        (call,) = got.tool_calls
        assert call.id and call.function.name == "get_weather"
        assert isinstance(json.loads(call.function.arguments)["days"], int)
        assert got.content is None
    assert streamed.finish_reason == "tool_calls"
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "Sunny."}
    answer = client.chat.completions.create(
        model=clients.chat, messages=[question, message.to_dict(), result], tools=[WEATHER],
        tool_choice="none", max_tokens=10).choices[0].message
    assert answer.content and not answer.tool_calls


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b))
    return dot / (sum(x * x for x in a) * sum(y * y for y in b)) ** 0.5


def test_embeddings_know_what_is_alike(client):
    r = client.embeddings.create(model=EMBED, input=[
        "A cat sits on the mat.", "A kitten rests on a rug.", "The stock market fell today."])
    cat, kitten, market = (d.embedding for d in r.data)
    assert [d.index for d in r.data] == [0, 1, 2]
    assert len(cat) == 384
    assert cosine(cat, kitten) > 0.5 > cosine(cat, market)
    assert r.usage.prompt_tokens > 15


def test_the_models_are_listed_with_what_is_known(client):
    models = {m.id: m for m in client.models.list()}
    text = models["docker.io/" + TEXT]
    assert text.dmr["architecture"] == "llama"
    assert text.dmr["parameters"] == "134.52M"
    assert text.dmr["quantization"] == "MOSTLY_Q4_1"
    assert text.dmr["context_window"] == 8192
    assert isinstance(text.dmr["loaded"], bool)
    assert client.models.retrieve(TEXT).id == text.id


def test_base64_and_dimensions(plain):
    floats = plain.embeddings.create(model=EMBED, input="hello", encoding_format="float")
    raw = plain.with_raw_response.embeddings.create(
        model=EMBED, input="hello", encoding_format="base64").http_response.json()
    data = base64.b64decode(raw["data"][0]["embedding"])
    assert list(struct.unpack("<384f", data)) == pytest.approx(floats.data[0].embedding, abs=1e-6)
    short = plain.embeddings.create(model=EMBED, input="hello", dimensions=64).data[0].embedding
    assert len(short) == 64
    assert sum(x * x for x in short) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("error,ask", [
    (openai.NotFoundError, {"model": "ai/nothing"}),
    (openai.BadRequestError, {"temperature": 99}),
    (openai.BadRequestError, {"messages": "no list"}),
    (openai.BadRequestError, {"max_tokens": -2}),
    (openai.BadRequestError, {"model": EMBED}),
    (openai.BadRequestError, {"messages": [{"role": "user", "content": "x " * 20000}]}),
])
def test_the_sdk_raises_the_right_class(plain, error, ask):
    with pytest.raises(error) as e:
        plain.chat.completions.create(**{"model": TEXT, "messages": HELLO, "max_tokens": 3, **ask})
    assert e.value.body["message"] and e.value.body["type"]


def test_a_missing_model_has_its_code(plain):
    with pytest.raises(openai.NotFoundError) as e:
        plain.chat.completions.create(model="ai/nothing", messages=HELLO)
    assert e.value.code == "model_not_found" and e.value.param == "model"


def test_a_prompt_too_long_tells_both_numbers(plain):
    with pytest.raises(openai.BadRequestError) as e:
        plain.chat.completions.create(
            model=TEXT, messages=[{"role": "user", "content": "word " * 9000}])
    assert e.value.code == "context_length_exceeded"
    assert "8192" in e.value.message and "90" in e.value.message


def test_the_async_client_streams_several_at_once(modeld):
    async def one(client, i):
        text = ""
        async for chunk in await client.chat.completions.create(
                model=TEXT, max_tokens=8, temperature=0, stream=True,
                messages=[{"role": "user", "content": f"Count from {i}."}]):
            if chunk.choices:
                text += chunk.choices[0].delta.content or ""
        return text

    async def run():
        async with openai.AsyncOpenAI(base_url=modeld.url + "/v1", api_key="x") as client:
            return await asyncio.gather(*(one(client, i) for i in range(6)))

    assert all(asyncio.run(run()))


def test_a_cancelled_stream_frees_the_engine_at_once(plain, modeld):
    stream = plain.chat.completions.create(model=TEXT, max_tokens=4000, stream=True, messages=[
        {"role": "user", "content": "Write a very long story about the sea."}],
        extra_body={"ignore_eos": True})
    next(iter(stream))

    def running():
        return modeld.metric("modeld_requests_running{")

    assert running() == 1
    stream.close()
    eventually(lambda: running() == 0)
    r = plain.chat.completions.create(model=TEXT, messages=HELLO, max_tokens=2)
    assert r.usage.completion_tokens <= 2
