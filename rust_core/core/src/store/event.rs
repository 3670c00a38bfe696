//! Events: records that say that something happened. They are in the log, and so in the feed, and change no entry.

use super::{Store, StoreError};
use crate::record::{Draft, Lsn};

impl Store {
    /// Appends a drafted event; returns its version. It is acknowledgeable once [`crate::wal::Wal::acknowledge`] says so.
    /// Never waits.
    ///
    /// # Errors
    /// [`StoreError::Busy`] and [`StoreError::TooBig`] when the commit would have to wait; nothing was written then.
    pub fn try_emit(&self, draft: &mut Draft) -> Result<Lsn, StoreError> {
        self.check()?;
        let time_us = self.wal.env().clock.now_us();
        let mut append = self.wal.append(draft.frame_len())?;
        let (lsn, _) = append.push(draft, time_us, 0, 0);
        append.done();
        Ok(lsn)
    }

    /// As [`Store::try_emit`], of any size, waiting as long as it takes.
    ///
    /// # Errors
    /// What the system says. Nothing was written then.
    pub fn emit(&self, draft: &mut Draft) -> Result<Lsn, StoreError> {
        loop {
            match self.try_emit(draft) {
                Err(StoreError::Busy) => self.make_room(draft.frame_len())?,
                Err(StoreError::TooBig) => match self.wal.gate()? {
                    Some(gate) => {
                        let (mut lsn, time_us) = (0, self.wal.env().clock.now_us());
                        gate.commit(std::slice::from_mut(draft), &[0], time_us, |_, first, _, _| lsn = first)?;
                        return Ok(lsn);
                    }
                    None => self.wal.drain(false)?,
                },
                done => return done,
            }
        }
    }
}
