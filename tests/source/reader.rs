//! Reads the source of this package as the compiler does: every module that is declared, and every name in it, resolved.
//!
//! All structural tests ask this reader. It parses with `syn`, so that a nested `use`, an alias, a glob, a re-export or a
//! name inside a macro cannot hide anything, and what is compiled for tests only is left out because its attribute says
//! so. Where it cannot know (a name that a glob of another package brings, what a macro makes of its tokens), it reports
//! too much and not too little. What it cannot see at all is which method a value has: `clippy.toml` looks after those.

mod collect;
mod resolve;
#[cfg(test)]
mod tests;
mod tests_only;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

/// The path of a module: `["core", "expr"]`; the root of the library is empty.
pub type ModulePath = Vec<String>;

/// How a name stands in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// In a `use` tree.
    Use,
    /// In an expression or a type, or as the name of a macro.
    Path,
    /// In a pattern (`match`, `if let`, `matches!`, a parameter).
    Pattern,
    /// Among the tokens of a macro that do not parse as expressions; these may be patterns as well.
    Macro,
    /// In an attribute, also as text (`#[serde(with = "…")]`).
    Attribute,
    /// The name of a method that is called.
    Method,
    /// `async`, `await`, `unsafe`, or a macro without a path: `println!`.
    Keyword,
}

/// A name as it is written, before it is resolved.
#[derive(Clone, Debug)]
struct Written {
    segments: Vec<String>,
    kind: Kind,
    line: usize,
}

/// A name with what it stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// The line in the file, from 1.
    pub line: usize,
    pub kind: Kind,
    /// The whole path with `::`: `crate::core::plan::Plan`, `std::fs::read`, or the bare name of a method or keyword.
    /// A glob ends with `*`.
    pub path: String,
    /// The module of this package in which it is defined; `None` for what stands elsewhere.
    pub module: Option<ModulePath>,
}

impl Name {
    /// Whether the path is `prefix` or something inside it.
    pub fn is_within(&self, prefix: &str) -> bool {
        self.path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    }

    /// Whether `word` is a whole segment of the path.
    pub fn has(&self, word: &str) -> bool {
        self.path.split("::").any(|segment| segment == word)
    }
}

/// A type, trait or type alias that other modules can name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Declared {
    pub name: String,
    pub file: String,
    pub line: usize,
}

/// One module: its own names and what it brings into scope.
#[derive(Debug, Default)]
struct Module {
    /// Below `src`: `core/expr/mod.rs`.
    file: String,
    children: BTreeSet<String>,
    items: BTreeSet<String>,
    aliases: BTreeMap<String, Vec<Vec<String>>>,
    globs: Vec<Vec<String>>,
    written: Vec<Written>,
    declared: Vec<Declared>,
}

/// The modules of a package, without those for tests.
#[derive(Debug)]
pub struct Source {
    modules: BTreeMap<ModulePath, Module>,
}

impl Source {
    /// The source of this package, read once.
    pub fn of_this_package() -> &'static Self {
        static SOURCE: OnceLock<Source> = OnceLock::new();
        SOURCE.get_or_init(|| {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
            let mut files = BTreeMap::new();
            files_below(&root, &root, &mut files);
            let source = Self::read(&files);
            source.has_all(&files);
            source
        })
    }

    /// Reads from `lib.rs`, and `main.rs` if there is one, whatever they declare.
    fn read(files: &collect::Files) -> Self {
        let mut modules = BTreeMap::new();
        collect::file(files, &mut modules, Vec::new(), "lib.rs", "");
        if files.contains_key("main.rs") {
            collect::file(files, &mut modules, vec!["main".to_owned()], "main.rs", "");
        }
        Self { modules }
    }

    /// Makes sure that no file below `src` is left out, since a file that no `mod` reaches would not be read.
    fn has_all(&self, files: &collect::Files) {
        let read: BTreeSet<&str> = self.files().collect();
        for file in files.keys() {
            let is_for_tests = file.ends_with("tests.rs") || file.contains("/tests/");
            assert!(is_for_tests || read.contains(file.as_str()), "src/{file} is declared by no `mod` that is found");
        }
    }

    /// Every file that is read, once.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.modules.values().map(|module| module.file.as_str()).collect::<BTreeSet<_>>().into_iter()
    }

    /// The files of a module and of those below it: `core`, `world/sim`, or a file such as `cli/replay.rs`.
    pub fn files_of(&self, folder: &str) -> Vec<&str> {
        let file = format!("{folder}.rs");
        self.files()
            .filter(|name| {
                *name == folder || *name == file || name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
            })
            .collect()
    }

    /// Every name in a file, resolved.
    pub fn names(&self, file: &str) -> Vec<Name> {
        let mut names = Vec::new();
        for (path, module) in self.modules.iter().filter(|(_, module)| module.file == file) {
            for written in &module.written {
                names.extend(self.resolved(path, written));
            }
        }
        names.sort();
        names.dedup();
        names
    }

    /// The file in which a module stands.
    pub fn file_of(&self, module: &ModulePath) -> Option<&str> {
        self.modules.get(module).map(|module| module.file.as_str())
    }

    /// Every type, trait and type alias that is not private to its module.
    pub fn declared(&self) -> impl Iterator<Item = &Declared> {
        self.modules.values().flat_map(|module| &module.declared)
    }

    /// Which file uses what is defined in which other file, below a folder.
    ///
    /// A name counts where it is defined: one that a folder's `mod.rs` only passes on (`pub use`) leads to the file behind.
    pub fn uses_within(&self, folder: &str) -> BTreeMap<&str, BTreeSet<&str>> {
        let files: BTreeSet<&str> = self.files_of(folder).into_iter().collect();
        let mut uses = BTreeMap::new();
        for file in &files {
            let used = self
                .names(file)
                .into_iter()
                // A module that is brought into scope is used by what is then named in it.
                .filter(|name| !self.is_module(&name.path))
                .filter_map(|name| name.module.and_then(|module| self.file_of(&module)))
                .filter(|used| used != file && files.contains(used))
                .collect();
            uses.insert(*file, used);
        }
        uses
    }

    fn is_module(&self, path: &str) -> bool {
        let path: ModulePath = path.split("::").skip(1).map(str::to_owned).collect();
        self.modules.contains_key(&path)
    }
}

fn files_below(root: &Path, folder: &Path, found: &mut collect::Files) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(root, &path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
            found.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
}
