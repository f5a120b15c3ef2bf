# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts whose link is the loopback of a network namespace of this process, shaped by tc's token bucket. Root only."""
import contextlib
import os
import subprocess

SPACE = f"lbb-{os.getpid()}"


def ip(*words, check=True):
    return subprocess.run(["ip", *words], check=check, capture_output=True, text=True, timeout=20)


def make_space(rate):
    ip("netns", "add", SPACE)
    ip("-n", SPACE, "link", "set", "lo", "mtu", "9000", "up")
    subprocess.run(["tc", "-n", SPACE, "qdisc", "add", "dev", "lo", "root", "tbf", "rate", rate, "burst", "256k",
                    "latency", "100ms"], check=True, timeout=20)


@contextlib.contextmanager
def link(rate):
    """None is loopback as it is."""
    if rate:
        make_space(rate)
    try:
        yield
    finally:
        if rate:
            ip("netns", "del", SPACE, check=False)


def host_class(harness, rate, programs=None):
    """Hosts on that link, with the programs of another directory if need be."""
    class Host(harness.Host):
        build = programs or harness.Host.build

        def command(self, program, *args):
            inside = ["ip", "netns", "exec", SPACE] if rate else []
            return inside + super().command(program, *args)
    return Host
