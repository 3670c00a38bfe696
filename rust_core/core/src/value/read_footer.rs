//! The reader of tokens, continued: what its caller tells it of containers, so that it can make the footer again.

use super::Reader;
use super::footer::Open;

impl Reader<'_> {
    /// Begins the items of a list of `len` items, whose token was read. Marks go before the items that [`Open`] names.
    #[inline]
    pub fn open_array(&self, len: usize) -> Open {
        self.opened(len, false)
    }

    /// Begins the entries of a map, as above.
    #[inline]
    pub fn open_map(&self, len: usize) -> Open {
        self.opened(len, true)
    }

    #[inline]
    fn opened(&self, len: usize, is_map: bool) -> Open {
        match &self.footer {
            None => Open::new(None, self.pos, len, is_map, true),
            Some(known) => Open::new(Some(&known.footer), self.pos, len, is_map, known.seals > 0),
        }
    }

    /// The next item is one that the innermost open container wants marked.
    pub fn mark(&mut self) {
        if let Some(known) = &mut self.footer {
            known.footer.mark(self.pos);
        }
    }

    /// Ends the innermost open list or map.
    #[inline]
    pub fn end(&mut self, open: Open) {
        if self.footer.is_some() && open.is_large(self.pos) {
            self.end_large(open);
        }
    }

    #[cold]
    fn end_large(&mut self, open: Open) {
        if let Some(known) = self.footer.as_mut().filter(|known| known.seals == 0) {
            known.footer.close(&open, &self.bytes[..self.pos]);
        }
    }

    /// Begins a tagged object or a set, in which the footer knows nothing.
    pub fn seal(&mut self) {
        if let Some(known) = &mut self.footer {
            known.seals += 1;
        }
    }

    /// Ends it.
    pub fn unseal(&mut self) {
        if let Some(known) = &mut self.footer {
            known.seals -= 1;
        }
    }
}
