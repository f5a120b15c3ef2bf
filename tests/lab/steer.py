# SPDX-License-Identifier: GPL-2.0-or-later
"""What `migrate` does to a guest without or before moving it, and that nothing of it stays: log-dirty mode by the
hypervisor's own account, the scheduler's cap, the time-out. The guest writes more than the link takes.
"""
import json
import re

from labtest import OTHER, Lab, domains, on, until

CAP = 90  # of one processor, set by somebody before lifeboat comes
# On the host itself: an estimate is over in seconds, and a command from here takes one.
KILL_ONE_THAT_WATCHES = """migrate --estimate "$1" "$2" &
until xl debug-keys q && xl dmesg -c | grep -q log_dirty; do :; done
pkill -KILL lifeboat-send || exit 3
wait $!"""


class Steer(Lab):
    starts = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.boot("lab.proof.mib=64 lab.proof.rate=2000 lab.proof.verify=64")
        on("a", "xl", "sched-credit2", "-d", cls.name, "-c", CAP)

    def assert_fails(self, process, pattern):
        out, err = process.communicate(timeout=300)
        self.assertEqual(process.returncode, 1, out)
        self.assertRegex(err, pattern)

    def log_dirty(self):
        """Does Xen note what the guest writes? By its debug key q."""
        text = on(self.at, "sh", "-c", "xl dmesg -c > /dev/null; xl debug-keys q; xl dmesg").stdout
        domid = on(self.at, "xl", "domid", self.name).stdout.strip()
        part = re.search(rf"General information for domain {domid}:\n(?s:.*?)paging assistance:([^\n]*)", text)
        self.assertTrue(part, text)
        return "log_dirty" in part[1]

    def cap(self):
        return int(on(self.at, "xl", "sched-credit2", "-d", self.name).stdout.splitlines()[-1].split()[-1])

    def assert_untouched(self):
        until("log-dirty mode is off", lambda: not self.log_dirty())
        until("its cap is what it was", lambda: self.cap() == CAP)
        until("nothing is left there", lambda: not domains(OTHER[self.at]))
        self.assertEqual(domains(self.at), [self.name])
        self.assert_whole()

    def estimate(self):
        return json.loads(on(self.at, "migrate", "--estimate", "--json", self.name, f"host{OTHER[self.at]}").stdout)

    def test_01_an_estimate(self):
        estimate = self.estimate()
        self.assertEqual(estimate["event"], "estimate")
        self.assertGreater(estimate["dirty_pages_per_s"], 100)
        self.assert_untouched()

    def test_02_the_engine_dies_while_it_watches(self):
        result = on(self.at, "timeout", "60", "sh", "-c", KILL_ONE_THAT_WATCHES, "sh", self.name, f"host{OTHER[self.at]}",
                    check=False)
        self.assertEqual(result.returncode, 1, result.stdout)
        self.assertRegex(result.stderr, "lifeboatd ended the connection")
        self.assert_untouched()
        self.assertEqual(self.estimate()["event"], "estimate")

    def slowed(self):
        """A move that cannot converge, once it has taken some of the guest's processor."""
        self.slow_link()
        process = self.start_move("--max-downtime", "1", "--on-no-converge", "throttle")
        until("it is slowed", lambda: process.poll() is not None or self.cap() < CAP, 240)
        self.assertTrue(self.log_dirty())
        return process

    def test_03_cancelled_while_it_is_slowed(self):
        process = self.slowed()
        on(self.at, "migrate", "cancel", self.name)
        self.assert_fails(process, f"cancelled by 'migrate cancel'; {self.name} runs on here")
        self.assert_untouched()

    def test_04_the_engine_dies_while_it_is_slowed(self):
        process = self.slowed()
        on(self.at, "pkill", "-KILL", "lifeboat-send")
        self.assert_fails(process, "lifeboatd ended the connection")
        self.assert_untouched()

    def test_05_not_in_time(self):
        self.slow_link()
        self.assert_fails(self.start_move("--timeout", "10"), rf"not handed over within 10 s \(--timeout\); {self.name} runs on here")
        self.assert_untouched()
