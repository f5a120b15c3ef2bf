#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests on a network, and the link between the hosts. Root only.

    lbt-PID-a [hosta] br0 --- port-a \
    lbt-PID-b [hostb] br0 --- port-b  switch, in lbt-PID-s
    lbt-PID-c client -------- port-c /

Each host has the bridge `br0' with its own address on it and its guests in it, as a dom0 would. All of it lives in
namespaces of this process and goes with it; what a killed run left behind is swept by the next one.
"""
import ctypes
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import harness  # noqa: E402
from tap import main  # noqa: E402

PREFIX = f"lbt-{os.getpid()}-"
ADDRESS = {"hosta": "192.0.2.1", "hostb": "192.0.2.2", "client": "192.0.2.10"}
GUEST, MAC = "192.0.2.20", "00:16:3e:12:34:56"
COUNT_PORT = 7777
MARKER = b"LIFEBOAT-MARKER-"
CLONE_NEWNET = 0x40000000


def ip(*words, check=True):
    return subprocess.run(["ip", *words], check=check, text=True, capture_output=True, timeout=20).stdout


def why_not():
    """Why this machine cannot run these tests, or None."""
    if os.geteuid() != 0:
        return "namespaces, bridges and vifs need root"
    for program in ("ip", "tcpdump", "ping", "nft"):
        if not shutil.which(program):
            return f"{program} is not installed"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "/dev/net/tun cannot be used"
    name = PREFIX + "try"
    try:
        ip("netns", "add", name)
        ip("-n", name, "link", "add", "name", "br0", "type", "bridge")
        ip("-n", name, "link", "add", "name", "one", "type", "veth", "peer", "name", "two")
        return None
    except subprocess.CalledProcessError as e:
        return f"no namespaces, bridges or veth here: {e.stderr.strip()}"
    finally:
        ip("netns", "del", name, check=False)


def socket_in(namespace):
    """A UDP socket that belongs to the namespace; only a thread of its own goes there."""
    made = []

    def work():
        with open(f"/run/netns/{namespace}", "rb") as f:
            if ctypes.CDLL(None, use_errno=True).setns(f.fileno(), CLONE_NEWNET) == 0:
                made.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if not made:
        raise AssertionError(f"cannot enter {namespace}")
    return made[0]


class Network:
    names = {"hosta": PREFIX + "a", "hostb": PREFIX + "b", "client": PREFIX + "c"}
    switch = PREFIX + "s"

    def up(self):
        ip("netns", "add", self.switch)
        ip("-n", self.switch, "link", "add", "name", "switch", "type", "bridge", "forward_delay", "0")
        ip("-n", self.switch, "link", "set", "switch", "up")
        for name, namespace in self.names.items():
            ip("netns", "add", namespace)
            ip("-n", namespace, "link", "set", "lo", "up")
            port = f"port-{namespace[-1]}"
            ip("-n", self.switch, "link", "add", "name", port, "type", "veth", "peer", "name", "uplink", "netns", namespace)
            ip("-n", self.switch, "link", "set", port, "master", "switch", "up")
            ip("-n", namespace, "link", "set", "uplink", "up")
            owner = "uplink"
            if name != "client":
                owner = "br0"
                ip("-n", namespace, "link", "add", "name", "br0", "type", "bridge", "forward_delay", "0")
                ip("-n", namespace, "link", "set", "uplink", "master", "br0")
                ip("-n", namespace, "link", "set", "br0", "up")
            ip("-n", namespace, "addr", "add", f"{ADDRESS[name]}/24", "dev", owner)

    def down(self):
        for namespace in (*self.names.values(), self.switch):
            ip("netns", "del", namespace, check=False)

    def taps(self, host):
        return [link for link in json.loads(ip("-n", self.names[host], "-j", "link")) if
                link["ifname"].startswith("lb") and link["ifname"][2:].replace(".", "").isdigit()]

    def link(self, host, state):
        ip("-n", self.switch, "link", "set", f"port-{self.names[host][-1]}", state)


def sweep():
    """Remove what a run left that was killed: its process is gone, its namespaces are not."""
    for entry in json.loads(ip("-j", "netns") or "[]"):
        part = entry["name"].split("-")
        if len(part) == 3 and part[0] == "lbt" and part[1].isdigit() and not os.path.exists(f"/proc/{part[1]}"):
            for pid in ip("netns", "pids", entry["name"]).split():
                os.kill(int(pid), signal.SIGKILL)
            ip("netns", "del", entry["name"], check=False)


class Namespaced(harness.Host):
    def __init__(self, world, name, options=()):
        self.address = ADDRESS[name]
        self.namespace = Network.names[name]
        super().__init__(world, name, options)

    def command(self, program, *args):
        return ["ip", "netns", "exec", self.namespace, *super().command(program, *args)]


class Client(threading.Thread):
    """Asks the guest's counter over and over and keeps every answer with its time."""

    def __init__(self):
        super().__init__(daemon=True)
        self.sock = socket_in(Network.names["client"])
        self.sock.settimeout(0.2)
        self.sent = 0
        self.answers = []
        self.end = threading.Event()

    def run(self):
        while not self.end.wait(0.005):
            try:
                self.sock.sendto(b"?", (GUEST, COUNT_PORT))
                self.sent += 1
                self.answers.append((time.monotonic(), json.loads(self.sock.recv(1000))))
            except OSError:
                continue

    def stop(self):
        self.end.set()
        self.join(10)
        self.sock.close()


REASON = why_not()


@unittest.skipIf(REASON, REASON)
class Case(unittest.TestCase):
    options_a = options_b = ()

    def setUp(self):
        self.network = Network()
        self.addCleanup(self.network.down)
        self.network.up()
        self.world = harness.World(self.options_a, self.options_b, host=Namespaced)
        self.addCleanup(self.world.close)
        previous = signal.signal(signal.SIGTERM, self.on_terminate)
        self.addCleanup(signal.signal, signal.SIGTERM, previous)
        self.world.__enter__()
        self.a, self.b = self.world.a, self.world.b

    def on_terminate(self, *_):
        """A test runner that lost patience: leave nothing behind."""
        try:
            self.world.close()
        finally:
            self.network.down()
            os._exit(1)

    def create_pong(self, bridge="br0"):
        self.a.create("pong", guest="pong", memory=8, extra=f"ip={GUEST}/24",
                      lines=[f'vif = ["mac={MAC},bridge={bridge}"]'])
        harness.wait_ticks(self.a, "pong", more=1)

    def assert_stays(self, result, what, name, fix=r"\S"):
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        self.assertRegex(result.stderr, what)
        self.assertRegex(result.stderr.splitlines()[1], fix)
        self.assertEqual(self.world.where(name)[:1], ["hosta"])
        self.assertEqual(harness.wait_ticks(self.a, name)["faults"], 0)


class Vif(Case):
    def seen_by_client(self):
        """The MAC that answers for the guest's address, asked anew."""
        client = Network.names["client"]
        ip("-n", client, "neigh", "flush", "to", GUEST)

        def ask():
            with socket_in(client) as sock:
                sock.sendto(b"?", (GUEST, COUNT_PORT))
            found = json.loads(ip("-n", client, "-j", "neigh", "show", "to", GUEST) or "[]")
            return found and found[0].get("lladdr")

        return harness.wait_until("an answer to ARP", ask)

    def test_talks_on_while_it_moves_there_and_back(self):
        self.create_pong()
        vif = [{"mac": MAC, "bridge": "br0"}]
        client = Client()
        client.start()
        self.addCleanup(client.stop)
        harness.wait_until("the guest answers", lambda: len(client.answers) > 20)
        for source, target in ((self.a, self.b), (self.b, self.a)):
            source.migrate("pong", target.name)
            self.assertEqual(self.world.where("pong"), [target.name])
            moved = len(client.answers)
            harness.wait_until("it answers over there", lambda: len(client.answers) > moved + 20)
            self.assertEqual(target.info("pong")["vif"], vif)
            self.assertEqual(self.network.taps(source.name), [])
            self.assertEqual([tap.get("master") for tap in self.network.taps(target.name)], ["br0"])
            self.assertEqual(self.seen_by_client(), MAC)
        client.stop()
        counters = [answer["counter"] for _, answer in client.answers]
        uptimes = [answer["uptime_ms"] for _, answer in client.answers]
        self.assertTrue(all(a < b for a, b in zip(counters, counters[1:])), "the counter went back")
        self.assertTrue(all(a <= b for a, b in zip(uptimes, uptimes[1:])), "its clock went back")
        asked_by_hand = 400  # seen_by_client counts too
        self.assertLessEqual(counters[-1], client.sent + asked_by_hand)
        gap = max(b - a for (a, _), (b, _) in zip(client.answers, client.answers[1:]))
        print(f"# longest silence {gap * 1000:.0f} ms, {client.sent} asked, {len(counters)} answered", flush=True)
        self.assertLess(gap, 10)

    def test_tap_goes_with_its_domain(self):
        self.create_pong()
        self.assertEqual(len(self.network.taps("hosta")), 1)
        os.kill(self.a.info("pong")["domid"], signal.SIGKILL)
        harness.wait_until("the TAP is gone", lambda: not self.network.taps("hosta"))

    def test_no_bridge_there(self):
        ip("-n", Network.names["hosta"], "link", "add", "name", "onlyhere", "type", "bridge")
        ip("-n", Network.names["hosta"], "link", "set", "onlyhere", "up")
        self.create_pong(bridge="onlyhere")
        dry = self.a.migrate("--dry-run", "pong", "hostb", check=False)
        self.assertEqual(dry.returncode, 1)
        self.assertRegex(dry.stdout, r"hostb: bridge .onlyhere. does not exist on this host\.\n")
        self.assert_stays(self.a.migrate("--quiet", "pong", "hostb", check=False),
                          r"^migrate: hostb: bridge .onlyhere. does not exist on this host\.\n", "pong",
                          "ip link add onlyhere type bridge && ip link set onlyhere up")
        self.assertEqual(self.b.domains(), {})
        self.assertEqual(self.network.taps("hostb"), [])


class Link(Case):
    def test_nothing_in_clear(self):
        self.a.create(memory=64, extra="fill=80 wss=20 rate=2000")
        harness.wait_ticks(self.a, "ledger")
        path = self.world.dir / "link.pcap"
        dump = subprocess.Popen(
            ["ip", "netns", "exec", self.network.switch, "tcpdump", "-i", "port-b", "-s", "0", "-B", "65536", "-U",
             "-Z", "root", "-w", path], stderr=subprocess.PIPE, text=True)
        self.addCleanup(dump.stderr.close)
        self.addCleanup(harness.end_process, dump)
        harness.wait_until("the capture is open", lambda: path.exists() and path.stat().st_size >= 24)
        control = MARKER + b"sent by hand"
        summary = None
        with socket_in(Network.names["hosta"]) as sock:
            harness.wait_until("the capture sees it", lambda: sock.sendto(control, (ADDRESS["hostb"], 9)) and
                               control in path.read_bytes())
            summary = json.loads(self.a.migrate("--json", "ledger", "hostb").stdout)
            seen = path.read_bytes().count(control)
            harness.wait_until("the capture still sees it", lambda: sock.sendto(control, (ADDRESS["hostb"], 9)) and
                               path.read_bytes().count(control) > seen)
        dump.send_signal(signal.SIGINT)
        dump.wait(10)
        self.assertRegex(dump.stderr.read(), r"\b0 packets dropped by kernel")
        captured = path.read_bytes()
        self.assertGreaterEqual(len(captured), summary["wire_bytes"])
        self.assertEqual(captured.count(MARKER), captured.count(control))
        self.assertNotIn(b"ledger page ", captured)
        self.assertEqual(self.world.where("ledger"), ["hostb"])


class LinkCut(Case):
    options_a = ("max_downtime = 1", "resume_time = 5")
    options_b = ("resume_time = 5",)

    def test_link_cut_in_the_middle(self):
        self.a.create(memory=256, extra="fill=90 wss=60 rate=200000")
        harness.wait_ticks(self.a, "ledger", seconds=60)
        move = self.a.popen("migrate", "ledger", "hostb")
        self.addCleanup(harness.end_process, move)
        harness.wait_until("it is being built on hostb", lambda: "ledger--incoming" in self.b.domains())
        self.network.link("hostb", "down")
        start = time.monotonic()
        out, err = move.communicate(timeout=60)
        print(f"# given up after {time.monotonic() - start:.1f} s: {err.splitlines()[:1]}", flush=True)
        self.assertLess(time.monotonic() - start, 45)  # 15 to notice, 5 and one try more to come back
        self.assert_stays(subprocess.CompletedProcess([], move.returncode, out, err),
                          "migrate: hosta: the link to hostb was lost", "ledger")
        harness.wait_until("hostb takes its half back", lambda: not self.b.domains(), 60)
        self.assertEqual(harness.wait_ticks(self.a, "ledger")["faults"], 0)
        self.network.link("hostb", "up")

    def test_link_cut_before(self):
        self.a.create(memory=16)
        harness.wait_ticks(self.a, "ledger")
        self.network.link("hostb", "down")
        start = time.monotonic()
        result = self.a.migrate("ledger", "hostb", check=False)
        self.assertLess(time.monotonic() - start, 30)
        self.assert_stays(result, "cannot reach hostb at 192.0.2.2 port", "ledger", "Check that hostb is up")
        self.network.link("hostb", "up")
        self.a.migrate("ledger", "hostb")
        self.assertEqual(self.world.where("ledger"), ["hostb"])


if __name__ == "__main__":
    if not REASON:
        sweep()
    main()
