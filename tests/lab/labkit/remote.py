# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands and files into and out of a host, over ssh on loopback."""
import os
import shlex
import subprocess
import sys
import time

from labkit import vm
from labkit.common import LabError


def ssh_args(state, host):
    return ["ssh", "-F", "none", "-i", state.data["image"] + "/id_ed25519", "-p", str(state.host(host)["port"]),
            "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=" + os.devnull,
            "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=20", "-o", f"ControlPath={state.dir}/{host}-ssh",
            "-o", "BatchMode=yes", "root@127.0.0.1"]


def connect(state, host, deadline):
    """One connection that later commands share: a handshake costs emulated seconds. It is a
    process of its own, started here and not by the first command, whose output it would hold open."""
    vm.wait_ssh_port(state, host, deadline)
    while True:
        args = ssh_args(state, host)
        args[1:1] = ["-M", "-N", "-f", "-o", "ControlPersist=yes"]
        done = subprocess.run(args, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, check=False)
        if done.returncode == 0:
            return
        if time.monotonic() > deadline:
            raise LabError(f"host {host} does not let ssh in; see: lab console {host} --log")
        time.sleep(0.5)


def disconnect(state, host):
    """End the shared connection, also one whose host is gone."""
    path = state.dir / f"{host}-ssh"
    if path.exists():
        args = ssh_args(state, host)
        args[1:1] = ["-O", "exit"]
        subprocess.run(args, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=20)
        path.unlink(missing_ok=True)


def command_line(argv):
    """The remote shell gets each argument back exactly as it was."""
    return shlex.join(argv)


def exec_run(state, host, argv):
    """Become ssh: status, output and input pass through untouched."""
    vm.need_running(state, host)
    args = ssh_args(state, host)
    if sys.stdin.isatty() and sys.stdout.isatty():
        args.insert(1, "-t")
    sys.stdout.flush()
    sys.stderr.flush()
    os.execvp("ssh", args + ["--", command_line(argv)])


def run(state, host, argv, stdin=None, check=True, timeout=None):
    """Run and return (status, output); with check a failure is an error that quotes the host."""
    vm.need_running(state, host)
    try:
        done = subprocess.run(ssh_args(state, host) + ["--", command_line(argv)], input=stdin,
                              stdin=subprocess.DEVNULL if stdin is None else None,
                              capture_output=True, check=False, timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise LabError(f"host {host}: {argv[0]} did not end within {timeout} s") from error
    if check and done.returncode:
        text = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise LabError(f"host {host}: {shlex.join(argv)[:120]} failed ({done.returncode}): {text[-600:]}")
    return done.returncode, done.stdout.decode(errors="replace")


def push(state, host, source, dest):
    vm.need_running(state, host)
    try:
        with open(source, "rb") as f:
            mode = "755" if os.access(source, os.X_OK) else "644"
            script = 'set -e; if [ -d "$1" ]; then set -- "$1/$3" "$2"; fi; cat >"$1"; chmod "$2" "$1"'
            argv = ["sh", "-c", script, "push", str(dest), mode, os.path.basename(source)]
            done = subprocess.run(ssh_args(state, host) + ["--", command_line(argv)], stdin=f, check=False)
    except OSError as error:
        raise LabError(f"cannot read {source}: {error.strerror}") from error
    if done.returncode:
        raise LabError(f"could not write {dest} on host {host}")


def pull(state, host, source, dest):
    vm.need_running(state, host)
    if os.path.isdir(dest):
        dest = os.path.join(dest, os.path.basename(source))
    part = dest + ".part"
    try:
        with open(part, "wb") as f:
            done = subprocess.run(ssh_args(state, host) + ["--", command_line(["cat", "--", source])],
                                  stdin=subprocess.DEVNULL, stdout=f, check=False)
    except OSError as error:
        raise LabError(f"cannot write {dest}: {error.strerror}") from error
    if done.returncode:
        os.unlink(part)
        raise LabError(f"could not read {source} on host {host}")
    os.rename(part, dest)
