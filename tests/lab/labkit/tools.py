# SPDX-License-Identifier: GPL-2.0-or-later
"""What the lab compiles on demand, and the guests' initramfs."""
import gzip
import os
import pathlib
import stat
import subprocess
import tempfile

from labkit.common import LAB, LabError, cache_dir, hash_of

FLAGS = "-std=c11 -O2 -Wall -Wextra -Wshadow -Wconversion -Werror".split()
SOURCES = {
    "switch": ["switch.c", "lane.c", "lane.h"],
    "gap": ["gap.c"],
    "proof": ["proof.c", "proof_disk.c", "proof.h"],
}
# Static, so that they run inside the hosts and in a guest that has no libraries.
STATIC = {"gap", "proof"}


def drop_old(kind, keep):
    for old in cache_dir().glob(kind + "-*"):
        if old != keep:
            old.unlink(missing_ok=True)


def program(name):
    sources = [LAB / file for file in SOURCES[name]]
    flags = FLAGS + (["-static"] if name in STATIC else [])
    final = cache_dir() / f"{name}-{hash_of(flags, *sources)}"
    if not final.exists():
        part = f"{final}.{os.getpid()}.part"
        units = [str(source) for source in sources if source.suffix == ".c"]
        done = subprocess.run(["cc", *flags, "-o", part, *units], capture_output=True, text=True, check=False)
        if done.returncode:
            raise LabError(f"cannot compile {name}: {done.stderr.strip()[-800:]}")
        os.rename(part, final)
        drop_old(name, final)
    return final


def cpio_entry(name, mode, data=b"", number=0, rdev=(0, 0)):
    """One file in the "new ASCII" archive that the kernel unpacks."""
    fields = (number, mode, 0, 0, 2 if stat.S_ISDIR(mode) else 1, 0, len(data), 0, 0, *rdev, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08x" % f for f in fields) + name.encode() + b"\0"
    head += b"\0" * (-len(head) % 4)
    return head + data + b"\0" * (-len(data) % 4)


def guest_initramfs(image):
    """Static busybox, the two Xen front ends of the hosts' own kernel, and the proof."""
    image = pathlib.Path(image)
    proof = program("proof")
    final = cache_dir() / ("guest-" + hash_of(image.name, LAB / "guest", proof, pathlib.Path(__file__)))
    if final.exists():
        return final
    files = {"bin/busybox": image / "busybox", "bin/proof": proof}
    files.update({f"modules/{m.name}": m for m in (image / "modules").iterdir()})
    files.update({str(f.relative_to(LAB / "guest")): f for f in (LAB / "guest").rglob("*") if f.is_file()})
    out = []
    for name in ("dev", "bin", "sbin", "usr", "usr/bin", "usr/sbin", "etc", "modules"):
        out.append(cpio_entry(name, stat.S_IFDIR | 0o755, number=len(out) + 1))
    out.append(cpio_entry("dev/console", stat.S_IFCHR | 0o600, number=len(out) + 1, rdev=(5, 1)))
    out.append(cpio_entry("dev/null", stat.S_IFCHR | 0o666, number=len(out) + 1, rdev=(1, 3)))
    for link, target in (("init", "/bin/busybox"), ("bin/sh", "/bin/busybox")):
        out.append(cpio_entry(link, stat.S_IFLNK | 0o777, target.encode(), number=len(out) + 1))
    for name, path in sorted(files.items()):
        mode = 0o755 if name.startswith(("bin/", "etc/rc")) else 0o644
        out.append(cpio_entry(name, stat.S_IFREG | mode, path.read_bytes(), number=len(out) + 1))
    out.append(cpio_entry("TRAILER!!!", 0))
    with tempfile.NamedTemporaryFile(dir=cache_dir(), prefix="making-", delete=False) as part:
        part.write(gzip.compress(b"".join(out), 6, mtime=0))
    os.rename(part.name, final)
    drop_old("guest", final)
    return final
