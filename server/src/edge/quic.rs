//! All QUIC connections of a shard: a plain loop over the protocol machine, driven by the pass.
//!
//! [`Quic::poll`] takes packets and timers in and gives events out; [`Quic::flush`] sends what all
//! connections have to send, many packets in one call. Nothing here waits, and nothing is done
//! for a connection that was not touched: those that may have something to tell and those that
//! may have something to send are marked, and visited in the order in which they lie in memory.

use std::net::UdpSocket;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use quinn_proto::{ConnectionEvent, ConnectionHandle, DatagramEvent, Endpoint, Incoming};
use skein_engine::ids::{ConnectionId, ViewerId};
use skein_engine::shared_batch::SharedBatch;
use skein_engine::sink::Offer;
use skein_wire::error::Code;
use skein_wire::ids::ChatHandle;

use crate::access::Access;
use crate::access::rates::Rates;
use crate::clock::Clock;
use crate::edge::deadlines::Deadlines;
use crate::edge::error::EdgeError;
use crate::edge::event::Event;
use crate::edge::origins::Origins;
use crate::edge::quic_arrivals::{self, Answer, QuicArrivals};
use crate::edge::quic_config::QuicConfig;
use crate::edge::quic_connection::{QuicConnection, Standing, Timer};
use crate::edge::quic_socket::{Answers, Origin, QuicSocket};
use crate::edge::quic_timers::QuicTimers;
use crate::edge::quic_turn::Turn;
use crate::edge::slot_set::SlotSet;
use crate::edge::slots::{Slots, Transport, place_of};
use crate::edge::stats::QuicStats;
use crate::edge::steering;
use crate::edge::webtransport_datagrams::WebTransportDatagrams;
use crate::limits::{
    CLOSE_LINGER_MS, CONNECTIONS_PER_SHARD_MAX, EVENTS_PER_POLL_MAX, HELLOS_PER_POLL_MAX,
    QUIC_ACCEPTS_PER_POLL_MAX, QUIC_DATAGRAMS_PER_POLL_MAX, QUIC_PACKETS_PER_FLUSH_MAX,
    QUIC_TOUCHED_AT_ONCE,
};

/// All QUIC connections of a shard.
#[derive(Debug)]
pub struct Quic {
    shard: u16,
    shards: u16,
    access: Arc<Access>,
    origins: Arc<Origins>,
    clock: Clock,
    socket: QuicSocket,
    endpoint: Endpoint,
    arrivals: QuicArrivals,
    connections: Slots<QuicConnection>,
    /// The endpoint's numbers of connections, which it uses again, to ours.
    by_handle: Vec<ConnectionId>,
    /// Those that may have something to tell.
    heard: SlotSet,
    /// Those that may have something to send, or another timer.
    touched: SlotSet,
    /// Those touched by offers since packets were made last.
    offered: usize,
    /// Where the next walks begin, so that nobody is always last.
    heard_from: u32,
    touched_from: u32,
    timers: QuicTimers,
    deadlines: Deadlines,
    /// What happened outside of [`Quic::poll`].
    outbox: Vec<Event>,
    arriving: usize,
    leaving: usize,
    close_linger_ms: u64,
    hellos_left: usize,
    /// Connections of [`Quic::count`] that carry a WebTransport session.
    web: usize,
    copies: WebTransportDatagrams,
    stats: QuicStats,
    /// The socket may have more packets for us.
    more_packets: bool,
    /// The time of the last poll: the clock is read once a pass, not once an offer.
    now_ms: u64,
    now: Instant,
    /// Kept for their memory.
    answer: Vec<u8>,
    due: Vec<u32>,
}

impl Quic {
    /// Begins to accept on `socket`, which is that of shard number `shard`.
    ///
    /// # Errors
    /// When the system refuses the socket.
    pub fn new(
        config: &QuicConfig,
        socket: UdpSocket,
        shard: u16,
        shards: u16,
        access: Arc<Access>,
        clock: Clock,
    ) -> Result<Self, EdgeError> {
        let endpoint = Arc::new(config.endpoint(shard, shards));
        let datagram_bytes_max = endpoint.get_max_udp_payload_size().min(64 * 1024) as usize;
        let socket = QuicSocket::new(socket, datagram_bytes_max, shards == 1)?;
        let now = Instant::now();
        let now_ms = clock.now_ms();
        Ok(Self {
            shard,
            shards,
            access,
            origins: config.origins(),
            clock,
            socket,
            // Paths are not probed for larger packets.
            endpoint: Endpoint::new(endpoint, Some(Arc::new(config.server())), false, None),
            arrivals: QuicArrivals::default(),
            connections: Slots::new(Transport::Quic),
            by_handle: Vec::new(),
            heard: SlotSet::default(),
            touched: SlotSet::default(),
            offered: 0,
            heard_from: 0,
            touched_from: 0,
            timers: QuicTimers::new(now),
            deadlines: Deadlines::new(now_ms),
            outbox: Vec::new(),
            arriving: 0,
            leaving: 0,
            close_linger_ms: CLOSE_LINGER_MS,
            hellos_left: 0,
            web: 0,
            copies: WebTransportDatagrams::default(),
            stats: QuicStats::default(),
            more_packets: false,
            now_ms,
            now,
            answer: Vec::new(),
            due: Vec::new(),
        })
    }

    /// Takes what has happened, up to one share. Never waits. `packets`: the socket is said to have
    /// some; it is not asked in vain in each pass.
    pub fn poll(&mut self, now_ms: u64, packets: bool, events: &mut Vec<Event>) {
        self.more_packets |= packets;
        self.now_ms = now_ms;
        self.now = Instant::now();
        self.hellos_left = HELLOS_PER_POLL_MAX;
        events.append(&mut self.outbox);
        self.poll_timers();
        self.poll_deadlines(events);
        self.poll_packets(events);
        self.poll_arrivals();
        self.poll_heard(events);
    }

    /// Ends a pass: sends what all connections have to send, as far as the socket takes it.
    pub fn flush(&mut self) {
        if !self.socket.is_empty() {
            self.socket.send();
        }
        self.settle_touched();
        self.socket.send();
        self.copies.clear();
    }

    /// Whether [`Quic::poll`] or [`Quic::flush`] has something to do at once.
    pub fn has_more(&self) -> bool {
        self.more_packets
            || !self.outbox.is_empty()
            || self.arrivals.has_turn(self.arriving)
            || !self.heard.is_empty()
            || (!self.socket.is_blocked() && !self.touched.is_empty())
    }

    /// Whether the socket was full: then it is to be watched for room too.
    pub fn wants_writable(&self) -> bool {
        self.socket.is_blocked()
    }

    /// When [`Quic::poll`] has something to do although nothing comes, if ever.
    pub fn next_due(&self) -> Option<Instant> {
        let deadline = self.deadlines.next_ms().map(|at| self.clock.instant(at));
        [self.timers.next_due(), deadline]
            .into_iter()
            .flatten()
            .min()
    }

    /// Offers the frames of a batch to one viewer.
    pub fn offer(&mut self, id: ConnectionId, viewer: ViewerId, batch: &SharedBatch) -> Offer {
        let now_ms = self.now_ms;
        let len = batch.frames_len() as u64;
        let Some(connection) = self.connections.get_mut(id) else {
            return Offer::Gone;
        };
        let offered = connection.offer(viewer, batch, now_ms, &mut self.copies);
        let stats = self.stats.of(connection.is_web());
        match offered {
            Offer::Datagram => stats.offers_datagram += 1,
            Offer::Streaming => stats.offers_sent += 1,
            Offer::Full => stats.offers_full += 1,
            Offer::Sent | Offer::Gone => {}
        }
        if matches!(offered, Offer::Datagram | Offer::Streaming) {
            stats.bytes_out += len;
            self.touched.insert(place_of(id));
            self.offered += 1;
        }
        let due_ms = connection.due_ms();
        self.deadlines.arm(id, &mut connection.armed, due_ms);
        if self.offered >= QUIC_TOUCHED_AT_ONCE {
            self.settle_touched();
        }
        offered
    }

    /// Sends a small frame as a datagram, or not at all.
    pub fn offer_head(&mut self, id: ConnectionId, frame: &Bytes) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if connection.offer_head(frame, &mut self.copies) {
            let stats = self.stats.of(connection.is_web());
            stats.bytes_out += frame.len() as u64;
            self.touched.insert(place_of(id));
        }
    }

    /// Sends a frame on the control stream, behind what waits. A client that lets too much pile
    /// up is cut.
    pub fn send(&mut self, id: ConnectionId, frame: Bytes) {
        self.with(id, None, |connection, turn| connection.send(frame, turn));
    }

    /// Forgets what of a chat is on its way to a client that may not see it any more.
    pub fn purge(&mut self, id: ConnectionId, chat: ChatHandle) {
        self.with(id, None, |connection, _| connection.purge(chat));
        self.socket.discard(place_of(id));
    }

    /// Says goodbye to one client.
    pub fn close(&mut self, id: ConnectionId, code: Code, retry_after_ms: u32, text: &str) {
        self.with(id, None, |connection, turn| {
            connection.close(code, retry_after_ms, text, turn);
        });
    }

    /// Ends all connections whose handshake is done without waiting for anything.
    pub fn cut_all(&mut self, code: Code) {
        for id in self.ids() {
            self.with(id, None, |connection, turn| connection.cut(code, turn));
        }
    }

    /// Accepts nothing more; what is there goes on. From here on a goodbye may take `linger` where that is
    /// longer than usual.
    pub fn stop_accepting(&mut self, linger: Duration) {
        self.close_linger_ms = CLOSE_LINGER_MS.max(linger.as_millis() as u64);
        self.endpoint.set_server_config(None);
        while let Some(incoming) = self.arrivals.pop() {
            self.endpoint.ignore(incoming);
        }
    }

    /// Whether the last packets of all connections have left and nobody can ask for them again.
    pub fn is_idle(&self) -> bool {
        self.connections.is_empty() && self.socket.is_empty()
    }

    /// The numbers of all connections whose handshake is done.
    pub fn ids(&self) -> Vec<ConnectionId> {
        let mut ids = self.connections.ids();
        ids.retain(|&id| {
            let connection = self.connections.get(id);
            connection.is_some_and(|connection| connection.standing() == Standing::Here)
        });
        ids
    }

    /// Connections whose handshake is done and which are not over.
    pub fn count(&self) -> usize {
        self.connections.len() - self.arriving - self.leaving
    }

    /// Counters.
    pub fn stats(&self) -> QuicStats {
        let mut stats = self.stats.clone();
        stats.bare.connections = (self.count() - self.web) as u64;
        stats.web.connections = self.web as u64;
        stats
    }

    fn poll_timers(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        self.timers.take(self.now, &mut due);
        for place in due.drain(..) {
            let Some((_, connection)) = self.connections.at_mut(place) else {
                continue;
            };
            match connection.timer_at {
                Some(at) if at <= self.now => {
                    match connection.handle_timer(self.now, self.now_ms) {
                        Timer::Obeyed => {
                            self.heard.insert(place);
                            self.touched.insert(place);
                        }
                        Timer::Rests { until_ms } => {
                            self.timers.arm(place, self.clock.instant(until_ms));
                        }
                    }
                }
                Some(at) => self.timers.arm(place, at),
                None => {}
            }
        }
        self.due = due;
    }

    fn poll_deadlines(&mut self, events: &mut Vec<Event>) {
        let now_ms = self.now_ms;
        for (id, mark) in self.deadlines.take(now_ms) {
            let Some(connection) = self.connections.get_mut(id) else {
                continue;
            };
            if connection.armed != mark {
                continue;
            }
            connection.armed = Default::default();
            self.with(id, Some(&mut *events), |connection, turn| {
                if connection.due_ms() <= now_ms {
                    connection.handle_due(turn);
                }
            });
        }
    }

    fn poll_packets(&mut self, events: &mut Vec<Event>) {
        let mut datagrams = 0;
        while self.more_packets && datagrams < QUIC_DATAGRAMS_PER_POLL_MAX {
            let (shard, shards) = (self.shard, self.shards);
            let Self {
                socket,
                endpoint,
                arrivals,
                connections,
                by_handle,
                heard,
                touched,
                arriving,
                stats,
                answer,
                ..
            } = self;
            let mut inside = Inside {
                now: self.now,
                endpoint,
                arrivals,
                connections,
                by_handle,
                heard,
                touched,
                arriving: *arriving,
                rates: self.access.rates(),
                now_ms: self.now_ms,
                stats,
                answer,
            };
            let (count, more) = socket.receive(|origin, datagram, answers| {
                let is_astray = steering::is_astray(datagram, shard, shards);
                inside.stats.bare.astray += u64::from(is_astray);
                inside.handle(origin, datagram, answers);
            });
            datagrams += count;
            self.more_packets = more;
            self.poll_heard(events);
            self.settle_touched();
        }
    }

    fn poll_arrivals(&mut self) {
        for _ in 0..QUIC_ACCEPTS_PER_POLL_MAX {
            let Some(incoming) = self.arrivals.next(self.arriving) else {
                return;
            };
            self.accept(incoming);
        }
    }

    fn accept(&mut self, incoming: Incoming) {
        self.answer.clear();
        let accepted = self
            .endpoint
            .accept(incoming, self.now, &mut self.answer, None);
        let (handle, link) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if let Some(transmit) = error.response {
                    self.socket.answer(transmit, &mut self.answer);
                }
                return;
            }
        };
        let connection = QuicConnection::new(handle, link, self.now_ms);
        let id = self.connections.insert(connection);
        if handle.0 >= self.by_handle.len() {
            self.by_handle.resize(handle.0 + 1, id);
        }
        self.by_handle[handle.0] = id;
        self.arriving += 1;
        self.heard.insert(place_of(id));
        self.with(id, None, |_, _| ());
    }

    fn poll_heard(&mut self, events: &mut Vec<Event>) {
        let mut from = self.heard_from;
        let mut wrapped = false;
        while events.len() < EVENTS_PER_POLL_MAX {
            let Some(place) = self.heard.first_from(from) else {
                if std::mem::replace(&mut wrapped, true) || from == 0 {
                    break;
                }
                from = 0;
                continue;
            };
            self.heard.remove(place);
            from = place + 1;
            let Some((id, _)) = self.connections.at_mut(place) else {
                continue;
            };
            let left = self.with(id, Some(&mut *events), |connection, turn| {
                connection.handle_input(turn)
            });
            if left == Some(true) {
                self.heard.insert(place);
            }
        }
        self.heard_from = from;
    }

    /// Lets all touched connections have their turn. As few as are touched at once are still in
    /// the processor's cache: to come back to thousands later would cost more than what is done
    /// for them.
    fn settle_touched(&mut self) {
        self.offered = 0;
        if self.touched.is_empty() {
            return;
        }
        self.now = Instant::now();
        let start = self.touched_from;
        self.settle_between(start, u32::MAX);
        self.settle_between(0, start);
    }

    /// Lets the touched connections from one place up to another have their turn, until the socket
    /// is full.
    fn settle_between(&mut self, from: u32, to: u32) {
        let mut from = from;
        while !self.socket.is_blocked() {
            let Some(place) = self.touched.first_from(from).filter(|&at| at < to) else {
                return;
            };
            self.settle(place);
            from = place + 1;
        }
    }

    /// One touched connection hands over its packets and its timer, and goes if it is over.
    fn settle(&mut self, place: u32) {
        self.touched.remove(place);
        self.exchange(place);
        let sent_all = self.transmit(place);
        if !sent_all {
            self.touched.insert(place);
            self.touched_from = place;
        }
        let Some((id, connection)) = self.connections.at_mut(place) else {
            return;
        };
        connection.timer_at = connection.link.poll_timeout();
        if let Some(at) = connection.timer_at {
            self.timers.arm(place, at);
        }
        let mut turn = Turn {
            id,
            access: &self.access,
            origins: &self.origins,
            now_ms: self.now_ms,
            now: self.now,
            close_linger_ms: self.close_linger_ms,
            hellos_left: self.hellos_left,
            stats: self.stats.of(connection.is_web()),
            events: &mut self.outbox,
        };
        connection.handle_transmitted(&mut turn);
        if connection.is_gone() {
            self.remove(id);
        }
    }

    /// Lets a connection and the endpoint tell each other what they must.
    fn exchange(&mut self, place: u32) {
        let Some((_, connection)) = self.connections.at_mut(place) else {
            return;
        };
        while let Some(event) = connection.link.poll_endpoint_events() {
            connection.drained |= event.is_drained();
            if let Some(answer) = self.endpoint.handle_event(connection.handle, event) {
                connection.link.handle_event(answer);
            }
        }
    }

    /// Makes the packets of a connection. Whether it has no more to send now.
    fn transmit(&mut self, place: u32) -> bool {
        let Some((_, connection)) = self.connections.at_mut(place) else {
            return true;
        };
        let now = self.now;
        for _ in 0..QUIC_PACKETS_PER_FLUSH_MAX {
            let filled = self.socket.fill(place, |segments_max, bytes| {
                connection.link.poll_transmit(now, segments_max, bytes)
            });
            if !filled {
                return !self.socket.is_blocked();
            }
        }
        false
    }

    fn remove(&mut self, id: ConnectionId) {
        let place = place_of(id);
        self.connections.remove(id);
        self.leaving -= 1;
        self.timers.disarm(place);
        self.heard.remove(place);
        self.touched.remove(place);
    }

    /// One connection does something; whatever it was, its deadline and the numbers are looked
    /// after, and its packets leave with the next flush. Without `events` what happens is told at
    /// the next poll.
    fn with<R>(
        &mut self,
        id: ConnectionId,
        events: Option<&mut Vec<Event>>,
        act: impl FnOnce(&mut QuicConnection, &mut Turn<'_>) -> R,
    ) -> Option<R> {
        let connection = self.connections.get_mut(id)?;
        let before = connection.standing();
        let was_web = is_web_here(connection);
        let mut turn = Turn {
            id,
            access: &self.access,
            origins: &self.origins,
            now_ms: self.now_ms,
            now: self.now,
            close_linger_ms: self.close_linger_ms,
            hellos_left: self.hellos_left,
            stats: self.stats.of(connection.is_web()),
            events: events.unwrap_or(&mut self.outbox),
        };
        let result = act(connection, &mut turn);
        self.hellos_left = turn.hellos_left;
        let after = connection.standing();
        self.arriving -= usize::from(before == Standing::Arriving && after != before);
        self.leaving += usize::from(after == Standing::Leaving && after != before);
        if before == Standing::Arriving && after == Standing::Here {
            self.stats.of(connection.is_web()).opened += 1;
        }
        self.web += usize::from(is_web_here(connection));
        self.web -= usize::from(was_web);
        let due_ms = connection.due_ms();
        self.deadlines.arm(id, &mut connection.armed, due_ms);
        self.touched.insert(place_of(id));
        Some(result)
    }
}

fn is_web_here(connection: &QuicConnection) -> bool {
    connection.is_web() && connection.standing() == Standing::Here
}

impl AsFd for Quic {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Quic {
    fn drop(&mut self) {
        self.stop_accepting(Duration::ZERO);
    }
}

/// What a packet may change while the socket is read.
struct Inside<'a> {
    now: Instant,
    endpoint: &'a mut Endpoint,
    arrivals: &'a mut QuicArrivals,
    connections: &'a mut Slots<QuicConnection>,
    by_handle: &'a [ConnectionId],
    heard: &'a mut SlotSet,
    touched: &'a mut SlotSet,
    arriving: usize,
    stats: &'a mut QuicStats,
    rates: &'a Rates,
    now_ms: u64,
    answer: &'a mut Vec<u8>,
}

impl Inside<'_> {
    fn handle(&mut self, origin: Origin, datagram: &[u8], answers: &mut Answers<'_>) {
        self.answer.clear();
        let event = self.endpoint.handle(
            self.now,
            origin.from,
            origin.to,
            origin.ecn,
            BytesMut::from(datagram),
            self.answer,
        );
        match event {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => self.hand_over(handle, event),
            Some(DatagramEvent::NewConnection(incoming)) => self.receive(incoming, answers),
            Some(DatagramEvent::Response(transmit)) => answers.push(transmit, self.answer),
            None => {}
        }
    }

    fn hand_over(&mut self, handle: ConnectionHandle, event: ConnectionEvent) {
        let id = self.by_handle[handle.0];
        if let Some(connection) = self.connections.get_mut(id) {
            connection.link.handle_event(event);
            connection.silence.end();
            self.heard.insert(place_of(id));
            self.touched.insert(place_of(id));
        }
    }

    fn receive(&mut self, incoming: Incoming, answers: &mut Answers<'_>) {
        let (running, waiting) = (self.arriving, self.arrivals.waiting());
        let has_place = self.connections.len() < CONNECTIONS_PER_SHARD_MAX;
        let address = incoming.remote_address().ip();
        let is_busy = self.rates.check_address(address, self.now_ms).is_err();
        let may_retry = incoming.may_retry();
        let answer = quic_arrivals::answer(running, waiting, has_place, may_retry, is_busy);
        match answer {
            Answer::Accept => self.arrivals.push(incoming),
            Answer::Retry => {
                self.stats.bare.retries += 1;
                self.answer.clear();
                if let Ok(transmit) = self.endpoint.retry(incoming, self.answer) {
                    answers.push(transmit, self.answer);
                }
            }
            Answer::Ignore => {
                self.stats.bare.shed += 1;
                self.endpoint.ignore(incoming);
            }
            Answer::Refuse => {
                self.stats.bare.shed += 1;
                self.answer.clear();
                let transmit = self.endpoint.refuse(incoming, self.answer);
                answers.push(transmit, self.answer);
            }
        }
    }
}
