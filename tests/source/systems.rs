//! Only `src/system` asks which operating system the program runs on.

use std::str::FromStr as _;

use proc_macro2::{TokenStream, TokenTree};

use crate::reader::Source;

/// The names with which a `cfg` asks for the system.
const ASKS: &[&str] = &["target_os", "target_family", "target_vendor", "target_env", "unix", "windows"];

/// Puts the line of each question for the system into `found`.
fn asks(tokens: TokenStream, in_cfg: bool, found: &mut Vec<usize>) {
    let mut before = Vec::new();
    for token in tokens {
        match &token {
            TokenTree::Group(group) => {
                let is_cfg = before.ends_with(&["cfg".to_owned()])
                    || before.ends_with(&["cfg".to_owned(), "!".to_owned()])
                    || before.ends_with(&["cfg_attr".to_owned()]);
                asks(group.stream(), in_cfg || is_cfg, found);
            }
            TokenTree::Ident(ident) => {
                let name = ident.to_string();
                let is_constant =
                    name == "consts" && before.ends_with(&["env".to_owned(), ":".to_owned(), ":".to_owned()]);
                if is_constant || in_cfg && ASKS.contains(&name.as_str()) {
                    found.push(ident.span().start().line);
                }
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
        before.push(token.to_string());
    }
}

fn asked(text: &str) -> Vec<usize> {
    let mut found = Vec::new();
    asks(TokenStream::from_str(text).unwrap(), false, &mut found);
    found
}

#[test]
fn nothing_else_asks_for_the_operating_system() {
    let files = Source::of_this_package().files();
    let mut found = Vec::new();
    let mut seen = 0;
    for file in files {
        let text = std::fs::read_to_string(format!("{}/src/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let asked = asked(&text);
        if file.starts_with("system/") {
            seen += asked.len();
        } else {
            found.extend(asked.into_iter().map(|line| format!("src/{file}:{line}")));
        }
    }
    assert!(seen > 0, "src/system has moved");
    assert!(found.is_empty(), "what differs between systems stands in src/system:\n{}", found.join("\n"));
}

#[test]
fn a_question_for_the_system_is_found_in_every_form() {
    for question in [
        "#[cfg(target_os = \"linux\")] fn f() {}",
        "#[cfg_attr(not(unix), allow(dead_code))] fn f() {}",
        "fn f() -> bool { cfg!(any(target_vendor = \"apple\", windows)) }",
        "fn f() -> &'static str { std::env::consts::OS }",
        "macro_rules! m { () => { #[cfg(target_os = \"macos\")] fn f() {} } }",
    ] {
        assert!(!asked(question).is_empty(), "{question}");
    }
    for plain in [
        "use std::os::unix::fs::OpenOptionsExt;",
        "use tokio::signal::unix::Signal;",
        "// cfg(target_os)",
        "fn f(unix: u8, windows: u8) { #[cfg(test)] g(unix) }",
    ] {
        assert_eq!(asked(plain), Vec::<usize>::new(), "{plain}");
    }
}
