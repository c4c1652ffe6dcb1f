"""A machine with a real systemd and Docker Engine as its service: systemd-nspawn boots
this system's own /usr with an /etc, /var and /usr/local of the test's. Installed there is
what `make install` installs. It may be switched off and boot again.
"""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

from conftest import BUILD, eventually
from host_fixtures import Host

COPIED = ("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "passwd", "group",
          "nsswitch.conf", "protocols", "services")

# nspawn gives a machine the groups of version 1 to read only.
CGROUPS = """[Unit]
Before=docker.service
[Service]
Type=oneshot
ExecStart=sh -c 'for d in /sys/fs/cgroup/*/; do mount -o remount,rw,bind $d || true; done'
"""

# Ends with its first process, and so does all of the machine.
BOOT = r"""
mount --make-rprivate /
exec systemd-nspawn --quiet --directory="$1/vm" --bind-ro=/usr \
    --bind-ro="$1/stage/usr/local:/usr/local" --bind-ro="$2:/test/tests" \
    --register=no --keep-unit --boot --private-network --capability=all --console=pipe \
    --system-call-filter="@keyring @mount bpf" \
    --setenv=DOCKER_RAMDISK=1
"""


class Machine(Host):
    """run(), docker() and so on as of a Host; docker.service is systemd's."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.vm = self.folder / "vm"
        self.data_root = pathlib.Path("/var/lib/docker")  # in the machine
        self.children = []
        self.dockerd = None
        self.make_root()
        subprocess.run(["cmake", "--install", str(BUILD), "--prefix", "/usr/local"], check=True,
                       env={**os.environ, "DESTDIR": str(self.folder / "stage")},
                       stdout=subprocess.DEVNULL)
        self.boot()
        self.run("systemd-sysusers", "/usr/local/lib/sysusers.d/modeld.conf")

    def make_root(self):
        etc = self.vm / "etc"
        for name in ("usr/local", "var/lib", "run", "proc", "sys", "dev", "tmp", "root",
                     "test/tests", "etc/docker", "etc/systemd/system/multi-user.target.wants",
                     "etc/systemd/system/sockets.target.wants"):
            (self.vm / name).mkdir(parents=True)
        for name in ("bin", "sbin", "lib", "lib64"):
            (self.vm / name).symlink_to(f"usr/{name}")
        for name in COPIED:
            subprocess.run(["cp", "-a", f"/etc/{name}", str(etc)], check=True)
        shutil.copy("/usr/lib/os-release", etc / "os-release")
        group = (etc / "group").read_text()
        if not re.search("^docker:", group, re.M):
            (etc / "group").write_text(group + "docker:x:990:\n")
        (etc / "machine-id").write_text("0123456789abcdef0123456789abcdef\n")
        (etc / "hostname").write_text("vm\n")
        (etc / "hosts").write_text("127.0.0.1\tlocalhost\n::1\tlocalhost\n")
        (etc / "docker/daemon.json").write_text('{"storage-driver": "vfs"}\n')
        units = etc / "systemd/system"
        (units / "cgroups.service").write_text(CGROUPS)
        (units / "multi-user.target.wants/cgroups.service").symlink_to("../cgroups.service")
        for link, unit in (("multi-user.target.wants/docker.service", "docker.service"),
                           ("sockets.target.wants/docker.socket", "docker.socket"),
                           ("default.target", "multi-user.target")):
            (units / link).symlink_to(f"/lib/systemd/system/{unit}")

    def boot(self):
        tests = pathlib.Path(__file__).resolve().parents[1]
        with open(self.folder / "console", "ab") as log:
            self.init = subprocess.Popen(
                ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child",
                 "--mount-proc", "bash", "-c", BOOT, "boot", str(self.folder), str(tests)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.pid = eventually(self.find_systemd)
        eventually(lambda: self.run("systemctl", "is-system-running", check=False
                                    ).stdout.strip() in ("running", "degraded"), 90)

    def find_systemd(self):
        """unshare - systemd-nspawn - systemd"""
        pid = self.init.pid
        assert self.init.poll() is None, (self.folder / "console").read_text()
        for _ in range(2):
            kids = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            if not kids:
                return None
            pid = int(kids[0])
        name = pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
        return pid if name == "systemd" else None

    def enter(self, *args):
        return ["nsenter", "-t", str(self.pid), "-m", "-n", "-p", "-u", "-i", "--",
                *map(str, args)]

    def power_off(self):
        self.run("systemctl", "poweroff", check=False)
        self.init.wait(60)

    def start_dockerd(self, *args):
        raise NotImplementedError("systemd does")

    def main_pid(self, unit):
        return int(self.sh(f"systemctl show -P MainPID {unit}"))

    def close(self):
        if self.init.poll() is None:
            self.init.kill()
            self.init.wait()
        for child in self.children:
            child.wait(60)


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    m = Machine(tmp_path_factory.mktemp("machine"))
    m.make_image()
    yield m
    m.close()
