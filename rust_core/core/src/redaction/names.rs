//! Names of fields that hold secrets.

/// Whole words of a name, so that max_tokens, author and keyboard stay what they are.
const WORDS: [&str; 14] = [
    "password",
    "passwords",
    "passwd",
    "passphrase",
    "secret",
    "secrets",
    "credential",
    "credentials",
    "authorization",
    "cookie",
    "cookies",
    "otp",
    "pin",
    "cvv",
];
/// Two words, one behind the other, the second of one or of many.
const PAIRS: [(&str, &str); 12] = [
    ("api", "key"),
    ("access", "key"),
    ("private", "key"),
    ("secret", "key"),
    ("encryption", "key"),
    ("access", "token"),
    ("auth", "token"),
    ("refresh", "token"),
    ("bearer", "token"),
    ("session", "token"),
    ("id", "token"),
    ("connection", "string"),
];
/// Words that are all of a name.
const ALONE: [&str; 6] = ["token", "auth", "apikey", "apikeys", "bearer", "jwt"];

/// Whether a field of this name holds a secret: `dbPassword`, `API_KEY`, `token`.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    let (mut last, mut count) = ("", 0);
    for word in words(name) {
        let is = |known: &str| word.eq_ignore_ascii_case(known);
        let one_of_many = word.strip_suffix(['s', 'S']).unwrap_or(word);
        let is_pair = |(first, second): &(&str, &str)| {
            last.eq_ignore_ascii_case(first) && one_of_many.eq_ignore_ascii_case(second)
        };
        if WORDS.into_iter().any(is) || PAIRS.iter().any(is_pair) {
            return true;
        }
        (last, count) = (word, count + 1);
    }
    count == 1 && ALONE.iter().any(|known| last.eq_ignore_ascii_case(known))
}

/// The words of a name in camelCase, snake_case or any other: letters of one kind, a capital before small ones, digits.
fn words(name: &str) -> impl Iterator<Item = &str> {
    let (bytes, mut at) = (name.as_bytes(), 0);
    std::iter::from_fn(move || {
        let run = |from: usize, is: fn(&u8) -> bool| from + bytes[from..].iter().take_while(|byte| is(byte)).count();
        at = run(at, |byte| !byte.is_ascii_alphanumeric());
        let start = at;
        at = match bytes.get(start)? {
            byte if byte.is_ascii_digit() => run(start, u8::is_ascii_digit),
            byte if byte.is_ascii_lowercase() => run(start, u8::is_ascii_lowercase),
            _ => {
                let capitals = run(start, u8::is_ascii_uppercase);
                match bytes.get(capitals).is_some_and(u8::is_ascii_lowercase) {
                    // The last capital belongs to the small letters behind it.
                    true if capitals > start + 1 => capitals - 1,
                    true => run(capitals, u8::is_ascii_lowercase),
                    false => capitals,
                }
            }
        };
        Some(&name[start..at])
    })
}
