#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A second implementation of docs/wire-format.md, written from that page alone.

As a library: Connection (either role), encode_pages, decode_pages. As a program it is a peer for tests, honest
or lying in one named way; it prints what it saw as JSON and exits 0 when the other side did what it should.
"""
import argparse
import base64
import hashlib
import hmac
import ipaddress
import json
import os
import selectors
import socket
import struct
import sys
import time

import lz4.block
import xxhash
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

VERSION = 3
PAGE = 4096
BODY_MAX = (1 << 20) + 4096
FRAME_MIN, FRAME_MAX = 24, 8 + BODY_MAX + 16
CHACHA, AES = 1, 2
CIPHER_NAMES = {CHACHA: "ChaCha20-Poly1305", AES: "AES-256-GCM"}
SOURCE, DESTINATION = "source", "destination"
KINDS = {
    1: ("OFFER", SOURCE), 2: ("ACCEPT", DESTINATION), 3: ("REFUSED", DESTINATION), 4: ("HEAD", SOURCE),
    5: ("PAGES", SOURCE), 6: ("TAIL", SOURCE), 7: ("ROUND", SOURCE), 8: ("APPLIED", DESTINATION),
    9: ("QUIESCED", SOURCE), 10: ("READY", DESTINATION), 11: ("GO", SOURCE), 12: ("DONE", DESTINATION),
    13: ("GONE", SOURCE), 14: ("CLOSED", DESTINATION), 15: ("ABORT", SOURCE),
    16: ("RESOLVE", SOURCE), 17: ("UNKNOWN", DESTINATION), 18: ("FINDINGS", DESTINATION),
    19: ("PROBE", DESTINATION), 20: ("PROBED", SOURCE), 21: ("ADDRESSES", SOURCE), 22: ("PLACE", DESTINATION),
    23: ("JOIN", SOURCE), 24: ("JOINED", DESTINATION), 25: ("SUSPENDING", SOURCE),
}
TYPES = {name: number for number, (name, _) in KINDS.items()}
PAGE_KINDS = {1: "zero", 2: "raw", 3: "lz4", 4: "same", 5: "delta"}
EMPTY_TYPES = (13, 14, 15)
COUNTED = ("HEAD", "PAGES", "TAIL", "ROUND", "ADDRESSES", "SUSPENDING")


class Refused(Exception):
    """What arrived must be refused (section 5 of the page)."""


class Ended(Exception):
    """The other side closed the connection."""


# ---- handshake ----

PROTOCOL = b"Noise_IK_25519_ChaChaPoly_SHA256"
PROLOGUE = b"lifeboat wire 3"


def public_of(secret):
    key = X25519PrivateKey.from_private_bytes(secret).public_key()
    return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def dh(secret, public):
    try:
        return X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as e:  # the all-zero result
        raise Refused(f"degenerate key: {e}") from e


def hkdf2(chaining_key, data):
    temp = hmac.new(chaining_key, data, hashlib.sha256).digest()
    first = hmac.new(temp, b"\x01", hashlib.sha256).digest()
    return first, hmac.new(temp, first + b"\x02", hashlib.sha256).digest()


class Noise:
    def __init__(self, secret, responder_public, ephemeral=None, prologue=PROLOGUE):
        self.s = secret
        self.e = ephemeral or os.urandom(32)
        self.h = self.ck = PROTOCOL
        self.k = None
        self.n = 0
        self.mix_hash(prologue)
        self.mix_hash(responder_public)

    def mix_hash(self, data):
        self.h = hashlib.sha256(self.h + data).digest()

    def mix_key(self, shared):
        self.ck, self.k = hkdf2(self.ck, shared)
        self.n = 0

    def nonce(self):
        self.n += 1
        return bytes(4) + struct.pack("<Q", self.n - 1)

    def seal(self, plain):
        sealed = ChaCha20Poly1305(self.k).encrypt(self.nonce(), plain, self.h)
        self.mix_hash(sealed)
        return sealed

    def open(self, sealed):
        try:
            plain = ChaCha20Poly1305(self.k).decrypt(self.nonce(), sealed, self.h)
        except InvalidTag as e:
            raise Refused("a handshake message that does not authenticate") from e
        self.mix_hash(sealed)
        return plain

    def write_1(self, responder, payload):
        e = public_of(self.e)
        self.mix_hash(e)
        self.mix_key(dh(self.e, responder))
        s = self.seal(public_of(self.s))
        self.mix_key(dh(self.s, responder))
        return e + s + self.seal(payload)

    def read_1(self, message):
        self.remote_e = message[:32]
        self.mix_hash(self.remote_e)
        self.mix_key(dh(self.s, self.remote_e))
        self.remote_s = self.open(message[32:80])
        self.mix_key(dh(self.s, self.remote_s))
        return self.open(message[80:112])

    def write_2(self, payload):
        e = public_of(self.e)
        self.mix_hash(e)
        self.mix_key(dh(self.e, self.remote_e))
        self.mix_key(dh(self.e, self.remote_s))
        return e + self.seal(payload)

    def read_2(self, message):
        remote_e = message[:32]
        self.mix_hash(remote_e)
        self.mix_key(dh(self.e, remote_e))
        self.mix_key(dh(self.s, remote_e))
        return self.open(message[32:64])

    def split(self):
        return hkdf2(self.ck, b"")


def payload_put(ciphers, version=VERSION, chacha=0, aes=0):
    return struct.pack("<IIHHI", version, ciphers, chacha, aes, 0)


def payload_get(payload):
    version, ciphers, _, _, _ = struct.unpack("<IIHHI", payload)
    if version != VERSION:
        raise Refused(f"version {version}")
    return ciphers


# ---- frames ----

class Direction:
    """One key and one count; frame numbers are nonces."""

    def __init__(self, key, cipher):
        self.key, self.cipher, self.frames = key, cipher, 0

    def next(self):
        if self.frames and self.frames % 256 == 0:
            self.key = hashlib.blake2b(b"lifeboat rekey", digest_size=32, key=self.key).digest()
        nonce = bytes(4) + struct.pack("<Q", self.frames)
        self.frames += 1
        return (AESGCM if self.cipher == AES else ChaCha20Poly1305)(self.key), nonce

    def seal(self, plain):
        aead, nonce = self.next()
        head = struct.pack("<I", len(plain) + 16)
        return head + aead.encrypt(nonce, plain, head)

    def open(self, head, sealed):
        aead, nonce = self.next()
        try:
            return aead.decrypt(nonce, sealed, head)
        except InvalidTag as e:
            raise Refused("a frame that does not open") from e


# ---- PAGES ----

def entry_type(entry):
    return entry >> 60


def has_contents(entry):
    return entry_type(entry) not in EMPTY_TYPES


def encode_pages(entries, pages, kind=None):
    """`pages`: one 4096-byte string for each entry with contents. `kind` forces one of PAGE_KINDS."""
    table, bodies = b"", b""
    for page in pages:
        packed = lz4.block.compress(page, store_size=False)
        if kind is None:
            use = 1 if page == bytes(PAGE) else 3 if len(packed) < PAGE else 2
        else:
            use = kind
        body = {1: b"", 2: page, 3: packed}[use]
        table += struct.pack("<BBH", use, 0, len(body))
        bodies += body
    return struct.pack("<II", len(entries), 0) + b"".join(struct.pack("<Q", e) for e in entries) + table + bodies


def xor(a, b):
    return (int.from_bytes(a, "little") ^ int.from_bytes(b, "little")).to_bytes(PAGE, "little")


def inflate(body):
    try:
        return lz4.block.decompress(body, uncompressed_size=PAGE) if 0 < len(body) < PAGE else b""
    except lz4.block.LZ4BlockError as e:
        raise Refused(f"a bad LZ4 block: {e}") from e


def decode_page(pfn, kind, keep, body, kept):
    """`kept` is a dictionary of this connection: place -> (page number, contents)."""
    region = pfn >> 12
    place = ((region ^ region >> 2 ^ region >> 4) & 3) << 12 | pfn & 4095
    old = kept[place][1] if kept.get(place, (None,))[0] == pfn else None
    page = b""
    if keep > 1 or (keep and kind not in (2, 3)):
        raise Refused(f"a page of kind {kind} that is to be kept")
    if kind == 1 and not body:
        return bytes(PAGE)
    if kind == 2:
        page = body
    elif kind == 3:
        page = inflate(body)
    elif kind == 4 and old and not body:
        page = old
    elif kind == 5 and old:
        page = inflate(body)
        page = xor(page, old) if len(page) == PAGE else b""
    if len(page) != PAGE:
        raise Refused(f"a page of kind {kind} with {len(body)} bytes")
    if keep or kind == 5:
        kept[place] = (pfn, page)
    return page


def decode_pages(body, kept):
    """-> entries, pages, kinds; strict. `kept` as in decode_page."""
    if len(body) < 8:
        raise Refused("PAGES too short")
    nr, reserved = struct.unpack_from("<II", body)
    if reserved or not 1 <= nr <= 256 or len(body) < 8 + 8 * nr:
        raise Refused("a bad head of PAGES")
    entries = list(struct.unpack_from(f"<{nr}Q", body, 8))
    for entry in entries:
        if entry >> 52 & 0xff or entry_type(entry) in (5, 6, 7, 8):
            raise Refused(f"entry {entry:#x}")
    data = sum(map(has_contents, entries))
    at = 8 + 8 * nr
    bodies = at + 4 * data
    if len(body) < bodies:
        raise Refused("descriptors cut off")
    pages, kinds = [], []
    for i, entry in enumerate(filter(has_contents, entries)):
        kind, keep, length = struct.unpack_from("<BBH", body, at + 4 * i)
        if bodies + length > len(body):
            raise Refused("a bad descriptor")
        pages.append(decode_page(entry & (1 << 52) - 1, kind, keep, body[bodies:bodies + length], kept))
        kinds.append(PAGE_KINDS[kind])
        bodies += length
    if bodies != len(body):
        raise Refused("bytes after the last page")
    return entries, pages, kinds


# ---- bodies with fields ----

class Fields:
    def __init__(self, body):
        self.body, self.at = body, 0

    def take(self, length):
        if self.at + length > len(self.body):
            raise Refused("a body that ends too early")
        self.at += length
        return self.body[self.at - length:self.at]

    def number(self, form):
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))[0]

    def string(self, limit):
        text = self.take(self.number("H"))
        if len(text) > limit or b"\0" in text:
            raise Refused("a bad string")
        return text.decode("utf-8", "replace")

    def end(self):
        if self.at != len(self.body):
            raise Refused("bytes after the end of a body")


def string(text):
    text = text.encode()
    return struct.pack("<H", len(text)) + text


def offer_put(name, backend, config, check_only=False, uuid=bytes(16), version=VERSION, token=None, term=1):
    return (struct.pack("<II", version, 1 if check_only else 0) + string(backend) + string(name) + uuid +
            (token or os.urandom(16)) + struct.pack("<QI", term, len(config)) + config)


def resolve_put(uuid, token, ceded, term=1):
    return uuid + token + struct.pack("<IQ", ceded, term)


def resolve_get(body):
    f = Fields(body)
    asked = {"uuid": f.take(16).hex(), "token": f.take(16).hex(), "ceded": f.number("I"),
             "term": f.number("Q")}
    f.end()
    if asked["ceded"] > 1:
        raise Refused("a bad RESOLVE")
    return asked


def offer_get(body):
    f = Fields(body)
    offer = {"version": f.number("I"), "flags": f.number("I"), "backend": f.string(15), "name": f.string(63),
             "uuid": f.take(16).hex(), "token": f.take(16).hex(), "term": f.number("Q")}
    offer["json"] = f.take(f.number("I")).decode()
    f.end()
    if offer["version"] != VERSION or offer["flags"] & ~7 or offer["flags"] & 5 == 4 or "\0" in offer["json"]:
        raise Refused("a bad OFFER")
    return offer


def reason_put(what, fix=""):
    return string(what) + string(fix)


def reason_get(body):
    f = Fields(body)
    reason = {"what": f.string(511), "fix": f.string(511)}
    f.end()
    return reason


SEVERITIES = {1: "blocker", 2: "risk", 3: "warning"}


def findings_put(findings):
    """Of (severity, code, what, fix)."""
    numbers = {name: number for number, name in SEVERITIES.items()}
    return struct.pack("<I", len(findings)) + b"".join(
        struct.pack("<I", numbers[severity]) + string(code) + string(what) + string(fix)
        for severity, code, what, fix in findings)


def addresses_get(body):
    """Of (vif, address, origin, router, vlan); None for an address that is not known."""
    f = Fields(body)
    nr = f.number("H")
    if nr > 32:
        raise Refused(f"{nr} addresses")
    found = []
    for _ in range(nr):
        vif, family, origin, router, vlan = (f.number(form) for form in "BBBBH")
        if vif > 7 or family not in (0, 4, 6) or not 1 <= origin <= 5 or router > 1 or vlan > 4094:
            raise Refused("a bad address")
        ip = ipaddress.ip_address(f.take({0: 0, 4: 4, 6: 16}[family])) if family else None
        found.append((vif, ip and str(ip), origin, router, vlan))
    f.end()
    return found


def findings_get(body):
    f = Fields(body)
    nr = f.number("I")
    if not 1 <= nr <= 48:
        raise Refused(f"{nr} findings")
    found = []
    for _ in range(nr):
        severity = f.number("I")
        one = {"severity": SEVERITIES.get(severity), "code": f.string(23), "what": f.string(511),
               "fix": f.string(511)}
        if not all(one.values()):
            raise Refused("a bad finding")
        found.append(one)
    f.end()
    return found


def round_get(body):
    if len(body) != 12:
        raise Refused("a bad ROUND")
    return struct.unpack("<IQ", body)


# ---- what all pages come to ----

class Sums:
    """Section 4.1 of the page, written from there."""
    PRIME = (1 << 61) - 1

    def __init__(self, token):
        self.seed = int.from_bytes(token[:8], "little")
        self.pages = 0
        self.sums = [0, 0, 0]

    def take(self, stream, number, entries, pages):
        left = iter(pages)
        for entry in entries:
            pfn, data = entry & (1 << 52) - 1, b"none"
            if has_contents(entry):
                data = next(left)
                self.pages += 1
            key = (self.seed + stream * 0x165667b19e3779f9 + number * 0xc2b2ae3d27d4eb4f + pfn * 0x9e3779b97f4a7c15 +
                   entry_type(entry)) % (1 << 64)
            h = xxhash.xxh3_64_intdigest(data if data != bytes(PAGE) else b"zero", key)
            self.sums = [(s + pfn ** power * h) % self.PRIME for power, s in enumerate(self.sums)]

    def body(self):
        return struct.pack("<4Q", self.pages, *self.sums)


# ---- a connection ----

class Connection:
    """One end of a connection. `raw` keeps every byte that came, for those who look for clear text."""

    def __init__(self, sock, role, secret, peer_key, ciphers=CHACHA | AES, keep_raw=False):
        self.sock, self.role, self.secret, self.peer_key, self.ciphers = sock, role, secret, peer_key, ciphers
        self.other = SOURCE if role == DESTINATION else DESTINATION
        self.raw = bytearray() if keep_raw else None
        self.bytes_in = self.bytes_out = 0
        self.records = {}
        self.kinds = dict.fromkeys([*PAGE_KINDS.values(), "empty"], 0)
        self.kept = {}
        self.cipher = None

    def read(self, length):
        data = bytearray()
        while len(data) < length:
            try:
                part = self.sock.recv(length - len(data))
            except ConnectionError as e:
                raise Ended(str(e)) from e
            if not part:
                raise Ended(f"after {len(data)} of {length} bytes")
            data += part
            self.bytes_in += len(part)
            if self.raw is not None:
                self.raw += part
        return bytes(data)

    def write(self, data):
        try:
            self.sock.sendall(data)
        except ConnectionError as e:
            raise Ended(str(e)) from e
        self.bytes_out += len(data)

    def handshake(self, version=VERSION, choice=None, rates=(0, 0)):
        if self.role == SOURCE:
            self.initiate(version, rates)
        else:
            self.respond(version, choice)

    def initiate(self, version=VERSION, rates=(0, 0)):
        n = Noise(self.secret, self.peer_key)
        self.message_1 = n.write_1(self.peer_key, payload_put(self.ciphers, version, *rates))
        self.write(self.message_1)
        chosen = payload_get(n.read_2(self.read(64)))
        if chosen not in CIPHER_NAMES or not chosen & self.ciphers:
            raise Refused(f"cipher {chosen} was not offered")
        self.begin(n, chosen)

    def respond(self, version=VERSION, choice=None):
        n = Noise(self.secret, public_of(self.secret))
        theirs = payload_get(n.read_1(self.read(112)))
        if n.remote_s != self.peer_key:
            raise Refused("an unknown key")
        both = theirs & self.ciphers
        if not both and choice is None:
            raise Refused("no cipher in common")
        chosen = AES if both & AES else CHACHA
        self.write(n.write_2(payload_put(chosen if choice is None else choice, version)))
        self.begin(n, chosen)

    def begin(self, n, cipher):
        source, destination = n.split()
        mine, theirs = (source, destination) if self.role == SOURCE else (destination, source)
        self.cipher = cipher
        self.seal, self.open = Direction(mine, cipher), Direction(theirs, cipher)

    def send_plain(self, plain):
        self.write(self.seal.seal(plain))

    def send(self, name, body=b""):
        self.send_plain(struct.pack("<II", TYPES[name], len(body)) + body)

    def receive(self):
        """The next record, by name, checked as a whole. PAGES come as (entries, pages, kinds)."""
        head = self.read(4)
        length = struct.unpack("<I", head)[0]
        if not FRAME_MIN <= length <= FRAME_MAX:
            raise Refused(f"a frame of {length} bytes")
        plain = self.open.open(head, self.read(length))
        kind, body_len = struct.unpack_from("<II", plain)
        if body_len != len(plain) - 8 or body_len > BODY_MAX:
            raise Refused("a record with a wrong length")
        if kind not in KINDS or KINDS[kind][1] != self.other:
            raise Refused(f"record type {kind} from the {self.other}")
        name, body = KINDS[kind][0], plain[8:]
        self.records[name] = self.records.get(name, 0) + 1
        if name == "PAGES":
            body = decode_pages(body, self.kept)
            for page_kind in body[2]:
                self.kinds[page_kind] += 1
            self.kinds["empty"] += len(body[0]) - len(body[1])
        return name, body

    def expect(self, name):
        got, body = self.receive()
        if got in ("REFUSED", "UNKNOWN") and got != name:
            raise Told(got, reason_get(body))
        if got != name:
            raise Refused(f"{got} where {name} was due")
        return body

    def wait_end(self, seconds):
        """Read to the end of the connection; what came. Raises TimeoutError when it does not end."""
        self.sock.settimeout(seconds)
        came = b""
        try:
            while True:
                part = self.sock.recv(65536)
                if not part:
                    return came
                came += part
        except ConnectionError:
            return came


class Told(Exception):
    """The other side ended it with a reason."""

    def __init__(self, record, reason):
        super().__init__(f"{record}: {reason['what']}")
        self.record, self.reason = record, reason


# ---- the program: a destination ----

def lie(conn, how):
    """Send one wrong thing as a destination."""
    frame = conn.seal.seal(struct.pack("<II", TYPES["APPLIED"], 12) + bytes(12))
    wrong = {
        "bad-tag": frame[:-1] + bytes([frame[-1] ^ 1]),
        "short-frame": struct.pack("<I", 0),
        "oversized": struct.pack("<I", 0xffffffff) + bytes(64),
        "garbage": os.urandom(64),
        "half-frame": frame[:10],
    }
    if how in wrong:
        conn.write(wrong[how])
    else:
        conn.seal.frames -= 1
        conn.send_plain({
            "unknown-type": struct.pack("<II", 99, 0),
            "local-type": struct.pack("<II", 0x1001, 0),
            "source-type": struct.pack("<II", TYPES["GO"], 0),
            "bad-length": struct.pack("<II", TYPES["APPLIED"], 13) + bytes(12),
            "out-of-turn": struct.pack("<II", TYPES["CLOSED"], 0),
            "findings": struct.pack("<III", TYPES["FINDINGS"], 4, 0),
        }[how])
    if how == "half-frame":
        conn.sock.shutdown(socket.SHUT_WR)


def serve(conn, args, seen):
    """An honest destination up to the point where `args` wants it to go wrong."""
    pages = rounds = applied = 0
    sums = None
    trouble = args.at
    while True:
        name, body = conn.receive()
        if args.die_after and pages + len(body[1] if name == "PAGES" else ()) >= args.die_after:
            seen["end"] = "died"
            return
        if name == trouble:
            if args.refuse is not None:
                conn.send("REFUSED", reason_put(args.refuse, "Ask the test"))
                seen["end"] = "refused"
                return
            if args.corrupt:
                lie(conn, args.corrupt)
                conn.wait_end(30)
                seen["end"] = "lied"
                return
            if args.stall:
                time.sleep(args.stall)
                seen["end"] = "stalled"
                return
        if name == "OFFER":
            seen["offer"] = offer_get(body)
            sums = Sums(bytes.fromhex(seen["offer"]["token"]))
            if args.find:
                conn.send("FINDINGS", findings_put(args.find))
            if args.find and any(f[0] == "blocker" for f in args.find):
                conn.send("REFUSED", reason_put(*args.find[0][2:]))
                seen["end"] = "refused"
                return
            conn.send("ACCEPT", struct.pack("<Q", seen["offer"]["term"]))
            if args.leave:
                seen["end"] = "left"
                return
            if seen["offer"]["flags"] & 5 == 1:
                seen["end"] = "checked"
                return
        elif name == "PAGES":
            pages += len(body[1])
            sums.take(0, applied, *body[:2])
        elif name == "ROUND":
            number, count = round_get(body)
            if number != rounds or count != pages:
                raise Refused(f"ROUND {number} with {count} pages, {pages} came")
            rounds += 1
        elif name == "ADDRESSES":
            seen["addresses"] = addresses_get(body)
        elif name == "QUIESCED":
            if body != sums.body():
                raise Refused("its pages come to something else than it says")
            conn.send("READY")
        if name in COUNTED:
            applied += 1
            if name != "PAGES" or applied % 4 == 0:
                conn.send("APPLIED", struct.pack("<Q", applied))
        if name == "GO":
            conn.send("DONE", struct.pack("<QQQ", 1000, 1000, 1000))
        elif name == "GONE":
            conn.send("CLOSED")
            seen["end"] = "done"
            return
        elif name == "ABORT":
            conn.send("REFUSED", reason_put("called off"))
            seen["end"] = "aborted"
            return
        elif name == "RESOLVE":
            seen["resolve"] = resolve_get(body)
            conn.send("UNKNOWN", reason_put("this peer keeps no journal"))
            seen["end"] = "asked"
            return


def receive(args, seen):
    host, port = args.listen.rsplit(":", 1)
    with socket.create_server((host.strip("[]"), int(port)),
                              family=socket.AF_INET6 if ":" in host else socket.AF_INET) as server:
        print(f"listening on {server.getsockname()[1]}", file=sys.stderr, flush=True)
        sock = server.accept()[0]
    conn = Connection(sock, DESTINATION, args.key, args.peer_key, args.cipher)
    seen["connection"] = conn
    sock.settimeout(args.timeout)
    if args.corrupt == "silent-handshake":
        conn.wait_end(30)
        seen["end"] = "lied"
        return
    if args.corrupt in ("bad-version", "bad-cipher"):
        conn.handshake(version=1 if args.corrupt == "bad-version" else VERSION,
                       choice=64 if args.corrupt == "bad-cipher" else None)
        seen["left"] = len(conn.wait_end(30))
        seen["end"] = "lied"
        return
    conn.handshake()
    serve(conn, args, seen)


# ---- the program: between two others, with the keys of both ----

def relay(args, seen):
    """Passes on all that is said, but for one bit of one page."""
    host, port = args.connect.rsplit(":", 1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(f"listening on {server.getsockname()[1]}", file=sys.stderr, flush=True)
        source = Connection(server.accept()[0], DESTINATION, args.key, args.peer_key)
    destination = Connection(socket.create_connection((host, int(port))), SOURCE, args.other_key, args.other_peer)
    seen["connection"] = source
    source.handshake()
    destination.handshake()
    ways = selectors.DefaultSelector()
    ways.register(source.sock, selectors.EVENT_READ, (source, destination))
    ways.register(destination.sock, selectors.EVENT_READ, (destination, source))
    pages = 0
    while True:
        for key, _ in ways.select():
            origin, target = key.data
            name, body = origin.receive()
            if name == "PAGES":
                contents = body[1]
                for i, page in enumerate(contents):
                    if args.alter is not None and pages + i == args.alter:
                        contents[i] = page[:100] + bytes([page[100] ^ 4]) + page[101:]
                        seen["altered"] = next(e for n, e in enumerate(filter(has_contents, body[0])) if n == i) & (1 << 52) - 1
                pages += len(contents)
                body = encode_pages(body[0], contents)
            target.send(name, body)
            if name in ("CLOSED", "REFUSED"):
                seen["end"] = name.lower()
                return


# ---- the program: a source ----

def honest_prefix(conn, args, seen):
    config = args.config.read() if args.config else b"{}"
    conn.send("OFFER", offer_put(args.name, args.backend, config, args.check_only))
    name, body = conn.receive()
    if name == "FINDINGS":
        seen["findings"] = findings_get(body)
        name, body = conn.receive()
    if name == "REFUSED":
        raise Told(name, reason_get(body))
    if name != "ACCEPT":
        raise Refused(f"{name} where ACCEPT was due")


def wrong_pages(how):
    good = bytearray(encode_pages([1, 2], [bytes(PAGE), b"x" * PAGE], None))
    table = 8 + 16
    if how == "bad-descriptor":
        good[table] = 9
    elif how == "bad-entry":
        good[8 + 7] = 0x50
    elif how == "bad-count":
        good[0:4] = struct.pack("<I", 257)
    elif how == "bad-lz4":
        good[-20:] = b"\xff" * 20
    elif how == "cut-pages":
        del good[-1:]
    elif how == "long-pages":
        good += b"\0"
    return bytes(good)


# What a source may do wrong once its key is proved; each must end the connection.
def wrong_record(conn, how):
    frame = conn.seal.seal(struct.pack("<II", TYPES["QUIESCED"], 0))
    raw = {
        "bad-tag": frame[:-1] + bytes([frame[-1] ^ 1]),
        "short-frame": struct.pack("<I", 23) + bytes(23),
        "oversized": struct.pack("<I", FRAME_MAX + 1) + bytes(64),
        "garbage-frame": os.urandom(256),
    }
    if how in raw:
        conn.write(raw[how])
        return
    if how == "replay":
        conn.write(frame + frame)
        return
    conn.seal.frames -= 1
    conn.send_plain({
        "unknown-type": struct.pack("<II", max(KINDS) + 1, 0),
        "zero-type": struct.pack("<II", 0, 0),
        "local-type": struct.pack("<II", 0x1000, 0),
        "destination-type": struct.pack("<II", TYPES["READY"], 0),
        "bad-length": struct.pack("<II", TYPES["HEAD"], 5) + bytes(4),
        "out-of-turn": struct.pack("<II", TYPES["GO"], 0),
        "bad-round": struct.pack("<IIIQ", TYPES["ROUND"], 12, 0, 12345),
        "second-offer": struct.pack("<II", TYPES["OFFER"], 4) + bytes(4),
    }[how])


PAGE_WRONGS = ("bad-descriptor", "bad-entry", "bad-count", "bad-lz4", "cut-pages", "long-pages")
RECORD_WRONGS = ("bad-tag", "short-frame", "oversized", "garbage-frame", "replay", "unknown-type", "zero-type",
                 "local-type", "destination-type", "bad-length", "out-of-turn", "bad-round", "second-offer")
STRANGER_WRONGS = ("garbage", "slow-loris", "half-handshake", "silent")


def stranger(conn, how):
    """Before any key is proved: whatever comes back is too much."""
    if how == "garbage":
        conn.write(os.urandom(4096))
    elif how == "half-handshake":
        conn.write(os.urandom(50))
        conn.sock.shutdown(socket.SHUT_WR)
    elif how == "slow-loris":
        good = Noise(conn.secret, conn.peer_key).write_1(conn.peer_key, payload_put(conn.ciphers))
        for byte in good[:-1]:
            try:
                conn.write(bytes([byte]))
            except Ended:
                break
            time.sleep(0.3)
    return conn.wait_end(40)


def send(args, seen):
    host, port = args.connect.rsplit(":", 1)
    sock = socket.create_connection((host.strip("[]"), int(port)), timeout=args.timeout)
    conn = Connection(sock, SOURCE, args.key, args.peer_key, args.cipher)
    seen["connection"] = conn
    how = args.wrong
    start = time.monotonic()
    try:
        if how in STRANGER_WRONGS:
            seen["left"] = len(stranger(conn, how))
            seen["end"] = "closed"
            return
        conn.handshake(version=1 if how == "bad-version" else VERSION)
        if how == "mute":
            seen["left"] = len(conn.wait_end(40))
            seen["end"] = "closed"
            return
        if how == "bad-offer":
            conn.send("OFFER", b"\1\0\0")
        elif how == "offer-version":
            conn.send("OFFER", offer_put(args.name, args.backend, b"{}", version=1))
        elif how == "early-pages":
            conn.send("PAGES", encode_pages([1], [b"x" * PAGE]))
        else:
            honest_prefix(conn, args, seen)
            if how in PAGE_WRONGS:
                conn.send("PAGES", wrong_pages(how))
            elif how == "die":
                conn.write(b"\x30\0\0\0half a frame")
                seen["end"] = "died"
                return
            elif how:
                wrong_record(conn, how)
            elif not args.check_only:
                conn.send("ABORT")
        while how:
            name, body = conn.receive()
            if name == "REFUSED":
                seen["reason"] = reason_get(body)
        if args.check_only:
            seen["end"] = "accepted"
            return
        conn.expect("never")
    except Told as told:
        seen["reason"], seen["end"] = told.reason, told.record.lower()
    except Ended:
        seen["end"] = "closed"
    finally:
        seen["seconds"] = round(time.monotonic() - start, 2)


def arguments(argv):
    p = argparse.ArgumentParser(description="a peer for tests, honest or lying")
    p.add_argument("role", choices=["receive", "send", "relay"])
    p.add_argument("--key", required=True, type=lambda f: open(f, "rb").read(), help="file with this peer's secret key")
    p.add_argument("--peer-key", required=True, type=base64.b64decode, help="the other side's public key")
    p.add_argument("--cipher", type={"chacha": CHACHA, "aes": AES, "any": CHACHA | AES}.get, default=CHACHA | AES)
    p.add_argument("--timeout", type=float, default=60)
    p.add_argument("--listen", default="127.0.0.1:0", help="receive: ADDRESS:PORT")
    p.add_argument("--at", default="OFFER", help="receive: go wrong when this record comes")
    p.add_argument("--refuse", metavar="WHY", help="receive: answer REFUSED")
    p.add_argument("--find", metavar="JSON", type=json.loads,
                   help="receive: send FINDINGS, [[severity, code, what, fix], ...], after OFFER")
    p.add_argument("--die-after", type=int, metavar="PAGES", help="receive: close without a word")
    p.add_argument("--leave", action="store_true", help="receive: close right after ACCEPT")
    p.add_argument("--corrupt", metavar="HOW", help="receive: bad-tag short-frame oversized garbage half-frame "
                   "unknown-type local-type source-type bad-length out-of-turn findings silent-handshake bad-version bad-cipher")
    p.add_argument("--stall", type=float, metavar="SECONDS", help="receive: say and read nothing for so long")
    p.add_argument("--connect", help="send, relay: ADDRESS:PORT")
    p.add_argument("--other-key", type=lambda f: open(f, "rb").read(), help="relay: as --key, of the source it stands for")
    p.add_argument("--other-peer", type=base64.b64decode, help="relay: the destination's public key")
    p.add_argument("--alter", type=int, metavar="N", help="relay: change the Nth page that passes")
    p.add_argument("--name", default="test")
    p.add_argument("--backend", default="embedded")
    p.add_argument("--config", type=argparse.FileType("rb"), help="send: JSON of the domain to offer")
    p.add_argument("--check-only", action="store_true")
    p.add_argument("--wrong", metavar="HOW", choices=STRANGER_WRONGS + PAGE_WRONGS + RECORD_WRONGS + (
        "bad-version", "mute", "bad-offer", "offer-version", "early-pages", "die"), help="send: " + " ".join(
            STRANGER_WRONGS + PAGE_WRONGS + RECORD_WRONGS) + " bad-version mute bad-offer offer-version early-pages die")
    return p.parse_args(argv)


def main(argv):
    args = arguments(argv)
    seen = {"role": args.role, "end": None, "error": None}
    try:
        {"receive": receive, "send": send, "relay": relay}[args.role](args, seen)
    except (Refused, Ended, Told, TimeoutError, OSError) as e:
        seen["error"] = f"{type(e).__name__}: {e}"
        seen["end"] = seen["end"] or "error"
    conn = seen.pop("connection", None)
    if conn:
        conn.sock.close()
        seen.update(cipher=CIPHER_NAMES.get(conn.cipher), records=conn.records, pages=conn.kinds,
                    bytes_in=conn.bytes_in, bytes_out=conn.bytes_out)
    json.dump(seen, sys.stdout, indent=2)
    print()
    return 1 if seen["error"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
