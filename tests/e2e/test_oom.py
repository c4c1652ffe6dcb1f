"""Memory runs out: the kernel takes a worker and leaves modeld, and the client is told why."""

import os
import pathlib
import re
import signal

import pytest

from conftest import EMBED, eventually
from test_lifecycle import CHAT

GROUPS = pathlib.Path("/sys/fs/cgroup")


class Group:
    """A control group that processes can be put into, and given less memory than they want."""

    def __init__(self):
        self.is_old = (GROUPS / "memory").is_dir()  # version 1
        self.path = (GROUPS / "memory" if self.is_old else GROUPS) / f"modeld-test-{os.getpid()}"
        self.path.mkdir()
        # Nobody may swap instead.
        self.write("memory.swappiness" if self.is_old else "memory.swap.max", 0)

    def write(self, name, value):
        (self.path / name).write_text(str(value))

    def limit(self, n):
        self.write("memory.limit_in_bytes" if self.is_old else "memory.max", n)

    def remove(self):
        eventually(lambda: not (self.path / "cgroup.procs").read_text())
        self.path.rmdir()


@pytest.fixture
def group():
    g = Group()
    yield g
    g.remove()


def anonymous(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+)", status).group(1)) << 10


def score(pid, name="oom_score_adj"):
    return int(pathlib.Path(f"/proc/{pid}/{name}").read_text())


def test_the_kernel_would_take_a_worker_first(start, models_store):
    m = start(models_store)
    assert m.http.post("/v1/chat/completions", json=CHAT).status_code == 200
    assert m.http.post("/v1/embeddings", json={"model": EMBED, "input": "a"}).status_code == 200
    own = score(m.process.pid)
    assert own == score("self"), "its own is as it was"
    workers = m.workers()
    assert len(workers) == 2
    for pid in workers:
        assert score(pid) == min(own + 500, 1000)
        assert score(pid, "oom_score") > score(m.process.pid, "oom_score") + 100


def test_a_worker_that_the_kernel_kills_is_explained(group, request, models_store):
    # modeld is started last, so that it is ended before the group is removed.
    m = request.getfixturevalue("start")(models_store, "--memory", "8GiB")
    group.write("cgroup.procs", m.process.pid)
    group.limit((m.rss_kib() << 10) + (48 << 20))  # the weights alone are larger
    r = m.http.post("/v1/chat/completions", json=CHAT)
    error = r.json()["error"]
    assert r.status_code == 507 and "memory ran out" in error["message"], r.text
    assert error["type"] == "insufficient_memory_error"
    assert m.process.poll() is None and m.http.get("/models").status_code == 200
    # With enough of it all is well again.
    group.limit(4 << 30)
    eventually(lambda: m.http.post("/v1/chat/completions", json=CHAT).status_code == 200)


def test_a_worker_that_is_killed_as_it_answers_is_explained(group, request, models_store):
    m = request.getfixturevalue("start")(models_store, "--memory", "8GiB")
    group.write("cgroup.procs", m.process.pid)
    assert m.http.post("/v1/chat/completions", json=CHAT).status_code == 200
    (pid,) = m.workers()
    group.limit(sum(anonymous(p) for p in (pid, m.process.pid)) + (8 << 20))
    long = {**CHAT, "messages": [{"role": "user", "content": "word " * 1500}]}
    r = m.http.post("/v1/chat/completions", json=long)
    assert r.status_code == 507 and "memory ran out" in r.json()["error"]["message"], r.text
    assert pid not in m.workers() and "engine gone" in m.log()


def test_one_that_somebody_else_kills_is_not_taken_for_too_large(start, models_store):
    m = start(models_store)
    assert m.http.post("/v1/chat/completions", json=CHAT).status_code == 200
    (pid,) = m.workers()
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: "engine gone" in m.log())
    assert "killed (signal 9), not by the kernel" in m.log()
