//! A store whose log was let go, so that what is old is only in the two snapshots; harms to one of them, and to both.

use std::sync::Arc;

use spellkeep_core::env::Disk;
use spellkeep_core::record::Lsn;
use spellkeep_core::store::{Store, StoreError, StoreOptions};
use spellkeep_core::wal::Retention;

use super::harm::Harm;
use super::image::{Files, disk_of, files_of, options};
use super::judge::Outcome;
use super::view::{Place, View, is_damage};
use crate::common::sim::{SimDisk, Tree};
use crate::common::{Rng, clear, delete, env_on, set};

const S: &[u8] = b"\x04scout\0\0";
const T: &[u8] = b"\x01";
pub const NAMES: [&str; 2] = ["snapshots/a.rows", "snapshots/b.rows"];

/// A store that nobody has open, and what it must answer.
pub struct Kept {
    tree: Tree,
    /// The snapshots, and as they were earlier.
    pub files: Files,
    pub earlier: Vec<Files>,
    places: std::collections::BTreeSet<Place>,
    whole: View,
}

/// One harm, or one to each snapshot.
pub type Case = Vec<Harm>;

/// Whether it leaves one of the snapshots alone.
fn spares_one(case: &Case) -> bool {
    NAMES.iter().any(|name| case.iter().flat_map(Harm::files).all(|file| file == name))
}

pub fn text(case: &Case) -> String {
    case.iter().map(Harm::text).collect::<Vec<_>>().join(" and ")
}

fn open(disk: &SimDisk) -> Result<Store, StoreError> {
    let keep = Retention { log_bytes: Some(0), age_us: 0 };
    Store::open(env_on(Arc::new(disk.clone())), StoreOptions { keep, ..options(true).into() })
}

fn snapshots_of(disk: &SimDisk) -> Files {
    let mut files = files_of(disk);
    files.retain(|name, _| NAMES.contains(&name.as_str()));
    files
}

impl Kept {
    /// Closed or killed, with records behind the snapshots, and deletes and clears before and behind.
    pub fn new(closed: bool) -> Self {
        let (disk, mut earlier) = (disk_of(Tree::default()), Vec::new());
        let store = open(&disk).unwrap();
        for round in 0..3u8 {
            // All at first; then so few that they are added to the file.
            for i in (0..24u8).filter(|i| round == 0 || i % 8 == round) {
                set(&store, S, &format!("key{i}"), &[round * 50 + i; 150]).unwrap();
            }
            if round == 0 {
                set(&store, T, "large", &vec![round; 20_000]).unwrap();
            }
            set(&store, T, "other", &[round; 40]).unwrap();
            delete(&store, S, "key3").unwrap();
            if round == 1 {
                clear(&store, S).unwrap();
            }
            store.checkpoint().unwrap();
            earlier.push(snapshots_of(&disk));
        }
        set(&store, S, "key1", b"behind").unwrap();
        delete(&store, S, "key2").unwrap();
        set(&store, T, "new", b"behind").unwrap();
        if closed {
            store.close().unwrap();
        }
        drop(store);
        disk.kill();
        let tree = disk.tree();
        let keys = (0..26).map(|i| (S, format!("key{i}"))).chain(["large", "other", "new"].map(|k| (T, k.to_owned())));
        let places = keys.map(|(scope, key)| (scope.into(), key.into_bytes().into())).collect();
        let store = open(&disk).unwrap();
        assert!(store.wal().log_start() > 64, "the log was not let go");
        let whole = View::read(&store, &places).unwrap();
        let files = snapshots_of(&disk_of(tree.clone()));
        Self { tree, files, earlier, places, whole }
    }

    fn view(&self, store: &Store) -> Result<View, String> {
        View::read(store, &self.places).map_err(|e| format!("a read said {e}"))
    }

    /// Opens what was harmed, reads it, makes a checkpoint, and opens again without the one and without the other.
    pub fn judge(&self, case: &Case, rng: &mut Rng) -> Result<Outcome, String> {
        let disk = disk_of(self.tree.clone());
        case.iter().for_each(|harm| harm.apply(&disk, &self.files));
        let store = match open(&disk) {
            Err(e) if is_damage(&e) && !spares_one(case) => return Ok(Outcome::Detected),
            Err(e) => return Err(format!("the opening said {e}")),
            Ok(store) => store,
        };
        if self.view(&store)? != self.whole {
            return Err(format!("what is read is not what was written; {:?}", store.recovery()));
        }
        let noted = !store.recovery().snapshot_damage.is_empty();
        if rng.below(8) == 0 {
            store.checkpoint().map_err(|e| format!("a checkpoint said {e}"))?;
            drop(store);
            disk.kill();
            self.reopens(&disk, |state| state.holds(&self.whole))?;
        }
        Ok(if noted { Outcome::PassedOver } else { Outcome::Harmless })
    }

    /// Nothing is said of damage any more, and either snapshot is as good.
    fn reopens(&self, disk: &SimDisk, right: impl Fn(&View) -> bool) -> Result<(), String> {
        for missing in [None, Some(NAMES[0]), Some(NAMES[1])] {
            let disk = disk_of(disk.tree());
            missing.iter().for_each(|name| disk.remove(name).unwrap());
            let store =
                open(&disk).map_err(|e| format!("after a checkpoint, {missing:?} missing, the opening said {e}"))?;
            if !store.recovery().snapshot_damage.is_empty() {
                return Err(format!("after a checkpoint: {:?}", store.recovery().snapshot_damage));
            }
            if !right(&self.view(&store)?) {
                return Err(format!("after a checkpoint, {missing:?} missing, something else is read"));
            }
        }
        Ok(())
    }

    /// The same while the store is open, after `before` checkpoints: what it goes on to do must not let the log go for
    /// a snapshot that does not hold.
    pub fn judge_running(&self, case: &Case, before: usize) -> Result<Outcome, String> {
        let disk = disk_of(self.tree.clone());
        let store = open(&disk).map_err(|e| e.to_string())?;
        let turn = |round: usize| -> Result<Lsn, StoreError> {
            for i in 0..12 {
                set(&store, S, &format!("key{}", 4 + (i * 5 + round) % 20), &[i as u8; 400])?;
            }
            Ok(store.checkpoint()?.lsn)
        };
        for round in 0..before {
            turn(round).map_err(|e| e.to_string())?;
        }
        let files = files_of(&disk);
        case.iter().filter(|harm| harm.fits(&files)).for_each(|harm| harm.apply(&disk, &files));
        let (mut refused, mut well) = (0, false);
        for round in 0..3 {
            match turn(before + round) {
                Ok(_) => well = true,
                Err(e) if is_damage(&e) => (refused, well) = (refused + 1, false),
                Err(e) => return Err(format!("a checkpoint said {e}")),
            }
        }
        let now = self.view(&store)?;
        drop(store);
        disk.kill();
        if well {
            self.reopens(&disk, |view| view.holds(&now))?;
        } else if spares_one(case) {
            return Err("the other one does not make up for it".to_owned());
        }
        let store = match open(&disk) {
            Err(e) if is_damage(&e) && !spares_one(case) => return Ok(Outcome::Detected),
            Err(e) => return Err(format!("the opening said {e}")),
            Ok(store) => store,
        };
        if !self.view(&store)?.holds(&now) {
            return Err(format!("what is read is not what was written; {refused} refused, {:?}", store.recovery()));
        }
        let noted = refused > 0 || !store.recovery().snapshot_damage.is_empty();
        Ok(if noted { Outcome::PassedOver } else { Outcome::Harmless })
    }
}
