#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Moves that are steered: cancelled, timed, limited, and guests that never converge. Whatever is asked for, the guest
runs on exactly one side, at its full speed, and no page of it is stale."""
import json
import os
import pathlib
import signal
import socket
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

    def create(self, memory=16, extra="fill=90 wss=60 rate=200000"):
        """By default a guest that dirties its memory faster than a limited link takes it."""
        self.a.create(memory=memory, extra=extra)
        harness.wait_ticks(self.a, "ledger", seconds=60)

    def start(self, *options):
        move = self.a.popen("migrate", *options, "ledger", "hostb")
        self.addCleanup(harness.end_process, move)
        harness.wait_until("it is being built on hostb", lambda: "ledger--incoming" in self.b.domains())
        return move

    def finish(self, move):
        out, err = move.communicate(timeout=90)
        return move.returncode, out, err

    def assert_stayed(self):
        self.assertEqual(self.world.where("ledger"), ["hosta"])
        harness.wait_until("nothing is left on hostb", lambda: not self.b.domains())
        self.assertEqual(harness.wait_ticks(self.a, "ledger", more=3)["faults"], 0)

    def assert_moved(self):
        self.assertEqual(self.world.where("ledger"), ["hostb"])
        self.assertEqual(harness.wait_ticks(self.b, "ledger", more=3)["faults"], 0)

    def vmm_log(self, host, name="ledger"):
        return (host.dir / f"run/embedded/{name}.log").read_text()

    def state(self):
        return self.a.journal()[0]["state"]


class Cancel(Case):
    def test_from_another_terminal(self):
        self.create()
        move = self.start("--bwlimit", "2M")
        result = self.a.migrate("cancel", "ledger")
        self.assertEqual((result.stdout, result.stderr),
                         ("cancelled by 'migrate cancel'; ledger runs on here\n", ""))
        status, _, err = self.finish(move)
        self.assertEqual((status, err), (1, "migrate: hosta: cancelled by 'migrate cancel'; ledger runs on here.\n"))
        self.assert_stayed()
        self.assertEqual(self.state(), "KEPT")
        again = self.a.migrate("cancel", "ledger", check=False)
        self.assertEqual(again.returncode, 1)
        self.a.migrate("ledger", "hostb")
        self.assert_moved()

    def test_as_json_and_twice(self):
        self.create()
        move = self.start("--bwlimit", "2M")
        first, second = (self.a.popen("migrate", "--json", "cancel", "ledger") for _ in range(2))
        answers = [self.finish(p) for p in (first, second)]
        self.assertEqual(self.finish(move)[0], 1)
        good = [json.loads(out) for status, out, _ in answers if status == 0]
        self.assertTrue(good)  # the other one may have come after the end
        for answer in good:
            self.assertEqual(answer, {"event": "cancel", "domain": "ledger", "cancelled": True,
                                      "what": "cancelled by 'migrate cancel'; ledger runs on here"})
        self.assert_stayed()

    def test_ctrl_c_under_a_limit(self):
        self.create()
        move = self.start("--bwlimit", "1M")
        move.send_signal(signal.SIGINT)
        status, _, err = self.finish(move)
        self.assertEqual(status, 1)
        self.assertIn("cancelled; ledger runs on here", err)
        self.assert_stayed()

    def test_timeout(self):
        self.create()
        # Wherever in the move it is by then: a slow machine may not have come to the pages.
        late = self.a.migrate("--bwlimit", "1M", "--timeout", "1", "ledger", "hostb", check=False)
        self.assertEqual((late.returncode, late.stderr), (
            1, "migrate: hosta: not handed over within 1 s (--timeout); ledger runs on here.\n"
            "  Give it more time, or a faster link; 'migrate --estimate' says what it takes.\n"))
        self.assert_stayed()

    def test_timeout_that_is_long_enough(self):
        self.create(extra="rate=500")
        self.a.migrate("--timeout", "60", "ledger", "hostb")
        self.assert_moved()


class Limit(Case):
    """A limit is a lower bound of the time: that it is kept can be told on a machine of any speed."""

    def check(self, *options):
        self.create(memory=16, extra="fill=90 wss=10 rate=100")
        s = json.loads(self.a.migrate("--json", *options, "ledger", "hostb").stdout)
        self.assertGreater((s["total_ms"] + 60) * (8 << 20), s["wire_bytes"] * 1000 * 0.9)
        self.assert_moved()

    def test_bwlimit(self):
        self.check("--bwlimit", "8M")

    def test_bits(self):
        self.check("--bwlimit", "67.1mbit")


class LimitInConfig(Limit):
    options = ('bwlimit = "8M"',)

    def check(self, *options):
        super().check()

    def test_none_again(self):
        self.create(memory=16, extra="rate=100")
        self.a.migrate("--bwlimit", "0", "ledger", "hostb")
        self.assert_moved()


class NoConverge(Case):
    STATE = r"\d+ pages are left, it dirties \d+ a second and the link takes \d+"

    def test_stop(self):
        self.create()
        status, out, err = self.finish(self.start("--quiet", "--bwlimit", "16M", "--max-downtime", "20"))
        self.assertEqual(status, 0, err)
        self.assertRegex(err, rf"^migrate: ledger: {self.STATE}: the pause will be about \d+ ms, over the target of "
                         r"20 ms\n$")
        self.assertTrue(out.startswith("ledger runs on hostb\n"))
        self.assert_moved()

    def test_abort(self):
        self.create()
        status, _, err = self.finish(
            self.start("--bwlimit", "4M", "--max-downtime", "20", "--on-no-converge", "abort"))
        self.assertEqual(status, 1)
        self.assertRegex(err, rf"^migrate: hosta: {self.STATE}: the pause would be \d+ ms, over the target of 20 ms; "
                         r"ledger runs on here\.\n  Allow a longer pause \(--max-downtime \d+\), slow it "
                         r"\(--on-no-converge throttle\) or stop it all the same \(stop\), or raise --bwlimit\.\n$")
        self.assert_stayed()
        self.assertEqual(self.state(), "KEPT")

    def test_throttle_to_the_floor(self):
        self.create()
        status, _, err = self.finish(
            self.start("--quiet", "--bwlimit", "4M", "--max-downtime", "1", "--on-no-converge", "throttle"))
        self.assertEqual(status, 1, err)
        steps = [int(line.split("slowed to ")[1].split()[0]) for line in err.splitlines() if "slowed to" in line]
        self.assertEqual(steps, [60, 40, 25, 15, 10])
        self.assertRegex(err, r"the pause would be \d+ ms, over the target of 1 ms; ledger runs on here\.\n  Allow a "
                         r"longer pause \(--max-downtime \d+\), stop it all the same \(--on-no-converge stop\), or "
                         r"raise --bwlimit\.\n$")
        self.assert_stayed()
        self.assertEqual([line.split("has ")[1] for line in self.vmm_log(self.a).splitlines() if "of its CPU" in line],
                         [f"{n} % of its CPU" for n in (60, 40, 25, 15, 10, 100)])

    def throttled(self):
        self.create()
        move = self.start("--bwlimit", "2M", "--max-downtime", "1", "--on-no-converge", "throttle")
        harness.wait_until("it is slowed", lambda: "has 60 % of its CPU" in self.vmm_log(self.a), seconds=60)
        return move

    def assert_full_speed(self):
        harness.wait_until("it has all of its CPU again",
                           lambda: [line for line in self.vmm_log(self.a).splitlines() if "of its CPU" in line]
                           [-1].endswith("has 100 % of its CPU"))
        self.assert_stayed()

    def test_cancelled_while_slowed(self):
        move = self.throttled()
        self.a.migrate("cancel", "ledger")
        self.assertEqual(self.finish(move)[0], 1)
        self.assert_full_speed()

    def test_engine_killed_while_slowed(self):
        move = self.throttled()
        os.kill(self.a.engines("lifeboat-send")[0], signal.SIGKILL)
        self.assertEqual(self.finish(move)[0], 1)
        self.assert_full_speed()

    def test_throttle_that_helps(self):
        """A guest that only its own CPU limits. Slowed or not, it comes through at full speed."""
        self.create(memory=96, extra="fill=90 wss=90 rate=2000000")
        move = self.start("--quiet", "--max-downtime", "200", "--on-no-converge", "throttle")
        status, _, err = self.finish(move)
        if status == 0:
            self.assert_moved()
            self.assertNotIn("of its CPU", self.vmm_log(self.b))
        else:
            self.assertIn("over the target of 200 ms; ledger runs on here", err)
            self.assert_full_speed()


class NoConvergeCompare(NoConverge):
    """With the tracker that calls every page dirty which differs from what was sent."""
    options = ('dirty_tracking = "compare"',)


class NoConvergeInConfig(Case):
    options = ('on_no_converge = "abort"',)

    def test_abort(self):
        self.create()
        # Rounds of seconds: a guest that hardly gets a processor dirties enough in them, too.
        status, _, err = self.finish(self.start("--bwlimit", "4M", "--max-downtime", "20"))
        self.assertEqual(status, 1)
        self.assertIn("ledger runs on here", err)
        self.assert_stayed()


class Still(Case):
    """--pause: the guest stands still from the first page, and is told so beforehand."""
    NOTICE = (r"^migrate: ledger: it will stand still for about \d+\.\d s: \d+ MiB to send at \d+ MB/s, and \d+ ms "
              r"besides\n")

    def test_moves(self):
        self.create(memory=64)
        result = self.a.migrate("--pause", "--quiet", "ledger", "hostb")
        self.assertRegex(result.stderr, self.NOTICE + "$")
        self.assertIn("\n  rounds     1, ", result.stdout)
        self.assert_moved()

    def test_cancelled_while_it_stands(self):
        self.create(memory=512, extra="fill=90 wss=10 rate=1000")
        move = self.a.popen("migrate", "--pause", "ledger", "hostb")
        self.addCleanup(harness.end_process, move)
        harness.wait_until("it stands still", lambda: self.a.info("ledger")["state"] == "suspended" or
                           move.poll() is not None)
        status, out, err = self.finish(self.a.popen("migrate", "cancel", "ledger"))
        if status == 0:  # unless the machine was faster than this test
            self.assertEqual(out, "cancelled by 'migrate cancel'; ledger runs on here\n")
            self.assertEqual(self.finish(move)[0], 1)
            self.assert_stayed()
        else:
            self.assertEqual(self.finish(move)[0], 0)
            self.assertRegex(err, "too late, ledger runs on hostb|no move of 'ledger' from this host")
            self.assert_moved()

    def test_estimate(self):
        self.create(memory=64)
        e = json.loads(self.a.migrate("--estimate", "--json", "--pause", "ledger", "hostb").stdout)
        self.assertEqual((e["rounds"], e["end"]), (1, "moves"))
        self.assertGreater(e["downtime_ms"], e["fixed_ms"])
        self.assertEqual(self.world.where("ledger"), ["hosta"])


class StillCompare(Still):
    options = ('dirty_tracking = "compare"',)


class Estimate(Case):
    KEYS = ["event", "domain", "to", "converges", "end", "total_ms", "downtime_ms", "max_downtime_ms", "fixed_ms",
            "fixed_measured", "wire_bytes", "rounds", "pages", "dirty_pages_per_s", "cpu_percent", "dirty", "link",
            "help", "findings"]

    def assert_untouched(self):
        self.assertEqual(self.world.where("ledger"), ["hosta"])
        self.assertEqual(self.b.domains(), {})
        self.assertEqual(harness.wait_ticks(self.a, "ledger", more=3)["faults"], 0)

    def test_text(self):
        self.create(memory=64, extra="fill=80 wss=10 rate=500")
        result = self.a.migrate("--estimate", "ledger", "hostb")
        number = r"\d+(?:\.\d+)?"
        guess = ", a guess until a move there has shown it"
        text = (r"ledger to hostb, an estimate; nothing was changed\n"
                rf"  total      {number} s\n"
                r"  downtime   \d+ ms, target 300 ms; \d+ ms of it before any page%s\n"
                r"  rounds     \d+, \d+ pages in the first\n"
                rf"  wire       {number} MiB\n"
                r"  guest      dirties \d+ pages in a second\n"
                rf"  link       takes \d+ pages a second, {number} MB/s, \d+ bytes a page, \d+ ms there and back\n"
                r"  It converges: the pause stays below its target\.\n")
        self.assertRegex(result.stdout, "^" + text % guess + "$")
        self.assertEqual(result.stderr, "")
        self.assert_untouched()
        self.a.migrate("ledger", "hostb")
        self.b.migrate("ledger", "hosta")
        self.assertRegex(self.a.migrate("--estimate", "ledger", "hostb").stdout, "^" + text % "" + "$")

    def test_json(self):
        self.create(memory=64, extra="fill=80 wss=10 rate=500")
        e = json.loads(self.a.migrate("--estimate", "--json", "ledger", "hostb").stdout)
        self.assertEqual(list(e), self.KEYS)
        self.assertEqual((e["converges"], e["end"], e["cpu_percent"]), (True, "moves", 100))
        self.assertEqual(e["help"], {"max_downtime_ms": 0, "bytes_per_s": 0, "cpu_percent": 0})
        # 80 % of 64 MiB are ledger pages, of which every second one is noise
        self.assertTrue(64 * 256 * 0.8 <= e["pages"] <= 64 * 256, e["pages"])
        self.assertTrue(e["pages"] * 1500 < e["wire_bytes"] < e["pages"] * 5000, e)
        self.assertEqual([p["pages"] for p in e["dirty"]], sorted(p["pages"] for p in e["dirty"]))
        # 500 a second, less those that were hit twice; what sums and console dirty comes on top
        self.assertTrue(150 < e["dirty_pages_per_s"] < 1000, e["dirty"])
        self.assert_untouched()

    def test_what_would_help(self):
        self.create()
        options = ("--estimate", "--bwlimit", "16M", "--max-downtime", "20", "ledger", "hostb")
        out = self.a.migrate(*options).stdout
        self.assertIn("  It does not converge: it would be suspended all the same.\n  It would with a target of ", out)
        self.assertRegex(out, r"\(--max-downtime \d+\)\.\n")
        out = self.a.migrate("--on-no-converge", "abort", *options).stdout
        self.assertIn("  It does not converge: the move would be called off, and ledger run on here.\n", out)
        self.assert_untouched()

    def test_stopped_by_what_the_check_finds(self):
        self.create(memory=32, extra="rate=500")
        self.b.create(memory=16)
        result = self.a.migrate("--estimate", "ledger", "hostb", check=False)
        self.assertEqual((result.returncode, result.stderr), (1, ""))
        self.assertRegex(result.stdout, r"^blocker: hostb: .*\n.*\n(?s:.*)ledger cannot move to hostb: \d+ blockers?.*; "
                         r"nothing was changed\n$")

    def test_engine_killed_while_it_watches(self):
        """Its connection to the vmm goes with it, and tracking with that: the next one finds nothing in its way."""
        self.create(memory=32, extra="rate=500")
        watching = self.a.popen("migrate", "--estimate", "ledger", "hostb")
        self.addCleanup(harness.end_process, watching)
        pid, = harness.wait_until("it watches", lambda: self.a.engines("lifeboat-send"))
        os.kill(pid, signal.SIGKILL)
        self.assertEqual(self.finish(watching)[0], 1)
        self.a.migrate("--estimate", "ledger", "hostb")
        self.a.migrate("ledger", "hostb")
        self.assert_moved()

    def test_ctrl_c(self):
        self.create(memory=32, extra="rate=500")
        watching = self.a.popen("migrate", "--estimate", "ledger", "hostb")
        self.addCleanup(harness.end_process, watching)
        harness.wait_until("it watches", lambda: self.a.engines("lifeboat-send"))
        watching.send_signal(signal.SIGINT)
        self.assertEqual(self.finish(watching)[0], 1)
        self.assert_untouched()

    def test_cancelled_with_the_request(self):
        """Ctrl-C before the engine has even read what it is asked."""
        self.create(memory=32, extra="rate=500")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.a.dir / "run/lifeboatd.sock"))
            request = {"domain": "ledger", "host": "hostb", "check_only": False, "estimate": True, "force": False}
            client.sendall((json.dumps(request) + "\n" + json.dumps({"cancel": True}) + "\n").encode())
            client.settimeout(60)
            lines = client.makefile().read().splitlines()
        last = json.loads(lines[-1])
        self.assertEqual((last["event"], last["what"]), ("error", "hosta: cancelled; ledger runs on here"))
        self.assert_untouched()


class EstimateCompare(Estimate):
    options = ('dirty_tracking = "compare"',)


if __name__ == "__main__":
    main()
