# SPDX-License-Identifier: GPL-2.0-or-later
"""The hosts' root image: Debian 12 with Xen, made once and cached by what it is made of."""
import fcntl
import lzma
import os
import pathlib
import shutil
import subprocess
import tempfile

from labkit.common import LAB, LabError, cache_dir, hash_of, run_logged, say

SUITE = "bookworm"
# Debian's security build of 4.17 lacks shadow paging, without which a PV guest cannot be
# moved live; the release's own build has it. Its tools are not needed: the stock ones run on it.
SHADOW_XEN = "xen-hypervisor-4.17-amd64=4.17.5+72-g01140da4e8-1"
PACKAGES = """
systemd-sysv udev kmod linux-image-amd64 initramfs-tools zstd
xen-hypervisor-4.17-amd64 xen-utils-4.17 xenstore-utils libxenmisc4.17 qemu-system-xen
drbd-utils bridge-utils iproute2 iputils-ping ethtool procps psmisc
openssh-server openssh-client tcpdump curl python3-minimal busybox-static
libsodium23 liblz4-1 libnl-3-200 libnl-route-3-200 libjansson4 libconfuse2 libseccomp2 libcap2
""".split()
# Parts of the kernel and of packages that no host here has a use for: a third of the image.
EXCLUDE = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*"] + [
    f"/lib/modules/*/kernel/{part}/*" for part in (
        "sound", "drivers/gpu", "drivers/media", "drivers/infiniband", "drivers/staging",
        "drivers/net/ethernet", "drivers/net/wireless", "drivers/iio", "drivers/usb")]
# The first RAM disk holds what finds the root disk and nothing else: it boots faster.
INITRAMFS_MODULES = "virtio_pci\nvirtio_blk\next4\n"
ROOT_SIZE = "2G"
GUEST_MODULES = ["xen-blkfront.ko", "xen-netfront.ko"]


def apt_sources():
    """The source files of this machine's apt that are for the same Debian; none elsewhere,
    where mmdebstrap's own default is right."""
    found = []
    candidates = [pathlib.Path("/etc/apt/sources.list")]
    candidates += sorted(pathlib.Path("/etc/apt/sources.list.d").glob("*"))
    for path in candidates:
        if path.suffix not in (".list", ".sources") or not path.is_file():
            continue
        suites = set()
        for line in path.read_text(errors="replace").splitlines():
            words = line.split("#")[0].split()
            if path.suffix == ".sources" and words[:1] == ["Suites:"]:
                suites.update(words[1:])
            elif path.suffix == ".list" and words[:1] == ["deb"]:
                words = [w for w in words[1:] if not w.startswith("[") and not w.endswith("]")]
                suites.update(words[1:2])
        if suites and all(s == SUITE or s.startswith(SUITE + "-") for s in suites):
            found.append(str(path))
    return found


def image_key():
    return hash_of(LAB / "host", SUITE, SHADOW_XEN, PACKAGES, EXCLUDE, INITRAMFS_MODULES, ROOT_SIZE,
                   pathlib.Path(__file__))


def make_tar(work, log):
    """mmdebstrap with our files laid over the packages, and customize.sh run inside."""
    key = work / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lifeboat-lab", "-f", key], check=True)
    over = work / "overlay"
    shutil.copytree(LAB / "host" / "root", over)
    ssh = over / "root" / ".ssh"
    ssh.mkdir(parents=True)
    shutil.copy(key, ssh / "id_ed25519")
    shutil.copy(f"{key}.pub", ssh / "authorized_keys")
    (over / "etc/initramfs-tools").mkdir()
    (over / "etc/initramfs-tools/modules").write_text(INITRAMFS_MODULES)
    (over / "var/lib/lab").mkdir(parents=True)
    shutil.copy(LAB / "host" / "customize.sh", over / "var/lib/lab/customize.sh")
    subprocess.run(["tar", "--owner=0", "--group=0", "-C", over, "-cf", work / "overlay.tar", "."], check=True)
    # The initramfs settings must be there before the kernel's package is configured; all
    # else after the packages, so that no package asks about a changed file.
    late = '--customize-hook=tar-in "{0}" /'.format(work / "overlay.tar")
    download = ('--customize-hook=cd "$1/var/lib/lab" && chmod 755 . && '
                f'APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get download {SHADOW_XEN}')
    tail = ['--customize-hook=chroot "$1" /var/lib/lab/customize.sh',
            '--customize-hook=chroot "$1" sh -c "cd /var/lib/lab && dpkg-deb -x xen-hypervisor*.deb shadow && '
            'mv shadow/boot/xen-4.17-amd64.gz xen-shadow.gz && rm -r shadow xen-hypervisor*.deb"']
    early = ['--essential-hook=mkdir -p "$1/etc/initramfs-tools/conf.d"',
             '--essential-hook=echo MODULES=list >"$1/etc/initramfs-tools/conf.d/lab"',
             '--essential-hook=copy-in "{0}" /etc/initramfs-tools/'.format(over / "etc/initramfs-tools/modules")]
    command = ["mmdebstrap", "--variant=minbase", "--format=tar", "--include=" + ",".join(PACKAGES)]
    command += [f"--dpkgopt=path-exclude={pattern}" for pattern in EXCLUDE]
    command += early + [late, download] + tail + [SUITE, str(work / "root.tar")] + apt_sources()
    run_logged(command, log, "making the hosts' root file system (mmdebstrap)")


def decompress_vmlinux(vmlinuz):
    """The ELF kernel inside a bzImage: Xen 4.17's PVH builder cannot unpack XZ itself."""
    start = vmlinuz.find(b"\xfd7zXZ\x00")
    if start < 0:
        raise LabError("Debian's kernel is no longer packed with XZ; tell images.py how to unpack it")
    return lzma.LZMADecompressor().decompress(vmlinuz[start:])


UNPACK = r"""
set -eu
cd "$1"
mkdir tree
tar --exclude='./dev/*' -xf root.tar -C tree
rm root.tar
cp tree/boot/vmlinuz-* vmlinuz
cp tree/boot/initrd.img-* initrd
gzip -dc tree/boot/xen-4.17-amd64.gz >xen-stock
gzip -dc tree/var/lib/lab/xen-shadow.gz >xen-shadow
cp tree/bin/busybox busybox
rm tree/var/lib/lab/customize.sh tree/var/lib/lab/xen-shadow.gz
mkdir modules
for m in $2; do find tree/usr/lib/modules -name "$m" -exec cp {} modules/ \;; done
"$3" vmlinux
cp vmlinuz tree/var/lib/lab/vmlinuz
cp vmlinux tree/var/lib/lab/vmlinux
mke2fs -q -t ext4 -m 0 -L lab-root -E lazy_itable_init=1,lazy_journal_init=1,nodiscard -d tree root.img "$4"
rm -rf tree
chmod 644 vmlinuz initrd busybox
"""


def make_image(work, log):
    make_tar(work, log)
    say("lab: building the disk image")
    unxz = work / "unxz"
    unxz.write_text("#!/usr/bin/env python3\nimport sys\nsys.dont_write_bytecode = True\n"
                    f"sys.path.insert(0, {str(LAB)!r})\n"
                    "from labkit.images import decompress_vmlinux\n"
                    "data = decompress_vmlinux(open('vmlinuz', 'rb').read())\n"
                    "open(sys.argv[1], 'wb').write(data)\n")
    unxz.chmod(0o755)
    command = ["sh", "-c", UNPACK, "unpack", str(work), " ".join(GUEST_MODULES), str(unxz), ROOT_SIZE]
    if os.geteuid() != 0:
        # A namespace with many user ids gives the files their owners without root.
        command = ["unshare", "--map-auto", "--map-root-user", "--"] + command
    run_logged(command, log, "building the disk image")
    for name in ("overlay.tar", "unxz"):
        (work / name).unlink()
    shutil.rmtree(work / "overlay")


def root_image():
    """The directory of the image these scripts describe, made first if need be."""
    final = cache_dir() / ("root-" + image_key())
    if final.is_dir():
        return final
    with open(cache_dir() / "images.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if final.is_dir():
            return final
        for old in cache_dir().glob("*-making-*"):
            shutil.rmtree(old, ignore_errors=True)
        work = pathlib.Path(tempfile.mkdtemp(prefix=final.name + "-making-", dir=cache_dir()))
        # mmdebstrap's namespace reads the overlay as another user.
        work.chmod(0o755)
        log = cache_dir() / "image.log"
        log.unlink(missing_ok=True)
        say(f"lab: making the hosts' image, about two minutes (log: {log})")
        try:
            make_image(work, log)
            work.rename(final)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
        for old in cache_dir().glob("root-*"):
            if old != final:
                shutil.rmtree(old, ignore_errors=True)
    return final
