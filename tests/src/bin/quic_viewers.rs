//! Many QUIC viewers in one process: `quic_viewers ADDRESS CHAT TOKEN COUNT`.
//!
//! Each has a socket of its own, as phones have: viewers behind one socket would share its receive
//! buffer, which is far too small for what comes for all of them while the process is stopped.
//!
//! Says `ready` when all of them watch, then answers each `report` on stdin with what they know.
//! A process of its own, so that a test can stop all of them with one signal.

use std::cell::RefCell;
use std::env;
use std::io::BufRead;
use std::process::ExitCode;
use std::rc::Rc;
use std::thread;

use quinn::Endpoint;
use skein_tests::quic::{QuicViewer, endpoint};
use skein_wire::request::Delivery;
use tokio::runtime::LocalOptions;
use tokio::sync::mpsc;

/// Viewers that connect at the same time: a flood would only measure the handshake limit.
const CONNECTING_MAX: usize = 16;

/// What one viewer knows, as its task last left it.
#[derive(Clone, Copy, Default)]
struct Knowledge {
    cursor: u64,
    live: u64,
    counter_min: u64,
    batches: u64,
}

type Board = Rc<RefCell<Vec<Knowledge>>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, chat, token, count] = arguments.as_slice() else {
        eprintln!("usage: quic_viewers ADDRESS CHAT TOKEN COUNT");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .expect("a runtime");
    let result = runtime.block_on(run(address, chat, token, count));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("error: {text}");
            ExitCode::FAILURE
        }
    }
}

async fn run(address: &str, chat: &str, token: &str, count: &str) -> Result<(), String> {
    let count: usize = count
        .parse()
        .map_err(|_| "COUNT is not a number".to_owned())?;
    let board: Board = Rc::new(RefCell::new(vec![Knowledge::default(); count]));
    let (failed, mut failures) = mpsc::unbounded_channel();
    for first in (0..count).step_by(CONNECTING_MAX) {
        let mut starting = Vec::new();
        for number in first..count.min(first + CONNECTING_MAX) {
            let start = start(
                endpoint().map_err(|e| e.to_string())?,
                address.to_owned(),
                chat.to_owned(),
                token.to_owned(),
            );
            starting.push((number, tokio::task::spawn_local(start)));
        }
        for (number, started) in starting {
            let viewer = started.await.map_err(|e| e.to_string())??;
            let (board, failed) = (Rc::clone(&board), failed.clone());
            tokio::task::spawn_local(async move {
                let ended = watch(viewer, &board, number).await;
                let _ = failed.send(format!("viewer {number}: {ended}"));
            });
        }
    }
    println!("ready");
    let mut questions = questions();
    loop {
        tokio::select! {
            question = questions.recv() => match question.as_deref() {
                Some("report") => println!("{}", report(&mut board.borrow_mut())),
                Some(other) => return Err(format!("unknown question {other}")),
                None => return Ok(()),
            },
            failure = failures.recv() => {
                return Err(failure.unwrap_or_default());
            }
        }
    }
}

async fn start(
    endpoint: Endpoint,
    address: String,
    chat: String,
    token: String,
) -> Result<QuicViewer, String> {
    let to = address
        .parse()
        .map_err(|_| "ADDRESS is not HOST:PORT".to_owned())?;
    let mut viewer = QuicViewer::connect(&endpoint, to, &token, &chat, Delivery::Latest).await?;
    while !viewer.is_watching() {
        viewer.step().await?;
    }
    Ok(viewer)
}

/// Steps until the connection ends; says why it did.
async fn watch(mut viewer: QuicViewer, board: &Board, number: usize) -> String {
    loop {
        {
            let mut board = board.borrow_mut();
            let known = &mut board[number];
            let counters = viewer.table.live().map(|row| row.counter);
            known.live = viewer.table.live().count() as u64;
            known.counter_min = counters.min().unwrap_or(0);
            known.cursor = viewer.table.cursor;
            known.batches += std::mem::take(&mut viewer.batches);
        }
        if let Err(text) = viewer.step().await {
            return text;
        }
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

/// Sums up, and begins to count batches anew.
fn report(board: &mut [Knowledge]) -> serde_json::Value {
    let min = |of: fn(&Knowledge) -> u64| board.iter().map(of).min().unwrap_or(0);
    let max = |of: fn(&Knowledge) -> u64| board.iter().map(of).max().unwrap_or(0);
    let summary = serde_json::json!({
        "viewers": board.len(),
        "cursor_min": min(|known| known.cursor),
        "cursor_max": max(|known| known.cursor),
        "live_min": min(|known| known.live),
        "counter_min": min(|known| known.counter_min),
        "batches_max": max(|known| known.batches),
    });
    for known in board {
        known.batches = 0;
    }
    summary
}
