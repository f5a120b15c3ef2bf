#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Between the two hosts stands one with the keys of both, which passes on all they say, and changes one bit of one page:
what no cipher can notice."""
import json
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import harness  # noqa: E402
from tap import main  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Verify(unittest.TestCase):
    def setUp(self):
        self.world = harness.World().__enter__()
        self.addCleanup(self.world.close)
        self.a, self.b = self.world.a, self.world.b
        self.a.create("ledger", memory=32)
        harness.wait_ticks(self.a, "ledger")

    def between(self, *args):
        """What hosta takes for hostb from now on."""
        process = subprocess.Popen(
            ["/usr/bin/python3", ROOT / "tests/wire/peer.py", "relay", "--key", self.b.dir / "state/host.key",
             "--peer-key", self.a.key, "--connect", f"127.0.0.1:{self.b.port}", "--other-key",
             self.a.dir / "state/host.key", "--other-peer", self.b.key, *args],
            text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(harness.end_process, process)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        port = int(process.stderr.readline().split()[-1])
        self.a.peers = [("hostb", port, self.b.key)]
        self.a.write_config()
        return process

    def test_an_honest_one_is_not_noticed(self):
        self.between()
        summary = json.loads(self.a.migrate("--json", "ledger", "hostb").stdout)
        self.assertEqual(self.world.where("ledger"), ["hostb"])
        self.assertGreater(summary["verify"]["pages"], 5000)
        self.assertGreater(summary["verify"]["source_ms"], 0)
        self.assertGreater(summary["verify"]["destination_ms"], 0)

    def test_one_bit_of_one_page(self):
        relay = self.between("--alter", "3000")
        result = self.a.migrate("ledger", "hostb", check=False)
        self.assertEqual(result.returncode, 1)
        seen = json.loads(relay.communicate(timeout=30)[0])
        self.assertEqual(seen["end"], "refused")
        self.assertEqual(result.stderr.splitlines()[-2:], [
            f"migrate: hostb: page 0x{seen['altered']:x} of ledger arrived other than it was sent, so it was not run here.",
            "  Try again; if it happens again, test the memory of both hosts."])
        self.assertEqual(self.world.where("ledger"), ["hosta"])
        self.assertEqual(self.b.domains(), {})
        self.assertEqual(harness.wait_ticks(self.a, "ledger", more=2)["faults"], 0)


if __name__ == "__main__":
    main()
