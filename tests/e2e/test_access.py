"""Every row of the route table on every way in, against the committed table
tests/data/access.txt; and what Host, Origin and a refusal are about.

A row that is added must be added there too, by hand: who may call it is a decision."""

import hashlib
import json
import os
import re
import socket

import httpx
import pytest

from conftest import EMBED, ROOT, TEXT, eventually
from helper_fixtures import helper, listener  # noqa: F401

NAME = "model-runner.docker.internal"
KEYS = {"infer": "mdk_infer", "manage": "mdk_manage", "inspect": "mdk_inspect"}
COLUMNS = ["host", "socket", "docker", "containers", "gateway", "containers-full",
           "gateway-full", "other", "other-infer", "other-manage", "other-inspect",
           "containers-manage"]


def routes():
    """(method, pattern) of every row, read off the program's own table."""
    text = (ROOT / "src/api/routes.c").read_text()
    text = text[text.index("rows[] = {"):]
    text = text[:text.index("};")]
    rows = []
    for macro, args in re.findall(r"\b(ROUTE|OPENAI)\(([^)]*)\)", text):
        words = [a.strip().strip('"') for a in args.split(",")]
        if macro == "ROUTE":
            rows.append((words[1], words[2]))
        else:
            rows += [(words[0], prefix + words[1]) for prefix in ("/engines", "/engines/{engine}", "")]
    assert len(rows) == len(re.findall(r"\bROUTE\(", text)) + 3 * len(re.findall(r"\bOPENAI\(", text))
    return rows


def url(pattern):
    return pattern.replace("{engine}", "llama.cpp").replace("{name...}", "ai/none")


class Way:
    def __init__(self, base, headers=None, uds=None):
        self.http = httpx.Client(
            base_url=base, headers={"Host": NAME, **(headers or {})}, timeout=60,
            transport=httpx.HTTPTransport(uds=str(uds)) if uds else None)

    def may(self, method, path):
        """'+' let in, '-' refused, '?' asked for a key. The bodies are
        empty and the model is not there; the store, which a purge empties, is the test's."""
        r = self.http.request(method, path)
        if r.status_code == 401:
            assert r.headers["www-authenticate"].startswith("Bearer ")
            return "?"
        if r.status_code == 403:
            e = r.json()["error"]
            assert e["type"] == "permission_error" and len(e["message"]) > 40
            return "-"
        return "+"


@pytest.fixture
def keyfile(tmp_path):
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": [
        {"name": c, "hash": "sha256:" + hashlib.sha256(k.encode()).hexdigest(), "classes": [c]}
        for c, k in KEYS.items()]}))
    path.chmod(0o600)
    return path


def gates(m, helper):
    """URLs of the containers' two ways in."""
    link = helper.link()
    urls = []
    link.send(type="bridges", names=["lo"])
    for way in ("containers", "gateway"):
        s = listener()
        if way == "gateway":
            s.setsockopt(0, 8, 1)  # IP_PKTINFO, as modeld-docker sets it
        at = link.give(way, s)
        urls.append(f"http://{at[0]}:{at[1]}")
    for u in urls:
        def there():
            try:
                return httpx.get(u + "/healthz", headers={"Host": NAME}).status_code == 200
            except httpx.TransportError:
                return False
        eventually(there)
    return urls


@pytest.fixture
def ways(start, own_store, helper, keyfile, tmp_path):
    """Every way in by its name, from three daemons: as it comes, with containers allowed all,
    and with keys."""
    common = ("--helper", helper.path)
    m = start(own_store, *common)
    containers, gateway = gates(m, helper)
    front = {"Modeld-Caller": f"uid={os.getuid()} pid=1"}
    out = {"host": Way(m.url), "socket": Way("http://d", uds=m.socket),
           "docker": Way("http://d", front, uds=m.socket),
           "containers": Way(containers), "gateway": Way(gateway)}
    full = start(own_store, *common, "--containers", "full")
    containers, gateway = gates(full, helper)
    out |= {"containers-full": Way(containers), "gateway-full": Way(gateway)}
    keyed = start(own_store, *common, "--keys", str(keyfile), "--bind", "0.0.0.0")
    containers, _ = gates(keyed, helper)
    port = re.search(r"listens address=0\.0\.0\.0:(\d+)", keyed.log())[1]
    out["other"] = Way(f"http://127.0.0.1:{port}")
    for c, k in KEYS.items():
        out[f"other-{c}"] = Way(f"http://127.0.0.1:{port}", {"Authorization": f"Bearer {k}"})
    out["containers-manage"] = Way(containers, {"x-api-key": KEYS["manage"]})
    assert list(out) == COLUMNS
    return out


def test_every_row_on_every_way_in_is_as_was_decided(ways):
    lines = [f"{'':8}{'':38}" + " ".join(COLUMNS)]
    for method, pattern in routes():
        marks = [f"{way.may(method, url(pattern)):{len(name)}}" for name, way in ways.items()]
        lines.append(f"{method:8}{pattern:38}" + " ".join(marks).rstrip())
    table = (ROOT / "tests/data/access.txt").read_text()
    decided = [x for x in table.splitlines() if not x.startswith("#")]
    print("\n".join(lines))  # to be read, and then to be decided
    assert lines == decided


def raw_status(way, target):
    """As it stands: a client library would tidy the target up."""
    at = way.http.base_url
    with socket.create_connection((at.host, at.port), timeout=60) as s:
        s.sendall(f"GET {target} HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
        return int(s.recv(12).split()[1])


def test_the_table_has_no_way_out_by_another_method_or_path(ways):
    """What is no row is refused where keys are needed, and told apart elsewhere."""
    for method, path in [("HEAD", "/logs"), ("HEAD", "/metrics"), ("HEAD", "/engines/requests")]:
        assert ways["containers"].http.request(method, path).status_code == 403
        assert ways["other-infer"].http.request(method, path).status_code == 403
    for path in ("/metrics/", "//metrics", "/./metrics", "/x/../metrics", "/%6detrics",
                 "/METRICS", "/metrics;x", "/metrics%00", "http://localhost/metrics"):
        status = raw_status(ways["containers"], path)
        assert status in (400, 403, 404), path
    assert ways["other"].http.get("/nothing").status_code == 401
    assert ways["containers"].http.get("/nothing").status_code == 404


def test_a_refusal_says_who_may_and_how(ways):
    r = ways["containers"].http.get("/logs").json()["error"]["message"]
    assert "'inspect'" in r and "on the host" in r and "--containers full" in r
    r = ways["other-infer"].http.get("/logs").json()["error"]["message"]
    assert "'infer'" in r and "'inspect'" in r


@pytest.mark.parametrize("way,good,bad", [
    ("host", ["localhost", "127.0.0.1", "[::1]", NAME, "host.docker.internal:12434"],
     ["", "d", "_", "evil.example", "169.254.169.254", "0.0.0.0", "model-runner"]),
    ("containers", ["localhost:80", NAME + ":80", "127.0.0.1"], ["", "d", "evil.example"]),
    ("gateway", ["127.0.0.1:12434", NAME], ["", "evil.example:12434"]),
    ("other-infer", ["127.0.0.1", "localhost"], ["", "0.0.0.0", "evil.example"]),
    ("socket", ["", "d", "_", "localhost", "api.moby.localhost", "evil.example"], []),
    ("docker", ["", "d", "_", "localhost", "api.moby.localhost"], []),
])
def test_only_names_of_this_server_are_answered(ways, way, good, bad):
    http = ways[way].http
    for host in good:
        assert http.get("/v1/models", headers={"Host": host}).status_code == 200, host
    for host in bad:
        r = http.get("/v1/models", headers={"Host": host})
        assert r.status_code == 403 and "Host" in r.json()["error"]["message"], host


@pytest.mark.parametrize("way", ["host", "socket", "docker", "containers", "gateway",
                                 "other-infer"])
def test_a_strange_page_is_refused_on_every_way(ways, way):
    http = ways[way].http
    assert http.get("/v1/models", headers={"Origin": "http://localhost:3000"}).status_code == 200
    for origin in ("http://evil.example", "null", "https://localhost.evil.example"):
        r = http.get("/v1/models", headers={"Origin": origin})
        assert r.status_code == 403 and "Origin" in r.json()["error"]["message"]
        assert "access-control-allow-origin" not in r.headers


def test_a_refused_host_costs_no_body(start, own_store):
    m = start(own_store)
    with m.connect() as s:
        s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: evil.example\r\n"
                  b"Content-Length: 60000000\r\nExpect: 100-continue\r\n\r\n")
        assert s.recv(100).startswith(b"HTTP/1.1 403 ")


def test_containers_off_lets_nobody_in(start, own_store, helper):
    m = start(own_store, "--helper", helper.path, "--containers", "off")
    helper.server.settimeout(1)
    with pytest.raises(TimeoutError):
        helper.link()
    assert m.http.get("/healthz").status_code == 200


def test_a_front_is_believed_only_on_the_unix_socket(start, own_store, helper):
    """A container cannot make itself the Docker socket's client."""
    m = start(own_store, "--helper", helper.path, "--log-level", "debug")
    containers, gateway = gates(m, helper)
    for base in (containers, gateway):
        r = httpx.get(base + "/logs", headers={"Host": NAME, "Modeld-Caller": "uid=0 pid=1"})
        assert r.status_code == 403
    assert "uid=0 pid=1" not in m.log()


HOST_PATHS = re.compile(r"(/tmp|/work|/home|/root|/run|/var|/etc|/proc|/usr)/")


def test_no_path_of_the_host_reaches_a_container(start, own_store, helper, fake_engine):
    """Whatever goes wrong behind an endpoint that a container may call."""
    m = start(own_store, "--helper", helper.path, llama=fake_engine,
              env={"FAKE_ENGINE": json.dumps({"exit": 3, "say": f"cannot open {own_store}/blobs/x"})})
    way = Way(gates(m, helper)[0])

    def look():
        seen = 0
        for method, pattern in routes():
            for name in ("ai/none", TEXT, EMBED, "../../x", "%2e%2e%2fx", "sha256:xyz"):
                path = pattern.replace("{engine}", "llama.cpp").replace("{name...}", name)
                for body in (b"", json.dumps({"model": TEXT, "prompt": "x", "input": "x",
                                              "messages": [{"role": "user", "content": "x"}]})):
                    r = way.http.request(method, path, content=body)
                    if r.status_code == 403 and r.json()["error"]["type"] == "permission_error":
                        continue
                    said = re.sub(r'"chat_template":"(\\.|[^"])*"', "", r.text).replace(path, "")
                    assert not HOST_PATHS.search(said), (method, path, r.text)
                    assert not HOST_PATHS.search(str(r.headers)), (method, path)
                    seen += 1
        return seen

    assert look() > 100
    # A store whose models cannot be read, then one that is not there.
    blobs = own_store / "blobs"
    for f in list(blobs.rglob("*")):
        if f.is_file() and f.stat().st_size < 100000:
            f.unlink()
            f.write_bytes(b"rubbish")
    assert look() > 100
    (own_store / "models.json").write_text("{")
    assert look() > 100
    (own_store / "models.json").unlink()
    (own_store / "models.json").mkdir()
    assert look() > 100
