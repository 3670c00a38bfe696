//! (room) value: Python objects to bytes and back, in one walk each way.

mod arrays;
mod bundle;
mod copies;
mod decode;
mod decode_rare;
mod difference;
mod encode;
mod encode_rare;
mod failure;
mod gather;
mod hiding;
mod hiding_members;
mod keys;
mod limits;
mod model;
mod pictures;
mod same;
mod substitution;
mod tagged;
mod texts;
mod types;
mod view;
mod view_dict;
mod view_iter;
mod view_sequence;

use std::cell::Cell;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyMemoryView, PySlice};
use spellkeep_core::limits::ValueLimits;
use spellkeep_core::sync::Arc;
use spellkeep_core::value::Encoder;

pub use bundle::value_bundle;
pub use copies::value_copies;
pub use difference::value_difference;
pub use gather::value_gather;
pub use hiding::encode_as;
pub use limits::Limits;
pub use model::ModelFields;
pub use pictures::Pictures;
pub use same::value_changed;
pub use substitution::Substitution;
pub use tagged::Tagged;
pub use texts::{value_time_us, value_uuid_bytes};
pub use view::{ValueSource, view};
pub use view_dict::DictView;
pub use view_iter::ViewIter;
pub use view_sequence::SequenceView;

use encode::Walker;
use failure::Failure;
use hiding::Nothing;

/// Something that keeps encoded bytes alive, for arrays that point into them.
pub trait BufferOwner {
    /// A read-only object with the buffer protocol over `len` bytes at `offset` of the bytes given to [`decode`].
    fn buffer<'py>(&self, py: Python<'py>, offset: usize, len: usize) -> PyResult<Bound<'py, PyAny>>;

    /// Whether arrays are to be read-only, and are not to be copied unless their place asks for it.
    fn is_read_only(&self) -> bool {
        false
    }
}

/// Walks `value` once and appends its encoding to `out`; on error `out` is truncated back to its former length.
pub fn encode_into(py: Python<'_>, value: &Bound<'_, PyAny>, limits: &ValueLimits, out: &mut Vec<u8>) -> PyResult<()> {
    let start = out.len();
    let mut walker = Walker { py, encoder: Encoder::new(out, limits), hiding: Nothing };
    // SAFETY: the caller's reference keeps the value alive.
    let walked = unsafe { walker.value(value.as_ptr()) };
    match walked.and_then(|()| Ok(walker.encoder.finish()?)) {
        Ok(_) => Ok(()),
        Err(failure) => Err(refuse(py, out, start, failure)),
    }
}

#[cold]
fn refuse(py: Python<'_>, out: &mut Vec<u8>, start: usize, failure: Box<Failure>) -> PyErr {
    out.truncate(start);
    failure.into_err(py)
}

/// Builds the value that `bytes` hold. Arrays point into `owner` where there is one, and are copied otherwise.
pub fn decode<'py>(py: Python<'py>, bytes: &[u8], owner: Option<&dyn BufferOwner>) -> PyResult<Bound<'py, PyAny>> {
    decode_rare::whole(py, bytes, owner).map_err(|failure| failure.into_err(py))
}

/// Buffers larger than this are not kept for the next call.
const SCRATCH_BYTES_MAX: usize = 1 << 20;

thread_local! {
    /// Empty while in use, so an encode function that encodes something itself finds a fresh one.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Encode a value as the store would keep it.
///
/// Args:
///     value: any value that can be kept.
///     limits: what it may be; the defaults of ``Limits()`` if None.
/// Returns: its bytes, envelope included.
/// Raises: NotSerializable (value.unsupported_type, value.cycle, value.changed), LimitExceeded (value.depth, value.items,
///     value.string_bytes, value.total_bytes), both with ``path``; whatever a registered encode function raises.
/// Cost: one walk; 0.3 us for a dict of 120 bytes.
/// Source: docs/format.md, Values.
#[pyfunction]
#[pyo3(name = "value_encode", signature = (value, *, limits=None))]
pub fn value_encode<'py>(
    py: Python<'py>,
    value: &Bound<'py, PyAny>,
    limits: Option<&Bound<'py, Limits>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let limits = limits.map_or_else(ValueLimits::default, |limits| limits.get().value_limits());
    with_scratch(|scratch| {
        encode_into(py, value, &limits, scratch)?;
        Ok(PyBytes::new(py, scratch))
    })
}

/// Calls `fill` with an empty buffer of this thread's, which is kept for the next call.
fn with_scratch<T>(fill: impl FnOnce(&mut Vec<u8>) -> PyResult<T>) -> PyResult<T> {
    let mut scratch = SCRATCH.take();
    scratch.clear();

    let filled = fill(&mut scratch);
    if scratch.capacity() <= SCRATCH_BYTES_MAX {
        SCRATCH.set(scratch);
    }
    filled
}

/// Rebuild a value from the bytes that ``encode`` returned. Nothing is called but decode functions that were registered.
///
/// Returns: a new value; objects of tags that are not registered come as ``Tagged``.
/// Raises: Corrupted (value.malformed, value.format_version); SchemaMismatch (value.numpy_missing, value.zone_missing, and those
///     of registered classes); whatever a registered decode function raises.
/// Cost: O(bytes); memory is bounded by a constant times the bytes, whatever they say.
/// Source: docs/format.md, Values.
#[pyfunction]
#[pyo3(name = "value_decode")]
pub fn value_decode<'py>(py: Python<'py>, data: &Bound<'py, PyBytes>) -> PyResult<Bound<'py, PyAny>> {
    decode(py, data.as_bytes(), Some(&BytesOwner(data)))
}

/// Arrays decoded from a bytes object keep that object alive.
struct BytesOwner<'a, 'py>(&'a Bound<'py, PyBytes>);

impl BufferOwner for BytesOwner<'_, '_> {
    fn buffer<'py>(&self, py: Python<'py>, offset: usize, len: usize) -> PyResult<Bound<'py, PyAny>> {
        window(self.0.as_unbound().bind(py), offset, len)
    }
}

/// A memoryview of `len` bytes at `offset` of a buffer.
pub fn window<'py>(buffer: &Bound<'py, PyAny>, offset: usize, len: usize) -> PyResult<Bound<'py, PyAny>> {
    // Not `PySlice::new`: in PyO3 0.30.1 it leaks the integers that it makes.
    PyMemoryView::from(buffer)?.get_item(buffer.py().get_type::<PySlice>().call1((offset, offset + len))?)
}

/// View a value in the bytes that ``encode`` returned, without rebuilding it.
///
/// Returns: a ``DictView`` or ``SequenceView`` of a dict, list or tuple; any other value as ``decode`` gives it, bytes as a
///     read-only memoryview, arrays read-only.
/// Raises: Corrupted (value.malformed, value.format_version); as ``decode`` for a value that is no container.
/// Cost: O(1), and that of what is asked for.
/// Source: docs/guide/values.md, Views.
#[pyfunction]
#[pyo3(name = "value_view")]
pub fn value_view<'py>(py: Python<'py>, data: &Bound<'py, PyBytes>) -> PyResult<Bound<'py, PyAny>> {
    view(py, Arc::new(BytesSource(data.clone().unbind())))
}

/// The bytes object that a view looks at.
struct BytesSource(Py<PyBytes>);

impl BufferOwner for BytesSource {
    fn buffer<'py>(&self, py: Python<'py>, offset: usize, len: usize) -> PyResult<Bound<'py, PyAny>> {
        window(self.0.bind(py), offset, len)
    }
}

impl ValueSource for BytesSource {
    fn bytes<'a>(&'a self, py: Python<'a>) -> &'a [u8] {
        self.0.as_bytes(py)
    }
}

/// Private: the two dicts that ``spellkeep.value`` fills, class -> (tag, version, encode) and tag -> decode.
#[pyfunction]
pub fn value_use_registry(py: Python<'_>, by_class: Py<PyDict>, by_tag: Py<PyDict>) {
    types::use_registry(py, by_class, by_tag);
}
