//! (room) env
