//! numpy arrays and their elements, both ways.

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyImportError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyTuple};
use spellkeep_core::value::{ArrayHeader, Dtype, Encoder};

use super::BufferOwner;
use super::encode_rare::unsupported;
use super::failure::{Cause, Failure, Outcome};
use super::types::{Numpy, numpy};

/// Arrays below this are copied on decode, unless it is for a view: a copy costs less than keeping a whole value alive for them.
const BORROW_BYTES_MIN: usize = 1024;

fn header(ob: &Bound<'_, PyAny>) -> Outcome<ArrayHeader> {
    let py = ob.py();
    let typestr: String = ob.getattr(intern!(py, "dtype"))?.getattr(intern!(py, "str"))?.extract()?;
    ArrayHeader::from_typestr(&typestr).ok_or_else(|| {
        let dtype = ob.getattr("dtype").and_then(|dtype| dtype.str()).map_or(typestr, |text| text.to_string());
        let advice = "convert it to a numeric, time or fixed-width string dtype, or to a list";
        Failure::unsupported(format!("a numpy array of dtype {dtype}"), advice)
    })
}

pub(super) fn encode(encoder: &mut Encoder<'_>, numpy: &Numpy, ob: &Bound<'_, PyAny>) -> Outcome {
    let py = ob.py();
    let mut header = header(ob)?;
    header.shape = ob.getattr(intern!(py, "shape"))?.extract()?;
    let flags = ob.getattr(intern!(py, "flags"))?;
    let c_order: bool = flags.getattr(intern!(py, "c_contiguous"))?.extract()?;
    header.fortran = !c_order && flags.getattr(intern!(py, "f_contiguous"))?.extract::<bool>()?;
    if header.data_bytes() == Some(0) {
        return Ok(encoder.ndarray(&header, &[])?);
    }
    // The transpose of an array in Fortran order is the same memory in C order.
    let rows = if header.fortran { ob.getattr(intern!(py, "T"))? } else { ob.clone() };
    let rows = numpy.ascontiguousarray.bind(py).call1((rows,))?;
    // Times have no buffer format of their own; every contiguous array can be looked at as bytes.
    let flat = rows.call_method1(intern!(py, "reshape"), (-1,))?.call_method1(intern!(py, "view"), ("u1",))?;
    let buffer = PyBuffer::<u8>::get(&flat)?;
    // SAFETY: the buffer is contiguous and held until after the copy, during which no Python code runs. Threads that write
    // into the array at the same time tear its content, as they do for every other reader of numpy arrays.
    let data = unsafe { std::slice::from_raw_parts(buffer.buf_ptr().cast::<u8>(), buffer.len_bytes()) };
    Ok(encoder.ndarray(&header, data)?)
}

pub(super) fn encode_scalar(encoder: &mut Encoder<'_>, numpy: &Numpy, ob: &Bound<'_, PyAny>) -> Outcome {
    let py = ob.py();
    let class = ob.get_type();
    // A subclass of a numpy scalar would come back as its base.
    if !ob.getattr(intern!(py, "dtype"))?.getattr(intern!(py, "type"))?.is(&class) {
        return Err(unsupported(ob));
    }
    let mut header = header(ob)?;
    // numpy pads its strings; what they hold is asked of Python's own methods.
    let bytes = if class.is(&numpy.text) {
        header.big_endian = false;
        ob.call_method1("encode", ("utf-32-le", "surrogatepass"))?
    } else if class.is(&numpy.bytes) {
        PyBytes::new(py, ob.extract::<&[u8]>().map_err(PyErr::from)?).into_any()
    } else {
        ob.call_method0(intern!(py, "tobytes"))?
    };
    let data: &[u8] = bytes.extract().map_err(PyErr::from)?;
    if header.dtype.is_text() {
        header.param = data.len() as u32;
    }
    Ok(encoder.array_scalar(&header, data)?)
}

/// numpy, for an array that is to come back. Errors: `value.numpy_missing`.
pub(super) fn needed(py: Python<'_>) -> Outcome<&Numpy> {
    numpy(py).map_err(|error| {
        if error.is_instance_of::<PyImportError>(py) {
            return Failure::new(Cause::Mismatch(
                "value.numpy_missing",
                "holds a numpy array, but numpy cannot be imported here: install numpy".to_owned(),
            ));
        }
        error.into()
    })
}

fn dtype_of<'py>(py: Python<'py>, numpy: &Numpy, header: &ArrayHeader) -> PyResult<Bound<'py, PyAny>> {
    numpy.dtype.bind(py).call1((header.typestr(),))
}

/// Rebuilds an array. `data` begins at `offset` of what `owner` owns; without an owner, or when small, it is copied.
pub(super) fn decode<'py>(
    py: Python<'py>,
    numpy: &Numpy,
    header: &ArrayHeader,
    data: &[u8],
    owner: Option<(&dyn BufferOwner, usize)>,
) -> PyResult<Bound<'py, PyAny>> {
    let dtype = dtype_of(py, numpy, header)?;
    let shape = PyTuple::new(py, &header.shape)?;
    let kwargs = PyDict::new(py);
    kwargs.set_item("order", if header.fortran { "F" } else { "C" })?;
    if data.is_empty() {
        return numpy.empty.bind(py).call((shape, dtype), Some(&kwargs));
    }
    let aligned = data.as_ptr().addr().is_multiple_of(header.alignment());
    let buffer = match owner {
        Some((owner, offset)) if aligned && (data.len() >= BORROW_BYTES_MIN || owner.is_read_only()) => {
            owner.buffer(py, offset, data.len())?
        }
        Some((owner, _)) if owner.is_read_only() => PyBytes::new(py, data).into_any(),
        _ => PyByteArray::new(py, data).into_any(),
    };
    let flat = numpy.frombuffer.bind(py).call1((buffer, dtype))?;
    flat.call_method(intern!(py, "reshape"), (shape,), Some(&kwargs))
}

pub(super) fn decode_scalar<'py>(
    py: Python<'py>,
    numpy: &Numpy,
    header: &ArrayHeader,
    data: &[u8],
) -> PyResult<Bound<'py, PyAny>> {
    let bytes = PyBytes::new(py, data);
    match header.dtype {
        Dtype::Bytes => numpy.bytes.bind(py).call1((bytes,)),
        Dtype::Str => {
            let order = if header.big_endian { "utf-32-be" } else { "utf-32-le" };
            let text = bytes.call_method1("decode", (order, "surrogatepass"))?;
            numpy.text.bind(py).call1((text,))
        }
        _ => {
            let one = numpy.frombuffer.bind(py).call1((bytes, dtype_of(py, numpy, header)?))?;
            one.get_item(0)
        }
    }
}
