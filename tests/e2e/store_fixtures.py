"""What the tests of the store need: small models as tars, what a store must hold after
each change, and a look at what it does hold."""

import collections
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import tarfile
import tempfile

import httpx
import pytest

from conftest import BUILD, Modeld, is_sanitized
from registry_fixtures import GGUF, LICENSE, Model, noise

SHIM = BUILD / "libcrash_shim.so"
STATUS = 137  # of a process that the shim ended


def small(seed, *sizes):
    """A model of noise; the second layer of all those with one size is the same."""
    return Model([(GGUF, noise(sizes[0], seed))] + [(LICENSE, noise(n, n)) for n in sizes[1:]],
                 size=f"{seed}")


def tar_of(m):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for name, blob in [("blobs/sha256/" + d.split(":")[1], b)
                           for b, d in zip(m.blobs(), m.names)] + [("manifest.json", m.manifest)]:
            info = tarfile.TarInfo(name)
            info.size = len(blob)
            t.addfile(info, io.BytesIO(blob))
    return out.getvalue()


def entries(store):
    return json.loads((store / "models.json").read_text())["models"] or []


def index(store):
    """{id: tags} as the store has it on disk."""
    path = store / "models.json"
    return {e["id"]: sorted(e["tags"] or []) for e in entries(store)} if path.exists() else {}


def names_in(folder):
    return {p.name for p in folder.iterdir()} if folder.exists() else set()


def on_disk(store):
    """(blobs, manifests), by their names."""
    return names_in(store / "blobs/sha256"), names_in(store / "manifests/sha256")


def reachable(store):
    return ({f.split(":")[1] for e in entries(store) for f in e["files"]},
            {e["id"].split(":")[1] for e in entries(store)})


def unfinished(store):
    return [p for p in store.rglob("*")
            if p.name.endswith(".incomplete") or ".tmp-" in p.name]


def verify(modeld):
    """What is wrong with the store's files: [] if nothing is."""
    r = modeld.http.post("/models/verify")
    assert r.status_code == 200, r.text
    *files, end = [json.loads(line) for line in r.text.splitlines()]
    assert end["files"] == end["of"] == len(files)
    return [f for f in files if "problem" in f]


def listed(modeld):
    return {m["id"]: sorted(m.get("tags", [])) for m in modeld.http.get("/models").json()}


def check_whole(modeld, store):
    """The store opens, lists what its index has, all files are right, and a prune leaves
    exactly what the tags reach."""
    assert listed(modeld) == index(store)
    assert verify(modeld) == []
    # What was left unfinished goes when nobody has touched it for long.
    for path in unfinished(store):
        os.utime(path, (1000, 1000))
    tagged = {i: tags for i, tags in index(store).items() if tags}
    r = modeld.http.post("/models/prune")
    assert r.status_code == 200, r.text
    assert index(store) == listed(modeld) == tagged
    assert on_disk(store) == reachable(store)
    assert unfinished(store) == []
    assert verify(modeld) == []


# ---- changes, and what must be there after them ----

def name(tag):
    return f"docker.io/ai/{tag}" + ("" if ":" in tag else ":latest")


class Load:
    def __init__(self, model):
        self.model = model

    def __repr__(self):
        return f"load {self.model.id[7:19]}"

    def run(self, http):
        return http.post("/models/load", content=tar_of(self.model))

    def after(self, was):
        """The states that may be seen while it works; the last when it is done."""
        return [{self.model.id: [], **was}]


class Tag:
    def __init__(self, model, tag):
        self.id, self.tag = model.id, tag

    def __repr__(self):
        return f"tag {self.id[7:19]} {self.tag}"

    def run(self, http):
        repo, _, tag = f"ai/{self.tag}".partition(":")
        return http.post(f"/models/{self.id}/tag", params={"repo": repo, "tag": tag or "latest"})

    def after(self, was):
        if self.id not in was:
            return [None]
        return [tagged(was, self.id, self.tag)]


def tagged(was, model, tag):
    now = {i: [t for t in tags if t != name(tag)] for i, tags in was.items()}
    now[model] = sorted([*now[model], name(tag)])
    return now


class Remove:
    """By a tag, or a model's id."""

    def __init__(self, what, force=False):
        self.what, self.force = what, force

    def __repr__(self):
        return f"rm {getattr(self.what, 'id', self.what)} force={self.force}"

    def run(self, http):
        what = getattr(self.what, "id", f"ai/{self.what}")
        return http.delete(f"/models/{what}", params={"force": "true"} if self.force else {})

    def after(self, was):
        now = {i: list(tags) for i, tags in was.items()}
        if isinstance(self.what, Model):
            if len(was.get(self.what.id, [1, 2])) > (1 if not self.force else 99):
                return [None]
            return [None] if now.pop(self.what.id, None) is None else [now]
        for i, tags in was.items():
            if name(self.what) in tags:
                now[i].remove(name(self.what))
                return [now if now[i] else {k: v for k, v in now.items() if k != i}]
        return [None]


class Repackage:
    """`made` is the variant's id, which the first run teaches."""

    def __init__(self, model, tag, size, made):
        self.id, self.tag, self.size, self.made = model.id, tag, size, made

    def __repr__(self):
        return f"repackage {self.id[7:19]} {self.tag}"

    def run(self, http):
        r = http.post(f"/models/{self.id}/repackage",
                      json={"target": f"ai/{self.tag}", "context_size": self.size})
        if r.status_code == 201 and not self.made:
            self.made.append(http.get(f"/models/ai/{self.tag}").json()["id"])
        return r

    def after(self, was):
        if self.id not in was:
            return [None]
        if not self.made:
            return []
        with_it = {self.made[0]: [], **was}
        return [with_it, tagged(with_it, self.made[0], self.tag)]


class Pull:
    def __init__(self, registry, repo, model):
        self.ref, self.model = f"{registry.host}/{repo}:v1", model

    def __repr__(self):
        return f"pull {self.ref} {self.model.id[7:19]}"

    def run(self, http):
        r = http.post("/models/create", json={"from": self.ref},
                      headers={"Accept": "application/json"})
        last = json.loads(r.text.splitlines()[-1]) if r.status_code == 200 else {}
        if last.get("type") == "error":
            r.status_code = 500
        return r

    def after(self, was):
        with_it = {self.model.id: [], **was}
        now = {i: [t for t in tags if t != self.ref] for i, tags in with_it.items()}
        now[self.model.id] = sorted([*now[self.model.id], self.ref])
        return [with_it, now]


class Prune:
    def __repr__(self):
        return "prune"

    def run(self, http):
        return http.post("/models/prune")

    def after(self, was):
        return [{i: tags for i, tags in was.items() if tags}]


def play(modeld, store, change, was):
    """Makes a change and checks the index after it; gives what it is then. A change that
    must be refused has None for its state."""
    states = change.after(was)
    r = change.run(modeld.http)
    is_done = 200 <= r.status_code < 300
    states = states or change.after(was)  # learned
    now = index(store)
    if states == [None]:
        assert not is_done and now == was, (change, r.text, now, was)
    elif is_done:
        assert now == states[-1], (change, r.text, now, was)
    else:
        assert now in [was, *states], (change, r.text)
    return now


# ---- crashes ----

def shim_env(store, shadow, at=0, mode="kill", log=""):
    """Starts modeld with the library that makes it crash (tests/tools/crash_shim.c)."""
    first = ""
    if is_sanitized():
        libraries = subprocess.run(["ldd", BUILD / "modeld"], capture_output=True,
                                   text=True, check=True).stdout
        first = "".join(line.split()[2] + ":" for line in libraries.splitlines()
                        if "libasan" in line)
    return {"LD_PRELOAD": f"{first}{SHIM}", "CRASH_FOLDER": str(store), "CRASH_AT": str(at),
            "CRASH_SHADOW": str(shadow), "CRASH_MODE": mode, "CRASH_LOG": str(log)}


class Crash:
    """One run of changes that ends at one point; each has a folder of its own."""

    def __init__(self, folder):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=folder))
        self.store = self.folder / "store"
        self.log = self.folder / "changes"
        self.reported = {}  # what the store held when it last said "done"
        self.possible = []  # and what it may hold since
        (self.folder / "shadow").mkdir()

    def modeld(self, kind, **kw):
        folder = self.folder / kind
        folder.mkdir()
        return Modeld(folder, self.store, **kw)

    def run(self, changes, at=0, mode="kill", prepare=None):
        """True: it came to its end."""
        if prepare:
            shutil.copytree(prepare, self.store)
            self.reported = index(self.store)
        self.possible = [self.reported]
        env = shim_env(self.store, self.folder / "shadow", at, mode,
                       self.log if at == 0 else "")
        try:
            m = self.modeld("crashing", env=env)
        except RuntimeError as e:
            assert "Sanitizer" not in str(e)
            return False
        try:
            for change in changes:
                self.possible = [self.reported, *(s for s in change.after(self.reported)
                                                  if s is not None)]
                self.reported = play(m, self.store, change, self.reported)
                self.possible = [self.reported]
        except (httpx.TransportError, json.JSONDecodeError, IndexError):
            m.process.wait(60)
        if m.process.poll() is None:
            m.stop()
            return True
        m.http.close()
        assert m.process.returncode == STATUS, m.log()
        return False

    def points(self):
        return self.log.read_text().splitlines()

    def check(self, after=()):
        """The store after it, seen by a modeld without faults."""
        m = self.modeld("after")
        try:
            was = index(self.store)
            assert was in self.possible, (was, self.possible)
            for change in after:
                was = play(m, self.store, change, was)
            check_whole(m, self.store)
            for change in after:  # done, so there for good
                assert change.after(was)[-1] == was
        finally:
            m.stop()
        shutil.rmtree(self.folder)


def kind(line):
    """A change, whatever blob or model it is of."""
    return re.sub("[0-9a-f]{16,}", "*", line)


def chosen(points, mode, often=2):
    """At which changes to crash: each kind of change, after and before each other kind, so
    many times and the last time; all of them if `often` is None."""
    seen = collections.defaultdict(list)
    padded = ["", *map(kind, points), ""]
    for at in range(1, len(points) + 1):
        if mode != "torn" or points[at - 1].startswith("write"):
            seen[tuple(padded[at - 1:at + 2])].append(at)
    return sorted({at for row in seen.values() for at in [*row[:often], row[-1]]})


@pytest.fixture
def crashes(memory):
    folder = pathlib.Path(tempfile.mkdtemp(dir=memory))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
