"""make install and make uninstall, into a folder of the test's own."""

import os
import pathlib
import subprocess

import httpx
import pytest

import conftest

PREFIX = "/opt/modeld"


def make(target, dest):
    subprocess.run(["make", "--no-print-directory", target, f"PREFIX={PREFIX}",
                    f"DESTDIR={dest}"], cwd=conftest.ROOT, check=True, timeout=600,
                   env={**os.environ, "MODELD_BUILD": str(conftest.BUILD)})


def files(folder):
    return {str(p.relative_to(folder)) for p in folder.rglob("*")}


@pytest.fixture
def installed(tmp_path):
    """PREFIX under a DESTDIR, where a file of somebody else lies already."""
    root = tmp_path / "dest" / PREFIX.lstrip("/")
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "other").write_text("not ours")
    make("install", tmp_path / "dest")
    return root


def test_install_puts_everything_in_its_place(installed):
    assert files(installed) >= {
        "bin/modeld", "bin/modeld-docker", "bin/docker-model",
        "libexec/modeld/modeld-llama", "libexec/modeld/modeld-probe",
        "lib/systemd/system/modeld.target", "lib/systemd/system/modeld-docker.socket",
        "lib/docker/cli-plugins/docker-model", "lib/sysusers.d/modeld.conf",
        "share/man/man1/docker-model.1", "share/man/man5/modeld.json.5",
        "share/man/man8/modeld.8", "share/man/man8/modeld-docker.8",
        "share/man/man8/modeld-llama.8"}
    for kind in ("system", "user"):
        unit = installed / "lib/systemd" / kind / "modeld.service"
        assert f"ExecStart={PREFIX}/bin/modeld\n" in unit.read_text()
    for unit in ("net", "listen", "names", "docker", "take", "release"):
        text = (installed / f"lib/systemd/system/modeld-{unit}.service").read_text()
        assert f"={PREFIX}/bin/modeld-docker " in text and "@CMAKE" not in text
    plugin = installed / "lib/docker/cli-plugins/docker-model"
    assert plugin.resolve() == installed / "bin/docker-model"


def test_an_installed_modeld_answers_with_the_installed_engine(
        installed, models_store, tmp_path):
    r, w = os.pipe()
    sock = tmp_path / "s"
    daemon = subprocess.Popen(
        [str(installed / "bin/modeld"), "--port", "off", "--socket", str(sock),
         "--store", str(models_store), "--ready-fd", str(w)], pass_fds=[w])
    os.close(w)
    assert os.read(r, 1) == b"\n"
    os.close(r)
    uds = httpx.HTTPTransport(uds=str(sock))
    with httpx.Client(transport=uds, base_url="http://localhost", timeout=120) as c:
        got = c.post("/v1/completions", json={
            "model": conftest.TEXT, "prompt": "Hello", "max_tokens": 4})
        assert got.status_code == 200, got.text
        worker = subprocess.check_output(["pgrep", "-P", str(daemon.pid)], text=True)
        maps = pathlib.Path(f"/proc/{worker.strip()}/maps").read_text()
    daemon.terminate()
    assert daemon.wait(60) == 0
    engine = {line.split(None, 5)[5] for line in maps.splitlines()
              if "libllama" in line or "libggml" in line}
    folder = str(installed / "libexec/modeld/lib")
    assert engine and all(path.startswith(folder) for path in engine), engine


def test_a_second_install_replaces_the_first(installed, tmp_path):
    before = files(installed)
    make("install", tmp_path / "dest")
    assert files(installed) == before


def test_uninstall_leaves_only_what_was_not_ours(installed, tmp_path):
    make("uninstall", tmp_path / "dest")
    assert files(installed) == {"bin", "bin/other"}
