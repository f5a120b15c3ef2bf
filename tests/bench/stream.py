#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""stream.py BUILD [--mib N] [--runs N] [--only lifeboat] [IMAGE...]: how much memory a CPU second moves, both ends
counted, beside the limits of this machine and beside peers, in one run. Prints a table, writes BUILD/bench-stream.json."""
import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))
import peers  # noqa: E402

IMAGES = ("zero", "idle", "busy", "text", "compressed", "random")
LIMITS = ("limit", "limit_new")
PEERS = ("lifeboat", "qemu", "qemu-tls", "qemu-zstd", "qemu-tls-zstd", "ssh", "lz4-ssh")


def median(results):
    """The run in the middle by CPU time; all runs' figures beside it."""
    results = sorted(results, key=lambda r: r["cpu_s"])
    chosen = dict(results[len(results) // 2])
    chosen["runs_cpu_s"] = [r["cpu_s"] for r in results]
    return chosen


class Bench:
    def __init__(self, args, directory):
        self.args = args
        self.tool = pathlib.Path(args.build) / "bench-stream"
        self.dir = pathlib.Path(directory)
        self.bytes = args.mib << 20
        self.sshd = None

    def run_tool(self, *arguments):
        out = subprocess.run([self.tool, *map(str, arguments)], stdout=subprocess.PIPE, check=True).stdout
        return json.loads(out)

    def one(self, peer, image):
        if peer == "lifeboat":
            return self.run_tool("path", image)
        if peer in ("ssh", "lz4-ssh"):
            self.sshd = self.sshd or peers.Sshd(self.dir / "sshd")
            target = self.dir / "arrived"
            result = self.sshd.transfer(image, target, peer == "lz4-ssh")
            if target.stat().st_size != self.bytes:
                raise RuntimeError(f"{peer}: not all arrived")
            target.unlink()
            return result
        return peers.qemu_transfer(self.dir, image, self.args.mib, tls="tls" in peer,
                                   compression="zstd" if peer.endswith("zstd") else "none")

    def image(self, name):
        path = self.dir / name
        subprocess.run([self.tool, "image", name, str(self.args.mib), path], check=True)
        out = {"limits": self.run_tool("limits", path), "peers": {}}
        names = ["lifeboat"] if self.args.only == "lifeboat" else PEERS
        results = {peer: [] for peer in names}
        # In turns, so that a busy minute of the machine falls on all alike.
        for _ in range(self.args.runs):
            for peer in names:
                results[peer].append(self.one(peer, path))
        for peer in names:
            out["peers"][peer] = self.rated(median(results[peer]))
        out["lifeboat_one_core"] = self.rated(median([self.run_tool("path", path, "one-core") for _ in range(self.args.runs)]))
        out["limit_per_cpu_s"] = self.limit(out, "memcpy")
        out["limit_new_per_cpu_s"] = self.limit(out, "new_memory")
        out["ratios"] = self.ratios(out)
        path.unlink()
        return out

    def rated(self, result):
        result["per_cpu_s"] = round(self.bytes / result["cpu_s"])
        result["per_s"] = round(self.bytes / result["wall_s"])
        return result

    @staticmethod
    def ratios(out):
        """By CPU second of each peer, and of the limits by the clock on one core."""
        mine, one_core = out["peers"]["lifeboat"]["per_cpu_s"], out["lifeboat_one_core"]["per_s"]
        ratios = {name: mine / p["per_cpu_s"] for name, p in out["peers"].items() if name != "lifeboat"}
        ratios.update({limit: one_core / out[f"{limit}_per_cpu_s"] for limit in LIMITS})
        return {name: round(value, 3) for name, value in ratios.items()}

    def limit(self, out, arrival):
        """Sealing, opening, loopback and one copy of what goes over the wire at each end: nothing encrypted is cheaper.
        The destination's copy goes into memory that it has, or that it gets, as a domain's."""
        limits, lifeboat = out["limits"], out["peers"]["lifeboat"]
        aead = "aes_256_gcm" if lifeboat["cipher"].startswith("AES") else "chacha20_poly1305"
        seconds = lifeboat["wire_bytes"] * (1 / limits[aead] + 1 / limits["tcp"])
        seconds += self.bytes / limits["memcpy"] + self.bytes / limits[arrival]
        return round(self.bytes / seconds)


def gb(value):
    return f"{value / 1e9:.2f}"


def rows(head, body):
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *body)] + [""]


def table(report):
    images = report["images"]
    names = list(next(iter(images.values()))["peers"])
    lines = ["GB of guest memory for each CPU second, both ends counted:", ""]
    lines += rows(["image", *names, "limit", "into new memory"], [
        [image, *(gb(r["peers"][n]["per_cpu_s"]) for n in names), gb(r["limit_per_cpu_s"]), gb(r["limit_new_per_cpu_s"])]
        for image, r in images.items()])
    lines += ["lifeboat as a multiple of each; its rate by the clock, and its bytes on the wire:", ""]
    body = []
    for image, r in images.items():
        mine, one_core = r["peers"]["lifeboat"], r["lifeboat_one_core"]["per_s"]
        body.append([image, *(f"{r['ratios'][n]:.2f}" for n in (*names[1:], *LIMITS)), gb(one_core), gb(mine["per_s"]),
                     f"{mine['wire_bytes'] / report['bytes']:.1%}"])
    lines += rows(["image", *names[1:], "limit, one core", "into new memory", "GB/s, one core", "GB/s, all", "wire"], body)
    limits = next(iter(images.values()))["limits"]
    lines += ["Alone, GB a CPU second: " + ", ".join(
        f"{name} {gb(v)}" for name, v in limits.items() if name not in ("bytes", "lz4_both_ways"))]
    lines += ["LZ4 both ways: " + ", ".join(
        f"{image} {gb(r['limits']['lz4_both_ways'])}" for image, r in images.items())]
    return "\n".join(lines)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("build")
    p.add_argument("--mib", type=int, default=256)
    p.add_argument("--runs", type=int, default=3)
    p.add_argument("--only", choices=["lifeboat"])
    p.add_argument("images", nargs="*", metavar="IMAGE", help=" ".join(IMAGES))
    args = p.parse_intermixed_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is ended, what was made removed
    report = {"bytes": args.mib << 20, "runs": args.runs, "cpus": len(os.sched_getaffinity(0)), "images": {}}
    where = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(prefix="lifeboat-bench-", dir=where) as directory:
        bench = Bench(args, directory)
        for name in args.images or IMAGES:
            print(f"bench: {name}", file=sys.stderr, flush=True)
            report["images"][name] = bench.image(name)
    print(table(report))
    path = pathlib.Path(args.build) / "bench-stream.json"
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"\n{path} has every figure.")


if __name__ == "__main__":
    sys.exit(main())
