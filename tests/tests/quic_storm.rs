//! Everybody comes back at once by QUIC: after a crash of the server, and after the network was gone without
//! a word. All are soon up to date, nobody is sent what is known already, and the memory is what it was.
//!
//! Each viewer comes from a new socket, shakes hands anew and has nothing of before but its cursor: no
//! ticket, no proof of its address.

use std::thread;
use std::time::{Duration, Instant};

use skein_tests::cores::Cores;
use skein_tests::fleet::Fleet;
use skein_tests::on_one_and_two_shards;
use skein_tests::procfs;
use skein_tests::quic_crowd::{Arrivals, Crowd};
use skein_tests::server::{Options, Server};
use skein_tests::skip;
use skein_tests::turns;
use skein_tests::wait::{self, PATIENCE};

on_one_and_two_shards!(all_come_back_after_a_crash, all_come_back_after_a_cut);

/// Sessions that nobody hears of while away, and those that move meanwhile.
const QUIET: usize = 45;
const MOVING: usize = 5;

/// How long a server keeps a connection that it hears nothing of, and then some.
const FORGOTTEN: Duration = Duration::from_secs(90 + 30);

/// What the process may have grown by all the same: what some hundred handshakes at once have taken stays with the
/// allocator.
const MEMORY_SLACK: u64 = 4 * 1024 * 1024;

/// Storms after which the allocator has shown how much it takes.
const STORMS_BEFORE: usize = 2;

/// How much is done, and what is asked of it.
struct Scale {
    /// Processes with viewers.
    crowds: usize,
    /// Viewers of each.
    viewers: usize,
    /// Within this time 99 of 100 are current.
    current: Duration,
}

impl Scale {
    fn now() -> Self {
        if skip::full() {
            Self {
                crowds: 4,
                viewers: skip::number("SKEIN_VIEWERS", 10_000) as usize / 4,
                current: Duration::from_secs(10),
            }
        } else {
            Self {
                crowds: 1,
                viewers: 300,
                current: Duration::from_secs(10),
            }
        }
    }

    fn all(&self) -> u64 {
        (self.crowds * self.viewers) as u64
    }
}

/// A chat with people who move, people who do not, and viewers who all are up to date.
struct Place {
    scale: Scale,
    server: Server,
    quiet: Fleet,
    moving: Fleet,
    crowds: Vec<Crowd>,
}

impl Place {
    fn gather(cores: Cores) -> Self {
        let scale = Scale::now();
        let server = Server::start_with(Options {
            // All viewers of a crowd are one user.
            configuration: "[limits]\nuser_requests_per_second_max = 0\n".to_owned(),
            ..Options::new(cores)
        });
        let mut quiet = Fleet::start(&server, "crowd", QUIET);
        let mut moving = Fleet::start_from(&server, "crowd", QUIET, MOVING);
        for fleet in [&mut quiet, &mut moving] {
            fleet.publish();
            fleet.settle();
        }
        let crowds = (0..scale.crowds)
            .map(|number| {
                let user = format!("viewer-{number}");
                let added = server.put_member("crowd", &user, &["watch"]);
                added.expect_success("a viewer");
                let program = env!("CARGO_BIN_EXE_quic_viewers");
                let token = server.quick_token(&user);
                Crowd::start(&server, program, "crowd", &token, scale.viewers)
            })
            .collect();
        let mut place = Self {
            scale,
            server,
            quiet,
            moving,
            crowds,
        };
        wait::until("all have everything", PATIENCE, || {
            place.current() == place.scale.all()
        });
        place
    }

    /// Viewers who know where everybody is.
    fn current(&mut self) -> u64 {
        let all = || self.quiet.members().chain(self.moving.members());
        let (sessions, sum) = (all().count(), all().map(|member| member.counter).sum());
        let crowds = self.crowds.iter_mut();
        crowds
            .map(|crowd| crowd.current(sessions as u64, sum))
            .sum()
    }

    /// What the server holds in memory once it has nothing to do.
    fn memory(&self) -> u64 {
        thread::sleep(Duration::from_secs(2));
        procfs::anonymous_bytes(self.server.process.id())
    }

    /// Nobody watches while some move.
    fn vanish(&mut self) {
        for crowd in &mut self.crowds {
            crowd.vanish();
        }
        for _ in 0..3 {
            self.moving.publish();
            self.moving.settle();
        }
    }

    /// Everybody is back in time, and is told nothing twice.
    fn come_back(&mut self) {
        let shed = self.shed();
        for crowd in &mut self.crowds {
            crowd.come_back();
        }
        let (most, last) = self.wait_for_most();
        let shed = self.shed() - shed;
        let came = self.crowds.iter_mut().map(Crowd::arrivals);
        let came = came.reduce(Arrivals::and).expect("crowds");
        eprintln!(
            "---- {} viewers knock within {} ms, half of them watch after {} ms, all after {}; 99 of 100 are current \
             after {most:?}, {last:?}; {} tried again, {shed} packets were not heard",
            came.watching,
            came.asked_last_ms - came.asked_first_ms,
            came.watching_p50_ms.saturating_sub(came.asked_first_ms),
            came.watching_last_ms.saturating_sub(came.asked_first_ms),
            came.refused,
        );
        let Some(most) = most else {
            panic!("not even 99 of 100 are current, but {last:?}");
        };
        let limit = self.scale.current;
        assert!(most <= limit, "99 of 100 are current after {most:?}");
        if !skip::full() {
            assert_eq!(shed, 0, "there is room for all in the line");
        }
        for crowd in &mut self.crowds {
            let snapshots = crowd.report().snapshots;
            assert_eq!(snapshots, 0, "who resumes is sent no snapshot");
        }
    }

    /// After what time 99 of 100 were current, and how many are after what time, at the end.
    fn wait_for_most(&mut self) -> (Option<Duration>, (u64, Duration)) {
        let all = self.scale.all();
        let began = Instant::now();
        let mut most = None;
        loop {
            let asked = began.elapsed();
            let current = self.current();
            if current * 100 >= all * 99 {
                most.get_or_insert(asked);
            }
            if current == all || asked > self.scale.current + PATIENCE {
                return (most, (current, asked));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Connections that were turned away.
    fn shed(&self) -> u64 {
        self.server.metrics().sum("skein_connections_shed_total") as u64
    }
}

fn assert_no_more(before: u64, after: u64) {
    eprintln!("---- {before} bytes before, {after} after");
    assert!(
        after <= before + before / 10 + MEMORY_SLACK,
        "{before} bytes before, {after} after"
    );
}

fn all_come_back_after_a_crash(cores: Cores) {
    let _alone = turns::alone_if_full();
    let mut place = Place::gather(cores);
    let before = place.memory();
    place.vanish();
    place.server.crash_and_restart();
    place.come_back();
    assert_no_more(before, place.memory());
}

fn all_come_back_after_a_cut(cores: Cores) {
    let _alone = turns::alone_if_full();
    let mut place = Place::gather(cores);
    if !skip::full() {
        place.vanish();
        return place.come_back();
    }
    // The connections of before are there until the server has heard nothing of them for long.
    let storm = |place: &mut Place| {
        place.vanish();
        place.come_back();
        let all = place.scale.all() as f64;
        wait::until("those of before are gone", FORGOTTEN, || {
            place.server.metrics().sum("skein_quic_connections") == all
        });
    };
    for _ in 0..STORMS_BEFORE {
        storm(&mut place);
    }
    let before = place.memory();
    storm(&mut place);
    assert_no_more(before, place.memory());
}
