//! What secrets look like, exactly.

use std::ops::Range;

use regex::Regex;

use crate::sync::OnceLock;

/// What there is to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    SecretKey,
    Amazon,
    GitHub,
    GitLab,
    Slack,
    Google,
    HuggingFace,
    Stripe,
    WebToken,
    Bearer,
    PrivateKey,
    Address,
}

impl Kind {
    pub const ALL: [Self; 12] = [
        Self::SecretKey,
        Self::Amazon,
        Self::GitHub,
        Self::GitLab,
        Self::Slack,
        Self::Google,
        Self::HuggingFace,
        Self::Stripe,
        Self::WebToken,
        Self::Bearer,
        Self::PrivateKey,
        Self::Address,
    ];

    /// Words end at ASCII letters only: of what is written without spaces, such as Chinese, every character is a letter.
    /// Where a pattern has a group, that is the secret.
    const fn pattern(self) -> &'static str {
        match self {
            Self::SecretKey => r"(?-u:\b)sk-[A-Za-z0-9_-]{16,}",
            Self::Amazon => r"(?-u:\b)(?:AKIA|ASIA)[A-Z0-9]{16}(?-u:\b)",
            Self::GitHub => r"(?-u:\b)(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})",
            Self::GitLab => r"(?-u:\b)glpat-[A-Za-z0-9_-]{16,}",
            Self::Slack => r"(?-u:\b)xox[abprs]-[A-Za-z0-9-]{10,}",
            Self::Google => r"(?-u:\b)AIza[A-Za-z0-9_-]{30,}",
            Self::HuggingFace => r"(?-u:\b)hf_[A-Za-z0-9]{30,}",
            Self::Stripe => r"(?-u:\b)[sr]k_live_[A-Za-z0-9]{16,}",
            Self::WebToken => r"(?-u:\b)eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
            Self::Bearer => r"(?-u:\b)(?i-u:bearer)\s+[A-Za-z0-9._~+/-]{8,}=*",
            Self::PrivateKey => r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\z)",
            Self::Address => r"://([^/\s:@]*:[^/\s:@]+)@",
        }
    }

    fn regex(self) -> &'static Regex {
        static COMPILED: [OnceLock<Regex>; Kind::ALL.len()] = [const { OnceLock::new() }; Kind::ALL.len()];
        COMPILED[self as usize].get_or_init(|| Regex::new(self.pattern()).expect("the patterns are constants"))
    }
}

/// Adds where in `text` there are secrets of this kind.
pub(super) fn find(kind: Kind, text: &str, found: &mut Vec<Range<usize>>) {
    let regex = kind.regex();
    if regex.captures_len() == 1 {
        found.extend(regex.find_iter(text).map(|hit| hit.range()));
    } else {
        found.extend(regex.captures_iter(text).filter_map(|hit| hit.get(1)).map(|group| group.range()));
    }
}
