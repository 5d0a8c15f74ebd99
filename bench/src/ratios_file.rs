//! `target/ratios.json`: every ratio by its name, the newest of each.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::commit::commit;
use crate::folders;
use crate::mode::Effort;
use crate::ratio::Outcome;
use crate::utc;

/// Name of the file in the folder of builds.
const NAME: &str = "ratios.json";

/// The environment variable that names another file.
pub const VARIABLE: &str = "SKEIN_RATIOS";

/// Where the ratios are.
pub fn path() -> PathBuf {
    let named = env::var_os(VARIABLE).map(PathBuf::from);
    named.unwrap_or_else(|| folders::target().join(NAME))
}

/// Puts outcomes into the file; what it says about others stays.
///
/// # Errors
/// What the file system refused. A file that is no JSON object is replaced.
pub fn merge(outcomes: &[Outcome], effort: Effort) -> io::Result<()> {
    merge_into(&path(), outcomes, effort)
}

fn merge_into(path: &Path, outcomes: &[Outcome], effort: Effort) -> io::Result<()> {
    let mut all = read(path);
    let (at, commit) = (utc::now(), commit());
    for outcome in outcomes {
        let mut entry = fields(outcome);
        entry.insert("at".to_owned(), json!(at));
        entry.insert("commit".to_owned(), json!(commit));
        entry.insert("effort".to_owned(), json!(effort.name()));
        all.insert(outcome.name.clone(), Value::Object(entry));
    }
    let text = serde_json::to_string_pretty(&Value::Object(all)).map_err(io::Error::other)?;
    // Benches of several packages may run at once: nobody reads half a file.
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    fs::write(&temporary, text + "\n")?;
    fs::rename(&temporary, path)
}

fn read(path: &Path) -> Map<String, Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    match serde_json::from_str(&text) {
        Ok(Value::Object(all)) => all,
        _ => Map::new(),
    }
}

fn fields(outcome: &Outcome) -> Map<String, Value> {
    let mut entry = Map::new();
    entry.insert("ours".to_owned(), json!(outcome.ours));
    entry.insert("unit".to_owned(), json!(outcome.unit));
    if !outcome.doubts.is_empty() {
        entry.insert("doubts".to_owned(), json!(outcome.doubts));
    }
    if let Some(interval) = outcome.ours_interval {
        entry.insert("ours_interval".to_owned(), json!(interval));
    }
    if let Some(beside) = &outcome.beside {
        entry.insert("floor".to_owned(), json!(beside.floor));
        entry.insert("floor_expected".to_owned(), json!(beside.floor_expected));
        entry.insert("ratio".to_owned(), json!(beside.ratio));
        entry.insert("spread".to_owned(), json!(beside.spread));
        entry.insert("interval".to_owned(), json!(beside.interval));
        entry.insert("blocks".to_owned(), json!(beside.blocks));
        entry.insert("dropped".to_owned(), json!(beside.dropped));
        if beside.is_strange() {
            entry.insert("flagged".to_owned(), json!(true));
        }
    }
    entry
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::{merge_into, read};
    use crate::mode::Effort;
    use crate::ratio::{Outcome, SetUp, Spec, summarise};

    fn outcome(name: &str, ours: f64) -> Outcome {
        Outcome::bare(name, "B", ours)
    }

    #[test]
    fn what_a_ratio_rests_on_is_written_down() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ratios.json");
        let spec = Spec {
            name: "a",
            unit: "us",
            floor_expected: 1.0..2.0,
        };
        let few = SetUp {
            pairs: vec![(3.0, 1.0); 9],
            dropped: 2,
        };
        merge_into(&path, &[summarise(&spec, &[few])], Effort::Full).expect("merged");
        let entry = &read(&path)["a"];
        assert_eq!(
            (&entry["blocks"], &entry["dropped"]),
            (&json!(9), &json!(2))
        );
        assert_eq!(entry["interval"], json!([3.0, 3.0]));
        assert_eq!(entry["doubts"], json!(["few_blocks"]));
    }

    #[test]
    fn a_ratio_replaces_its_older_self_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ratios.json");
        fs::write(&path, "not json").expect("written");
        merge_into(
            &path,
            &[outcome("a", 1.0), outcome("b", 2.0)],
            Effort::Quick,
        )
        .expect("merged");
        merge_into(&path, &[outcome("b", 3.0)], Effort::Full).expect("merged");
        let all = read(&path);
        assert_eq!(all["a"]["ours"], 1.0);
        assert_eq!(all["b"]["ours"], 3.0);
        assert_eq!(all["b"]["effort"], "full");
        assert!(all["a"].get("ratio").is_none());
    }
}
