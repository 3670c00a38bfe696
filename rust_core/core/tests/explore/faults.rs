//! One failing call: each call of a workload fails, once or from then on, then a crash, then what was acknowledged is
//! there.

use std::panic::{AssertUnwindSafe, catch_unwind};

use spellkeep_core::env::fault::Fault;
use spellkeep_core::wal::{Durability, WalOptions};

use super::life::{disk_of, open, options, step};
use super::script::{Step, script};
use crate::common::Rng;
use crate::common::oracle::Oracle;
use crate::common::sim::Tree;

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
/// Not an error: half of the bytes are written.
const SHORT: i32 = 0;

#[derive(Clone, Copy, Debug, Default)]
pub struct FaultCounts {
    pub runs: u64,
    pub refused_openings: u64,
    pub refused_steps: u64,
    pub repairs: u64,
    pub poisoned: u64,
}

/// What a workload does, fault or not; the same for the same seed.
struct Work {
    script: Option<&'static [Step]>,
    options: WalOptions,
    seed: u64,
}

struct Life {
    fault: Option<Fault>,
    power: bool,
}

impl Work {
    /// Two lives with the fault in force, a crash, and a third without. Returns the calls that could have failed.
    fn run(&self, life: &Life, counts: &mut FaultCounts) -> Vec<&'static str> {
        let mut rng = Rng::new(self.seed);
        let disk = disk_of(Tree::default(), &self.options);
        let mut oracle = Oracle::default();
        disk.note_calls();
        life.fault.iter().for_each(|fault| disk.faults.add(fault.clone()));
        for first in [true, false] {
            let Ok(store) = open(&disk, self.options) else {
                counts.refused_openings += 1;
                continue;
            };
            let acked = oracle.acked;
            disk.look(|| oracle.reopened(&store, acked));
            let count = self.script.map_or(8, <[Step]>::len);
            for i in 0..count {
                let done = match self.script {
                    Some(steps) => steps[i](&mut oracle, &store),
                    None => step(&mut oracle, &store, &mut rng),
                };
                oracle.durable = oracle.durable.max(store.wal().synced_lsn());
                counts.refused_steps += u64::from(done.is_err());
                oracle.check_memory_unless_maybe(&store);
                if store.wal().poisoned().is_some() {
                    let once = life.fault.as_ref().is_none_or(|fault| fault.fail_count == 1);
                    let word = self.options.durability;
                    assert!(!once || word == Durability::Process, "one failure was not repaired from the ring");
                    counts.poisoned += 1;
                    break;
                }
            }
            if first && rng.chance(50) {
                counts.refused_steps += u64::from(oracle.close(&store).is_err());
            }
            counts.repairs += store.stats().0.repair_count;
            drop(store);
            disk.kill();
        }
        let calls = disk.take_calls();
        disk.faults.clear();
        let mut floor = oracle.acked;
        if life.power {
            floor = oracle.durable;
            disk.lose_power(&mut rng);
        }
        for _ in 0..2 {
            let store = open(&disk, self.options).unwrap_or_else(|e| panic!("the opening said {e}"));
            oracle.reopened(&store, floor);
            for _ in 0..3 {
                step(&mut oracle, &store, &mut rng).unwrap();
            }
            floor = oracle.acked;
            drop(store);
            disk.kill();
        }
        oracle.reopened(&open(&disk, self.options).unwrap(), floor);
        calls
    }
}

/// Every call of one workload, each with every error that it can give; only number `only` of them when that is given.
pub fn explore(seed: u64, run: u64, only: Option<u64>, counts: &mut FaultCounts) {
    let mut rng = Rng::of(seed, run);
    let (script, options) = match script(seed, run) {
        Some((steps, options)) => (Some(steps), options),
        None => (None, options(&mut rng)),
    };
    let work = Work { script, options, seed: rng.next() };
    let calls = work.run(&Life { fault: None, power: false }, &mut FaultCounts::default());
    let mut number = 0;
    for (i, op) in calls.iter().enumerate() {
        let after_count = calls[..i].iter().filter(|former| *former == op).count() as u32;
        for errno in [EIO, ENOSPC, SHORT] {
            let possible = match *op {
                "write" => true,
                "create" | "allocate" | "rename" => errno != SHORT,
                _ => errno == EIO,
            };
            for fail_count in [1, u32::MAX] {
                number += 1;
                if !possible || only.is_some_and(|only| only != number) {
                    continue;
                }
                let power = Rng::of(seed, number).chance(50);
                let fault = Fault { op, name: "", after_count, fail_count, errno };
                counts.runs += 1;
                let life = Life { fault: Some(fault.clone()), power };
                let held = catch_unwind(AssertUnwindSafe(|| work.run(&life, counts)));
                held.unwrap_or_else(|_| {
                    let options = work.options;
                    panic!(
                        "SPELLKEEP_SEED={seed} SPELLKEEP_RUN={run} SPELLKEEP_STATE={number}: {fault:?}, power loss \
                         {power}, {options:?}"
                    )
                });
            }
        }
    }
}
