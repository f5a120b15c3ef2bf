# SPDX-License-Identifier: GPL-2.0-or-later
"""up, boot, down: the lab as a whole."""
import concurrent.futures
import signal
import time

from labkit import guests, link, remote, vm
from labkit.common import HOSTS, LabError, cache_dir, need_packages, say
from labkit.images import root_image
from labkit.install import install
from labkit.state import process_alive
from labkit.tools import guest_initramfs, program

BOOT_SECONDS = 300


def on_both(state, work):
    """The same for both hosts at once. The first error, or an interrupt, ends the machines,
    which ends the other one's wait as well."""
    pool = concurrent.futures.ThreadPoolExecutor(len(HOSTS))
    try:
        for future in concurrent.futures.as_completed([pool.submit(work, host) for host in HOSTS]):
            future.result()
    except BaseException:
        vm.end_all(state)
        raise
    finally:
        pool.shutdown()


def bring_up(state, host):
    remote.connect(state, host, time.monotonic() + BOOT_SECONDS)
    remote.run(state, host, ["/usr/local/lib/lab/ready"], timeout=240)
    guests.push_tools(state, host)


def start_all(state, hypervisor, lifeboat):
    need_packages()
    vm.check_qemu()
    image = root_image()
    switch = program("switch")
    program("gap")
    guest_initramfs(image)
    state.data = {"image": str(image), "hypervisor": hypervisor, "hosts": {h: {"port": vm.free_port()} for h in HOSTS}}
    state.save()
    vm.make_disks(image, state.disks_dir())
    link.start(state, switch)
    say(f"lab: booting hosts a and b ({hypervisor} hypervisor)")
    for host in HOSTS:
        vm.start(state, host)
    on_both(state, lambda host: bring_up(state, host))
    remote.run(state, "a", ["/usr/local/lib/lab/drbd-first"], timeout=180)
    if lifeboat:
        install(state)


def keep_consoles(state):
    """What the hosts said last is the evidence of a failed start; it outlives the clean-up."""
    for host in state.data.get("hosts", {}):
        log = vm.console_log(state, host)
        if log.exists():
            keep = cache_dir() / f"failed-console-{host}.log"
            keep.write_bytes(log.read_bytes())
            say(f"lab: the console of host {host} was kept in {keep}")


def up(state, hypervisor, lifeboat):
    state.open()
    state.lock()
    if state.running():
        raise LabError("the lab is up already; see: lab status, or end it with: lab down")
    state.clear()
    # Whatever ends this early must not leave processes, mounts or half an image behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.default_int_handler)
    began = time.monotonic()
    try:
        start_all(state, hypervisor, lifeboat)
    except BaseException as error:
        if isinstance(error, LabError):
            keep_consoles(state)
        down(state)
        raise
    say(f"lab: up after {time.monotonic() - began:.0f} s")


def boot(state, host):
    if vm.running(state, host):
        raise LabError(f"host {host} is running already")
    if not process_alive(state.data.get("switch")):
        raise LabError("the switch is not running; start the lab again with: lab down, lab up")
    remote.disconnect(state, host)
    vm.start(state, host)
    bring_up(state, host)


def down(state):
    """End only what the state names, and leave nothing of ours behind."""
    for host in state.data.get("hosts", {}):
        # A frozen host would hold up the end of its connection.
        record = state.data["hosts"][host].get("process")
        if record and process_alive(record):
            vm.thaw(state, host)
        remote.disconnect(state, host)
    vm.end_all(state)
    link.stop(state)
    state.remove()
