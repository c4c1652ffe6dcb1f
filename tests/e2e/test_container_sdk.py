"""OpenAI's own library, inside a container of Debian, by the name and nothing else: no setting,
no extra host, no API key."""

import json

import pytest

from conftest import BUILD, ROOT, TEXT, eventually
from host_fixtures import NAME, host  # noqa: F401
from test_containers import DOCKER, Served

ROOT_TAR = ROOT / "build" / "debian-root.tar"  # made by tools/debian_root.py

SCRIPT = f"""
import json, platform, openai
c = openai.OpenAI(base_url="http://{NAME}/engines/v1", api_key="none")
models = [m.id for m in c.models.list()]
ask = dict(model="{TEXT}", max_tokens=24, temperature=0,
           messages=[{{"role": "user", "content": "Count from one to ten."}}])
whole = c.chat.completions.create(**ask)
pieces = [p.choices[0].delta.content or "" for p in c.chat.completions.create(stream=True, **ask)
          if p.choices]
try:
    c.with_options(base_url="http://{NAME}").models.delete("some-model")
    refused = ""
except openai.PermissionDeniedError as e:
    refused = e.body["message"]
print(json.dumps(dict(system=platform.freedesktop_os_release()["ID"], models=models,
                      whole=whole.choices[0].message.content, pieces=pieces,
                      tokens=whole.usage.completion_tokens, refused=refused)))
"""


@pytest.fixture(scope="module")
def served(host, models_store, tmp_path_factory):  # noqa: F811
    s = Served(host, tmp_path_factory.mktemp("served"), models_store, BUILD / "modeld-llama")
    s.names = host.ready(DOCKER, "names", log=s.helper_log)
    yield s
    assert host.stop(s.names) == 0
    s.stop()


@pytest.fixture(scope="module")
def image(host):  # noqa: F811
    if not ROOT_TAR.exists():
        pytest.fail(f"{ROOT_TAR} is missing: run `make test`, which makes it")
    host.docker("import", ROOT_TAR, "debian")
    return "debian"


@pytest.mark.parametrize("network", ["bridge", "mine"])
def test_the_sdk_works_in_a_container_by_the_name_alone(served, image, network):
    h = served.host
    if network == "mine":
        h.docker("network", "create", "mine")
    got = json.loads(h.docker("run", "--rm", "--network", network, "--name", f"sdk-{network}",
                              "-e", "PYTHONPATH=/opt/site", image, "python3", "-c", SCRIPT,
                              timeout=300))
    assert got["system"] == "debian"
    assert any(TEXT in m for m in got["models"])
    assert got["whole"].strip() and got["tokens"] > 5
    assert len(got["pieces"]) > 5 and "".join(got["pieces"]) == got["whole"]
    assert got["refused"]
    eventually(lambda: f"container=sdk-{network}/" in served.log())
