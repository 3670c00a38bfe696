//! The decoder of values on any bytes, and the encoder on any value.

use spellkeep_core::limits::ValueLimits;
use spellkeep_core::value::{ArrayHeader, Date, Encoder, MARK, Reader, Span, VERSION, ValueError, tags, validate};

use super::memory::within;
use super::source::Source;
use super::tree::Tree;

/// Errors and small things.
const ROOM: usize = 8192;

fn read(bytes: &[u8]) -> Result<Tree, ValueError> {
    let mut reader = Reader::new(bytes)?;
    let tree = Tree::pull(&mut reader, 0)?;
    reader.finish()?;
    Ok(tree)
}

fn write(tree: &Tree, limits: &ValueLimits) -> Result<Vec<u8>, ValueError> {
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out, limits);
    tree.push(&mut encoder)?;
    assert_eq!(encoder.finish()?, out.len());
    Ok(out)
}

const WIDE: ValueLimits =
    ValueLimits { depth_max: 512, items_max: u64::MAX, string_bytes_max: 1 << 30, value_bytes_max: 1 << 30 };

/// Any bytes, with and without an envelope: checking and reading agree, end, and take little memory.
pub fn decode(bytes: &[u8]) {
    let enveloped = [&[MARK, VERSION], bytes].concat();
    for bytes in [bytes, &enveloped] {
        let checked = within(ROOM, "checking", || validate(bytes));
        // A byte may be an item, and an item is a tree.
        let tree = within(ROOM + bytes.len() * (size_of::<Tree>() + 8), "reading", || read(bytes));
        match (&checked, &tree) {
            (Ok(_), Ok(tree)) => {
                let again = write(tree, &WIDE).expect("what was read can be kept");
                assert_eq!(read(&again).as_ref(), Ok(tree));
                assert_eq!(validate(&again), checked, "the same value has the same shape");
            }
            (Err(checked), Err(read)) => assert!(checked.is_damage() && read.is_damage()),
            _ => panic!("checking said {checked:?}, reading {tree:?}"),
        }
    }
}

pub fn decode_seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = roundtrip_seeds().iter().map(|seed| of(seed)).collect();
    let ext = |code: u8, data: &[u8]| [&[0xC7, data.len() as u8, code], data].concat();
    seeds.push(ext(tags::DATE, &[0xE8, 7, 2, 29]));
    seeds.push(ext(tags::TIME, &[23, 59, 59, 1, 0x3F, 0x42, 0x0F, 0]));
    let offset = [&[1, 2, 3, 0b1010, 0, 0, 0, 0][..], &3_600_000_000i64.to_le_bytes(), b"CET"].concat();
    seeds.push(ext(tags::DATETIME, &[&[0xE8, 7, 1, 1][..], &offset].concat()));
    seeds.push(ext(tags::TIMEDELTA, &Span { days: -1, seconds: 86_399, micros: 999_999 }.bytes()));
    seeds.push(ext(tags::DECIMAL, b"-12.5E+10"));
    seeds.push(ext(tags::DECIMAL, b"sNaN12"));
    seeds.push(ext(tags::UUID, &[7; 17]));
    let mut date = Vec::new();
    Date { year: 1, month: 1, day: 1 }.write(&mut date);
    seeds.push(ext(tags::DATE, &date));
    // Nested heads that each claim the rest, and lengths beyond the end.
    seeds.push([0xDC, 0, 60].repeat(20));
    seeds.push(vec![0xDF, 0xFF, 0xFF, 0xFF, 0xFF, 0xC0]);
    seeds.push(vec![0xC9, 0, 0, 0, 9, tags::TUPLE, 0x93, 1, 2, 3]);
    seeds.push(vec![0x91; 600]);
    seeds
}

fn of(seed: &[u8]) -> Vec<u8> {
    write(&Tree::choose(&mut Source(seed), 20), &WIDE).expect("wide limits")[2..].to_vec()
}

/// A value that the input chooses, within limits that the input chooses, comes back as it was.
pub fn roundtrip(bytes: &[u8]) {
    let mut from = Source(bytes);
    let limits = match from.u8() {
        0..=199 => ValueLimits::default(),
        _ => ValueLimits {
            depth_max: u32::from(from.u8()),
            items_max: u64::from(from.u8()),
            string_bytes_max: usize::from(from.u8()),
            value_bytes_max: usize::from(from.u16()),
        },
    };
    let tree = Tree::choose(&mut from, 40);
    let encoded = match write(&tree, &limits) {
        Err(e) => return assert!(e.is_limit() && limits != ValueLimits::default(), "{e}"),
        Ok(encoded) => encoded,
    };
    let shape = validate(&encoded).expect("what was written holds");
    assert!(shape.depth <= limits.depth_max && shape.items <= limits.items_max, "{shape:?}");
    assert!(shape.string_bytes <= limits.string_bytes_max && encoded.len() <= limits.value_bytes_max, "{shape:?}");
    assert_eq!(read(&encoded).as_ref(), Ok(&tree));
    if let Tree::Array(header, data, false) = &tree {
        // Envelope, ext head, header.
        let (parsed, at) = ArrayHeader::parse(&encoded[8..]).expect("an array");
        assert_eq!((&parsed, (8 + at) % 16, &encoded[8 + at..]), (header, 0, &data[..]));
    }
    for len in 0..encoded.len().min(64) {
        assert!(validate(&encoded[..len]).is_err(), "cut to {len}");
    }
}

pub fn roundtrip_seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> =
        (0..15u8).map(|kind| vec![0, kind, 3, 1, 1, 2, 65, 200, 6, 2, 66, 67, 5, 9]).collect();
    seeds.push(vec![
        0, 10, 4, 6, 3, b'a', b'b', b'c', 9, 2, 0, 1, 3, 2, 2, 1, 7, 11, 2, 6, 1, b'k', 2, 5, 0, 13, 2, b't', b'g', 1,
    ]);
    seeds.push([&[0][..], &[14; 40]].concat());
    seeds.push(vec![255, 3, 9, 8, 60, 0, 10, 9, 10, 9, 10, 9, 6, 30]);
    seeds
}
