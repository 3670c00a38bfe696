//! What closing leaves behind: nothing that is open, nothing that is reserved.

use std::fs;
use std::path::PathBuf;

use spellkeep_core::env::Env;
use spellkeep_core::record::{Draft, Kind, StateClass};
use spellkeep_core::store::{Store, StoreError};
use spellkeep_core::wal::WalOptions;

fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("spellkeep-{name}-{}", std::process::id()));
    fs::remove_dir_all(&path).ok();
    path
}

fn fill(store: &Store, count: u32) {
    let map = store.scope(b"s");
    for i in 0..count {
        let mut draft = Draft::of(Kind::Set, StateClass::Standard, b"s", b"k", &i.to_le_bytes().repeat(100));
        while let Err(e) = store.try_set(&map, &mut draft, None) {
            assert!(matches!(e, StoreError::Busy), "{e}");
            store.make_room(draft.frame_len()).unwrap();
        }
    }
}

/// A closed store that somebody still held kept its directory busy: umount was refused until it was dropped.
#[test]
fn a_closed_store_holds_no_file_and_no_mapping_while_it_is_still_held() {
    let path = folder("closing");
    let store = Store::open(Env::real(&path).unwrap(), WalOptions::default()).unwrap();
    fill(&store, 10);
    let held = |place: &str| {
        let name = path.canonicalize().unwrap().display().to_string();
        match place {
            "maps" => fs::read_to_string("/proc/self/maps").unwrap().contains(&name),
            _ => fs::read_dir("/proc/self/fd").unwrap().any(|entry| {
                fs::read_link(entry.unwrap().path()).is_ok_and(|target| target.display().to_string().contains(&name))
            }),
        }
    };
    assert!(held("maps") && held("fd"));
    store.close().unwrap();
    assert!(!held("maps") && !held("fd"));
    let map = store.scope(b"s");
    assert!(store.history(&map, "k", 1).is_err());
    drop(store);
    fs::remove_dir_all(&path).unwrap();
}

/// Sealed segments kept the space that had been reserved ahead: a mebibyte for 130 KB of records.
#[test]
fn a_sealed_segment_gives_back_what_was_reserved_ahead() {
    let path = folder("sealing");
    let options = WalOptions { ring_bytes: 64 << 10, segment_bytes: 64 << 10, ..WalOptions::default() };
    let store = Store::open(Env::real(&path).unwrap(), options).unwrap();
    fill(&store, 2_000);
    store.close().unwrap();
    let on_disk: u64 = fs::read_dir(path.join("segments")).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
    let written = store.wal().end();
    assert!(on_disk < written + 64 * 100, "{on_disk} bytes on disk for {written} in the log");
    drop(store);
    fs::remove_dir_all(&path).unwrap();
}
