//! Numeric arrays: the fixed list of element types, and the header in front of the data.

/// Element types. The discriminant is the stored code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are numpy's")]
pub enum Dtype {
    Bool = 1,
    I8 = 2,
    I16 = 3,
    I32 = 4,
    I64 = 5,
    U8 = 6,
    U16 = 7,
    U32 = 8,
    U64 = 9,
    F16 = 10,
    F32 = 11,
    F64 = 12,
    C64 = 13,
    C128 = 14,
    /// Moments counted in a unit; `param` is how many units make a step.
    Datetime64 = 15,
    /// Lengths of time, as above.
    Timedelta64 = 16,
    /// Byte strings of `param` bytes each.
    Bytes = 17,
    /// UCS-4 strings of `param` bytes each.
    Str = 18,
}

impl Dtype {
    /// Whether elements are strings or bytes.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Bytes | Self::Str)
    }
}

/// Code, kind letter and size of each fixed-size type.
const FIXED: [(Dtype, u8, usize); 16] = [
    (Dtype::Bool, b'b', 1),
    (Dtype::I8, b'i', 1),
    (Dtype::I16, b'i', 2),
    (Dtype::I32, b'i', 4),
    (Dtype::I64, b'i', 8),
    (Dtype::U8, b'u', 1),
    (Dtype::U16, b'u', 2),
    (Dtype::U32, b'u', 4),
    (Dtype::U64, b'u', 8),
    (Dtype::F16, b'f', 2),
    (Dtype::F32, b'f', 4),
    (Dtype::F64, b'f', 8),
    (Dtype::C64, b'c', 8),
    (Dtype::C128, b'c', 16),
    (Dtype::Datetime64, b'M', 8),
    (Dtype::Timedelta64, b'm', 8),
];

/// Units of the two time types; the stored code is the place in this list. The first is "no unit".
const UNITS: [&str; 14] = ["", "Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as"];

const FORTRAN: u8 = 0b01;
const BIG_ENDIAN: u8 = 0b10;
const DIMENSIONS_MAX: usize = 64;

/// What stands in front of the data of an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrayHeader {
    /// Element type.
    pub dtype: Dtype,
    /// Whether the first index runs fastest in the data.
    pub fortran: bool,
    /// Byte order of the elements.
    pub big_endian: bool,
    /// Place in the list of units; 0 except for the two time types.
    pub unit: u8,
    /// Bytes per element for strings, units per step for times, 0 otherwise.
    pub param: u32,
    /// Length of each dimension; at most 64 of them.
    pub shape: Vec<u64>,
}

impl ArrayHeader {
    /// From numpy's `dtype.str` (`<f8`, `|S5`, `>M8[25s]`); no dimensions yet. None for types that are not on the list.
    pub fn from_typestr(text: &str) -> Option<Self> {
        let (&[order, kind], rest) = text.as_bytes().split_first_chunk::<2>()?;
        let big_endian = match order {
            b'<' => false,
            b'>' => true,
            b'|' => false,
            _ => return None,
        };
        let rest = std::str::from_utf8(rest).ok()?;
        let (size, unit) = match rest.split_once('[') {
            Some((size, unit)) => (size, unit.strip_suffix(']')?),
            None => (rest, ""),
        };
        let size: usize = size.parse().ok()?;
        let header =
            |dtype, unit, param| Some(Self { dtype, fortran: false, big_endian, unit, param, shape: Vec::new() });
        match kind {
            b'S' => return header(Dtype::Bytes, 0, u32::try_from(size).ok()?),
            b'U' => return header(Dtype::Str, 0, u32::try_from(size.checked_mul(4)?).ok()?),
            _ => {}
        }
        let dtype = FIXED.iter().find(|known| known.1 == kind && known.2 == size)?.0;
        if !matches!(dtype, Dtype::Datetime64 | Dtype::Timedelta64) {
            return if unit.is_empty() { header(dtype, 0, 0) } else { None };
        }
        let digits = unit.bytes().take_while(u8::is_ascii_digit).count();
        let step = if digits == 0 { 1 } else { unit[..digits].parse().ok()? };
        let unit = UNITS.iter().position(|known| *known == &unit[digits..])? as u8;
        header(dtype, unit, step)
    }

    /// numpy's `dtype.str`.
    pub fn typestr(&self) -> String {
        let order = if self.big_endian { '>' } else { '<' };
        match self.dtype {
            Dtype::Bytes => return format!("|S{}", self.param),
            Dtype::Str => return format!("{order}U{}", self.param / 4),
            _ => {}
        }
        let Some((_, kind, size)) = FIXED.iter().find(|known| known.0 == self.dtype) else { unreachable!() };
        let kind = char::from(*kind);
        match (self.dtype, self.unit) {
            (Dtype::Datetime64 | Dtype::Timedelta64, 1..) => {
                format!("{order}{kind}{size}[{}{}]", self.param, UNITS[usize::from(self.unit)])
            }
            _ => format!("{order}{kind}{size}"),
        }
    }

    /// Bytes per element.
    pub fn item_bytes(&self) -> usize {
        match FIXED.iter().find(|known| known.0 == self.dtype) {
            Some((_, _, size)) => *size,
            None => self.param as usize,
        }
    }

    /// What the address of the data must be a multiple of, for processors to read elements in place.
    pub fn alignment(&self) -> usize {
        match self.dtype {
            Dtype::Bytes => 1,
            Dtype::Str | Dtype::C64 => 4,
            _ => self.item_bytes().min(8),
        }
    }

    /// Bytes of all elements; None if that overflows.
    pub fn data_bytes(&self) -> Option<usize> {
        let count = self.shape.iter().try_fold(1u64, |product, len| product.checked_mul(*len))?;
        usize::try_from(count).ok()?.checked_mul(self.item_bytes())
    }

    /// Appends the header, up to but without the padding count.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let flags = (u8::from(self.fortran) * FORTRAN) | (u8::from(self.big_endian) * BIG_ENDIAN);
        debug_assert!(self.shape.len() <= DIMENSIONS_MAX);
        out.extend_from_slice(&[self.dtype as u8, flags, self.shape.len() as u8, self.unit]);
        out.extend_from_slice(&self.param.to_le_bytes());
        for len in &self.shape {
            out.extend_from_slice(&len.to_le_bytes());
        }
    }

    /// Reads header and padding; returns the header and where in `payload` the data begins. None unless all of it fits.
    pub fn parse(payload: &[u8]) -> Option<(Self, usize)> {
        let (&[code, flags, dimensions, unit, p0, p1, p2, p3], rest) = payload.split_first_chunk::<8>()?;
        let dtype = match code {
            1..=16 => FIXED[usize::from(code) - 1].0,
            17 => Dtype::Bytes,
            18 => Dtype::Str,
            _ => return None,
        };
        let dimensions = usize::from(dimensions);
        let param = u32::from_le_bytes([p0, p1, p2, p3]);
        let timed = matches!(dtype, Dtype::Datetime64 | Dtype::Timedelta64);
        let param_fits = match dtype {
            Dtype::Bytes => i32::try_from(param).is_ok(),
            Dtype::Str => param % 4 == 0 && i32::try_from(param).is_ok(),
            _ if timed => (1..=i32::MAX as u32).contains(&param),
            _ => param == 0,
        };
        let unit_fits = if timed { usize::from(unit) < UNITS.len() } else { unit == 0 };
        if dimensions > DIMENSIONS_MAX || flags > (FORTRAN | BIG_ENDIAN) || !param_fits || !unit_fits {
            return None;
        }
        let (lengths, rest) = rest.split_at_checked(dimensions * 8)?;
        let shape =
            lengths.chunks_exact(8).filter_map(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?))).collect();
        let (fortran, big_endian) = (flags & FORTRAN != 0, flags & BIG_ENDIAN != 0);
        let header = Self { dtype, fortran, big_endian, unit, param, shape };
        let (pad, rest) = rest.split_first()?;
        let data = rest.get(usize::from(*pad)..)?;
        (usize::from(*pad) < super::ALIGNMENT && header.data_bytes()? == data.len())
            .then(|| (header, payload.len() - data.len()))
    }

    /// Reads a single element: a header without dimensions and its bytes. String elements have the length of their bytes.
    pub fn parse_scalar(payload: &[u8]) -> Option<(Self, &[u8])> {
        let (header, at) = Self::parse(payload)?;
        (header.shape.is_empty() && !header.fortran).then(|| (header, &payload[at..]))
    }
}
