//! The list of cores that get a shard each: `auto`, `0`, `0-1`, `0,2-3`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Cores that can be named. Linux masks hold 1,024 by default.
pub const CORE_MAX: u16 = 1023;

/// Shards that one process runs at most: the mesh of rings between them grows with the square.
pub const CORES_MAX: usize = 64;

/// Which cores run a shard.
///
/// ```
/// use skein_server::config::cores::CoreList;
/// assert_eq!("0,2-3".parse::<CoreList>().unwrap().resolve(8), [0, 2, 3]);
/// // All but one where there are more than two: the unpinned threads need a core too.
/// assert_eq!(CoreList::Auto.resolve(4), [0, 1, 2]);
/// assert_eq!(CoreList::Auto.resolve(2), [0, 1]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CoreList {
    /// As many as there are, less one where there are more than two.
    #[default]
    Auto,
    /// Exactly these, ascending, each once.
    These(Vec<u16>),
}

impl CoreList {
    /// The cores, given how many the machine has.
    pub fn resolve(&self, available: usize) -> Vec<u16> {
        match self {
            Self::These(cores) => cores.clone(),
            Self::Auto => {
                let shards = if available > 2 {
                    available - 1
                } else {
                    available
                };
                (0..shards.clamp(1, CORES_MAX) as u16).collect()
            }
        }
    }
}

impl FromStr for CoreList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim() == "auto" {
            return Ok(Self::Auto);
        }
        let mut cores = Vec::new();
        for part in text.split(',') {
            let (first, last) = range(part.trim())?;
            cores.extend(first..=last);
        }
        cores.sort_unstable();
        cores.dedup();
        if cores.len() > CORES_MAX {
            return Err(format!(
                "{} cores are listed, at most {CORES_MAX} can be used",
                cores.len()
            ));
        }
        Ok(Self::These(cores))
    }
}

fn range(part: &str) -> Result<(u16, u16), String> {
    let bad = || format!("`{part}` is not a core or a range; write `auto`, `0`, `0-1` or `0,2-3`");
    let core = |text: &str| match text.parse::<u16>() {
        Ok(core) if core <= CORE_MAX => Ok(core),
        _ => Err(bad()),
    };
    let (first, last) = match part.split_once('-') {
        Some((first, last)) => (core(first)?, core(last)?),
        None => (core(part)?, core(part)?),
    };
    if first > last {
        Err(bad())
    } else {
        Ok((first, last))
    }
}

impl fmt::Display for CoreList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::These(cores) => {
                let names: Vec<String> = cores.iter().map(u16::to_string).collect();
                f.write_str(&names.join(","))
            }
        }
    }
}

impl Serialize for CoreList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CoreList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use crate::config::cores::CoreList;

    fn check(text: &str, expect: Result<&[u16], &str>) {
        match (text.parse::<CoreList>(), expect) {
            (Ok(list), Ok(cores)) => assert_eq!(list.resolve(1), cores, "{text}"),
            (Err(error), Err(part)) => assert!(error.contains(part), "{text}: {error}"),
            (got, _) => panic!("{text}: {got:?}"),
        }
    }

    #[test]
    fn lists_are_read_or_refused() {
        check("0", Ok(&[0]));
        check("0-1", Ok(&[0, 1]));
        check("3,0-1,1", Ok(&[0, 1, 3]));
        check("auto", Ok(&[0]));
        check("", Err("not a core"));
        check("1-0", Err("not a core"));
        check("-1", Err("not a core"));
        check("0-70", Err("at most 64"));
        check("99999", Err("not a core"));
        check("0;1", Err("not a core"));
    }

    #[test]
    fn a_list_survives_its_text_form() {
        for text in ["auto", "0", "0,1,5"] {
            assert_eq!(text.parse::<CoreList>().unwrap().to_string(), text);
        }
    }
}
