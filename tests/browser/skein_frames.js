// Frames of docs/PROTOCOL.md, as tests/python/skein_frames.py has them: fields, what a client sends, and what a batch holds.

export const WELCOME = 0x41, REFUSED = 0x42, SHARED = 0x43, ACCEPTED = 0x44, WATCHING = 0x45, BATCH = 0x46;
export const HEAD = 0x47, GOODBYE = 0x4a, WATCH_ENDED = 0x4c;
const HELLO = 0x01, SHARE_START = 0x03, POINT = 0x07, WATCH = 0x0a, CURSOR = 0x0c;
const DESCRIPTOR = 1, NEWEST = 2, WIDE = 4, SEALED = 8, WHOLE = 16, PRESENCE = 32, EARLIER = 64, STATE = 128;
const STATES = ["live", "stationary", "stale", "stopped", "expired", "revoked", "moved"];

/// Takes fields off the front of bytes.
export class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  get more() {
    return this.at < this.bytes.length;
  }

  take(count) {
    if (this.at + count > this.bytes.length) throw new RangeError("a field is cut off");
    this.at += count;
    return this.bytes.subarray(this.at - count, this.at);
  }

  // Little-endian; above 6 bytes as a BigInt.
  le(count, signed = false) {
    const bytes = this.take(count);
    let value = 0n;
    for (let i = count - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]);
    if (signed) value = BigInt.asIntN(8 * count, value);
    return count > 6 ? value : Number(value);
  }

  // Numbers of this protocol that a page has to do with stay below 2^53.
  varint() {
    const first = this.take(1)[0];
    let value = first & 0x3f;
    for (const byte of this.take((1 << (first >> 6)) - 1)) value = value * 256 + byte;
    return value;
  }

  zigzag() {
    const value = this.varint();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  blob() {
    return this.take(this.varint());
  }

  text() {
    return new TextDecoder().decode(this.blob());
  }
}

export function joined(...parts) {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

// The frames that are whole, and what is left.
export function wholeFrames(bytes) {
  const reader = new Reader(bytes), frames = [];
  for (;;) {
    const start = reader.at;
    try {
      frames.push(reader.blob());
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      return [frames, bytes.subarray(start)];
    }
  }
}

function varint(value) {
  const size = value < 2 ** 6 ? 1 : value < 2 ** 14 ? 2 : value < 2 ** 30 ? 4 : 8;
  const bytes = new Uint8Array(size);
  for (let i = size - 1, rest = value; i >= 0; i--, rest = Math.floor(rest / 256)) bytes[i] = rest % 256;
  bytes[0] |= Math.log2(size) << 6;
  return bytes;
}

function le(value, count) {
  const bytes = new Uint8Array(count);
  for (let i = 0, rest = BigInt(value); i < count; i++, rest >>= 8n) bytes[i] = Number(rest & 0xffn);
  return bytes;
}

function text(value) {
  const bytes = new TextEncoder().encode(value);
  return joined(varint(bytes.length), bytes);
}

function frame(kind, ...fields) {
  const body = joined([kind], ...fields);
  return joined(varint(body.length), body);
}

export const hello = (token) => frame(HELLO, varint(1), text(token), text("skein_page.js"));
export const shareStart = (chat, seconds) => frame(SHARE_START, varint(1), text(chat), varint(seconds), text(""), [0]);
export const cursorReport = (view) => frame(CURSOR, ...[view.handle, 0, view.epoch, view.cursor].map(varint));

export function watch(chat, view) {
  const cursor = view.epoch ? joined(le(view.log, 8), varint(view.epoch), varint(view.cursor)) : [];
  return frame(WATCH, varint(1), text(chat), [4 | (view.epoch ? 2 : 0)], cursor, varint(0), [0], varint(0));
}

export function point(share, counter, lat, lon) {
  const place = [lat, lon].map((degrees) => le(Math.round(degrees * 1e6), 4));
  return frame(POINT, varint(share), [0], [0], varint(counter), le(Date.now(), 8), ...place);
}

function readFlags(reader) {
  const bits = reader.le(1);
  return [bits, bits & PRESENCE ? reader.le(1) : 0];
}

function readPayload(reader, header, wide, sealed, presence) {
  const found = { captured_at: header.now - reader.zigzag() };
  if (sealed) return { ...found, sealed: [...reader.blob()] };
  const [lat, lon] = wide
    ? [reader.le(4, true), reader.le(4, true)]
    : [header.lat + reader.le(3, true), header.lon + reader.le(3, true)];
  for (const bit of [1, 2, 4, 8]) if (presence & bit) reader.le(1);
  return { ...found, lat: lat / 1e6, lon: lon / 1e6 };
}

function readEntry(reader, header, slot) {
  const head = reader.varint();
  const [bits, presence] = head % 2 ? readFlags(reader) : header.flags;
  const entry = { slot: slot + Math.floor(head / 2), earlier: [], skipped: 0 };
  if (bits & DESCRIPTOR) {
    reader.le(1);
    const session = reader.le(8).toString(16).padStart(16, "0");
    entry.who = { session, user: reader.text() };
    reader.zigzag();
    reader.zigzag();
    entry.who.counter = reader.varint();
  }
  if (bits & NEWEST) {
    entry.point = readPayload(reader, header, bits & WIDE, bits & SEALED, presence);
    if (bits & DESCRIPTOR) {
      entry.counter = () => entry.who.counter;
    } else if (bits & WHOLE) {
      const counter = reader.varint();
      entry.counter = () => counter;
    } else {
      const low = reader.le(1);
      entry.counter = (base) => base + ((((low - base) % 256) + 256) % 256);
    }
  }
  if (bits & EARLIER) {
    entry.skipped = reader.varint();
    for (let left = reader.varint(); left > 0; left--) {
      const form = reader.le(1), behind = reader.varint();
      entry.earlier.push([behind, readPayload(reader, header, form & 16, form & 32, form & 15)]);
    }
  }
  if (bits & STATE) {
    entry.state = STATES[reader.le(1)];
    entry.since = header.now - reader.zigzag();
  }
  return entry;
}

export function readBatch(reader) {
  const options = reader.le(1);
  const page = options & 2 ? [reader.le(4), reader.le(4), reader.le(4)] : null;
  const [chat, , epoch, from, span, now] = Array.from({ length: 6 }, () => reader.varint());
  const header = { page, chat, epoch, from, to: from + span, now };
  header.lat = reader.le(4, true);
  header.lon = reader.le(4, true);
  header.flags = readFlags(reader);
  const entries = [];
  for (let slot = 0; reader.more; slot = entries.at(-1).slot + 1) entries.push(readEntry(reader, header, slot));
  return { ...header, entries };
}
