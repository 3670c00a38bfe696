//! A snapshot's file by itself: runs that are added, files that take its place, and what does not count.

mod common;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use common::Rng;
use common::sim::SimDisk;
use spellkeep_core::checkpoint::{Row, Rows, SNAPSHOT_NAMES, SnapshotError, SnapshotFile};
use spellkeep_core::checksum::xxh3_64;
use spellkeep_core::env::fault::Fault;
use spellkeep_core::env::mem::MemDisk;
use spellkeep_core::env::{Disk, OpenHow};
use spellkeep_core::record::{Draft, Frame, Kind, Mark, Pos, Seal, StateClass};

const ID: [u8; 16] = [7; 16];
const S: &[u8] = b"\x04scout\0\0";
const T: &[u8] = b"\x04other\0\0";
const NAME: &str = SNAPSHOT_NAMES[0];

fn put(rows: &mut Rows, kind: Kind, scope: &[u8], key: &str, value: &[u8], pos: Pos) {
    let seed = xxh3_64(&ID);
    let seal = Seal { lsn: pos, time_us: 2, prev_pos: 0, epoch: 1, prev_sum: 0, unsynced_count: 0, flags: 0, seed };
    let mut draft = Draft::of(kind, StateClass::Standard, scope, key.as_bytes(), value);
    let frame = draft.seal(&seal).0;
    Row::put(rows, pos, &Frame::parse(frame, seed).unwrap());
}

/// Sets of these keys of one scope, of one value, at consecutive positions from `pos` on.
fn sets(keys: std::ops::Range<u32>, value: &[u8], pos: Pos) -> Rows {
    let mut rows = Rows::new();
    keys.for_each(|key| put(&mut rows, Kind::Set, S, &format!("key{key:05}"), value, pos + u64::from(key)));
    rows
}

fn mark(pos: Pos) -> Mark {
    Mark { lsn: pos, pos, sum: 3, epoch: 1 }
}

fn create(disk: &dyn Disk) -> SnapshotFile {
    SnapshotFile::create(disk, NAME, ID).unwrap()
}

fn reopen(disk: &dyn Disk) -> SnapshotFile {
    SnapshotFile::open(disk, NAME, ID, false).unwrap()
}

fn apply(file: &SnapshotFile, disk: &dyn Disk, rows: &Rows, to: Pos) {
    file.apply(disk, rows, mark(to), 0, &|| true).unwrap();
}

/// Place to position and value.
type Held = BTreeMap<Vec<u8>, (Pos, Vec<u8>)>;

fn held(file: &SnapshotFile) -> Held {
    let (mut held, mut last) = (Held::new(), None);
    file.for_each(&mut |row| {
        let place = Row::place_of(&row.frame);
        assert!(last.as_ref() < Some(&place), "in order, and each place once");
        held.insert(place.clone(), (row.pos, row.frame.value().to_vec()));
        last = Some(place);
    })
    .unwrap();
    held
}

/// And every row is found by its place and position.
fn found(file: &SnapshotFile) -> Held {
    let (held, reader) = (held(file), file.reader());
    for (place, (pos, value)) in &held {
        let frame = reader.get(place, *pos).unwrap().unwrap();
        assert_eq!(Frame::parse(&frame, xxh3_64(&ID)).unwrap().value(), value);
    }
    held
}

#[test]
fn what_is_added_run_by_run_is_what_a_model_says_and_the_file_stays_short() {
    let mut rng = Rng::from_env("what_is_added_run_by_run_is_what_a_model_says_and_the_file_stays_short");
    let (mut rewritten_count, mut added_count) = (0, 0);
    for _ in 0..20 {
        let (disk, mut model) = (MemDisk::new(), Held::new());
        let (mut file, mut pos, mut live_bytes_max) = (create(&disk), 64, 0);
        for _ in 0..40 {
            let mut rows = Rows::new();
            let row_max = if rng.chance(20) { 400 } else { 30 };
            for _ in 0..rng.below(row_max) {
                let bytes_max = if rng.chance(2) { 50_000 } else { 300 };
                let value = vec![rng.below(256) as u8; rng.below(bytes_max)];
                put(&mut rows, Kind::Set, [S, T][rng.below(2)], &format!("key{}", rng.below(300)), &value, pos);
                pos += 8;
            }
            let seed = xxh3_64(&ID);
            for (place, row) in &rows {
                let frame = Frame::parse(&row[8..], seed).unwrap();
                model.insert(place.clone(), (frame.lsn, frame.value().to_vec()));
            }
            let before = file.held_bytes();
            apply(&file, &disk, &rows, pos);
            *(if file.held_bytes() < before { &mut rewritten_count } else { &mut added_count }) += 1;
            let live_bytes: usize = model.iter().map(|(place, (_, value))| place.len() + value.len() + 120).sum();
            live_bytes_max = live_bytes_max.max(live_bytes);
            assert!(2 * file.held_bytes() as usize <= 3 * live_bytes_max + 10_000, "{} of it", file.held_bytes());
            if rng.chance(30) {
                file = reopen(&disk);
            }
            assert_eq!(file.mark(), mark(pos));
            assert!(found(&file) == model);
        }
    }
    assert!(rewritten_count > 20 && added_count > 300, "{rewritten_count} {added_count}");
}

#[test]
fn a_reader_goes_on_with_what_was_there_when_it_was_made() {
    let disk = MemDisk::new();
    let file = create(&disk);
    apply(&file, &disk, &sets(0..100, b"old", 64), 1000);
    let (reader, place) = (file.reader(), [S, b"key00007"].concat());
    apply(&file, &disk, &sets(0..10, b"added", 1000), 2000);
    apply(&file, &disk, &sets(0..100, b"in a new file", 2000), 3000);
    let value = |frame: Option<Vec<u8>>| frame.map(|f| Frame::parse(&f, xxh3_64(&ID)).unwrap().value().to_vec());
    assert_eq!(value(reader.get(&place, 64 + 7).unwrap()).unwrap(), b"old");
    assert_eq!(value(file.reader().get(&place, 2007).unwrap()).unwrap(), b"in a new file");
    assert_eq!(value(file.reader().get(b"\x04nobody", 2007).unwrap()), None);
}

#[test]
fn a_new_file_leaves_out_what_was_removed_once_the_log_has_gone_past_it() {
    let disk = MemDisk::new();
    let file = create(&disk);
    let mut rows = sets(0..10, b"1", 100);
    put(&mut rows, Kind::Set, T, "old", b"1", 120);
    put(&mut rows, Kind::Clear, T, "", b"", 130);
    put(&mut rows, Kind::Set, T, "new", b"1", 140);
    put(&mut rows, Kind::Delete, S, "key00003", b"", 150);
    put(&mut rows, Kind::Delete, S, "key00004", b"", 170);
    let keys = |log_start: Pos| {
        file.apply(&disk, &rows, mark(200), log_start, &|| true).unwrap();
        held(&file).into_keys().map(|place| String::from_utf8_lossy(&place[8..]).into_owned()).collect::<Vec<_>>()
    };
    let all = ["", "new", "old", "key00000", "key00001", "key00002", "key00003", "key00004"];
    let rest = ["key00005", "key00006", "key00007", "key00008", "key00009"];
    assert_eq!(keys(130), [&all[..], &rest].concat());
    assert_eq!(keys(131), [&["new"], &all[3..], &rest].concat());
    assert_eq!(keys(160), [&["new"], &all[3..6], &all[7..], &rest].concat());
}

#[test]
fn a_run_that_was_not_ended_does_not_count() {
    let disk = MemDisk::new();
    let file = create(&disk);
    apply(&file, &disk, &sets(0..3000, &[1; 100], 64), 10_000);
    let (begun, whole) = (file.held_bytes() as usize, held(&file));
    apply(&file, &disk, &sets(100..1000, &[2; 100], 10_000), 20_000);
    let bytes = disk.copy_map(NAME).unwrap();
    for len in [begun, begun + 1, begun + 15, begun + 40_000, bytes.len() - 65, bytes.len() - 64, bytes.len() - 1] {
        disk.alter(NAME, |now| *now = bytes[..len].to_vec());
        let file = reopen(&disk);
        assert_eq!((file.mark(), held(&file) == whole), (mark(10_000), true), "{len}");
        apply(&file, &disk, &sets(0..1, b"next", 30_000), 40_000);
        let file = reopen(&disk);
        assert_eq!((file.mark(), held(&file).len()), (mark(40_000), 3000));
    }
}

/// Behind what was written over it stands what another one wrote, block by block as whole as ever.
#[test]
fn what_follows_something_else_does_not_count() {
    let disk = MemDisk::new();
    let file = create(&disk);
    apply(&file, &disk, &sets(0..1000, &[1; 100], 64), 10_000);
    let other = reopen(&disk);
    apply(&other, &disk, &sets(0..1, b"one", 10_000), 11_000);
    apply(&other, &disk, &sets(5..6, b"two", 11_000), 12_000);
    apply(&file, &disk, &sets(0..1, b"new", 10_000), 13_000);
    assert_eq!(disk.copy_map(NAME).unwrap().len() as u64, other.held_bytes(), "it stands behind it");
    let file = reopen(&disk);
    assert_eq!(file.mark(), mark(13_000));
    assert_eq!(held(&file)[&[S, b"key00005"].concat()], (64 + 5, vec![1; 100]));
}

#[test]
fn one_that_is_stopped_or_refused_is_where_it_was_and_leaves_nothing_behind() {
    let disk = SimDisk::default();
    let file = create(&disk);
    apply(&file, &disk, &sets(0..5000, &[1; 1000], 64), 10_000);
    let before = held(&file);
    let large = sets(0..5000, &[2; 1000], 10_000);
    for after in [0, 1, 3] {
        let asked = Cell::new(0);
        let go_on = || asked.replace(asked.get() + 1) < after;
        let stopped = file.apply(&disk, &large, mark(20_000), 0, &go_on);
        assert!(matches!(stopped, Err(SnapshotError::Stopped)), "{stopped:?}");
        assert!(asked.get() == after + 1 && held(&file) == before && file.mark() == mark(10_000));
        assert_eq!(disk.list("snapshots").unwrap(), ["a.rows"]);
    }
    for op in ["create", "write", "sync", "rename", "sync_dir"] {
        disk.faults.add(Fault { op, name: "snapshots", after_count: 0, fail_count: 1, errno: 5 });
        let refused = file.apply(&disk, &large, mark(20_000), 0, &|| true);
        assert!(matches!(refused, Err(SnapshotError::Io(_))), "{op}: {refused:?}");
        disk.faults.clear();
        assert!(held(&file) == before && file.mark() == mark(10_000), "{op}");
        assert_eq!(disk.list("snapshots").unwrap(), ["a.rows"], "{op}");
    }
    // Where the directory could not be synced, another file has the name: nothing is added to this one.
    apply(&file, &disk, &sets(0..5, &[3; 100], 10_000), 12_000);
    let before = held(&reopen(&disk));
    assert_eq!(held(&file), before);
    // And rows that are added to the file.
    let small = sets(0..5, &[2; 100], 10_000);
    for (op, errno) in [("write", 28), ("write", 5), ("sync", 5)] {
        disk.faults.add(Fault { op, name: NAME, after_count: 0, fail_count: 1, errno });
        let refused = file.apply(&disk, &small, mark(20_000), 0, &|| true);
        assert!(matches!(refused, Err(SnapshotError::Io(_))), "{op}: {refused:?}");
        disk.faults.clear();
        assert!(held(&file) == before && file.mark() == mark(12_000), "{op}");
        assert_eq!(disk.copy_map(NAME).unwrap().len() as u64, file.held_bytes(), "{op}");
        assert_eq!(reopen(&disk).mark(), mark(12_000));
    }
    // Half of it is written at first.
    disk.faults.add(Fault { op: "write", name: NAME, after_count: 0, fail_count: 1, errno: 0 });
    apply(&file, &disk, &small, 15_000);
    assert_eq!(held(&reopen(&disk)), held(&file));
    apply(&file, &disk, &large, 20_000);
    assert!(held(&file) != before && held(&reopen(&disk)) == held(&file));
}

/// The page cache has it, and the next sync may say that all is well and have written nothing.
#[test]
fn what_a_failed_sync_was_to_keep_is_not_believed_to_be_kept() {
    let mut rng = Rng::from_env("what_a_failed_sync_was_to_keep_is_not_believed_to_be_kept");
    for again_in_the_same_process in [true, false].repeat(20) {
        let disk = SimDisk::default();
        let mut file = create(&disk);
        apply(&file, &disk, &sets(0..1000, &[1; 100], 64), 10_000);
        let small = sets(0..5, &[2; 100], 10_000);
        disk.faults.add(Fault { op: "sync", name: NAME, after_count: 0, fail_count: 1, errno: 5 });
        assert!(file.apply(&disk, &small, mark(20_000), 0, &|| true).is_err());
        disk.faults.clear();
        if !again_in_the_same_process {
            disk.kill();
            file = reopen(&disk);
            assert_eq!(file.mark(), mark(10_000));
        }
        apply(&file, &disk, &small, 20_000);
        apply(&file, &disk, &sets(7..9, &[2; 100], 20_000), 30_000);
        let wanted = held(&file);
        disk.lose_power(&mut rng);
        let file = reopen(&disk);
        assert!(file.mark() == mark(30_000) && held(&file) == wanted);
    }
}

#[test]
fn nothing_else_is_taken_for_a_snapshot() {
    let disk: Arc<MemDisk> = Arc::new(MemDisk::new());
    let refused = |id: [u8; 16]| match SnapshotFile::look(&*disk, NAME, id) {
        Err(SnapshotError::Damaged { file, what }) => format!("{file}: {what}"),
        other => panic!("{:?}", other.map(|file| file.mark())),
    };
    disk.open(NAME, OpenHow::Create).unwrap();
    assert!(refused(ID).ends_with("it does not begin as a snapshot does"));
    apply(&create(&*disk), &*disk, &sets(0..10, b"1", 64), 1000);
    assert!(refused([8; 16]).ends_with("it belongs to another store"));
    let good = disk.copy_map(NAME).unwrap();
    disk.alter(NAME, |bytes| {
        bytes[8] = 9;
        let sum = xxh3_64(&bytes[..32]);
        bytes[32..40].copy_from_slice(&sum.to_le_bytes());
    });
    assert!(refused(ID).ends_with("it has version 9, and this build reads 1"));
    for at in [60, good.len() - 1] {
        disk.alter(NAME, |bytes| {
            bytes.clone_from(&good);
            bytes[at] ^= 1;
        });
        assert!(refused(ID).ends_with("no part of it is whole"));
    }
    assert_eq!(
        SnapshotFile::look(&*disk, SNAPSHOT_NAMES[1], ID).err().map(|e| matches!(e, SnapshotError::Io(_))),
        Some(true)
    );
}

/// Its block holds, as it does when memory went wrong before the block was written.
#[test]
fn a_row_that_does_not_hold_is_found_before_the_log_goes() {
    let disk = MemDisk::new();
    let file = create(&disk);
    let mut rows = sets(0..10, b"1", 64);
    rows.values_mut().nth(7).unwrap()[70] ^= 1;
    // Into a file that has something, so that nothing reads the rows again on their way.
    apply(&file, &disk, &sets(0..1000, &[1; 100], 64), 1000);
    apply(&file, &disk, &rows, 2000);
    let verified = SnapshotFile::verify(&disk, NAME, ID).unwrap();
    assert_eq!(verified, mark(1000));
}

#[test]
fn where_a_new_file_finds_no_room_rows_are_added_and_it_is_made_later() {
    let disk = SimDisk::default();
    let file = create(&disk);
    apply(&file, &disk, &sets(0..1000, &[1; 100], 64), 10_000);
    let begun = file.held_bytes();
    disk.faults.add(Fault { op: "write", name: ".tmp", after_count: 0, fail_count: u32::MAX, errno: 28 });
    apply(&file, &disk, &sets(0..1000, &[2; 100], 10_000), 20_000);
    assert_eq!(disk.list("snapshots").unwrap(), ["a.rows"]);
    assert!(file.held_bytes() > 2 * begun - 1000);
    let file = reopen(&disk);
    assert!(file.mark() == mark(20_000) && found(&file).values().all(|(_, value)| *value == [2; 100]));
    disk.faults.clear();
    apply(&file, &disk, &sets(0..1, &[3; 100], 20_000), 30_000);
    assert!(file.held_bytes() < begun + 1000, "a new file");
}

#[test]
fn a_file_does_not_come_to_have_any_number_of_runs() {
    let disk = MemDisk::new();
    let file = create(&disk);
    apply(&file, &disk, &sets(0..5000, &[1; 100], 64), 10_000);
    let begun = file.held_bytes();
    let mut longest = 0;
    for round in 0..1100 {
        apply(&file, &disk, &sets(0..1, b"", 10_000 + round), 10_001 + round);
        longest = longest.max(file.held_bytes());
    }
    assert!(longest > begun + 1000 * 100 && file.held_bytes() < begun + 100 * 200, "{begun} {longest}");
    assert_eq!(found(&reopen(&disk)).len(), 5000);
}

/// Behind what counts there may be what somebody else still reads.
#[test]
fn a_file_that_has_more_than_what_counts_is_not_written_over() {
    let disk = MemDisk::new();
    let file = create(&disk);
    apply(&file, &disk, &sets(0..1000, &[1; 100], 64), 10_000);
    apply(&file, &disk, &sets(0..5, &[2; 100], 10_000), 20_000);
    let (reader, end) = (file.reader(), file.held_bytes() as usize);
    disk.alter(NAME, |bytes| bytes[end - 1] ^= 1);
    let again = reopen(&disk);
    assert_eq!(again.mark(), mark(10_000));
    apply(&again, &disk, &sets(0..5, &[3; 100], 10_000), 30_000);
    let frame = reader.get(&[S, b"key00003"].concat(), 10_003).unwrap().unwrap();
    assert_eq!(Frame::parse(&frame, xxh3_64(&ID)).unwrap().value(), [2; 100]);
    assert_eq!(reopen(&disk).mark(), mark(30_000));
}
