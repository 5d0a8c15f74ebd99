//! Records on their way from the log to the engine, which know nothing of each other.

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
