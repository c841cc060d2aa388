//! What a name stands for: through aliases, re-exports and globs to where it is defined.

use super::{Kind, ModulePath, Name, Source, Written};

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    /// To something in this package: the module, and what follows in it.
    Ours(ModulePath, Vec<String>),
    /// Out of this package.
    Foreign(Vec<String>),
}

/// The longest chain of re-exports that is followed; real ones are shorter, and a longer one is a circle.
const DEPTH: usize = 24;

/// First segments that are types of the language and no packages.
const PRIMITIVES: &[&str] = &[
    "bool", "char", "str", "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize",
    "f32", "f64",
];

impl Source {
    /// Everything that a written name may stand for; nothing for a local variable or a name of the prelude.
    pub(super) fn resolved(&self, at: &ModulePath, written: &Written) -> Vec<Name> {
        let name = |path: String, module| Name { line: written.line, kind: written.kind, path, module };
        if matches!(written.kind, Kind::Method | Kind::Keyword) {
            return vec![name(written.segments.join("::"), None)];
        }
        let mut found = if self.brings_itself(at, written) {
            self.step(at, &written.segments, DEPTH, false)
        } else {
            self.lead(at, &written.segments, DEPTH)
        };
        if found.is_empty() && is_of_another_package(written) {
            found.push(Found::Foreign(written.segments.clone()));
        }
        found
            .into_iter()
            .map(|found| match found {
                Found::Ours(module, rest) => {
                    let path: Vec<&str> =
                        ["crate"].into_iter().chain(module.iter().chain(&rest).map(String::as_str)).collect();
                    name(path.join("::"), Some(module))
                }
                // The parts of the standard library go by one name.
                Found::Foreign(path) => {
                    let first = path.first().map_or("", |first| match first.as_str() {
                        "core" | "alloc" => "std",
                        other => other,
                    });
                    let path: Vec<&str> = [first].into_iter().chain(path.iter().skip(1).map(String::as_str)).collect();
                    name(path.join("::"), None)
                }
            })
            .collect()
    }

    /// Whether a `use` brings the very name it begins with: `use schema::schema`.
    fn brings_itself(&self, at: &ModulePath, written: &Written) -> bool {
        let aliases = self.modules.get(at).zip(written.segments.first()).and_then(|(at, first)| at.aliases.get(first));
        written.kind == Kind::Use && aliases.is_some_and(|paths| paths.contains(&written.segments))
    }

    /// Follows a path from a module; nothing if its first segment means nothing there.
    fn lead(&self, at: &ModulePath, segments: &[String], depth: usize) -> Vec<Found> {
        let Some((first, rest)) = segments.split_first() else { return vec![Found::Ours(at.clone(), Vec::new())] };
        match first.as_str() {
            "" => vec![Found::Foreign(rest.to_vec())],
            "crate" => self.walk(&root_of(at), rest, depth),
            "gonogo" if at.first().is_some_and(|first| first == "main") => self.walk(&Vec::new(), rest, depth),
            "self" => self.walk(at, rest, depth),
            "super" => {
                let mut above = at.clone();
                above.pop();
                let more = rest.iter().take_while(|segment| *segment == "super").count();
                above.truncate(above.len().saturating_sub(more));
                self.walk(&above, &rest[more..], depth)
            }
            _ => self.step(at, segments, depth, true),
        }
    }

    /// Follows the rest of a path that stands in a known module. What is unknown there may be made by a macro.
    fn walk(&self, at: &ModulePath, segments: &[String], depth: usize) -> Vec<Found> {
        if segments.is_empty() {
            return vec![Found::Ours(at.clone(), Vec::new())];
        }
        let found = self.step(at, segments, depth, true);
        if found.is_empty() { vec![Found::Ours(at.clone(), segments.to_vec())] } else { found }
    }

    /// What a path means in a module: a module below, an alias, an item, or something that a glob brings.
    ///
    /// In `pub use schema::schema` the first name is not the one that this very line brings: `aliases` is then false.
    fn step(&self, at: &ModulePath, segments: &[String], depth: usize, aliases: bool) -> Vec<Found> {
        let (Some(module), Some((first, rest)), Some(depth)) =
            (self.modules.get(at), segments.split_first(), depth.checked_sub(1))
        else {
            return Vec::new();
        };
        let mut found = Vec::new();
        if module.children.contains(first) {
            let mut below = at.clone();
            below.push(first.clone());
            found.extend(self.walk(&below, rest, depth));
        }
        for path in module.aliases.get(first).into_iter().flatten().filter(|_| aliases) {
            let whole: Vec<String> = path.iter().chain(rest).cloned().collect();
            let through = if path.first() == Some(first) {
                self.step(at, &whole, depth, false)
            } else {
                self.lead(at, &whole, depth)
            };
            // The first segment is a package if it is nothing else, unless it is a name of the prelude (`type A = Vec<B>`).
            if through.is_empty() && is_lower(path.first()) {
                found.push(Found::Foreign(whole));
            }
            found.extend(through);
        }
        if module.items.contains(first) {
            found.push(Found::Ours(at.clone(), segments.to_vec()));
        }
        if found.is_empty() {
            for glob in &module.globs {
                for place in self.lead(at, glob, depth) {
                    match place {
                        Found::Ours(inside, rest) if rest.is_empty() && inside != *at => {
                            found.extend(self.step(&inside, segments, depth, true));
                        }
                        // `use Enum::*`: what it brings is known only if it is one of ours.
                        Found::Ours(..) | Found::Foreign(_) => {}
                    }
                }
            }
        }
        found.dedup();
        found
    }
}

/// The root of the package in which a module stands: the library, or the program.
fn root_of(at: &ModulePath) -> ModulePath {
    at.iter().take(1).filter(|first| *first == "main").cloned().collect()
}

/// Whether a name that means nothing in its module begins with the name of a package.
fn is_of_another_package(written: &Written) -> bool {
    let Some(first) = written.segments.first() else { return false };
    let is_use = written.kind == Kind::Use;
    let is_path = written.segments.len() > 1 && is_lower(Some(first)) && !PRIMITIVES.contains(&first.as_str());
    is_use || is_path
}

fn is_lower(segment: Option<&String>) -> bool {
    segment.and_then(|segment| segment.chars().next()).is_some_and(|first| first.is_lowercase() || first == '_')
}
