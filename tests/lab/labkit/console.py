# SPDX-License-Identifier: GPL-2.0-or-later
"""The serial console of a host: Xen's own messages and dom0's login."""
import os
import select
import shutil
import socket
import sys
import termios
import tty

from labkit import vm
from labkit.common import LabError

ESCAPE = b"\x1d"  # Ctrl-]


def print_log(state, host):
    try:
        with open(vm.console_log(state, host), "rb") as f:
            shutil.copyfileobj(f, sys.stdout.buffer)
    except FileNotFoundError as error:
        raise LabError(f"host {host} has no console log yet") from error


def attach(state, host):
    vm.need_running(state, host)
    if not sys.stdin.isatty():
        raise LabError("attaching needs a terminal; to read the console use: lab console " + host + " --log")
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(f"{state.dir}/{host}-console.sock")
        print("lab: attached; Ctrl-] leaves", file=sys.stderr)
        saved = termios.tcgetattr(0)
        tty.setraw(0)
        try:
            pump(s)
        finally:
            termios.tcsetattr(0, termios.TCSADRAIN, saved)
            print(file=sys.stderr)


def pump(s):
    while True:
        ready, _, _ = select.select([0, s], [], [])
        if 0 in ready:
            data = os.read(0, 1024)
            if not data or ESCAPE in data:
                return
            s.sendall(data)
        if s in ready:
            data = s.recv(4096)
            if not data:
                return
            os.write(1, data)
