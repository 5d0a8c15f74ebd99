//! Names of configuration keys: which exist, and which one was probably meant.

use serde::Serialize;
use serde_json::Value;

use crate::config::settings::Config;

/// Letters that may differ for a key to count as a misspelling of another.
const TYPOS_MAX: usize = 3;

/// Every key with its section (`listen.quic`), sorted.
pub fn all() -> Vec<String> {
    flatten(&Config::default())
}

/// Keys of any serialisable value, with their sections, sorted.
pub fn flatten<T: Serialize>(value: &T) -> Vec<String> {
    let tree = serde_json::to_value(value).expect("configuration is plain data");
    let mut keys = Vec::new();
    collect("", &tree, &mut keys);
    keys.sort();
    keys
}

fn collect(path: &str, value: &Value, keys: &mut Vec<String>) {
    match value {
        Value::Object(section) => {
            for (name, inner) in section {
                collect(&join(path, name), inner, keys);
            }
        }
        _ => keys.push(path.to_owned()),
    }
}

/// `section` and `name` as one key.
pub fn join(section: &str, name: &str) -> String {
    if section.is_empty() {
        name.to_owned()
    } else {
        format!("{section}.{name}")
    }
}

/// The known key that was probably meant: nearly the same text, or the same last part. A name
/// without a section may also be a misspelt section, `[limits]`.
///
/// ```
/// use skein_server::config::keys::nearest;
/// assert_eq!(nearest("listen.qiuc"), Some("listen.quic".to_owned()));
/// assert_eq!(nearest("quic"), Some("listen.quic".to_owned()));
/// assert_eq!(nearest("limts"), Some("[limits]".to_owned()));
/// assert_eq!(nearest("weather"), None);
/// ```
pub fn nearest(key: &str) -> Option<String> {
    let section = sections()
        .into_iter()
        .min_by_key(|known| distance(key, known))
        .filter(|known| !key.contains('.') && distance(key, known) <= typos_allowed(key));
    match (section, nearest_key(key)) {
        // A misspelt name of the top level may also be a key there.
        (Some(section), Some(known)) if distance(key, &known) <= distance(key, &section) => {
            Some(known)
        }
        (Some(section), _) => Some(format!("[{section}]")),
        (None, known) => known,
    }
}

/// The key that was probably meant by the name of a variable that is none: one underscore instead
/// of two, or nearly so. Names are compared as a whole, and more strictly the shorter they are:
/// programs around the server have variables that begin with the same word.
///
/// ```
/// use skein_server::config::keys::key_meant;
/// assert_eq!(key_meant("listen_quic"), Some("listen.quic".to_owned()));
/// assert_eq!(key_meant("limits_stale_after"), Some("limits.stale_after_ms".to_owned()));
/// assert_eq!(key_meant("tracks"), None);
/// ```
pub fn key_meant(name: &str) -> Option<String> {
    let flat = |known: &String| distance(name, &known.replace('.', "_"));
    let best = all().into_iter().min_by_key(flat)?;
    (flat(&best) <= TYPOS_MAX.min(name.len() / 5)).then_some(best)
}

/// Every section, sorted.
fn sections() -> Vec<String> {
    let mut sections: Vec<String> = all()
        .iter()
        .filter_map(|key| Some(key.split_once('.')?.0.to_owned()))
        .collect();
    sections.dedup();
    sections
}

fn typos_allowed(key: &str) -> usize {
    TYPOS_MAX.min(key.len() / 2)
}

fn nearest_key(key: &str) -> Option<String> {
    let near = |known: &String| {
        let whole = distance(key, known);
        let last = distance(last_part(key), last_part(known)) + usize::from(whole > 0);
        whole.min(last)
    };
    let best = all()
        .into_iter()
        .min_by_key(|known| (near(known), distance(key, known)))?;
    (near(&best) <= typos_allowed(key)).then_some(best)
}

fn last_part(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

/// Edits between two texts, with neighbours swapped counting as one.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &y) in b.iter().enumerate() {
            let mut edits = (last[j] + usize::from(x != y))
                .min(last[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && x == b[j - 1] && y == a[i - 1] {
                edits = edits.min(before[j - 1] + 1);
            }
            row.push(edits);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use crate::config::keys::{distance, key_meant, nearest};

    #[test]
    fn edits_are_counted() {
        for (a, b, edits) in [
            ("", "", 0),
            ("a", "", 1),
            ("quic", "qiuc", 1),
            ("http", "https", 1),
        ] {
            assert_eq!(distance(a, b), edits, "{a} {b}");
            assert_eq!(distance(b, a), edits, "{b} {a}");
        }
    }

    #[test]
    fn a_misspelt_key_finds_its_neighbour() {
        for (key, expect) in [
            ("listen.htpp", Some("listen.http")),
            ("log.segment_byte_max", Some("log.segment_bytes_max")),
            ("server.data_dir", Some("data_dir")),
            ("access.control_tokn", Some("access.control_token")),
            ("limts", Some("[limits]")),
            ("acess", Some("[access]")),
            ("logs", Some("[log]")),
            ("datadir", Some("data_dir")),
            ("log.x", None),
            ("x", None),
            ("completely.different", None),
        ] {
            assert_eq!(nearest(key).as_deref(), expect, "{key}");
        }
    }

    #[test]
    fn variables_of_other_programs_are_none_of_ours() {
        for name in [
            "autobahn",
            "bench",
            "bin",
            "bless",
            "full",
            "keep",
            "kills",
            "log",
            "log_crash_runs",
            "peers",
            "power_cut",
            "ratios",
            "seed",
            "token",
            "tracks",
        ] {
            assert_eq!(key_meant(name), None, "{name}");
        }
        for (name, key) in [
            ("listen_quic", "listen.quic"),
            ("listen_qiuc", "listen.quic"),
            ("limts_stale_after_ms", "limits.stale_after_ms"),
            ("datadir", "data_dir"),
        ] {
            assert_eq!(key_meant(name).as_deref(), Some(key), "{name}");
        }
    }
}
