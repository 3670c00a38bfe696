//! The reserved types, rebuilt. Each handler has a frame of its own, as on the way in.

use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{
    PyByteArray, PyBytes, PyComplex, PyDate, PyDateTime, PyDelta, PyDict, PyInt, PyString, PyTime, PyTuple, PyTzInfo,
};
use pyo3::{ffi, intern};
use spellkeep_core::limits::FOOTER_STRIDE;
use spellkeep_core::value::{
    ArrayHeader, Clock, Date, Moment, Reader, Span, Token, Zone, decimal_is_plain, measure, tags,
};

use super::arrays;
use super::decode::Builder;
use super::failure::{Cause, Failure, Outcome};
use super::tagged::Tagged;
use super::types::{library, registered_tag};

impl<'py> Builder<'py, '_> {
    #[inline(never)]
    pub(super) fn ext(&mut self, code: u8, len: usize) -> Outcome<Bound<'py, PyAny>> {
        let end = self.reader.pos() + len;
        let built = match code {
            tags::TUPLE => self.tuple()?,
            tags::SET | tags::FROZEN_SET => self.set(code)?,
            tags::TAGGED => self.tagged(end)?,
            _ => self.flat(code, len)?,
        };
        self.reader.close(end)?;
        Ok(built)
    }

    fn array_len(&mut self) -> Outcome<usize> {
        match self.reader.token()? {
            Token::Array(len) => Ok(len),
            _ => Err(self.reader.malformed("a tuple or set without its array").into()),
        }
    }

    #[inline(never)]
    fn tuple(&mut self) -> Outcome<Bound<'py, PyAny>> {
        let len = self.array_len()?;
        self.enter()?;
        let open = self.reader.open_array(len);
        let mut next_mark = open.first_mark();
        // SAFETY: a fresh tuple of `len` empty places, each filled once before anyone sees it.
        unsafe {
            let tuple = Bound::from_owned_ptr_or_err(self.py, ffi::PyTuple_New(len as ffi::Py_ssize_t))?;
            for index in 0..len {
                if index == next_mark {
                    self.reader.mark();
                    next_mark += FOOTER_STRIDE;
                }
                let item = self.value().map_err(|failure| failure.through_item(tuple.as_ptr(), index))?;
                // The setter checks that no one else holds the tuple, and takes the item in any case.
                if ffi::PyTuple_SetItem(tuple.as_ptr(), index as ffi::Py_ssize_t, item.into_ptr()) != 0 {
                    return Err(PyErr::fetch(self.py).into());
                }
            }
            self.reader.end(open);
            self.depth -= 1;
            Ok(tuple)
        }
    }

    #[inline(never)]
    fn set(&mut self, code: u8) -> Outcome<Bound<'py, PyAny>> {
        let len = self.array_len()?;
        self.enter()?;
        self.reader.seal();
        // SAFETY: a fresh set; `PySet_Add` also fills frozen sets that nobody else has seen.
        unsafe {
            let empty = std::ptr::null_mut();
            let set = if code == tags::SET { ffi::PySet_New(empty) } else { ffi::PyFrozenSet_New(empty) };
            let set = Bound::from_owned_ptr_or_err(self.py, set)?;
            for _ in 0..len {
                let item = self.value().map_err(|failure| failure.through(set.as_ptr(), "<item>".into()))?;
                if ffi::PySet_Add(set.as_ptr(), item.as_ptr()) != 0 {
                    return Err(self.refused_member(&item));
                }
            }
            if ffi::PySet_Size(set.as_ptr()) as usize != len {
                return Err(self.reader.malformed("a set with equal items").into());
            }
            self.reader.unseal();
            self.depth -= 1;
            Ok(set)
        }
    }

    /// A registered tag is handed to its decode function; any other stays what it is.
    #[inline(never)]
    fn tagged(&mut self, end: usize) -> Outcome<Bound<'py, PyAny>> {
        let (tag, version) = self.reader.tag()?;
        self.enter()?;
        self.reader.seal();
        let start = self.reader.pos();
        let built = match registered_tag(self.py, tag)? {
            Some(decode) => {
                let payload = self.value()?;
                // Checked before foreign code sees anything of it.
                self.reader.close(end)?;
                decode.call1((payload, version))?
            }
            None => {
                let shape = measure(&mut self.reader, self.depth)?;
                let payload = self.reader.since(start).into();
                Bound::new(self.py, Tagged { tag: tag.to_owned(), version, payload, shape })?.into_any()
            }
        };
        self.reader.unseal();
        self.depth -= 1;
        Ok(built)
    }

    #[inline(never)]
    fn flat(&mut self, code: u8, len: usize) -> Outcome<Bound<'py, PyAny>> {
        let data = self.reader.take(len)?;
        let built = match code {
            tags::DATETIME => Moment::parse(data).map(|moment| self.datetime(&moment)),
            tags::DATE => Date::parse(data).map(|date| self.date(date)),
            tags::TIME => Clock::parse(data).map(|clock| self.time(&clock)),
            tags::TIMEDELTA => Span::parse(data).map(|span| self.delta(span)),
            tags::BIG_INT if len > 0 => Some(self.big_int(data)),
            tags::SURROGATE_STR => Some(self.surrogates(data)),
            tags::DECIMAL if decimal_is_plain(data) => Some(self.decimal(data)),
            tags::UUID => self.uuid(data),
            tags::COMPLEX => self.complex(data),
            tags::BYTEARRAY => Some(Ok(PyByteArray::new(self.py, data).into_any())),
            tags::NDARRAY | tags::ARRAY_SCALAR => self.array(code, data),
            _ => return Err(self.reader.malformed("an unknown ext code").into()),
        };
        built.unwrap_or_else(|| Err(self.reader.malformed("an ext with impossible content").into()))
    }

    #[inline(never)]
    fn array(&self, code: u8, data: &[u8]) -> Option<Outcome<Bound<'py, PyAny>>> {
        let build = |header: &ArrayHeader, data: &[u8], offset: usize| {
            let numpy = arrays::needed(self.py)?;
            let built = if code == tags::NDARRAY {
                let owner = self.owner.map(|owner| (owner, offset));
                arrays::decode(self.py, numpy, header, data, owner)
            } else {
                arrays::decode_scalar(self.py, numpy, header, data)
            };
            built.map_err(|error| self.damaged(error))
        };
        if code == tags::ARRAY_SCALAR {
            let (header, data) = ArrayHeader::parse_scalar(data)?;
            return Some(build(&header, data, 0));
        }
        let (header, at) = ArrayHeader::parse(data)?;
        Some(build(&header, &data[at..], self.reader.pos() - data.len() + at))
    }

    fn big_int(&self, data: &[u8]) -> Outcome<Bound<'py, PyAny>> {
        let kwargs = PyDict::new(self.py);
        kwargs.set_item("signed", true)?;
        let class = self.py.get_type::<PyInt>();
        let bytes = PyBytes::new(self.py, data);
        Ok(class.call_method(intern!(self.py, "from_bytes"), (bytes, "little"), Some(&kwargs))?)
    }

    fn surrogates(&self, data: &[u8]) -> Outcome<Bound<'py, PyAny>> {
        let decoded = PyBytes::new(self.py, data).call_method1("decode", ("utf-8", "surrogatepass"));
        decoded.map_err(|error| self.damaged(error))
    }

    /// A ValueError from the standard library or numpy means that the bytes are at fault.
    #[cold]
    fn damaged(&self, error: PyErr) -> Box<Failure> {
        if error.is_instance_of::<PyValueError>(self.py) || error.is_instance_of::<PyOverflowError>(self.py) {
            return self.reader.malformed("an ext with impossible content").into();
        }
        error.into()
    }

    fn decimal(&self, data: &[u8]) -> Outcome<Bound<'py, PyAny>> {
        let text = String::from_utf8_lossy(data);
        Ok(library(self.py)?.decimal.bind(self.py).call1((text,))?)
    }

    fn uuid(&self, data: &[u8]) -> Option<Outcome<Bound<'py, PyAny>>> {
        let (bytes, safe) = data.split_at_checked(16)?;
        let safe = match safe {
            [] => None,
            [0] => Some("safe"),
            [1] => Some("unsafe"),
            _ => return None,
        };
        let build = || {
            let library = library(self.py)?;
            let kwargs = PyDict::new(self.py);
            kwargs.set_item(intern!(self.py, "bytes"), PyBytes::new(self.py, bytes))?;
            if let Some(name) = safe {
                kwargs.set_item("is_safe", library.safe_uuid.bind(self.py).getattr(name)?)?;
            }
            library.uuid.bind(self.py).call((), Some(&kwargs))
        };
        Some(build().map_err(Into::into))
    }

    fn complex(&self, data: &[u8]) -> Option<Outcome<Bound<'py, PyAny>>> {
        let (real, imag) = data.split_first_chunk::<8>()?;
        let imag: &[u8; 8] = imag.try_into().ok()?;
        let real = f64::from_le_bytes(*real);
        Some(Ok(PyComplex::from_doubles(self.py, real, f64::from_le_bytes(*imag)).into_any()))
    }

    fn date(&self, date: Date) -> Outcome<Bound<'py, PyAny>> {
        Ok(PyDate::new(self.py, date.year.into(), date.month, date.day)?.into_any())
    }

    fn time(&self, clock: &Clock<'_>) -> Outcome<Bound<'py, PyAny>> {
        let zone = self.zone(clock.zone)?;
        let Clock { hour, minute, second, micro, fold, .. } = *clock;
        Ok(PyTime::new_with_fold(self.py, hour, minute, second, micro, zone.as_ref(), fold)?.into_any())
    }

    fn datetime(&self, moment: &Moment<'_>) -> Outcome<Bound<'py, PyAny>> {
        let zone = self.zone(moment.clock.zone)?;
        let Date { year, month, day } = moment.date;
        let Clock { hour, minute, second, micro, fold, .. } = moment.clock;
        let year = year.into();
        let zone = zone.as_ref();
        Ok(PyDateTime::new_with_fold(self.py, year, month, day, hour, minute, second, micro, zone, fold)?.into_any())
    }

    fn delta(&self, span: Span) -> Outcome<Bound<'py, PyAny>> {
        Ok(PyDelta::new(self.py, span.days, span.seconds as i32, span.micros as i32, false)?.into_any())
    }

    fn zone(&self, zone: Zone<'_>) -> Outcome<Option<Bound<'py, PyTzInfo>>> {
        let library = library(self.py)?;
        let built = match zone {
            Zone::None => return Ok(None),
            Zone::Offset { micros: 0, name: None } => return Ok(Some(PyTzInfo::utc(self.py)?.to_owned())),
            Zone::Offset { micros, name } => {
                let (seconds, rest) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
                let offset = PyDelta::new(self.py, 0, seconds as i32, rest as i32, true)?;
                let args = match name {
                    Some(name) => PyTuple::new(self.py, [offset.into_any(), PyString::new(self.py, name).into_any()])?,
                    None => PyTuple::new(self.py, [offset.into_any()])?,
                };
                library.timezone.bind(self.py).call1(args).map_err(|error| self.damaged(error))?
            }
            Zone::Key(key) => library.zone_info.bind(self.py).call1((key,)).map_err(|error| {
                if error.is_instance(self.py, library.zone_missing.bind(self.py)) {
                    let detail = format!("the time zone {key:?} is not known here: install tzdata");
                    return Failure::new(Cause::Mismatch("value.zone_missing", detail));
                }
                self.damaged(error)
            })?,
        };
        Ok(Some(built.cast_into::<PyTzInfo>().map_err(PyErr::from)?))
    }
}

/// Reads a whole value.
pub(super) fn whole<'py>(
    py: Python<'py>,
    bytes: &[u8],
    owner: Option<&dyn super::BufferOwner>,
) -> Outcome<Bound<'py, PyAny>> {
    let mut builder = Builder::new(py, Reader::new(bytes)?, owner);
    let value = builder.value()?;
    builder.finish()?;
    Ok(value)
}
