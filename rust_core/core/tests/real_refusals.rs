//! Real files that refuse: what a directory, a link, a limit of the process answers, and that nothing is left half done.

mod common;

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Mutex;

use common::{code, set, small};
use spellkeep_core::env::disk::{closed_file, durable_replace, read_file};
use spellkeep_core::env::wake::Waker;
use spellkeep_core::env::{DiskFile, Env, LockFailed, OpenHow};
use spellkeep_core::store::Store;
use spellkeep_core::wal::{Durability, WalOptions};

/// A directory of its own, removed afterwards.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("spellkeep-refusals-{name}-{}", std::process::id()));
        fs::remove_dir_all(&path).ok();
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// Limits of the process are for one test at a time.
static LIMITS: Mutex<()> = Mutex::new(());

/// Sets a limit while `act` runs.
fn limited<R>(which: libc::__rlimit_resource_t, wanted: u64, act: impl FnOnce() -> R) -> R {
    let _alone = LIMITS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let mut former = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls get a valid `rlimit`; the signal that the file size limit brings is ignored.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        assert_eq!(libc::getrlimit(which, &mut former), 0);
        let limit = libc::rlimit { rlim_cur: wanted.min(former.rlim_max), ..former };
        assert_eq!(libc::setrlimit(which, &limit), 0);
        let done = act();
        assert_eq!(libc::setrlimit(which, &former), 0);
        done
    }
}

#[test]
fn a_file_that_may_not_grow_is_refused_whole_and_keeps_its_length() {
    let dir = Dir::new("grow");
    let disk = Env::real(&dir.0).unwrap().disk;
    let file = disk.open("file", OpenHow::Create).unwrap();
    file.allocate(5000).unwrap();
    limited(libc::RLIMIT_FSIZE, 100_000, || {
        let refused = file.allocate_named(200_000).unwrap_err();
        assert_eq!(refused.source.raw_os_error(), Some(libc::EFBIG), "{refused}");
        assert!(refused.to_string().starts_with(&format!("allocate {}: ", disk.path_of("file"))));
        assert_eq!(file.len().unwrap(), 5000);
        assert!(file.write_all_at(&[1; 8192], 96_000).is_err());
        assert!(file.set_len_named(200_000).is_err());
    });
    file.allocate(200_000).unwrap();
    assert_eq!(file.len().unwrap(), 200_000);
    file.allocate(10).unwrap();
    assert_eq!(file.len_named().unwrap(), 200_000);
}

#[test]
fn a_store_whose_files_may_not_grow_says_so_and_goes_on_afterwards() {
    let dir = Dir::new("full");
    let env = Env { threads: false, ..Env::real(&dir.0).unwrap() };
    let store = Store::open(env, small(Durability::Interval, true)).unwrap();
    limited(libc::RLIMIT_FSIZE, 100_000, || {
        let refused = (0..2000).find_map(|i| set(&store, b"s", &format!("k{i}"), &[1; 9000]).err());
        assert_eq!(refused.map(Err::<(), _>).map(code), Some("storage.full"));
    });
    set(&store, b"s", "after", b"1").unwrap();
    store.close().unwrap();
}

#[test]
fn more_stores_than_a_fork_can_close_are_refused() {
    let dir = Dir::new("many");
    let disk = Env::real(&dir.0).unwrap().disk;
    limited(libc::RLIMIT_NOFILE, 4096, || {
        let mut held: Vec<_> = Vec::new();
        let refused = loop {
            match disk.lock(&format!("LOCK{}", held.len())) {
                Ok(lock) => held.push(lock),
                Err(refused) => break refused,
            }
            assert!(held.len() <= 1024);
        };
        // Tests of this binary that have a store open at the moment have a place, too.
        assert!(held.len() > 1000, "{}", held.len());
        assert!(matches!(refused, LockFailed::Io(e) if e.to_string().contains("1,024 stores are open")));
        drop(held.pop());
        assert!(disk.lock("LOCK again").is_ok());
    });
}

#[test]
fn a_link_in_place_of_a_file_is_never_followed() {
    let dir = Dir::new("link");
    let disk = Env::real(&dir.0).unwrap().disk;
    fs::write(dir.0.join("real"), [0; 4096]).unwrap();
    symlink("real", dir.0.join("link")).unwrap();
    let is_loop = |e: io::Error| assert_eq!(e.raw_os_error(), Some(libc::ELOOP));
    is_loop(disk.open("link", OpenHow::Read).err().unwrap().source);
    is_loop(disk.map("link", 4096).err().unwrap().source);
    is_loop(disk.is_locked("link").unwrap_err().source);
    assert!(matches!(disk.lock("link"), Err(LockFailed::Io(_))));
    assert_eq!(disk.map("real", 4096).unwrap().len(), 4096);
}

#[test]
fn whether_somebody_has_a_directory_is_seen_without_taking_it() {
    let dir = Dir::new("locked");
    let disk = Env::existing(&dir.0).unwrap().disk;
    assert!(!disk.is_locked("LOCK").unwrap());
    let held = disk.lock("LOCK").unwrap_or_else(|_| panic!("nobody has it"));
    assert!(disk.is_locked("LOCK").unwrap());
    assert!(matches!(disk.lock("LOCK"), Err(LockFailed::Held(Some(pid))) if pid == std::process::id()));
    drop(held);
    assert!(!disk.is_locked("LOCK").unwrap());
    assert!(Env::existing(&dir.0.join("nowhere")).is_err());
    assert!(!dir.0.join("nowhere").exists());
}

#[test]
fn names_that_the_system_refuses_are_errors_and_not_absent_files() {
    let dir = Dir::new("names");
    let disk = Env::real(&dir.0).unwrap().disk;
    fs::write(dir.0.join("file"), b"").unwrap();
    let long = "n".repeat(300);
    assert!(disk.exists(&long).is_err() && disk.exists("file/below").is_err());
    assert!(disk.list("file").is_err() && disk.list("none").unwrap().is_empty());
    assert!(disk.create_dir("file").is_err() && disk.sync_dir("none").is_err());
    assert!(disk.remove("none").is_err() && disk.rename("none", "other").is_err());
    assert!(durable_replace(&*disk, &long, b"bytes").is_err());
    durable_replace(&*disk, "file", b"bytes").unwrap();
    // What a killed replacement left is replaced in turn.
    fs::write(dir.0.join("file.tmp"), b"half").unwrap();
    durable_replace(&*disk, "file", b"whole").unwrap();
    assert_eq!(read_file(&*disk, "file").unwrap(), b"whole");
}

#[test]
fn a_file_that_was_let_go_refuses_everything() {
    let file = closed_file("segment".into());
    let mut buf = [0; 8];
    let refusals = [
        file.read_full_at(&mut buf, 0).unwrap_err(),
        file.write_all_at(&buf, 0).unwrap_err(),
        file.sync_named().unwrap_err(),
        file.len_named().unwrap_err(),
        file.allocate_named(8).unwrap_err(),
        file.set_len_named(8).unwrap_err(),
    ];
    let said: Vec<_> = refusals.iter().map(ToString::to_string).collect();
    let ops = ["read", "write", "sync", "stat", "allocate", "truncate"];
    assert_eq!(said, ops.map(|op| format!("{op} segment: the file was closed with its store")));
    assert!(file.is_empty().is_err());
}

/// Takes what a list says of each write.
struct Slow(Mutex<Vec<Result<usize, io::ErrorKind>>>);

impl DiskFile for Slow {
    fn path(&self) -> String {
        "slow".into()
    }
    fn read_at(&self, _buf: &mut [u8], _offset: u64) -> io::Result<usize> {
        self.write_at(&[], 0)
    }
    fn write_at(&self, _bytes: &[u8], _offset: u64) -> io::Result<usize> {
        self.0.lock().unwrap().remove(0).map_err(Into::into)
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
    fn len(&self) -> io::Result<u64> {
        Ok(0)
    }
    fn allocate(&self, _len_bytes: u64) -> io::Result<()> {
        Ok(())
    }
    fn set_len(&self, _len_bytes: u64) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn short_and_interrupted_calls_go_on_and_one_that_does_nothing_ends_it() {
    let slow = |answers: &[Result<usize, io::ErrorKind>]| Slow(Mutex::new(answers.to_vec()));
    let interrupted = Err(io::ErrorKind::Interrupted);
    let file: &dyn DiskFile = &slow(&[Ok(3), interrupted, interrupted, Ok(5)]);
    file.write_all_at(&[1; 8], 0).unwrap();
    let file: &dyn DiskFile = &slow(&[Ok(3), Ok(0)]);
    assert_eq!(file.write_all_at(&[1; 8], 0).unwrap_err().source.kind(), io::ErrorKind::WriteZero);
    let file: &dyn DiskFile = &slow(&[Ok(3), interrupted, Ok(4), Ok(0)]);
    assert_eq!(file.read_full_at(&mut [0; 8], 0).unwrap(), 7);
    let file: &dyn DiskFile = &slow(&[Ok(3), Err(io::ErrorKind::TimedOut)]);
    assert_eq!(file.read_full_at(&mut [0; 8], 0).unwrap_err().source.kind(), io::ErrorKind::TimedOut);
    assert!(file.is_empty().unwrap());
}

#[test]
fn a_watcher_is_woken_by_each_sync_until_it_goes_away() {
    use std::io::Read;
    let store = Store::open(Env { threads: false, ..Env::memory() }, WalOptions::default()).unwrap();
    let (writes, mut reads) = UnixStream::pair().unwrap();
    writes.set_nonblocking(true).unwrap();
    store.wal().add_waker(Waker::new(writes.into()));
    let mut byte = [0];
    for i in 0..3 {
        set(&store, b"s", "k", &[i]).unwrap();
        store.wal().flush().unwrap();
        reads.read_exact(&mut byte).unwrap();
    }
    drop(reads);
    set(&store, b"s", "k", b"nobody").unwrap();
    store.wal().flush().unwrap();
    let (writes, reads) = UnixStream::pair().unwrap();
    let waker = Waker::new(writes.into());
    // A reader that does not come round to reading is awake already.
    assert!((0..100_000).all(|_| waker.wake()));
    drop(reads);
    assert!(!waker.wake());
}
