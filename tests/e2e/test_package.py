"""docker model package: every source, every flag, both forms, and what is no model."""

import json
import os
import re
import struct
import subprocess
import time

import pytest

from cli_fixtures import CLI, Cli
from conftest import TEXT, TEXT_GGUF
from gguf_fixtures import STRING, U32, file, tiny
from package_fixtures import (CNCF, DOCKER, FILES, WEIGHTS, config, folder, layers, manifest,
                              safetensors)
from registry_fixtures import digest, free_port, memory, pull, push, registry, store

TINY = tiny()


@pytest.fixture
def here(start, store, tmp_path):
    """(cli, modeld, store) with an empty store."""
    m = start(store)
    return Cli(tmp_path, m.url), m, store


def made(cli, *args, name="x"):
    """The model that `package ARGS name` makes, as inspect shows it."""
    assert cli.out("package", *map(str, args), name) == "Model loaded successfully\n"
    return json.loads(cli.out("inspect", name))


def ask(m, name, **more):
    r = m.http.post("/engines/v1/chat/completions", json={
        "model": name, "max_tokens": 8, "messages": [{"role": "user", "content": "Hi"}], **more})
    return r


# ---- folders ----

TYPES = [("license", "doc.v1.raw"), ("model.file", "weight.config.v1.raw"),
         ("chat.template.jinja", "weight.config.v1.raw"), ("model.file", "weight.config.v1.raw"),
         ("model.file", "weight.config.v1.raw"), ("safetensors", "weight.v1.raw"),
         ("model.file", "weight.config.v1.raw"), ("model.file", "weight.config.v1.raw")]


def test_a_folder_is_packaged_file_by_file(here, tmp_path):
    cli, m, store = here
    model = made(cli, "--safetensors-dir", folder(tmp_path / "d"))
    assert model["config"] == {
        "format": "safetensors", "quantization": "mixed", "parameters": "6.00",
        "size": f"{len(WEIGHTS)}.00B", "safetensors": {"format": "pt", "tensor_count": "2"},
        "context_size": 2048}
    got = manifest(store, model["id"])
    assert got["config"]["mediaType"] == DOCKER + "model.config.v0.2+json"
    assert "artifactType" not in got
    assert layers(store, model["id"]) == [
        ("docker.ai." + t[0], name) for t, name in zip(TYPES, FILES)]
    assert [x["digest"] for x in got["layers"]] == [digest(b) for b in FILES.values()]
    whole = config(store, model["id"])
    assert whole["rootfs"]["diff_ids"] == [x["digest"] for x in got["layers"]]
    meta = json.loads(got["layers"][4]["annotations"]["org.cncf.model.file.metadata+json"])
    assert meta == {"name": "vocab.json", "mode": 420, "uid": 0, "gid": 0, "size": 2,
                    "mtime": "1970-01-01T00:00:00Z", "typeflag": 0}


def test_a_folder_in_the_cncf_form(here, tmp_path):
    cli, m, store = here
    model = made(cli, "--safetensors-dir", folder(tmp_path / "d"), "--format", "cncf")
    assert model["config"] == {"format": "safetensors", "paramSize": "6.00",
                               "quantization": "mixed"}
    got = manifest(store, model["id"])
    assert got["artifactType"] == CNCF + "manifest.v1+json"
    assert got["config"]["mediaType"] == CNCF + "config.v1+json"
    assert layers(store, model["id"]) == [
        ("cncf.model." + t[1], name) for t, name in zip(TYPES, FILES)]
    assert config(store, model["id"]) == {
        "descriptor": {"createdAt": "1970-01-01T00:00:00Z"},
        "modelfs": {"type": "layers", "diffIds": [x["digest"] for x in got["layers"]]},
        "config": {"format": "safetensors", "paramSize": "6.00", "quantization": "mixed"}}


def test_what_several_files_hold_is_added_up(here, tmp_path):
    cli, m, store = here
    one = safetensors({"a": ("BF16", [1000, 1500], 3000000)}, {"architecture": "toy"})
    two = safetensors({"b": ("BF16", [20], 40)})
    model = made(cli, "--safetensors-dir", folder(tmp_path / "d", {
        "sub/config.json": b'{"max_position_embeddings":"no","n_ctx":77}', "config.json": b"{",
        "sub/m-00001-of-00002.safetensors": one, "sub/m-00002-of-00002.safetensors": two}))
    assert model["config"] == {
        "format": "safetensors", "quantization": "BF16", "parameters": "1.50M",
        "architecture": "toy", "size": "3.00MB", "context_size": 77,
        "safetensors": {"architecture": "toy", "tensor_count": "2"}}


def test_flags_stand_in_place_of_the_folders_files(here, tmp_path):
    cli, m, store = here
    other = folder(tmp_path / "o", {"LICENSE": b"other", "t.jinja": b"{{ 1 }}", "p.mmproj": b"x"})
    model = made(cli, "--safetensors-dir", folder(tmp_path / "d"), "-l", other / "LICENSE",
                 "--chat-template", other / "t.jinja", "--mmproj", other / "p.mmproj",
                 "--context-size", "99")
    names = [n for _, n in layers(store, model["id"])]
    assert names == [n for n in FILES if n not in ("LICENSE", "chat_template.jinja")] + [
        "LICENSE", "t.jinja", "p.mmproj"]
    assert model["config"]["context_size"] == 99
    line = cli.err("package", "--safetensors-dir", str(tmp_path / "d"), "-l",
                   str(tmp_path / "d/README.md"), "-l", str(other / "t.jinja"),
                   "-l", str(folder(tmp_path / "p", {"t.jinja": b"2"}) / "t.jinja"), "x")
    assert "two files are named t.jinja" in line


def test_a_gguf_in_a_folder_answers(here, tmp_path):
    cli, m, store = here
    model = made(cli, "--safetensors-dir", folder(
        tmp_path / "d", {"m.gguf": TINY, "README.md": b"x", "chat_template.jinja":
                         b"{% for m in messages %}{{ m.content }}{% endfor %}"}))
    assert model["config"]["format"] == "gguf" and model["config"]["architecture"] == "llama"
    assert manifest(store, model["id"])["config"]["mediaType"].endswith("v0.2+json")
    r = ask(m, "x")
    assert r.status_code == 200 and r.json()["usage"]["completion_tokens"] > 0, r.text


@pytest.mark.parametrize("files,words", [
    ({"README.md": b"x"}, "holds no model (no .safetensors file); its symbolic links were left"),
    ({"a.gguf": TINY, "b.gguf": TINY}, "more than one model (a.gguf and b.gguf)"),
    ({"a.gguf": TINY, "m.safetensors": WEIGHTS}, "more than one model"),
    ({"x-00001-of-00002.gguf": TINY, "y-00001-of-00002.gguf": TINY}, "more than one model"),
    ({"a/" * 17 + "m.safetensors": WEIGHTS}, "nested deeper than 16"),
    ({b"\xff.json".decode("utf8", "surrogateescape"): b"", "m.safetensors": WEIGHTS},
     "holds a name that is not UTF-8")])
def test_folders_that_are_no_model(here, tmp_path, files, words):
    cli, m, store = here
    line = cli.err("package", "--safetensors-dir", str(folder(tmp_path / "d", files)), "x")
    assert words in line and line.startswith("docker-model: package x: ")
    assert m.http.get("/models").json() == []


def header(text, data=b""):
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize("raw,words", [
    (b"", "too short"), (b"\xff" * 8, "longer than the file"), (b"\xff" * 64, "longer than"),
    (header(b"[]"), "no JSON object"), (header(b"{"), "not a valid safetensors"),
    (header(b"{" + b'"a":[' * 100000), "not a valid safetensors"),
    (header(b"{" + b" " * (8 << 20) + b"}"), "more than the 8388608 allowed"),
    (WEIGHTS[:-1], "wrong shape or place"), (WEIGHTS + b"x", "cut or too long"),
    (safetensors({"a": ("F32", [1 << 62, 1 << 62], 0)}), "needs dtype, shape"),
    (safetensors({"a": ("F32", [-1], 4)}), "needs dtype, shape"),
    (b"GGUF" + b"\0" * 60, "longer than the file")], ids=range(12))
def test_hostile_safetensors_are_refused_in_words(here, tmp_path, raw, words):
    cli, m, store = here
    line = cli.err("package", "--safetensors-dir",
                   str(folder(tmp_path / "d", {"m.safetensors": raw})), "x")
    assert words in line and "m.safetensors" in line
    assert m.http.get("/models").json() == []


def test_safetensors_are_kept_but_not_run(here, start, tmp_path):
    cli, m, store = here
    model = made(cli, "--safetensors-dir", folder(tmp_path / "d"), name="me/st:v1")
    r = ask(m, "me/st:v1")
    assert r.status_code == 422 and "convert_hf_to_gguf.py" in r.text, r.text
    assert "convert_hf_to_gguf.py" in cli.err("run", "me/st:v1", "Hi")
    assert "me/st:v1" in cli.out("ls") and m.ps() == []
    cli.out("tag", "me/st:v1", "me/st:v2")
    tar = tmp_path / "st.tar"
    cli.out("export", "me/st:v2", "-o", str(tar))
    other = start(tmp_path / "other")
    Cli(tmp_path, other.url).out("load", "-i", str(tar), "again")
    assert other.http.get("/models/again").json()["id"] == model["id"]
    cli.out("rm", "-f", model["id"])
    assert m.http.get("/models").json() == []
    assert list((store / "blobs/sha256").iterdir()) == []


# ---- the same id everywhere ----

DDUF = b"PK\3\4" + bytes(60)
SMALL = file([("general.architecture", STRING, "toy"), ("toy.context_length", U32, 64)],
             [("a", (4, 2), 0, 0)], bytes(32))

# Known for ever: a change of one is a change of what people pinned.
GOLDEN = {
    "folder": "sha256:baae7e7411b770e59bac5f1e126e7b8729356cf4593d6366c43d5ee871270f72",
    "folder cncf": "sha256:5b6bc42286143b0e9208ca005582084753154e8301f6b212700dc0ba3e2e7475",
    "gguf": "sha256:7aabd9dedc84c42db44792f96292b7ae169e457bab3a8192ed9c95b6e5f2cb9d",
    "gguf cncf": "sha256:e31084e60f8ccc43dcd4818c908b0f1dc5616b5861675b96db5927f9f362cb7d",
    "dduf": "sha256:6c01c285c1992649076bfeaad0af796b18e9fafd632901195390c64ca0152868",
}


def sources(at):
    return {
        "folder": ["--safetensors-dir", at / "d"],
        "folder cncf": ["--safetensors-dir", at / "d", "--format", "cncf"],
        "gguf": ["--gguf", at / "m.gguf", "-l", at / "d/LICENSE", "--chat-template",
                 at / "d/chat_template.jinja"],
        "gguf cncf": ["--gguf", at / "m.gguf", "--format", "cncf"],
        "dduf": ["--dduf", at / "m.dduf"],
    }


def test_the_same_bytes_give_the_same_id_on_every_machine(start, tmp_path):
    ids = []
    for i, (umask, mtime) in enumerate([(0o022, 1), (0o077, 2 ** 31)]):
        m = start(tmp_path / f"store{i}")
        at = tmp_path / f"{i} some/where"
        old = os.umask(umask)
        try:
            folder(at / "d", backwards=i)
            (at / "m.gguf").write_bytes(SMALL)
            (at / "m.dduf").write_bytes(DDUF)
        finally:
            os.umask(old)
        for path in at.rglob("*"):
            os.utime(path, (mtime, mtime), follow_symlinks=False)
        cli = Cli(tmp_path, m.url, TZ="Asia/Tokyo" if i else "UTC", LANG="tr_TR.UTF-8")
        one = {}
        for name, args in sources(at).items():
            shown = [os.path.relpath(a, at) if i and os.path.isabs(a) else str(a) for a in args]
            r = subprocess.run([CLI, "package", *shown, "me/" + name.replace(" ", "-")],
                               cwd=at if i else tmp_path, env=cli.env, capture_output=True,
                               timeout=60, umask=umask)
            assert r.returncode == 0, r
            one[name] = m.http.get("/models/me/" + name.replace(" ", "-")).json()["id"]
        ids.append(one)
    assert ids[0] == ids[1]
    assert ids[0] == GOLDEN


def test_created_is_when_it_came_where_the_artifact_does_not_say(here, tmp_path):
    cli, m, store = here
    before = int(time.time())
    (tmp_path / "m.gguf").write_bytes(TINY)
    model = made(cli, "--gguf", tmp_path / "m.gguf")
    assert before <= model["created"] <= time.time() + 1
    assert config(store, model["id"])["descriptor"]["created"] == "1970-01-01T00:00:00Z"
    listed = m.http.get("/models").json()[0]
    openai = m.http.get("/engines/v1/models").json()["data"][0]
    assert listed["created"] == openai["created"] == model["created"]
    assert re.search(r" (Less than a second|\d+ seconds?) ago ", cli.out("ls"))


# ---- one file ----

def test_a_dduf_file(here, tmp_path):
    cli, m, store = here
    (tmp_path / "m.dduf").write_bytes(DDUF)
    model = made(cli, "--dduf", tmp_path / "m.dduf")
    assert model["config"] == {
        "format": "diffusers", "architecture": "diffusers", "size": "64.00B",
        "diffusers": {"dduf_file": "m.dduf", "layout": "dduf"}}
    assert layers(store, model["id"]) == [("docker.ai.dduf", "m.dduf")]
    r = ask(m, "x")
    assert r.status_code == 422 and "diffusers" in r.text
    (tmp_path / "no.dduf").write_bytes(b"x" * 64)
    assert "no zip" in cli.err("package", "--dduf", str(tmp_path / "no.dduf"), "y")
    (tmp_path / "m.bin").write_bytes(DDUF)
    made(cli, "--dduf", tmp_path / "m.bin", name="y")  # Docker's form needs no name for it
    assert "must end in .dduf" in cli.err(
        "package", "--dduf", str(tmp_path / "m.bin"), "--format", "cncf", "z")


def test_a_gguf_in_the_cncf_form_answers(here, tmp_path):
    cli, m, store = here
    for name, raw in (("m.gguf", TINY), ("LICENSE", b"l"), ("p-mmproj.gguf", TINY),
                      ("t.jinja", b"{% for m in messages %}{{ m.content }}{% endfor %}")):
        (tmp_path / name).write_bytes(raw)
    model = made(cli, "--gguf", tmp_path / "m.gguf", "-l", tmp_path / "LICENSE", "--mmproj",
                 tmp_path / "p-mmproj.gguf", "--chat-template", tmp_path / "t.jinja",
                 "--format", "cncf")
    assert layers(store, model["id"]) == [
        ("cncf.model.weight.v1.raw", "m.gguf"), ("cncf.model.doc.v1.raw", "LICENSE"),
        ("cncf.model.weight.config.v1.raw", "t.jinja"),
        ("cncf.model.weight.v1.raw", "p-mmproj.gguf")]
    whole = config(store, model["id"])
    assert whole["descriptor"] == {"createdAt": "1970-01-01T00:00:00Z", "family": "llama"}
    assert list(whole["config"]) == ["architecture", "format", "paramSize", "quantization"]
    row = cli.out("ls").splitlines()[1]
    assert whole["config"]["paramSize"] in row and "llama" in row
    made(cli, "--gguf", tmp_path / "m.gguf", "--chat-template", tmp_path / "t.jinja",
         "--format", "cncf", name="y")
    assert ask(m, "y").status_code == 200


@pytest.mark.parametrize("flag,name,words", [
    ("--mmproj", "projector.gguf", "must have 'mmproj' in it"),
    ("--chat-template", "template.txt", "must end in .jinja")])
def test_in_the_cncf_form_names_must_tell(here, tmp_path, flag, name, words):
    cli, m, store = here
    (tmp_path / "m.gguf").write_bytes(TINY)
    (tmp_path / name).write_bytes(b"x")
    args = ("package", "--gguf", str(tmp_path / "m.gguf"), flag, str(tmp_path / name))
    assert words in cli.err(*args, "--format", "cncf", "x")
    cli.out(*args, "x")


# ---- of another model ----

@pytest.fixture
def base(here, tmp_path):
    cli, m, store = here
    for name, raw in (("m.gguf", TINY), ("LICENSE", b"one"), ("NOTICE", b"two"),
                      ("old.jinja", b"{{ 1 }}"), ("p.mmproj", b"p"), ("new.jinja", b"{{ 2 }}")):
        (tmp_path / name).write_bytes(raw)
    made(cli, "--gguf", tmp_path / "m.gguf", "-l", tmp_path / "LICENSE", "--chat-template",
         tmp_path / "old.jinja", name="base")
    return cli, m, store


def blobs(store):
    return {p.name for p in (store / "blobs/sha256").iterdir()}


def test_a_variant_shares_the_layers_and_has_what_flags_say(base, tmp_path):
    cli, m, store = base
    before, old = blobs(store), m.http.get("/models/base").json()
    model = made(cli, "--from", "base", "-l", tmp_path / "NOTICE", "--mmproj",
                 tmp_path / "p.mmproj", "--chat-template", tmp_path / "new.jinja",
                 "--context-size", "64")
    assert layers(store, model["id"]) == [
        ("docker.ai.gguf.v3", "m.gguf"), ("docker.ai.license", "LICENSE"),
        ("docker.ai.license", "NOTICE"), ("docker.ai.chat.template.jinja", "new.jinja"),
        ("docker.ai.mmproj", "p.mmproj")]
    assert model["config"] == {**old["config"], "context_size": 64}
    assert len(blobs(store) - before) == 4
    got = manifest(store, model["id"])
    assert config(store, model["id"])["rootfs"]["diff_ids"] == [
        x["digest"] for x in got["layers"]]
    # The same change of the same model is the same model.
    assert made(cli, "--from", "base", "-l", tmp_path / "NOTICE", "--mmproj",
                tmp_path / "p.mmproj", "--chat-template", tmp_path / "new.jinja",
                "--context-size", "64", name="again")["id"] == model["id"]
    # The base may go.
    cli.out("rm", "base")
    assert m.http.post("/models/verify").status_code == 200
    assert layers(store, m.http.get("/models/again").json()["id"]) == layers(store, model["id"])


def test_only_another_context_is_the_servers_work(base):
    cli, m, store = base
    assert cli.out("package", "--from", "base", "--context-size", "64", "me/Small:V1") == (
        "Model variant created successfully\n")
    assert m.http.get("/models/me/small:V1").json()["config"]["context_size"] == 64
    # What it is made of is kept under another name, too.
    made(cli, "--from", "base", name="copy")
    assert m.http.get("/models/copy").json()["config"] == m.http.get(
        "/models/base").json()["config"]


def test_from_one_form_to_the_other_and_back(base):
    cli, m, store = base
    old = m.http.get("/models/base").json()
    pack = made(cli, "--from", "base", "--format", "cncf", name="pack")
    assert pack["config"] == {"architecture": "llama", "format": "gguf",
                              "paramSize": old["config"]["parameters"],
                              "quantization": old["config"]["quantization"]}
    assert [t for t, _ in layers(store, pack["id"])] == [
        "cncf.model.weight.v1.raw", "cncf.model.doc.v1.raw", "cncf.model.weight.config.v1.raw"]
    assert ask(m, "pack").status_code == 200
    for args, name in ((("--context-size", "64"), "a"),
                       (("--format", "docker", "--context-size", "64"), "b")):
        cli.out("package", "--from", "pack", *args, name)
    r = m.http.post("/models/pack/repackage", json={"target": "c", "context_size": 64})
    assert r.status_code == 201, r.text
    a, b, c = (m.http.get(f"/models/{n}").json() for n in "abc")
    assert a["id"] == b["id"] == c["id"]
    assert a["config"]["context_size"] == 64
    assert a["config"]["parameters"] == old["config"]["parameters"]
    got = manifest(store, a["id"])
    assert got["config"]["mediaType"] == DOCKER + "model.config.v0.2+json"
    assert got["layers"] == manifest(store, old["id"])["layers"]
    assert ask(m, "a").status_code == 200


def test_from_a_model_that_is_not_here_pulls_it(registry, start, here, tmp_path):
    cli, m, store = here
    (tmp_path / "m.gguf").write_bytes(TINY)
    (tmp_path / "t.jinja").write_bytes(b"{{ 1 }}")
    name = f"{registry.host}/me/pushed:v1"
    r = cli.run("package", "--gguf", str(tmp_path / "m.gguf"), "--push", name)
    assert r.returncode == 0 and r.stderr == b"", r
    assert r.stdout.startswith(b"Model loaded successfully\n")
    assert b"pushed successfully" in r.stdout
    id = m.http.get(f"/models/{name}").json()["id"]
    for i, args in enumerate([("--context-size", "64"),
                              ("--chat-template", str(tmp_path / "t.jinja"))]):
        other = start(tmp_path / f"other{i}")
        there = Cli(tmp_path, other.url)
        r = there.run("package", "--from", name, *args, "x")
        assert r.returncode == 0, r
        assert b"Model pulled successfully" in r.stderr
        assert other.http.get(f"/models/{name}").json()["id"] == id
        assert other.http.get("/models/x").json()["id"] != id


def test_a_push_that_fails_is_told_after_the_model_is_here(here, tmp_path):
    cli, m, store = here
    (tmp_path / "m.gguf").write_bytes(TINY)
    r = cli.run("package", "--gguf", str(tmp_path / "m.gguf"), "--push",
                f"localhost:{free_port()}/x:v1", timeout=120)
    assert r.returncode == 1 and b"push localhost" in r.stderr, r
    assert len(m.http.get("/models").json()) == 1


# ---- what is typed wrong ----

@pytest.mark.parametrize("args,words,status", [
    ((), "give one of --gguf", 2),
    (("--gguf", "a", "--safetensors-dir", "b"), "give one of", 2),
    (("--from", "a", "--dduf", "b"), "give one of", 2),
    (("--gguf", "m.gguf", "--format", "zip"), "docker or cncf, not zip", 2),
    (("--gguf", "m.gguf", "--format", "cncf", "--context-size", "8"), "no place for", 2),
    (("--from", "x", "--format", "cncf", "--context-size", "8"), "no place for", 2),
    (("--gguf", "m.gguf", "--context-size", "0"), "from 1 to 100000000", 2),
    (("--gguf", "m.gguf", "--context-size", "100000001"), "from 1 to", 2),
    (("--gguf", "m.gguf", "--context-size", "x"), "--context-size", 2),
    (("--safetensors-dir", "nowhere"), "nowhere: No such file", 1),
    (("--safetensors-dir", "m.gguf"), "m.gguf: Not a directory", 1),
    (("--dduf", "nowhere"), "nowhere: No such file", 1),
    (("--gguf", "m.gguf", "-l", "nowhere"), "nowhere: No such file", 1),
    (("--gguf", "m.gguf", "-l", "d"), "d is not a regular file", 1),
    (("--gguf", "m.gguf", "-l", "pipe"), "pipe is not a regular file", 1),
    (("--gguf", "m.gguf", "--mmproj", "nowhere"), "nowhere: No such file", 1),
    (("--gguf", "m.gguf", "--chat-template", "nowhere"), "nowhere: No such file", 1),
    (("--from", "sha256:" + "a" * 64, "-l", "m.gguf"), "an id does not say", 1),
    (("--from", "A B", "--context-size", "8"), "A B", 1)])
def test_wrong_input_is_told_in_a_line(here, tmp_path, args, words, status):
    cli, m, store = here
    (tmp_path / "m.gguf").write_bytes(TINY)
    (tmp_path / "d").mkdir()
    os.mkfifo(tmp_path / "pipe")
    r = subprocess.run([CLI, "package", *args, "x"], cwd=tmp_path, env=cli.env,
                       capture_output=True, timeout=60)
    lines = r.stderr.decode().splitlines()
    assert r.returncode == status and len(lines) == 1 and words in lines[0], r
    assert m.http.get("/models").json() == []


# ---- CNCF ModelPacks that others made ----

PROMPT = {"messages": [{"role": "user", "content": "Count from one to ten."}],
          "temperature": 0, "max_tokens": 16}


class ModelPack:
    """A ModelPack byte for byte as its specification has it, of these (type, path, bytes)."""

    def __init__(self, files, config=b'{"architecture":"transformer","format":"gguf",'
                                     b'"paramSize":"135m","precision":"int4"}'):
        ids = b",".join(b'"' + digest(b).encode() + b'"' for _, _, b in files)
        self.layers = [(t, b) for t, _, b in files]
        self.config = (b'{"descriptor":{"createdAt":"2026-03-04T05:06:07Z","family":"smollm",'
                       b'"name":"smollm2","licenses":["Apache-2.0"]},"modelfs":{"type":"layers",'
                       b'"diffIds":[' + ids + b']},"config":' + config + b"}")
        rows = b",".join(
            b'{"mediaType":"%s","digest":"%s","size":%d,"annotations":'
            b'{"org.cncf.model.filepath":"%s"}}' % (
                t.encode(), digest(b).encode(), len(b), path.encode()) for t, path, b in files)
        self.manifest = (
            b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",'
            b'"artifactType":"application/vnd.cncf.model.manifest.v1+json","config":{'
            b'"mediaType":"application/vnd.cncf.model.config.v1+json","digest":"%s","size":%d},'
            b'"layers":[%s],"annotations":{"org.opencontainers.image.title":"x"}}' % (
                digest(self.config).encode(), len(self.config), rows))
        self.id = digest(self.manifest)
        self.names = [digest(b) for _, b in self.layers] + [digest(self.config)]

    def blobs(self):
        return [b for _, b in self.layers] + [self.config]


def test_a_modelpack_is_pulled_and_answers_as_the_same_model_does(registry, start, own_store,
                                                                  tmp_path):
    pack = ModelPack([(CNCF + "weight.v1.raw", "SmolLM2.gguf", TEXT_GGUF.read_bytes()),
                      (CNCF + "doc.v1.raw", "docs/LICENSE", b"Apache"),
                      (CNCF + "weight.config.v1.raw", "generation_config.json", b"{}")])
    push(registry.url, "pack/smollm2", "v1", pack)
    m = start(own_store)
    cli, name = Cli(tmp_path, m.url), f"{registry.host}/pack/smollm2:v1"
    assert pull(m, name)[1][-1]["type"] == "success"
    model = json.loads(cli.out("inspect", name))
    assert model["id"] == pack.id and model["created"] == 1772600767
    assert model["config"] == json.loads(pack.config)["config"]
    row = next(r for r in cli.out("ls").splitlines() if "pack/smollm2" in r)
    assert "135m" in row and "transformer" in row
    answers = [m.http.post("/engines/v1/chat/completions", json={"model": n, **PROMPT}).json()
               for n in (TEXT, name)]
    texts = [a["choices"][0]["message"]["content"] for a in answers]
    assert texts[0] == texts[1] and len(texts[0]) > 10, answers
    # Carried to another machine, it is the same, byte for byte.
    tar = tmp_path / "pack.tar"
    cli.out("export", name, "--format", "oci", "-o", str(tar))
    other = start(tmp_path / "other")
    Cli(tmp_path, other.url).out("load", "-i", str(tar), "pack")
    assert other.http.get("/models/pack").json()["id"] == pack.id
    assert (tmp_path / "other/manifests/sha256" / pack.id[7:]).read_bytes() == pack.manifest
    # With a context it is Docker's form of the same blobs.
    cli.out("package", "--from", name, "--context-size", "1024", "wide")
    wide = m.http.get("/models/wide").json()
    assert wide["config"]["context_size"] == 1024 and wide["config"]["parameters"] == "135m"
    assert [x["digest"] for x in manifest(own_store, wide["id"])["layers"]] == pack.names[:-1]
    assert wide["created"] == model["created"]


@pytest.mark.parametrize("files,config,words", [
    ([(CNCF + "weight.v1.tar", "m.gguf", b"x" * 600)], b'{"format":"gguf"}', "in a tar cannot"),
    ([(CNCF + "weight.v1.raw", "m.safetensors", WEIGHTS)], b"{}", "convert_hf_to_gguf.py"),
    ([(CNCF + "weight.v1.raw", "m.onnx", b"x")], b'{"format":"onnx"}', "'onnx'")])
def test_a_modelpack_that_nothing_runs_is_kept_and_says_why(registry, here, files, config, words):
    cli, m, store = here
    pack = ModelPack(files, config)
    name = "pack/" + pack.id[7:19]
    push(registry.url, name, "v1", pack)
    name = f"{registry.host}/{name}:v1"
    assert pull(m, name)[1][-1]["type"] == "success"
    r = ask(m, name)
    assert r.status_code == 422 and words in r.text, r.text
    assert cli.out("rm", name).endswith(f"Deleted: {pack.id}\n")
