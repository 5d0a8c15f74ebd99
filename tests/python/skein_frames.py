"""Frames of docs/PROTOCOL.md: fields, what a client sends, and what a batch holds."""
import base64, math

HELLO, AUTH, SHARE_START, SHARE_RESUME, SHARE_EXTEND, SHARE_STOP, POINT, POINTS, HEARTBEAT, WATCH = range(0x01, 0x0B)
CURSOR, PING = 0x0C, 0x0D
WELCOME, REFUSED, SHARED, ACCEPTED, WATCHING, BATCH, HEAD, DEMAND, PONG, GOODBYE, DONE, WATCH_ENDED, SHARE_ENDED = range(0x41, 0x4E)
DESCRIPTOR, NEWEST, WIDE, SEALED, WHOLE, PRESENCE, EARLIER, STATE = (1 << i for i in range(8))
STATES = ["live", "stationary", "stale", "stopped", "expired", "revoked", "moved"]


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


def frames(message):
    r = Reader(message)
    while r.more():
        yield r.blob()


def hello(token):
    return frame(HELLO, varint(1) + text(token) + text("skein_watch.py"))


def watch_request(chat, delivery):
    every = 4 if delivery == "every" else 0
    return frame(WATCH, varint(1) + text(chat) + bytes([every]) + varint(0) + b"\0" + varint(0))


def auth(token):
    return frame(AUTH, text(token))


def share_start(request, chat, duration_s, key):
    return frame(SHARE_START, varint(request) + text(chat) + varint(duration_s) + text(key) + b"\0")


def share_resume(request, chat, session):
    return frame(SHARE_RESUME, varint(request) + text(chat) + session.to_bytes(8, "little"))


def share_extend(request, share, duration_s):
    return frame(SHARE_EXTEND, b"".join(map(varint, (request, share, duration_s))))


def share_stop(request, share):
    return frame(SHARE_STOP, varint(request) + varint(share))


def heartbeat(share, counter):
    return frame(HEARTBEAT, varint(share) + varint(counter))


def upload_point(p):
    """A point as a dict: counter, captured_at (ms), lat, lon and perhaps heading, speed, accuracy, battery."""
    scales = {
        "heading": lambda degrees: round(degrees * 256 / 360) % 256,
        "speed": lambda v: min(255, round(30 * math.log(1 + v / 0.05))),
        "accuracy": lambda r: min(255, round(30 * math.log(1 + r / 0.5))),
        "battery": lambda percent: percent,
    }
    form, values = 0, b""
    for bit, (name, scale) in enumerate(scales.items()):
        if name in p:
            form, values = form | 1 << bit, values + bytes([scale(p[name])])
    place = b"".join(round(p[name] * 1e6).to_bytes(4, "little", signed=True) for name in ("lat", "lon"))
    return bytes([form]) + varint(p["counter"]) + p["captured_at"].to_bytes(8, "little", signed=True) + place + values


def share_point(share, point, durable):
    return frame(POINT, varint(share) + bytes([2 if durable else 0]) + upload_point(point))


def share_points(share, points, historical, durable):
    options = bytes([(1 if historical else 0) | (2 if durable else 0)])
    return frame(POINTS, varint(share) + options + varint(len(points)) + b"".join(map(upload_point, points)))


def cursor_report(viewer):
    return frame(CURSOR, b"".join(map(varint, (viewer.handle, 0, viewer.epoch, viewer.cursor))))


def ping():
    return frame(PING, bytes(8))


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
    if bits & NEWEST:
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
