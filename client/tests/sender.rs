//! Scenarios of a sender: what goes first, what is said of each point, exactly.

use skein_client::sender_state::{PointVerdict, SenderEvent, SenderOptions, SenderState, Tally};
use skein_wire::error::Code;
use skein_wire::ids::{ChatName, Counter, RequestNumber, SessionId, ShareNumber};
use skein_wire::point::{Fix, Payload, Position};
use skein_wire::request::Request;
use skein_wire::update::{
    Accepted, Demand, Done, Pong, Refused, SessionState, ShareEnded, Shared, Update, Verdict,
    Welcome,
};

const SHARE: ShareNumber = ShareNumber(3);
const SESSION: SessionId = SessionId(0xa1);

struct Rig {
    sender: SenderState,
    now: u64,
}

impl Rig {
    fn new() -> Self {
        let chat = ChatName::new("geese").expect("a name");
        let sender = SenderState::new(SenderOptions::new(chat, 900, "key"));
        Self {
            sender,
            now: 1_000_000,
        }
    }

    fn sharing() -> Self {
        let mut rig = Self::new();
        rig.connect(0);
        rig.events();
        rig
    }

    fn connect(&mut self, counter_last: u64) {
        let request = self.ask();
        self.handle(Update::Shared(Shared {
            request,
            session: SESSION,
            share: SHARE,
            counter_last: Counter(counter_last),
            expires_at_ms: 9,
        }));
    }

    /// Begins a connection, and gives the start or resume that the sender asks for on it.
    fn ask(&mut self) -> RequestNumber {
        self.handle(Update::Welcome(Welcome {
            version: 1,
            log: 1,
            server_time_ms: 0,
            frame_bytes_max: 4_096,
            duration_s_max: 28_800,
            keep_alive_ms: 10_000,
            stale_after_ms: 30_000,
            views_recorded: false,
        }));
        match &self.requests()[..] {
            [Request::ShareStart(start)] => start.request,
            [Request::ShareResume(resume)] => resume.request,
            other => panic!("not a start: {other:?}"),
        }
    }

    fn refuse(&mut self, request: RequestNumber, code: Code) {
        self.handle(Update::Refused(Refused {
            request,
            code,
            text: String::new(),
        }));
    }

    fn stop_request(&mut self) -> RequestNumber {
        let requests = self.requests();
        let stop = requests.iter().find_map(|request| match request {
            Request::ShareStop(stop) => Some(stop.request),
            _ => None,
        });
        stop.expect("a stop")
    }

    fn share(&mut self, count: u64) {
        for _ in 0..count {
            let position = Position {
                lat_e6: 1,
                lon_e6: 2,
            };
            let fix = Payload::Fix(Fix {
                position,
                ..Fix::default()
            });
            self.sender.share(self.now, 5, fix, false);
        }
    }

    fn handle(&mut self, update: Update) {
        self.sender.handle(self.now, &update);
    }

    fn accept(&mut self, counter: u64, verdicts: &[(u64, Code)]) {
        let verdict = |(counter, code): &(u64, Code)| Verdict {
            counter: Counter(*counter),
            code: *code,
        };
        self.handle(Update::Accepted(Accepted {
            share: SHARE,
            counter: Counter(counter),
            durable: Counter(0),
            verdicts: verdicts.iter().map(verdict).collect(),
        }));
    }

    fn requests(&mut self) -> Vec<Request> {
        std::iter::from_fn(|| self.sender.poll_request()).collect()
    }

    /// Sent points: counter and whether historical.
    fn sent(&mut self) -> Vec<(u64, bool)> {
        let mut sent = Vec::new();
        for request in self.requests() {
            match request {
                Request::Point(point) => sent.push((point.point.counter.0, false)),
                Request::Points(points) => {
                    sent.extend(
                        points
                            .points
                            .iter()
                            .map(|point| (point.counter.0, points.historical)),
                    );
                }
                _ => {}
            }
        }
        sent
    }

    fn events(&mut self) -> Vec<SenderEvent> {
        std::iter::from_fn(|| self.sender.poll_event()).collect()
    }

    fn verdicts(&mut self) -> Vec<(u64, PointVerdict)> {
        let verdicts = self.events().into_iter().filter_map(|event| match event {
            SenderEvent::Verdict { counter, verdict } => Some((counter.0, verdict)),
            _ => None,
        });
        verdicts.collect()
    }

    fn sleep(&mut self) {
        self.now = self.sender.poll_timeout().expect("a timer");
        self.sender.handle_timeout(self.now);
    }
}

#[test]
fn the_first_fix_goes_out_at_once() {
    let mut rig = Rig::sharing();
    rig.share(1);
    assert_eq!(rig.sent(), [(1, false)]);
}

#[test]
fn a_cumulative_acknowledgement_settles_each_point_once() {
    let mut rig = Rig::sharing();
    rig.share(5);
    rig.accept(3, &[(2, Code::RateLimited)]);
    rig.accept(3, &[]);
    rig.accept(4, &[(2, Code::RateLimited), (5, Code::Superseded)]);
    let refused = PointVerdict::Refused(Code::RateLimited);
    assert_eq!(
        rig.verdicts(),
        [
            (2, refused),
            (1, PointVerdict::Accepted),
            (3, PointVerdict::Accepted),
            (5, PointVerdict::Superseded),
            (4, PointVerdict::Accepted),
        ]
    );
    let tally = Tally {
        accepted: 3,
        superseded: 1,
        refused: 1,
        unknown: 0,
    };
    assert_eq!((rig.sender.tally(), rig.sender.pending()), (tally, 0));
}

#[test]
fn after_a_reconnect_the_newest_goes_first_and_the_backlog_behind_it() {
    let mut rig = Rig::sharing();
    rig.share(2);
    rig.requests();
    rig.sender.handle_disconnected();
    rig.share(3);
    assert_eq!(rig.sent(), [], "offline");
    rig.connect(1);
    assert_eq!(rig.sent(), [(5, false), (2, true), (3, true), (4, true)]);
    assert_eq!(
        rig.verdicts(),
        [(1, PointVerdict::Accepted)],
        "the server has it"
    );
    // Seen before: the answer got lost with the connection. Too old: it really is.
    rig.accept(5, &[(2, Code::OutsideWindow), (3, Code::OutsideWindow)]);
    let refused = PointVerdict::Refused(Code::OutsideWindow);
    assert_eq!(
        rig.verdicts(),
        [
            (2, PointVerdict::Accepted),
            (3, refused),
            (5, PointVerdict::Accepted)
        ]
    );
    // No refusal by the time that a later answer is here: accepted.
    rig.handle(Update::Pong(Pong {
        number: 0,
        server_time_ms: 0,
    }));
    assert_eq!(rig.verdicts(), []);
    rig.now += 2_000;
    rig.handle(Update::Pong(Pong {
        number: 0,
        server_time_ms: 0,
    }));
    assert_eq!(rig.verdicts(), [(4, PointVerdict::Accepted)]);
}

#[test]
fn a_server_that_lost_the_newest_point_gets_it_again_without_a_movement() {
    let mut rig = Rig::sharing();
    rig.share(5);
    rig.sent();
    rig.accept(5, &[]);
    assert_eq!(rig.verdicts().len(), 5);
    // A power failure took what was not durable. The connection breaks again before the point is
    // there, and once more when it is.
    for (counter_last, sent) in [(3, vec![(5, false)]), (3, vec![(5, false)]), (5, vec![])] {
        rig.sender.handle_disconnected();
        rig.connect(counter_last);
        assert_eq!(rig.sent(), sent, "the server has {counter_last}");
    }
    rig.accept(5, &[]);
    assert_eq!(rig.verdicts(), [], "it was accepted before");
    assert_eq!(rig.sender.tally().accepted, 5);
    // A newer one makes it superfluous: it would only cost a place in the window.
    rig.sender.handle_disconnected();
    rig.share(1);
    rig.connect(3);
    assert_eq!(rig.sent(), [(6, false)]);
}

#[test]
fn a_point_that_the_server_refused_is_not_sent_again() {
    let mut rig = Rig::sharing();
    rig.share(2);
    rig.accept(2, &[(2, Code::RateLimited)]);
    rig.sent();
    rig.sender.handle_disconnected();
    rig.connect(1);
    assert_eq!(rig.sent(), []);
}

#[test]
fn a_long_backlog_is_paced_bounded_and_leaves_room_for_live_points() {
    let mut rig = Rig::sharing();
    rig.sender.handle_disconnected();
    rig.share(1_100);
    assert_eq!(rig.sender.tally().refused, 77, "the oldest gave way");
    rig.connect(0);
    let mut sent = rig.sent();
    assert_eq!(sent[0], (1_100, false));
    assert_eq!(sent.len(), 1 + 64);
    rig.share(1);
    assert_eq!(rig.sent(), [(1_101, false)]);
    let start = rig.now;
    while sent.len() < 1_023 {
        rig.sleep();
        rig.accept(1_101, &[]);
        sent.extend(rig.sent());
    }
    assert_eq!(sent.len(), 1_023);
    let rate = 1_023_000 / (rig.now - start);
    assert!(rate <= 100, "{rate} a second");
    let mut counters: Vec<u64> = sent.iter().map(|(counter, _)| *counter).collect();
    counters.sort_unstable();
    assert_eq!(counters, (78..=1_100).collect::<Vec<_>>(), "each once");
}

#[test]
fn counters_go_on_above_what_the_server_has() {
    let mut rig = Rig::new();
    rig.connect(41);
    rig.share(1);
    assert_eq!(rig.sent(), [(42, false)]);
}

#[test]
fn what_cannot_be_accepted_is_not_sent_and_blocks_nothing() {
    let mut rig = Rig::sharing();
    let nowhere = Payload::Fix(Fix::default());
    rig.sender.share(rig.now, 5, nowhere, false);
    rig.sender
        .share(rig.now, 5, Payload::Sealed(vec![1].into()), false);
    rig.share(1);
    assert_eq!(rig.sent(), [(3, false)]);
    let refused = |code| PointVerdict::Refused(code);
    assert_eq!(
        rig.verdicts(),
        [(1, refused(Code::NoFix)), (2, refused(Code::WrongSealing))]
    );
}

#[test]
fn a_sender_that_does_not_move_says_so_before_it_is_stale() {
    let mut rig = Rig::sharing();
    rig.share(1);
    rig.accept(1, &[]);
    rig.requests();
    let mut last = rig.now;
    for _ in 0..3 {
        let beats = loop {
            rig.sleep();
            let number = rig.now;
            rig.handle(Update::Pong(Pong {
                number,
                server_time_ms: 0,
            }));
            let requests = rig.requests();
            let beat = |request: &&Request| matches!(request, Request::Heartbeat(beat) if beat.counter.0 == 1);
            if requests.iter().any(|request| beat(&request)) {
                break rig.now;
            }
        };
        assert!(beats - last <= 20_000, "{}", beats - last);
        last = beats;
    }
}

#[test]
fn a_stop_is_not_forgotten_when_the_answer_to_the_start_was_lost() {
    let mut rig = Rig::new();
    rig.ask();
    rig.sender.handle_disconnected();
    rig.sender.stop();
    assert!(!rig.sender.is_over(), "the server may have begun the share");

    // Even when the server is too busy at first.
    let again = rig.ask();
    rig.refuse(again, Code::Busy);
    rig.sender.stop();
    assert!(!rig.sender.is_over(), "the share may still be there");

    rig.connect(0);
    let stop = rig.stop_request();
    rig.handle(Update::Done(Done {
        request: stop,
        durable: true,
    }));
    assert!(rig.sender.is_over());
    let ended = SenderEvent::Ended {
        why: Some(SessionState::Stopped),
        durable: true,
    };
    assert!(rig.events().contains(&ended));
}

#[test]
fn a_share_that_was_refused_in_words_ends_at_once_when_stopped() {
    for is_stopped_first in [false, true] {
        let mut rig = Rig::new();
        let request = rig.ask();
        if is_stopped_first {
            rig.sender.stop();
        }
        rig.refuse(request, Code::Busy);
        assert_eq!(rig.sender.is_over(), is_stopped_first, "nothing to end");
        rig.sender.stop();
        assert!(rig.sender.is_over(), "nothing to end");
        assert!(rig.requests().is_empty(), "nothing more is started");
    }
}

#[test]
fn a_stop_is_repeated_until_it_is_met() {
    let mut rig = Rig::sharing();
    rig.share(1);
    rig.sender.stop();
    rig.sender.handle_disconnected();
    rig.connect(1);
    let stop = rig.stop_request();
    rig.handle(Update::ShareEnded(ShareEnded {
        share: SHARE,
        state: SessionState::Stopped,
    }));
    assert!(!rig.sender.is_over(), "its end is not known to be durable");
    rig.handle(Update::Done(Done {
        request: stop,
        durable: true,
    }));
    assert!(rig.sender.is_over());
    let ended = SenderEvent::Ended {
        why: Some(SessionState::Stopped),
        durable: true,
    };
    assert_eq!(rig.events().last(), Some(&ended));
}

#[test]
fn points_behind_the_end_are_refused_and_those_before_it_keep_their_verdict() {
    let mut rig = Rig::sharing();
    rig.share(3);
    rig.accept(2, &[]);
    rig.handle(Update::ShareEnded(ShareEnded {
        share: SHARE,
        state: SessionState::Expired,
    }));
    rig.share(1);
    let refused = PointVerdict::Refused(Code::SessionEnded);
    assert_eq!(
        rig.verdicts(),
        [
            (1, PointVerdict::Accepted),
            (2, PointVerdict::Accepted),
            (3, refused),
            (4, refused)
        ]
    );
}

#[test]
fn a_session_that_ended_meanwhile_settles_everything() {
    let mut rig = Rig::sharing();
    rig.share(1);
    rig.sender.handle_disconnected();
    rig.requests();
    rig.handle(Update::Welcome(Welcome {
        version: 1,
        log: 1,
        server_time_ms: 0,
        frame_bytes_max: 4_096,
        duration_s_max: 28_800,
        keep_alive_ms: 10_000,
        stale_after_ms: 30_000,
        views_recorded: false,
    }));
    let request = match rig.requests()[..] {
        [Request::ShareResume(ref resume)] => resume.request,
        ref other => panic!("not a resume: {other:?}"),
    };
    let text = String::new();
    rig.handle(Update::Refused(Refused {
        request,
        code: Code::SessionEnded,
        text,
    }));
    assert!(rig.sender.is_over());
    assert_eq!((rig.sender.pending(), rig.sender.tally().refused), (0, 1));
}

#[test]
fn a_busy_server_is_asked_again_and_a_refusal_is_final() {
    for (code, final_) in [(Code::Busy, false), (Code::NotFound, true)] {
        let mut rig = Rig::new();
        rig.handle(Update::Welcome(Welcome {
            version: 1,
            log: 1,
            server_time_ms: 0,
            frame_bytes_max: 4_096,
            duration_s_max: 28_800,
            keep_alive_ms: 10_000,
            stale_after_ms: 30_000,
            views_recorded: false,
        }));
        let request = match rig.requests()[..] {
            [Request::ShareStart(ref start)] => start.request,
            ref other => panic!("not a start: {other:?}"),
        };
        let text = "no".to_owned();
        rig.handle(Update::Refused(Refused {
            request,
            code,
            text,
        }));
        assert_eq!(rig.sender.is_over(), final_, "{code}");
        if !final_ {
            rig.sleep();
            assert!(matches!(rig.requests()[..], [Request::ShareStart(_)]));
        }
    }
}

#[test]
fn hints_of_demand_are_handed_on() {
    let mut rig = Rig::sharing();
    rig.handle(Update::Demand(Demand {
        share: SHARE,
        interval_ms: 5_000,
    }));
    rig.handle(Update::Demand(Demand {
        share: ShareNumber(99),
        interval_ms: 1,
    }));
    assert_eq!(rig.sender.demand_ms(), Some(5_000));
    assert_eq!(rig.events(), [SenderEvent::Demand { interval_ms: 5_000 }]);
}
