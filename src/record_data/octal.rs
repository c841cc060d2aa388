//! How Route 53 writes bytes that are no plain text: `\ooo` with three octal digits, where master files have decimal ones.

/// A byte by its octal number.
pub fn escape(byte: u8) -> [char; 4] {
    let digit = |digit: u8| char::from(b'0' + digit);
    ['\\', digit(byte / 64), digit(byte / 8 % 8), digit(byte % 8)]
}

/// The byte of three octal digits, if they are that.
pub fn byte(digits: &[u8]) -> Option<u8> {
    let digits =
        std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))?;
    u8::from_str_radix(digits, 8).ok()
}

/// A name in the one form in which Route 53 keeps it: in lower case, without the last dot, escaped but for letters, digits, `-`,
/// `_`, dots and what is escaped already.
pub fn name(name: &str) -> String {
    let mut text = String::new();
    for byte in name.trim_end_matches('.').bytes() {
        match byte.to_ascii_lowercase() {
            byte @ (b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'\\') => text.push(char::from(byte)),
            byte => text.extend(escape(byte)),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_and_read_in_octal() {
        for of in [0, 7, 8, 42, 63, 64, 255] {
            let text: String = escape(of).iter().collect();
            assert_eq!(text, format!("\\{of:03o}"));
            assert_eq!(byte(&text.as_bytes()[1..]), Some(of));
        }
        for wrong in ["", "1", "400", "08a", "+12", "999"] {
            assert_eq!(byte(wrong.as_bytes()), if wrong == "1" { Some(1) } else { None }, "{wrong}");
        }
        assert_eq!(name("*.Example.COM."), r"\052.example.com");
    }
}
