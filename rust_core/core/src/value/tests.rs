//! A tree of tokens goes through the encoder and comes back from the reader; damaged bytes never do harm.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::error::Coded;
use crate::limits::{DEPTH_CEILING, FOOTER_STRIDE, ValueLimits};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    Nil,
    Bool(bool),
    Int(i64),
    UInt(u64),
    /// By its bits: NaN is kept too.
    Float(u64),
    Str(String),
    Bin(Vec<u8>),
    List(Vec<Tree>),
    Map(Vec<(Tree, Tree)>),
    Tuple(Vec<Tree>),
    Tagged(String, u32, Box<Tree>),
    Raw(u8, Vec<u8>),
    Array(ArrayHeader, Vec<u8>),
}

fn push(tree: &Tree, encoder: &mut Encoder<'_>) -> Result<(), ValueError> {
    match tree {
        Tree::Nil => encoder.nil(),
        Tree::Bool(value) => encoder.bool(*value),
        Tree::Int(value) => encoder.int(*value),
        Tree::UInt(value) => encoder.uint(*value),
        Tree::Float(bits) => encoder.float(f64::from_bits(*bits)),
        Tree::Str(text) => encoder.str(text)?,
        Tree::Bin(bytes) => encoder.bin(bytes)?,
        Tree::List(items) => {
            let open = encoder.begin_array(items.len())?;
            let mut next_mark = open.first_mark();
            for (index, item) in items.iter().enumerate() {
                if index == next_mark {
                    encoder.mark();
                    next_mark += FOOTER_STRIDE;
                }
                push(item, encoder)?;
            }
            encoder.end(open);
        }
        Tree::Map(entries) => {
            let open = encoder.begin_map(entries.len())?;
            for part in entries.iter().flat_map(|(key, value)| [key, value]) {
                if open.is_marked() {
                    encoder.mark();
                }
                push(part, encoder)?;
            }
            encoder.end(open);
        }
        Tree::Tuple(items) => {
            let ext = encoder.begin_ext(tags::TUPLE);
            push(&Tree::List(items.clone()), encoder)?;
            encoder.end_ext(ext)?;
        }
        Tree::Tagged(tag, version, payload) => {
            let ext = encoder.begin_tagged(tag, *version)?;
            push(payload, encoder)?;
            encoder.end_tagged(ext)?;
        }
        Tree::Raw(code, data) => encoder.ext_bytes(*code, data)?,
        Tree::Array(header, data) => encoder.ndarray(header, data)?,
    }
    Ok(())
}

fn encode_with(tree: &Tree, limits: &ValueLimits) -> Result<Vec<u8>, ValueError> {
    // Bytes of the caller stand before the value, as in the frame of a record.
    let mut out = b"before".to_vec();
    let mut encoder = Encoder::new(&mut out, limits);
    push(tree, &mut encoder)?;
    let len = encoder.finish()?;
    assert_eq!(len, out.len() - 6);
    Ok(out.split_off(6))
}

pub(super) fn encode(tree: &Tree) -> Vec<u8> {
    encode_with(tree, &ValueLimits::default()).expect("within the default limits")
}

fn pull_items(reader: &mut Reader<'_>, len: usize) -> Result<Vec<Tree>, ValueError> {
    let open = reader.open_array(len);
    let mut items = Vec::new();
    for index in 0..len {
        if open.is_marked() && index > 0 && index % FOOTER_STRIDE == 0 {
            reader.mark();
        }
        items.push(pull(reader)?);
    }
    reader.end(open);
    Ok(items)
}

pub(super) fn pull(reader: &mut Reader<'_>) -> Result<Tree, ValueError> {
    Ok(match reader.token()? {
        Token::Nil => Tree::Nil,
        Token::Bool(value) => Tree::Bool(value),
        Token::Int(value) => Tree::Int(value),
        Token::UInt(value) => Tree::UInt(value),
        Token::Float(value) => Tree::Float(value.to_bits()),
        Token::Str(bytes) => Tree::Str(String::from_utf8(bytes.to_vec()).map_err(|_| reader.malformed("utf-8"))?),
        Token::Bin(bytes) => Tree::Bin(bytes.to_vec()),
        Token::Array(len) => Tree::List(pull_items(reader, len)?),
        Token::Map(len) => {
            let open = reader.open_map(len);
            let part = |reader: &mut Reader<'_>| {
                if open.is_marked() {
                    reader.mark();
                }
                pull(reader)
            };
            let entries = (0..len).map(|_| Ok((part(reader)?, part(reader)?))).collect::<Result<_, ValueError>>()?;
            reader.end(open);
            Tree::Map(entries)
        }
        Token::Ext { code: tags::TUPLE, len } => {
            let end = reader.pos() + len;
            let Tree::List(items) = pull(reader)? else { return Err(reader.malformed("a tuple without its array")) };
            reader.close(end)?;
            Tree::Tuple(items)
        }
        Token::Ext { code: tags::TAGGED, len } => {
            let end = reader.pos() + len;
            let (tag, version) = reader.tag()?;
            reader.seal();
            let payload = pull(reader)?;
            reader.unseal();
            reader.close(end)?;
            Tree::Tagged(tag.to_owned(), version, Box::new(payload))
        }
        Token::Ext { code: tags::NDARRAY, len } => {
            let from = reader.pos();
            let data = reader.take(len)?;
            let (header, at) = ArrayHeader::parse(data).ok_or(reader.malformed("array"))?;
            // Damage may move it; what was encoded must be aligned relative to the value, and is unwrapped.
            if !(from + at).is_multiple_of(ALIGNMENT) {
                return Err(reader.malformed("array data that is not aligned"));
            }
            Tree::Array(header, data[at..].to_vec())
        }
        Token::Ext { code, len } => Tree::Raw(code, reader.take(len)?.to_vec()),
    })
}

pub(super) fn decode(bytes: &[u8]) -> Result<Tree, ValueError> {
    let mut reader = Reader::new(bytes)?;
    let tree = pull(&mut reader)?;
    reader.finish()?;
    Ok(tree)
}

fn array() -> impl Strategy<Value = Tree> {
    let typestr = prop::sample::select(vec!["|b1", "<i2", ">f8", "<c16", "<M8[25s]", "<m8", "|S3", "<U2"]);
    (typestr, vec(0u64..4, 0..4), any::<bool>()).prop_map(|(typestr, shape, fortran)| {
        let mut header = ArrayHeader::from_typestr(typestr).expect("a listed dtype");
        (header.shape, header.fortran) = (shape, fortran);
        let len = header.data_bytes().expect("small");
        Tree::Array(header, (0..len).map(|byte| byte as u8).collect())
    })
}

pub(super) fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        Just(Tree::Nil),
        any::<bool>().prop_map(Tree::Bool),
        any::<i64>().prop_map(Tree::Int),
        (-200i64..70_000).prop_map(Tree::Int),
        (i64::MAX as u64 + 1..=u64::MAX).prop_map(Tree::UInt),
        any::<u64>().prop_map(Tree::Float),
        ".{0,40}".prop_map(Tree::Str),
        vec(any::<u8>(), 0..300).prop_map(Tree::Bin),
        vec(any::<u8>(), 1..40).prop_map(|data| Tree::Raw(tags::BIG_INT, data)),
        array(),
    ];
    leaf.prop_recursive(5, 60, 8, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..20).prop_map(Tree::List),
            vec((inner.clone(), inner.clone()), 0..20).prop_map(Tree::Map),
            vec(inner.clone(), 0..5).prop_map(Tree::Tuple),
            ("[a-z]{1,9}", any::<u32>(), inner).prop_map(|(tag, version, payload)| Tree::Tagged(
                tag,
                version,
                Box::new(payload)
            )),
        ]
    })
}

proptest! {
    #[test]
    fn every_tree_comes_back_and_is_valid(tree in tree()) {
        let bytes = encode(&tree);
        prop_assert_eq!(&decode(&bytes).unwrap(), &tree);
        let shape = validate(&bytes).unwrap();
        // Exactly the measured limits suffice, and one less of each is refused.
        let exact = ValueLimits {
            depth_max: shape.depth, items_max: shape.items, string_bytes_max: shape.string_bytes, value_bytes_max: bytes.len(),
        };
        prop_assert_eq!(encode_with(&tree, &exact).unwrap(), bytes.clone());
        if shape.depth > 0 {
            let less = ValueLimits { depth_max: shape.depth - 1, ..exact };
            prop_assert_eq!(encode_with(&tree, &less).unwrap_err().code(), "value.depth");
        }
        if shape.items > 0 {
            let less = ValueLimits { items_max: shape.items - 1, ..exact };
            prop_assert_eq!(encode_with(&tree, &less).unwrap_err().code(), "value.items");
        }
        if shape.string_bytes > 0 {
            let less = ValueLimits { string_bytes_max: shape.string_bytes - 1, ..exact };
            prop_assert_eq!(encode_with(&tree, &less).unwrap_err().code(), "value.string_bytes");
        }
        let less = ValueLimits { value_bytes_max: bytes.len() - 1, ..exact };
        prop_assert_eq!(encode_with(&tree, &less).unwrap_err().code(), "value.total_bytes");
    }

    #[test]
    fn a_value_cut_short_or_lengthened_is_malformed(tree in tree(), cut in any::<prop::sample::Index>()) {
        let mut bytes = encode(&tree);
        let cut = cut.index(bytes.len());
        prop_assert!(validate(&bytes[..cut]).is_err());
        bytes.push(0xC0);
        prop_assert!(validate(&bytes).is_err());
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..400)) {
        let _ = validate(&bytes);
        for version in [VERSION, VERSION_FOOTER] {
            let _ = validate(&[&[MARK, version], &bytes[..]].concat());
        }
    }

    #[test]
    fn mutated_values_never_panic(tree in tree(), edits in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = encode(&tree);
        for (place, byte) in edits {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let _ = validate(&bytes);
    }

    #[test]
    fn a_measured_payload_is_kept_byte_for_byte(tree in tree()) {
        let bytes = encode(&Tree::Tagged("t".into(), 7, Box::new(tree)));
        let mut reader = Reader::new(&bytes).unwrap();
        let Ok(Token::Ext { code: tags::TAGGED, .. }) = reader.token() else { panic!("a tagged value") };
        let (tag, version) = reader.tag().unwrap();
        let from = reader.pos();
        let shape = measure(&mut reader, 1).unwrap();
        let mut again = Vec::new();
        let mut encoder = Encoder::new(&mut again, &ValueLimits::default());
        encoder.tagged_bytes(tag, version, reader.since(from), &shape).unwrap();
        encoder.finish().unwrap();
        prop_assert_eq!(again, bytes);
    }
}

fn nested(levels: u32) -> Tree {
    (0..levels).fold(Tree::Nil, |inner, _| Tree::List(vec![inner]))
}

#[test]
fn the_depth_ceiling_is_readable_and_one_more_is_malformed() {
    let limits = ValueLimits { depth_max: DEPTH_CEILING, ..ValueLimits::default() };
    let bytes = encode_with(&nested(DEPTH_CEILING), &limits).unwrap();
    assert_eq!(validate(&bytes).unwrap().depth, DEPTH_CEILING);
    let mut deeper = bytes;
    deeper.insert(2, 0x91);
    assert_eq!(validate(&deeper).unwrap_err().code(), "value.malformed");
}

/// Each head alone claims no more than the bytes that follow it; together they would make a decoder that trusts each one
/// allocate the whole value once per level.
#[test]
fn nested_heads_cannot_claim_the_same_bytes_twice() {
    let mut bytes = vec![MARK, VERSION];
    for level in 0..100u32 {
        bytes.push(0xDD);
        bytes.extend_from_slice(&(10_000 - 5 * level - 5).to_be_bytes());
    }
    bytes.resize(10_002, 0xC0);
    let mut reader = Reader::new(&bytes).unwrap();
    assert!(reader.token().is_ok());
    assert!(reader.token().is_err());
}

#[test]
fn a_length_beyond_the_end_is_refused_before_anything_is_built() {
    for head in [
        &[0xDD, 0xFF, 0xFF, 0xFF, 0xFF][..],
        &[0xDF, 0xFF, 0xFF, 0xFF, 0xFF],
        &[0xDB, 0xFF, 0xFF, 0xFF, 0xFF],
        &[0xC6, 0xFF, 0xFF, 0xFF, 0xFF],
        &[0xC9, 0xFF, 0xFF, 0xFF, 0xFF, 0x03],
        &[0xDC, 0x00, 0x02, 0xC0],
    ] {
        assert_eq!(Reader::bare(head).token().unwrap_err().code(), "value.malformed");
    }
}

#[test]
fn an_array_whose_shape_does_not_fit_its_data_is_malformed() {
    let mut header = ArrayHeader::from_typestr("<f8").unwrap();
    // The second product is 2 when it wraps around, which is what the data has room for.
    for shape in [vec![3], vec![u64::MAX, u64::MAX, 2]] {
        header.shape = shape;
        let bytes = encode(&Tree::Array(header.clone(), vec![0; 16]));
        assert_eq!(validate(&bytes).unwrap_err().code(), "value.malformed");
    }
    header.shape = vec![0, u64::MAX, 0];
    assert!(validate(&encode(&Tree::Array(header, vec![]))).is_ok());
}

#[test]
fn an_envelope_of_a_later_version_says_so_and_plain_messagepack_is_no_value() {
    assert_eq!(validate(&[MARK, VERSION_FOOTER + 1, 0xC0]).unwrap_err().code(), "value.format_version");
    assert_eq!(validate(&[0x81, 0xA1, b'a', 0x01]).unwrap_err().code(), "value.malformed");
    assert_eq!(validate(&[]).unwrap_err().code(), "value.malformed");
}

#[test]
fn the_bytes_of_version_1_do_not_change() {
    let tree = Tree::Map(vec![
        (Tree::Str("a".into()), Tree::Tuple(vec![Tree::Int(-1), Tree::Int(300)])),
        (Tree::Int(2), Tree::Tagged("T".into(), 3, Box::new(Tree::Nil))),
    ]);
    let tuple = [0xC9, 0, 0, 0, 5, 0x03, 0x92, 0xFF, 0xCD, 0x01, 0x2C];
    let tagged = [0xC9, 0, 0, 0, 4, 0x10, 0xA1, b'T', 0x03, 0xC0];
    let expected = [&[0xC1, 0x01, 0x82, 0xA1, b'a'][..], &tuple, &[0x02], &tagged].concat();
    assert_eq!(encode(&tree), expected);
}

#[test]
fn impossible_dates_times_and_spans_are_refused() {
    let date = |year, month, day| {
        let mut bytes = Vec::new();
        Date { year, month, day }.write(&mut bytes);
        Date::parse(&bytes).is_some()
    };
    assert!(date(2024, 2, 29) && date(1, 1, 1) && date(9999, 12, 31) && date(2000, 2, 29));
    assert!(!date(2023, 2, 29) && !date(1900, 2, 29) && !date(0, 1, 1) && !date(2024, 13, 1) && !date(2024, 4, 31));
    let clock = |hour, micro, zone| {
        let mut bytes = Vec::new();
        Clock { hour, minute: 0, second: 0, micro, fold: true, zone }.write(&mut bytes);
        Clock::parse(&bytes).is_some_and(|back| back.zone == zone && back.fold)
    };
    let day = 86_400_000_000;
    assert!(clock(23, 999_999, Zone::None) && clock(0, 0, Zone::Key("Europe/Oslo")));
    assert!(clock(0, 0, Zone::Offset { micros: 1 - day, name: None }));
    assert!(clock(0, 0, Zone::Offset { micros: 0, name: Some("") }));
    assert!(!clock(24, 0, Zone::None) && !clock(0, 1_000_000, Zone::None) && !clock(0, 0, Zone::Key("")));
    assert!(!clock(0, 0, Zone::Offset { micros: day, name: None }));
    assert!(!clock(0, 0, Zone::Offset { micros: i64::MIN, name: None }));
    let span = |days, seconds, micros| Span::parse(&Span { days, seconds, micros }.bytes()).is_some();
    assert!(span(-999_999_999, 0, 0) && span(0, 86_399, 999_999));
    assert!(!span(1_000_000_000, 0, 0) && !span(0, 86_400, 0) && !span(0, 0, 1_000_000));
}

#[test]
fn decimals_are_plain_notation_only() {
    for plain in ["0", "-0", "1.20", "-1E+400", "1E-7", "Infinity", "-Infinity", "NaN", "-NaN12", "sNaN", "0E-1000"] {
        assert!(decimal_is_plain(plain.as_bytes()), "{plain}");
    }
    for other in ["", "-", ".", "1e5", "1_0", " 1", "1.2.3", "E5", "1E", "1E+", "inf", "NaN1x", "٣", "+1"] {
        assert!(!decimal_is_plain(other.as_bytes()), "{other}");
    }
}

#[test]
fn array_types_outside_of_the_list_are_refused() {
    for known in ["|b1", "|i1", "|u1", ">i4", "<f2", "<f8", "<c8", ">c16", "<M8", "<M8[ns]", "<m8[25s]", "|S0", ">U7"] {
        let header = ArrayHeader::from_typestr(known).expect(known);
        assert_eq!(ArrayHeader::from_typestr(&header.typestr()).as_ref(), Some(&header), "{known}");
    }
    for other in ["|O", "<f16", "<c32", "|V8", "|T16", "<M8[fortnight]", "", "<", "<f8[s]", "=f8"] {
        assert!(ArrayHeader::from_typestr(other).is_none(), "{other}");
    }
}
