//! One fuzzer for all targets: `SPELLKEEP_FUZZ` names the target, and what follows are libFuzzer's own options, corpora
//! and inputs. With `SPELLKEEP_FUZZ_SEEDS` it first writes what the corpus begins with into that directory.
#![cfg_attr(feature = "fuzzer", no_main)]

#[cfg(feature = "fuzzer")]
mod fuzzer {
    use std::sync::OnceLock;

    use spellkeep_fuzz::targets::{Target, named};

    static TARGET: OnceLock<&Target> = OnceLock::new();

    fn begin() {
        let name = std::env::var("SPELLKEEP_FUZZ").expect("SPELLKEEP_FUZZ names a target");
        let target = TARGET.get_or_init(|| named(&name));
        let Ok(dir) = std::env::var("SPELLKEEP_FUZZ_SEEDS") else { return };
        for (number, seed) in (target.seeds)().into_iter().enumerate() {
            std::fs::write(format!("{dir}/seed-{number:03}"), seed).expect("the directory can be written");
        }
    }

    libfuzzer_sys::fuzz_target!(init: begin(), |bytes: &[u8]| (TARGET.get().expect("begun").run)(bytes));
}

#[cfg(not(feature = "fuzzer"))]
fn main() {
    eprintln!("built without the feature `fuzzer`: run `make fuzz`");
    std::process::exit(2);
}
