# SPDX-License-Identifier: GPL-2.0-or-later
"""Put this tree's lifeboat into the running hosts and introduce them to each other."""
import os
import pathlib
import subprocess
import tempfile

from labkit import remote
from labkit.common import HOSTS, REPO, LabError, say

CONFIG = """# Made by the lab: every other key has its default.
host = "host{me}"
peer host{peer} {{
	address = "10.77.0.{peer_number}"
	key = "{peer_key}"
}}
"""


def build(directory):
    script = REPO / "build.sh"
    if not script.is_file():
        raise LabError("this tree has no build.sh yet; use: lab up --no-lifeboat")
    say("lab: building lifeboat")
    env = dict(os.environ, DESTDIR=str(directory))
    done = subprocess.run([str(script), "install"], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False)
    if done.returncode:
        raise LabError("build.sh install failed: " + (done.stderr or done.stdout).strip()[-800:])


def unpack(state, host, archive):
    # --keep-directory-symlink: /lib is a link to /usr/lib in there and must stay one.
    script = ("systemctl stop lifeboatd.service 2>/dev/null; set -e; "
              "tar --keep-directory-symlink --no-overwrite-dir --no-same-owner -C / -xzf -; "
              "ldconfig; systemctl daemon-reload; mkdir -p /etc/lifeboat; chmod 700 /etc/lifeboat")
    remote.run(state, host, ["sh", "-c", script], stdin=archive, timeout=300)


def install(state):
    with tempfile.TemporaryDirectory(prefix="lifeboat-lab-install-") as tmp:
        build(pathlib.Path(tmp))
        tar = subprocess.run(["tar", "--owner=0", "--group=0", "-C", tmp, "-czf", "-", "."], capture_output=True,
                             check=False)
        if tar.returncode:
            raise LabError("packing the installed tree failed: " + tar.stderr.decode(errors="replace")[-300:])
    say("lab: installing lifeboat into both hosts")
    keys = {}
    for host in HOSTS:
        unpack(state, host, tar.stdout)
        keys[host] = remote.run(state, host, ["lifeboatd", "--show-key"], timeout=60)[1].strip().splitlines()[-1]
    for host, peer in (("a", "b"), ("b", "a")):
        text = CONFIG.format(me=host, peer=peer, peer_number=HOSTS[peer], peer_key=keys[peer])
        script = ("umask 077; cat >/etc/lifeboat/lifeboat.conf && lifeboatd -n && "
                  "systemctl enable --quiet lifeboatd.service && systemctl restart lifeboatd.service && "
                  "systemctl is-active --quiet lifeboatd.service")
        remote.run(state, host, ["sh", "-c", script], stdin=text.encode(), timeout=120)
