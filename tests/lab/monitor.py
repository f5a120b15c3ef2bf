# SPDX-License-Identifier: GPL-2.0-or-later
"""Who looks after the guest when it stops by itself: exactly one monitor, whatever a move came to.

The guest is started by `xl create`, whose own monitor leaves at the first suspend. What happens inside is
typed at the guest's console.
"""
from labtest import FAULT, OTHER, Lab, all_settled, allow_faults, domains, lab, on, status, until

CONFIG = "/etc/xen/g.cfg"
CONSOLE = "/usr/lib/xen-4.17/bin/xenconsole"
MONITORS = "[x]l create|[l]ifeboat-monitor"


class Monitor(Lab):
    starts = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        allow_faults()
        # So that a crash is told from a poweroff by what comes of it.
        on("a", "sed", "-i", 's/^on_crash.*/on_crash = "restart"/', CONFIG)
        cls.start()

    @classmethod
    def tearDownClass(cls):
        on("a", "sed", "-i", 's/^on_crash.*/on_crash = "destroy"/', CONFIG)
        super().tearDownClass()

    def type_inside(self, command):
        """`xl console` takes no input that is not a terminal's."""
        domid = on(self.at, "xl", "domid", self.name).stdout.strip()
        on(self.at, "sh", "-c", f"(echo; echo '{command}'; sleep 3) | timeout 10 {CONSOLE} --interactive {domid}", check=False)

    def monitors(self, host):
        return int(on(host, "pgrep", "-fc", MONITORS, check=False).stdout)

    def assert_one_monitor(self):
        """It may still be on its way; a second one would be as well, for which the boot that follows gives time."""
        until("one monitor where the guest is", lambda: self.monitors(self.at) == 1)
        self.assertEqual(self.monitors(OTHER[self.at]), 0)

    def assert_starts_again(self, command):
        """By itself, once, where it was; and it is looked after still."""
        self.assert_one_monitor()
        boot, domid = status(self.address)["boot"], on(self.at, "xl", "domid", self.name).stdout
        self.type_inside(command)
        until("it has booted again", lambda: (s := status(self.address)) and s["boot"] != boot, 120)
        self.assertNotEqual(on(self.at, "xl", "domid", self.name).stdout, domid)
        self.assert_one_monitor()
        self.assert_whole()

    def test_01_after_a_rollback(self):
        """It had suspended already; the step after that could not be written down."""
        on(self.at, "sh", "-c", f"printf 'QUIESCED.0 full' > {FAULT}")
        result = on(self.at, "migrate", "--quiet", self.name, f"host{OTHER[self.at]}", check=False)
        self.assertEqual(result.returncode, 1, result.stdout)
        self.assertIn("cannot write the journal", result.stderr)
        until("nothing is left there", lambda: not domains(OTHER[self.at]))
        self.assert_starts_again("echo c > /proc/sysrq-trigger")

    def test_02_after_a_cancelled_move(self):
        process = self.start_slow_move()
        on(self.at, "migrate", "cancel", self.name)
        out, err = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 1, out)
        self.assertIn(f"cancelled by 'migrate cancel'; {self.name} runs on here", err)
        lab("link", "rate", "unlimited")
        until("nothing is left there", lambda: not domains(OTHER[self.at]))
        self.assert_starts_again("reboot -f")

    def test_03_after_a_move(self):
        self.move(OTHER[self.at])
        self.assert_starts_again("reboot -f")
        self.assert_starts_again("echo c > /proc/sysrq-trigger")

    def test_04_poweroff_leaves_nothing(self):
        self.assert_one_monitor()
        domid = on(self.at, "xl", "domid", self.name).stdout.strip()
        self.type_inside("poweroff -f")
        until("it is gone", lambda: not domains(self.at))
        until("no monitor is left", lambda: self.monitors(self.at) == 0)
        self.assertEqual(domains(OTHER[self.at]), [])
        self.assertNotEqual(on(self.at, "xenstore-exists", f"/local/domain/{domid}", check=False).returncode, 0)
        self.assertEqual(on(self.at, "sh", "-c", f"ls /var/lib/xen | grep -e '-d[.]{domid}[.]' || true").stdout, "")
        self.assertTrue(all_settled())
        on(self.at, "drbdadm", "secondary", self.name)  # nothing holds its disk
        self.assert_window_closed(self.name)
