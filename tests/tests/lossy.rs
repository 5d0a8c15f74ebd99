//! Viewers behind a bad network: what is lost is made up for, soon while senders go on and soon after the
//! last of them fell silent.

use std::thread;
use std::time::{Duration, Instant};

use skein_tests::cores::Cores;
use skein_tests::fleet::Fleet;
use skein_tests::on_one_and_two_shards;
use skein_tests::quic::KEEP_ALIVE;
use skein_tests::quic_crowd::Crowd;
use skein_tests::server::Server;
use skein_tests::skip;
use skein_tests::turns;
use skein_tests::udp_link::{UdpLink, Weather};
use skein_tests::wait::PATIENCE;

on_one_and_two_shards!(five_of_a_hundred_are_lost, twenty_of_a_hundred_are_lost);

/// Senders measure once a second, four of them at the same moment.
const PERIOD: Duration = Duration::from_secs(1);

/// In each direction: 40 ms there and back.
const DELAY: Duration = Duration::from_millis(20);

/// Points of each sender before the losses begin, which show how long a pass and the way take.
const CALM: u32 = 3;

/// How much is done, and what is asked of it.
struct Scale {
    sessions: usize,
    viewers: usize,
    /// Points of each sender while there are losses.
    points: u32,
    /// Beyond what a pass and the way take, for 99 of 100 changes.
    differs: Duration,
    /// After the last point.
    soon: Duration,
    /// Viewers of a thousand that are current then.
    soon_permille: u64,
    /// Pause between two keep-alives: the last repair, after which everybody is current.
    keep_alive: Duration,
    /// What may come on top for the last of them.
    slack: Duration,
}

impl Scale {
    /// In the ordinary run the machine may be anybody's: the times are long, but keep-alives come so seldom
    /// that only complaints and heads can keep them.
    fn new(loss: &Loss) -> Self {
        if skip::full() {
            Self {
                sessions: 50,
                viewers: 500,
                points: 30,
                differs: loss.differs,
                soon: Duration::from_secs(3),
                soon_permille: loss.soon_permille,
                keep_alive: KEEP_ALIVE,
                slack: Duration::from_secs(1),
            }
        } else {
            Self {
                sessions: 20,
                viewers: 100,
                points: 5,
                differs: loss.differs + Duration::from_secs(3),
                soon: Duration::from_secs(10),
                soon_permille: 960,
                keep_alive: Duration::from_secs(15),
                slack: PATIENCE,
            }
        }
    }
}

/// What is lost, and what is asked for when the machine does nothing else.
struct Loss {
    percent: u64,
    differs: Duration,
    soon_permille: u64,
}

fn five_of_a_hundred_are_lost(cores: Cores) {
    in_bad_weather(
        cores,
        &Loss {
            percent: 5,
            differs: Duration::from_millis(500),
            soon_permille: 999,
        },
    );
}

fn twenty_of_a_hundred_are_lost(cores: Cores) {
    in_bad_weather(
        cores,
        &Loss {
            percent: 20,
            differs: Duration::from_millis(1_500),
            soon_permille: 990,
        },
    );
}

fn in_bad_weather(cores: Cores, loss: &Loss) {
    let _alone = turns::alone_if_full();
    let scale = Scale::new(loss);
    let server = Server::start(cores);
    let mut fleet = Fleet::start(&server, "crowd", scale.sessions);
    fleet.publish();
    let added = server.put_member("crowd", "viewer", &["watch"]);
    added.expect_success("a viewer");
    let calm = Weather {
        delay: DELAY,
        ..Weather::default()
    };
    let way = UdpLink::start_in(server.ready.quic, calm, loss.percent);
    let (program, token) = (
        env!("CARGO_BIN_EXE_quic_viewers"),
        server.quick_token("viewer"),
    );
    let mut crowd = Crowd::start_at(
        way.address,
        program,
        "crowd",
        &token,
        scale.viewers,
        scale.keep_alive,
    );
    let sessions = scale.sessions as u64;
    crowd.wait_for(sessions, 1, PATIENCE);
    let mut fleet = publish(fleet, CALM);
    let begun = newest(&fleet);
    crowd.wait_for(sessions, begun, PATIENCE);
    let in_calm = crowd.differed(PERIOD);

    way.set(Weather {
        loss_percent: loss.percent,
        ..calm
    });
    fleet = publish(fleet, scale.points);
    let ended = newest(&fleet);
    let (soon, all) = wait_for_all(&mut crowd, &scale, ended);
    let differed = crowd.differed(PERIOD);
    eprintln!(
        "---- {} % lost each way, {} viewers of {sessions} sessions: rows differ {differed:?}, in calm {in_calm:?}; \
         {soon} are current {:?} after the last point, all after {all:?}",
        loss.percent, scale.viewers, scale.soon
    );
    assert!(all.is_some(), "all are current after a keep-alive");
    let changes = (ended - begun) * sessions * scale.viewers as u64;
    assert_eq!(differed.changes, changes, "every change of every viewer");
    assert!(
        differed.p99 <= in_calm.p99 + scale.differs,
        "rows differ from the table for {differed:?}"
    );
    assert!(
        soon * 1_000 >= scale.viewers as u64 * scale.soon_permille,
        "{soon} of {} viewers are current {:?} after the last point",
        scale.viewers,
        scale.soon
    );
}

/// Each sender sends about so many points, and then none.
fn publish(fleet: Fleet, points: u32) -> Fleet {
    let running = fleet.run_spread(PERIOD);
    thread::sleep(PERIOD * (points - 1));
    let mut fleet = running.stop();
    fleet.settle();
    fleet
}

/// The last counter of all of them.
fn newest(fleet: &Fleet) -> u64 {
    fleet.members().next().expect("a session").counter
}

/// How many viewers were current soon after the last point, and after what time all were.
fn wait_for_all(crowd: &mut Crowd, scale: &Scale, newest: u64) -> (u64, Option<Duration>) {
    let silent = Instant::now();
    let sessions = scale.sessions as u64;
    let mut soon = 0;
    while silent.elapsed() <= scale.keep_alive + scale.slack {
        let asked = silent.elapsed();
        let current = crowd.current(sessions, sessions * newest);
        if asked <= scale.soon {
            soon = current;
        }
        if current == scale.viewers as u64 {
            return (soon, Some(asked));
        }
        thread::sleep(Duration::from_millis(20));
    }
    (soon, None)
}
