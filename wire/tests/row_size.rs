//! Bytes per row: the budget that decides how many positions one send carries.

mod samples;

use samples::{Row, bare_fix, batch_frame, header, point};
use skein_wire::batch::{Batch, BatchHeader, BatchWriter, Flags};
use skein_wire::ids::Cell;
use skein_wire::point::{Accuracy, Fix, Heading, Speed};
use skein_wire::request::Delivery;

/// Rows of the measured frame.
const ROWS: u32 = 127;

/// Budget of a row with exact time and counter, header counted.
const ROW_BYTES_MAX: f64 = 11.0;

/// The same with heading, speed and accuracy.
const ROW_WITH_MOTION_BYTES_MAX: f64 = 14.0;

/// A header with the large numbers of a long-lived chat.
fn old_header() -> BatchHeader {
    BatchHeader {
        cell: Cell(0),
        delivery: Delivery::Latest,
        ..header(40_000_000_000, 40_000_000_500)
    }
}

/// Every eighth slot of a city: ages below 8 s, counters anywhere.
fn rows(with_motion: bool) -> Vec<Row> {
    (0..ROWS)
        .map(|i| {
            let spread = (i * 7_919 % 200_000) as i32;
            let place = bare_fix(45_000_000 + spread, 13_000_000 - spread);
            let motion = Fix {
                heading: Some(Heading((i * 37) as u8)),
                speed: Some(Speed((i * 11) as u8)),
                accuracy: Some(Accuracy((i * 5) as u8)),
                ..place
            };
            let age_ms = i64::from(i * 6_151 % 8_000);
            let fix = if with_motion { motion } else { place };
            Row {
                slot: i * 8,
                point: Some(point(u64::from(i) * 1_000 + 1, age_ms, fix)),
                ..Row::default()
            }
        })
        .collect()
}

fn bytes_per_row(rows: &[Row]) -> f64 {
    let header = old_header();
    let flags = BatchWriter::flags_of(&header, &rows[0].as_entry(), 0);
    let frame = batch_frame(&header, flags, rows);
    let batch: Batch = samples::read_batch(&frame);
    assert_eq!(batch.entries.len(), rows.len());
    frame.len() as f64 / rows.len() as f64
}

#[test]
fn a_row_costs_at_most_eleven_bytes() {
    let bytes = bytes_per_row(&rows(false));
    println!("{bytes:.2} bytes a row");
    assert!(bytes <= ROW_BYTES_MAX, "{bytes:.2} bytes a row");
}

#[test]
fn a_row_with_motion_costs_at_most_fourteen_bytes() {
    let bytes = bytes_per_row(&rows(true));
    println!("{bytes:.2} bytes a row with heading, speed, accuracy");
    assert!(bytes <= ROW_WITH_MOTION_BYTES_MAX, "{bytes:.2} bytes a row");
}

#[test]
fn a_bad_guess_of_the_flags_costs_one_byte_a_row() {
    let rows = rows(false);
    let right = batch_frame(&old_header(), Flags::POINT, &rows).len();
    let wrong = batch_frame(&old_header(), Flags::STATE, &rows).len();
    assert_eq!(wrong - right, rows.len());
}
