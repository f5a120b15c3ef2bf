#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line, as transcripts: what is typed, what is printed, and the exit status.

    $ hv pause nosuch
    standard output, as it is
    ! standard error, each line marked
    = 1

DIR stands for the host's directory and BUILD for where the programs are; what differs from run to run (process
ids, times, sizes of the machine) is replaced by a word in capitals.
"""
import difflib
import json
import os
import pathlib
import pty
import re
import select
import shlex
import shutil
import socket
import subprocess
import sys
import termios
import textwrap
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import harness  # noqa: E402
from tap import main  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
UUID = "11111111-2222-3333-4444-555555555555"
MAC = "00:16:3e:00:00:05"

DOMAIN_KEYS = ["name", "uuid", "domid", "type", "state", "memory_kb", "vcpus", "cpu_ms", "tracker", "tick", "faults",
               "vif", "disk"]
HOST_KEYS = ["backend", "version", "cpus", "memory_total_kb", "memory_free_kb", "tracker", "tracker_reason"]
SUMMARY_KEYS = ["event", "domain", "from", "to", "total_ms", "downtime_ms", "predicted_ms", "rounds", "memory_bytes",
                "pages_sent", "wire_bytes", "streams", "cipher", "rejoins", "pause", "network", "verify",
                "findings"]
JOURNAL_KEYS = ["name", "state", "term", "owner", "settled", "peer", "since_ms"]
PAUSE_KEYS = ["suspend_ms", "last_round_ms", "build_ms", "commit_ms", "activate_ms", "destination_build_ms",
              "destination_activate_ms"]

HV_HELP = """\
Usage: hv VERB [OPTION...] [ARGUMENT]

  hv create   FILE   start the domain that FILE describes
  hv list            the domains of this host
  hv info     [DOM]  all about a domain, or about this host
  hv console  DOM    its console, until ^]
  hv pause    DOM    stop it where it is
  hv unpause  DOM    let it go on
  hv shutdown DOM    ask it to power off
  hv reboot   DOM    ask it to reboot
  hv destroy  DOM    end it at once
  hv help            this text; `hv VERB --help' has the options
  hv version

Exit status: 0 done, 1 failed, 2 used wrongly.
"""

REPLACE = [
    (r"\bID \d+", "ID NR"),
    (r"(?m)^ID          \d+$", "ID          NR"),
    (r"(?m)^(\S+) +\d+ +(\d+) +(\d+) (\w+) +[\d.]+$", r"\1 ID \2 \3 \4 TIME"),
    (r"(?m)^(time|tick|cpus) +\d[\d.]*", r"\1 N"),
    (r"memory      \d+ MiB, \d+ MiB free", "memory N MiB, N MiB free"),
    (r"\d+ MiB are free here", "N MiB are free here"),
    (r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{43}=", "KEY"),
    (r"\bport \d+", "port PORT"),
]


class Case(unittest.TestCase):
    """One world for the class; the daemons are started by those who need them."""
    options = ('dirty_tracking = "compare"',)

    @classmethod
    def setUpClass(cls):
        cls.world = harness.World(cls.options, cls.options)
        cls.addClassCleanup(cls.world.close)
        cls.host = cls.world.a
        cls.file("led.cfg", f'name = "led"\nuuid = "{UUID}"\nkernel = "{harness.BUILD}/ledger"\nmemory = 32\n')

    def tearDown(self):
        for host in (self.world.a, self.world.b):
            for name in host.domains():
                host.hv("destroy", name, check=False)

    @classmethod
    def file(cls, name, text):
        path = cls.host.dir / name
        path.write_text(text)
        return path

    def normalise(self, text, host):
        text = text.replace(str(host.build) + "/", "BUILD/").replace(str(host.dir), "DIR")
        for pattern, word in REPLACE:
            text = re.sub(pattern, word, text)
        return text

    def play(self, line, host):
        words = shlex.split(line.replace("DIR", str(host.dir)).replace("BUILD", str(host.build)))
        result = host.run(words[0], *words[1:], check=False, timeout=60)
        err = "".join(f"! {line}\n" for line in result.stderr.splitlines())
        return f"$ {line}\n" + self.normalise(result.stdout + err, host) + f"= {result.returncode}\n"

    def transcript(self, text, host=None):
        text = textwrap.dedent(text)
        lines = [line[2:] for line in text.splitlines() if line.startswith("$ ")]
        found = "".join(self.play(line, host or self.host) for line in lines)
        if found != text:
            self.fail("\n" + "".join(difflib.unified_diff(text.splitlines(True), found.splitlines(True),
                                                          "expected", "found")))

    def ticking(self, name="led"):
        return harness.wait_ticks(self.host, name, more=1)


class Hv(Case):
    def test_help(self):
        for line in ("hv help", "hv --help", "hv -h"):
            self.transcript(f"$ {line}\n{HV_HELP}= 0\n")

    def test_no_verb(self):
        self.transcript("$ hv\n" + "".join(f"! {line}\n" for line in HV_HELP.splitlines()) + "= 2\n")

    def test_version(self):
        self.transcript("$ hv version\nhv (lifeboat) 0.1\n= 0\n$ hv --version\nhv (lifeboat) 0.1\n= 0\n")

    def test_wrong_verb(self):
        self.transcript("""\
            $ hv start led
            ! hv: there is no verb `start'
            ! Try `hv help' for all of them.
            = 2
            $ hv --json list
            ! hv: there is no verb `--json'
            ! Try `hv help' for all of them.
            = 2
            """)

    def test_help_of_verbs(self):
        last = "  -?, --help                 Give this help list\n      --usage                Give a short usage message\n"
        dry = "  -n, --dry-run              Check, say what would be done, do nothing\n"
        paused = "  -p, --paused               Leave it paused\n"
        show = "  -j, --json                 Print JSON\n"
        for verb, doc, options in [
                ("create FILE", "start the domain that FILE describes", dry + paused),
                ("list", "the domains of this host", show),
                ("info [DOM]", "all about a domain, or about this host", show),
                ("console DOM", "its console, until ^]", ""),
                ("pause DOM", "stop it where it is", dry),
                ("unpause DOM", "let it go on", dry),
                ("shutdown DOM", "ask it to power off", dry),
                ("reboot DOM", "ask it to reboot", dry),
                ("destroy DOM", "end it at once", dry)]:
            name, _, arg = verb.partition(" ")
            self.transcript(f"$ hv {name} --help\nUsage: hv {name} [OPTION...]{' ' + arg if arg else ''}\n{doc}\n\n"
                            f"{options}{last}= 0\n")

    def test_missing_argument(self):
        for verb, arg in [("create", "FILE")] + [(verb, "DOM") for verb in (
                "console", "pause", "unpause", "shutdown", "reboot", "destroy")]:
            self.transcript(f"""\
                $ hv {verb}
                ! hv {verb}: {arg} is missing
                ! Try `hv {verb} --help' or `hv {verb} --usage' for more information.
                = 2
                """)

    def test_usage_errors(self):
        self.transcript("""\
            $ hv list led
            ! hv list: too many arguments: `led'
            ! Try `hv list --help' or `hv list --usage' for more information.
            = 2
            $ hv pause led led
            ! hv pause: too many arguments: `led'
            ! Try `hv pause --help' or `hv pause --usage' for more information.
            = 2
            $ hv list --dry-run
            ! hv list: unrecognized option '--dry-run'
            ! Try `hv list --help' or `hv list --usage' for more information.
            = 2
            $ hv console -j led
            ! hv console: invalid option -- 'j'
            ! Try `hv console --help' or `hv console --usage' for more information.
            = 2
            $ hv pause --paused led
            ! hv pause: unrecognized option '--paused'
            ! Try `hv pause --help' or `hv pause --usage' for more information.
            = 2
            """)

    def test_unknown_domain(self):
        for verb in ("info", "console", "pause", "unpause", "shutdown", "reboot", "destroy"):
            for name in ("nosuch", "../nosuch"):
                self.transcript(f"""\
                    $ hv {verb} {name}
                    ! hv: no domain is named `{name}' here.
                    !   See hv list for the domains of this host.
                    = 1
                    """)

    def test_life(self):
        self.transcript("""\
            $ hv list
            Name                                          ID   Mem VCPUs State      Time(s)
            = 0
            $ hv create --dry-run DIR/led.cfg
            would create led with 32 MiB
            = 0
            $ hv list --json
            []
            = 0
            $ hv create --paused DIR/led.cfg
            created led, ID NR, paused
            = 0
            $ hv list
            Name                                          ID   Mem VCPUs State      Time(s)
            led ID 32 1 paused TIME
            = 0
            $ hv create DIR/led.cfg
            ! hv: a domain named `led' exists on this host.
            !   Destroy or rename that one, or choose another name.
            = 1
            $ hv unpause --dry-run led
            would unpause led, ID NR, now paused
            = 0
            $ hv unpause led
            = 0
            $ hv unpause led
            = 0
            $ hv list
            Name                                          ID   Mem VCPUs State      Time(s)
            led ID 32 1 running TIME
            = 0
            $ hv pause -n led
            would pause led, ID NR, now running
            = 0
            $ hv pause led
            = 0
            $ hv pause led
            = 0
            $ hv shutdown --dry-run led
            would shut down led, ID NR, now paused
            = 0
            $ hv reboot --dry-run led
            would reboot led, ID NR, now paused
            = 0
            $ hv destroy --dry-run led
            would destroy led, ID NR, now paused
            = 0
            $ hv destroy led
            = 0
            $ hv destroy led
            ! hv: no domain is named `led' here.
            !   See hv list for the domains of this host.
            = 1
            """)

    def test_info(self):
        self.file("dev.cfg", f'name = "dev"\nuuid = "{UUID}"\nkernel = "ledger"\nmemory = 16\n'
                  f'disk = ["{self.host.dir}/disk,raw,xvda,r"]\n')
        self.file("disk", "\0" * 4096)
        self.transcript(f"""\
            $ hv create -p DIR/dev.cfg
            created dev, ID NR, paused
            = 0
            $ hv info dev
            name        dev
            ID          NR
            UUID        {UUID}
            type        embedded
            state       paused
            memory      16 MiB
            vcpus       1
            time N s
            dirty pages compare
            tick N
            faults      0
            disk xvda   DIR/disk, read-only
            = 0
            $ hv info
            hypervisor  embedded 0.1
            cpus N
            memory N MiB, N MiB free for new domains
            dirty pages compare
                        not pagemap: dirty_tracking = compare in the configuration
            = 0
            """)
        info = self.host.info("dev")
        self.assertEqual(list(info), DOMAIN_KEYS)
        self.assertEqual((info["name"], info["uuid"], info["type"], info["state"], info["memory_kb"], info["vcpus"]),
                         ("dev", UUID, "embedded", "paused", 16384, 1))
        self.assertEqual(info["disk"], [{"path": f"{self.host.dir}/disk", "vdev": "xvda", "readonly": True}])
        for line in (("list", "--json"), ("list", "-j")):
            listed = json.loads(self.host.hv(*line).stdout)
            self.assertEqual([list(domain) for domain in listed], [DOMAIN_KEYS])
            self.assertEqual({**listed[0], "cpu_ms": 0}, {**info, "cpu_ms": 0})
        self.assertEqual(list(json.loads(self.host.hv("info", "--json").stdout)), HOST_KEYS)

    def test_columns_stay_aligned(self):
        for name in ("a", "b" * 40, "c" * 48):
            self.file("long.cfg", f'name = "{name}"\nkernel = "ledger"\nmemory = 8\n')
            self.host.hv("create", "-p", self.host.dir / "long.cfg")
        head, *rows = self.host.hv("list").stdout.splitlines()
        self.assertEqual([row.split()[0] for row in rows], ["a", "b" * 40, "c" * 48])
        for row in rows[:2]:
            self.assertEqual(row.index("paused"), head.index("State"))
            self.assertEqual(len(row), len(head))

    def test_shutdown_and_reboot(self):
        self.file("keep.cfg", f'name = "led"\nkernel = "ledger"\nmemory = 16\non_poweroff = "preserve"\n')
        self.host.hv("create", self.host.dir / "keep.cfg")
        tick = harness.wait_ticks(self.host, "led", more=2)["tick"]
        self.transcript("$ hv reboot led\n= 0\n")
        harness.wait_until("it has rebooted", lambda: self.host.info("led")["tick"] < tick)
        self.ticking()
        self.transcript("$ hv shutdown led\n= 0\n")
        harness.wait_until("it has shut down", lambda: self.host.info("led")["state"] == "shutdown")
        self.transcript("""\
            $ hv list
            Name                                          ID   Mem VCPUs State      Time(s)
            led ID 16 1 shutdown TIME
            = 0
            $ hv unpause led
            ! hv: domain `led' has shut down.
            !   Destroy it and create it again.
            = 1
            $ hv pause led
            ! hv: domain `led' does not run.
            = 1
            $ hv shutdown led
            ! hv: domain `led' does not run.
            = 1
            $ hv destroy led
            = 0
            """)

    def test_no_room(self):
        self.world.b.options.append("embedded_memory = 16")
        self.world.b.write_config()
        self.file("big.cfg", 'name = "big"\nkernel = "ledger"\nmemory = 32\n')
        (self.world.b.dir / "big.cfg").write_text((self.host.dir / "big.cfg").read_text())
        self.transcript("""\
            $ hv create DIR/big.cfg
            ! hv: domain `big' needs 32 MiB of memory, N MiB are free here.
            !   Stop a domain here, or raise embedded_memory in the configuration.
            = 1
            """, self.world.b)

    def test_same_uuid(self):
        self.file("twin.cfg", f'name = "twin"\nuuid = "{UUID}"\nkernel = "ledger"\nmemory = 8\n')
        self.host.hv("create", self.host.dir / "led.cfg")
        self.transcript("""\
            $ hv create DIR/twin.cfg
            ! hv: domain `led' on this host has the same UUID.
            !   Destroy that one, or choose another uuid.
            = 1
            """)

    def test_bad_configuration(self):
        bad = self.file("bad.conf", 'hypervisor = "kvm"\n')
        self.addCleanup(setattr, self.host, "config", self.host.config)
        self.host.config = bad
        self.transcript("""\
            $ hv list
            ! hv: DIR/bad.conf:1: hypervisor must be auto, xen or embedded, not 'kvm'.
            !   Correct that line; lifeboat.conf(5) lists every key.
            = 1
            """)
        bad.write_text("")  # for the cleanup that lists domains
        self.host.config = self.host.dir / "lifeboat.conf"


class DomainFiles(Case):
    GOOD = ['name = "x"', 'kernel = "ledger"', "memory = 32"]

    def refuse(self, lines, *sentence, fix="Correct the domain file; xl.cfg(5) has the syntax", status=1):
        """`sentence` may be several lines; the last one is the error, those before it warnings."""
        self.file("x.cfg", "\n".join(lines) + "\n")
        for option in ("--dry-run ", ""):
            self.transcript(f"$ hv create {option}DIR/x.cfg\n" + "".join(f"! hv: {line}\n" for line in sentence[:-1]) +
                            f"! hv: {sentence[-1]}.\n!   {fix}.\n= {status}\n")
        self.assertEqual(self.host.domains(), {})

    def test_no_file(self):
        self.transcript("""\
            $ hv create DIR/nosuch.cfg
            ! hv: cannot read DIR/nosuch.cfg: No such file or directory.
            !   Give the path of a domain file.
            = 1
            $ hv create DIR
            ! hv: cannot read DIR: Is a directory.
            !   Give the path of a domain file.
            = 1
            """)

    def test_unknown_key_is_a_warning(self):
        self.file("x.cfg", "\n".join(self.GOOD + ["nosuch = 1", "vnc = 1 # of xl, means nothing here"]) + "\n")
        self.transcript("""\
            $ hv create -p DIR/x.cfg
            created x, ID NR, paused
            ! hv: DIR/x.cfg: key `nosuch' is not known and has no effect
            = 0
            """)

    def test_missing_values(self):
        name, kernel, memory = self.GOOD
        self.refuse([kernel, memory], "DIR/x.cfg: name: must be 1 to 63 of A-Z a-z 0-9 _ . + -, "
                    "not starting with . or -")
        self.refuse([name, memory], "DIR/x.cfg: kernel: must be given: a file, or one of ledger, pong")
        self.refuse([name, kernel], "DIR/x.cfg: memory: must be given, in MiB, 1 to 1048576")

    def test_bad_values(self):
        for line, key, why in [
                ('name = "a/b"', "name", "must be 1 to 63 of A-Z a-z 0-9 _ . + -, not starting with . or -"),
                ('name = ["x"]', "name", "must be a string"),
                ("memory = 0", "memory", "must be given, in MiB, 1 to 1048576"),
                ('memory = "much"', "memory", "must be given, in MiB, 1 to 1048576"),
                ("vcpus = 2", "vcpus", "an embedded domain has one"),
                ('uuid = "zz"', "uuid", "is no UUID"),
                ('extra = ["a"]', "extra", "must be a string"),
                (f'extra = "{"a" * 1024}"', "extra", "is too long"),
                ('on_crash = "coredump-destroy"', "on_crash", "must be destroy, restart or preserve here"),
                ('pci = ["00:1f.0"]', "pci", "an embedded domain cannot have that"),
                ('vif = "x"', "vif", "must be a list of at most 8 strings"),
                ('vif = ["mac=01:16:3e:00:00:01"]', "vif", "mac= is no station address"),
                ('vif = ["backend=dom1"]', "vif", "an embedded domain has its backend on this host"),
                ('vif = ["bridge=abcdefghijklmnop"]', "vif", "bridge= is too long for an interface"),
                ('vif = ["bridge=a/b"]', "vif", "bridge= is no name of an interface"),
                ('vif = ["bridge"]', "vif", "must be key=value, separated by commas"),
                ('disk = ["nonsense"]', "disk", "cannot be read"),
                ('disk = ["format=qcow2,vdev=xvda,target=/x"]', "disk", "must have format=raw")]:
            with self.subTest(line):
                kept = [good for good in self.GOOD if good.split()[0] != line.split()[0]]
                self.refuse(kept + [line], f"DIR/x.cfg: {key}: {why}")

    def test_no_text(self):
        self.file("x.cfg", 'name = "a\0b"\n')
        self.transcript("""\
            $ hv create DIR/x.cfg
            ! hv: DIR/x.cfg is no domain file: it has a zero byte.
            !   Give the path of a domain file.
            = 1
            """)
        self.file("x.cfg", "").write_bytes("\n".join(self.GOOD + ['extra = "caf\xe9"']).encode("latin-1") + b"\n")
        self.transcript("""\
            $ hv create DIR/x.cfg
            ! hv: DIR/x.cfg: extra: is no UTF-8.
            !   Correct the domain file; xl.cfg(5) has the syntax.
            = 1
            """)

    def test_not_for_embedded(self):
        self.refuse(self.GOOD + ['type = "pvh"'], "DIR/x.cfg: type: the embedded hypervisor cannot run a `pvh' domain",
                    fix='Create it on a Xen host, or set type="embedded"')

    def test_bad_syntax_has_its_line(self):
        self.refuse(self.GOOD + ["extra = ledger"], "DIR/x.cfg:4: config parsing error near `ledger': syntax error, "
                    "unexpected IDENT, expecting STRING or NUMBER or '['")

    def test_missing_kernel(self):
        name, _, memory = self.GOOD
        self.refuse([name, memory, 'kernel = "nosuch"'], "no guest named `nosuch' ships with lifeboat",
                    fix="Give one of ledger, pong, or a path with a slash")
        self.refuse([name, memory, 'kernel = "/nonexistent/kernel"'],
                    "cannot read the kernel /nonexistent/kernel: No such file or directory",
                    fix="Correct kernel= in the domain file")

    def test_kernel_that_is_none(self):
        name, _, memory = self.GOOD
        self.refuse([name, memory, f'kernel = "{self.host.dir}"'], "the kernel DIR is no file of 1 byte to 64 MiB",
                    fix="Correct kernel= in the domain file")
        self.refuse([name, memory, f'kernel = "{self.host.dir}/led.cfg"'], "the kernel DIR/led.cfg is no ELF file",
                    fix="Give a static x86-64 ELF linked for GUEST_BASE; hypervisor/guest/guest.h describes it")

    def test_missing_disk(self):
        self.refuse(self.GOOD + ['disk = ["/nonexistent/disk,raw,xvda,w"]'],
                    "cannot use disk /nonexistent/disk on this host: No such file or directory",
                    fix="Make the file, or change disk= in the domain file")

    @unittest.skipIf(os.geteuid() != 0, "without root no vif gets as far as its bridge")
    def test_missing_bridge(self):
        self.refuse(self.GOOD + ['vif = ["bridge=lbtnosuch,model=e1000"]'],
                    "DIR/x.cfg: vif: `model' has no effect on an embedded domain",
                    "bridge `lbtnosuch' does not exist on this host",
                    fix="Create it: ip link add lbtnosuch type bridge && ip link set lbtnosuch up; "
                        "or change vif= in the domain file")


class Console(Case):
    def setUp(self):
        self.host.hv("create", self.host.dir / "led.cfg")

    def read_until(self, fd, what, seconds=20):
        seen, end = b"", time.monotonic() + seconds
        while what not in seen:
            ready, _, _ = select.select([fd], [], [], max(0, end - time.monotonic()))
            if not ready:
                self.fail(f"no {what!r} on the console, but {seen!r}")
            seen += os.read(fd, 4096)
        return seen

    def test_leave_by_escape(self):
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        before = termios.tcgetattr(slave)
        console = subprocess.Popen(self.host.command("hv", "console", "led"), env=self.host.env(), stdin=slave,
                                   stdout=slave, stderr=slave)
        self.addCleanup(harness.end_process, console)
        self.read_until(master, b"ledger: tick ")
        self.assertEqual(termios.tcgetattr(slave)[3] & (termios.ICANON | termios.ECHO | termios.ISIG), 0)
        os.write(master, b"abc\x03\r")  # for the guest, Ctrl-C too
        self.read_until(master, b"ledger: tick ")
        os.write(master, b"more\x1d")
        self.assertEqual(console.wait(10), 0)
        self.assertEqual(termios.tcgetattr(slave), before)
        os.close(slave)
        self.assertEqual(self.ticking()["state"], "running")

    def test_two_readers_see_it_from_the_start(self):
        readers = [self.host.popen("hv", "console", "led") for _ in range(2)]
        self.ticking()
        self.host.hv("destroy", "led")
        for reader in readers:
            out, err = reader.communicate(timeout=20)
            self.assertEqual((reader.returncode, err), (0, ""))
            self.assertTrue(out.startswith("ledger: 6553 pages, 1310 in the working set, 2000 written a second, "
                                           "LIFEBOAT-MARKER-"), out)
            self.assertIn("ledger: tick 1 pages 6553 verified ", out)

    def test_ends_when_the_domain_powers_off(self):
        reader = self.host.popen("hv", "console", "led")
        self.ticking()
        self.host.hv("shutdown", "led")
        out, _ = reader.communicate(timeout=20)
        self.assertEqual(reader.returncode, 0)
        self.assertRegex(out.splitlines()[-1], r"^ledger: final tick \d+, pages 6553, written \d+, faults 0$")

    def test_reader_that_goes_harms_nobody(self):
        reader = self.host.popen("hv", "console", "led")
        reader.stdout.readline()
        harness.end_process(reader)
        reader.communicate()
        self.ticking()


class Lifeboatd(Case):
    def bad(self, text, sentence):
        self.file("bad.conf", text)
        self.transcript(f"$ lifeboatd -n -c DIR/bad.conf\n! lifeboatd: DIR/bad.conf:{sentence}.\n"
                        "!   Correct that line; lifeboat.conf(5) lists every key.\n= 1\n")

    def test_help(self):
        self.transcript("""\
            $ lifeboatd --help
            Usage: lifeboatd [OPTION...]
            The lifeboat daemon of a host: accepts domains from its peers and moves its
            own.

              -c, --config=FILE          Read FILE instead of /etc/lifeboat/lifeboat.conf
              -n, --check                Check the config and end
                  --show-key             Print this host's public key, made on first use,
                                         and end
              -?, --help                 Give this help list
                  --usage                Give a short usage message
              -V, --version              Print program version

            Mandatory or optional arguments to long options are also mandatory or optional
            for any corresponding short options.
            = 0
            $ lifeboatd --version
            lifeboatd 0.1
            = 0
            """)

    def test_usage_errors(self):
        self.transcript("""\
            $ lifeboatd start
            ! lifeboatd: unexpected argument 'start'
            ! Try `lifeboatd --help' or `lifeboatd --usage' for more information.
            = 2
            $ lifeboatd --nosuch
            ! BUILD/lifeboatd: unrecognized option '--nosuch'
            ! Try `lifeboatd --help' or `lifeboatd --usage' for more information.
            = 2
            $ lifeboatd --config
            ! BUILD/lifeboatd: option '--config' requires an argument
            ! Try `lifeboatd --help' or `lifeboatd --usage' for more information.
            = 2
            """)

    def test_good_configuration(self):
        self.transcript("""\
            $ lifeboatd -n
            DIR/lifeboat.conf: good, host hosta, port PORT, 1 peer
            = 0
            """)
        self.file("one.conf", f'host = "x"\npeer b {{ address = "192.0.2.1" key = "{self.host.key}" }}\n')
        self.transcript("""\
            $ lifeboatd --check --config=DIR/one.conf
            DIR/one.conf: good, host x, port PORT, 1 peer
            = 0
            """)

    def test_bad_configuration(self):
        self.bad('host = "a"\nnosuch = 1\n', "2: no such option 'nosuch'")
        self.bad("port = 70000\n", "1: port must lie between 1 and 65535, not 70000")
        self.bad('\n\nhost = "a b"\n', "3: 'a b' is no host name")
        self.bad("max_downtime = 0\n", "1: max_downtime must lie between 1 and 3600000, not 0")
        self.bad('dirty_tracking = "x"\n', "1: dirty_tracking must be auto, pagemap or compare, not 'x'")
        self.bad('on_no_converge = "wait"\n', "1: on_no_converge must be abort, throttle or stop, not 'wait'")
        self.bad('bwlimit = "fast"\n', "1: bwlimit must be a rate of 128K to 1024G a second, as 100M (MiB), 100MB or "
                 "800mbit, or 0 for none, not 'fast'")
        self.bad('peer b {\n address = "192.0.2.1"\n key = "zz"\n}\n', "4: peer b needs a key of 44 characters, "
                 "as 'lifeboatd --show-key' prints it there")
        self.bad(f'peer b {{\n key = "{self.host.key}"\n}}\n', "3: peer b needs an address")

    def test_no_configuration(self):
        self.transcript("""\
            $ lifeboatd -n -c DIR/nosuch.conf
            ! lifeboatd: cannot read DIR/nosuch.conf: No such file or directory.
            !   Name a file that can be read, or unset LIFEBOAT_CONFIG.
            = 1
            """)

    def test_show_key(self):
        self.transcript("$ lifeboatd --show-key\nKEY\n= 0\n")
        self.file("new.conf", f'state_dir = "{self.host.dir}/fresh"\n')
        self.transcript("""\
            $ lifeboatd -c DIR/new.conf --show-key
            KEY
            ! lifeboatd: made a new host key, DIR/fresh/host.key
            = 0
            $ lifeboatd -c DIR/new.conf --show-key
            KEY
            = 0
            """)
        self.assertEqual((self.host.dir / "fresh/host.key").stat().st_mode & 0o777, 0o600)

    def test_second_daemon(self):
        self.host.start()
        self.addCleanup(self.host.stop)
        text = self.host.config.read_text().replace(f"port = {self.host.port}", f"port = {harness.free_port()}")
        self.file("second.conf", text)
        self.transcript("""\
            $ lifeboatd
            ! lifeboatd: cannot listen on 127.0.0.1 port PORT: Address already in use.
            !   Is another lifeboatd running? Set port or listen in the config otherwise.
            = 1
            """)
        result = self.host.run("lifeboatd", "-c", self.host.dir / "second.conf", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, r"^lifeboatd: a lifeboatd already serves \S+/run/lifeboatd\.sock\.\n  .*\n$")
        self.assertIsNone(self.host.daemon.poll())

    def test_port_is_had_a_moment_longer(self):
        """By a child of a daemon that was killed."""
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", self.host.port))
            taken.listen()
            threading.Timer(0.5, taken.close).start()
            self.addCleanup(self.host.stop)
            self.host.start()

    def test_port_in_use(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            self.file("taken.conf", f'listen = "127.0.0.1"\nport = {taken.getsockname()[1]}\n'
                      f'run_dir = "{self.host.dir}/r"\nstate_dir = "{self.host.dir}/state"\n')
            self.transcript("""\
                $ lifeboatd -c DIR/taken.conf
                ! lifeboatd: cannot listen on 127.0.0.1 port PORT: Address already in use.
                !   Is another lifeboatd running? Set port or listen in the config otherwise.
                = 1
                """)

    def test_ends_on_request(self):
        self.host.start()
        daemon = self.host.daemon
        self.host.stop()
        self.assertEqual(daemon.returncode, 0)
        self.assertFalse((self.host.dir / "run/lifeboatd.sock").exists())


class Migrate(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.world.a.start()
        cls.world.b.start()

    def create(self):
        self.host.hv("create", self.host.dir / "led.cfg")
        self.ticking()

    def test_help(self):
        self.transcript("""\
            $ migrate --help
            Usage: migrate [OPTION...] DOMAIN HOST
              or:  migrate [OPTION...] move DOMAIN HOST
              or:  migrate [OPTION...] cancel DOMAIN
              or:  migrate [OPTION...] status
              or:  migrate [OPTION...] resolve [DOMAIN]
              or:  migrate [OPTION...] claim DOMAIN
            Move a running domain of this host to the peer HOST; it keeps running.

                  --bwlimit=RATE         Send at most RATE a second while the guest runs:
                                         100M (MiB), 100MB, 800mbit (config: bwlimit)
              -c, --config=FILE          Read FILE instead of /etc/lifeboat/lifeboat.conf
                  --estimate             Watch the domain and try the link for a few
                                         seconds, and say how a move would go; change
                                         nothing
                  --force                Move in spite of risks; blockers still stop it
                  --json                 Print the summary, or the error, as JSON
                  --max-downtime=MS      Aim at a pause of at most MS milliseconds (config:
                                         max_downtime)
              -n, --check, --dry-run     List all that stands in the way on both hosts;
                                         change nothing
                  --on-no-converge=WHAT  When the guest dirties memory as fast as the link
                                         takes it: abort, throttle, or stop (config:
                                         on_no_converge)
                  --pause                Not live: say how long the guest will stand still,
                                         then send all of it
              -q, --quiet                No progress, only the summary
                  --streams=N            Send pages on up to N links at once, 1 to 8; with
                                         a bwlimit one is enough (config: streams)
                  --timeout=SECS         Cancel it unless it is handed over within SECS
                                         seconds
                  --yes                  With claim: you know what it means
              -?, --help                 Give this help list
                  --usage                Give a short usage message
              -V, --version              Print program version

            Mandatory or optional arguments to long options are also mandatory or optional
            for any corresponding short options.

            status shows who owns what, by this host's journals. resolve finishes or rolls
            back what a crash or a cut left open; lifeboatd does so by itself, too. claim
            decides on your word that the other host is dead. move is for a domain with the
            name of such a word.

            Ctrl-C, and cancel from anywhere on this host, end a move that is under way:
            the domain runs on here. Exit status: 0 moved, 1 failed and the domain runs
            here, 2 usage.
            = 0
            $ migrate --version
            migrate 0.1
            = 0
            """)

    def test_usage_errors(self):
        hint = "! Try `migrate --help' or `migrate --usage' for more information.\n= 2\n"
        for line, sentence in [
                ("", "migrate: which domain, and to which host?"),
                ("led", "migrate: which domain, and to which host?"),
                ("led hostb hostc", "migrate: one domain and one host, please"),
                ("status led", "migrate: status takes no word after it"),
                ("claim", "migrate: claim which domain?"),
                ("move led", "migrate: move which domain, and to which host?"),
                ("resolve one two", "migrate: one domain, please"),
                ("--max-downtime=0 led hostb", "migrate: --max-downtime takes 1 to 3600000 milliseconds, not '0'"),
                ("--max-downtime 5s led hostb", "migrate: --max-downtime takes 1 to 3600000 milliseconds, not '5s'"),
                ("--timeout=0 led hostb", "migrate: --timeout takes 1 to 604800 seconds, not '0'"),
                ("--bwlimit 100 led hostb", "migrate: --bwlimit takes a rate of 128K to 1024G a second, as 100M (MiB), "
                 "100MB or 800mbit, or 0 for none, not '100'"),
                ("--on-no-converge=wait led hostb",
                 "migrate: --on-no-converge takes abort, throttle or stop, not 'wait'"),
                ("cancel", "migrate: cancel which domain?"),
                ("--nosuch led hostb", "BUILD/migrate: unrecognized option '--nosuch'")]:
            self.transcript(f"$ {f'migrate {line}'.strip()}\n! {sentence}\n{hint}")

    def test_journals(self):
        world = harness.World(self.options, self.options)  # that nothing has moved in
        self.addCleanup(world.close)
        self.transcript("""\
            $ migrate status
            Name                     State        Term  Owner  Peer             Since
            = 0
            $ migrate --json status
            []
            = 0
            $ migrate resolve
            = 0
            $ migrate resolve nosuch
            ! migrate: this host has no journal of a domain 'nosuch'.
            !   'migrate status' shows them.
            = 1
            $ migrate --json resolve
            []
            = 0
            $ migrate --json resolve nosuch
            {
              "event": "error",
              "what": "this host has no journal of a domain 'nosuch'",
              "fix": "'migrate status' shows them"
            }
            = 1
            $ migrate --yes claim nosuch
            ! migrate: this host has no journal of a domain 'nosuch'.
            !   'migrate status' shows them.
            = 1
            """, world.a)
        self.create()
        self.host.migrate("--quiet", "led", "hostb")
        row = r"(?m)^led +%s +\d+  %s +%s +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$"
        self.assertRegex(self.host.migrate("status").stdout, row % ("GONE", "there", "hostb"))
        self.assertRegex(self.world.b.migrate("status").stdout, row % ("OWNER", "here", "hosta"))
        entry, = json.loads(self.host.migrate("--json", "status").stdout)
        self.assertEqual(list(entry), JOURNAL_KEYS)

    def test_nothing_to_cancel(self):
        self.transcript("""\
            $ migrate cancel led
            ! migrate: no move of 'led' from this host is under way.
            !   'migrate status' shows what is open.
            = 1
            $ migrate cancel ../led
            ! migrate: '../led' is no domain name.
            !   'hv list' shows the domains.
            = 1
            """)

    def test_dry_run(self):
        self.create()
        self.transcript("""\
            $ migrate --dry-run led hostb
            led can move to hostb; nothing was changed
            = 0
            $ migrate -n led hostc
            ! migrate: hosta: no peer 'hostc' is configured on this host.
            !   Add it to DIR/lifeboat.conf with its address and its key, or correct the name.
            = 1
            """)
        result = json.loads(self.host.migrate("--dry-run", "--json", "led", "hostb").stdout)
        self.assertEqual((result["event"], result["domain"], result["to"]), ("result", "led", "hostb"))
        self.assertEqual(self.world.where("led"), ["hosta"])

    def test_summary(self):
        self.create()
        out = self.host.migrate("led", "hostb").stdout
        number = r"\d+(?:\.\d+)?"
        self.assertRegex(out, re.compile(
            r"led: copying, round 0, \d+ pages left, 0\.0 MB/s, dirty 0 pages/s, ETA unknown\n"
            rf"(led: [a-z ]+, round \d+, \d+ pages left, {number} MB/s, dirty \d+ pages/s, ETA (unknown|{number} s)\n)+"
            r"led runs on hostb\n"
            rf"  total      {number} s\n"
            r"  downtime   \d+ ms \(suspend \d+, last round \d+, build \d+, commit \d+, activate \d+\)\n"
            r"  rounds     \d+, \d+ pages\n"
            r"  memory     32\.0 MiB\n"
            rf"  wire       {number} MiB, [A-Za-z0-9-]+\n"
            rf"  verified   \d+ pages, in {number} ms here and {number} ms there\n\Z"))
        quiet = self.world.b.migrate("--quiet", "led", "hosta").stdout
        self.assertTrue(quiet.startswith("led runs on hosta\n  total "), quiet)
        self.assertEqual(len(quiet.splitlines()), 7)

    def test_json(self):
        self.create()
        out = self.host.migrate("--json", "led", "hostb").stdout
        self.assertEqual(list(json.loads(out)), SUMMARY_KEYS)
        self.assertEqual(list(json.loads(out)["pause"]), PAUSE_KEYS)
        error = self.host.migrate("--json", "led", "hostb", check=False)
        self.assertEqual((error.returncode, error.stderr), (1, ""))
        self.assertEqual(list(json.loads(error.stdout)), ["event", "what", "fix"])

    def test_no_daemon(self):
        self.file("alone.conf", f'run_dir = "{self.host.dir}/nosuch"\n')
        self.transcript("""\
            $ migrate -c DIR/alone.conf led hostb
            ! migrate: lifeboatd does not run on this host (DIR/nosuch/lifeboatd.sock): No such file or directory.
            !   Start it: systemctl start lifeboatd.
            = 1
            """)

    def test_bad_configuration(self):
        self.file("bad.conf", "prot = 1\n")
        self.transcript("""\
            $ migrate -c DIR/bad.conf led hostb
            ! migrate: DIR/bad.conf:1: no such option 'prot'.
            !   Correct that line; lifeboat.conf(5) lists every key.
            = 1
            """)


class Nobody(harness.Host):
    """A host without any privilege, with copies of the programs where it may read them."""
    UID = 65534

    @property
    def build(self):
        return self.world.dir / "bin" if os.geteuid() == 0 else harness.BUILD

    def make_dir(self):
        super().make_dir()
        if os.geteuid() != 0:
            return
        os.chmod(self.world.dir, 0o755)
        os.chown(self.dir, self.UID, self.UID)
        if not self.build.exists():
            self.build.mkdir()
            names = ["hv", "lifeboatd", "migrate", "ledger", "pong"]
            for path in [harness.BUILD / name for name in names] + list(harness.BUILD.glob("lifeboat-*")):
                if path.is_file():
                    shutil.copy2(path, self.build / path.name)

    def command(self, program, *args):
        become = ["setpriv", f"--reuid={self.UID}", f"--regid={self.UID}", "--clear-groups", "--inh-caps=-all",
                  "--bounding-set=-all"] if os.geteuid() == 0 else []
        return become + super().command(program, *args)


class WithoutRoot(unittest.TestCase):
    def setUp(self):
        self.world = harness.World(host=Nobody)
        self.addCleanup(self.world.close)
        self.a, self.b = self.world.__enter__().a, self.world.b

    def test_whole_life_and_a_move(self):
        self.a.create(memory=32, extra="rate=500")
        harness.wait_ticks(self.a, "ledger")
        self.assertEqual(pathlib.Path(f"/proc/{self.a.info('ledger')['domid']}").stat().st_uid,
                         Nobody.UID if os.geteuid() == 0 else os.geteuid())
        self.assertIn("can move", self.a.migrate("--dry-run", "ledger", "hostb").stdout)
        self.a.migrate("ledger", "hostb")
        self.assertEqual(self.world.where("ledger"), ["hostb"])
        self.assertEqual(harness.wait_ticks(self.b, "ledger")["faults"], 0)
        for verb in ("pause", "unpause", "reboot", "shutdown"):
            self.b.hv(verb, "ledger")
        harness.wait_until("it is gone", lambda: not self.b.domains())

    def test_vif_says_what_it_needs(self):
        path = self.a.dir / "pong.cfg"
        path.write_text(f'name = "pong"\nkernel = "pong"\nmemory = 8\nextra = "ip=192.0.2.1"\nvif = ["mac={MAC}"]\n')
        for option in ("--dry-run", "--paused"):
            result = self.a.hv("create", option, path, check=False)
            self.assertEqual((result.returncode, result.stdout, result.stderr), (
                1, "", "hv: vifs need root or CAP_NET_ADMIN.\n"
                "  Run it as root (or with CAP_NET_ADMIN), or without vif=.\n"))

    def test_default_directory_is_not_ours(self):
        config = self.a.dir / "other.conf"
        config.write_text('hypervisor = "embedded"\nrun_dir = "/proc/lifeboat"\nstate_dir = "/proc/lifeboat"\n')
        self.a.config, own = config, self.a.config
        self.addCleanup(setattr, self.a, "config", own)
        result = self.a.hv("list", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, r"^hv: cannot make /proc/lifeboat/embedded: .*\.\n"
                         r"  Run it as root, or set run_dir to a directory of yours\.\n$")
        self.a.config = own


class Completion(Case):
    """docs/completion.bash against what the programs accept."""

    def complete(self, *words):
        script = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))\n' \
                 'f=$(complete -p "$1" | sed "s/.*-F \\([^ ]*\\).*/\\1/"); "$f" "$1" "${COMP_WORDS[COMP_CWORD]}" ""\n' \
                 'printf "%s\\n" "${COMPREPLY[@]}"'
        env = {**self.host.env(), "PATH": f"{self.host.build}:{os.environ['PATH']}"}
        result = subprocess.run(["bash", "-uc", script, "bash", ROOT / "docs/completion.bash", *words], env=env,
                                text=True, capture_output=True, cwd=self.host.dir, timeout=30)
        self.assertEqual((result.returncode, result.stderr), (0, ""), words)
        return result.stdout.split()

    def offered(self, *words):
        """The long options that --help names."""
        lines = re.findall(r"(?m)^ +((?:-\S, )?--.*)", self.host.run(*words, "--help").stdout)
        return {name for line in lines for name in re.findall(r"(?<!\S)--[a-z-]+", line.split("   ")[0])}

    def verbs(self):
        return re.findall(r"(?m)^  hv (\w+)", HV_HELP)

    def test_verbs(self):
        self.assertEqual(sorted(self.complete("hv", "")), sorted(self.verbs()))
        self.assertEqual(self.complete("hv", "un"), ["unpause"])
        for verb in self.complete("hv", ""):
            self.assertNotIn("no verb", self.host.hv(verb, "--help", check=False).stderr)

    def test_options(self):
        for verb in self.verbs():
            if verb not in ("help", "version"):
                self.assertEqual(set(self.complete("hv", verb, "--")), self.offered("hv", verb), verb)
        self.assertEqual(set(self.complete("migrate", "--")), self.offered("migrate"))
        self.assertEqual(set(self.complete("lifeboatd", "--")), self.offered("lifeboatd"))

    def test_domains(self):
        self.host.hv("create", "-p", self.host.dir / "led.cfg")
        for verb in ("info", "console", "pause", "unpause", "shutdown", "reboot", "destroy"):
            self.assertEqual(self.complete("hv", verb, ""), ["led"], verb)
            self.assertEqual(self.complete("hv", verb, "led", ""), [], verb)
        self.assertEqual(self.complete("hv", "pause", "--dry-run", "l"), ["led"])
        self.assertEqual(self.complete("hv", "pause", "x"), [])
        self.assertEqual(self.complete("hv", "list", ""), [])
        self.assertEqual(self.complete("hv", "version", ""), [])

    def test_files(self):
        self.assertIn("led.cfg", self.complete("hv", "create", ""))
        self.assertEqual(self.complete("hv", "create", "--paused", "led"), ["led.cfg"])
        for words in (("migrate", "-c"), ("migrate", "--config"), ("lifeboatd", "--config", "=")):
            self.assertEqual(self.complete(*words, "lifeboat.c"), ["lifeboat.conf"], words)

    def test_migrate(self):
        self.host.hv("create", "-p", self.host.dir / "led.cfg")
        self.host.trust(self.world.b, name="hostc")
        self.addCleanup(self.host.peers.pop)
        verbs = ["status", "resolve", "claim", "cancel", "move"]
        self.assertEqual(self.complete("migrate", ""), ["led", *verbs])
        self.assertEqual(self.complete("migrate", "status", ""), [])
        self.assertEqual(self.complete("migrate", "-c", "x", "--yes", "claim", ""), [])
        self.assertEqual(self.complete("migrate", "led", ""), ["hostb", "hostc"])
        self.assertEqual(self.complete("migrate", "led", "hostb", ""), [])
        self.assertEqual(self.complete("migrate", "--max-downtime", "300", ""), ["led", *verbs])
        self.assertEqual(self.complete("migrate", "--max-downtime", "=", "300", "--json", "led", ""),
                         ["hostb", "hostc"])
        self.assertEqual(self.complete("migrate", "--max-downtime", ""), [])
        self.assertEqual(self.complete("migrate", "--on-no-converge", ""), ["abort", "throttle", "stop"])
        self.assertEqual(self.complete("migrate", "--on-no-converge", "stop", "--bwlimit", "9M", "led", ""),
                         ["hostb", "hostc"])
        self.assertEqual(self.complete("migrate", "cancel", ""), ["led"])
        self.assertEqual(self.complete("migrate", "move", ""), ["led"])
        self.assertEqual(self.complete("migrate", "move", "led", ""), ["hostb", "hostc"])
        self.assertEqual(self.complete("migrate", "move", "led", "hostb", ""), [])
        self.assertEqual(self.complete("migrate", "cancel", "led", ""), [])


if __name__ == "__main__":
    main()
