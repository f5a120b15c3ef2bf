#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""`migrate` and `xl migrate` in turn, of the same PVH guest between the two real Xen hosts of the lab, in one run.

    ./build.sh bench lab [--load NAME]... [--turns N]

Each load in turn: once each way by each of the two, N times. Bytes are all that passes the link meanwhile, DRBD's
included; totals are by the clock of whoever started it, login on the host included; dom0's processor time is that of
both hosts, by the hypervisor's account.
"""
import argparse
import contextlib
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/lab"), str(ROOT / "tests/e2e")]
os.environ.setdefault("LIFEBOAT_BUILD", str(ROOT / "build"))
from labtest import HERE, OTHER, Lab, Wire, lab, on, until  # noqa: E402

# name, what the guest's proof of its memory and disk does, whether clients keep it busy
LOADS = [
    ("idle", "lab.proof.rate=1 lab.proof.verify=16 lab.proof.disk_ms=30000", False),
    ("web server", "lab.proof.rate=64 lab.proof.verify=64 lab.proof.disk_ms=1000", True),
    ("memory thrasher", "lab.proof.mib=64 lab.proof.rate=4000 lab.proof.verify=64 lab.proof.disk_ms=1000", False),
]
FETCH = "while :; do curl -s -o /dev/null -m 2 http://{0}/status || sleep 0.1; done"
FIGURES = [("total_ms", "total, s", 1000, 1), ("gap_ms", "client's gap, s", 1000, 1), ("wire_bytes", "on the wire, MB", 1e6, 0),
           ("dom0_s", "dom0's processors, s", 1, 1)]
PARTS = ("suspend", "last_round", "build", "commit", "activate")


def dom0_s():
    """Processor seconds of both hosts' dom0."""
    return sum(float(re.search(r"^Domain-0\s.*\s([\d.]+)$", on(h, "xl", "list").stdout, re.M)[1]) for h in "ab")


class Guest(Lab):
    """Not a test: the lab's guest with a load, to be moved."""

    def runTest(self):
        pass

    def stop(self):
        on(self.at, "xl", "destroy", self.name)
        until("its disk is let go", lambda: on(self.at, "drbdadm", "secondary", self.name, check=False).returncode == 0)

    def by_migrate(self, to):
        with Wire() as wire:
            summary = self.move(to)
        return {**summary, "total_ms": summary["wall_ms"], "wire_bytes": wire.bytes}

    def measure(self, how, to):
        before = dom0_s()
        result = {"migrate": self.by_migrate, "xl": self.move_by_xl}[how](to)
        result["dom0_s"] = dom0_s() - before
        self.wait_for_drbd()
        print(f"# {how} to host {to}: {result['total_ms'] / 1000:.1f} s, gap {result['gap_ms'] / 1000:.1f} s, "
              f"{result['wire_bytes'] / 1e6:.0f} MB, dom0 {result['dom0_s']:.1f} s", flush=True)
        return {k: result[k] for k in ("total_ms", "downtime_ms", "gap_ms", "wire_bytes", "dom0_s", "pause") if k in result}


@contextlib.contextmanager
def fetching(address, busy):
    process = subprocess.Popen([HERE / "lab", "client", "--", "sh", "-c", FETCH.format(address)], start_new_session=True,
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) if busy else None
    try:
        yield
    finally:
        if process:
            os.killpg(process.pid, 15)
            process.wait()


def run(guest, words, busy, turns):
    runs = {"migrate": [], "xl": []}
    guest.boot(words)
    type(guest).at = "a"
    with fetching(guest.address, busy):
        for turn in range(turns):
            # Each goes each way, and neither is always the first.
            for how in ("migrate", "xl", "xl", "migrate") if turn % 2 == 0 else ("xl", "migrate", "migrate", "xl"):
                runs[how].append(guest.measure(how, OTHER[guest.at]))
    guest.stop()
    runs["ratios"] = {key: round(median(runs, "migrate", key) / median(runs, "xl", key), 3) for key, *_ in FIGURES}
    return runs


def median(runs, how, key):
    return statistics.median(r[key] for r in runs[how])


def table(loads):
    print("\nMedian of each; then `migrate` as a multiple of `xl migrate`.\n")
    print("| load | " + " | ".join(f"{title}: `migrate`, `xl`" for _, title, _, _ in FIGURES) + " | moves |")
    print("|---" * (len(FIGURES) + 2) + "|")
    for name, runs in loads.items():
        cells = []
        for key, _, scale, digits in FIGURES:
            ours, theirs = (median(runs, how, key) / scale for how in ("migrate", "xl"))
            cells.append(f"{ours:.{digits}f}, {theirs:.{digits}f}: {runs['ratios'][key]:.2f}x")
        print(f"| {name} | " + " | ".join(cells) + f" | {len(runs['xl'])} each |")


def parts(loads):
    """Where the time of `migrate`'s pauses went."""
    print("\n| load | the pause, ms | of it: " + " | ".join(PARTS) + " |")
    print("|---" * (len(PARTS) + 2) + "|")
    for name, runs in loads.items():
        cells = [f"{r['downtime_ms']} | " + " | ".join(str(r["pause"][f"{p}_ms"]) for p in PARTS) for r in runs["migrate"]]
        print("\n".join(f"| {name} | {c} |" for c in cells))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--load", action="append", choices=[name for name, _, _ in LOADS], help="only this one")
    parser.add_argument("--turns", type=int, default=1, metavar="N", help="two moves by each of the two, N times (default 1)")
    args = parser.parse_args()
    Guest.setUpClass()
    guest, loads = Guest(), {}
    guest.stop()
    for name, words, busy in LOADS:
        if not args.load or name in args.load:
            print(f"# {name}", flush=True)
            loads[name] = run(guest, words, busy, args.turns)
    lab("down")
    (ROOT / "build/bench-lab.json").write_text(json.dumps(loads, indent=1), encoding="utf-8")
    table(loads)
    parts(loads)


if __name__ == "__main__":
    main()
