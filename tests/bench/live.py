#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Moves of a guest that writes, over links of several rates: `migrate`, and beside it the same programs with the rule of
`xl migrate` (rounds until fewer than 50 pages are dirty, five at most) and with its pages, 4096 raw bytes each. Both
are encrypted and verified, and both postpone what is dirty in every round, which `xl` does not.

    ./build.sh bench live [--memory MIB] [--only LINK]... [--guest NAME]...

A guest writes at a share of what the link takes of raw pages, and has as much more memory as its link is faster, so that
a move is as long and of as many rounds on each. The pause's target is the default one, 300 ms.
"""
import argparse
import json
import os
import pathlib
import shutil
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/e2e"), str(ROOT / "tests/bench")]
import shaped  # noqa: E402

# name, tc's rate, raw pages a second that it takes, the guest's MiB; what loopback takes depends on the machine
LINKS = [("100 Mbit/s", "100mbit", 3000, 128), ("300 Mbit/s", "300mbit", 9000, 384), ("1 Gbit/s", "1gbit", 30000, 1280),
         ("unlimited", None, 100000, 1280)]

# name, working set in % of memory, pages it writes a second as a share of the link's
GUESTS = [("idle", 5, 0.005), ("a fifth, half the link's rate", 20, 0.5), ("a fifth, the link's rate", 20, 1.0),
          ("half of it, twice the link's rate", 50, 2.0)]
FIGURES = [("total_ms", "total, s", 1000, 2), ("downtime_ms", "pause, ms", 1, 0), ("wire_bytes", "wire, MiB", 2**20, 0)]


def rival_programs(build):
    """A directory in which lifeboat-send and lifeboat-wire are the rival's."""
    target = build / "bench-xl"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for name in ("hv", "migrate", "lifeboatd", "lifeboat-receive", "lifeboat-resolve", "lifeboat-vmm", "ledger"):
        shutil.copy2(build / name, target / name)
    for name in ("send", "wire"):
        shutil.copy2(build / f"xl-{name}", target / f"lifeboat-{name}")
    return target


def one(harness, world, extra, memory):
    world.a.create(memory=memory, extra=extra)
    harness.wait_ticks(world.a, "ledger", seconds=60)
    done = world.a.migrate("--json", "ledger", "hostb", timeout=600)
    was = json.loads(done.stdout)
    was["said"] = done.stderr.strip()  # of a pause over its target, beforehand
    was["faults"] = harness.wait_ticks(world.b, "ledger", seconds=60)["faults"]
    world.b.hv("destroy", "ledger")
    return {k: was[k] for k in ("total_ms", "downtime_ms", "wire_bytes", "rounds", "faults", "streams", "said")}


def ratio(row, key):
    return round(row["migrate"][key] / row["xl rule"][key], 3) if row["xl rule"][key] else 1.0


def run(harness, args):
    programs = {"migrate": None, "xl rule": rival_programs(pathlib.Path(args.build).resolve())}
    rows = []
    for link, rate, takes, memory in LINKS:
        if args.only and link not in args.only:
            continue
        if rate and os.geteuid() != 0:
            print(f"{link}: left out, a shaped link needs root", file=sys.stderr)
            continue
        for guest, wss, share in GUESTS:
            if args.guest and guest not in args.guest:
                continue
            row = {"link": link, "guest": guest}
            for how, where in programs.items():
                with shaped.link(rate), harness.World(host=shaped.host_class(harness, rate, where)) as world:
                    row[how] = one(harness, world, f"fill=60 wss={wss} rate={max(1, int(takes * share))}", args.memory or memory)
            row["ratios"] = {key: ratio(row, key) for key, *_ in FIGURES}
            rows.append(row)
            print(f"{link}, {guest}: " + "; ".join(
                f"{how} {row[how]['total_ms']} ms, pause {row[how]['downtime_ms']} ms, {row[how]['wire_bytes'] >> 20} MiB"
                for how in programs), file=sys.stderr, flush=True)
    return rows


def table(rows):
    print("| link | working set, rate | " + " | ".join(f"{title}: `migrate`, xl rule" for _, title, _, _ in FIGURES) + " |")
    print("|---" * (len(FIGURES) + 2) + "|")
    for r in rows:
        cells = []
        for key, _, scale, digits in FIGURES:
            ours, theirs = r["migrate"][key] / scale, r["xl rule"][key] / scale
            cells.append(f"{ours:.{digits}f}, {theirs:.{digits}f}: {r['ratios'][key]:.2f}x")
        print(f"| {r['link']} | {r['guest']} | " + " | ".join(cells) + " |")
    print("\nSaid beforehand:")
    for r in rows:
        if r["migrate"]["said"]:
            print(f"{r['link']}, {r['guest']}: {r['migrate']['said']}")
    print(f"\nStale or lost pages in all {2 * len(rows)} moves: {sum(r[how]['faults'] for r in rows for how in ('migrate', 'xl rule'))}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--memory", type=int, metavar="MIB", help="of each guest")
    parser.add_argument("--only", action="append", choices=[link[0] for link in LINKS], metavar="LINK")
    parser.add_argument("--guest", action="append", choices=[name for name, _, _ in GUESTS], metavar="NAME")
    args = parser.parse_args()
    os.environ["LIFEBOAT_BUILD"] = args.build
    import harness  # reads LIFEBOAT_BUILD
    rows = run(harness, args)
    table(rows)
    (pathlib.Path(args.build) / "bench-live.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
