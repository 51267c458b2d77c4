//! Products that skip zeros.

pub mod nonzeros;
pub mod product;
pub mod rows;

pub(crate) mod columns;
pub(crate) mod first_layer;
pub(crate) mod helper_thread;
pub(crate) mod marks;
pub(crate) mod partition;
