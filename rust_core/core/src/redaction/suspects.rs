//! Where secrets may begin: a fast look that misses none and says of little else that it may be one.

use aho_corasick::Span;
use aho_corasick::packed::Searcher;

use super::patterns::Kind;
use crate::sync::OnceLock;

/// How a secret begins, or, where texts have lines of dashes, a part of it. None is the beginning of another one.
///
/// The search takes those whose places differ by eight together, by halves of their first three bytes: in another order,
/// "search" and "weather" may look like one of them, and a look takes twice as long.
const BEGINNINGS: [(&str, Kind); 18] = [
    ("AKIA", Kind::Amazon),
    ("ASIA", Kind::Amazon),
    ("ghp_", Kind::GitHub),
    ("gho_", Kind::GitHub),
    ("ghu_", Kind::GitHub),
    ("ghs_", Kind::GitHub),
    ("ghr_", Kind::GitHub),
    ("github_pat_", Kind::GitHub),
    ("glpat-", Kind::GitLab),
    ("xox", Kind::Slack),
    ("AIza", Kind::Google),
    ("hf_", Kind::HuggingFace),
    ("sk_live_", Kind::Stripe),
    ("rk_live_", Kind::Stripe),
    ("sk-", Kind::SecretKey),
    ("eyJ", Kind::WebToken),
    ("BEGIN ", Kind::PrivateKey),
    ("://", Kind::Address),
];
/// The beginning of "bearer", whose letters may be of any case. Each letter more would double how many there are to look for: past
/// 32 of all the look takes twice as long.
const BEAR: &str = "bea";

struct Beginnings {
    searcher: Searcher,
    kinds: Vec<Kind>,
}

/// None where the processor has no vectors: everything is under suspicion there.
fn beginnings() -> Option<&'static Beginnings> {
    static BUILT: OnceLock<Option<Beginnings>> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            Searcher::new(literals().map(|(text, _)| text))
                .map(|searcher| Beginnings { searcher, kinds: literals().map(|(_, kind)| kind).collect() })
        })
        .as_ref()
}

pub(super) fn literals() -> impl Iterator<Item = (String, Kind)> {
    let bears = (0..1_u32 << BEAR.len()).map(|upper| {
        let letter = |(at, letter): (usize, char)| match upper >> at & 1 {
            0 => letter,
            _ => letter.to_ascii_uppercase(),
        };
        (BEAR.chars().enumerate().map(letter).collect(), Kind::Bearer)
    });
    BEGINNINGS.iter().map(|&(text, kind)| (text.to_owned(), kind)).chain(bears)
}

/// Whether a secret may begin anywhere in `bytes`.
pub(super) fn any(bytes: &[u8]) -> bool {
    match beginnings() {
        Some(known) => places(known, bytes).next().is_some(),
        None => true,
    }
}

/// The kinds of which one may begin in `bytes`.
pub(super) fn kinds(bytes: &[u8]) -> impl Iterator<Item = Kind> {
    let mut seen = [false; Kind::ALL.len()];
    match beginnings() {
        Some(known) => places(known, bytes).for_each(|kind| seen[kind as usize] = true),
        None => seen.fill(true),
    }
    Kind::ALL.into_iter().filter(move |&kind| seen[kind as usize])
}

fn places(known: &'static Beginnings, bytes: &[u8]) -> impl Iterator<Item = Kind> {
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let hit = known.searcher.find_in(bytes, Span::from(from..bytes.len()))?;
            // What was found may overlap what comes next.
            from = hit.start() + 1;
            let kind = known.kinds[hit.pattern().as_usize()];
            if may_be(kind, bytes, hit.start(), hit.len()) {
                return Some(kind);
            }
        }
    })
}

/// A second look at `bytes`, where at `start` there is a beginning of `begun_len`: the words of a page have many of them.
/// Says yes to everything that the pattern does.
fn may_be(kind: Kind, bytes: &[u8], start: usize, begun_len: usize) -> bool {
    let (before, bytes) = bytes.split_at(start);
    let rest = &bytes[begun_len..];
    let run = |len: usize| rest.len() >= len && rest[..len].iter().all(|&byte| is_of_token(byte));
    match kind {
        Kind::SecretKey | Kind::Amazon | Kind::GitLab | Kind::Stripe => run(16),
        Kind::GitHub => run(20),
        Kind::Google | Kind::HuggingFace => run(30),
        Kind::WebToken => run(8),
        Kind::Slack => true,
        Kind::PrivateKey => before.ends_with(b"-----"),
        Kind::Bearer => {
            let (word, rest) = bytes.split_at_checked("bearer".len()).unwrap_or((bytes, &[]));
            word.eq_ignore_ascii_case(b"bearer") && rest.first().is_some_and(|&byte| byte <= b' ' || byte >= 0x80)
        }
        Kind::Address => {
            let part = |from: usize| rest[from..].iter().take_while(|&&byte| is_of_address(byte)).count();
            let user = part(0);
            rest.get(user) == Some(&b':') && {
                let end = user + 1 + part(user + 1);
                end > user + 1 && rest.get(end) == Some(&b'@')
            }
        }
    }
}

fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

fn is_of_address(byte: u8) -> bool {
    !matches!(byte, b'/' | b':' | b'@' | b' ' | b'\t'..=b'\r')
}
