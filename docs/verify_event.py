#!/usr/bin/env python3
"""Check proof bundles of a domicile ledger, independently of domicile.

    python3 verify_event.py BUNDLE [BUNDLE ...] --policy FILE [--policy FILE ...]

BUNDLE is a file that `domicile proof` wrote, or - for standard input. FILE is a trust policy (c2sp.org/tlog-policy)
of the cell's control log, or of the events log. It needs Python 3.9 and OpenSSL 3 (for Ed25519; set OPENSSL to name
another program), and nothing else: no network, no packages, no code of domicile.

Exit codes: 0 verified, 1 failed, 2 inconclusive, 3 usage; of several bundles, the worst. docs/verify-by-hand.md explains every step.

This is a second reading of the formats, not a translation of the Go code: where the two disagree on a bundle, one of
them is wrong. It does not hold the batch entry against its closed schema; it needs only what binds the tree.
"""

import argparse
import base64
import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile

MAX_BUNDLE = 32 << 20
MAX_POLICY = 256 << 10
MAX_NOTE = 128 << 10
MAX_SIZE = (1 << 63) - 1
MAX_EVENT = 4 << 20
MAX_DEPTH = 64
MAX_FIELDS = 65535
WHOLE = {b"unmapped", b"data", b"xattributes", b"evidence", b"supporting_data", b"access_result"}


class Bad(Exception):
    """What was looked at is wrong."""


class Inconclusive(Exception):
    """It cannot be decided here."""


def sha256(*parts):
    h = hashlib.sha256()
    for p in parts:
        h.update(p)
    return h.digest()


def b64(raw):
    return base64.b64encode(raw).decode()


def unb64(text, length=None, what="value"):
    """Standard base64 in its one spelling."""
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        raise Bad(f"{what} is not base64")
    if base64.b64encode(raw) != text or (length is not None and len(raw) != length):
        raise Bad(f"{what} is not the base64 of {length if length is not None else 'some'} bytes in its one spelling")
    return raw


def unb64url(text, length, what):
    """Unpadded base64url in its one spelling."""
    try:
        raw = base64.b64decode(text.translate(bytes.maketrans(b"-_", b"+/")) + b"=" * (-len(text) % 4), validate=True)
    except ValueError:
        raise Bad(f"{what} is not base64url")
    if len(raw) != length or base64.urlsafe_b64encode(raw).rstrip(b"=") != text:
        raise Bad(f"{what} is not the base64url of {length} bytes in its one spelling")
    return raw


def decimal(text, what):
    if not re.fullmatch(rb"0|[1-9][0-9]{0,18}", text) or int(text) > MAX_SIZE:
        raise Bad(f"{what} is not a decimal number in its shortest form")
    return int(text)


# ------------------------------------------------------------------------------------------------ JSON as bytes
# Values are cut out of the input as they stand; nothing is decoded and encoded again.

NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
STRING = re.compile(rb'"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*"')
SPACE = re.compile(rb"[ \t\r\n]*")


class Scanner:
    def __init__(self, src, compact):
        self.src, self.compact = src, compact
        try:
            src.decode("utf-8")
        except UnicodeDecodeError as e:
            raise Bad(f"byte {e.start} is not UTF-8")

    def space(self, pos):
        return pos if self.compact else SPACE.match(self.src, pos).end()

    def expect(self, pos, byte, what):
        if self.src[pos:pos + 1] != byte:
            raise Bad(f"byte {pos}: expected {what}")
        return pos + 1

    def string(self, pos):
        m = STRING.match(self.src, pos)
        if not m:
            raise Bad(f"byte {pos}: expected a string")
        return m.end()

    def value(self, pos, depth):
        """The end of the value at pos; it may nest depth levels."""
        c = self.src[pos:pos + 1]
        if c == b'"':
            return self.string(pos)
        if c == b"{":
            return self.object(pos, depth, lambda name, at: self.value(at, depth - 1))
        if c == b"[":
            return self.array(pos, depth, lambda at: self.value(at, depth - 1))
        for word in (b"true", b"false", b"null"):
            if self.src.startswith(word, pos):
                return pos + len(word)
        m = NUMBER.match(self.src, pos)
        if not m:
            raise Bad(f"byte {pos}: expected a value")
        return m.end()

    def object(self, pos, depth, member):
        """Passes every member to member(name, start of its value), which returns the value's end."""
        if depth <= 0:
            raise Bad(f"byte {pos}: nested too deep")
        pos = self.space(self.expect(pos, b"{", "an object"))
        if self.src[pos:pos + 1] == b"}":
            return pos + 1
        while True:
            end = self.string(pos)
            name = self.src[pos + 1:end - 1]
            pos = self.space(self.expect(self.space(end), b":", "a colon"))
            pos = self.space(member(name, pos))
            if self.src[pos:pos + 1] == b"}":
                return pos + 1
            pos = self.space(self.expect(pos, b",", "a comma or }"))

    def array(self, pos, depth, element):
        if depth <= 0:
            raise Bad(f"byte {pos}: nested too deep")
        pos = self.space(self.expect(pos, b"[", "an array"))
        if self.src[pos:pos + 1] == b"]":
            return pos + 1
        while True:
            pos = self.space(element(pos))
            if self.src[pos:pos + 1] == b"]":
                return pos + 1
            pos = self.space(self.expect(pos, b",", "a comma or ]"))

    def members(self, depth):
        """The members of the object that the input is, as [(name, bytes of the value)]."""
        found = []

        def member(name, at):
            end = self.value(at, depth - 1)
            found.append((name, self.src[at:end]))
            return end
        self.finish(self.object(self.space(0), depth, member))
        return found

    def elements(self, depth):
        found = []

        def element(at):
            end = self.value(at, depth - 1)
            found.append(self.src[at:end])
            return end
        self.finish(self.array(self.space(0), depth, element))
        return found

    def finish(self, pos):
        if self.space(pos) != len(self.src):
            raise Bad(f"byte {pos}: data after the end")


def closed(src, required, optional=(), compact=False, depth=8):
    """An object with each required member once, each optional one at most once, none besides."""
    found = {}
    for name, value in Scanner(src, compact).members(depth):
        name = name.decode()
        if name in found:
            raise Bad(f"member {name!r} stands twice")
        if name not in required and name not in optional:
            raise Bad(f"unknown member {name!r}")
        found[name] = value
    for name in required:
        if name not in found:
            raise Bad(f"member {name!r} is missing")
    return found


SHORT = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}
ESCAPE = re.compile(rb"\\u([dD][89abAB]..)\\u([dD][c-fC-F]..)|\\u(....)|\\(.)", re.S)


def unquote(value, what="value"):
    """The bytes that a JSON string stands for."""
    if value[:1] != b'"':
        raise Bad(f"{what} is not a string")

    def plain(m):
        if m[4]:
            return SHORT.get(m[4], m[4])
        if m[1]:
            code = 0x10000 + ((int(m[1], 16) - 0xD800) << 10) + (int(m[2], 16) - 0xDC00)
        else:
            code = int(m[3], 16)
        if 0xD800 <= code < 0xE000:
            raise Bad(f"{what} holds a lone surrogate")
        return chr(code).encode()
    return ESCAPE.sub(plain, value[1:-1])


# ------------------------------------------------------------------------------------- record, view, commitment

NAME = re.compile(rb"[a-z0-9_]{1,64}")


def cut(event):
    """The fields of an event as [(pointer, bytes of the value)], in the order of the bytes."""
    if len(event) > MAX_EVENT:
        raise Bad("the event is larger than 4 MiB")
    scan, fields = Scanner(event, compact=True), []

    def walk(pos, path, names):
        previous = [None]

        def member(name, at):
            if not NAME.fullmatch(name):
                raise Bad(f"member name {name!r} is not allowed")
            if previous[0] is not None and previous[0] >= name:
                raise Bad(f"members {previous[0]!r} and {name!r} are not in ascending order")
            previous[0] = name
            here = path + b"/" + name
            opens = event[at:at + 2]
            if opens[:1] == b"{" and opens != b"{}" and names < 3 and name not in WHOLE:
                return walk(at, here, names + 1)
            end = scan.value(at, MAX_DEPTH - names)
            fields.append((here, event[at:end]))
            if len(fields) > MAX_FIELDS:
                raise Bad("the event has too many fields")
            return end
        return scan.object(pos, MAX_DEPTH - names + 1, member)
    scan.finish(walk(0, b"", 1))
    return fields


def commitment(hashed):
    """H(0x12 || n || (length of pointer || pointer || h) ...) over [(pointer, h)]."""
    parts = [b"\x12", len(hashed).to_bytes(2, "big")]
    for pointer, h in hashed:
        parts += [len(pointer).to_bytes(2, "big"), pointer, h]
    return sha256(*parts)


def read_record(line):
    """The commitment of a record line, and its fields as {pointer: value}."""
    head, mid = b'{"salt":"', b'","event":'
    if not line.startswith(head) or line[len(head) + 43:len(head) + 43 + len(mid)] != mid or not line.endswith(b"}"):
        raise Bad('the record is not {"salt":"...","event":{...}}')
    salt = unb64url(line[len(head):len(head) + 43], 32, "the record's salt")
    fields = cut(line[len(head) + 43 + len(mid):-1])
    hashed = []
    for i, (pointer, value) in enumerate(fields):
        block = sha256(b"\x10", salt, (i // 2).to_bytes(4, "big"))
        hashed.append((pointer, sha256(b"\x11", block[16 * (i % 2):][:16], value)))
    return commitment(hashed), dict(fields)


def read_view(src):
    """The commitment of a masked view, and its fields; a hidden one has the value None."""
    members = Scanner(src, compact=False).members(3)
    if [name for name, _ in members] != [b"v", b"fields"] or members[0][1] != b"1":
        raise Bad('the view is not {"v":1,"fields":[...]}')
    hashed, fields, last = [], {}, None
    for element in Scanner(members[1][1], compact=False).elements(2):
        parts = [unquote(p, "a part of a field") for p in Scanner(element, compact=False).elements(1)]
        if len(parts) not in (2, 3):
            raise Bad("a field of the view is not two or three strings")
        pointer = parts[0]
        names = pointer.split(b"/")
        if names[0] != b"" or not 2 <= len(names) <= 4 or not all(NAME.fullmatch(n) for n in names[1:]):
            raise Bad(f"pointer {pointer!r} is not allowed")
        if any(n in WHOLE for n in names[1:-1]):
            raise Bad(f"pointer {pointer!r} lies inside a member that is never cut")
        if last is not None and (pointer <= last or pointer.startswith(last + b"/")):
            raise Bad(f"pointers {last!r} and {pointer!r} cannot follow each other")
        last = pointer
        if len(parts) == 2:
            hashed.append((pointer, unb64(parts[1], 32, "a hidden field's hash")))
            fields[pointer] = None
        else:
            salt, value = unb64url(parts[1], 16, "a field's salt"), parts[2]
            scan = Scanner(value, compact=True)
            scan.finish(scan.value(0, MAX_DEPTH - (len(names) - 1)))
            if value[:1] == b"{" and value != b"{}" and len(names) < 4 and names[-1] not in WHOLE:
                raise Bad(f"{pointer!r} should have been cut into its members")
            hashed.append((pointer, sha256(b"\x11", salt, value)))
            fields[pointer] = value
    if len(fields) > MAX_FIELDS:
        raise Bad("the view has too many fields")
    return commitment(hashed), fields


LEAF = re.compile(rb'\{"v":1,"hour":(0|-?[1-9][0-9]{0,18}),"region":"([a-z0-9][a-z0-9_-]*):([a-z0-9][a-z0-9_-]*)",'
                  rb'"commit":"([A-Za-z0-9+/]{43}=)"\}')


def read_leaf(leaf):
    m = LEAF.fullmatch(leaf)
    if not m or not -(1 << 63) <= int(m[1]) < 1 << 63 or len(m[2]) + len(m[3]) + 1 > 128:
        raise Bad("the leaf is not an event leaf in its one encoding")
    return int(m[1]), m[2], m[3], unb64(m[4], 32, "the leaf's commitment")


def check_leaf(hour, provider, region, fields):
    """What the leaf says of the event must be what the event says, as far as it is disclosed."""
    def field(pointer):
        if pointer not in fields:
            raise Bad(f"the event has no {pointer.decode()}")
        return fields[pointer]

    time = field(b"/time")
    if time is not None:
        if not re.fullmatch(rb"-?[0-9]{1,19}", time) or not -(1 << 63) <= int(time) < 1 << 63 or int(time) // 3_600_000 != hour:
            raise Bad("the leaf's hour is not that of the event's time")
    value = field(b"/cloud/provider")
    if value is not None and unquote(value, "/cloud/provider").decode().lower().encode() != provider:
        raise Bad("the leaf's provider is not the event's")
    if region not in (b"global", b"unknown"):
        value = field(b"/cloud/region")
        if value is not None and unquote(value, "/cloud/region") != region:
            raise Bad("the leaf's region is not the event's")


# --------------------------------------------------------------------------------------------- proofs and notes

def read_proof(text):
    """c2sp.org/tlog-proof@v1, without the extra line: (index, hashes, checkpoint)."""
    head, sep, checkpoint = text.partition(b"\n\n")
    lines = head.split(b"\n")
    if not sep or lines[0] != b"c2sp.org/tlog-proof@v1" or len(lines) < 2 or not lines[1].startswith(b"index "):
        raise Bad("the proof is not a tlog-proof of version 1 without an extra line")
    if len(lines) - 2 > 63:
        raise Bad("the proof has more hashes than any tree needs")
    return decimal(lines[1][6:], "the proof's index"), [unb64(h, 32, "a hash of the proof") for h in lines[2:]], checkpoint


def root_of(index, size, leaf, path):
    """RFC 9162, section 2.1.3.2."""
    if index >= size:
        raise Bad(f"index {index} is not within a tree of {size} leaves")
    fn, sn, r = index, size - 1, sha256(b"\x00", leaf)
    for p in path:
        if sn == 0:
            raise Bad("the inclusion proof has a hash too many")
        if fn & 1 or fn == sn:
            r = sha256(b"\x01", p, r)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = sha256(b"\x01", r, p)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        raise Bad("the inclusion proof lacks a hash")
    return r


def valid_name(name):
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return text != "" and len(name) <= 255 and "+" not in text and not any(c.isspace() for c in text)


def valid_origin(origin):
    return 1 <= len(origin) <= 255 and all(0x20 < c < 0x7f and c not in b'"\\<>&+' for c in origin)


def read_note(note):
    """A signed checkpoint: (text, origin, size, root, [(key name, key id, signature)]). No signature is checked."""
    if len(note) > MAX_NOTE:
        raise Bad("the checkpoint is too long")
    try:
        if any(ord(c) < 0x20 and c != "\n" for c in note.decode("utf-8")):
            raise Bad("the checkpoint holds control characters")
    except UnicodeDecodeError:
        raise Bad("the checkpoint is not UTF-8")
    text, sep, tail = note.rpartition(b"\n\n")
    if not sep or not tail.endswith(b"\n"):
        raise Bad("the checkpoint has no signature lines after an empty line")
    text += b"\n"
    lines = text.split(b"\n")
    if len(lines) != 4:
        raise Bad(f"the checkpoint has {len(lines) - 1} lines of text, expected 3 (extension lines are not allowed)")
    if not valid_origin(lines[0]):
        raise Bad("the checkpoint's origin is not allowed")
    signatures, keys = [], set()
    for line in tail[:-1].split(b"\n"):
        dash, _, rest = line.partition(b" ")
        name, _, signature = rest.partition(b" ")
        if dash != "\u2014".encode() or not valid_name(name):
            raise Bad("a signature line of the checkpoint is malformed")
        raw = unb64(signature, None, "a signature")
        if len(raw) < 5:
            raise Bad("a signature line of the checkpoint is malformed")
        if (name, raw[:4]) in keys:
            raise Bad(f"the key {name.decode()} signs twice")
        keys.add((name, raw[:4]))
        signatures.append((name, raw[:4], raw[4:]))
    if len(signatures) > 100:
        raise Bad("the checkpoint has more than 100 signatures")
    return text, lines[0], decimal(lines[1], "the checkpoint's size"), unb64(lines[2], 32, "the checkpoint's root"), signatures


# ------------------------------------------------------------------------------------------------------- policy

class Policy:
    """c2sp.org/tlog-policy: log, witness, group and quorum lines."""

    def __init__(self, file):
        if len(file) > MAX_POLICY:
            raise Bad("too long")
        self.logs, self.witnesses, self.groups, self.quorum = {}, {}, [], None
        names, members, keys = set(), set(), set()
        for number, line in enumerate(file.split(b"\n"), 1):
            try:
                self.line(line, names, members, keys)
            except Bad as e:
                raise Bad(f"line {number}: {e}")
        if self.quorum is None:
            raise Bad("no quorum line")

    def line(self, line, names, members, keys):
        if any(c < 0x20 and c != 9 or c == 0x7f for c in line):
            raise Bad("control character (line ends must be LF)")
        items = [i for i in re.split(rb"[ \t]+", line) if i]
        if not items or items[0].startswith(b"#"):
            return
        if b"#" in line:
            raise Bad("a comment must stand on a line of its own")
        word, rest = items[0], items[1:]

        def define(name):
            if name == b"none" or name in names:
                raise Bad(f"the name {name!r} is not allowed or stands twice")
            names.add(name)
        if word == b"log" and len(rest) in (1, 2):
            name, key = vkey(rest[0], 1)
            if not valid_origin(name) or (b"log", key) in keys:
                raise Bad("the log is not allowed or stands twice")
            keys.add((b"log", key))
            self.logs.setdefault(name, []).append(key)
        elif word == b"witness" and len(rest) in (2, 3):
            name, key = vkey(rest[1], 4)
            define(rest[0])
            if (b"witness", key) in keys:
                raise Bad("the witness key stands twice")
            keys.add((b"witness", key))
            self.witnesses[rest[0]] = (name, key)
        elif word == b"group" and len(rest) >= 3:
            name, need, who = rest[0], rest[1], rest[2:]
            for w in who:
                if w not in names or w in members:
                    raise Bad(f"the member {w!r} is not defined above, or a member already")
                members.add(w)
            k = len(who) if need == b"all" else 1 if need == b"any" else decimal(need, "the threshold")
            if not 1 <= k <= len(who):
                raise Bad("the threshold is out of range")
            define(name)
            self.groups.append((name, k, who))
        elif word == b"quorum" and len(rest) == 1 and self.quorum is None:
            if rest[0] != b"none" and rest[0] not in names:
                raise Bad("the quorum is not defined above")
            self.quorum = rest[0]
        else:
            raise Bad("not understood")

    def verify(self, note):
        """The names of the witnesses that cosigned; Bad where a signature does not hold or the quorum is not met."""
        text, origin, _, _, signatures = read_note(note)
        signed, cosigned = False, set()
        for name, key_id, signature in signatures:
            for key in self.logs.get(origin, []):
                if name == origin and key_id == sha256(name, b"\n\x01", key)[:4]:
                    if not ed25519(key, text, signature):
                        raise Bad("the log's signature does not hold")
                    signed = True
            for witness, (wname, key) in self.witnesses.items():
                if name == wname and key_id == sha256(name, b"\n\x04", key)[:4]:
                    seconds = int.from_bytes(signature[:8], "big")
                    message = b"cosignature/v1\ntime %d\n" % seconds + text
                    if len(signature) != 72 or seconds > MAX_SIZE or not ed25519(key, message, signature[8:]):
                        raise Bad(f"the cosignature of {witness.decode(errors='replace')} does not hold")
                    cosigned.add(witness)
        if not signed:
            raise Bad("the log's key in the policy did not sign")
        met = set(cosigned)
        for name, k, who in self.groups:
            if sum(w in met for w in who) >= k:
                met.add(name)
        if self.quorum != b"none" and self.quorum not in met:
            raise Bad(f"the quorum is not met: {len(cosigned)} known witnesses cosigned")
        return sorted(w.decode(errors="replace") for w in cosigned)


def vkey(text, kind):
    name, _, rest = text.partition(b"+")
    key_id, _, key = rest.partition(b"+")
    raw = unb64(key, 33, "the verifier key")
    if raw[0] != kind or not valid_name(name) or key_id != sha256(name, b"\n", raw)[:4].hex().encode():
        raise Bad("not a verifier key of the right type: mistyped?")
    return name, raw[1:]


@functools.lru_cache(maxsize=1024)  # bundles of one log often share their checkpoints
def ed25519(key, message, signature):
    if len(signature) != 64:
        return False
    program = os.environ.get("OPENSSL") or shutil.which("openssl")
    if not program:
        raise Inconclusive("signatures cannot be checked: install OpenSSL 3, or name it in OPENSSL")
    with tempfile.TemporaryDirectory() as folder:
        def put(name, data):
            path = os.path.join(folder, name)
            with open(path, "wb") as f:
                f.write(data)
            return path
        spki = bytes.fromhex("302a300506032b6570032100") + key
        pem = put("key", b"-----BEGIN PUBLIC KEY-----\n" + base64.b64encode(spki) + b"\n-----END PUBLIC KEY-----\n")
        done = subprocess.run([program, "pkeyutl", "-verify", "-pubin", "-inkey", pem, "-rawin", "-in",
                               put("message", message), "-sigfile", put("signature", signature)],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if b"Successfully" in done.stdout and done.returncode == 0:
        return True
    if b"Verification Failure" in done.stdout + done.stderr:
        return False
    # A key that is no point of the curve is refused before the signature is looked at; an old OpenSSL refuses all.
    version = subprocess.run([program, "version"], stdout=subprocess.PIPE).stdout
    if not re.match(rb"OpenSSL ([3-9]|[1-9][0-9])", version):
        raise Inconclusive(f"signatures need OpenSSL 3; {program} is {version.decode(errors='replace').strip()}")
    return False


# ------------------------------------------------------------------------------------------------------- bundle

WORD = r"[a-z0-9][a-z0-9._-]{0,62}"


def say(status, text):
    printable = "".join(c if c.isprintable() else "\u00b7" for c in text)
    print(f"  {status:<12} {printable}")


def verify(src, policies):
    """Prints what was checked; returns the exit code."""
    failed = False
    undecided = None

    def check(what, f):
        nonlocal failed, undecided
        try:
            result = f()
        except Bad as e:
            say("FAILED", f"{what}: {e}")
            failed = True
            return None
        except Inconclusive as e:
            say("not checked", f"{what}: {e}")
            undecided = str(e)
            return None
        say("ok", what)
        return result

    def frame():
        if len(src) > MAX_BUNDLE:
            raise Bad("too long")
        b = closed(src, ("v", "origin", "index", "leaf", "proof"), ("record", "view", "anchor"))
        if b["v"] != b"1":
            raise Bad("unknown version")
        if ("record" in b) == ("view" in b):
            raise Bad("expected either a record or a view")
        b["origin"] = unquote(b["origin"], "origin").decode()
        m = re.fullmatch(f"({WORD})/({WORD})/events/(0|[1-9][0-9]{{0,17}})", b["origin"])
        if not m:
            raise Bad("the origin is not that of an events log")
        b["control"] = f"{m[1]}/{m[2]}/control"
        b["index"] = decimal(b["index"], "index")
        for name in ("leaf", "record", "proof"):
            if name in b:
                b[name] = unquote(b[name], name)
        if "anchor" in b:
            b["anchor"] = {n: unquote(v, n) for n, v in closed(b["anchor"], ("entry", "proof")).items()}
        return b

    def content():
        found, fields = read_record(b["record"]) if "record" in b else read_view(b["view"])
        hour, provider, region, expected = read_leaf(b["leaf"])
        if found != expected:
            raise Bad(f"its commitment is {b64(found)}, the leaf holds {b64(expected)}")
        check_leaf(hour, provider, region, fields)
        return fields

    def included(leaf, proof, origin, index=None):
        at, path, note = read_proof(proof)
        _, found, size, root, _ = read_note(note)
        if found != origin.encode():
            raise Bad(f"the checkpoint is of the log {found.decode()}, expected {origin}")
        if index is not None and at != index:
            raise Bad(f"the proof is for entry {at}, the bundle says {index}")
        got = root_of(at, size, leaf, path)
        if got != root:
            raise Bad(f"the proof leads to root {b64(got)}, the checkpoint says {b64(root)}")
        return at, size, root

    def bound():
        members = Scanner(b["anchor"]["entry"], compact=True).members(8)
        e = {n.decode(): v for n, v in members}
        if len(e) != len(members):
            raise Bad("a member of it stands twice")
        if e.get("v") != b"1" or e.get("type") != b'"batch"':
            raise Bad("it is not a batch entry")
        if unquote(e.get("origin", b""), "origin") != b["origin"].encode():
            raise Bad("it is about another log")
        if not tree:
            raise Bad("the inclusion proof leads to no tree to compare with")
        if (decimal(e.get("size", b""), "size"), unb64(unquote(e.get("root", b""), "root"), 32, "root")) != tree[1:]:
            raise Bad("it names another size or root than the proof")
        return True

    def signed(what, origin, proof):
        fitting = [p for p in policies if origin.encode() in p.logs]
        if not fitting:
            say("not checked", f"{what}: no policy for {origin} was given")
            return False

        def every():
            witnesses = set()
            for p in fitting:
                witnesses.update(p.verify(read_proof(proof)[2]))
            return witnesses
        witnesses = check(what, every)
        if witnesses:
            say("", "  cosigned by " + ", ".join(sorted(witnesses)))
        return witnesses is not None

    b = check("The bundle is complete and well-formed", frame)
    if not b:
        return 1
    kind = "record" if "record" in b else "view"
    fields = check(f"The {kind} is exactly what the leaf commits to, and the leaf says of the event what the event says", content)
    if fields is not None:
        say("", f"  {sum(v is not None for v in fields.values())} fields shown, {sum(v is None for v in fields.values())} hidden")
    tree = check(f"The leaf is entry {b['index']} of the log {b['origin']}",
                 lambda: included(b["leaf"], b["proof"], b["origin"], b["index"]))
    vouched = signed("The events log signed this tree", b["origin"], b["proof"])
    if "anchor" in b:
        named = check("A batch entry of the cell's control log names exactly this tree", bound)
        entry = check(f"The batch entry is an entry of the log {b['control']}",
                      lambda: included(b["anchor"]["entry"], b["anchor"]["proof"], b["control"]))
        control = signed("The control log signed its tree", b["control"], b["anchor"]["proof"])
        vouched = vouched or bool(named and entry and control)
    if failed:
        return 1
    if undecided:
        print(f"\n{undecided}")
        return 2
    if not vouched:
        want = b["control"] if "anchor" in b else b["origin"]
        print(f"\nNothing that was given says whose signature to believe: give the policy file of {want} with --policy.")
        return 2
    return 0


def main(args):
    class Parser(argparse.ArgumentParser):
        def error(self, message):
            self.print_usage(sys.stderr)
            print(f"verify_event.py: {message}", file=sys.stderr)
            sys.exit(3)
    parser = Parser(prog="verify_event.py", description="Check one proof bundle of a domicile ledger, offline.",
                    epilog="Exit codes: 0 verified, 1 failed, 2 inconclusive, 3 usage.")
    parser.add_argument("bundle", nargs="+", help="proof bundle; - for standard input")
    parser.add_argument("--policy", action="append", default=[], metavar="FILE", help="trust policy; repeatable")
    options = parser.parse_args(args)
    try:
        policies = []
        for path in options.policy:
            with open(path, "rb") as f:
                try:
                    policies.append(Policy(f.read(MAX_POLICY + 1)))
                except Bad as e:
                    print(f"verify_event.py: policy {path}: {e}", file=sys.stderr)
                    return 3
        bundles = []
        for path in options.bundle:
            if path == "-":
                bundles.append((path, sys.stdin.buffer.read(MAX_BUNDLE + 1)))
            else:
                with open(path, "rb") as f:
                    bundles.append((path, f.read(MAX_BUNDLE + 1)))
    except OSError as e:
        print(f"verify_event.py: {e}", file=sys.stderr)
        return 3
    worst = 0
    for path, src in bundles:
        if len(bundles) > 1:
            print(f"{path}:")
        code = verify(src, policies)
        print({0: "\nVERIFIED", 1: "\nFAILED", 2: "\nINCONCLUSIVE"}[code])
        worst = max(worst, code, key=(0, 2, 1).index)
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
