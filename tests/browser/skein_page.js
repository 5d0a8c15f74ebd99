// What a page does over WebTransport: it watches or shares as the query of its address says, and tells whoever served it what it sees, one JSON object a line.
import * as wire from "./skein_frames.js";
import { View } from "./skein_view.js";

const EARLY = 16; // batches kept that came before the answer to the watch
const COMPLAINT_MS = 200; // between two complaints: above a round trip
const RETRY_MS = 300; // before a connection is tried again
const PAUSE_MS = 40; // between two points

const asked = Object.fromEntries(new URLSearchParams(location.search));
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

let lines = [];
function say(change) {
  lines.push(JSON.stringify(change));
}

async function tell() {
  for (;;) {
    const now = lines;
    lines = [];
    if (now.length) await fetch("/say", { method: "POST", body: now.join("\n") });
    await pause(10);
  }
}

// One session of WebTransport: frames in through `take`, frames out on three ways.
class Link {
  constructor(take) {
    this.take = take;
    const value = Uint8Array.from(asked.hash.match(/../g), (digits) => parseInt(digits, 16));
    const serverCertificateHashes = asked.hash ? [{ algorithm: "sha-256", value }] : [];
    this.transport = new WebTransport(`https://${asked.to}/v1/wt`, { serverCertificateHashes });
    this.closed = this.transport.closed;
    this.seen = { datagrams: 0, streams: 0 };
  }

  async open() {
    await this.transport.ready;
    const control = await this.transport.createBidirectionalStream();
    this.out = control.writable.getWriter();
    this.datagrams = this.transport.datagrams.writable.getWriter();
    this.reading = [this.read(control.readable), this.readDatagrams(), this.readStreams()];
  }

  say = (...frames) => this.out.write(wire.joined(...frames));

  sayAlone = async (frame) => {
    const stream = await this.transport.createUnidirectionalStream();
    const out = stream.getWriter();
    await out.write(frame);
    await out.close();
  };

  sayDatagram = (frame) => this.datagrams.write(frame);

  async read(readable) {
    let rest = new Uint8Array();
    for await (const chunk of each(readable)) {
      const [frames, left] = wire.wholeFrames(wire.joined(rest, chunk));
      rest = left;
      frames.forEach(this.take);
    }
  }

  async readDatagrams() {
    for await (const datagram of each(this.transport.datagrams.readable)) {
      this.seen.datagrams++;
      wire.wholeFrames(datagram)[0].forEach(this.take);
    }
  }

  async readStreams() {
    for await (const stream of each(this.transport.incomingUnidirectionalStreams)) {
      this.seen.streams++;
      this.read(stream).catch(() => {});
    }
  }
}

async function* each(readable) {
  const reader = readable.getReader();
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      yield value;
    }
  } catch (error) {
    // The end of the session is told by `closed`.
  }
}

function sayGoodbye(reader) {
  say({ type: "goodbye", code: reader.varint(), retry_after_ms: reader.varint() });
}

async function watchOnce(view) {
  let early = [];
  view.handle = 0;
  const take = (body) => {
    const kind = body[0], reader = new wire.Reader(body.subarray(1));
    if (kind === wire.WELCOME) {
      reader.varint();
      view.log = reader.le(8);
    } else if (kind === wire.WATCHING) {
      view.watching(reader);
      say({ type: "watching", from: view.cursor });
      early.forEach(take);
    } else if (kind === wire.BATCH && !view.handle) {
      early = [...early, body.slice()].slice(-EARLY);
    } else if (kind === wire.BATCH) {
      view.batch(reader);
    } else if (kind === wire.HEAD) {
      view.head(reader);
    } else if (kind === wire.GOODBYE) {
      sayGoodbye(reader);
    } else if (kind === wire.WATCH_ENDED) {
      reader.varint();
      say({ type: "watch_ended", code: reader.varint() });
    }
  };
  const link = new Link(take);
  await link.open();
  await link.say(wire.hello(asked.token), wire.watch(asked.chat, view));
  const complain = setInterval(() => view.gap && link.say(wire.cursorReport(view)).catch(() => {}), COMPLAINT_MS);
  try {
    const { closeCode, reason } = await link.closed;
    say({ type: "closed", code: closeCode, reason, ...link.seen });
  } finally {
    clearInterval(complain);
  }
}

// Watches, and comes back with its cursor whenever the connection ends.
async function watch() {
  const view = new View(say);
  for (;;) {
    try {
      await watchOnce(view);
    } catch (error) {
      say({ type: "lost", why: String(error) });
    }
    await pause(RETRY_MS);
  }
}

// Shares, with so many points on each of the three ways.
async function share() {
  let shared, accepted;
  const answer = new Promise((done) => (shared = done)), all = new Promise((done) => (accepted = done));
  const last = 3 * asked.points;
  const link = new Link((body) => {
    const reader = new wire.Reader(body.subarray(1));
    if (body[0] === wire.SHARED) {
      reader.varint();
      const session = reader.le(8).toString(16).padStart(16, "0");
      shared({ session, share: reader.varint() });
    } else if (body[0] === wire.ACCEPTED) {
      reader.varint();
      if (reader.varint() === last) accepted();
    } else if (body[0] === wire.GOODBYE) {
      sayGoodbye(reader);
    }
  });
  await link.open();
  await link.say(wire.hello(asked.token), wire.shareStart(asked.chat, 600));
  const { session, share } = await answer;
  say({ type: "shared", session });
  let counter = 0;
  for (const way of [link.say, link.sayAlone, link.sayDatagram]) {
    for (let i = 0; i < asked.points; i++) {
      counter++;
      await way(wire.point(share, counter, 47 + counter / 1e4, 8));
      await pause(PAUSE_MS);
    }
  }
  await all;
  say({ type: "accepted", counter });
  link.transport.close({ closeCode: 0, reason: "done" });
  await link.closed;
  say({ type: "done" });
}

tell();
(asked.do === "share" ? share : watch)().catch((error) => say({ type: "failed", why: String(error) }));
