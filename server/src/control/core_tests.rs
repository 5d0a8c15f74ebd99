//! Crashes, failing disks and checkpoints of the control core, over the memory storage.

use std::sync::Arc;

use skein_engine::command::Command;
use skein_engine::control_state::ControlState;
use skein_engine::control_state::erasing::NamesOf;
use skein_engine::ids::{ProposalId, ShardId};
use skein_log::{MemoryStorage, Operation, SyncMode};
use skein_wire::error::Code;

use crate::control::core::{Acknowledge, Committed, ControlCore, Proposal};
use crate::control::event_place::EventPlace;
use crate::control::feed::{EventFeed, FeedItem};
use crate::control::limits::{
    CHECKPOINT_AFTER_BYTES, FLUSH_RETRY_MS, GROUP_COMMANDS_MAX, PROPOSALS_WAITING_MAX,
};

/// A small random generator: the seed is all that a failure needs to be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

fn command(random: &mut Random) -> Command {
    let chat = format!("chat-{}", random.next(5));
    let user = format!("user-{}", random.next(5));
    let session = random.next(20);
    match random.next(5) {
        0 => Command::PutMember {
            chat,
            user,
            rights: random.next(4) as u8,
        },
        1 => Command::RemoveMember { chat, user },
        2 => Command::StartSession {
            chat,
            session,
            user,
            started_at_ms: random.next(1_000),
            expires_at_ms: 1_000 + random.next(1_000),
            duration_s: 60,
            idempotency_key: format!("key-{session}"),
            sealed: random.next(2) == 0,
        },
        3 => Command::ExtendSession {
            chat,
            session,
            expires_at_ms: 5_000,
            user,
        },
        _ => Command::EndSession {
            chat,
            session,
            state: 3,
            at_ms: 10,
            user,
        },
    }
}

fn open(storage: &Arc<MemoryStorage>, acknowledge: Acknowledge) -> ControlCore {
    let (core, report) = ControlCore::open(storage.clone(), acknowledge, 0, 7).expect("open");
    assert_eq!(report.losses, 0, "{report:?}");
    core
}

fn propose(core: &mut ControlCore, number: u64, command: Command) {
    let proposal = ProposalId(number);
    core.propose(Proposal {
        shard: ShardId(0),
        proposal,
        command,
    })
    .expect("there is room");
}

fn put(user: &str) -> Command {
    Command::PutMember {
        chat: "c".into(),
        user: user.into(),
        rights: 3,
    }
}

/// Runs random groups with upkeep in between, then cuts the power. Gives what was committed.
fn run(core: &mut ControlCore, random: &mut Random) -> Vec<Committed> {
    let mut committed = Vec::new();
    let mut number = 0;
    for round in 0..1 + random.next(12) {
        for _ in 0..random.next(6) {
            number += 1;
            propose(core, number, command(random));
        }
        let flushed = core.flush(round);
        committed.extend(flushed.committed);
        if random.next(3) == 0 {
            core.maintain(round * 500);
        }
    }
    committed
}

fn fold(committed: &[Committed]) -> ControlState {
    let mut state = ControlState::default();
    for one in committed {
        assert_eq!(state.apply(one.index, &one.command).handle, one.handle);
    }
    state
}

/// Whether a crash of this seed keeps every promise.
fn survives(seed: u64, acknowledge: Acknowledge, mode: SyncMode) -> bool {
    let mut random = Random(seed);
    let storage = MemoryStorage::new();
    storage.set_sync_mode(mode);
    let mut core = open(&storage, acknowledge);
    let committed = run(&mut core, &mut random);
    let crashed = storage.crash(seed);
    drop(core);
    match ControlCore::open(crashed, Acknowledge::AfterSync, 0, 8) {
        Ok((core, _)) => *core.state() == fold(&committed),
        Err(_) => false,
    }
}

#[test]
fn what_was_committed_survives_every_crash() {
    for seed in 0..300 {
        assert!(
            survives(seed, Acknowledge::AfterSync, SyncMode::Honest),
            "seed {seed}"
        );
    }
}

#[test]
fn a_disk_that_lies_is_noticed_by_this_test() {
    assert!((0..300).any(|seed| !survives(seed, Acknowledge::AfterSync, SyncMode::Lie)));
}

#[test]
fn an_acknowledgement_before_the_sync_is_noticed_by_this_test() {
    assert!((0..300).any(|seed| !survives(seed, Acknowledge::BeforeSync, SyncMode::Honest)));
}

#[test]
fn a_failed_sync_rejects_and_the_command_stays_dead() {
    for failing in 0..4 {
        let storage = MemoryStorage::new();
        let mut core = open(&storage, Acknowledge::AfterSync);
        propose(&mut core, 1, put("before"));
        let mut committed = core.flush(1).committed;
        assert_eq!(committed.len(), 1);

        storage.fail_call(Operation::Sync, failing);
        for number in 2..8 {
            propose(&mut core, number, put(&format!("user-{number}")));
            let flushed = core.flush(number);
            assert_eq!(
                flushed.committed.len() + flushed.rejected.len(),
                1,
                "{flushed:?}"
            );
            for rejected in &flushed.rejected {
                assert_eq!(rejected.code, Code::NotDurable);
                assert_eq!(rejected.proposal, ProposalId(number));
                assert!(flushed.failure.is_some());
            }
            committed.extend(flushed.committed);
            core.maintain(number * 2_000);
        }
        assert!(
            committed.len() >= 2,
            "the log must recover from one failure"
        );
        assert_eq!(*core.state(), fold(&committed), "failing {failing}");
        let expect = core.state().clone();
        for image in [storage.kill(), storage.crash(failing)] {
            let (core, _) = ControlCore::open(image, Acknowledge::AfterSync, 0, 9).expect("open");
            assert_eq!(*core.state(), expect, "failing {failing}");
        }
    }
}

#[test]
fn a_full_disk_rejects_until_there_is_room_again() {
    let storage = MemoryStorage::new();
    let mut core = open(&storage, Acknowledge::AfterSync);
    storage.set_capacity_bytes(Some(64 * 1024));
    propose(&mut core, 1, put("early"));
    let flushed = core.flush(1);
    assert_eq!(flushed.rejected.len(), 1, "{flushed:?}");
    assert!(core.state().chat("c").is_none());

    storage.set_capacity_bytes(None);
    let mut committed = Vec::new();
    for number in 2..50 {
        core.maintain(number * 10_000);
        propose(&mut core, number, put("late"));
        committed.extend(core.flush(number * 10_000).committed);
    }
    assert!(!committed.is_empty(), "it never came back");
    let (again, _) =
        ControlCore::open(storage.crash(1), Acknowledge::AfterSync, 0, 9).expect("open");
    assert_eq!(again.state(), core.state());
    assert!(
        !again
            .state()
            .chat("c")
            .unwrap()
            .members
            .contains_key("early")
    );
}

#[test]
fn a_checkpoint_carries_the_state_across_restarts() {
    let storage = MemoryStorage::new();
    let mut core = open(&storage, Acknowledge::AfterSync);
    let (mut number, mut now) = (0, 0);
    while core.counters().checkpoints < 2 {
        for _ in 0..GROUP_COMMANDS_MAX {
            number += 1;
            propose(&mut core, number, put(&format!("{number:0>100}")));
        }
        now += 10;
        assert!(core.flush(now).rejected.is_empty());
        core.maintain(now);
        assert!(
            number < 10 * CHECKPOINT_AFTER_BYTES / 100,
            "no checkpoint was written"
        );
    }
    core.flush(now);
    core.maintain(now + 2_000);
    core.maintain(now + 4_000);
    let expect = core.state().clone();
    for image in [storage.kill(), storage.crash(3)] {
        let (again, report) = ControlCore::open(image, Acknowledge::AfterSync, 0, 9).expect("open");
        assert!(report.checkpoint_index > 0, "{report:?}");
        assert!(report.commands_replayed < number, "{report:?}");
        assert_eq!(
            (report.losses, report.time_ms >= now),
            (0, true),
            "{report:?}"
        );
        assert_eq!(*again.state(), expect);
    }
}

/// A core that has just written the first part of a checkpoint, at the time that is given back.
fn amid_checkpoint(storage: &Arc<MemoryStorage>) -> (ControlCore, u64) {
    let mut core = open(storage, Acknowledge::AfterSync);
    let (mut number, mut now_ms) = (0, 0);
    while core.checkpoint.is_none() {
        for _ in 0..GROUP_COMMANDS_MAX {
            number += 1;
            propose(&mut core, number, put(&format!("{number:0>100}")));
        }
        now_ms += 10;
        assert!(core.flush(now_ms).rejected.is_empty());
        core.maintain(now_ms);
    }
    assert_eq!(core.counters().checkpoints, 0);
    (core, now_ms)
}

#[test]
fn a_checkpoint_that_was_cut_short_is_tried_again_as_soon_as_the_log_has_a_file() {
    let cuts: [fn(&MemoryStorage, &mut ControlCore, u64); 2] = [
        |storage, core, now_ms| {
            storage.fail_call(Operation::Sync, 0);
            propose(core, 0, put("ana"));
            assert_eq!(core.flush(now_ms).rejected.len(), 1);
        },
        |storage, core, now_ms| {
            storage.set_capacity_bytes(Some(0));
            let mut number = 0;
            while !core.writer.degraded() {
                number += 1;
                assert!(number < 10_000, "the disk is not full");
                propose(core, number, put(&"x".repeat(10_000)));
                core.flush(now_ms);
            }
            let due_ms = core.checkpoint_step(now_ms);
            assert_eq!(due_ms, now_ms + FLUSH_RETRY_MS);
            storage.set_capacity_bytes(None);
        },
    ];
    for cut in cuts {
        let storage = MemoryStorage::new();
        let (mut core, now_ms) = amid_checkpoint(&storage);
        cut(&storage, &mut core, now_ms);
        assert!(core.checkpoint.is_none(), "it was not cut short");
        maintain_until(&mut core, now_ms, now_ms + 5_000);
        propose(&mut core, 0, put("ben"));
        assert_eq!(core.flush(now_ms + 5_000).committed.len(), 1);
        maintain_until(&mut core, now_ms + 5_000, now_ms + 10_000);
        assert_eq!(core.counters().checkpoints, 1);
        // And not again and again.
        maintain_until(&mut core, now_ms + 10_000, now_ms + 20_000);
        assert_eq!(core.counters().checkpoints, 1);
    }
}

#[test]
fn a_crash_within_a_checkpoint_loses_nothing() {
    for seed in 0..15 {
        let storage = MemoryStorage::new();
        let mut core = open(&storage, Acknowledge::AfterSync);
        let mut random = Random(seed);
        let mut number = 0;
        for round in 0..20 + random.next(30) {
            for _ in 0..GROUP_COMMANDS_MAX {
                number += 1;
                propose(&mut core, number, put(&format!("{:0>100}", number % 3_000)));
            }
            core.flush(round);
            core.maintain(round);
        }
        let (again, _) =
            ControlCore::open(storage.crash(seed), Acknowledge::AfterSync, 0, 9).expect("open");
        assert_eq!(again.state(), core.state(), "seed {seed}");
    }
}

#[test]
fn a_clean_close_is_reopened_as_it_was() {
    let storage = MemoryStorage::new();
    let mut core = open(&storage, Acknowledge::AfterSync);
    propose(&mut core, 1, put("ana"));
    core.flush(1);
    let (id, state) = (core.log_id(), core.state().clone());
    core.close().expect("close");
    let core = open(&storage, Acknowledge::AfterSync);
    assert_eq!((core.log_id(), core.state()), (id, &state));
}

#[test]
fn too_many_commands_are_refused_and_the_rest_goes_in_groups() {
    let storage = MemoryStorage::new();
    let mut core = open(&storage, Acknowledge::AfterSync);
    for number in 0..PROPOSALS_WAITING_MAX as u64 {
        propose(&mut core, number, put("ana"));
    }
    let command = put("ben");
    let over = core.propose(Proposal {
        shard: ShardId(3),
        proposal: ProposalId(9),
        command,
    });
    assert_eq!(
        over.map_err(|rejected| (rejected.shard, rejected.code)),
        Err((ShardId(3), Code::Busy))
    );
    let mut indexes = Vec::new();
    while core.waiting() > 0 {
        indexes.extend(
            core.flush(1)
                .committed
                .iter()
                .map(|committed| committed.index),
        );
    }
    let expect: Vec<u64> = (1..=PROPOSALS_WAITING_MAX as u64).collect();
    assert_eq!(indexes, expect);
}

#[test]
fn a_command_that_no_record_holds_is_refused_alone() {
    let storage = MemoryStorage::new();
    let mut core = open(&storage, Acknowledge::AfterSync);
    propose(&mut core, 1, put(&"x".repeat(50_000)));
    propose(&mut core, 2, put("ana"));
    let flushed = core.flush(1);
    assert_eq!(flushed.rejected[0].code, Code::BadRequest);
    assert_eq!(flushed.committed[0].proposal, ProposalId(2));
}

/// Minutes in milliseconds: how long commands are kept here.
const AGE_MS: u64 = 60_000;

fn open_keeping(storage: &Arc<MemoryStorage>, now_ms: u64) -> ControlCore {
    let acknowledge = Acknowledge::AfterSync;
    let opened = ControlCore::open_keeping(storage.clone(), acknowledge, Some(AGE_MS), now_ms, 7);
    opened.expect("open").0
}

/// Lets the core do its upkeep whenever it says that there is some, up to a time.
fn maintain_until(core: &mut ControlCore, mut now_ms: u64, end_ms: u64) {
    while now_ms < end_ms {
        let due_ms = core.maintain(now_ms).next_due_ms;
        now_ms = due_ms.max(now_ms + 1).min(end_ms);
    }
}

#[test]
fn commands_go_with_their_time_and_the_state_stays() {
    let storage = MemoryStorage::new();
    let mut core = open_keeping(&storage, 0);
    propose(&mut core, 1, put("ana"));
    propose(&mut core, 2, put("ben"));
    let remove = Command::RemoveMember {
        chat: "c".into(),
        user: "ben".into(),
    };
    propose(&mut core, 3, remove);
    let newest = core.flush(0).committed[2].index;
    maintain_until(&mut core, 0, AGE_MS);
    assert_eq!(core.reader().first_offset(), 1, "its time is not over");
    maintain_until(&mut core, AGE_MS, 2 * AGE_MS);
    assert!(core.reader().first_offset() > newest);
    let checkpoints = core.counters().checkpoints;
    maintain_until(&mut core, 2 * AGE_MS, 20 * AGE_MS);
    let more = core.counters().checkpoints - checkpoints;
    assert!(more <= 1, "{more} checkpoints of nothing new");
    for image in [storage.kill(), storage.crash(3)] {
        let core = open_keeping(&image, 20 * AGE_MS);
        let members: Vec<&String> = core
            .state()
            .chat("c")
            .expect("a chat")
            .members
            .keys()
            .collect();
        assert_eq!(members, ["ana"]);
        assert_eq!(core.state().applied_index(), newest);
    }
}

#[test]
fn who_had_everything_is_not_told_that_something_is_missing() {
    let storage = MemoryStorage::new();
    let mut core = open_keeping(&storage, 0);
    propose(&mut core, 1, put("ana"));
    let newest = core.flush(0).committed[0].index;
    let (publisher, feed) = EventFeed::new(core.log_id(), core.reader(), newest, core.voids());
    let mut waiting = feed.open(None);
    let mut behind = feed.open(Some(EventPlace::from(0)));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let (got, ()) = tokio::join!(waiting.next(), async {
            maintain_until(&mut core, 0, 3 * AGE_MS);
            assert!(
                core.reader().first_offset() > newest + 1,
                "checkpoints went, too"
            );
            propose(&mut core, 2, put("ben"));
            let committed = core.flush(3 * AGE_MS).committed[0].index;
            publisher.publish(committed, core.voids());
        });
        let got = got.expect("items");
        assert!(matches!(got[..], [FeedItem::Command { .. }]), "{got:?}");
        let got = behind.next().await.expect("items");
        assert!(matches!(got[..], [FeedItem::Resync { .. }]), "{got:?}");
    });
}

#[test]
fn what_the_disk_refuses_the_janitor_is_told_once_with_the_next_upkeep() {
    let storage = MemoryStorage::new();
    let mut core = open(&storage, Acknowledge::AfterSync);
    propose(&mut core, 1, put("ana"));
    assert!(core.flush(1).rejected.is_empty());
    storage.fail_call(Operation::SyncDirectory, 0);
    let rounds = (1..10).flat_map(|round| core.maintain(round * 10_000).refusals);
    let refusals: Vec<String> = rounds.collect();
    assert_eq!(refusals.len(), 1, "{refusals:?}");

    storage.fail_call(Operation::SyncDirectory, 0);
    let ana = NamesOf {
        chat: None,
        user: Some("ana"),
    };
    core.erase(100_000, ana).expect("erased");
    let refusals = core.maintain(100_001).refusals;
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    assert!(core.maintain(100_002).refusals.is_empty());
}
