//! Only the list of kinds tells kinds of probe and action apart.

use crate::reader::{Kind, Source};

/// The enums that the list makes.
const KINDS: &[&str] = &["crate::core::probe::ProbeKind", "crate::core::action::Action"];

/// Actions that never leave the program: they are the core's own and not kinds of the list.
const OWN: &[&str] = &["Manual", "Wait", "Soak"];

/// Every pattern that names a kind, with its place. What the list's own dispatch writes is a macro's variable
/// (`ProbeKind::$probe`) and no name, so no file needs to be left out.
fn matches(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for file in source.files() {
        for name in source.names(file) {
            let variant = KINDS.iter().find_map(|kinds| name.path.strip_prefix(kinds)?.strip_prefix("::"));
            let Some(variant) = variant.and_then(|rest| rest.split("::").next()) else { continue };
            let is_variant = variant.starts_with(char::is_uppercase) && variant.contains(char::is_lowercase);
            let tells_apart = matches!(name.kind, Kind::Pattern | Kind::Macro | Kind::Use) || variant == "*";
            if tells_apart && (is_variant || variant == "*") && !OWN.contains(&variant) {
                found.push(format!("{file}:{}: {}", name.line, name.path));
            }
        }
    }
    found
}

#[test]
fn nothing_but_the_list_matches_on_kinds() {
    let found = matches(Source::of_this_package());
    let advice = "ask the kind instead: a method of ProbeSpec or ActionSpec, or of a layer's trait";
    assert!(found.is_empty(), "{advice}:\n{}", found.join("\n"));
}

#[test]
fn a_match_on_a_kind_is_found_in_every_form() {
    let source = Source::of(&[
        ("lib.rs", "mod core; mod ui;"),
        ("core.rs", "pub mod probe; pub mod action;"),
        ("core/probe.rs", "pub enum ProbeKind { Tcp(u8), Dns(u8) } pub struct Probe { pub kind: ProbeKind }"),
        ("core/action.rs", "pub enum Action { Manual(u8), Sql(u8) }"),
        (
            "ui.rs",
            "use crate::core::probe::ProbeKind;
             use crate::core::{action::Action as Deed, probe};
             fn a(k: &ProbeKind) -> bool { match k { ProbeKind::Tcp(_) => true, _ => false } }
             fn b(k: &ProbeKind) { if let probe::ProbeKind::Dns(_) = k {} }
             fn c(k: &Deed) -> bool { matches!(k, Deed::Sql(_)) }
             fn d(k: &Deed) -> bool { matches!(k, Deed::Manual(_)) }
             fn e() -> ProbeKind { ProbeKind::Tcp(1) }
             fn f() { use ProbeKind::*; }",
        ),
    ]);
    let found = matches(&source).join("\n");
    for line in ["ui.rs:3: ", "ui.rs:4: ", "ui.rs:5: ", "ui.rs:8: "] {
        assert_eq!(found.matches(line).count(), 1, "{line} in {found}");
    }
    assert_eq!(found.lines().count(), 4, "{found}");
}
