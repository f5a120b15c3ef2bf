# SPDX-License-Identifier: GPL-2.0-or-later
"""The link between the hosts: the switch process and what can be told to it."""
import json
import os
import re
import signal
import socket
import subprocess
import time

from labkit.common import LabError, UsageError
from labkit.state import process_alive, process_end, process_record

TAP = "client0"
CLIENT_ADDRESS = "10.77.0.9/24"


def spawn(state, command):
    log = state.dir / "switch.log"
    with open(log, "ab") as out:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
    end = time.monotonic() + 5
    while time.monotonic() < end and child.poll() is None:
        if (state.dir / "control.sock").exists():
            return child
        time.sleep(0.02)
    if child.poll() is None:
        child.kill()
    child.wait()
    return None


def start(state, binary):
    """With a port for an outside client where the machine lets us: the switch then lives in a
    network namespace of its own (unnamed, gone with the process), the client's TAP with it.
    UNIX sockets are reached by path, so the hosts do not notice."""
    plain = [str(binary), str(state.dir)]
    isolate = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--user", "--map-root-user"]
    child = spawn(state, isolate + ["--"] + plain + [TAP])
    state.data["client"] = child is not None
    if child is None:
        child = spawn(state, plain)
    if child is None:
        raise LabError("the switch does not start: " + (state.dir / "switch.log").read_text().strip()[-300:])
    state.data["switch"] = process_record(child.pid)
    state.save()
    if state.data["client"]:
        for words in (f"address add {CLIENT_ADDRESS} dev {TAP}", f"link set {TAP} up", "link set lo up"):
            subprocess.run(client_command(state, ["ip"] + words.split()), check=True)


def client_command(state, argv):
    if not process_alive(state.data.get("switch")):
        raise LabError("the lab is down; start it with: lab up")
    if not state.data.get("client"):
        raise LabError("no client port: it needs /dev/net/tun and the right to make a network namespace (root)")
    enter = ["nsenter", "--target", str(state.data["switch"]["pid"]), "--net"]
    if os.geteuid() != 0:
        enter += ["--user", "--preserve-credentials"]
    return enter + ["--"] + argv


def exec_client(state, argv):
    command = client_command(state, argv)
    os.execvp(command[0], command)


def stop(state):
    if state.data.get("switch"):
        process_end(state.data["switch"], first=signal.SIGTERM)


def control(state, line):
    if not process_alive(state.data.get("switch")):
        raise LabError("the lab is down; start it with: lab up")
    mine = state.dir / f"control-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(str(mine))
        try:
            s.settimeout(5)
            s.sendto(line.encode(), str(state.dir / "control.sock"))
            reply = s.recv(4096).decode()
        except OSError as error:
            raise LabError(f"the switch does not answer: {error}") from error
        finally:
            mine.unlink()
    if not reply.startswith("ok"):
        raise LabError("the switch says: " + reply.removeprefix("error "))
    return reply[2:].strip()


def show(state):
    return json.loads(control(state, "show"))


def parse_rate(text):
    if text == "unlimited":
        return 0
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(kbit|mbit|gbit)", text)
    bits = int(float(match[1]) * {"kbit": 10**3, "mbit": 10**6, "gbit": 10**9}[match[2]]) if match else 0
    if bits < 1000:
        raise UsageError(f"not a rate: {text} (like 100mbit, 2gbit, 500kbit, or unlimited)")
    return bits


def parse_delay(text):
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(us|ms|s)?", text)
    if not match or (not match[2] and float(match[1])):
        raise UsageError(f"not a delay: {text} (like 20ms, 500us, 1s, or 0)")
    us = int(float(match[1]) * {"us": 1, "ms": 1000, "s": 10**6, None: 1}[match[2]])
    if us > 10 * 10**6:
        raise UsageError(f"too long a delay: {text} (at most 10s)")
    return us


def parse_age(text):
    match = re.fullmatch(r"(\d+)s", text)
    if not match or not int(match[1]):
        raise UsageError(f"not an age: {text} (like 20s)")
    return int(match[1]) * 1000


def describe(info):
    rate = f"{info['rate_bps'] / 1e6:g} Mbit/s" if info["rate_bps"] else "unlimited"
    lines = [f"link {info['link']}, rate {rate}, delay {info['delay_us'] / 1000:g} ms each way"
             + (f", capturing ({info['captured_frames']} frames)" if info["capture"] else "")]
    for name, way in (("from_a", "a -> b"), ("from_b", "b -> a")):
        c = info[name]
        lines.append(f"  {way}: {c['frames']} frames, {c['bytes']} bytes; lost on the link {c['drops']}, "
                     f"at the receiver {c['port_drops']}")
    return "\n".join(lines)
