//! A map that usually has one entry and never more than some tens, in one allocation of exactly
//! its size.
//!
//! Almost every connection watches one chat. A tree of the standard library takes room for eleven
//! entries with the first one: 200 bytes of each viewer's memory for nothing.

/// The map; entries are in order of their insertion.
#[derive(Clone, Debug)]
pub(crate) struct Few<K, V> {
    entries: Vec<(K, V)>,
}

impl<K, V> Default for Few<K, V> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
        }
    }
}

impl<K: PartialEq, V> Few<K, V> {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    pub fn get(&self, key: &K) -> Option<&V> {
        let found = self.entries.iter().find(|(known, _)| known == key);
        found.map(|(_, value)| value)
    }

    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.entries.iter().map(|(key, _)| key)
    }

    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.iter().map(|(_, value)| value)
    }

    /// Puts a value in; gives the one that it replaces.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        if let Some((_, old)) = self.entries.iter_mut().find(|(known, _)| *known == key) {
            return Some(std::mem::replace(old, value));
        }
        self.entries.reserve_exact(1);
        self.entries.push((key, value));
        None
    }

    pub fn remove(&mut self, key: &K) -> Option<V> {
        let index = self.entries.iter().position(|(known, _)| known == key)?;
        let (_, value) = self.entries.remove(index);
        self.entries.shrink_to_fit();
        Some(value)
    }
}

impl<K, V> IntoIterator for Few<K, V> {
    type Item = (K, V);
    type IntoIter = std::vec::IntoIter<(K, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::Few;

    #[test]
    fn it_is_a_map_and_holds_no_spare_room() {
        let mut few = Few::default();
        assert_eq!(few.insert(7, "a"), None);
        assert_eq!(few.entries.capacity(), 1);
        assert_eq!(few.insert(8, "b"), None);
        assert_eq!(few.insert(7, "c"), Some("a"));
        assert_eq!((few.len(), few.get(&7)), (2, Some(&"c")));
        assert_eq!(few.remove(&9), None);
        assert_eq!(few.remove(&7), Some("c"));
        assert!(!few.contains_key(&7));
        assert_eq!(few.entries.capacity(), 1);
        assert_eq!(few.values().collect::<Vec<_>>(), [&"b"]);
        assert_eq!(few.into_iter().collect::<Vec<_>>(), [(8, "b")]);
    }
}
