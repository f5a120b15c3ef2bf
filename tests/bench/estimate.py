#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What 'migrate --estimate' says, beside what then happens: guests with working sets and write rates from idle to
faster than the link, over links of several rates.

    ./build.sh bench estimate [--memory MIB] [--only LINK]...

A link with a rate is the loopback of a network namespace of this process, shaped by tc's token bucket; without root
only the unlimited one and lifeboat's own limit (--bwlimit) are tried. Aim: downtime within 2x, total within 25 %.
"""
import argparse
import json
import math
import os
import pathlib
import statistics
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/e2e"), str(ROOT / "tests/bench")]
import shaped  # noqa: E402

# name, options of migrate, rate of the namespace's loopback
LINKS = [
    ("unlimited", [], None),
    ("1 Gbit/s", [], "1gbit"),
    ("300 Mbit/s", [], "300mbit"),
    ("100 Mbit/s", [], "100mbit"),
    ("--bwlimit 40M", ["--bwlimit", "40M"], None),
    ("--bwlimit 12M", ["--bwlimit", "12M"], None),
]

# name, what the guest does
GUESTS = [
    ("idle", "fill=60 wss=5 rate=20"),
    ("small and steady", "fill=60 wss=10 rate=2000"),
    ("large and slow", "fill=80 wss=60 rate=3000"),
    ("faster than most links", "fill=80 wss=30 rate=60000"),
]

def one(harness, world, options, extra, memory):
    a = world.a
    a.create(memory=memory, extra=extra)
    harness.wait_ticks(a, "ledger", seconds=60)
    said = json.loads(a.migrate("--json", "--estimate", *options, "ledger", "hostb").stdout)
    was = json.loads(a.migrate("--json", *options, "ledger", "hostb").stdout)
    faults = harness.wait_ticks(world.b, "ledger", seconds=60)["faults"]
    world.b.hv("destroy", "ledger")
    return said, was, faults


def ratio(said, was):
    return said / was if was else math.inf


def run(harness, memory, links):
    rows = []
    for name, options, rate in links:
        if rate and os.geteuid() != 0:
            print(f"{name}: left out, a shaped link needs root", file=sys.stderr)
            continue
        with shaped.link(rate), harness.World(host=shaped.host_class(harness, rate)) as world:
            for guest, extra in GUESTS:
                said, was, faults = one(harness, world, options, extra, memory)
                rows.append({"link": name, "guest": guest, "said": said, "was": was, "faults": faults})
                print(f"{name}, {guest}: total {said['total_ms']} said, {was['total_ms']} was; downtime "
                      f"{said['downtime_ms']}, {was['downtime_ms']}", file=sys.stderr, flush=True)
    return rows


def table(rows):
    print("| link | guest | total: said, was, s | ratio | downtime: said, was, ms | ratio | wire: said, was, MiB | ratio | "
          "converges: said, was |")
    print("|---|---|---|---|---|---|---|---|---|")
    for r in rows:
        s, w = r["said"], r["was"]
        did = w["downtime_ms"] <= s["max_downtime_ms"]
        print(f"| {r['link']} | {r['guest']} | {s['total_ms'] / 1000:.2f}, {w['total_ms'] / 1000:.2f} | "
              f"{ratio(s['total_ms'], w['total_ms']):.2f} | {s['downtime_ms']}, {w['downtime_ms']} | "
              f"{ratio(s['downtime_ms'], w['downtime_ms']):.2f} | {s['wire_bytes'] / 2**20:.0f}, "
              f"{w['wire_bytes'] / 2**20:.0f} | {ratio(s['wire_bytes'], w['wire_bytes']):.2f} | "
              f"{'yes' if s['converges'] else 'no'}, {'yes' if did else 'no'} |")


def verdict(rows):
    def off(key):
        return [max(ratio(r["said"][key], r["was"][key]), ratio(r["was"][key], r["said"][key])) for r in rows]
    total, downtime = off("total_ms"), off("downtime_ms")
    print(f"\n{len(rows)} runs: total within 25 % in {sum(t <= 1.25 for t in total)}, factor off in the median "
          f"{statistics.median(total):.2f}, worst {max(total):.2f}; downtime within 2x in "
          f"{sum(d <= 2 for d in downtime)}, median {statistics.median(downtime):.2f}, worst {max(downtime):.2f}; "
          f"stale or lost pages {sum(r['faults'] for r in rows)}")


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("build")
    p.add_argument("--memory", type=int, default=128)
    p.add_argument("--only", action="append", help="a link's name; may be given more than once")
    args = p.parse_args()
    os.environ["LIFEBOAT_BUILD"] = args.build
    import harness  # reads LIFEBOAT_BUILD
    rows = run(harness, args.memory, [l for l in LINKS if not args.only or l[0] in args.only])
    table(rows)
    verdict(rows)
    out = pathlib.Path(args.build) / "bench-estimate.json"
    out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
