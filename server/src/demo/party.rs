//! The people of the demo: what each walker and the viewer do until the end is rung.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use skein_client::change::{Change, Event};
use skein_client::connect::ConnectOptions;
use skein_client::sender::Sender;
use skein_client::sender_state::SenderOptions;
use skein_client::viewer::{Viewer, ViewerEvent};
use skein_client::viewer_state::{WatchId, WatchOptions};
use skein_wire::ids::ChatName;
use skein_wire::request::Delivery;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::demo::stopwatch::Stopwatch;
use crate::demo::walker::Walker;
use crate::terminal::{out, watch_table};

/// Time between two points of a walker.
const POINT_INTERVAL: Duration = Duration::from_secs(1);
/// Time between two drawings of the table on a terminal.
const REDRAW: Duration = Duration::from_millis(500);
/// Time between two tables where nothing can be redrawn.
const PRINT_INTERVAL: Duration = Duration::from_secs(5);
/// Duration of a walker's session, seconds; the demo stops it before.
const DURATION_S: u32 = 8 * 60 * 60;

/// Walks and shares until `end` is rung, then stops its session.
///
/// # Errors
/// When the server refuses, or the end was not confirmed.
pub async fn walk(
    mut walker: Walker,
    chat: ChatName,
    options: ConnectOptions,
    stopwatch: Arc<Stopwatch>,
    clock: Clock,
    mut end: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let name = walker.name().to_owned();
    let share = SenderOptions::new(chat, DURATION_S, &Sender::new_key());
    let sender = Sender::start(options, share)
        .await
        .with_context(|| format!("{name} shares"))?;
    let mut ticks = tokio::time::interval(POINT_INTERVAL);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let fix = walker.step(POINT_INTERVAL.as_secs_f64());
                let session = sender.session();
                stopwatch.start(session, || sender.share(clock.now_ms() as i64, fix));
            }
            _ = end.wait_for(|end| *end) => break,
        }
        while sender.try_event().is_some() {}
    }
    sender
        .stop()
        .await
        .with_context(|| format!("{name} stops"))?;
    Ok(())
}

/// Watches and draws until `end` is rung.
///
/// # Errors
/// When the server refuses for good.
pub async fn look(
    chat: ChatName,
    options: ConnectOptions,
    stopwatch: Arc<Stopwatch>,
    mut end: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let mut viewer = Viewer::connect(options)
        .await
        .context("the viewer connects")?;
    let delivery = Delivery::Every;
    let id = viewer.watch(WatchOptions {
        delivery,
        ..WatchOptions::new(chat.clone())
    });
    let mut screen = Screen::new(chat);
    loop {
        tokio::select! {
            event = viewer.next() => match event? {
                Some(ViewerEvent::Change(change)) => note(&stopwatch, &change),
                Some(_) => {}
                None => break,
            },
            () = tokio::time::sleep_until(screen.next) => screen.draw(&viewer, id)?,
            _ = end.wait_for(|end| *end) => break,
        }
    }
    screen.draw(&viewer, id)?;
    viewer.close().await;
    Ok(())
}

fn note(stopwatch: &Stopwatch, change: &Change) {
    if let (Some(subject), Event::Point { point, .. }) = (&change.subject, &change.event) {
        stopwatch.stop(subject.session, point.counter);
    }
}

/// Where the table is drawn: over itself on a terminal, below itself elsewhere.
struct Screen {
    chat: ChatName,
    redraws: bool,
    lines: usize,
    next: Instant,
}

impl Screen {
    fn new(chat: ChatName) -> Self {
        let redraws = std::io::stdout().is_terminal();
        let first = if redraws { REDRAW } else { PRINT_INTERVAL };
        Self {
            chat,
            redraws,
            lines: 0,
            next: Instant::now() + first,
        }
    }

    fn draw(&mut self, viewer: &Viewer, id: WatchId) -> std::io::Result<()> {
        let table = watch_table::draw(viewer, id, self.chat.as_str(), None);
        let up = match self.redraws && self.lines > 0 {
            // Up over the last table, and clear to the end of the screen.
            true => format!("\x1b[{}A\x1b[J", self.lines),
            false => String::new(),
        };
        out::say(format_args!("{up}{table}"))?;
        self.lines = table.lines().count() + 1;
        self.next = Instant::now() + if self.redraws { REDRAW } else { PRINT_INTERVAL };
        Ok(())
    }
}
