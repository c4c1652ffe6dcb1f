"""The worker's sandbox. A program that shuts itself in as modeld-llama does tries to get out;
and the real worker is looked at from outside. What holds depends on the kernel, so the program
says what it got, and exactly that is checked: nothing here is skipped."""

import ctypes
import json
import os
import pathlib
import re
import socket
import struct
import subprocess

import pytest

from conftest import BUILD, TEXT, TEXT_GGUF, is_sanitized

from llama_fixtures import spawn  # noqa: F401 (a fixture)

TRY = BUILD / "sandbox_try"
REFUSED = {"EPERM", "EACCES", "ENOSYS"}
# What a worker needs, and what only Landlock can refuse: seccomp sees no paths.
NEEDED = {"thread", "memory"}
PATHS = {"read_other", "read_passwd", "read_environment_of_parent", "list"}
# A sanitizer's build looks into itself from a process of its own.
SANITIZED = {"fork", "be_dumped", "owner_of_descriptor", "code_of_its_own", "slow_parent"}
LANDLOCK_CREATE_RULESET = 444  # on every architecture


def landlock_abi():
    libc = ctypes.CDLL(None)
    return max(0, libc.syscall(LANDLOCK_CREATE_RULESET, None, 0, 1))


def without_landlock():
    """In a child: makes the kernel one that has no Landlock, by a seccomp filter of four steps."""
    steps = [(0x20, 0, 0, 0), (0x15, 0, 1, LANDLOCK_CREATE_RULESET),
             (0x06, 0, 0, 0x00050000 | 38), (0x06, 0, 0, 0x7FFF0000)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *s) for s in steps))
    program = ctypes.create_string_buffer(
        struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code)))
    libc = ctypes.CDLL(None)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(program), 0, 0):
        os._exit(99)


@pytest.fixture
def outside(tmp_path):
    """What a worker must not reach: a secret, a helper's socket, a TCP port."""
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    (tmp_path / "secret").write_text("secret")
    helper = socket.socket(socket.AF_UNIX)
    helper.bind(str(tmp_path / "helper.sock"))
    helper.listen(8)
    datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    datagrams.bind(str(tmp_path / "notify.sock"))
    tcp = socket.create_server(("127.0.0.1", 0))
    yield [str(tmp_path / "model.gguf"), str(tmp_path / "secret"),
           str(tmp_path / "helper.sock"), str(tcp.getsockname()[1])]
    for s in (helper, datagrams, tcp):
        s.close()


def attempt(words, **kw):
    """The level that was reached, and {stage: {try: result}}. A shell is the parent, which the
    tries to hit it must leave alive."""
    r = subprocess.run(["sh", "-c", '"$0" "$@"; echo over=$?', str(TRY), *words],
                       capture_output=True, text=True, timeout=60, **kw)
    lines = r.stdout.splitlines()
    assert lines[-1] == "over=0", r.stdout + r.stderr
    level, stages = None, {}
    for line in map(json.loads, lines[:-1]):
        if "try" in line:
            stages.setdefault(line["stage"], {})[line["try"]] = line["result"]
        else:
            level = line
    return level, stages


def check(level, stages, has_landlock):
    assert set(stages) == {"loading", "serving"}
    sanitized = SANITIZED if level["sanitized"] else set()
    assert level["sanitized"] == is_sanitized()
    for stage, tries in stages.items():
        assert len(tries) > 40
        for name, result in tries.items():
            if name in NEEDED or (name == "read_model" and stage == "loading"):
                assert result == "ok", (stage, name)
            elif name in sanitized or (level["sanitized"] and name == "read_model"):
                continue
            elif name in PATHS and not has_landlock and (stage == "loading" or sanitized):
                continue  # this kernel promises nothing here
            else:
                assert result in REFUSED, (stage, name, result)


def test_free_the_tries_succeed(outside):
    """Else their failure in the sandbox would prove nothing."""
    _, stages = attempt([*outside, "free"])
    tries = stages["free"]
    assert len(tries) > 15
    # Nobody listens for datagrams there: the socket was made, and the kernel looked.
    assert tries.pop("pair_to_unix") in ("EPROTOTYPE", "EISCONN", "ok", "ECONNREFUSED")
    assert set(tries.values()) == {"ok"}, tries


def test_a_worker_that_tries_does_not_get_out(outside):
    level, stages = attempt(outside)
    assert level["landlock"] == landlock_abi()
    assert "seccomp" in level["text"]
    check(level, stages, level["landlock"] > 0)
    assert pathlib.Path(outside[0]).read_bytes() == b"GGUF"
    assert sorted(p.name for p in pathlib.Path(outside[0]).parent.iterdir()) == \
        ["helper.sock", "model.gguf", "notify.sock", "secret"]


def test_a_kernel_without_landlock_is_said_and_the_rest_holds(outside):
    level, stages = attempt(outside, preexec_fn=without_landlock)
    assert level["landlock"] == 0
    assert "this kernel has no Landlock" in level["text"]
    check(level, stages, False)
    if not level["sanitized"]:
        assert stages["loading"]["read_other"] == "ok", "or the fake kernel was none"
        assert stages["serving"]["read_other"] in REFUSED


# ---- the real worker ----

CHAT = {"model": TEXT, "messages": [{"role": "user", "content": "Say hi."}],
        "max_tokens": 4, "temperature": 0}


def status(pid, field):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return re.search(rf"^{field}:\s+(\S+)", text, re.M).group(1)


def test_the_running_worker_is_shut_in(start, models_store):
    m = start(models_store)
    assert m.http.post("/v1/chat/completions", json=CHAT).status_code == 200
    (pid,) = m.workers()
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        text = (task / "status").read_text()
        assert re.search(r"^Seccomp:\s+2$", text, re.M), text
        assert re.search(r"^NoNewPrivs:\s+1$", text, re.M), text
    assert int(status(pid, "CapEff"), 16) & ~(1 << 2) == 0
    limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
    assert re.search(r"Max core file size +0 +0 ", limits)
    assert re.search(r"Max file size +0 +0 ", limits)
    assert "Landlock" in m.log() and "seccomp" in m.log()


def test_the_daemon_keeps_its_secrets(start, models_store):
    m = start(models_store, env={"HF_TOKEN": "canary", "https_proxy": "http://u:canary@127.0.0.1:9",
                                 "REGISTRY_PASSWORD": "canary", "HARMLESS": "kept"})
    assert m.http.post("/v1/chat/completions", json=CHAT).status_code == 200
    (pid,) = m.workers()
    environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    assert b"HARMLESS=kept" in environment
    assert not [v for v in environment if b"canary" in v]


def test_the_daemon_can_leave_its_engines_free(start, models_store):
    m = start(models_store, "--sandbox", "off")
    assert m.http.post("/v1/chat/completions", json=CHAT).status_code == 200
    assert status(m.workers()[0], "Seccomp") == "0"
    assert 'sandbox=\\"off\\"' in m.log() or 'sandbox="off"' in m.log()


def test_doctor_says_how_far_the_engine_is_shut_in(modeld):
    r = subprocess.run([BUILD / "docker-model", "doctor"], capture_output=True, text=True,
                       timeout=60, env={**os.environ, "MODEL_RUNNER_HOST": modeld.url})
    want = f"Landlock {landlock_abi()}, seccomp" if landlock_abi() else "no Landlock"
    assert re.search(rf"engine sandbox: .*{want}", r.stdout), r.stdout + r.stderr


def test_each_model_sees_its_own_files_only(start, own_store):
    """Its socket, the event pipe and its weights are all that a worker holds."""
    m = start(own_store)
    assert m.http.post("/v1/chat/completions", json=CHAT).status_code == 200
    (pid,) = m.workers()
    held = [os.readlink(p) for p in pathlib.Path(f"/proc/{pid}/fd").iterdir()]
    mapped = set(re.findall(r"(/\S+)$", pathlib.Path(f"/proc/{pid}/maps").read_text(), re.M))
    store = {p for p in [*held, *mapped] if p.startswith(str(own_store))}
    assert len(store) == 1
    allowed = re.compile(r"socket:|pipe:|anon_inode:|/dev/null|/proc/|/sys/fs/cgroup/")
    assert [h for h in held if not allowed.match(h) and h not in store] == []


def test_a_worker_without_landlock_says_so_and_serves(spawn):
    m = spawn(preexec_fn=without_landlock)
    assert m.chat().status_code == 200
    assert m.ready["sandbox"].startswith("seccomp (this kernel has no Landlock)")
    assert status(m.process.pid, "Seccomp") == "2"


def test_the_sandbox_can_be_turned_off_by_hand(spawn):
    m = spawn(TEXT_GGUF, "--sandbox", "off")
    assert m.chat().status_code == 200
    assert m.ready["sandbox"] == "off"
    assert status(m.process.pid, "Seccomp") == "0"
