#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A link that is lost while pages travel comes back, or another one does, and the move goes on from what arrived."""
import json
import os
import pathlib
import random
import signal
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import harness  # noqa: E402
from tap import main  # noqa: E402

SLOW = ("--bwlimit", "6M")  # some seconds for what a ledger of 48 MiB has


class Case(unittest.TestCase):
    options = ()

    def setUp(self):
        self.world = harness.World(self.options, self.options).__enter__()
        self.addCleanup(self.world.close)
        self.a, self.b = self.world.a, self.world.b
        self.relay = harness.Relay(self.b.port)
        self.addCleanup(self.relay.close)
        self.a.peers = [("hostb", self.relay.port, self.b.key)]
        self.a.write_config()
        self.a.create("ledger", memory=48)
        harness.wait_ticks(self.a, "ledger")

    def start(self, *args):
        return self.a.popen("migrate", *SLOW, *args, "ledger", "hostb")

    def half_done(self, after=4_000_000):
        harness.wait_until("pages travel", lambda: len(self.relay.seen) > after)

    def assert_moved(self, move):
        out, err = move.communicate(timeout=90)
        self.assertEqual(move.returncode, 0, out + err)
        self.assertEqual(self.world.where("ledger"), ["hostb"])
        self.assertEqual(self.a.domains(), {})
        self.assertEqual(harness.wait_ticks(self.b, "ledger")["faults"], 0)
        return out, err

    def assert_stayed(self):
        harness.wait_until("nothing is left there", lambda: not self.b.domains(), 40)
        self.assertEqual(self.world.where("ledger"), ["hosta"])
        self.world.wait_settled(40)
        self.assertEqual(harness.wait_ticks(self.a, "ledger")["faults"], 0)


class Resume(Case):
    def test_again_and_again(self):
        """Cut at random places of the stream, each time a little later."""
        rng = random.Random(7)
        move = self.start("--json")
        for _ in range(4):
            self.relay.limit = rng.randrange(200_000, 5_000_000)
            harness.wait_until("it is cut", lambda: not self.relay.up)
            self.relay.mend()
        out, err = self.assert_moved(move)
        self.assertGreaterEqual(json.loads(out)["rejoins"], 4)
        self.assertRegex(err, r"the link to hostb was lost|hostb closed the link")
        self.assertRegex(err, r"ledger: went on after \d+\.\d s")
        self.assertIn("came back on another link", self.b.log_text())

    def test_a_link_that_stays_away_for_a_while(self):
        move = self.start()
        self.half_done()
        self.relay.cut()
        harness.wait_until("it is noticed there", lambda: "waiting up to 30 s for another link" in self.b.log_text())
        harness.wait_ticks(self.a, "ledger")  # the guest notices nothing
        self.relay.mend()
        self.assert_moved(move)

    def test_the_wire_of_either_side_is_killed(self):
        move = self.start()
        for host in (self.a, self.b):
            self.half_done()
            self.relay.seen.clear()
            for pid in host.wires():
                os.kill(pid, signal.SIGKILL)
        self.assert_moved(move)

    def test_cancelled_while_it_is_away(self):
        move = self.start()
        self.half_done()
        self.relay.cut()
        harness.wait_until("it is noticed there", lambda: "waiting up to 30 s for another link" in self.b.log_text())
        self.a.migrate("cancel", "ledger")
        self.relay.mend()
        out, err = move.communicate(timeout=60)
        self.assertEqual(move.returncode, 1)
        self.assertIn("cancelled by 'migrate cancel'; ledger runs on here", err)
        self.assert_stayed()

    def test_the_other_engine_is_killed(self):
        """Nothing to go on with: it is said at once, not after the time limit."""
        move = self.start()
        self.half_done()
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit() and self.is_receiver(entry):
                os.kill(int(entry.name), signal.SIGKILL)
        out, err = move.communicate(timeout=25)
        self.assertEqual(move.returncode, 1, out)
        self.assertIn("migrate: hostb: its engine there ended in the middle of the move", err)
        self.assert_stayed()

    def is_receiver(self, entry):
        try:
            return (entry / "comm").read_text().strip() == "lifeboat-receiv" and \
                str(self.b.config).encode() in (entry / "environ").read_bytes()
        except OSError:
            return False


class Limit(Case):
    options = ("resume_time = 2",)

    def test_it_stays_away(self):
        move = self.start()
        self.half_done()
        self.relay.cut()
        out, err = move.communicate(timeout=60)
        self.assertEqual(move.returncode, 1, out)
        self.assertRegex(err, "trying again for up to 2 s")
        self.assertRegex(err.splitlines()[-2], "migrate: hosta: (the link to hostb was lost|hostb closed the link)")
        self.relay.mend()
        self.assert_stayed()


class Off(Case):
    options = ("resume_time = 0",)

    def test_it_is_off(self):
        move = self.start()
        self.half_done()
        self.relay.cut()
        out, err = move.communicate(timeout=20)
        self.assertEqual(move.returncode, 1, out)
        self.assertNotIn("trying again", err)
        self.relay.mend()
        self.assert_stayed()


class SecondAddress(Case):
    def test_by_another_way(self):
        """127.0.0.1 is a way that can be cut, 127.0.0.2 leads to the host itself, at the same port."""
        self.b.stop()
        self.relay.close()
        self.b.address = "127.0.0.2"
        self.b.write_config()
        self.b.start()
        self.relay = harness.Relay(self.b.port, target="127.0.0.2", listen=self.b.port)
        self.addCleanup(self.relay.close)
        self.world.addresses["hostb"] = "127.0.0.1 127.0.0.2"
        self.a.peers = [("hostb", self.b.port, self.b.key)]
        self.a.write_config()
        move = self.start("--json")
        self.half_done()
        self.relay.close()
        out, _ = self.assert_moved(move)
        self.assertEqual(json.loads(out)["rejoins"], 1)


if __name__ == "__main__":
    main()
