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
/// let allowed = [0, 1, 2, 3];
/// assert_eq!("0,2-3".parse::<CoreList>().unwrap().resolve(&allowed), Ok(vec![0, 2, 3]));
/// assert!("99".parse::<CoreList>().unwrap().resolve(&allowed).is_err());
/// // All but one where there are more than two: the unpinned threads need a core too.
/// assert_eq!(CoreList::Auto.resolve(&allowed), Ok(vec![0, 1, 2]));
/// assert_eq!(CoreList::Auto.resolve(&[0, 1]), Ok(vec![0, 1]));
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
    /// How many shards that makes, whether or not the process may use these cores.
    pub fn shards(&self, allowed: &[u16]) -> usize {
        match self {
            Self::These(cores) => cores.len(),
            Self::Auto => automatic(allowed).len(),
        }
    }

    /// The cores, given those that the process may use.
    ///
    /// # Errors
    /// One that is named and may not be used.
    pub fn resolve(&self, allowed: &[u16]) -> Result<Vec<u16>, CoreNotAllowed> {
        let named = match self {
            Self::These(cores) => cores,
            Self::Auto => return Ok(automatic(allowed)),
        };
        match named.iter().find(|core| !allowed.contains(core)) {
            None => Ok(named.clone()),
            Some(&core) => Err(CoreNotAllowed {
                core,
                allowed: Self::These(allowed.to_vec()),
            }),
        }
    }
}

fn automatic(allowed: &[u16]) -> Vec<u16> {
    let shards = match allowed.len() {
        0 => return vec![0],
        few @ 1..=2 => few,
        many => many - 1,
    };
    allowed[..shards.min(CORES_MAX)].to_vec()
}

/// A core is listed that the process may not use.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "shards.cores names core {core}, but this process may use {allowed}; \
     choose among these with --cores, or leave it at `auto`"
)]
pub struct CoreNotAllowed {
    core: u16,
    allowed: CoreList,
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
            (Ok(list), Ok(cores)) => {
                assert_eq!(list.resolve(&[0, 1, 2, 3]).as_deref(), Ok(cores), "{text}");
            }
            (Err(error), Err(part)) => assert!(error.contains(part), "{text}: {error}"),
            (got, _) => panic!("{text}: {got:?}"),
        }
    }

    #[test]
    fn lists_are_read_or_refused() {
        check("0", Ok(&[0]));
        check("0-1", Ok(&[0, 1]));
        check("3,0-1,1", Ok(&[0, 1, 3]));
        check("auto", Ok(&[0, 1, 2]));
        check("", Err("not a core"));
        check("1-0", Err("not a core"));
        check("-1", Err("not a core"));
        check("0-70", Err("at most 64"));
        check("99999", Err("not a core"));
        check("0;1", Err("not a core"));
    }

    #[test]
    fn only_cores_of_this_process_are_taken() {
        let auto = |allowed: &[u16]| CoreList::Auto.resolve(allowed).expect("some");
        assert_eq!(auto(&[]), [0]);
        assert_eq!(auto(&[5]), [5]);
        assert_eq!(auto(&[4, 5, 9]), [4, 5]);
        let error = CoreList::These(vec![1, 4]).resolve(&[4, 5]).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("core 1, but this process may use 4,5")
        );
    }

    #[test]
    fn a_list_survives_its_text_form() {
        for text in ["auto", "0", "0,1,5"] {
            assert_eq!(text.parse::<CoreList>().unwrap().to_string(), text);
        }
    }
}
