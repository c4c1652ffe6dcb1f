"""debian_root.py OUT - a root file system of Debian 12 with Python and OpenAI's library in
/opt/site, as a tar; for tests that need a container with more than busybox. Run by root, with
build/venv's Python.

debootstrap makes it from the mirror that apt is set up with. apt itself brings the files, so
its proxies, passwords and certificates are used, and debootstrap checks them against Debian's
keys. MODELD_DEBIAN_MIRROR names another mirror."""

import importlib.metadata
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SUITE = "bookworm"
PYTHON = "3.11"  # that suite's
REQUIREMENTS = pathlib.Path(__file__).parents[1] / "e2e" / "requirements.txt"

# debootstrap calls: wget [OPTIONS] -O FILE URL.
WGET = """#!/bin/sh
while [ $# -gt 2 ]; do shift; done
exec /usr/lib/apt/apt-helper -q -o APT::Sandbox::User=root download-file "$2" "$1"
"""

# What nobody reads in a container.
UNREAD = ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/cache/apt",
          "var/lib/apt/lists")


def apt_targets(*options):
    out = subprocess.run(["apt-get", "indextargets", *options, "Created-By: Packages"],
                         capture_output=True, text=True, check=True).stdout
    return [dict(re.findall(r"^([\w-]+): (.*)$", target, re.M)) for target in out.split("\n\n")]


def mirror():
    """The address of Debian's archive, and the keys it is signed with if not Debian's own."""
    named = os.environ.get("MODELD_DEBIAN_MIRROR")
    if named:
        return named, None
    # Before its first update apt knows neither origins nor code names.
    for t in apt_targets() + apt_targets("--no-release-info"):
        if (t.get("Origin", "Debian") == "Debian" and t.get("Component") == "main" and
                SUITE in (t.get("Codename"), t.get("Release"))):
            keys = t.get("Signed-By", "")
            return t["Repo-URI"], keys if keys.endswith(".gpg") else None
    sys.exit(f"apt has no mirror of Debian's {SUITE} here\n"
             "  what to do: set MODELD_DEBIAN_MIRROR to the address of one")


def bootstrap(root, scratch):
    url, keys = mirror()
    (scratch / "wget").write_text(WGET)
    (scratch / "wget").chmod(0o755)
    subprocess.run(
        # Mounts of its own: whatever becomes of it, none are left in the tree.
        ["unshare", "--mount", "debootstrap", "--variant=minbase", "--include=python3",
         *([f"--keyring={keys}"] if keys else []), "--force-check-gpg", SUITE, root, url],
        env={**os.environ, "PATH": f"{scratch}:/usr/sbin:/sbin:{os.environ['PATH']}"}, check=True)
    for folder in UNREAD:
        shutil.rmtree(root / folder)


def needed(name, found):
    """Adds a package and all that it needs."""
    try:
        dist = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return  # of another platform
    if dist.name.lower() in found:
        return
    found.add(dist.name.lower())
    for line in dist.requires or []:
        if "extra ==" not in line:
            needed(re.match(r"[\w.-]+", line)[0], found)


def install_openai(root, scratch):
    """As the tests have it here, but for that Python; pinned by the same hashes."""
    names = set()
    needed("openai", names)
    wanted = [block for block in re.split(r"\n(?=\w)", REQUIREMENTS.read_text())
              if re.match(r"[\w.-]+", block) and
              re.match(r"[\w.-]+", block)[0].lower().replace("-", "_") in
              {n.replace("-", "_") for n in names}]
    pins = scratch / "requirements.txt"
    pins.write_text("\n".join(wanted))
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
         "--require-hashes", "--only-binary", ":all:", "--no-deps", "--no-compile",
         "--python-version", PYTHON, "--target", root / "opt" / "site", "-r", pins], check=True)


def main(out):
    with tempfile.TemporaryDirectory(dir=out.parent, prefix="debian.") as folder:
        scratch = pathlib.Path(folder)
        root = scratch / "root"
        root.mkdir()
        bootstrap(root, scratch)
        install_openai(root, scratch)
        subprocess.run(["tar", "-C", root, "--one-file-system", "-cf", scratch / "tar", "."],
                       check=True)
        (scratch / "tar").rename(out)


main(pathlib.Path(sys.argv[1]).resolve())
