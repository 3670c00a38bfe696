//! The crash explorer: the production engine on a simulated disk, ended at every change of it in every way that a kill
//! or a power loss can end it, opened again, and compared with what it had acknowledged.
//!
//! `SPELLKEEP_SEED` runs the same states again, `SPELLKEEP_RUN` and `SPELLKEEP_STATE` one of them alone. With
//! `SPELLKEEP_SECONDS` it takes fresh seeds for that long (`make explore`); `SPELLKEEP_PERCENT` makes a round shorter.

mod common;
mod explore {
    pub mod faults;
    pub mod life;
    pub mod run;
    pub mod script;
    pub mod state;
}

use std::time::{Duration, Instant};

use explore::faults::{self, FaultCounts};
use explore::run;
use explore::state::Counts;

/// How many crash states and fault runs make one round.
const STATES: u64 = 200_000;
const FAULT_RUNS: u64 = 20_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn states(seed: u64, wanted: u64) {
    let (started, mut counts) = (Instant::now(), Counts::default());
    let only = number("SPELLKEEP_RUN");
    for run in only.unwrap_or(0).. {
        run::explore(seed, run, number("SPELLKEEP_STATE"), &mut counts);
        if only.is_some() || counts.states() >= wanted {
            break;
        }
    }
    let rate = counts.states() as f64 / started.elapsed().as_secs_f64();
    println!("seed {seed}: {} crash states, {rate:.0}/s: {counts:?}", counts.states());
}

fn fault_runs(seed: u64, wanted: u64) {
    let (started, mut counts) = (Instant::now(), FaultCounts::default());
    let only = number("SPELLKEEP_RUN");
    for run in only.unwrap_or(0).. {
        faults::explore(seed, run, number("SPELLKEEP_STATE"), &mut counts);
        if only.is_some() || counts.runs >= wanted {
            break;
        }
    }
    let rate = counts.runs as f64 / started.elapsed().as_secs_f64();
    println!("seed {seed}: {} runs with a fault, {rate:.0}/s: {counts:?}", counts.runs);
}

fn rounds(test: &str, wanted: u64, round: fn(u64, u64)) {
    let mut seed = common::seed(test);
    let wanted = wanted * common::percent() / 100;
    let Some(seconds) = number("SPELLKEEP_SECONDS") else { return round(seed, wanted) };
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(seconds) {
        round(seed, wanted / 10);
        seed = seed.wrapping_add(1);
    }
}

#[test]
fn after_every_crash_at_every_change_what_was_acknowledged_is_there() {
    rounds("after_every_crash_at_every_change_what_was_acknowledged_is_there", STATES, states);
}

#[test]
fn after_every_failing_call_and_a_crash_what_was_acknowledged_is_there() {
    rounds("after_every_failing_call_and_a_crash_what_was_acknowledged_is_there", FAULT_RUNS, fault_runs);
}
