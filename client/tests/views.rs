//! A viewer of a part of the map: what it asks for, what it takes, what it makes of what it is told.

mod support;

use skein_client::change::Event;
use skein_client::limits::LOOK_MS_MIN;
use skein_client::viewer_state::{ViewerState, WatchId, WatchOptions};
use skein_wire::ids::{Cell, Cursor};
use skein_wire::map_cell::MapCell;
use skein_wire::map_view::MapView;
use skein_wire::request::{Delivery, Request, Watch};
use skein_wire::update::{Cluster, Clusters, Head, SessionState, Update, Viewing};
use support::{CHAT, LOG, Server, chat, watching, welcome};

const NOW: u64 = 1_000_000;

fn view(south_e6: i32) -> MapView {
    MapView {
        south_e6,
        west_e6: 13_000_000,
        north_e6: south_e6 + 1_000,
        east_e6: 13_001_000,
        rows: 500,
    }
}

fn viewing(number: u64) -> Update {
    Update::Viewing(Viewing {
        chat: CHAT,
        cell: Cell(number),
        area: view(0),
        cells: vec![MapCell::EARTH],
    })
}

fn clusters(number: u64, to: u64, count: u32) -> Update {
    let cluster = Cluster {
        cell: MapCell::EARTH,
        count,
        east: 0,
        north: 0,
    };
    Update::Clusters(Clusters {
        chat: CHAT,
        cell: Cell(number),
        epoch: 1,
        to,
        clusters: vec![cluster],
    })
}

struct Viewer {
    state: ViewerState,
    id: WatchId,
}

impl Viewer {
    /// Connected, and the watch is granted.
    fn new(server: &Server) -> Self {
        let mut state = ViewerState::new();
        let id = state.watch(WatchOptions {
            view: Some(view(0)),
            ..WatchOptions::new(chat())
        });
        let mut viewer = Self { state, id };
        viewer.connect(server);
        viewer
    }

    fn connect(&mut self, server: &Server) -> Watch {
        self.handle(&welcome());
        self.grant(server)
    }

    /// Grants the newest watch that was asked for.
    fn grant(&mut self, server: &Server) -> Watch {
        let asked = self.asked().pop().expect("a watch");
        self.handle(&watching(asked.request, server.epoch, 0));
        asked
    }

    fn handle(&mut self, update: &Update) {
        let handled = self.state.handle(NOW, update);
        handled.expect("a server by the rules");
    }

    fn asked(&mut self) -> Vec<Watch> {
        let requests = std::iter::from_fn(|| self.state.poll_request());
        let watches = requests.filter_map(|request| match request {
            Request::Watch(watch) => Some(watch),
            _ => None,
        });
        watches.collect()
    }

    /// Users of live rows, and how many are elsewhere.
    fn shown(&self) -> (Vec<String>, u32) {
        let view = self.state.views(self.id).next().expect("a view");
        let live = view.rows().filter(|row| !row.state().state.is_ended());
        let users = live.map(|row| row.subject().user.to_string()).collect();
        (users, view.clusters().iter().map(|it| it.count).sum())
    }

    fn told(&mut self) -> Vec<&'static str> {
        let changes = std::iter::from_fn(|| self.state.poll_change());
        let kinds = changes.filter_map(|change| match change.event {
            Event::Left => Some("left"),
            Event::Ended { .. } => Some("ended"),
            Event::Resync => Some("resync"),
            Event::Viewing { .. } => Some("view"),
            Event::Clusters { .. } => Some("clusters"),
            Event::Started { .. } => Some("started"),
            _ => None,
        });
        kinds.collect()
    }
}

/// A server whose batches carry the number of a view.
fn server(number: u64, sessions: usize) -> Server {
    let mut server = Server::new(Delivery::Latest, 0);
    server.cell = Cell(number);
    for _ in 0..sessions {
        let slot = server.start();
        server.publish(slot, 1);
    }
    server
}

#[test]
fn what_overtakes_its_number_is_taken_after_it() {
    let mut server = server(7, 2);
    let mut viewer = Viewer::new(&server);
    viewer.handle(&clusters(7, 4, 9));
    viewer.handle(&server.batch(0, None)[0]);
    assert_eq!(viewer.shown(), (vec![], 0), "nobody knows of what it is");
    viewer.handle(&viewing(7));
    let both = vec!["user-0".to_owned(), "user-1".to_owned()];
    assert_eq!(viewer.shown(), (both, 9));
    assert_eq!(viewer.told(), ["view", "clusters", "started", "started"]);
}

#[test]
fn what_is_of_other_cells_changes_nothing() {
    let mut old = server(7, 2);
    let mut viewer = Viewer::new(&old);
    viewer.handle(&viewing(7));
    viewer.handle(&old.batch(0, None)[0]);
    let mut new = server(8, 1);
    viewer.handle(&viewing(8));
    assert_eq!(
        viewer.shown().0.len(),
        2,
        "shown until the new ones are there"
    );
    viewer.handle(&new.batch(0, None)[0]);
    viewer.handle(&clusters(8, 2, 5));
    let expected = (vec!["user-0".to_owned()], 5);
    assert_eq!(viewer.shown(), expected);
    // Late ones of before, and whole chats.
    old.publish(1, 1);
    viewer.handle(&old.batch(4, None)[0]);
    viewer.handle(&clusters(7, 99, 1));
    old.cell = Cell(0);
    viewer.handle(&old.batch(0, None)[0]);
    viewer.handle(&Update::Head(Head {
        chat: CHAT,
        cell: Cell(7),
        epoch: 1,
        to: 99,
    }));
    assert_eq!(viewer.shown(), expected);
    // Older counts of its own.
    viewer.handle(&clusters(8, 1, 1));
    assert_eq!(viewer.shown(), expected);
    assert!(
        viewer
            .state
            .poll_request()
            .is_none_or(|it| !matches!(it, Request::Cursor(_)))
    );
}

#[test]
fn who_leaves_has_not_ended() {
    let mut server = server(7, 3);
    let mut viewer = Viewer::new(&server);
    viewer.handle(&viewing(7));
    viewer.handle(&server.batch(0, None)[0]);
    viewer.told();
    let from = server.head;
    server.mark(0, SessionState::Moved);
    let moved = server.batch(from, None);
    viewer.handle(&moved[0]);
    assert_eq!(viewer.told(), ["left"]);
    // Told again by a shared batch, with more: it says nothing about an unknown slot.
    server.publish(1, 1);
    viewer.handle(&server.batch(from, None)[0]);
    assert_eq!(viewer.shown().0, ["user-1", "user-2"]);
    let view = viewer.state.views(viewer.id).next().expect("a view");
    assert!(!view.is_behind());
    // Not named by a full batch of other cells: elsewhere.
    server.rows.truncate(2);
    server.cell = Cell(8);
    viewer.told();
    viewer.handle(&viewing(8));
    server.publish(1, 1);
    viewer.handle(&server.batch(0, None)[0]);
    let told = viewer.told();
    assert!(
        told.contains(&"left") && !told.contains(&"ended"),
        "{told:?}"
    );
    assert!(!told.contains(&"resync"), "{told:?}");
}

#[test]
fn a_view_goes_on_from_no_cursor() {
    let mut server = server(7, 2);
    let mut viewer = Viewer::new(&server);
    viewer.handle(&viewing(7));
    viewer.handle(&server.batch(0, None)[0]);
    let view = viewer.state.views(viewer.id).next().expect("a view");
    let expected = Cursor {
        log: LOG,
        epoch: 1,
        offset: server.head,
    };
    assert_eq!(view.cursor(), expected);
    viewer.state.handle_disconnected();
    let again = viewer.connect(&server);
    assert_eq!((again.cursor, again.view), (None, Some(self::view(0))));
    assert_eq!(viewer.shown().0.len(), 2, "it goes on showing what it had");
    // The number of before means nothing on this connection.
    server.publish(0, 1);
    viewer.handle(&server.batch(4, None)[0]);
    viewer.handle(&viewing(3));
    server.cell = Cell(3);
    viewer.handle(&server.batch(0, None)[0]);
    assert_eq!(viewer.shown().0.len(), 2);
}

#[test]
fn a_map_that_is_moved_is_asked_for_where_it_comes_to_rest() {
    let server = server(7, 2);
    let mut viewer = Viewer::new(&server);
    for south in 1..=50_i32 {
        viewer.state.look(
            NOW + u64::from(south.unsigned_abs()),
            viewer.id,
            view(south),
        );
    }
    let first = viewer.grant(&server);
    assert_eq!(first.view, Some(view(1)), "the first at once");
    assert!(viewer.asked().is_empty());
    let due = viewer.state.poll_timeout().expect("the last one is due");
    assert_eq!(due, NOW + 1 + LOOK_MS_MIN);
    viewer.state.handle_timeout(due);
    assert_eq!(viewer.grant(&server).view, Some(view(50)));
    viewer.state.handle_timeout(due + 10 * LOOK_MS_MIN);
    assert!(viewer.asked().is_empty());
}

#[test]
fn what_was_given_up_before_it_was_granted_is_unwatched() {
    let mut state = ViewerState::new();
    let id = state.watch(WatchOptions::new(chat()));
    state.handle(NOW, &welcome()).expect("a welcome");
    let asked: Vec<_> = std::iter::from_fn(|| state.poll_request()).collect();
    let (request, _) = support::watch_request(&asked);
    state.unwatch(id);
    assert_eq!(state.poll_request(), None, "nobody knows of which chat");
    state
        .handle(NOW, &watching(request, 1, 0))
        .expect("an answer");
    let said = state.poll_request();
    assert!(
        matches!(&said, Some(Request::Unwatch(unwatch)) if unwatch.chat == CHAT),
        "{said:?}"
    );
}
