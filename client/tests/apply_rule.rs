//! Scenarios of the apply rule, one hazard each.

mod support;

use skein_client::change::{Change, Event};
use skein_client::viewer_state::{ViewerState, WatchId, WatchOptions};
use skein_wire::error::Code;
use skein_wire::ids::{Cell, Cursor, RequestNumber};
use skein_wire::request::{CursorReport, Delivery, Request};
use skein_wire::update::{Coarse, Head, Pong, SessionState, Update, WatchEnded};
use support::{CHAT, LOG, Server, chat, watch_request, watching, welcome};

/// A viewer of the naive server's chat.
struct Viewer {
    state: ViewerState,
    id: WatchId,
    now: u64,
}

impl Viewer {
    fn new(delivery: Delivery, cursor: Option<Cursor>) -> Self {
        let mut state = ViewerState::new();
        let mut options = WatchOptions::new(chat());
        options.delivery = delivery;
        options.cursor = cursor;
        let id = state.watch(options);
        Self {
            state,
            id,
            now: 1_000_000,
        }
    }

    fn connect(&mut self, server: &Server, accept: bool) -> u64 {
        self.handle(&welcome());
        let (request, cursor) = watch_request(&self.requests());
        let from = if accept { cursor } else { 0 };
        self.handle(&watching(request, server.epoch, from));
        from
    }

    fn joined(server: &mut Server) -> Self {
        let mut viewer = Self::new(server.delivery, None);
        viewer.connect(server, true);
        for frame in server.batch(0, None) {
            viewer.handle(&frame);
        }
        viewer
    }

    fn handle(&mut self, update: &Update) {
        self.state
            .handle(self.now, update)
            .expect("a server by the rules");
    }

    fn requests(&mut self) -> Vec<Request> {
        std::iter::from_fn(|| self.state.poll_request()).collect()
    }

    fn reports(&mut self) -> Vec<CursorReport> {
        let reports = self
            .requests()
            .into_iter()
            .filter_map(|request| match request {
                Request::Cursor(report) => Some(report),
                _ => None,
            });
        reports.collect()
    }

    fn changes(&mut self) -> Vec<Change> {
        std::iter::from_fn(|| self.state.poll_change()).collect()
    }

    /// Changes as short text: user and what.
    fn told(&mut self) -> Vec<String> {
        self.changes().iter().map(short).collect()
    }

    fn cursor(&self) -> u64 {
        let view = self.state.views(self.id).next();
        view.expect("a view").cursor().offset
    }
}

fn short(change: &Change) -> String {
    let user = change
        .subject
        .as_ref()
        .map_or("", |subject| subject.user.as_str());
    let what = match &change.event {
        Event::Started { .. } => "started".to_owned(),
        Event::Extended { .. } => "extended".to_owned(),
        Event::Point { point, historical } => {
            format!(
                "{}{}",
                if *historical { "late " } else { "" },
                point.counter
            )
        }
        Event::Heartbeat { .. } => "heartbeat".to_owned(),
        Event::Stale { .. } => "stale".to_owned(),
        Event::Ended { why, .. } => format!("ended {}", why.map_or("?", SessionState::name)),
        Event::Skipped { count } => format!("skipped {count}"),
        Event::Crossed { kind, name, .. } => format!("{} {name}", kind.name()),
        Event::Left => "left".to_owned(),
        Event::Viewing { cells, .. } => format!("view of {}", cells.len()),
        Event::Clusters { clusters } => format!("{} clusters", clusters.len()),
        Event::Grid { grid_m } => format!("grid {}", grid_m.unwrap_or(0)),
        Event::Resync => "resync".to_owned(),
        Event::WatchEnded { code, .. } => format!("over {code}"),
    };
    format!("{user} {what}").trim().to_owned()
}

#[test]
fn a_late_joiner_gets_one_fix_of_each_session_and_then_what_changes() {
    let mut server = Server::new(Delivery::Every, 32);
    for _ in 0..2 {
        let slot = server.start();
        server.publish(slot, 5);
        server.publish(slot, 1);
    }
    let mut viewer = Viewer::joined(&mut server);
    assert_eq!(
        viewer.told(),
        ["user-0 started", "user-0 6", "user-1 started", "user-1 6"]
    );
    let from = server.head;
    server.publish(1, 1);
    server.publish(1, 2);
    viewer.handle(&server.batch(from, None)[0]);
    assert_eq!(viewer.told(), ["user-1 7", "user-1 9"]);
    // A batch shared with slower viewers repeats what was there before the first sight.
    server.publish(1, 1);
    viewer.handle(&server.batch(3, None)[0]);
    assert_eq!(viewer.told(), ["user-1 10"]);
    assert!(
        viewer.reports().is_empty(),
        "who has everything says nothing"
    );
}

#[test]
fn old_batches_and_repeated_ones_change_nothing() {
    let mut server = Server::new(Delivery::Latest, 32);
    let slot = server.start();
    server.publish(slot, 1);
    let mut viewer = Viewer::joined(&mut server);
    let from = server.head;
    server.publish(slot, 1);
    let first = server.batch(from, None);
    server.publish(slot, 1);
    let second = server.batch(from, None);
    viewer.changes();
    for frame in second.iter().chain(&first).chain(&second) {
        viewer.handle(frame);
    }
    assert_eq!(viewer.told(), ["user-0 3"]);
    assert!(viewer.reports().is_empty());
}

#[test]
fn a_gap_is_reported_at_most_once_a_round_trip_until_it_heals() {
    let mut server = Server::new(Delivery::Latest, 32);
    let slot = server.start();
    let mut viewer = Viewer::joined(&mut server);
    let cursor = viewer.cursor();
    server.publish(slot, 1);
    let lost_to = server.head;
    server.publish(slot, 1);
    let beyond = server.batch(lost_to, None);
    viewer.requests();
    viewer.handle(&beyond[0]);
    let report = CursorReport {
        chat: CHAT,
        cell: Cell(0),
        epoch: 1,
        offset: cursor,
    };
    assert_eq!(viewer.reports(), [report]);
    viewer.handle(&beyond[0]);
    assert_eq!(viewer.reports(), [], "not again within a round trip");
    for _ in 0..5 {
        let at = viewer.state.poll_timeout().expect("it goes on complaining");
        assert!(at > viewer.now && at <= viewer.now + 1_000, "{at}");
        viewer.now = at;
        viewer.state.handle_timeout(at);
        assert_eq!(viewer.reports(), [report]);
    }
    viewer.handle(&server.batch(cursor, None)[0]);
    viewer.state.handle_timeout(viewer.now + 3_000);
    assert_eq!(viewer.reports(), [], "healed");
}

#[test]
fn a_head_beyond_the_cursor_is_a_complaint_and_one_at_it_is_none() {
    let mut server = Server::new(Delivery::Latest, 32);
    server.start();
    let mut viewer = Viewer::joined(&mut server);
    let head = |to| {
        Update::Head(Head {
            chat: CHAT,
            cell: Cell(0),
            epoch: 1,
            to,
        })
    };
    viewer.handle(&head(server.head));
    assert_eq!(viewer.reports().len(), 0);
    viewer.handle(&head(server.head + 1));
    assert_eq!(viewer.reports().len(), 1);
}

#[test]
fn batches_that_overtake_their_watching_are_kept() {
    let mut server = Server::new(Delivery::Latest, 32);
    let slot = server.start();
    server.publish(slot, 1);
    let mut viewer = Viewer::new(Delivery::Latest, None);
    viewer.handle(&welcome());
    let (request, _) = watch_request(&viewer.requests());
    viewer.handle(&server.batch(0, None)[0]);
    assert!(viewer.told().is_empty());
    viewer.handle(&watching(request, 1, 0));
    assert_eq!(viewer.told(), ["user-0 started", "user-0 1"]);
}

#[test]
fn pages_count_when_the_last_is_in_whatever_their_order() {
    let mut server = Server::new(Delivery::Latest, 32);
    for _ in 0..5 {
        let slot = server.start();
        server.publish(slot, 1);
    }
    let mut viewer = Viewer::new(Delivery::Latest, None);
    viewer.connect(&server, true);
    let pages = server.batch(0, Some(2));
    assert_eq!(pages.len(), 3);
    viewer.handle(&pages[2]);
    viewer.handle(&pages[0]);
    viewer.handle(&pages[0]);
    assert!(viewer.told().is_empty());
    // Another snapshot takes the place of the one that was begun.
    let again = server.batch(0, Some(4));
    viewer.handle(&again[0]);
    viewer.handle(&pages[1]);
    assert!(viewer.told().is_empty());
    for page in server.batch(0, Some(3)).iter().rev() {
        viewer.handle(page);
    }
    assert_eq!(viewer.told().len(), 10);
}

#[test]
fn a_full_batch_replaces_the_set_and_keeps_the_greater_counter() {
    let mut server = Server::new(Delivery::Latest, 32);
    for _ in 0..3 {
        let slot = server.start();
        server.publish(slot, 5);
    }
    let mut viewer = Viewer::joined(&mut server);
    viewer.changes();
    // The server crashes and has lost the last points; a session ended meanwhile.
    let mut after = Server::new(Delivery::Latest, 32);
    after.epoch = 2;
    for _ in 0..3 {
        let slot = after.start();
        after.publish(slot, 4);
    }
    after.publish(1, 3);
    after.mark(2, SessionState::Expired);
    viewer.state.handle_disconnected();
    assert!(!viewer.state.is_connected(), "offline is not stale");
    assert!(viewer.changes().is_empty());
    viewer.connect(&after, false);
    viewer.handle(&after.batch(0, None)[0]);
    assert_eq!(viewer.told(), ["resync", "user-1 7", "user-2 ended ?"]);
    let shown: Vec<u64> = viewer
        .state
        .views(viewer.id)
        .flat_map(|view| view.rows())
        .filter_map(|row| row.point().map(|point| point.counter.0))
        .collect();
    assert_eq!(shown, [5, 7], "the first is not moved back");
}

#[test]
fn a_cursor_that_is_accepted_gets_only_what_changed() {
    let mut server = Server::new(Delivery::Every, 32);
    let slot = server.start();
    server.publish(slot, 1);
    let mut viewer = Viewer::joined(&mut server);
    viewer.changes();
    viewer.state.handle_disconnected();
    server.publish(slot, 1);
    server.publish(slot, 1);
    let from = viewer.connect(&server, true);
    assert_eq!(from, viewer.cursor());
    viewer.handle(&server.batch(from, None)[0]);
    assert_eq!(viewer.told(), ["user-0 2", "user-0 3"]);
}

#[test]
fn a_cursor_of_another_process_learns_who_is_there_and_tells_what_changed() {
    let mut server = Server::new(Delivery::Every, 32);
    for _ in 0..2 {
        let slot = server.start();
        server.publish(slot, 1);
    }
    let cursor = Cursor {
        log: LOG,
        epoch: 1,
        offset: server.head,
    };
    server.publish(1, 1);
    server.publish(1, 1);
    let mut viewer = Viewer::new(Delivery::Every, Some(cursor));
    let from = viewer.connect(&server, true);
    assert_eq!(from, cursor.offset);
    viewer.handle(&server.batch(from, None)[0]);
    assert!(
        viewer.told().is_empty(),
        "nobody knows yet whose points these are"
    );
    let asked: Vec<u64> = viewer
        .reports()
        .iter()
        .map(|report| report.offset)
        .collect();
    assert_eq!(asked, [0]);
    viewer.handle(&server.batch(0, None)[0]);
    assert!(viewer.told().is_empty());
    viewer.now += 1_000;
    viewer.state.handle_timeout(viewer.now);
    let asked: Vec<u64> = viewer
        .reports()
        .iter()
        .map(|report| report.offset)
        .collect();
    assert_eq!(asked, [cursor.offset]);
    viewer.handle(&server.batch(cursor.offset, None)[0]);
    assert_eq!(viewer.told(), ["user-1 2", "user-1 3"]);
}

#[test]
fn a_cursor_that_is_refused_is_a_resync_even_at_the_first_batch() {
    let mut server = Server::new(Delivery::Latest, 32);
    server.start();
    let cursor = Cursor {
        log: 1,
        epoch: 1,
        offset: 1 << 40,
    };
    let mut viewer = Viewer::new(Delivery::Latest, Some(cursor));
    viewer.connect(&server, false);
    viewer.handle(&server.batch(0, None)[0]);
    assert_eq!(viewer.told(), ["resync", "user-0 started"]);
}

fn coarse(grid_m: u32) -> impl Fn(RequestNumber) -> Update {
    move |request| Update::Coarse(Coarse { request, grid_m })
}

#[test]
fn another_grid_shows_everything_anew_with_counters_that_are_known() {
    let mut server = Server::new(Delivery::Latest, 32);
    let slot = server.start();
    server.publish(slot, 5);
    let mut viewer = Viewer::new(Delivery::Latest, None);
    viewer.connect(&server, false);
    viewer.handle(&server.batch(0, None)[0]);
    assert_eq!(viewer.told(), ["user-0 started", "user-0 5"]);
    let ended = WatchEnded {
        chat: CHAT,
        code: Code::RightsChanged,
    };
    // What was on its way is of before, and does not count, though it is full.
    let late = server.batch(0, None);
    viewer.handle(&Update::WatchEnded(ended.clone()));
    let (request, cursor) = watch_request(&viewer.requests());
    assert_eq!(cursor, 0, "nothing to go on from");
    viewer.handle(&late[0]);
    assert_eq!(viewer.told(), [""; 0]);
    viewer.handle(&coarse(500)(request));
    viewer.handle(&watching(request, server.epoch, 0));
    assert_eq!(viewer.told(), ["grid 500"]);
    let again = viewer.requests();
    assert!(
        matches!(again[..], [Request::Cursor(report)] if report.offset == 0),
        "{again:?}"
    );
    viewer.handle(&server.batch(0, None)[0]);
    assert_eq!(viewer.told(), ["resync", "user-0 5"]);
    // On another connection there is no cursor, and no grid any more: once more everything.
    viewer.state.handle_disconnected();
    viewer.handle(&welcome());
    let (request, cursor) = watch_request(&viewer.requests());
    assert_eq!(cursor, 0);
    viewer.handle(&watching(request, server.epoch, 0));
    viewer.handle(&server.batch(0, None)[0]);
    assert_eq!(viewer.told(), ["grid 0", "resync", "user-0 5"]);
}

#[test]
fn skipped_points_are_counted_exactly() {
    let mut server = Server::new(Delivery::Every, 2);
    let slot = server.start();
    server.publish(slot, 1);
    let mut viewer = Viewer::joined(&mut server);
    let from = server.head;
    viewer.changes();
    for _ in 0..10 {
        server.publish(slot, 1);
    }
    viewer.handle(&server.batch(from, None)[0]);
    assert_eq!(
        viewer.told(),
        ["user-0 skipped 7", "user-0 9", "user-0 10", "user-0 11"]
    );
    // The loss of others is not the loss of this viewer.
    server.publish(slot, 1);
    viewer.handle(&server.batch(from, None)[0]);
    assert_eq!(viewer.told(), ["user-0 12"]);
}

#[test]
fn late_points_never_move_the_marker() {
    let mut server = Server::new(Delivery::Every, 32);
    let slot = server.start();
    let mut viewer = Viewer::joined(&mut server);
    let from = server.head;
    server.publish(slot, 1);
    server.publish(slot, 4);
    viewer.handle(&server.batch(from, None)[0]);
    let from = server.head;
    server.publish_late(slot, 3);
    viewer.handle(&server.batch(from, None)[0]);
    assert_eq!(
        viewer.told(),
        ["user-0 started", "user-0 1", "user-0 5", "user-0 late 3"]
    );
    let view = viewer.state.views(viewer.id).next().expect("a view");
    let row = view.rows().next().expect("a row");
    assert_eq!(row.point().expect("a point").counter.0, 5);
}

#[test]
fn states_are_told_once_and_nothing_follows_an_end() {
    let mut server = Server::new(Delivery::Every, 32);
    let slot = server.start();
    server.publish(slot, 1);
    let mut viewer = Viewer::joined(&mut server);
    viewer.changes();
    let joined = server.head;
    for state in [
        SessionState::Stale,
        SessionState::Stationary,
        SessionState::Stopped,
    ] {
        let from = server.head;
        server.mark(slot, state);
        let batch = server.batch(from, None);
        viewer.handle(&batch[0]);
        viewer.handle(&batch[0]);
    }
    server.extend(slot);
    viewer.handle(&server.batch(joined, None)[0]);
    let told = viewer.told();
    assert_eq!(
        told.iter()
            .filter(|text| !text.ends_with("extended"))
            .collect::<Vec<_>>(),
        ["user-0 stale", "user-0 heartbeat", "user-0 ended stopped"]
    );
}

#[test]
fn only_the_last_change_of_a_batch_moves_the_cursor() {
    let mut server = Server::new(Delivery::Latest, 32);
    let mut viewer = Viewer::joined(&mut server);
    viewer.handle(&server.batch(0, None)[0]);
    for _ in 0..2 {
        let slot = server.start();
        server.publish(slot, 1);
    }
    viewer.handle(&server.batch(0, None)[0]);
    let cursors: Vec<u64> = viewer
        .changes()
        .iter()
        .map(|change| change.cursor.offset)
        .collect();
    assert_eq!(cursors, [0, 0, 0, server.head]);
}

#[test]
fn silence_leads_to_a_question_with_the_cursor_and_then_to_an_end() {
    let mut server = Server::new(Delivery::Latest, 32);
    server.start();
    let mut viewer = Viewer::joined(&mut server);
    viewer.requests();
    // The question of the welcome is answered by the batch.
    viewer.now += 10_000;
    viewer.state.handle_timeout(viewer.now);
    let requests = viewer.requests();
    assert!(
        matches!(requests[..], [Request::Ping(_), Request::Cursor(_)]),
        "{requests:?}"
    );
    assert!(!viewer.state.is_server_silent(viewer.now + 4_999));
    assert!(viewer.state.is_server_silent(viewer.now + 5_000));
}

/// "I may be offline" is said long before the server counts as dead, and is no word about a sender.
#[test]
fn a_viewer_of_people_who_move_soon_knows_that_it_may_be_offline() {
    let mut server = Server::new(Delivery::Latest, 32);
    let slot = server.start();
    let mut viewer = Viewer::joined(&mut server);
    for counter in 1..4 {
        viewer.now += 1_000;
        server.publish(slot, counter);
        let batch = server.batch(viewer.cursor(), None);
        viewer.handle(&batch[0]);
    }
    viewer.requests();
    viewer.told();
    let silent_since = viewer.now;
    let mut seen = Vec::new();
    while !viewer.state.is_server_silent(viewer.now) {
        viewer.now = viewer.state.poll_timeout().expect("a next moment");
        viewer.state.handle_timeout(viewer.now);
        let asked = viewer.requests();
        let asks = asked.iter().any(|it| matches!(it, Request::Ping(_)));
        let after_ms = viewer.now - silent_since;
        seen.push((after_ms, asks, viewer.state.is_doubtful()));
    }
    let expected = [
        (3_000, true, false),
        (5_000, false, true),
        (8_000, false, true),
    ];
    assert_eq!(seen, expected);
    assert!(viewer.told().is_empty(), "nothing of any sender");
    // Something comes after all.
    let pong = Pong {
        number: 0,
        server_time_ms: 1,
    };
    viewer.handle(&Update::Pong(pong));
    assert!(!viewer.state.is_doubtful());
    assert!(!viewer.state.is_server_silent(viewer.now));
}

#[test]
fn an_entry_for_an_unknown_slot_asks_for_everything() {
    let mut server = Server::new(Delivery::Latest, 32);
    let slot = server.start();
    let mut other = server.clone();
    let mut empty = Server::new(Delivery::Latest, 32);
    empty.head = server.head;
    let mut viewer = Viewer::joined(&mut empty);
    other.publish(slot, 1);
    viewer.requests();
    viewer.handle(&other.batch(server.head, None)[0]);
    viewer.now += 2_000;
    viewer.state.handle_timeout(viewer.now);
    assert_eq!(
        viewer.reports().iter().map(|report| report.offset).max(),
        Some(0)
    );
}
