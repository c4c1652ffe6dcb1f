"""Pulling models from Debian's real docker-registry."""

import concurrent.futures
import errno
import json
import os
import pathlib
import random
import shutil
import subprocess
import threading
import time

import httpx
import pytest

from conftest import BUILD, TEXT, Modeld, eventually, is_sanitized, memory_kib, quick
from registry_fixtures import (CONFIG, GGUF, INDEX, LICENSE, MANIFEST, Model, Registry, blob_path,
                               check_stored, digest, free_port, memory, model, noise, pull, push,
                               registry, store)
from test_pull_hostile import established, liar

MB = 1 << 20


def pushed(registry, name, *sizes, **kw):
    m = model(*sizes, seed=name, **kw)
    push(registry.url, name, "v1", m)
    return m


def gets(registry, start, d):
    """Status and bytes of the GETs of this blob since `start` requests."""
    return [(status, n) for method, path, status, n in registry.requests()[start:]
            if method == "GET" and path.endswith(d)]


# ---- one model ----

def test_a_model_is_stored_byte_for_byte_and_listed(registry, start, store):
    m = pushed(registry, "ai/small", 3 * MB + 17, 11358)
    modeld = start(store)
    status, events = pull(modeld, f"{registry.host}/ai/small:v1")
    assert status == 200
    assert events[-1] == {"type": "success", "message": "Model pulled successfully", "total": 0,
                          "layer": {"size": 0, "current": 0}, "mode": "pull"}
    last = {}
    for e in events[:-1]:
        assert e["type"] == "progress" and e["mode"] == "pull"
        assert e["total"] == 3 * MB + 17 + 11358
        assert e["layer"]["current"] <= e["layer"]["size"]
        assert e["message"] == f"Downloaded: {e['layer']['current'] / MB:.2f} MB"
        last[e["layer"]["id"]] = e["layer"]
    assert {d: x["current"] for d, x in last.items()} == {
        digest(b): len(b) for _, b in m.layers}
    check_stored(store, m, f"{registry.host}/ai/small:v1")
    listed = modeld.http.get("/models").json()
    assert [(x["id"], x["tags"]) for x in listed] == [(m.id, [f"{registry.host}/ai/small:v1"])]


def test_config_and_manifest_are_fetched_once_and_layers_too(registry, start, store):
    m = pushed(registry, "ai/once", 2 * MB, 100, 200, 300, 400, 500)
    modeld = start(store)
    before = len(registry.requests())
    assert pull(modeld, f"{registry.host}/ai/once:v1")[0] == 200
    log = registry.requests()[before:]
    assert len(log) == 2 + 6
    assert len({path for _, path, _, _ in log}) == len(log)


def test_what_is_here_is_not_fetched_again(registry, start, store):
    pushed(registry, "ai/again", MB)
    modeld = start(store)
    ref = f"{registry.host}/ai/again:v1"
    assert pull(modeld, ref)[0] == 200
    before = len(registry.requests())
    status, events = pull(modeld, ref)
    assert [e["message"] for e in events] == ["Using cached model: 1.00MiB"]
    assert [(x[0], x[2]) for x in registry.requests()[before:]] == [("HEAD", 200)]


def test_a_new_version_shares_layers_and_takes_the_tag(registry, start, store):
    one = pushed(registry, "ai/moves", 2 * MB, 50)
    modeld = start(store)
    ref = f"{registry.host}/ai/moves:v1"
    pull(modeld, ref)
    two = Model([one.layers[0], (LICENSE, b"another licence")])
    push(registry.url, "ai/moves", "v1", two)
    before = len(registry.requests())
    status, events = pull(modeld, ref)
    assert events[-1]["message"] == "Model pulled successfully"
    assert gets(registry, before, digest(one.layers[0][1])) == []
    check_stored(store, two, ref)
    tags = {x["id"]: x.get("tags") for x in modeld.http.get("/models").json()}
    assert tags == {one.id: None, two.id: [ref]}


def test_by_digest_and_then_without_asking_anybody(registry, start, store):
    m = pushed(registry, "ai/exact", MB)
    modeld = start(store)
    ref = f"{registry.host}/ai/exact@{m.id}"
    assert pull(modeld, ref)[1][-1]["message"] == "Model pulled successfully"
    check_stored(store, m, f"{registry.host}/ai/exact:latest")
    before = len(registry.requests())
    assert pull(modeld, ref)[1][-1]["message"].startswith("Using cached model")
    assert registry.requests()[before:] == []


def test_a_layer_without_bytes_and_the_same_layer_twice(registry, start, store):
    m = Model([(GGUF, noise(MB, "twice")), (LICENSE, b""), (GGUF, noise(MB, "twice"))])
    push(registry.url, "ai/odd", "v1", m)
    modeld = start(store)
    assert pull(modeld, f"{registry.host}/ai/odd:v1")[1][-1]["type"] == "success"
    check_stored(store, m)


def test_text_for_clients_that_do_not_ask_for_json(registry, start, store):
    pushed(registry, "ai/text", MB)
    modeld = start(store)
    with modeld.http.stream("POST", "/models/create",
                            json={"from": f"{registry.host}/ai/text:v1"}) as r:
        assert r.headers["content-type"] == "text/plain"
        assert r.headers["cache-control"] == "no-cache"
        lines = r.read().decode().splitlines()
    assert all(line.startswith("{&#34;type&#34;:&#34;") and "\"" not in line for line in lines)


# ---- errors before the first byte ----

def test_errors_have_their_status(registry, start, store):
    unknown = Model([(GGUF, b"x" * 100)], config_type="application/vnd.oci.image.config.v1+json")
    push(registry.url, "ai/image", "v1", unknown)
    modeld = start(store)
    host = registry.host
    for body, status, words in [
            (b"{bad", 400, "invalid request body"),
            (b"[]", 400, "invalid request body"),
            (b'{"from":5}', 400, "invalid request body"),
            (b"{}", 400, "Invalid model reference"),
            (b'{"from":"UP!!/x:y:z"}', 400, "Invalid model reference"),
            (b'{"from":"sha256:' + b"0" * 64 + b'"}', 400, "Invalid model reference"),
            (f'{{"from":"{host}/ai/nope:v1"}}'.encode(), 404, "Model not found"),
            (f'{{"from":"{host}/ai/image:nope"}}'.encode(), 404, "Model not found"),
            (f'{{"from":"{host}/ai/image:v1"}}'.encode(), 422, "not a model"),
            (f'{{"from":"127.0.0.1:{free_port()}/ai/x:v1"}}'.encode(), 500,
             "error while pulling model"),
            (b"{\"from\":\"hf.co/x/y@a b\"}", 400, "revision")]:
        r = modeld.http.post("/models/create", content=body)
        assert r.status_code == status, (body, r.text)
        assert words in r.text
        assert r.headers["content-type"].startswith("text/plain")
    assert not list((store / "blobs").rglob("*")) or \
        [p for p in (store / "blobs/sha256").iterdir()] == []
    assert modeld.http.get("/models").json() == []


# ---- indexes ----

def put_index(registry, name, entries):
    body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
    r = httpx.put(f"{registry.url}/v2/{name}/manifests/all", content=body,
                  headers={"Content-Type": INDEX})
    assert r.status_code == 201, r.text


def entry(m, **more):
    return {"mediaType": MANIFEST, "digest": m.id, "size": len(m.manifest), **more}


def test_an_index_with_one_manifest_is_that_model(registry, start, store):
    m = pushed(registry, "ai/index", MB)
    put_index(registry, "ai/index", [entry(m)])
    modeld = start(store)
    assert pull(modeld, f"{registry.host}/ai/index:all")[1][-1]["type"] == "success"
    check_stored(store, m, f"{registry.host}/ai/index:all")
    assert pull(modeld, f"{registry.host}/ai/index:all")[1][-1]["message"] == \
        "Using cached model: 1.00MiB"


def test_an_index_of_several_is_refused_in_words_or_told_apart_by_its_type(
        registry, start, store):
    a, b = pushed(registry, "ai/many", MB), model(MB, seed="many-b")
    push(registry.url, "ai/many", "v2", b)
    modeld = start(store)
    put_index(registry, "ai/many", [entry(a), entry(b)])
    status, text = pull(modeld, f"{registry.host}/ai/many:all")
    assert status == 422 and "2 manifests" in text and "digest" in text
    put_index(registry, "ai/many", [entry(a), entry(b, artifactType=CONFIG)])
    assert pull(modeld, f"{registry.host}/ai/many:all")[0] == 200
    check_stored(store, b)


# ---- large layers ----

def test_a_large_layer_comes_in_several_ranges(registry, start, store):
    m = pushed(registry, "ai/large", 150 * MB, 100)
    modeld = start(store)
    before = len(registry.requests())
    assert pull(modeld, f"{registry.host}/ai/large:v1")[1][-1]["type"] == "success"
    got = gets(registry, before, m.names[0])
    assert len(got) == 5 and all(s == 206 for s, _ in got)
    assert sum(n for _, n in got) == 150 * MB
    check_stored(store, m)


def test_a_partial_of_docker_model_runner_is_gone_on_with(registry, start, store):
    """A plain prefix, small and large; and one of bytes that are wrong."""
    m = pushed(registry, "ai/prefix", 80 * MB, 5 * MB, 3 * MB)
    folder = store / "blobs/sha256"
    folder.mkdir(parents=True)
    there = [50 * MB + 3, 2 * MB + 1, 3 * MB]
    for (_, blob), n in zip(m.layers, there):
        blob_path(store, digest(blob) + ".incomplete").write_bytes(blob[:n])
    modeld = start(store)
    before = len(registry.requests())
    assert pull(modeld, f"{registry.host}/ai/prefix:v1")[1][-1]["type"] == "success"
    for (_, blob), n in zip(m.layers, there):
        assert sum(n for _, n in gets(registry, before, digest(blob))) == len(blob) - n
    check_stored(store, m)


def test_a_damaged_partial_is_thrown_away_and_fetched_anew(registry, start, store):
    m = pushed(registry, "ai/damaged", 70 * MB, 2 * MB)
    folder = store / "blobs/sha256"
    folder.mkdir(parents=True)
    for _, blob in m.layers:
        bad = blob[:MB] + b"X" + blob[MB + 1:MB + 500000]
        blob_path(store, digest(blob) + ".incomplete").write_bytes(bad)
    modeld = start(store)
    assert pull(modeld, f"{registry.host}/ai/damaged:v1")[1][-1]["type"] == "success"
    check_stored(store, m)
    assert "begins anew" in modeld.log()


# ---- several pulls ----

@pytest.mark.parametrize("n", [2, 4, 10])
def test_parallel_pulls_of_one_model_fetch_it_once(registry, start, store, n):
    m = pushed(registry, f"ai/together{n}", 60 * MB, 1000)
    modeld = start(store)
    before = len(registry.requests())
    with concurrent.futures.ThreadPoolExecutor(n) as pool:
        got = list(pool.map(lambda _: pull(modeld, f"{registry.host}/ai/together{n}:v1"),
                            range(n)))
    assert all(status == 200 and events[-1]["type"] == "success" for status, events in got)
    for _, blob in m.layers:
        assert sum(b for _, b in gets(registry, before, digest(blob))) == len(blob)
    waiting = [e for _, events in got for e in events if e["message"].startswith("Waiting for ")]
    assert len(waiting) >= n - 2
    check_stored(store, m)
    # Both that ran were told of the same bytes.
    layer = m.names[0]
    told = [events for _, events in got
            if any(e["layer"].get("id") == layer for e in events)]
    assert len(told) >= min(n, 2)


def test_a_pull_that_joined_goes_on_when_the_first_leaves(registry, start, store):
    m = pushed(registry, "ai/leaves", 200 * MB)
    modeld = start(store)
    ref = f"{registry.host}/ai/leaves:v1"
    with modeld.http.stream("POST", "/models/create", json={"from": ref},
                            headers={"Accept": "application/json"}) as first:
        lines = first.iter_lines()
        next(lines)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            second = pool.submit(pull, modeld, ref)
            eventually(lambda: len(modeld_pulls(modeld)) >= 2 or second.done())
            first.close()
            assert second.result(60)[1][-1]["type"] == "success"
    check_stored(store, m)


def modeld_pulls(modeld):
    """Connections that are open to it, as the kernel has them."""
    out = subprocess.run(["ss", "-Htn", "state", "established",
                          f"( sport = :{modeld.port} )"], capture_output=True, text=True).stdout
    return out.splitlines()


def test_a_client_that_leaves_stops_its_pull_and_the_next_one_goes_on(
        registry, start, store):
    m = pushed(registry, "ai/stops", 900 * MB)
    modeld = start(store)
    ref = f"{registry.host}/ai/stops:v1"
    before = len(registry.requests())
    with modeld.http.stream("POST", "/models/create", json={"from": ref},
                            headers={"Accept": "application/json"}) as r:
        for line in r.iter_lines():
            if json.loads(line)["layer"]["current"] > 40 * MB:
                break
    eventually(lambda: not established(registry.port, modeld.process.pid))
    there = sum(p.stat().st_blocks * 512 for p in (store / "blobs/sha256").iterdir())
    assert 40 * MB < there < 900 * MB
    assert pull(modeld, ref)[1][-1]["type"] == "success"
    check_stored(store, m)
    total = sum(n for _, n in gets(registry, before, m.names[0]))
    assert total <= 900 * MB + 64 * MB  # what four connections had on the way


def test_a_delete_does_not_take_what_a_pull_relies_on(registry, start, store):
    shared = noise(MB, "shared")
    old = Model([(GGUF, shared), (LICENSE, b"old")])
    new = Model([(GGUF, shared), (LICENSE, b"new"), (GGUF, noise(250 * MB, "large"))])
    push(registry.url, "ai/share", "old", old)
    push(registry.url, "ai/share", "new", new)
    modeld = start(store)
    pull(modeld, f"{registry.host}/ai/share:old")
    with modeld.http.stream("POST", "/models/create", json={"from": f"{registry.host}/ai/share:new"},
                            headers={"Accept": "application/json"}) as r:
        lines = r.iter_lines()
        next(lines)
        gone = httpx.delete(f"{modeld.url}/models/{registry.host}/ai/share:old")
        assert gone.status_code == 200 and {"Deleted": old.id} in gone.json()
        assert blob_path(store, digest(shared)).exists()
        events = [json.loads(line) for line in lines]
    assert events[-1]["message"] == "Model pulled successfully", events[-1]
    check_stored(store, new)
    # And what nobody relies on any more went, when the pull was over.
    assert not blob_path(store, digest(b"old")).exists()


def test_a_pull_that_ends_early_leaves_no_blob_that_a_delete_wanted_gone(
        registry, start, store):
    shared = noise(MB, "shared2")
    old = Model([(GGUF, shared), (LICENSE, b"old2")])
    new = Model([(GGUF, shared), (GGUF, noise(400 * MB, "large2"))])
    push(registry.url, "ai/share2", "old", old)
    push(registry.url, "ai/share2", "new", new)
    modeld = start(store)
    pull(modeld, f"{registry.host}/ai/share2:old")
    with modeld.http.stream("POST", "/models/create",
                            json={"from": f"{registry.host}/ai/share2:new"},
                            headers={"Accept": "application/json"}) as r:
        next(r.iter_lines())
        assert httpx.delete(f"{modeld.url}/models/{registry.host}/ai/share2:old").status_code == 200
    eventually(lambda: not blob_path(store, digest(shared)).exists())


def chat(modeld):
    """A whole streamed answer of the real model."""
    r = modeld.http.post("/v1/chat/completions", json={
        "model": TEXT, "messages": [{"role": "user", "content": "Say hi."}], "max_tokens": 4,
        "stream": True})
    assert r.status_code == 200 and r.text.endswith("data: [DONE]\n\n")


def test_others_are_answered_during_four_pulls(registry, start, models_store, store):
    """List, inspect and a chat while four pulls run or wait. How quickly, `make bench
    ARGS=pull` measures; here nobody waits for a pull to end."""
    shutil.copytree(models_store, store)
    for i in range(4):
        pushed(registry, f"ai/busy{i}", 200 * MB, 5 * MB)
    modeld = start(store)
    chat(modeld)
    worst = {}

    def ask(what, call):
        began = time.monotonic()
        call()
        worst.setdefault(what, []).append(time.monotonic() - began)

    def get(path):
        assert modeld.http.get(path).status_code == 200
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        pulls = [pool.submit(pull, modeld, f"{registry.host}/ai/busy{i}:v1") for i in range(4)]
        while not all(p.done() for p in pulls):
            for path in ("/models", f"/models/{TEXT}", "/engines/v1/models", "/healthz"):
                ask(path, lambda: get(path))
            ask("chat", lambda: chat(modeld))
    assert all(p.result()[1][-1]["type"] == "success" for p in pulls)
    print({what: f"{max(times):.3f} s" for what, times in worst.items()})
    # Far above what a stopped loop would show on the busiest machine, far below a pull's limits.
    assert all(max(times) < 30 for times in worst.values()), worst
    if not is_sanitized():
        peak = memory_kib(modeld.process.pid, "HWM")
        print(f"most memory in four pulls: {peak} KiB")
        assert peak < 32 * 1024


# ---- killed, full, offline ----

def test_a_kill_costs_little_and_the_next_pull_goes_on(registry, start, store):
    """Ten kills at random points of a pull of 1 GB: what is fetched again is less than a chunk
    each time, and the result is right."""
    size = 1 << 30
    points = sorted(random.sample(range(size // 50, size - size // 50), 10))
    print(f"killed at {points}")
    m = pushed(registry, "ai/killed", size, 7 * MB)
    ref = f"{registry.host}/ai/killed:v1"
    before = len(registry.requests())
    for at in points:
        modeld = start(store)
        with modeld.http.stream("POST", "/models/create", json={"from": ref},
                                headers={"Accept": "application/json"}, timeout=120) as r:
            try:
                for line in r.iter_lines():
                    layer = json.loads(line)["layer"]
                    if layer["size"] == size and layer["current"] >= at:
                        break
                modeld.process.kill()
                modeld.process.wait()
            except httpx.HTTPError:
                pass
        modeld.stop(expect=-9)
    there = sum(p.stat().st_blocks * 512 for p in (store / "blobs/sha256").iterdir())
    modeld = start(store)
    assert pull(modeld, ref)[1][-1]["type"] == "success"
    check_stored(store, m)
    total = sum(n for _, n in gets(registry, before, m.names[0]))
    # The log counts what the registry wrote into sockets, read or not.
    again = total - size
    print(f"fetched again: {again / MB:.1f} MB in 10 kills; there before the last: {there}")
    assert again <= 10 * 32 * MB


@pytest.fixture
def disk(tmp_path):
    """disk(megabytes) is a file system of that size; called again it changes."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def size(mb):
        how = "-o remount,size={}m" if folder.is_mount() else "-t tmpfs -o size={}m tmpfs"
        subprocess.run(["mount", *how.format(mb).split(), str(folder)], check=True)
        return folder
    yield size
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_model_that_does_not_fit_is_told_before_it_is_fetched(registry, start, disk):
    m = pushed(registry, "ai/full", 40 * MB, 10)
    modeld = start(disk(24) / "store")
    before = len(registry.requests())
    status, text = pull(modeld, f"{registry.host}/ai/full:v1")
    assert status == 500 and "no space left" in text and "0.04 GB" in text
    assert gets(registry, before, m.names[0]) == []
    modeld.stop()


def take_all_but(path, room):
    """The daemon may take a page for itself in between: then somewhat less."""
    free = os.statvfs(path.parent)
    size = free.f_bavail * free.f_frsize - room
    with open(path, "wb") as f:
        while True:
            try:
                return os.posix_fallocate(f.fileno(), 0, size)
            except OSError as e:
                assert e.errno == errno.ENOSPC
                size -= 16 << 10


@pytest.mark.parametrize("room", [0, 5, 20])
def test_a_disk_that_fills_in_the_middle_is_told_and_the_pull_goes_on_later(
        liar, start, disk, room):
    """Somebody else takes the space, but for `room` MB, before the first byte comes."""
    m = model(40 * MB, 10, seed="fills")
    asked, go = threading.Event(), threading.Event()

    def lie(h):
        if h.path.endswith(m.names[0]):
            asked.set()
            assert go.wait(60)
        return False
    s = liar(lie=lie)
    s.add(m)
    folder = disk(64)
    modeld = start(folder / "store")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pulling = pool.submit(pull, modeld, f"{s.host}/ai/x:v1")
        assert asked.wait(60)
        hog = folder / "hog"
        take_all_but(hog, room * MB)
        go.set()
        status, answer = pulling.result(60)
    text = answer if status != 200 else answer[-1]["message"]
    assert "No space left on device" in text, answer
    # What is there is either whole or can be gone on with.
    assert modeld.http.get("/models").json() == []
    left = {p.name: p for p in (folder / "store/blobs/sha256").iterdir()}
    assert all(n.endswith(".incomplete") or len(n) == 64 for n in left), left
    assert not list((folder / "store").rglob("*.tmp-*"))
    there = sum(p.stat().st_blocks * 512 for p in left.values())
    assert there >= (room - 1) * MB
    hog.unlink()
    sent = s.sent
    assert pull(modeld, f"{s.host}/ai/x:v1")[1][-1]["type"] == "success"
    check_stored(folder / "store", m)
    assert s.sent - sent <= 40 * MB + 20000 - max(0, room - 3) * MB
    modeld.stop()


def test_a_model_that_is_here_is_used_when_its_registry_is_away(store, start):
    r = Registry(store.parent / "registry")
    pushed(r, "ai/away", MB)
    modeld = start(store)
    pull(modeld, f"{r.host}/ai/away:v1")
    r.stop()
    status, events = quick(1, lambda: pull(modeld, f"{r.host}/ai/away:v1"))
    assert status == 200 and [e["type"] for e in events] == ["warning", "success"]
    assert "cannot be reached" in events[0]["message"]
    assert pull(modeld, f"{r.host}/ai/other:v1")[0] == 500


def test_a_registry_that_restarts_is_waited_for(store, start):
    r = Registry(store.parent / "registry")
    m = pushed(r, "ai/restarts", 300 * MB)
    modeld = start(store)
    with modeld.http.stream("POST", "/models/create", json={"from": f"{r.host}/ai/restarts:v1"},
                            headers={"Accept": "application/json"}) as stream:
        lines = stream.iter_lines()
        next(lines)
        r.process.kill()
        r.process.wait()
        with open(r.log_path, "ab") as log:
            r.process = subprocess.Popen(["docker-registry", "serve", str(r.folder / "config.yml")],
                                         stdout=log, stderr=log)
        events = [json.loads(line) for line in lines]
    assert events[-1]["type"] == "success", events[-1]
    check_stored(store, m)
    r.stop()


def test_sigterm_ends_a_pull_at_once_with_a_line_that_says_so(registry, start, store):
    pushed(registry, "ai/term", 400 * MB)
    modeld = start(store)
    with modeld.http.stream("POST", "/models/create", json={"from": f"{registry.host}/ai/term:v1"},
                            headers={"Accept": "application/json"}) as r:
        lines = r.iter_lines()
        next(lines)
        modeld.process.terminate()
        events = [json.loads(line) for line in lines]
    assert events[-1]["type"] == "error" and "pull again" in events[-1]["message"]
    assert modeld.process.wait(60) == 0


def test_nothing_of_libcurl_is_loaded_before_the_first_pull(registry, start, store):
    pushed(registry, "ai/lazy", 1000)
    modeld = start(store)
    maps = pathlib.Path(f"/proc/{modeld.process.pid}/maps")
    assert "libcurl" not in maps.read_text()
    pull(modeld, f"{registry.host}/ai/lazy:v1")
    assert "libcurl" in maps.read_text()


# ---- the CLI ----

def cli(modeld, *args, **kw):
    return subprocess.run([str(BUILD / "docker-model"), *args], capture_output=True, text=True,
                          env={**os.environ, "MODEL_RUNNER_HOST": modeld.url}, timeout=60,
                          stdin=subprocess.DEVNULL, **kw)


def test_the_command_pulls_and_shows_how_far_it_is(registry, start, store):
    m = pushed(registry, "ai/cli", 20 * MB, 3000)
    modeld = start(store)
    r = cli(modeld, "pull", f"{registry.host}/ai/cli:v1")
    assert r.returncode == 0, r.stderr
    lines = r.stdout.splitlines()
    assert lines[-1] == "Model pulled successfully"
    assert lines[-2] == "Downloaded 20.97MB of 20.97MB"
    check_stored(store, m)
    r = cli(modeld, "pull", f"{registry.host}/ai/cli:nope")
    assert r.returncode == 1 and r.stdout == ""
    assert r.stderr.startswith(f"docker-model: pull {registry.host}/ai/cli:nope: Model not found")
    assert r.stderr.count("\n") == 1


def test_run_pulls_what_is_missing(registry, start, fake_engine, store):
    pushed(registry, "ai/run", MB)
    modeld = start(store, llama=fake_engine)
    r = cli(modeld, "run", f"{registry.host}/ai/run:v1", "hi")
    assert f"Unable to find model '{registry.host}/ai/run:v1' locally" in r.stderr
    assert "Model pulled successfully" in r.stderr
    assert len(modeld.http.get("/models").json()) == 1
