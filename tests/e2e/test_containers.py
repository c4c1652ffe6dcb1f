"""Containers ask modeld by its address: the real `modeld-docker listen`, a real Docker
Engine, and what modeld knows of who asks."""

import json
import os
import re
import subprocess

import pytest

from conftest import BUILD, TEXT, eventually
from host_fixtures import ADDRESS, NAME, host  # noqa: F401

DOCKER = BUILD / "modeld-docker"
ASK = json.dumps({"model": TEXT, "messages": [{"role": "user", "content": "Hello."}]})


class Served:
    """modeld and its helper on a host."""

    def __init__(self, h, folder, store, engine, *args):
        self.host = h
        self.log_path = folder / "modeld.log"
        self.helper_log = folder / "helper.log"
        self.engine_log = folder / "engine.log"
        self.start_modeld = lambda: h.ready(
            BUILD / "modeld", "--port", "12434", "--socket", "/run/m.sock", "--store", store,
            "--llama", engine, "--log-level", "debug", *args, log=self.log_path,
            env={"FAKE_ENGINE_LOG": str(self.engine_log), "HOME": str(folder)})
        self.start_helper = lambda: h.ready(DOCKER, "listen", log=self.helper_log)
        h.run(DOCKER, "net", "up")
        self.helper = self.start_helper()
        self.modeld = self.start_modeld()
        self.await_ways()

    def await_ways(self):
        eventually(lambda: self.listens(ADDRESS) and self.listens("172.17.0.1"))

    def listens(self, ip):
        r = self.host.run("curl", "-s", "http://localhost:12434/version", check=False)
        return any(f"//{ip}:" in url for url in json.loads(r.stdout or "{}").get("listen", []))

    def log(self):
        return self.log_path.read_text()

    def fields(self):
        return re.findall(r"^field (.*)$", self.engine_log.read_text(), re.M)

    def stop(self):
        for child in (self.modeld, self.helper):
            assert self.host.stop(child) == 0, self.helper_log.read_text()
        for log in (self.log(), self.helper_log.read_text()):
            assert "Sanitizer" not in log and "runtime error" not in log, log
        self.host.run(DOCKER, "net", "down")


@pytest.fixture(scope="module")
def served(host, models_store, fake_engine, tmp_path_factory):  # noqa: F811
    s = Served(host, tmp_path_factory.mktemp("served"), models_store, fake_engine)
    yield s
    s.stop()


def container(s, *args, net="bridge"):
    """A container that stays; gives its id. It is removed with the host."""
    return s.host.docker("run", "-d", "--network", net, *args, "bb", "sleep", "10000").strip()


def get(s, name, path="/v1/models", where=ADDRESS, **kw):
    return s.host.run("docker", "exec", name, "timeout", "20", "wget", "-q", "-O", "-",
                      "--header", f"Host: {NAME}", f"http://{where}{path}", **kw)


def chat(s, name, where=ADDRESS):
    get_out = s.host.run("docker", "exec", name, "timeout", "20", "wget", "-q", "-O", "-",
                         "--header", f"Host: {NAME}", "--post-data", ASK,
                         f"http://{where}/v1/chat/completions").stdout
    assert json.loads(get_out)["choices"]


def chat_as(s, name, identity, where=ADDRESS):
    """A request that is taken for its container's. On a very busy machine the helper's answer
    may come too late for one, but never is it another's."""
    def once():
        chat(s, name, where)
        got = s.fields()[-1]
        assert got in (f"Modeld-Cache-Id: container={identity}",
                       "Modeld-Cache-Id: way=containers", "Modeld-Cache-Id: way=gateway"), got
        return got.endswith(identity)
    eventually(once)


def test_each_container_is_known_by_id_and_name(served):
    a, b = container(served, "--name", "anna"), container(served, "--name", "bert")
    for name, i in (("anna", a), ("bert", b)):
        chat_as(served, name, i)
    for name, i in (("anna", a), ("bert", b)):
        eventually(lambda: f"container={name}/{i[:12]}" in served.log())


def test_so_it_is_on_a_network_of_its_own_and_by_the_gateway(served):
    served.host.docker("network", "create", "own")
    c = container(served, "--name", "cora", net="own")
    chat_as(served, "cora", c)
    chat_as(served, "cora", c, where="172.17.0.1:12434")


def test_a_container_that_has_just_started_is_known(served):
    def once():
        out = served.host.docker(
            "run", "--rm", "--name", "dora", "bb", "timeout", "20", "wget", "-q", "-O", "-",
            "--header", f"Host: {NAME}", "--post-data", ASK,
            f"http://{ADDRESS}/v1/chat/completions")
        assert json.loads(out)["choices"]
        return re.fullmatch(r"Modeld-Cache-Id: container=[0-9a-f]{64}", served.fields()[-1])
    eventually(once)
    eventually(lambda: "container=dora/" in served.log())


def test_this_host_is_no_container(served):
    for url in (f"http://{ADDRESS}", "http://172.17.0.1:12434"):
        served.host.run("curl", "-sf", "-H", f"Host: {NAME}", "-d", ASK,
                        f"{url}/v1/chat/completions")
    assert served.fields()[-2:] == ["Modeld-Cache-Id: way=containers",
                                    "Modeld-Cache-Id: way=gateway"]
    served.host.run("curl", "-sf", "-d", ASK, "http://localhost:12434/v1/chat/completions")
    assert served.fields()[-1] == "Modeld-Cache-Id: uid=0"


def test_containers_infer_and_do_not_manage(served):
    container(served, "--name", "emil")
    assert "data" in get(served, "emil").stdout
    assert "403" in get(served, "emil", "/engines/ps", check=False).stderr
    assert "403" in get(served, "emil", "/engines/ps", where="172.17.0.1:12434",
                        check=False).stderr


def test_modeld_dead_is_refused_at_once_and_back_is_found(served):
    container(served, "--name", "fred")
    served.host.stop(served.modeld)
    r = get(served, "fred", check=False)
    assert "refused" in r.stderr, r.stderr
    served.modeld = served.start_modeld()
    served.await_ways()
    assert "data" in get(served, "fred").stdout


def test_the_helper_dead_closes_the_way_and_back_opens_it(served):
    gina = container(served, "--name", "gina")
    os.kill(int(open(f"/proc/{served.helper.pid}/task/{served.helper.pid}/children")
                .read().split()[0]), 9)
    served.helper.wait(60)
    eventually(lambda: not served.listens(ADDRESS))
    assert "refused" in get(served, "gina", check=False).stderr
    assert served.host.run("curl", "-sf", "http://localhost:12434/v1/models").returncode == 0
    served.helper = served.start_helper()
    served.await_ways()
    assert "data" in get(served, "gina").stdout
    chat_as(served, "gina", gina)


def test_twenty_at_once_keep_their_names(served):
    ids = {container(served, "--name", f"many{i}"): i for i in range(5)}
    before = len(served.fields())
    asks = [served.host.popen(
        "docker", "exec", name, "timeout", "20", "wget", "-q", "-O", "-", "--header",
        f"Host: {NAME}", "--post-data", ASK, f"http://{ADDRESS}/v1/chat/completions",
        stdout=subprocess.DEVNULL) for name in ids for _ in range(4)]
    assert [a.wait(60) for a in asks] == [0] * 20
    got = served.fields()[before:]
    assert len(got) == 20
    for i in ids:
        assert 1 <= got.count(f"Modeld-Cache-Id: container={i}") <= 4
    assert all(f == "Modeld-Cache-Id: way=containers" or f.rsplit("=", 1)[1] in ids for f in got)
