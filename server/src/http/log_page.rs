//! A page of a partition's records as JSON lines, made on a thread that may wait.
//!
//! The lines are those of `skein log export`. Where records are missing a line says so in their
//! place, and the page goes on behind them.

use std::io::Write as _;
use std::time::{Duration, Instant};

use skein_log::{Offset, ReadError, Reader};

use crate::http::limits::LOG_PAGE_BYTES_MAX;
use crate::log_json::{self, Place};

/// How long a read waits at a time before it looks whether the server stops.
const WAIT_SLICE: Duration = Duration::from_millis(250);

/// What is wanted.
#[derive(Clone, Copy, Debug)]
pub struct PageRequest {
    /// Records behind this offset.
    pub after: Offset,
    /// At most so many lines.
    pub lines_max: usize,
    /// How long to wait if there is none.
    pub wait: Duration,
}

/// What was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// One JSON object a line.
    pub body: Vec<u8>,
    /// What the next page comes after.
    pub after: Offset,
}

/// Reads a page, and waits for its first record as long as the request says and `is_stopping` does
/// not.
pub fn read(mut reader: Reader, request: PageRequest, is_stopping: impl Fn() -> bool) -> Page {
    let began = Instant::now();
    reader.seek(request.after.saturating_add(1));
    loop {
        let page = take(&mut reader, request.lines_max);
        let left = request.wait.saturating_sub(began.elapsed());
        if !page.body.is_empty() || left.is_zero() || is_stopping() {
            return page;
        }
        reader.wait(left.min(WAIT_SLICE));
    }
}

/// What is there now.
fn take(reader: &mut Reader, lines_max: usize) -> Page {
    let partition = reader.partition().0;
    let mut page = Page::default();
    let mut lines = 0;
    loop {
        page.after = reader.position() - 1;
        if lines >= lines_max || page.body.len() >= LOG_PAGE_BYTES_MAX {
            return page;
        }
        let from = reader.position();
        match reader.next_batch() {
            Ok(Some(batch)) => {
                for (offset, record) in batch.records() {
                    if lines >= lines_max || page.body.len() >= LOG_PAGE_BYTES_MAX {
                        page.after = offset - 1;
                        return page;
                    }
                    let time_ms = batch.append_time();
                    let place = Place {
                        partition,
                        offset,
                        time_ms,
                    };
                    page.line(&log_json::event(place, &record, true));
                    lines += 1;
                }
            }
            Ok(None) => {
                page.after = reader.position() - 1;
                return page;
            }
            // The reader stands behind what is missing.
            Err(error) => {
                let damaged = matches!(error, ReadError::Damaged { .. });
                let next = reader.position();
                page.line(&log_json::missing(partition, from, next, damaged));
                lines += 1;
            }
        }
    }
}

impl Page {
    fn line(&mut self, line: &serde_json::Value) {
        // Writing into a vector cannot fail.
        let _ = writeln!(self.body, "{line}");
    }
}
