"""OpenAI's own library, inside a container, by the name and nothing else: no setting, no
extra host, no API key."""

import importlib.metadata
import json
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig

import pytest

from conftest import BUILD, TEXT, eventually
from host_fixtures import NAME, host  # noqa: F401
from test_containers import DOCKER, Served

SCRIPT = f"""
import json, openai
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
print(json.dumps(dict(models=models, whole=whole.choices[0].message.content, pieces=pieces,
                      tokens=whole.usage.completion_tokens, refused=refused)))
"""


def needed(name, found):
    """A package and all that it needs, as distributions."""
    try:
        dist = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return  # of another platform
    if dist.name.lower() in found:
        return
    found[dist.name.lower()] = dist
    for line in dist.requires or []:
        if "extra ==" not in line:
            needed(re.match(r"[\w.-]+", line)[0], found)


def libraries(files):
    """What the loader maps for these programs and modules."""
    paths = set()
    for file in files:
        out = subprocess.run(["ldd", str(file)], capture_output=True, text=True).stdout
        paths.update(re.findall(r"(/\S+) \(0x", out))
    return paths


def make_root(root):
    """A root file system with the Python that runs this test, and OpenAI's library."""
    python = pathlib.Path(sys.executable).resolve()
    stdlib = pathlib.Path(sysconfig.get_path("stdlib"))

    def put(path):
        to = root / path.relative_to("/")
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, to)
    shutil.copytree(stdlib, root / stdlib.relative_to("/"), symlinks=True,
                    ignore=shutil.ignore_patterns("site-packages", "dist-packages", "test",
                                                  "__pycache__", "config-*", "*.a"))
    put(python)
    site = root / "site"
    found = {}
    needed("openai", found)
    for dist in found.values():
        for file in dist.files:
            if ".." not in file.parts and file.suffix != ".pyc":
                (site / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(dist.locate_file(file), site / file)
    modules = [m for m in root.rglob("*.so")]
    for library in libraries([python, *modules]):
        if not (root / library[1:]).exists():
            put(pathlib.Path(library))
    for folder in ("tmp", "etc", "proc", "sys", "dev"):
        (root / folder).mkdir(exist_ok=True)
    return python


@pytest.fixture(scope="module")
def served(host, models_store, tmp_path_factory):  # noqa: F811
    s = Served(host, tmp_path_factory.mktemp("served"), models_store, BUILD / "modeld-llama")
    s.names = host.ready(DOCKER, "names", log=s.helper_log)
    yield s
    assert host.stop(s.names) == 0
    s.stop()


@pytest.fixture(scope="module")
def python(host, tmp_path_factory):  # noqa: F811
    """Makes the image py; gives the interpreter's path in it."""
    root = tmp_path_factory.mktemp("root")
    path = make_root(root)
    host.sh(f"tar -C {root} -c . | docker import - py")
    shutil.rmtree(root)
    return path


@pytest.mark.parametrize("network", ["bridge", "mine"])
def test_the_sdk_works_in_a_container_by_the_name_alone(served, python, network):
    h = served.host
    if network == "mine":
        h.docker("network", "create", "mine")
    got = json.loads(h.docker("run", "--rm", "--network", network, "--name", f"sdk-{network}",
                              "-e", "PYTHONPATH=/site", "py", python, "-c", SCRIPT, timeout=300))
    assert any(TEXT in m for m in got["models"])
    assert got["whole"].strip() and got["tokens"] > 5
    assert len(got["pieces"]) > 5 and "".join(got["pieces"]) == got["whole"]
    assert got["refused"]
    eventually(lambda: f"container=sdk-{network}/" in served.log())
