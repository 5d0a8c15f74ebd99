//! The pace of a very large chat follows what its walks cost. The cost is simulated: so much for each send and for
//! each byte, and while it is paid the time goes by.

use skein_engine::fan_out::FanOutReport;
use skein_engine::time::Timestamp;
use skein_wire::ids::ChatHandle;

use crate::rig::{CHAT, Rig};

/// A small chat on the same core, and its only viewer.
const SMALL: ChatHandle = ChatHandle(2);
const SMALL_SESSION: u64 = 500_000;
const SMALL_VIEWER: u64 = 1_000_000;

/// Between two points of each session.
const POINTS_MS: u64 = 10;

/// Between two points in the small chat.
const SMALL_POINTS_MS: u64 = 150;

/// The ceiling by default.
const CEILING_MS: u64 = 1_000;

/// What sends cost, nanoseconds.
#[derive(Clone, Copy)]
struct Price {
    send: u64,
    byte: u64,
}

impl Price {
    fn of(self, report: &FanOutReport) -> u64 {
        self.send * report.sent + self.byte * report.sent_bytes
    }

    fn per_send(send: u64) -> Self {
        Self { send, byte: 0 }
    }
}

/// One core that serves a large chat, whose sessions move all the time, and a small one.
struct Scene {
    rig: Rig,
    sessions: u64,
    counter: u64,
    points_due: Timestamp,
    small_due: Timestamp,
    /// When the small chat's viewer should have had something.
    small_made: Option<Timestamp>,
    /// What was paid of the present millisecond, nanoseconds.
    paid_ns: u64,
    /// Where the last walk that was seen ends.
    walked: u64,
}

/// What was seen of a while.
#[derive(Debug, Default)]
struct Seen {
    /// Between two walks of the large chat, milliseconds.
    intervals_ms: Vec<u64>,
    /// How long points of the small chat were on their way, milliseconds.
    small_waits_ms: Vec<u64>,
    /// Time that was paid.
    busy_ns: u64,
    walk_begun: Option<Timestamp>,
}

impl Scene {
    fn new(viewers: u64, sessions: u64) -> Self {
        let mut rig = Rig::with_sessions(sessions);
        for connection in 0..viewers {
            rig.watch(CHAT, connection);
        }
        rig.start(SMALL, SMALL_SESSION);
        rig.watch(SMALL, SMALL_VIEWER);
        rig.pass_all();
        rig.wait(10_000);
        Self {
            sessions,
            counter: 1,
            points_due: rig.now,
            small_due: rig.now,
            small_made: None,
            paid_ns: 0,
            walked: rig.offset,
            rig,
        }
    }

    fn run(&mut self, time_ms: u64, price: Price) -> Seen {
        let end = self.rig.now.plus_ms(time_ms);
        let mut seen = Seen::default();
        while self.rig.now < end {
            self.move_sessions();
            self.rig.sink.offers.clear();
            let report = self.rig.pass();
            let cost_ns = price.of(&report);
            self.rig.fan_out.note_cost(cost_ns);
            self.look(&mut seen);
            seen.busy_ns += cost_ns;
            self.pay(cost_ns, report.more);
        }
        seen
    }

    fn move_sessions(&mut self) {
        let now = self.rig.now;
        if self.points_due <= now {
            self.points_due = now.plus_ms(POINTS_MS);
            self.counter += 1;
            for session in 0..self.sessions {
                self.rig.point(CHAT, session, self.counter);
            }
        }
        if self.small_due <= now {
            self.small_due = now.plus_ms(SMALL_POINTS_MS);
            self.counter += 1;
            self.rig.point(SMALL, SMALL_SESSION, self.counter);
            self.small_made.get_or_insert(now);
        }
    }

    fn look(&mut self, seen: &mut Seen) {
        let now = self.rig.now;
        for (to, _, batch) in &self.rig.sink.offers {
            if to.0 == SMALL_VIEWER {
                let made = self.small_made.take();
                seen.small_waits_ms.extend(made.map(|it| now.since_ms(it)));
            } else if batch.to() > self.walked {
                self.walked = batch.to();
                let before = seen.walk_begun.replace(now);
                seen.intervals_ms.extend(before.map(|it| now.since_ms(it)));
            }
        }
    }

    /// The time that was spent goes by, or a millisecond in which there is nothing to do.
    fn pay(&mut self, cost_ns: u64, more: bool) {
        self.paid_ns += cost_ns;
        let paid_ms = self.paid_ns / 1_000_000;
        self.paid_ns %= 1_000_000;
        let idle_ms = u64::from(!more && paid_ms == 0);
        self.rig.wait(paid_ms + idle_ms);
    }
}

impl Seen {
    /// Shortest and longest time between two walks, milliseconds.
    fn between(&self) -> (u64, u64) {
        let of = self.intervals_ms.iter().copied();
        (of.clone().min().unwrap(), of.max().unwrap())
    }

    fn small_wait_ms_max(&self) -> u64 {
        self.small_waits_ms.iter().copied().max().unwrap()
    }
}

/// Whatever a send costs, walks settle at half of the core, and stay there.
#[test]
fn walks_take_half_of_the_core_whatever_a_send_costs() {
    for send in [5_000, 15_000, 40_000] {
        let mut scene = Scene::new(4_000, 1);
        scene.run(5_000, Price::per_send(send));
        let seen = scene.run(20_000, Price::per_send(send));
        let expected = 2 * 4_000 * send / 1_000_000;
        let (shortest, longest) = seen.between();
        assert!(
            expected * 9 / 10 <= shortest && longest <= expected * 11 / 10 + POINTS_MS,
            "{send} ns: {shortest} to {longest}, not {expected} ms"
        );
        let part = seen.busy_ns as f64 / 20e9;
        assert!((0.4..0.55).contains(&part), "{send} ns: {part}");
    }
}

/// Longer intervals make larger batches, which cost more: that must come to rest, too.
#[test]
fn a_price_that_grows_with_the_interval_settles() {
    let price = Price {
        send: 10_000,
        byte: 20,
    };
    let mut scene = Scene::new(2_000, 40);
    scene.run(10_000, price);
    let first = scene.run(10_000, price).between();
    let second = scene.run(10_000, price).between();
    for (shortest, longest) in [first, second] {
        assert!(longest - shortest <= 2 * POINTS_MS, "{first:?} {second:?}");
        assert!((40..CEILING_MS).contains(&shortest), "{shortest}");
    }
    assert!(first.0.abs_diff(second.0) <= POINTS_MS);
}

#[test]
fn a_change_of_the_price_is_learned_within_a_few_walks_and_not_overshot() {
    let mut scene = Scene::new(4_000, 1);
    scene.run(5_000, Price::per_send(5_000));
    let dear = scene.run(10_000, Price::per_send(25_000));
    let (_, longest) = dear.between();
    assert!(longest <= 200 + 2 * POINTS_MS, "{longest}");
    let learned = dear.intervals_ms.iter().position(|it| *it >= 180);
    assert!(learned.unwrap() <= 12, "{:?}", dear.intervals_ms);
    let cheap = scene.run(10_000, Price::per_send(5_000));
    let (shortest, _) = cheap.between();
    assert!(shortest >= 40, "{shortest}");
    let learned = cheap.intervals_ms.iter().position(|it| *it <= 60);
    assert!(learned.unwrap() <= 16, "{:?}", cheap.intervals_ms);
}

/// The ceiling wins: a walk that takes longer than it is followed by the next one.
#[test]
fn a_chat_that_no_core_can_afford_is_walked_at_the_ceiling_and_delays_nobody() {
    let mut scene = Scene::new(4_000, 1);
    let price = Price::per_send(200_000);
    scene.run(10_000, price);
    let seen = scene.run(20_000, price);
    let (shortest, longest) = seen.between();
    assert!(shortest >= 800 - POINTS_MS, "{shortest}");
    assert!(longest <= CEILING_MS + 2 * POINTS_MS, "{longest}");
    // One pass of the large chat, 1,024 sends, and the turn that was going on.
    assert!(seen.small_wait_ms_max() <= 260, "{seen:?}");
}

#[test]
fn a_small_chat_beside_it_is_as_fast_as_ever() {
    let mut scene = Scene::new(4_000, 1);
    let price = Price::per_send(15_000);
    scene.run(5_000, price);
    let seen = scene.run(20_000, price);
    assert!(seen.small_waits_ms.len() > 100);
    // A pass of the large one is 15 ms.
    assert!(seen.small_wait_ms_max() <= 16, "{seen:?}");
}

/// What a pass costs beside the viewers of a small chat, such as handshakes, is not its fault.
#[test]
fn a_chat_that_fits_into_a_turn_is_not_paced_by_its_cost() {
    let mut rig = Rig::with_sessions(1);
    for connection in 0..256 {
        rig.watch(CHAT, connection);
    }
    rig.pass_all();
    for counter in 2..20 {
        rig.fan_out.note_cost(50_000_000);
        rig.wait(10);
        rig.point(CHAT, 0, counter);
        assert_eq!(rig.pass_all().len(), 256);
    }
}

/// A caller that tells no cost gets what was known beforehand.
#[test]
fn without_a_word_of_the_cost_the_floor_is_all() {
    let mut scene = Scene::new(4_000, 1);
    scene.run(5_000, Price::per_send(0));
    let (shortest, longest) = scene.run(5_000, Price::per_send(0)).between();
    // 4,000 viewers of one row: 13 ms.
    assert!(
        13 <= shortest && longest <= 13 + POINTS_MS,
        "{shortest} {longest}"
    );
}
