# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab's guests: g (PVH), p (PV) and h (HVM), each on the DRBD resource of its name."""
import subprocess

from labkit import remote, vm
from labkit.common import HOSTS, LabError, UsageError, say
from labkit.tools import guest_initramfs, program

KINDS = {"pvh": ("g", "10.77.0.50"), "pv": ("p", "10.77.0.51"), "hvm": ("h", "10.77.0.52")}

# Waits for the answer itself; a guest that died meanwhile ends the wait at once.
START = r"""
set -eu
resource=$1 config=$2 name=$3 address=$4
if xl domid "$name" >/dev/null 2>&1; then
	echo "a domain named $name runs here already" >&2
	exit 1
fi
drbdadm primary "$resource"
if ! xl create -q "$config" "name=\"$name\""; then
	drbdadm secondary "$resource"
	exit 1
fi
end=$(($(date +%s) + 180))
until curl -fs -m 2 "http://$address/status"; do
	if ! xl domid "$name" >/dev/null 2>&1; then
		echo "the guest $name ended while booting; see /var/log/xen and xl dmesg" >&2
		exit 1
	fi
	if [ "$(date +%s)" -ge "$end" ]; then
		echo "the guest $name runs but does not answer at http://$address/status" >&2
		exit 1
	fi
	sleep 0.2
done
"""


def push_tools(state, host):
    """What is ours and small enough to go in at every boot: no image is remade for it."""
    remote.push(state, host, program("gap"), "/usr/local/bin/lab-gap")
    remote.push(state, host, guest_initramfs(state.data["image"]), "/var/lib/lab/guest.img")


def release_peer(state, host, resource):
    """The other host may still be DRBD primary from the guest's last life there; it gives that
    up only when nothing holds the disk open, so asking is safe."""
    for other in HOSTS:
        if other != host and vm.status(state, other) == "running":
            remote.run(state, other, ["drbdadm", "secondary", resource], check=False, timeout=60)


def guest(state, host, kind, name, start):
    if kind not in KINDS:
        raise UsageError(f"not a kind of guest: {kind} (pvh, pv or hvm)")
    default, address = KINDS[kind]
    name = name or default
    config = f"/etc/xen/{default}.cfg"
    vm.need_running(state, host)
    for each in HOSTS:
        if vm.status(state, each) == "running":
            push_tools(state, each)
    if not start:
        print(f"{config} is ready on the running hosts; start it with: "
              f"lab run {host} -- sh -c 'drbdadm primary {default} && xl create {config}'")
        return
    release_peer(state, host, default)
    say(f"lab: starting {name} on host {host}")
    try:
        _, out = remote.run(state, host, ["sh", "-c", START, "start", default, config, name, address], timeout=300)
    except subprocess.SubprocessError as error:
        raise LabError(f"starting {name} failed: {error}") from error
    print(out.strip())
