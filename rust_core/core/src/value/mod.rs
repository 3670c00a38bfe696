//! (room) value
