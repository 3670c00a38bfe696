//! The walk, continued: types that are less frequent, through safe calls. Each handler has a frame of its own, so that the
//! recursion does not carry the locals of all of them.

use pyo3::prelude::*;
use pyo3::sync::critical_section::with_critical_section;
use pyo3::types::{
    PyByteArray, PyBytes, PyComplex, PyDate, PyDateAccess, PyDateTime, PyDelta, PyDeltaAccess, PyFrozenSet, PySet,
    PyString, PyTime, PyTimeAccess, PyTuple, PyTzInfo, PyTzInfoAccess,
};
use pyo3::{ffi, intern};
use spellkeep_core::limits::FOOTER_STRIDE;
use spellkeep_core::value::{Clock, Date, Moment, Span, Zone, tags};

use super::arrays;
use super::encode::Walker;
use super::failure::{Failure, Outcome, member_segment, type_name, with_article};
use super::hiding::Hiding;
use super::hiding_members::Taken;
use super::tagged::Tagged;
use super::types::{library, numpy_if_loaded, registered_class};

impl<'py, H: Hiding> Walker<'py, '_, H> {
    /// Dispatches what is no frequent type. Kept small: its frame is on the stack of every nested tuple.
    #[inline(never)]
    pub(super) fn rare(&mut self, ob: &Bound<'py, PyAny>) -> Outcome {
        if let Ok(tuple) = ob.cast_exact::<PyTuple>() {
            self.sequence(ob, tags::TUPLE, tuple)
        } else if let Ok(bytes) = ob.cast_exact::<PyBytes>() {
            Ok(self.encoder.bin(bytes.as_bytes())?)
        } else if ob.is_exact_instance_of::<PySet>() {
            self.set(ob, tags::SET)
        } else if ob.is_exact_instance_of::<PyFrozenSet>() {
            self.set(ob, tags::FROZEN_SET)
        } else {
            match registered_class(&ob.get_type())? {
                Some(entry) => self.registered(ob, &entry),
                None => self.scalar(ob),
            }
        }
    }

    #[inline(never)]
    fn sequence(&mut self, ob: &Bound<'py, PyAny>, code: u8, items: &Bound<'py, PyTuple>) -> Outcome {
        let ext = self.encoder.begin_ext(code);
        let opened = self.encoder.begin_array(items.len());
        let open = opened.map_err(|error| Failure::at_container(error, ob.as_ptr()))?;
        let mut next_mark = open.first_mark();
        let mut taken = (code != tags::TUPLE && self.hiding.is_careful()).then(Taken::default);
        for index in 0..items.len() {
            if index == next_mark {
                self.encoder.mark();
                next_mark += FOOTER_STRIDE;
            }
            let item = items.get_borrowed_item(index)?;
            let walked = match &mut taken {
                Some(taken) => self.member(&item, ob, taken),
                // SAFETY: tuples do not change, and the caller keeps this one alive.
                None => unsafe { self.value(item.as_ptr()) },
            };
            walked.map_err(|failure| match code {
                tags::TUPLE => failure.through_item(ob.as_ptr(), index),
                _ => failure.through(ob.as_ptr(), member_segment("item", &item)),
            })?;
        }
        self.encoder.end(open);
        Ok(self.encoder.end_ext(ext)?)
    }

    /// A set is copied first: nothing can change the copy while its items are walked.
    #[inline(never)]
    fn set(&mut self, ob: &Bound<'py, PyAny>, code: u8) -> Outcome {
        let before = self.hiding.count();
        // SAFETY: any iterable may be given; the result is a new reference or an error.
        let copy = unsafe { Bound::from_owned_ptr_or_err(self.py, ffi::PySequence_Tuple(ob.as_ptr()))? };
        // SAFETY: the call above returns a tuple.
        self.sequence(ob, code, unsafe { copy.cast_unchecked() })?;
        self.hiding.after_members(before);
        Ok(())
    }

    /// An object of a registered class: its encode function says what its payload is.
    #[inline(never)]
    fn registered(&mut self, ob: &Bound<'py, PyAny>, entry: &Bound<'py, PyAny>) -> Outcome {
        let (tag, version, encode): (Bound<'py, PyString>, u32, Bound<'py, PyAny>) = entry.extract()?;
        let tag = tag.to_str()?;
        let ext = self.encoder.begin_tagged(tag, version).map_err(|error| Failure::at_container(error, ob.as_ptr()))?;
        let payload = encode.call1((ob,))?;
        // SAFETY: `payload` is owned here.
        unsafe { self.value(payload.as_ptr()) }.map_err(|failure| failure.through(ob.as_ptr(), String::new()))?;
        Ok(self.encoder.end_tagged(ext)?)
    }

    #[inline(never)]
    fn scalar(&mut self, ob: &Bound<'py, PyAny>) -> Outcome {
        if let Ok(moment) = ob.cast_exact::<PyDateTime>() {
            return self.datetime(moment);
        } else if let Ok(date) = ob.cast_exact::<PyDate>() {
            let mut bytes = Vec::with_capacity(4);
            date_of(date).write(&mut bytes);
            return Ok(self.encoder.ext(tags::DATE, &bytes)?);
        } else if let Ok(time) = ob.cast_exact::<PyTime>() {
            return self.time(time);
        } else if let Ok(delta) = ob.cast_exact::<PyDelta>() {
            let (days, seconds) = (delta.get_days(), delta.get_seconds() as u32);
            let span = Span { days, seconds, micros: delta.get_microseconds() as u32 };
            return Ok(self.encoder.ext(tags::TIMEDELTA, &span.bytes())?);
        } else if let Ok(array) = ob.cast_exact::<PyByteArray>() {
            // SAFETY: the bytes are copied at once, without running Python code that could resize the array, and under its
            // lock, which keeps other threads from that where there is no GIL.
            let copied =
                with_critical_section(array, || self.encoder.ext_bytes(tags::BYTEARRAY, unsafe { array.as_bytes() }));
            return Ok(copied?);
        } else if let Ok(number) = ob.cast_exact::<PyComplex>() {
            return self.complex(number);
        } else if let Ok(tagged) = ob.cast_exact::<Tagged>() {
            let tagged = tagged.get();
            if self.hiding.secrets().is_some() {
                return self.tagged_without_secrets(ob, tagged);
            }
            return self
                .encoder
                .tagged_bytes(&tagged.tag, tagged.version, &tagged.payload, &tagged.shape)
                .map_err(|error| Failure::at_container(error, ob.as_ptr()));
        }
        let library = library(self.py)?;
        let class = ob.get_type();
        if class.is(&library.decimal) {
            let text = ob.str()?;
            Ok(self.encoder.ext_bytes(tags::DECIMAL, text.to_str()?.as_bytes())?)
        } else if class.is(&library.uuid) {
            self.uuid(ob)
        } else {
            self.array(ob)
        }
    }

    fn complex(&mut self, number: &Bound<'py, PyComplex>) -> Outcome {
        // SAFETY: an exact complex; reading it runs nothing.
        let parts = unsafe { ffi::PyComplex_AsCComplex(number.as_ptr()) };
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&parts.real.to_bits().to_le_bytes());
        bytes[8..].copy_from_slice(&parts.imag.to_bits().to_le_bytes());
        Ok(self.encoder.ext(tags::COMPLEX, &bytes)?)
    }

    fn uuid(&mut self, ob: &Bound<'py, PyAny>) -> Outcome {
        let bytes = ob.getattr(intern!(self.py, "bytes"))?;
        let safe: Option<i8> =
            ob.getattr(intern!(self.py, "is_safe"))?.getattr(intern!(self.py, "value"))?.extract()?;
        let mut data = bytes.extract::<&[u8]>().map_err(PyErr::from)?.to_vec();
        // SafeUUID.safe is 0 and SafeUUID.unsafe is -1; the common case, unknown, is None and takes no byte.
        data.extend(safe.map(|safe| u8::from(safe < 0)));
        Ok(self.encoder.ext(tags::UUID, &data)?)
    }

    #[inline(never)]
    fn array(&mut self, ob: &Bound<'py, PyAny>) -> Outcome {
        if let Some(numpy) = numpy_if_loaded(self.py)? {
            if ob.get_type().is(&numpy.ndarray) {
                return arrays::encode(&mut self.encoder, numpy, ob);
            }
            if ob.is_instance(numpy.generic.bind(self.py))? {
                return arrays::encode_scalar(&mut self.encoder, numpy, ob);
            }
        }
        Err(unsupported(ob))
    }

    fn datetime(&mut self, ob: &Bound<'py, PyDateTime>) -> Outcome {
        let zone = ob.get_tzinfo();
        let (name, zone) = zone_of(zone.as_ref(), ob)?;
        let name = self.zone_name(name);
        let clock = clock_of(ob, zone.resolve(name.as_deref()));
        let mut bytes = Vec::with_capacity(48);
        Moment { date: date_of(ob), clock }.write(&mut bytes);
        Ok(self.encoder.ext(tags::DATETIME, &bytes)?)
    }

    fn time(&mut self, ob: &Bound<'py, PyTime>) -> Outcome {
        let zone = ob.get_tzinfo();
        let (name, zone) = zone_of(zone.as_ref(), ob)?;
        let name = self.zone_name(name);
        let mut bytes = Vec::with_capacity(48);
        clock_of(ob, zone.resolve(name.as_deref())).write(&mut bytes);
        Ok(self.encoder.ext(tags::TIME, &bytes)?)
    }
}

fn date_of(ob: &impl PyDateAccess) -> Date {
    Date { year: ob.get_year() as u16, month: ob.get_month(), day: ob.get_day() }
}

fn clock_of<'a>(ob: &impl PyTimeAccess, zone: Zone<'a>) -> Clock<'a> {
    Clock {
        hour: ob.get_hour(),
        minute: ob.get_minute(),
        second: ob.get_second(),
        micro: ob.get_microsecond(),
        fold: ob.get_fold(),
        zone,
    }
}

/// A zone without its name, which lives next to it.
enum ZoneKind {
    None,
    Offset(i64),
    Key,
}

impl ZoneKind {
    fn resolve(self, name: Option<&str>) -> Zone<'_> {
        match self {
            Self::None => Zone::None,
            Self::Offset(micros) => Zone::Offset { micros, name },
            Self::Key => Zone::Key(name.unwrap_or_default()),
        }
    }
}

/// Only zones that can be rebuilt from data are taken: fixed offsets, and ZoneInfo objects that know their key.
fn zone_of(zone: Option<&Bound<'_, PyTzInfo>>, owner: &Bound<'_, PyAny>) -> Outcome<(Option<String>, ZoneKind)> {
    let Some(zone) = zone else {
        return Ok((None, ZoneKind::None));
    };
    let py = zone.py();
    let library = library(py)?;
    let class = zone.get_type();
    if class.is(&library.timezone) {
        let args = zone.call_method0(intern!(py, "__getinitargs__"))?;
        let args = args.cast::<PyTuple>().map_err(PyErr::from)?;
        let offset = args.get_item(0)?;
        let offset = offset.cast::<PyDelta>().map_err(PyErr::from)?;
        let seconds = i64::from(offset.get_days()) * 86_400 + i64::from(offset.get_seconds());
        let micros = seconds * 1_000_000 + i64::from(offset.get_microseconds());
        let name = if args.len() > 1 { Some(args.get_item(1)?.extract::<String>()?) } else { None };
        return Ok((name, ZoneKind::Offset(micros)));
    }
    if class.is(&library.zone_info)
        && let Some(key) = zone.getattr(intern!(py, "key"))?.extract::<Option<String>>()?
    {
        return Ok((Some(key), ZoneKind::Key));
    }
    let what = format!("a {} with tzinfo {}", type_name(owner), type_name(zone));
    Err(Failure::unsupported(what, "use datetime.timezone or a zoneinfo.ZoneInfo that has a key"))
}

/// Says what `ob` is and what the caller can do about it.
#[cold]
pub(super) fn unsupported(ob: &Bound<'_, PyAny>) -> Box<Failure> {
    let name = type_name(ob);
    let is_enum = library(ob.py()).and_then(|known| ob.is_instance(known.enumeration.bind(ob.py()))).unwrap_or(false);
    let advice = match name.as_str() {
        _ if is_enum => "register the enum with spellkeep.register, or keep its value",
        "collections.OrderedDict" => "convert it with dict(...), which keeps the order too",
        "collections.defaultdict" | "collections.Counter" | "mappingproxy" => "convert it with dict(...)",
        "collections.deque" | "range" | "generator" | "dict_keys" | "dict_values" | "dict_items" | "array.array" => {
            "convert it with list(...)"
        }
        "spellkeep.DictView" | "spellkeep.SequenceView" => "keep what view.to_python() gives",
        "memoryview" => "copy it with bytes(...)",
        "pathlib.PosixPath" | "pathlib.WindowsPath" | "pathlib._local.PosixPath" | "pathlib._local.WindowsPath" => {
            "convert it with str(...)"
        }
        _ => "register its class with spellkeep.register, or convert it first",
    };
    Failure::unsupported(with_article(&name), advice)
}
