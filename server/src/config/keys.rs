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

/// The known key that was probably meant: nearly the same text, or the same last part.
///
/// ```
/// use skein_server::config::keys::nearest;
/// assert_eq!(nearest("listen.qiuc"), Some("listen.quic".to_owned()));
/// assert_eq!(nearest("quic"), Some("listen.quic".to_owned()));
/// assert_eq!(nearest("weather"), None);
/// ```
pub fn nearest(key: &str) -> Option<String> {
    let near = |known: &String| {
        let whole = distance(key, known);
        let last = distance(last_part(key), last_part(known)) + usize::from(whole > 0);
        whole.min(last)
    };
    let allowed = TYPOS_MAX.min(key.len() / 2);
    let best = all()
        .into_iter()
        .min_by_key(|known| (near(known), distance(key, known)))?;
    (near(&best) <= allowed).then_some(best)
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
    use crate::config::keys::{distance, nearest};

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
            ("x", None),
            ("completely.different", None),
        ] {
            assert_eq!(nearest(key).as_deref(), expect, "{key}");
        }
    }
}
