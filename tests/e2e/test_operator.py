#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Hand-overs in which people take part: claims, right and wrong, two administrators at once, hosts that come back
after the domain went on; and what is left to close or to write where a process died or a disk is full."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import harness  # noqa: E402
from tap import main  # noqa: E402

# Stand-ins that write down what they are asked. drbdsetup says what the test wants.
DRBDADM = """#!/bin/sh
[ "$1" = cstate ] && exec cat "$FAKE_DRBD/cstate"
echo "$@" >>"$FAKE_DRBD/log"
[ "$1" = connect ] && echo WFConnection >"$FAKE_DRBD/cstate"
true
"""
DRBDSETUP = """#!/bin/sh
cat "$FAKE_DRBD/show"
"""


def pids(host):
    return [pid for pid, _, _ in host.processes()]


def send(pids, sig):
    for pid in pids:
        try:
            os.kill(pid, sig)
        except ProcessLookupError:
            pass


def journal(host, name="ledger"):
    return next((e for e in host.journal() if e["name"] == name), None)


class Case(unittest.TestCase):
    def setUp(self):
        self.world = harness.World().__enter__()
        self.addCleanup(self.world.close)
        self.a, self.b = self.world.a, self.world.b

    def create(self, name="ledger"):
        self.a.create(name, memory=32)
        harness.wait_ticks(self.a, name)

    def kill_all(self, host):
        host.stop()
        send(pids(host), signal.SIGKILL)

    def state(self, host, name="ledger"):
        return (journal(host, name) or {}).get("state")

    def wait_state(self, host, state, name="ledger"):
        harness.wait_until(f"{state} on {host.name}", lambda: self.state(host, name) == state, 60)


class Claims(Case):
    def setUp(self):
        super().setUp()
        self.create()
        (self.b.dir / "fault").write_text("OWNER.2 stop")  # it runs there, and the source is not told
        self.move = self.a.popen("migrate", "--quiet", "ledger", "hostb")
        self.addCleanup(harness.end_process, self.move)
        harness.wait_until("it runs on hostb", lambda: self.b.stopped())

    def leave_alone(self):
        """The source's engine would ask for a minute; its daemon goes on."""
        send(self.a.engines("lifeboat-send"), signal.SIGKILL)
        self.move.communicate(timeout=60)
        self.wait_state(self.a, "CEDED")

    def claim(self):
        unsure = self.a.migrate("--json", "claim", "ledger", check=False)
        self.assertEqual(unsure.returncode, 1)
        self.assertIn("two copies will have written to the same disks", json.loads(unsure.stdout)["what"])
        term = journal(self.a)["term"]
        two = [self.a.popen("migrate", "--yes", "--json", "claim", "ledger") for _ in range(2)]
        for operator in two:  # the second finds it claimed
            out, err = operator.communicate(timeout=90)
            self.assertEqual(operator.returncode, 1, out + err)
            outcome, = json.loads(out)
            self.assertEqual((outcome["state"], outcome["settled"], outcome["here"]), ("CLAIMED", False, True), out)
        self.assertEqual(journal(self.a)["term"], term + 1)
        self.assertEqual(harness.wait_ticks(self.a, "ledger")["faults"], 0)
        return term + 1

    def assert_source_has_it(self, term):
        self.wait_state(self.a, "KEPT")
        self.assertEqual((self.state(self.b), journal(self.b)["term"], journal(self.a)["term"]),
                         ("REFUSED", term, term))
        self.assertEqual((list(self.a.domains()), list(self.b.domains())), (["ledger"], []))
        self.assertEqual(harness.wait_ticks(self.a, "ledger")["faults"], 0)

    def test_the_other_host_was_dead(self):
        self.kill_all(self.b)
        self.leave_alone()
        term = self.claim()
        self.b.start()
        self.assert_source_has_it(term)
        self.a.migrate("ledger", "hostb")  # and it can go on from here
        self.assertEqual(journal(self.b)["term"], term + 1)

    def test_the_other_host_was_only_frozen(self):
        """The operator was wrong: two run, until the frozen one wakes up and is told."""
        frozen = pids(self.b)
        send(frozen, signal.SIGSTOP)
        self.addCleanup(send, frozen, signal.SIGCONT)
        self.leave_alone()
        term = self.claim()
        send(frozen, signal.SIGCONT)
        self.assert_source_has_it(term)

    def test_nothing_here_to_claim(self):
        """A claim makes the other copy give way: not for one that is not there."""
        self.kill_all(self.b)
        self.leave_alone()
        self.a.stop()
        send(pids(self.a), signal.SIGKILL)
        self.a.start()
        refused = self.a.migrate("--yes", "claim", "ledger", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("there is no copy of ledger on this host to claim", refused.stdout)
        self.assertIn("Start it from its disks", refused.stdout)
        self.assertEqual(self.state(self.a), "CEDED")


class Late(Case):
    """The source dies when it has ceded the domain, and a third host is there."""

    def setUp(self):
        super().setUp()
        self.c = c = harness.Host(self.world, "hostc")
        c.trust(self.b)
        self.b.trust(c)
        self.b.restart()
        c.start()
        self.addCleanup(c.stop)
        self.addCleanup(lambda: [c.hv("destroy", n) for n in c.domains()])
        self.create()
        (self.a.dir / "fault").write_text("CEDED.3 stop")
        move = self.a.popen("migrate", "--quiet", "ledger", "hostb")
        self.wait_state(self.b, "OWNER")
        self.a.daemon.kill()
        self.a.daemon.wait()
        send(self.a.engines(), signal.SIGKILL)
        move.communicate(timeout=30)
        harness.wait_until("hostb's engine has ended", lambda: not self.b.engines())

    def test_it_comes_back_after_the_domain_went_on(self):
        """Its destination has handed the domain on, twice, and still knows what became of it."""
        self.b.migrate("ledger", "hostc")
        self.c.migrate("ledger", "hostb")
        self.b.migrate("ledger", "hostc")
        self.assertEqual(list(self.a.domains()), ["ledger--migratedaway"])
        self.a.start()
        self.wait_state(self.a, "GONE")
        self.assertEqual([list(h.domains()) for h in (self.a, self.b, self.c)], [[], [], ["ledger"]])
        self.assertEqual(harness.wait_ticks(self.c, "ledger")["faults"], 0)

    def test_another_host_asks_in_its_place(self):
        """With all that the source knew: it learns nothing and moves nothing."""
        shutil.copytree(self.a.dir / "state/journal", self.c.dir / "state/journal")
        liar = self.c.migrate("resolve", check=False)
        self.assertEqual(liar.returncode, 1)
        self.assertIn("that hand-over was with another host", liar.stdout)
        self.assertEqual(harness.wait_ticks(self.b, "ledger")["faults"], 0)
        self.a.start()
        self.wait_state(self.a, "GONE")


class TwoAtOnce(Case):
    def test_two_migrates(self):
        self.create()
        moves = [self.a.popen("migrate", "--quiet", "ledger", "hostb") for _ in range(2)]
        ended = sorted((m.communicate(timeout=60), m.returncode)[::-1] for m in moves)
        self.assertEqual([status for status, _ in ended], [0, 1], ended)
        self.assertRegex(ended[1][1][1], "migrate: hosta: .+\n")
        self.assertEqual((list(self.a.domains()), list(self.b.domains())), ([], ["ledger"]))
        self.assertEqual(harness.wait_ticks(self.b, "ledger")["faults"], 0)

    def test_two_resolves(self):
        self.create()
        (self.a.dir / "fault").write_text("CEDED.3 kill")
        self.a.migrate("--quiet", "ledger", "hostb", check=False)
        both = [self.a.popen("migrate", "resolve", "ledger") for _ in range(2)]
        for one in both:
            out, err = one.communicate(timeout=60)
            self.assertEqual(err, "")
            self.assertRegex(out, "ledger: (settled with hostb, it is not this host's|open with hostb)")
        self.wait_state(self.a, "GONE")
        self.assertEqual((list(self.a.domains()), list(self.b.domains())), ([], ["ledger"]))

    def test_names_of_verbs(self):
        for name in ("status", "move"):
            self.create(name)
            self.a.migrate("--quiet", "move", name, "hostb")
            self.assertIn(name, self.b.domains())


class Window(Case):
    """A DRBD window whose engine died is closed without the domain, by lifeboatd and by 'migrate resolve'."""

    def setUp(self):
        super().setUp()
        fake = self.world.dir / "bin"
        fake.mkdir()
        for name, text in (("drbdadm", DRBDADM), ("drbdsetup", DRBDSETUP)):
            (fake / name).write_text(text)
            (fake / name).chmod(0o755)
        before = dict(os.environ)
        self.addCleanup(os.environ.update, before)
        self.addCleanup(os.environ.pop, "FAKE_DRBD", None)
        os.environ.update(PATH=f"{fake}:{os.environ['PATH']}", FAKE_DRBD=str(fake))
        self.fake = fake
        (fake / "cstate").write_text("Connected\n")
        self.create()
        self.a.migrate("--quiet", "ledger", "hostb")
        self.a.stop()
        self.b.stop()
        self.show(False)

    def show(self, dual):
        (self.fake / "show").write_text("net {\n    allow-two-primaries\tyes;\n}\n" if dual else "net {\n}\n")

    def leave_window(self, host):
        uuid = next((host.dir / "state/journal").glob("*.lock")).stem
        path = host.dir / "state/windows" / uuid
        path.parent.mkdir(exist_ok=True)
        path.write_text("disk0\ndisk1\n")
        return path

    def asked(self):
        return (self.fake / "log").read_text().splitlines()

    def test_where_it_has_left(self):
        path = self.leave_window(self.a)
        self.a.migrate("resolve")
        self.assertFalse(path.exists())
        no = "net-options --allow-two-primaries=no"
        self.assertEqual(self.asked(), ["secondary disk0", "secondary disk1", f"{no} disk0", f"{no} disk1"])

    def test_where_the_two_sides_have_parted(self):
        (self.fake / "cstate").write_text("StandAlone\n")
        path = self.leave_window(self.b)
        result = self.b.migrate("resolve", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("DRBD resource disk0 is WFConnection, not connected to the other host", result.stdout)
        self.assertIn("connect disk0", self.asked())
        self.assertTrue(path.exists())
        (self.fake / "cstate").write_text("Connected\n")
        self.b.migrate("resolve")
        self.assertFalse(path.exists())

    def test_it_waits_for_its_peer(self):
        (self.fake / "cstate").write_text("WFConnection\n")
        path = self.leave_window(self.b)
        self.b.start()
        harness.wait_until("two primaries are forbidden", lambda: (self.fake / "log").exists() and
                           any(line.startswith("net-options") for line in self.asked()))
        self.assertTrue(path.exists())
        (self.fake / "cstate").write_text("Connected\n")
        harness.wait_until("the window is closed", lambda: not path.exists())

    def test_where_it_runs(self):
        path = self.leave_window(self.b)
        self.b.migrate("resolve")
        self.assertFalse(path.exists())
        self.assertEqual([line.split()[0] for line in self.asked()], ["net-options", "net-options"])

    def test_by_the_daemon(self):
        path = self.leave_window(self.b)
        self.b.start()
        harness.wait_until("the window is closed", lambda: not path.exists())

    def test_it_is_looked_at(self):
        self.show(True)
        path = self.leave_window(self.b)
        result = self.b.migrate("resolve", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("ledger: settled with hosta, but DRBD resource disk0 still allows two primaries", result.stdout)
        self.assertTrue(path.exists())


def can_mount():
    return os.getuid() == 0 and subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"],
                                               capture_output=True, check=False).returncode == 0


class FullDisk(Case):
    def test_at_each_journalled_step(self):
        """The write fails once; what began is taken back, or finished from what the other host knows."""
        self.create()
        for point in ("PREP.0", "SUSPENDED.0", "QUIESCED.0", "CEDED.1", "GONE.1", "BUILDING.0", "READY.0", "OWNER.0"):
            with self.subTest(point=point):
                source = self.a if "ledger" in self.a.domains() else self.b
                target = self.b if source is self.a else self.a
                for host in (source, target):
                    (host.dir / "fault").write_text(f"{point} full")
                result = source.migrate("--quiet", "ledger", target.name, check=False)
                self.world.wait_settled()
                self.assertFalse((source.dir / "fault").exists() and (target.dir / "fault").exists(), "never came")
                names = [n for h in (self.a, self.b) for n in h.domains()]
                self.assertEqual(names, ["ledger"])
                if "ledger" in source.domains():
                    self.assertIn("cannot write the journal of ledger", result.stderr + source.log_text())
                    self.assertEqual(result.returncode, 1)
                for host in (source, target):
                    (host.dir / "fault").unlink(missing_ok=True)

    @unittest.skipUnless(can_mount(), "needs root and a mount namespace")
    def test_a_file_system_that_is_full(self):
        self.create()
        self.a.stop()
        state, kept = self.a.dir / "state", self.a.dir / "kept"
        script = f"cp -a {state} {kept} && mount -t tmpfs -o size=256k none {state} && cp -a {kept}/. {state} && exec \"$@\""
        plain = self.a.command
        self.a.command = lambda program, *args: plain(program, *args) if program != "lifeboatd" else \
            ["unshare", "-m", "sh", "-c", script, "sh", *plain(program, *args)]
        self.a.start()
        inside = pathlib.Path(f"/proc/{self.a.daemon.pid}/root{state}")
        harness.wait_until("its file system is there", lambda: inside.is_mount() or (inside / "key").exists())
        fill = inside / "fill"

        def fill_up():
            with open(fill, "wb", buffering=0) as f:
                try:
                    while True:
                        f.write(bytes(4096))
                except OSError:
                    pass
        fill_up()
        result = self.a.migrate("ledger", "hostb", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, "hosta: cannot .*journal.*No space left on device")
        self.assertIn("not full", result.stderr)
        self.assertEqual(self.world.where("ledger"), ["hosta"])
        fill.unlink()
        # Full from the middle of a move on: room was taken beforehand.
        (self.a.dir / "fault").write_text("SUSPENDED.0 stop")
        move = self.a.popen("migrate", "--quiet", "ledger", "hostb")
        pid = harness.wait_until("it has stopped", lambda: self.a.stopped())
        fill_up()
        os.kill(pid, signal.SIGCONT)
        out, err = move.communicate(timeout=60)
        self.assertEqual(move.returncode, 0, out + err)
        self.assertEqual(self.world.where("ledger"), ["hostb"])


if __name__ == "__main__":
    main()
