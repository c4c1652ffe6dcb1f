"""A host with Docker Engine, made of namespaces: mounts, network and processes of its
own, a private /run and /etc/hosts. So tests use the real paths (/run/docker.sock,
/run/netns ...), leave nothing behind, and several run beside each other. Ends with its
first process: whatever runs in it dies then.
"""

import os
import pathlib
import re
import shutil
import signal
import subprocess

import pytest

from conftest import BUILD, eventually

BUSYBOX = shutil.which("busybox")
NAME = "model-runner.docker.internal"
ADDRESS = "169.254.255.81"

# The first process of the host. It says "up" when the mounts are made, and then collects
# the dead until its standard input ends.
INIT = r"""
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock "$1/root" "$1/etc-docker" "$1/lib" "$1/etc-modeld" "$1/lib-docker" \
    "$1/no-docker" /etc/modeld /etc/docker /var/lib/modeld /var/lib/modeld-docker /var/lib/docker
printf '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n127.0.1.1\ttesthost\n' >"$1/hosts"
mount --bind "$1/hosts" /etc/hosts
mount --bind "$1/etc-docker" /etc/docker
mount --bind "$1/etc-modeld" /etc/modeld
mount --bind "$1/lib" /var/lib/modeld
mkdir -p "$1/log"
mount --bind "$1/log" /var/log
mount --bind "$1/lib-docker" /var/lib/modeld-docker
mount --bind "$1/no-docker" /var/lib/docker # not the machine's
ip link set lo up
sysctl -qw net.ipv4.ip_forward=1
echo up
trap '' TERM INT
while read -r line; do :; done
"""


class Host:
    """run() and popen() run things on it; docker() runs the real docker CLI."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data_root = self.folder / "root"
        self.children = []
        self.dockerd = None
        self.init = subprocess.Popen(
            ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child",
             "--mount-proc", "bash", "-c", INIT, "init", str(self.folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.init.stdout.readline() == "up\n"
        kids = pathlib.Path(f"/proc/{self.init.pid}/task/{self.init.pid}/children")
        self.pid = int(kids.read_text().split()[0])

    def enter(self, *args):
        return ["nsenter", "-t", str(self.pid), "-m", "-n", "-p", "--", *map(str, args)]

    def popen(self, *args, **kw):
        kw.setdefault("stdin", subprocess.DEVNULL)
        child = subprocess.Popen(self.enter(*args), **kw)
        self.children.append(child)
        return child

    def run(self, *args, check=True, timeout=120, **kw):
        # 0 would be our own process group.
        assert args[0] != "kill" or all(int(a) > 1 for a in args[1:] if str(a)[0] != "-"), args
        kw.setdefault("text", True)
        if "input" not in kw:
            kw.setdefault("stdin", subprocess.DEVNULL)
        r = subprocess.run(self.enter(*args), capture_output=True, timeout=timeout, **kw)
        assert not check or r.returncode == 0, \
            f"{args} ended with {r.returncode}: {r.stdout} {r.stderr}"
        return r

    def out(self, *args, **kw):
        return self.run(*args, **kw).stdout

    def sh(self, script, **kw):
        return self.out("sh", "-c", script, **kw)

    def docker(self, *args, **kw):
        return self.out("docker", *args, **kw)

    def ready(self, *args, log=None, env=None):
        """Starts a program of ours and waits for its --ready-fd."""
        r, w = os.pipe()
        with open(log or os.devnull, "ab") as out:
            child = self.popen(*args, "--ready-fd", w, pass_fds=[w], stdout=out, stderr=out,
                               env={**os.environ, **(env or {})})
        os.close(w)
        said = os.read(r, 1)
        os.close(r)
        assert said == b"\n", f"{args}: {pathlib.Path(log).read_text() if log else ''}"
        return child

    def stop(self, child, number=signal.SIGTERM):
        """Ends a child of popen() and gives its exit status. nsenter only waits for what it
        started, so the signal goes to that."""
        kids = pathlib.Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
        for pid in kids or [child.pid]:
            os.kill(int(pid), number)
        return child.wait(60)

    # ---- Docker Engine ----

    def start_dockerd(self, *args):
        self.dockerd_args = args
        with open(self.folder / "dockerd.log", "ab") as log:
            self.dockerd = self.popen(
                "dockerd", "--storage-driver=vfs", "--data-root", self.data_root, *args,
                stdout=log, stderr=log, env={**os.environ, "DOCKER_RAMDISK": "1"})
        eventually(lambda: self.run("docker", "version", check=False).returncode == 0)

    def stop_dockerd(self):
        self.stop(self.dockerd)
        self.dockerd = None

    def restart_dockerd(self):
        self.stop_dockerd()
        self.start_dockerd(*self.dockerd_args)

    def make_image(self, name="bb"):
        """An image of busybox alone. Its containers are stopped at once: a shell as first
        process does not hear SIGTERM, and the Engine would wait 10 s each time."""
        files = self.folder / "image"
        if not files.exists():
            (files / "bin").mkdir(parents=True)
            shutil.copy(BUSYBOX, files / "bin" / "busybox")
            for applet in subprocess.run([BUSYBOX, "--list"], capture_output=True,
                                         text=True).stdout.split():
                if applet != "busybox":
                    (files / "bin" / applet).symlink_to("busybox")
            for folder in ("tmp", "etc", "proc", "sys", "dev"):
                (files / folder).mkdir()
        tar = subprocess.run(["tar", "-C", files, "-c", "."], stdout=subprocess.PIPE,
                             check=True).stdout
        self.run("docker", "import", "-", name, input=tar, text=False)
        self.run("docker", "build", "-t", name, "-", input=f"FROM {name}\nSTOPSIGNAL KILL\n")

    def inspect(self, what, path):
        """One value of `docker inspect`, by a Go template."""
        return self.docker("inspect", "-f", "{{json %s}}" % path, what).strip()

    # ---- other machines ----

    def lan(self, name="lan", subnet="198.18.5"):
        """Another machine on a cable of its own: .1 is this host, .2 the machine. Gives a
        prefix of arguments for run()."""
        self.sh(f"""set -e
            ip netns add {name}; ip link add {name}0 type veth peer name eth0 netns {name}
            ip addr add {subnet}.1/24 dev {name}0; ip link set {name}0 up
            ip -n {name} addr add {subnet}.2/24 dev eth0; ip -n {name} link set eth0 up
            ip -n {name} link set lo up; ip -n {name} route add default via {subnet}.1""")
        return ("ip", "netns", "exec", name)

    def snapshot(self):
        """What an install must leave as it was."""
        look = """ip -o addr; ip route show table all; ip -6 route show table all; ip netns
            ip rule; iptables-save; ip6-tables-save 2>/dev/null; nft list ruleset
            cat /etc/hosts; stat -c '%n %i %a %U %G' /run/docker.sock
            find /etc/docker /run/netns -type f | sort | xargs -r sha256sum
            for f in """ + f"{self.data_root}/containers/*/hosts" + """; do
            [ -f $f ] && sha256sum $f; done"""
        text = self.sh(look, check=False)
        # Counters, clocks and what the kernel numbers by itself.
        text = re.sub(r"\[\d+:\d+\]|counter packets \d+ bytes \d+|(valid|preferred)_lft \w+|"
                      r"^# (Generated|Completed).*$|linkdown|"
                      r"^.*\b(fe80|ff00)::.*$", "", text, flags=re.M)
        return "\n".join(line.rstrip() for line in text.splitlines() if line.strip())

    def close(self):
        if self.dockerd:
            self.stop_dockerd()
        self.init.stdin.close()
        self.init.terminate()
        try:
            self.init.wait(60)
        except subprocess.TimeoutExpired:
            self.init.kill()
            self.init.wait()
        for child in self.children:
            child.wait(60)


@pytest.fixture
def bare_host(tmp_path):
    """A host without a Docker Engine."""
    h = Host(tmp_path / "host")
    yield h
    h.close()


@pytest.fixture
def fresh_host(tmp_path):
    """A host with Docker Engine and the image bb, of this test alone."""
    h = Host(tmp_path / "host")
    h.start_dockerd()
    h.make_image()
    yield h
    h.close()


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """The same, shared by the tests of a file."""
    h = Host(tmp_path_factory.mktemp("host"))
    h.start_dockerd()
    h.make_image()
    yield h
    h.close()
