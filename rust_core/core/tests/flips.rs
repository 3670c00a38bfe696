//! The flip sweep: a store in which everything is, harmed in one place at a time, opened and read. Each harm must be told
//! as damage or change nothing. What only a power loss can explain may be cut, and never from a store that was closed.
//!
//! Bits of long stretches are sampled, with the seed that is printed; `SPELLKEEP_FULL=1` takes them all (`make flips`), and
//! of snapshots, each block of which is under one checksum, one in eight bytes, and all with `make flips EVERY=1`.

mod common;
mod flips {
    pub mod harm;
    pub mod image;
    pub mod judge;
    pub mod snapshots;
    pub mod view;
}

use common::Rng;
use flips::harm::{self, Harm};
use flips::image::{Image, setups};
use flips::judge::{Counts, Outcome, each, sweep, sweep_running};
use flips::snapshots::{Case, Kept, NAMES, text};

fn every() -> bool {
    std::env::var_os("SPELLKEEP_FULL").is_some()
}

type Sweep = fn(&Image, &[Harm]) -> Counts;

/// Does to the store in each set-up what `harms` says, and wants nothing silent.
fn sweep_all(test: &str, sweep: Sweep, harms: fn(&Image, &mut Rng) -> Vec<Harm>) {
    let mut rng = Rng::from_env(test);
    let mut sum = Counts::default();
    for setup in setups() {
        let image = Image::new(setup);
        let counts = sweep(&image, &harms(&image, &mut rng));
        println!("{setup:?}: {counts}");
        sum.add(&counts);
    }
    println!("{test}: {sum}");
    assert_eq!(sum.silent, 0);
}

#[test]
fn every_flipped_bit_is_told_or_harmless() {
    sweep_all("every_flipped_bit_is_told_or_harmless", sweep, |image, rng| harm::flips(&image.files, every(), 4, rng));
}

#[test]
fn every_truncated_or_missing_file_is_told_or_harmless() {
    sweep_all("every_truncated_or_missing_file_is_told_or_harmless", sweep, |image, rng| {
        harm::cuts(&image.files, every(), rng)
    });
}

#[test]
fn every_sector_that_was_not_written_is_told_or_harmless() {
    sweep_all("every_sector_that_was_not_written_is_told_or_harmless", sweep, |image, _| {
        harm::lost_writes(&image.files, &image.earlier)
    });
}

#[test]
fn every_sector_in_a_wrong_place_is_told_or_harmless() {
    sweep_all("every_sector_in_a_wrong_place_is_told_or_harmless", sweep, |image, rng| {
        harm::misplaced(&image.files, if every() { 1 } else { 16 }, rng)
    });
}

/// And each bit for itself, of a store that was closed.
#[test]
#[ignore = "takes about an hour: make flips EVERY=1"]
fn every_bit_of_the_snapshots() {
    let mut rng = Rng::from_env("every_bit_of_the_snapshots");
    let kept = Kept::new(true);
    let cases = harm::flips(&kept.files, true, 1, &mut rng).into_iter().map(|harm| vec![harm]).collect::<Vec<_>>();
    let counts = each(cases, text, |case| kept.judge(case, &mut rng));
    println!("every_bit_of_the_snapshots: {counts}");
    assert_eq!(counts.silent, 0);
}

/// The bytes rot while the store is open, and are read back for histories and changes.
#[test]
fn every_harm_to_the_segments_of_an_open_store_is_told_or_harmless() {
    sweep_all("every_harm_to_the_segments_of_an_open_store_is_told_or_harmless", sweep_running, |image, rng| {
        if image.setup.moved {
            return Vec::new();
        }
        let mut harms = harm::flips(&image.files, every(), 4, rng);
        harms.extend(harm::lost_writes(&image.files, &image.earlier));
        harms.extend(harm::misplaced(&image.files, if every() { 1 } else { 4 }, rng));
        harms
    });
}

/// Harms to the snapshots, one or two at once. Their blocks are each under a checksum, so that one bit says what all do.
/// Takes one of so many, of `make flips` the second number.
fn cases(kept: &Kept, one_in: [usize; 2], rng: &mut Rng) -> Vec<Case> {
    let one_in = one_in[usize::from(every())];
    let mut harms = harm::flips(&kept.files, false, 8, rng);
    harms.extend(harm::cuts(&kept.files, false, rng));
    harms.extend(harm::lost_writes(&kept.files, &kept.earlier));
    harms.extend(harm::misplaced(&kept.files, 64, rng));
    harms.retain(|_| rng.below(one_in) == 0);
    let (a, b): (Vec<_>, Vec<_>) = harms.iter().partition(|harm| harm.only_in(NAMES[0]));
    let b: Vec<_> = b.into_iter().filter(|harm| harm.only_in(NAMES[1])).collect();
    let both = a.iter().map(|one| vec![(*one).clone(), b[rng.below(b.len())].clone()]).step_by(4).collect::<Vec<_>>();
    harms.into_iter().map(|harm| vec![harm]).chain(both).collect()
}

/// Does to the snapshots of a closed and of a killed store what `cases` says, and wants nothing silent.
fn sweep_kept(
    test: &str,
    one_in: [usize; 2],
    mut judge: impl FnMut(&Kept, &Case, &mut Rng) -> Result<Outcome, String>,
) {
    let (mut rng, mut sum) = (Rng::from_env(test), Counts::default());
    for closed in [true, false] {
        let kept = Kept::new(closed);
        let cases = cases(&kept, one_in, &mut rng);
        let counts =
            each(cases, |case| format!("closed {closed}: {}", text(case)), |case| judge(&kept, case, &mut rng));
        println!("closed {closed}: {counts}");
        sum.add(&counts);
    }
    println!("{test}: {sum}");
    assert_eq!(sum.silent, 0);
}

#[test]
fn one_damaged_snapshot_costs_nothing_and_two_are_told() {
    sweep_kept("one_damaged_snapshot_costs_nothing_and_two_are_told", [96, 1], Kept::judge);
}

/// The bytes rot while the store is open and goes on to make checkpoints.
#[test]
fn the_log_is_not_let_go_for_a_snapshot_that_was_damaged_while_the_store_was_open() {
    let test = "the_log_is_not_let_go_for_a_snapshot_that_was_damaged_while_the_store_was_open";
    sweep_kept(test, [512, 16], |kept, case, rng| kept.judge_running(case, rng.below(2)));
}
