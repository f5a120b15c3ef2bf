# SPDX-License-Identifier: GPL-2.0-or-later
"""The verbs. Exit status: 0 done, 1 failed, 2 wrong usage; `run` and `client` pass their command's on."""
import json
import os
import sys

from labkit import console, guests, install, lifecycle, link, remote, vm
from labkit.common import HOSTS, LabError, UsageError
from labkit.state import State
from labkit.tools import program

HELP = """usage: lab VERB ...

  up [--hypervisor stock|shadow] [--no-lifeboat]
                            make the images if need be, boot hosts a and b, install lifeboat
  down                      end what up started
  status [--json]           what runs
  install                   build this tree and install it into the running hosts again
  run HOST -- CMD...        run a command as root on a or b
  push HOST FILE DEST       copy a file into a host
  pull HOST SRC FILE        copy a file out of a host
  console HOST [--log]      attach to the serial console, or print all it said
  kill HOST                 pull the power cord
  boot HOST                 start a killed host again, its disks as they were
  freeze HOST, thaw HOST    stop a host in its tracks, let it go on
  link                      show the link between the hosts
  link down | up            cut it, mend it (a client still reaches both)
  link rate R               100mbit, 2gbit, 500kbit, unlimited
  link delay D              20ms, 500us, 0: each way
  link age D                how long the switch remembers a MAC address (300s)
  capture start FILE        write what passes the link to a pcap file
  capture stop
  client -- CMD...          run a command as a third machine, 10.77.0.9
  guest HOST pvh|pv|hvm [--start] [--name NAME]
                            the test guest: g at 10.77.0.50 (pvh), p at .51 (pv), h at .52 (hvm)
  help
"""


def take_host(args):
    if not args or args[0] not in HOSTS:
        raise UsageError("which host: a or b?")
    return args.pop(0)


def take_flag(args, flag):
    if flag in args:
        args.remove(flag)
        return True
    return False


def take_value(args, flag, default):
    for i, arg in enumerate(args):
        if arg == flag:
            if i + 1 == len(args):
                raise UsageError(f"{flag} needs a value")
            value = args[i + 1]
            del args[i:i + 2]
            return value
        if arg.startswith(flag + "="):
            del args[i]
            return arg.split("=", 1)[1]
    return default


def done_with(args):
    if args:
        raise UsageError("too many arguments: " + " ".join(args))


def take_command(args):
    if args[:1] == ["--"]:
        args.pop(0)
    if not args:
        raise UsageError("which command? like: lab run a -- xl list")
    return args


def verb_up(state, args):
    lifeboat = not take_flag(args, "--no-lifeboat")
    hypervisor = take_value(args, "--hypervisor", "stock")
    if hypervisor not in ("stock", "shadow"):
        raise UsageError(f"not a hypervisor: {hypervisor} (stock or shadow)")
    done_with(args)
    lifecycle.up(state, hypervisor, lifeboat)


def verb_down(state, args):
    done_with(args)
    if not state.dir.is_dir():
        print("lab: it was not up")
        return
    state.lock()
    state.load()
    lifecycle.down(state)


def verb_status(state, args):
    as_json = take_flag(args, "--json")
    done_with(args)
    up = state.running()
    info = {"up": up}
    if up:
        info["hypervisor"] = state.data["hypervisor"]
        info["hosts"] = {h: vm.status(state, h) for h in HOSTS}
        info["link"] = link.show(state)
        info["state_dir"] = str(state.dir)
    if as_json:
        print(json.dumps(info))
    elif not up:
        print("the lab is down")
    else:
        for host, what in info["hosts"].items():
            print(f"host {host}: {what} ({state.data['hypervisor']} hypervisor)")
        print(link.describe(info["link"]))


def verb_install(state, args):
    done_with(args)
    for host in HOSTS:
        vm.need_running(state, host)
    state.lock()
    install.install(state)


def verb_run(state, args):
    host = take_host(args)
    remote.exec_run(state, host, take_command(args))


def verb_push(state, args):
    host = take_host(args)
    if len(args) != 2:
        raise UsageError("lab push HOST FILE DEST")
    remote.push(state, host, args[0], args[1])


def verb_pull(state, args):
    host = take_host(args)
    if len(args) != 2:
        raise UsageError("lab pull HOST SRC FILE")
    remote.pull(state, host, args[0], args[1])


def verb_console(state, args):
    log = take_flag(args, "--log")
    host = take_host(args)
    done_with(args)
    (console.print_log if log else console.attach)(state, host)


def verb_kill(state, args):
    host = take_host(args)
    done_with(args)
    vm.kill(state, host)


def verb_boot(state, args):
    host = take_host(args)
    done_with(args)
    state.host(host)
    state.lock()
    lifecycle.boot(state, host)


def verb_freeze(state, args):
    host = take_host(args)
    done_with(args)
    vm.freeze(state, host)


def verb_thaw(state, args):
    host = take_host(args)
    done_with(args)
    vm.thaw(state, host)


def verb_link(state, args):
    if not args:
        print(link.describe(link.show(state)))
    elif args in (["down"], ["up"]):
        link.control(state, args[0])
    elif len(args) == 2 and args[0] == "rate":
        link.control(state, f"rate {link.parse_rate(args[1])}")
    elif len(args) == 2 and args[0] == "delay":
        link.control(state, f"delay {link.parse_delay(args[1])}")
    elif len(args) == 2 and args[0] == "age":
        link.control(state, f"age {link.parse_age(args[1])}")
    else:
        raise UsageError("lab link [down | up | rate R | delay D | age D]")


def verb_capture(state, args):
    if len(args) == 2 and args[0] == "start":
        link.control(state, "capture start " + os.path.abspath(args[1]))
    elif args == ["stop"]:
        link.control(state, "capture stop")
    else:
        raise UsageError("lab capture start FILE, or lab capture stop")


def verb_client(state, args):
    command = take_command(args)
    if command[0] == "lab-gap":
        command[0] = str(program("gap"))
    link.exec_client(state, command)


def verb_guest(state, args):
    start = take_flag(args, "--start")
    name = take_value(args, "--name", None)
    host = take_host(args)
    if len(args) != 1:
        raise UsageError("lab guest HOST pvh|pv|hvm [--start] [--name NAME]")
    guests.guest(state, host, args[0], name, start)


def verb_help(_state, _args):
    print(HELP, end="")


VERBS = {name[5:]: function for name, function in list(globals().items()) if name.startswith("verb_")}


def main(argv):
    if not argv or argv[0] in ("-h", "--help"):
        argv = ["help"]
    try:
        if argv[0] not in VERBS:
            raise UsageError(f"no such verb: {argv[0]}")
        state = State()
        state.load()
        VERBS[argv[0]](state, list(argv[1:]))
    except UsageError as error:
        print(f"lab: {error}; see: lab help", file=sys.stderr)
        return 2
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return 0
