"""LlamaIndex; its tests are llamaindex/client.py."""

import pathlib

import pytest

from clients_fixtures import clients  # noqa: F401
from conftest import ROOT

CLIENT = pathlib.Path(__file__).parent / "llamaindex" / "client.py"
PYTHON = ROOT / "build" / "venv-llamaindex" / "bin" / "python"


def test_llamaindex(clients):  # noqa: F811
    if not PYTHON.exists():
        pytest.fail(f"{PYTHON} is missing: run `make test`, which installs it")
    assert clients.run(PYTHON, CLIENT).count("ok test_") == 4
