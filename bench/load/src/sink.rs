//! Where a protocol puts what it has cut out of a viewer's bytes.

/// Takes what one viewer got. The implementation checks and measures; the protocol only says.
pub trait Sink {
    /// A point came that the protocol does not know this viewer to have already.
    fn deliver(&mut self, sender: u32, counter: u64);

    /// The viewer's first sight of a sender that was there before it: what came before this
    /// counter is not owed to it. 0: the sender has sent nothing yet.
    fn first(&mut self, sender: u32, counter: u64);

    /// The server says that so many points of this sender will not come (conflated for a slow
    /// viewer, with a count).
    fn skipped(&mut self, sender: u32, count: u64);

    /// A message with points is complete.
    fn batch(&mut self);

    /// A point came again that the protocol allows to come again: no duplicate.
    fn repeated(&mut self);

    /// Something came that the protocol forbids, and the viewer can go on.
    fn strange(&mut self, what: &'static str);

    /// Bytes to be sent back.
    fn answer(&mut self, bytes: &[u8]);
}
