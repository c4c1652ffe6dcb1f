"""What the store takes on the disk, next to du(1)."""

import json
import os
import shutil
import subprocess

import pytest

from conftest import BUILD, eventually
from registry_fixtures import memory, model, push, registry, store
from store_fixtures import Load, Tag, small

MB = 1 << 20


def du(*paths):
    out = subprocess.run(["du", "-s", "-c", "--block-size=1", *map(str, paths)],
                         capture_output=True, text=True, check=True).stdout
    return int(out.splitlines()[-1].split()[0])


def check(m, store):
    used = m.http.get("/engines/df").json()["models_disk_usage"]
    assert used == pytest.approx(du(store), rel=0.01)
    return used


def test_models_bundles_and_half_pulls_are_counted_once(start, store):
    m = start(store)
    check(m, store)
    for i in range(3):
        one = small(f"df {i}", 300000, 100000)
        assert Load(one).run(m.http).status_code == 200
        Tag(one, f"m:{i}").run(m.http)
    before = check(m, store)
    # A bundle is links to blobs: Docker Model Runner counts them twice.
    bundle = store / "bundles/sha256" / one.id[7:] / "model"
    bundle.mkdir(parents=True)
    os.link(store / "blobs/sha256" / one.names[0][7:], bundle / "model.gguf")
    assert check(m, store) < before + 100000
    # A pull in several pieces has holes, which take nothing.
    with open(store / "blobs/sha256" / ("cd" * 32 + ".ranges.incomplete"), "wb") as f:
        f.write(b"x" * MB)
        f.seek(100 * MB)
        f.write(b"x" * MB)
    assert MB < check(m, store) - before < 4 * MB


def test_a_pull_that_was_cut_is_counted(registry, start, store):
    whole = model(40 * MB, seed="cut")
    push(registry.url, "ai/cut", "v1", whole)
    m = start(store)
    s = m.connect()
    body = json.dumps({"from": f"{registry.host}/ai/cut:v1"}).encode()
    s.sendall(b"POST /models/create HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s"
              % (len(body), body))
    eventually(lambda: du(store) > MB)
    m.process.kill()
    m.process.wait()
    s.close()
    assert check(start(store), store) > MB


def test_the_engine_is_counted_with_its_libraries(start, store, tmp_path):
    place = tmp_path / "libexec"
    (place / "lib").mkdir(parents=True)
    shutil.copy(BUILD / "modeld-llama", place)
    (place / "lib/libx.so").write_bytes(b"x" * 3 * MB)
    m = start(store, llama=place / "modeld-llama")
    df = m.http.get("/engines/df").json()
    assert set(df) == {"models_disk_usage", "default_backend_disk_usage"}
    assert df["default_backend_disk_usage"] == pytest.approx(
        du(place / "modeld-llama", place / "lib"), rel=0.01)
    r = subprocess.run([BUILD / "docker-model", "df"], capture_output=True, text=True, check=True,
                       env={**os.environ, "MODEL_RUNNER_HOST": m.url})
    rows = [line.split() for line in r.stdout.splitlines()]
    assert rows[0] == ["TYPE", "SIZE"] and rows[1][0] == "Models"
    assert rows[2][:2] == ["Inference", "engine"]
    assert float(rows[2][2][:-2]) == pytest.approx(df["default_backend_disk_usage"] / 1e6, 0.01)
    # One that is not installed takes nothing.
    m = start(store, llama=tmp_path / "none/modeld-llama")
    assert m.http.get("/engines/df").json()["default_backend_disk_usage"] == 0
