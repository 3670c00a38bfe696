//! Which operations a hook is for.

use pyo3::prelude::*;
use pyo3::types::PyList;
use spellkeep_core::record::Kind;
use spellkeep_core::scope::{Scope, ScopeKind};
use spellkeep_core::store;

use super::{DEPTH_TAG, is_own};
use crate::scope::StateScope;
use crate::store::Change;

/// Kinds and classes as bits, patterns with `*` (any text) and `?` (one character). None: everything.
#[derive(Default)]
#[pyclass(frozen, module = "spellkeep._core")]
pub struct HookFilter {
    kinds: Option<u16>,
    classes: Option<u16>,
    scope: Option<Box<str>>,
    key: Option<Box<str>>,
}

impl HookFilter {
    /// Whether it lets an operation through. `key` is None for what is about no single key, which every key pattern
    /// lets through: a clear touches them all.
    pub fn lets(&self, scope: &[u8], key: Option<&[u8]>, class: u8) -> bool {
        has(self.classes, class) && self.lets_any_class(scope, key)
    }

    /// The same of what has no class: a removal.
    pub fn lets_any_class(&self, scope: &[u8], key: Option<&[u8]>) -> bool {
        has(self.kinds, scope[0])
            && key.is_none_or(|key| self.key.as_ref().is_none_or(|pattern| matches(pattern.as_bytes(), key)))
            && self.scope.as_ref().is_none_or(|pattern| {
                Scope::decode(scope).is_ok_and(|scope| matches(pattern.as_bytes(), scope.to_string().as_bytes()))
            })
    }
}

fn has(bits: Option<u16>, number: u8) -> bool {
    bits.is_none_or(|bits| bits >> number & 1 == 1)
}

#[pymethods]
impl HookFilter {
    /// `kinds` and `classes`: their numbers, as bits.
    #[new]
    #[pyo3(signature = (*, kinds=None, classes=None, scope=None, key=None))]
    fn new(kinds: Option<u16>, classes: Option<u16>, scope: Option<String>, key: Option<String>) -> Self {
        // `agent:*` is a kind, and a bit is cheaper than the text form of every scope.
        let kind = scope.as_deref().and_then(|pattern| pattern.strip_suffix(":*"));
        let kind = kind.and_then(spellkeep_core::scope::ScopeKind::from_name);
        let (kinds, scope) = match kind {
            Some(kind) => (Some(kinds.unwrap_or(u16::MAX) & 1 << kind.number()), None),
            None => (kinds, scope.map(Into::into)),
        };
        Self { kinds, classes, scope, key: key.map(Into::into) }
    }

    /// Whether it lets an operation through; `key` is None for a clear, the class for every removal.
    #[pyo3(name = "lets", signature = (scope, key, class_number))]
    fn py_lets(&self, scope: &Bound<'_, StateScope>, key: Option<&str>, class_number: Option<u8>) -> bool {
        let (scope, key) = (scope.get().encoded(), key.map(str::as_bytes));
        match class_number {
            Some(number) => self.lets(scope, key, number),
            None => self.lets_any_class(scope, key),
        }
    }
}

/// Of committed changes, those that a hook is for: of these operations, what its filter lets through, and nothing that hooks
/// write about themselves. Beyond `depth_max` hooks deep they are only counted: (changes, depths, count).
#[pyfunction]
#[allow(clippy::type_complexity)]
pub fn hook_pick<'py>(
    filter: &Bound<'py, HookFilter>,
    changes: &Bound<'py, PyList>,
    operations: Vec<String>,
    depth_max: u32,
) -> PyResult<(Vec<Bound<'py, PyAny>>, Vec<u32>, usize)> {
    let (mut picked, mut depths, mut beyond) = (Vec::new(), Vec::new(), 0);
    for change in changes.iter() {
        let committed = change.cast::<Change>()?.get().committed();
        if is_own(committed.scope()) || !operations.iter().any(|operation| is_one(operation, committed)) {
            continue;
        }
        let key = (committed.kind != Kind::Clear).then(|| committed.key());
        let lets = match committed.kind {
            Kind::Set | Kind::Event => filter.get().lets(committed.scope(), key, committed.class as u8),
            _ => filter.get().lets_any_class(committed.scope(), key),
        };
        if !lets {
            continue;
        }
        let origin = committed.origin();
        let depth = origin.tags().filter_map(|tag| tag.strip_prefix(DEPTH_TAG)?.parse().ok()).max().unwrap_or(0);
        if depth >= depth_max {
            beyond += 1;
        } else {
            picked.push(change);
            depths.push(depth);
        }
    }
    Ok((picked, depths, beyond))
}

/// Whether a record is the one by which an operation is known.
fn is_one(operation: &str, committed: &store::Change) -> bool {
    let event = |kind: ScopeKind, name: &[u8]| {
        committed.kind == Kind::Event && committed.key() == name && committed.scope()[0] == kind.number()
    };
    match operation {
        "agent_save" => is_save(committed),
        "agent_load" => event(ScopeKind::Agent, b"agent.load"),
        "session_start" => event(ScopeKind::Session, b"session.start"),
        "session_end" => event(ScopeKind::Session, b"session.end"),
        _ => operation == committed.kind.name(),
    }
}

/// Whether it is the last record of a save of an agent: python/spellkeep/agent/layout.py says what its entries are.
fn is_save(committed: &store::Change) -> bool {
    const AROUND: [&[u8]; 4] = [b"past/", b"tag/", b"fork/", b"retention"];
    committed.scope()[0] == ScopeKind::Agent.number()
        && committed.kind == Kind::Set
        && !committed.in_batch
        && !AROUND.iter().any(|prefix| committed.key().starts_with(prefix))
}

/// Whether `text` is what `pattern` says. Linear but for a star behind a star.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while read < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(b'?') => {
                at += 1;
                read = next_character(text, read);
            }
            Some(byte) if *byte == text[read] => {
                at += 1;
                read += 1;
            }
            _ => {
                let Some((back, from)) = star else { return false };
                star = Some((back, from + 1));
                at = back + 1;
                read = from + 1;
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

fn next_character(text: &[u8], at: usize) -> usize {
    (at + 1..text.len()).find(|index| text[*index] & 0xC0 != 0x80).unwrap_or(text.len())
}
