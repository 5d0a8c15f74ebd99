//! A key whose value is one of a few words: what is none of them is answered with all of them.

use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// Reads one of these words.
///
/// # Errors
/// What was written instead, and the words there are.
pub fn choose<'de, D, T>(deserializer: D, choices: &[(&str, T)]) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Copy,
{
    let text = String::deserialize(deserializer)?;
    let chosen = choices.iter().find(|(word, _)| *word == text);
    chosen.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<String> = choices
            .iter()
            .map(|(word, _)| format!("`{word}`"))
            .collect();
        D::Error::custom(format!("`{text}` is none of {}", words.join(", ")))
    })
}
