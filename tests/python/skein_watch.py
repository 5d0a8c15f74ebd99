#!/usr/bin/env python3
"""Watches a chat over WebSocket and prints one JSON object per change.

Written from docs/PROTOCOL.md alone, with the standard library alone (3.10 or later): if this program is wrong, either it or that page has to be mended.
"""
import argparse, base64, hashlib, json, math, os, re, socket, ssl, struct, sys, time, urllib.parse

WELCOME, REFUSED, WATCHING, BATCH, HEAD, GOODBYE, WATCH_ENDED = 0x41, 0x42, 0x45, 0x46, 0x47, 0x4A, 0x4C
DESCRIPTOR, POINT, WIDE, SEALED, WHOLE, PRESENCE, EARLIER, STATE = (1 << i for i in range(8))
STATES = ["live", "stationary", "stale", "stopped", "expired", "revoked", "moved"]
SILENCE_S = 15
WINDOW = 1024  # counters below the greatest within which late points may come


class Reader:
    """Takes fields off the front of bytes."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def more(self):
        return self.at < len(self.data)

    def take(self, n):
        if self.at + n > len(self.data):
            raise ValueError("a field is cut off")
        self.at += n
        return self.data[self.at - n : self.at]

    def le(self, n, signed=False):
        return int.from_bytes(self.take(n), "little", signed=signed)

    def varint(self):
        first = self.take(1)[0]
        return int.from_bytes(bytes([first & 0x3F]) + self.take((1 << (first >> 6)) - 1), "big")

    def zigzag(self):
        v = self.varint()
        return v >> 1 if v & 1 == 0 else -((v + 1) >> 1)

    def blob(self):
        return self.take(self.varint())

    def text(self):
        return self.blob().decode()


def varint(v):
    size, tag = next((s, t) for t, s in enumerate((1, 2, 4, 8)) if v < 1 << (8 * s - 2))
    return (v | tag << (8 * size - 2)).to_bytes(size, "big")


def text(s):
    return varint(len(s.encode())) + s.encode()


def frame(kind, body):
    return varint(1 + len(body)) + bytes([kind]) + body


def read_flags(r):
    bits = r.le(1)
    return bits, r.le(1) if bits & PRESENCE else 0


def read_payload(r, h, wide, sealed, presence):
    point = {"captured_at": h["now"] - r.zigzag()}
    if sealed:
        return point | {"sealed": base64.b64encode(r.blob()).decode()}
    lat, lon = (r.le(4, True), r.le(4, True)) if wide else (h["lat"] + r.le(3, True), h["lon"] + r.le(3, True))
    point |= {"lat": lat / 1e6, "lon": lon / 1e6}
    if presence & 1:
        point["heading"] = r.le(1) * 360 / 256
    if presence & 2:
        point["speed"] = round(0.05 * math.expm1(r.le(1) / 30), 3)
    if presence & 4:
        point["accuracy"] = round(0.5 * math.expm1(r.le(1) / 30), 2)
    if presence & 8:
        point["battery"] = r.le(1)
    return point


def read_header(r):
    options = r.le(1)
    h = {"every": options & 1, "page": tuple(r.le(4) for _ in range(3)) if options & 2 else None}
    h |= {name: r.varint() for name in ("chat", "cell", "epoch", "from", "to", "now")}
    h["to"] += h["from"]
    return h | {"lat": r.le(4, True), "lon": r.le(4, True), "flags": read_flags(r)}


def read_entry(r, h, slot):
    head = r.varint()
    bits, presence = read_flags(r) if head & 1 else h["flags"]
    e = {"slot": slot + (head >> 1), "earlier": [], "skipped": 0}
    if bits & DESCRIPTOR:
        sealed, session, user = r.le(1), r.le(8), r.text()
        e["who"] = {"session": session, "user": user, "started": h["now"] - r.zigzag(), "expires": h["now"] - r.zigzag(), "counter": r.varint()}
    if bits & POINT:
        e["point"] = read_payload(r, h, bits & WIDE, bits & SEALED, presence)
        if bits & DESCRIPTOR:
            e["counter"] = lambda base: e["who"]["counter"]
        else:
            n = r.varint() if bits & WHOLE else r.le(1)
            e["counter"] = (lambda base: n) if bits & WHOLE else (lambda base: base + (n - base) % 256)
    if bits & EARLIER:
        e["skipped"], count = r.varint(), r.varint()
        for _ in range(count):
            form, behind = r.le(1), r.varint()
            e["earlier"].append((behind, read_payload(r, h, form & 16, form & 32, form & 15)))
    if bits & STATE:
        e["state"], e["since"] = STATES[r.le(1)], h["now"] - r.zigzag()
    return e


class Viewer:
    """The apply rule: frames in, changes out through `emit`; `gap` is set when something is missing."""

    def __init__(self, chat, emit):
        self.chat, self.emit = chat, emit
        self.log = self.handle = self.epoch = self.cursor = 0
        self.rows, self.pages, self.seen_full, self.gap, self.keep_alive_s = {}, {}, False, False, SILENCE_S / 3

    def watching(self, r):
        r.varint()  # our request number
        self.handle, self.epoch, _horizon, self.cursor = (r.varint() for _ in range(4))

    def head(self, r):
        chat, _cell, epoch, to = (r.varint() for _ in range(4))
        self.gap |= chat == self.handle and (epoch > self.epoch or (epoch == self.epoch and to > self.cursor))

    def batch(self, r):
        h, entries, slot = read_header(r), [], 0
        while r.more():
            entries.append(read_entry(r, h, slot))
            slot = entries[-1]["slot"] + 1
        if h["chat"] != self.handle:
            return
        if h["page"]:
            snapshot, index, total = h["page"]
            if snapshot not in self.pages:
                self.pages = {snapshot: {}}
            self.pages[snapshot][index] = entries
            if len(self.pages[snapshot]) < total:
                return
            entries = [e for _, page in sorted(self.pages.pop(snapshot).items()) for e in page]
        full, newer, same = h["from"] == 0, h["epoch"] > self.epoch, h["epoch"] == self.epoch
        if (full and (newer or same and (h["to"] > self.cursor or self.cursor == 0))) or (
            not full and same and h["from"] <= self.cursor < h["to"]
        ):
            self.apply(h, entries, full)
        elif newer or (same and h["from"] > self.cursor):
            self.gap = True

    def apply(self, h, entries, full):
        self.epoch, self.cursor, self.gap = h["epoch"], h["to"], False
        before, self.rows = self.rows, {} if full else self.rows
        known = {row["session"]: row for row in before.values()}
        if full and self.seen_full:
            self.say("resync", {})
        there = {e["who"]["session"] for e in entries if "who" in e}
        for row in known.values():
            if full and row["session"] not in there and not row["ended"]:
                self.say("ended", row, why="gone")
        for e in entries:
            self.entry(e, known, h)
        self.seen_full |= full

    def entry(self, e, known, h):
        if who := e.get("who"):
            row = known.get(who["session"])
            if row is None:
                row = {"session": who["session"], "user": who["user"], "shown": 0, "had": 0, "ended": False, "mark": None}
                row["seen"], row["floor"] = set(), None
                self.say("started", row, started_at=who["started"], expires_at=who["expires"])
            row["base"] = who["counter"]
            self.rows[e["slot"]] = row
        row, state = self.rows.get(e["slot"]), e.get("state", "live")
        over = state in ("stopped", "expired", "revoked")
        if row is None and not over:
            self.cursor, self.gap = 0, True
        if row is None or row["ended"]:
            return
        if "point" in e:
            self.points(e, row, h)
        if "state" in e and (mark := (state, e["since"])) != row["mark"]:
            row["mark"], row["ended"] = mark, over
            if over:
                self.say("ended", row, why=state)
            elif state == "stale":
                self.say("stale", row, since=e["since"])
            elif state == "stationary" or not {"point", "who"} & e.keys():
                self.say("heartbeat", row, since=e["since"])

    def points(self, e, row, h):
        row["base"] = newest = e["counter"](row["base"])
        points = [(newest - behind, p) for behind, p in e["earlier"]] + [(newest, e["point"])]
        first, full = row["floor"] is None, h["from"] == 0
        if first:
            row["floor"] = points[0][0] if full else 0
        oldest = max(row["floor"], row["shown"] - WINDOW + 1 if h["every"] else row["shown"] + 1)
        new = [(n, p) for n, p in points if n >= oldest and n not in row["seen"]]
        total = e["skipped"] + len(points)
        if h["every"] and (e["skipped"] or full):
            if (lost := total - row["had"] - len(new)) > 0 and not (first and full):
                self.say("skipped", row, count=lost)
            row["had"] = total
        else:
            row["had"] += len(new)
        for counter, point in new:
            late = {"historical": True} if counter < row["shown"] else {}
            self.say("point", row, counter=counter, **point, **late)
            row["shown"], row["mark"] = max(row["shown"], counter), row["mark"] if late else None
        row["seen"] = {n for n in row["seen"].union(n for n, _ in new) if n > row["shown"] - WINDOW}

    def say(self, kind, row, **more):
        who = {"session": f"{row['session']:016x}", "user": row["user"]} if row else {}
        cursor = f"{self.log:016x}-{self.epoch}-{self.cursor}"
        self.emit({"type": kind, "chat": self.chat, **who, "cursor": cursor, **more})

    def handle_frame(self, body):
        """One frame, kind and body."""
        kind, r = body[0], Reader(body[1:])
        if kind == WELCOME:
            r.varint()  # the version
            self.log = r.le(8)
            _now, _frame_max, _duration_max, keep_alive_ms, _stale = (r.varint() for _ in range(5))
            self.keep_alive_s = keep_alive_ms / 1000
        elif kind in (WATCHING, BATCH, HEAD):
            {WATCHING: self.watching, BATCH: self.batch, HEAD: self.head}[kind](r)
        elif kind in (REFUSED, GOODBYE, WATCH_ENDED):
            first, second = r.varint(), r.varint()
            code = first if kind == GOODBYE else second
            sys.exit(f"the server says code {code} {'' if kind == WATCH_ENDED else r.text()}")


def frames(message):
    r = Reader(message)
    while r.more():
        yield r.blob()


class WebSocket:
    """Just enough of RFC 6455: a client that sends masked binary messages and takes whole ones."""

    def __init__(self, url):
        u = urllib.parse.urlsplit(url)
        self.sock = socket.create_connection((u.hostname, u.port or (443 if u.scheme == "wss" else 80)), 10)
        if u.scheme == "wss":
            self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=u.hostname)
        key, self.buffer = base64.b64encode(os.urandom(16)).decode(), b""
        ask = {"Host": u.netloc, "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": key,
               "Sec-WebSocket-Version": "13", "Sec-WebSocket-Protocol": "skein.v1"}  # fmt: skip
        lines = [f"GET {u.path} HTTP/1.1"] + [f"{name}: {value}" for name, value in ask.items()]
        self.sock.sendall("\r\n".join(lines + ["", ""]).encode())
        while b"\r\n\r\n" not in self.buffer:
            self.fill()
        answer, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
        if b" 101 " not in answer.split(b"\r\n")[0] + b" " or accept not in answer:
            sys.exit("no WebSocket here: " + answer.split(b"\r\n")[0].decode(errors="replace"))
        self.sock.settimeout(0.1)

    def fill(self):
        data = self.sock.recv(65536)
        if not data:
            sys.exit("the server closed the connection")
        self.buffer += data

    def send(self, payload, opcode=2):
        mask, n = os.urandom(4), len(payload)
        head = bytes([0x80 | opcode, 0x80 | n]) if n < 126 else struct.pack(">BBH", 0x80 | opcode, 0xFE, n)
        self.sock.sendall(head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload)))

    def messages(self):
        """The messages that are there, after waiting for some a little while."""
        try:
            self.fill()
        except socket.timeout:
            pass
        while (message := self.next_message()) is not None:
            yield message

    def next_message(self):
        b = self.buffer
        size = 2 if len(b) < 2 else {126: 4, 127: 10}.get(b[1], 2)
        if len(b) < size:
            return None
        n = b[1] if size == 2 else int.from_bytes(b[2:size], "big")
        if len(b) < size + n:
            return None
        opcode, payload, self.buffer = b[0] & 0x0F, b[size : size + n], b[size + n :]
        if opcode == 8:
            sys.exit(f"closed: {int.from_bytes(payload[:2], 'big')} {payload[2:].decode(errors='replace')}")
        if opcode == 9:
            self.send(payload, 10)
        return payload if opcode == 2 else b""


def hello(token):
    return frame(0x01, varint(1) + text(token) + text("skein_watch.py"))


def watch_request(chat, delivery):
    every = 4 if delivery == "every" else 0
    return frame(0x0A, varint(1) + text(chat) + bytes([every]) + varint(0) + b"\0" + varint(0))


def cursor_report(viewer):
    return frame(0x0C, b"".join(map(varint, (viewer.handle, 0, viewer.epoch, viewer.cursor))))


def ping():
    return frame(0x0D, bytes(8))


def watch(args, viewer):
    ws = WebSocket(args.url)
    ws.send(hello(args.token))
    ws.send(watch_request(args.chat, args.delivery))
    end = time.monotonic() + args.seconds
    heard = asked = reported = time.monotonic()
    while (now := time.monotonic()) < end:
        for message in ws.messages():
            heard = asked = now
            for body in frames(message):
                viewer.handle_frame(body)
        report = cursor_report(viewer)
        if now - heard > SILENCE_S:
            sys.exit("offline: the server is silent")
        if now - asked > viewer.keep_alive_s:
            ws.send(ping() + (report if viewer.handle else b""))
            asked = now
        if viewer.gap and now - reported > 0.2:
            ws.send(report)
            reported = now
    ws.send(struct.pack(">H", 1000), 8)


def self_test(path, viewer):
    """Feeds the frames of a golden file: hex lines, one frame between two lines that begin with `==`."""
    with open(path, encoding="utf-8") as file:
        for sample in re.split(r"^==.*$", file.read(), flags=re.M)[1:]:
            hex_lines = [line for line in sample.splitlines() if not line.startswith(";")]
            for body in frames(bytes.fromhex("".join(hex_lines))):
                viewer.handle_frame(body)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="ws://127.0.0.1:8080/v1/ws")
    parser.add_argument("--chat", default="")
    parser.add_argument("--token", default="")
    parser.add_argument("--delivery", choices=["every", "latest"], default="every")
    parser.add_argument("--for", dest="seconds", type=float, default=math.inf, metavar="SECS")
    parser.add_argument("--self-test", metavar="FILE", help="read frames from a golden file instead of a server")
    args = parser.parse_args()
    viewer = Viewer(args.chat, lambda change: print(json.dumps(change), flush=True))
    self_test(args.self_test, viewer) if args.self_test else watch(args, viewer)


if __name__ == "__main__":
    main()
