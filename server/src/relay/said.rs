//! What was said last of an upstream that is not heard: it is said again when it is something else.

/// The last word.
#[derive(Debug, Default)]
pub struct Said(String);

impl Said {
    /// Whether this is something else than what was said before; it counts as said then.
    pub fn is_news(&mut self, text: &str) -> bool {
        let is_news = self.0 != text;
        if is_news {
            text.clone_into(&mut self.0);
        }
        is_news
    }

    /// All is well again: whatever comes is news.
    pub fn forget(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use crate::relay::said::Said;

    #[test]
    fn a_word_is_said_once_until_there_is_another() {
        let mut said = Said::default();
        let heard = ["a", "a", "b", "a", "a"].map(|word| said.is_news(word));
        assert_eq!(heard, [true, false, true, true, false]);
        said.forget();
        assert!(said.is_news("a"));
    }
}
