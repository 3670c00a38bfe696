//! Passes on what PyO3 found out about the interpreter, as `cfg(Py_GIL_DISABLED)`, `cfg(Py_3_14)` and so on.
fn main() {
    pyo3_build_config::use_pyo3_cfgs();
}
