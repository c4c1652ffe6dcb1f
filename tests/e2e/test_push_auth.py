"""Pushes to registries that want to know who asks (Basic, a token server that knows scopes, both
in front of Debian's real docker-registry), and over certificates and proxies."""

import base64
import http.server
import json
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse

import pytest

from push_fixtures import arrives, check_arrived, have, send, tag, uploads
from registry_fixtures import (Registry, check_stored, digest, free_port, memory, model, pull, push,
                               registry, store)
from test_pull_auth import (SECRET, USER, basic, certificate, docker_config, in_net_with_proxy,
                            login)
from test_pull_hostile import in_own_net
from test_push_hostile import sink, small

MB = 1 << 20


def test_basic_with_docker_config(basic, registry, start, store, tmp_path):
    env = docker_config(tmp_path / "docker", **login(basic.host))
    modeld = start(store / "a", env=env)
    ref = f"{basic.host}/me/pushed:v1"
    m = have(modeld, registry, ref, model(70 * MB, 100, seed="push basic"))
    arrives(modeld, ref)
    check_arrived(start, store / "b", ref, m, env=env)


@pytest.mark.parametrize("config", [{}, "wrong"])
def test_basic_without_the_right_ones_is_401_and_says_what_to_do(basic, registry, start, store,
                                                                 tmp_path, config):
    if config == "wrong":
        config = login(basic.host, secret="wrong")
    modeld = start(store, env=docker_config(tmp_path / "docker", **config))
    ref = f"{basic.host}/me/denied:v1"
    have(modeld, registry, ref, small("denied"))
    status, text = send(modeld, ref)
    assert status == 401 and text.startswith("Unauthorized")
    assert f"docker login {basic.host}" in text and SECRET not in text
    assert all(s == 401 for _, p, s, _ in basic.requests() if "me/denied" in p)


# ---- a token server ----

def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class TokenServer(http.server.ThreadingHTTPServer):
    """Signs what the registry believes: that this user may do these things for so long. Without
    credentials one may read; `rights` {repository: actions} says what USER may beyond."""

    daemon_threads = True

    def __init__(self, folder, rights, seconds=300):
        self.folder, self.rights, self.seconds = folder, rights, seconds
        self.given = []  # (scopes, Authorization)
        folder.mkdir()
        subprocess.run("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=tokens "
                       "-keyout key.pem -out cert.pem".split(), cwd=folder, check=True,
                       capture_output=True)
        subprocess.run("openssl x509 -in cert.pem -outform DER -out cert.der".split(), cwd=folder,
                       check=True, capture_output=True)
        super().__init__(("127.0.0.1", 0), TokenHandler)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.realm = f"http://127.0.0.1:{self.server_port}/token"

    def sign(self, access):
        head = {"typ": "JWT", "alg": "RS256",
                "x5c": [base64.b64encode((self.folder / "cert.der").read_bytes()).decode()]}
        now = int(time.time())
        claims = {"iss": "tests", "aud": "the service", "sub": USER, "exp": now + self.seconds,
                  "nbf": now - 10, "iat": now, "jti": str(len(self.given)), "access": access}
        text = b64(json.dumps(head).encode()) + "." + b64(json.dumps(claims).encode())
        signed = subprocess.run(["openssl", "dgst", "-sha256", "-sign",
                                 str(self.folder / "key.pem")], input=text.encode(),
                                capture_output=True, check=True).stdout
        return text + "." + b64(signed)


class TokenHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *a):
        pass

    def do_GET(self):
        s = self.server
        query = urllib.parse.parse_qs(self.path.partition("?")[2])
        auth = self.headers.get("Authorization")
        known = auth == "Basic " + base64.b64encode(f"{USER}:{SECRET}".encode()).decode()
        s.given.append((query.get("scope", []), auth))
        access = []
        for scope in query.get("scope", []):
            kind, name, actions = scope.split(":")
            allowed = s.rights.get(name, "pull").split(",") if known else ["pull"]
            access.append({"type": kind, "name": name,
                           "actions": [a for a in actions.split(",") if a in allowed]})
        body = json.dumps({"token": s.sign(access), "expires_in": s.seconds}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def tokens(memory, store):
    """The real registry with a token server."""
    made = []

    def make(rights, **kw):
        folder = store.parent / f"tokens{len(made)}"
        server = TokenServer(folder, rights, **kw)
        r = Registry(folder / "registry", config={"auth": {"token": {
            "realm": server.realm, "service": "the service", "issuer": "tests",
            "rootcertbundle": str(folder / "cert.pem")}}})
        r.tokens = server
        made.append(r)
        return r
    yield make
    for r in made:
        r.stop()
        r.tokens.shutdown()
        r.tokens.server_close()


def test_a_token_to_write_and_one_to_mount(tokens, registry, start, store, tmp_path):
    r = tokens({"me/one": "pull,push", "me/two": "pull,push"})
    env = docker_config(tmp_path / "docker", **login(r.host))
    modeld = start(store / "a", env=env)
    ref = f"{r.host}/me/one:v1"
    m = have(modeld, registry, ref, model(70 * MB, 100, seed="push tokens"))
    arrives(modeld, ref)
    assert [s for s, _ in r.tokens.given] == [["repository:me/one:pull,push"]]
    tag(modeld, ref, f"{r.host}/me/two:v1")
    before = len(r.requests())
    arrives(modeld, f"{r.host}/me/two:v1")
    sent = [(a, s) for a, _, s in uploads(r, before)]
    assert sent == [("POST", 201)] * 3 + [("PUT", 201)]
    assert r.tokens.given[-1][0] == ["repository:me/two:pull,push", "repository:me/one:pull"]
    # The token is kept for the next one.
    n = len(r.tokens.given)
    arrives(modeld, f"{r.host}/me/two:v1")
    assert len(r.tokens.given) == n
    check_arrived(start, store / "b", f"{r.host}/me/two:v1", m, env=env)


def test_who_may_only_read_is_told(tokens, registry, start, store, tmp_path):
    r = tokens({"me/one": "pull,push"})
    modeld = start(store / "a", env=docker_config(tmp_path / "docker", **login(r.host)))
    have(modeld, registry, f"{r.host}/you/theirs:v1", small("only read"))
    status, text = send(modeld, f"{r.host}/you/theirs:v1")
    assert status == 401 and f"docker login {r.host}" in text, text
    assert "you/theirs" in text
    modeld = start(store / "b", env=docker_config(tmp_path / "none"))
    have(modeld, registry, f"{r.host}/me/one:v1", small("only read"))
    status, text = send(modeld, f"{r.host}/me/one:v1")
    assert status == 401 and f"docker login {r.host}" in text, text
    assert not [1 for a, _, s in uploads(r) if s != 401]


def test_tokens_that_end_in_the_middle_are_replaced(sink, registry, start, store):
    """Each serves for three requests; a chunk that was refused is sent again."""
    def lie(h):
        if h.path.startswith("/token"):
            s.issued += 1
            s.uses = 0
            s.scopes = urllib.parse.parse_qs(h.path.partition("?")[2])["scope"]
            return h.send(200, json.dumps({"token": f"t{s.issued}"}).encode())
        s.uses += 1
        if h.headers.get("Authorization") != f"Bearer t{s.issued}" or s.uses > 3:
            h.drain()
            return h.send(401, WWW_Authenticate=f'Bearer realm="http://{s.host}/token",'
                          'scope="repository:me/x:pull"')
    s = sink(lie=lie)
    s.issued = s.uses = 0
    modeld = start(store)
    ref = f"{s.host}/me/x:v1"
    m = have(modeld, registry, ref, model(200 * MB, seed="push expires"))
    arrives(modeld, ref)
    assert s.has(m) and s.issued > 2
    assert s.scopes == ["repository:me/x:pull,push"]


def test_the_requests_own_bearer_token(sink, registry, start, store):
    def lie(h):
        if h.headers.get("Authorization") != "Bearer mine":
            h.drain()
            return h.send(401, WWW_Authenticate='Basic realm="x"')
    s = sink(lie=lie)
    modeld = start(store)
    ref = f"{s.host}/me/x:v1"
    m = have(modeld, registry, ref, small("bearer"))
    assert send(modeld, ref)[0] == 401
    assert send(modeld, ref, b'{"bearer-token":"other"}')[0] == 401
    arrives(modeld, ref, body=b'{"bearer-token":"mine"}')
    assert s.has(m)


# ---- Docker Hub ----

@pytest.fixture
def hub(sink, store):
    """What modeld takes for registry-1.docker.io: a proxy leads there, a CA vouches for it."""
    folder = store.parent / "hub"
    folder.mkdir()
    for command in ("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -keyout ca.key "
                    "-out ca.pem", "req -newkey rsa:2048 -nodes -subj /CN=hub -keyout key.pem "
                    "-out csr.pem"):
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)
    (folder / "ext").write_text("subjectAltName=DNS:registry-1.docker.io")
    subprocess.run("openssl x509 -req -in csr.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 "
                   "-extfile ext -out cert.pem".split(), cwd=folder, check=True,
                   capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    s = sink()
    proxy = socket.create_server(("127.0.0.1", 0))
    s.connected = []

    def serve(client):
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)
        s.connected.append(head.split(b" ")[1].decode())
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with context.wrap_socket(client, server_side=True) as tls:
            s.RequestHandlerClass(tls, ("127.0.0.1", 0), s)

    def accept():
        while True:
            try:
                client, _ = proxy.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(client,), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
    s.env = {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.getsockname()[1]}",
             "NO_PROXY": "127.0.0.1", "SSL_CERT_FILE": str(folder / "ca.pem")}
    yield s
    proxy.close()


def test_docker_hub_itself_and_no_mirror(hub, sink, registry, start, store):
    mirror = sink()
    modeld = start(store, env={**hub.env,
                               "MODEL_RUNNER_REGISTRY_MIRRORS": f"http://{mirror.host}"})
    m = have(modeld, registry, "docker.io/me/x:v1", small("hub"))
    arrives(modeld, "me/x:v1")
    assert hub.has(m)
    assert set(hub.connected) == {"registry-1.docker.io:443"} and mirror.asked == []


def test_a_name_without_an_own_namespace_is_told(hub, registry, start, store):
    hub.lie = lambda h: h.command == "POST" and h.refuse(403, "DENIED")
    modeld = start(store, env=hub.env)
    have(modeld, registry, "docker.io/ai/smol:v1", small("hub"))
    status, text = send(modeld, "smol:v1")
    assert status == 401 and "docker model tag smol YOU/smol" in text, text


# ---- certificates and proxies ----

def test_tls_with_a_companys_authority(memory, registry, start, store):
    folder = certificate(store.parent / "tls", "127.0.0.1")
    r = Registry(store.parent / "tls-registry", scheme="https", config={"http": {
        "tls": {"certificate": str(folder / "cert.pem"), "key": str(folder / "key.pem")}}})
    ref = f"{r.host}/me/tls:v1"
    modeld = start(store / "a")
    have(modeld, registry, ref, model(70 * MB, 1000, seed="push tls"))
    status, text = send(modeld, ref)
    assert status == 500 and "certificate" in text and "SSL_CERT_FILE" in text, text
    env = {"SSL_CERT_FILE": str(folder / "ca.pem")}
    modeld = start(store / "b", env=env)
    m = have(modeld, registry, ref, model(70 * MB, 1000, seed="push tls"))
    arrives(modeld, ref)
    check_arrived(start, store / "c", ref, m, env=env)
    r.stop()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_through_a_proxy_with_a_password(memory, start, store, scheme):
    m = model(70 * MB, 1000, seed="push proxy")
    tls = certificate(store.parent / "proxy-tls", "10.99.99.9")

    def test(port, folder):
        proxy = f"http://pu:pw@127.0.0.1:{port}"
        env = {"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy, "SSL_CERT_FILE": str(tls / "ca.pem"),
               "NO_PROXY": "127.0.0.1"}
        source = Registry(folder / "source")
        push(source.url, "ai/p", "v1", m)
        args = ("--insecure-registry", "10.99.99.9") if scheme == "http" else ()
        modeld = start(store / "a", *args, env=env)
        pull(modeld, f"{source.host}/ai/p:v1")
        ref = f"{r[0].host}/me/p:v1"
        tag(modeld, f"{source.host}/ai/p:v1", ref)
        arrives(modeld, ref)
        assert (folder / "proxy.log").read_text().count("10.99.99.9") > 0
        fresh = start(store / "b", *args, env=env)
        assert pull(fresh, ref)[1][-1]["type"] == "success"
        check_stored(store / "b", m, ref)
        source.stop()
    r = []
    run, tls_port, folder = in_net_with_proxy(memory, f"push-proxy-{scheme}", True, test)

    def both():
        config = {"http": {"tls": {"certificate": str(tls / "cert.pem"),
                                   "key": str(tls / "key.pem")}}} if scheme == "https" else {}
        r.append(Registry(folder / "registry", address="10.99.99.9", scheme=scheme, config=config))
        tls_port.append(r[0].port)
        run()
        r[0].stop()
    in_own_net(both)
