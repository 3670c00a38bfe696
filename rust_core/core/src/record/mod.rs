//! (room) record
