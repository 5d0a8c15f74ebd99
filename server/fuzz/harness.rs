//! What the fuzz targets and a bounded test share: what strangers send before they are anybody, and what
//! must hold whatever it is. Nothing here may panic but an assertion about the server.

#![allow(dead_code, reason = "each target uses its own part")]

use std::sync::OnceLock;

use aws_lc_rs::digest;
use http::header::{HOST, ORIGIN};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Version};
use skein_client::seal::key::SealKey;
use skein_client::seal::key_ring::KeyRing;
use skein_engine::guest::{GuestGrant, is_guest};
use skein_engine::ids::GuestId;
use skein_engine::rights::Rights;
use skein_server::access::Access;
use skein_server::access::signer::TokenSigner;
use skein_server::edge::origins::Origins;
use skein_server::edge::upgrade::judge;
use skein_server::edge::websocket_frame::{Rules, close_answer, read_header};
use skein_server::edge::webtransport_request;
use skein_server::edge::webtransport_sections::Sections;
use skein_server::edge::webtransport_settings;
use skein_server::http::body::parse;
use skein_server::http::geofence_json::GeofenceBody;
use skein_server::http::guests::GuestBody;
use skein_server::http::member_import::member;
use skein_server::http::point_json::PointJson;
use skein_server::http::points::PointsBody;
use skein_server::http::sessions::{ExtendBody, StartBody};
use skein_server::http::settings::SettingsBody;
use skein_wire::ids::{ChatName, UserName};
use skein_wire::limits::CLIENT_FRAME_BYTES_MAX;
use skein_wire::varint;

/// When everything happens, milliseconds since 1970.
const NOW_MS: u64 = 1_750_000_000_000;

/// A server's keys, and a good token of each kind.
struct Stage {
    access: Access,
    user: String,
    guest: String,
}

fn stage() -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    STAGE.get_or_init(|| {
        // The keys stay in memory when their folder is gone.
        let folder = tempfile::tempdir().expect("a folder");
        let access = Access::open(folder.path(), true).expect("keys");
        let key = folder.path().join("token.pem");
        let signer = TokenSigner::open_or_create(&key).expect("a key");
        let user = UserName::new("ana").expect("a name");
        let user = signer.mint(&user, 3_600, NOW_MS).expect("a token");
        let grant = GuestGrant {
            guest: GuestId(7),
            chat: ChatName::new("hike").expect("a name"),
            session: None,
            last_only: true,
            grid: None,
        };
        let guest = access.guest_token(&grant, NOW_MS + 1_000);
        Stage {
            access,
            user,
            guest,
        }
    })
}

/// A token: the input as it is, and the input as edits of a good one, three bytes each. Whatever is taken
/// is the same person.
pub fn tokens(data: &[u8]) {
    let stage = stage();
    if let Ok(text) = std::str::from_utf8(data) {
        let verified = stage.access.verify(text, NOW_MS);
        assert!(verified.is_err() || text == stage.user || text == stage.guest);
    }
    for good in [&stage.user, &stage.guest] {
        let identity = stage.access.verify(good, NOW_MS).expect("a good token");
        let mut bytes = good.clone().into_bytes();
        for edit in data.as_chunks::<3>().0 {
            let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % bytes.len();
            bytes[at] = edit[2] & 0x7f;
        }
        let text = String::from_utf8(bytes).expect("seven bits");
        match stage.access.verify(&text, NOW_MS) {
            Ok(taken) => assert_eq!(taken, identity, "another person"),
            Err(error) => assert!(!error.text.contains(good.as_str()), "a token is told"),
        }
    }
}

/// A body: a value, or a refusal that repeats nothing of it.
pub fn bodies(data: &[u8]) {
    let refusals = [
        parse::<StartBody>(data).err(),
        parse::<ExtendBody>(data).err(),
        parse::<PointsBody>(data).err(),
        parse::<GuestBody>(data).err(),
        parse::<SettingsBody>(data).err(),
    ];
    for refusal in refusals.into_iter().flatten() {
        assert!(!refusal.error.text.is_empty());
    }
    if let Ok(body) = parse::<GeofenceBody>(data)
        && let Ok(shape) = body.shape()
    {
        // Judged, never believed.
        let _ = shape.check();
        let _ = (body.user(), body.session());
    }
    if let Ok(point) = serde_json::from_slice::<PointJson>(data)
        && let Ok(point) = point.to_point()
    {
        assert_eq!(point.check(), Ok(()), "what is taken can be stored");
    }
}

/// Lines of an import: members with rights that they can have, or refusals.
pub fn imports(data: &[u8]) {
    for line in data.split(|byte| *byte == b'\n') {
        match member(line.trim_ascii()) {
            Ok((user, bits)) => {
                assert!(!is_guest(&user), "a name of guests");
                let rights = Rights::asked(bits).expect("rights of members");
                assert!(!rights.is_none(), "a line that gives nothing");
            }
            Err(refusal) => assert!(!refusal.error.text.is_empty()),
        }
    }
}

/// A key of end-to-end encryption: as bytes, with the right check behind them, as a line and as a file. What
/// is taken for one is written and read as the same.
pub fn envelopes(data: &[u8]) {
    let check = digest::digest(&digest::SHA256, data);
    let checked = [data, &check.as_ref()[..4]].concat();
    for bytes in [data, &checked] {
        if let Ok(key) = SealKey::from_bytes(bytes) {
            assert_eq!(key.to_bytes(), bytes, "nothing is read over");
            assert_eq!(SealKey::from_text(&key.to_text()), Ok(key));
        }
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(key) = SealKey::from_text(text) {
        assert_eq!(key.to_text(), text.trim());
    }
    if let Ok(ring) = KeyRing::parse(text) {
        for key in ring.keys() {
            assert!(text.contains(&key.to_text()), "nothing is read over");
        }
    }
}

/// A request for a WebSocket, a header a line; and the bytes as frames of one.
pub fn upgrade(data: &[u8]) {
    let mut request = Request::builder()
        .method(Method::GET)
        .version(Version::HTTP_11)
        .body(())
        .expect("a request");
    for line in data.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            request.headers_mut().append(name, value);
        }
    }
    let origins = Origins::new(["https://map.example.org".to_owned()]);
    match judge(&request, &origins) {
        Ok(answer) => {
            let host = request.headers().get(HOST);
            let host = host.and_then(|host| host.to_str().ok());
            assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
            assert!(
                origins.allow(request.headers().get(ORIGIN), host),
                "a page that is not listed"
            );
        }
        Err(refused) => assert!(refused.status.is_client_error(), "{refused:?}"),
    }
    frames(data);
}

fn frames(data: &[u8]) {
    for (text, fragments) in [(false, false), (true, true)] {
        let rules = Rules {
            text,
            fragments,
            payload_bytes_max: CLIENT_FRAME_BYTES_MAX,
            controls_per_s_max: 10,
        };
        if let Ok(Some(header)) = read_header(data, &rules) {
            assert!(header.head <= data.len());
            assert!(header.len <= CLIENT_FRAME_BYTES_MAX);
        }
    }
    if let Ok(answer) = close_answer(data) {
        assert!(answer.len() <= 4, "a code and nothing else");
    }
}

/// HTTP/3 from a client: the bytes as runs of frames, cut in two ways; as settings; and as the packed
/// fields of a request, alone and behind those of a good one.
pub fn http3(data: &[u8]) {
    assert_eq!(
        sections(data, data.len()),
        sections(data, 3),
        "how the bytes are cut"
    );
    let _ = webtransport_settings::read(data);
    for fields in [data.to_vec(), [GOOD_FIELDS, data].concat()] {
        match webtransport_request::judge(&fields, &Origins::default()) {
            Ok(Err(refused)) => assert!(!refused.status.is_success(), "{refused:?}"),
            Ok(Ok(())) => assert!(fields.len() > 2, "nothing was asked"),
            Err(fault) => assert!(!fault.text.is_empty()),
        }
    }
}

/// Packed with entries of the fixed table where it has them, and without Huffman.
const GOOD_FIELDS: &[u8] = b"\0\0\xcf\xd7\x50\x01a\x51\x06/v1/wt\x27\x02:protocol\x0cwebtransport";

fn sections(data: &[u8], step: usize) -> (Vec<(u64, usize)>, bool) {
    let mut sections = Sections::default();
    let mut found = Vec::new();
    for chunk in data.chunks(step.max(1)) {
        sections.push(chunk);
        loop {
            match sections.next_whole() {
                Ok(Some(section)) => {
                    assert!(section.kind <= varint::MAX);
                    found.push((section.kind, section.value.len()));
                }
                Ok(None) => break,
                Err(_) => return (found, true),
            }
        }
    }
    (found, false)
}
