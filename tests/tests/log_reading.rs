//! `GET /v1/log` and `GET /v1/log/{partition}` of a real server: whoever waits is woken, whoever comes back goes
//! on without a hole or a repetition, also after a crash; the lines are those of `skein log export`; followers do
//! not keep others from the list; and what has rotted is said to be damaged, not given as if it were right.

use std::fs;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use skein_tests::cores::Cores;
use skein_tests::http::Request;
use skein_tests::on_one_and_two_shards;
use skein_tests::process;
use skein_tests::server::{Options, Server};
use skein_tests::wait::{self, PATIENCE};

on_one_and_two_shards!(
    a_follower_that_waits_is_woken_by_a_record,
    a_follower_goes_on_after_a_crash_without_a_hole_or_a_repetition,
    the_lines_are_those_of_an_export,
    followers_of_all_partitions_leave_the_list_to_others,
    what_has_rotted_is_said_to_be_damaged_and_the_rest_is_given,
);

const PARTITIONS: u64 = 4;

/// Longest wait that a request may ask for, milliseconds.
const WAIT_MS: u64 = 30_000;

/// Followers that the server has places for.
const FOLLOWERS: usize = 8;

fn start(cores: Cores) -> (Server, String) {
    let mut options = Options::new(cores);
    options.configuration = format!("[shards]\npartitions = {PARTITIONS}\n");
    let server = Server::start_with(options);
    let session = share(&server, "ana");
    (server, session)
}

fn share(server: &Server, user: &str) -> String {
    server.add_member("hike", user);
    let started = server.start_session("hike", user, &json!({ "duration_s": 600 }));
    let started = started.expect_success("a start").json();
    started["session"].as_str().expect("an id").to_owned()
}

fn post(server: &Server, session: &str, counter: u64) {
    let body = json!({
        "chat": "hike",
        "session": session,
        "durable": true,
        "points": [{ "counter": counter, "captured_at": 1_700_000_000_000_u64 + counter, "lat": 45.1, "lon": 13.6 }],
    });
    let post = Request::new("POST", "/v1/points").token(&server.quick_token("ana"));
    let posted = post.json(&body).send(server.ready.http);
    assert_eq!(posted.expect_success("a point").json()["accepted"], 1);
}

fn list(server: &Server) -> Value {
    let list = Request::new("GET", "/v1/log").send(server.ready.control);
    list.expect_success("a list").json()
}

/// What the list says of the partition that the chat is in.
fn of_chat(server: &Server) -> Value {
    let list = list(server);
    let mut partitions = list["partitions"].as_array().expect("a list").iter();
    let used = partitions.find(|it| it["next"].as_u64() > Some(1));
    used.expect("the chat is in one").clone()
}

fn read(server: &Server, partition: &Value, query: &str) -> Vec<Value> {
    let path = format!("/v1/log/{partition}?{query}");
    let page = Request::new("GET", &path).send(server.ready.control);
    parse(&page.expect_success("a page").body)
}

fn parse(lines: &str) -> Vec<Value> {
    let lines = lines.lines();
    let line = |line| serde_json::from_str(line).expect("a line of JSON");
    lines.map(line).collect()
}

fn a_follower_that_waits_is_woken_by_a_record(cores: Cores) {
    let (server, session) = start(cores);
    post(&server, &session, 1);
    let at = of_chat(&server);
    let after = at["next"].as_u64().expect("a number") - 1;
    let path = format!(
        "/v1/log/{}?after={after}&wait_ms={WAIT_MS}",
        at["partition"]
    );
    let (answer, answered) = mpsc::channel();
    let control = server.ready.control;
    thread::spawn(move || answer.send(Request::new("GET", &path).send(control)));
    let early = answered.recv_timeout(Duration::from_secs(1));
    assert!(early.is_err(), "there is nothing yet: {early:?}");
    post(&server, &session, 2);
    // Long before the wait is over.
    let answer = answered.recv_timeout(Duration::from_millis(WAIT_MS / 3));
    let lines = parse(&answer.expect("it is woken").expect_success("a page").body);
    assert_eq!(lines[0]["kind"], "point", "{lines:?}");
    assert_eq!(lines[0]["offset"], after + 1, "{lines:?}");
}

fn a_follower_goes_on_after_a_crash_without_a_hole_or_a_repetition(cores: Cores) {
    let (mut server, session) = start(cores);
    let mut offsets: Vec<u64> = Vec::new();
    let mut counter = 0;
    let mut epochs = Vec::new();
    for _ in 0..3 {
        for _ in 0..3 {
            counter += 1;
            post(&server, &session, counter);
        }
        let at = of_chat(&server);
        let after = offsets.last().copied().unwrap_or(0);
        // In the epoch in which it has read so far.
        let epoch = epochs.last().unwrap_or(&at["epoch"]);
        let query = format!("after={after}&epoch={epoch}&limit=10000");
        let lines = read(&server, &at["partition"], &query);
        let of_lines = lines.iter().map(|line| line["offset"].as_u64());
        offsets.extend(of_lines.map(|offset| offset.expect("an offset")));
        let points = lines.iter().filter(|line| line["kind"] == "point");
        assert_eq!(points.count(), 3, "{lines:?}");
        epochs.push(at["epoch"].clone());
        server.crash_and_restart();
    }
    let dense: Vec<u64> = (1..=offsets.len() as u64).collect();
    assert_eq!(offsets, dense);
    let numbers: Vec<u64> = epochs.iter().filter_map(Value::as_u64).collect();
    assert!(numbers.windows(2).all(|two| two[0] < two[1]), "{numbers:?}");
}

fn the_lines_are_those_of_an_export(cores: Cores) {
    let (server, session) = start(cores);
    for counter in 1..=5 {
        post(&server, &session, counter);
    }
    let data = server.data_dir().display().to_string();
    let exported = process::run(["log", "export", "--data-dir", &data]);
    let exported = exported.expect_success("an export").stdout;
    let page = |partition| {
        let path = format!("/v1/log/{partition}?after=0&limit=10000");
        let page = Request::new("GET", &path).send(server.ready.control);
        page.expect_success("a page").body
    };
    let read: String = (0..PARTITIONS).map(page).collect();
    assert!(read.lines().count() > 5, "{read}");
    assert_eq!(read.trim_end(), exported.trim_end());
}

fn followers_of_all_partitions_leave_the_list_to_others(cores: Cores) {
    let (server, session) = start(cores);
    post(&server, &session, 1);
    let at = of_chat(&server);
    let after = at["next"].as_u64().expect("a number") - 1;
    let path = format!(
        "/v1/log/{}?after={after}&wait_ms={WAIT_MS}",
        at["partition"]
    );
    let control = server.ready.control;
    let follow = || {
        let path = path.clone();
        // One that comes while somebody else looks comes again.
        let ask = move || Request::new("GET", &path).send(control).status;
        thread::spawn(move || (0..).map(|_| ask()).find(|status| *status != 503))
    };
    let followers: Vec<_> = (0..FOLLOWERS).map(|_| follow()).collect();
    wait::until("all places are taken", PATIENCE, || {
        let one_more = Request::new("GET", &format!("/v1/log/{}", at["partition"]));
        one_more.send(control).status == 503
    });
    list(&server);
    post(&server, &session, 2);
    for follower in followers {
        assert_eq!(follower.join().expect("answered"), Some(200));
    }
}

fn what_has_rotted_is_said_to_be_damaged_and_the_rest_is_given(cores: Cores) {
    const NAME: &str = "rotten-wood";
    let (mut server, session) = start(cores);
    share(&server, NAME);
    post(&server, &session, 1);
    server.add_member("hike", "cem");
    // An erase writes a checkpoint and closes the segment: behind two of them the first is not read by a start.
    for counter in 2..=3 {
        let erase = Request::new("DELETE", "/v1/log/chats/hike/points?user=cem");
        erase.send(server.ready.control).expect_success("an erase");
        post(&server, &session, counter);
    }
    let at = of_chat(&server);
    let before = read(&server, &at["partition"], "limit=10000");
    server.stop().expect_success("a stop");
    let name = format!(
        "log/p{:05}-{:020}.seg",
        at["partition"].as_u64().expect("one"),
        1
    );
    let segment = server.data_dir().join(name);
    let mut bytes = fs::read(&segment).expect("the first segment");
    let mut places = bytes.windows(NAME.len());
    let place = places.position(|it| it == NAME.as_bytes());
    bytes[place.expect("the name is in it")] ^= 1;
    fs::write(&segment, bytes).expect("written");

    server.restart();
    let after = read(&server, &at["partition"], "limit=10000");
    let damaged: Vec<&Value> = after.iter().filter(|it| it["kind"] == "damaged").collect();
    let [damaged] = damaged[..] else {
        panic!("one place is damaged: {after:?}");
    };
    let (from, next) = (damaged["from"].as_u64(), damaged["next"].as_u64());
    let is_hit = |line: &&Value| {
        let offset = line["offset"].as_u64();
        from <= offset && offset < next
    };
    let whole: Vec<&Value> = before.iter().filter(|line| !is_hit(line)).collect();
    let given: Vec<&Value> = after.iter().filter(|it| it["kind"] != "damaged").collect();
    assert!(whole.len() < before.len() && !whole.is_empty());
    assert_eq!(given[..whole.len()], whole[..]);
    // Who does not read it notices nothing.
    post(&server, &session, 4);
}
