"""TLS: on the way in (curl, SDKs, the CLI, hostile clients), and to engines elsewhere."""

import hashlib
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import tempfile
import threading

import httpx
import openai
import pytest

from conftest import BUILD, EMBED, EMBED_GGUF, TEXT, Modeld, eventually
from host_fixtures import bare_host  # noqa: F401

NODE = pathlib.Path(__file__).parent / "node"
CHAT = {"messages": [{"role": "user", "content": "Say hi."}], "max_tokens": 4}


def run(*command, **kw):
    got = subprocess.run([str(c) for c in command], capture_output=True, text=True,
                         timeout=60, **kw)
    assert got.returncode == 0, got.stdout + got.stderr
    return got.stdout


def tls_port(m):
    return int(re.findall(r"127\.0\.0\.1:(\d+) tls=on", m.log())[-1])


def trusting(m):
    return ssl.create_default_context(cafile=str(m.certs / "ca.crt"))


def start_tls(start, tmp_path, *args, **kw):
    """A modeld with TLS, an empty store, and certificates in a folder of the test."""
    state = pathlib.Path(tempfile.mkdtemp(prefix="state-", dir=tmp_path))
    return marked(start(tmp_path / "store", "--tls-port", "0", *args,
                        env={"STATE_DIRECTORY": str(state)}, **kw), state)


def marked(m, state):
    m.certs = state / "certs"
    m.tls = tls_port(m)
    m.tls_url = f"https://localhost:{m.tls}"
    return m


@pytest.fixture
def tls(start, tmp_path):
    return start_tls(start, tmp_path)


@pytest.fixture(scope="module")
def served(models_store, tmp_path_factory):
    """A modeld with the real models and TLS."""
    folder = tmp_path_factory.mktemp("served")
    m = marked(Modeld(folder, models_store, "--tls-port", "0",
                      env={"STATE_DIRECTORY": str(folder)}), folder)
    yield m
    m.stop()


def connect(m, context=None, host="localhost", **kw):
    raw = socket.create_connection(("127.0.0.1", m.tls), timeout=60)
    return (context or trusting(m)).wrap_socket(raw, server_hostname=host, **kw)


# ---- clients ----

@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_curl_believes_the_local_authority(tls, host):
    got = run("curl", "-sS", "--cacert", tls.certs / "ca.crt",
              f"https://{host}:{tls.tls}/version")
    assert f"https://127.0.0.1:{tls.tls}" in json.loads(got)["listen"]


def test_curl_without_it_does_not(tls):
    got = subprocess.run(["curl", "-sS", tls.tls_url + "/version"], capture_output=True)
    assert got.returncode == 60  # the peer's certificate cannot be verified


def test_access_rules_are_those_of_the_plain_port(tls):
    http = httpx.Client(base_url=tls.tls_url, verify=trusting(tls))
    for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
        plain = tls.http.get("/models", headers=headers)
        got = http.get("/models", headers=headers)
        assert (got.status_code, got.text) == (plain.status_code, plain.text)
        assert got.status_code == 403


def test_the_openai_sdk(served):
    client = openai.OpenAI(
        base_url=served.tls_url + "/v1", api_key="x", max_retries=0,
        http_client=httpx.Client(verify=trusting(served)))
    whole = client.chat.completions.create(model=TEXT, temperature=0, **CHAT)
    assert whole.choices[0].message.content
    stream = client.chat.completions.create(model=TEXT, temperature=0, stream=True, **CHAT)
    text = "".join(c.choices[0].delta.content or "" for c in stream if c.choices)
    assert text == whole.choices[0].message.content
    stranger = openai.OpenAI(base_url=served.tls_url + "/v1", api_key="x", max_retries=0)
    with pytest.raises(openai.APIConnectionError):
        stranger.models.list()


def test_the_node_sdk(served):
    if not shutil.which("node") or not (NODE / "node_modules").exists():
        pytest.skip("node or its packages are missing: `make test` installs them")
    r = subprocess.run(
        ["node", "--test", "--test-name-pattern=/v1|aborted", "sdk.test.mjs"], cwd=NODE, capture_output=True, text=True,
        timeout=300, env={**os.environ, "MODELD_URL": served.tls_url, "TEXT_MODEL": TEXT,
                          "EMBED_MODEL": EMBED,
                          "NODE_EXTRA_CA_CERTS": str(served.certs / "ca.crt")})
    assert r.returncode == 0, r.stdout + r.stderr


def cli(*args, **env):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MODEL_RUNNER")}
    return subprocess.run([str(BUILD / "docker-model"), *args], env={**clean, **env},
                          capture_output=True, text=True, timeout=60)


def test_the_cli_by_its_variables(served, tmp_path):
    ca = str(served.certs / "ca.crt")
    host = f"localhost:{served.tls}"
    for env in ({"MODEL_RUNNER_HOST": f"https://{host}"},
                {"MODEL_RUNNER_HOST": host, "MODEL_RUNNER_TLS": "true"}):
        got = cli("list", MODEL_RUNNER_TLS_CA_CERT=ca, HOME=str(tmp_path), **env)
        assert got.returncode == 0 and "smollm2" in got.stdout, got.stderr
        got = cli("list", HOME=str(tmp_path), **env)
        assert got.returncode == 1
        assert "not from a CA that is trusted here" in got.stderr
        assert "MODEL_RUNNER_TLS_CA_CERT" in got.stderr
        got = cli("list", MODEL_RUNNER_TLS_SKIP_VERIFY="true", HOME=str(tmp_path), **env)
        assert got.returncode == 0 and "anybody can pose" in got.stderr
    got = cli("list", MODEL_RUNNER_TLS_CA_CERT="/nowhere", MODEL_RUNNER_HOST=f"https://{host}")
    assert got.returncode == 1 and "/nowhere" in got.stderr
    got = cli("list", MODEL_RUNNER_TLS="true", MODEL_RUNNER_HOST=served.url)
    assert got.returncode == 2 and "asks for TLS" in got.stderr


def test_a_large_upload_of_the_cli(tls):
    got = cli("package", "--gguf", str(EMBED_GGUF), "m", MODEL_RUNNER_HOST=tls.tls_url,
              MODEL_RUNNER_TLS_CA_CERT=str(tls.certs / "ca.crt"))
    assert got.returncode == 0, got.stderr
    blob = hashlib.sha256(EMBED_GGUF.read_bytes()).hexdigest()
    kept = list((tls.folder.parent / "store").rglob(blob))
    assert len(kept) == 1 and kept[0].stat().st_size == EMBED_GGUF.stat().st_size


def test_a_users_cli_finds_the_authority_of_that_users_modeld():
    """Without root: root's lies where a test must not write."""
    home = pathlib.Path(tempfile.mkdtemp(prefix="tls-home-"))
    somebody = {}
    if os.geteuid() == 0:
        os.chown(home, 65534, 65534)
        somebody = {"user": 65534, "group": 65534, "extra_groups": []}
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_RUNTIME_DIR": str(home)}
    r, w = os.pipe()
    log = open(home / "log", "wb")
    p = subprocess.Popen([BUILD / "modeld", "--port", "0", "--tls-port", "0", "--ready-fd",
                          str(w), "--socket", "off"],
                         env=env, stdout=log, stderr=log, pass_fds=[w], **somebody)
    os.close(w)
    try:
        assert os.read(r, 1) == b"\n", (home / "log").read_text()
        port = re.findall(r":(\d+) tls=on", (home / "log").read_text())[0]
        assert (home / ".docker/model-runner/certs/ca.crt").exists()
        got = subprocess.run(
            [BUILD / "docker-model", "list"], capture_output=True, text=True, timeout=60,
            env={**env, "MODEL_RUNNER_HOST": f"localhost:{port}", "MODEL_RUNNER_TLS": "1"},
            **somebody)
        assert got.returncode == 0, got.stderr
    finally:
        p.terminate()
        assert p.wait(60) == 0
        shutil.rmtree(home)


@pytest.fixture
def upstream():
    """serve(answer, tls=None) gives the port of a server whose every connection is
    `answer(socket, request)`."""
    sockets = []

    def serve(answer, context=None):
        listener = socket.create_server(("127.0.0.1", 0))
        sockets.append(listener)

        def each():
            while True:
                try:
                    s, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=one, args=(s,), daemon=True).start()

        def one(s):
            try:
                if context:
                    s = context.wrap_socket(s, server_side=True)
                request = b""
                while b"\r\n\r\n" not in request:
                    piece = s.recv(65536)
                    if not piece:
                        return
                    request += piece
                answer(s, request)
                s.close()
            except OSError:
                pass

        threading.Thread(target=each, daemon=True).start()
        return listener.getsockname()[1]

    yield serve
    for s in sockets:
        s.close()


def test_the_clis_key_goes_to_its_server_and_to_no_other(upstream):
    seen = []

    def answer(s, request):
        seen.append(request)
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]")

    port = upstream(answer)
    cli("list", MODEL_RUNNER_HOST=f"127.0.0.1:{port}", MODEL_RUNNER_API_KEY="sk-1")
    assert b"\r\nAuthorization: Bearer sk-1\r\n" in seen[-1]
    cli("list", "--openaiurl", f"http://127.0.0.1:{port}/v1", MODEL_RUNNER_API_KEY="sk-1")
    assert len(seen) > 1 and b"sk-1" not in seen[-1]
    got = cli("list", MODEL_RUNNER_HOST=f"127.0.0.1:{port}", MODEL_RUNNER_API_KEY="a\r\nb")
    assert got.returncode == 2


# ---- certificates ----

def serial(path):
    return run("openssl", "x509", "-noout", "-serial", "-in", path)


def test_the_authority_and_its_files(tls):
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in tls.certs.iterdir()}
    assert modes == {"ca.crt": 0o644, "ca.key": 0o600, "server.crt": 0o644,
                     "server.key": 0o600}
    ca, server = tls.certs / "ca.crt", tls.certs / "server.crt"
    run("openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", ca, server)
    text = run("openssl", "x509", "-noout", "-text", "-in", server)
    for name in ("DNS:localhost", "DNS:model-runner.docker.internal",
                 "DNS:host.docker.internal", "IP Address:127.0.0.1",
                 "IP Address:0:0:0:0:0:0:0:1"):
        assert name in text
    assert "prime256v1" in text
    # What clients trust lies beside the socket too.
    assert (tls.socket.parent / "ca.crt").read_bytes() == ca.read_bytes()


def again(m, start, tmp_path):
    """Ends it, and starts another with the same certificates."""
    m.stop()
    state = m.certs.parent
    return marked(start(tmp_path / "store", "--tls-port", "0",
                        env={"STATE_DIRECTORY": str(state)}), state)


def sign(folder, days, subject="DNS:localhost,DNS:model-runner.docker.internal,"
         "DNS:host.docker.internal,IP:127.0.0.1,IP:::1"):
    """Another server.crt by the authority of the folder."""
    run("openssl", "req", "-new", "-key", folder / "server.key", "-subj", "/CN=x",
        "-out", folder / "csr")
    (folder / "ext").write_text(
        f"subjectAltName={subject}\nauthorityKeyIdentifier=keyid\n"
        "subjectKeyIdentifier=hash\nkeyUsage=digitalSignature\n")
    run("openssl", "x509", "-req", "-in", folder / "csr", "-CA", folder / "ca.crt",
        "-CAkey", folder / "ca.key", "-days", str(days), "-extfile", folder / "ext",
        "-out", folder / "server.crt")


def test_certificates_are_made_once(tls, start, tmp_path):
    before = {p.name: p.read_bytes() for p in tls.certs.iterdir()}
    m = again(tls, start, tmp_path)
    assert {p.name: p.read_bytes() for p in m.certs.iterdir()} == before


@pytest.mark.parametrize("days, is_renewed", [(29, True), (31, False)])
def test_a_certificate_near_its_end_is_made_anew(tls, start, tmp_path, days, is_renewed):
    folder = tls.certs
    ca = serial(folder / "ca.crt")
    sign(folder, days)
    old = serial(folder / "server.crt")
    m = again(tls, start, tmp_path)
    assert (serial(folder / "server.crt") != old) == is_renewed
    assert serial(folder / "ca.crt") == ca
    with connect(m):
        pass


def test_so_is_one_that_lacks_a_name(tls, start, tmp_path):
    sign(tls.certs, 300, "DNS:localhost")
    m = again(tls, start, tmp_path)
    with connect(m, host="model-runner.docker.internal"):
        pass


@pytest.mark.parametrize("fault", ["old", "lost", "key", "cut"])
def test_an_authority_that_cannot_go_on_is_made_anew(tls, start, tmp_path, fault):
    folder = tls.certs
    old = serial(folder / "ca.crt")
    if fault == "old":
        run("openssl", "req", "-x509", "-key", folder / "ca.key", "-subj", "/CN=old",
            "-days", "20", "-out", folder / "ca.crt")
        old = serial(folder / "ca.crt")
        sign(folder, 300)
    elif fault == "lost":
        (folder / "ca.crt").unlink()
    elif fault == "key":
        run("openssl", "ecparam", "-genkey", "-name", "prime256v1", "-out", folder / "ca.key")
    else:
        (folder / "server.crt").write_text("-----BEGIN CERTIFICATE-----\nMIIB")
        (folder / "ca.crt").write_text("")
    m = again(tls, start, tmp_path)
    assert serial(folder / "ca.crt") != old
    assert "made a certificate authority" in m.log()
    with connect(m):
        pass


def self_signed(folder, name, days=300):
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout",
        folder / f"{name}.key", "-out", folder / f"{name}.crt", "-days", str(days),
        "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost")
    return folder / f"{name}.crt", folder / f"{name}.key"


def test_an_own_certificate_and_its_change_while_it_runs(start, tmp_path):
    cert, key = self_signed(tmp_path, "own")
    m = start(tmp_path / "store", "--tls-port", "0", "--tls-cert", str(cert), "--tls-key",
              str(key), env={"STATE_DIRECTORY": str(tmp_path / "never")})
    m.tls = tls_port(m)
    assert not (tmp_path / "never").exists()
    first = ssl.create_default_context(cafile=str(cert))
    kept = connect(m, first)
    old = kept.getpeercert(True)
    os.chmod(key, 0o644)
    self_signed(tmp_path, "next", days=5)
    second = ssl.create_default_context(cafile=str(tmp_path / "next.crt"))
    shutil.copy(tmp_path / "next.crt", cert)
    shutil.copyfile(tmp_path / "next.key", key)
    m.process.send_signal(signal.SIGHUP)
    eventually(lambda: "settings read again" in m.log())
    assert "the certificate expires soon" in m.log()
    assert "may read or change the key" in m.log()
    with connect(m, second) as s:
        assert s.getpeercert(True) != old
    # Who was connected goes on.
    kept.sendall(b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert kept.recv(100).startswith(b"HTTP/1.1 200")
    # A wrong one changes nothing.
    key.write_text("nonsense")
    m.process.send_signal(signal.SIGHUP)
    eventually(lambda: "settings not read again" in m.log())
    assert "holds no key of" in m.log()
    with connect(m, second):
        pass


def refused(tmp_path, *args, **env):
    got = subprocess.run(
        [str(BUILD / "modeld"), "--port", "0", "--socket", "off", "--store",
         str(tmp_path / "s"), *map(str, args)], capture_output=True, text=True, timeout=60,
        env={**os.environ, "STATE_DIRECTORY": str(tmp_path), **env})
    assert got.returncode in (1, 2)
    return got.stderr.strip().splitlines()[-1]


def test_settings_that_cannot_be_are_refused_in_words(tmp_path):
    cert, key = self_signed(tmp_path, "own")
    _, other = self_signed(tmp_path, "other")
    on = ("--tls-port", "0")
    assert "belong together" in refused(tmp_path, *on, "--tls-cert", cert)
    assert "holds no key of" in refused(tmp_path, *on, "--tls-cert", cert, "--tls-key", other)
    assert "holds no certificate" in refused(
        tmp_path, *on, "--tls-cert", key, "--tls-key", key)
    run("openssl", "rsa", "-aes128", "-passout", "pass:secret", "-in", key, "-out",
        tmp_path / "locked.key")
    assert "without a passphrase" in refused(
        tmp_path, *on, "--tls-cert", cert, "--tls-key", tmp_path / "locked.key")
    assert "MODEL_RUNNER_TLS_AUTO_CERT is off" in refused(
        tmp_path, *on, MODEL_RUNNER_TLS_AUTO_CERT="false")
    assert "neither true nor false" in refused(tmp_path, MODEL_RUNNER_TLS_ENABLED="maybe")
    assert "not a port" in refused(tmp_path, "--tls-port", "http")


def test_docker_model_runners_variables(start, tmp_path):
    probe = socket.create_server(("127.0.0.1", 0))
    port = probe.getsockname()[1]
    probe.close()
    env = {"STATE_DIRECTORY": str(tmp_path), "MODEL_RUNNER_TLS_PORT": str(port)}
    off = start(tmp_path / "store", env=env)
    assert "tls=on" not in off.log()
    on = start(tmp_path / "store", env={**env, "MODEL_RUNNER_TLS_ENABLED": "true"})
    assert tls_port(on) == port


def test_the_port_can_change_while_it_runs(start, tmp_path):
    m = start(tmp_path / "store", config={}, env={"STATE_DIRECTORY": str(tmp_path)})
    m.certs = tmp_path / "certs"
    m.config.write_text('{"tls_port": 0}')
    m.process.send_signal(signal.SIGHUP)
    eventually(lambda: "settings read again" in m.log())
    m.tls = tls_port(m)
    with connect(m):
        pass
    m.config.write_text("{}")
    m.process.send_signal(signal.SIGHUP)
    eventually(lambda: m.log().count("settings read again") == 2)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", m.tls))


def test_other_machines_come_in_by_tls_and_a_key_only(bare_host, tmp_path):
    h = bare_host
    far = h.lan()
    log, keys, ca = tmp_path / "log", tmp_path / "keys.json", tmp_path / "certs" / "ca.crt"
    key = run(BUILD / "docker-model", "key", "add", "me", "--file", keys).split()[-1]
    h.ready(BUILD / "modeld", "--port", "12434", "--tls-port", "12444", "--bind", "198.18.5.1",
            "--keys", keys, "--names", "gpu.lan", "--store", tmp_path / "s", "--socket",
            tmp_path / "m.sock", log=log, env={"STATE_DIRECTORY": str(tmp_path)})

    def ask(*args, where=far, code="200"):
        got = h.run(*where, "curl", "-sS", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}",
                    *args, check=False)
        assert got.stdout == code, got.stdout + got.stderr + log.read_text()

    models = "https://198.18.5.1:12444/v1/models"
    with_key = ("-H", f"Authorization: Bearer {key}")
    ask("--cacert", ca, *with_key, models)
    ask("--cacert", ca, models, code="401")
    ask("--cacert", ca, *with_key, "--resolve", "gpu.lan:12444:198.18.5.1",
        "https://gpu.lan:12444/v1/models")
    ask(*with_key, models, code="000")  # nobody vouches for it there
    # Plain HTTP does not leave the machine.
    ask(*with_key, "http://198.18.5.1:12434/v1/models", code="000")
    ask(*with_key, "http://127.0.0.1:12434/v1/models", where=())
    ask("--cacert", ca, *with_key, "https://localhost:12444/v1/models", where=())
    assert "plain text" not in log.read_text()


# ---- the protocol ----

def ask(s, text=b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n"):
    s.sendall(text)
    return s.recv(65536)


def test_the_end_of_an_answer_is_said_and_not_only_cut(tls):
    s = connect(tls, suppress_ragged_eofs=False)
    s.sendall(b"GET /version HTTP/1.0\r\nHost: localhost\r\n\r\n")
    got = b""
    while True:
        piece = s.recv(65536)  # raises SSLEOFError if the last word is missing
        if not piece:
            break
        got += piece
    assert got.startswith(b"HTTP/1.1 200") and got.endswith(b"}")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_only_modern_tls_is_spoken(tls):
    def shakes(**kw):
        context = trusting(tls)
        for name, value in kw.items():
            if callable(getattr(context, name)):
                getattr(context, name)(value)
            else:
                setattr(context, name, value)
        try:
            with connect(tls, context) as s:
                assert ask(s).startswith(b"HTTP/1.1 200")
                return s.version(), s.selected_alpn_protocol()
        except ssl.SSLError:
            return None

    v = ssl.TLSVersion
    assert shakes() == ("TLSv1.3", None)
    assert shakes(maximum_version=v.TLSv1_2) == ("TLSv1.2", None)
    assert shakes(set_alpn_protocols=["h2", "http/1.1"]) == ("TLSv1.3", "http/1.1")
    assert shakes(set_alpn_protocols=["h2"]) is None
    assert shakes(maximum_version=v.TLSv1_2, set_ciphers="AES128-GCM-SHA256:@SECLEVEL=0") is None
    assert shakes(maximum_version=v.TLSv1_2, set_ciphers="ECDHE+AES:-AESGCM:-AESCCM") is None
    old = "ALL:@SECLEVEL=0"
    assert shakes(minimum_version=v.TLSv1, maximum_version=v.TLSv1_1, set_ciphers=old) is None


def test_nobody_renegotiates(tls):
    got = subprocess.run(
        ["openssl", "s_client", "-connect", f"localhost:{tls.tls}", "-tls1_2", "-CAfile",
         str(tls.certs / "ca.crt")], input="R\n", capture_output=True, text=True, timeout=60)
    assert "Verify return code: 0 (ok)" in got.stdout
    assert "no renegotiation" in got.stderr
    assert tls.http.get("/version").status_code == 200


def hello(m):
    """The first flight of a real handshake."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    o = trusting(m).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        o.do_handshake()
    return outgoing.read()


def test_hostile_handshakes_end_and_harm_nobody(start, tmp_path):
    tls = start_tls(start, tmp_path, "--log-level", "debug")
    good = hello(tls)
    bad = [b"\x00", b"\x16\x03\x01\xff\xff" + b"x" * 70000, os.urandom(5000), b"\x80\x2e\x01",
           good[:10] + os.urandom(50) + good[60:], good + b"\x17\x03\x03\x00\x05hello",
           good + good, b"\x15\x03\x03\x00\x02\x02\x28", b"\x16\x03\x01\x00\x00" * 2000]
    for data in bad:
        s = socket.create_connection(("127.0.0.1", tls.tls), timeout=60)
        try:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            while s.recv(65536):
                pass
        except OSError as e:  # it may be over before we are
            assert not isinstance(e, TimeoutError)
        s.close()
    with connect(tls) as s:
        assert ask(s).startswith(b"HTTP/1.1 200")
    assert "tls over" in tls.log()
    assert not re.search(r" (warn|error) ", tls.log())


@pytest.mark.parametrize("request_line", [b"GET / HTTP/1.1", b"DELETE /models/x HTTP/1.1"])
def test_plain_http_on_the_tls_port_is_told_so(tls, request_line):
    s = socket.create_connection(("127.0.0.1", tls.tls), timeout=60)
    s.sendall(request_line + b"\r\nHost: localhost\r\n\r\n")
    got = b""
    while True:
        piece = s.recv(65536)
        if not piece:
            break
        got += piece
    assert got.startswith(b"HTTP/1.1 400 ") and b"https://" in got


def test_tls_on_the_plain_port_is_refused(tls):
    s = socket.create_connection(("127.0.0.1", tls.port), timeout=60)
    with pytest.raises(ssl.SSLError):
        trusting(tls).wrap_socket(s, server_hostname="localhost")


def test_half_open_handshakes_leave_room_for_others_and_end(tls):
    part = hello(tls)[:100]
    before = tls.rss_kib()
    many = []
    for _ in range(800):
        s = socket.create_connection(("127.0.0.1", tls.tls), timeout=60)
        s.sendall(part)
        many.append(s)
    with connect(tls) as s:
        assert ask(s).startswith(b"HTTP/1.1 200")
    assert tls.rss_kib() - before < 800 * 128
    # All are closed by modeld when their time is over.
    for s in many:
        try:
            assert s.recv(100) == b""
        except ConnectionError:
            pass
        s.close()


def test_a_slow_reader_gets_all_of_a_large_answer(upstream, start, tmp_path):
    size = 48 << 20
    block = hashlib.sha256(b"block").digest() * 2048  # 64 KiB

    sent = []
    stuck = threading.Event()

    def answer(s, request):
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // len(block)):
            if not select.select([], [s], [], 1)[1]:
                stuck.set()  # nobody took anything for a second
            s.sendall(block)
            sent.append(len(block))

    port = upstream(answer)
    m = start_tls(start, tmp_path, config={"engines": {"big": {
        "kind": "openai", "url": f"http://127.0.0.1:{port}/v1"}}})
    body = json.dumps({"model": "x", "messages": []}).encode()
    before = m.rss_kib()
    s = connect(m)
    s.settimeout(60)
    s.sendall(b"POST /engines/big/v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
              b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    head = s.recv(200)
    assert head.startswith(b"HTTP/1.1 200"), head
    got = head
    while b"\r\n\r\n" not in got:
        got += s.recv(200)
    # The sockets' buffers fill, and modeld must not take the rest.
    assert stuck.wait(60)
    assert sum(sent) < size // 2
    assert m.rss_kib() - before < 24 << 10
    digest = hashlib.sha256()
    piece = got.partition(b"\r\n\r\n")[2]
    n = 0
    while True:
        digest.update(piece)
        n += len(piece)
        if n >= size:
            break
        piece = s.recv(65536)
        assert piece, f"ended after {n} bytes"
    assert n == size
    assert digest.hexdigest() == hashlib.sha256(block * (size // len(block))).hexdigest()


# ---- engines by https ----

def chat(m, engine, **kw):
    return m.http.post(f"/engines/{engine}/v1/chat/completions",
                       json={"model": TEXT, **CHAT, **kw})


def test_a_modeld_with_tls_is_an_engine(served, start, tmp_path):
    url = f"https://localhost:{served.tls}/v1"
    ca = str(served.certs / "ca.crt")
    self_signed(tmp_path, "other")
    m = start(tmp_path / "store", config={"engines": {
        "good": {"kind": "openai", "url": url, "ca_file": ca, "models": [TEXT]},
        "strange": {"kind": "openai", "url": url},
        "wrong": {"kind": "openai", "url": url, "ca_file": str(tmp_path / "other.crt")},
        "any": {"kind": "openai", "url": url, "tls_skip_verify": True},
        "plain": {"kind": "openai", "url": f"https://127.0.0.1:{served.port}/v1",
                  "ca_file": ca}}})
    assert "anybody can pose as this engine" in m.log()
    for name in ("good", "any"):
        got = chat(m, name)
        assert got.status_code == 200 and got.json()["choices"], got.text
    with m.http.stream("POST", "/v1/chat/completions",
                       json={"model": TEXT, "stream": True, **CHAT}) as r:
        assert "data: [DONE]" in "".join(r.iter_text())
    for name in ("strange", "wrong"):
        got = chat(m, name)
        assert got.status_code == 502
        assert "not from a CA that is trusted here" in got.json()["error"]["message"]
    got = chat(m, "plain")
    assert got.status_code == 502 and "not TLS" in got.json()["error"]["message"]


@pytest.mark.parametrize("change, words", [
    ({"ca_file": "/nowhere"}, "/nowhere"),
    ({"url": "http://127.0.0.1:9/v1", "ca_file": "/x"}, "are for https"),
    ({"tls_skip_verify": "yes"}, "must be true or false"),
])
def test_wrong_tls_settings_of_an_engine_are_refused(tmp_path, change, words):
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"engines": {"e": {
        "kind": "openai", "url": "https://127.0.0.1:9/v1", **change}}}))
    assert words in refused(tmp_path, "--config", config)


@pytest.mark.parametrize("says_end", [True, False])
def test_an_answer_that_was_cut_is_not_taken_for_whole(start, upstream, tmp_path, says_end):
    cert, key = self_signed(tmp_path, "engine")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)

    def answer(s, request):
        # Its end is the connection's.
        s.sendall(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"half":')
        if says_end:
            s.sendall(b"1}")
            s.unwrap()

    port = upstream(answer, context)
    m = start(tmp_path / "store", config={"engines": {"e": {
        "kind": "openai", "url": f"https://localhost:{port}/v1", "ca_file": str(cert)}}})
    if says_end:
        assert chat(m, "e").json() == {"half": 1}
    else:
        with pytest.raises(httpx.RemoteProtocolError):
            chat(m, "e")
