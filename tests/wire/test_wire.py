#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""lifeboat-wire against the independent peer: test_wire.py BUILD_DIRECTORY

The program under test is build/lifeboat-wire itself, with a socket pair in place of its engine (descriptor 3) and
a TCP connection (descriptor 4). What the engine says is migrate/record.h's local form; what goes over
TCP is docs/wire-format.md's, as peer.py knows it.
"""
import mmap
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import peer  # noqa: E402
from peer import AES, CHACHA, DESTINATION, PAGE, SOURCE, TYPES, Connection  # noqa: E402

# The child's descriptors 3 and 4 must not be somebody else's here.
while os.open("/dev/null", os.O_RDWR) < 16:
    pass

WIRE = os.path.abspath(os.path.join(sys.argv.pop(1) if len(sys.argv) > 1 else "build", "lifeboat-wire"))
ZERO = 1 << 52
SETUP, LINK_UP, LINK_DOWN, STATS, PACE, LANE, SLOT = range(0x1000, 0x1007)
LOCAL = {LINK_UP: "LINK_UP", LINK_DOWN: "LINK_DOWN", STATS: "STATS", SLOT: "SLOT"}
HAVE_AES = " aes " in open("/proc/cpuinfo", encoding="ascii", errors="replace").read()
CIPHERS = (CHACHA, AES) if HAVE_AES else (CHACHA,)
MARKER = b"the guest's own secret, to be found by nobody on the way"


class Wire:
    """One lifeboat-wire with us as its engine and `self.net` as the other end of its connection."""

    def __init__(self, role, secret, peers):
        engine, theirs = socket.socketpair()
        with socket.create_server(("127.0.0.1", 0)) as server:
            out = socket.create_connection(server.getsockname())
            self.net = server.accept()[0]
        for sock in (out, self.net):  # as migrate/link.c does
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def place():
            os.dup2(theirs.fileno(), 3)
            os.dup2(out.fileno(), 4)

        self.process = subprocess.Popen([WIRE], preexec_fn=place, pass_fds=(3, 4),
                                        stderr=None if os.environ.get("VERBOSE") else subprocess.DEVNULL)
        theirs.close()
        out.close()
        self.engine = engine
        self.engine.settimeout(30)
        self.net.settimeout(30)
        body = struct.pack("<I", 1 if role == SOURCE else 2) + secret + peer.string("nobody")
        body += struct.pack("<I", len(peers))
        for name, key in peers:
            body += peer.string(name) + key
        self.put(SETUP, body)

    def put(self, kind, body=b""):
        self.engine.sendall(struct.pack("<II", kind, len(body)) + body)

    def read(self, length):
        data = b""
        while len(data) < length:
            part = self.engine.recv(length - len(data))
            if not part:
                raise EOFError(f"lifeboat-wire closed after {len(data)} of {length} bytes")
            data += part
        return data

    def get(self, skip_stats=True):
        while True:
            kind, length = struct.unpack("<II", self.read(8))
            body = self.read(length)
            if kind != STATS or not skip_stats:
                return LOCAL.get(kind) or peer.KINDS[kind][0], body

    def everything(self):
        """All records until the end."""
        got = []
        while True:
            try:
                got.append(self.get())
            except (EOFError, ConnectionError):
                return got

    def close(self):
        self.engine.close()
        self.net.close()
        try:
            return self.process.wait(10)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()


def in_thread(function, *args):
    """Run it beside us; `.result()` joins and gives its value or raises what it raised."""
    box = {}

    def run():
        try:
            box["value"] = function(*args)
        except BaseException as e:  # pylint: disable=broad-except
            box["error"] = e

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def result():
        thread.join(60)
        if "error" in box:
            raise box["error"]
        return box["value"]

    thread.result = result
    return thread


def random_batch(rnd, nr):
    entries, pages = [], []
    for _ in range(nr):
        kind = rnd.choice((0, 0, 0, 1, 2, 3, 4, 9, 10, 11, 12, 13, 14, 15))
        entries.append(kind << 60 | rnd.getrandbits(52))
        if kind in peer.EMPTY_TYPES:
            continue
        pages.append(rnd.choice((
            bytes(PAGE), rnd.randbytes(PAGE), (b"%08x" % rnd.getrandbits(32)) * 512,
            bytes(PAGE - 1) + b"\1", rnd.randbytes(PAGE - 20) + bytes(20),
            (MARKER * 80)[:PAGE], rnd.randbytes(PAGE // 2) + MARKER + bytes(PAGE // 2 - len(MARKER)))))
    return entries, pages


def local_pages(entries, pages):
    return (struct.pack("<II", len(entries), len(pages)) + b"".join(struct.pack("<Q", e) for e in entries) +
            b"".join(pages))


def local_pages_get(body):
    """A zero page is marked with bit 52 of its entry and has no bytes."""
    nr, data = struct.unpack_from("<II", body)
    at = 8 + 8 * nr
    assert len(body) == at + data * PAGE
    entries, pages = [], []
    for entry in struct.unpack_from(f"<{nr}Q", body, 8):
        entries.append(entry & ~ZERO)
        if entry & ZERO:
            pages.append(bytes(PAGE))
        elif peer.has_contents(entry):
            pages.append(body[at:at + PAGE])
            at += PAGE
    assert at == len(body)
    return entries, pages


class WireTest(unittest.TestCase):
    def setUp(self):
        self.began = time.monotonic()
        self.ours, self.theirs = os.urandom(32), os.urandom(32)  # lifeboat-wire's secret, the peer's
        self.wire = None

    def tearDown(self):
        if self.wire:
            self.wire.close()
        if os.environ.get("VERBOSE"):
            print(f"{self.id()}: {time.monotonic() - self.began:.1f} s", file=sys.stderr)

    def start(self, role, ciphers=CHACHA | AES, peers=None):
        """lifeboat-wire in this role, and the peer that it talks to."""
        key = peer.public_of(self.theirs)
        self.wire = Wire(role, self.ours, [("peer", key)] if peers is None else peers)
        return Connection(self.wire.net, DESTINATION if role == SOURCE else SOURCE, self.theirs,
                          peer.public_of(self.ours), ciphers, keep_raw=True)

    def connect(self, role, ciphers=CHACHA | AES):
        conn = self.start(role, ciphers)
        conn.handshake()
        return conn

    def down(self):
        """The records until LINK_DOWN, and its sentence."""
        got = self.wire.everything()
        self.assertTrue(got and got[-1][0] == "LINK_DOWN", f"no LINK_DOWN at the end: {[n for n, _ in got]}")
        return [name for name, _ in got[:-1]], peer.reason_get(got[-1][1])["what"]


class Talk(WireTest):
    """Everything that may be said arrives as it was said."""

    def test_source(self):
        for cipher in CIPHERS:
            with self.subTest(cipher=peer.CIPHER_NAMES[cipher]):
                self.source(cipher)
                self.wire.close()

    def source(self, cipher):
        rnd = random.Random(cipher)
        conn = self.connect(SOURCE, cipher)
        batches = [random_batch(rnd, n) for n in (1, 2, 37, 255, 256)]
        name, body = self.wire.get()
        self.assertEqual((name, body), ("LINK_UP", peer.string("peer") + peer.string(peer.CIPHER_NAMES[cipher])))
        offer = peer.offer_put("g", "embedded", b'{"a": 1}', uuid=bytes(range(16)))
        # The last two again, as they are and then a little changed: told by what is kept of them.
        for entries, pages in (batches[3], batches[4]) * 3:
            pages = [page[:100] + rnd.randbytes(4) + page[104:] if rnd.random() < .5 else page for page in pages]
            batches.append((entries, pages))
        self.wire.put(TYPES["OFFER"], offer)
        self.assertEqual(peer.offer_get(conn.expect("OFFER"))["uuid"], bytes(range(16)).hex())
        conn.send("ACCEPT")
        self.assertEqual(self.wire.get(), ("ACCEPT", b""))

        def engine():
            self.wire.put(TYPES["HEAD"], b"h" * (1 << 20))
            for i, (entries, pages) in enumerate(batches):
                self.wire.put(TYPES["PAGES"], local_pages(entries, pages))
                self.wire.put(TYPES["ROUND"], struct.pack("<IQ", i, 0))
            self.wire.put(TYPES["TAIL"], b"t")

        busy = in_thread(engine)
        self.assertEqual(conn.expect("HEAD"), b"h" * (1 << 20))
        for entries, pages in batches:
            got_entries, got_pages, kinds = conn.expect("PAGES")
            conn.expect("ROUND")
            self.assertEqual(got_entries, entries)
            self.assertEqual(len(got_pages), len(pages))
            for got, want, kind in zip(got_pages, pages, kinds):
                self.assertTrue(got == want)
                self.assertEqual(kind == "zero", want == bytes(PAGE))
        self.assertEqual(conn.expect("TAIL"), b"t")
        busy.result()
        self.assertTrue(all(conn.kinds.values()), f"a kind was never used: {conn.kinds}")
        self.assertNotIn(MARKER[:16], bytes(conn.raw))
        self.assertNotIn(b"embedded", bytes(conn.raw))

    def test_destination(self):
        for cipher in CIPHERS:
            for kind in (None, 2, 3):
                with self.subTest(cipher=peer.CIPHER_NAMES[cipher], kind=kind):
                    self.destination(cipher, kind)
                    self.wire.close()

    def destination(self, cipher, kind):
        rnd = random.Random(cipher)
        conn = self.connect(DESTINATION, cipher)
        self.wire.engine.settimeout(0.3)
        with self.assertRaises(TimeoutError):  # the handshake alone is no proof: it may be a replay
            self.wire.get()
        self.wire.engine.settimeout(30)
        conn.send("OFFER", peer.offer_put("g", "embedded", b"{}"))
        self.assertEqual(self.wire.get()[0], "LINK_UP")
        self.assertEqual(self.wire.get()[0], "OFFER")
        self.wire.put(TYPES["ACCEPT"])
        conn.expect("ACCEPT")
        for nr in (1, 50, 256):
            entries, pages = random_batch(rnd, nr)
            if kind == 3:  # forced: only what LZ4 makes smaller
                pages = [page if len(peer.lz4.block.compress(page, store_size=False)) < PAGE else b"z" * PAGE
                         for page in pages]
            busy = in_thread(conn.send, "PAGES", peer.encode_pages(entries, pages, kind))
            name, body = self.wire.get()
            busy.result()
            self.assertEqual(name, "PAGES")
            if kind is None:  # a raw page of zeros is passed on as it came
                self.assertEqual(struct.unpack_from("<I", body, 4)[0], sum(page != bytes(PAGE) for page in pages))
            self.assertTrue(local_pages_get(body) == (entries, pages))

    def test_cipher_by_rate(self):
        """The destination weighs the source's figures against its own; a source that tells none gets AES."""
        best = AES if HAVE_AES else CHACHA
        for rates, want in (((0, 0), best), ((65535, 1), CHACHA), ((1, 65535), best), ((65535, 0), best)):
            with self.subTest(rates=rates):
                conn = self.start(DESTINATION)
                conn.handshake(rates=rates)
                self.assertEqual(conn.cipher, want)
                self.wire.close()

    def test_rekey(self):
        """Past three changes of keys, in both directions at different frames."""
        for cipher in CIPHERS:
            for role in (SOURCE, DESTINATION):
                with self.subTest(cipher=peer.CIPHER_NAMES[cipher], role=role):
                    conn = self.connect(role, cipher)
                    there, back = ("ROUND", "APPLIED") if role == SOURCE else ("APPLIED", "ROUND")
                    for i in range(800):
                        body = struct.pack("<IQ", i, 2 * i)
                        conn.send(back, body)
                        got = self.wire.get()
                        if got[0] == "LINK_UP":
                            got = self.wire.get()
                        self.assertEqual(got, (back, body))
                        if i % 3:
                            self.wire.put(TYPES[there], body)
                            self.assertEqual(conn.expect(there), body)
                    self.wire.close()

    def test_statistics(self):
        conn = self.connect(SOURCE)
        self.wire.get()
        self.wire.put(TYPES["HEAD"], bytes(100))
        conn.expect("HEAD")
        conn.send("REFUSED", peer.reason_put("x"))
        name, body = self.wire.get(skip_stats=False)
        self.assertEqual((name, struct.unpack("<QQ", body)), ("STATS", (4 + 8 + 100 + 16, 4 + 8 + 5 + 16)))
        self.assertEqual(self.wire.get(skip_stats=False)[0], "REFUSED")

    def test_last_record_arrives(self):
        """The engine says one thing and goes, while the peer still sends: no reset may eat it."""
        conn = self.connect(DESTINATION)
        conn.send("OFFER", peer.offer_put("g", "embedded", b"{}"))
        self.wire.get()
        for _ in range(20):
            conn.send("HEAD", bytes(10000))
        self.wire.put(TYPES["REFUSED"], peer.reason_put("no room", "Make some"))
        self.wire.engine.close()
        self.assertEqual(peer.reason_get(conn.expect("REFUSED"))["what"], "no room")
        with self.assertRaises(peer.Ended):
            conn.receive()


class Lane(WireTest):
    """Contents of pages in memory that engine and lifeboat-wire share (migrate/lane.h)."""
    SLOTS, SLOT_BYTES = 4, 256 * PAGE

    def lane(self, nr_fds=2, size=SLOTS * SLOT_BYTES, slots=SLOTS, first=0):
        memory = os.memfd_create("lane")
        os.ftruncate(memory, size)
        self.memory = mmap.mmap(memory, self.SLOTS * self.SLOT_BYTES) if size else None
        self.credit, theirs = socket.socketpair()
        self.credit.settimeout(10)
        fds = [memory, theirs.fileno()][:nr_fds]
        head = struct.pack("<IIII", LANE, 8, slots, first)
        socket.send_fds(self.wire.engine, [head[:1]], fds)
        self.wire.engine.sendall(head[1:])
        os.close(memory)
        theirs.close()

    def test_source(self):
        """Its slots are free when the destination says so, not when they are sent; another link may begin with any."""
        rnd = random.Random(3)
        conn = self.connect(SOURCE)
        self.wire.get()
        first = 2
        self.lane(first=first)
        batches = [random_batch(rnd, n) for n in (1, 256, 3, 200, 256, 7, 256)]
        free = threading.Semaphore(self.SLOTS)

        def engine():
            for i, (entries, pages) in enumerate(batches):
                self.assertTrue(free.acquire(timeout=30))
                at = (first + i) % self.SLOTS * self.SLOT_BYTES
                # Every second batch says which of its pages are zero instead of showing them.
                mark = [i % 2 and page == bytes(PAGE) for page in pages]
                data = [page for page, marked in zip(pages, mark) if not marked]
                self.memory[at:at + len(data) * PAGE] = b"".join(data)
                marks = iter(mark)
                marked = [e | (ZERO if peer.has_contents(e) and next(marks) else 0) for e in entries]
                self.wire.put(SLOT, struct.pack("<II", len(entries), len(data)) +
                              b"".join(struct.pack("<Q", e) for e in marked))

        busy = in_thread(engine)
        for entries, pages in batches:
            self.assertTrue(conn.expect("PAGES")[:2] == (entries, pages))
            free.release()
        busy.result()
        self.credit.setblocking(False)
        self.assertRaises(BlockingIOError, self.credit.recv, 1)

    def slots(self, conn, batches):
        """As a destination: offer, take the lane, then send so many batches."""
        conn.send("OFFER", b"x")
        self.assertEqual([self.wire.get()[0] for _ in range(2)], ["LINK_UP", "OFFER"])
        self.lane()
        self.wire.put(TYPES["ACCEPT"])
        conn.expect("ACCEPT")

        def source():
            for entries, pages in batches:
                conn.send("PAGES", peer.encode_pages(entries, pages))
            conn.send("TAIL", b"t")

        return in_thread(source)

    def slot(self, i):
        name, body = self.wire.get()
        self.assertEqual(name, "SLOT")
        nr, data = struct.unpack_from("<II", body)
        at = i % self.SLOTS * self.SLOT_BYTES
        return local_pages_get(body + self.memory[at:at + data * PAGE]), nr

    def test_destination(self):
        rnd = random.Random(4)
        batches = [random_batch(rnd, n) for n in (256, 1, 30, 256, 256, 2)]
        conn = self.connect(DESTINATION)
        busy = self.slots(conn, batches)
        for i in range(self.SLOTS):
            self.assertTrue(self.slot(i)[0] == batches[i])
        self.wire.engine.settimeout(0.3)
        with self.assertRaises(TimeoutError):  # no slot is free: nothing may overwrite what is being read
            self.wire.get()
        self.wire.engine.settimeout(30)
        for i in range(self.SLOTS, len(batches)):
            self.credit.send(b"x")
            self.assertTrue(self.slot(i)[0] == batches[i])
        self.credit.send(b"x")
        self.assertEqual(self.wire.get(), ("TAIL", b"t"))
        busy.result()

    def test_engine_goes_while_no_slot_is_free(self):
        """Its last word is still passed on."""
        conn = self.connect(DESTINATION)
        self.slots(conn, [random_batch(random.Random(5), 256)] * 6)
        for i in range(self.SLOTS):
            self.slot(i)
        self.wire.put(TYPES["REFUSED"], peer.reason_put("no room"))
        self.wire.engine.close()
        self.credit.close()
        self.assertEqual(peer.reason_get(conn.expect("REFUSED"))["what"], "no room")
        self.assertIsNotNone(self.wire.process.wait(10))

    def test_bad_lanes(self):
        entry = struct.pack("<IIQ", 1, 1, 5)
        for how in ("no memory", "one descriptor", "no slots", "too many slots", "no such slot", "twice", "slot without lane",
                    "slot as destination"):
            with self.subTest(how=how):
                conn = self.connect(DESTINATION if how == "slot as destination" else SOURCE)
                if how == "no memory":
                    self.wire.put(LANE, struct.pack("<II", 4, 0))
                elif how == "one descriptor":
                    self.lane(nr_fds=1)
                elif how == "no slots":
                    self.lane(slots=0)
                elif how == "too many slots":
                    self.lane(slots=65)
                elif how == "no such slot":
                    self.lane(first=4)
                elif how == "twice":
                    self.lane()
                    self.lane()
                elif how == "slot without lane":
                    self.wire.put(SLOT, entry)
                else:
                    self.lane()
                    self.wire.put(SLOT, entry)
                self.assertEqual(conn.wait_end(8), b"")
                self.wire.close()


class Ends(WireTest):
    """Whoever goes, the others hear of it soon."""

    def test_both_ends_go(self):
        """The engine while the peer takes nothing, then the peer: nothing is left to wait for."""
        conn = self.connect(SOURCE)
        self.fill_up()
        self.wire.engine.close()
        conn.send("ACCEPT", struct.pack("<Q", 1))  # there is nobody to hand it to
        self.wire.net.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.wire.net.close()
        self.assertIsNotNone(self.wire.process.wait(10))

    def fill_up(self):
        """Until not even the engine's own socket takes more."""
        self.wire.engine.settimeout(0.5)
        with self.assertRaises(TimeoutError):
            while True:
                self.wire.put(TYPES["HEAD"], bytes(1 << 20))

    def test_engine_dies_amid_a_record(self):
        for role in (SOURCE, DESTINATION):
            with self.subTest(role=role):
                conn = self.connect(role)
                conn.send("OFFER" if role == DESTINATION else "ACCEPT")
                self.wire.engine.sendall(struct.pack("<II", TYPES["HEAD" if role == SOURCE else "REFUSED"], 1000)
                                         + bytes(500))
                time.sleep(0.2)
                self.wire.engine.close()
                self.assertEqual(conn.wait_end(8), b"")
                conn.sock.close()
                self.assertIsNotNone(self.wire.process.wait(8))

    def test_engine_says_nonsense(self):
        for kind in (0, 2, max(peer.KINDS) + 1, SETUP, LINK_UP, 0xffffffff):
            with self.subTest(kind=kind):
                conn = self.connect(SOURCE)
                self.wire.put(kind)
                self.assertEqual(conn.wait_end(8), b"")
                self.wire.close()

    def test_peer_goes(self):
        for how in ("close", "half a frame", "reset"):
            with self.subTest(how=how):
                conn = self.connect(SOURCE)
                if how == "half a frame":
                    conn.write(conn.seal.seal(bytes(24))[:20])
                if how == "reset":
                    conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                conn.sock.close()
                before, what = self.down()
                self.assertEqual(before, ["LINK_UP"])
                self.assertIn("peer", what)
                self.assertNotEqual(self.wire.process.wait(10), 0)

    def test_wire_dies(self):
        conn = self.connect(SOURCE)
        self.assertEqual(self.wire.get()[0], "LINK_UP")
        self.wire.process.send_signal(signal.SIGKILL)
        self.assertEqual(self.wire.everything(), [])
        self.assertEqual(conn.wait_end(5), b"")


class Strangers(WireTest):
    """Who has not proved a key gets no byte and reaches nobody."""

    def nothing(self, conn, sentence, seconds=8):
        self.assertEqual(conn.wait_end(seconds), b"")
        before, what = self.down()
        self.assertEqual(before, [])
        self.assertIn(sentence, what)

    def test_unknown_key(self):
        conn = self.start(DESTINATION, peers=[("other", peer.public_of(os.urandom(32)))])
        conn.write(peer.Noise(self.theirs, conn.peer_key).write_1(conn.peer_key, peer.payload_put(3)))
        self.nothing(conn, "which no peer in the config has")

    def test_no_peers_at_all(self):
        conn = self.start(DESTINATION, peers=[])
        conn.write(peer.Noise(self.theirs, conn.peer_key).write_1(conn.peer_key, peer.payload_put(3)))
        self.nothing(conn, "which no peer in the config has")

    def test_wrong_host_key(self):
        conn = self.start(DESTINATION)
        other = peer.public_of(os.urandom(32))
        conn.write(peer.Noise(self.theirs, other).write_1(other, peer.payload_put(3)))
        self.nothing(conn, "does not know this host's key")

    def test_other_prologue(self):
        conn = self.start(DESTINATION)
        conn.write(peer.Noise(self.theirs, conn.peer_key, prologue=b"lifeboat wire 1").write_1(
            conn.peer_key, peer.payload_put(3)))
        self.nothing(conn, "does not know this host's key")

    def test_changed_message_1(self):
        rnd = random.Random(1)
        for at in range(0, 112, 9):
            with self.subTest(at=at):
                conn = self.start(DESTINATION)
                message = bytearray(peer.Noise(self.theirs, conn.peer_key).write_1(conn.peer_key, peer.payload_put(3)))
                message[at] ^= 1 << rnd.randrange(8)
                conn.write(bytes(message))
                self.nothing(conn, "does not know this host's key")
                self.wire.close()

    def test_garbage(self):
        for data in (bytes(112), b"\xff" * 112, os.urandom(112), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 5):
            conn = self.start(DESTINATION)
            conn.write(data)
            self.nothing(conn, "does not know this host's key")
            self.wire.close()

    def test_half_a_handshake(self):
        conn = self.start(DESTINATION)
        conn.write(os.urandom(111))
        conn.sock.shutdown(socket.SHUT_WR)
        self.nothing(conn, "sent no handshake")

    def test_slow_loris(self):
        """A byte now and then does not stretch the deadline of the handshake."""
        conn = self.start(DESTINATION)
        start = time.monotonic()
        try:
            while time.monotonic() - start < 20:
                conn.write(b"x")
                time.sleep(0.5)
                if self.wire.process.poll() is not None:
                    break
        except peer.Ended:
            pass
        self.assertLess(time.monotonic() - start, 14)
        self.assertEqual(bytes(conn.raw), b"")
        self.assertIn("sent no handshake", self.down()[1])

    def test_version_and_ciphers(self):
        for payload, sentence in ((peer.payload_put(3, version=1), "speaks version 1"),
                                  (peer.payload_put(0), "no cipher in common"),
                                  (peer.payload_put(0xfffffffc), "no cipher in common")):
            conn = self.start(DESTINATION)
            conn.write(peer.Noise(self.theirs, conn.peer_key).write_1(conn.peer_key, payload))
            self.nothing(conn, sentence)
            self.wire.close()

    def test_replayed_message_1(self):
        """It is answered, but whoever sent it cannot go on, and the engine never hears of it."""
        conn = self.start(DESTINATION)
        conn.handshake()
        recorded = conn.message_1
        self.wire.close()
        conn = self.start(DESTINATION)
        conn.write(recorded)
        self.assertEqual(len(conn.read(64)), 64)
        conn.write(struct.pack("<I", 24) + os.urandom(24))
        self.nothing(conn, "not a valid frame")


class LyingDestination(WireTest):
    """As the source, lifeboat-wire believes nobody but the host whose key is configured."""

    def test_wrong_key(self):
        conn = self.start(SOURCE, peers=[("peer", peer.public_of(os.urandom(32)))])
        with self.assertRaises(peer.Refused):
            conn.handshake()
        conn.sock.close()
        before, what = self.down()
        self.assertEqual(before, [])
        self.assertIn("closed the connection", what)

    def test_bad_answer(self):
        for data in (bytes(64), os.urandom(64), b"\xff" * 64):
            conn = self.start(SOURCE)
            conn.read(112)
            conn.write(data)
            self.assertEqual(conn.wait_end(8), b"")
            self.assertIn("could not prove its key", self.down()[1])
            self.wire.close()

    def test_version_and_ciphers(self):
        for version, choice, sentence in ((1, None, "speaks version 1"), (peer.VERSION, 0, "no cipher"), (peer.VERSION, 4, "no cipher")):
            conn = self.start(SOURCE)
            conn.handshake(version, choice)
            self.assertEqual(conn.wait_end(8), b"")
            before, what = self.down()
            self.assertEqual(before, [])
            self.assertIn(sentence, what)
            self.wire.close()

    def test_unusable_configured_key(self):
        self.start(SOURCE, peers=[("peer", bytes(32))])
        self.assertIn("no usable key", self.down()[1])

    def test_lies(self):
        for how in ("bad-tag", "short-frame", "oversized", "garbage", "unknown-type", "local-type", "source-type",
                    "bad-length"):
            with self.subTest(how=how):
                conn = self.connect(SOURCE)
                conn.send("ACCEPT")
                peer.lie(conn, how)
                self.assertEqual(conn.wait_end(8), b"")
                before, what = self.down()
                self.assertEqual(before, ["LINK_UP", "ACCEPT"])
                self.assertIn("not a valid frame", what)
                self.wire.close()


class LyingSource(WireTest):
    """As the destination, it passes on nothing that docs/wire-format.md refuses."""

    ON_THE_WIRE = tuple(how for how in peer.RECORD_WRONGS
                        if how not in ("out-of-turn", "bad-round", "second-offer", "replay"))

    def test_frames_and_records(self):
        for how in self.ON_THE_WIRE:
            with self.subTest(how=how):
                self.lie(lambda conn, how=how: peer.wrong_record(conn, how))

    def test_pages(self):
        for how in peer.PAGE_WRONGS:
            with self.subTest(how=how):
                self.lie(lambda conn, how=how: conn.send("PAGES", peer.wrong_pages(how)))

    def test_replayed_frame(self):
        conn = self.connect(DESTINATION)
        frame = conn.seal.seal(struct.pack("<II", TYPES["HEAD"], 1) + b"h")
        conn.write(frame + frame)
        self.assertEqual(conn.wait_end(8), b"")
        self.assertEqual(self.down()[0], ["LINK_UP", "HEAD"])

    def test_first_frame_is_bad(self):
        """No LINK_UP for a peer that has not proved it knows the keys."""
        conn = self.connect(DESTINATION)
        conn.write(struct.pack("<I", 40) + os.urandom(40))
        self.assertEqual(conn.wait_end(8), b"")
        self.assertEqual(self.down()[0], [])

    def lie(self, tell):
        conn = self.connect(DESTINATION)
        conn.send("OFFER", b"x")
        tell(conn)
        self.assertEqual(conn.wait_end(8), b"")
        before, what = self.down()
        self.assertEqual(before, ["LINK_UP", "OFFER"])
        self.assertIn("not a valid frame", what)
        self.assertNotEqual(self.wire.close(), 0)


if __name__ == "__main__":
    unittest.main(verbosity=1)
