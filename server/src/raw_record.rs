//! Records on their way from the log to the engine, which know nothing of each other.

use skein_engine::journal::Entry;
use skein_engine::record::RawRecord;
use skein_log::RecordRef;

/// A record of the log as the engine sees it.
pub fn raw<'a>(record: &RecordRef<'a>) -> RawRecord<'a> {
    RawRecord {
        kind: record.kind,
        flags: record.flags,
        key: record.key,
        extension: record.extension,
        payload: record.payload,
    }
}

/// When the device says that a point was, milliseconds since 1970; 0 for a record that is no point.
pub fn captured_at_ms(record: &RecordRef<'_>) -> i64 {
    match Entry::decode(&raw(record)) {
        Ok(Entry::HistoricalPoint { point, .. } | Entry::Point { point, .. }) => {
            point.captured_at_ms
        }
        _ => 0,
    }
}
