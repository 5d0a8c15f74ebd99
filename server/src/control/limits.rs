//! Every bound of the control log, with its unit and its reason, in one list.

use skein_wire::limit_list;

limit_list! {
    /// The bounds of the control log, in the order of this file.
    pub fn control_limits;

    COMMAND_BYTES_MAX: usize = 32 * 1_024, "bytes",
        "of an encoded command: a batch of members is the largest, all others have less than 1 KiB";
    GROUP_BYTES_MAX: usize = 512 * 1_024, "bytes",
        "of the commands that one sync makes durable; half of a control log's file takes it";
    STATE_BYTES_MAX: usize = 1 << 30, "bytes",
        "of an encoded control state; a million sessions are about 100 MB";
    CHECKPOINT_CHUNK_BYTES: usize = 32 * 1024, "bytes",
        "of a checkpoint in one record, whose payload is less than 64 KiB";
    CHECKPOINT_CHUNKS_PER_STEP: usize = 8, "chunks",
        "of a checkpoint written between two group commits, so that commands do not wait for it";
    CHECKPOINT_AFTER_BYTES: u64 = 1024 * 1024, "bytes",
        "of commands after which a new checkpoint begins: a restart replays about this much";
    PROPOSALS_WAITING_MAX: usize = 4_096, "commands",
        "that wait for a group commit; more are refused and retried by their shard";
    GROUP_COMMANDS_MAX: usize = 512, "commands",
        "made durable by one sync, so that the first of them does not wait for an endless queue";
    CONTROL_SEGMENT_BYTES: u64 = 2 * 1024 * 1024, "bytes",
        "of a control log's file: small, so that old ones can go; two groups fit";
    CONTROL_RETENTION_BYTES: u64 = 16 * 1024 * 1024, "bytes",
        "of control log kept for event streams that were away";
    NEW_FILES_PER_RETENTION: u64 = 4, "files",
        "begun within the time that commands are kept, so that what is too old is soon in a file of its own";
    CONTROL_DISK_RESERVE_BYTES: u64 = 8 * 1024 * 1024, "bytes",
        "of the disk left free: less than the event log leaves, so that promises fail last";
    ERASE_ROUNDS_MAX: usize = 8, "rounds",
        "in which an erase looks again for what could not be rewritten yet";
    FLUSH_RETRY_MS: u64 = 100, "milliseconds",
        "between two tries of a checkpoint while the control log cannot be made durable";
}

const _: () = assert!(CHECKPOINT_CHUNK_BYTES < skein_log::PAYLOAD_BYTES_MAX);
const _: () = assert!(COMMAND_BYTES_MAX < skein_log::PAYLOAD_BYTES_MAX);
// A group, a void and the log's own bytes fit into one batch, which is at most half a segment.
const _: () = assert!(
    GROUP_BYTES_MAX + COMMAND_BYTES_MAX + GROUP_COMMANDS_MAX * (2 + 32) + 1024
        <= CONTROL_SEGMENT_BYTES as usize / 2
);
const _: () = assert!(
    CHECKPOINT_CHUNKS_PER_STEP * (CHECKPOINT_CHUNK_BYTES + 32)
        <= CONTROL_SEGMENT_BYTES as usize / 2
);
