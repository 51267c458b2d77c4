//! A network as a whole: what it is made of, and how it is run, trained and evaluated.

pub mod evaluation;
pub mod optimize;
pub mod stack;
pub mod training;
