//! Runbooks made to keep their reader busy. Each is refused.

use std::fmt::Write as _;

/// Name and text of each.
pub fn all() -> Vec<(&'static str, String)> {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let alias = format!("*a{}", level - 1);
        writeln!(bomb, "a{level}: &a{level} [{}]", [alias.as_str(); 9].join(", ")).unwrap();
    }
    let deep = 100_000;
    vec![
        ("bomb", bomb),
        ("flow depth", format!("title: {}{}", "[".repeat(deep), "]".repeat(deep))),
        ("map depth", format!("title: {}", "{a: ".repeat(deep))),
        ("block depth", (0..1_400).fold(String::new(), |text, at| text + &" ".repeat(at) + "a:\n")),
        ("sequence depth", format!("title:\n{}x", "- ".repeat(deep))),
        ("many values", format!("title: [{}]", "1,".repeat(1_500_000))),
        ("many keys", (0..200_000).fold(String::new(), |text, at| text + &format!("k{at}: 1\n"))),
        ("merge bomb", format!("a: &a {{x: 1}}\nb:\n  <<: [{}]\n", "*a,".repeat(100_000))),
        ("same key", "k: 1\n".repeat(100_000)),
        (
            "long expression",
            format!(
                "title: T\nprobes: {{ p: {{ kind: tcp, address: 'a:1' }} }}\nphases: [{{ title: P, steps: [{{ id: a, title: A, gates: ['{}p.open'], action: {{ manual: [x] }} }}] }}]",
                "!".repeat(1_000_000)
            ),
        ),
        ("template bomb", format!("title: \"{}\"\nphases: []", "{{ ".repeat(100_000))),
        (
            "nested template",
            format!("title: \"{{{{ {}1{} }}}}\"\nphases: []", "(".repeat(100_000), ")".repeat(100_000)),
        ),
    ]
}
