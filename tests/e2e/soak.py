#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Hand-overs under fault after fault, for as long as asked: guests of the embedded hypervisor move to and fro
between pairs of hosts on this machine while processes are killed and frozen, disks are full and links are cut, at
every journalled step and anywhere in the stream. After each round, by itself and without an operator, exactly one
copy of each guest must run, with its proof whole. Never may two run, at any time: that is looked for while it goes
on, and afterwards in both hosts' journals.

The faults follow from the seed: what a run met, its seed meets again (but for the machine's timing)."""
import argparse
import collections
import contextlib
import json
import os
import pathlib
import random
import signal
import statistics
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import harness  # noqa: E402

# Each rule's steps (migrate/handover.c) and, as 3, its end. What comes only after a fault stands in LATER.
SOURCE = {"PREP": (0, 3), "SUSPENDED": (0, 3), "QUIESCED": (0, 1, 3), "CEDED": (0, 1, 2, 3), "GONE": (0, 1, 2, 3)}
DESTINATION = {"BUILDING": (0, 3), "READY": (0, 1, 3), "OWNER": (0, 1, 2, 3)}
LATER = {"ABORTED": (0, 1, 2, 3), "KEPT": (0, 1, 3), "REFUSED": (0, 1, 2, 3), "OWNER": (1, 2, 3), "GONE": (0, 1, 2, 3)}
JOURNAL = ["PREP.0", "SUSPENDED.0", "QUIESCED.0", "CEDED.1", "GONE.1", "BUILDING.0", "READY.0", "OWNER.0"]
# migrate/journal.h: 256 bytes a record; state at 8, token at 32, all zeros where none was written yet.
RECORD, STATE_AT, TOKEN = 256, 8, slice(32, 48)
STATES = ["NONE", "PREP", "SUSPENDED", "QUIESCED", "CEDED", "GONE", "ABORTED", "BUILDING", "READY", "OWNER", "REFUSED",
          "KEPT", "CLAIMED"]
SETTLE_S = 120  # an operator would have lost patience
STREAM_BYTES = 12_000_000
HANDSHAKE_BYTES = 600  # and what asks for the place of a link that was lost


def points(table):
    return [f"{state}.{step}" for state, steps in table.items() for step in steps]


class Failure(Exception):
    """A promise was broken; what, and how it looked."""


class Figures:
    def __init__(self):
        self.lock = threading.Lock()
        self.runs = self.double_runs = self.lost_guests = self.operator_needed = self.moved = self.bad_proofs = 0
        self.faults = collections.Counter()
        self.steps = collections.Counter()
        self.settle = []

    def fault(self, kind, point=None):
        with self.lock:
            self.faults[kind] += 1
            if point:
                self.steps[f"{kind} {point}"] += 1

    def as_json(self, args, seconds):
        times = sorted(self.settle) or [0]
        return {"seed": args.seed, "worlds": args.worlds, "guests": args.guests, "seconds": round(seconds),
                "runs": self.runs, "moved": self.moved, "faults": sum(self.faults.values()),
                "faults_by_kind": dict(sorted(self.faults.items())), "faults_by_step": dict(sorted(self.steps.items())),
                "double_runs": self.double_runs, "lost_guests": self.lost_guests, "bad_proofs": self.bad_proofs,
                "operator_needed": self.operator_needed,
                "settle_s": {"p50": round(statistics.median(times), 1), "max": round(times[-1], 1)}}


def text_of(f):
    lines = [f"seed {f['seed']}, {f['worlds']} pairs of hosts with {f['guests']} guests each, {f['seconds']} s",
             f"  runs             {f['runs']} ({f['moved']} of them ended as a move)",
             f"  faults           {f['faults']}"]
    lines += [f"    {kind:14} {count}" for kind, count in f["faults_by_kind"].items()]
    lines += [f"  steps hit        {len(f['faults_by_step'])} kinds of fault and step",
              f"  double runs      {f['double_runs']}", f"  lost guests      {f['lost_guests']}",
              f"  bad proofs       {f['bad_proofs']}", f"  operator needed  {f['operator_needed']}",
              f"  time to settle   p50 {f['settle_s']['p50']} s, max {f['settle_s']['max']} s"]
    return "\n".join(lines)


class Pair:
    """Two hosts, a relay each way, some guests; its rounds follow from its own random numbers."""

    def __init__(self, args, number, figures):
        self.rng = random.Random(f"{args.seed}.{number}")
        self.figures = figures
        tracking = ('dirty_tracking = "compare"',) if number % 2 else ()
        self.world = harness.World(tracking, tracking)
        self.world.__enter__()
        self.hosts = (self.world.a, self.world.b)
        self.relays = {}
        for here, there in (self.hosts, self.hosts[::-1]):
            self.relays[here.name] = relay = harness.Relay(there.port)
            here.peers = [(there.name, relay.port, there.key)]
            here.write_config()
            here.restart()
        self.guests = [f"g{i}" for i in range(args.guests)]
        for name in self.guests:
            self.world.a.create(name, memory=16, extra="fill=60 wss=10 rate=800")

    def close(self):
        for relay in self.relays.values():
            relay.close()
        self.signal(self.stopped(), signal.SIGCONT)
        self.world.close()

    # ---- what is where ----

    def domains(self, host):
        try:
            return host.domains()
        except (AssertionError, ValueError):
            return {}  # a domain came or went while it was listed; looked at again

    def running(self, host):
        return {n for n, d in self.domains(host).items() if d["state"] == "running"}

    def look_for_two(self):
        """On a, then on b, then on a again: a guest that moved meanwhile cannot be in all three."""
        a, b = self.hosts
        two = self.running(a)
        two = two and two & self.running(b)
        two = two and two & self.running(a) & self.running(b)
        if two:
            self.figures.double_runs += len(two)
            raise Failure(f"{sorted(two)} run on both hosts")

    def stopped(self):
        return [pid for host in self.hosts for pid, _, state in host.processes() if state == "T"]

    @staticmethod
    def signal(pids, sig):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sig)

    def still_open(self):
        wrong = [f"{host}: {name} {state}" for host, name, state in self.world.open_handovers()]
        names = sorted(n for host in self.hosts for n in self.domains(host))
        if names != sorted(self.guests):
            wrong.append(f"there are {names}")
        return wrong

    # ---- faults ----

    def arm(self, host, name, point, action):
        """A fault at a step of one guest's hand-over (name), or of whichever comes to it first."""
        path = host.dir / (f"fault.{name}" if name else "fault")
        path.write_text(f"{point} {action}")
        return path, action, point

    def step_faults(self, source, destination, name):
        """At most one a side."""
        rng, armed = self.rng, []
        for host, table in ((source, SOURCE), (destination, DESTINATION)):
            if rng.random() < 0.45:
                action = rng.choices(["kill", "stop", "full"], [5, 3, 2])[0]
                which = [p for p in points(table) if action != "full" or p in JOURNAL]
                armed.append(self.arm(host, name, rng.choice(which), action))
        return armed

    def cut_in_stream(self):
        relay = self.relays[self.rng.choice(self.hosts).name]
        relay.mend(self.rng.randrange(1, STREAM_BYTES))
        self.figures.fault("cut in the stream")

    def kill_daemon(self):
        host = self.rng.choice(self.hosts)
        host.daemon.kill()
        host.daemon.wait()
        host.start()
        self.figures.fault("daemon killed")

    def kill_process(self):
        host, which = self.rng.choice(self.hosts), self.rng.random()
        pids = sorted(host.engines())
        if pids:
            self.signal([pids[int(which * len(pids))]], signal.SIGKILL)
            self.figures.fault("process killed")

    def freeze_host(self):
        """All of it stands still, the others notice or do not, and it wakes up."""
        host, cut = self.rng.choice(self.hosts), self.rng.random() < 0.6
        frozen = [pid for pid, _, state in host.processes() if state != "T"]
        self.signal(frozen, signal.SIGSTOP)
        self.figures.fault("host frozen")
        if cut:
            for relay in self.relays.values():
                relay.cut()
        self.pause(self.rng.uniform(0.2, 2.5))
        self.signal(frozen, signal.SIGCONT)

    def cut_links(self):
        for relay in self.relays.values():
            relay.cut()
        self.figures.fault("link cut")
        self.pause(self.rng.uniform(0.1, 1.5))

    def pause(self, seconds):
        """The fault's own length: nobody may do something foolish meanwhile."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.look_for_two()
            time.sleep(min(left, 0.05))

    # ---- a round: every guest moves, something goes wrong, all is well again ----

    def round(self):
        rng = self.rng
        here = {n: host for host in self.hosts for n in self.domains(host) if n in self.guests}
        armed = [f for n in self.guests for f in self.step_faults(here[n], self.other(here[n]), n)]
        for host in self.hosts:
            if rng.random() < 0.35:
                armed.append(self.arm(host, None, rng.choice(points(LATER)), "kill"))
        if rng.random() < 0.25:
            self.cut_in_stream()
        before = [rng.choice((self.kill_daemon, self.kill_process, self.freeze_host, self.cut_links))
                  for _ in range(rng.choices((0, 1, 2), (5, 4, 1))[0])]
        delay = rng.uniform(0, 1.0)
        moves = [here[n].popen("migrate", "--quiet", "--streams", rng.randint(1, 3), n, self.other(here[n]).name) for n in self.guests]
        self.pause(delay)
        for fault in before:
            fault()
        self.wait_for(moves, armed)
        self.count_steps(armed)
        start = time.monotonic()
        self.settle(start)
        there = {n: host for host in self.hosts for n in self.domains(host)}
        with self.figures.lock:
            self.figures.runs += len(self.guests)
            self.figures.moved += sum(there[n] is not here[n] for n in self.guests)
        self.audit()
        self.prove(there)

    def other(self, host):
        return self.hosts[1] if host is self.hosts[0] else self.hosts[0]

    def wait_for(self, moves, armed):
        """Where an engine died or stopped at a step the link is cut as well, for a while, or it is not."""
        end = time.monotonic() + SETTLE_S
        cut = {path for path, _, _ in armed if self.rng.random() < 0.6}
        while any(m.poll() is None for m in moves):
            self.look_for_two()
            stopped = self.stopped()
            hit = {path for path in cut if not path.exists()}
            if hit:
                cut -= hit
                self.cut_links()
            self.signal(stopped, signal.SIGCONT)
            self.mend_links()
            if time.monotonic() > end:
                self.figures.operator_needed += 1
                raise Failure("a move does not end")
        for m in moves:
            m.communicate()

    def mend_links(self):
        """Who comes back may be cut again at once, in its handshake or just behind it."""
        for relay in self.relays.values():
            if relay.up:
                continue
            again = self.rng.random() < 0.3
            relay.mend(self.rng.randrange(1, HANDSHAKE_BYTES) if again else None)
            if again:
                self.figures.fault("cut again")

    def count_steps(self, armed):
        for path, action, point in armed:
            try:
                path.unlink()
            except FileNotFoundError:
                self.figures.fault({"kill": "engine killed", "stop": "engine frozen", "full": "disk full"}[action],
                                   point)

    def settle(self, start):
        while True:
            self.signal(self.stopped(), signal.SIGCONT)
            for relay in self.relays.values():
                relay.limit = None
                if not relay.up:
                    relay.mend()
            self.look_for_two()
            wrong = self.still_open()
            if not wrong:
                break
            if time.monotonic() > start + SETTLE_S:
                missing = set(self.guests) - {n.split("--")[0] for h in self.hosts for n in self.domains(h)}
                self.figures.lost_guests += len(missing)
                self.figures.operator_needed += 1
                raise Failure(f"not settled: {wrong}")
            self.pause(0.1)
        with self.figures.lock:
            self.figures.settle.append(time.monotonic() - start)

    def prove(self, there):
        start = {n: there[n].info(n)["tick"] for n in self.guests}
        for name in self.guests:
            info = harness.wait_until(f"{name} ticks", lambda n=name: (i := there[n].info(n))["tick"] > start[n] and i, 60)
            if info["faults"] or info["state"] != "running":
                self.figures.bad_proofs += 1
                raise Failure(f"{name}: {info}")

    def histories(self, host):
        """What a host wrote of each hand-over: {token: [state, ...]}; nothing if none has reached it yet."""
        found = collections.defaultdict(list)
        for path in host.dir.glob("state/journal/*"):
            data = path.read_bytes() if not path.suffix else b""
            for at in range(0, len(data), RECORD):
                record = data[at:at + RECORD]
                if any(record):
                    found[record[TOKEN]].append(STATES[record[STATE_AT]])
        return found

    def audit(self):
        """Two that ran for less time than it takes to look have left it in the journals all the same."""
        for source, destination in (self.hosts, self.hosts[::-1]):
            there = self.histories(destination)
            for token, here in self.histories(source).items():
                if here[0] != "PREP":
                    continue  # a destination's, or begun before the journal was compacted
                taken_back = any(s in here for s in ("ABORTED", "KEPT", "CLAIMED"))
                owner = "OWNER" in there.get(token, [])
                if owner and (taken_back or "CEDED" not in here):
                    self.figures.double_runs += 1
                    raise Failure(f"two owners: {source.name} {here}, {destination.name} {there[token]}")
                if "GONE" in here and there.get(token) and not owner:
                    self.figures.lost_guests += 1
                    raise Failure(f"no owner: {source.name} {here}, {destination.name} {there[token]}")

    def logs(self):
        return "".join(f"\n--- {h.name} of {self.world.dir}\n{h.log_text()[-6000:]}" for h in self.hosts)


def work(pair, args, end, failures):
    while time.monotonic() < end and not failures and pair.figures.runs < args.runs:
        try:
            pair.round()
        except Exception as error:  # every kind of end is a finding
            failures.append(f"{type(error).__name__}: {error}{pair.logs()}")
            return


def soak(args, say):
    figures, failures, start = Figures(), [], time.monotonic()
    pairs = [Pair(args, n, figures) for n in range(args.worlds)]
    end = start + args.seconds
    threads = [threading.Thread(target=work, args=(pair, args, end, failures)) for pair in pairs]
    for t in threads:
        t.start()
    while any(t.is_alive() for t in threads):
        for _ in range(20):
            if any(t.is_alive() for t in threads):
                next(t for t in threads if t.is_alive()).join(0.5)
        say(f"{time.monotonic() - start:.0f} s: {figures.runs} runs, {sum(figures.faults.values())} faults, "
            f"double {figures.double_runs}, lost {figures.lost_guests}, operator {figures.operator_needed}")
    result = figures.as_json(args, time.monotonic() - start)
    for pair in pairs:
        pair.world.keep = bool(failures)
        with contextlib.suppress(AssertionError) if failures else contextlib.nullcontext():
            pair.close()
    return result, failures


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("minutes", nargs="?", type=float, default=30)
    parser.add_argument("--seconds", type=float, help="in place of minutes")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("LIFEBOAT_SEED", "1")))
    parser.add_argument("--worlds", type=int, default=4)
    parser.add_argument("--guests", type=int, default=3)
    parser.add_argument("--runs", type=int, default=10**9, help="end after so many")
    parser.add_argument("--json", metavar="FILE", help="write the figures there, too")
    parser.add_argument("--tap", action="store_true", help="as a test: nothing but its outcome")
    args = parser.parse_args()
    args.seconds = args.seconds or args.minutes * 60
    if args.tap:
        print("1..1", flush=True)
    result, failures = soak(args, (lambda line: None) if args.tap else (lambda line: print(line, flush=True)))
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(result, indent=2) + "\n")
    prefix = "# " if args.tap else ""
    for line in (text_of(result) + "".join("\n" + f for f in failures)).splitlines():
        print(prefix + line)
    if args.tap:
        print(f"{'not ok' if failures else 'ok'} 1 soak")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
