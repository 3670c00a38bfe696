//! One crash: the disk as it is left, opened by the production engine, judged, written to, and opened again.

use std::panic::{AssertUnwindSafe, catch_unwind};

use spellkeep_core::store::Store;
use spellkeep_core::wal::WalOptions;

use super::life::{Floor, Moment, disk_of, open, options, step};
use crate::common::Rng;
use crate::common::oracle::Oracle;
use crate::common::sim::{SimDisk, Tree};

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    Kill,
    /// In the middle of a write into a file.
    KillInWrite,
    /// In the middle of a copy into the ring.
    KillInCopy,
    PowerLoss,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub kills: u64,
    pub power_losses: u64,
    /// Crashes while an opening recovered.
    pub second_crashes: u64,
    pub openings: u64,
    /// Openings that cut a tail, and records that they reported lost.
    pub cuts: u64,
    pub lost: u64,
    /// Acknowledged records that a power loss took, as their durability allows.
    pub gone: u64,
}

impl Counts {
    pub fn states(&self) -> u64 {
        self.kills + self.power_losses + self.second_crashes
    }
}

/// The disk after the crash; None when there is nothing of the kind to crash in.
pub fn leave(moment: &Moment, crash: Crash, rng: &mut Rng) -> Option<Tree> {
    match crash {
        Crash::Kill => Some(moment.point.tree.clone()),
        Crash::KillInWrite => moment.point.torn(rng),
        Crash::KillInCopy => moment.half_copied.clone(),
        Crash::PowerLoss => {
            let torn = if rng.chance(50) { moment.point.torn(rng) } else { None };
            let mut tree = torn.unwrap_or_else(|| moment.point.tree.clone());
            tree.lose_power(rng);
            Some(tree)
        }
    }
}

/// What a crash left, and how to judge it.
pub struct Left<'a> {
    pub tree: Tree,
    /// The options of the opening that crashed.
    pub was: WalOptions,
    pub oracle: &'a Oracle,
    pub floor: Floor,
    pub power: bool,
    /// Whether there is a second crash at each change of the opening.
    pub again: bool,
}

/// Opens what a crash left; what is there must be right.
pub fn check(left: Left<'_>, rng: &mut Rng, counts: &mut Counts) {
    let Left { tree, was, oracle, floor, power, again } = left;
    let next = if rng.chance(70) { was } else { options(rng) };
    let disk = disk_of(tree, &next);
    if again {
        disk.note_points();
    }
    let store = open(&disk, next).unwrap_or_else(|e| panic!("the opening said {e}"));
    let points = disk.take_points();
    disk.stop_noting();
    counts.openings += 1;
    let mut after = oracle.clone();
    let asked = oracle.last();
    // Nobody had seen what came later.
    after.acked = floor.after_kill;
    after.reopened(&store, if power { floor.after_power_loss } else { floor.after_kill });
    let (report, last) = (&store.recovery().log, after.acked);
    assert!(report.lost_count <= asked.saturating_sub(last), "{} of {asked} lost, {last} there", report.lost_count);
    assert!(power || report.lost_count == 0, "a kill lost {} records", report.lost_count);
    assert_eq!(report.cut_reason.is_some(), report.lost_count + report.cut_bytes > 0, "{report:?}");
    counts.cuts += u64::from(report.cut_reason.is_some());
    counts.lost += report.lost_count;
    counts.gone += oracle.acked.saturating_sub(last);
    if !again && rng.chance(60) {
        go_on(&disk, store, next, after, rng, counts);
    } else {
        drop(store);
    }
    for (number, point) in points.into_iter().enumerate() {
        let op = format!("second crash at {number}, {} {}", point.op, point.name);
        let moment = Moment { point, floor, oracle: oracle.clone().into(), half_copied: None };
        for second in [Crash::Kill, Crash::KillInWrite, Crash::PowerLoss, Crash::PowerLoss] {
            let Some(tree) = leave(&moment, second, rng) else { continue };
            counts.second_crashes += 1;
            let power = power || second == Crash::PowerLoss;
            let left = Left { tree, was: next, oracle, floor, power, again: false };
            let held = catch_unwind(AssertUnwindSafe(|| check(left, rng, counts)));
            held.unwrap_or_else(|_| panic!("{op}, {second:?}"));
        }
    }
}

/// What is written after a recovery survives as well.
fn go_on(disk: &SimDisk, store: Store, next: WalOptions, mut oracle: Oracle, rng: &mut Rng, counts: &mut Counts) {
    for _ in 0..1 + rng.below(3) {
        step(&mut oracle, &store, rng).unwrap();
        oracle.check_memory(&store);
    }
    oracle.durable = oracle.durable.max(store.wal().synced_lsn());
    drop(store);
    disk.kill();
    let mut floor = oracle.acked;
    if rng.chance(30) {
        floor = oracle.durable;
        disk.lose_power(rng);
    }
    let store = open(disk, next).unwrap_or_else(|e| panic!("the third opening said {e}"));
    oracle.reopened(&store, floor);
    counts.openings += 1;
}
