#!/usr/bin/env python3
"""WebTransport by aioquic, which shares nothing with the server: `watch` prints changes as skein_watch.py does, `nonsense` says what becomes of bad HTTP/3.

`nonsense` opens a connection for each case, sends it, and prints {"case", "end": [code, reason] or null, "status": or null, "stopped": or null}:
how the connection ended, what the request was answered, and the code with which the server refused a stream.
"""
import argparse, asyncio, json, ssl, sys
import pylsqpack
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DatagramReceived, DataReceived, HeadersReceived, WebTransportStreamDataReceived
from aioquic.quic import events
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
import skein_frames as wire, skein_viewer
from skein_quic import COMPLAINT_S, TICK_S, whole_frames

PART_S = 0.3  # from the end of a session to our own half's: what a slow client may take
WAIT_S = 12  # for the end of a connection: above the deadlines for `Hello` and for hearing the end


def connect_fields(to, **changes):
    fields = {"method": "CONNECT", "protocol": "webtransport", "scheme": "https", "authority": to, "path": "/v1/wt"} | changes
    return [((b":" if k != "origin" else b"") + k.encode(), v.encode()) for k, v in fields.items() if v is not None]


async def connect(to, make):
    configuration = QuicConfiguration(
        is_client=True, alpn_protocols=["h3"], server_name="localhost", verify_mode=ssl.CERT_NONE,
        max_datagram_frame_size=65536, idle_timeout=60.0)  # fmt: skip
    loop, host, port = asyncio.get_running_loop(), *to.rsplit(":", 1)
    transport, client = await loop.create_datagram_endpoint(
        lambda: make(QuicConnection(configuration=configuration)), local_addr=(host, 0))  # fmt: skip
    client.connect((host, int(port)))
    await client.wait_connected()
    return transport, client


class Watcher(QuicConnectionProtocol):
    """A viewer over aioquic's own HTTP/3."""

    def __init__(self, quic, viewer):
        super().__init__(quic)
        self.viewer, self.early, self.streams, self.session, self.control = viewer, [], {}, None, None
        self.h3, self.opened, self.seen = None, asyncio.Event(), {"datagrams": 0, "streams": 0}

    def begin(self, args):
        self.session = self._quic.get_next_available_stream_id()
        self.h3.send_headers(self.session, connect_fields(args.to))
        self.transmit()

    def say(self, data):
        if self.control is None:
            self.control = self.h3.create_webtransport_stream(self.session)
        self._quic.send_stream_data(self.control, data)
        self.transmit()

    def quic_event_received(self, event):
        if isinstance(event, events.ProtocolNegotiated):
            self.h3 = H3Connection(self._quic, enable_webtransport=True)
        elif isinstance(event, events.ConnectionTerminated):
            print(json.dumps({"type": "terminated", "code": event.error_code, "reason": event.reason_phrase}), flush=True)
            self.opened.set()
        if isinstance(event, events.StreamDataReceived) and event.stream_id == self.control:
            # What comes back on a stream of ours has no prefix, and aioquic looks for one.
            self.streams[self.control] = self.take(self.streams.get(self.control, b"") + event.data)
            return
        for event in self.h3.handle_event(event) if self.h3 else []:
            self.h3_event_received(event)

    def h3_event_received(self, event):
        if isinstance(event, HeadersReceived):
            assert dict(event.headers)[b":status"] == b"200", event
            self.opened.set()
        elif isinstance(event, DataReceived) and event.data:
            reader = wire.Reader(event.data)
            kind, body = reader.varint(), wire.Reader(reader.blob())
            asyncio.get_running_loop().call_later(PART_S, self.part)
            print(json.dumps({"type": "capsule", "kind": kind, "code": int.from_bytes(body.take(4), "big"), "reason": body.data[4:].decode()}), flush=True)
        elif isinstance(event, DatagramReceived) and event.stream_id == self.session:
            self.seen["datagrams"] += 1
            self.take(event.data)
        elif isinstance(event, WebTransportStreamDataReceived) and event.session_id == self.session:
            data = self.streams.get(event.stream_id, b"") + event.data
            if event.stream_ended:
                self.seen["streams"] += 1
                data = self.take(data)
            self.streams[event.stream_id] = data

    def part(self):
        """Ends our half of the session, as the server has ended its own."""
        print(json.dumps({"type": "parting"}), flush=True)
        self._quic.send_stream_data(self.session, b"", end_stream=True)
        self.transmit()

    def take(self, data):
        found, rest = whole_frames(data)
        for body in found:
            if body[0] == wire.GOODBYE:
                reader = wire.Reader(body[1:])
                print(json.dumps({"type": "goodbye", "code": reader.varint(), "retry_after_ms": reader.varint()}), flush=True)
                continue
            if body[0] == wire.BATCH and not self.viewer.handle:
                self.early.append(body)
                continue
            self.viewer.handle_frame(body)
            if body[0] == wire.WATCHING:
                for batch in self.early:
                    self.viewer.handle_frame(batch)
        return rest


async def watch(args):
    viewer = skein_viewer.Viewer(args.chat, lambda change: print(json.dumps(change), flush=True))
    _, watcher = await connect(args.to, lambda quic: Watcher(quic, viewer))
    watcher.begin(args)
    await watcher.opened.wait()
    watcher.say(wire.hello(args.token) + wire.watch_request(args.chat, args.delivery))
    listening = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
    while not listening.done():
        if viewer.gap:
            watcher.say(wire.cursor_report(viewer))
            await asyncio.sleep(COMPLAINT_S)
        await asyncio.sleep(TICK_S)
    print(json.dumps({"type": "seen", **watcher.seen}), flush=True)


SETTINGS = {0x33: 1, 0x2B603742: 1}


def settings(pairs):
    return wire.varint(4) + wire.text("") if not pairs else section(4, b"".join(wire.varint(n) for pair in pairs for n in pair))


def section(kind, value):
    return wire.varint(kind) + wire.varint(len(value)) + value


def packed(fields):
    return pylsqpack.Encoder().encode(0, fields)[1]


class Stranger(QuicConnectionProtocol):
    """Sends whatever it is told to."""

    def __init__(self, quic):
        super().__init__(quic)
        self.end, self.status, self.stopped, self.capsule, self.request = None, None, None, None, b""
        self.over = asyncio.Event()

    def stream(self, data, uni=False, fin=False):
        stream = self._quic.get_next_available_stream_id(is_unidirectional=uni)
        self._quic.send_stream_data(stream, data, fin)
        return stream

    def control(self, pairs=tuple(SETTINGS.items()), more=b""):
        return self.stream(b"\0" + settings(pairs) + more, uni=True)

    def connect_request(self, to, more=b"", fin=False, **changes):
        return self.stream(section(1, packed(connect_fields(to, **changes))) + more, fin=fin)

    def quic_event_received(self, event):
        if isinstance(event, events.ConnectionTerminated):
            self.end = [event.error_code, event.reason_phrase]
            self.over.set()
        elif isinstance(event, events.StreamDataReceived) and event.stream_id == 0:
            self.request += event.data
            reader = wire.Reader(self.request)
            try:
                while reader.more():
                    kind, value = reader.varint(), reader.blob()
                    if kind == 1:
                        headers = pylsqpack.Decoder(0, 0).feed_header(0, value)[1]
                        self.status = int(dict(headers)[b":status"])
                    elif kind == 0 and value:
                        capsule = wire.Reader(value)
                        assert capsule.varint() == 0x2843
                        self.capsule = int.from_bytes(capsule.blob()[:4], "big")
            except ValueError:
                pass
        elif isinstance(event, (events.StopSendingReceived, events.StreamReset)):
            self.stopped = event.error_code


async def slowly(stranger, *steps):
    """One flight of packets after the other."""
    for step in steps:
        step()
        stranger.transmit()
        await asyncio.sleep(0.2)


def cases(to, token):
    """Names of nonsense, and how it is sent."""
    hello = wire.hello(token)
    close = section(0, section(0x2843, bytes(4) + b"bye"))
    return {
        "nothing": lambda s: None,
        "settings, and no request": lambda s: s.control(),
        "a request, and no settings": lambda s: s.connect_request(to),
        "no settings at the front": lambda s: s.stream(b"\0" + section(7, b"\0"), uni=True),
        "settings of HTTP/2": lambda s: s.control([(2, 0)]),
        "a setting twice": lambda s: s.control([(0x33, 1), (0x33, 1)]),
        "a switch that is 2": lambda s: s.control([(0x33, 2)]),
        "half a setting": lambda s: s.stream(b"\0" + section(4, b"\x33"), uni=True),
        "settings twice": lambda s: s.control(more=settings(())),
        "settings of 9,000 bytes": lambda s: s.stream(b"\0\x04" + wire.varint(9_000), uni=True),
        "two control streams": lambda s: (s.control(), s.control()),
        "a control stream that ends": lambda s: s.stream(b"\0" + settings(tuple(SETTINGS.items())), uni=True, fin=True),
        "data on the control stream": lambda s: s.control(more=section(0, b"x")),
        "a push stream": lambda s: s.stream(b"\1", uni=True),
        "an entry for the table": lambda s: (s.control(), s.stream(b"\2\x3f\xe1\x1f\x4a", uni=True)),
        "a stream of no known type": lambda s: (s.control(), s.stream(wire.varint(0x21 + 0x1F * 7) + b"x", uni=True)),
        "no datagrams": lambda s: (s.control([(0x2B603742, 1)]), s.connect_request(to)),
        "CONNECT without a protocol": lambda s: (s.control(), s.connect_request(to, protocol=None)),
        "another protocol": lambda s: (s.control(), s.connect_request(to, protocol="connect-udp")),
        "GET": lambda s: (s.control(), s.connect_request(to, method="GET", protocol=None)),
        "another path": lambda s: (s.control(), s.connect_request(to, path="/v1/ws")),
        "no authority": lambda s: (s.control(), s.connect_request(to, authority=None)),
        "a foreign page": lambda s: (s.control(), s.connect_request(to, origin="https://evil.example")),
        "a page of this place": lambda s: (s.control(), s.connect_request(to, origin="https://" + to)),
        "fields of 9,000 bytes": lambda s: (s.control(), s.stream(b"\1" + wire.varint(9_000))),
        "fields that unpack to too much": lambda s: (s.control(), s.stream(section(1, b"\0\0" + b"\xd9" * 4_000))),
        "fields that do not unpack": lambda s: (s.control(), s.stream(section(1, b"\0\0\x80"))),
        "data before the fields": lambda s: (s.control(), s.stream(section(0, b"x"))),
        "fields twice": lambda s: (s.control(), s.connect_request(to, more=section(1, packed(connect_fields(to))))),
        "a request that ends at once": lambda s: (s.control(), s.stream(b"\1", fin=True)),
        "a second request": lambda s: (s.control(), s.connect_request(to), s.connect_request(to)),
        "a session that is no request": lambda s: (s.control(), s.connect_request(to), s.stream(wire.varint(0x54) + b"\2", uni=True)),
        "a stream of another session": lambda s: (s.control(), s.connect_request(to), s.stream(wire.varint(0x54) + b"\4", uni=True)),
        "a datagram, and no session": lambda s: (s.control(), s._quic.send_datagram_frame(b"\0\1\xff")),
        "an empty datagram": lambda s: (s.control(), s.connect_request(to), s._quic.send_datagram_frame(b"")),
        "a datagram of another session": lambda s: (s.control(), s.connect_request(to), s._quic.send_datagram_frame(b"\1\1\xff")),
        "a goodbye that is too short": lambda s: (s.control(), s.connect_request(to, more=section(0, section(0x2843, b"xx")))),
        "a goodbye that is too long": lambda s: slowly(
            s, lambda: (s.control(), s.connect_request(to)),
            lambda: s._quic.send_stream_data(0, section(0, section(0x2843, bytes(1_100))))),
        "an unknown capsule, then a goodbye": lambda s: (s.control(), s.connect_request(to, more=section(0, section(0x1234, b"x")) + close)),
        "a request that ends": lambda s: (s.control(), s.connect_request(to, fin=True)),
        "70,000 bytes of capsules": lambda s: (s.control(), s.connect_request(to, more=section(0, section(0x1234, bytes(7_000))) * 10)),
        "a session, and no hello": lambda s: (s.control(), s.connect_request(to)),
        "a stream of the session, and no hello": lambda s: (s.control(), s.connect_request(to), s.stream(wire.varint(0x41) + b"\0")),
        "a frame that is none": lambda s: (s.control(), s.connect_request(to), s.stream(wire.varint(0x41) + b"\0" + hello + b"\0")),
        "streams before the request": lambda s: slowly(
            s, lambda: (s.control(), s.stream(wire.varint(0x54) + b"\0" + wire.ping(), uni=True, fin=True)),
            lambda: (s.connect_request(to), s.stream(wire.varint(0x41) + b"\0" + hello))),
    }  # fmt: skip


async def nonsense(args):
    async def one(name, send):
        transport, stranger = await connect(args.to, Stranger)
        if asyncio.iscoroutine(later := send(stranger)):
            await later
        stranger.transmit()
        try:
            await asyncio.wait_for(stranger.over.wait(), WAIT_S)
        except asyncio.TimeoutError:
            pass
        transport.close()
        said = {key: getattr(stranger, key) for key in ("end", "status", "stopped", "capsule")}
        print(json.dumps({"case": name, **said}), flush=True)

    await asyncio.gather(*(one(name, send) for name, send in cases(args.to, args.token).items()))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["watch", "nonsense"])
    parser.add_argument("--to", default="127.0.0.1:4433")
    parser.add_argument("--chat", default="")
    parser.add_argument("--token", default="")
    parser.add_argument("--delivery", choices=["every", "latest"], default="every")
    args = parser.parse_args()
    asyncio.run({"watch": watch, "nonsense": nonsense}[args.what](args))


if __name__ == "__main__":
    main()
