"""docker-model against a real modeld with real models."""

import json
import os
import re
import signal
import subprocess

import pytest

from cli_fixtures import CLI, Cli
from conftest import EMBED, TEXT, TEXT_GGUF, eventually

QUESTION = "Say hello."
LONG = "Write a story of a thousand words."  # at temperature 0 the answer is long


@pytest.fixture
def cli(modeld, tmp_path):
    return Cli(tmp_path, modeld.url)


@pytest.fixture
def own(start, own_store, tmp_path):
    """(cli, modeld) with a store that the test may change."""
    m = start(own_store)
    return Cli(tmp_path, None, MODEL_RUNNER_SOCK=str(m.socket)), m


def rows(table):
    """The cells of a table, line by line, without its header."""
    return [re.split(r"  +", line.strip()) for line in table.splitlines()[1:]]


def test_version_and_status(own):
    cli, m = own
    out = cli.out("version")
    assert re.fullmatch(r"Client:\n Version:    (\S+)\n OS/Arch:    linux/\w+\n\n"
                        r"Server:\n Version:    \1\n Engine:     Docker Engine\n", out)
    out = cli.out("status")
    assert out.startswith("Docker Model Runner is running\n\nBACKEND ")
    assert f"OpenAI API:    {m.url}/v1\n" in out and f" unix:{m.socket} " in out
    state = json.loads(cli.out("status", "--json"))
    assert state["running"] and state["endpointHost"] == m.url + "/v1/"


def test_without_a_port_status_names_none(start, models_store, tmp_path):
    m = start(models_store, "--port", "off")
    cli = Cli(tmp_path, None, MODEL_RUNNER_SOCK=str(m.socket))
    shown = cli.out("status")
    assert "OpenAI API:" not in shown
    assert re.search(rf"^socket +unix:{re.escape(str(m.socket))} +open *$", shown, re.M)
    assert json.loads(cli.out("status", "--json"))["endpointHost"] == ""


def test_the_socket_and_the_port_lead_to_the_same(modeld, tmp_path):
    a = Cli(tmp_path, None, MODEL_RUNNER_SOCK=str(modeld.socket)).out("list")
    b = Cli(tmp_path, f"unix:{modeld.socket}").out("list")
    c = Cli(tmp_path, modeld.url).out("list")
    assert a == b == c


def test_list_and_inspect(cli, modeld):
    assert [r[0] for r in rows(cli.out("list"))] == ["minilm", "smollm2:135M-Q4_1"]
    assert [r[0] for r in rows(cli.out("ls", "smollm2"))] == ["smollm2:135M-Q4_1"]
    assert rows(cli.out("ls", "nope")) == []
    row = rows(cli.out("ls", TEXT))[0]
    assert row[1:4] == ["134.52M", "MOSTLY_Q4_1", "llama"] and row[-2:] == ["8192", "92.10MiB"]
    assert json.loads(cli.out("ls", "--json")) == modeld.http.get("/models").json()
    assert json.loads(cli.out("ls", "--openai"))["object"] == "list"
    model = json.loads(cli.out("inspect", TEXT))
    assert model == modeld.http.get(f"/models/{TEXT}").json()
    assert cli.out("ls", "-q", TEXT).strip() == model["id"][7:19]
    assert json.loads(cli.out("inspect", model["id"]))["id"] == model["id"]
    assert json.loads(cli.out("inspect", "--openai", TEXT))["object"] == "model"


def test_list_of_an_openai_url(cli, modeld):
    shown = [r[0] for r in rows(cli.out("ls", "--openaiurl", modeld.url + "/engines/v1"))]
    assert f"docker.io/{TEXT}" in shown


def test_tag_and_rm(own):
    cli, m = own
    cli.out("tag", TEXT, "mine/Copy:V1")
    assert "mine/copy:V1" in [r[0] for r in rows(cli.out("ls"))]
    model = json.loads(cli.out("inspect", "mine/copy:V1"))
    assert "(--force removes all its names)" in cli.err("rm", model["id"])
    assert cli.out("rm", "mine/copy:V1") == "Untagged: docker.io/mine/copy:V1\n"
    assert cli.out("rm", TEXT, EMBED).splitlines()[:2] == [
        f"Untagged: docker.io/{TEXT}", f"Deleted: {model['id']}"]
    assert rows(cli.out("ls")) == []


def test_package_in_full(start, tmp_path):
    m = start(tmp_path / "store")
    cli = Cli(tmp_path, m.url)
    licence, template = tmp_path / "LICENSE", tmp_path / "t.jinja"
    licence.write_text("do as you like\n")
    template.write_text("{{ messages[0].content }}")
    # A relative path is as good as any.
    out = subprocess.run(
        [CLI, "package", "--gguf", os.path.relpath(TEXT_GGUF, tmp_path), "-l", "LICENSE",
         "--chat-template", "t.jinja", "--context-size", "512", "me/Small"],
        env=cli.env, cwd=tmp_path, capture_output=True, timeout=120)
    assert out.returncode == 0 and out.stderr == b"", out
    assert out.stdout == b"Model loaded successfully\n"
    model = json.loads(cli.out("inspect", "me/small"))
    assert model["tags"] == ["docker.io/me/small:latest"]
    assert model["config"]["context_size"] == 512
    assert rows(cli.out("ls"))[0][-2] == "512"
    # The same files make the same model: nothing is added but a name.
    cli.out("package", "--gguf", str(TEXT_GGUF), "-l", str(licence), "--chat-template",
            str(template), "--context-size", "512", "again")
    assert json.loads(cli.out("inspect", "again"))["id"] == model["id"]


def test_package_at_a_terminal_shows_progress(start, tmp_path):
    cli = Cli(tmp_path, start(tmp_path / "store").url)
    t = cli.terminal("package", "--gguf", str(TEXT_GGUF), "x")
    t.expect(r"\rTransferred|\r\x1b\[KTransferred: \d+\.\d\d MB of 9\d\.\d\d MB")
    t.expect("\r\x1b\\[KModel loaded successfully\r\n")
    t.wait()
    assert t.exitstatus == 0


@pytest.mark.parametrize("content,says", [
    (b"not a model", "GGUF"), (b"GGUF\x03\0\0\0" + b"\xff" * 100, "GGUF"), (b"", "GGUF")])
def test_a_file_that_is_no_model_is_refused(start, tmp_path, content, says):
    cli = Cli(tmp_path, start(tmp_path / "store").url)
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(content)
    line = cli.err("package", "--gguf", str(bad), "x")
    assert "package x" in line and (says in line or "bad.gguf" in line)
    assert "nope.gguf" in cli.err("package", "--gguf", "nope.gguf", "x")
    assert rows(cli.out("ls")) == []


def test_run_answers_and_ps_shows_it(own):
    cli, m = own
    args = ["run", TEXT, QUESTION, "--temperature", "0", "--max-tokens", "8", "--seed", "1"]
    answer = cli.out(*args)
    assert answer.endswith("\n") and len(answer.split()) > 1
    assert any(cli.out(*args) == answer for _ in range(9))
    (row,) = rows(cli.out("ps"))
    assert row[:3] == ["smollm2:135M-Q4_1", "llama.cpp", "completion"]
    assert row[3] in ("4 minutes from now", "5 minutes from now")
    assert int(rows(cli.out("df"))[0][1].split(".")[0]) > 0
    assert cli.out("unload", TEXT) == "Unloaded 1 model(s).\n"
    eventually(lambda: rows(cli.out("ps")) == [])
    assert "No such model(s) running" in cli.err("unload", TEXT)
    assert cli.out("unload", "--all") == "No models are running.\n"


def test_run_reads_a_pipe(cli):
    out = cli.out("run", TEXT, "--max-tokens", "4", text=QUESTION.encode())
    assert out.strip()


def test_detach_loads(own):
    cli, m = own
    assert cli.out("run", "--detach", TEXT) == ""
    assert len(rows(cli.out("ps"))) == 1 and m.workers()


def test_wrong_values_are_named(cli):
    line = cli.err("run", TEXT, "hi", "--max-tokens", "-5")
    assert "max_tokens" in line
    line = cli.err("run", TEXT, "hi", "--temperature", "99")
    assert "temperature" in line


def test_an_embedding_model_does_not_chat(cli):
    r = cli.run("run", EMBED, "hi")
    assert r.returncode == 1 and r.stderr.count(b"\n") == 1


def test_a_prompt_that_is_too_long_is_told_with_numbers(cli):
    line = cli.err("run", TEXT, text=b"word " * 20000)
    assert re.search(r"\d{4,}.*8192|8192.*\d{4,}", line), line


def test_a_chat_with_a_real_model(own):
    cli, m = own
    t = cli.terminal("run", TEXT, "--max-tokens", "8", "--temperature", "0")
    t.expect("Send a message")
    t.expect("> ")
    eventually(m.workers)  # it loads while the person thinks
    t.send("Say hi.\r")
    t.expect("\r\n\r\n> ")
    t.send("And again.\r")
    t.expect("\r\n\r\n> ")
    t.send("/bye\r")
    t.wait()
    assert t.exitstatus == 0


def test_ctrl_c_stops_the_engine_too(own):
    cli, m = own
    t = cli.terminal("run", TEXT, "--max-tokens", "4000", "--temperature", "0")
    t.expect("> ")
    t.send(LONG + "\r")
    t.expect("words\\.\r\n")  # typed; what follows is the answer
    t.expect(r"\w+ \w+ ")
    t.sendintr()
    t.expect("> ")
    eventually(lambda: "In use" not in cli.out("ps"))
    t.sendeof()
    t.wait()
    assert t.exitstatus == 0


def test_a_killed_engine_is_one_clear_line(own):
    cli, m = own
    p = subprocess.Popen([CLI, "run", TEXT, LONG, "--max-tokens", "4000",
                          "--temperature", "0"], env=cli.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert p.stdout.read(1)
    os.kill(m.workers()[0], signal.SIGKILL)
    out, err = p.communicate(timeout=60)
    assert p.returncode == 1 and err.startswith(b"docker-model: ") and err.count(b"\n") == 1, err
    assert cli.out("run", TEXT, QUESTION, "--max-tokens", "4").strip()


def test_logs(own):
    cli, m = own
    cli.out("run", TEXT, QUESTION, "--max-tokens", "2")
    both, ours = cli.out("logs"), cli.out("logs", "--no-engines")
    assert "model loaded" in both and "model loaded" in ours
    assert "modeld-llama:" in both and "modeld-llama:" not in ours
    assert QUESTION not in both
    p = subprocess.Popen([CLI, "logs", "-f"], env=cli.env, stdout=subprocess.PIPE)
    assert p.stdout.readline()
    cli.out("unload", "--all")
    while b"unloaded" not in p.stdout.readline():
        pass
    p.terminate()
    p.wait(60)


def test_many_models_are_listed_quickly(own):
    cli, m = own
    for i in range(300):
        r = m.http.post(f"/models/{TEXT}/tag", params={"repo": f"many/m{i}", "tag": "v1"})
        assert r.status_code == 201
    assert len(rows(cli.out("ls"))) == 302
    assert len(cli.out("ls", "-q").split()) == 2
