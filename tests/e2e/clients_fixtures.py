"""A modeld for the frameworks' clients: the small models, one of them with a chat template that
knows tool calls."""

import os
import subprocess

import pytest

from conftest import BUILD, EMBED, ROOT, TEXT_GGUF, Modeld

TOOLS = "ai/smollm2-tools"
TEMPLATE = ROOT / "tests" / "data" / "templates" / "chatml_tools.jinja"


class Clients:
    """Where modeld is, and its models."""

    def __init__(self, modeld):
        self.url = modeld.url + "/v1"
        self.chat = TOOLS
        self.embed = EMBED
        self.env = {**os.environ, "MODELD_URL": modeld.url, "TOOLS_MODEL": TOOLS,
                    "EMBED_MODEL": EMBED}

    def run(self, *command, env=None, **kw):
        """A client in a program of its own, whose last line says that all went well."""
        r = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300,
                           env=env or self.env, **kw)
        assert r.returncode == 0, r.stdout + r.stderr
        return r.stdout


@pytest.fixture(scope="session")
def clients(models_store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clients")
    store = folder / "store"
    subprocess.run(["cp", "-rl", models_store, store], check=True)
    index = store / "models.json"
    text = index.read_bytes()
    index.unlink()  # else it would be the other store's too
    index.write_bytes(text)
    m = Modeld(folder, store)
    subprocess.run(
        [BUILD / "docker-model", "package", "--gguf", TEXT_GGUF, "--chat-template", TEMPLATE,
         TOOLS], env={**os.environ, "MODEL_RUNNER_HOST": m.url}, check=True,
        capture_output=True, timeout=300)
    yield Clients(m)
    m.stop()
