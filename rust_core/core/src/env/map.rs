//! Memory that outlives a SIGKILL: a shared mapping of a file, or plain heap where files or mappings are not to be had.

use std::cell::UnsafeCell;
use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;

use memmap2::{MmapOptions, MmapRaw};

use super::fork;
use crate::sync::{Arc, AtomicU64, Ordering};

/// A fixed range of memory that only its owner reads and writes.
///
/// # Safety
/// `base()` must stay valid for reads and writes of `len()` bytes, at the same address, until the value is dropped,
/// and be aligned to 8 bytes.
#[allow(unsafe_code)]
pub unsafe trait Region: Send + Sync {
    /// Address of the first byte.
    fn base(&self) -> *mut u8;
    /// Length in bytes.
    fn len(&self) -> usize;
    /// Whether the region has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A shared file mapping. Not inherited by `fork`: a child that touched it would write into its parent's log.
pub struct MappedRegion {
    map: ManuallyDrop<MmapRaw>,
    fork_generation: u32,
}

impl Drop for MappedRegion {
    fn drop(&mut self) {
        // In a forked child the mapping is not there, and something else may stand at its address by now.
        if self.fork_generation == fork::generation() {
            // SAFETY: dropped once, here.
            #[allow(unsafe_code)]
            unsafe {
                ManuallyDrop::drop(&mut self.map);
            }
        }
    }
}

impl MappedRegion {
    /// Maps the first `len_bytes` of `file` and brings the pages in.
    ///
    /// # Errors
    /// The system's.
    pub fn new(file: &File, len_bytes: usize) -> io::Result<Self> {
        fork::watch();
        let map = MmapOptions::new().len(len_bytes).populate().map_raw(file)?;
        #[cfg(target_os = "linux")]
        map.advise(memmap2::Advice::DontFork)?;
        Ok(Self { map: ManuallyDrop::new(map), fork_generation: fork::generation() })
    }
}

// SAFETY: the mapping lives as long as `self.map`, at one page-aligned address.
#[allow(unsafe_code)]
unsafe impl Region for MappedRegion {
    fn base(&self) -> *mut u8 {
        self.map.as_mut_ptr()
    }
    fn len(&self) -> usize {
        self.map.len()
    }
}

// SAFETY: forwards to a region that the `Arc` keeps in place.
#[allow(unsafe_code)]
unsafe impl<R: Region + ?Sized> Region for Arc<R> {
    fn base(&self) -> *mut u8 {
        (**self).base()
    }
    fn len(&self) -> usize {
        (**self).len()
    }
}

/// Heap memory. It does not survive the process, so whoever acknowledges from it must write to a file first.
pub struct HeapRegion(Box<[UnsafeCell<u64>]>);

impl HeapRegion {
    /// Zeroed memory of `len_bytes`, rounded up to 8.
    pub fn new(len_bytes: usize) -> Self {
        Self::from_bytes(&[], len_bytes)
    }

    /// Memory of `len_bytes`, rounded up to 8, that begins with `bytes` and goes on with zeros.
    pub fn from_bytes(bytes: &[u8], len_bytes: usize) -> Self {
        let word = |index: usize| {
            let mut word = [0; 8];
            let rest = bytes.get(index * 8..).unwrap_or_default();
            let count = rest.len().min(8);
            word[..count].copy_from_slice(&rest[..count]);
            UnsafeCell::new(u64::from_ne_bytes(word))
        };
        Self((0..len_bytes.div_ceil(8)).map(word).collect())
    }
}

// SAFETY: the box is neither moved nor resized, `u64` cells are 8-aligned, and `UnsafeCell` permits writes through `&`.
#[allow(unsafe_code)]
unsafe impl Region for HeapRegion {
    fn base(&self) -> *mut u8 {
        self.0.as_ptr().cast::<u8>().cast_mut()
    }
    fn len(&self) -> usize {
        self.0.len() * 8
    }
}

// SAFETY: access is disciplined by the owner (see `Region`); the cells themselves have no thread affinity.
#[allow(unsafe_code)]
unsafe impl Sync for HeapRegion {}

/// What a region holds now. Whoever writes there meanwhile may be seen half way, in whole words.
pub fn copy_of(region: &dyn Region) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(region.len());
    for at in (0..region.len() / 8).map(|word| word * 8) {
        // SAFETY: inside of the region, aligned to 8 bytes as it is.
        #[allow(unsafe_code)]
        let word = unsafe { AtomicU64::from_ptr(region.base().add(at).cast()) }.load(Ordering::Acquire);
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    bytes
}
