//! The opening of a store whose files hold anything, and reading whatever it believed.

use spellkeep_core::store::{Store, StoreError};
use spellkeep_core::wal::WalError;

use super::memory::within;
use super::source::Source;
use super::store::{SCOPE, image, open};
use crate::common::set;

const CHANGES_MAX: usize = 10_000;
/// What an empty store takes to be opened and read.
const ROOM: usize = 256 << 10;
/// Most that a byte on disk may cost in memory: as read, as a file image, as an entry, as a change, several times over.
const PER_BYTE: usize = 64;

fn must_be_damage(error: &StoreError) {
    let named = matches!(error, StoreError::Wal(WalError::Damaged(_) | WalError::NotAStore(_)));
    assert!(named, "not damage: {error}");
}

/// Every answer of the store: how many changes, how many entries; None where it said damage.
fn read(store: &Store) -> (Option<usize>, usize) {
    let (mut changes, mut count) = (store.changes(0).expect("an open store"), 0);
    let told = loop {
        match changes.next_change() {
            Ok(Some(_)) => count += 1,
            Ok(None) => break Some(count),
            Err(e) => {
                must_be_damage(&e);
                break None;
            }
        }
        assert!(count < CHANGES_MAX, "the changes have no end");
    };
    let mut entries = 0;
    for map in store.live_scopes() {
        for entry in store.list(&map, "") {
            assert!(map.get(entry.key(), |_| ()).is_some());
            entries += 1;
        }
    }
    for key in ["a", "b", "c", "new", "nothing"] {
        if let Err(e) = store.history(&store.scope(SCOPE), key, CHANGES_MAX) {
            must_be_damage(&e);
        }
    }
    (told, entries)
}

pub fn run(bytes: &[u8]) {
    let mut from = Source(bytes);
    let (number, mend, moved) = (from.below(4), from.u8(), from.u8());
    let mut image = image(number);
    for _ in 0..8 {
        if from.is_empty() {
            break;
        }
        image.edit(&mut from);
    }
    if mend & 1 == 0 {
        image.mend(mend & 2 == 0);
    }
    let disk = image.disk();
    if moved & 1 != 0 {
        disk.lose_power_of_nothing();
    }
    let most = ROOM + PER_BYTE * image.len_bytes();
    let store = match within(most, "an opening", || open(&disk, image.mapped)) {
        Ok(store) => store,
        Err(e) => return must_be_damage(&e),
    };
    let (changes, entries) = within(most, "reading", || read(&store));
    let record_count = store.recovery().log.record_count;
    assert!(changes.is_none_or(|count| count as u64 == record_count), "the feed and the recovery differ");
    // What was believed is there after the next opening too, and so is what is written then.
    set(&store, SCOPE, "new", b"after").expect("a store that was opened takes writes");
    let (changes_after, entries_after) = read(&store);
    assert_eq!(changes_after, changes.map(|count| count + 1));
    assert!(entries_after == entries || entries_after == entries + 1);
    store.close().expect("a store that was opened can be closed");
    drop(store);
    let store = match open(&disk, image.mapped) {
        Ok(store) => store,
        // A record of an opening that never was, made whole here, may lie around the end of the ring the first time.
        Err(e) if mend & 1 == 0 && e.to_string().contains("later than the manifest's") => return,
        Err(e) => panic!("a store that was closed cannot be opened: {e}"),
    };
    assert_eq!(read(&store), (changes_after, entries_after));
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = (0..16u8).map(|i| vec![i % 4, i / 4, i & 1]).collect();
    for what in 0..8u8 {
        for file in 0..4u8 {
            seeds
                .push([&[file + what, 0, what & 1, what, file, 70, 0, 3, 3, 200, 1, 9][..], &[what * 31; 24]].concat());
        }
    }
    // The largest number in each field of a header, its checksum put right.
    for file in 0..4u8 {
        for field in [8, 12, 32, 40, 48, 56, 64, 72, 80] {
            for number in 0..4 {
                seeds.push([&[number, 0, 0, 2, file, field, 0, 4][..], &[255; 4], &[0, 0, 0, 0]].concat());
                seeds.push([&[number, 0, 1, 2, file, field, 0, 8][..], &[255; 8]].concat());
            }
        }
    }
    // Records that go on from the last one, a clear that names itself as the one before it.
    seeds.push([&[3, 1, 0, 7, 2, 0, 0, 2, 0, 0][..], &[0; 8], &[64, 17, 0, 0, 0, 3]].concat());
    seeds
}
