//! Members by the thousand, their versions, and links for guests.

use http::StatusCode;
use serde_json::json;
use skein_engine::request::ChatRequest;

use crate::http::limits::IMPORT_LINE_BYTES_MAX;
use crate::http::tests::{Api, rig};

#[test]
fn members_are_imported_in_batches_and_what_is_not_taken_is_said() {
    let rig = rig(&Api::Control);
    let line = |user: &str| format!(r#"{{"user":"{user}","rights":["watch"]}}"#);
    let mut lines: Vec<String> = (0..2_500).map(|n| line(&format!("user-{n}"))).collect();
    lines[1_200] = r#"{"user":"","rights":["watch"]}"#.to_owned();
    lines[1_300] = r#"{"user":"x","rights":[]}"#.to_owned();
    lines[1_400] = line("guest:00000000000000ab");
    lines[1_500] = "nonsense".to_owned();
    let (status, report) = rig.call(&format!("POST /v1/chats/c/members {}", lines.join("\n")));
    assert_eq!(status, StatusCode::OK, "{report}");
    let numbers = ["lines", "accepted", "refused_total", "version"].map(|key| report[key].as_u64());
    assert_eq!(numbers[0], Some(2_500));
    assert_eq!(numbers[2], Some(4), "{report}");
    assert_eq!(numbers[3], Some(18));
    let refused: Vec<u64> = report["refused"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|it| it["line"].as_u64())
        .collect();
    assert_eq!(refused, [1_201, 1_301, 1_401, 1_501]);
    let skipped: u64 = report["skipped"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|it| it["to"].as_u64().unwrap() - it["from"].as_u64().unwrap() + 1)
        .sum();
    assert_eq!(
        numbers[1],
        Some(2_500 - skipped),
        "all other batches: {report}"
    );
    let long = format!("POST /v1/chats/c/members {}", "x".repeat(2_000));
    let (status, report) = rig.call(&long);
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(report["code"], "too_large", "{report}");
}

#[test]
fn a_line_is_too_long_wherever_the_body_is_cut() {
    let rig = rig(&Api::Control);
    let blanks = " ".repeat(IMPORT_LINE_BYTES_MAX);
    let lines = [
        r#"{"user":"ana","rights":["watch"]}"#.to_owned(),
        format!(r#"{{"user":"ben",{blanks}"rights":["watch"]}}"#),
        r#"{"user":"cleo","rights":["watch"]}"#.to_owned(),
    ];
    for end in ["\n", ""] {
        for count in [2, 3] {
            let body = lines[..count].join("\n") + end;
            let (status, report) = rig.call(&format!("POST /v1/chats/c/members {body}"));
            assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{count}: {report}");
            assert_eq!(report["lines"], 1, "those before it are done: {report}");
            assert!(
                report["text"]
                    .as_str()
                    .is_some_and(|it| it.starts_with("line 2 ")),
                "{report}"
            );
        }
    }
}

#[test]
fn a_version_is_asked_for_and_given() {
    let rig = rig(&Api::Control);
    rig.call(r#"PUT /v1/chats/c/members/ben {"rights":["watch"]}"#);
    let ChatRequest::PutMember { expected, .. } = rig.asked() else {
        panic!("not a change");
    };
    assert_eq!(expected, None);
    let guest = r#"PUT /v1/chats/c/members/guest:0000000000000001 {"rights":["watch"]}"#;
    let (status, answer) = rig.call(guest);
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::BAD_REQUEST, &json!("bad_name"))
    );
}

#[test]
fn a_link_comes_with_its_token() {
    let rig = rig(&Api::Control);
    let body = r#"{"duration_s":60,"session":"00000000000000a1","grid_m":500,"viewers_max":2}"#;
    let (status, link) = rig.call(&format!("POST /v1/chats/c/guests {body}"));
    assert_eq!(status, StatusCode::OK, "{link}");
    assert!(
        link["token"]
            .as_str()
            .is_some_and(|it| it.starts_with("skg1."))
    );
    let ChatRequest::PutGuest { guest, record, .. } = rig.asked() else {
        panic!("not a link");
    };
    assert_eq!(link["guest"], format!("{:016x}", guest.0));
    assert_eq!(
        (record.session, record.grid_m, record.viewers_max),
        (0xa1, 500, 2)
    );
    assert_eq!(record.expires_at_ms - record.created_at_ms, 60_000);
    let revoke = format!("DELETE /v1/chats/c/guests/{:016x}", guest.0);
    assert_eq!(rig.call(&revoke).0, StatusCode::OK);
    assert!(matches!(rig.asked(), ChatRequest::RemoveGuest { guest: it, .. } if it == guest));
}
