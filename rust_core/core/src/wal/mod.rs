//! (room) wal
