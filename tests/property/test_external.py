"""An external value is kept as a plain reference says, and no file holds a secret that was in it."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

import spellkeep
from spellkeep import StateClass, StateScope
from spellkeep.hooks import HookResult

SCOUT = StateScope.agent("scout")
HIDDEN = "[redacted]"
LOOKS = re.compile(
    r"(?a:\b)sk-[A-Za-z0-9_-]{16,}"
    r"|(?a:\b)(?:AKIA|ASIA)[A-Z0-9]{16}(?a:\b)"
    r"|(?a:\b)(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})"
    r"|(?a:\b)glpat-[A-Za-z0-9_-]{16,}"
    r"|(?a:\b)xox[abprs]-[A-Za-z0-9-]{10,}"
    r"|(?a:\b)AIza[A-Za-z0-9_-]{30,}"
    r"|(?a:\b)hf_[A-Za-z0-9]{30,}"
    r"|(?a:\b)[sr]k_live_[A-Za-z0-9]{16,}"
    r"|(?a:\b)eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"
    r"|(?a:\b)[bB][eE][aA][rR][eE][rR]\s+[A-Za-z0-9._~+/-]{8,}=*"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|(?<=://)[^/\s:@]*:[^/\s:@]+(?=@)"
)
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
# All of them: what is drawn at random may be any.
WORDS = {"passwd", "passphrase", "authorization", "otp", "pin", "cvv"}
WORDS |= {word + many for word in ("password", "secret", "credential", "cookie") for many in ("", "s")}
PAIRS = {(first, "key" + many) for first in ("api", "access", "private", "secret", "encryption") for many in ("", "s")}
PAIRS |= {
    (first, "token" + many) for first in ("access", "auth", "refresh", "bearer", "session", "id") for many in ("", "s")
}
PAIRS |= {("connection", "string"), ("connection", "strings")}
ALONE = {"token", "auth", "apikey", "apikeys", "bearer", "jwt"}
SECRET_NAMES = [
    "password",
    "api_key",
    "dbPassword",
    "token",
    "X-Auth-Token",
    "connectionString",
    "aPISecret",
    "cookie 2",
]
NAMES = [*SECRET_NAMES, "max_tokens", "author", "note", "[redacted]", "[redacted] 2", "keyboard", "", "é"]

_ALNUM = "ABCdefGHIjklMNOpqrSTUvwx0123456789"
_long = st.text(_ALNUM, min_size=30, max_size=40)
# None has a part that a shorter secret would be, and each is unlike anything else in the store.
secrets = st.one_of(
    _long.map(lambda tail: f"sk-proj-{tail}"),
    st.text("ABCXYZ0123456789", min_size=16, max_size=16).map(lambda tail: f"AKIA{tail}"),
    st.builds("gh{}_{}".format, st.sampled_from("pousr"), _long),
    st.builds("xox{}-{}".format, st.sampled_from("abprs"), _long),
    _long.map(lambda tail: f"AIza{tail}"),
    st.builds("{}{}".format, st.sampled_from(["github_pat_", "glpat-", "hf_", "sk_live_", "rk_live_"]), _long),
    _long.map(lambda tail: f"eyJ{tail}.{tail}.{tail}"),
    st.builds("{} {}==".format, st.sampled_from(["Bearer", "bearer", "BEARER", "bEaReR"]), _long),
    _long.map(lambda tail: f"-----BEGIN RSA PRIVATE KEY-----\n{tail}\n-----END RSA PRIVATE KEY-----"),
)
plain = st.text(st.sampled_from("abcxyz ,.\n\udc80é密-_0123"), max_size=12)
# A space on each side, so that what is planted stays what it is.
planted = st.builds("{} {} {}".format, plain, secrets, plain)
addresses = st.builds("{} redis://{}:{}@db {}".format, plain, st.sampled_from(["", "anna"]), _long, plain)
texts = st.one_of(plain, plain, planted, addresses, st.text(max_size=20))
leaves = st.one_of(texts, st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False))
names = st.one_of(st.sampled_from(NAMES), texts, st.integers(0, 9), st.tuples(texts, st.integers(0, 1)))
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.sets(st.one_of(texts, st.tuples(texts, st.integers(0, 1))), max_size=4),
        st.dictionaries(names, inner, max_size=5),
        # Long enough for footers and the table of their keys.
        st.dictionaries(names, inner, min_size=20, max_size=24),
        st.lists(st.text("abc ", min_size=40, max_size=60), min_size=25, max_size=40),
    ),
    max_leaves=30,
)


def reference(value: Any) -> Any:
    """The value as it is to be kept."""
    if isinstance(value, str):
        return LOOKS.sub(HIDDEN, value)
    if isinstance(value, list | tuple):
        return type(value)(map(reference, value))
    if isinstance(value, set):
        return {*members(value)}
    if isinstance(value, dict):
        pairs = zip(members(value), value.items(), strict=True)
        return {left: HIDDEN if is_secret(name) else reference(each) for left, (name, each) in pairs}
    return value


def is_secret(name: Any) -> bool:
    words = [word.lower() for word in WORD.findall(name)] if isinstance(name, str) else []
    return (
        not WORDS.isdisjoint(words) or not PAIRS.isdisjoint(pairwise(words)) or (len(words) == 1 and words[0] in ALONE)
    )


def members(container: Any) -> list[Any]:
    """The keys or items as they are to be kept: all different."""
    given, counts = list[Any](), dict[str, int]()
    for member in container:
        left = reference(member)
        if left != member:
            base = left if isinstance(left, str) else HIDDEN
            while True:
                counts[base] = counts.get(base, 0) + 1
                left = base if counts[base] == 1 else f"{base} {counts[base]}"
                if left not in given and left not in container:
                    break
        given.append(left)
    return given


def bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def planted_in(value: Any) -> set[str]:
    """Every secret in the texts of a value."""
    if isinstance(value, str):
        return {found.group() for found in LOOKS.finditer(value)}
    if isinstance(value, dict):
        return set().union(*(planted_in(each) for each in (*value.keys(), *value.values())))
    if isinstance(value, list | tuple | set):
        return set().union(*map(planted_in, value))
    return set()


def tokens(secret: str) -> set[bytes]:
    return {part.encode() for part in re.findall(r"[A-Za-z0-9_-]{12,}", secret)}


@given(st.lists(values, min_size=1, max_size=3), st.booleans())
def test_an_external_value_is_kept_as_the_reference_says_and_no_file_holds_a_secret(
    given_values: list[Any], changed_by_hook: bool
) -> None:
    with TemporaryDirectory() as folder:
        with spellkeep.open(folder) as state:
            if changed_by_hook:
                state.hooks.before("set", name="wraps")(lambda context: HookResult.modify([context.value]))
            wanted = dict[str, Any]()
            external = state.scope(SCOUT, state_class=StateClass.EXTERNAL)
            for number, value in enumerate(given_values):
                kept = reference(value)
                external.set(f"set {number}", value)
                with state.batch() as batch:
                    batch.set(SCOUT, f"batch {number}", value, state_class=StateClass.EXTERNAL)
                for key in (f"set {number}", f"batch {number}"):
                    wanted[key] = reference([kept]) if changed_by_hook else kept
                    assert external[key] == wanted[key]
                    view = external.view(key)
                    assert (view.to_python() if hasattr(view, "to_python") else view) == wanted[key]
                if not changed_by_hook:
                    assert external._holds(f"set {number}", value)
            assert state.verify().ok
        with spellkeep.open(folder) as state:
            assert dict(state.scope(SCOUT).items()) == wanted
            assert [change.value for change in state.changes() if change.scope == SCOUT] == list(wanted.values())
        everything = bytes_of(Path(folder))
        for secret in set().union(*map(planted_in, given_values)):
            for token in tokens(secret):
                assert token not in everything, secret
