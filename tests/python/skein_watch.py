#!/usr/bin/env python3
"""Watches a chat over WebSocket and prints one JSON object per change.

Written from docs/PROTOCOL.md alone, with the standard library alone (3.10 or later): if this program is wrong, either it or that page has to be mended.
Frames are in skein_frames.py, the apply rule in skein_viewer.py, the transport in skein_websocket.py.
"""
import argparse, json, math, re, struct, sys, time
import skein_frames as wire, skein_viewer, skein_websocket


def watch(args, viewer):
    ws = skein_websocket.WebSocket(args.url)
    ws.send(wire.hello(args.token))
    ws.send(wire.watch_request(args.chat, args.delivery))
    end = time.monotonic() + args.seconds
    heard = asked = reported = time.monotonic()
    while (now := time.monotonic()) < end:
        for message in ws.messages():
            heard = asked = now
            for body in wire.frames(message):
                viewer.handle_frame(body)
        report = wire.cursor_report(viewer)
        if now - heard > skein_viewer.SILENCE_S:
            sys.exit("offline: the server is silent")
        if now - asked > viewer.keep_alive_s:
            ws.send(wire.ping() + (report if viewer.handle else b""))
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
            for body in wire.frames(bytes.fromhex("".join(hex_lines))):
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
    viewer = skein_viewer.Viewer(args.chat, lambda change: print(json.dumps(change), flush=True))
    self_test(args.self_test, viewer) if args.self_test else watch(args, viewer)


if __name__ == "__main__":
    main()
