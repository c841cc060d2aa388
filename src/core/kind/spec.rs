//! What every kind of probe and action says about itself, so that no other code needs to match on kinds.

use std::collections::BTreeMap;

use crate::core::bins::Bins;
use crate::core::document::DocumentFields;
use crate::core::hosted::{HostedChanges, WatchedSet};
use crate::core::ids::{ProbeId, TargetId};
use crate::core::moves::Moves;
use crate::core::record::{RecordChanges, RecordType, WatchedRecord};
use crate::core::silence::Silence;
use crate::core::simulate::{Change, Simulated};
use crate::core::syntax::is_word;
use crate::core::target::Target;
use crate::core::time::Span;
use crate::core::value::{Field, FieldType, Shape, Value};

/// Fields that the runbook declares, with their types and where they come from in a rehearsal.
pub type OwnFields<'a> = (&'a BTreeMap<String, FieldType>, &'a BTreeMap<String, Simulated>);

/// A target that a probe or an action uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetUse<'a> {
    /// Its name.
    pub id: &'a TargetId,
    /// The kind of target it must be: `postgres`, `dns`, `http`, `route53` or `cloudwatch`.
    pub kind: &'static str,
    /// The keys below the probe or action that lead to where it is named.
    pub path: Vec<&'a str>,
}

impl<'a> TargetUse<'a> {
    /// The target under one key, such as `target`.
    pub fn new(id: &'a TargetId, kind: &'static str, key: &'a str) -> Self {
        Self { id, kind, path: vec![key] }
    }
}

/// Something wrong with a probe or an action that its types cannot say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// Keys and positions (from 0) below the probe or action that lead to the place; empty for the whole.
    pub path: Vec<String>,
    /// Whether the last key of the path is at fault, and not the value under it.
    pub at_key: bool,
    /// What is wrong, as one sentence without a final stop.
    pub message: String,
    /// What was expected at the place.
    pub label: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Complaint {
    /// A complaint about the value at `path`.
    pub fn value(path: &[&str], message: impl Into<String>, label: impl Into<String>) -> Self {
        let path = path.iter().map(|key| (*key).to_owned()).collect();
        Self { path, at_key: false, message: message.into(), label: label.into(), help: None }
    }

    /// A complaint about the last key of `path` itself.
    pub fn key(path: &[&str], message: impl Into<String>, label: impl Into<String>) -> Self {
        Self { at_key: true, ..Self::value(path, message, label) }
    }

    /// The same with advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// What a kind may look at when it checks itself: the rest of the runbook, as far as it was read.
#[derive(Clone, Copy, Debug)]
pub struct CheckContext<'a> {
    /// The targets by name.
    pub targets: &'a BTreeMap<String, Target>,
}

impl CheckContext<'_> {
    /// The target of that name, if there is one.
    pub fn target(&self, id: &TargetId) -> Option<&Target> {
        self.targets.get(id.as_str())
    }
}

/// What the actions of a plan change in a rehearsal, forward and back.
#[derive(Clone, Debug, Default)]
pub struct RehearsedChanges<'a> {
    /// What the runbook says under `simulate`.
    pub simulated: Vec<&'a Change>,
    /// DNS records that actions change.
    pub records: Vec<RecordChanges<'a>>,
    /// Record sets of hosted zones that actions change.
    pub hosted: Vec<HostedChanges<'a>>,
}

/// Something about DNS that a probe or an action writes out, and that is checked when the runbook is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsMention<'a> {
    /// The keys and positions (from 0) below the probe or action that lead to it.
    pub path: Vec<String>,
    /// What it is.
    pub what: Mention<'a>,
}

/// What is written out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mention<'a> {
    /// A name.
    Name(&'a str),
    /// Values of that type.
    Values(RecordType, &'a [String]),
    /// A type that no action can change.
    Unchangeable,
}

impl<'a> DnsMention<'a> {
    fn at(path: &[&str], what: Mention<'a>) -> Self {
        Self { path: path.iter().map(|key| (*key).to_owned()).collect(), what }
    }

    /// A name at `path`.
    pub fn name(name: &'a str, path: &[&str]) -> Self {
        Self::at(path, Mention::Name(name))
    }

    /// A list of values at `path`.
    pub fn values(of: RecordType, values: &'a [String], path: &[&str]) -> Self {
        Self::at(path, Mention::Values(of, values))
    }

    /// A type at `path` that no action can change.
    pub fn unchangeable(path: &[&str]) -> Self {
        Self::at(path, Mention::Unchangeable)
    }
}

/// One number over time that a pane draws.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Curve {
    /// Its name on the screen.
    pub name: String,
    /// The number's path in a reading, such as `old.last`.
    pub path: String,
    /// What it counts, as on a scale: `ms`.
    pub unit: &'static str,
    /// The path of the words for a failure, empty while all is well: where they are there and the number is not, it failed.
    pub failure: Option<String>,
}

/// What a kind of probe says about one probe of a runbook.
///
/// Methods without a default must be answered by every kind. The others describe what only some kinds have.
pub trait ProbeSpec {
    /// Targets this probe uses.
    fn targets(&self) -> Vec<TargetUse<'_>>;

    /// Every address (`host:port`) that it connects to by itself, besides those of its targets. A lab run is refused
    /// when one of them is not on this machine.
    fn addresses(&self) -> Vec<&str>;

    /// The shape of every good reading. The live and the simulated world must produce exactly this.
    fn shape(&self) -> Shape;

    /// What is wrong with it beyond what its types say. References to targets are checked elsewhere.
    fn check(&self, context: &CheckContext<'_>) -> Vec<Complaint>;

    /// What it may say, but should not without a thought. `every` is the time from one measurement to the next.
    fn warnings(&self, _every: Span) -> Vec<Complaint> {
        Vec::new()
    }

    /// What is to be said of a condition that asks for what is at `path` in a reading, such as `new.p99`, where its targets
    /// are these: a message, and what to do.
    fn path_warning(&self, _path: &str, _targets: &BTreeMap<TargetId, Target>) -> Option<(String, String)> {
        None
    }

    /// The shortest `limit` with which a measurement can end well, and why, where that is more than for other kinds.
    fn shortest_limit(&self) -> Option<(Span, &'static str)> {
        None
    }

    /// In how many rounds of measuring each part of a reading has been measured anew: 1, unless parts take turns.
    fn rounds(&self) -> u64 {
        1
    }

    /// The bins of time that its readings tell of, where they do not tell of the moment of the measurement.
    fn bins(&self) -> Option<Bins> {
        None
    }

    /// How many metrics of CloudWatch are charged for each measurement.
    fn metrics_asked(&self) -> Option<u32> {
        None
    }

    /// Who was asked, for the sentence `no answer from … within 5s`: its targets, or else its addresses; a kind with
    /// neither answers this itself.
    fn asked(&self) -> String {
        let targets: Vec<String> = self.targets().iter().map(|used| used.id.to_string()).collect();
        if targets.is_empty() { self.addresses().join(" and ") } else { targets.join(" and ") }
    }

    /// Fields that the runbook declares.
    fn own_fields(&self) -> Option<OwnFields<'_>> {
        None
    }

    /// The declared field that says when a reading was so.
    fn as_of(&self) -> Option<&str> {
        None
    }

    /// The numbers that its pane draws over time.
    fn curves(&self) -> Vec<Curve> {
        Vec::new()
    }

    /// Fields, besides declared ones, that keep one value in a rehearsal because no action changes them. Conditions
    /// that ask for another value are warned of when the runbook is checked.
    fn fixed(&self, _id: &ProbeId, _changes: &RehearsedChanges<'_>) -> Vec<(&'static str, Value)> {
        Vec::new()
    }

    /// What to write into the runbook so that `field` gets another value in a rehearsal.
    fn advice(&self, id: &ProbeId, field: &str) -> String {
        format!(
            "say what `{field}` is under `simulate` of the probe `{id}`, or `simulate: [{{ set: {{ {id}.{field}: VALUE }} }}]` in the action that changes it"
        )
    }

    /// What to say under `simulate` instead of setting a field, when its fields follow from the simulated world.
    fn instead_of_setting(&self) -> Option<&'static str> {
        None
    }

    /// How often somebody else has answered than before, as a reading tells it, by the field that tells of what they
    /// answered; by the empty text where that is the whole reading. Then every hold on it begins anew, since what was seen
    /// before was seen of somebody else.
    fn moves(&self, _reading: &Value) -> BTreeMap<String, Moves> {
        BTreeMap::new()
    }

    /// Who keeps `field` of a reading from being known, where it is null for want of something from somebody: `192.0.2.53:
    /// timeout`.
    fn kept_unknown_by(&self, _field: &str, _reading: &Value) -> Option<String> {
        None
    }

    /// The DNS record it watches.
    fn record(&self) -> Option<WatchedRecord<'_>> {
        None
    }

    /// The record set of a hosted zone that it watches.
    fn hosted_set(&self) -> Option<WatchedSet<'_>> {
        None
    }

    /// Names and values of DNS that it writes out, besides those of the record it watches.
    fn mentions(&self) -> Vec<DnsMention<'_>> {
        Vec::new()
    }

    /// The replication it watches.
    fn replication(&self) -> Option<WatchedReplication<'_>> {
        None
    }

    /// The `http` targets it compares, by the name of their side.
    fn sides(&self) -> Vec<(&str, &TargetId)> {
        Vec::new()
    }

    /// What it does to the world with every measurement, where it does more than look: `sends POST to shop`.
    fn acts(&self) -> Option<String> {
        None
    }

    /// What it asks web services for, and the baseline it is compared with.
    fn requests(&self) -> Option<AskedRequests<'_>> {
        None
    }

    /// How many of its newest measurements a reading is made of, where that is more than one.
    fn window(&self) -> u32 {
        0
    }
}

/// What a probe asks web services for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedRequests<'a> {
    /// The sides that are asked.
    pub sides: Vec<&'a str>,
    /// The kinds of request, by the names under which they are measured apart.
    pub names: Vec<String>,
    /// What is asked for, for people: a line for each kind of request.
    pub asks: Vec<String>,
    /// Everything that is asked for, in one text of fixed form; without sides and targets.
    pub asked: String,
    /// The file of its baseline, as the runbook names it.
    pub baseline: Option<&'a str>,
    /// How many requests of one kind on one side a judgement is made over.
    pub judge_over: u32,
}

/// A replication that a probe watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchedReplication<'a> {
    /// The `postgres` target that is copied from.
    pub source: &'a TargetId,
    /// The `postgres` target that is copied to.
    pub target: &'a TargetId,
    /// Whether it is logical, table by table.
    pub logical: bool,
}

/// What a kind of action says about one action of a runbook.
///
/// Methods without a default must be answered by every kind. The others describe what only some kinds have.
pub trait ActionSpec {
    /// Targets this action uses.
    fn targets(&self) -> Vec<TargetUse<'_>>;

    /// Every address (`host:port`) that it connects to by itself, besides those of its targets. A lab run is refused
    /// when one of them is not on this machine.
    fn addresses(&self) -> Vec<&str>;

    /// The longest it may take, as it states itself.
    fn limit(&self) -> Span;

    /// Exactly what it will do and where, line by line. Secrets appear as `«secret:name»`.
    fn preview(&self, targets: &BTreeMap<TargetId, Target>) -> Vec<String>;

    /// What decides whether it has succeeded, and how long it may take: `10m`, `good with exit status 0`.
    fn terms(&self) -> Vec<String>;

    /// Whether its result alone shows that it did what was wanted. If not, `check` warns of a step without `verify`.
    fn tells_by_itself(&self) -> bool;

    /// What is wrong with it beyond what its types say. References to targets are checked elsewhere.
    fn check(&self, context: &CheckContext<'_>) -> Vec<Complaint>;

    /// What the runbook says it changes in a rehearsal.
    fn simulate(&self) -> &[Change] {
        &[]
    }

    /// The DNS records it changes, as far as their values are written in it.
    fn records(&self) -> Option<RecordChanges<'_>> {
        None
    }

    /// The record sets of a hosted zone that it changes.
    fn hosted(&self) -> Option<HostedChanges<'_>> {
        None
    }

    /// Names and values of DNS that it writes out.
    fn mentions(&self) -> Vec<DnsMention<'_>> {
        Vec::new()
    }

    /// What it does with alarms.
    fn silence(&self) -> Option<Silence<'_>> {
        None
    }

    /// What stays as it has left it until another action ends it, when that must not be forgotten on the way back:
    /// `clients are held back until RESUME`.
    fn leaves_in_force(&self) -> Option<&'static str> {
        None
    }

    /// Whether it leaves a trace outside by which a later cockpit finds it and learns how it ended.
    fn leaves_a_trace(&self) -> bool {
        false
    }
}

/// What the documentation of a kind of probe says beyond its types.
pub trait ProbeDoc {
    /// A complete small runbook that uses the probe. It checks without errors and rehearses.
    const EXAMPLE: &'static str;
    /// The rights it needs: database roles, IAM actions, permissions of the system. One or two plain sentences.
    const RIGHTS: &'static str;
    /// The fields of its readings. Names that a runbook chooses are written in capitals, such as `SIDE` and `FIELD`.
    fn fields() -> Vec<Field>;
}

/// What the documentation of a kind of action says beyond its types.
pub trait ActionDoc {
    /// A complete small runbook that uses the action. It checks without errors and rehearses.
    const EXAMPLE: &'static str;
    /// The rights it needs: database roles, IAM actions, permissions of the system. One or two plain sentences.
    const RIGHTS: &'static str;
}

/// The fields of a kind whose runbook declares them, for its documentation.
pub fn declared_fields() -> Vec<Field> {
    vec![
        Field::new("FIELD", Shape::Any, "each field that the runbook declares under `fields`, of its declared type")
            .null("the answer has it as null"),
    ]
}

/// The shape that declared fields make.
pub fn declared_shape(fields: &BTreeMap<String, FieldType>) -> Shape {
    Shape::Record(fields.iter().map(|(name, &of)| Field::new(name, of.into(), "declared in the runbook")).collect())
}

/// The same of a JSON document, and complains about places that are none.
pub fn check_document(fields: &DocumentFields, as_of: Option<&str>) -> Vec<Complaint> {
    let mut found = check_declared(fields.types(), as_of);
    let wrong = |at: &str| !at.starts_with('/') || at.replace("~0", "").replace("~1", "").contains('~');
    for (name, _) in fields.places().iter().filter(|(_, at)| wrong(at)) {
        let label = "expected a path such as `/data/in/0`, with `~1` for a `/` and `~0` for a `~` in a key";
        found.push(Complaint::value(&["fields", name, "at"], "this is no place in a JSON document", label));
    }
    found
}

/// Complains about declared fields that no expression could name, and about an `as_of` that is none of them or cannot
/// hold a time.
pub fn check_declared(fields: &BTreeMap<String, FieldType>, as_of: Option<&str>) -> Vec<Complaint> {
    if fields.is_empty() {
        let message = "`fields` is empty, so no expression can use the probe";
        return vec![Complaint::key(&["fields"], message, "expected at least one field")];
    }
    let wrong = fields.keys().filter(|name| !is_word(name));
    let complaint = |name: &String| {
        let label = "expected letters, digits and `_`, and no reserved word";
        let complaint = Complaint::key(&["fields", name], "this cannot name a field", label);
        complaint.help("name a column with `as`, and a JSON field as you like with its place: `value: { type: int, at: /data/in }`")
    };
    let mut found: Vec<Complaint> = wrong.map(complaint).collect();
    match as_of.map(|name| (name, fields.get(name))) {
        Some((name, None)) => {
            let complaint =
                Complaint::value(&["as_of"], format!("`fields` has no `{name}`"), "expected a declared field");
            found.push(
                complaint.help("add it to `fields`: `string` for RFC 3339, `int` or `float` for seconds since 1970"),
            );
        }
        Some((name, Some(FieldType::Bool | FieldType::Any))) => {
            let message = format!("the field `{name}` is declared as no time");
            let complaint = Complaint::value(&["as_of"], message, "expected a `string`, `int` or `float` field");
            found.push(complaint);
        }
        _ => {}
    }
    found
}
