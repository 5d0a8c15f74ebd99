"""Opens sealed points; written from docs/SEALED.md alone.

    skein_seal.py KEYFILE < changes.jsonl

Reads what `skein watch --format jsonl` prints without keys, and prints counter, latitude and longitude
(in 1e-6 degree) of each point that it can open, or counter and `closed`.
"""

import base64
import hashlib
import hmac
import json
import struct
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

# suite: bytes of key material, bytes of a tag
SUITES = {1: (48, 10), 2: (48, 8), 4: (16, 16)}
PREFIX = "skein-key-1:"


class Closed(Exception):
    """The point cannot be opened."""


def read_key(line):
    """The key of a line: chat, session, epoch, suite, secret."""
    coded = line[len(PREFIX):]
    envelope = base64.urlsafe_b64decode(coded + "=" * (-len(coded) % 4))
    body, check = envelope[:-4], envelope[-4:]
    assert hashlib.sha256(body).digest()[:4] == check, "a damaged key"
    version, suite, epoch, session, length = struct.unpack_from("<BBIQB", body)
    assert version == 1, "another version"
    chat, secret = body[15:15 + length], body[15 + length:]
    assert len(secret) == 32, "a secret of another length"
    return chat, session, epoch, suite, secret


def expand(secret, info, length):
    """HKDF-SHA-256."""
    prk = hmac.new(b"skein seal 1", secret, hashlib.sha256).digest()
    out, block, number = b"", b"", 1
    while len(out) < length:
        block = hmac.new(prk, block + info + bytes([number]), hashlib.sha256).digest()
        out, number = out + block, number + 1
    return out[:length]


def varint(data):
    size = 1 << (data[0] >> 6)
    value = int.from_bytes(bytes([data[0] & 0x3F]) + data[1:size], "big")
    return value, data[size:]


def open_point(keys, chat, session, counter, captured_at, blob):
    """The 13 bytes of a fix."""
    suite, (epoch, rest) = blob[0], varint(blob[1:])
    stream, sealed = rest[:8], rest[8:]
    fitting = [key for key in keys if key[0] == chat and key[2] == epoch and key[1] in (0, session)]
    if not fitting or suite not in SUITES:
        raise Closed
    _, _, _, of_key, secret = max(fitting, key=lambda key: key[1] != 0)
    material, tag_bytes = SUITES[suite]
    if of_key != suite or len(sealed) != 13 + tag_bytes:
        raise Closed
    context = bytes([suite]) + struct.pack("<I", epoch) + stream + struct.pack("<Q", session) + chat
    key = expand(secret, b"key" + context, material)
    salt = expand(secret, b"salt" + context, 12)
    nonce = bytes(a ^ b for a, b in zip(salt, bytes(4) + struct.pack(">Q", counter)))
    aad = b"point" + context + struct.pack("<Qq", counter, captured_at)
    if suite == 4:
        try:
            return AESGCM(key).decrypt(nonce, sealed, aad)
        except InvalidTag as error:
            raise Closed from error
    ciphertext, tag = sealed[:-tag_bytes], sealed[-tag_bytes:]
    lengths = struct.pack(">QQQ", len(aad), len(ciphertext), tag_bytes)
    wanted = hmac.new(key[16:], lengths + nonce + aad + ciphertext, hashlib.sha256).digest()
    if not hmac.compare_digest(wanted[:tag_bytes], tag):
        raise Closed
    aes = Cipher(algorithms.AES(key[:16]), modes.CTR(nonce + bytes(4))).decryptor()
    return aes.update(ciphertext) + aes.finalize()


def main():
    with open(sys.argv[1], encoding="ascii") as file:
        keys = [read_key(line.strip()) for line in file if line.startswith(PREFIX)]
    for line in sys.stdin:
        change = json.loads(line)
        if change["type"] != "point" or "sealed" not in change:
            continue
        counter = change["counter"]
        try:
            plain = open_point(
                keys,
                change["chat"].encode(),
                int(change["session"], 16),
                counter,
                change["captured_at"],
                bytes.fromhex(change["sealed"]),
            )
            _, lat, lon = struct.unpack_from("<Bii", plain)
            print(counter, lat, lon)
        except Closed:
            print(counter, "closed")


if __name__ == "__main__":
    main()
