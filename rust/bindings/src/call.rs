//! How a kernel is called and interrupted, and which Python exceptions its errors become.

use chainrule_kernels::machine::interrupt;
use chainrule_kernels::machine::level::{detect, Level};
use chainrule_kernels::machine::threads::{check, were_refused};
use chainrule_kernels::KernelError;
use pyo3::exceptions::{PyKeyboardInterrupt, PyMemoryError, PyRuntimeError, PyRuntimeWarning, PyValueError};
use pyo3::prelude::*;
use std::cell::{Cell, RefCell};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};

/// Run a kernel without the interpreter lock. It checks regularly for Ctrl-C and for exceptions from other signal
/// handlers. Its error becomes Python's; a panic, which would be a bug of ours, becomes a `RuntimeError` where PyO3
/// would raise a `BaseException`.
pub(crate) fn call<R: Send>(py: Python<'_>, kernel: impl FnOnce() -> Result<R, KernelError> + Send) -> PyResult<R> {
    // Python runs signal handlers only in its main thread: elsewhere there is nothing to check.
    let main = is_main_thread(py)?;
    let guarded = || catch_unwind(AssertUnwindSafe(kernel));
    let result = py.detach(|| if main { interrupt::asking(signals, guarded) } else { guarded() });
    if were_refused() && !TOLD.swap(true, Ordering::Relaxed) {
        let text =
            c"the system refused chainrule a thread: all work is done by the one that calls, with the same results; \
            CHAINRULE_NUM_THREADS=1 asks for no other";
        PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), text, 1)?;
    }
    match result {
        Ok(result) => result.map_err(to_python),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            Err(PyRuntimeError::new_err(format!("internal error, please report: {text}")))
        }
    }
}

/// Whether the user has been told that threads are refused.
static TOLD: AtomicBool = AtomicBool::new(false);

thread_local! {
    static IS_MAIN: Cell<Option<bool>> = const { Cell::new(None) };
    /// The exception from a handler, on its way to the caller.
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// Whether Python handles signals in this thread; looked up once per thread.
fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    if let Some(known) = IS_MAIN.get() {
        return Ok(known);
    }
    let threading = py.import("threading")?;
    let main = threading.call_method0("main_thread")?.is(&threading.call_method0("current_thread")?);
    IS_MAIN.set(Some(main));
    Ok(main)
}

/// Run the handlers of pending signals; returns whether one has raised an exception.
fn signals() -> bool {
    let raised = Python::attach(|py| py.check_signals().err());
    let any = raised.is_some();
    RAISED.set(raised);
    any
}

/// The instruction set to use; a `RuntimeError` if this CPU does not have the one that `CHAINRULE_SIMD` asks for, or if
/// `CHAINRULE_NUM_THREADS` is not a number.
pub(crate) fn level() -> PyResult<Level> {
    check().and_then(|()| detect()).map_err(to_python)
}

pub(crate) fn to_python(error: KernelError) -> PyErr {
    match error {
        KernelError::Level { .. } | KernelError::Threads { .. } => PyRuntimeError::new_err(error.to_string()),
        KernelError::Memory { .. } => PyMemoryError::new_err(error.to_string()),
        KernelError::Interrupted => RAISED.take().unwrap_or_else(|| PyKeyboardInterrupt::new_err(())),
        _ => PyValueError::new_err(error.to_string()),
    }
}
