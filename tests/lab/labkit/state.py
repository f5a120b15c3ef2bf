# SPDX-License-Identifier: GPL-2.0-or-later
"""What is running, on disk: process ids with their start times, ports, where things are.

A process id alone may belong to someone else by now; together with its start time (in
clock ticks since boot, from /proc) it names one process for ever.
"""
import fcntl
import json
import os
import pathlib
import shutil
import signal
import time

from labkit.common import LabError, cache_dir


def process_start(pid):
    """The start time of a process, or None when it is gone (a zombie is gone, too)."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    fields = text[text.rindex(")") + 2:].split()
    return None if fields[0] in "ZX" else int(fields[19])


def process_record(pid):
    return {"pid": pid, "start": process_start(pid)}


def process_alive(record):
    return bool(record) and record["start"] is not None and process_start(record["pid"]) == record["start"]


def process_frozen(record):
    if not process_alive(record):
        return False
    text = pathlib.Path(f"/proc/{record['pid']}/stat").read_text(encoding="ascii", errors="replace")
    return text[text.rindex(")") + 2] == "T"


def process_signal(record, number):
    if process_alive(record):
        os.kill(record["pid"], number)


def reap(pid):
    """Collect our own dead child; a process of an earlier call is init's to collect."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass


def process_end(record, first=signal.SIGTERM, patience=5.0):
    """Ask, then insist; returns when the process is gone."""
    for number, seconds in ((first, patience), (signal.SIGKILL, 10.0)):
        process_signal(record, number)
        end = time.monotonic() + seconds
        while process_alive(record):
            reap(record["pid"])
            if time.monotonic() > end:
                break
            time.sleep(0.02)
        else:
            return
    raise LabError(f"process {record['pid']} does not end")


class State:
    def __init__(self):
        # Short, because a UNIX socket's path has at most 107 bytes.
        self.dir = pathlib.Path(os.environ.get("LIFEBOAT_LAB_STATE") or f"/tmp/lifeboat-lab-{os.getuid()}")
        self.file = self.dir / "state.json"
        self.data = {}

    def open(self):
        self.dir.mkdir(mode=0o700, exist_ok=True)
        info = self.dir.lstat()
        if info.st_uid != os.getuid() or not self.dir.is_dir() or self.dir.is_symlink():
            raise LabError(f"{self.dir} is not yours; set LIFEBOAT_LAB_STATE to a directory of your own")
        self.load()

    def load(self):
        try:
            self.data = json.loads(self.file.read_text(encoding="ascii"))
        except (FileNotFoundError, NotADirectoryError):
            self.data = {}
        except ValueError as error:
            raise LabError(f"{self.file} is damaged ({error}); end the lab's processes by hand and remove "
                           f"{self.dir}") from error

    def save(self):
        tmp = self.file.with_suffix(".new")
        tmp.write_text(json.dumps(self.data, indent=1) + "\n", encoding="ascii")
        tmp.rename(self.file)

    def lock(self):
        """One changing command at a time; held until this process ends."""
        self.dir.mkdir(mode=0o700, exist_ok=True)
        self._lock = open(self.dir / "lock", "w", encoding="ascii")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LabError("another lab command is at work; wait for it to end") from error

    def running(self):
        """Any process of ours that still lives."""
        records = [h.get("process") for h in self.data.get("hosts", {}).values()]
        records.append(self.data.get("switch"))
        return any(process_alive(r) for r in records)

    def host(self, name):
        if not self.data.get("hosts"):
            raise LabError("the lab is down; start it with: lab up")
        return self.data["hosts"][name]

    def disks_dir(self):
        return cache_dir() / "run"

    def clear(self):
        """Forget a lab that is no more (the machine was restarted, say); the lock stays."""
        for path in self.dir.iterdir():
            if path.name != "lock":
                path.unlink()
        self.data = {}

    def remove(self):
        shutil.rmtree(self.disks_dir(), ignore_errors=True)
        shutil.rmtree(self.dir, ignore_errors=True)
        self.data = {}
