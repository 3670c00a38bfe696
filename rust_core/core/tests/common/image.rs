//! The bytes of a simulated file, in pages that copies share, and what a power loss makes of those that were not synced.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Rng;

pub const PAGE: usize = 4096;
/// What a disk writes whole or not at all.
pub const SECTOR: usize = 512;
/// How many contents between two syncs are remembered for a power loss to choose from.
const BETWEEN_MAX: usize = 6;

static ZEROS: [u8; PAGE] = [0; PAGE];

/// Bytes; a page that was never written takes no memory.
#[derive(Clone, Default)]
pub struct Image {
    len: usize,
    pages: Vec<Option<Arc<[u8; PAGE]>>>,
}

impl Image {
    pub fn len(&self) -> usize {
        self.len
    }

    fn page(&self, page: usize) -> &[u8; PAGE] {
        self.pages.get(page).and_then(Option::as_deref).unwrap_or(&ZEROS)
    }

    fn page_mut(&mut self, page: usize) -> &mut [u8; PAGE] {
        Arc::make_mut(self.pages[page].get_or_insert_with(|| Arc::new(ZEROS)))
    }

    pub fn resize(&mut self, len: usize) {
        self.pages.resize(len.div_ceil(PAGE), None);
        if len < self.len && !len.is_multiple_of(PAGE) && self.pages[len / PAGE].is_some() {
            self.page_mut(len / PAGE)[len % PAGE..].fill(0);
        }
        self.len = len;
    }

    pub fn read(&self, buf: &mut [u8], offset: usize) -> usize {
        let count = self.len.saturating_sub(offset).min(buf.len());
        let mut done = 0;
        while done < count {
            let at = offset + done;
            let n = (PAGE - at % PAGE).min(count - done);
            buf[done..done + n].copy_from_slice(&self.page(at / PAGE)[at % PAGE..][..n]);
            done += n;
        }
        count
    }

    pub fn write(&mut self, bytes: &[u8], offset: usize) {
        if self.len < offset + bytes.len() {
            self.resize(offset + bytes.len());
        }
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done;
            let n = (PAGE - at % PAGE).min(bytes.len() - done);
            self.page_mut(at / PAGE)[at % PAGE..][..n].copy_from_slice(&bytes[done..done + n]);
            done += n;
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len];
        self.read(&mut bytes, 0);
        bytes
    }
}

/// A file: what everybody sees, what the disk has, and which pages are on the way.
#[derive(Clone, Default)]
pub struct Contents {
    pub now: Image,
    durable: Image,
    dirty: BTreeSet<usize>,
    /// Contents between the last sync and now: the kernel may have written back any page at any of these times.
    between: Vec<Image>,
    changes: usize,
}

impl Contents {
    fn pages_of(start: usize, end: usize) -> std::ops::Range<usize> {
        start / PAGE..end.div_ceil(PAGE)
    }

    /// Remembers the contents before a change.
    fn keep(&mut self) {
        self.changes += 1;
        if self.between.len() < BETWEEN_MAX {
            self.between.push(self.now.clone());
        } else {
            self.between[self.changes * 5 % BETWEEN_MAX] = self.now.clone();
        }
    }

    pub fn write(&mut self, bytes: &[u8], offset: usize, keep: bool) {
        if keep {
            self.keep();
        }
        self.dirty.extend(Self::pages_of(offset, offset + bytes.len()));
        self.now.write(bytes, offset);
    }

    /// What a file grows by reads as zeros, durable or not; what is cut off is gone only once that is synced.
    pub fn resize(&mut self, len: usize, keep: bool) {
        if keep {
            self.keep();
        }
        if len < self.now.len() {
            self.dirty.extend(Self::pages_of(len, self.now.len()));
        }
        self.now.resize(len);
    }

    /// Takes over what was stored into mapped memory.
    pub fn absorb(&mut self, memory: &[u8], keep: bool) {
        let changed = |page: usize| self.now.page(page)[..] != memory[page * PAGE..][..PAGE];
        let changed: Vec<usize> = (0..memory.len() / PAGE).filter(|page| changed(*page)).collect();
        if keep && !changed.is_empty() {
            self.keep();
        }
        for page in changed {
            self.now.page_mut(page).copy_from_slice(&memory[page * PAGE..][..PAGE]);
            self.dirty.insert(page);
        }
    }

    /// As Linux does it: after a failed write-back the pages count as clean and the disk does not have them.
    pub fn sync(&mut self, refused: bool) {
        let dirty = std::mem::take(&mut self.dirty);
        self.between.clear();
        if refused {
            return;
        }
        self.durable.resize(self.now.len());
        for page in dirty.into_iter().filter(|page| *page < self.now.pages.len()) {
            self.durable.pages[page] = self.now.pages[page].clone();
        }
    }

    /// What the disk holds after the power came back: each sector of a page that was on the way as it was at the last
    /// sync, as it is, as it was in between, or torn; the length as it was or as it is.
    pub fn lose(&mut self, rng: &mut Rng) {
        let mut after = self.durable.clone();
        after.resize(if rng.chance(75) { self.now.len() } else { self.durable.len() });
        let dirty: Vec<usize> =
            std::mem::take(&mut self.dirty).into_iter().filter(|page| page * PAGE < after.len()).collect();
        let sectors: Vec<usize> = dirty.iter().flat_map(|page| page * 8..page * 8 + 8).collect();
        let (way, share) = (rng.below(7), rng.below(101));
        let cut = rng.below(sectors.len() + 1);
        let torn = if rng.chance(30) { cut } else { usize::MAX };
        for (i, sector) in sectors.into_iter().enumerate() {
            let new = match way {
                0 => false,
                1 => true,
                // In order, in the opposite order, page by page, sector by sector.
                2 => i < cut,
                3 => i >= cut,
                4 if i % 8 != 0 => continue,
                4 => rng.chance(share),
                5 => rng.chance(share),
                _ => {
                    let version = rng.below(self.between.len() + 2);
                    let from = self.between.get(version).unwrap_or(if version.is_multiple_of(2) {
                        &self.now
                    } else {
                        &self.durable
                    });
                    Self::put(&mut after, from, sector * SECTOR, SECTOR);
                    continue;
                }
            };
            let len = if way == 4 { PAGE } else { SECTOR };
            if new {
                Self::put(&mut after, &self.now, sector * SECTOR, len);
            } else if i == torn {
                Self::put(&mut after, &self.now, sector * SECTOR, 8 * rng.below(SECTOR / 8));
            }
        }
        *self = Self { now: after.clone(), durable: after, ..Self::default() };
    }

    fn put(after: &mut Image, from: &Image, at: usize, len: usize) {
        let end = (at + len).min(after.len());
        if at < end {
            let page = from.page(at / PAGE);
            after.write(&page[at % PAGE..][..end - at], at);
        }
    }
}
