//! The forms in which a secret may appear: as it is, line by line, percent-encoded, in base64 (also in the middle of a
//! longer base64 text, as in `Authorization: Basic`), in hexadecimal, escaped as JSON, and quoted for a shell, for SQL
//! and for a connection string.
//!
//! Encoders differ in which characters they leave unchanged and in how they write a digit, so each form has many
//! spellings.

use std::collections::BTreeSet;

use data_encoding::{BASE64, BASE64URL, HEXLOWER, HEXUPPER};

use crate::core::quote::Quoting;

/// Shortest value that is masked: masking shorter ones would make ordinary text unreadable.
const SHORTEST: usize = 4;
/// Longest value in bytes for which every spelling is searched. Longer ones are files, which nobody types into an
/// address, and all their spellings would need too much memory.
const EVERY_SPELLING: usize = 2 * 1024;

/// Characters that percent-encoders leave unchanged besides letters and digits.
const LEFT_ALONE: [&str; 8] = [
    "",
    "-._",                  // PHP
    "*-._",                 // forms (WHATWG), Java
    "-._~",                 // RFC 3986 §2.3, Go
    "/-._~",                // Python
    "!'()*-._~",            // encodeURIComponent
    "$&+:=@-._~",           // Go, within a path
    "!#$&'()*+,/:;=?@-._~", // encodeURI
];
/// Characters that JSON writers escape although they need not: none, those that matter in HTML (Go), more of them
/// (.NET).
const ESCAPED: [&str; 3] = ["", "<>&", "<>&'\"+`"];

/// How the digits of a hexadecimal number are written.
#[derive(Clone, Copy)]
enum Digits {
    Lower,
    Upper,
}

const DIGITS: [Digits; 2] = [Digits::Upper, Digits::Lower];

/// Every form that would reveal `value`, without duplicates. Empty for a value that is too short to be masked.
pub(in crate::world::live) fn forms(value: &str) -> BTreeSet<Vec<u8>> {
    let mut forms = BTreeSet::new();
    if value.len() < SHORTEST {
        return forms;
    }
    let mut add = |text: String| {
        if text.len() >= SHORTEST {
            forms.insert(text.into_bytes());
        }
    };
    add(value.to_owned());
    // A key in PEM is often printed line by line. Masking short lines would protect nothing and make ordinary text
    // unreadable.
    value.lines().map(str::trim).filter(|line| line.len() >= 8).for_each(|line| add(line.to_owned()));
    add(HEXLOWER.encode(value.as_bytes()));
    add(HEXUPPER.encode(value.as_bytes()));
    base64(value, &mut add);
    quoted(value, &mut add);
    let every = value.len() <= EVERY_SPELLING;
    percent(value, every, &mut add);
    json(value, every, &mut add);
    forms
}

fn base64(value: &str, add: &mut impl FnMut(String)) {
    for encoding in [BASE64, BASE64URL] {
        for shift in 0..3_usize {
            let mut padded = vec![0; shift];
            padded.extend_from_slice(value.as_bytes());
            let encoded = encoding.encode(&padded);
            // Base64 characters that also hold bits of neighbouring text cannot be predicted.
            let from = [0, 2, 3].get(shift).copied().unwrap_or(0);
            let to = (padded.len() * 8) / 6;
            if let Some(core) = encoded.get(from..to).filter(|core| core.len() >= 6) {
                add(core.to_owned());
            }
        }
    }
}

fn quoted(value: &str, add: &mut impl FnMut(String)) {
    add(value.replace('\'', r"'\''")); // for a shell
    let conninfo = Quoting::Conninfo.escape(value);
    for text in [value, &conninfo] {
        add(Quoting::Literal.escape(text));
        // As written for a server that reads backslashes literally.
        add(text.replace('\'', "''"));
    }
    add(Quoting::Name.escape(value));
    add(conninfo);
}

/// Percent-encoded with every set of unchanged characters, either form of the blank and either case of digits; long
/// values with the first set only.
fn percent(value: &str, every: bool, add: &mut impl FnMut(String)) {
    for left_alone in LEFT_ALONE {
        for plus in [false, true] {
            for digits in DIGITS {
                let mut text = String::with_capacity(value.len() * 3);
                for c in value.chars() {
                    if c.is_ascii_alphanumeric() || left_alone.contains(c) {
                        text.push(c);
                    } else if plus && c == ' ' {
                        text.push('+');
                    } else {
                        c.encode_utf8(&mut [0; 4])
                            .bytes()
                            .for_each(|byte| text += &digits.write("%", u32::from(byte), 2));
                    }
                }
                add(text);
                if !every {
                    return;
                }
            }
        }
    }
}

/// Escaped with every set of unneeded escapes and either case of digits; long values with the first set only.
fn json(value: &str, every: bool, add: &mut impl FnMut(String)) {
    for escaped in ESCAPED {
        for slash in [false, true] {
            for ascii in [false, true] {
                for digits in DIGITS {
                    let mut text = String::with_capacity(value.len() * 2);
                    for c in value.chars() {
                        match c {
                            '/' if slash => text += "\\/",
                            _ if escaped.contains(c) || (ascii && !c.is_ascii()) => {
                                c.encode_utf16(&mut [0; 2])
                                    .iter()
                                    .for_each(|unit| text += &digits.write("\\u", u32::from(*unit), 4));
                            }
                            '"' => text += "\\\"",
                            '\\' => text += "\\\\",
                            '\n' => text += "\\n",
                            '\r' => text += "\\r",
                            '\t' => text += "\\t",
                            '\u{8}' => text += "\\b",
                            '\u{c}' => text += "\\f",
                            c if c.is_control() && c.is_ascii() => text += &digits.write("\\u", u32::from(c), 4),
                            c => text.push(c),
                        }
                    }
                    add(text);
                    if !every {
                        return;
                    }
                }
            }
        }
    }
}

impl Digits {
    fn write(self, mark: &str, number: u32, width: usize) -> String {
        match self {
            Digits::Lower => format!("{mark}{number:0width$x}"),
            Digits::Upper => format!("{mark}{number:0width$X}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::mask::Masker;
    use super::*;

    const VALUE: &str = "s3cr/t wörd\"'";

    #[track_caller]
    fn masked(value: &str, form: &str) {
        let told = Masker::new([("db", value)]).mask(&format!("a {form} b"));
        assert_eq!(told, "a «secret:db» b", "{form}");
    }

    #[test]
    fn every_form_is_found() {
        let json = serde_json::to_string(VALUE).unwrap();
        masked(VALUE, VALUE);
        masked(VALUE, json.strip_prefix('"').unwrap().strip_suffix('"').unwrap());
        masked(VALUE, &HEXLOWER.encode(VALUE.as_bytes()));
        masked(VALUE, r#"s3cr/t wörd"'\''"#);
        for around in [VALUE.to_owned(), format!("user:{VALUE}"), format!("admin:{VALUE}!"), format!("me:{VALUE}")] {
            let told = Masker::new([("db", VALUE)]).mask(&BASE64.encode(around.as_bytes()));
            assert!(told.contains("«secret:db»"), "{around} gave {told}");
        }
        assert_eq!(Masker::new([("db", VALUE)]).mask("nothing here"), "nothing here");
    }

    #[test]
    fn percent_encoding_is_found_however_it_is_spelt() {
        // The secret's own letters must match in their case.
        for form in ["AbC%2Fd", "AbC%2fd", "AbC/d"] {
            masked("AbC/d", form);
        }
        for form in ["Ab+c-D%2fe", "Ab%20c-D%2Fe", "Ab%20c%2dD%2fe", "Ab+c%2dD%2fe", "Ab+c-D/e", "Ab%20c-D/e"] {
            masked("Ab c-D/e", form);
        }
        for form in ["x*Y~%c3%b6", "x%2aY~%c3%b6", "x*Y%7e%c3%b6", "x%2AY%7E%C3%B6"] {
            masked("x*Y~ö", form);
        }
        masked("a@B:c$D", "a@B:c$D");
        masked("a@B:c$D e", "a@B:c$D%20e");
    }

    #[test]
    fn json_is_found_however_it_is_escaped() {
        for form in ["A/b<C>ö", r"A\/b<C>ö", r"A/b\u003cC\u003eö", r"A\/b\u003CC\u003E\u00F6", r"A/b<C>\u00f6"] {
            masked("A/b<C>ö", form);
        }
        masked("it's+\"X\"", r"it\u0027s\u002B\u0022X\u0022");
        masked("it's+\"X\"", r#"it's+\"X\""#);
        masked("\u{1f600}Abc\u{1}\n", r"\ud83d\ude00Abc\u0001\n");
    }

    #[test]
    fn quoted_for_sql_and_connection_strings_it_is_found() {
        let value = r#"it's \ a "b""#;
        for form in [r#"it''s \ a "b""#, r#"it''s \\ a "b""#, r#"it\'s \\ a "b""#, r#"it\\''s \\\\ a "b""#] {
            masked(value, form);
        }
        masked(value, r#"it's \ a ""b"""#);
    }

    #[test]
    fn short_values_have_no_forms_and_long_ones_fewer() {
        assert!(forms("abc").is_empty());
        let long: String = (0..800).flat_map(|n| [n.to_string(), "/B c~".to_owned()]).collect();
        assert!(forms(&long).len() < 20, "{}", forms(&long).len());
        masked(&long, &long.replace('/', "%2F").replace(' ', "%20").replace('~', "%7E"));
    }
}
