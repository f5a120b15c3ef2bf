#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Moves between two hosts on loopback, with the embedded hypervisor: that they work, and that every
failure says its sentence, exits non-zero and leaves the guest running where it was."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import harness  # noqa: E402
from tap import main  # noqa: E402

SLOW = ["max_downtime = 1"]


class Case(unittest.TestCase):
    options_a = ()
    options_b = ()

    def setUp(self):
        self.world = harness.World(self.options_a, self.options_b).__enter__()
        self.a, self.b = self.world.a, self.world.b
        self.addCleanup(self.world.close)

    def assert_moved(self, name="ledger", to=None):
        to = to or self.b
        self.assertEqual(self.world.where(name), [to.name])
        info = harness.wait_ticks(to, name, more=3)
        self.assertEqual(info["faults"], 0)
        return info

    def assert_stayed(self, result, what, fix=None, name="ledger"):
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        self.assertRegex(result.stderr, what)
        if fix:
            self.assertRegex(result.stderr, fix)
        self.assertEqual(self.world.where(name)[:1], ["hosta"])
        self.assertEqual(harness.wait_ticks(self.a, name, more=3)["faults"], 0)
        harness.wait_until("nothing is left on hostb",
                           lambda: not [d for d in self.b.domains() if d.startswith(name + "--")])


class Moves(Case):
    def test_there_and_back(self):
        self.a.create(memory=96, extra="fill=80 wss=20 rate=4000")
        before = harness.wait_ticks(self.a, "ledger")
        for source, target in [(self.a, self.b), (self.b, self.a)] * 3:
            source.migrate("ledger", target.name)
            info = self.assert_moved(to=target)
        self.assertGreater(info["tick"], before["tick"])

    def test_summary_as_json(self):
        self.a.create(memory=64)
        harness.wait_ticks(self.a, "ledger")
        s = json.loads(self.a.migrate("--json", "ledger", "hostb").stdout)
        self.assertEqual((s["event"], s["domain"], s["from"], s["to"]), ("summary", "ledger", "hosta", "hostb"))
        self.assertEqual(s["memory_bytes"], 64 << 20)
        self.assertGreater(s["wire_bytes"], 0)
        self.assertGreaterEqual(s["total_ms"], s["downtime_ms"])
        # What the destination says of itself is within two of the parts.
        self.assertEqual(sum(ms for part, ms in s["pause"].items() if not part.startswith("destination")), s["downtime_ms"])
        self.assertLessEqual(s["pause"]["destination_build_ms"], s["pause"]["build_ms"] + 1)
        self.assertLessEqual(s["pause"]["destination_activate_ms"], s["pause"]["commit_ms"] + s["pause"]["activate_ms"] + 1)
        self.assertGreaterEqual(s["rounds"], 2)

    def test_reboot_and_shutdown_after_the_move(self):
        self.a.create(memory=32, lines=['on_reboot = "restart"', 'on_poweroff = "destroy"'])
        harness.wait_ticks(self.a, "ledger", more=5)
        self.a.migrate("ledger", "hostb")
        tick = self.assert_moved()["tick"]
        self.b.hv("reboot", "ledger")
        harness.wait_until("it has rebooted", lambda: 0 < self.b.info("ledger")["tick"] < tick)
        self.assertEqual(harness.wait_ticks(self.b, "ledger", more=3)["faults"], 0)
        self.b.hv("shutdown", "ledger")
        harness.wait_until("it is gone", lambda: "ledger" not in self.b.domains())

    def test_two_at_once(self):
        for name in ("one", "two"):
            self.a.create(name, memory=64, extra="fill=80 wss=5 rate=1000")
        for name in ("one", "two"):
            harness.wait_ticks(self.a, name)
        moves = [self.a.popen("migrate", name, "hostb") for name in ("one", "two")]
        for move in moves:
            out, err = move.communicate(timeout=60)
            self.assertEqual(move.returncode, 0, out + err)
        for name in ("one", "two"):
            self.assert_moved(name)

    def test_daemon_restart_leaves_domains_alone(self):
        self.a.create(memory=32)
        self.a.restart()
        harness.wait_ticks(self.a, "ledger")
        self.a.migrate("ledger", "hostb")
        self.assert_moved()

    def test_dry_run_changes_nothing(self):
        self.a.create(memory=32)
        result = self.a.migrate("--dry-run", "ledger", "hostb")
        self.assertIn("can move to hostb", result.stdout)
        self.assertEqual(self.world.where("ledger"), ["hosta"])


class CompareTracker(Moves):
    """The same with the fallback dirty tracker."""
    options_a = options_b = ('dirty_tracking = "compare"',)

    def test_it_is_the_fallback(self):
        self.a.create(memory=32)
        self.assertEqual(self.a.info("ledger")["tracker"], "compare")


class Refusals(Case):
    def setUp(self):
        super().setUp()
        self.a.create(memory=64, extra="fill=80 wss=5 rate=500")
        harness.wait_ticks(self.a, "ledger")

    def test_wrong_domain_name(self):
        result = self.a.migrate("nosuch", "hostb", check=False)
        self.assert_stayed(result, "hosta: .*nosuch", "hv list")

    def test_wrong_host_name(self):
        result = self.a.migrate("ledger", "nosuch", check=False)
        self.assert_stayed(result, "no peer 'nosuch'", "lifeboat.conf")

    def test_host_down(self):
        self.b.stop()
        result = self.a.migrate("ledger", "hostb", check=False)
        self.assert_stayed(result, "cannot reach hostb at 127.0.0.1 port", "Check that hostb is up")

    def test_own_key_unknown_there(self):
        self.b.peers = [("hosta", self.a.port, self.b.key)]
        self.b.write_config()
        self.b.restart()
        result = self.a.migrate("ledger", "hostb", check=False)
        self.assert_stayed(result, "hostb closed the connection", "--show-key")
        harness.wait_until("the log names the stranger", lambda: self.a.key in self.b.log_text())

    def test_wrong_key_configured_here(self):
        self.a.peers = [("hostb", self.b.port, self.a.key)]
        self.a.write_config()
        result = self.a.migrate("ledger", "hostb", check=False)
        self.assert_stayed(result, "hostb closed the connection", "--show-key")
        harness.wait_until("the log says why",
                           lambda: "does not know this host's key" in self.b.log_text())

    def test_no_memory_there(self):
        self.b.options.append("embedded_memory = 16")
        self.b.write_config()
        self.b.restart()
        result = self.a.migrate("ledger", "hostb", check=False)
        self.assert_stayed(result, "hostb: .*memory", r"\S")

    def test_name_taken_there(self):
        self.b.create(memory=32)
        result = self.a.migrate("ledger", "hostb", check=False)
        self.assertRegex(result.stderr, "hostb: .*ledger")
        self.assertEqual(result.returncode, 1)
        self.assertEqual(harness.wait_ticks(self.a, "ledger")["faults"], 0)

    def test_no_daemon_here(self):
        self.a.stop()
        result = self.a.migrate("ledger", "hostb", check=False)
        self.assert_stayed(result, "lifeboatd does not run on this host", "systemctl start lifeboatd")

    def test_dry_run_says_the_same(self):
        self.b.stop()
        result = self.a.migrate("--dry-run", "ledger", "hostb", check=False)
        self.assertIn("blocker: hosta: cannot reach hostb", result.stdout)
        self.assert_stayed(result, "^$")

    def test_error_as_json(self):
        self.b.stop()
        result = self.a.migrate("--json", "ledger", "hostb", check=False)
        self.assertEqual(result.returncode, 1)
        error = json.loads(result.stdout)
        self.assertEqual(error["event"], "error")
        self.assertIn("cannot reach hostb", error["what"])
        self.assertTrue(error["fix"])

    def test_usage(self):
        for args in [(), ("ledger",), ("a", "b", "c"), ("--max-downtime", "0", "a", "b"), ("--nosuch", "a", "b")]:
            self.assertEqual(self.a.migrate(*args, check=False).returncode, 2, args)


class Interruptions(Case):
    """A guest that never converges keeps the move in pre-copy for as long as a test needs. What becomes of a link that
    may come back: test_resume.py."""
    options_a = SLOW + ["resume_time = 0"]
    options_b = ["resume_time = 0"]

    def start_move(self):
        self.a.create(memory=256, extra="fill=90 wss=60 rate=200000")
        harness.wait_ticks(self.a, "ledger", seconds=60)
        self.move = self.a.popen("migrate", "ledger", "hostb", start_new_session=True)
        self.addCleanup(harness.end_process, self.move)
        harness.wait_until("it is being built on hostb", lambda: "ledger--incoming" in self.b.domains())

    def finish(self):
        out, err = self.move.communicate(timeout=60)
        return subprocess.CompletedProcess([], self.move.returncode, out, err)

    def kill(self, host, name):
        os.kill(harness.wait_until(name, lambda: host.engines(name))[0], signal.SIGKILL)

    def test_ctrl_c(self):
        self.start_move()
        self.move.send_signal(signal.SIGINT)
        self.assert_stayed(self.finish(), "cancelled; ledger runs on here")

    def test_client_killed(self):
        self.start_move()
        self.move.kill()
        self.move.wait()
        harness.wait_until("the engine gives up", lambda: not self.a.engines("lifeboat-send"))
        self.assertEqual(self.world.where("ledger"), ["hosta"])
        self.assertEqual(harness.wait_ticks(self.a, "ledger")["faults"], 0)

    def test_target_engine_killed(self):
        self.start_move()
        self.kill(self.b, "lifeboat-receive")
        self.assert_stayed(self.finish(), "hostb closed the link|link to hostb was lost")

    def test_target_wire_killed(self):
        self.start_move()
        self.kill(self.b, "lifeboat-wire")
        self.assert_stayed(self.finish(), "hostb closed the link|link to hostb was lost")

    def test_target_vmm_killed(self):
        self.start_move()
        pid = self.b.info("ledger--incoming")["domid"]
        os.kill(pid, signal.SIGKILL)
        self.assert_stayed(self.finish(), "hostb: ")

    def test_source_wire_killed(self):
        self.start_move()
        self.kill(self.a, "lifeboat-wire")
        self.assert_stayed(self.finish(), "hosta: .*lifeboat-wire has gone")

    def test_source_engine_killed(self):
        self.start_move()
        self.kill(self.a, "lifeboat-send")
        self.assert_stayed(self.finish(), "lifeboatd ended the connection")

    def test_second_move_is_refused(self):
        self.start_move()
        second = self.a.migrate("ledger", "hostb", check=False)
        self.assertEqual(second.returncode, 1)
        self.move.send_signal(signal.SIGINT)
        self.finish()
        self.assertEqual(harness.wait_ticks(self.a, "ledger")["faults"], 0)


if __name__ == "__main__":
    main()
