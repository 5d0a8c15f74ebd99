//! A removed member sees nothing more, on no connection and no shard, from the acknowledgement on.

use std::time::Duration;

use skein_tests::cli::WatchRun;
use skein_tests::cores::Cores;
use skein_tests::fleet::{Fleet, point_at};
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::{Peer, Received, live};
use skein_tests::server::Server;
use skein_tests::table::Table;
use skein_tests::wait::PATIENCE;
use skein_wire::batch::Batch;
use skein_wire::error::Code;
use skein_wire::request::Delivery;
use skein_wire::update::Update;

on_one_and_two_shards!(
    a_removed_member_sees_nothing_more,
    the_session_of_a_removed_member_ends_everywhere,
    fewer_rights_end_what_they_covered,
);

/// Connections of the removed member: enough to sit on both shards.
const CONNECTIONS: usize = 12;

/// How long a removed member listens for what must not come.
const LISTEN: Duration = Duration::from_millis(500);

fn a_removed_member_sees_nothing_more(cores: Cores) {
    let mut server = Server::start(cores);
    let running = Fleet::start(&server, "club", 8).run(Duration::from_millis(20));
    server.add_member("club", "ben");
    let token = server.token("ben");
    let mut watches: Vec<(Peer, Table)> = (0..CONNECTIONS)
        .map(|_| {
            let mut peer = Peer::connect(server.ready.http, &token);
            peer.watch("club", None, Delivery::Every);
            let mut table = Table::default();
            table.apply(peer.batch(PATIENCE).expect("a member sees the chat"));
            (peer, table)
        })
        .collect();
    let by_quic = WatchRun::start(&server.quic_url(), "club", &token, &[]);
    by_quic.wait("the chat", PATIENCE, |changes| {
        (changes.len() > 20).then_some(())
    });

    server.remove_member("club", "ben");
    // Every point with a greater counter was sent after the acknowledgement.
    let mut fleet = running.stop();
    let after = fleet
        .members()
        .map(|member| member.counter)
        .max()
        .expect("sessions");
    for _ in 0..5 {
        fleet.publish();
    }
    fleet.settle();
    for (peer, table) in &mut watches {
        assert_eq!(listen(peer, table), Some(Code::MembershipRevoked));
        let newest = table.rows().map(|row| row.counter).max().expect("rows");
        assert!(
            newest <= after,
            "point {newest} came after the revocation, {after} was before"
        );
    }
    let newest = by_quic
        .changes()
        .iter()
        .filter_map(|c| c.point())
        .map(|p| p.counter)
        .max();
    assert!(
        newest <= Some(after),
        "point {newest:?} came by QUIC, {after} was before"
    );

    for restarted in [false, true] {
        if restarted {
            server.crash_and_restart();
        }
        let mut again = Peer::connect(server.ready.http, &token);
        let refused = again
            .try_watch("club", None, Delivery::Latest)
            .expect_err("no member");
        assert_eq!(refused.code, Code::NotFound, "restarted: {restarted}");
        let unknown = again
            .try_watch("no such chat", None, Delivery::Latest)
            .expect_err("no chat");
        assert_eq!(
            unknown.code, refused.code,
            "absent and forbidden look the same"
        );
        assert_eq!(
            unknown.text, refused.text,
            "absent and forbidden look the same"
        );
    }
}

/// Applies what a connection still gets; why its watch ended, if it did.
fn listen(peer: &mut Peer, table: &mut Table) -> Option<Code> {
    let mut ended = None;
    loop {
        match peer.receive(LISTEN) {
            Some(Received::Update(Update::WatchEnded(watch))) => ended = Some(watch.code),
            Some(Received::Update(Update::Batch(body))) => {
                assert_eq!(ended, None, "a batch after the end of the watch");
                table.apply(Batch::decode(&body).expect("a batch"));
            }
            Some(Received::Closed(closed)) => return ended.or(closed.protocol_code()),
            Some(Received::Update(_)) => {}
            None => return ended,
        }
    }
}

fn the_session_of_a_removed_member_ends_everywhere(cores: Cores) {
    let server = Server::start(cores);
    server.add_member("club", "ben");
    server.add_member("club", "eve");
    let mut ben = Peer::connect(server.ready.http, &server.token("ben"));
    let shared = ben.share("club", 600, "walk");
    ben.point(shared.share, point_at(1, 1));
    ben.accepted(shared.share, skein_wire::ids::Counter(1));
    let token = server.token("eve");
    let watches: Vec<WatchRun> = [server.quic_url(), server.ws_url()]
        .iter()
        .map(|url| WatchRun::start(url, "club", &token, &[]))
        .collect();
    let session = shared.session.to_string();
    for watch in &watches {
        watch.wait("the point", PATIENCE, |_| {
            (!watch.points_of(&session).is_empty()).then_some(())
        });
    }
    server.remove_member("club", "ben");
    for counter in 2..6 {
        // Refused, or the connection has lost the share: never taken.
        ben.try_send(&[live(shared.share, point_at(1, counter), false)]);
    }
    for watch in &watches {
        assert_eq!(watch.wait_ended(&session, PATIENCE), "revoked");
        let points = watch.points_of(&session);
        assert_eq!(points.len(), 1, "no point after the end: {points:?}");
        let changes = watch.changes();
        let last = changes.iter().rfind(|change| change.session() == session);
        assert_eq!(last.map(|change| change.kind()), Some("ended"));
    }
    let refused = ben.try_share("club", 600, "again").expect_err("no member");
    assert_eq!(refused.code, Code::NotFound);
}

fn fewer_rights_end_what_they_covered(cores: Cores) {
    let server = Server::start(cores);
    server.add_member("club", "ben");
    let mut ben = Peer::connect(server.ready.http, &server.token("ben"));
    let shared = ben.share("club", 600, "walk");
    ben.point(shared.share, point_at(1, 1));
    ben.watch("club", None, Delivery::Latest);
    ben.batch(PATIENCE).expect("a batch");
    // No watching any more; sharing goes on.
    server
        .put_member("club", "ben", &["share"])
        .expect_success("fewer rights");
    let code = ben.expect("the end of the watch", |update| match update {
        Update::WatchEnded(ended) => Some(ended.code),
        _ => None,
    });
    assert_eq!(code, Code::MembershipRevoked);
    ben.durable_point(shared.share, point_at(1, 2));
    // No sharing either.
    server
        .put_member("club", "ben", &["watch"])
        .expect_success("other rights");
    ben.expect("the end of the share", |update| match update {
        Update::ShareEnded(ended) if ended.share == shared.share => Some(()),
        _ => None,
    });
    let refused = ben
        .try_share("club", 600, "again")
        .expect_err("no right to share");
    assert_eq!(refused.code, Code::NotFound);
    ben.watch("club", None, Delivery::Latest);
}
