//! Workloads written down: each thing that the log treats in a way of its own, in a few steps.

use spellkeep_core::record::Kind;
use spellkeep_core::store::{Store, StoreError};
use spellkeep_core::wal::WalOptions;

use crate::common::oracle::{Oracle, rec};
use crate::common::{WORDS, small as least};

type Done = Result<(), StoreError>;
pub type Step = fn(&mut Oracle, &Store) -> Done;

const S: &[u8] = b"one";

/// A value that no other step writes, of this length.
fn value(o: &Oracle, len: usize) -> Vec<u8> {
    (o.last() + 1).to_le_bytes().into_iter().cycle().take(len).collect()
}

fn put(o: &mut Oracle, s: &Store, key: &str, len: usize) -> Done {
    let value = value(o, len);
    o.set(s, S, key, &value)
}

fn batch(o: &mut Oracle, s: &Store, keys: &[&str], len: usize) -> Done {
    let value = value(o, len);
    let mut records: Vec<_> = keys.iter().map(|key| rec(Kind::Set, S, key, &value)).collect();
    records.push(rec(Kind::Delete, S, "gone", b""));
    o.batch(s, records)
}

fn small(o: &mut Oracle, s: &Store) -> Done {
    put(o, s, "a", 12)
}

fn other(o: &mut Oracle, s: &Store) -> Done {
    put(o, s, "gone", 60)
}

fn page(o: &mut Oracle, s: &Store) -> Done {
    put(o, s, "b", 1300)
}

fn larger_than_the_ring(o: &mut Oracle, s: &Store) -> Done {
    put(o, s, "c", s.wal().stats().ring_bytes as usize + 1000)
}

fn little_batch(o: &mut Oracle, s: &Store) -> Done {
    batch(o, s, &["a", "d"], 100)
}

fn batch_of_a_key(o: &mut Oracle, s: &Store) -> Done {
    batch(o, s, &[], 0)
}

fn large_batch(o: &mut Oracle, s: &Store) -> Done {
    let len = s.wal().ring_commit_bytes_max() as usize / 2;
    batch(o, s, &["a", "e", "f"], len)
}

fn delete(o: &mut Oracle, s: &Store) -> Done {
    o.delete(s, S, "gone")
}

fn delete_small(o: &mut Oracle, s: &Store) -> Done {
    o.delete(s, S, "a")
}

fn clear(o: &mut Oracle, s: &Store) -> Done {
    o.clear(s, S)
}

fn right_cas(o: &mut Oracle, s: &Store) -> Done {
    let (value, expected) = (value(o, 30), o.version(S, "a"));
    o.cas(s, S, "a", &value, expected)
}

fn wrong_cas(o: &mut Oracle, s: &Store) -> Done {
    o.cas(s, S, "a", b"never", 1 << 40)
}

fn write_out(_: &mut Oracle, s: &Store) -> Done {
    Ok(s.wal().drain(false)?)
}

fn flush(o: &mut Oracle, s: &Store) -> Done {
    o.flush(s)
}

fn checkpoint(o: &mut Oracle, s: &Store) -> Done {
    o.checkpoint(s)
}

fn short_lived(o: &mut Oracle, s: &Store) -> Done {
    let value = value(o, 40);
    o.set_ttl(s, S, "a", &value, 10)
}

fn large_and_short_lived(o: &mut Oracle, s: &Store) -> Done {
    let value = value(o, s.wal().stats().ring_bytes as usize + 1000);
    o.set_ttl(s, S, "c", &value, 10)
}

fn wait(o: &mut Oracle, s: &Store) -> Done {
    o.advance(s, 10);
    Ok(())
}

fn event(o: &mut Oracle, s: &Store) -> Done {
    let value = value(o, 40);
    o.emit(s, S, "a", &value)
}

fn event_larger_than_the_ring(o: &mut Oracle, s: &Store) -> Done {
    let value = value(o, s.wal().stats().ring_bytes as usize + 1000);
    o.emit(s, S, "a", &value)
}

fn expire(o: &mut Oracle, s: &Store) -> Done {
    o.expire(s)
}

const SCRIPTS: &[(&str, &[Step])] = &[
    ("records", &[small, small, other, flush, small, other, write_out, small]),
    ("deletes", &[small, other, delete, small, flush, delete_small, delete, other, clear, small]),
    ("conditions", &[right_cas, right_cas, wrong_cas, flush, right_cas, delete_small, right_cas]),
    ("batches", &[other, little_batch, small, flush, little_batch, batch_of_a_key, other, little_batch]),
    ("larger than the ring", &[small, larger_than_the_ring, small, larger_than_the_ring, larger_than_the_ring, small]),
    ("large batches", &[other, large_batch, small, other, large_batch, clear, large_batch, small]),
    ("around the ring", &[page, page, small, page, page, page, little_batch, page, page, small]),
    ("rotation", &[page, page, flush, page, page, flush, small, page, flush, page, page, flush, small]),
    ("checkpoints", &[page, other, checkpoint, small, delete, page, page, checkpoint, clear, other, checkpoint, small]),
    (
        "runs",
        &[
            page,
            little_batch,
            other,
            checkpoint,
            small,
            checkpoint,
            delete,
            checkpoint,
            small,
            checkpoint,
            page,
            checkpoint,
        ],
    ),
    (
        "expiry",
        &[short_lived, other, wait, flush, expire, short_lived, small, short_lived, wait, right_cas, expire, small],
    ),
    (
        "expiry of more",
        &[short_lived, large_and_short_lived, wait, small, expire, flush, short_lived, wait, expire, clear],
    ),
    (
        "events",
        &[event, small, event, flush, event, checkpoint, event, checkpoint, small, event_larger_than_the_ring, event],
    ),
    ("written, not synced", &[small, write_out, page, write_out, other, write_out, flush, small, write_out, delete]),
];

/// Every other run follows a script; they take turns through the durabilities, with and without a mapped ring, and each
/// seed begins with another.
pub fn script(seed: u64, run: u64) -> Option<(&'static [Step], WalOptions)> {
    let turn = (seed % 1000 * 7 + run / 2) as usize;
    let (_, steps) = SCRIPTS[turn % SCRIPTS.len()];
    let way = turn / SCRIPTS.len();
    let (ring_bytes, segment_bytes) = (4096, 4096);
    let options = WalOptions { ring_bytes, segment_bytes, ..least(WORDS[way % 3], (way / 3).is_multiple_of(2)) };
    run.is_multiple_of(2).then_some((steps, options))
}
