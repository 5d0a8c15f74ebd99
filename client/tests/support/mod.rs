//! A naive server of one chat: every change is a record, batches are made by looking at all of them.
#![allow(dead_code, reason = "each test file uses its part")]

use bytes::Bytes;
use skein_wire::batch::{
    BatchHeader, BatchWriter, Descriptor, EntryRef, Flags, Page, StateMark, set_page_total,
};
use skein_wire::frame::decode_update;
use skein_wire::ids::{
    Cell, ChatHandle, ChatName, Counter, RequestNumber, SessionId, Slot, UserName,
};
use skein_wire::limits::SERVER_FRAME_BYTES_MAX;
use skein_wire::point::{Fix, Payload, Point, Position};
use skein_wire::request::{Delivery, Request};
use skein_wire::splitter::split_first_shared;
use skein_wire::update::{SessionState, Update, Watching, Welcome};

pub const CHAT: ChatHandle = ChatHandle(9);
pub const LOG: u64 = 0xabc;

pub fn chat() -> ChatName {
    ChatName::new("geese").expect("a name")
}

pub fn welcome() -> Update {
    Update::Welcome(Welcome {
        version: 1,
        log: LOG,
        server_time_ms: 1_000_000,
        frame_bytes_max: 4_096,
        duration_s_max: 28_800,
        keep_alive_ms: 10_000,
        stale_after_ms: 30_000,
        views_recorded: false,
    })
}

pub fn watching(request: RequestNumber, epoch: u32, from: u64) -> Update {
    Update::Watching(Watching {
        request,
        chat: CHAT,
        epoch,
        horizon: 0,
        from,
    })
}

pub fn point(counter: u64) -> Point {
    Point {
        counter: Counter(counter),
        captured_at_ms: counter as i64 * 1_000,
        payload: Payload::Fix(Fix {
            position: Position {
                lat_e6: 45_000_000 + counter as i32,
                lon_e6: 13_000_000,
            },
            ..Fix::default()
        }),
    }
}

#[derive(Clone, Debug)]
pub struct ServerRow {
    pub descriptor: Descriptor,
    pub state: StateMark,
    descriptor_offset: u64,
    state_offset: u64,
    /// All points by the offset at which they were appended.
    pub points: Vec<(u64, Point)>,
    historical_offset: u64,
}

impl ServerRow {
    /// The live point with the greatest counter.
    pub fn newest(&self) -> Option<&(u64, Point)> {
        self.points.iter().max_by_key(|(_, point)| point.counter)
    }

    fn changed(&self) -> u64 {
        let newest = self.newest().map_or(0, |(offset, _)| *offset);
        let own = self.descriptor_offset.max(self.state_offset);
        own.max(newest).max(self.historical_offset)
    }
}

/// The naive server.
#[derive(Clone, Debug)]
pub struct Server {
    pub epoch: u32,
    pub head: u64,
    pub rows: Vec<ServerRow>,
    /// Points of each session that are still there for `every`.
    pub trail: usize,
    pub delivery: Delivery,
    /// The part of the chat that its batches are of.
    pub cell: Cell,
    snapshot: u32,
}

impl Server {
    pub fn new(delivery: Delivery, trail: usize) -> Self {
        Self {
            epoch: 1,
            head: 0,
            rows: Vec::new(),
            trail,
            delivery,
            cell: Cell(0),
            snapshot: 0,
        }
    }

    pub fn start(&mut self) -> usize {
        self.head += 1;
        let slot = self.rows.len();
        let descriptor = Descriptor {
            session: SessionId(0x100 + slot as u64),
            user: UserName::new(&format!("user-{slot}")).expect("a name"),
            started_at_ms: 1_000_000,
            expires_at_ms: 2_000_000,
            counter: Counter(0),
            sealed: false,
        };
        self.rows.push(ServerRow {
            descriptor,
            state: StateMark {
                state: SessionState::Live,
                at_ms: 1_000_000,
            },
            descriptor_offset: self.head,
            state_offset: 0,
            points: Vec::new(),
            historical_offset: 0,
        });
        slot
    }

    /// Appends a point `ahead` counters above the last one.
    pub fn publish(&mut self, slot: usize, ahead: u64) {
        let row = &mut self.rows[slot];
        let counter = row.newest().map_or(0, |(_, point)| point.counter.0) + ahead;
        self.head += 1;
        row.points.push((self.head, point(counter)));
        row.descriptor.counter = Counter(counter);
        row.state.state = SessionState::Live;
    }

    /// Appends a historical point, if the counter is free.
    pub fn publish_late(&mut self, slot: usize, counter: u64) {
        let row = &mut self.rows[slot];
        let last = row.descriptor.counter.0;
        let known = row
            .points
            .iter()
            .any(|(_, point)| point.counter.0 == counter);
        if counter == 0 || counter >= last || known {
            return;
        }
        self.head += 1;
        row.points.push((self.head, point(counter)));
        row.historical_offset = self.head;
    }

    pub fn mark(&mut self, slot: usize, state: SessionState) {
        self.head += 1;
        let row = &mut self.rows[slot];
        row.state_offset = self.head;
        row.state = StateMark {
            state,
            at_ms: 1_000_000 + self.head,
        };
    }

    pub fn extend(&mut self, slot: usize) {
        self.head += 1;
        let row = &mut self.rows[slot];
        row.descriptor_offset = self.head;
        row.descriptor.expires_at_ms += 1_000;
    }

    /// The frames of everything that changed since `from`, in pages of `rows_per_page`.
    pub fn batch(&mut self, from: u64, rows_per_page: Option<usize>) -> Vec<Update> {
        let wanted = |row: &ServerRow| match from {
            0 => !row.state.state.is_ended(),
            from => row.changed() > from,
        };
        let slots: Vec<usize> = (0..self.rows.len())
            .filter(|slot| wanted(&self.rows[*slot]))
            .collect();
        let page_rows = rows_per_page.unwrap_or(usize::MAX).max(1);
        let mut pages: Vec<&[usize]> = slots.chunks(page_rows).collect();
        if pages.is_empty() {
            pages.push(&[]);
        }
        let total = pages.len() as u32;
        self.snapshot += 1;
        let frames = pages.iter().enumerate().map(|(index, slots)| {
            let page = (total > 1).then_some(Page {
                snapshot: self.snapshot,
                index: index as u32,
                total: index as u32 + 1,
            });
            self.frame(from, page, total, slots)
        });
        frames.collect()
    }

    fn frame(&self, from: u64, page: Option<Page>, total: u32, slots: &[usize]) -> Update {
        let header = BatchHeader {
            chat: CHAT,
            cell: self.cell,
            epoch: self.epoch,
            from,
            to: self.head,
            server_time_ms: 1_000_000,
            anchor: Position {
                lat_e6: 45_000_000,
                lon_e6: 13_000_000,
            },
            delivery: self.delivery,
            page,
        };
        let mut bytes = Vec::new();
        let mut writer = BatchWriter::begin(&mut bytes, &header, Flags::POINT);
        for slot in slots {
            self.put(&mut writer, *slot, from);
        }
        writer.finish();
        if page.is_some() {
            set_page_total(&mut bytes, total);
        }
        update_of(bytes)
    }

    fn put(&self, writer: &mut BatchWriter<'_>, slot: usize, from: u64) {
        let row = &self.rows[slot];
        let every = self.delivery == Delivery::Every;
        let mut trail: Vec<&(u64, Point)> = row.points.iter().collect();
        trail.sort_by_key(|(_, point)| point.counter);
        let held = trail.len().saturating_sub(self.trail + 1);
        let newest = row.newest();
        let is_new = newest.is_some_and(|(offset, _)| *offset > from)
            || (every && row.historical_offset > from);
        let earlier: Vec<&Point> = match (every, newest) {
            (true, Some((_, newest))) if is_new && from > 0 => trail[held..]
                .iter()
                .filter(|(offset, point)| *offset > from && point.counter < newest.counter)
                .map(|(_, point)| point)
                .collect(),
            _ => Vec::new(),
        };
        let dropped = trail[..held].iter().any(|(offset, _)| *offset > from);
        let listed = earlier.len() as u64 + 1;
        let total = row.points.len() as u64;
        let skipped = match every && is_new && (from == 0 || dropped) {
            true => total - listed,
            false => 0,
        };
        let state = match from {
            0 => row.state.state != SessionState::Live,
            from => row.state_offset > from,
        };
        let entry = EntryRef {
            slot: Slot(slot as u32),
            descriptor: (row.descriptor_offset > from).then_some(&row.descriptor),
            point: newest.filter(|_| is_new).map(|(_, point)| point),
            // Naive, and always right.
            counter_whole: true,
            skipped,
            state: state.then_some(row.state),
        };
        writer.entry(&entry, earlier.into_iter());
    }
}

fn update_of(bytes: Vec<u8>) -> Update {
    let frame = split_first_shared(&mut Bytes::from(bytes), SERVER_FRAME_BYTES_MAX);
    let frame = frame.expect("whole").expect("one");
    decode_update(frame).expect("well-formed").expect("known")
}

/// The number of the newest `Watch` among requests.
pub fn watch_request(requests: &[Request]) -> (RequestNumber, u64) {
    let watch = requests.iter().rev().find_map(|request| match request {
        Request::Watch(watch) => Some((
            watch.request,
            watch.cursor.map_or(0, |cursor| cursor.offset),
        )),
        _ => None,
    });
    watch.expect("a watch")
}
