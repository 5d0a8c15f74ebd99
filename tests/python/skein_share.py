#!/usr/bin/env python3
"""Shares in a chat over WebSocket, one request of each kind, and prints one JSON object for what it sends and what it is answered.

Written from docs/PROTOCOL.md alone, with the standard library alone, as skein_watch.py is. It connects with a token that expires soon and renews it.
"""
import argparse, json, struct, sys, time
import skein_frames as wire, skein_websocket

PATIENCE_S = 30
CODES = {0: "ok", 65: "no_fix", 66: "superseded", 67: "outside_window"}


def say(kind, **fields):
    print(json.dumps({"type": kind, **fields}), flush=True)


class Sharer:
    def __init__(self, args):
        self.ws, self.inbox, self.request = skein_websocket.WebSocket(args.url), [], 0
        self.ws.send(wire.hello(args.token))
        self.expect(wire.WELCOME)

    def ask(self, make, *fields):
        """Sends a request; its number."""
        self.request += 1
        self.ws.send(make(self.request, *fields))
        return self.request

    def expect(self, kind, fits=lambda reader: True):
        """The first frame of a kind that fits; others are forgotten. A refusal ends the program."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            while self.inbox:
                body = self.inbox.pop(0)
                if body[0] in (wire.REFUSED, wire.GOODBYE):
                    sys.exit(f"refused: {body.hex()}")
                if body[0] == kind and fits(wire.Reader(body[1:])):
                    return wire.Reader(body[1:])
            for message in self.ws.messages():
                self.inbox += wire.frames(message)
        sys.exit(f"nothing of kind {kind:#x} came")

    def shared(self, request):
        reader = self.expect(wire.SHARED, lambda r: r.varint() == request)
        reader.varint()
        session, share, counter = reader.le(8), reader.varint(), reader.varint()
        say("shared", session=f"{session:016x}", counter=counter, expires_at=reader.varint())
        return session, share

    def accepted(self, share, counter, durable=0):
        """Waits until this counter is acknowledged, or has a verdict; all verdicts until then."""
        verdicts = []

        def covers(reader):
            whose, upto, safe = reader.varint(), reader.varint(), reader.varint()
            verdicts.extend((reader.varint(), reader.varint()) for _ in range(reader.varint()))
            judged = upto >= counter or any(n == counter for n, _ in verdicts)
            return whose == share and judged and safe >= durable

        self.expect(wire.ACCEPTED, covers)
        return [{"counter": n, "code": CODES.get(code, code)} for n, code in verdicts]

    def done(self, request):
        reader = self.expect(wire.DONE, lambda r: r.varint() == request)
        reader.varint()
        return bool(reader.le(1))


def fix(counter, now, **values):
    return {"counter": counter, "captured_at": now + counter, "lat": 47.37 + counter / 1e6, "lon": -8.54 - counter / 1e5, **values}


def sent(points, historical=False):
    for point in points:
        say("sent", historical=historical, **point)
    return points


def share(args):
    begun, now = time.monotonic(), int(time.time() * 1000)
    sharer = Sharer(args)
    sharer.ws.send(wire.auth(args.renewal))
    sharer.done(0)
    say("renewed")
    session, number = sharer.shared(sharer.ask(wire.share_start, args.chat, 600, "python"))
    # The same key again is the same session.
    again, _ = sharer.shared(sharer.ask(wire.share_start, args.chat, 600, "python"))
    assert again == session, "another session"
    sys.stdin.readline()  # until whoever watches is there

    single = sent([fix(10, now), fix(11, now, heading=90.0, speed=1.4), fix(12, now, accuracy=5.0, battery=81)])
    for point in single:
        sharer.ws.send(wire.share_point(number, point, durable=False))
    sharer.accepted(number, 12)
    many = sent([fix(20 + n, now, heading=n * 36.0, speed=float(n), accuracy=1.0 + n, battery=10 * n) for n in range(10)])
    sharer.ws.send(wire.share_points(number, many, historical=False, durable=True))
    assert not sharer.accepted(number, 29, durable=29), "all are taken"
    say("durable", counter=29)
    # What was collected meanwhile, oldest first, and one that is there already.
    late = sent([fix(n, now) for n in (13, 14, 15)], historical=True)
    sharer.ws.send(wire.share_points(number, late + [fix(12, now)], historical=True, durable=False))
    # A place that is none, live: it is acknowledged, by a verdict.
    sharer.ws.send(wire.share_point(number, {"counter": 30, "captured_at": now, "lat": 0.0, "lon": 0.0}, durable=False))
    say("verdicts", verdicts=sharer.accepted(number, 30))

    sharer.ws.send(wire.heartbeat(number, 30))
    time.sleep(max(0, begun + args.seconds - time.monotonic()))  # beyond the end of the first token
    sharer.shared(sharer.ask(wire.share_extend, number, 1200))
    # On a new connection with the new token the session is found again, and goes on.
    sharer.ws.send(struct.pack(">H", 1000), 8)
    args.token = args.renewal
    sharer = Sharer(args)
    found, number = sharer.shared(sharer.ask(wire.share_resume, args.chat, session))
    assert found == session, "another session"
    sharer.ws.send(wire.share_point(number, sent([fix(40, now)])[0], durable=True))
    sharer.accepted(number, 40, durable=40)
    say("stopped", durable=sharer.done(sharer.ask(wire.share_stop, number)))
    sharer.ws.send(struct.pack(">H", 1000), 8)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="ws://127.0.0.1:8080/v1/ws")
    parser.add_argument("--chat", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--renewal", required=True, help="a token of the same user that expires later")
    parser.add_argument("--for", dest="seconds", type=float, default=0, metavar="SECS", help="stay at least so long on the first connection")
    share(parser.parse_args())


if __name__ == "__main__":
    main()
