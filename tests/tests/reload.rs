//! SIGHUP: keys and certificate are read again, and nobody who is connected notices.

use std::fs;
use std::path::Path;

use rustix::process::Signal;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use skein_server::access::signer::TokenSigner;
use skein_tests::cores::Cores;
use skein_tests::fleet::{Fleet, now_ms};
use skein_tests::on_one_and_two_shards;
use skein_tests::peer::Peer;
use skein_tests::process::Process;
use skein_tests::quic_peer::QuicPeer;
use skein_tests::server::Server;
use skein_tests::table::Table;
use skein_tests::wait::{self, PATIENCE};
use skein_tests::websocket::Options;
use skein_wire::error::Code;
use skein_wire::ids::UserName;
use skein_wire::request::Delivery;

on_one_and_two_shards!(
    keys_change_without_a_restart,
    the_certificate_changes_without_a_restart,
    what_browsers_get_changes_without_a_restart,
);

/// Validity of a token here, seconds.
const TTL_S: u64 = 600;

fn signed_by(key: &Path, user: &str) -> String {
    let signer = TokenSigner::open_or_create(key).expect("a key");
    let user = UserName::new(user).expect("a user's name");
    signer.mint(&user, TTL_S, now_ms()).expect("a token")
}

fn is_welcome(server: &Server, token: &str) -> bool {
    match Peer::try_connect(server.ready.http, token, &Options::default()) {
        Ok(_) => true,
        Err(closed) => {
            assert_eq!(closed.protocol_code(), Some(Code::BadToken), "{closed:?}");
            false
        }
    }
}

fn keys_change_without_a_restart(cores: Cores) {
    let server = Server::start(cores);
    let mut fleet = Fleet::start(&server, "hike", 2);
    server.add_member("hike", "ana");
    let old = server.quick_token("ana");
    let mut connected = Peer::connect(server.ready.http, &old);
    connected.watch("hike", None, Delivery::Every);
    let other = server.scratch().join("other.pem");
    let new = signed_by(&other, "ana");
    assert!(is_welcome(&server, &old) && !is_welcome(&server, &new));

    let key = server.data_dir().join("keys").join("token.pem");
    fs::copy(&other, &key).expect("copied");
    assert!(!is_welcome(&server, &new), "files alone change nothing");
    server.process.signal(Signal::HUP);
    wait::until("the new key is in force", PATIENCE, || {
        is_welcome(&server, &new)
    });
    assert!(!is_welcome(&server, &old), "the old key is gone");

    // What cannot be read leaves everything as it was, and says so.
    fs::write(&key, "no key").expect("written");
    server.process.signal(Signal::HUP);
    wait::until("the refusal is said", PATIENCE, || {
        let said = server.process.stderr.since(0).join("\n");
        said.contains("token.pem") && said.contains("stay as they were")
    });
    assert!(is_welcome(&server, &new));

    fleet.publish();
    let mut table = Table::default();
    wait::until("who was connected goes on", PATIENCE, || {
        table.apply(connected.batch(PATIENCE).expect("a batch"));
        fleet.members().all(|member| {
            let row = table.session(member.session);
            row.is_some_and(|row| row.counter == member.counter)
        })
    });
}

fn the_certificate_changes_without_a_restart(cores: Cores) {
    let server = Server::start(cores);
    let donor = Server::start(Cores::One);
    server.add_member("hike", "ana");
    let token = server.quick_token("ana");
    let keys = server.data_dir().join("keys");
    let trusted = server.scratch().join("trusted.pem");
    fs::copy(donor.data_dir().join("keys/cert.pem"), &trusted).expect("copied");
    let trusts = || {
        let file = trusted.display().to_string();
        let url = server.quic_url();
        let arguments = [
            "watch", "--chat", "hike", "--token", &token, "--server", &url, "--ca", &file, "--for",
            "1",
        ];
        let ended = Process::skein("skein watch --ca", arguments).wait(PATIENCE);
        ended.code() == Some(0)
    };
    assert!(!trusts(), "another server's certificate");

    for file in ["cert.pem", "key.pem"] {
        fs::copy(donor.data_dir().join("keys").join(file), keys.join(file)).expect("copied");
    }
    server.process.signal(Signal::HUP);
    wait::until("the new certificate is shown", PATIENCE, trusts);
}

/// A certificate that was made long ago is as one that is not there: it is made anew.
fn what_browsers_get_changes_without_a_restart(cores: Cores) {
    let server = Server::start(cores);
    let shown = || {
        let session = QuicPeer::silent_web(server.ready.quic);
        session.expect("a session").certificate()
    };
    let file = server.data_dir().join("keys").join("browser.pem");
    let first = shown();
    assert_eq!(first, CertificateDer::from_pem_file(&file).expect("read"));
    let text = fs::read_to_string(&file).expect("read");
    let (until, rest) = text.split_once('\n').expect("a line with its end");
    assert!(until.starts_with("valid until "), "{until}");
    fs::write(&file, format!("valid until 1700000000\n{rest}")).expect("written");
    assert_eq!(shown(), first, "files alone change nothing");

    server.process.signal(Signal::HUP);
    wait::until("the new certificate is shown", PATIENCE, || {
        shown() != first
    });
    let second = CertificateDer::from_pem_file(&file).expect("read");
    assert_eq!(shown(), second);
    let said = server.process.stderr.since(0).join("\n");
    assert!(!said.contains(&server.ready.browser_sha256), "{said}");
    assert!(said.contains("browser_sha256"), "{said}");
    server.process.signal(Signal::HUP);
    assert_eq!(shown(), second, "a good one stays");
}
