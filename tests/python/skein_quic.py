#!/usr/bin/env python3
"""Watches a chat over QUIC as skein_watch.py does over WebSocket, and moves to another address when it is told to.

Its QUIC is aioquic's, which has nothing in common with the server's. Lines on stdin:
  rebind ADDRESS PORT    packets come from there from now on, as when a NAT forgets a mapping: same connection id
  migrate ADDRESS PORT   the same as a phone does it on purpose: with another of the server's connection ids
"""
import argparse, asyncio, json, ssl, sys, time
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.quic import events
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
import skein_frames as wire, skein_viewer

TICK_S = 0.05  # between two looks at the clock
COMPLAINT_S = 0.2  # between two complaints: above a round trip
EARLY = 16  # batches kept that came before the answer to the watch


def whole_frames(data):
    """The frames that are complete, and what is left."""
    found, reader = [], wire.Reader(data)
    while True:
        start = reader.at
        try:
            found.append(reader.blob())
        except ValueError:
            return found, data[start:]


class Phone(QuicConnectionProtocol):
    def __init__(self, quic, viewer):
        super().__init__(quic)
        self.viewer, self.early, self.streams, self.control = viewer, [], {}, None
        self.heard = self.asked = self.reported = time.monotonic()

    def open(self, args):
        self.control = self._quic.get_next_available_stream_id()
        self.say(wire.hello(args.token) + wire.watch_request(args.chat, args.delivery))

    def say(self, data):
        self._quic.send_stream_data(self.control, data)
        self.transmit()

    async def move(self, how, address, port):
        before = self._transport
        # The loop tells this protocol of its new transport.
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, local_addr=(address, port))
        before.close()
        if how == "migrate":
            self.change_connection_id()
        self.say(wire.ping())

    def quic_event_received(self, event):
        self.heard = self.asked = time.monotonic()
        if isinstance(event, events.ConnectionTerminated):
            sys.exit(f"the connection ended: {event.error_code} {event.reason_phrase}")
        if isinstance(event, events.DatagramFrameReceived):
            self.take(event.data)
        elif isinstance(event, events.StreamDataReceived):
            data = self.streams.get(event.stream_id, b"") + event.data
            if event.stream_id == self.control or event.end_stream:
                data = self.take(data)
            self.streams[event.stream_id] = data
            if event.end_stream:
                del self.streams[event.stream_id]

    def take(self, data):
        found, rest = whole_frames(data)
        for body in found:
            if body[0] == wire.BATCH and not self.viewer.handle:
                self.early = (self.early + [body])[-EARLY:]
                continue
            self.viewer.handle_frame(body)
            if body[0] == wire.WATCHING:
                for batch in self.early:
                    self.viewer.handle_frame(batch)
        return rest

    def tick(self):
        now, viewer = time.monotonic(), self.viewer
        if now - self.heard > skein_viewer.SILENCE_S:
            sys.exit("offline: the server is silent")
        if now - self.asked > viewer.keep_alive_s:
            self.say(wire.ping() + (wire.cursor_report(viewer) if viewer.handle else b""))
            self.asked = now
        if viewer.gap and now - self.reported > COMPLAINT_S:
            self.say(wire.cursor_report(viewer))
            self.reported = now


async def orders(phone):
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        how, address, port = line.decode().split()
        await phone.move(how, address, int(port))
        print(json.dumps({"type": "moved", "how": how, "address": address, "port": int(port)}), flush=True)


async def watch(args, viewer):
    configuration = QuicConfiguration(
        is_client=True, alpn_protocols=["skein/1"], server_name="localhost", verify_mode=ssl.CERT_NONE,
        max_datagram_frame_size=65536, idle_timeout=60.0)  # fmt: skip
    loop, host, port = asyncio.get_running_loop(), *args.to.rsplit(":", 1)
    _, phone = await loop.create_datagram_endpoint(
        lambda: Phone(QuicConnection(configuration=configuration), viewer), local_addr=(host, 0))  # fmt: skip
    phone.connect((host, int(port)))
    await phone.wait_connected()
    phone.open(args)
    listening = asyncio.create_task(orders(phone))
    while not (listening.done() and listening.exception()):
        phone.tick()
        await asyncio.sleep(TICK_S)
    listening.result()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", default="127.0.0.1:4433")
    parser.add_argument("--chat", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--delivery", choices=["every", "latest"], default="every")
    args = parser.parse_args()
    viewer = skein_viewer.Viewer(args.chat, lambda change: print(json.dumps(change), flush=True))
    asyncio.run(watch(args, viewer))


if __name__ == "__main__":
    main()
