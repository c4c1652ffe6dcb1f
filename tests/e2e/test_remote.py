"""GET /models/NAME?remote=true and `docker model inspect --remote`: what a registry has, without
pulling it."""

import json
import threading

import httpx
import pytest

from cli_fixtures import Cli
from registry_fixtures import INDEX, MANIFEST, free_port, memory, model, push, registry, store
from test_keys import keyed, keys
from test_pull_auth import basic, docker_config, login
from test_pull_hostile import liar, small

KB = 1 << 10


@pytest.fixture
def pushed(registry, request):
    m = model(3 * KB, 100, seed=request.node.name)
    m.name = f"{registry.host}/remote/{m.id[7:19]}:v1"
    push(registry.url, f"remote/{m.id[7:19]}", "v1", m)
    return m


def remote(modeld, name, **kw):
    return modeld.http.get(f"/models/{name}", params={"remote": "true"}, timeout=60, **kw)


def is_empty(store):
    return not [p for p in (store / "blobs").rglob("*") if p.is_file()]


def test_it_is_shown_without_being_pulled(registry, pushed, start, store, tmp_path):
    m = start(store)
    before = len(registry.requests())
    expected = {"id": pushed.id, "created": 1767323045,
                "config": json.loads(pushed.config)["config"]}
    r = remote(m, pushed.name)
    assert (r.status_code, r.json()) == (200, expected)
    assert r.headers["content-type"] == "application/json"
    # Two small documents, each once; nothing stays here.
    assert [(x[0], x[2]) for x in registry.requests()[before:]] == [("GET", 200)] * 2
    assert is_empty(store) and m.http.get("/models").json() == []
    assert m.http.get(f"/models/{pushed.name}").status_code == 404
    # By its digest too, and with a bare ?remote.
    assert remote(m, f"{pushed.name.rsplit(':', 1)[0]}@{pushed.id}").json() == expected
    assert m.http.get(f"/models/{pushed.name}?remote").json() == expected
    assert m.http.get(f"/models/{pushed.name}?remote=0").status_code == 404
    assert m.http.get(f"/models/{pushed.name}?remote=maybe").status_code == 400
    cli = Cli(tmp_path, m.url)
    for flag in ("--remote", "-r"):
        assert json.loads(cli.out("inspect", flag, pushed.name)) == expected
    assert "--remote flag cannot be used with --openai" in cli.err(
        "inspect", "-r", "--openai", pushed.name, status=2)


def test_what_is_not_there(registry, pushed, start, store, tmp_path):
    m = start(store)
    gone = pushed.name.replace(":v1", ":v9")
    r = remote(m, gone)
    assert r.status_code == 404
    assert r.text.startswith("error while getting remote model: failed to pull model "
                             f'"{gone}": MANIFEST_UNKNOWN - Model not found')
    assert remote(m, f"{registry.host}/no/such").status_code == 404
    cli = Cli(tmp_path, m.url)
    assert f"no such model in the registry: {gone}" in cli.err("inspect", "-r", gone)
    r = remote(m, f"localhost:{free_port()}/x")
    assert r.status_code == 500 and "error while getting remote model" in r.text
    for name, status, words in (("sha256:" + "a" * 64, 400, "give NAME@sha256"),
                                ("a" * 12, 400, "an id does not say"),
                                ("A B", 400, "Invalid model reference"),
                                ("hf.co/org/repo", 501, "Hugging Face")):
        r = remote(m, name)
        assert (r.status_code, words in r.text) == (status, True), r.text


def test_a_private_registry_gets_the_credentials(basic, start, store, tmp_path):
    name = f"{basic.host}/ai/private:v1"
    good = start(store, env=docker_config(tmp_path / "good", **login(basic.host)))
    assert remote(good, name).json()["id"] == basic.model.id
    bad = start(tmp_path / "other", env=docker_config(tmp_path / "bad"))
    r = remote(bad, name)
    assert r.status_code == 401 and "Unauthorized" in r.text
    assert f"docker login {basic.host}" in r.text


def test_only_who_may_manage_makes_modeld_go_out(registry, pushed, keyed, store):
    asking = {"key": "mdk_" + "i" * 43, "name": "asking", "classes": ["infer"]}
    managing = {"key": "mdk_" + "m" * 43, "name": "managing", "classes": ["infer", "manage"]}
    some = {"key": "mdk_" + "s" * 43, "name": "some", "classes": ["infer", "manage"],
            "models": ["other/*"]}
    m = keyed(asking, managing, some, store=store)
    before = len(registry.requests())

    def get(key):
        return httpx.get(f"{m.url}/models/{pushed.name}?remote=true", timeout=60,
                         headers={"Authorization": f"Bearer {key['key']}"})
    r = get(asking)
    assert r.status_code == 403 and "manage" in r.text
    r = get(some)
    assert r.status_code == 403 and "other/*" in r.text
    assert len(registry.requests()) == before
    assert get(managing).json()["id"] == pushed.id


@pytest.mark.parametrize("what", ["manifest", "config"])
def test_what_is_not_what_it_should_be_is_refused(liar, start, store, what):
    def lie(h):
        end = "/manifests/v1" if what == "manifest" else m.names[-1]
        if not h.path.endswith(end):
            return False
        body = (m.manifest if what == "manifest" else m.config).replace(b"gguf", b"GGUF")
        h.send(200, body, Content_Type=MANIFEST, Docker_Content_Digest=m.id)
        return True
    r = liar(lie=lie)
    m = r.add(small("remote"))
    modeld = start(store)
    got = remote(modeld, f"{r.host}/ai/x:v1")
    assert got.status_code == 500 and "digest mismatch" in got.text, got.text


@pytest.mark.parametrize("body", [b"x" * (5 << 20), b"[]", b"", b"{" * 5000])
def test_a_manifest_that_is_none_is_an_error(liar, start, store, body):
    def lie(h):
        if "/manifests/" not in h.path:
            return False
        h.send(200, body, Content_Type=MANIFEST)
        return True
    r = liar(lie=lie)
    got = remote(start(store), f"{r.host}/ai/x:v1")
    assert got.status_code in (422, 500)
    assert got.text.startswith("error while getting remote model: ")


def test_who_leaves_ends_the_look(liar, start, store):
    hold, gone = threading.Event(), threading.Event()

    def lie(h):
        if "/manifests/" not in h.path:
            return False
        hold.set()
        h.connection.settimeout(60)
        if not h.connection.recv(1):  # modeld closes: its client has left
            gone.set()
        h.close_connection = True
        return True
    r = liar(lie=lie)
    m = start(store)
    s = m.connect()
    s.sendall(f"GET /models/{r.host}/ai/x:v1?remote=true HTTP/1.1\r\nHost: localhost\r\n\r\n"
              .encode())
    assert hold.wait(60)
    assert m.http.get("/models").status_code == 200  # nobody waits for it
    s.close()
    assert gone.wait(60)


def test_what_is_no_model_is_said(registry, pushed, start, store):
    m = start(store)
    repository = pushed.name.split("/", 1)[1].split(":")[0]
    put = {"image": (MANIFEST, json.loads(pushed.manifest)), "two": (INDEX, None),
           "one": (INDEX, None)}
    put["image"][1]["config"]["mediaType"] = "application/vnd.oci.image.config.v1+json"
    entry = {"mediaType": MANIFEST, "digest": pushed.id, "size": len(pushed.manifest)}
    for tag, (kind, content) in put.items():
        if content is None:
            content = {"schemaVersion": 2, "mediaType": INDEX,
                       "manifests": [entry] * (2 if tag == "two" else 1)}
        r = httpx.put(f"{registry.url}/v2/{repository}/manifests/{tag}", trust_env=False,
                      content=json.dumps(content), headers={"Content-Type": kind})
        assert r.status_code == 201, r.text
    base = pushed.name.rsplit(":", 1)[0]
    for tag, words in (("image", "this is not a model"), ("two", "image index with 2 manifests")):
        r = remote(m, f"{base}:{tag}")
        assert r.status_code == 422 and words in r.text, r.text
    assert remote(m, f"{base}:one").json()["id"] == pushed.id
    assert is_empty(store)
