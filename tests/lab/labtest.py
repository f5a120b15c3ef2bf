# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests in the lab share: the lab's verbs, the outside client, a guest that is moved and proved."""
import json
import os
import pathlib
import subprocess
import tempfile
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FIGURES = ROOT / "build/lab-figures.json"
OTHER = {"a": "b", "b": "a"}
FAULT = "/run/lifeboat-fault"
figures = {}
# Without a disk: as many of them as memory allows.
PLAIN = '''name = "{name}"
type = "pvh"
kernel = "/var/lib/lab/vmlinux"
ramdisk = "/var/lib/lab/guest.img"
extra = "console=hvc0 quiet lab.name={name} lab.addr={address}/24 {more}"
memory = {memory}
vcpus = 1
vif = ['mac={mac},bridge={bridge}']
on_reboot = "restart"
'''


def lab(*args, check=True, timeout=900):
    result = subprocess.run([HERE / "lab", *map(str, args)], text=True, capture_output=True, timeout=timeout,
                            stdin=subprocess.DEVNULL)
    if check and result.returncode:
        raise AssertionError(f"lab {' '.join(map(str, args))}: exit {result.returncode}\n"
                             f"{result.stdout[-3000:]}{result.stderr[-3000:]}")
    return result


def on(host, *command, **kwargs):
    return lab("run", host, "--", *command, **kwargs)


def until(what, condition, seconds=90):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.5)
    raise AssertionError(f"waited {seconds} s in vain: {what}")


def status(address, host="b"):
    out = on(host, "curl", "-s", "-m", "5", f"http://{address}/status", check=False).stdout
    try:
        return json.loads(out)
    except ValueError:
        return None


def domains(host):
    """Names on a host, dom0 left out."""
    lines = on(host, "xl", "list").stdout.splitlines()[1:]
    return [line.split()[0] for line in lines if line.split()[0] != "Domain-0"]


def boot_up(host, name):
    """hv create of /root/NAME.cfg, until its kernel answers to Xen and its vif is connected: the one may be seconds before the other."""
    on(host, "hv", "create", f"/root/{name}.cfg")
    domid = on(host, "xl", "domid", name).stdout.strip()
    until(f"{name} has booted", lambda: on(
        host, "xenstore-read", f"/local/domain/{domid}/control/feature-suspend", check=False).stdout.strip() == "1")
    until(f"the vif of {name} is connected", lambda: on(
        host, "cat", f"/sys/class/net/vif{domid}.0/carrier", check=False).stdout.strip() == "1")


class Wire:
    """What passes the link while the block lasts: `bytes`, with the capture's own 16 a frame."""

    def __enter__(self):
        self.file = tempfile.mktemp(suffix=".pcap")
        lab("capture", "start", self.file)
        return self

    def __exit__(self, *_):
        lab("capture", "stop")
        self.bytes = os.path.getsize(self.file)
        os.unlink(self.file)


class Gap:
    """lab-gap as the client outside, for as long as the block lasts."""

    def __init__(self, address):
        self.address = address

    def __enter__(self):
        self.process = subprocess.Popen(
            [HERE / "lab", "client", "--", "lab-gap", "--host", self.address, "--until-eof"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return self

    def __exit__(self, *_):
        out, _ = self.process.communicate("", timeout=240)
        self.result = json.loads(out)


def clean(hypervisor):
    """The lab of the class before, with nothing of it left: no guest, no primary, an open link. False: it is of no use."""
    state = json.loads(lab("status", "--json").stdout)
    if not state["up"] or state["hypervisor"] != hypervisor or set(state["hosts"].values()) != {"running"}:
        return False
    lab("link", "up")
    lab("link", "rate", "unlimited")
    for host in "ab":
        for name in domains(host):
            on(host, "xl", "destroy", name)
        for resource in "gph":
            until(f"{resource} is let go", lambda host=host, resource=resource: on(
                host, "drbdadm", "secondary", resource, check=False).returncode == 0, 30)
    return all(on("a", "drbdadm", "dstate", resource).stdout.strip() == "UpToDate/UpToDate" for resource in "gph")


def all_settled():
    """Nothing is open in either host's journal."""
    return all(e["settled"] for host in "ab" for e in json.loads(on(host, "migrate", "--json", "status").stdout))


def allow_faults():
    """What stands in FAULT happens to the engines that lifeboatd starts, on either host."""
    for host in "ab":
        on(host, "sh", "-c", "mkdir -p /etc/systemd/system/lifeboatd.service.d; "
           f"printf '[Service]\\nEnvironment=LIFEBOAT_FAULT={FAULT}\\n' > "
           "/etc/systemd/system/lifeboatd.service.d/fault.conf; "
           "systemctl daemon-reload; systemctl restart lifeboatd; sync")


class Lab(unittest.TestCase):
    hypervisor = "stock"
    guest = ("g", "pvh", "10.77.0.50")  # None: each test has its own
    starts = True  # before the first test

    @classmethod
    def setUpClass(cls):
        if not clean(cls.hypervisor):
            lab("down", check=False)
            lab("up", "--hypervisor", cls.hypervisor)
        cls.at = "a"
        if cls.guest:
            cls.name, cls.kind, cls.address = cls.guest
            if cls.starts:
                cls.start()

    @classmethod
    def start(cls):
        lab("guest", cls.at, cls.kind, "--start")

    @classmethod
    def boot(cls, words):
        """The guest with words of its own on its kernel's command line."""
        on("a", "drbdadm", "primary", cls.name)
        on("a", "xl", "create", "-q", f"/etc/xen/{cls.name}.cfg",
           f'extra="console=hvc0 quiet lab.name={cls.name} lab.addr={cls.address}/24 {words}"')
        until("it serves", lambda: status(cls.address), 180)

    @classmethod
    def tearDownClass(cls):
        for host in "ab":
            (ROOT / f"build/lab-{cls.__name__}-{host}.log").write_text(
                on(host, "journalctl", "-o", "short-monotonic", "--no-pager", check=False).stdout, encoding="utf-8")
        if figures:
            FIGURES.write_text(json.dumps(figures, indent=1), encoding="utf-8")

    def assert_whole(self, name=None, address=None, more=0):
        """The guest answers, its memory and disk proofs hold, and it exists once in all."""
        proof = until("the guest answers", lambda: status(address or self.address))
        self.assertEqual((proof["errors"], proof["disk_errors"]), (0, 0))
        self.assertEqual(domains("a") + domains("b"), [name or self.name], "it must be there once in all")
        if more:
            passes = proof["passes"]
            proof = until("the proof goes through all memory again",
                          lambda: (p := status(address or self.address)) and p["passes"] >= passes + more and p, 300)
            self.assertEqual((proof["errors"], proof["disk_errors"]), (0, 0))
        return proof

    def assert_window_closed(self, resource):
        for host in "ab":
            self.assertNotIn("allow-two-primaries\t\tyes", on(host, "drbdsetup", "show", resource).stdout)
            self.assertNotRegex(on(host, "drbdsetup", "show", resource).stdout, r"allow-two-primaries\s+yes")

    def move(self, to):
        """One move of the guest with everything checked; the summary with the client's gap."""
        start = self.at
        with Gap(self.address) as gap:
            began = time.monotonic()
            summary = json.loads(on(start, "migrate", "--json", self.name, f"host{to}").stdout)
            summary["wall_ms"] = round((time.monotonic() - began) * 1000)
            type(self).at = to
            self.assert_whole()
        self.assertEqual((gap.result["went_backwards"], gap.result["errors"], gap.result["disk_errors"],
                          gap.result["reboots"]), (0, 0, 0, 0))
        self.assert_window_closed(self.name)
        summary["gap_ms"] = gap.result["longest_gap_ms"]
        return summary

    def move_by_xl(self, to):
        """The rival in the same run: by hand what it needs, dual-primary for its whole duration."""
        start = self.at
        for host in "ab":
            on(host, "drbdadm", "net-options", "--allow-two-primaries=yes", self.name)
        on(to, "drbdadm", "primary", self.name)
        with Wire() as wire, Gap(self.address) as gap:
            began = time.monotonic()
            on(start, "xl", "migrate", self.name, f"host{to}")
            total = time.monotonic() - began
            type(self).at = to
            self.assert_whole()
        until("the old host demotes", lambda: on(start, "drbdadm", "secondary", self.name, check=False).returncode == 0)
        for host in "ab":
            on(host, "drbdadm", "net-options", "--allow-two-primaries=no", self.name)
        return {"total_ms": round(total * 1000), "gap_ms": gap.result["longest_gap_ms"], "wire_bytes": wire.bytes}

    def start_move(self, *args):
        """A move that goes on while the test looks; waited for at the test's end."""
        process = subprocess.Popen([HERE / "lab", "run", self.at, "--", "migrate", *args, self.name, f"host{OTHER[self.at]}"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.wait, 300)
        return process

    def slow_link(self):
        """One slow enough for a move to be caught in the middle, until the test's end."""
        self.addCleanup(lab, "link", "rate", "unlimited")
        self.addCleanup(lab, "link", "up")
        lab("link", "rate", "20mbit")

    def start_slow_move(self):
        self.slow_link()
        process = self.start_move()
        until("it is being built there", lambda: f"{self.name}--incoming" in domains(OTHER[self.at]))
        return process

    def wait_for_drbd(self):
        until("DRBD is whole again", lambda: on(self.at, "drbdadm", "dstate", self.name, check=False).stdout.strip()
              == "UpToDate/UpToDate", 120)


def keep(kind, summary):
    figures.setdefault(kind, []).append(
        {k: summary[k] for k in ("total_ms", "downtime_ms", "gap_ms", "wire_bytes", "pause", "network") if k in summary})
