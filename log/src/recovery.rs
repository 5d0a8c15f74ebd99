//! Finds out what a partition holds, from files that nobody can vouch for.
//!
//! The question is always the same: a place is not as it should be; is it a *torn tail*, written
//! but never durable, or *damage* to records that were acknowledged? The log carries the answer:
//! every batch says how far the durable mark was, and so do the state file and the clean mark.
//! A hole that begins at or below the greatest such mark is damage, any other is a torn tail.
//!
//! - A torn tail is cut: the bytes behind it are zeroed and later files removed, or old batches
//!   would come back to life behind new ones.
//! - A damaged file is rebuilt without what is lost, the hole explained by a `Gap` batch, and the
//!   original kept as `*.quarantine`. Everything before and behind the damage stays.
//!
//! Where two files claim the same offsets, the one made later (`sequence`) is right.
//!
//! After a clean stop footers are trusted. After any other stop segments are scanned, the newest
//! first, until the durable marks found reach what older footers say. Where the options ask for it,
//! the batches that a replay begins with are checked in either case.

use std::io;
use std::sync::Arc;

use crate::batch::{BatchHeader, decode_gap, encode_gap};
use crate::draft::{Draft, judge};
use crate::error::{OpenError, StorageError};
use crate::header::{HEADER_BYTES, HeaderFound, SegmentHeader};
use crate::layout::{GAP_BATCH_BYTES, batch_limit};
use crate::limits::{BATCH_HEADER_BYTES, FORMAT_VERSION, SEGMENT_BYTES_STEP, SEGMENT_HEADER_BYTES};
use crate::names;
use crate::options::Options;
use crate::position::{LogId, OFFSET_FIRST, Offset, PartitionId};
use crate::report::Corruption;
use crate::scan::{Stretch, check_batch};
use crate::segment::Segment;
use crate::shared::remove_if_there;
use crate::storage::{Storage, StoredFile};

/// Smallest file that can hold a header page, a batch and a footer.
const FILE_BYTES_MIN: usize = 2 * SEGMENT_HEADER_BYTES;

/// A file that may be a segment of the partition.
#[derive(Clone, Debug)]
pub(crate) struct SegmentCandidate {
    pub name: String,
    pub bytes: u64,
    pub base: Offset,
}

/// What recovery works with.
pub(crate) struct Recovery<'a> {
    pub storage: &'a dyn Storage,
    pub options: &'a Options,
    pub log_id: LogId,
    pub partition: PartitionId,
    /// Nothing below is held.
    pub floor: Offset,
    /// Everything up to here is known to have been durable.
    pub durable: Offset,
    /// Where the clean mark says the partition ends.
    pub clean_next: Option<Offset>,
    /// Footers are not enough from this offset on.
    pub verify_from: Option<Offset>,
    /// A number for names of quarantined files.
    pub stamp: u64,
}

/// What a partition turned out to hold.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub segments: Vec<Arc<Segment>>,
    pub next_offset: Offset,
    /// Everything up to here is durable.
    pub durable: Offset,
    pub last_time: u64,
    pub sequence: u64,
    pub epoch_seen: u32,
    pub next_segment_bytes: u64,
    pub clean: bool,
    pub torn_bytes: u64,
    pub corruption: Vec<Corruption>,
    pub notes: Vec<String>,
}

/// The files of a partition, opened.
pub(crate) struct Survey {
    drafts: Vec<Draft>,
    found: Recovered,
}

/// In three steps, of which only the middle one takes long and changes nothing: the partitions of
/// a log can be read at the same time.
impl Recovery<'_> {
    /// Opens what is there and drops what does not count.
    pub(crate) fn open_files(
        &self,
        candidates: Vec<SegmentCandidate>,
    ) -> Result<Survey, OpenError> {
        let mut found = Recovered {
            segments: Vec::new(),
            next_offset: OFFSET_FIRST,
            durable: self.durable,
            last_time: 0,
            sequence: 0,
            epoch_seen: 0,
            next_segment_bytes: self.options.segment_bytes_min,
            clean: self.clean_next.is_some(),
            torn_bytes: 0,
            corruption: Vec::new(),
            notes: Vec::new(),
        };
        let mut drafts = Vec::new();
        for candidate in candidates {
            drafts.extend(self.open(candidate, &mut found)?);
        }
        drafts.sort_by_key(|draft| (draft.header.base_offset, draft.header.sequence));
        let drafts = self.drop_superseded(drafts, &mut found)?;
        Ok(Survey { drafts, found })
    }

    /// Reads as much as is needed to decide what counts.
    pub(crate) fn read(&self, survey: &mut Survey) {
        let Survey { drafts, found } = survey;
        if self.trust_footers(drafts) && self.is_sound(drafts) {
            return;
        }
        found.clean = false;
        let known = self.scan_back(drafts);
        found.durable = known.max(self.clean_next.map_or(0, |next| next - 1));
        judge(drafts, found.durable);
    }

    /// Repairs what is not as it should be.
    pub(crate) fn repair(&self, survey: Survey) -> Result<Recovered, OpenError> {
        let Survey {
            mut drafts,
            mut found,
        } = survey;
        if !found.clean {
            self.cut_tail(&mut drafts, &mut found)?;
            self.rebuild(&mut drafts, &mut found)?;
        }
        self.finish(drafts, &mut found);
        Ok(found)
    }

    fn open(
        &self,
        candidate: SegmentCandidate,
        found: &mut Recovered,
    ) -> Result<Option<Draft>, OpenError> {
        let bytes = candidate.bytes as usize / 8 * 8;
        let mut stored = None;
        if bytes >= FILE_BYTES_MIN {
            let opened = self
                .storage
                .open(&candidate.name, bytes, batch_limit(bytes));
            stored =
                Some(opened.map_err(StorageError::during(format!("opening {}", candidate.name)))?);
        }
        let start = stored
            .as_mut()
            .map_or(&[][..], |stored| stored.mapping.exclusive());
        let (header, header_damaged) = match SegmentHeader::decode(start) {
            HeaderFound::Newer(version) => {
                return Err(OpenError::UnsupportedVersion {
                    file: candidate.name,
                    found: version,
                    supported: FORMAT_VERSION,
                });
            }
            HeaderFound::Valid(header) if self.belongs(&header, &candidate) => (header, false),
            HeaderFound::Valid(_) => {
                let kept = self.quarantine(&candidate.name)?;
                found.notes.push(format!(
                    "{} belongs to another log or partition, kept as {kept}",
                    candidate.name
                ));
                return Ok(None);
            }
            HeaderFound::Blank | HeaderFound::Damaged => (self.guess(start, &candidate), true),
        };
        let draft = Draft::new(candidate.name, stored, header, header_damaged);
        Ok(Some(draft))
    }

    fn belongs(&self, header: &SegmentHeader, candidate: &SegmentCandidate) -> bool {
        header.log_id == self.log_id
            && header.partition == self.partition
            && header.base_offset == candidate.base
            && header.base_offset >= OFFSET_FIRST
    }

    /// A header in place of a damaged one: the first batch knows the generation.
    fn guess(&self, bytes: &[u8], candidate: &SegmentCandidate) -> SegmentHeader {
        let first = bytes
            .get(SEGMENT_HEADER_BYTES..)
            .and_then(BatchHeader::decode);
        let first = first.filter(|batch| batch.base_offset == candidate.base);
        SegmentHeader {
            // Unknown; the newest one may hold everything.
            version: FORMAT_VERSION,
            partition: self.partition,
            generation: first.map_or(0, |batch| batch.generation),
            log_id: self.log_id,
            base_offset: candidate.base.max(OFFSET_FIRST),
            // Unknown; `drop_superseded` lets it pass.
            sequence: u64::MAX,
            created_at: first.map_or(0, |batch| batch.append_time),
            capacity: bytes.len(),
            epoch: 0,
        }
    }

    /// Removes files whose offsets a later file claims, or that lie before the floor.
    fn drop_superseded(
        &self,
        drafts: Vec<Draft>,
        found: &mut Recovered,
    ) -> Result<Vec<Draft>, OpenError> {
        let mut kept: Vec<Draft> = Vec::new();
        let mut sequence = 0;
        for mut draft in drafts {
            if draft.header.sequence == u64::MAX {
                if is_overtaken(&draft, kept.last_mut()) {
                    self.set_aside(draft, found)?;
                    continue;
                }
                draft.header.sequence = sequence;
            }
            if draft.header.sequence < sequence {
                self.remove(&draft.name)?;
                continue;
            }
            // The same base again: the later one replaces the earlier one.
            if kept
                .last()
                .is_some_and(|last| last.header.base_offset == draft.header.base_offset)
            {
                let earlier = kept.pop().expect("just looked at");
                self.remove(&earlier.name)?;
            }
            sequence = draft.header.sequence;
            found.epoch_seen = found.epoch_seen.max(draft.header.epoch);
            kept.push(draft);
        }
        found.sequence = sequence;
        // A segment whose successor begins at or before the floor holds nothing that counts.
        let purged = kept
            .windows(2)
            .take_while(|pair| pair[1].header.base_offset <= self.floor);
        for draft in kept.drain(..purged.count()).collect::<Vec<_>>() {
            self.remove(&draft.name)?;
        }
        Ok(kept)
    }

    /// Takes a file away that is overtaken, for good if it says when it was made.
    fn set_aside(&self, draft: Draft, found: &mut Recovered) -> Result<(), OpenError> {
        if draft.header.created_at > 0 {
            return self.remove(&draft.name);
        }
        let kept = self.quarantine(&draft.name)?;
        found.notes.push(format!(
            "{} can't be read and another file has its offsets, kept as {kept}",
            draft.name
        ));
        Ok(())
    }

    /// After a clean stop footers say everything, if they fit each other and the clean mark.
    fn trust_footers(&self, drafts: &mut [Draft]) -> bool {
        let Some(clean_next) = self.clean_next else {
            return false;
        };
        let mut expected = None;
        for index in 0..drafts.len() {
            let limit = drafts.get(index + 1).map(|next| next.header.base_offset);
            let draft = &mut drafts[index];
            let follows = expected.is_none_or(|base| base == draft.header.base_offset);
            if draft.header_damaged || !follows || !draft.take_footer(limit) {
                return false;
            }
            expected = Some(draft.end);
        }
        expected.is_none_or(|end| end == clean_next)
            && (expected.is_some() || self.floor == clean_next || clean_next == OFFSET_FIRST)
    }

    /// Whether what is to be verified is as it was written.
    fn is_sound(&self, drafts: &mut [Draft]) -> bool {
        let Some(from) = self.verify_from else {
            return true;
        };
        drafts.iter_mut().all(|draft| draft.is_sound(from))
    }

    /// Scans the newest segments until older footers can be trusted; the durable mark found.
    fn scan_back(&self, drafts: &mut [Draft]) -> Offset {
        let mut known = self.durable;
        for index in (0..drafts.len()).rev() {
            let limit = drafts.get(index + 1).map(|next| next.header.base_offset);
            let draft = &mut drafts[index];
            let trusted = limit.is_some_and(|limit| {
                !draft.header_damaged
                    && limit <= known + 1
                    && draft.take_footer(Some(limit))
                    && self.is_sound(std::slice::from_mut(draft))
            });
            if !trusted {
                known = known.max(draft.scan(limit));
            }
        }
        known
    }

    /// Zeroes what lies behind the last record that counts, and removes files behind it.
    fn cut_tail(&self, drafts: &mut Vec<Draft>, found: &mut Recovered) -> Result<(), OpenError> {
        let torn = drafts.iter().position(|draft| draft.torn);
        if let Some(index) = torn {
            let keep = if drafts[index].header_damaged {
                index
            } else {
                index + 1
            };
            for draft in drafts.drain(keep..).collect::<Vec<_>>() {
                found.torn_bytes += draft.used_bytes();
                self.remove(&draft.name)?;
            }
        }
        let Some(last) = drafts.last_mut() else {
            return Ok(());
        };
        let (end, garbage) = (last.end_position(), last.garbage_bytes());
        let Some(stored) = last.stored.as_ref().filter(|_| last.scanned) else {
            return Ok(());
        };
        // The scan has read what is appended to next, in large pieces.
        let unused = end.next_multiple_of(SEGMENT_BYTES_STEP as usize);
        if garbage == 0 && unused < stored.mapping.len() {
            stored.handle.release(unused..stored.mapping.len());
        }
        if garbage > 0 {
            found.torn_bytes += garbage as u64;
            let zeroed = stored.handle.zero(end..stored.mapping.reserved_from());
            zeroed.map_err(StorageError::during(format!(
                "zeroing the torn tail of {}",
                last.name
            )))?;
        }
        Ok(())
    }

    /// Replaces damaged files by ones without the damage.
    fn rebuild(&self, drafts: &mut [Draft], found: &mut Recovered) -> Result<(), OpenError> {
        for index in 0..drafts.len() {
            let limit = drafts.get(index + 1).map(|next| next.header.base_offset);
            let draft = &mut drafts[index];
            if draft.gaps.is_empty() && !draft.header_damaged && !draft.interspersed {
                continue;
            }
            let salvage = names::salvage(self.partition, draft.header.base_offset);
            let stored = self.salvage(draft, &salvage)?;
            // Synced before the damaged file goes: `open` finishes what is interrupted here.
            let action = || StorageError::during(format!("replacing {}", draft.name));
            stored.handle.sync().map_err(action())?;
            self.storage.sync_directory().map_err(action())?;
            let quarantine = self.quarantine(&draft.name)?;
            self.storage
                .rename(&salvage, &draft.name)
                .map_err(action())?;
            self.storage.sync_directory().map_err(action())?;
            found.corruption.push(Corruption {
                file: draft.name.clone(),
                quarantine,
                lost: draft
                    .gaps
                    .iter()
                    .map(|(from, next)| (*from, next - 1))
                    .collect(),
            });
            draft.stored = Some(stored);
            draft.gaps.clear();
            draft.header_damaged = false;
            draft.interspersed = false;
            draft.scan(limit);
        }
        Ok(())
    }

    /// Writes a copy of a damaged segment: good batches as they are, holes as gaps.
    fn salvage(&self, draft: &mut Draft, name: &str) -> Result<StoredFile, OpenError> {
        let old = draft
            .stored
            .as_mut()
            .map_or(&[][..], |stored| stored.mapping.exclusive());
        let generation = crc32fast::hash(name.as_bytes()) ^ (self.stamp as u32) | 1;
        let pieces = pieces(
            old,
            &draft.stretches,
            &draft.gaps,
            draft.header.generation,
            generation,
        );
        let step = SEGMENT_BYTES_STEP as usize;
        let mut capacity = old.len().max(self.options.segment_bytes_min as usize);
        capacity = capacity.next_multiple_of(step);
        while batch_limit(capacity) < SEGMENT_HEADER_BYTES + pieces.len() {
            capacity += step;
        }
        let action = || StorageError::during(format!("writing {name}"));
        remove_if_there(self.storage, name).map_err(action())?;
        let stored = self
            .storage
            .create(name, capacity, batch_limit(capacity))
            .map_err(action())?;
        draft.header = SegmentHeader {
            generation,
            capacity,
            ..draft.header
        };
        let mut header = [0; HEADER_BYTES];
        draft.header.encode(&mut header);
        let handle = &stored.handle;
        handle.write_at(0, &header).map_err(action())?;
        handle
            .write_at(SEGMENT_HEADER_BYTES, &pieces)
            .map_err(action())?;
        Ok(stored)
    }

    fn quarantine(&self, name: &str) -> Result<String, OpenError> {
        let kept = names::quarantine(name, self.stamp);
        let action = || StorageError::during(format!("renaming {name} to {kept}"));
        self.storage.rename(name, &kept).map_err(action())?;
        self.storage.sync_directory().map_err(action())?;
        Ok(kept)
    }

    fn remove(&self, name: &str) -> Result<(), OpenError> {
        let action = StorageError::during(format!("removing {name}"));
        Ok(remove_if_there(self.storage, name).map_err(action)?)
    }

    /// Turns drafts into segments.
    fn finish(&self, drafts: Vec<Draft>, found: &mut Recovered) {
        let count = drafts.len();
        let mut next_offset = None;
        for (index, draft) in drafts.into_iter().enumerate() {
            next_offset = Some(draft.end);
            found.last_time = found.last_time.max(draft.last_time);
            let capacity = draft.header.capacity as u64;
            found.next_segment_bytes = (capacity * 2).clamp(
                self.options.segment_bytes_min,
                self.options.segment_bytes_max,
            );
            let is_last = index + 1 == count;
            found.segments.extend(draft.into_segment(is_last));
        }
        let floor = self.floor.max(self.clean_next.unwrap_or(OFFSET_FIRST));
        found.next_offset = match next_offset {
            Some(next) => next.max(self.floor),
            None => floor.max(found.durable + 1),
        };
        // A file can't go on where its offsets would jump; the next append makes a new one.
        if let Some(last) = found
            .segments
            .last()
            .filter(|last| last.end() < found.next_offset)
        {
            last.seal();
        }
        found.durable = found.durable.min(found.next_offset - 1);
        if found.clean {
            found.durable = found.next_offset - 1;
        }
    }
}

/// Whether a file whose header is damaged is older than the one before it: that one goes on with the same
/// offsets after the file's first batch, if it has one that can be read. Its name should have been gone.
fn is_overtaken(draft: &Draft, before: Option<&mut Draft>) -> bool {
    let SegmentHeader {
        base_offset,
        created_at,
        ..
    } = draft.header;
    let before = before.filter(|before| !before.header_damaged);
    before.is_some_and(|before| before.goes_on_after(base_offset, created_at))
}

/// The batches of a rebuilt segment in order.
fn pieces(
    old: &[u8],
    stretches: &[Stretch],
    gaps: &[(Offset, Offset)],
    old_generation: u32,
    generation: u32,
) -> Vec<u8> {
    let mut pieces = Vec::new();
    let mut gaps = gaps.iter().peekable();
    let mut time = 0;
    for stretch in stretches {
        if let Some((from, next)) = gaps.next_if(|(from, _)| *from < stretch.first) {
            push_gap(&mut pieces, generation, *from, *next, time);
        }
        let mut position = stretch.position;
        while position < stretch.end_position {
            let Some(batch) = check_batch(old, position, stretch.end_position, old_generation)
            else {
                break; // Checked by the scan; it can't be.
            };
            let header = BatchHeader {
                generation,
                ..batch.header
            };
            let mut encoded = [0; BATCH_HEADER_BYTES];
            header.encode_without_len(&mut encoded);
            encoded[..4].copy_from_slice(&(header.bytes as u32).to_le_bytes());
            pieces.extend_from_slice(&encoded);
            let body = position + BATCH_HEADER_BYTES..position + header.bytes;
            pieces.extend_from_slice(&old[body]);
            time = header.append_time;
            position += header.bytes;
        }
    }
    for (from, next) in gaps {
        push_gap(&mut pieces, generation, *from, *next, time);
    }
    pieces
}

fn push_gap(pieces: &mut Vec<u8>, generation: u32, from: Offset, next: Offset, time: u64) {
    let mut batch = [0; GAP_BATCH_BYTES];
    encode_gap(generation, from, next, time, from - 1, &mut batch);
    batch[..4].copy_from_slice(&(GAP_BATCH_BYTES as u32).to_le_bytes());
    pieces.extend_from_slice(&batch);
    debug_assert!(
        decode_gap(&batch[BATCH_HEADER_BYTES..]) == Some(next),
        "a gap is readable"
    );
}

/// What the header of a file says, read without keeping the file open.
pub(crate) fn peek_header(
    storage: &dyn Storage,
    name: &str,
    bytes: u64,
) -> io::Result<HeaderFound> {
    let bytes = bytes as usize / 8 * 8;
    if bytes < FILE_BYTES_MIN {
        return Ok(HeaderFound::Blank);
    }
    let mut stored = storage.open(name, bytes, batch_limit(bytes))?;
    Ok(SegmentHeader::decode(stored.mapping.exclusive()))
}
