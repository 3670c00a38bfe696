//! A run: a few lives of one store, and every crash that was chosen for every moment of them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::life::{Floor, disk_of, live, options};
use super::script::script;
use super::state::{Counts, Crash, Left, check, leave};
use crate::common::oracle::Oracle;
use crate::common::sim::Tree;
use crate::common::{Rng, small};

/// What is tried at each moment.
const CRASHES: [Crash; 7] = [
    Crash::Kill,
    Crash::KillInWrite,
    Crash::KillInCopy,
    Crash::PowerLoss,
    Crash::PowerLoss,
    Crash::PowerLoss,
    Crash::PowerLoss,
];
/// One state in so many is crashed again at each change of its recovery.
const AGAIN: usize = 48;

/// Runs it; only state `only` of it when that is given.
pub fn explore(seed: u64, run: u64, only: Option<u64>, counts: &mut Counts) {
    let mut rng = Rng::of(seed, run);
    let mut oracle = Oracle::default();
    let mut floor = Floor { after_kill: 0, after_power_loss: 0, power: false };
    let mut tree = Tree::default();
    let mut number = 0;
    let (script, first) = match script(seed, run) {
        Some((steps, first)) => (Some(steps), first),
        None => (None, options(&mut rng)),
    };
    for life in 0..1 + rng.below(4) {
        // Some lives have the ring that people have at least.
        let other = if rng.chance(5) { small(first.durability, true) } else { options(&mut rng) };
        let wal = if life == 0 || rng.chance(50) { first } else { other };
        let disk = disk_of(tree, &wal);
        let (moments, end) = live(&disk, wal, &mut oracle, floor, script, &mut rng);
        for (at, moment) in moments.iter().enumerate() {
            for crash in CRASHES {
                number += 1;
                if only.is_some_and(|only| only != number) {
                    continue;
                }
                let mut rng = Rng::of(seed, run << 32 | number);
                let Some(left) = leave(moment, crash, &mut rng) else { continue };
                let power = crash == Crash::PowerLoss;
                *(if power { &mut counts.power_losses } else { &mut counts.kills }) += 1;
                let power = power || moment.floor.power;
                let again = rng.below(AGAIN) == 0;
                let (oracle, floor) = (&*moment.oracle, moment.floor);
                let left = Left { tree: left, was: wal, oracle, floor, power, again };
                catch_unwind(AssertUnwindSafe(|| check(left, &mut rng, counts))).unwrap_or_else(|_| {
                    let (op, name) = (moment.point.op, &moment.point.name);
                    panic!(
                        "SPELLKEEP_SEED={seed} SPELLKEEP_RUN={run} SPELLKEEP_STATE={number}: {crash:?} in life {life} \
                         before change {at}, {op} {name}; {wal:?}, {:?}",
                        moment.floor
                    )
                });
            }
        }
        tree = disk.tree();
        floor = end;
        if rng.chance(40) {
            tree.lose_power(&mut rng);
            floor.after_kill = floor.after_power_loss;
            floor.power = true;
        } else {
            floor.after_power_loss = floor.after_power_loss.min(floor.after_kill);
        }
    }
}
