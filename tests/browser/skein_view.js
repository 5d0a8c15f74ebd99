// A viewer of one chat: the apply rule of docs/PROTOCOL.md for delivery `every`, without a transport and without a clock.
import * as wire from "./skein_frames.js";

const WINDOW = 1024; // counters below the greatest within which late points may come

export class View {
  // Changes go to `emit`; `gap` is set when something is missing.
  constructor(emit) {
    Object.assign(this, { emit, log: 0n, handle: 0, epoch: 0, cursor: 0, gap: false, seenFull: false });
    this.rows = new Map(); // by slot
    this.pages = { snapshot: null, parts: new Map() };
  }

  watching(reader) {
    reader.varint();
    [this.handle, this.epoch, , this.cursor] = Array.from({ length: 4 }, () => reader.varint());
  }

  head(reader) {
    const [chat, , epoch, to] = Array.from({ length: 4 }, () => reader.varint());
    this.gap ||= chat === this.handle && (epoch > this.epoch || (epoch === this.epoch && to > this.cursor));
  }

  batch(reader) {
    const batch = wire.readBatch(reader);
    if (batch.chat !== this.handle || !this.collect(batch)) return;
    const full = batch.from === 0, newer = batch.epoch > this.epoch, same = batch.epoch === this.epoch;
    const applies = full
      ? newer || (same && (batch.to > this.cursor || this.cursor === 0))
      : same && batch.from <= this.cursor && this.cursor < batch.to;
    if (applies) this.apply(batch, full);
    else this.gap ||= newer || (same && batch.from > this.cursor);
  }

  // Whether the batch is whole; its entries are then those of all pages.
  collect(batch) {
    if (!batch.page) return true;
    const [snapshot, index, total] = batch.page;
    if (this.pages.snapshot !== snapshot) this.pages = { snapshot, parts: new Map() };
    const { parts } = this.pages;
    parts.set(index, batch.entries);
    if (parts.size < total) return false;
    batch.entries = Array.from({ length: total }, (_, at) => parts.get(at)).flat();
    this.pages = { snapshot: null, parts: new Map() };
    return true;
  }

  apply(batch, full) {
    Object.assign(this, { epoch: batch.epoch, cursor: batch.to, gap: false });
    const known = new Map([...this.rows.values()].map((row) => [row.session, row]));
    if (full) this.rows = new Map();
    if (full && this.seenFull) this.emit({ type: "resync" });
    for (const entry of batch.entries) this.entry(entry, known, full);
    this.seenFull ||= full;
  }

  entry(entry, known, full) {
    const { who } = entry;
    if (who) {
      const row = known.get(who.session) ?? { ...who, shown: 0, floor: null, had: 0, ended: false, seen: new Set() };
      row.base = who.counter;
      this.rows.set(entry.slot, row);
    }
    const row = this.rows.get(entry.slot);
    const over = ["stopped", "expired", "revoked"].includes(entry.state);
    if (!row && !over) Object.assign(this, { cursor: 0, gap: true });
    if (!row || row.ended) return;
    if (entry.point) this.points(entry, row, full);
    row.ended = over;
    if (over) this.emit({ type: "ended", session: row.session, why: entry.state });
  }

  points(entry, row, full) {
    const newest = (row.base = entry.counter(row.base));
    const points = [...entry.earlier.map(([behind, point]) => [newest - behind, point]), [newest, entry.point]];
    const first = row.floor === null;
    if (first) row.floor = full ? points[0][0] : 0;
    const oldest = Math.max(row.floor, row.shown - WINDOW + 1);
    const fresh = points.filter(([counter]) => counter >= oldest && !row.seen.has(counter));
    const total = entry.skipped + points.length;
    if (entry.skipped || full) {
      const lost = total - row.had - fresh.length;
      if (lost > 0 && !(first && full)) this.emit({ type: "skipped", session: row.session, count: lost });
      row.had = total;
    } else {
      row.had += fresh.length;
    }
    for (const [counter, point] of fresh) {
      this.emit({ type: "point", session: row.session, user: row.user, counter, ...point });
      row.shown = Math.max(row.shown, counter);
      row.seen.add(counter);
    }
  }
}
