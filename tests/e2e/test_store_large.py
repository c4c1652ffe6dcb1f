"""Ten thousand models: what each costs does not grow with how many there are."""

import json
import os
import pathlib

import pytest

from conftest import ROOT, Modeld
from registry_fixtures import CONFIG, GGUF, MANIFEST, digest, memory
from store_fixtures import Prune, listed

COUNTS = (1000, 10000)


def compact(value):
    return json.dumps(value, separators=(",", ":")).encode()


def make(folder, n):
    """A store of n models of SmolLM2's size of config; their one layer has few bytes."""
    blobs, manifests = folder / "blobs/sha256", folder / "manifests/sha256"
    blobs.mkdir(parents=True)
    manifests.mkdir(parents=True)
    config = json.loads((ROOT / "tests/data/store/config-smollm2.json").read_text())
    layer = b"layer"
    (blobs / digest(layer)[7:]).write_bytes(layer)
    models = []
    for i in range(n):
        config["config"]["parameters"] = f"{i}M"
        text = compact(config)
        manifest = compact({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "size": len(text), "digest": digest(text)},
            "layers": [{"mediaType": GGUF, "size": len(layer), "digest": digest(layer)}]})
        (blobs / digest(text)[7:]).write_bytes(text)
        (manifests / digest(manifest)[7:]).write_bytes(manifest)
        models.append({"id": digest(manifest), "tags": [f"docker.io/ai/m{i}:v1"],
                       "files": [digest(layer), digest(text)]})
    (folder / "models.json").write_text(json.dumps({"models": models}, indent=2))


@pytest.fixture(scope="module")
def servers(memory, tmp_path_factory):
    """{number of models: a modeld}"""
    started = {}
    for n in COUNTS:
        make(memory / f"large{n}", n)
        started[n] = Modeld(tmp_path_factory.mktemp("modeld"), memory / f"large{n}")
    yield started
    for m in started.values():
        m.stop()


def cpu(m, do, times=3):
    """The least CPU time, in seconds, of one; what a busy machine adds is not in it."""
    def used():
        return sum(int((t / "schedstat").read_text().split()[0])
                   for t in pathlib.Path(f"/proc/{m.process.pid}/task").iterdir()) / 1e9
    spent = []
    for _ in range(times):
        before = used()
        do(m)
        spent.append(used() - before)
    return min(spent)


def list_models(m):
    assert m.http.get("/models").status_code == 200


def list_openai(m):
    assert m.http.get("/v1/models").status_code == 200


def tag(m):
    r = m.http.post("/models/ai/m500:v1/tag", params={"repo": "x", "tag": os.urandom(4).hex()})
    assert r.status_code == 201


def prune(m):
    r = Prune().run(m.http)
    assert r.status_code == 200 and r.json()["files"] == 0


def inspect(m):
    for i in range(100):
        assert m.http.get(f"/models/ai/m{i * 7}:v1").status_code == 200


def test_all_of_them_are_listed(servers):
    for n, m in servers.items():
        assert len(listed(m)) == n
        assert len(m.http.get("/v1/models").json()["data"]) == n


def compare(what, few, many, most):
    print(f"{what}: {few * 1e3:.1f} ms of {COUNTS[0]}, {many * 1e3:.1f} ms of {COUNTS[1]}")
    assert many < most * few


# Ten times the models: ten times the work would be linear, a hundred times not. Finding one
# among them is hardly more.
@pytest.mark.parametrize("do,most", [(tag, 30), (prune, 30), (inspect, 5)])
def test_work_grows_as_the_models_do(servers, do, most):
    compare(do.__name__, *(cpu(servers[n], do) for n in COUNTS), most)


@pytest.mark.parametrize("do", [list_models, list_openai])
def test_so_does_a_list_of_models_that_nobody_looked_at_yet(servers, start, memory, do):
    def cost(n):
        return min(cpu(start(memory / f"large{n}"), do, 1) for _ in range(2))
    compare(do.__name__, *map(cost, COUNTS), 30)
