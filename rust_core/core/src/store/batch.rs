//! Batches: all or nothing, after a crash too. The records follow each other in the log and end with a mark.

use std::collections::HashMap;

use super::commit::{check_version, meta_of};
use super::{Store, StoreError};
use crate::index::ScopeMap;
use crate::record::{Draft, FLAG_BATCH, FLAG_BATCH_LAST, Kind, Lsn, Pos};
use crate::sync::Arc;

/// One operation of a batch.
pub struct Op {
    /// Where.
    pub map: Arc<ScopeMap>,
    /// What.
    pub draft: Draft,
    /// Only if this is the live version before the batch; 0 = none.
    pub if_version: Option<Lsn>,
}

/// Scope and key.
type Place = (Box<[u8]>, Box<[u8]>);

/// Operations to commit as one. Of several on one key the last holds, with the condition of the first.
#[derive(Default)]
pub struct Batch {
    ops: Vec<Op>,
    places: HashMap<Place, usize>,
    bytes: usize,
}

impl Batch {
    /// Adds an operation. Returns its index in the result of the commit.
    pub fn push(&mut self, op: Op) -> usize {
        let place = (op.map.scope().into(), op.draft.key().into());
        self.bytes += op.draft.frame_len();
        if let Some(index) = self.places.get(&place).copied() {
            let former = &mut self.ops[index];
            self.bytes -= former.draft.frame_len();
            *former = Op { if_version: former.if_version.or(op.if_version), ..op };
            return index;
        }
        self.places.insert(place, self.ops.len());
        self.ops.push(op);
        self.ops.len() - 1
    }

    /// The operations.
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// Bytes of its records.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Checks every condition and leaves out deletes of keys that are not there: which operations are to be written, and
    /// where the last record of each one's key stands.
    fn plan(&self) -> Result<Vec<(usize, Pos)>, StoreError> {
        let mut plan = Vec::with_capacity(self.ops.len());
        for (index, op) in self.ops.iter().enumerate() {
            let at = op.map.locate(op.draft.key());
            check_version(op.if_version, &at, index)?;
            if op.draft.kind() != Kind::Delete || at.live_lsn != 0 {
                plan.push((index, at.prev_pos));
            }
        }
        Ok(plan)
    }
}

impl Store {
    /// Commits a batch through the ring. Returns a version per operation, 0 for deletes of nothing. Never waits.
    ///
    /// # Errors
    /// As [`Store::try_set`]; the conflict names the operation. Nothing was written then.
    pub fn try_batch(&self, batch: &mut Batch) -> Result<Vec<Lsn>, StoreError> {
        self.check()?;
        let time_us = self.wal.env().clock.now_us();
        let mut append = self.wal.append(batch.bytes)?;
        let plan = batch.plan()?;
        let mut versions = vec![0; batch.ops.len()];
        let mut positions = Vec::with_capacity(plan.len());
        for (i, (index, prev_pos)) in plan.iter().enumerate() {
            let flags = batch_flags(i, plan.len());
            let (lsn, pos) = append.push(&mut batch.ops[*index].draft, time_us, *prev_pos, flags);
            versions[*index] = lsn;
            positions.push(pos);
        }
        for ((index, _), pos) in plan.iter().zip(&positions) {
            let Op { map, draft, .. } = &batch.ops[*index];
            let meta = meta_of(draft, versions[*index], *pos, time_us);
            map.locate(draft.key()).apply(append.token(), meta, draft.entry_bytes());
        }
        append.done();
        self.note_expiring(batch);
        Ok(versions)
    }

    /// Commits a batch of any size, waiting as long as it takes. Returns as [`Store::try_batch`]. A batch larger than
    /// the ring takes is durable afterwards (unless the durability is `process`).
    ///
    /// # Errors
    /// As [`Store::try_batch`], and what the system says. Nothing was written then.
    pub fn batch(&self, batch: &mut Batch) -> Result<Vec<Lsn>, StoreError> {
        loop {
            match self.try_batch(batch) {
                Err(StoreError::Busy) => self.make_room(batch.bytes)?,
                Err(StoreError::TooBig) => {
                    if let Some(versions) = self.big_batch(batch)? {
                        return Ok(versions);
                    }
                    std::hint::spin_loop();
                }
                done => return done,
            }
        }
    }

    /// None when another big commit is under way.
    fn big_batch(&self, batch: &mut Batch) -> Result<Option<Vec<Lsn>>, StoreError> {
        self.check()?;
        let Some(gate) = self.wal.gate()? else {
            self.wal.drain(false)?;
            return Ok(None);
        };
        let plan = batch.plan()?;
        let mut versions = vec![0; batch.ops.len()];
        if plan.is_empty() {
            return Ok(Some(versions));
        }
        let time_us = self.wal.env().clock.now_us();
        let prev: Vec<Pos> = plan.iter().map(|(_, prev_pos)| *prev_pos).collect();
        let mut drafts: Vec<Draft> =
            plan.iter().map(|(index, _)| std::mem::take(&mut batch.ops[*index].draft)).collect();
        let ops = &batch.ops;
        let done = gate.commit(&mut drafts, &prev, time_us, |token, first, positions, drafts| {
            for (i, ((index, _), draft)) in plan.iter().zip(drafts).enumerate() {
                let lsn = first + i as Lsn;
                let meta = meta_of(draft, lsn, positions[i], time_us);
                ops[*index].map.locate(draft.key()).apply(token, meta, draft.entry_bytes());
                versions[*index] = lsn;
            }
        });
        for ((index, _), draft) in plan.iter().zip(drafts) {
            batch.ops[*index].draft = draft;
        }
        done?;
        self.note_expiring(batch);
        Ok(Some(versions))
    }

    fn note_expiring(&self, batch: &Batch) {
        if batch.ops.iter().any(|op| op.draft.expires_us().is_some()) {
            self.reaper.note();
        }
    }
}

fn batch_flags(i: usize, count: usize) -> u16 {
    match count - i {
        1 if count == 1 => 0,
        1 => FLAG_BATCH_LAST,
        _ => FLAG_BATCH,
    }
}
