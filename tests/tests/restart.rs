//! After a crash everything promised is there, what had ended stays ended, and viewers go on.

use std::thread;
use std::time::Duration;

use skein_tests::cli::WatchRun;
use skein_tests::cores::Cores;
use skein_tests::fleet::{Fleet, point_at};
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::Peer;
use skein_tests::server::Server;
use skein_tests::table::{Applied, Table};
use skein_tests::wait::{self, PATIENCE};
use skein_wire::ids::Cursor;
use skein_wire::request::Delivery;
use skein_wire::update::SessionState;

on_one_and_two_shards!(
    promises_survive_and_ends_stay_ended,
    a_cursor_gets_only_what_changed,
    a_cursor_that_is_not_ours_gets_everything,
    a_watching_client_comes_back_by_itself,
    a_second_start_with_the_same_key_gives_the_same_session,
);

/// Reads batches until the table has what is asked for.
fn apply_until(viewer: &mut Peer, table: &mut Table, what: &str, ready: impl Fn(&Table) -> bool) {
    wait::until(what, PATIENCE, || {
        if let Some(batch) = viewer.batch(Duration::from_millis(50)) {
            assert_ne!(
                table.apply(batch),
                Applied::Gap,
                "a gap on an ordered transport"
            );
        }
        ready(table)
    });
}

fn viewer(server: &Server, chat: &str) -> Peer {
    server
        .put_member(chat, "viewer", &["watch"])
        .expect_success("a viewer");
    Peer::connect(server.ready.http, &server.token("viewer"))
}

fn promises_survive_and_ends_stay_ended(cores: Cores) {
    let mut server = Server::start(cores);
    server.add_member("hike", "ana");
    server.add_member("hike", "ben");
    server.add_member("hike", "cem");
    server.remove_member("hike", "cem");
    let mut sender = Peer::connect(server.ready.http, &server.token("ana"));
    let live = sender.share("hike", 600, "live");
    let stopped = sender.share("hike", 600, "stopped");
    let overdue = sender.share("hike", 3, "overdue");
    for shared in [live, stopped, overdue] {
        sender.point(shared.share, point_at(1, 1));
        sender.point(shared.share, point_at(1, 2));
        sender.durable_point(shared.share, point_at(1, 3));
    }
    sender.stop(stopped.share);
    server.process.kill();
    // Its end comes while nobody is there to bring it about.
    thread::sleep(Duration::from_millis(3_500));
    server.restart();

    let listed = server
        .session(&["list", "--chat", "hike"])
        .expect_success("session list");
    assert!(
        listed.stdout.contains(&live.session.to_string()),
        "{}",
        listed.stdout
    );
    let members = server
        .member(&["list", "--chat", "hike"])
        .expect_success("member list");
    let names: Vec<&str> = members
        .stdout
        .lines()
        .filter_map(|l| l.split('\t').next())
        .collect();
    assert_eq!(names, ["ana", "ben"]);

    let mut viewer = viewer(&server, "hike");
    let mut table = Table::default();
    viewer.watch("hike", None, Delivery::Every);
    apply_until(&mut viewer, &mut table, "the live session", |table| {
        table.session(live.session).is_some()
    });
    let row = table.session(live.session).expect("a row");
    assert_eq!((row.counter, row.state.is_ended()), (3, false));
    for (ended, state) in [
        (stopped.session, SessionState::Stopped),
        (overdue.session, SessionState::Expired),
    ] {
        // Gone or a tombstone: never live again, and no late change makes it so.
        let found = table.session(ended).map(|row| row.state);
        assert!(
            found.is_none_or(|found| found == state),
            "{ended}: {found:?}"
        );
        assert!(!table.live().any(|row| row.session == ended));
    }
    let mut again = Peer::connect(server.ready.http, &server.token("ana"));
    for ended in [stopped.session, overdue.session] {
        let refused = again
            .try_resume("hike", ended)
            .expect_err("an ended session");
        assert!(
            ["session_ended", "not_found"].contains(&refused.code.name()),
            "{refused:?}"
        );
    }
    let resumed = again
        .try_resume("hike", live.session)
        .expect("a live session");
    assert_eq!(
        resumed.counter_last.0, 3,
        "the sender goes on above its last point"
    );
}

fn a_cursor_gets_only_what_changed(cores: Cores) {
    let mut server = Server::start(cores);
    let mut fleet = Fleet::start(&server, "hike", 10);
    fleet.publish();
    fleet.settle();
    let mut first = viewer(&server, "hike");
    let mut table = Table::default();
    let watching = first.watch("hike", None, Delivery::Latest);
    apply_until(&mut first, &mut table, "all sessions", |table| {
        table.live().filter(|row| row.counter == 1).count() == 10
    });
    let cursor = Cursor {
        log: first.welcome.log,
        epoch: watching.epoch,
        offset: table.cursor,
    };
    drop(first);
    server.crash_and_restart();

    let member = fleet.members().nth(4).expect("ten sessions").clone();
    let user = format!("sender-{}", member.index);
    let mut sender = Peer::connect(server.ready.http, &server.quick_token(&user));
    let resumed = sender
        .try_resume("hike", member.session)
        .expect("it goes on");
    sender.point(resumed.share, point_at(member.index, 2));

    let mut second = viewer(&server, "hike");
    let watching = second.watch("hike", Some(cursor), Delivery::Latest);
    assert_eq!(watching.from, cursor.offset, "the cursor is still good");
    table.epoch = watching.epoch;
    let mut fixes = 0;
    wait::until("the new point", PATIENCE, || {
        if let Some(batch) = second.batch(Duration::from_millis(50)) {
            let header = batch.header;
            assert_ne!(header.from, 0, "not a full batch");
            eprintln!(
                "---- cursor {cursor}: {header:?}, {} entries",
                batch.entries.len()
            );
            fixes += batch
                .entries
                .iter()
                .filter(|entry| entry.point.is_some())
                .count();
            assert_ne!(table.apply(batch), Applied::Gap);
        }
        table
            .session(member.session)
            .is_some_and(|row| row.counter == 2)
    });
    assert_eq!(fixes, 1, "only the session that moved");
}

fn a_cursor_that_is_not_ours_gets_everything(cores: Cores) {
    let server = Server::start(cores);
    let mut fleet = Fleet::start(&server, "hike", 6);
    fleet.publish();
    fleet.settle();
    let mut probe = viewer(&server, "hike");
    let log = probe.welcome.log;
    let epoch = probe.watch("hike", None, Delivery::Latest).epoch;
    let strange = [
        Cursor {
            log: log ^ 1,
            epoch,
            offset: 1,
        },
        Cursor {
            log,
            epoch,
            offset: 1 << 40,
        },
        Cursor {
            log,
            epoch: epoch + 7,
            offset: 1,
        },
    ];
    for cursor in strange {
        let mut viewer = viewer(&server, "hike");
        let watching = viewer.watch("hike", Some(cursor), Delivery::Latest);
        assert_eq!(watching.from, 0, "{cursor}");
        let batch = viewer.batch(PATIENCE).expect("never silence");
        assert_eq!(batch.header.from, 0, "{cursor}");
        let mut table = Table::default();
        table.apply(batch);
        assert_eq!(table.live().count(), 6, "{cursor}");
    }
}

fn a_watching_client_comes_back_by_itself(cores: Cores) {
    let mut server = Server::start(cores);
    server.add_member("hike", "viewer");
    let mut fleet = Fleet::start(&server, "hike", 4);
    fleet.publish();
    fleet.settle();
    let token = server.token("viewer");
    let watches =
        [server.quic_url(), server.ws_url()].map(|url| WatchRun::start(&url, "hike", &token, &[]));
    let members: Vec<_> = fleet.members().cloned().collect();
    let all_at = |watch: &WatchRun, counter: u64| {
        members.iter().all(|member| {
            let points = watch.points_of(&member.session.to_string());
            points.last().is_some_and(|point| point.counter == counter)
        })
    };
    for watch in &watches {
        watch.wait("every session", PATIENCE, |_| {
            all_at(watch, 1).then_some(())
        });
    }
    server.crash_and_restart();
    for member in &members {
        let first = member.index - member.index % skein_tests::fleet::SESSIONS_PER_USER;
        let user = format!("sender-{first}");
        let mut sender = Peer::connect(server.ready.http, &server.quick_token(&user));
        let resumed = sender
            .try_resume("hike", member.session)
            .expect("it goes on");
        sender.point(resumed.share, point_at(member.index, 2));
        sender.accepted(resumed.share, skein_wire::ids::Counter(2));
    }
    for watch in &watches {
        watch.wait("what came after the crash", PATIENCE, |_| {
            all_at(watch, 2).then_some(())
        });
        for member in &members {
            let points = watch.points_of(&member.session.to_string());
            let counters: Vec<u64> = points.iter().map(|point| point.counter).collect();
            assert_eq!(counters, [1, 2], "each point once");
        }
    }
}

fn a_second_start_with_the_same_key_gives_the_same_session(cores: Cores) {
    let mut server = Server::start(cores);
    server.add_member("hike", "ana");
    let mut sender = Peer::connect(server.ready.http, &server.token("ana"));
    let first = sender.share("hike", 600, "one walk");
    let again = sender.share("hike", 600, "one walk");
    assert_eq!(first.session, again.session);
    server.crash_and_restart();
    let mut sender = Peer::connect(server.ready.http, &server.token("ana"));
    assert_eq!(sender.share("hike", 600, "one walk").session, first.session);
    assert_ne!(
        sender.share("hike", 600, "another walk").session,
        first.session
    );
}
