//! The rows of a table in the order of their last change: a doubly linked list through the slots.
//!
//! Moving a row to the end costs two links, and walking from the newest back to a cursor costs
//! exactly the rows that changed since: "changed since" never looks at the others.

/// "No slot": ends the list.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Link {
    older: u32,
    newer: u32,
    linked: bool,
}

const UNLINKED: Link = Link {
    older: NONE,
    newer: NONE,
    linked: false,
};

/// Slots ordered by their last change.
#[derive(Clone, Debug)]
pub struct ChangeOrder {
    links: Vec<Link>,
    oldest: u32,
    newest: u32,
}

impl Default for ChangeOrder {
    fn default() -> Self {
        Self {
            links: Vec::new(),
            oldest: NONE,
            newest: NONE,
        }
    }
}

impl ChangeOrder {
    /// Makes `slot` the newest.
    pub fn touch(&mut self, slot: u32) {
        if self.newest == slot {
            return;
        }
        self.remove(slot);
        let index = slot as usize;
        if index >= self.links.len() {
            self.links.resize(index + 1, UNLINKED);
        }
        self.links[index] = Link {
            older: self.newest,
            newer: NONE,
            linked: true,
        };
        match self.newest {
            NONE => self.oldest = slot,
            newest => self.links[newest as usize].newer = slot,
        }
        self.newest = slot;
    }

    /// Takes `slot` out; nothing happens if it is not in.
    pub fn remove(&mut self, slot: u32) {
        let Some(link) = self.links.get_mut(slot as usize) else {
            return;
        };
        let Link {
            older,
            newer,
            linked,
        } = std::mem::replace(link, UNLINKED);
        if !linked {
            return;
        }
        match older {
            NONE => self.oldest = newer,
            older => self.links[older as usize].newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            newer => self.links[newer as usize].older = older,
        }
    }

    /// Slots from the newest change to the oldest.
    pub fn newest_first(&self) -> impl Iterator<Item = u32> + '_ {
        let mut next = self.newest;
        std::iter::from_fn(move || {
            if next == NONE {
                return None;
            }
            let slot = next;
            next = self.links[slot as usize].older;
            Some(slot)
        })
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Heap bytes.
    pub fn bytes(&self) -> usize {
        self.links.capacity() * size_of::<Link>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_like_a_plain_list(steps in prop::collection::vec((0u32..12, any::<bool>()), 0..200)) {
            let mut order = ChangeOrder::default();
            let mut model: Vec<u32> = Vec::new();
            for (slot, remove) in steps {
                model.retain(|other| *other != slot);
                if remove {
                    order.remove(slot);
                } else {
                    order.touch(slot);
                    model.push(slot);
                }
                let newest_first: Vec<u32> = order.newest_first().collect();
                let expected: Vec<u32> = model.iter().rev().copied().collect();
                prop_assert_eq!(newest_first, expected);
            }
        }
    }
}
