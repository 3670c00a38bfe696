//! `Events`: records that say that something happened.

use pyo3::prelude::*;
use spellkeep_core::record::{Draft, Fields, Kind, OriginBuf, StateClass};
use spellkeep_core::store::StoreError;
use spellkeep_core::sync::Arc;

use super::failure::to_py;
use super::manager::Store;
use super::{Shared, Version, write};
use crate::correlation;
use crate::scope::{StateScope, key_str};
use crate::value::encode_into;

/// The events of one store.
#[pyclass(frozen, subclass, module = "spellkeep._core")]
pub struct Events {
    shared: Arc<Shared>,
}

#[pymethods]
impl Events {
    #[new]
    fn new(store: &Bound<'_, Store>) -> Self {
        Self { shared: Arc::clone(&store.get().shared) }
    }

    /// Record that something happened; return the version of the event.
    #[pyo3(name = "_emit")]
    fn emit(
        &self,
        scope: &Bound<'_, StateScope>,
        event: &Bound<'_, PyAny>,
        data: &Bound<'_, PyAny>,
        cause: Option<Version>,
        acknowledge: bool,
    ) -> PyResult<u64> {
        let (py, shared) = (scope.py(), &*self.shared);
        shared.check().map_err(|e| to_py(py, e))?;
        let (event, class) = (key_str(event)?, StateClass::Standard);
        let mut draft = Draft::default();
        draft.begin(Kind::Event, class, scope.get().encoded());
        encode_into(py, data, shared.limits(class), draft.value_buf())?;
        let current = correlation::current_writing(py)?;
        let caused: Option<OriginBuf> = cause.map(|cause| current.origin().caused_by(cause.number()));
        draft.end_with(event.as_bytes(), Fields::from(caused.as_ref().map_or(current.origin(), OriginBuf::get)));
        let lsn = match shared.try_emit(&mut draft) {
            Err(StoreError::Busy | StoreError::TooBig) => py.detach(|| shared.emit(&mut draft)),
            done => done,
        }
        .map_err(|e| to_py(py, e))?;
        if acknowledge { write::acknowledge(py, shared, lsn) } else { Ok(lsn) }
    }
}
