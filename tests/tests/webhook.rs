//! Webhooks: what happens is pushed in order, signed, at least once, across kills; what nobody takes is
//! kept where it can be seen.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use skein_server::webhook::signer::Signer;
use skein_tests::cores::Cores;
use skein_tests::events;
use skein_tests::fleet::now_ms;
use skein_tests::http::{Request, Response};
use skein_tests::on_one_and_two_shards;
use skein_tests::server::{Options, Server};
use skein_tests::wait::{self, PATIENCE};
use skein_tests::webhook::{self, Receiver};

on_one_and_two_shards!(
    events_are_pushed_in_order_and_signed,
    a_receiver_that_was_away_gets_everything_across_kills,
    what_was_given_up_is_listed_retried_and_dropped,
    a_full_list_of_dead_letters_gives_nothing_up,
);

/// The secret and the place of its file.
struct Secret {
    folder: tempfile::TempDir,
}

impl Secret {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let secret = Self { folder };
        let text = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n";
        fs::write(secret.path(), text).expect("written");
        secret
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("secret")
    }

    /// A server that pushes to these receivers.
    fn server(&self, cores: Cores, receivers: &[&Receiver], more: &str) -> Server {
        let urls: Vec<String> = receivers.iter().map(|it| it.url()).collect();
        let secret = self.path().display().to_string();
        let configuration = format!("[webhook]\nurls = {urls:?}\nsecret = {secret:?}\n{more}\n");
        Server::start_with(Options {
            configuration,
            ..Options::new(cores)
        })
    }
}

/// A session of `ana` that begins and ends: two events.
fn share_once(server: &Server) -> String {
    let started = Request::new("POST", "/v1/chats/news/sessions")
        .json(&json!({ "duration_s": 600, "user": "ana" }))
        .send(server.ready.control)
        .expect_success("a start")
        .json();
    let session = started["session"].as_str().expect("an id").to_owned();
    Request::new("DELETE", &format!("/v1/chats/news/sessions/{session}"))
        .send(server.ready.control)
        .expect_success("a stop");
    session
}

fn ends_of(events: &[Value], session: &str) -> usize {
    let is_end = |it: &&Value| it["session"] == session && it["type"] == "stopped";
    events.iter().filter(is_end).count()
}

fn await_end(receiver: &Receiver, session: &str) {
    wait::until("the end is pushed", PATIENCE, || {
        ends_of(&receiver.events(), session) > 0
    });
}

/// What the stream has, up to the end of a session.
fn streamed(server: &Server, session: &str) -> Vec<Value> {
    events::read(server.ready.control, 0, PATIENCE, |events| {
        ends_of(events, session) > 0
    })
}

fn index_of(event: &Value) -> u64 {
    event["index"].as_u64().expect("an index")
}

fn events_are_pushed_in_order_and_signed(cores: Cores) {
    let secret = Secret::new();
    let receivers = [Receiver::start(), Receiver::start()];
    let server = secret.server(cores, &[&receivers[0], &receivers[1]], "");
    server.add_member("news", "ana");
    let sessions: Vec<String> = (0..20).map(|_| share_once(&server)).collect();
    let last = sessions.last().expect("sessions");
    let signer = Signer::read(&secret.path()).expect("the secret");
    for receiver in &receivers {
        await_end(receiver, last);
        assert_eq!(receiver.events(), streamed(&server, last));
        let mut ids = Vec::new();
        for post in receiver.posts() {
            let (id, at) = (post.header("webhook-id"), post.header("webhook-timestamp"));
            let at: u64 = at.parse().expect("seconds");
            assert!(now_ms() / 1_000 - at <= PATIENCE.as_secs() * 10, "{at}");
            let signature = signer.sign(id, at, post.body.as_bytes());
            assert_eq!(post.header("webhook-signature"), signature);
            assert_eq!(post.header("content-type"), "application/json");
            ids.push(id.to_owned());
        }
        let all = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), all, "nothing was sent twice");
    }
    let taken = server.metrics().sum("skein_webhook_events_total");
    assert_eq!(taken as usize, 2 * streamed(&server, last).len());
}

fn a_receiver_that_was_away_gets_everything_across_kills(cores: Cores) {
    let secret = Secret::new();
    let receiver = Receiver::start();
    let mut server = secret.server(cores, &[&receiver], "");
    server.add_member("news", "ana");
    let first = share_once(&server);
    await_end(&receiver, &first);
    // It says no, then nothing at all, while the server dies twice.
    for status in [500, 0] {
        receiver.answer(status);
        let before = receiver.posts().len();
        share_once(&server);
        wait::until("a try", PATIENCE, || receiver.posts().len() > before);
        server.crash_and_restart();
        share_once(&server);
    }
    wait::until("it is seen to fail", PATIENCE, || {
        server.metrics().sum("skein_webhook_failures_total") > 0.0
    });
    receiver.answer(200);
    let last = share_once(&server);
    await_end(&receiver, &last);
    let whole = streamed(&server, &last);
    let got = receiver.events();
    // At least once, and in order where what came again is left out.
    let mut seen = 0;
    let mut once = Vec::new();
    for event in got {
        if index_of(&event) > seen {
            seen = index_of(&event);
            once.push(event);
        }
    }
    assert_eq!(once, whole);
    // What it has acknowledged does not come again, whether the server was stopped or killed. The
    // last acknowledgement may be on its way to the disk, so that it is waited for.
    let list = || {
        let answer = Request::new("GET", "/v1/webhooks").send(server.ready.control);
        answer.expect_success("the list").json()["webhooks"][0].clone()
    };
    wait::until("the place is noted", PATIENCE, || {
        list()["after"] == whole.last().expect("events")["id"] && list()["lag"] == 0
    });
    let before = receiver.posts().len();
    server.crash_and_restart();
    let newest = share_once(&server);
    await_end(&receiver, &newest);
    let new: Vec<Value> = receiver.posts()[before..]
        .iter()
        .flat_map(|post| post.events())
        .collect();
    assert!(new.iter().all(|event| index_of(event) > seen), "{new:?}");
}

fn dead_letters(server: &Server) -> Vec<Value> {
    let answer = Request::new("GET", "/v1/webhooks/dead").send(server.ready.control);
    let list = answer.expect_success("the list").json();
    list["dead_letters"].as_array().expect("a list").clone()
}

fn letter(server: &Server, method: &str, letter: &Value, verb: &str) -> Response {
    let path = format!("/v1/webhooks/dead/{}{verb}", letter["id"]);
    Request::new(method, &path).send(server.ready.control)
}

fn what_was_given_up_is_listed_retried_and_dropped(cores: Cores) {
    let secret = Secret::new();
    let receiver = Receiver::start();
    let mut server = secret.server(cores, &[&receiver], "tries_max = 2");
    server.add_member("news", "ana");
    await_member(&receiver);
    receiver.answer(503);
    let lost = share_once(&server);
    let in_list = |server: &Server, session: &str| {
        dead_letters(server).into_iter().find(|it| {
            let whole = letter(server, "GET", it, "").expect_success("one").json();
            let events = whole["body"]["events"].as_array().cloned();
            ends_of(&events.unwrap_or_default(), session) > 0
        })
    };
    let dead = wait::until_some("a dead letter", PATIENCE, || in_list(&server, &lost));
    assert_eq!(
        (&dead["tries"], &dead["url"]),
        (&json!(2), &json!(receiver.url()))
    );
    let error = dead["error"].as_str().expect("a reason");
    assert!(error.contains("503"), "{error}");
    let tries = receiver.posts();
    let same = |id: &Value| {
        tries
            .iter()
            .filter(|it| it.header("webhook-id") == id.as_str().unwrap_or(""))
            .count()
    };
    assert_eq!(same(&dead["webhook_id"]), 2, "each try has the same id");
    // It is there after a kill, and what comes next does not wait for it.
    server.crash_and_restart();
    assert!(in_list(&server, &lost).is_some());
    receiver.answer(200);
    let next = share_once(&server);
    await_end(&receiver, &next);
    assert_eq!(ends_of(&receiver.events(), &lost), 0);
    // Tried again in vain, it stays, and says so.
    receiver.answer(500);
    let answer = letter(&server, "POST", &dead, "/retry");
    assert_eq!(answer.status, 202, "{answer:?}");
    wait::until("it was tried again", PATIENCE, || {
        in_list(&server, &lost).is_some_and(|it| it["tries"] == 3 && it["retrying"] == false)
    });
    receiver.answer(200);
    for one in dead_letters(&server) {
        letter(&server, "POST", &one, "/retry").expect_success("a retry");
    }
    await_end(&receiver, &lost);
    wait::until("the list is empty", PATIENCE, || {
        dead_letters(&server).is_empty()
    });
    let gauge = || server.metrics().sum("skein_webhook_dead_letters");
    wait::until("so says the gauge", PATIENCE, || gauge() == 0.0);
    assert_eq!(letter(&server, "POST", &dead, "/retry").status, 404);
    // And one that nobody wants.
    receiver.answer(500);
    let unwanted = share_once(&server);
    let dead = wait::until_some("a dead letter", PATIENCE, || in_list(&server, &unwanted));
    letter(&server, "DELETE", &dead, "").expect_success("dropped");
    assert_eq!(letter(&server, "DELETE", &dead, "").status, 404);
    assert!(in_list(&server, &unwanted).is_none());
}

/// The last page's last one.
fn newest_letter(server: &Server) -> Value {
    let (mut after, mut newest) = (json!(0), Value::Null);
    loop {
        let path = format!("/v1/webhooks/dead?after={after}");
        let answer = Request::new("GET", &path).send(server.ready.control);
        let mut page = answer.expect_success("a page").json();
        let letters = page["dead_letters"].as_array_mut().expect("a list");
        let Some(last) = letters.pop() else {
            return newest;
        };
        (after, newest) = (last["id"].clone(), last);
    }
}

/// How long the list may become, as `docs/OPERATIONS.md` says.
const DEAD_LETTERS_MAX: u64 = 1_000;

/// Fills the list with copies of a letter that is in it, while no server runs.
fn fill_list(server: &Server) {
    let path = server.data_dir().join("webhook").join("webhook.db");
    let database = rusqlite::Connection::open(path).expect("the list");
    let columns = "url, message, first, last, events, failed_ms, tries, error, retry, body";
    let copy = format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {DEAD_LETTERS_MAX})
         INSERT INTO dead ({columns}) SELECT {columns} FROM (SELECT * FROM dead LIMIT 1), n
         WHERE i > (SELECT COUNT(*) FROM dead)"
    );
    database.execute(&copy, []).expect("copies");
}

fn a_full_list_of_dead_letters_gives_nothing_up(cores: Cores) {
    let secret = Secret::new();
    let receiver = Receiver::start();
    let mut server = secret.server(cores, &[&receiver], "tries_max = 1");
    server.add_member("news", "ana");
    await_member(&receiver);
    receiver.answer(503);
    share_once(&server);
    wait::until("a dead letter", PATIENCE, || {
        !dead_letters(&server).is_empty()
    });
    assert!(server.stop().status.success());
    fill_list(&server);
    server.restart();
    let gauge = |server: &Server| server.metrics().sum("skein_webhook_dead_letters") as u64;
    wait::until("it is full", PATIENCE, || {
        gauge(&server) == DEAD_LETTERS_MAX
    });
    // One try is allowed, and it is tried on.
    let kept = share_once(&server);
    let standing = |server: &Server| {
        let answer = Request::new("GET", "/v1/webhooks").send(server.ready.control);
        answer.expect_success("the list").json()["webhooks"][0].clone()
    };
    wait::until("it is tried on", PATIENCE, || {
        standing(&server)["failures"]
            .as_u64()
            .is_some_and(|it| it >= 3)
    });
    assert_eq!(gauge(&server), DEAD_LETTERS_MAX);
    // Room for one: what fails is given up again, and is in the list.
    let before = newest_letter(&server);
    let one = dead_letters(&server).swap_remove(0);
    letter(&server, "DELETE", &one, "").expect_success("dropped");
    wait::until("it is given up", PATIENCE, || {
        newest_letter(&server)["id"] != before["id"]
    });
    wait::until("it is full", PATIENCE, || {
        gauge(&server) == DEAD_LETTERS_MAX
    });
    // And what was tried on arrives, or is in the list: nothing is lost.
    receiver.answer(200);
    let last = share_once(&server);
    await_end(&receiver, &last);
    let newest = newest_letter(&server);
    let whole = letter(&server, "GET", &newest, "")
        .expect_success("one")
        .json();
    let given_up = whole["body"]["events"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let arrived = receiver.events();
    assert_eq!(ends_of(&given_up, &kept) + ends_of(&arrived, &kept), 1);
}

fn await_member(receiver: &Receiver) {
    wait::until("the member is pushed", PATIENCE, || {
        receiver.events().iter().any(|it| it["user"] == "ana")
    });
}

#[test]
fn an_https_address_is_trusted_by_its_certificate_alone() {
    // Another server's certificate is as good as any for 127.0.0.1.
    let other = Server::start(Cores::One);
    let keys = other.data_dir().join("keys");
    let read = |name: &str| fs::read(keys.join(name)).expect(name);
    let receiver = Receiver::start_with(Some(webhook::tls(&read("cert.pem"), &read("key.pem"))));
    let secret = Secret::new();
    let ca = format!("ca = {:?}", keys.join("cert.pem").display().to_string());
    let server = secret.server(Cores::One, &[&receiver], &ca);
    server.add_member("news", "ana");
    let session = share_once(&server);
    await_end(&receiver, &session);
    // Without it the address is not trusted, and nothing of an event goes there.
    let before = receiver.posts().len();
    let server = secret.server(Cores::One, &[&receiver], "");
    server.add_member("news", "ana");
    wait::until("it fails", PATIENCE, || {
        server.metrics().sum("skein_webhook_failures_total") >= 2.0
    });
    assert_eq!(receiver.posts().len(), before);
}

#[test]
fn without_webhooks_there_is_nothing_to_list() {
    let server = Server::start(Cores::One);
    for path in ["/v1/webhooks", "/v1/webhooks/dead"] {
        let answer = Request::new("GET", path).send(server.ready.control);
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.body.contains("webhook.urls"), "{}", answer.body);
    }
}
