# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts for tests on one machine: each a lifeboatd with a directory, a port and a key of its own.

Everything is on loopback and below one temporary directory; close() ends what was started.
"""
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

ENGINES = ("lifeboat-send", "lifeboat-receive", "lifeboat-wire", "lifeboat-resolve")
BUILD = pathlib.Path(os.environ.get("LIFEBOAT_BUILD", "build")).resolve()


def free_port():
    """Below the ports that the kernel gives to connections: one of those could take it while its daemon is down."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def wait_until(what, condition, seconds=20):
    """Poll an outside condition that offers nothing to wait on (a file, a status); at most half of the time."""
    end = time.monotonic() + seconds
    while (start := time.monotonic()) < end:
        value = condition()
        if value:
            return value
        time.sleep(max(0.02, time.monotonic() - start))
    raise AssertionError(f"waited {seconds} s in vain: {what}")


def parent(pid):
    """Of a process, 0 when it has ended."""
    with contextlib.suppress(OSError):
        return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    return 0


class Host:
    """Below the temporary directory and on loopback; a subclass may put it elsewhere."""
    build = BUILD
    address = "127.0.0.1"

    def __init__(self, world, name, options=()):
        self.name = name
        self.world = world
        self.dir = world.dir / name
        self.make_dir()
        world.addresses[name] = self.address
        self.port = free_port()
        self.options = list(options)
        self.config = self.dir / "lifeboat.conf"
        self.daemon = None
        self.peers = []
        self.write_config()
        self.key = self.run("lifeboatd", "--show-key").stdout.strip()

    def make_dir(self):
        self.dir.mkdir()

    def command(self, program, *args):
        """The words that start one of our programs on this host."""
        return [str(self.build / program), *map(str, args)]

    def env(self):
        return {**os.environ, "LIFEBOAT_CONFIG": str(self.config), "LIFEBOAT_FAULT": str(self.dir / "fault")}

    def write_config(self):
        lines = [
            f'host = "{self.name}"',
            f'listen = "{self.address}"',
            f"port = {self.port}",
            f'run_dir = "{self.dir}/run"',
            f'state_dir = "{self.dir}/state"',
            'hypervisor = "embedded"',
            *self.options,
        ]
        for name, port, key in self.peers:
            address = self.world.addresses.get(name, "127.0.0.1")
            lines.append(f'peer {name} {{ address = "{address}" port = {port} key = "{key}" }}')
        self.config.write_text("\n".join(lines) + "\n")

    def trust(self, other, key=None, port=None, name=None):
        self.peers.append((name or other.name, port or other.port, key or other.key))
        self.write_config()

    def socket_file(self):
        """Which file is there: one that a killed daemon left is not its successor's. None if none is."""
        with contextlib.suppress(FileNotFoundError):
            status = (self.dir / "run/lifeboatd.sock").stat()
            return status.st_ino, status.st_ctime_ns

    def start(self):
        left = self.socket_file()
        self.log = open(self.dir / "lifeboatd.log", "ab")
        self.daemon = subprocess.Popen(self.command("lifeboatd"), env=self.env(), stderr=self.log,
                                       stdin=subprocess.DEVNULL)
        wait_until(f"lifeboatd of {self.name}",
                   lambda: self.socket_file() not in (None, left) or self.daemon.poll() is not None)
        if self.daemon.poll() is not None:
            raise AssertionError(self.log_text())
        return self

    def stop(self):
        if self.daemon:
            self.daemon.terminate()
            self.daemon.wait(10)
            self.daemon = None

    def restart(self):
        self.stop()
        return self.start()

    def log_text(self):
        return (self.dir / "lifeboatd.log").read_text(errors="replace")

    def run(self, program, *args, check=True, timeout=120, env=None):
        result = subprocess.run(self.command(program, *args), env=env or self.env(), text=True,
                                stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout)
        if check and result.returncode != 0:
            raise AssertionError(f"{program} {args}: exit {result.returncode}\n{result.stdout}{result.stderr}")
        return result

    def hv(self, *args, **kwargs):
        return self.run("hv", *args, **kwargs)

    def migrate(self, *args, **kwargs):
        return self.run("migrate", *args, **kwargs)

    def popen(self, program, *args, **kwargs):
        return subprocess.Popen(self.command(program, *args), env=self.env(), text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                **kwargs)

    def ask(self, program, *args):
        """The JSON that a command prints. It is asked again and again, hence without a sanitized build's search for
        leaks, which takes longer than all else; the command's own tests have that."""
        env = self.env()
        env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
        return json.loads(self.run(program, *args, env=env).stdout)

    def domains(self):
        return {d["name"]: d for d in self.ask("hv", "list", "--json")}

    def info(self, name):
        return self.ask("hv", "info", name, "--json")

    def journal(self):
        """What `migrate status` shows of each hand-over."""
        return self.ask("migrate", "--json", "status")

    def create(self, name="ledger", guest="ledger", memory=64, extra="", lines=()):
        if guest == "ledger" and memory <= 64 and "tick=" not in extra:
            extra = f"tick=300 {extra}".strip()  # by then it has seen each of its pages about once
        path = self.dir / f"{name}.cfg"
        path.write_text("\n".join([f'name = "{name}"', f'kernel = "{self.build}/{guest}"',
                                   f"memory = {memory}", f'extra = "{extra}"', *lines]) + "\n")
        self.hv("create", path)
        return path

    def processes(self):
        """(pid, program, state) of all that was started for this host, its guests too."""
        found = []
        for entry in filter(lambda e: e.name.isdigit(), pathlib.Path("/proc").iterdir()):
            with contextlib.suppress(OSError, IndexError):
                if str(self.config).encode() in (entry / "environ").read_bytes() or \
                        str(self.dir).encode() in (entry / "cmdline").read_bytes():
                    found.append((int(entry.name), pathlib.Path(os.readlink(entry / "exe")).name,
                                  (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]))
        return found

    def engines(self, *programs):
        """The pids of those, by default of all that may be at a hand-over. A child of one that is not yet what it is to
        be (it has no exec behind it) still looks like its parent, and is none."""
        found = [pid for pid, program, _ in self.processes() if program in (programs or ENGINES)]
        return [pid for pid in found if parent(pid) not in found]

    def stopped(self):
        """One that a fault has stopped, or None."""
        return next((pid for pid, _, state in self.processes() if state == "T"), None)

    def wires(self):
        """Their parents tell whose they are: lifeboat-wire has an environment that nobody may read."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and (entry / "comm").read_text().strip() == "lifeboat-wire":
                    if str(self.config).encode() in pathlib.Path(f"/proc/{parent(entry.name)}/environ").read_bytes():
                        found.append(int(entry.name))
            except OSError:
                continue
        return sorted(found)


class Relay:
    """A link that can be cut or slow: forwards connections to a host, and remembers what the source sent."""

    def __init__(self, port, target="127.0.0.1", listen=0):
        self.target = (target, port)
        self.server = socket.create_server(("127.0.0.1", listen))
        self.port = self.server.getsockname()[1]
        self.pairs = []
        self.up = True
        self.limit = None  # cut by itself after so many bytes
        self.slow = False  # some MB a second for each connection
        self.seen = bytearray()
        self.sent = {}  # by connection
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.server.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self.target, 5) if self.up else None
            except OSError:
                far = None
            if not far:
                near.close()
                continue
            self.pairs += [near, far]
            threading.Thread(target=self.forward, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self.forward, args=(far, near, False), daemon=True).start()

    def forward(self, source, target, remember):
        try:
            while data := source.recv(65536):
                if remember:
                    self.seen += data
                    self.sent[source] = self.sent.get(source, 0) + len(data)
                    if self.slow:
                        time.sleep(0.02)
                target.sendall(data)
                if remember and self.limit is not None and len(self.seen) >= self.limit:
                    self.cut()
        except OSError:
            pass
        for s in (source, target):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        self.up = False
        self.limit = None
        for s in self.pairs:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def mend(self, limit=None):
        self.seen.clear()
        self.limit = limit
        self.up = True

    def close(self):
        self.cut()
        self.server.close()
        for s in self.pairs:
            s.close()


class World:
    """hosta and hostb, paired, running; a context manager."""

    def __init__(self, options_a=(), options_b=(), keep=False, host=Host):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="lifeboat-"))
        self.keep = keep
        self.addresses = {}
        self.a = host(self, "hosta", options_a)
        self.b = host(self, "hostb", options_b)
        self.a.trust(self.b)
        self.b.trust(self.a)

    def __enter__(self):
        self.a.start()
        self.b.start()
        return self

    def __exit__(self, kind, value, trace):
        if kind:
            for host in (self.a, self.b):
                print(f"--- log of {host.name}\n{host.log_text()}")
        self.close()

    def close(self):
        for host in (self.a, self.b):
            if host.config.exists():
                for name in host.domains():
                    host.hv("destroy", name, check=False)
            host.stop()
        reports = self.sanitizer_reports()
        if not self.keep:
            shutil.rmtree(self.dir, ignore_errors=True)
        if reports:
            raise AssertionError("\n".join(reports))

    def sanitizer_reports(self):
        """What ASan or UBSan wrote into the log of a daemon, an engine or a vmm: nobody else reads those."""
        return [f"{path.name}: {line}" for path in self.dir.glob("**/*.log")
                for line in path.read_text(errors="replace").splitlines()
                if "Sanitizer" in line or "runtime error:" in line]

    def where(self, name):
        """The hosts on which a domain of this very name runs or waits."""
        return [h.name for h in (self.a, self.b) if name in h.domains()]

    def open_handovers(self):
        """(host, domain, state) of each that is not settled."""
        return [(h.name, e["name"], e["state"]) for h in (self.a, self.b) for e in h.journal() if not e["settled"]]

    def wait_settled(self, seconds=60):
        wait_until("all is settled on both hosts", lambda: not self.open_handovers(), seconds)


def wait_ticks(host, name, more=2, seconds=30):
    """Wait until the guest has reported `more` ticks from now; the last info."""
    start = host.info(name)["tick"]
    return wait_until(f"{name} ticks on {host.name}",
                      lambda: (i := host.info(name))["tick"] >= start + more and i, seconds)


def end_process(process):
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    process.wait()
