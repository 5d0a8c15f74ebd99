//! What the fuzz targets and a bounded test share: bytes from anywhere, and what must hold whatever they
//! are. Nothing here may panic but an assertion about the wire.

#![allow(dead_code, reason = "each target uses its own part")]

use bytes::Bytes;
use skein_wire::batch::Batch;
use skein_wire::frame::{decode_request, decode_update, encode_request, encode_update};
use skein_wire::limits::{CLIENT_FRAME_BYTES_MAX, PAGES_MAX, SERVER_FRAME_BYTES_MAX};
use skein_wire::point::Payload;
use skein_wire::splitter::{Splitter, split_first, split_first_shared};

/// A frame of either direction: what reads as a value is written and read as the same value.
pub fn frames(data: &[u8]) {
    if let Ok(Some(request)) = decode_request(data) {
        let mut written = Vec::new();
        encode_request(&request, &mut written);
        let mut input = written.as_slice();
        let frame = split_first(&mut input, CLIENT_FRAME_BYTES_MAX).expect("its own length");
        let again = decode_request(frame.expect("a whole frame")).expect("its own bytes");
        assert_eq!(again, Some(request));
    }
    if let Ok(Some(update)) = decode_update(Bytes::copy_from_slice(data))
        && data.len() <= SERVER_FRAME_BYTES_MAX
    {
        let mut written = Vec::new();
        encode_update(&update, &mut written);
        let mut input = Bytes::from(written);
        // A text may have been longer than any that is written.
        let frame = split_first_shared(&mut input, SERVER_FRAME_BYTES_MAX).expect("its length");
        let again = decode_update(frame.expect("a whole frame")).expect("its own bytes");
        assert_eq!(again, Some(update));
    }
    stream(data);
}

/// A stream gives the same frames however it is cut.
fn stream(data: &[u8]) {
    let mut whole = Vec::new();
    let mut input = data;
    let ends_well = loop {
        match split_first(&mut input, CLIENT_FRAME_BYTES_MAX) {
            Ok(Some(frame)) => whole.push(frame.to_vec()),
            Ok(None) => break true,
            Err(_) => break false,
        }
    };
    let mut splitter = Splitter::new(CLIENT_FRAME_BYTES_MAX);
    let mut cut = Vec::new();
    let step = 1 + usize::from(data.first().copied().unwrap_or(0) % 7);
    for piece in data.chunks(step) {
        splitter.push(piece);
        loop {
            match splitter.next_frame() {
                Ok(Some(frame)) => cut.push(frame.to_vec()),
                Ok(None) => break,
                Err(_) => {
                    assert!(!ends_well, "only the cut stream is broken");
                    assert_eq!(cut, whole);
                    return;
                }
            }
        }
    }
    if ends_well {
        assert_eq!(cut, whole);
    }
}

/// The body of a batch: what is read keeps the rules of the page.
pub fn rows(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    let Ok(batch) = Batch::decode(&body) else {
        return;
    };
    let header = &batch.header;
    assert!(header.from <= header.to);
    assert!(header.anchor.in_range());
    assert!(
        header
            .page
            .is_none_or(|page| page.index < page.total && page.total <= PAGES_MAX)
    );
    let slots: Vec<u32> = batch.entries.iter().map(|entry| entry.slot.0).collect();
    assert!(slots.is_sorted_by(|a, b| a < b), "slots ascend");
    for entry in &batch.entries {
        let newest = entry.point.iter().map(|point| &point.payload);
        let earlier = entry.earlier.iter().map(|point| &point.payload);
        for payload in newest.chain(earlier) {
            match payload {
                Payload::Fix(fix) => assert!(fix.position.in_range()),
                Payload::Sealed(blob) => assert!(!blob.is_empty()),
            }
        }
    }
}
