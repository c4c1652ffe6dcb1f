"""Spring AI for Java; its tests are java/SpringAi.java."""

import pathlib

import pytest

from clients_fixtures import clients  # noqa: F401
from conftest import ROOT

CLIENT = pathlib.Path(__file__).parent / "java" / "SpringAi.java"
JARS = ROOT / "build" / "java"


def test_spring_ai(clients):  # noqa: F811
    if not JARS.exists():
        pytest.fail(f"{JARS} is missing: run `make test`, which brings it")
    assert "ok: chat" in clients.run("java", "-cp", f"{JARS}/*", CLIENT)
