#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The preflight: migrate --check lists all that both hosts find, a move is stopped by the same, and --force
overrides risks and nothing else. Where a destination must find what no test can bring about on this machine, the
independent peer (tests/wire/peer.py) is the destination."""
import json
import os
import pathlib
import re
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import harness  # noqa: E402
from tap import main  # noqa: E402
from test_cli import MAC, UUID, Case  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
RISK = ["risk", "kernel", "the kernel is not here", "Copy it"]
WARNING = ["warning", "vcpus", "it has many vCPUs", "Give it fewer"]
BLOCKER = ["blocker", "memory", "no room", "Make room"]


class BothHosts(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.disk = cls.file("disk", "\0" * 4096)
        cls.file("led.cfg", f'name = "led"\nuuid = "{UUID}"\nkernel = "ledger"\nmemory = 32\n'
                 f'disk = ["{cls.disk},raw,xvda,w"]\n')
        cls.world.b.options.append("embedded_memory = 16")
        cls.world.b.write_config()
        cls.world.a.start()
        cls.world.b.start()

    def setUp(self):
        self.file("disk", "\0" * 4096)

    def obstruct(self):
        """One obstacle here and three there."""
        self.host.hv("create", "--paused", self.host.dir / "led.cfg")
        self.disk.unlink()
        (self.world.b.dir / "led.cfg").write_text(f'name = "led"\nuuid = "{UUID}"\nkernel = "ledger"\nmemory = 8\n')
        self.world.b.hv("create", self.world.b.dir / "led.cfg")

    def test_all_at_once(self):
        self.obstruct()
        for option in ("--check", "--dry-run", "-n", "--check --force"):
            self.transcript(f"""\
                $ migrate {option} led hostb
                blocker: hosta: domain `led' is paused, only a running one can be moved live.
                  Start it with hv unpause first.
                blocker: hostb: a domain named `led' exists on this host.
                  Destroy or rename that one, or choose another name.
                blocker: hostb: domain `led' needs 32 MiB of memory, N MiB are free here.
                  Stop a domain here, or raise embedded_memory in the configuration.
                blocker: hostb: cannot use disk DIR/disk on this host: No such file or directory.
                  Make the file, or change disk= in the domain file.
                led cannot move to hostb: 4 blockers; nothing was changed
                = 1
                """)

    def test_a_move_finds_the_same(self):
        self.obstruct()
        for option in ("", "--force ", "--quiet "):
            self.transcript(f"""\
                $ migrate {option}led hostb
                ! migrate: hosta: domain `led' is paused, only a running one can be moved live.
                !   Start it with hv unpause first.
                ! migrate: hostb: a domain named `led' exists on this host.
                !   Destroy or rename that one, or choose another name.
                ! migrate: hostb: domain `led' needs 32 MiB of memory, N MiB are free here.
                !   Stop a domain here, or raise embedded_memory in the configuration.
                ! migrate: hostb: cannot use disk DIR/disk on this host: No such file or directory.
                !   Make the file, or change disk= in the domain file.
                ! migrate: led was not moved: 4 blockers
                = 1
                """)
        self.assertEqual(self.host.info("led")["state"], "paused")
        self.assertEqual(list(self.world.b.domains()), ["led"])

    def test_json(self):
        self.obstruct()
        codes = [("blocker", "hosta", "state"), ("blocker", "hostb", "name"), ("blocker", "hostb", "memory"),
                 ("blocker", "hostb", "disk")]
        for option, event in (("--check", "result"), ("--quiet", "error")):
            result = self.host.migrate(option, "--json", "led", "hostb", check=False)
            self.assertEqual((result.returncode, result.stderr), (1, ""))
            told = json.loads(result.stdout)
            self.assertEqual(told["event"], event)
            self.assertEqual([(f["severity"], f["host"], f["code"]) for f in told["findings"]], codes)
            for finding in told["findings"]:
                self.assertEqual(list(finding), ["severity", "code", "host", "what", "fix"])
                self.assertTrue(finding["what"] and finding["fix"])
        self.assertEqual(told["what"], "hosta: domain `led' is paused, only a running one can be moved live")

    def test_nothing_in_the_way(self):
        self.file("small.cfg", f'name = "small"\nkernel = "ledger"\nmemory = 8\n')
        self.host.hv("create", self.host.dir / "small.cfg")
        self.transcript("""\
            $ migrate --check small hostb
            small can move to hostb; nothing was changed
            = 0
            """)
        told = json.loads(self.host.migrate("--check", "--json", "small", "hostb").stdout)
        self.assertEqual(told, {"event": "result", "domain": "small", "to": "hostb", "can_move": True, "findings": []})
        self.assertEqual(self.world.where("small"), ["hosta"])

    def test_an_unreachable_host_hides_nothing(self):
        self.host.hv("create", "--paused", self.host.dir / "led.cfg")
        self.world.b.stop()
        self.addCleanup(self.world.b.start)
        self.transcript("""\
            $ migrate --check led hostb
            blocker: hosta: domain `led' is paused, only a running one can be moved live.
              Start it with hv unpause first.
            blocker: hosta: cannot reach hostb at 127.0.0.1 port PORT: Connection refused.
              Check that hostb is up, that lifeboatd runs there, and that no firewall is between.
            led cannot move to hostb: 2 blockers; nothing was changed
            = 1
            """)

    def test_stopped_here_nothing_is_built_there(self):
        self.file("small.cfg", f'name = "small"\nkernel = "ledger"\nmemory = 8\n')
        self.host.hv("create", "--paused", self.host.dir / "small.cfg")
        self.transcript("""\
            $ migrate small hostb
            ! migrate: hosta: domain `small' is paused, only a running one can be moved live.
            !   Start it with hv unpause first.
            = 1
            """)
        self.assertNotIn("small comes from hosta", self.world.b.log_text())

    def test_each_can_follow_at_once(self):
        """A check or a refusal leaves nothing locked behind."""
        self.host.hv("create", self.host.dir / "led.cfg")
        for option in ("--check", "--quiet") * 8:
            told = json.loads(self.host.migrate(option, "--json", "led", "hostb", check=False).stdout)
            self.assertEqual([f["code"] for f in told["findings"]], ["memory"])

    def test_journal_cannot_be_written(self):
        """On either host, and beside the rest."""
        self.host.hv("create", self.host.dir / "led.cfg")
        for host in (self.host, self.world.b):
            journal = host.dir / "state/journal"
            journal.mkdir(parents=True, exist_ok=True)
            journal.rename(host.dir / "aside")
            journal.write_text("")
            self.addCleanup((host.dir / "aside").rename, journal)
            self.addCleanup(journal.unlink)
        told = json.loads(self.host.migrate("--check", "--json", "led", "hostb", check=False).stdout)
        self.assertEqual([(f["host"], f["code"]) for f in told["findings"]],
                         [("hosta", "open"), ("hostb", "open"), ("hostb", "memory")])
        for finding in told["findings"][:2]:
            self.assertRegex(finding["what"], "journal.*: Not a directory")

    def offer(self, *args):
        """The independent peer as the source, of a domain with that MAC address."""
        config = {"backend": "embedded", "version": 1, "name": "three", "uuid": "0" * 32, "memory_mb": 4,
                  "kernel": "", "extra": "", "on_poweroff": "destroy", "on_reboot": "destroy", "on_crash": "destroy",
                  "vif": [{"mac": MAC.replace(":", ""), "bridge": ""}], "disk": []}
        self.file("offer.json", json.dumps(config))
        result = subprocess.run(
            [ROOT / "tests/wire/peer.py", "send", "--connect", f"127.0.0.1:{self.world.b.port}", "--key",
             self.host.dir / "state/host.key", "--peer-key", self.world.b.key, "--name", "three", "--config",
             self.host.dir / "offer.json", *args], text=True, capture_output=True, timeout=30, check=False)
        return json.loads(result.stdout)

    @unittest.skipIf(os.geteuid() != 0, "without root no vif is ever made")
    def test_a_destination_refuses_risks_itself(self):
        (self.world.b.dir / "mac.cfg").write_text(f'name = "two"\nkernel = "ledger"\nmemory = 8\nvif = ["mac={MAC}"]\n')
        self.world.b.hv("create", self.world.b.dir / "mac.cfg")
        told = self.offer()
        self.assertEqual((told["end"], [f["code"] for f in told["findings"]]), ("refused", ["mac"]))
        self.assertEqual(told["reason"]["what"], told["findings"][0]["what"])
        told = self.offer("--check-only")  # then the source judges
        self.assertEqual((told["end"], [f["code"] for f in told["findings"]]), ("accepted", ["mac"]))

    def test_one_who_says_nothing_after_the_handshake(self):
        told = self.offer("--wrong", "mute")
        self.assertEqual((told["end"], told["left"]), ("closed", 0))
        self.assertIn("nothing followed the handshake within 12 s", self.world.b.log_text())

    @unittest.skipIf(os.geteuid() != 0, "without root no vif is ever made")
    def test_same_mac(self):
        for host, name in ((self.host, "one"), (self.world.b, "two")):
            (host.dir / "mac.cfg").write_text(f'name = "{name}"\nkernel = "ledger"\nmemory = 8\nvif = ["mac={MAC}"]\n')
        self.world.b.hv("create", self.world.b.dir / "mac.cfg")
        self.host.hv("create", self.host.dir / "mac.cfg")
        told = json.loads(self.host.migrate("--check", "--json", "one", "hostb", check=False).stdout)
        self.assertEqual([(f["severity"], f["code"], f["what"]) for f in told["findings"]],
                         [("risk", "mac", f"domain two on this host has the MAC address {MAC} of one too")])
        self.transcript(f"""\
            $ migrate one hostb
            ! migrate: risk: hostb: domain two on this host has the MAC address {MAC} of one too.
            !   Give one of them another address, with mac= in its domain file.
            ! migrate: one was not moved: 1 risk; --force moves it all the same
            = 1
            """)
        self.assertEqual(self.world.where("one"), ["hosta"])
        moved = json.loads(self.host.migrate("--force", "--json", "one", "hostb").stdout)
        self.assertEqual([f["code"] for f in moved["findings"]], ["mac"])
        self.assertEqual(self.world.where("one"), ["hostb"])


class ToldByAPeer(Case):
    """hostb is the independent peer, which finds what it is told to find."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.world.a.start()
        cls.host.hv("create", cls.host.dir / "led.cfg")

    def tearDown(self):
        self.assertEqual(harness.wait_ticks(self.host, "led", more=1)["faults"], 0)

    def peer(self, *args):
        """Listening on a port of its own, where hosta now believes hostb to be."""
        process = subprocess.Popen(
            ["/usr/bin/python3", ROOT / "tests/wire/peer.py", "receive", "--key",
             self.world.b.dir / "state/host.key", "--peer-key", self.host.key, "--timeout", "20", *args], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(harness.end_process, process)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        port = int(process.stderr.readline().split()[-1])
        self.host.peers = [("hostb", port, self.world.b.key)]
        self.host.write_config()
        return process

    def seen(self, process):
        return json.loads(process.communicate(timeout=30)[0])

    def test_risk(self):
        peer = self.peer("--find", json.dumps([WARNING, RISK]))
        self.transcript("""\
            $ migrate --check led hostb
            risk: hostb: the kernel is not here.
              Copy it.
            warning: hostb: it has many vCPUs.
              Give it fewer.
            led can move to hostb with --force only: 1 risk, 1 warning; nothing was changed
            = 1
            """)
        self.assertEqual(self.seen(peer)["offer"]["flags"], 1)

    def test_risk_forced(self):
        peer = self.peer("--find", json.dumps([RISK]))
        self.transcript("""\
            $ migrate --check --force led hostb
            risk: hostb: the kernel is not here.
              Copy it.
            led can move to hostb with --force: 1 risk; nothing was changed
            = 0
            """)
        self.assertEqual(self.seen(peer)["offer"]["flags"], 3)

    def test_risk_stops_a_move(self):
        """Even at a destination that would take it."""
        peer = self.peer("--find", json.dumps([WARNING, RISK]))
        self.transcript("""\
            $ migrate led hostb
            ! migrate: risk: hostb: the kernel is not here.
            !   Copy it.
            ! migrate: warning: hostb: it has many vCPUs.
            !   Give it fewer.
            ! migrate: led was not moved: 1 risk, 1 warning; --force moves it all the same
            = 1
            """)
        self.assertEqual(self.seen(peer)["end"], "aborted")

    def test_forced_move_goes_on(self):
        peer = self.peer("--find", json.dumps([RISK]), "--at", "HEAD", "--refuse", "enough")
        result = self.host.migrate("--force", "--quiet", "led", "hostb", check=False)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (1, "", """\
migrate: risk: hostb: the kernel is not here.
  Copy it.
migrate: hostb: enough.
  Ask the test.
"""))
        seen = self.seen(peer)
        self.assertEqual((seen["offer"]["flags"], seen["end"]), (2, "refused"))

    def test_warnings_stop_nothing(self):
        self.peer("--find", json.dumps([WARNING]), "--at", "HEAD", "--refuse", "enough")
        result = self.host.migrate("--quiet", "led", "hostb", check=False)
        self.assertEqual(result.stderr, """\
migrate: warning: hostb: it has many vCPUs.
  Give it fewer.
migrate: hostb: enough.
  Ask the test.
""")
        self.peer("--find", json.dumps([WARNING]))
        self.transcript("""\
            $ migrate --check led hostb
            warning: hostb: it has many vCPUs.
              Give it fewer.
            led can move to hostb: 1 warning; nothing was changed
            = 0
            """)

    def test_one_blocker_looks_like_any_error(self):
        self.peer("--find", json.dumps([BLOCKER]))
        self.transcript("""\
            $ migrate --force led hostb
            ! migrate: hostb: no room.
            !   Make room.
            = 1
            """)

    def test_refused_without_findings(self):
        self.peer("--refuse", "not today")
        self.transcript("""\
            $ migrate --check led hostb
            blocker: hostb: not today.
              Ask the test.
            led cannot move to hostb: 1 blocker; nothing was changed
            = 1
            """)

    def test_it_leaves_when_it_has_accepted(self):
        """The reason is the link's end, wherever in the beginning of the session that is noticed."""
        self.host.options.append("resume_time = 0")
        self.addCleanup(self.host.options.remove, "resume_time = 0")
        for _ in range(5):
            self.peer("--leave")
            result = self.host.migrate("--quiet", "led", "hostb", check=False)
            self.assertEqual(result.returncode, 1)
            self.assertRegex(result.stderr, "hostb closed the link|link to hostb was lost")

    def test_lies(self):
        for found in ([["blocker", "", "x", "y"]], [["risk", "x" * 24, "x", "y"]], [["risk", "x", "x" * 512, "y"]],
                      [RISK] * 49, []):
            with self.subTest(found=str(found)[:40]):
                self.peer("--find", json.dumps(found or [RISK]), *(() if found else ("--at", "OFFER", "--corrupt",
                                                                                   "findings")))
                result = self.host.migrate("--check", "led", "hostb", check=False)
                self.assertEqual(result.returncode, 1)
                self.assertIn("blocker: hosta: hostb sent bad FINDINGS.", result.stdout)


class Documented(unittest.TestCase):
    def test_every_code(self):
        """What a program may meet as "code" stands in migrate(8)."""
        text = "".join(path.read_text() for part in ("hypervisor", "migrate") for path in (ROOT / part).glob("*.c"))
        codes = set(re.findall(r'FINDING_[A-Z]+,\s*"([a-z-]+)"|send_trouble\(s, "([a-z-]+)"|'
                               r'\{(?:is|has|forbids)_\w+,\s*"([a-z-]+)"', text))
        codes = {code for found in codes for code in found if code}
        self.assertGreater(len(codes), 40)
        page = (ROOT / "docs/man/migrate.8").read_text()
        page = page[page.index("The codes, by what they are about"):]
        page = set(re.split(r"[,\s]+", page[:page.index(".El")]))
        self.assertEqual(codes - page, set())


if __name__ == "__main__":
    main()
