//! The machine a kernel runs on: its instruction sets, its threads, its two float types.

pub mod interrupt;
pub mod level;
pub mod put_by;
pub mod threads;

pub(crate) mod exp;
pub(crate) mod float;
