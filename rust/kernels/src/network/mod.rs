//! A network as a whole: its layers, and how it is run, trained and evaluated.

pub mod evaluation;
pub mod optimize;
pub mod stack;
pub mod training;
