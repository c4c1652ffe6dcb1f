"""Registries that want to know who asks: Basic, token servers, helpers; and the ways to
them: certificates, proxies, mirrors."""

import base64
import json
import os
import socket
import subprocess
import urllib.parse

import pytest

from conftest import eventually
from registry_fixtures import (Registry, check_stored, free_port, memory, model, pull, push,
                               registry, store)
from test_pull_hostile import in_own_net, liar, small

MB = 1 << 20
USER, SECRET = "ana", "pa:ss word"


def docker_config(folder, **content):
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(content))
    return {"DOCKER_CONFIG": str(folder)}


def login(host, user=USER, secret=SECRET):
    return {"auths": {host: {"auth": base64.b64encode(f"{user}:{secret}".encode()).decode()}}}


@pytest.fixture(scope="module")
def basic(memory):
    """The real registry with Basic auth, and a model in it."""
    folder = memory / "basic"
    folder.mkdir()
    line = subprocess.run(["htpasswd", "-nbB", USER, SECRET], capture_output=True, text=True,
                          check=True).stdout
    (folder / "htpasswd").write_text(line)
    r = Registry(folder, config={"auth": {"htpasswd": {
        "realm": "models", "path": str(folder / "htpasswd")}}})
    r.model = model(3 * MB, 100, seed="basic")
    push(r.url, "ai/private", "v1", r.model, auth=(USER, SECRET))
    yield r
    r.stop()


def test_basic_with_docker_config(basic, start, store, tmp_path):
    modeld = start(store, env=docker_config(tmp_path / "docker", **login(basic.host)))
    assert pull(modeld, f"{basic.host}/ai/private:v1")[1][-1]["type"] == "success"
    check_stored(store, basic.model)


def test_basic_in_the_home_folder(basic, start, store, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    docker_config(home / ".docker", **login(f"https://{basic.host}/v2/"))
    modeld = start(store, env={"HOME": str(home)})
    assert pull(modeld, f"{basic.host}/ai/private:v1")[1][-1]["type"] == "success"


@pytest.mark.parametrize("config", [{}, login("other:5000"), "wrong"])
def test_basic_without_the_right_ones_is_401_and_says_what_to_do(basic, start, store, tmp_path,
                                                                 config):
    if config == "wrong":
        config = login(basic.host, secret="wrong")
    modeld = start(store, env=docker_config(tmp_path / "docker", **config))
    status, text = pull(modeld, f"{basic.host}/ai/private:v1")
    assert status == 401 and text.startswith("Unauthorized")
    assert f"docker login {basic.host}" in text and SECRET not in text


def helper(folder, name, script):
    path = folder / f"docker-credential-{name}"
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def test_a_credential_helper(basic, start, store, tmp_path):
    env = helper(tmp_path, "mine", f'''
[ "$1" = get ] || exit 3
read -r server || [ "$server" ]
[ "$server" = {basic.host} ] || exit 4
printf '{{"ServerURL":"%s",\\n"Username":"{USER}","Secret":"{SECRET}"}}\\n' "$server"
''')
    env.update(docker_config(tmp_path / "docker", credHelpers={basic.host: "mine"},
                             credsStore="absent"))
    modeld = start(store, env=env)
    assert pull(modeld, f"{basic.host}/ai/private:v1")[1][-1]["type"] == "success"


def test_a_helper_that_has_none_leaves_it_to_the_file(basic, start, store, tmp_path):
    env = helper(tmp_path, "none", "echo 'credentials not found in native keychain'; exit 1\n")
    env.update(docker_config(tmp_path / "docker", credsStore="none", **login(basic.host)))
    modeld = start(store, env=env)
    assert pull(modeld, f"{basic.host}/ai/private:v1")[1][-1]["type"] == "success"


def test_variables_go_to_the_registry_that_they_are_for_only(liar, start, store):
    def lie(h):
        if not h.headers.get("Authorization"):
            h.send(401, WWW_Authenticate='Basic realm="x"')
            return True
    other, default = liar(lie=lie), liar(lie=lie)
    for s in (other, default):
        s.add(small())
    modeld = start(store, "--registry", default.host, env={
        "DOCKER_USERNAME": "u", "DOCKER_PASSWORD": "p", "DOCKER_HUB_USER": "h",
        "DOCKER_HUB_PASSWORD": "q"})
    assert pull(modeld, f"{other.host}/ai/x:v1")[0] == 401
    assert all(a is None for *_, a in other.asked)
    assert pull(modeld, "x:v1")[1][-1]["type"] == "success"
    assert {a for *_, a in default.asked} - {None} == {
        "Basic " + base64.b64encode(b"u:p").decode()}


# ---- tokens ----

class Tokens:
    """A registry with tokens, as the specification has it; what it asks for is noted."""

    def __init__(self, make, expires=300):
        self.given = []
        self.issued = 0
        self.expires = expires
        self.server = make(lie=self.lie)
        self.server.add(small("tokens"))

    def lie(self, h):
        host = h.headers["Host"]
        if h.path.startswith("/token"):
            length = int(h.headers.get("Content-Length") or 0)
            query = urllib.parse.parse_qs(
                h.rfile.read(length).decode() if length else h.path.partition("?")[2])
            self.given.append((h.command, query, h.headers.get("Authorization")))
            self.issued += 1
            h.send(200, json.dumps({"token": f"t{self.issued}",
                                    "expires_in": self.expires}).encode())
            return True
        if h.headers.get("Authorization") != f"Bearer t{self.issued}" or not self.issued:
            h.send(401, WWW_Authenticate=f'Bearer realm="http://{host}/token",'
                   f'service="the service",scope="repository:ai/x:pull"')
            return True


def test_a_token_is_fetched_once_and_kept_for_the_next_pull(liar, start, store, tmp_path):
    t = Tokens(liar)
    modeld = start(store, env=docker_config(tmp_path / "docker", **login(t.server.host)))
    assert pull(modeld, f"{t.server.host}/ai/x:v1")[1][-1]["type"] == "success"
    assert pull(modeld, f"{t.server.host}/ai/x:v1")[1][-1]["type"] == "success"
    assert t.given == [("GET", {"service": ["the service"], "scope": ["repository:ai/x:pull"]},
                        "Basic " + base64.b64encode(f"{USER}:{SECRET}".encode()).decode())]


def test_an_anonymous_token(liar, start, store):
    t = Tokens(liar)
    modeld = start(store)
    assert pull(modeld, f"{t.server.host}/ai/x:v1")[1][-1]["type"] == "success"
    assert [a for *_, a in t.given] == [None]


def test_a_refresh_token_is_posted(liar, start, store, tmp_path):
    t = Tokens(liar)
    config = {"auths": {t.server.host: {"identitytoken": "refresh me"}}}
    modeld = start(store, env=docker_config(tmp_path / "docker", **config))
    assert pull(modeld, f"{t.server.host}/ai/x:v1")[1][-1]["type"] == "success"
    (method, form, auth), = t.given
    assert method == "POST" and auth is None
    assert form == {"grant_type": ["refresh_token"], "service": ["the service"],
                    "client_id": ["modeld"], "refresh_token": ["refresh me"],
                    "scope": ["repository:ai/x:pull"]}


def test_a_token_that_expires_in_the_middle_is_replaced(liar, start, store):
    t = Tokens(liar)
    honest = t.lie

    def lie(h):
        if "/blobs/" in h.path and t.issued == 1 and h.headers.get("Authorization"):
            h.send(401, WWW_Authenticate=f'Bearer realm="http://{h.headers["Host"]}/token"')
            return True
        return honest(h)
    t.server.lie = lie
    modeld = start(store)
    assert pull(modeld, f"{t.server.host}/ai/x:v1")[1][-1]["type"] == "success"
    assert t.issued == 2


def test_the_requests_own_bearer_token(liar, start, store):
    def lie(h):
        if h.headers.get("Authorization") != "Bearer mine":
            h.send(401, WWW_Authenticate='Basic realm="x"')
            return True
    s = liar(lie=lie)
    s.add(small())
    modeld = start(store)
    ref = f"{s.host}/ai/x:v1"
    assert pull(modeld, ref)[0] == 401
    assert pull(modeld, ref, **{"bearer-token": "other"})[0] == 401
    assert pull(modeld, ref, **{"bearer-token": "a\r\nX: y"})[0] == 400
    assert pull(modeld, ref, **{"bearer-token": "mine"})[1][-1]["type"] == "success"


def test_a_token_server_that_refuses(liar, start, store):
    def lie(h):
        if h.path.startswith("/token"):
            h.send(401)
        else:
            h.send(401, WWW_Authenticate=f'Bearer realm="http://{h.headers["Host"]}/token"')
        return True
    s = liar(lie=lie)
    modeld = start(store)
    status, text = pull(modeld, f"{s.host}/ai/x:v1")
    assert status == 401 and "docker login" in text


def test_credentials_do_not_follow_a_token_servers_redirect(liar, start, store, tmp_path):
    elsewhere = liar(lie=lambda h: not h.send(200, b'{"token":"t"}'))

    def lie(h):
        if h.path.startswith("/token"):
            h.send(307, Location=f"http://127.0.0.1:{elsewhere.server_port}/token")
        else:
            h.send(401, WWW_Authenticate=f'Bearer realm="http://{h.headers["Host"]}/token"')
        return True
    s = liar(lie=lie)
    modeld = start(store, env=docker_config(tmp_path / "docker", **login(s.host)))
    status, text = pull(modeld, f"{s.host}/ai/x:v1")
    assert status == 500 and "credentials" in text
    assert elsewhere.asked == []


# ---- certificates ----

def certificate(folder, address):
    """A CA of its own, and a certificate for the address."""
    folder.mkdir(parents=True, exist_ok=True)
    for command in (
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test "
            "-keyout ca.key -out ca.pem",
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=registry "
            "-keyout key.pem -out csr.pem"):
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)
    (folder / "ext").write_text(f"subjectAltName=IP:{address},DNS:registry.test")
    subprocess.run("openssl x509 -req -in csr.pem -CA ca.pem -CAkey ca.key -CAcreateserial "
                   "-days 2 -extfile ext -out cert.pem".split(), cwd=folder, check=True,
                   capture_output=True)
    return folder


def test_tls_with_a_companys_authority(memory, start, store):
    """On a loopback address, where plain http is tried first."""
    folder = certificate(memory / "tls", "127.0.0.1")
    r = Registry(memory / "tls-registry", scheme="https", config={"http": {
        "tls": {"certificate": str(folder / "cert.pem"), "key": str(folder / "key.pem")}}})
    m = model(40 * MB, 1000, seed="tls")
    push(r.url, "ai/tls", "v1", m, verify=str(folder / "ca.pem"))
    ref = f"{r.host}/ai/tls:v1"
    modeld = start(store / "a")
    status, text = pull(modeld, ref)
    assert status == 500 and "certificate" in text and "SSL_CERT_FILE" in text, text
    modeld = start(store / "b", env={"SSL_CERT_FILE": str(folder / "ca.pem")})
    assert pull(modeld, ref)[1][-1]["type"] == "success"
    check_stored(store / "b", m)
    r.stop()


# ---- proxies ----

def in_net_with_proxy(memory, name, auth, test):
    """A registry on a private address, a tinyproxy on loopback, in their own network."""
    folder = memory / name
    folder.mkdir()

    def run():
        port = free_port()
        (folder / "tinyproxy.conf").write_text(
            f"Port {port}\nListen 127.0.0.1\nLogFile \"{folder}/proxy.log\"\nLogLevel Connect\n"
            f"PidFile \"{folder}/pid\"\n" + ("BasicAuth pu pw\n" if auth else "") +
            f"ConnectPort {tls_port[0] if tls_port else 443}\n")
        proxy = subprocess.Popen(["tinyproxy", "-d", "-c", str(folder / "tinyproxy.conf")],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            def up():
                with socket.socket() as s:
                    return s.connect_ex(("127.0.0.1", port)) == 0
            eventually(up)
            test(port, folder)
        finally:
            proxy.terminate()
            proxy.wait(60)
    tls_port = []
    return run, tls_port, folder


def test_through_a_proxy_with_a_password(memory, start, store):
    """Plain http through GET, and NO_PROXY; the proxy's log is the witness."""
    m = model(40 * MB, 1000, seed="proxy")

    def test(port, folder):
        r = Registry(folder / "registry", address="10.99.99.9")
        push(r.url, "ai/p", "v1", m)
        ref = f"{r.host}/ai/p:v1"
        log = folder / "proxy.log"
        insecure = ("--insecure-registry", "10.99.99.9")

        def seen():
            return log.read_text().count("10.99.99.9")
        modeld = start(store / "a", *insecure, env={
            "HTTP_PROXY": f"http://pu:pw@127.0.0.1:{port}"})
        assert pull(modeld, ref)[1][-1]["type"] == "success"
        check_stored(store / "a", m)
        n = seen()
        assert n > 0
        modeld = start(store / "b", *insecure, env={
            "HTTP_PROXY": f"http://pu:wrong@127.0.0.1:{port}"})
        status, text = pull(modeld, ref)
        assert status in (401, 500) and "pu" not in text
        n = seen()
        modeld = start(store / "c", *insecure, env={
            "HTTP_PROXY": f"http://pu:pw@127.0.0.1:{port}", "NO_PROXY": "10.0.0.0/8"})
        assert pull(modeld, ref)[1][-1]["type"] == "success"
        assert seen() == n
        r.stop()
    run, _, _ = in_net_with_proxy(memory, "proxy", True, test)
    in_own_net(run)


def test_tls_through_a_proxy(memory, start, store):
    """CONNECT, as for every registry outside."""
    m = model(2 * MB, seed="connect")
    tls = certificate(memory / "connect-tls", "10.99.99.9")

    def test(port, folder):
        log = folder / "proxy.log"
        push(r[0].url, "ai/p", "v1", m, verify=str(tls / "ca.pem"))
        modeld = start(store, env={"HTTPS_PROXY": f"http://pu:pw@127.0.0.1:{port}",
                                   "SSL_CERT_FILE": str(tls / "ca.pem")})
        assert pull(modeld, f"{r[0].host}/ai/p:v1")[1][-1]["type"] == "success"
        check_stored(store, m)
        assert "CONNECT 10.99.99.9" in log.read_text()
        r[0].stop()
    r = []
    run, tls_port, folder = in_net_with_proxy(memory, "connect", True, test)

    def both():
        r.append(Registry(folder / "registry", address="10.99.99.9", scheme="https", config={
            "http": {"tls": {"certificate": str(tls / "cert.pem"), "key": str(tls / "key.pem")}}}))
        tls_port.append(r[0].port)
        run()
    in_own_net(both)


# ---- mirrors ----

def test_mirrors_come_first_for_docker_io_and_the_next_one_when_one_fails(liar, start, store):
    m = small("mirror")
    broken = liar(lie=lambda h: not h.send(500))
    empty = liar()
    good = liar()
    good.add(m, name="ai/mirrored")
    mirrors = ",".join([f"http://{broken.host}", f"http://{empty.host}/",
                        f"http://{good.host}"])
    modeld = start(store, env={"MODEL_RUNNER_REGISTRY_MIRRORS": mirrors,
                               "DOCKER_HUB_USER": "u", "DOCKER_HUB_PASSWORD": "p"})
    assert pull(modeld, "mirrored:v1", **{"bearer-token": "secret"})[1][-1]["type"] == "success"
    check_stored(store, m, "docker.io/ai/mirrored:v1")
    for s in (broken, empty, good):
        assert s.asked and all(a is None for *_, a in s.asked)


def test_a_mirror_below_a_path(liar, start, store):
    m = small("path")

    def lie(h):
        if not h.path.startswith("/cache/hub/v2/"):
            return False
        h.path = h.path.replace("/cache/hub", "", 1)
        return False
    s = liar(lie=lie)
    s.add(m, name="ai/mirrored")
    modeld = start(store, "--registry-mirrors", f"http://{s.host}/cache/hub/")
    assert pull(modeld, "mirrored:v1")[1][-1]["type"] == "success"
    assert all(p.startswith("/cache/hub/v2/ai/mirrored/") for p in s.paths())


def test_mirrors_are_for_docker_io_only(liar, registry, start, store):
    mirror = liar()
    push(registry.url, "ai/direct", "v1", small("direct"))
    modeld = start(store, "--registry-mirrors", f"http://{mirror.host}")
    assert pull(modeld, f"{registry.host}/ai/direct:v1")[1][-1]["type"] == "success"
    assert mirror.asked == []
