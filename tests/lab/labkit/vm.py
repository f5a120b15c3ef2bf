# SPDX-License-Identifier: GPL-2.0-or-later
"""The two emulated machines: start, power cord, freeze."""
import os
import pathlib
import signal
import socket
import subprocess
import time

from labkit.common import HOSTS, LabError, say
from labkit.state import process_alive, process_end, process_frozen, process_record, process_signal

# Nothing newer: with AVX and XSAVE dom0 silently corrupts data under this emulation; RDTSCP
# and SMAP break it otherwise. AES is there so that the hosts have AES-GCM.
CPU = "qemu64,+svm,+npt,+ssse3,+sse4.1,+sse4.2,+popcnt,+aes,+pclmulqdq,+rdrand,+cx16"
XEN_OPTIONS = "dom0_mem=1024M,max:1024M com1=115200,8n1 console=com1 loglvl=all guest_loglvl=all"
DATA_DISK_BYTES = 68 << 20  # 64 MiB for a guest, and room for DRBD's own data


def check_qemu():
    text = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, text=True, check=False).stdout
    version = text.split("version", 1)[-1].split()[0] if "version" in text else "?"
    if not version.startswith("7.2"):
        say(f"lab: warning: QEMU {version}; the lab is known to work with 7.2 (10.0 breaks PVH guests)")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def make_disks(image, directory):
    """Fresh disks for both hosts. Plain copies: what the host wrote before its power cord is
    pulled is in the file, with no format in between to be left half written."""
    directory.mkdir(parents=True, exist_ok=True)
    for host in HOSTS:
        target = directory / f"{host}-root.img"
        subprocess.run(["cp", "--reflink=auto", "--sparse=always", image / "root.img", target], check=True)
        for disk in ("g", "p", "h"):
            with open(directory / f"{host}-{disk}.img", "wb") as f:
                f.truncate(DATA_DISK_BYTES)


def qemu_command(state, host):
    data, n = state.data, HOSTS[host]
    image, disks = pathlib.Path(data["image"]), state.disks_dir()
    dom0 = f"root=/dev/vda rw console=hvc0 systemd.hostname=host{host} net.ifnames=1 mitigations=off"
    args = ["qemu-system-x86_64", "-name", f"lifeboat-lab-host{host}", "-nodefaults", "-display", "none",
            "-accel", "tcg,thread=multi", "-cpu", CPU, "-smp", "1", "-m", "2048",
            # A host that its watchdog resets stays dead until `lab boot`.
            "-no-reboot",
            "-kernel", str(image / ("xen-" + data["hypervisor"])), "-append", XEN_OPTIONS,
            "-initrd", f"{image}/vmlinuz {dom0},{image}/initrd"]
    for i, disk in enumerate(("root", "g", "p", "h")):
        args += ["-drive", f"if=none,id=d{i},format=raw,cache=unsafe,file={disks}/{host}-{disk}.img",
                 "-device", f"virtio-blk-pci,drive=d{i}"]
    args += ["-netdev", f"user,id=ctl,restrict=on,hostfwd=tcp:127.0.0.1:{data['hosts'][host]['port']}-:22",
             "-device", f"virtio-net-pci,netdev=ctl,mac=52:54:00:77:01:0{n},romfile=",
             "-netdev", f"stream,id=link,server=off,addr.type=unix,addr.path={state.dir}/{host}.sock",
             "-device", f"virtio-net-pci,netdev=link,mac=52:54:00:77:02:0{n},romfile=",
             "-device", "virtio-rng-pci",
             "-chardev", f"socket,id=con,path={state.dir}/{host}-console.sock,server=on,wait=off,"
                         f"logfile={state.dir}/{host}-console.log,logappend=on",
             "-serial", "chardev:con",
             "-qmp", f"unix:{state.dir}/{host}-qmp.sock,server=on,wait=off"]
    return args


def start(state, host):
    command = qemu_command(state, host)
    log = state.dir / f"{host}-qemu.log"
    with open(log, "ab") as out:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
    state.data["hosts"][host]["process"] = process_record(child.pid)
    state.save()
    # A wrong option ends QEMU at once; say so now and not after the boot's time-out.
    try:
        child.wait(timeout=0.5)
    except subprocess.TimeoutExpired:
        return
    raise LabError(f"QEMU for host {host} ended at once: " + log.read_text(errors="replace").strip()[-300:])


def running(state, host):
    return process_alive(state.host(host).get("process"))


def need_running(state, host):
    record = state.host(host).get("process")
    if not process_alive(record):
        raise LabError(f"host {host} is off; start it with: lab boot {host}")
    if process_frozen(record):
        raise LabError(f"host {host} is frozen; let it run with: lab thaw {host}")


def kill(state, host):
    if not running(state, host):
        raise LabError(f"host {host} is off already")
    process_end(state.host(host)["process"], first=signal.SIGKILL)


def freeze(state, host):
    need_running(state, host)
    process_signal(state.host(host)["process"], signal.SIGSTOP)


def thaw(state, host):
    if not running(state, host):
        raise LabError(f"host {host} is off; start it with: lab boot {host}")
    process_signal(state.host(host)["process"], signal.SIGCONT)


def wait_ssh_port(state, host, deadline):
    """Until the host's sshd greets: QEMU accepts the connection itself long before."""
    port = state.host(host)["port"]
    while time.monotonic() < deadline:
        if not running(state, host):
            raise LabError(f"host {host} died while booting; see: lab console {host} --log")
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
                s.settimeout(5)
                if s.recv(4).startswith(b"SSH"):
                    return
        except OSError:
            pass
        time.sleep(0.3)
    raise LabError(f"host {host} did not boot in time; see: lab console {host} --log")


def end_all(state):
    for host in state.data.get("hosts", {}).values():
        if host.get("process"):
            process_signal(host["process"], signal.SIGCONT)
            process_end(host["process"])


def status(state, host):
    record = state.host(host).get("process")
    if not process_alive(record):
        return "off"
    return "frozen" if process_frozen(record) else "running"


def console_log(state, host):
    return pathlib.Path(os.fspath(state.dir)) / f"{host}-console.log"
