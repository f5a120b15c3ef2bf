# SPDX-License-Identifier: GPL-2.0-or-later
"""The power cord, a host that freezes and wakes up later, and a cut link, at every journalled step of a hand-over
between the two real hosts. Afterwards, without an operator: one copy, whole, its disk in step and the window closed.

LIFEBOAT_LAB_FAULTS=all   every fault at every step (some 40 minutes); by default each once, at the commit point;
                    rest  all but these
"""
import os

from labtest import FAULT, OTHER, Lab, all_settled, allow_faults, domains, figures, lab, on, status, until

STEPS = [("source", "PREP"), ("source", "SUSPENDED"), ("source", "QUIESCED"), ("source", "CEDED"), ("source", "GONE"),
         ("destination", "BUILDING"), ("destination", "READY"), ("destination", "OWNER")]
DEFAULT = {"power": ["CEDED"], "freeze": ["READY"], "link": ["CEDED"]}
# Whose power cord takes the guest with it. It had run there: only a cold start brings it back, by the host's own means.
DIES_WITH_IT = ("PREP", "SUSPENDED", "QUIESCED", "OWNER")
ENGINES = "lifeboat-send|lifeboat-receive"


def chosen(fault):
    wish = os.environ.get("LIFEBOAT_LAB_FAULTS")
    return [s for s in STEPS if wish == "all" or (s[1] in DEFAULT[fault]) != (wish == "rest")]


class Faults(Lab):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        allow_faults()

    def reach(self, side, state):
        """A move whose engine on that side has stopped just after `state` was on disk. (the host, the client)"""
        host = self.at if side == "source" else OTHER[self.at]
        on(host, "sh", "-c", f"printf '{state}.3 stop' > {FAULT}")
        client = self.start_move("--quiet")
        until(f"{state} is reached on host {host}", lambda: client.poll() is not None or
              on(host, "test", "-e", FAULT, check=False).returncode != 0, 300)
        return host, client

    def engine_is_gone(self, host):
        return on(host, "pgrep", "-f", ENGINES, check=False).returncode != 0

    def power(self, host, client):
        lab("kill", host)
        client.communicate(timeout=300)
        lab("boot", host)

    def freeze(self, host, client):
        lab("freeze", host)
        until("the other side has noticed", lambda: self.engine_is_gone(OTHER[host]), 150)
        lab("thaw", host)
        on(host, "pkill", "-CONT", "-f", ENGINES, check=False)
        client.communicate(timeout=300)

    def link(self, host, client):
        lab("link", "down")
        on(host, "pkill", "-CONT", "-f", ENGINES, check=False)
        until("an engine has noticed", lambda: self.engine_is_gone("a") or self.engine_is_gone("b"), 150)
        lab("link", "up")
        client.communicate(timeout=300)

    def is_settled(self):
        """Nothing is open in either journal; on the way there, never two that run."""
        where = [h for h in "ab" if self.name in domains(h)]
        self.assertLessEqual(len(where), 1, "two copies")
        return all_settled()

    def assert_recovers(self, fault, state, host):
        until("all is settled", self.is_settled, 180)
        if fault == "power" and state in DIES_WITH_IT:
            self.assertEqual(domains("a") + domains("b"), [])
            type(self).at = host
            self.start()
        type(self).at = until("one copy", lambda: [h for h in "ab" if self.name in domains(h)], 30)[0]
        self.wait_for_drbd()
        self.assert_window_closed(self.name)
        until("it answers", lambda: status(self.address))
        self.assert_whole()
        on(OTHER[self.at], "drbdadm", "secondary", self.name)

    def run_fault(self, fault):
        for side, state in chosen(fault):
            with self.subTest(fault=fault, side=side, state=state):
                host, client = self.reach(side, state)
                getattr(self, fault)(host, client)
                self.assert_recovers(fault, state, host)
                figures.setdefault("faults", []).append(f"{fault} {side} {state}")

    def test_01_link(self):
        self.run_fault("link")

    def test_02_freeze(self):
        self.run_fault("freeze")

    def test_03_power(self):
        self.run_fault("power")
