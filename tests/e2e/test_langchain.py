"""LangChain for Python: only the base URL is another."""

from typing import Literal

import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

from clients_fixtures import clients  # noqa: F401


@tool
def get_weather(city: Literal["Paris", "Rome"], days: int) -> str:
    """Tells the weather in a city."""
    return f"{days} days of sun in {city}"


@pytest.fixture(scope="module")
def chat(clients):  # noqa: F811
    return ChatOpenAI(base_url=clients.url, api_key="none", model=clients.chat, temperature=0,
                      max_tokens=60, max_retries=0)


def test_a_chat_is_answered_and_streamed_in_pieces(chat):
    ask = "Count from one to ten."
    whole = chat.invoke(ask)
    assert whole.content and whole.usage_metadata["output_tokens"] > 5
    pieces = [p for p in chat.stream(ask) if p.content]
    assert len(pieces) > 5
    # Not to the end: another batch may round otherwise.
    assert "".join(p.content for p in pieces)[:10] == whole.content[:10]


def test_a_tool_is_called_with_arguments_and_its_result_answered(chat):
    caller = chat.bind_tools([get_weather], tool_choice="get_weather", parallel_tool_calls=False)
    question = HumanMessage("How is the weather in Paris for 3 days?")
    message = caller.invoke([question])
    (call,) = message.tool_calls
    assert call["name"] == "get_weather" and not message.invalid_tool_calls
    assert call["args"]["city"] in ("Paris", "Rome") and isinstance(call["args"]["days"], int)
    result = get_weather.invoke(call)
    assert isinstance(result, ToolMessage) and "of sun in" in result.content
    assert chat.bind_tools([get_weather], tool_choice="none").invoke(
        [question, message, result]).content

    streamed = None
    for piece in caller.stream([question]):
        streamed = piece if streamed is None else streamed + piece
    (same,) = streamed.tool_calls
    assert same["name"] == "get_weather" and same["args"].keys() == {"city", "days"}


def test_embeddings_know_what_is_alike(clients):  # noqa: F811
    # LangChain would cut texts into tokens by OpenAI's own vocabulary, which it downloads.
    made = OpenAIEmbeddings(base_url=clients.url, api_key="none", model=clients.embed,
                            check_embedding_ctx_length=False)
    cat, market = made.embed_documents(["A cat sits on the mat.", "The stock market fell today."])
    kitten = made.embed_query("A kitten rests on a rug.")

    def dot(a, b):
        return sum(x * y for x, y in zip(a, b))
    assert len(cat) == len(kitten) == 384
    assert dot(cat, kitten) > 0.5 > dot(cat, market)
