//! One life of a store: an opening, some steps, an end. Noted before each change of the disk and after each step, with
//! what may and what must be there if everything ended at that moment.

use std::rc::Rc;
use std::sync::Arc;

use spellkeep_core::record::Lsn;
use spellkeep_core::store::{Store, StoreError, StoreOptions};
use spellkeep_core::wal::{Retention, WalOptions};

use super::script::Step;
use crate::common::oracle::Oracle;
use crate::common::sim::{Point, SimDisk, Tree};
use crate::common::{Rng, WORDS, env_on, small};

/// What must be there.
#[derive(Clone, Copy, Debug)]
pub struct Floor {
    pub after_kill: Lsn,
    pub after_power_loss: Lsn,
    /// Whether the power was lost since an opening was complete, so that records may be missing after a kill too.
    pub power: bool,
}

pub struct Moment {
    pub point: Point,
    pub floor: Floor,
    /// What may be there: all that was asked for, the step under way included.
    pub oracle: Rc<Oracle>,
    /// A state in the middle of a copy into the ring, when that is what came before.
    pub half_copied: Option<Tree>,
}

/// The lengths of values that a small ring makes interesting.
pub fn step(oracle: &mut Oracle, store: &Store, rng: &mut Rng) -> Result<(), StoreError> {
    match rng.below(100) {
        0..15 => Ok(store.wal().drain(rng.chance(50))?),
        // Few: each is many changes of the disk.
        15 => oracle.checkpoint(store),
        _ => oracle.step_of(store, rng, [0, 10, 200, 700, 2600], 2500),
    }
}

pub fn options(rng: &mut Rng) -> WalOptions {
    let ring_bytes = [4096, 4096, 8192][rng.below(3)];
    let segment_bytes = [4096, 4096, 9000][rng.below(3)];
    WalOptions { ring_bytes, segment_bytes, ..small(WORDS[rng.below(3)], rng.chance(60)) }
}

pub fn open(disk: &SimDisk, options: WalOptions) -> Result<Store, StoreError> {
    // As much of the log goes as can.
    let keep = Retention { log_bytes: Some(0), age_us: 0 };
    Store::open(env_on(Arc::new(disk.clone())), StoreOptions { keep, ..options.into() })
}

/// A disk that reserves little ahead, so that a state is quickly read back.
pub fn disk_of(tree: Tree, options: &WalOptions) -> SimDisk {
    let mut disk = SimDisk::of(tree);
    // The spare that stays behind what appends may use, and two pages of room beyond a full ring.
    disk.grant = Some(options.ring_bytes as usize + (16 << 10) + 8192);
    disk
}

struct Notes<'a> {
    disk: &'a SimDisk,
    moments: Vec<Moment>,
}

impl Notes<'_> {
    fn take(&mut self, floor: Floor, oracle: &Oracle) {
        let oracle = Rc::new(oracle.clone());
        for point in self.disk.take_points() {
            self.moments.push(Moment { point, floor, oracle: Rc::clone(&oracle), half_copied: None });
        }
    }
}

fn u32_in(tree: &Tree, id: u64, at: usize) -> usize {
    let mut bytes = [0; 4];
    tree.files[&id].contents.now.read(&mut bytes, at);
    u32::from_le_bytes(bytes) as usize
}

/// The ring as a kill leaves it in the middle of a commit: its stores come in order, each frame's first word last.
fn half_copied(before: &Tree, after: &Tree, from: u64, to: u64, rng: &mut Rng) -> Option<Tree> {
    let mut tree = before.clone();
    let id = *tree.names.get("ring")?;
    let capacity = tree.files[&id].contents.now.len() - 4096;
    let place = |pos: u64| 4096 + pos as usize % capacity;
    let mut left = rng.below((to - from) as usize / 8);
    let mut frame = from;
    while frame < to {
        let len = u32_in(after, id, place(frame)) as u64;
        for word in (frame + 8..frame + len).step_by(8).chain([frame]) {
            let mut bytes = [0; 8];
            after.files[&id].contents.now.read(&mut bytes, place(word));
            tree.files.get_mut(&id)?.contents.write(&bytes, place(word), false);
            left = left.checked_sub(1).unwrap_or(usize::MAX);
            if left == usize::MAX {
                return Some(tree);
            }
        }
        frame += len;
    }
    Some(tree)
}

/// Lives on `disk`, whose log the oracle knows and of which `floor` must be there. Returns the moments and what must be
/// there in the end.
pub fn live(
    disk: &SimDisk,
    options: WalOptions,
    oracle: &mut Oracle,
    floor: Floor,
    script: Option<&[Step]>,
    rng: &mut Rng,
) -> (Vec<Moment>, Floor) {
    let mut notes = Notes { disk, moments: Vec::new() };
    disk.note_points();
    let store = open(disk, options).unwrap();
    notes.take(floor, oracle);
    oracle.reopened(&store, floor.after_kill);
    let now = |oracle: &Oracle| Floor { after_kill: oracle.acked, after_power_loss: oracle.durable, power: false };
    let count = script.map_or(3 + rng.below(10), <[Step]>::len);
    let mut rest = disk.tree();
    for i in 0..count {
        let (before, from) = (now(oracle), store.wal().end());
        match script {
            Some(steps) => steps[i](oracle, &store).unwrap(),
            None => step(oracle, &store, rng).unwrap(),
        }
        oracle.durable = oracle.durable.max(store.wal().synced_lsn());
        let quiet = disk.point_count() == 0 && store.wal().end() > from;
        notes.take(before, oracle);
        disk.note_rest();
        notes.take(now(oracle), oracle);
        let tree = disk.tree();
        if let Some(last) = notes.moments.last_mut().filter(|_| quiet) {
            let half_copied = half_copied(&rest, &tree, from, store.wal().end(), rng);
            let (point, oracle) =
                (Point { tree: rest, op: "copy", name: "ring".into(), write: None }, last.oracle.clone());
            notes.moments.push(Moment { point, floor: before, oracle, half_copied });
        }
        rest = tree;
    }
    if rng.chance(40) {
        let before = now(oracle);
        oracle.close(&store).unwrap();
        notes.take(before, oracle);
        disk.note_rest();
        notes.take(now(oracle), oracle);
    }
    drop(store);
    let moments = notes.moments;
    disk.stop_noting();
    (moments, now(oracle))
}
