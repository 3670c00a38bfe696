//! (room) store
