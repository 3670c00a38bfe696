//! Versions that a power loss may have taken are not given again: whoever saw one of them would take another value for
//! it. How many there were nobody can know, so the log goes on behind the most that there can have been, and says so.

use super::manifest::Manifest;
use super::recover::Recovered;
use super::{Damage, WalError, WalOptions};
use crate::env::Env;
use crate::limits::BATCH_OPS_MAX;
use crate::record::{Draft, FRAME_OVERHEAD_BYTES, Kind, Mark, Seal, StateClass};

/// For openings that did not say: more than the longest segment has of the smallest records.
const UNSYNCED_MAX: u64 = 1 << 35;

impl WalOptions {
    /// The most records that can be given out and not synced yet: whoever fills a segment syncs it, an append waits for
    /// room in the ring, and before a commit that is larger than the ring everything is synced.
    pub(super) fn unsynced_max(&self) -> u64 {
        (self.segment_bytes + self.ring_bytes) / FRAME_OVERHEAD_BYTES as u64 + BATCH_OPS_MAX as u64
    }
}

/// After a power loss, ends the log with a durable record that leaves out the versions that may have been lost.
///
/// Killed before that is durable, the next opening finds the same and does the same.
pub(super) fn skip_lost(env: &Env, known: &Manifest, recovered: &mut Recovered) -> Result<(), WalError> {
    if known.clean || known.incarnation == env.disk.incarnation()? {
        return Ok(());
    }
    let last = &recovered.last;
    let count = if known.unsynced_max == 0 { UNSYNCED_MAX } else { known.unsynced_max.min(UNSYNCED_MAX) };
    let end = recovered.end;
    let no_more =
        || Damage::new(&last.file.path(), last.offset(end.pos), end.lsn, "no version can come after this one");
    let seal = Seal {
        lsn: end.lsn.checked_add(count + 1).ok_or_else(no_more)?,
        time_us: env.clock.now_us(),
        prev_pos: 0,
        epoch: known.epoch,
        prev_sum: end.sum,
        unsynced_count: 0,
        flags: 0,
        seed: known.seed(),
    };
    let mut draft = Draft::of(Kind::Skip, StateClass::Standard, &[], &[], &[]);
    let (frame, sum) = draft.seal(&seal);
    last.write(frame, end.pos)?;
    last.file.sync_named()?;
    recovered.end = Mark { lsn: seal.lsn, pos: end.pos + frame.len() as u64, sum, epoch: seal.epoch };
    recovered.report.skipped_count = seal.lsn - 1 - recovered.report.last_lsn;
    Ok(())
}
