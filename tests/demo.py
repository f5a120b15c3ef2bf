#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The main job on one machine: two hosts, a guest that checks its own memory, one move."""
import os
import pathlib
import subprocess
import sys

os.environ.setdefault("LIFEBOAT_BUILD", sys.argv[1] if len(sys.argv) > 1 else "build")
sys.path.insert(0, str(pathlib.Path(__file__).parent / "e2e"))
import harness  # noqa: E402  (needs LIFEBOAT_BUILD)

MEMORY = 512


def say(text):
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


def show(command, result):
    print(f"$ {command}")
    print(result.stdout.rstrip(), flush=True)


def main():
    with harness.World() as world:
        a, b = world.a, world.b
        say("Two hosts, hosta and hostb, on this machine. A guest on hosta that chains hashes through its memory:")
        a.create("ledger", memory=MEMORY, extra="fill=80 wss=10 rate=5000")
        harness.wait_ticks(a, "ledger")
        show("hv list                     # on hosta", a.hv("list"))
        before = a.info("ledger")

        say("Move it while it runs:")
        print("$ migrate ledger hostb", flush=True)
        status = subprocess.run([harness.BUILD / "migrate", "ledger", "hostb"], env=a.env(), check=False).returncode
        if status:
            return status

        after = harness.wait_ticks(b, "ledger", more=3)
        say("It goes on there, and not here:")
        show("hv list                     # on hosta", a.hv("list"))
        show("hv list                     # on hostb", b.hv("list"))
        print(f"\nledger: tick {before['tick']} before, {after['tick']} now; "
              f"integrity failures {after['faults']} (one lost or stale page would be counted)")
        if after["faults"] or world.where("ledger") != ["hostb"]:
            print("FAILED")
            return 1
        return 0


if __name__ == "__main__":
    sys.exit(main())
