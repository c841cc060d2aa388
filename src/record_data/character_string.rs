//! The strings of TXT and CAA records in presentation format (RFC 1035 §5.1). They hold any bytes, and the DNS library
//! writes and reads only those that are text.

/// The bytes of some text between quotes, or of several such parts one after the other: `\DDD` is the byte of that number, and
/// `\X` is X itself.
///
/// # Errors
///
/// When a quote is not closed, or `\` stands before nothing or before a number above 255.
pub(super) fn parse(text: &str) -> Result<Vec<Vec<u8>>, String> {
    let mut parts = Vec::new();
    let mut rest = text.trim_start();
    while let Some(inner) = rest.strip_prefix('"') {
        let (part, after) = quoted(inner)?;
        parts.push(part);
        rest = after.trim_start();
    }
    if rest.is_empty() { Ok(parts) } else { Err(format!("`{rest}` stands outside of the quotes")) }
}

/// The bytes up to the closing quote, and what stands after it.
fn quoted(text: &str) -> Result<(Vec<u8>, &str), String> {
    let mut part = Vec::new();
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        match next {
            '"' => return Ok((part, rest.as_str())),
            '\\' => {
                let after = rest.as_str();
                let digits = after.get(..3).filter(|three| three.bytes().all(|digit| digit.is_ascii_digit()));
                if let Some(digits) = digits {
                    part.push(digits.parse().map_err(|_| format!("`\\{digits}` is no byte: the largest is `\\255`"))?);
                    rest = after.get(3..).unwrap_or_default().chars();
                } else {
                    let escaped = rest.next().filter(|escaped| !escaped.is_ascii_digit());
                    let escaped = escaped.ok_or("`\\` stands before a character or three digits")?;
                    part.extend_from_slice(escaped.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
            other => part.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Err("a quote is not closed".to_owned())
}

/// Bytes between quotes.
pub(super) fn quote(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for byte in bytes {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => text.push(char::from(*byte)),
            other => {
                text.push('\\');
                text.extend([other / 100, other / 10 % 10, other % 10].map(|digit| char::from(b'0' + digit)));
            }
        }
    }
    text.push('"');
    text
}

/// Whether bytes mean themselves without quotes.
pub(super) fn is_plain(bytes: &[u8]) -> bool {
    let ends = bytes.first() != Some(&b' ') && bytes.last() != Some(&b' ');
    !bytes.is_empty() && ends && bytes.iter().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same_bytes(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(parse(&quote(&bytes)), Ok(vec![bytes]));
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = parse(&text);
            let _ = parse(&format!("\"{text}\""));
        }
    }

    #[test]
    fn bytes_are_written_by_their_numbers() {
        assert_eq!(parse(r#""\255\032a" "ü\"""#), Ok(vec![vec![255, 32, b'a'], "ü\"".as_bytes().to_vec()]));
        assert_eq!(quote("ü".as_bytes()), r#""\195\188""#);
        for text in [r#""\256""#, r#""\"#, r#""\1""#, r#""a"#, r#""a" b"#] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
