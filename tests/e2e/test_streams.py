#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Pages on several links at once: that they arrive in an order that is right, whatever link is lost when."""
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
        self.a.create(memory=64, extra="fill=80 wss=30 rate=8000")
        harness.wait_ticks(self.a, "ledger")

    def assert_moved(self, out):
        summary = json.loads(out)
        self.assertEqual(self.world.where("ledger"), ["hostb"])
        self.assertEqual(self.a.domains(), {})
        self.assertEqual(harness.wait_ticks(self.b, "ledger")["faults"], 0)
        return summary

    def mend_when_cut(self, move, limit=None):
        harness.wait_until("it is cut", lambda: not self.relay.up or move.poll() is not None)
        self.relay.mend(limit)

    def start_slowly(self):
        """A move with pages on each of three links."""
        self.relay.slow = True
        move = self.a.popen("migrate", "--json", "--streams", "3", "ledger", "hostb")
        harness.wait_until("pages travel on all", lambda: sum(n > 500_000 for n in list(self.relay.sent.values())) == 3)
        return move


class Streams(Case):
    def test_as_many_as_asked_for(self):
        """Each way has its own connection, and carries pages."""
        summary = self.assert_moved(self.a.migrate("--json", "--streams", "4", "ledger", "hostb").stdout)
        self.assertEqual((summary["streams"], summary["rejoins"]), (4, 0))
        self.assertEqual(len(self.relay.pairs), 2 * 4)
        self.assertAlmostEqual(summary["wire_bytes"], len(self.relay.seen), delta=4096)  # handshakes do not count
        self.assertEqual(self.b.log_text().count("hosta connected"), 4)

    def test_pages_on_each(self):
        self.assert_moved(self.a.migrate("--json", "--streams", "3", "ledger", "hostb").stdout)
        for sent in self.relay.sent.values():
            self.assertGreater(sent, 1 << 20)
        self.assertEqual(len(self.relay.sent), 3)

    def test_not_live(self):
        summary = self.assert_moved(self.a.migrate("--json", "--pause", "--streams", "2", "ledger", "hostb").stdout)
        self.assertEqual(summary["streams"], 2)

    def test_a_limit_needs_one_only(self):
        summary = self.assert_moved(self.a.migrate("--json", "--streams", "4", "--bwlimit", "40M", "ledger", "hostb").stdout)
        self.assertEqual(summary["streams"], 1)

    def test_all_links_are_cut_again_and_again(self):
        rng = random.Random(11)
        self.relay.limit = rng.randrange(2_000_000, 12_000_000)
        move = self.a.popen("migrate", "--json", "--streams", "3", "ledger", "hostb")
        for _ in range(3):
            self.mend_when_cut(move, rng.randrange(2_000_000, 8_000_000))
        self.relay.limit = None
        out, err = move.communicate(timeout=90)
        self.assertEqual(move.returncode, 0, out + err)
        self.assertGreaterEqual(self.assert_moved(out)["rejoins"], 3)

    def test_cut_while_it_comes_back(self):
        """Within its handshake, behind what asks for the place of the one that was lost, and behind the answer."""
        self.relay.limit = 4_000_000
        move = self.a.popen("migrate", "--json", "--streams", "1", "ledger", "hostb")
        for limit in (*range(60, 500, 40), None):
            self.mend_when_cut(move, limit)
        out, err = move.communicate(timeout=90)
        self.assertEqual(move.returncode, 0, out + err)
        self.assertGreaterEqual(self.assert_moved(out)["rejoins"], 1)

    def test_one_wire_is_killed(self):
        """The others go on, and so does the move."""
        move = self.start_slowly()
        os.kill(self.b.wires()[-1], signal.SIGKILL)
        harness.wait_until("it came back", lambda: "came back on another link" in self.b.log_text())
        self.relay.slow = False
        out, err = move.communicate(timeout=90)
        self.assertEqual(move.returncode, 0, out + err)
        self.assertGreaterEqual(self.assert_moved(out)["rejoins"], 1)

    def test_more_than_there_are(self):
        self.assertEqual(self.a.migrate("--streams", "9", "ledger", "hostb", check=False).returncode, 2)


class Off(Case):
    """The config says how many, and that no link may come back."""
    options = ("resume_time = 0", "streams = 3")

    def test_as_many_as_the_config_says(self):
        summary = self.assert_moved(self.a.migrate("--json", "ledger", "hostb").stdout)
        self.assertEqual(summary["streams"], 3)

    def test_one_wire_is_killed(self):
        move = self.start_slowly()
        os.kill(self.b.wires()[-1], signal.SIGKILL)
        out, err = move.communicate(timeout=60)
        self.assertEqual(move.returncode, 1, out)
        self.assertNotIn("trying again", err)
        self.relay.slow = False
        harness.wait_until("nothing is left there", lambda: not self.b.domains(), 40)
        self.assertEqual(self.world.where("ledger"), ["hosta"])
        self.assertEqual(harness.wait_ticks(self.a, "ledger")["faults"], 0)


if __name__ == "__main__":
    main()
