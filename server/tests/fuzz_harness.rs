//! The harness of the fuzz targets with a bounded number of inputs: damaged samples, without libFuzzer.

#[path = "../fuzz/harness.rs"]
mod harness;

/// Inputs of each target.
const INPUTS: u64 = 2_000;

const BODIES: &[&str] = &[
    r#"{"duration_s":60,"user":"ana","idempotency_key":"k","sealed":true}"#,
    r#"{"chat":"hike","session":"00000000000000a1","points":[{"counter":1,"captured_at":1,"lat":45.5,"lon":13.25,"accuracy":5}]}"#,
    r#"{"counter":1,"captured_at":-1,"lat":-90,"lon":180,"heading":359.9,"speed":0.1,"battery":100}"#,
    r#"{"counter":1,"captured_at":1,"sealed":"AAECAw=="}"#,
    r#"{"circle":{"lat":45.5,"lon":13.25,"radius_m":100},"user":"ana","dwell_s":60,"once":true}"#,
    r#"{"polygon":[[45.0,13.0],[45.0,13.1],[45.1,13.1]],"duration_s":60}"#,
    r#"{"near_m":100,"around":"00000000000000a1"}"#,
    r#"{"duration_s":60,"grid_m":500,"viewers_max":3,"label":"l"}"#,
];

const LINES: &[&str] = &[
    r#"{"user":"ana","rights":["share","watch"]}"#,
    "{\"user\":\"ben\",\"rights\":[\"watch\"],\"grid_m\":500}\n{\"user\":\"guest:1\",\"rights\":[\"share\"]}",
];

/// Of the chat `geese`, without the check; with one that is wrong, as bytes and as a line.
const KEYS: &[&str] = &[
    "\x01\x04\x04\x03\x02\x01\0\0\0\0\0\0\0\0\x05geese0123456789abcdef0123456789abcdef",
    "\x01\x04\x04\x03\x02\x01\0\0\0\0\0\0\0\0\x05geese0123456789abcdef0123456789abcdef\0\0\0\0",
    "# of June\nskein-key-1:AQQEAwIBAAAAAAAAAAAFZ2Vlc2UAAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHwAAAAA",
];

const UPGRADES: &[&str] = &[
    "host: h\nconnection: keep-alive, Upgrade\nupgrade: websocket\nsec-websocket-version: 13\n\
     sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\nsec-websocket-protocol: skein.v1\norigin: https://h",
    "\u{82}\u{85}abcdhello",
];

const HTTP3: &[&str] = &[
    "\0\0\x27\0:method\x07CONNECT\x27\x02:protocol\x0cwebtransport\x27\0:scheme\x05https\
     \x27\x03:authority\x01a\x25:path\x06/v1/wt\x26origin\x09https://b",
    "\x04\x06\x33\x01\x08\x01\x07\x00\0\x09\x68\x43\x06\0\0\0\0hi",
    "\x33\x01\x08\x01\x21\x3f",
];

/// Numbers from a seed (splitmix64), so that a failing input has a name.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound.max(1) as u64) as usize
    }

    /// A sample with some bytes changed, taken out or put in.
    fn damaged(&mut self, samples: &[&str]) -> Vec<u8> {
        let mut bytes = samples[self.below(samples.len())].as_bytes().to_vec();
        for _ in 0..self.below(4) {
            let (at, value) = (self.below(bytes.len()), self.below(256) as u8);
            match self.below(3) {
                0 if !bytes.is_empty() => bytes[at] = value,
                1 if !bytes.is_empty() => drop(bytes.remove(at)),
                _ => bytes.insert(at, value),
            }
        }
        bytes
    }
}

#[test]
fn tokens_that_are_changed_are_nobody_else() {
    let mut dice = Dice(1);
    harness::tokens(&[]);
    for _ in 0..INPUTS / 4 {
        let count = 3 * dice.below(4) + 3;
        let edits: Vec<u8> = (0..count).map(|_| dice.below(256) as u8).collect();
        harness::tokens(&edits);
    }
}

#[test]
fn bodies_of_any_content_are_survived() {
    let mut dice = Dice(2);
    for _ in 0..INPUTS {
        harness::bodies(&dice.damaged(BODIES));
    }
}

#[test]
fn lines_of_an_import_of_any_content_are_survived() {
    let mut dice = Dice(5);
    for _ in 0..INPUTS {
        harness::imports(&dice.damaged(LINES));
    }
}

#[test]
fn keys_of_any_content_are_survived() {
    let mut dice = Dice(6);
    harness::envelopes(&[]);
    for _ in 0..INPUTS {
        harness::envelopes(&dice.damaged(KEYS));
    }
}

#[test]
fn upgrades_of_any_content_are_survived() {
    let mut dice = Dice(3);
    for _ in 0..INPUTS {
        harness::upgrade(&dice.damaged(UPGRADES));
    }
}

#[test]
fn http3_of_any_content_is_survived() {
    let mut dice = Dice(4);
    harness::http3(&[]);
    for _ in 0..INPUTS {
        harness::http3(&dice.damaged(HTTP3));
    }
}
