//! The flip sweep: a store in which everything is, harmed in one place at a time, opened and read. Each harm must be told
//! as damage or change nothing. What only a power loss can explain may be cut, and never from a store that was closed.
//!
//! Bits of long stretches are sampled, with the seed that is printed; `SPELLKEEP_FULL=1` takes them all (`make flips`).

mod common;
mod flips {
    pub mod harm;
    pub mod image;
    pub mod judge;
    pub mod view;
}

use common::Rng;
use flips::harm::{self, Harm};
use flips::image::{Image, setups};
use flips::judge::{Counts, sweep, sweep_running};

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
    sweep_all("every_flipped_bit_is_told_or_harmless", sweep, |image, rng| harm::flips(&image.files, every(), rng));
}

#[test]
fn every_truncated_or_missing_file_is_told_or_harmless() {
    sweep_all("every_truncated_or_missing_file_is_told_or_harmless", sweep, |image, rng| {
        harm::cuts(&image.files, every(), rng)
    });
}

#[test]
fn every_sector_that_was_not_written_is_told_or_harmless() {
    sweep_all("every_sector_that_was_not_written_is_told_or_harmless", sweep, |image, _| harm::lost_writes(image));
}

#[test]
fn every_sector_in_a_wrong_place_is_told_or_harmless() {
    sweep_all("every_sector_in_a_wrong_place_is_told_or_harmless", sweep, |image, rng| {
        harm::misplaced(&image.files, if every() { 1 } else { 16 }, rng)
    });
}

/// The bytes rot while the store is open, and are read back for histories and changes.
#[test]
fn every_harm_to_the_segments_of_an_open_store_is_told_or_harmless() {
    sweep_all("every_harm_to_the_segments_of_an_open_store_is_told_or_harmless", sweep_running, |image, rng| {
        if image.setup.moved {
            return Vec::new();
        }
        let mut harms = harm::flips(&image.files, every(), rng);
        harms.extend(harm::lost_writes(image));
        harms.extend(harm::misplaced(&image.files, if every() { 1 } else { 4 }, rng));
        harms
    });
}
