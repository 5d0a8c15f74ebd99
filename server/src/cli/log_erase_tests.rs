//! An erase of a stopped directory promises what has come to an end meanwhile, as a running server would:
//! a checkpoint waits for that, and so for ever if nobody did.

use std::path::Path;

use skein_engine::command::Command;
use skein_engine::control_state::ControlState;
use skein_engine::geofence::record::{GeofenceRecord, Shape};
use skein_engine::guest::GuestRecord;
use skein_engine::ids::{ProposalId, ShardId};
use skein_wire::ids::{ChatName, UserName};
use tempfile::TempDir;

use crate::cli::log_erase::{erase_stopped, open_control, open_log};
use crate::clock::Clock;
use crate::control::core::Proposal;
use crate::erase_scope::EraseScope;
use crate::log_erase::Erased;

const PARTITIONS: u16 = 1;

/// A stopped directory whose control log has these commands, and nothing else.
fn directory(commands: Vec<Command>) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock::start();
    let mut control = open_control(folder.path(), clock).expect("a control log");
    for (number, command) in (1..).zip(commands) {
        let shard = ShardId(0);
        let proposal = ProposalId(number);
        let asked = control.propose(Proposal {
            shard,
            proposal,
            command,
        });
        asked.expect("there is room");
    }
    assert_eq!(control.flush(clock.now_ms()).failure, None);
    control.close().expect("closed");
    let log = open_log(folder.path(), PARTITIONS, clock).expect("an event log");
    log.close().expect("closed");
    folder
}

fn erase(folder: &Path, chat: Option<&str>, user: Option<&str>) -> Erased {
    let scope = EraseScope {
        chat: chat.map(|name| ChatName::new(name).expect("a name")),
        user: user.map(|name| UserName::new(name).expect("a name")),
    };
    let erased = erase_stopped(folder, PARTITIONS, &scope, Clock::start());
    erased.expect("erased").expect("there is such a chat")
}

/// What the control log says after a start.
fn state(folder: &Path) -> ControlState {
    let control = open_control(folder, Clock::start()).expect("a control log");
    control.state().clone()
}

fn member(user: &str) -> Command {
    Command::PutMember {
        chat: "hike".into(),
        user: user.into(),
        rights: 3,
    }
}

#[test]
fn a_session_that_ran_out_while_the_server_was_stopped_is_over_and_forgotten() {
    let session = Command::StartSession {
        chat: "hike".into(),
        session: 7,
        user: "ana".into(),
        started_at_ms: 1_000,
        expires_at_ms: 61_000,
        duration_s: 60,
        idempotency_key: String::new(),
        sealed: false,
    };
    let folder = directory(vec![member("ana"), session]);
    let erased = erase(folder.path(), Some("hike"), None);
    assert_eq!((erased.chats, erased.sessions_live), (1, 0));
    let state = state(folder.path());
    let chat = state.chat("hike").expect("the chat stays");
    assert!(chat.sessions.is_empty(), "{:?}", chat.sessions);
}

#[test]
fn alerts_end_with_the_erase() {
    let alert = Command::PutGeofence {
        chat: "hike".into(),
        geofence: 5,
        record: GeofenceRecord {
            name: "gate".into(),
            owner: "ben".into(),
            claim: 3,
            shape: Shape::Circle {
                lat_e6: 47_000_000,
                lon_e6: 8_000_000,
                radius_m: 500,
            },
            user: "ana".into(),
            session: 0,
            dwell_s: 0,
            once: false,
            created_at_ms: 1_000,
            expires_at_ms: 0,
        },
    };
    let folder = directory(vec![member("ana"), member("ben"), alert]);
    let erased = erase(folder.path(), None, Some("ana"));
    assert_eq!((erased.chats, erased.alerts), (1, 1));
    let state = state(folder.path());
    let chat = state.chat("hike").expect("the chat stays");
    assert_eq!(chat.geofences.iter().count(), 0);
}

#[test]
fn links_that_show_nothing_end_with_the_erase() {
    let link = |guest, session| Command::PutGuest {
        chat: "hike".into(),
        guest,
        record: GuestRecord {
            session,
            last_only: false,
            grid_m: 0,
            viewers_max: 0,
            created_at_ms: 1_000,
            expires_at_ms: u64::MAX / 2,
            label: "for the granny".into(),
        },
    };
    let of_no_session = link(1, 7);
    let of_the_chat = link(2, 0);
    let folder = directory(vec![member("ana"), of_no_session, of_the_chat]);
    erase(folder.path(), Some("hike"), None);
    let state = state(folder.path());
    let chat = state.chat("hike").expect("the chat stays");
    assert_eq!(chat.guests.keys().collect::<Vec<_>>(), [&2]);
}
