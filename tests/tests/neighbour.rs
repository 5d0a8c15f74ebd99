//! A small chat beside a very large one on the same shard: whoever watches few people does not wait for those
//! who watch with thousands.

use std::time::{Duration, Instant};

use skein_tests::cores::Cores;
use skein_tests::fleet::Fleet;
use skein_tests::quic_crowd::Crowd;
use skein_tests::server::{Options, Server};
use skein_tests::skip;
use skein_tests::small_chat::{SmallChat, p99};
use skein_tests::wait::PATIENCE;

/// Sessions of the large chat, each with a point ten times a second: its next walk is due before one ends.
const SESSIONS: usize = 40;
const PERIOD: Duration = Duration::from_millis(100);

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

#[test]
fn a_small_chat_beside_a_very_large_one_is_not_late() {
    let scale = Scale::now();
    let server = Server::start_with(Options {
        // All of the crowd are one user.
        configuration: "[limits]\nuser_requests_per_second_max = 0\n".to_owned(),
        ..Options::new(Cores::One)
    });
    let mut few = SmallChat::gather(&server, "few");
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
