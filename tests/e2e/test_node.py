"""The official Node SDK; its tests are node/sdk.test.mjs."""

import os
import pathlib
import shutil
import subprocess

import pytest

from conftest import EMBED, TEXT

HERE = pathlib.Path(__file__).parent / "node"


def test_the_node_sdk(modeld):
    if not shutil.which("node") or not (HERE / "node_modules").exists():
        pytest.skip("node or its packages are missing: `make test` installs them")
    r = subprocess.run(["node", "--test", "sdk.test.mjs"], cwd=HERE, capture_output=True,
                       text=True, timeout=300,
                       env={**os.environ, "MODELD_URL": modeld.url, "TEXT_MODEL": TEXT,
                            "EMBED_MODEL": EMBED})
    assert r.returncode == 0, r.stdout + r.stderr
