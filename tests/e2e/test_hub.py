"""Pulling from Hugging Face, against a stand-in that has its API's shapes."""

import concurrent.futures
import json
import os
import re
import socket
import subprocess
import threading
import time

import pexpect
import pytest

from cli_fixtures import Cli
from conftest import BUILD, TEXT_GGUF, eventually
from hub_fixtures import CHANGED, Repo, git_hash, hub, make_gguf, sha256  # noqa: F401
from registry_fixtures import blob_path, memory, noise, pull, store  # noqa: F401

MB = 1 << 20
GGUF = "application/vnd.docker.ai.gguf.v3"
MMPROJ = "application/vnd.docker.ai.mmproj"
TEMPLATE = "application/vnd.docker.ai.chat.template.jinja"


@pytest.fixture
def begin(start, store, hub):
    """A modeld whose hub is the stand-in."""
    def go(*args, env=None, **kw):
        return start(store, *args, env={**hub.env, **(env or {})}, **kw)
    return go


def quants(folder, *names, **kw):
    return {f"{n}.gguf": make_gguf(folder, seed=n, **kw) for n in names}


def manifest_of(modeld, store, tag):
    """(manifest, config) of the model with this tag, from the disk."""
    for m in json.loads((store / "models.json").read_text())["models"] or []:
        if tag in (m["tags"] or []):
            hexes = m["id"].split(":")[1]
            manifest = json.loads((store / "manifests/sha256" / hexes).read_text())
            config = json.loads(blob_path(store, manifest["config"]["digest"]).read_text())
            return manifest, config
    raise AssertionError(f"no {tag}: {(store / 'models.json').read_text()}")


def names_of(manifest):
    return [x["annotations"]["org.cncf.model.filepath"] for x in manifest["layers"]]


def succeeds(modeld, ref, **kw):
    status, events = pull(modeld, ref, **kw)
    assert status == 200 and events[-1]["type"] == "success", events
    return events


def fails(modeld, ref, status, *words, **kw):
    got, answer = pull(modeld, ref, **kw)
    if got == 200:
        assert answer[-1]["type"] == "error", answer
        answer = answer[-1]["message"]
    else:
        assert got == status, answer
    for w in words:
        assert w in answer, answer
    assert modeld.http.get("/models").json() == []
    return answer


def cdn_bytes(hub, data):
    """Bytes of this file that the CDN was asked for."""
    return sum(range_bytes(rng, data) for _, path, rng, _ in hub.cdn.asked
               if sha256(data) in path)


def range_bytes(rng, data):
    a, b = rng[6:].split("-") if rng else (0, len(data) - 1)
    return int(b) - int(a) + 1


# ---- one model ----

def test_a_quantization_is_stored_as_package_would_and_listed(hub, begin, store, tmp_path):
    files = quants(tmp_path, "Tiny-Q4_K_M", "Tiny-Q8_0", "Tiny-IQ2_XXS")
    hub.repos["Org/Tiny-GGUF"] = Repo({**files, "README.md": b"# Tiny", ".gitattributes": b"x"})
    modeld = begin()
    events = succeeds(modeld, "hf.co/Org/Tiny-GGUF")
    data = files["Tiny-Q4_K_M.gguf"]
    assert [e["message"] for e in events[:2]] == [
        "Selected Q4_K_M quantization (default)",
        f"Found 1 file ({len(data) / MB:.2f} MB total)"]
    assert events[-2]["layer"] == {"id": f"sha256:{sha256(data)}", "size": len(data),
                                   "current": len(data)}
    assert events[-1]["message"] == "Model pulled successfully"
    tag = "huggingface.co/org/tiny-gguf:latest"
    manifest, config = manifest_of(modeld, store, tag)
    assert manifest["config"]["mediaType"] == "application/vnd.docker.ai.model.config.v0.1+json"
    assert [(x["mediaType"], x["digest"]) for x in manifest["layers"]] == [
        (GGUF, f"sha256:{sha256(data)}")]
    assert names_of(manifest) == ["Tiny-Q4_K_M.gguf"]
    assert config["descriptor"]["created"] == "2026-02-03T04:05:06Z"
    assert config["config"]["quantization"] == "MOSTLY_Q4_K_M"
    assert config["config"]["context_size"] == 4096
    assert config["rootfs"]["diff_ids"] == [f"sha256:{sha256(data)}"]
    assert blob_path(store, f"sha256:{sha256(data)}").read_bytes() == data
    listed = modeld.http.get("/models").json()
    assert [x["tags"] for x in listed] == [[tag]]
    for name in ("hf.co/Org/Tiny-GGUF", "hf.co/org/tiny-gguf:latest", tag):
        assert modeld.http.get(f"/models/{name}").json()["id"] == listed[0]["id"]
    assert [p for _, p, _, _ in hub.asked] == [
        "/api/models/Org/Tiny-GGUF/revision/main?expand=sha&expand=lastModified",
        f"/api/models/Org/Tiny-GGUF/tree/{hub.repos['Org/Tiny-GGUF'].sha}?recursive=true",
        f"/Org/Tiny-GGUF/resolve/{hub.repos['Org/Tiny-GGUF'].sha}/Tiny-Q4_K_M.gguf"]


def test_the_same_files_give_the_id_that_packaging_them_gives_twice(hub, begin, start, tmp_path,
                                                                    store):
    files = {"A-Q8_0.gguf": make_gguf(tmp_path, ftype=7), "chat_template.jinja": b"{{ messages }}",
             "mmproj-F16.gguf": make_gguf(tmp_path, "p", arch="clip")}
    hub.repos["o/a"] = Repo(files)
    one, two = begin(), start(store.parent / "other", env=hub.env)
    for m in (one, two):
        succeeds(m, "hf.co/o/a:Q8_0")
    assert one.http.get("/models").json()[0]["id"] == two.http.get("/models").json()[0]["id"]
    manifest, config = manifest_of(one, store, "huggingface.co/o/a:Q8_0")
    assert [x["mediaType"] for x in manifest["layers"]] == [GGUF, TEMPLATE, MMPROJ]
    # What `package` writes of the same files differs in nothing but the date.
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    subprocess.run([str(BUILD / "docker-model"), "package", "--gguf", "A-Q8_0.gguf",
                    "--chat-template", "chat_template.jinja", "--mmproj", "mmproj-F16.gguf",
                    "o/packed"], cwd=tmp_path, check=True, capture_output=True,
                   env={**os.environ, "MODEL_RUNNER_HOST": one.url})
    packed, packed_config = manifest_of(one, store, "docker.io/o/packed:latest")
    assert packed["layers"] == manifest["layers"]
    packed_config["descriptor"]["created"] = config["descriptor"]["created"]
    assert packed_config == config


@pytest.mark.parametrize("ask, gets", [
    ("", "M-Q4_K_M"), (":latest", "M-Q4_K_M"), (":q4_k_m", "M-Q4_K_M"), (":Q8_0", "M-Q8_0"),
    (":Q4_K", "M-Q4_K"), (":UD-Q4_K_M", "M-UD-Q4_K_M"), (":bf16", "BF16/M"),
    (":M-Q8_0.gguf", "M-Q8_0"), (":IQ2_XXS", "deep/er/M_IQ2_XXS")])
def test_a_tag_names_a_quantization_in_any_case_a_file_or_a_folder(hub, begin, store, tmp_path,
                                                                   ask, gets):
    files = quants(tmp_path, "M-Q4_K_M", "M-Q8_0", "M-Q4_K", "M-UD-Q4_K_M", "M-Q4_K_S", "BF16/M",
                   "deep/er/M_IQ2_XXS", "M-imatrix-Q8_0", size=512)
    hub.repos["o/many"] = Repo(files)
    succeeds(begin(), f"hf.co/o/many{ask}")
    manifest, _ = manifest_of(None, store, "huggingface.co/o/many" + (ask or ":latest"))
    assert [x["digest"] for x in manifest["layers"]] == [
        f"sha256:{sha256(files[gets + '.gguf'])}"]


def test_without_q4_k_m_the_first_by_name_and_it_says_so(hub, begin, store, tmp_path):
    hub.repos["o/b"] = Repo(quants(tmp_path, "M-Q8_0", "M-Q5_K_M", "M-Q6_K", size=512))
    events = succeeds(begin(), "hf.co/o/b")
    assert events[0]["message"] == "Selected Q5_K_M quantization (default)"


def test_a_quantization_that_is_not_there_is_told_with_those_that_are(hub, begin, tmp_path):
    hub.repos["o/b"] = Repo(quants(tmp_path, "M-Q8_0", "M-Q5_K_M", size=512))
    fails(begin(), "hf.co/o/b:Q4_0", 404, "Model not found", "o/b: there is no Q4_0; there is "
          "Q5_K_M, Q8_0")


def test_a_split_model_comes_whole_or_not_at_all(hub, begin, store, tmp_path):
    shards = {f"Q4_K_M/M-Q4_K_M-{i:05}-of-00003.gguf": make_gguf(tmp_path, i, split=(i, 3))
              for i in (1, 2, 3)}
    hub.repos["o/split"] = Repo({**shards, **quants(tmp_path, "M-Q8_0")})
    modeld = begin()
    lacks = dict(list(shards.items())[:2])
    hub.repos["o/lacks"] = Repo({**lacks, **quants(tmp_path, "M-Q8_0")})
    fails(modeld, "hf.co/o/lacks:Q4_K_M", 404, "file 3 of 3 is missing")
    succeeds(modeld, "hf.co/o/split")
    manifest, config = manifest_of(modeld, store, "huggingface.co/o/split:latest")
    assert [x["digest"] for x in manifest["layers"]] == [
        f"sha256:{sha256(b)}" for b in shards.values()]
    assert names_of(manifest) == [p.split("/")[1] for p in shards]
    assert config["config"]["parameters"] == "196.61K"  # of all three


@pytest.mark.parametrize("projectors, gets", [
    (("mmproj-Q8_0", "mmproj-BF16", "mmproj-F16"), "mmproj-F16"),
    (("mmproj-Q8_0", "mmproj-BF16"), "mmproj-BF16"),
    (("M.mmproj-f32",), "M.mmproj-f32"), ((), None)])
def test_a_projector_comes_along_f16_if_there_is_a_choice(hub, begin, store, tmp_path,
                                                          projectors, gets):
    files = quants(tmp_path, "M-Q4_K_M", "M-F16", *projectors, size=512)
    hub.repos["o/sees"] = Repo(files)
    succeeds(begin(), "hf.co/o/sees")
    manifest, _ = manifest_of(None, store, "huggingface.co/o/sees:latest")
    got = [(x["mediaType"], n) for x, n in zip(manifest["layers"], names_of(manifest))]
    assert got == [(GGUF, "M-Q4_K_M.gguf")] + ([(MMPROJ, gets + ".gguf")] if gets else [])


def test_a_thousand_files_by_pages(hub, begin, store, tmp_path):
    hub.page = 100
    files = {f"data/{i:04}.txt": b"%d" % i for i in range(1000)}
    files.update(quants(tmp_path, "zz-Q4_K_M"))
    hub.repos["o/large"] = Repo(files)
    modeld = begin()
    succeeds(modeld, "hf.co/o/large")
    pages = [p for _, p, _, _ in hub.asked if "/tree/" in p]
    assert len(pages) == 11 and pages[-1].endswith("cursor=1000")
    # A mirror that gives on the links of what it mirrors is asked itself.
    hub.link_base = "https://huggingface.co"
    hub.repos["o/mirrored"] = Repo({**files, "more.txt": b""})
    succeeds(modeld, "hf.co/o/mirrored")


def test_revisions_have_names_of_their_own(hub, begin, store, tmp_path):
    old, new = quants(tmp_path, "M-Q4_K_M"), {"M-Q4_K_M.gguf": make_gguf(tmp_path, "new")}
    main = Repo(new)
    first = Repo(old, changed="2025-01-01T00:00:00.000Z")
    main.at = {"main": main, "v1.0": first, first.sha: first, main.sha: main}
    hub.repos["o/versions"] = main
    first.at = main.at
    modeld = begin()
    for ref, tag, data in [
            ("hf.co/o/versions", "latest", new), ("hf.co/o/versions@v1.0", "latest--v1.0", old),
            ("hf.co/o/versions:Q4_K_M@v1.0", "Q4_K_M--v1.0", old),
            ("hf.co/o/versions@v1.0:q4_k_m", "q4_k_m--v1.0", old),
            (f"hf.co/o/versions@{first.sha}", f"latest--{first.sha}", old),
            ("hf.co/o/versions@main", "latest", new)]:
        succeeds(modeld, ref)
        manifest, _ = manifest_of(modeld, store, f"huggingface.co/o/versions:{tag}")
        assert manifest["layers"][0]["digest"] == f"sha256:{sha256(*data.values())}"
        assert modeld.http.get(f"/models/{ref}").status_code == 200
    status, text = pull(modeld, "hf.co/o/versions@v9")
    assert status == 404 and "revision v9: o/versions has no such revision" in text
    status, text = pull(modeld, "hf.co/o/versions@refs/pr/1")
    assert status == 400 and "give the commit" in text


def test_a_name_in_lower_case_finds_the_repository(hub, begin, store, tmp_path):
    hub.repos["Some-Org/A.B_c"] = Repo(quants(tmp_path, "M-Q4_K_M"))
    modeld = begin()
    succeeds(modeld, "hf.co/some-org/a.b_c")
    # The hub led us from the one to the other, and was asked by its own spelling after that.
    assert hub.asked[-1][1].startswith("/Some-Org/A.B_c/resolve/")


def test_names_with_spaces_and_other_letters_are_escaped(hub, begin, store, tmp_path):
    name = "Modèle #1 50% +?&-Q4_K_M.gguf"
    hub.repos["o/odd"] = Repo({name: make_gguf(tmp_path)})
    succeeds(begin(), "hf.co/o/odd")
    assert names_of(manifest_of(None, store, "huggingface.co/o/odd:latest")[0]) == [name]


def test_safetensors_are_stored_as_a_folder_with_a_warning(hub, begin, store):
    header = json.dumps({"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}).encode()
    weights = len(header).to_bytes(8, "little") + header + bytes(24)
    files = {"model.safetensors": weights, "config.json": b'{"max_position_embeddings": 2048}',
             "sub/tokenizer.json": b"{}", "chat_template.jinja": b"{{ x }}", "README.md": b"# R",
             "LICENSE": b"free", "logo.png": b"png", ".gitattributes": b"*"}
    hub.repos["o/safe"] = Repo(files)
    modeld = begin()
    events = succeeds(modeld, "hf.co/o/safe")
    assert [e["type"] for e in events].count("warning") == 1
    assert any("safetensors" in e["message"] for e in events if e["type"] == "warning")
    manifest, config = manifest_of(modeld, store, "huggingface.co/o/safe:latest")
    assert manifest["config"]["mediaType"] == "application/vnd.docker.ai.model.config.v0.2+json"
    kinds = {n: x["mediaType"].removeprefix("application/vnd.docker.ai.")
             for x, n in zip(manifest["layers"], names_of(manifest))}
    assert kinds == {"README.md": "model.file", "chat_template.jinja": "chat.template.jinja",
                     "config.json": "model.file", "model.safetensors": "safetensors",
                     "sub/tokenizer.json": "model.file"}
    assert config["config"]["format"] == "safetensors"
    assert config["config"]["context_size"] == 2048
    for x, n in zip(manifest["layers"], names_of(manifest)):
        assert blob_path(store, x["digest"]).read_bytes() == files[n]
    events = succeeds(modeld, "hf.co/o/safe")
    assert [e["message"] for e in events] == ["Using cached model: 66.00B"] or \
        events[-1]["message"].startswith("Using cached model")


def test_what_is_no_model_is_told(hub, begin):
    hub.repos["o/none"] = Repo({"README.md": b"# nothing", "pytorch_model.bin": b"x"})
    fails(begin(), "hf.co/o/none", 422, "o/none: it has no model files (GGUF or safetensors)")


# ---- again ----

def test_again_fetches_nothing_and_a_changed_readme_changes_nothing(hub, begin, store, tmp_path):
    files = {**quants(tmp_path, "M-Q4_K_M"), "chat_template.jinja": b"{{ 1 }}", "README.md": b"1"}
    hub.repos["o/r"] = Repo(files)
    modeld = begin()
    succeeds(modeld, "hf.co/o/r")
    before = (store / "models.json").read_bytes()
    for readme, changed in ((b"1", CHANGED), (b"2", "2026-05-05T00:00:00.000Z")):
        hub.repos["o/r"] = Repo({**files, "README.md": readme}, changed=changed)
        sent, asked = hub.cdn.sent, len(hub.asked)
        events = succeeds(modeld, "hf.co/o/r")
        assert [e["message"] for e in events] == ["Using cached model: 64KiB"]
        assert hub.cdn.sent == sent
        assert not [p for _, p, _, _ in hub.asked[asked:] if "/resolve/" in p]
        assert (store / "models.json").read_bytes() == before


def test_new_files_take_the_tag_and_what_stayed_is_not_fetched(hub, begin, store, tmp_path):
    files = {**quants(tmp_path, "M-Q4_K_M"), "mmproj-F16.gguf": make_gguf(tmp_path, "p")}
    hub.repos["o/r"] = Repo(files)
    modeld = begin()
    succeeds(modeld, "hf.co/o/r")
    new = {**files, "M-Q4_K_M.gguf": make_gguf(tmp_path, "new")}
    hub.repos["o/r"] = Repo(new)
    before = len(hub.cdn.asked)
    events = succeeds(modeld, "hf.co/o/r")
    assert events[-1]["message"] == "Model pulled successfully"
    again = [p for _, p, _, _ in hub.cdn.asked[before:]]
    assert len(again) == 1 and sha256(new["M-Q4_K_M.gguf"]) in again[0]
    manifest, _ = manifest_of(modeld, store, "huggingface.co/o/r:latest")
    assert manifest["layers"][0]["digest"] == f"sha256:{sha256(new['M-Q4_K_M.gguf'])}"


def test_a_template_that_changed_is_noticed_by_its_git_hash(hub, begin, store, tmp_path):
    files = {**quants(tmp_path, "M-Q4_K_M"), "chat_template.jinja": b"{{ 1 }}"}
    hub.repos["o/r"] = Repo(files)
    modeld = begin()
    succeeds(modeld, "hf.co/o/r")
    hub.repos["o/r"] = Repo({**files, "chat_template.jinja": b"{{ 2 }}"})
    succeeds(modeld, "hf.co/o/r")
    manifest, _ = manifest_of(modeld, store, "huggingface.co/o/r:latest")
    assert blob_path(store, manifest["layers"][1]["digest"]).read_bytes() == b"{{ 2 }}"


def test_without_the_hub_the_model_that_is_here_is_used_with_a_warning(hub, begin, start, store,
                                                                       tmp_path):
    hub.repos["o/r"] = Repo(quants(tmp_path, "M-Q4_K_M"))
    modeld = begin()
    succeeds(modeld, "hf.co/o/r")
    hub.lie = lambda h: h.connection.shutdown(socket.SHUT_RDWR) or True
    hub.stop()
    events = succeeds(modeld, "hf.co/O/R")
    assert [e["type"] for e in events] == ["warning", "success"]
    assert "may be old" in events[0]["message"]
    status, text = pull(modeld, "hf.co/o/other")
    assert status == 500 and "error while pulling model" in text


def test_a_model_deleted_while_the_hub_is_asked_is_pulled_anew(hub, begin, store, tmp_path):
    hub.repos["o/r"] = Repo(quants(tmp_path, "M-Q4_K_M"))
    modeld = begin()
    succeeds(modeld, "hf.co/o/r")

    def delete(h):
        if "/tree/" in h.path:
            hub.lie = lambda h: False
            assert modeld.http.delete("/models/hf.co/o/r").status_code == 200
        return False
    hub.lie = delete
    assert succeeds(modeld, "hf.co/o/r")[-1]["message"] == "Model pulled successfully"
    assert len(modeld.http.get("/models").json()) == 1


def test_a_blob_that_is_gone_is_fetched_again(hub, begin, store, tmp_path):
    files = quants(tmp_path, "M-Q4_K_M")
    hub.repos["o/r"] = Repo(files)
    modeld = begin()
    succeeds(modeld, "hf.co/o/r")
    blob_path(store, f"sha256:{sha256(*files.values())}").unlink()
    assert succeeds(modeld, "hf.co/o/r")[-1]["message"] == "Model pulled successfully"
    assert blob_path(store, f"sha256:{sha256(*files.values())}").exists()


# ---- large files: resume, joining, cancelling ----

def large(tmp_path, size=80 * MB, seed="large"):
    return make_gguf(tmp_path, seed, size=size)


def test_an_interrupted_pull_goes_on_where_it_was(hub, begin, store, tmp_path):
    data = large(tmp_path, 150 * MB)
    hub.repos["o/r"] = Repo({"M-Q4_K_M.gguf": data})
    modeld = begin()
    hold = threading.Event()
    hub.cdn.on_piece = lambda: hub.cdn.sent > 70 * MB and hold.wait(120)

    def there():
        return sum(p.stat().st_blocks * 512 for p in (store / "blobs/sha256").glob("*"))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pulling = pool.submit(pull, modeld, "hf.co/o/r")
        eventually(lambda: there() > 60 * MB)
        modeld.process.kill()
        with pytest.raises(Exception):
            pulling.result()
    hold.set()
    modeld.process.wait()
    there = there()
    hub.cdn.asked.clear()
    succeeds(begin(), "hf.co/o/r")
    assert cdn_bytes(hub, data) <= len(data) - there + 4 * MB
    assert blob_path(store, f"sha256:{sha256(data)}").read_bytes() == data


def test_a_cut_connection_is_taken_up_where_it_was(hub, begin, store, tmp_path):
    data = large(tmp_path)
    hub.repos["o/r"] = Repo({"M-Q4_K_M.gguf": data})
    modeld = begin()
    hub.cdn.left = 50 * MB
    again = []

    def lie(h):
        if hub.cdn.left is not None and hub.cdn.left <= 0:
            hub.cdn.left = None
        if hub.cdn.left is None:
            again.append(range_bytes(h.headers["Range"], data))
        return False
    hub.cdn.lie = lie
    succeeds(modeld, "hf.co/o/r")
    # Nothing that it had on the disk then is fetched again.
    had = int(re.findall(r"blob is tried again blob=\S+ bytes=(\d+)", modeld.log())[0])
    assert had > 0 and sum(again) == len(data) - had
    assert blob_path(store, f"sha256:{sha256(data)}").read_bytes() == data


def test_a_link_to_the_cdn_that_has_run_out_is_asked_for_anew(hub, begin, store, tmp_path):
    data = large(tmp_path, 250 * MB)
    hub.repos["o/r"] = Repo({"M-Q4_K_M.gguf": data})
    modeld = begin()

    def expire():
        if hub.cdn.sent > 40 * MB and hub.cdn.signature == "s1":
            hub.cdn.signature = "s2"
    hub.cdn.on_piece = expire
    succeeds(modeld, "hf.co/o/r")
    assert len([p for _, p, _, _ in hub.asked if "/resolve/" in p]) >= 2
    assert blob_path(store, f"sha256:{sha256(data)}").read_bytes() == data


def test_two_pulls_of_one_file_fetch_it_once_by_whatever_name(hub, begin, store, tmp_path):
    data = large(tmp_path)
    hub.repos["o/one"] = Repo({"M-Q4_K_M.gguf": data})
    hub.repos["o/two"] = Repo({"N-Q8_0.gguf": data})
    modeld = begin()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda ref: succeeds(modeld, ref), ("hf.co/o/one", "hf.co/o/two")))
    assert cdn_bytes(hub, data) == len(data)
    assert len(modeld.http.get("/models").json()) == 2


def test_a_pull_ends_with_its_client_and_the_next_goes_on(hub, begin, store, tmp_path):
    data = large(tmp_path, 250 * MB)
    hub.repos["o/r"] = Repo({"M-Q4_K_M.gguf": data})
    modeld = begin()
    hold = threading.Event()
    hub.cdn.on_piece = lambda: hub.cdn.sent > 40 * MB and hold.wait(120)
    with modeld.http.stream("POST", "/models/create", json={"from": "hf.co/o/r"},
                            headers={"Accept": "application/json"}) as r:
        # All that was sent comes to the disk, but for less than a piece of each connection.
        told = next(n for n in (json.loads(line)["layer"]["current"] for line in r.iter_lines())
                    if n > 36 * MB)
    hold.set()
    eventually(lambda: hub.cdn.active == 0)
    assert hub.cdn.sent < len(data)
    hub.cdn.asked.clear()
    succeeds(modeld, "hf.co/o/r")
    assert cdn_bytes(hub, data) <= len(data) - told
    assert blob_path(store, f"sha256:{sha256(data)}").read_bytes() == data


@pytest.mark.parametrize("how", ["the client leaves", "modeld ends"])
@pytest.mark.parametrize("stage", ["/revision/", "/tree/", ".jinja", "/M-Q4_K_M.gguf"])
def test_a_pull_may_end_at_any_stage(hub, begin, store, tmp_path, stage, how):
    hub.repos["o/r"] = Repo({**quants(tmp_path, "M-Q4_K_M"), "t.jinja": b"{{ 1 }}"})
    modeld = begin()
    asked, go_on = threading.Event(), threading.Event()

    def hang(h):
        if stage in h.path and not go_on.is_set():
            asked.set()
            go_on.wait(60)
        return False
    hub.lie = hang
    s = modeld.connect()
    body = b'{"from":"hf.co/o/r"}'
    s.sendall(b"POST /models/create HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
              % len(body) + body)
    assert asked.wait(60)
    if how == "modeld ends":
        modeld.stop()
        got = b"".join(iter(lambda: s.recv(65536), b""))
        assert b"modeld stops" in got
        go_on.set()
        modeld = begin()
    else:
        s.close()
        go_on.set()
    succeeds(modeld, "hf.co/o/r")


# ---- who may ----

def test_a_token_goes_to_the_hub_and_to_nobody_else(hub, begin, store, tmp_path):
    repo = hub.repos["o/private"] = Repo({**quants(tmp_path, "M-Q4_K_M"), "t.jinja": b"{{ 1 }}"})
    repo.private = True
    modeld = begin()
    fails(modeld, "hf.co/o/private", 401, "Unauthorized", "no public repository o/private",
          "HF_TOKEN")
    fails(modeld, "hf.co/o/private", 401, "does not accept the token",
          **{"bearer-token": "hf_wrong"})
    hub.asked.clear()
    succeeds(modeld, "hf.co/o/private", **{"bearer-token": hub.token})
    assert {a for _, _, _, a in hub.asked} == {f"Bearer {hub.token}"}
    assert {a for _, _, _, a in hub.cdn.asked} == {None}
    assert hub.token not in modeld.log()


@pytest.mark.parametrize("where", ["HF_TOKEN", "HF_TOKEN_PATH", "HF_HOME", "HOME"])
def test_the_daemons_token_may_be_in_the_usual_places(hub, begin, tmp_path, where):
    hub.repos["o/private"] = Repo(quants(tmp_path, "M-Q4_K_M"))
    hub.repos["o/private"].private = True
    path = {"HF_TOKEN_PATH": tmp_path / "t", "HF_HOME": tmp_path / "hf" / "token",
            "HOME": tmp_path / "home/.cache/huggingface/token"}.get(where)
    value = hub.token
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(hub.token + "\n")
        value = {"HF_TOKEN_PATH": path, "HF_HOME": path.parent,
                 "HOME": tmp_path / "home"}[where]
    succeeds(begin(env={where: str(value)}), "hf.co/o/private")


def test_a_gated_repository_says_what_to_do(hub, begin, tmp_path):
    repo = hub.repos["meta/Llama"] = Repo(quants(tmp_path, "M-Q4_K_M"))
    repo.gated = True
    modeld = begin()
    fails(modeld, "hf.co/meta/Llama", 401, "Unauthorized", "meta/Llama is gated",
          "accept its conditions at", "/meta/Llama", "HF_TOKEN")
    repo.gated = "refused"
    fails(modeld, "hf.co/meta/Llama", 401, "the token's account has no access yet",
          **{"bearer-token": hub.token})
    repo.gated = True
    succeeds(modeld, "hf.co/meta/Llama", **{"bearer-token": hub.token})


def test_what_does_not_exist_is_not_found(hub, begin):
    modeld = begin()
    fails(modeld, "hf.co/o/nothing", 401, "no public repository o/nothing")
    fails(modeld, "hf.co/o/nothing", 404, "Model not found", "o/nothing",
          **{"bearer-token": hub.token})
    fails(modeld, "hf.co/o/nothing@sha256:" + "0" * 64, 404, "a hub knows no digests")


def test_too_many_requests_are_told_and_a_short_pause_is_kept(hub, begin, tmp_path):
    hub.repos["o/r"] = Repo(quants(tmp_path, "M-Q4_K_M"))
    modeld = begin()
    busy = []
    hub.lie = lambda h: busy.append(time.monotonic()) or \
        h.send(429, {"error": "busy"}, RateLimit='"api";r=0;t=55') or True
    fails(modeld, "hf.co/o/r", 503, "too many requests", "in 55 s", "HF_TOKEN")
    assert len(busy) == 1  # nobody who must wait for a minute is asked thrice
    busy.clear()
    hub.lie = lambda h: len(busy) < 1 and (busy.append(time.monotonic()) or h.send(
        429, {"error": "busy"}, Retry_After="1") or True)
    succeeds(modeld, "hf.co/o/r")
    assert time.monotonic() - busy[0] >= 1


def test_a_key_that_names_models_may_pull_those(hub, begin, tmp_path):
    hub.repos["good/m"] = hub.repos["other/m"] = Repo(quants(tmp_path, "M-Q4_K_M"))
    key, keys = "mdk_" + "k" * 43, tmp_path / "keys.json"
    keys.write_text(json.dumps({"keys": [{
        "name": "k", "hash": "sha256:" + sha256(key.encode()), "classes": ["infer", "manage"],
        "models": ["hf.co/good/*"]}]}))
    keys.chmod(0o600)
    modeld = begin("--keys", str(keys))
    modeld.http.headers["Authorization"] = f"Bearer {key}"
    assert pull(modeld, "hf.co/other/m")[0] in (403, 404)
    assert hub.asked == []
    succeeds(modeld, "hf.co/Good/m@main")


def test_a_mirror_may_lie_below_a_path(hub, begin, tmp_path):
    hub.repos["o/r"] = Repo({**quants(tmp_path, "M-Q4_K_M"),
                             **{f"{i}.txt": b"" for i in range(20)}})
    hub.page, hub.link_base = 10, hub.url + "/hf"

    def strip(h):
        assert h.path.startswith("/hf/")
        h.path = h.path[3:]
        return False
    hub.lie = strip
    succeeds(begin(env={"HF_ENDPOINT": hub.url + "/hf/"}), "hf.co/o/r")


def test_an_endpoint_that_is_no_url_is_told_at_the_start(tmp_path):
    r = subprocess.run([str(BUILD / "modeld"), "--port", "0", "--socket", "off",
                        "--store", str(tmp_path)], capture_output=True, text=True, timeout=60,
                       env={**os.environ, "HF_ENDPOINT": "huggingface", "HOME": str(tmp_path)})
    assert r.returncode != 0 and "HF_ENDPOINT" in r.stderr


# ---- a hub that lies ----

def lists(hub, change):
    """Every answer of the tree goes through `change`."""
    def lie(h):
        if "/tree/" not in h.path:
            return False
        repo = next(iter(hub.repos.values()))
        body = change(list(repo.entries()))
        h.send(200, body, Content_Type="application/json")
        return True
    hub.lie = lie


def nothing_stored(store):
    folder = store / "blobs/sha256"
    return not [p for p in folder.iterdir() if "incomplete" not in p.name] \
        if folder.exists() else True


@pytest.mark.parametrize("wrong", [b"x", b"longer"])
def test_a_large_file_of_another_hash_is_not_stored(hub, begin, store, tmp_path, wrong):
    data = make_gguf(tmp_path)
    hub.repos["o/r"] = Repo({"M-Q4_K_M.gguf": data})
    hub.served["M-Q4_K_M.gguf"] = data[:-1] + b"!" if wrong == b"x" else data + wrong
    words = "digest mismatch" if wrong == b"x" else "it should have"
    fails(begin(), "hf.co/o/r", 500, words)
    assert nothing_stored(store)


def test_a_small_file_of_another_hash_or_length_is_not_stored(hub, begin, store, tmp_path):
    hub.repos["o/r"] = Repo({**quants(tmp_path, "M-Q4_K_M"), "chat_template.jinja": b"{{ 1 }}"})
    modeld = begin()
    for body, words in ((b"{{ 2 }}", "has the hash"), (b"{{ 1", "bytes, the hub's list says"),
                        (b"{{ 1 }}" * 99, "larger than")):
        hub.lie = lambda h, body=body: h.path.endswith(".jinja") and not h.send(200, body)
        fails(modeld, "hf.co/o/r", 500, words)
        assert nothing_stored(store)


@pytest.mark.parametrize("name", [
    "../../../../etc/M-Q4_K_M.gguf", "/etc/M-Q4_K_M.gguf", "a/../../M-Q4_K_M.gguf", "a//M.gguf",
    "./M.gguf", "..", "a\\M.gguf", "M\n-Q4_K_M.gguf", "M\x1b[2J.gguf", "", "x" * 1025 + ".gguf",
    "M-Q4_K_M.gguf/"])
def test_a_path_that_leaves_its_folder_is_refused(hub, begin, store, tmp_path, name):
    hub.repos["o/r"] = Repo(quants(tmp_path, "M-Q4_K_M"))
    lists(hub, lambda entries: [{**entries[0], "path": name}])
    fails(begin(), "hf.co/o/r", 500, "a name that no file of a repository has")
    assert nothing_stored(store) and not [p for p in hub.asked if "/resolve/" in p[1]]


@pytest.mark.parametrize("change, words", [
    (lambda e: {**e, "lfs": {**e["lfs"], "size": -1}}, "a size that no file has"),
    (lambda e: {**e, "lfs": {**e["lfs"], "size": 1 << 62}}, "a size that no file has"),
    (lambda e: {**e, "lfs": {**e["lfs"], "size": "1"}}, "a size that no file has"),
    (lambda e: {**e, "lfs": {**e["lfs"], "size": 1 << 45}}, "no space left"),
    (lambda e: {**e, "lfs": {**e["lfs"], "oid": "../../x"}}, "without a SHA-256"),
    (lambda e: {**e, "lfs": {**e["lfs"], "oid": "A" * 64}}, "without a SHA-256"),
    (lambda e: {**e, "lfs": "yes"}, "without a SHA-256"),
    (lambda e: {**e, "lfs": None, "oid": "0"}, "without a hash"),
    (lambda e: {**e, "lfs": None, "size": 1 << 30}, "too large to go without"),
    (lambda e: {**e, "size": None}, "a size that no file has"),
    (lambda e: {**e, "path": 5}, "an entry that is none"),
    (lambda e: ["no"], "an entry that is none"),
    (lambda e: {**e, "more": "x" * 20000}, "no list of files")])
def test_an_entry_that_cannot_be_true_is_refused(hub, begin, store, tmp_path, change, words):
    hub.repos["o/r"] = Repo(quants(tmp_path, "M-Q4_K_M"))
    lists(hub, lambda entries: [change(e) for e in entries])
    status, text = pull(begin(), "hf.co/o/r")
    text = text if status != 200 else text[-1]["message"]
    assert words in text and nothing_stored(store)


@pytest.mark.parametrize("body", [
    b"", b"{", b"[", b"[]]", b"[,]", b"[1", b"{}", b"null", b'"x"', b"[" * 100000, b'["' * 50000,
    b"\x00", b"<html>please log in</html>", b'[{"type":"file","path":"a","path":"b"}]',
    b"[" + b"[]," * 500000 + b"[]]", b" " * (5 << 20)])
def test_an_answer_that_is_no_list_is_told(hub, begin, store, tmp_path, body):
    hub.repos["o/r"] = Repo(quants(tmp_path, "M-Q4_K_M"))
    lists(hub, lambda entries: body)
    modeld = begin()
    text = fails(modeld, "hf.co/o/r", 500)
    assert "no list of files" in text or "an entry that is none" in text or "larger than" in text
    hub.lie = lambda h: "/revision/" in h.path and not h.send(200, body)
    text = fails(modeld, "hf.co/o/r", 500)
    assert "no description" in text or "which commit" in text or "larger than" in text
    assert nothing_stored(store)


def test_pages_without_end_end(hub, begin, tmp_path):
    hub.repos["o/r"] = Repo(quants(tmp_path, "M-Q4_K_M"))
    hub.lie = lambda h: "/tree/" in h.path and not h.send(
        200, [], Link=f"<{hub.url}{h.path.split('&')[0]}&cursor={len(hub.asked)}>; rel=\"next\"")
    fails(begin(), "hf.co/o/r", 422, "more than 200 pages")
    assert len(hub.asked) < 210


@pytest.mark.parametrize("link", ["http://169.254.169.254/latest/meta-data", "/metrics", "//evil/x",
                                  "file:///etc/passwd", "/api/modelsX"])
def test_a_next_page_that_is_elsewhere_is_not_asked_for(hub, begin, tmp_path, link):
    hub.repos["o/r"] = Repo(quants(tmp_path, "M-Q4_K_M"))
    hub.lie = lambda h: "/tree/" in h.path and not h.send(200, [], Link=f'<{link}>; rel="next"')
    fails(begin(), "hf.co/o/r", 500, "at a place that is no list")
    assert len(hub.asked) == 2


@pytest.mark.parametrize("to", ["http://169.254.169.254/x", "http://10.1.2.3/x", "ftp://x/y",
                                "http://192.168.0.1:5000/x"])
def test_a_redirect_into_the_network_is_not_followed(hub, begin, tmp_path, to):
    hub.repos["o/r"] = Repo(quants(tmp_path, "M-Q4_K_M"))
    hub.lie = lambda h: "/resolve/" in h.path and not h.send(302, b"", Location=to)
    text = fails(begin(), "hf.co/o/r", 500)
    assert "sends us to" in text or "URL" in text or "http" in text


def test_a_file_that_is_no_gguf_is_refused(hub, begin, store):
    hub.repos["o/r"] = Repo({"M-Q4_K_M.gguf": b"GGUF" + bytes(100)})
    text = fails(begin(), "hf.co/o/r", 422, "M-Q4_K_M.gguf")
    assert "/blobs/" not in text and str(store) not in text


def test_a_damaged_header_is_refused_and_the_daemon_lives(hub, begin, store, tmp_path):
    whole = make_gguf(tmp_path)
    modeld = begin()
    for i, n in enumerate((30, 60, 200)):
        bad = whole[:8] + b"\xff" * n + whole[8 + n:]
        hub.repos[f"o/bad{i}"] = Repo({"M-Q4_K_M.gguf": bad})
        fails(modeld, f"hf.co/o/bad{i}", 422)
    assert modeld.http.get("/models").json() == []


# ---- the CLI ----

def cli(modeld, *args, env=None):
    return subprocess.run([str(BUILD / "docker-model"), *args], capture_output=True, text=True,
                          timeout=120, env={**os.environ, "MODEL_RUNNER_HOST": modeld.url,
                                            "HF_TOKEN": "", **(env or {})})


def test_all_commands_take_the_short_name(hub, begin, store, tmp_path):
    hub.repos["Org/Tiny-GGUF"] = Repo(quants(tmp_path, "T-Q4_K_M", "T-Q8_0"))
    modeld = begin()
    r = cli(modeld, "pull", "hf.co/Org/Tiny-GGUF:Q8_0")
    assert r.returncode == 0, r
    assert r.stdout.splitlines()[:2] == ["Selected Q8_0 quantization",
                                         "Found 1 file (0.06 MB total)"]
    assert r.stdout.splitlines()[-1] == "Model pulled successfully"
    assert "huggingface.co/org/tiny-gguf:Q8_0" in cli(modeld, "list").stdout
    assert cli(modeld, "inspect", "hf.co/Org/Tiny-GGUF:Q8_0").returncode == 0
    assert cli(modeld, "tag", "hf.co/Org/Tiny-GGUF:Q8_0", "mine").returncode == 0
    assert cli(modeld, "rm", "hf.co/Org/Tiny-GGUF:Q8_0").returncode == 0
    assert cli(modeld, "rm", "mine").returncode == 0
    assert modeld.http.get("/models").json() == []


def test_the_cli_sends_the_users_token_to_the_hub_only(hub, begin, tmp_path):
    hub.repos["o/private"] = Repo(quants(tmp_path, "M-Q4_K_M"))
    hub.repos["o/private"].private = True
    modeld = begin()
    r = cli(modeld, "pull", "hf.co/o/private")
    assert r.returncode == 1 and len(r.stderr.splitlines()) == 1
    assert "HF_TOKEN" in r.stderr
    r = cli(modeld, "pull", "hf.co/o/private", env={"HF_TOKEN": hub.token})
    assert r.returncode == 0, r
    # A registry is asked without it: one that is not there cannot refuse it.
    r = cli(modeld, "pull", "127.0.0.1:9/o/x", env={"HF_TOKEN": "with spaces in it"})
    assert "bearer" not in r.stderr and r.returncode == 1


def test_in_a_terminal_bars_follow_the_words(hub, begin, tmp_path):
    data = large(tmp_path, 40 * MB)
    hub.repos["o/r"] = Repo({"M-Q4_K_M.gguf": data, "M-Q8_0.gguf": make_gguf(tmp_path)})
    modeld = begin()
    t = Cli(tmp_path, modeld.url).terminal("pull", "hf.co/o/r")
    t.expect_exact("Selected Q4_K_M quantization (default)")
    t.expect_exact("Found 1 file (40.00 MB total)")
    t.expect_exact(f"{sha256(data)[:12]}: Pull complete", timeout=60)
    t.expect_exact("Model pulled successfully")
    t.expect(pexpect.EOF)
    t.close()
    assert t.exitstatus == 0


# ---- the real thing ----

def test_a_real_model_is_pulled_and_asked(hub, begin):
    hub.repos["HuggingFaceTB/SmolLM2-135M-Instruct-GGUF"] = Repo(
        {"SmolLM2-135M-Instruct-Q4_1.gguf": TEXT_GGUF.read_bytes()})
    modeld = begin()
    name = "hf.co/HuggingFaceTB/SmolLM2-135M-Instruct-GGUF:Q4_1"
    succeeds(modeld, name)
    r = modeld.http.post("/engines/v1/chat/completions", json={
        "model": name, "max_tokens": 16, "temperature": 0,
        "messages": [{"role": "user", "content": "What is the capital of France?"}]})
    assert r.status_code == 200, r.text
    assert len(r.json()["choices"][0]["message"]["content"]) > 10
    assert r.json()["usage"]["completion_tokens"] == 16
    r = cli(modeld, "run", name, "Say hello.")
    assert r.returncode == 0 and len(r.stdout) > 5, r


def test_run_pulls_what_is_missing(hub, begin):
    hub.repos["o/SmolLM2"] = Repo({"SmolLM2-Q4_1.gguf": TEXT_GGUF.read_bytes()})
    r = cli(begin(), "run", "hf.co/o/SmolLM2", "Say hello.")
    assert r.returncode == 0 and "Model pulled successfully" in r.stdout + r.stderr, r
