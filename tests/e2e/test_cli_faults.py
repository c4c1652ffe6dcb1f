"""docker-model against a server that makes the faults that modeld will not, and the
things that need no server at all."""

import json
import os
import re
import signal
import socket
import subprocess
import time

import pexpect
import pytest

from cli_fixtures import CLI, DONE, STOP, Cli, delta, environment, fake_server

ID = "sha256:" + "c9afe2c93692a191d5d3505df3c134f38d8551cdcd5b01bbe9e291b11c4c024a"
CHAT = "POST /engines/v1/chat/completions"


def model(*tags, id=ID, **config):
    return {"id": id, "tags": list(tags), "created": int(time.time()) - 3 * 86400,
            "config": {"format": "gguf", "quantization": "MOSTLY_Q4_1", "parameters": "134.52M",
                       "architecture": "llama", "size": "92.10MiB",
                       "gguf": {"llama.context_length": "8192"}, **config}}


@pytest.fixture
def against(tmp_path):
    """against(routes) gives (cli, server)."""
    open_servers = []

    def begin(routes, **env):
        context = fake_server(routes)
        open_servers.append(context)
        server = context.__enter__()
        return Cli(tmp_path, server.url, **env), server

    yield begin
    for s in open_servers:
        s.__exit__(None, None, None)


@pytest.fixture
def alone(tmp_path):
    """No server: a socket that nobody made."""
    return Cli(tmp_path, None, MODEL_RUNNER_SOCK=str(tmp_path / "none.sock"))


# ---- usage ----

def test_help_is_the_same_however_it_is_asked_for(alone):
    page = alone.out("help")
    assert page == alone.out() == alone.out("--help") == alone.out("model", "-h")
    assert "\n  run " in page
    assert alone.out("list", "--help") == alone.out("help", "ls") == alone.out("ls", "-h")


def test_wrong_usage_is_exit_status_2(alone):
    assert "did you mean 'list'" in alone.err("lisst", status=2)
    assert "--frob" in alone.err("list", "--frob", status=2)
    assert "needs 2 arguments (SOURCE TARGET), not 1" in alone.err("tag", "x", status=2)
    assert "exclude each other" in alone.err("list", "--json", "-q", status=2)
    assert "--gguf" in alone.err("package", "x", status=2)
    assert "either models to unload or --all" in alone.err("unload", status=2)
    assert "nothing to ask" in alone.err("run", "m", status=2)
    assert "csh" in alone.err("completion", "csh", status=2)


def test_without_a_server_every_command_says_what_to_do(alone, tmp_path):
    gguf = tmp_path / "x.gguf"
    gguf.write_bytes(b"GGUF")
    for args in (["list"], ["ps"], ["df"], ["logs"], ["inspect", "x"], ["rm", "x"],
                 ["tag", "x", "y"], ["unload", "x"], ["run", "x", "hi"], ["run", "-d", "x"],
                 ["package", "--gguf", str(gguf), "x"]):
        line = alone.err(*args)
        assert "modeld is not running" in line and "systemctl start modeld" in line, args
    assert " Version:    (not reachable)\n" in alone.out("version")


def test_status_of_no_server(alone):
    r = alone.run("status")
    assert r.returncode == 1 and r.stdout == b"Docker Model Runner is not running\n"
    assert b"modeld is not running" in r.stderr
    r = alone.run("status", "--json")
    assert r.returncode == 1 and json.loads(r.stdout)["running"] is False


# ---- finding the server ----

def unix_server(path):
    s = socket.socket(socket.AF_UNIX)
    s.bind(str(path))
    s.listen()
    return s


def test_a_named_socket_is_spoken_to(tmp_path):
    path = tmp_path / "m.sock"
    with unix_server(path) as s:
        cli = Cli(tmp_path, None, MODEL_RUNNER_SOCK=str(path))
        p = subprocess.Popen([CLI, "version"], env=cli.env, stdout=subprocess.PIPE)
        s.settimeout(60)
        with s.accept()[0] as c:
            head = c.recv(10000)
            assert head.startswith(b"GET /version HTTP/1.1\r\n")
            assert b"User-Agent: docker-model-cli/" in head
            c.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n{"version":"9.9.9"}')
        out = p.communicate(timeout=60)[0].decode()
    assert out.endswith("Server:\n Version:    9.9.9\n Engine:     Docker Engine\n")


@pytest.mark.parametrize("host", ["ftp://x", "http://", "unix:", "https://localhost:1"])
def test_a_host_that_cannot_be_used_is_named(tmp_path, host):
    assert "MODEL_RUNNER_HOST" in Cli(tmp_path, host).err("list")


def test_tls_that_is_asked_for_is_not_left_out(tmp_path, against):
    _, server = against({"GET /models": []})
    # What answers there speaks no TLS.
    host = server.url.removeprefix("http://")
    assert "what answers there is not TLS" in Cli(tmp_path, host, MODEL_RUNNER_TLS="true").err("ls")


def test_nobody_at_the_named_host(tmp_path):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    line = Cli(tmp_path, f"127.0.0.1:{port}").err("list")
    assert "modeld is not running at" in line and "connection refused" in line
    assert "unset MODEL_RUNNER_HOST" in line


def test_a_host_may_have_a_path(against, tmp_path):
    _, server = against({"GET /base/version": {"version": "7"}})
    out = Cli(tmp_path, server.url + "/base/").out("version")
    assert " Version:    7\n Engine:     Docker Engine (Manual Install)\n" in out


# ---- what servers do wrong ----

def answer(raw):
    """A route that sends these bytes and hangs up."""
    def fn(h):
        h.wfile.write(raw)
        h.close_connection = True
    return fn


@pytest.mark.parametrize("raw,says", [
    (b"", "no answer that could be read"),
    (b"SSH-2.0-OpenSSH\r\n", "no answer that could be read"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[]", "in the middle of the answer"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[}", "the JSON is wrong"),
    (b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "answered 500 and no more"),
    (b"HTTP/1.1 500 Oops\r\nContent-Length: 5\r\n\r\nboom\n", "boom"),
    (b'HTTP/1.1 403 No\r\nContent-Length: 31\r\n\r\n{"error":{"message":"not you."}}'[:-1],
     "not you"),
    (b'HTTP/1.1 503 No\r\nContent-Length: 20\r\n\r\n{"error":"not \x1b[2Jme"}'[:-1], "not"),
])
def test_a_bad_answer_is_one_clear_line(against, raw, says):
    cli, _ = against({"GET /models": answer(raw)})
    line = cli.err("list")
    assert says in line and "\x1b" not in line


@pytest.mark.parametrize("body", [b"{}", b"[7]", b'[{"id":7,"tags":"x","config":[]}]', b"null",
                                  b'[{"tags":[7,null]}]'])
def test_json_of_another_shape_does_no_harm(against, body):
    cli, _ = against({"GET /models": body, "GET /engines/ps": body, "GET /engines/df": body,
                      "GET /engines/status": body, "GET /version": body,
                      "GET /engines/v1/models": body})
    for args in (["list"], ["list", "-q"], ["list", "--json"], ["list", "--openai"], ["ps"],
                 ["df"], ["status"], ["status", "--json"], ["version"], ["list", "x"]):
        r = cli.run(*args)
        assert r.returncode in (0, 1) and b"Sanitizer" not in r.stderr, (args, r)


def test_a_missing_model_is_one_clear_line(against):
    cli, _ = against({})
    for args in (["inspect", "nope"], ["rm", "nope"]):
        line = cli.err(*args)
        assert "no such model: nope" in line and "docker model list" in line


# ---- tables ----

def test_list_is_in_dockers_format(against):
    cli, _ = against({"GET /models": [
        model("docker.io/ai/smollm2:latest", "docker.io/ai/smollm2:135M-Q4_1"),
        model("docker.io/myorg/x:v1", id="sha256:" + 64 * "d", context_size=777),
        {"id": "sha256:" + 64 * "e", "created": 0, "config": {}}]})
    assert cli.out("list").splitlines() == [
        "MODEL NAME         PARAMETERS  QUANTIZATION  ARCHITECTURE  MODEL ID      "
        "CREATED     CONTEXT  SIZE      ",
        "<none>                                                     eeeeeeeeeeee  "
        "N/A                            ",
        "myorg/x:v1         134.52M     MOSTLY_Q4_1   llama         dddddddddddd  "
        "3 days ago  777      92.10MiB  ",
        "smollm2            134.52M     MOSTLY_Q4_1   llama         c9afe2c93692  "
        "3 days ago  8192     92.10MiB  ",
        "smollm2:135M-Q4_1  134.52M     MOSTLY_Q4_1   llama         c9afe2c93692  "
        "3 days ago  8192     92.10MiB  "]
    assert cli.out("ls", "-q").split() == ["c9afe2c93692", "d" * 12, "e" * 12]


@pytest.mark.parametrize("typed,shown", [
    ("smollm2", ["smollm2", "smollm2:135M-Q4_1"]), ("smollm2:latest", ["smollm2"]),
    ("ai/SmolLM2", ["smollm2", "smollm2:135M-Q4_1"]), ("smollm2:135M-Q4_1", ["smollm2:135M-Q4_1"]),
    ("c9afe2c93692", ["smollm2", "smollm2:135M-Q4_1"]), ("nope", []), ("", [])])
def test_list_finds_a_model_by_its_ordinary_name(against, typed, shown):
    cli, _ = against({"GET /models": [
        model("docker.io/ai/smollm2:latest", "docker.io/ai/smollm2:135M-Q4_1"),
        model("docker.io/ai/other:latest", id="sha256:" + 64 * "d")]})
    assert [line.split()[0] for line in cli.out("list", typed).splitlines()[1:]] == shown


def test_a_reader_that_stops_ends_it_quietly(against):
    """`docker model list | head -1`"""
    cli, _ = against({"GET /models": [model(f"docker.io/ai/m{i}:latest") for i in range(20000)]})
    p = subprocess.Popen([CLI, "list"], env=cli.env, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE)
    assert p.stdout.readline().startswith(b"MODEL NAME")
    p.stdout.close()
    assert p.stderr.read() == b""
    assert p.wait(60) == -signal.SIGPIPE


def test_a_full_disk_is_told(against):
    cli, _ = against({"GET /models": [model("docker.io/ai/x:latest")]})
    with open("/dev/full", "wb") as full:
        p = subprocess.run([CLI, "list"], env=cli.env, stdout=full, stderr=subprocess.PIPE)
    assert p.returncode == 1 and b"could not be written" in p.stderr


def test_ps_tells_how_long_a_model_stays(against):
    def at(seconds):
        return time.strftime("%Y-%m-%dT%H:%M:%S.123456789Z", time.gmtime(time.time() + seconds))
    row = {"backend_name": "llama.cpp", "mode": "completion", "last_used": at(0)}
    cli, _ = against({"GET /engines/ps": [
        {**row, "model_name": "docker.io/ai/a:latest"},
        {**row, "model_name": ID, "keep_alive": "1h0m0s"},
        {**row, "model_name": "c", "keep_alive": "-1"},
        {**row, "model_name": "d", "loading": True},
        {**row, "model_name": "e", "in_use": True, "last_used": "0001-01-01T00:00:00Z"},
        {**row, "model_name": "f", "last_used": at(-400)}]})
    lines = [re.split(r"  +", line.strip()) for line in cli.out("ps").splitlines()]
    shown = {cells[0]: cells[-1] for cells in lines}
    assert shown.pop("MODEL NAME") == "UNTIL"
    assert shown.pop("a") in ("4 minutes from now", "5 minutes from now")
    assert shown == {"c9afe2c93692": "About an hour from now", "c": "Forever",
                     "d": "Loading...", "e": "In use", "f": "Expiring"}


def test_df_and_status_in_dockers_format(against):
    cli, server = against({
        "GET /engines/df": {"models_disk_usage": 42, "default_backend_disk_usage": 19080000},
        "GET /version": {"version": "1", "listen": ["http://127.0.0.1:7", "unix:/x"]},
        "GET /engines/status": {"vllm": "Not Installed: binary not found",
                                "llama.cpp": "Running: llama.cpp unknown", "mlx": "Installing"}})
    assert cli.out("df") == ("TYPE              SIZE     \n"
                             "Models            42.00B   \n"
                             "Inference engine  19.08MB  \n")
    assert cli.out("status") == (
        "Docker Model Runner is running\n\n"
        "BACKEND    STATUS         DETAILS            \n"
        "llama.cpp  Running        llama.cpp unknown  \n"
        "vllm       Not Installed  binary not found   \n"
        "mlx        Installing                        \n\n"
        f"OpenAI API:    {server.url}/v1\n\n"
        "WAY IN  URL                 STATE      \n"
        "host    http://127.0.0.1:7  listening  \n"
        "socket  unix:/x             listening  \n")
    assert json.loads(cli.out("status", "--json")) == {
        "running": True, "kind": "Docker Engine (Manual Install)",
        "backends": {"vllm": "Not Installed: binary not found",
                     "llama.cpp": "Running: llama.cpp unknown", "mlx": "Installing"},
        "endpoint": server.url + "/v1/", "endpointHost": server.url + "/v1/",
        "ways": [{"way": "host", "url": "http://127.0.0.1:7", "state": "listening"},
                 {"way": "socket", "url": "unix:/x", "state": "listening"}]}


def test_names_are_escaped_and_cannot_steer_the_request(against):
    cli, server = against({})
    cli.err("inspect", "../x?y#z %41\r\nHost: evil")
    assert server.seen[-1][1] == "/models/../x%3Fy%23z%20%2541%0D%0AHost:%20evil"


def test_tag_and_rm_and_unload(against):
    cli, server = against({
        "POST /models/s/tag": {"message": "ok"},
        "DELETE /models/s": [{"Untagged": "docker.io/ai/s:latest"}, {"Deleted": ID}],
        "POST /engines/unload": {"unloaded_runners": 2}})
    assert cli.out("tag", "s", "MyOrg/x:V2") == 'Model "s" tagged successfully with "MyOrg/x:V2"\n'
    assert server.seen[-1][1] == "/models/s/tag?repo=docker.io/myorg/x&tag=V2"
    assert "a name is needed" in cli.err("tag", "s", "c9afe2c93692")
    assert cli.out("rm", "-f", "s") == f"Untagged: docker.io/ai/s:latest\nDeleted: {ID}\n"
    assert server.seen[-1][1] == "/models/s?force=true"
    assert cli.out("stop", "a", "b", "--backend", "vllm") == "Unloaded 2 model(s).\n"
    assert json.loads(server.seen[-1][3]) == {"all": False, "backend": "vllm", "models": ["a", "b"]}
    server.routes["POST /engines/unload"] = {"unloaded_runners": 0}
    assert cli.out("unload", "--all") == "No models are running.\n"
    assert "No such model(s) running" in cli.err("unload", "a")


def test_a_conflict_names_the_way_out(against):
    cli, _ = against({"DELETE /models/c9afe2c93692": lambda h: h.reply(
        409, b"error while deleting model: unable to delete (must be forced)\n", "text/plain")})
    line = cli.err("rm", "c9afe2c93692")
    assert "must be forced" in line and "--force" in line


def test_logs_are_shown_as_they_come(against):
    cli, server = against({"GET /logs": lambda h: h.stream(b"one\n", b"two\x1b[2J\n")})
    assert cli.run("logs", "-f", "--no-engines").stdout == b"one\ntwo\x1b[2J\n"
    assert server.seen[-1][1] == "/logs?follow=true&no-engines=true"
    t = cli.terminal("logs")
    t.expect("one\r\ntwo\\[2J\r\n")  # a terminal gets no control characters


# ---- run ----

def test_one_answer_streams(against):
    cli, server = against({CHAT: lambda h: h.stream(delta("Gr"), delta("üß"), STOP, DONE)})
    assert cli.out("run", "m", "say", "hi", "--temperature", ".5", "--max-tokens=9", "--seed",
                   "12345678901234567", "--system", 'be "brief"') == "Grüß\n"
    assert json.loads(server.seen[-1][3]) == {
        "model": "m", "stream": True, "temperature": 0.5, "max_tokens": 9,
        "seed": 12345678901234567, "messages": [
            {"role": "system", "content": 'be "brief"'}, {"role": "user", "content": "say hi"}]}


def test_stdin_is_part_of_the_prompt_unless_it_is_empty(against):
    """Docker Model Runner adds two newlines for an empty stdin."""
    cli, server = against({CHAT: lambda h: h.stream(delta("x"), STOP, DONE)})

    def said():
        return json.loads(server.seen[-1][3])["messages"][0]["content"]
    cli.out("run", "m", "sum up:", text=b"a\nb\xff\n")
    assert said() == "sum up:\n\na\nb\ufffd\n"
    cli.out("run", "m", text=b"only this")
    assert said() == "only this"
    cli.out("run", "m", "hi", text=b"")
    assert said() == "hi"
    assert "nothing to ask" in cli.err("run", "m", text=b"", status=2)


def test_reasoning_is_set_apart(against):
    cli, _ = against({CHAT: lambda h: h.stream(
        delta(None, reasoning_content="hm"), delta("42"), STOP, DONE)})
    assert cli.out("run", "m", "x") == "Thinking:\nhm\n\n--\n\n42\n"


@pytest.mark.parametrize("pieces,end,says", [
    ([delta("ab"), {"error": {"message": "the engine died"}}, DONE], True, "the engine died"),
    ([delta("ab")], False, "in the middle of the answer"),
    ([delta("ab")], True, "broke off before its end"),
    ([delta("ab"), b"data: {\n\n"], True, "the answer's stream"),
])
def test_an_answer_that_fails_midway_is_told(against, pieces, end, says):
    cli, _ = against({CHAT: lambda h: h.stream(*pieces, end=end)})
    r = cli.run("run", "m", "x")
    assert r.returncode == 1 and r.stdout == b"ab\n" and says in r.stderr.decode()


def test_detach_only_loads(against):
    cli, server = against({CHAT: b""})
    assert cli.out("run", "-d", "m") == ""
    assert server.seen[-1][2]["X-Preload-Only"] == "true"


def test_another_openai_server(against):
    cli, server = against({
        "POST /v1/chat/completions": lambda h: h.stream(delta("x"), STOP, DONE),
        "GET /v1/models": {"object": "list", "data": [{"id": "gpt", "created": 0}]}},
)
    cli.env["MODEL_RUNNER_HOST"] = "http://127.0.0.1:1"  # not asked
    url = server.url + "/v1"
    assert cli.out("run", "--openaiurl", url, "m", "hi") == "x\n"
    assert cli.out("list", "--openaiurl", url) == "MODEL NAME  CREATED  \ngpt         N/A      \n"
    url = url.replace("http:", "https:")
    assert "what answers there is not TLS" in cli.err("list", "--openaiurl", url)


# ---- run, with a person ----

def chat_routes(reply):
    return {CHAT: reply, "GET /engines/v1/models/m": {"id": "m"}}


def echo(h):
    """Answers with the roles and texts that it was sent."""
    if h.headers.get("X-Preload-Only"):
        h.reply(200, b"")
        return
    said = [m["role"][0] + ":" + m["content"] for m in json.loads(h.body)["messages"]]
    h.stream(delta("<" + "|".join(said) + ">"), STOP, DONE)


def test_a_chat_remembers_and_forgets(against):
    cli, server = against(chat_routes(echo))
    t = cli.terminal("run", "m")
    t.expect("> ")
    t.send("hi\r")
    t.expect("<u:hi>")
    t.expect("> ")
    t.send("you\r")
    t.expect(r"<u:hi\|a:<u:hi>\|u:you>")
    t.expect("> ")
    t.send("/clear\r")
    t.expect("Forgot")
    t.expect("> ")
    t.send("/set system be brief\r")
    t.expect("Set system message.")
    t.expect("> ")
    t.send('"""\r')
    t.expect(r"\. ")
    t.send("one\r")
    t.expect(r"\. ")
    t.send('two"""\r')
    t.expect("<s:be brief\\|u:\r\none\r\ntwo>")
    t.expect("> ")
    t.send("/frob\r")
    t.expect("Unknown command '/frob'")
    t.expect("> ")
    t.send("/?\r")
    t.expect("/set system TEXT")
    t.expect("> ")
    t.send("/bye\r")
    t.wait()
    assert t.exitstatus == 0


def test_pasted_lines_are_one_message(against):
    cli, server = against(chat_routes(echo))
    t = cli.terminal("run", "m")
    t.expect("> ")
    t.send("int main()\r{\r/* */\r}\r")
    t.expect(r"<u:int main\(\)\r\n\{\r\n/\* \*/\r\n\}>")
    t.expect("> ")
    t.sendeof()
    t.wait()
    assert t.exitstatus == 0


def test_history_outlives_the_chat_and_can_be_off(against, tmp_path):
    cli, _ = against(chat_routes(echo))
    history = tmp_path / ".docker" / "model" / "history"
    t = cli.terminal("run", "m")
    t.expect("> ")
    t.send("grüß\r")
    t.expect("<u:grüß>")
    t.expect("> ")
    t.send("/bye\r")
    t.wait()
    assert history.read_text() == "grüß\n/bye\n"
    assert history.stat().st_mode & 0o777 == 0o600
    t = cli.terminal("run", "m", env={"DOCKER_MODEL_NOHISTORY": "1"})
    t.expect("> ")
    t.send("secret\r")
    t.expect("<u:secret>")
    t.expect("> ")
    t.sendeof()
    t.wait()
    assert history.read_text() == "grüß\n/bye\n"
    t = cli.terminal("run", "m")
    t.expect("> ")
    t.send("\x1b[A\x1b[A\r")  # up, up
    t.expect("<u:grüß>")
    t.close()


SLOW_TERMINAL = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <termios.h>
#include <unistd.h>

int tcsetattr(int fd, int when, const struct termios *t)
{
	int (*set)(int, int, const struct termios *) = dlsym(RTLD_NEXT, "tcsetattr");
	usleep(300000);
	return set(fd, when, t);
}
"""


def test_an_end_typed_as_soon_as_the_prompt_is_there_is_one(against, tmp_path):
    """A terminal that still gives whole lines would swallow it."""
    (tmp_path / "slow.c").write_text(SLOW_TERMINAL)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "slow.so", tmp_path / "slow.c"],
                   check=True)
    cli, _ = against(chat_routes(echo))
    t = cli.terminal("run", "m", env={"LD_PRELOAD": str(tmp_path / "slow.so"),
                                      "ASAN_OPTIONS": "verify_asan_link_order=0"})
    for said in ("one", "two"):
        t.expect("> ")
        t.send(f"{said}\r")
        t.expect(f"u:{said}>")
    t.expect("> ")
    t.sendeof()
    t.expect(pexpect.EOF)
    t.close()
    assert t.exitstatus == 0


def test_ctrl_c_stops_the_answer_and_not_the_program(against):
    cut = []

    def slow(h):
        if h.headers.get("X-Preload-Only"):
            h.reply(200, b"")
            return
        if b"second" in h.body:
            echo(h)
            return
        h.stream(delta("thinking of it"), end=False)
        h.wfile.flush()
        h.connection.settimeout(60)
        cut.append(h.connection.recv(1) == b"")

    cli, _ = against(chat_routes(slow))
    t = cli.terminal("run", "m")
    t.expect("> ")
    t.send("first\r")
    t.expect("thinking of it")
    t.sendintr()
    t.expect("> ")
    t.sendintr()
    t.expect(r"Use Ctrl \+ d or /bye to exit\.")
    t.expect("> ")
    t.send("second\r")
    t.expect(r"<u:first\|a:thinking of it\|u:second>")
    t.expect("> ")
    t.sendeof()
    t.wait()
    assert t.exitstatus == 0 and cut == [True]


def test_an_answer_that_fails_does_not_end_the_chat(against):
    def fail(h):
        if h.headers.get("X-Preload-Only") or b"bad" not in h.body:
            echo(h)
        else:
            h.reply(500, b'{"error":{"message":"out of \x1b[2Jluck"}}')
    cli, _ = against(chat_routes(fail))
    t = cli.terminal("run", "m")
    t.expect("> ")
    t.send("bad\r")
    t.expect(r"Error: ")
    t.expect("> ")
    t.send("good\r")
    t.expect("<u:good>")
    t.close()


def test_run_pulls_a_missing_model_and_tells_why_it_cannot(against):
    cli, _ = against({"GET /version": b"{}", "POST /models/create":
                      lambda h: h.reply(404, b"Model not found\n", "text/plain")})
    for args in (["run", "nope", "hi"], ["run", "-d", "nope"]):
        r = cli.run(*args)
        assert r.returncode == 1 and not r.stdout
        assert r.stderr == (b"Unable to find model 'nope' locally. Pulling from the server.\n"
                            b"docker-model: pull nope: Model not found\n")


def test_a_missing_model_is_told_before_the_chat(against):
    cli, _ = against({"GET /version": b"{}"})
    t = cli.terminal("run", "nope")
    t.expect("docker-model: pull nope: ")
    t.wait()
    assert t.exitstatus == 1


def test_one_prompt_at_a_terminal_ends_on_ctrl_c(against):
    def slow(h):
        h.stream(delta("abc"), end=False)
        h.connection.recv(1)
    cli, _ = against(chat_routes(slow))
    t = cli.terminal("run", "m", "hi")
    t.expect("abc")
    t.sendintr()
    t.wait()
    assert t.signalstatus == signal.SIGINT


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {"TERM": ""}, {"LC_ALL": "C"},
                                 {"LC_ALL": "nonsense"}])
def test_odd_terminals(against, env):
    cli, _ = against(chat_routes(echo))
    t = cli.terminal("run", "m", env=env, columns=20)
    t.expect("> ")
    t.send("ü" + "y" * 50 + "\r")
    t.expect("<u:ü")
    t.expect("> ")
    t.send("/bye\r")
    t.wait()
    assert t.exitstatus == 0


# ---- package ----

def test_a_file_that_is_not_there_is_named(against, tmp_path):
    cli, _ = against({"GET /version": {"version": "1"}})
    assert "nope.gguf" in cli.err("package", "--gguf", str(tmp_path / "nope.gguf"), "x")


# ---- Docker's CLI ----

@pytest.fixture
def docker(tmp_path):
    """docker with our plugin, in a configuration of its own."""
    plugins = tmp_path / "config" / "cli-plugins"
    plugins.mkdir(parents=True)
    (plugins / "docker-model").symlink_to(CLI)
    return lambda env, *args: subprocess.run(
        ["docker", *args], env={**env, "DOCKER_CONFIG": str(tmp_path / "config")},
        capture_output=True, timeout=60)


def docker_is_old():
    """Debian 12's docker 20.10: it asks no plugin for completion, and dies of the third
    Ctrl-C whatever its plugin does."""
    text = subprocess.check_output(["docker", "--version"], text=True)
    return int(re.search(r"version (\d+)", text).group(1)) < 24


def test_docker_runs_the_plugin(against, docker):
    cli, _ = against({"GET /version": {"version": "5"},
                      "GET /models": [model("docker.io/ai/smollm2:latest")]})
    r = docker(cli.env, "model", "version")
    assert r.returncode == 0 and b"Version:    5" in r.stdout, r
    r = docker(cli.env, "-D", "--log-level", "debug", "model", "ls")
    assert b"smollm2" in r.stdout, r
    assert docker(cli.env, "model", "frob").returncode == 2
    r = docker(cli.env, "model", "--help")
    assert b"Usage:  docker model COMMAND" in r.stdout, r
    assert b"Docker Model Runner" in docker(cli.env, "--help").stdout


def test_a_chat_through_docker_survives_ctrl_c(against, docker, tmp_path):
    """docker gets the signal too, and gives up on a plugin after three."""
    cut = []

    def slow(h):
        if h.headers.get("X-Preload-Only"):
            h.reply(200, b"")
            return
        h.stream(delta("thinking"), end=False)
        h.connection.settimeout(60)
        cut.append(h.connection.recv(1) == b"")
    cli, _ = against(chat_routes(slow))
    t = pexpect.spawn("docker", ["model", "run", "m"], timeout=60, encoding="utf-8", echo=False,
                      env={**cli.env, "DOCKER_CONFIG": str(tmp_path / "config")})
    t.expect("> ")
    rounds = 1 if docker_is_old() else 5
    for i in range(rounds):
        t.send("hi\r")
        t.expect("thinking")
        t.sendintr()
        t.expect("> ")
        t.sendintr()
        t.expect(r"Use Ctrl \+ d")
        t.expect("> ")
    t.sendeof()
    t.wait()
    assert t.exitstatus == 0 and cut == [True] * rounds


def test_docker_completes_through_the_plugin(against, docker):
    cli, _ = against({"GET /models": [model("docker.io/ai/smollm2:latest")]})
    if docker_is_old():
        return
    r = docker(cli.env, "__complete", "model", "ru")
    assert r.stdout.startswith(b"run\tAsk a model"), r
    r = docker(cli.env, "__complete", "model", "run", "smo")
    assert r.stdout.split() == [b"smollm2", b":4"], r


def test_the_metadata_is_exact(alone):
    text = alone.out("docker-cli-plugin-metadata")
    assert text.startswith('{\n     "SchemaVersion": "0.1.0",\n     "Vendor": "')
    assert list(json.loads(text)) == ["SchemaVersion", "Vendor", "Version", "ShortDescription"]


def test_it_ends_when_docker_goes(against, tmp_path):
    """Docker's CLI holds a socket open and closes it to have its plugin end."""
    name = f"docker_cli_test_{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as s:
        s.bind("\0" + name)
        s.listen()
        s.settimeout(60)
        cli, _ = against({"GET /logs": lambda h: (h.stream(b"x\n", end=False),
                                                  h.connection.recv(1))})
        p = subprocess.Popen([CLI, "model", "logs", "-f"], stdout=subprocess.PIPE,
                             env={**cli.env, "DOCKER_CLI_PLUGIN_SOCKET": "@" + name})
        c = s.accept()[0]
        assert p.stdout.readline() == b"x\n"
        assert p.poll() is None
        c.close()
        assert p.wait(60) == -signal.SIGTERM


def test_the_scripts_complete_in_real_shells(against, tmp_path):
    cli, _ = against({"GET /models": [model("docker.io/ai/smollm2:latest")]})
    env = {**cli.env, "PATH": f"{os.path.dirname(CLI)}:{os.environ['PATH']}"}
    script = tmp_path / "script"
    script.write_text(cli.out("completion", "bash") + """
COMP_WORDS=(docker-model run smo); COMP_CWORD=2; _docker_model
printf '%s\\n' "${COMPREPLY[@]}"
""")
    r = subprocess.run(["bash", str(script)], env=env, capture_output=True, text=True)
    assert r.stdout == "smollm2\n", r
