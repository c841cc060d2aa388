//! Whom a zone is delegated to, compared with the servers that the runbook lists.

use std::collections::BTreeSet;

use crate::core::value::{Field, Shape, Value};

/// The fields that are null for ever when the target has no `lookup`.
pub const OF_DELEGATION: [&str; 2] = ["authoritative_missing", "delegation"];

/// What a look at the delegation of a zone found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delegation {
    /// Names of the servers that the zone is delegated to, as each server of the parent zone that answered gives them, by its
    /// address.
    pub parents: Vec<(String, BTreeSet<String>)>,
    /// Names of the zone's servers as each authoritative server of the runbook gives them; `None` when it did not say.
    pub child: Vec<(String, Option<BTreeSet<String>>)>,
    /// Every address of all these servers.
    pub servers: Vec<DelegatedServer>,
    /// What could not be found out, and why.
    pub note: String,
}

/// A server that the zone is delegated to, at one of its addresses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DelegatedServer {
    /// Its name.
    pub name: String,
    /// Its address; empty when none is known.
    pub address: String,
    /// Whether it serves the zone.
    pub state: DelegatedState,
    /// Whether the runbook lists this address.
    pub is_listed: bool,
}

/// Whether a server that a zone is delegated to serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DelegatedState {
    /// It is authoritative for the zone.
    Serves,
    /// It answers, but is not authoritative for the zone.
    Lame,
    /// It does not answer.
    Silent,
    /// It was not asked, for want of something on this machine.
    Unasked,
    /// Its name has no address.
    Nowhere,
    /// Its addresses could not be looked up.
    Unknown,
}

impl DelegatedState {
    /// The word that readings use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Serves => "serves",
            Self::Lame => "lame",
            Self::Silent => "silent",
            Self::Unasked => "not asked",
            Self::Nowhere => "no address",
            Self::Unknown => "unknown",
        }
    }
}

impl DelegatedServer {
    fn shown(&self) -> String {
        if self.address.is_empty() { self.name.clone() } else { format!("{} {}", self.name, self.address) }
    }
}

impl Delegation {
    /// A delegation in which parent, child and runbook agree: what a rehearsal sees.
    pub fn of_listed<'a>(servers: impl IntoIterator<Item = &'a String>) -> Self {
        let addresses: Vec<&String> = servers.into_iter().collect();
        let names: BTreeSet<String> = addresses.iter().map(|address| (*address).clone()).collect();
        let server = |address: &&String| DelegatedServer {
            name: (*address).clone(),
            address: (*address).clone(),
            state: DelegatedState::Serves,
            is_listed: true,
        };
        Self {
            parents: vec![("parent".to_owned(), names.clone())],
            child: addresses.iter().map(|address| ((*address).clone(), Some(names.clone()))).collect(),
            servers: addresses.iter().map(server).collect(),
            note: String::new(),
        }
    }

    /// Whether the parent and every authoritative server name the same servers: no as soon as two of them differ, unknown
    /// while one does not say.
    fn agree(&self) -> Option<bool> {
        let mut said = self.said();
        let first = said.next();
        if said.any(|other| Some(other) != first) {
            return Some(false);
        }
        let all = !self.parents.is_empty() && self.child.iter().all(|(_, names)| names.is_some());
        (all && !self.child.is_empty()).then_some(true)
    }

    fn said(&self) -> impl Iterator<Item = &BTreeSet<String>> {
        let parents = self.parents.iter().map(|(_, names)| names);
        parents.chain(self.child.iter().filter_map(|(_, names)| names.as_ref()))
    }

    /// Whether every server is known with its addresses.
    fn is_known(&self) -> bool {
        !self.parents.is_empty() && self.servers.iter().all(|server| server.state != DelegatedState::Unknown)
    }

    /// What was found, in a list; unknown when nothing was found and it is not sure that there is nothing.
    fn found(found: Vec<String>, is_sure: bool) -> Value {
        if found.is_empty() && !is_sure {
            return Value::Null;
        }
        Value::List(found.into_iter().map(Value::Text).collect())
    }

    fn servers(&self, wanted: impl Fn(&DelegatedServer) -> bool) -> Vec<String> {
        self.servers.iter().filter(|server| wanted(server)).map(DelegatedServer::shown).collect()
    }

    /// The addresses that the runbook's list lacks.
    pub(super) fn missing(&self) -> Value {
        let is_missing = |server: &DelegatedServer| !server.address.is_empty() && !server.is_listed;
        Self::found(self.servers(is_missing), self.is_known())
    }

    /// The record of the reading. `age` is how long ago it was found out, in seconds.
    pub(super) fn reading(&self, age: u64) -> Value {
        let words = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(" ");
        let child: BTreeSet<String> = self.child.iter().filter_map(|(_, names)| names.clone()).flatten().collect();
        let anyone = self.child.iter().any(|(_, names)| names.is_some());
        let parent: BTreeSet<String> = self.parents.iter().flat_map(|(_, names)| names.clone()).collect();
        let differs = |names: &BTreeSet<String>| self.said().next().is_some_and(|first| first != names);
        let parents = self.parents.iter().filter(|(_, names)| differs(names));
        let diverging = self.child.iter().filter(|(_, names)| names.as_ref().is_some_and(differs));
        let lame = |server: &DelegatedServer| matches!(server.state, DelegatedState::Lame | DelegatedState::Nowhere);
        let open = |server: &DelegatedServer| matches!(server.state, DelegatedState::Silent | DelegatedState::Unknown);
        let sure = !self.parents.is_empty() && !self.servers.iter().any(open);
        let servers = self.servers.iter().map(|server| {
            Value::map([
                ("name", server.name.as_str().into()),
                ("address", server.address.as_str().into()),
                ("state", server.state.as_str().into()),
                ("listed", server.is_listed.into()),
            ])
        });
        Value::map([
            ("parent", (!self.parents.is_empty()).then(|| words(&parent)).into()),
            (
                "diverging_parents",
                Self::found(parents.map(|(server, _)| server.clone()).collect(), !self.parents.is_empty()),
            ),
            ("child", anyone.then(|| words(&child)).into()),
            ("agree", self.agree().into()),
            ("diverging", Self::found(diverging.map(|(server, _)| server.clone()).collect(), self.agree().is_some())),
            ("lame", Self::found(self.servers(lame), sure)),
            ("servers", Value::List(servers.collect())),
            ("age", age.into()),
            ("note", self.note.as_str().into()),
        ])
    }

    /// The record while nothing is known.
    pub(super) fn unknown() -> Value {
        let null = |field: Field| (field.name, Value::Null);
        Value::map(Self::fields().into_iter().map(null))
    }

    /// The fields of the record.
    pub(super) fn fields() -> Vec<Field> {
        let text = || Shape::List(Box::new(Shape::Text));
        let none = "it was not looked up within the last three minutes, or the target has no `lookup`";
        let servers = vec![
            Field::new("name", Shape::Text, "name of the server"),
            Field::new("address", Shape::Text, "one of its addresses; empty when it has none"),
            Field::new(
                "state",
                Shape::Text,
                "`serves` the zone, `lame` (answers, but not with authority for the zone), `silent`, `not asked` (for want of something on this machine), `no address`, or \
                 `unknown` when its addresses could not be looked up",
            ),
            Field::new("listed", Shape::Bool, "whether the runbook lists this address"),
        ];
        vec![
            Field::new("parent", Shape::Text, "names of the servers that the parent zone delegates to, all that one of its servers gives")
                .null("no server of the parent zone says it"),
            Field::new(
                "diverging_parents",
                text(),
                "servers of the parent zone that do not name the same servers as the first of them; four are asked",
            )
            .null("none of them says it"),
            Field::new("child", Shape::Text, "names of the servers that the authoritative servers themselves give")
                .null("none of them says it"),
            Field::new(
                "agree",
                Shape::Bool,
                "whether all servers of the parent zone that answer and all authoritative servers name the same servers",
            )
            .null("one of them does not say, and the others do not differ"),
            Field::new("diverging", text(), "authoritative servers that name other servers than the parent zone does")
                .null("none was found, and not all of them say"),
            Field::new(
                "lame",
                text(),
                "servers that the zone is delegated to and that do not serve it, each as `name address`",
            )
            .null("none was found, and one of them is silent or unknown"),
            Field::new("servers", Shape::List(Box::new(Shape::Record(servers))), "every address of every such server")
                .null(none),
            Field::new("age", Shape::Int, "how long ago all this was looked up").unit("seconds").null(none),
            Field::new("note", Shape::Text, "what could not be found out, and why").null(none),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn server(name: &str, address: &str, state: DelegatedState, is_listed: bool) -> DelegatedServer {
        DelegatedServer { name: name.to_owned(), address: address.to_owned(), state, is_listed }
    }

    fn listed(words: &[&str]) -> Value {
        Value::List(words.iter().map(|word| (*word).into()).collect())
    }

    #[test]
    fn what_differs_is_told_even_when_the_rest_is_unknown() {
        let known = Delegation {
            parents: Vec::new(),
            child: vec![
                ("a".to_owned(), Some(names(&["ns1"]))),
                ("b".to_owned(), Some(names(&["ns2"]))),
                ("c".to_owned(), None),
            ],
            servers: vec![
                server("ns1", "192.0.2.1", DelegatedState::Serves, true),
                server("ns2", "192.0.2.2", DelegatedState::Lame, false),
            ],
            note: String::new(),
        };
        let reading = known.reading(0);
        assert_eq!(reading.at("agree"), Some(&Value::Bool(false)));
        assert_eq!(reading.at("diverging"), Some(&listed(&["b"])));
        assert_eq!(reading.at("lame"), Some(&listed(&["ns2 192.0.2.2"])));
        assert_eq!(known.missing(), listed(&["ns2 192.0.2.2"]));
        assert_eq!(reading.at("parent"), Some(&Value::Null));
    }

    #[test]
    fn parents_that_differ_are_told() {
        let mut known = Delegation::of_listed(&["ns1".to_owned()]);
        assert_eq!(known.reading(0).at("diverging_parents"), Some(&listed(&[])));
        known.parents.push(("192.0.2.9".to_owned(), names(&["ns1", "ns2"])));
        let reading = known.reading(0);
        assert_eq!(reading.at("diverging_parents"), Some(&listed(&["192.0.2.9"])));
        assert_eq!(reading.at("parent"), Some(&Value::Text("ns1 ns2".to_owned())));
        assert_eq!(reading.at("agree"), Some(&Value::Bool(false)));
        known.parents.clear();
        assert_eq!(known.reading(0).at("diverging_parents"), Some(&Value::Null));
    }

    #[test]
    fn nothing_is_missing_only_when_everything_is_known() {
        let mut known = Delegation::of_listed(&["192.0.2.1".to_owned()]);
        assert_eq!(known.missing(), listed(&[]));
        assert_eq!(known.reading(0).at("agree"), Some(&Value::Bool(true)));
        assert_eq!(known.reading(0).at("lame"), Some(&listed(&[])));
        known.servers.push(server("ns2", "", DelegatedState::Unknown, false));
        assert_eq!(known.missing(), Value::Null);
        known.servers.pop();
        known.servers.push(server("ns2", "192.0.2.1", DelegatedState::Silent, true));
        assert_eq!(known.missing(), listed(&[]));
        assert_eq!(known.reading(0).at("lame"), Some(&Value::Null));
        known.child.push(("b".to_owned(), None));
        assert_eq!(known.reading(0).at("agree"), Some(&Value::Null));
        known.parents.clear();
        assert_eq!(known.missing(), Value::Null);
    }
}
