//! Batches: all or nothing, after a crash too. The records follow each other in the log and end with a mark.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::commit::{check_seal, check_version, meta_of};
use super::{Store, StoreError};
use crate::index::{Place, ScopeMap};
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

/// Spreads what is a hash already over all bits.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Operations to commit as one. Of several on one key the last holds, with the condition of the first.
#[derive(Default)]
pub struct Batch {
    ops: Vec<Op>,
    /// Of the key of each.
    hashes: Vec<u32>,
    /// Which operation is on the scope and key of a hash, or on the ones whose hash is one less, and so on.
    places: HashMap<u64, usize, BuildHasherDefault<Spread>>,
    bytes: usize,
}

impl Batch {
    /// Adds an operation. Returns its index in the result of the commit.
    pub fn push(&mut self, op: Op) -> usize {
        let hash = op.map.hash(op.draft.key());
        self.bytes += op.draft.frame_len();
        let mut place = (Arc::as_ptr(&op.map) as u64).rotate_left(32) ^ u64::from(hash);
        while let Some(index) = self.places.get(&place).copied() {
            let former = &mut self.ops[index];
            if former.map.scope() == op.map.scope() && former.draft.key() == op.draft.key() {
                self.bytes -= former.draft.frame_len();
                *former = Op { if_version: former.if_version.or(op.if_version), ..op };
                return index;
            }
            place = place.wrapping_add(1);
        }
        self.places.insert(place, self.ops.len());
        self.hashes.push(hash);
        self.ops.push(op);
        self.ops.len() - 1
    }

    /// The map of `scope`, if the last operation was there too: saves the lookup.
    pub fn last_map(&self, scope: &[u8]) -> Option<Arc<ScopeMap>> {
        self.ops.last().filter(|op| op.map.scope() == scope).map(|op| Arc::clone(&op.map))
    }

    fn locate(&self, index: usize) -> Place<'_> {
        let Op { map, draft, .. } = &self.ops[index];
        map.locate_hashed(self.hashes[index], draft.key())
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
            let at = self.locate(index);
            check_version(op.if_version, &at, index)?;
            check_seal(&op.draft, &at)?;
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
            let draft = &batch.ops[*index].draft;
            let meta = meta_of(draft, versions[*index], *pos, time_us);
            batch.locate(*index).apply(append.token(), meta, draft.entry_bytes());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Env;
    use crate::record::StateClass;
    use crate::wal::WalOptions;

    #[test]
    fn two_keys_of_one_hash_are_two_operations() {
        let store = Store::open(Env { threads: false, ..Env::memory() }, WalOptions::default()).unwrap();
        let (map, other) = (store.scope(b"scope"), store.scope(b"other"));
        let mut seen = HashMap::new();
        let one_more = |i: u64| {
            let key = i.to_string();
            seen.insert(map.hash(key.as_bytes()), key.clone()).map(|former| (former, key))
        };
        let (a, b) = (0..).find_map(one_more).unwrap();
        let mut batch = Batch::default();
        let mut push = |map: &Arc<ScopeMap>, key: &String, value: &[u8]| {
            let draft = Draft::of(Kind::Set, StateClass::Standard, map.scope(), key.as_bytes(), value);
            batch.push(Op { map: Arc::clone(map), draft, if_version: None })
        };
        let indexes = [push(&map, &a, b"1"), push(&map, &b, b"2"), push(&other, &a, b"3"), push(&map, &b, b"4")];
        assert_eq!(indexes, [0, 1, 2, 1]);
        assert_eq!(store.batch(&mut batch).unwrap(), [1, 2, 3]);
        let value = |map: &ScopeMap, key: &String| map.get(key.as_bytes(), |entry| entry.value().to_vec());
        assert_eq!(value(&map, &a).unwrap(), b"1");
        assert_eq!(value(&map, &b).unwrap(), b"4");
        assert_eq!(value(&other, &a).unwrap(), b"3");
        assert_eq!(value(&other, &b), None);
    }
}
