# SPDX-License-Identifier: GPL-2.0-or-later
"""What every part of the lab shares: places, errors, packages, hashes."""
import hashlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys

LAB = pathlib.Path(__file__).resolve().parent.parent
REPO = LAB.parent.parent
HOSTS = {"a": 1, "b": 2}  # the host's letter and the last byte of its addresses


class LabError(Exception):
    """One sentence for the user, with what to do about it."""


class UsageError(Exception):
    """The command line is wrong."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def cache_dir():
    base = os.environ.get("LIFEBOAT_LAB_CACHE")
    if not base:
        home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        base = os.path.join(home, "lifeboat-lab")
    path = pathlib.Path(base).absolute()
    path.mkdir(parents=True, exist_ok=True)
    return path


def hash_of(*parts):
    """A name for exactly these inputs; a directory counts with all its files and modes."""
    digest = hashlib.sha256()

    def add(data):
        digest.update(len(data).to_bytes(8, "big") + data)

    for part in parts:
        if not isinstance(part, pathlib.Path):
            add(str(part).encode())
            continue
        files = sorted(part.rglob("*")) if part.is_dir() else [part]
        for file in files:
            if file.is_file():
                add(str(file.relative_to(part)).encode())
                add(b"x" if os.access(file, os.X_OK) else b"-")
                add(file.read_bytes())
    return digest.hexdigest()[:16]


# What the lab runs, and the Debian package that brings it.
PACKAGES = {
    "qemu-system-x86_64": "qemu-system-x86",
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "ssh": "openssh-client",
    "cc": "gcc",
    "ip": "iproute2",
    "unshare": "util-linux",
    "tar": "tar",
}


def missing_packages():
    # Not root: sbin is often not in PATH though mke2fs there is all that is needed.
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    os.environ["PATH"] = path
    wanted = dict(PACKAGES)
    if os.geteuid() != 0:
        wanted["newuidmap"] = "uidmap"
    missing = [pkg for cmd, pkg in wanted.items() if not shutil.which(cmd)]
    probe = "#include <stdio.h>\nint main(void) { return puts(\"\") < 0; }\n"
    if not missing and subprocess.run(["cc", "-static", "-x", "c", "-o", os.devnull, "-"], input=probe.encode(),
                                      capture_output=True, check=False).returncode:
        missing.append("libc6-dev")
    return missing


def need_packages():
    """Install what is missing when root; otherwise say the one command that does."""
    missing = missing_packages()
    if not missing:
        return
    command = "apt-get install -y --no-install-recommends " + " ".join(missing)
    if not shutil.which("apt-get"):
        raise LabError("the lab needs these Debian packages or your system's equivalents: " + " ".join(missing))
    if os.geteuid() != 0:
        raise LabError("the lab needs more packages; run: sudo " + command)
    say("lab: installing " + " ".join(missing))
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    subprocess.run(["apt-get", "update", "-qq"], env=env, check=False)
    if subprocess.run(command.split() + ["-qq"], env=env, stdout=sys.stderr, check=False).returncode:
        raise LabError("installing packages failed; run: " + command)


def run_logged(args, log, what, **kwargs):
    """Run a long step with its output in a log file, which an error names."""
    with open(log, "ab") as out:
        child = subprocess.Popen(args, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                 start_new_session=True, **kwargs)
        try:
            code = child.wait()
        except BaseException:
            # Asked, it takes down what it mounted; killed, it could not. The whole group is
            # asked, because mmdebstrap itself only waits for its child.
            os.killpg(child.pid, signal.SIGTERM)
            child.wait()
            raise
    if code:
        tail = pathlib.Path(log).read_text(errors="replace").strip().splitlines()[-3:]
        raise LabError(f"{what} failed (exit {code}); its log is {log}, which ends in: " + " | ".join(tail))
