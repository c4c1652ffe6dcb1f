"""LlamaIndex with only its base URL changed; test_llamaindex.py starts modeld and this, in a
virtual environment of its own: LlamaIndex wants an older OpenAI library than the tests have."""

import os
from typing import Literal

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike

URL = os.environ["MODELD_URL"] + "/v1"
llm = OpenAILike(api_base=URL, api_key="none", model=os.environ["TOOLS_MODEL"], temperature=0,
                 max_tokens=60, max_retries=0, is_chat_model=True, is_function_calling_model=True)


def get_weather(city: Literal["Paris", "Rome"], days: int) -> str:
    """Tells the weather in a city."""
    return f"{days} days of sun in {city}"


def test_chat_and_stream():
    ask = [ChatMessage(role="user", content="Count from one to ten.")]
    whole = llm.chat(ask).message.content
    pieces = [p.delta for p in llm.stream_chat(ask) if p.delta]
    # Not to the end: another batch may round otherwise.
    assert len(pieces) > 5 and "".join(pieces)[:10] == whole[:10]


def test_completion():
    done = OpenAILike(api_base=URL, api_key="none", model=os.environ["TOOLS_MODEL"],
                      temperature=0, max_tokens=5, max_retries=0)
    whole = done.complete("One, two, three,").text
    assert whole and "".join(p.delta for p in done.stream_complete("One, two, three,")) == whole


def test_tool():
    tool = FunctionTool.from_defaults(get_weather)
    question = "How is the weather in Paris for 3 days?"
    said = llm.chat_with_tools([tool], user_msg=question, tool_required=True)
    (call,) = llm.get_tool_calls_from_response(said)
    assert call.tool_name == "get_weather" and isinstance(call.tool_kwargs["days"], int)
    assert "of sun in" in str(tool(**call.tool_kwargs))
    *_, last = llm.stream_chat_with_tools([tool], user_msg=question, tool_required=True)
    (streamed,) = llm.get_tool_calls_from_response(last)
    assert streamed.tool_kwargs.keys() == {"city", "days"}
    # The whole loop: the model asks, the function is run, its result is told.
    result = ChatMessage(role="tool", content=str(tool(**call.tool_kwargs)),
                         additional_kwargs={"tool_call_id": call.tool_id})
    again = [ChatMessage(role="user", content=question), said.message, result]
    assert llm.chat(again).message.content


def test_embeddings():
    made = OpenAILikeEmbedding(api_base=URL, api_key="none", model_name=os.environ["EMBED_MODEL"],
                               max_retries=0)
    cat, market = made.get_text_embedding_batch(
        ["A cat sits on the mat.", "The stock market fell today."])
    kitten = made.get_query_embedding("A kitten rests on a rug.")
    assert len(cat) == 384
    assert made.similarity(cat, kitten) > 0.5 > made.similarity(cat, market)


for test in (test_chat_and_stream, test_completion, test_tool, test_embeddings):
    test()
    print("ok", test.__name__)
