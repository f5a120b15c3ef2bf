#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Deaths and cuts at every step of the hand-over. Afterwards, by itself: one copy runs, whole, and
nothing is left open or lying about."""
import os
import pathlib
import random
import signal
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import harness  # noqa: E402
from tap import main  # noqa: E402

# Each rule's steps (migrate/handover.c) and, as 3, its end.
SOURCE_POINTS = [("PREP", (0, 3)), ("SUSPENDED", (0, 3)), ("QUIESCED", (0, 1, 3)), ("CEDED", (0, 1, 2, 3)),
                 ("GONE", (0, 1, 2, 3))]
DESTINATION_POINTS = [("BUILDING", (0, 3)), ("READY", (0, 1, 3)), ("OWNER", (0, 1, 2, 3))]


def points(table):
    return [f"{state}.{step}" for state, steps in table for step in steps]


class Faults(unittest.TestCase):
    """One guest that moves to and fro through all of them."""

    @classmethod
    def setUpClass(cls):
        cls.world = harness.World().__enter__()
        cls.relays = {}
        for here, there in ((cls.world.a, cls.world.b), (cls.world.b, cls.world.a)):
            cls.relays[here.name] = relay = harness.Relay(there.port)
            here.peers = [(there.name, relay.port, there.key)]
            here.write_config()
            here.restart()
        cls.world.a.create(memory=48, extra="fill=80 wss=20 rate=3000")
        harness.wait_ticks(cls.world.a, "ledger")

    @classmethod
    def tearDownClass(cls):
        for relay in cls.relays.values():
            relay.close()
        cls.world.close()

    def sides(self):
        """(source, destination) as the guest stands now."""
        a, b = self.world.a, self.world.b
        return (a, b) if "ledger" in a.domains() else (b, a)

    def assert_settles(self, what):
        try:
            self.world.wait_settled()
            names = harness.wait_until(
                "exactly one copy", lambda: (n := [d for h in (self.world.a, self.world.b) for d in h.domains()])
                == ["ledger"] and n, 20)
            info = harness.wait_ticks(self.sides()[0], "ledger", more=2)
            self.assertEqual((names, info["faults"], info["state"]), (["ledger"], 0, "running"))
        except AssertionError as error:
            logs = "".join(f"\n--- {h.name}\n{h.log_text()[-3000:]}" for h in (self.world.a, self.world.b))
            raise AssertionError(f"{what}: {error}; open {self.world.open_handovers()}{logs}") from error

    def run_fault(self, host_of, point, action="kill", meanwhile=None):
        source, destination = self.sides()
        host = host_of(source, destination)
        fault = host.dir / "fault"
        fault.write_text(f"{point} {action}")
        move = source.popen("migrate", "--quiet", "ledger", destination.name)
        harness.wait_until(f"{point} is reached", lambda: not fault.exists() or move.poll() is not None, 30)
        if fault.exists():
            self.fail(f"{point} never came: {move.communicate()}")
        if meanwhile:
            meanwhile(host, source)
        move.communicate(timeout=120)
        self.assert_settles(f"{point} on {host.name}")

    def test_source_dies(self):
        for point in points(SOURCE_POINTS):
            with self.subTest(point=point):
                self.run_fault(lambda s, d: s, point)

    def test_destination_dies(self):
        for point in points(DESTINATION_POINTS):
            with self.subTest(point=point):
                self.run_fault(lambda s, d: d, point)

    def cut_there(self, host, source):
        pid = harness.wait_until("it has stopped", lambda: host.stopped())
        relay = self.relays[source.name]
        relay.cut()
        os.kill(pid, signal.SIGCONT)
        harness.wait_until("the loss is noticed", lambda: host.stopped() is None)
        # Long enough for somebody to do something foolish, were there somebody foolish.
        for _ in range(20):
            running = [h.name for h in (self.world.a, self.world.b)
                       if h.domains().get("ledger", {}).get("state") == "running"]
            self.assertLessEqual(len(running), 1, "two copies run")
        relay.mend()

    def test_link_is_cut_at_the_source(self):
        for point in points(SOURCE_POINTS[2:]):
            with self.subTest(point=point):
                learned = self.sides()[0].dir / "state/fixed.json"
                before = learned.exists() and learned.read_text()
                self.run_fault(lambda s, d: s, point, "stop", self.cut_there)
                if point.startswith("CEDED"):  # it is no pause that the next move would have
                    self.assertEqual(learned.exists() and learned.read_text(), before)

    def test_link_is_cut_at_the_destination(self):
        for point in points(DESTINATION_POINTS):
            with self.subTest(point=point):
                self.run_fault(lambda s, d: d, point, "stop", self.cut_there)

    def test_link_is_cut_anywhere(self):
        rng = random.Random(int(os.environ.get("LIFEBOAT_SEED", "1")))
        runs = int(os.environ.get("LIFEBOAT_SOAK", "6"))
        for run in range(runs):
            source, destination = self.sides()
            relay = self.relays[source.name]
            limit = rng.randrange(1, 25_000_000)
            relay.mend(limit)
            with self.subTest(run=run, limit=limit):
                move = source.popen("migrate", "--quiet", "ledger", destination.name)
                harness.wait_until("cut or moved", lambda: not relay.up or move.poll() is not None, 60)
                relay.mend()
                move.communicate(timeout=120)
                self.assert_settles(f"cut after {limit} bytes")

    def test_both_daemons_die_with_it(self):
        for point in ("CEDED.2", "CEDED.3"):
            with self.subTest(point=point):
                def restart(host, source):
                    for h in (self.world.a, self.world.b):
                        h.daemon.kill()
                        h.daemon.wait()
                    for h in (self.world.a, self.world.b):
                        h.start()
                self.run_fault(lambda s, d: s, point, "kill", restart)


class Operator(unittest.TestCase):
    def setUp(self):
        self.world = harness.World().__enter__()
        self.addCleanup(self.world.close)
        self.a, self.b = self.world.a, self.world.b
        self.a.create(memory=32)
        harness.wait_ticks(self.a, "ledger")

    def test_claim_on_the_destination(self):
        """The source is gone for good while a complete copy waits: an operator may run it."""
        (self.a.dir / "fault").write_text("QUIESCED.3 stop")
        move = self.a.popen("migrate", "--quiet", "ledger", "hostb")
        harness.wait_until("READY there", lambda: [e for e in self.b.journal() if e["state"] == "READY"])
        self.a.stop()
        for pid in [p for p in map(int, filter(str.isdigit, os.listdir("/proc"))) if self.belongs(p)]:
            os.kill(pid, signal.SIGKILL)  # all of hosta, the vmm too
        move.wait()
        waiting = self.b.migrate("resolve", "ledger", check=False)
        self.assertEqual(waiting.returncode, 1)
        self.assertIn("a complete copy waits here", waiting.stdout)
        unsure = self.b.migrate("claim", "ledger", check=False)
        self.assertEqual(unsure.returncode, 1)
        self.assertIn("two copies will have written to the same disks", unsure.stderr)
        self.assertIn("--yes", unsure.stderr)
        self.assertEqual(self.b.domains()["ledger--incoming"]["state"], "incoming")
        self.b.migrate("--yes", "claim", "ledger")
        self.assertEqual(harness.wait_ticks(self.b, "ledger", more=3)["faults"], 0)
        # The source comes back: it learns that the domain is no longer its own.
        self.a.start()
        self.world.wait_settled(40)
        self.assertEqual(self.a.journal()[0]["state"], "GONE")

    def belongs(self, pid):
        try:
            return str(self.a.config).encode() in pathlib.Path(f"/proc/{pid}/environ").read_bytes() or \
                str(self.a.dir).encode() in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False

    def test_status(self):
        self.assertEqual(self.a.journal(), [])
        self.a.migrate("ledger", "hostb")
        here, there = (h.journal()[0] for h in (self.a, self.b))
        self.assertEqual((here["state"], here["owner"], here["peer"]), ("GONE", "there", "hostb"))
        self.assertEqual((there["state"], there["owner"], there["peer"]), ("OWNER", "here", "hosta"))
        self.assertEqual(here["term"], there["term"])
        self.assertRegex(self.a.migrate("status").stdout, r"ledger +GONE +1 +there +hostb +20")
        self.b.migrate("ledger", "hosta")
        self.assertEqual(self.a.journal()[0]["term"], here["term"] + 1)

    def test_an_open_one_is_in_the_way(self):
        (self.a.dir / "fault").write_text("CEDED.3 kill")
        self.a.migrate("--quiet", "ledger", "hostb", check=False)
        result = self.a.migrate("ledger", "hostb", check=False)
        self.assertEqual(result.returncode, 1)


if __name__ == "__main__":
    main()
