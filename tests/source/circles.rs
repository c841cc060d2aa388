//! The modules of the core use each other in one direction only.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::algo::tarjan_scc;
use petgraph::graph::DiGraph;

use crate::reader::Source;

type Uses<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// The groups of files that reach each other, each with the files in order of name.
fn circles<'a>(uses: &Uses<'a>) -> Vec<BTreeSet<&'a str>> {
    let mut graph = DiGraph::<&str, ()>::new();
    let nodes: BTreeMap<&str, _> = uses.keys().map(|file| (*file, graph.add_node(file))).collect();
    for (file, used) in uses {
        for used in used {
            graph.add_edge(nodes[file], nodes[used], ());
        }
    }
    tarjan_scc(&graph)
        .into_iter()
        .filter(|group| group.len() > 1)
        .map(|group| group.into_iter().map(|node| graph[node]).collect())
        .collect()
}

/// The edges within a group, one a line, with the names that make them.
fn edges(source: &Source, group: &BTreeSet<&str>, uses: &Uses) -> String {
    let mut lines = Vec::new();
    for file in group {
        for used in uses[file].intersection(group) {
            let mut names: Vec<String> = source
                .names(file)
                .into_iter()
                .filter(|name| name.module.as_ref().and_then(|module| source.file_of(module)) == Some(*used))
                .map(|name| format!("{}:{}", name.path.rsplit("::").next().unwrap_or_default(), name.line))
                .collect();
            names.dedup();
            names.truncate(4);
            lines.push(format!("  {file} -> {used}  ({})", names.join(", ")));
        }
    }
    lines.join("\n")
}

#[test]
fn the_core_has_no_circles() {
    let source = Source::of_this_package();
    let uses = source.uses_within("core");
    let found: Vec<String> = circles(&uses).iter().map(|group| edges(source, group, &uses)).collect();
    assert!(found.is_empty(), "these files use each other in a circle:\n{}", found.join("\n\n"));
}

#[test]
fn a_circle_is_found_through_a_re_export() {
    let source = Source::of(&[
        ("lib.rs", "mod core;"),
        ("core.rs", "mod a; mod b; mod c; pub use a::A;"),
        ("core/a.rs", "use super::b::B; pub struct A(B);"),
        ("core/b.rs", "pub struct B; fn f() -> super::A {}"),
        ("core/c.rs", "use super::{A, b::B};"),
    ]);
    let found = circles(&source.uses_within("core"));
    assert_eq!(found, [BTreeSet::from(["core/a.rs", "core/b.rs"])]);
}

/// Prints the graph: `cargo test --test source -- --nocapture core_module_graph`.
#[test]
fn core_module_graph() {
    let uses = Source::of_this_package().uses_within("core");
    for (file, used) in &uses {
        println!("{file}: {}", used.iter().copied().collect::<Vec<_>>().join(" "));
    }
    assert!(uses.values().any(|used| !used.is_empty()), "a core whose files use nothing of each other is not read");
}
