//! The fuzz targets on what their corpora begin with, and on noise: without a fuzzer, so that they stay alive.

mod common;
#[path = "../../fuzz/src/targets/mod.rs"]
mod targets;

#[test]
fn every_seed_passes_its_target() {
    for target in targets::ALL {
        let seeds = (target.seeds)();
        for seed in &seeds {
            (target.run)(seed);
        }
        println!("{}: {} seeds", target.name, seeds.len());
    }
}

#[test]
fn noise_and_seeds_with_noise_in_them_pass_their_targets() {
    for target in targets::ALL {
        for number in 0..300 {
            (target.run)(&targets::noise(number, number as usize % 97));
            let seeds = (target.seeds)();
            let mut seed = seeds[number as usize % seeds.len()].clone();
            let noise = targets::noise(number, 8);
            let at = usize::from(noise[0]) % (seed.len() + 1);
            seed.splice(at..at, noise[1..3].iter().copied());
            (target.run)(&seed);
        }
    }
}
