//! Zeros ahead of the log: space that is only reserved makes each sync that first writes to it write metadata too.
//!
//! A file system notes which reserved blocks were ever written, and has to have that on the device before a sync is done.
//! Over blocks that were, a sync writes the data and nothing else.

use super::drain::Drain;
use super::{Durability, Wal};
use crate::record::Pos;
use crate::sync::Ordering;

/// Zeros are written in pieces of this.
const PIECE_BYTES: usize = 64 << 10;
static ZEROS: [u8; PIECE_BYTES] = [0; PIECE_BYTES];
/// So many small ones in a row make it likely that more follow.
const SMALL_SYNC_COUNT: u32 = 4;

/// How far the segment was written, be it with zeros.
#[derive(Default)]
pub(super) struct Ahead {
    zeroed: Pos,
    small_sync_count: u32,
}

impl Ahead {
    /// A segment that starts at `pos` was written nowhere.
    pub(super) fn begin(&mut self, pos: Pos) {
        self.zeroed = pos;
    }
}

/// Below which size a sync is small, and how far ahead zeros are written at a time.
///
/// With `sync` somebody waits for each, and up to some size its metadata takes longer than as many zeros: on ext4 and a virtual
/// disk of 1.2 GB/s a sync of 22 KB took 1.6 times as long without them, and one of 300 KB 1.2 times. A slower disk pays more
/// for the zeros of the larger ones. Otherwise most syncs are nobody's: it is what is written that counts, and for each large
/// sync the zeros would be as much again.
fn limits(durability: Durability) -> (u64, u64) {
    match durability {
        Durability::Sync => (512 << 10, 1 << 20),
        Durability::Interval | Durability::Process => (16 << 10, 256 << 10),
    }
}

impl Wal {
    /// Before a sync of everything up to `head`, which is written: writes zeros behind it when small syncs have used up
    /// those of the last time.
    pub(super) fn zero_ahead(&self, drain: &mut Drain, head: Pos) {
        let (small_bytes, step_bytes) = limits(self.options.durability);
        let small = head - drain.synced < small_bytes;
        drain.ahead.small_sync_count = if small { drain.ahead.small_sync_count.saturating_add(1) } else { 0 };
        // A file system without trusted mappings may put what is written again elsewhere.
        if drain.ahead.small_sync_count < SMALL_SYNC_COUNT || head < drain.ahead.zeroed || !self.mapped {
            return;
        }
        // Behind the end of the segment there will be no record.
        let end_max =
            self.allocated_end.load(Ordering::Acquire).min(drain.current.header.start + self.options.segment_bytes);
        let end = (head + step_bytes).min(end_max);
        drain.ahead.zeroed = end;
        let (mut offset, end) = (drain.current.offset(head), drain.current.offset(end));
        while offset < end {
            let take = (end - offset).min(PIECE_BYTES as u64 - offset % PIECE_BYTES as u64);
            // The space reads as zeros with and without; should the device fail, the sync says so.
            if drain.current.file.write_all_at(&ZEROS[..take as usize], offset).is_err() {
                return;
            }
            offset += take;
        }
    }
}
