//! What is written reads back as the same value, for values nobody thought of.

mod samples;
mod strategies;

use bytes::Bytes;
use proptest::prelude::*;
use samples::{Row, batch_frame, read_batch};
use skein_wire::batch::{BatchHeader, BatchWriter, Entry, Flags, WireCounter, set_page_total};
use skein_wire::frame::{decode_request, decode_update, encode_request, encode_update};
use skein_wire::ids::{Counter, Slot};
use skein_wire::limits::SERVER_FRAME_BYTES_MAX;
use skein_wire::point::Point;
use skein_wire::splitter::split_first_shared;
use skein_wire::update::Update;

fn one_frame(bytes: Vec<u8>) -> Bytes {
    let mut input = Bytes::from(bytes);
    let frame = split_first_shared(&mut input, SERVER_FRAME_BYTES_MAX);
    assert!(input.is_empty());
    frame.expect("a whole frame").expect("a frame")
}

/// What a reader must find for a row, seen by a viewer that knows a counter below 256 back.
fn assert_reads(row: &Row, entry: &Entry) {
    assert_eq!(entry.slot, Slot(row.slot));
    assert_eq!(entry.descriptor, row.descriptor);
    assert_eq!(entry.state, row.state);
    assert_eq!(entry.skipped, row.skipped);
    assert_eq!(entry.point.is_some(), row.point.is_some());
    let (Some(read), Some(written)) = (&entry.point, &row.point) else {
        return;
    };
    assert_eq!(read.captured_at_ms, written.captured_at_ms);
    assert_eq!(read.payload, written.payload);
    let known = Counter(written.counter.0.saturating_sub(255));
    assert_eq!(read.counter.widen(known), written.counter);
    let exact = row.descriptor.is_some() || row.counter_whole;
    assert_eq!(matches!(read.counter, WireCounter::Whole(_)), exact);
    let earlier = entry.earlier.iter().map(|point| Point {
        counter: point.counter(written.counter).expect("a counter"),
        captured_at_ms: point.captured_at_ms,
        payload: point.payload.clone(),
    });
    assert_eq!(earlier.collect::<Vec<_>>(), row.earlier);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn requests_come_back(request in strategies::request()) {
        let mut bytes = Vec::new();
        encode_request(&request, &mut bytes);
        prop_assert_eq!(decode_request(&one_frame(bytes)), Ok(Some(request)));
    }

    #[test]
    fn updates_come_back(update in strategies::update()) {
        let mut bytes = vec![0xee];
        encode_update(&update, &mut bytes);
        prop_assert_eq!(bytes.remove(0), 0xee, "what was in the buffer stays");
        prop_assert_eq!(decode_update(one_frame(bytes)), Ok(Some(update)));
    }

    #[test]
    fn batches_come_back(
        header in strategies::header(),
        rows in strategies::rows(),
        first_sets_flags in any::<bool>(),
    ) {
        let default = match rows.first() {
            Some(row) if first_sets_flags =>
                BatchWriter::flags_of(&header, &row.as_entry(), row.earlier.len()),
            _ => Flags::NONE,
        };
        let frame = batch_frame(&header, default, &rows);
        let batch = read_batch(&frame);
        prop_assert_eq!(batch.header, header);
        prop_assert_eq!(batch.entries.len(), rows.len());
        for (row, entry) in rows.iter().zip(&batch.entries) {
            assert_reads(row, entry);
        }
        let update = decode_update(one_frame(frame)).expect("a good frame");
        prop_assert!(matches!(update, Some(Update::Batch(_))));
    }

    #[test]
    fn rows_cut_into_pages_come_back(header in strategies::header(), rows in strategies::rows()) {
        let mut read = Vec::new();
        for (index, frame) in pages(&header, &rows, 300).into_iter().enumerate() {
            let batch = read_batch(&frame);
            prop_assert_eq!(batch.header.page.expect("a page").index, index as u32);
            prop_assert!(frame.len() <= 304 || batch.entries.len() == 1);
            read.extend(batch.entries);
        }
        prop_assert_eq!(read.len(), rows.len());
        for (row, entry) in rows.iter().zip(&read) {
            assert_reads(row, entry);
        }
    }
}

/// Frames of about `frame_bytes_max`, their total filled in afterwards.
fn pages(header: &BatchHeader, rows: &[Row], frame_bytes_max: usize) -> Vec<Vec<u8>> {
    let mut frames: Vec<Vec<u8>> = Vec::new();
    let mut rest = rows;
    while !rest.is_empty() {
        let page = skein_wire::batch::Page {
            snapshot: 5,
            index: frames.len() as u32,
            total: 0,
        };
        let header = BatchHeader {
            page: Some(page),
            ..*header
        };
        let mut out = Vec::new();
        let mut writer = BatchWriter::begin(&mut out, &header, Flags::POINT);
        while let Some((row, after)) = rest.split_first() {
            if !writer.try_entry(&row.as_entry(), row.earlier.iter(), frame_bytes_max) {
                break;
            }
            rest = after;
        }
        writer.finish();
        frames.push(out);
    }
    let total = frames.len() as u32;
    frames
        .iter_mut()
        .for_each(|frame| set_page_total(frame, total));
    frames
}
