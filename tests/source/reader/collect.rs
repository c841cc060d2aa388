//! What is written in a file: its modules, what they bring into scope, and every name in them.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::parse::{ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, Item, Meta, Pat, Token, UseTree, Visibility};

use super::tests_only::{attributes_of, is_for_tests};
use super::{Declared, Kind, Module, ModulePath, Written};

/// The text of every file, by its name below `src`.
pub(super) type Files = BTreeMap<String, String>;

/// Reads one file as the module `path`, and those that it declares. `folder` is where its modules lie: `core/expr/`.
pub(super) fn file(
    files: &Files,
    modules: &mut BTreeMap<ModulePath, Module>,
    path: ModulePath,
    name: &str,
    folder: &str,
) {
    let source = files.get(name).unwrap_or_else(|| panic!("no {name}"));
    let parsed = syn::parse_file(source).unwrap_or_else(|error| panic!("{name}: {error}"));
    modules.insert(path.clone(), Module { file: name.to_owned(), ..Module::default() });
    let mut reader = Reader {
        files,
        modules,
        path,
        file: name.to_owned(),
        folder: folder.to_owned(),
        of_impl: None,
        depth: 0,
        told: BTreeSet::new(),
    };
    for attribute in &parsed.attrs {
        reader.visit_attribute(attribute);
    }
    for item in &parsed.items {
        reader.visit_item(item);
    }
    reader.files_of_macros(&parsed.items);
}

struct Reader<'a> {
    files: &'a Files,
    modules: &'a mut BTreeMap<ModulePath, Module>,
    path: ModulePath,
    file: String,
    folder: String,
    /// The type whose `impl` is read: `Self` in it.
    of_impl: Option<Vec<String>>,
    /// How many function bodies the reader is in: types declared there are nobody else's.
    depth: usize,
    /// Paths that were already told as patterns, so that they are not told again as expressions.
    told: BTreeSet<(usize, usize)>,
}

impl Reader<'_> {
    fn module(&mut self) -> &mut Module {
        self.modules.entry(self.path.clone()).or_default()
    }

    fn write(&mut self, segments: Vec<String>, kind: Kind, line: usize) {
        if !segments.is_empty() {
            self.module().written.push(Written { segments, kind, line });
        }
    }

    fn keyword(&mut self, word: &str, line: usize) {
        self.write(vec![word.to_owned()], Kind::Keyword, line);
    }

    /// The segments of a path, with `Self` as the type it stands for and a leading `::` as an empty segment.
    fn segments(&self, path: &syn::Path) -> Vec<String> {
        let mut segments: Vec<String> = path.segments.iter().map(|segment| plain(&segment.ident)).collect();
        if path.leading_colon.is_some() {
            segments.insert(0, String::new());
        } else if segments.first().is_some_and(|first| first == "Self")
            && let Some(this) = &self.of_impl
        {
            segments.splice(..1, this.iter().cloned());
        }
        segments
    }

    fn path_as(&mut self, path: &syn::Path, kind: Kind) {
        let segments = self.segments(path);
        self.write(segments, kind, path.span().start().line);
    }

    /// Remembers that the path beginning here is a pattern, and tells it.
    fn pattern(&mut self, path: &syn::Path) {
        let start = path.span().start();
        self.told.insert((start.line, start.column));
        self.path_as(path, Kind::Pattern);
    }

    fn declares(&mut self, visibility: &Visibility, ident: &syn::Ident) {
        let name = plain(ident);
        self.module().items.insert(name.clone());
        if self.depth == 0 && !matches!(visibility, Visibility::Inherited) {
            let file = self.file.clone();
            self.module().declared.push(Declared { name, file, line: ident.span().start().line });
        }
    }

    fn holds(&mut self, ident: &syn::Ident) {
        let name = plain(ident);
        self.module().items.insert(name);
    }

    fn use_tree(&mut self, tree: &UseTree, before: &[String]) {
        let line = tree.span().start().line;
        match tree {
            UseTree::Path(path) => {
                let mut here = before.to_vec();
                here.push(plain(&path.ident));
                self.use_tree(&path.tree, &here);
            }
            UseTree::Name(name) => self.used(before, &plain(&name.ident), &plain(&name.ident), line),
            UseTree::Rename(rename) => self.used(before, &plain(&rename.ident), &plain(&rename.rename), line),
            UseTree::Glob(_) => {
                self.module().globs.push(before.to_vec());
                let mut whole = before.to_vec();
                whole.push("*".to_owned());
                self.write(whole, Kind::Use, line);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.use_tree(tree, before);
                }
            }
        }
    }

    fn used(&mut self, before: &[String], ident: &str, known_as: &str, line: usize) {
        let mut whole = before.to_vec();
        let mut known_as = known_as;
        if ident == "self" && !before.is_empty() {
            // `use a::b::{self}` brings `b`.
            if known_as == "self" {
                known_as = before.last().map_or("", String::as_str);
            }
        } else {
            whole.push(ident.to_owned());
        }
        self.write(whole.clone(), Kind::Use, line);
        if known_as != "_" {
            self.module().aliases.entry(known_as.to_owned()).or_default().push(whole);
        }
    }

    /// Reads the tokens of a macro: as expressions if they are such, else every path among them.
    fn tokens_of(&mut self, mac: &syn::Macro) {
        let name = mac.path.segments.last().map(|segment| plain(&segment.ident)).unwrap_or_default();
        assert!(name != "include", "{}: what `include!` brings is not read: use a module", self.file);
        if name.ends_with("matches") {
            let as_match = |input: ParseStream| -> syn::Result<(Expr, Pat, Vec<Expr>)> {
                let value: Expr = input.parse()?;
                input.parse::<Token![,]>()?;
                let pattern = Pat::parse_multi_with_leading_vert(input)?;
                let mut more = Vec::new();
                if input.peek(Token![if]) {
                    input.parse::<Token![if]>()?;
                    more.push(input.parse::<Expr>()?);
                }
                if input.peek(Token![,]) {
                    input.parse::<Token![,]>()?;
                    more.extend(Punctuated::<Expr, Token![,]>::parse_terminated(input)?);
                }
                Ok((value, pattern, more))
            };
            if let Ok((value, pattern, more)) = as_match.parse2(mac.tokens.clone()) {
                self.visit_expr(&value);
                self.visit_pat(&pattern);
                for expr in &more {
                    self.visit_expr(expr);
                }
                return;
            }
        }
        match Punctuated::<Expr, Token![,]>::parse_terminated.parse2(mac.tokens.clone()) {
            Ok(exprs) => exprs.iter().for_each(|expr| self.visit_expr(expr)),
            Err(_) => self.tokens(mac.tokens.clone(), Kind::Macro),
        }
    }

    /// Every path among tokens, the keywords, and the public types that they declare.
    fn tokens(&mut self, tokens: TokenStream, kind: Kind) {
        let trees: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while let Some(tree) = trees.get(at) {
            match tree {
                TokenTree::Group(group) => self.tokens(group.stream(), kind),
                TokenTree::Ident(ident) => {
                    let line = ident.span().start().line;
                    let before = at.checked_sub(1).and_then(|before| trees.get(before));
                    let mut segments = vec![plain(ident)];
                    while is_colons(&trees, at + 1)
                        && let Some(TokenTree::Ident(next)) = trees.get(at + 3)
                    {
                        segments.push(plain(next));
                        at += 3;
                    }
                    if segments.len() == 1 && is_punct(trees.get(at + 1), '!') {
                        self.keyword(&format!("{}!", plain(ident)), line);
                    }
                    let is_dollar = is_punct(before, '$');
                    match segments.first().map(String::as_str) {
                        Some(word @ ("async" | "await" | "unsafe")) => self.keyword(word, line),
                        // `$name` is whatever the caller says; `$crate` is this package.
                        Some(first) if is_dollar && first != "crate" => {}
                        Some(_) if is_punct(before, '.') => self.write(segments, Kind::Method, line),
                        _ => self.write(segments, kind, line),
                    }
                    self.type_in_tokens(&trees, at);
                }
                TokenTree::Literal(literal) if kind == Kind::Attribute => {
                    let path = syn::parse_str::<syn::LitStr>(&literal.to_string())
                        .and_then(|text| syn::parse_str::<syn::Path>(&text.value()));
                    if let Ok(path) = path {
                        let segments = self.segments(&path);
                        self.write(segments, kind, literal.span().start().line);
                    }
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
            at += 1;
        }
    }

    /// `pub struct Name` among the tokens of a macro declares a type like any other.
    fn type_in_tokens(&mut self, trees: &[TokenTree], at: usize) {
        let word = |at: Option<usize>| match at.and_then(|at| trees.get(at)) {
            Some(TokenTree::Ident(ident)) => plain(ident),
            _ => String::new(),
        };
        if !matches!(word(Some(at)).as_str(), "struct" | "enum" | "trait" | "type" | "union") || self.depth > 0 {
            return;
        }
        let is_public = word(at.checked_sub(1)) == "pub" || word(at.checked_sub(2)) == "pub";
        if let Some(TokenTree::Ident(ident)) = trees.get(at + 1) {
            self.holds(ident);
            if is_public {
                let (name, file) = (plain(ident), self.file.clone());
                self.module().declared.push(Declared { name, file, line: ident.span().start().line });
            }
        }
    }

    fn path_of(&self, child: &str) -> ModulePath {
        self.path.iter().cloned().chain([child.to_owned()]).collect()
    }

    /// Reads the file of a module below.
    fn file_below(&mut self, name: &str) {
        self.module().children.insert(name.to_owned());
        let flat = format!("{}{name}.rs", self.folder);
        let found = if self.files.contains_key(&flat) { flat } else { format!("{}{name}/mod.rs", self.folder) };
        file(self.files, self.modules, self.path_of(name), &found, &format!("{}{name}/", self.folder));
    }

    /// A macro may declare modules. What it makes is not seen here, so every file that lies where such a module would lie,
    /// and that no `mod` names, is taken for one.
    fn files_of_macros(&mut self, items: &[Item]) {
        if !items
            .iter()
            .any(|item| matches!(item, Item::Macro(mac) if mac.ident.is_none() && !is_for_tests(&mac.attrs)))
        {
            return;
        }
        let declared: BTreeSet<String> = items
            .iter()
            .filter_map(|item| if let Item::Mod(item) = item { Some(plain(&item.ident)) } else { None })
            .collect();
        let names: Vec<String> = self
            .files
            .keys()
            .filter_map(|file| file.strip_prefix(&self.folder)?.strip_suffix(".rs"))
            .map(|name| name.strip_suffix("/mod").unwrap_or(name))
            .filter(|name| !name.contains('/') && !["lib", "main", "mod"].contains(name) && !declared.contains(*name))
            .map(str::to_owned)
            .collect();
        for name in &names {
            self.file_below(name);
        }
    }

    fn below(&mut self, item: &syn::ItemMod) {
        let name = plain(&item.ident);
        assert!(
            !item.attrs.iter().any(|a| a.path().is_ident("path")),
            "{}: `#[path]` hides where a file is",
            self.file
        );
        let Some((_, items)) = &item.content else {
            self.file_below(&name);
            return;
        };
        self.module().children.insert(name.clone());
        let path = self.path_of(&name);
        self.modules.insert(path.clone(), Module { file: self.file.clone(), ..Module::default() });
        let mut inside = Reader {
            files: self.files,
            modules: self.modules,
            path,
            file: self.file.clone(),
            folder: format!("{}{name}/", self.folder),
            of_impl: None,
            depth: 0,
            told: BTreeSet::new(),
        };
        for item in items {
            inside.visit_item(item);
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_for_tests(attributes_of(item)) {
            return;
        }
        match item {
            Item::Struct(item) => self.declares(&item.vis, &item.ident),
            Item::Enum(item) => self.declares(&item.vis, &item.ident),
            Item::Union(item) => self.declares(&item.vis, &item.ident),
            Item::Trait(item) => {
                self.declares(&item.vis, &item.ident);
                if item.unsafety.is_some() {
                    self.keyword("unsafe", item.span().start().line);
                }
            }
            Item::TraitAlias(item) => self.declares(&item.vis, &item.ident),
            Item::Type(item) => {
                self.declares(&item.vis, &item.ident);
                // A name for a type of another package leads there.
                if let syn::Type::Path(target) = &*item.ty {
                    let (name, target) = (plain(&item.ident), self.segments(&target.path));
                    self.module().aliases.entry(name).or_default().push(target);
                }
            }
            Item::Const(item) => self.holds(&item.ident),
            Item::Static(item) => self.holds(&item.ident),
            Item::Fn(item) => self.holds(&item.sig.ident),
            Item::Macro(item) => item.ident.iter().for_each(|ident| self.holds(ident)),
            Item::Impl(item) if item.unsafety.is_some() => self.keyword("unsafe", item.span().start().line),
            Item::ForeignMod(item) => self.keyword("unsafe", item.span().start().line),
            _ => {}
        }
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        item.attrs.iter().for_each(|attribute| self.visit_attribute(attribute));
        self.below(item);
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let before = if item.leading_colon.is_some() { vec![String::new()] } else { Vec::new() };
        self.use_tree(&item.tree, &before);
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        let known_as = item.rename.as_ref().map_or(&item.ident, |(_, name)| name);
        self.used(&[String::new()], &plain(&item.ident), &plain(known_as), item.span().start().line);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let outer = self.of_impl.take();
        if let syn::Type::Path(this) = &*item.self_ty {
            self.of_impl = Some(self.segments(&this.path));
        }
        visit::visit_item_impl(self, item);
        self.of_impl = outer;
    }

    fn visit_impl_item(&mut self, item: &'ast syn::ImplItem) {
        let attributes = match item {
            syn::ImplItem::Const(item) => &item.attrs,
            syn::ImplItem::Fn(item) => &item.attrs,
            syn::ImplItem::Type(item) => &item.attrs,
            syn::ImplItem::Macro(item) => &item.attrs,
            _ => return visit::visit_impl_item(self, item),
        };
        if !is_for_tests(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_block(&mut self, block: &'ast syn::Block) {
        self.depth += 1;
        visit::visit_block(self, block);
        self.depth -= 1;
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        if signature.asyncness.is_some() {
            self.keyword("async", signature.span().start().line);
        }
        if signature.unsafety.is_some() {
            self.keyword("unsafe", signature.span().start().line);
        }
        visit::visit_signature(self, signature);
    }

    fn visit_expr(&mut self, expr: &'ast Expr) {
        let line = expr.span().start().line;
        match expr {
            Expr::Async(_) => self.keyword("async", line),
            Expr::Await(_) => self.keyword("await", line),
            Expr::Unsafe(_) => self.keyword("unsafe", line),
            Expr::Closure(closure) if closure.asyncness.is_some() => self.keyword("async", line),
            Expr::MethodCall(call) => {
                self.write(vec![plain(&call.method)], Kind::Method, call.method.span().start().line);
            }
            // `<Type>::function`: the type and what follows.
            Expr::Path(path) => {
                if let Some(this) = &path.qself
                    && this.position == 0
                    && let syn::Type::Path(this) = &*this.ty
                {
                    let mut segments = self.segments(&this.path);
                    segments.extend(path.path.segments.iter().map(|segment| plain(&segment.ident)));
                    self.write(segments, Kind::Path, line);
                }
            }
            _ => {}
        }
        visit::visit_expr(self, expr);
    }

    fn visit_pat(&mut self, pat: &'ast Pat) {
        match pat {
            Pat::TupleStruct(pat) => self.pattern(&pat.path),
            Pat::Struct(pat) => self.pattern(&pat.path),
            Pat::Path(pat) => self.pattern(&pat.path),
            // A variable, or a constant or variant that is in scope: resolving tells.
            Pat::Ident(pat) if pat.subpat.is_none() && pat.by_ref.is_none() => {
                self.write(vec![plain(&pat.ident)], Kind::Pattern, pat.span().start().line);
            }
            _ => {}
        }
        visit::visit_pat(self, pat);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let start = path.span().start();
        if !self.told.contains(&(start.line, start.column)) {
            self.path_as(path, Kind::Path);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        self.path_as(&mac.path, Kind::Path);
        if let Some(name) = mac.path.get_ident() {
            self.keyword(&format!("{}!", plain(name)), name.span().start().line);
        }
        self.tokens_of(mac);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        // Prose, and the names of lints.
        if ["doc", "allow", "expect", "warn", "deny", "forbid"].iter().any(|name| attribute.path().is_ident(name)) {
            return;
        }
        self.path_as(attribute.path(), Kind::Attribute);
        match &attribute.meta {
            Meta::Path(_) => {}
            Meta::List(list) => self.tokens(list.tokens.clone(), Kind::Attribute),
            Meta::NameValue(pair) => self.visit_expr(&pair.value),
        }
    }
}

/// The text of an identifier, without the `r#` of a raw one.
fn plain(ident: &proc_macro2::Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").map(str::to_owned).unwrap_or(text)
}

fn is_punct(tree: Option<&TokenTree>, sign: char) -> bool {
    matches!(tree, Some(TokenTree::Punct(punct)) if punct.as_char() == sign)
}

fn is_colons(trees: &[TokenTree], at: usize) -> bool {
    is_punct(trees.get(at), ':') && is_punct(trees.get(at + 1), ':')
}
