"""Stores that cannot be written, by a mount or by who owns them: many servers, one copy."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import types

import pytest

from conftest import BUILD, EMBED, Modeld
from registry_fixtures import memory, push, registry
from store_fixtures import (Load, Prune, Pull, Remove, Repackage, Tag, index, listed, name, small,
                            tar_of, verify)

MOUNTED = ["unshare", "--mount", "sh", "-ec", """
    mount --make-rprivate /
    mount --bind "$1" "$1"
    mount -o remount,bind,ro "$1"
    shift
    exec "$@"
    """, "sh"]
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]


@pytest.fixture
def place():
    """A folder that every user can reach."""
    folder = pathlib.Path(tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def open_wrapped(folder, store, wrap=NOBODY):
    folder.mkdir()
    folder.chmod(0o777)
    return Modeld(folder, store, wrap=wrap, env={"HOME": str(folder)})


@pytest.fixture(params=["mount", "owner"])
def begin(request, place, models_store):
    """begin() starts one more modeld on one store that it cannot write."""
    store = place / "store"
    shutil.copytree(models_store, store)
    store.chmod(0o755)
    for hidden in store.glob(".l*"):
        hidden.unlink()
    before = {p: p.stat().st_mtime_ns for p in store.rglob("*")}
    wrap = [*MOUNTED, str(store)] if request.param == "mount" else NOBODY
    started = []

    def start():
        started.append(open_wrapped(place / f"d{len(started)}", store, wrap))
        return started[-1]
    start.store = store
    yield start
    for m in started:
        m.stop()
    assert {p: p.stat().st_mtime_ns for p in store.rglob("*")} == before


def test_several_list_and_serve_one_copy(begin):
    servers = [begin() for _ in range(3)]
    for m in servers:
        assert listed(m) == index(begin.store) and len(listed(m)) == 2
        assert m.http.get(f"/models/{EMBED}").json()["tags"] == [f"docker.io/{EMBED}:latest"]
    for m in servers:
        r = m.http.post("/v1/embeddings", json={"model": EMBED, "input": "x"})
        assert r.status_code == 200 and r.json()["data"], r.text
    assert verify(servers[0]) == []
    df = servers[1].http.get("/engines/df").json()
    assert df["models_disk_usage"] > 0
    with servers[2].http.stream("GET", f"/models/{EMBED}/export") as r:
        assert r.status_code == 200
        first = next(r.iter_raw())
    assert first.startswith(b"blobs")


def test_every_change_is_refused_in_words(begin, registry):
    m = begin()
    here, new = m.http.get(f"/models/{EMBED}").json()["id"], small("new", 3000, 500)
    push(registry.url, "ai/refused", "v1", new)
    there = types.SimpleNamespace(id=here)
    for change in (Load(new), Tag(there, "x:1"), Repackage(there, "x:1", 99, [None]), Prune()):
        r = change.run(m.http)
        assert r.status_code == 403 and "cannot be written" in r.text, (change, r.text)
    # A pull that fails has the reference's status.
    r = Pull(registry, "ai/refused", new).run(m.http)
    assert r.status_code == 500 and "cannot be written" in r.text
    for path in (f"/models/{EMBED}", f"/models/{here}?force=true", "/models/purge"):
        r = m.http.delete(path)
        assert r.status_code == 403 and "cannot be written" in r.text, (path, r.text)
    r = subprocess.run([BUILD / "docker-model", "tag", EMBED, "x:1"], capture_output=True,
                       text=True, env={**os.environ, "MODEL_RUNNER_HOST": m.url})
    assert r.returncode == 1 and "cannot be written" in r.stderr
    # What is so already is no change.
    assert m.http.post(f"/models/{EMBED}/tag",
                       params={"repo": EMBED, "tag": "latest"}).status_code == 201
    assert set(listed(m)) == set(index(begin.store))


def test_what_is_here_needs_no_write(place, registry, start):
    """The registry is asked, and has nothing newer."""
    model = small("cached", 3000, 500)
    push(registry.url, "ai/cached", "v1", model)
    pull = Pull(registry, "ai/cached", model)
    assert pull.run(start(place / "store").http).status_code == 200
    reader = open_wrapped(place / "reader", place / "store")
    r = pull.run(reader.http)
    assert r.status_code == 200 and "Using cached model" in r.text
    reader.stop()


def test_one_that_writes_is_seen_by_those_that_read(place, start):
    """A writer and readers share a store; whoever reads sees each change at once."""
    store = place / "store"
    writer = start(store)
    model = small("seen", 3000, 500)
    assert Load(model).run(writer.http).status_code == 200
    reader = open_wrapped(place / "reader", store)
    for tag in ("a:1", "a:2"):
        assert Tag(model, tag).run(writer.http).status_code == 201
        assert name(tag) in listed(reader)[model.id]
    assert Remove(model, force=True).run(writer.http).status_code == 200
    assert listed(reader) == {}
    reader.stop()


def test_a_store_that_is_not_there_and_cannot_be_made_is_said(place):
    with pytest.raises(RuntimeError, match=r"model store: create /.*/none"):
        open_wrapped(place / "d", place / "none")
