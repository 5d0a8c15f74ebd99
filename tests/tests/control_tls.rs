//! The control API behind certificates: who shows a good one is let in, everybody else is not, and both
//! its certificates and its tokens change without a restart.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
    date_time_ymd,
};
use rustix::process::Signal;
use serde_json::json;
use skein_tests::cores::Cores;
use skein_tests::http::Request;
use skein_tests::on_one_and_two_shards;
use skein_tests::process::{self, Ended};
use skein_tests::server::{Options, Server};
use skein_tests::wait::{self, PATIENCE};
use tempfile::TempDir;

on_one_and_two_shards!(
    only_a_certificate_of_the_authority_opens,
    the_authority_changes_without_a_restart,
    a_certificate_that_is_revoked_opens_nothing,
    a_token_opens_what_its_scopes_say,
);

/// An authority that signs certificates into files of a folder.
struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// What a certificate is for, and whether its time is over.
struct Kind {
    usage: ExtendedKeyUsagePurpose,
    is_over: bool,
}

const CLIENT: Kind = Kind {
    usage: ExtendedKeyUsagePurpose::ClientAuth,
    is_over: false,
};

impl Authority {
    fn new(folder: &Path, name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).expect("signed");
        let folder = folder.join(name);
        fs::create_dir(&folder).expect("a folder");
        fs::write(folder.join("ca.pem"), certificate.pem()).expect("written");
        let issuer = Issuer::new(params, key);
        Self { folder, issuer }
    }

    fn certificate(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// A list of these certificates as revoked, good until a year.
    fn revoke(&self, names: &[&str], until: i32) -> String {
        let revoked = |name: &&str| RevokedCertParams {
            serial_number: serial(name),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(until, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: names.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer).expect("signed");
        list.pem().expect("text")
    }

    /// Files of a certificate and its key.
    fn sign(&self, name: &str, kind: &Kind) -> [PathBuf; 2] {
        let key = KeyPair::generate().expect("a key");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).expect("good names");
        params.serial_number = Some(serial(name));
        params.extended_key_usages = vec![kind.usage.clone()];
        if kind.is_over {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2020, 2, 1);
        }
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        let files = ["pem", "key"].map(|end| self.folder.join(format!("{name}.{end}")));
        fs::write(&files[0], certificate.pem()).expect("written");
        fs::write(&files[1], key.serialize_pem()).expect("written");
        files
    }
}

/// The number of a certificate: its name as it is.
fn serial(name: &str) -> SerialNumber {
    SerialNumber::from_slice(name.as_bytes())
}

/// A server whose control API asks for certificates of an authority.
struct Stage {
    server: Server,
    place: TempDir,
    authority: Authority,
    /// The authorities that the server trusts.
    trusted: PathBuf,
    /// The list of revoked certificates, where there is one.
    revoked: PathBuf,
}

impl Stage {
    fn start(cores: Cores) -> Self {
        Self::start_with(cores, None)
    }

    /// The same with lists of revoked certificates of the authority.
    fn start_with(cores: Cores, lists: Option<&dyn Fn(&Authority) -> String>) -> Self {
        let place = tempfile::tempdir().expect("a directory");
        let authority = Authority::new(place.path(), "ours");
        let server_side = Kind {
            usage: ExtendedKeyUsagePurpose::ServerAuth,
            is_over: false,
        };
        let [certificate, key] = authority.sign("server", &server_side);
        let trusted = place.path().join("trusted.pem");
        fs::copy(authority.certificate(), &trusted).expect("copied");
        let mut options = Options::new(cores);
        options.configuration =
            format!("[control]\ncert = {certificate:?}\nkey = {key:?}\nclient_ca = {trusted:?}\n");
        let revoked = place.path().join("revoked.pem");
        if let Some(lists) = lists {
            fs::write(&revoked, lists(&authority)).expect("written");
            let line = format!("client_crl = {revoked:?}\n");
            options.configuration.push_str(&line);
        }
        let server = Server::start_with(options);
        Self {
            server,
            place,
            authority,
            trusted,
            revoked,
        }
    }

    /// Lets the server read its files again, as they are now.
    fn reload(&self) {
        self.server.process.signal(Signal::HUP);
    }

    /// `skein member add` with these files, if any.
    fn add(&self, user: &str, identity: Option<&[PathBuf; 2]>) -> Ended {
        let control = self.server.ready.control.to_string();
        let ca = self.authority.certificate().display().to_string();
        let mut arguments = vec!["member", "add", "--chat", "hike", "--user", user];
        arguments.extend(["--control", &control, "--control-ca", &ca]);
        let files = identity.map(|files| files.each_ref().map(|it| it.display().to_string()));
        if let Some([certificate, key]) = &files {
            arguments.extend(["--control-cert", certificate, "--control-key", key]);
        }
        process::run(arguments)
    }

    fn is_refused(&self, what: &str, identity: Option<&[PathBuf; 2]>) {
        let ended = self.add("eve", identity);
        assert_eq!(ended.code(), Some(1), "{what}: {ended:?}");
        assert!(ended.stderr.contains("--control-cert"), "{what}: {ended:?}");
    }
}

fn only_a_certificate_of_the_authority_opens(cores: Cores) {
    let stage = Stage::start(cores);
    let right = stage.authority.sign("right", &CLIENT);
    let over = stage.authority.sign(
        "over",
        &Kind {
            is_over: true,
            ..CLIENT
        },
    );
    let of_a_server = stage.authority.sign(
        "server-only",
        &Kind {
            usage: ExtendedKeyUsagePurpose::ServerAuth,
            is_over: false,
        },
    );
    let foreign = Authority::new(stage.place.path(), "theirs").sign("foreign", &CLIENT);

    stage.add("ana", Some(&right)).expect_success("a good one");
    stage.is_refused("no certificate", None);
    stage.is_refused("another authority's", Some(&foreign));
    stage.is_refused("one whose time is over", Some(&over));
    stage.is_refused("one that is for servers", Some(&of_a_server));

    // Whoever does not speak TLS gets no HTTP, and a server that is not the one expected gets nothing.
    let plain = Request::new("GET", "/metrics").try_send(stage.server.ready.control);
    assert!(plain.is_err(), "{plain:?}");
    let control = stage.server.ready.control.to_string();
    let plain = ["member", "list", "--chat", "hike", "--control", &control];
    let plain = process::run(plain);
    assert!(plain.stderr.contains("--control-ca"), "{plain:?}");
    let theirs = stage.place.path().join("theirs/ca.pem");
    let theirs = theirs.display().to_string();
    let deceived = ["member", "list", "--chat", "hike", "--control", &control];
    let deceived = process::run(deceived.into_iter().chain(["--control-ca", &theirs]));
    assert_eq!(deceived.code(), Some(1), "{deceived:?}");
    assert!(deceived.stderr.contains("authority"), "{deceived:?}");

    // Nobody was added by any of them, and the server is well.
    let listed = list(&stage, &right);
    assert!(
        listed.contains("ana") && !listed.contains("eve"),
        "{listed}"
    );
}

fn list(stage: &Stage, identity: &[PathBuf; 2]) -> String {
    let control = stage.server.ready.control.to_string();
    let [ca, certificate, key] = [&stage.authority.certificate(), &identity[0], &identity[1]]
        .map(|it| it.display().to_string());
    let arguments = [
        "member",
        "list",
        "--chat",
        "hike",
        "--control",
        &control,
        "--control-ca",
        &ca,
        "--control-cert",
        &certificate,
        "--control-key",
        &key,
    ];
    process::run(arguments).expect_success("a list").stdout
}

fn the_authority_changes_without_a_restart(cores: Cores) {
    let stage = Stage::start(cores);
    let old = stage.authority.sign("old", &CLIENT);
    let next = Authority::new(stage.place.path(), "next");
    let new = next.sign("new", &CLIENT);
    stage.add("ana", Some(&old)).expect_success("the old one");
    stage.is_refused("the next authority", Some(&new));

    fs::copy(next.certificate(), &stage.trusted).expect("copied");
    stage.server.process.signal(Signal::HUP);
    wait::until("the next authority is trusted", PATIENCE, || {
        stage.add("ben", Some(&new)).code() == Some(0)
    });
    stage.is_refused("the old one now", Some(&old));

    // What is no authority changes nothing, and is said.
    fs::write(&stage.trusted, "nonsense").expect("written");
    stage.server.process.signal(Signal::HUP);
    wait::until("the refusal is said", PATIENCE, || {
        let said = stage.server.process.stderr.since(0).join("\n");
        said.contains("trusted.pem") && said.contains("stay as they were")
    });
    stage.add("cem", Some(&new)).expect_success("as before");
}

fn a_certificate_that_is_revoked_opens_nothing(cores: Cores) {
    let stage = Stage::start_with(cores, Some(&|ours| ours.revoke(&["lost"], 4000)));
    let [lost, kept, next] =
        ["lost", "kept", "next"].map(|name| stage.authority.sign(name, &CLIENT));
    stage.is_refused("the lost one", Some(&lost));
    stage.add("ana", Some(&kept)).expect_success("another one");
    stage.add("ben", Some(&next)).expect_success("a third one");

    let list = stage.authority.revoke(&["lost", "next"], 4000);
    fs::write(&stage.revoked, list).expect("written");
    stage.reload();
    wait::until("the next one is revoked, too", PATIENCE, || {
        stage.add("ben", Some(&next)).code() == Some(1)
    });
    stage.is_refused("the lost one", Some(&lost));
    stage.add("ana", Some(&kept)).expect_success("another one");

    // What is no list changes nothing, and is said: without one everybody would be let in.
    for nonsense in ["", "nonsense"] {
        let before = stage.server.process.stderr.since(0).len();
        fs::write(&stage.revoked, nonsense).expect("written");
        stage.reload();
        wait::until("the refusal is said", PATIENCE, || {
            let said = stage.server.process.stderr.since(before).join("\n");
            said.contains("revoked.pem") && said.contains("stay as they were")
        });
        stage.is_refused("the lost one", Some(&lost));
        stage.add("ana", Some(&kept)).expect_success("as before");
    }

    // A list whose time is over vouches for nobody.
    fs::write(&stage.revoked, stage.authority.revoke(&["lost"], 2025)).expect("written");
    stage.reload();
    wait::until("nobody is let in", PATIENCE, || {
        stage.add("ana", Some(&kept)).code() == Some(1)
    });
}

fn a_token_opens_what_its_scopes_say(cores: Cores) {
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("control.tokens");
    let (all, reader, manager) = [
        "all-0123456789abcdef",
        "read-0123456789abcdef",
        "man-0123456789abcdef",
    ]
    .into();
    fs::write(
        &file,
        format!("{all}\n{reader} read\n{manager} members,read\n"),
    )
    .expect("written");
    let mut options = Options::new(cores);
    options.configuration = format!("[access]\ncontrol_token = {file:?}\n");
    let server = Server::start_with(options);
    let to = server.ready.control;
    let ask = |token: &str, method: &str, path: &str| {
        let request = Request::new(method, path).token(token);
        let request = match method {
            "PUT" => request.json(&json!({ "rights": ["watch"] })),
            _ => request,
        };
        let answer = request.send(to);
        (
            answer.status,
            answer.json()["code"].as_str().unwrap_or("").to_owned(),
        )
    };
    let out = || (403, "out_of_scope".to_owned());
    let ana = "/v1/chats/hike/members/ana";
    assert_eq!(ask(reader, "PUT", ana), out());
    assert_eq!(ask(manager, "PUT", ana).0, 200);
    assert_eq!(ask(reader, "GET", "/v1/chats/hike/members").0, 200);
    assert_eq!(ask(reader, "GET", "/v1/chats/hike/positions"), out());
    assert_eq!(ask(manager, "DELETE", "/v1/log/users/ana/points"), out());
    assert_eq!(ask(all, "GET", "/v1/chats/hike/positions").0, 200);
    assert_eq!(ask(all, "DELETE", "/v1/log/users/ana/points").0, 200);
    assert_eq!(ask("nobody-0123456789abcdef", "GET", "/v1/log").0, 401);
    assert_eq!(
        ask(reader, "GET", "/v1/events?after=x").0,
        400,
        "let in, and then judged"
    );

    // A token that is taken out of the file opens nothing once the server has read it again.
    fs::write(&file, format!("{all}\n{manager} members,read\n")).expect("written");
    server.process.signal(Signal::HUP);
    wait::until("the reader is out", PATIENCE, || {
        ask(reader, "GET", "/v1/chats/hike/members").0 == 401
    });
    assert_eq!(ask(manager, "GET", "/v1/chats/hike/members").0, 200);
}
