//! Memory to work in that a layer keeps between its calls.

use crate::dtype::{Dtype, Made};
use chainrule_kernels::layers::affine;
use chainrule_kernels::Float;
use pyo3::prelude::*;
use std::sync::Mutex;

/// Scratch(): memory without meaning. A copy of it, pickled or not, is a new one.
#[pyclass(frozen, module = "chainrule._kernels")]
#[derive(Default)]
pub(crate) struct Scratch {
    single: Mutex<affine::Scratch<f32>>,
    double: Mutex<affine::Scratch<f64>>,
}

struct Shared;

impl Made for Shared {
    type For<T: Float> = Mutex<affine::Scratch<T>>;
}

#[pymethods]
impl Scratch {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    fn __reduce__(slf: &Bound<'_, Self>) -> (Py<PyAny>, ()) {
        (slf.get_type().into_any().unbind(), ())
    }
}

impl Scratch {
    /// Run `work` with the memory for `T`; with fresh memory if another thread is using it.
    pub(crate) fn with<T: Dtype, R>(&self, work: impl FnOnce(&mut affine::Scratch<T>) -> R) -> R {
        match T::choose::<Shared>(&self.single, &self.double).try_lock() {
            Ok(mut scratch) => work(&mut scratch),
            Err(_) => work(&mut affine::Scratch::default()),
        }
    }
}
