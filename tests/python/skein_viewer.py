"""A viewer of one chat: the apply rule of docs/PROTOCOL.md, without a socket and without a clock."""
import sys
import skein_frames as wire

SILENCE_S = 15
WINDOW = 1024  # counters below the greatest within which late points may come


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
        h, entries, slot = wire.read_header(r), [], 0
        while r.more():
            entries.append(wire.read_entry(r, h, slot))
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
        kind, r = body[0], wire.Reader(body[1:])
        if kind == wire.WELCOME:
            r.varint()  # the version
            self.log = r.le(8)
            _now, _frame_max, _duration_max, keep_alive_ms, _stale = (r.varint() for _ in range(5))
            self.keep_alive_s = keep_alive_ms / 1000
        elif kind in (wire.WATCHING, wire.BATCH, wire.HEAD):
            {wire.WATCHING: self.watching, wire.BATCH: self.batch, wire.HEAD: self.head}[kind](r)
        elif kind in (wire.REFUSED, wire.GOODBYE, wire.WATCH_ENDED):
            first, second = r.varint(), r.varint()
            code = first if kind == wire.GOODBYE else second
            sys.exit(f"the server says code {code} {'' if kind == wire.WATCH_ENDED else r.text()}")
