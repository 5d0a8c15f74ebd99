"""Just enough of RFC 6455 for a client, with the standard library alone."""
import base64, hashlib, os, socket, ssl, struct, sys, urllib.parse


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
