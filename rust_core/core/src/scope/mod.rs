//! (room) scope
