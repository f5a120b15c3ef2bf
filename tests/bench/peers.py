# SPDX-License-Identifier: GPL-2.0-or-later
"""What else could carry a guest's memory: `lz4 | ssh`, and QEMU's own migration. Each transfer gives
{"cpu_s": both ends, "wall_s": ..., "wire_bytes": ... where it is told}."""
import contextlib
import getpass
import json
import os
import pathlib
import secrets
import shutil
import socket
import subprocess
import time

PATIENCE = 120


def cpu_of(pid):
    """CPU seconds of a living process, to the nanosecond."""
    return time.clock_gettime(((~pid) << 3) | 2)


def children(pid):
    return (pathlib.Path(f"/proc/{pid}/task/{pid}/children")).read_text(encoding="ascii").split()


def until(what, happened, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.002)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


# ---- ssh ----

class Sshd:
    """An sshd of our own on loopback, with keys that live as long as it does."""

    def __init__(self, directory):
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(mode=0o700)
        self.port = free_port()
        self.program = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin")
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.dir / name], check=True)
        shutil.copy(self.dir / "user.pub", self.dir / "authorized")
        (self.dir / "config").write_text(
            f"ListenAddress 127.0.0.1:{self.port}\nHostKey {self.dir}/host\nAuthorizedKeysFile {self.dir}/authorized\n"
            "StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\nLogLevel ERROR\n", encoding="ascii")
        if os.getuid() == 0:
            pathlib.Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)

    def transfer(self, image, target, packed):
        """Everything that runs is a child of ours, so that the kernel adds up what it used."""
        daemon = subprocess.Popen([self.program, "-D", "-e", "-f", self.dir / "config"], stderr=subprocess.DEVNULL)
        try:
            until("sshd", lambda: answers(self.port))
            until("sshd", lambda: not children(daemon.pid))
            used = cpu_of(daemon.pid)
            before, start = os.times(), time.monotonic()
            ssh = ["ssh", "-p", str(self.port), "-i", self.dir / "user", "-o", "StrictHostKeyChecking=no", "-o",
                   "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "Compression=no", "-F", "none",
                   f"{getpass.getuser()}@127.0.0.1", ("lz4 -dc" if packed else "cat") + f" > {target}"]
            with open(image, "rb") as data:
                if packed:
                    first = subprocess.Popen(["lz4", "-1", "-qc"], stdin=data, stdout=subprocess.PIPE)
                    subprocess.run(ssh, stdin=first.stdout, check=True)
                    first.stdout.close()
                    if first.wait():
                        raise RuntimeError("lz4 failed")
                else:
                    subprocess.run(ssh, stdin=data, check=True)
            wall = time.monotonic() - start
            until("the end of the session", lambda: not children(daemon.pid))
        finally:
            daemon.terminate()
            daemon.wait()
        after = os.times()
        # The children that were waited for, the daemon and its own among them; less what it used before.
        all_of_it = after.children_user + after.children_system - before.children_user - before.children_system
        return {"cpu_s": round(all_of_it - used, 4), "wall_s": round(wall, 4)}


# ---- QEMU ----

class Qemu:
    def __init__(self, directory, name, mib, image=None, incoming=False):
        self.dir = pathlib.Path(directory)
        path = self.dir / f"{name}.qmp"
        # In its favour: what the system takes to hand out memory, much on a virtual machine, is not counted.
        memory = f"id=ram0,size={mib}M,prealloc=on"
        memory = (f"memory-backend-file,{memory},mem-path={image},share=off" if image
                  else f"memory-backend-ram,{memory}")
        self.log = open(self.dir / f"{name}.log", "wb")  # pylint: disable=consider-using-with
        self.process = subprocess.Popen(
            ["qemu-system-x86_64", "-accel", "tcg", "-machine", "pc,memory-backend=ram0", "-object", memory,
             "-m", f"{mib}M", "-S", "-nodefaults", "-display", "none", "-no-user-config",
             "-qmp", f"unix:{path},server=on,wait=off", *(["-incoming", "defer"] if incoming else [])],
            stdout=self.log, stderr=self.log)
        until("QEMU's socket", lambda: self.connected(path))
        self.file = self.sock.makefile("rw", encoding="utf-8")
        self.file.readline()
        self.command("qmp_capabilities")

    def connected(self, path):
        if self.process.poll() is not None:
            raise RuntimeError("QEMU ended: " + (self.dir / self.log.name).read_text(encoding="utf-8"))
        self.sock = socket.socket(socket.AF_UNIX)
        try:
            self.sock.connect(str(path))
            return True
        except OSError:
            self.sock.close()
            return False

    def command(self, name, **arguments):
        json.dump({"execute": name, "arguments": {k.replace("_", "-"): v for k, v in arguments.items()}}, self.file)
        self.file.write("\n")
        self.file.flush()
        while True:
            answer = json.loads(self.file.readline())
            if "error" in answer:
                raise RuntimeError(f"{name}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def setup(self, psk, server, channels, compression):
        capabilities = [{"capability": "multifd", "state": True}]
        self.command("migrate-set-capabilities", capabilities=capabilities)
        parameters = {"multifd_channels": channels, "max_bandwidth": 1 << 40, "multifd_compression": compression}
        if psk:
            self.command("object-add", qom_type="tls-creds-psk", id="tls0", dir=str(psk),
                         endpoint="server" if server else "client", **({} if server else {"username": "qemu"}))
            parameters.update(tls_creds="tls0", tls_hostname="")
        self.command("migrate-set-parameters", **parameters)

    def close(self):
        with contextlib.suppress(Exception):
            self.command("quit")
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.sock.close()
        self.log.close()


def qemu_transfer(directory, image, mib, tls=False, compression="none", channels=2):
    """The guest never runs: what is measured is the migration code alone, from `migrate` to `completed`."""
    work = pathlib.Path(directory) / secrets.token_hex(4)
    work.mkdir()
    psk = None
    if tls:
        psk = work
        (work / "keys.psk").write_text(f"qemu:{secrets.token_hex(32)}\n", encoding="ascii")
    with contextlib.ExitStack() as stack:
        ends = [Qemu(work, "source", mib, image=image), Qemu(work, "destination", mib, incoming=True)]
        for end in ends:
            stack.callback(end.close)
        for end in ends:
            end.setup(psk, end is ends[1], channels, compression)
        port = free_port()
        ends[1].command("migrate-incoming", uri=f"tcp:127.0.0.1:{port}")
        before, start = [cpu_of(e.process.pid) for e in ends], time.monotonic()
        ends[0].command("migrate", uri=f"tcp:127.0.0.1:{port}")
        status = {}

        def over():
            status.update(ends[0].command("query-migrate"))
            if status["status"] in ("failed", "cancelled"):
                raise RuntimeError(f"QEMU's migration failed: {status}")
            return status["status"] == "completed"

        until("QEMU's migration", over)
        wall = time.monotonic() - start
        until("QEMU's arrival", lambda: ends[1].command("query-status")["status"] != "inmigrate")
        used = sum(cpu_of(e.process.pid) - b for e, b in zip(ends, before))
    shutil.rmtree(work)
    return {"cpu_s": round(used, 4), "wall_s": round(wall, 4),
            "wire_bytes": status["ram"]["transferred"]}
