"""Clients for Node.js: OpenAI's SDK, LangChain and the Vercel AI SDK, each tested by a file in
node/."""

import pathlib
import shutil

import pytest

from clients_fixtures import clients  # noqa: F401
from conftest import TEXT

HERE = pathlib.Path(__file__).parent / "node"


@pytest.mark.parametrize("client", ["sdk", "langchain", "ai"])
def test_a_client_for_node(clients, client):  # noqa: F811
    if not shutil.which("node") or not (HERE / "node_modules").exists():
        pytest.fail("node or its packages are missing: `make test` installs them")
    clients.run("node", "--test", f"{client}.test.mjs", cwd=HERE,
                env={**clients.env, "TEXT_MODEL": TEXT})
