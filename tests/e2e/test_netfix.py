#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""netfix, on real bridges, veth and TAP in namespaces (test_net.py has the picture). Root only.

What leaves a link is judged by tcpdump, not by our own parser.
"""
import ctypes
import json
import pathlib
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import harness  # noqa: E402
import test_net  # noqa: E402
from tap import main  # noqa: E402
from test_net import GUEST, MAC, Client, Network, ip, socket_in  # noqa: E402

HELP = """\
Usage: netfix VERB [OPTION...] ARGUMENT...

  netfix announce DOM|VIF     tell the network where the guest is
  netfix verify   DOM|VIF     is it reached here, and if not, where is it lost?
  netfix check    DOM HOST    would it be reached there?
  netfix map      HOST [FILE] what a domain of HOST is called here
  netfix help                 this text; `netfix VERB --help' has the options
  netfix version

Exit status: 0 done, 1 failed or not as it should be, 2 used wrongly.
"""


def raw_in(namespace, link, kind=0):
    """A packet socket on a link of the namespace; `kind` 3 hears all frames."""
    made = []

    def work():
        with open(f"/run/netns/{namespace}", "rb") as f:
            if ctypes.CDLL(None, use_errno=True).setns(f.fileno(), test_net.CLONE_NEWNET) == 0:
                made.append(socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
                made[0].bind((link, kind))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return made[0]


def frame(source, kind, body=b"", target="ff:ff:ff:ff:ff:ff"):
    return bytes.fromhex((target + source).replace(":", "")) + kind.to_bytes(2, "big") + body.ljust(46, b"\0")


class Tagger:
    """An 802.1Q port between two switches: what comes from `plain` goes out into `trunk` with a tag. (Not every kernel
    that these tests meet can tag.)"""

    def __init__(self, namespace, plain, trunk, vlan):
        self.tag = (0x8100).to_bytes(2, "big") + vlan.to_bytes(2, "big")
        self.namespace = namespace
        for name, switch in (("tag-in", plain), ("tag-out", trunk)):
            ip("-n", namespace, "link", "add", "name", name, "type", "veth", "peer", "name", f"{name}p")
            ip("-n", namespace, "link", "set", f"{name}p", "master", switch, "up")
            ip("-n", namespace, "link", "set", name, "up")

    def __enter__(self):
        self.sock = {name: raw_in(self.namespace, name, 3) for name in ("tag-in", "tag-out")}
        self.sock["tag-in"].settimeout(0.1)
        self.end = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        return self

    def run(self):
        while not self.end.is_set():
            try:
                data, where = self.sock["tag-in"].recvfrom(2000)
                if where[2] != socket.PACKET_OUTGOING:
                    self.sock["tag-out"].send(data[:12] + self.tag + data[12:])
            except TimeoutError:
                continue

    def __exit__(self, *_):
        self.end.set()
        self.thread.join()
        for sock in self.sock.values():
            sock.close()


class Capture:
    """tcpdump on a link of a namespace, for as long as the block lasts; its lines about `mac` afterwards."""

    def __init__(self, namespace, link, mac=MAC):
        self.namespace, self.link, self.mac = namespace, link, mac

    def __enter__(self):
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", self.namespace, "tcpdump", "--immediate-mode", "-l", "-n", "-e", "-v", "-t", "-Z", "root", "-i", self.link,
             "ether", "src", self.mac], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.said = self.process.stderr.readline()
        while "listening on" not in self.said:
            line = self.process.stderr.readline()
            if not line:
                raise AssertionError(self.said)
            self.said += line
        self.out = []
        self.reader = threading.Thread(target=lambda: self.out.extend(self.process.stdout), daemon=True)
        self.reader.start()
        return self

    def __exit__(self, *_):
        # The last frame is ours: when tcpdump has printed it, it has printed all before it.
        with raw_in(self.namespace, self.link) as sock:
            sock.send(frame(self.mac, 0x88b6))
        harness.wait_until("tcpdump has read all", lambda: any("0x88b6" in line for line in self.out))
        self.process.send_signal(signal.SIGINT)
        self.process.wait(10)
        self.reader.join(10)
        self.process.stdout.close()
        self.process.stderr.close()
        # A line that begins with a blank belongs to the frame before.
        text = re.sub(r"\n\s+", " ", "".join(self.out))
        self.frames = text.splitlines()

    def count(self, pattern):
        return sum(bool(re.search(pattern, frame)) for frame in self.frames)


def watches_links(pid):
    """The program under `ip netns exec` (which execs it) has its netlink socket joined to the group of links."""
    with open(f"/proc/{pid}/net/netlink", encoding="ascii") as f:
        return any(line.split()[2] == str(pid) and int(line.split()[3], 16) & 1 for line in f.readlines()[1:])


def learnt(namespace, bridge):
    """Where the bridge has the guest: its port, in a list."""
    fdb = json.loads(ip("netns", "exec", namespace, "bridge", "-j", "fdb", "show", "br", bridge))
    return [e["ifname"] for e in fdb if e["mac"] == MAC]


class Case(test_net.Case):
    def setUp(self):
        super().setUp()
        self.file = self.world.dir / "netfix.conf"

    def netfix(self, *args, host=None, check=True):
        return (host or self.a).run("netfix", *args, check=check)

    def transcript(self, text, host=None):
        """As in test_cli.py: what is typed, what is printed, and the exit status."""
        text = textwrap.dedent(text)
        found = ""
        for line in (line[2:] for line in text.splitlines() if line.startswith("$ ")):
            result = self.netfix(*line.split()[1:], host=host, check=False)
            err = "".join(f"! {line}\n" for line in result.stderr.splitlines())
            found += f"$ {line}\n" + self.normalise(result.stdout + err) + f"= {result.returncode}\n"
        self.assertEqual(text, found)

    def normalise(self, text):
        text = re.sub(r"\blb\d+\.(\d)", r"lbPID.\1", text)
        return re.sub(r"after \d+ ms", "after N ms", text)

    def create_quiet(self, memory=8, host=None):
        """A guest that never speaks unasked."""
        host = host or self.a
        host.create("pong", guest="pong", memory=memory, extra=f"ip={GUEST}/24 quiet",
                    lines=[f'vif = ["mac={MAC},bridge=br0"]'])
        harness.wait_ticks(host, "pong", more=1)

    def let_it_speak(self):
        """The client asks it, so that its frames have passed its vif and all bridges."""
        with socket_in(Network.names["client"]) as sock:
            sock.settimeout(5)
            sock.sendto(b"?", (GUEST, test_net.COUNT_PORT))
            sock.recv(1000)

    def know_client(self):
        """hosta has the client in its neighbour table, and so somebody to ask."""
        ip("netns", "exec", Network.names["hosta"], "ping", "-c", "1", "-W", "5", test_net.ADDRESS["client"])


class Announce(Case):
    def test_frames_as_tcpdump_reads_them(self):
        self.create_quiet()
        with Capture(Network.names["client"], "uplink") as capture:
            self.netfix("announce", "--listen=0", "--rounds=3", "--address", GUEST, "--address", "2001:db8::20",
                        "--address", "192.0.2.30@7", "pong")
        to_all = f"^{MAC} > ff:ff:ff:ff:ff:ff, "
        self.assertEqual(capture.count(to_all + f"ethertype ARP .* Request who-has {GUEST} tell {GUEST}"), 3)
        self.assertEqual(capture.count(to_all + f"ethertype ARP .* Reply {GUEST} is-at {MAC}"), 3)
        self.assertEqual(capture.count(to_all + r"ethertype 802\.1Q .* vlan 7, .* Request who-has 192.0.2.30 tell 192.0.2.30"), 3)
        self.assertEqual(capture.count(to_all + rf"ethertype 802\.1Q .* vlan 7, .* Reply 192.0.2.30 is-at {MAC}"), 3)
        self.assertEqual(capture.count(
            rf"^{MAC} > 33:33:00:00:00:01, ethertype IPv6 .*\(hlim 255, .* 2001:db8::20 > ff02::1: \[icmp6 sum ok\] ICMP6, "
            rf"neighbor advertisement, .* tgt is 2001:db8::20, Flags \[override\].* option \(2\), .*{MAC}"), 3)

    def test_unknown_addresses_give_rarp(self):
        self.create_quiet()
        with Capture(Network.names["client"], "uplink") as capture:
            self.transcript(f"""\
                $ netfix announce --listen=0 --rounds=2 --ask=192.0.2.10 pong
                lbPID.0 {MAC}
                  no address known: RARP
                  2 frames, reachable after N ms: 192.0.2.10 answered
                = 0
                """)
        self.assertEqual(capture.count(f"^{MAC} > ff:ff:ff:ff:ff:ff, ethertype Reverse ARP .*who-is {MAC} tell {MAC}"), 2)
        # Asked without an address of its own: an ARP probe, which nobody takes for an announcement.
        self.assertGreaterEqual(capture.count("Request who-has 192.0.2.10 tell 0.0.0.0"), 1)

    def test_addresses_and_where_they_come_from(self):
        self.create_quiet()
        self.know_client()
        self.transcript(f"""\
            $ netfix announce --listen=0 --dry-run pong
            lbPID.0 {MAC}
              no address known: RARP
            1 frames a round, 7 rounds; nothing was sent
            = 0
            """)
        ip("netns", "exec", Network.names["hosta"], "ping", "-c", "1", "-W", "5", GUEST)
        found = json.loads(self.netfix("announce", "--json", "-n", "--listen=0", "pong").stdout)
        device = self.network.taps("hosta")[0]["ifname"]
        self.assertEqual(found, [{"device": device, "mac": MAC, "bridge": "br0",
                                  "addresses": [{"address": GUEST, "from": "neighbour table"}]}])
        found = json.loads(self.netfix("announce", "--json", "-n", "--listen=0", "--address=192.0.2.21", "pong").stdout)
        self.assertEqual(found[0]["addresses"], [{"address": "192.0.2.21", "from": "config"}])

    def test_listens_to_the_guest(self):
        self.create_quiet()
        client = Client()
        client.start()
        self.addCleanup(client.stop)
        harness.wait_until("the guest answers", lambda: client.answers)
        found = json.loads(self.netfix("announce", "--json", "-n", "--listen=1000", "pong").stdout)
        self.assertEqual(found[0]["addresses"], [{"address": GUEST, "from": "its frames"}])

    def test_a_link_by_its_name(self):
        self.create_quiet()
        device = self.network.taps("hosta")[0]["ifname"]
        result = self.netfix("announce", "-n", device, check=False)
        self.assertEqual((result.returncode, self.normalise(result.stderr)),
                         (1, "netfix: the bridge knows no MAC address behind lbPID.0 yet.\n  Name it: --mac=00:16:3e:....\n"))
        self.let_it_speak()
        found = json.loads(self.netfix("announce", "-n", "--json", "--listen=0", device).stdout)
        self.assertEqual(found[0]["mac"], MAC)

    def test_only_once_the_port_forwards(self):
        """STP keeps a new port from forwarding; nothing is sent before, and all of it after."""
        self.create_quiet()
        device = self.network.taps("hosta")[0]["ifname"]
        space = Network.names["hosta"]
        ip("-n", space, "link", "set", device, "type", "bridge_slave", "state", "1")
        with Capture(space, "uplink") as capture:
            run = self.a.popen("netfix", "announce", "--json", "--listen=0", "--rounds=1", "--address", GUEST, "pong")
            self.addCleanup(harness.end_process, run)
            harness.wait_until("it watches the links", lambda: watches_links(run.pid))
            early = len(capture.out)
            ip("-n", space, "link", "set", device, "type", "bridge_slave", "state", "3")
            out, err = run.communicate(timeout=40)
        self.assertEqual((run.returncode, err), (0, ""))
        self.assertEqual(early, 0)
        self.assertEqual(json.loads(out)[0]["frames"], 2)
        self.assertEqual(capture.count(f"Request who-has {GUEST} tell {GUEST}"), 1)

    def test_the_local_bridge_learns_it_too(self):
        self.create_quiet()
        device = self.network.taps("hosta")[0]["ifname"]
        space = Network.names["hosta"]
        ip("netns", "exec", space, "bridge", "fdb", "replace", MAC, "dev", "uplink", "master", "dynamic")
        self.netfix("announce", "--listen=0", "--rounds=1", "--address", GUEST, "pong")
        self.assertEqual(learnt(space, "br0"), [device])


class Moves(Case):
    def start_client(self):
        client = Client()
        client.start()
        self.addCleanup(client.stop)
        harness.wait_until("the guest answers", lambda: len(client.answers) > 20)
        return client

    def gap(self, client, summary, what):
        """The longest silence, and how much of it was not the pause."""
        client.stop()
        times = [at for at, _ in client.answers]
        silence = max(b - a for a, b in zip(times, times[1:])) * 1000
        print(f"# {what}: longest silence {silence:.0f} ms, pause {summary['downtime_ms']} ms, "
              f"network {summary['network']}", flush=True)
        return silence - summary["downtime_ms"]

    def move(self):
        return json.loads(self.a.migrate("--json", "pong", "hostb").stdout)

    def test_a_quiet_guest_is_reached_at_once(self):
        """The switch remembers for five minutes, and the guest itself says nothing."""
        self.create_quiet()
        client = self.start_client()
        with Capture(Network.names["client"], "uplink") as capture:
            summary = self.move()
            answered = len(client.answers)
            harness.wait_until("it answers over there", lambda: len(client.answers) > answered + 20)
        self.assertEqual(summary["network"]["state"], "reachable", summary)
        self.assertIn("answered", summary["network"]["what"])
        self.assertGreaterEqual(capture.count(f"Request who-has {GUEST} tell {GUEST}"), 1)
        self.assertGreaterEqual(capture.count(f"Reply {GUEST} is-at {MAC}"), 1)
        # A second of it is what a lost question costs and the network needs. Beyond the pause, so that a slow machine,
        # whose pause is long, does not matter; one that stood still just then may try once more.
        beyond = self.gap(client, summary, "with netfix")
        if beyond >= 1000:
            client = self.start_client()
            summary = json.loads(self.b.migrate("--json", "pong", "hosta").stdout)
            answered = len(client.answers)
            harness.wait_until("it answers again", lambda: len(client.answers) > answered + 20)
            beyond = self.gap(client, summary, "with netfix, once more")
        self.assertLess(beyond, 1000)

    def test_without_it_the_switch_must_forget_first(self):
        """What test_a_quiet_guest_is_reached_at_once would not show if it could not be otherwise."""
        self.b.options.append("announce = false")
        self.b.write_config()
        self.create_quiet()
        # A client that asks for the guest again, because it takes its entry for stale, has the switch learn early.
        ip("-n", Network.names["client"], "neigh", "replace", GUEST, "lladdr", MAC, "dev", "uplink", "nud", "permanent")
        # Nobody asks meanwhile: a question that the guest has received and not answered when it stops is answered over there.
        self.start_client().stop()
        self.assertIsNone(self.move()["network"])
        client = Client()
        client.start()
        self.addCleanup(client.stop)
        harness.wait_until("it is asked over there", lambda: client.sent >= 5)
        self.assertEqual((client.answers, learnt(self.network.switch, "switch")), ([], ["port-a"]))
        ip("-n", self.network.switch, "link", "set", "switch", "type", "bridge", "ageing_time", "100")
        harness.wait_until("the switch has forgotten it", lambda: len(client.answers) > 20, 60)
        self.assertEqual(learnt(self.network.switch, "switch"), ["port-b"])  # it is still being asked

    def test_the_summary_says_it(self):
        self.create_quiet()
        out = self.a.migrate("pong", "hostb").stdout
        self.assertRegex(out, r"(?m)^  network    reachable after \d+ ms, its port forwarding after \d+: 192\.0\.2\.\d+ answered$")

    def test_nobody_answers(self):
        """Said as it is, and the move is none the worse for it."""
        self.b.options.append('ask = {"192.0.2.99"}')
        self.b.write_config()
        self.create_quiet()
        summary = self.move()
        self.assertEqual((summary["network"]["state"], summary["network"]["reachable_ms"], summary["network"]["what"]),
                         ("silent", None, "192.0.2.99 did not answer"))
        self.assertEqual(self.world.where("pong"), ["hostb"])

    def test_where_the_addresses_come_from(self):
        self.create_quiet()
        self.let_it_speak()
        ip("netns", "exec", Network.names["hosta"], "ping", "-c", "1", "-W", "5", GUEST)
        out = self.a.migrate("pong", "hostb").stdout
        self.assertRegex(out, rf"(?m)^             vif 0: {GUEST}, from neighbour table$")

    def test_two_vifs(self):
        """Each is announced on its own bridge, by the addresses that the config has for it."""
        for host in ("hosta", "hostb"):
            space, port = Network.names[host], f"three-{host[-1]}"
            ip("-n", self.network.switch, "link", "add", "name", port, "type", "veth", "peer", "name", "uplink2", "netns", space)
            ip("-n", self.network.switch, "link", "set", port, "master", "switch", "up")
            ip("-n", space, "link", "add", "name", "br2", "type", "bridge", "forward_delay", "0")
            ip("-n", space, "link", "set", "uplink2", "master", "br2", "up")
            ip("-n", space, "link", "set", "br2", "up")
        second = "00:16:3e:00:00:21"
        self.a.options.append('guest pong { address = {"192.0.2.77", "vif1=198.51.100.5"} }')
        self.a.write_config()
        self.a.create("pong", guest="pong", memory=8, extra=f"ip={GUEST}/24 quiet",
                      lines=[f'vif = ["mac={MAC},bridge=br0", "mac={second},bridge=br2"]'])
        harness.wait_ticks(self.a, "pong", more=1)
        with Capture(Network.names["client"], "uplink") as first, Capture(Network.names["client"], "uplink", second) as other:
            summary = self.move()
        self.assertGreaterEqual(first.count("Request who-has 192.0.2.77 tell 192.0.2.77"), 1)
        self.assertGreaterEqual(other.count("Request who-has 198.51.100.5 tell 198.51.100.5"), 1)
        self.assertEqual(other.count("192.0.2.77"), 0)
        self.assertEqual(summary["network"]["addresses"], [{"vif": 0, "address": "192.0.2.77", "from": "config"},
                                                            {"vif": 1, "address": "198.51.100.5", "from": "config"}])

    def test_what_the_old_host_was_told_by_hand(self):
        self.create_quiet()
        ip("netns", "exec", Network.names["hosta"], "bridge", "fdb", "replace", MAC, "dev", "uplink", "master", "static")
        result = self.a.migrate("--force", "pong", "hostb")
        self.assertIn(f"bridge br0 here has {MAC} behind uplink, set by hand: who is on it does not reach the guest. "
                      f"bridge fdb del {MAC} dev uplink master", result.stdout + result.stderr)

    def test_configured_addresses_are_announced(self):
        self.a.options.append('guest pong { address = {"192.0.2.77", "2001:db8::77"} }')
        self.a.write_config()
        self.create_quiet()
        with Capture(Network.names["client"], "uplink") as capture:
            self.move()
        self.assertGreaterEqual(capture.count("Request who-has 192.0.2.77 tell 192.0.2.77"), 1)
        self.assertGreaterEqual(capture.count(r"2001:db8::77 > ff02::1: \[icmp6 sum ok\] ICMP6, neighbor advertisement"), 1)
        self.assertEqual(capture.count(f"who-has {GUEST}"), 0)


class OneNetwork(Case):
    """br1 on both hosts; what it is connected to decides."""

    def join(self, host, switch, mtu=1500):
        space, port = Network.names[host], f"two-{host[-1]}"
        ip("-n", self.network.switch, "link", "add", "name", port, "mtu", str(mtu), "type", "veth", "peer", "name", "uplink1",
           "mtu", str(mtu), "netns", space)
        ip("-n", self.network.switch, "link", "set", port, "master", switch, "up")
        ip("-n", space, "link", "add", "name", "br1", "type", "bridge", "forward_delay", "0")
        ip("-n", space, "link", "set", "uplink1", "master", "br1", "up")
        ip("-n", space, "link", "set", "br1", "up")

    def add_switch(self, name):
        ip("-n", self.network.switch, "link", "add", "name", name, "type", "bridge", "forward_delay", "0")
        ip("-n", self.network.switch, "link", "set", name, "up")

    def create(self):
        self.a.create("pong", guest="pong", memory=8, extra=f"ip={GUEST}/24 quiet",
                      lines=[f'vif = ["mac={MAC},bridge=br1"]'])
        harness.wait_ticks(self.a, "pong", more=1)

    def test_a_bridge_that_looks_alike(self):
        self.add_switch("elsewhere")
        self.join("hosta", "switch")
        self.join("hostb", "elsewhere")
        self.create()
        for option in ("--dry-run", "--quiet"):
            result = self.a.migrate(option, "pong", "hostb", check=False)
            self.assertEqual(result.returncode, 1)
            self.assertIn("hostb: bridge br1 is another network than that of vif 0 on hosta: "
                          "frames sent there do not arrive here", result.stdout + result.stderr)
        self.assertEqual(self.world.where("pong"), ["hosta"])
        self.assertEqual(self.network.taps("hostb"), [])
        # Connected to the right one, the same bridge will do.
        ip("-n", self.network.switch, "link", "set", "two-b", "master", "switch")
        self.a.migrate("pong", "hostb")
        self.assertEqual(self.world.where("pong"), ["hostb"])

    def test_another_vlan(self):
        """hosta's network comes to hostb as VLAN 20 of a trunk, all of which is in its bridge."""
        self.add_switch("trunk")
        self.join("hosta", "switch")
        self.join("hostb", "trunk")
        self.create()
        with Tagger(self.network.switch, "switch", "trunk", 20):
            result = self.a.migrate("--quiet", "pong", "hostb", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("risk: hostb: frames of vif 0 on hosta arrive at bridge br1 with the tag of VLAN 20: the guest would hear and "
                      "be heard by nobody.\n", result.stderr)
        self.assertEqual(self.world.where("pong"), ["hosta"])

    def test_a_smaller_mtu(self):
        self.join("hosta", "switch")
        self.join("hostb", "switch", 1400)
        self.create()
        result = self.a.migrate("pong", "hostb", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("bridge br1 has an MTU of 1400 here, and vif 0 one of 1500 on hosta", result.stderr)
        self.assertEqual(self.world.where("pong"), ["hosta"])


class Verify(Case):
    def test_all_is_well(self):
        self.create_quiet()
        self.know_client()
        self.let_it_speak()
        self.transcript(f"""\
            $ netfix verify --listen=0 pong
            lbPID.0 {MAC}
              port     forwards
              bridge   br0 has it behind lbPID.0
              network  192.0.2.10 answered
            = 0
            """)

    def test_a_stale_table_is_named_and_corrected(self):
        self.create_quiet()
        self.know_client()
        ip("netns", "exec", Network.names["hosta"], "bridge", "fdb", "replace", MAC, "dev", "uplink", "master", "static")
        self.transcript(f"""\
            $ netfix verify --listen=0 --address={GUEST} pong
            lbPID.0 {MAC}
              port     forwards
              bridge   stale: br0 has it behind uplink
              network  192.0.2.10 did not answer
            = 1
            $ netfix verify --listen=0 --address={GUEST} --fix pong
            lbPID.0 {MAC}
              port     forwards
              bridge   br0 has it behind lbPID.0
              network  192.0.2.10 answered
            = 0
            """)
        found = json.loads(self.netfix("verify", "--json", "--listen=0", "--address", GUEST, "pong").stdout)[0]
        self.assertEqual((found["port_ok"], found["bridge_ok"], found["network_ok"], found["state"]),
                         (True, True, True, "reachable"))

    def test_what_it_would_correct(self):
        self.create_quiet()
        self.know_client()
        ip("netns", "exec", Network.names["hosta"], "bridge", "fdb", "replace", MAC, "dev", "uplink", "master", "static")
        for _ in range(2):  # nothing is changed
            self.transcript(f"""\
                $ netfix verify --listen=0 --address={GUEST} --fix --dry-run pong
                lbPID.0 {MAC}
                  port     forwards
                  bridge   stale: br0 has it behind uplink
                           would be corrected: {MAC} behind lbPID.0, and announced
                  network  192.0.2.10 did not answer
                = 1
                """)
        found = json.loads(self.netfix("verify", "--json", "--listen=0", "--fix", "--dry-run", "--address", GUEST, "pong", check=False).stdout)[0]
        self.assertEqual((found["bridge_ok"], found["would_fix"]), (False, True))

    def test_a_port_that_is_blocked(self):
        self.create_quiet()
        self.know_client()
        device = self.network.taps("hosta")[0]["ifname"]
        ip("-n", Network.names["hosta"], "link", "set", device, "type", "bridge_slave", "state", "1")
        self.transcript(f"""\
            $ netfix verify --listen=0 --address={GUEST} pong
            lbPID.0 {MAC}
              port     its bridge port still listens (STP)
              bridge   br0 has not learned it
              network  lbPID.0: its bridge port still listens (STP)
            = 1
            """)

    def test_beyond_this_host(self):
        self.create_quiet()
        self.transcript(f"""\
            $ netfix verify --listen=0 --ask=192.0.2.99 pong
            lbPID.0 {MAC}
              port     forwards
              bridge   br0 has not learned it
              network  stale: 192.0.2.99 did not answer; a switch or host beyond this one looks for it elsewhere, or that address is down
            = 1
            """)


class Check(Case):
    def check(self, *options):
        return json.loads(self.netfix("check", "--json", *options, "pong", "hostb", check=False).stdout)

    def setUp(self):
        super().setUp()
        for space in (Network.names["hosta"], Network.names["hostb"]):
            ip("netns", "exec", space, "sysctl", "-qw", "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0")
            ip("netns", "exec", space, "sh", "-c", "sysctl -qw $(sysctl -N net.bridge 2>/dev/null | grep call | sed 's/$/=0/') || :")

    def test_nothing_found(self):
        self.create_quiet()
        self.transcript("""\
            $ netfix check pong hostb
            pong would be reached on hostb; nothing was changed
            = 0
            """)

    def test_a_duplicate_mac_on_the_wire(self):
        self.create_quiet()
        with raw_in(Network.names["client"], "uplink") as twin:
            end = threading.Event()
            arp = bytes.fromhex("0001080006040001" + MAC.replace(":", "")) + socket.inet_aton("192.0.2.66") + bytes(10)
            thread = threading.Thread(target=lambda: [twin.send(frame(MAC, 0x0806, arp)) for _ in iter(lambda: end.wait(0.05), True)])
            thread.start()
            result = self.netfix("check", "--listen=1000", "pong", "hostb", check=False)
            end.set()
            thread.join()
        self.assertEqual(result.returncode, 1)
        self.assertIn(f"risk: hosta: another station sends with the guest's MAC address {MAC}: its frames come in through "
                      "uplink, from 192.0.2.66.\n  Give one of the two another MAC address.\n", result.stdout)

    def test_a_duplicate_mac_on_the_other_host(self):
        self.create_quiet()
        self.b.create("twin", guest="pong", memory=8, extra="ip=192.0.2.21/24 quiet",
                      lines=[f'vif = ["mac={MAC},bridge=br0"]'])
        found = self.check()
        self.assertTrue([f for f in found if f["host"] == "hostb" and MAC in f["what"] and "twin" in f["what"]], found)

    def test_what_would_drop_it(self):
        self.create_quiet()
        for host in ("hosta", "hostb"):
            ip("netns", "exec", Network.names[host], "nft",
               "add table bridge walls; add chain bridge walls gate { type filter hook forward priority 0; policy drop; }")
        ip("netns", "exec", Network.names["hosta"], "sysctl", "-qw", "net.ipv4.ip_forward=1")
        found = self.check()
        for host in ("hosta", "hostb"):
            self.assertIn(("risk", "network-filter", host, "nftables filters bridged frames in chain gate of table bridge walls, "
                           "which drops what no rule accepts"), [(f["severity"], f["code"], f["host"], f["what"]) for f in found])
        self.assertTrue([f for f in found if f["code"] == "network-host" and f["fix"].endswith("sysctl net.ipv4.ip_forward=0")])

    def test_both_hosts_in_words(self):
        """What the preflight of a move finds is the same, and each host's own stays."""
        self.create_quiet()
        for host in ("hosta", "hostb"):
            ip("netns", "exec", Network.names[host], "sysctl", "-qw", "net.ipv4.ip_forward=1")
        ip("-n", Network.names["hostb"], "link", "set", "br0", "promisc", "on")
        words = """\
            warning: hosta: this host routes IPv4 between its links: a guest may be reached, or reach others, past its bridge.
              If it is not meant: sysctl net.ipv4.ip_forward=0.
            warning: hostb: this host routes IPv4 between its links: a guest may be reached, or reach others, past its bridge.
              If it is not meant: sysctl net.ipv4.ip_forward=0.
            warning: hostb: bridge br0 is promiscuous: this host sees, and may route, all that it carries.
              If nobody means to: ip link set BRIDGE promisc off.
            """
        self.transcript(f"$ netfix check pong hostb\n{textwrap.dedent(words)}= 0\n")
        found = json.loads(self.a.migrate("--check", "--json", "pong", "hostb").stdout)["findings"]
        self.assertEqual(sorted((f["host"], f["code"]) for f in found),
                         [("hosta", "network-host"), ("hostb", "network-host"), ("hostb", "network-promisc")])

    def test_an_address_that_it_may_not_have(self):
        self.a.create("pong", guest="pong", memory=8, extra=f"ip={GUEST}/24 quiet",
                      lines=[f'vif = ["mac={MAC},bridge=br0"]'])
        harness.wait_ticks(self.a, "pong", more=1)
        ip("netns", "exec", Network.names["hosta"], "ping", "-c", "1", "-W", "5", GUEST)
        self.assertEqual(self.check(), [])

    def test_a_move_is_stopped_by_a_twin(self):
        self.create_quiet()
        with raw_in(Network.names["client"], "uplink") as twin:
            end = threading.Event()
            arp = bytes.fromhex("0001080006040001" + MAC.replace(":", "")) + socket.inet_aton("192.0.2.66") + bytes(10)
            thread = threading.Thread(target=lambda: [twin.send(frame(MAC, 0x0806, arp)) for _ in iter(lambda: end.wait(0.05), True)])
            thread.start()
            result = self.a.migrate("--quiet", "pong", "hostb", check=False)
            end.set()
            thread.join()
        self.assertEqual(result.returncode, 1)
        self.assertIn(f"another station sends with the guest's MAC address {MAC}", result.stderr)
        self.assertEqual(self.world.where("pong"), ["hosta"])

    def test_no_daemon(self):
        self.create_quiet()
        self.a.stop()
        result = self.netfix("check", "pong", "hostb", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, "^netfix: lifeboatd does not run on this host .*\n  Start it: systemctl start lifeboatd\\.")


class Map(Case):
    def setUp(self):
        super().setUp()
        text = self.b.config.read_text().replace(
            "peer hosta {", 'peer hosta { bridge br0 { here = "brdr" } moved "192.0.2.20" { here = "198.51.100.20" }')
        self.b.write_config = lambda: None
        self.b.config.write_text(text)

    def test_transcripts(self):
        path = self.world.dir / "config.json"
        path.write_text('{"vif": [{"mac": "x", "bridge": "br0"}, {"bridge": "other"}], "nics": [{"bridge": "br0", "ip": "192.0.2.20/24 192.0.2.9"}]}')
        (self.world.dir / "bad").write_text("name = web")
        self.transcript(f"""\
            $ netfix map hosta
            bridge br0 of hosta is brdr here
            address 192.0.2.20 of hosta is 198.51.100.20 here
            = 0
            $ netfix map hosta {path}
            vif 0
            -  bridge br0
            +  bridge brdr
            vif 0
            -  bridge br0
            +  bridge brdr
            vif 0
            -  ip 192.0.2.20/24 192.0.2.9
            +  ip 198.51.100.20/24 192.0.2.9
            = 0
            $ netfix map nosuch
            ! netfix: no peer 'nosuch' is configured on this host.
            !   Add it to {self.b.config}, or correct the name.
            = 1
            $ netfix map hosta {self.world.dir}/bad
            ! netfix: {self.world.dir}/bad is no domain's configuration in JSON.
            !   On Xen, xl list -l DOM prints it (its "config").
            = 1
            """, host=self.b)
        self.transcript("""\
            $ netfix map hostb
            all is called here as on hostb
            = 0
            """)

    def test_a_move_to_a_bridge_of_another_name(self):
        space = Network.names["hostb"]
        ip("-n", space, "link", "add", "name", "brdr", "type", "bridge", "forward_delay", "0")
        ip("-n", space, "link", "set", "brdr", "up")
        ip("-n", self.network.switch, "link", "add", "name", "dr", "type", "veth", "peer", "name", "updr", "netns", space)
        ip("-n", self.network.switch, "link", "set", "dr", "master", "switch", "up")
        ip("-n", space, "link", "set", "updr", "master", "brdr", "up")
        self.create_quiet()
        found = json.loads(self.a.migrate("--json", "--check", "pong", "hostb").stdout)["findings"]
        self.assertIn(("hostb", "network-map", "vif 0: bridge br0 of hosta is brdr here"),
                      [(f["host"], f["code"], f["what"]) for f in found])
        self.a.migrate("pong", "hostb")
        self.assertEqual(self.b.info("pong")["vif"], [{"mac": MAC, "bridge": "brdr"}])
        self.assertEqual([tap.get("master") for tap in self.network.taps("hostb")], ["brdr"])


class Refusals(Case):
    def test_no_privilege(self):
        self.create_quiet()
        device = self.network.taps("hosta")[0]["ifname"]
        command = self.a.command("netfix", "announce", f"--mac={MAC}", device)
        command[4:4] = ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw", "--"]
        result = subprocess.run(command, env=self.a.env(), text=True, capture_output=True, check=False)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (
            1, "", "netfix: raw frames need CAP_NET_RAW, which this process does not have.\n"
                   "  Run it as root, or with CAP_NET_RAW.\n"))

    def test_sentences(self):
        self.a.create("led", guest="ledger", memory=16)
        ip("-n", Network.names["hosta"], "link", "add", "lonely", "type", "veth", "peer", "name", "end")
        self.transcript("""\
            $ netfix announce nosuch
            ! netfix: no domain is named `nosuch' here.
            !   See hv list for the domains of this host.
            = 1
            $ netfix announce led
            ! netfix: led has no vif.
            !   There is nothing to do.
            = 1
            $ netfix announce lonely
            ! netfix: lonely is in no bridge: nothing forwards what would be sent for it.
            !   Name a domain, or a vif that is in a bridge (bridge link).
            = 1
            $ netfix announce --mac=00:16:3e:00:00:01 lonely
            ! netfix: lonely is in no bridge: nothing forwards what would be sent for it.
            !   Name a domain, or a vif that is in a bridge (bridge link).
            = 1
            """)

    def test_a_table_that_may_not_be_corrected(self):
        self.create_quiet()
        self.know_client()
        ip("netns", "exec", Network.names["hosta"], "bridge", "fdb", "replace", MAC, "dev", "uplink", "master", "static")
        command = self.a.command("netfix", "verify", "--fix", "--listen=0", f"--address={GUEST}", "pong")
        command[4:4] = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", "--"]
        result = subprocess.run(command, env=self.a.env(), text=True, capture_output=True, check=False)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (
            1, "", "netfix: the table of bridge br0 cannot be corrected: Operation not permitted.\n"
                   "  Run it as root, or with CAP_NET_ADMIN.\n"))


class Words(Case):
    def test_help(self):
        for line in ("netfix help", "netfix --help", "netfix -h"):
            self.transcript(f"$ {line}\n{HELP}= 0\n")
        self.transcript("$ netfix\n" + "".join(f"! {line}\n" for line in HELP.splitlines()) + "= 2\n")
        self.transcript("$ netfix version\nnetfix (lifeboat) 0.1\n= 0\n")

    def test_usage_errors(self):
        self.transcript("""\
            $ netfix sing
            ! netfix: there is no verb `sing'
            ! Try `netfix help' for all of them.
            = 2
            $ netfix announce
            ! netfix announce: DOM|VIF is missing
            ! Try `netfix announce --help' or `netfix announce --usage' for more
            ! information.
            = 2
            $ netfix announce a b
            ! netfix announce: too many arguments: `b'
            ! Try `netfix announce --help' or `netfix announce --usage' for more
            ! information.
            = 2
            $ netfix announce --address=127.0.0.1 pong
            ! netfix announce: `127.0.0.1' is no address of a host
            ! Try `netfix announce --help' or `netfix announce --usage' for more
            ! information.
            = 2
            $ netfix announce --mac=01:00:5e:00:00:01 pong
            ! netfix announce: `01:00:5e:00:00:01' is no MAC address of a guest
            ! Try `netfix announce --help' or `netfix announce --usage' for more
            ! information.
            = 2
            $ netfix announce --rounds=0 pong
            ! netfix announce: --rounds takes 1 to 20, not `0'
            ! Try `netfix announce --help' or `netfix announce --usage' for more
            ! information.
            = 2
            """)


if __name__ == "__main__":
    if not test_net.REASON:
        test_net.sweep()
    main()
