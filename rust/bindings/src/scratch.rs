//! Room to work in that a layer keeps between its calls.

use chainrule_kernels::affine;
use pyo3::prelude::*;
use std::sync::Mutex;

/// Scratch(): holds memory, no meaning. A copy of it, pickled or not, is a new one.
#[pyclass(frozen, module = "chainrule._kernels")]
#[derive(Default)]
pub(crate) struct Scratch {
    single: Mutex<affine::Scratch<f32>>,
    double: Mutex<affine::Scratch<f64>>,
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
    /// `work` with the room for `T`; with fresh room if another thread is at work with it.
    pub(crate) fn with<T: Room, R>(&self, work: impl FnOnce(&mut affine::Scratch<T>) -> R) -> R {
        match T::room(self).try_lock() {
            Ok(mut room) => work(&mut room),
            Err(_) => work(&mut affine::Scratch::default()),
        }
    }
}

/// A type there is room for.
pub(crate) trait Room: chainrule_kernels::Float {
    fn room(scratch: &Scratch) -> &Mutex<affine::Scratch<Self>>;
}

impl Room for f32 {
    fn room(scratch: &Scratch) -> &Mutex<affine::Scratch<Self>> {
        &scratch.single
    }
}

impl Room for f64 {
    fn room(scratch: &Scratch) -> &Mutex<affine::Scratch<Self>> {
        &scratch.double
    }
}
