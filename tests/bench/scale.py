#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests of 128 MiB to 16 GiB on the embedded hypervisor: time for each GiB of their contents, and what lifeboat's own
programs need of memory for it. The guest's memory and the shared slots in which pages travel are not counted in that
(RssShmem); all else is (RssAnon, RssFile, at their highest).

    ./build.sh bench scale [--up-to GIB]
"""
import argparse
import json
import os
import pathlib
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/e2e"), str(ROOT / "tests/bench")]

SIZES = [128, 256, 512, 1024, 2048, 4096, 8192, 16384]
FILL = 33  # % of the guest's memory that has contents: both copies of 16 GiB fit on 24 GiB
ENGINES = {"lifeboat-send": "source", "lifeboat-receiv": "destination", "lifeboat-wire": "wire"}


class Watch(threading.Thread):
    """The most that each kind of program had, in KiB, for as long as the block lasts."""

    def __init__(self):
        super().__init__(daemon=True)
        self.most, self.end = {}, False

    def look(self):
        for entry in pathlib.Path("/proc").iterdir():
            try:
                name = (entry / "comm").read_text().strip() if entry.name.isdigit() else None
                if name in ENGINES:
                    fields = dict(line.split(":", 1) for line in (entry / "status").read_text().splitlines())
                    own = sum(int(fields[k].split()[0]) for k in ("RssAnon", "RssFile"))
                    self.most[ENGINES[name]] = max(self.most.get(ENGINES[name], 0), own)
            except (OSError, KeyError):
                continue

    def run(self):
        while not self.end:
            self.look()
            time.sleep(0.02)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.end = True
        self.join()


def available_mib():
    with open("/proc/meminfo", encoding="ascii") as f:
        return next(int(line.split()[1]) >> 10 for line in f if line.startswith("MemAvailable"))


def one(harness, memory):
    with harness.World() as world:
        world.a.create(memory=memory, extra=f"fill={FILL} wss=1 rate=500")
        harness.wait_ticks(world.a, "ledger", more=1, seconds=600)
        with Watch() as watch:
            was = json.loads(world.a.migrate("--json", "ledger", "hostb", timeout=900).stdout)
        faults = harness.wait_ticks(world.b, "ledger", more=1, seconds=600)["faults"]
    return {"memory_mib": memory, "total_ms": was["total_ms"], "downtime_ms": was["downtime_ms"], "pages": was["verify"]["pages"],
            "wire_bytes": was["wire_bytes"], "faults": faults, "own_kib": watch.most}


def table(rows):
    print("| guest, MiB | contents, MiB | total, s | s for each GiB of contents | pause, ms | source, MiB | destination, MiB | each wire, MiB |")
    print("|---" * 8 + "|")
    for r in rows:
        contents = r["pages"] / 256
        own = " | ".join(f"{r['own_kib'].get(k, 0) / 1024:.1f}" for k in ("source", "destination", "wire"))
        print(f"| {r['memory_mib']} | {contents:.0f} | {r['total_ms'] / 1000:.2f} | {r['total_ms'] / 1000 / (contents / 1024):.2f} | "
              f"{r['downtime_ms']} | {own} |")
    print(f"\nStale or lost pages: {sum(r['faults'] for r in rows)}")


def has_room(need):
    """The kernel takes its time over what the last guest had: as long as more comes, wait."""
    before = 0
    while before < (now := available_mib()) < need:
        before = now
        time.sleep(2)
    return now >= need


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--up-to", type=float, default=16, metavar="GIB")
    args = parser.parse_args()
    os.environ["LIFEBOAT_BUILD"] = args.build
    import harness  # reads LIFEBOAT_BUILD
    rows = []
    for memory in SIZES:
        need = memory * (1 + FILL / 100 * 1.1)  # the destination takes no guest for all of which it has no memory
        if memory > args.up_to * 1024:
            continue
        if not has_room(need):
            print(f"{memory} MiB: left out, it needs {need:.0f} MiB on this machine, {available_mib()} are available")
            continue
        rows.append(one(harness, memory))
        print(rows[-1], file=sys.stderr, flush=True)
    table(rows)
    (pathlib.Path(args.build) / "bench-scale.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
