//! What a lens finds is what a reader of everything finds; a footer that says anything else is damage, and harmless.

use proptest::collection::vec;
use proptest::prelude::*;

use super::tests::{Tree, decode, encode, pull, tree};
use super::*;
use crate::error::Coded;
use crate::limits::{FOOTER_BYTES_MIN, FOOTER_STRIDE};

/// Everything that a lens can reach, container by container; what is none is read where it is.
fn look(lens: &Lens<'_>, at: usize, depth: u32) -> Result<Tree, ValueError> {
    let Some(place) = lens.container(at)?.filter(|_| depth < 40) else { return pull(&mut lens.reader(at)) };
    if place.kind == Kind::Map {
        let mut entries = Vec::new();
        let mut at = place.body;
        for _ in 0..place.len {
            let value = lens.skip(at)?;
            let key = pull(&mut lens.reader(at))?;
            if matches!(key, Tree::Str(_)) {
                lens.find(&place, &token(&key))?;
            }
            entries.push((key, look(lens, value, depth + 1)?));
            at = lens.skip(value)?;
        }
        return Ok(Tree::Map(entries));
    }
    // Backwards, so that each item is found by itself.
    let mut items = Vec::new();
    for index in (0..place.len).rev() {
        items.push(look(lens, lens.item(&place, index)?, depth + 1)?);
    }
    items.reverse();
    Ok(if place.kind == Kind::Tuple { Tree::Tuple(items) } else { Tree::List(items) })
}

fn look_at(bytes: &[u8]) -> Result<Tree, ValueError> {
    look(&Lens::new(bytes)?, Lens::OBJECT, 0)
}

fn token(key: &Tree) -> Vec<u8> {
    encode(key).split_off(2)
}

fn text(prefix: &str, number: usize) -> Tree {
    Tree::Str(format!("{prefix}{number}"))
}

/// A dict of what stands in a conversation: more than a stride of entries, one of them long.
fn sample(messages: usize) -> Tree {
    let message = |number| {
        Tree::Map(vec![
            (Tree::Str("id".into()), Tree::Int(number as i64)),
            (Tree::Str("content".into()), Tree::List(vec![text("said ", number); 3])),
        ])
    };
    let mut entries: Vec<_> = (0..20).map(|number| (text("field", number), Tree::Int(number as i64))).collect();
    let messages = Tree::List((0..messages).map(message).collect());
    entries.insert(3, (Tree::Str("messages".into()), Tree::Tuple(vec![messages, Tree::Nil])));
    Tree::Map(entries)
}

/// Trees with containers on either side of both thresholds.
fn large_tree() -> impl Strategy<Value = Tree> {
    let part = prop_oneof![
        6 => (0i64..300).prop_map(Tree::Int),
        6 => "[a-zé]{0,12}".prop_map(Tree::Str),
        6 => vec(any::<u8>(), 0..90).prop_map(Tree::Bin),
        1 => tree(),
    ];
    let plain_map = vec(part.clone(), 0..60).prop_map(|values| {
        Tree::Map(values.into_iter().enumerate().map(|(number, value)| (text("key", number), value)).collect())
    });
    prop_oneof![
        vec(part.clone(), 0..90).prop_map(Tree::List),
        vec(part.clone(), 0..90).prop_map(Tree::Tuple),
        vec((part.clone(), part.clone()), 0..60).prop_map(Tree::Map),
        vec(plain_map, 0..20).prop_map(Tree::List),
        vec(part, 30..60).prop_map(|items| Tree::Tagged("t".into(), 1, Box::new(Tree::List(items)))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_a_lens_finds_is_what_a_reader_finds(tree in large_tree()) {
        let bytes = encode(&tree);
        prop_assert!(validate(&bytes).is_ok());
        prop_assert_eq!(&decode(&bytes).unwrap(), &tree);
        prop_assert_eq!(&look_at(&bytes).unwrap(), &tree);
        // A value of the first version, as stores hold them: the same object, no footer.
        let layout = layout::Layout::of(&bytes).unwrap();
        let mut plain = bytes[..layout.object_end].to_vec();
        plain[1] = VERSION;
        prop_assert_eq!(&decode(&plain).unwrap(), &tree);
        prop_assert_eq!(&look_at(&plain).unwrap(), &tree);
    }

    #[test]
    fn every_key_is_found_and_no_other(tree in large_tree()) {
        let bytes = encode(&tree);
        let lens = Lens::new(&bytes).unwrap();
        if let (Tree::Map(entries), Some(place)) = (&tree, lens.container(Lens::OBJECT).unwrap()) {
            let is_text_or_number = |key: &Tree| matches!(key, Tree::Str(_) | Tree::Int(_) | Tree::UInt(_));
            for key in entries.iter().map(|entry| &entry.0).filter(|key| is_text_or_number(key)) {
                let Found::At(at) = lens.find(&place, &token(key)).unwrap() else { panic!("{key:?}") };
                let value = pull(&mut lens.reader(at)).unwrap();
                // These trees may repeat a key.
                prop_assert!(entries.iter().any(|entry| entry.0 == *key && entry.1 == value));
            }
            let expected = if entries.iter().all(|entry| is_text_or_number(&entry.0)) { Found::Absent } else { Found::Unsure };
            prop_assert_eq!(lens.find(&place, &token(&text("no such key ", 1))).unwrap(), expected);
        }
    }

    #[test]
    fn a_lens_over_damaged_bytes_never_panics(tree in large_tree(), edits in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), from_end in 0usize..200) {
        let mut bytes = encode(&tree);
        let len = bytes.len();
        for (number, (place, byte)) in edits.iter().enumerate() {
            // Some of them in the footer, which is a small part of the bytes.
            let place = if number % 2 == 0 { len - 1 - from_end % len } else { place.index(len) };
            bytes[place] = *byte;
        }
        let _ = (look_at(&bytes), decode(&bytes), validate(&bytes));
    }
}

#[test]
fn a_value_whose_containers_are_short_or_tagged_or_sets_has_no_footer() {
    let short = Tree::List(vec![Tree::Int(1); FOOTER_BYTES_MIN - 1]);
    let wide = Tree::List(vec![Tree::Str("x".repeat(90)); FOOTER_STRIDE]);
    for (tree, version) in [
        (short.clone(), VERSION),
        (Tree::List(vec![Tree::Int(1); FOOTER_BYTES_MIN]), VERSION_FOOTER),
        (Tree::Str("x".repeat(5000)), VERSION),
        (wide.clone(), VERSION_FOOTER),
        (Tree::Tagged("t".into(), 1, Box::new(wide)), VERSION),
    ] {
        let bytes = encode(&tree);
        assert_eq!(bytes[1], version);
        assert_eq!(validate(&bytes).map(|_| decode(&bytes)), Ok(Ok(tree)));
    }
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, &Default::default());
    let ext = encoder.begin_ext(tags::SET);
    let open = encoder.begin_array(2000).unwrap();
    assert!(!open.is_marked());
    (0..2000).for_each(|number| encoder.int(number));
    encoder.end(open);
    encoder.end_ext(ext).unwrap();
    encoder.finish().unwrap();
    assert_eq!((bytes[1], validate(&bytes).unwrap().items), (VERSION, 2000));
}

#[test]
fn every_flipped_bit_and_every_cut_is_refused_or_harmless() {
    let bytes = encode(&sample(40));
    let layout = layout::Layout::of(&bytes).unwrap();
    assert_eq!(layout.row_count, 3, "the dict, the tuple in it and the list in that");
    let footer = layout.object_end;
    let (mut refused, mut harmless) = (0, 0);
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let read = validate(&flipped);
        if bit / 8 >= footer || bit / 8 < 2 {
            assert!(read.is_err(), "bit {bit} of the footer or envelope");
        }
        match look_at(&flipped) {
            Ok(_) => harmless += 1,
            Err(error) => {
                assert!(matches!(error.code(), "value.malformed" | "value.format_version"));
                refused += 1;
            }
        }
    }
    assert!(refused > 0 && harmless > 0);
    for cut in 0..bytes.len() {
        assert!(validate(&bytes[..cut]).is_err());
        assert!(look_at(&bytes[..cut]).is_err());
    }
}

/// One field of a megabyte is found with a handful of steps, and so the time does not grow with what is before it.
#[test]
fn one_item_is_found_without_reading_those_before_it() {
    let mut bytes = encode(&sample(5000));
    let lens = Lens::new(&bytes).unwrap();
    let root = lens.container(Lens::OBJECT).unwrap().unwrap();
    let Found::At(tuple) = lens.find(&root, &token(&Tree::Str("messages".into()))).unwrap() else { panic!("absent") };
    let tuple = lens.container(tuple).unwrap().unwrap();
    let list = lens.container(tuple.body).unwrap().unwrap();
    let (first, last) = (list.body, lens.item(&list, 4711 - 4711 % FOOTER_STRIDE).unwrap());
    // Nothing between the two can be read any more.
    bytes[first..last].fill(0xC1);
    let lens = Lens::new(&bytes).unwrap();
    let message = lens.container(lens.item(&list, 4711).unwrap()).unwrap().unwrap();
    let Found::At(id) = lens.find(&message, &token(&Tree::Str("id".into()))).unwrap() else { panic!("absent") };
    assert_eq!(pull(&mut lens.reader(id)).unwrap(), Tree::Int(4711));
    let Found::At(late) = lens.find(&root, &token(&text("field", 19))).unwrap() else { panic!("absent") };
    assert_eq!(pull(&mut lens.reader(late)).unwrap(), Tree::Int(19));
    assert_eq!(lens.item(&tuple, 1).map(|at| pull(&mut lens.reader(at))), Ok(Ok(Tree::Nil)));
}

#[test]
fn the_bytes_of_version_2_do_not_change() {
    let entry = |number: u8| (Tree::Str(char::from(b'a' + number).into()), Tree::Bin(vec![number; 70]));
    // One entry less, and there is a row but no table.
    let bytes = encode(&Tree::Map((0..16).map(entry).collect()));
    let object = 2 + 3 + 16 * 74;
    let row = [5, 0, 0, 0, object as u8, (object >> 8) as u8, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF];
    assert_eq!(bytes[object..], [&[0xC9, 0, 0, 0, 20, 0x11][..], &row, &[1, 0, 0, 0, 20, 0, 0, 0]].concat());
    let bytes = encode(&Tree::Map((0..17).map(entry).collect()));
    let object = 2 + 3 + 17 * 74;
    assert_eq!(&bytes[..5], [0xC1, 0x02, 0xDE, 0x00, 0x11]);
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let payload = 1 + 4 * (5 + 17) + 12 + 8;
    assert_eq!(&bytes[object..object + 6], [0xC9, 0, 0, 0, payload as u8, 0x11]);
    let tables = object + 6;
    assert_eq!(bytes.len(), tables + payload);
    assert_eq!(bytes[tables], 1, "all keys are strings or integers");
    let numbers: Vec<u32> = (0..22).map(|index| number(tables + 1 + 4 * index)).collect();
    let (starts, order) = numbers.split_at(5);
    assert_eq!(starts, [0, 3, 6, 8, 10]);
    assert_eq!(order.iter().map(|at| char::from(bytes[*at as usize + 1])).collect::<String>(), "boqdfnegamchijklp");
    let row = tables + 1 + 88;
    assert_eq!([number(row), number(row + 4), number(row + 8)], [5, object as u32, 0]);
    assert_eq!([number(row + 12), number(row + 16)], [1, payload as u32]);
}
