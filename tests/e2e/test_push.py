"""Pushing models to Debian's real docker-registry."""

import json

import pytest

from registry_fixtures import (GGUF, LICENSE, Model, Registry, check_stored, digest, memory, model,
                               noise, pull, push, registry, store)

MB = 1 << 20


def send(modeld, name, body=b"", json_lines=True, timeout=120):
    """(status, events or text) of a push."""
    with modeld.http.stream("POST", f"/models/{name}/push", content=body, timeout=timeout,
                            headers={"Accept": "application/json" if json_lines else "*/*"}) as r:
        text = r.read().decode()
        if r.status_code != 200 or not json_lines:
            return r.status_code, text
        return 200, [json.loads(line) for line in text.splitlines()]


def have(modeld, registry, *sizes, seed, name="ai/start", tag="v1", **kw):
    """A model in the store, by way of a pull; and where it came from."""
    m = model(*sizes, seed=seed, **kw)
    push(registry.url, name, tag, m)
    status, events = pull(modeld, f"{registry.host}/{name}:{tag}")
    assert status == 200 and events[-1]["type"] == "success", events
    return m


def tag(modeld, source, repo, t="v1"):
    r = modeld.http.post(f"/models/{source}/tag", params={"repo": repo, "tag": t})
    assert r.status_code == 201, r.text


@pytest.fixture
def other(store):
    """A second registry, empty."""
    r = Registry(store.parent / "other")
    yield r
    r.stop()


def uploads(registry, since=0):
    return [(m, p, s) for m, p, s, _ in registry.requests()[since:] if m not in ("GET", "HEAD")]


def test_a_model_arrives_byte_for_byte(registry, other, start, store):
    modeld = start(store / "a")
    m = have(modeld, registry, 3 * MB + 17, 11358, seed="arrives")
    tag(modeld, f"{registry.host}/ai/start:v1", f"{other.host}/me/model")
    status, events = send(modeld, f"{other.host}/me/model:v1")
    assert status == 200
    assert events[-1] == {"type": "success", "message": "Model pushed successfully", "total": 0,
                          "layer": {"size": 0, "current": 0}, "mode": "push"}
