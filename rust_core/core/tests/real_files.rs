//! Real files and real kills: a child process writes, says what was acknowledged, and gets a SIGKILL.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Rng, WORDS, batch, code, get, set, small};
use spellkeep_core::env::Env;
use spellkeep_core::store::{Store, StoreError};
use spellkeep_core::wal::{Durability, WalError, WalOptions};

/// A directory of its own, removed afterwards.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("spellkeep-{name}-{}", std::process::id()));
        fs::remove_dir_all(&path).ok();
        Self(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn open(path: &Path, options: WalOptions) -> Result<Store, StoreError> {
    Store::open(Env::real(path).map_err(WalError::from)?, options)
}

/// The lock is the system's; what the file says is for people.
#[test]
fn whatever_stands_in_the_lock_file_changes_nothing() {
    let dir = Dir::new("lock-file");
    let options = small(Durability::Interval, true);
    for (number, bytes) in [&b""[..], b"-1\n", b"\xFF\xFE", &[b'9'; 5000], b"1\n2\n"].into_iter().enumerate() {
        let store = open(&dir.0, options).unwrap();
        fs::write(dir.0.join("LOCK"), bytes).unwrap();
        assert_eq!(code(open(&dir.0, options)), "store.locked");
        set(&store, b"s", &format!("k{number}"), b"value").unwrap();
        store.close().unwrap();
        fs::write(dir.0.join("LOCK"), bytes).unwrap();
    }
    fs::remove_file(dir.0.join("LOCK")).unwrap();
    assert_eq!(open(&dir.0, options).unwrap().stats().1, 5);
}

const CHILD: &str = "SPELLKEEP_TEST_CHILD";

/// The child's part: writes until it is killed, saying some of the numbers once they are acknowledged.
fn write_for_ever(path: &Path, options: WalOptions) {
    let store = open(path, options).unwrap();
    // The test runner has standard output.
    let mut out = std::io::stderr().lock();
    let start = get(&store, b"s", "n").map_or(0, |v| u64::from_le_bytes(v[..8].try_into().unwrap()));
    for i in start + 1.. {
        // Long enough for kills to find the process in the middle of a record.
        let value = i.to_le_bytes().repeat(1500);
        let op = |key: &str| (b"s".to_vec(), key.to_owned(), Some(value.clone()));
        if i % 5 == 0 {
            batch(&store, &[op("n"), op("twin")]).unwrap();
        } else {
            set(&store, b"s", "n", &value).unwrap();
        }
        if i % 4 == 0 || options.durability == Durability::Sync {
            out.write_all(&i.to_le_bytes()).unwrap();
        }
    }
}

#[test]
fn a_killed_process_loses_nothing_that_it_acknowledged() {
    if let Ok(spec) = std::env::var(CHILD) {
        let (word, rest) = spec.split_once(' ').unwrap();
        let (mapped, path) = rest.split_once(' ').unwrap();
        return write_for_ever(Path::new(path), small(Durability::from_word(word).unwrap(), mapped == "true"));
    }
    let mut rng = Rng::from_env("a_killed_process_loses_nothing_that_it_acknowledged");
    let (mut kills, mut acked, mut records) = (0, 0, 0);
    for word in WORDS {
        for mapped in [true, false] {
            let dir = Dir::new(&format!("kill-{}-{mapped}", word.word()));
            for _ in 0..if mapped { 25 } else { 8 } {
                let mut child = Command::new(std::env::current_exe().unwrap())
                    .args(["--exact", "a_killed_process_loses_nothing_that_it_acknowledged", "--nocapture", "-q"])
                    .env(CHILD, format!("{} {mapped} {}", word.word(), dir.0.display()))
                    .stdout(Stdio::null())
                    .stderr(Stdio::piped())
                    .spawn()
                    .unwrap();
                let (mut said, mut stderr) = (Vec::new(), child.stderr.take().unwrap());
                // Most once they have acknowledged something, however slow they are; the others while they open.
                let opening_ms = if rng.chance(75) {
                    said.resize(8, 0);
                    stderr.read_exact(&mut said).unwrap();
                    0
                } else {
                    15
                };
                std::thread::sleep(Duration::from_millis(opening_ms + rng.next() % 30));
                child.kill().unwrap();
                stderr.read_to_end(&mut said).unwrap();
                child.wait().unwrap();
                let last = said.chunks_exact(8).last().map(|n| u64::from_le_bytes(n.try_into().unwrap()));
                acked += u32::from(last.is_some());
                let store = open(&dir.0, small(word, mapped)).unwrap();
                let value = get(&store, b"s", "n").unwrap_or_else(|| vec![0; 8]);
                let there = u64::from_le_bytes(value[..8].try_into().unwrap());
                assert!(there >= last.unwrap_or(0), "{last:?} was acknowledged, {there} is there");
                assert!(value.chunks(8).all(|n| n == there.to_le_bytes()));
                if let Some(twin) = get(&store, b"s", "twin") {
                    assert_eq!(u64::from_le_bytes(twin[..8].try_into().unwrap()), there / 5 * 5);
                }
                kills += 1;
                records = records.max(there);
                store.close().unwrap();
            }
        }
    }
    assert!(acked > kills / 2, "{acked} of {kills} children acknowledged anything");
    println!("{kills} kills, {acked} of them after acknowledgements, up to {records} records in one store");
}

#[test]
fn files_belong_to_their_owner_alone() {
    let dir = Dir::new("modes");
    let path = dir.0.join("deep").join("er");
    let store = open(&path, small(Durability::Interval, true)).unwrap();
    set(&store, b"s", "a", b"1").unwrap();
    store.close().unwrap();
    let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
    for sub in [dir.0.clone(), dir.0.join("deep"), path.clone(), path.join("segments")] {
        assert_eq!(mode(&sub), 0o700, "{}", sub.display());
    }
    for name in ["MANIFEST", "LOCK", "ring", "segments/0000000000000040-0000.seg"] {
        assert_eq!(mode(&path.join(name)), 0o600, "{name}");
    }
}

/// A link in place of the directory of the segments was followed.
#[test]
fn symbolic_links_in_a_store_are_refused() {
    for name in ["segments/0000000000000040-0000.seg", "segments", "ring", "MANIFEST", "LOCK"] {
        let dir = Dir::new("link");
        let store = open(&dir.0, small(Durability::Interval, true)).unwrap();
        set(&store, b"s", "a", b"1").unwrap();
        store.close().unwrap();
        drop(store);
        let elsewhere = dir.0.join("elsewhere");
        fs::rename(dir.0.join(name), &elsewhere).unwrap();
        symlink(&elsewhere, dir.0.join(name)).unwrap();
        assert_ne!(code(open(&dir.0, small(Durability::Interval, true))), "ok", "{name}");
    }
}

#[test]
fn a_path_that_is_a_file_is_refused_and_left_alone() {
    let dir = Dir::new("file");
    fs::create_dir_all(&dir.0).unwrap();
    let path = dir.0.join("file");
    fs::write(&path, b"precious").unwrap();
    assert_eq!(code(open(&path, WalOptions::default())), "storage.not_a_directory");
    assert_eq!(code(open(&path.join("below"), WalOptions::default())), "storage.not_a_directory");
    assert_eq!(fs::read(&path).unwrap(), b"precious");
}

#[test]
fn two_openers_of_one_directory_are_told_who_has_it() {
    let dir = Dir::new("lock");
    let store = open(&dir.0, small(Durability::Interval, true)).unwrap();
    let refused = open(&dir.0, small(Durability::Interval, true)).err().unwrap();
    assert!(refused.to_string().contains(&std::process::id().to_string()), "{refused}");
    store.close().unwrap();
    assert_eq!(code(open(&dir.0, small(Durability::Interval, true))), "ok");
}

/// A child of a fork has no ring at the ring's address. Dropping the store there unmapped whatever else stood there.
#[test]
fn a_forked_child_drops_the_store_without_touching_its_memory() {
    let dir = Dir::new("fork");
    let env = Env { threads: false, ..Env::real(&dir.0).unwrap() };
    let region = {
        let store = Store::open(env.clone(), small(Durability::Interval, true)).unwrap();
        store.close().unwrap();
        drop(store);
        env.disk.map("ring", (64 << 10) + 4096).unwrap()
    };
    let (address, len) = (region.base(), region.len());
    // SAFETY: the child calls only mmap, munmap (through the drop) and _exit, which are async-signal-safe.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: a fixed mapping at an address that is free in the child, checked by the kernel (NOREPLACE).
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
            let mine = libc::mmap(address.cast(), len, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
            if mine != address.cast() {
                libc::_exit(2);
            }
            drop(region);
            let mut there = [0u8; 64];
            let mapped = libc::mincore(mine, 4096, there.as_mut_ptr());
            libc::_exit(i32::from(mapped != 0));
        }
    }
    let mut status = 0;
    // SAFETY: waits for the child made above.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0, "1 << 8: the child's own memory was unmapped; 2 << 8: the ring was inherited");
}

#[test]
fn a_scan_from_the_highest_version_is_empty() {
    let store = Store::open(Env::memory(), WalOptions::default()).unwrap();
    set(&store, b"s", "a", b"1").unwrap();
    assert!(store.changes(u64::MAX).unwrap().next_change().unwrap().is_none());
    store.close().unwrap();
}

/// A ring of another size that an opening was killed in the middle of making stayed for good when the next one kept the old.
#[test]
fn a_half_made_ring_is_removed_by_the_next_opening() {
    let dir = Dir::new("half-made-ring");
    open(&dir.0, small(Durability::Interval, true)).unwrap().close().unwrap();
    fs::write(dir.0.join("ring.tmp"), [0; 4096]).unwrap();
    open(&dir.0, small(Durability::Interval, true)).unwrap().close().unwrap();
    assert!(!dir.0.join("ring.tmp").exists());
}

/// The second of two closers came back at once, while the first was still syncing: a program then ended in between.
#[test]
fn whoever_closes_while_another_thread_does_comes_back_when_it_is_done() {
    let dir = Dir::new("two-closers");
    for _ in 0..20 {
        let store = open(&dir.0, WalOptions { durability: Durability::Process, ..WalOptions::default() }).unwrap();
        set(&store, b"s", "k", &[7; 100_000]).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    store.close().unwrap();
                    assert_eq!(store.wal().synced_lsn(), store.wal().last_lsn());
                });
            }
        });
    }
}
