//! A small chat beside a very large one on the same shard: whoever watches few people does not wait for those
//! who watch with thousands.

use std::thread;
use std::time::{Duration, Instant};

use skein_tests::cores::Cores;
use skein_tests::fleet::Fleet;
use skein_tests::peer::Peer;
use skein_tests::quic_crowd::Crowd;
use skein_tests::server::{Options, Server};
use skein_tests::skip;
use skein_tests::table::Table;
use skein_tests::wait::PATIENCE;
use skein_wire::request::Delivery;

/// Sessions of the large chat, each with a point ten times a second: its next walk is due before one ends.
const SESSIONS: usize = 40;
const PERIOD: Duration = Duration::from_millis(100);

/// Viewers of the small chat.
const FEW: usize = 5;

/// Pause between two points of the small chat.
const PAUSE: Duration = Duration::from_millis(70);

/// How much is done, and what is asked of it.
struct Scale {
    /// Viewers of the large chat.
    many: usize,
    /// Points of the small chat.
    points: usize,
    /// From a point until all of the few have it, for 99 of 100 points.
    arrives: Duration,
}

impl Scale {
    fn now() -> Self {
        if skip::full() {
            Self {
                many: 5_000,
                points: 400,
                arrives: Duration::from_millis(250),
            }
        } else {
            // The machine may be anybody's: this shows that the small chat is not starved.
            Self {
                many: 400,
                points: 60,
                arrives: Duration::from_secs(2),
            }
        }
    }
}

/// The small chat.
struct Few {
    fleet: Fleet,
    viewers: Vec<(Peer, Table)>,
}

impl Few {
    fn gather(server: &Server) -> Self {
        let fleet = Fleet::start(server, "few", 1);
        let added = server.put_member("few", "viewer", &["watch"]);
        added.expect_success("a viewer");
        let token = server.quick_token("viewer");
        let viewers = (0..FEW)
            .map(|_| {
                let mut viewer = Peer::connect(server.ready.http, &token);
                viewer.watch("few", None, Delivery::Latest);
                (viewer, Table::default())
            })
            .collect();
        let mut few = Self { fleet, viewers };
        few.point();
        few
    }

    /// Sends a point, and says after what time all have it.
    fn point(&mut self) -> Duration {
        let began = Instant::now();
        self.fleet.publish();
        let member = self.fleet.members().next().expect("a session");
        for (viewer, table) in &mut self.viewers {
            let is_there = |table: &Table| {
                let row = table.session(member.session);
                row.is_some_and(|row| row.counter == member.counter)
            };
            while !is_there(table) {
                table.apply(viewer.batch(PATIENCE).expect("a batch"));
            }
        }
        began.elapsed()
    }

    fn points(&mut self, count: usize) -> Vec<Duration> {
        let mut times: Vec<Duration> = (0..count)
            .map(|_| {
                thread::sleep(PAUSE);
                self.point()
            })
            .collect();
        times.sort_unstable();
        times
    }
}

#[test]
fn a_small_chat_beside_a_very_large_one_is_not_late() {
    let scale = Scale::now();
    let server = Server::start_with(Options {
        // All of the crowd are one user.
        configuration: "[limits]\nuser_requests_per_second_max = 0\n".to_owned(),
        ..Options::new(Cores::One)
    });
    let mut few = Few::gather(&server);
    let alone = few.points(scale.points);

    let mut fleet = Fleet::start(&server, "many", SESSIONS);
    fleet.publish();
    let added = server.put_member("many", "viewer", &["watch"]);
    added.expect_success("a viewer");
    let (program, token) = (
        env!("CARGO_BIN_EXE_quic_viewers"),
        server.quick_token("viewer"),
    );
    let mut crowd = Crowd::start(&server, program, "many", &token, scale.many);
    crowd.wait_for(SESSIONS as u64, 1, PATIENCE);
    let sent = || server.metrics().sum("skein_quic_offers_datagram_total");
    let (before, began) = (sent(), Instant::now());
    let running = fleet.run_spread(PERIOD);
    let beside = few.points(scale.points);
    let busy = (sent() - before) / began.elapsed().as_secs_f64();
    running.stop();
    let large = crowd.differed(PERIOD);

    let p99 = |times: &[Duration]| times[(times.len() - 1) * 99 / 100];
    eprintln!(
        "---- beside {} viewers who get {busy:.0} batches a second, of which rows differ {large:?}: {:?} for 99 of \
         100 points, alone {:?}",
        scale.many,
        p99(&beside),
        p99(&alone)
    );
    assert!(busy > 0.0, "the large chat was fanned out to");
    assert!(p99(&beside) <= scale.arrives, "{:?}", p99(&beside));
}
