//! Many QUIC viewers in one process: `quic_viewers ADDRESS CHAT TOKEN COUNT KEEP_ALIVE_MS`.
//!
//! Each has a socket of its own, as phones have: viewers behind one socket would share its receive
//! buffer, which is far too small for what comes for all of them while the process is stopped.
//!
//! Says `ready` when all of them watch, then answers each question on stdin with what they know:
//!
//! - `report`: what all of them know, summed up.
//! - `current SESSIONS SUM`: how many see so many live sessions, whose counters sum up to that.
//! - `ages PERIOD_MS`: how long rows differed from the table, for senders of that period.
//! - `vanish`: all are gone without a word, and keep what they know.
//! - `return`: all come back at once, each from a new socket, with its cursor.
//! - `arrivals`: how they came back.
//!
//! A process of its own, so that a test can stop all of them with one signal.

use std::cell::RefCell;
use std::env;
use std::io::BufRead;
use std::process::ExitCode;
use std::rc::Rc;
use std::str::FromStr;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use skein_tests::ages::{Ages, Newest, Seen};
use skein_tests::fleet::now_ms;
use skein_tests::quic::{Known, QuicViewer, Wish};
use skein_wire::request::Delivery;
use tokio::runtime::LocalOptions;
use tokio::sync::{Semaphore, mpsc, watch};

/// Viewers that connect at the same time at first: a flood would only measure the handshake limit.
const CONNECTING_MAX: usize = 16;

/// Pause before a viewer that was refused tries again.
const REFUSED: Duration = Duration::from_millis(200);

/// What one viewer knows, as its task last left it.
#[derive(Clone, Copy, Default)]
struct Knowledge {
    is_here: bool,
    cursor: u64,
    live: u64,
    counter_min: u64,
    counter_sum: u64,
    batches: u64,
    snapshots: u64,
}

/// How one viewer came, milliseconds since 1970.
#[derive(Clone, Copy)]
struct Arrival {
    asked_ms: u64,
    watching_ms: Option<u64>,
    refused: u64,
}

/// What the tasks of all viewers have noted.
struct Board {
    known: Vec<Knowledge>,
    arrivals: Vec<Option<Arrival>>,
    ages: Ages,
    /// Whether a connection may fail, to be tried again.
    is_storm: bool,
}

/// One viewer, connected or not.
struct Seat {
    number: usize,
    wish: Wish,
    board: Rc<RefCell<Board>>,
    /// Whether it is to be connected.
    wanted: watch::Receiver<bool>,
    /// Few connect at the same time at first.
    doors: Rc<Semaphore>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, chat, token, count, keep_alive] = arguments.as_slice() else {
        eprintln!("usage: quic_viewers ADDRESS CHAT TOKEN COUNT KEEP_ALIVE_MS");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .expect("a runtime");
    let result = runtime.block_on(async {
        let wish = Wish {
            to: number(address, "ADDRESS")?,
            token: token.clone(),
            chat: chat.clone(),
            delivery: Delivery::Latest,
            keep_alive: Duration::from_millis(number(keep_alive, "KEEP_ALIVE_MS")?),
        };
        run(&wish, number(count, "COUNT")?).await
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("error: {text}");
            ExitCode::FAILURE
        }
    }
}

fn number<T: FromStr>(text: &str, what: &str) -> Result<T, String> {
    let fault = |_| format!("{what} is not what it should be: {text}");
    text.parse().map_err(fault)
}

async fn run(wish: &Wish, count: usize) -> Result<(), String> {
    let board = Rc::new(RefCell::new(Board {
        known: vec![Knowledge::default(); count],
        arrivals: vec![None; count],
        ages: Ages::default(),
        is_storm: false,
    }));
    let (failed, mut failures) = mpsc::unbounded_channel();
    let (wanted, _) = watch::channel(true);
    let doors = Rc::new(Semaphore::new(CONNECTING_MAX));
    for number in 0..count {
        let seat = Seat {
            number,
            wish: wish.clone(),
            board: Rc::clone(&board),
            wanted: wanted.subscribe(),
            doors: Rc::clone(&doors),
        };
        let failed = failed.clone();
        tokio::task::spawn_local(async move {
            let ended = seat.sit().await;
            let _ = failed.send(format!("viewer {number}: {ended}"));
        });
    }
    let mut questions = questions();
    let mut is_ready = false;
    let mut look = tokio::time::interval(Duration::from_millis(10));
    loop {
        tokio::select! {
            _ = look.tick(), if !is_ready => {
                is_ready = board.borrow().known.iter().all(|known| known.is_here);
                if is_ready {
                    println!("ready");
                }
            }
            question = questions.recv() => match question {
                Some(question) => {
                    println!("{}", board.borrow_mut().answer(&question, &wanted)?);
                }
                None => return Ok(()),
            },
            failure = failures.recv() => {
                return Err(failure.unwrap_or_default());
            }
        }
    }
}

impl Seat {
    /// Comes and goes as is wanted, until something ends that should not; says what.
    async fn sit(mut self) -> String {
        let mut known = Known::default();
        loop {
            if self.wanted.wait_for(|&wanted| wanted).await.is_err() {
                return "the program ends".to_owned();
            }
            let viewer = match self.come(&mut known).await {
                Ok(Some(viewer)) => viewer,
                Ok(None) => continue,
                Err(text) => return text,
            };
            match self.watch(viewer).await {
                Ok(left) => known = left,
                Err(text) => return text,
            }
        }
    }

    /// Connects and watches; `None` when it is wanted no longer.
    async fn come(&mut self, known: &mut Known) -> Result<Option<QuicViewer>, String> {
        let is_storm = self.board.borrow().is_storm;
        let _door = match is_storm {
            true => None,
            false => Some(self.doors.acquire().await.map_err(|e| e.to_string())?),
        };
        self.board.borrow_mut().arrivals[self.number] = Some(Arrival {
            asked_ms: now_ms(),
            watching_ms: None,
            refused: 0,
        });
        loop {
            let connected = tokio::select! {
                connected = QuicViewer::connect(&self.wish, known) => connected,
                _ = self.wanted.wait_for(|&wanted| !wanted) => return Ok(None),
            };
            let fault = match connected {
                Ok(mut viewer) => loop {
                    if viewer.is_watching() {
                        self.arrived();
                        return Ok(Some(viewer));
                    }
                    if let Err(fault) = viewer.step().await {
                        *known = viewer.vanish();
                        break fault;
                    }
                },
                Err(fault) => fault,
            };
            if !is_storm {
                return Err(fault);
            }
            if let Some(arrival) = &mut self.board.borrow_mut().arrivals[self.number] {
                arrival.refused += 1;
            }
            tokio::time::sleep(REFUSED).await;
        }
    }

    fn arrived(&self) {
        let mut board = self.board.borrow_mut();
        if let Some(arrival) = &mut board.arrivals[self.number] {
            arrival.watching_ms = Some(now_ms());
        }
        board.known[self.number].is_here = true;
    }

    /// Steps until it is wanted no longer.
    async fn watch(&mut self, mut viewer: QuicViewer) -> Result<Known, String> {
        let mut seen = Seen::default();
        loop {
            self.board
                .borrow_mut()
                .note(self.number, &mut viewer, &mut seen);
            tokio::select! {
                stepped = viewer.step() => stepped?,
                _ = self.wanted.wait_for(|&wanted| !wanted) => break,
            }
        }
        self.board.borrow_mut().known[self.number].is_here = false;
        Ok(viewer.vanish())
    }
}

impl Board {
    fn note(&mut self, number: usize, viewer: &mut QuicViewer, seen: &mut Seen) {
        let known = &mut self.known[number];
        let counters = || viewer.table.live().map(|row| row.counter);
        known.live = counters().count() as u64;
        known.counter_min = counters().min().unwrap_or(0);
        known.counter_sum = counters().sum();
        known.cursor = viewer.table.cursor;
        known.batches += std::mem::take(&mut viewer.batches);
        known.snapshots += std::mem::take(&mut viewer.snapshots);
        let newest = viewer.table.live().filter_map(|row| {
            let captured_at_ms = row.points.last()?.captured_at_ms;
            Some(Newest {
                session: row.session,
                counter: row.counter,
                captured_at_ms,
            })
        });
        self.ages.note(seen, newest, now_ms());
    }

    fn answer(&mut self, question: &str, wanted: &watch::Sender<bool>) -> Result<Value, String> {
        let words: Vec<&str> = question.split(' ').collect();
        Ok(match words.as_slice() {
            ["report"] => self.report(),
            ["current", sessions, sum] => {
                let newest = (number(sessions, "SESSIONS")?, number(sum, "SUM")?);
                let is = |it: &&Knowledge| it.is_here && (it.live, it.counter_sum) == newest;
                json!({ "current": self.known.iter().filter(is).count() })
            }
            ["ages", period] => self.ages.take(number(period, "PERIOD_MS")?),
            [word @ ("vanish" | "return")] => {
                self.is_storm = true;
                wanted.send_replace(*word == "return");
                json!({})
            }
            ["arrivals"] => self.arrived(),
            _ => return Err(format!("unknown question {question}")),
        })
    }

    /// Sums up, and begins to count batches anew.
    fn report(&mut self) -> Value {
        let board = &self.known;
        let min = |of: fn(&Knowledge) -> u64| board.iter().map(of).min().unwrap_or(0);
        let max = |of: fn(&Knowledge) -> u64| board.iter().map(of).max().unwrap_or(0);
        let summary = json!({
            "viewers": board.len(),
            "cursor_min": min(|known| known.cursor),
            "cursor_max": max(|known| known.cursor),
            "live_min": min(|known| known.live),
            "counter_min": min(|known| known.counter_min),
            "batches_max": max(|known| known.batches),
            "snapshots": board.iter().map(|known| known.snapshots).sum::<u64>(),
        });
        for known in &mut self.known {
            known.batches = 0;
        }
        summary
    }

    /// The last storm, in milliseconds since 1970.
    fn arrived(&self) -> Value {
        let arrivals = || self.arrivals.iter().flatten();
        let mut watching: Vec<u64> = arrivals().filter_map(|it| it.watching_ms).collect();
        watching.sort_unstable();
        let part = |percent: usize| {
            let last = watching.len().saturating_sub(1);
            watching.get(last * percent / 100).copied().unwrap_or(0)
        };
        json!({
            "watching": watching.len(),
            "asked_first_ms": arrivals().map(|it| it.asked_ms).min().unwrap_or(0),
            "asked_last_ms": arrivals().map(|it| it.asked_ms).max().unwrap_or(0),
            "watching_first_ms": part(0),
            "watching_p50_ms": part(50),
            "watching_last_ms": part(100),
            "refused": arrivals().map(|it| it.refused).sum::<u64>(),
        })
    }
}

/// Lines of stdin, read by a thread: the runtime's own reader would keep the process alive.
fn questions() -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
