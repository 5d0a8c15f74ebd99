//! A set of places in a table, walked in the order of memory.
//!
//! One bit a place and one bit for each 64 of them, so that a walk over few members of a large
//! table touches few words, and adding one that is there already costs a look.

/// Bits of a word.
const WORD: u32 = u64::BITS;

/// The set.
#[derive(Debug, Default)]
pub struct SlotSet {
    /// One bit a place.
    words: Vec<u64>,
    /// One bit a word that is not zero.
    summary: Vec<u64>,
}

impl SlotSet {
    /// Adds a place.
    pub fn insert(&mut self, place: u32) {
        let word = place / WORD;
        if word as usize >= self.words.len() {
            self.words.resize(word as usize + 1, 0);
            self.summary.resize((word / WORD) as usize + 1, 0);
        }
        set(&mut self.words, place);
        set(&mut self.summary, word);
    }

    /// Takes a place out, if it is a member.
    pub fn remove(&mut self, place: u32) {
        let word = place / WORD;
        if word as usize >= self.words.len() {
            return;
        }
        clear(&mut self.words, place);
        if self.words[word as usize] == 0 {
            clear(&mut self.summary, word);
        }
    }

    /// The first member at `from` or behind it.
    pub fn first_from(&self, from: u32) -> Option<u32> {
        first_in_word(&self.words, from).or_else(|| {
            let next = from / WORD + 1;
            let word = first_in_word(&self.summary, next).or_else(|| {
                let far = next / WORD + 1;
                let far =
                    (far..self.summary.len() as u32).find(|&at| self.summary[at as usize] != 0)?;
                first_in_word(&self.summary, far * WORD)
            })?;
            first_in_word(&self.words, word * WORD)
        })
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.summary.iter().all(|&word| word == 0)
    }
}

fn set(words: &mut [u64], bit: u32) {
    words[(bit / WORD) as usize] |= 1 << (bit % WORD);
}

fn clear(words: &mut [u64], bit: u32) {
    words[(bit / WORD) as usize] &= !(1 << (bit % WORD));
}

/// The first bit at `from` or behind it within one word.
fn first_in_word(words: &[u64], from: u32) -> Option<u32> {
    let rest = words.get((from / WORD) as usize)? >> (from % WORD);
    (rest != 0).then(|| from + rest.trailing_zeros())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(set: &SlotSet) -> Vec<u32> {
        let mut members = Vec::new();
        let mut from = 0;
        while let Some(place) = set.first_from(from) {
            members.push(place);
            from = place + 1;
        }
        members
    }

    #[test]
    fn a_walk_finds_every_member_once_and_in_order() {
        let places = [
            0, 1, 63, 64, 4_095, 4_096, 4_159, 262_143, 262_144, 1_000_000,
        ];
        let mut set = SlotSet::default();
        assert!(set.is_empty());
        for &place in places.iter().rev() {
            set.insert(place);
            set.insert(place);
        }
        assert_eq!(members(&set), places);
        set.remove(4_096);
        set.remove(2_000_000);
        assert!(!members(&set).contains(&4_096));
        for place in places {
            set.remove(place);
        }
        assert!(set.is_empty());
        assert!(members(&set).is_empty());
    }
}
