//! Where the records of a workload come from: told by their bytes, so that what is read back can be held against them.

use spellkeep_core::record::{Draft, Fields, Kind, OriginBuf, StateClass};

/// Of half of all records.
pub fn origin_of(kind: Kind, scope: &[u8], key: &[u8], value: &[u8]) -> OriginBuf {
    let said = [value, key, scope].into_iter().find(|bytes| !bytes.is_empty()).unwrap_or_default();
    match said.first() {
        Some(byte) if kind != Kind::Expire && byte % 2 == 1 => {
            let id = format!("work {byte}");
            OriginBuf::new(Some(u64::from(*byte)), Some(&id), Some("anna"), &["one", "two"]).unwrap()
        }
        _ => OriginBuf::default(),
    }
}

pub fn drafted(kind: Kind, scope: &[u8], key: &str, value: &[u8], expires_us: Option<u64>) -> Draft {
    let mut draft = Draft::default();
    draft.begin(kind, StateClass::Standard, scope);
    draft.value_buf().extend_from_slice(value);
    let origin = origin_of(kind, scope, key.as_bytes(), value);
    draft.end_with(key.as_bytes(), Fields { expires_us, origin: origin.get() });
    draft
}
