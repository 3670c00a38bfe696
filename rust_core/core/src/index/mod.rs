//! (room) index
