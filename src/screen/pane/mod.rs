//! The live panes: one per probe, with an age beside every number.
//!
//! Each kind decides what a pane shows of its readings. Most kinds show their fields; one that the list of kinds marks
//! with `pane` has a file here that draws it in its own way.

use super::{Pane, Role, Text, ViewContext, chart};
use crate::core::board::Freshness;
use crate::core::ids::ProbeId;
use crate::core::kind::kinds;
use crate::core::probe::{Probe, ProbeKind};
use crate::core::value::Value;
use crate::text::clean;
use crate::words;

/// How a kind of probe shows a reading.
trait Picture {
    /// The lines of the pane, the most important first.
    fn lines(&self, value: &Value) -> Vec<Text>;

    /// The lines of the zoomed pane, where they are others.
    fn zoomed(&self, _value: &Value) -> Vec<Text> {
        Vec::new()
    }

    /// The line for panes of one line: the first of `lines`, unless the kind chooses another.
    fn one_line(&self, _value: &Value, lines: &[Text]) -> Text {
        lines.first().cloned().unwrap_or_default()
    }
}

macro_rules! picture {
    ($of:ident) => {
        &Fields
    };
    ($of:ident $pane:ident) => {
        $of
    };
}

macro_rules! place {
    ($word:literal) => {
        None
    };
    ($word:literal $pane:ident) => {
        ProbeKind::WORDS.iter().position(|word| *word == $word)
    };
}

macro_rules! dispatch {
    ($($module:ident {
        $(probe $probe:ident($probe_type:ident) $probe_word:literal $(pane $pane:ident)?)?
        $(action $action:ident($action_type:ident) $action_word:literal)?
    })*) => {
        $($($(mod $pane;)?)?)*

        /// How a probe's readings are shown.
        fn picture_of(kind: &ProbeKind) -> &dyn Picture {
            match kind {
                $($(ProbeKind::$probe(_of) => picture!(_of $($pane)?),)?)*
            }
        }

        /// The place of a kind with a picture of its own among the panes: its place in the list of kinds.
        fn place_of(kind: &ProbeKind) -> Option<usize> {
            match kind {
                $($(ProbeKind::$probe(_) => place!($probe_word $($pane)?),)?)*
            }
        }
    };
}
kinds!(dispatch);

/// One pane per probe. The first of each kind with a picture of its own comes first, in the order of the list of kinds,
/// so that a second database does not push DNS off the screen; then the rest.
pub(super) fn panes(context: &ViewContext) -> Vec<Pane> {
    let mut probes: Vec<(&ProbeId, &Probe)> = context.plan.probes.iter().collect();
    // Of two replications, the one that streams comes first.
    probes.sort_by_cached_key(|(id, _)| stands_still(context, id));
    let mut seen = std::collections::BTreeSet::new();
    probes.sort_by_cached_key(|(_, probe)| {
        let place = place_of(&probe.kind);
        let first = place.is_some_and(|place| seen.insert(place));
        (!first, place.unwrap_or(usize::MAX))
    });
    probes.into_iter().map(|(id, probe)| pane(context, id, probe)).collect()
}

/// Whether replication is stopped on purpose: before it begins, or after it was ended.
fn stands_still(context: &ViewContext, id: &ProbeId) -> bool {
    let good =
        context.board.latest(id).filter(|latest| latest.failure.is_none()).and_then(|latest| latest.good.as_ref());
    good.is_some_and(|(_, value)| matches!(value.at("state").and_then(Value::text), Some("absent" | "disabled")))
}

fn pane(context: &ViewContext, id: &ProbeId, probe: &Probe) -> Pane {
    let heading = probe.title.as_deref().map_or_else(|| id.to_string(), |title| clean(title).into_owned());
    let latest = context.board.latest(id);
    let fresh = context.board.freshness(context.plan, context.now, id);
    let (mut lines, mut zoomed) = (Vec::new(), Vec::new());
    let mut summary = Text::default();
    let status = match latest {
        None => Text::new(Role::Unknown, "no reading yet"),
        Some(latest) => {
            if let Some((since, failure)) = &latest.failure {
                lines.push(Text::new(Role::NoGo, clean(&failure.what)));
                summary = lines.first().cloned().unwrap_or_default();
                let status = Text::new(Role::Unknown, format!("FAILING for {}", words::age(context.now.since(*since))));
                // The numbers below are older than the failure, so they show an age of their own.
                match latest.good.as_ref().filter(|_| fresh != Freshness::Gone) {
                    Some((at, _)) => {
                        status.and(Role::Dim, format!(", read {} ago", words::age(context.now.since(*at))))
                    }
                    None => status,
                }
            } else {
                let age = latest.good.as_ref().map(|(at, _)| words::age(context.now.since(*at))).unwrap_or_default();
                match fresh {
                    Freshness::Fresh => Text::new(Role::Dim, age),
                    Freshness::Stale => Text::new(Role::Unknown, format!("STALE {age}")),
                    Freshness::Gone => Text::new(Role::Unknown, format!("NO DATA for {age}")),
                }
            }
        }
    };
    // After five intervals no number is shown at all.
    let value = latest.and_then(|latest| latest.good.as_ref()).map(|(_, value)| value);
    if let Some(value) = value.filter(|_| fresh != Freshness::Gone) {
        let picture = picture_of(&probe.kind);
        let mut numbers = picture.lines(value);
        zoomed = picture.zoomed(value);
        let failing = !lines.is_empty();
        if !failing {
            summary = picture.one_line(value, &numbers);
        }
        if failing || fresh == Freshness::Stale {
            let grey = |text: &mut Text| text.0.iter_mut().for_each(|piece| piece.role = Role::Dim);
            numbers.iter_mut().chain(&mut zoomed).for_each(grey);
            if !failing {
                grey(&mut summary);
            }
        }
        if !zoomed.is_empty() {
            zoomed.splice(0..0, lines.iter().cloned());
        }
        lines.extend(numbers);
    }
    Pane {
        probe: id.clone(),
        title: heading,
        status,
        summary,
        lines,
        zoomed,
        chart: chart::chart(context, id, probe, value),
    }
}

fn number(value: &Value, path: &str) -> Option<f64> {
    value.at(path).and_then(Value::number)
}

fn int(value: &Value, path: &str) -> Option<i64> {
    value.at(path).and_then(Value::int)
}

fn word(value: &Value, path: &str) -> String {
    value.at(path).and_then(Value::text).map(|text| clean(text).into_owned()).unwrap_or_default()
}

/// The picture of most kinds: every field with its name.
struct Fields;

impl Picture for Fields {
    fn lines(&self, value: &Value) -> Vec<Text> {
        fields(value)
    }

    fn one_line(&self, _: &Value, lines: &[Text]) -> Text {
        let shown = lines.iter().map(|line| line.to_plain().split_whitespace().collect::<Vec<_>>().join(" "));
        Text::plain(shown.collect::<Vec<_>>().join(" · "))
    }
}

/// Fields as `name value`, several on a line as they fit.
fn fields(value: &Value) -> Vec<Text> {
    let Value::Map(map) = value else { return Vec::new() };
    map.iter()
        .map(|(name, value)| {
            let shown = match (name.as_ref(), value) {
                (name, value) if name.ends_with("_ms") => {
                    value.number().map_or_else(|| value.to_string(), |ms| words::seconds(ms / 1_000.0))
                }
                (name, Value::Int(count)) if name.ends_with("bytes") => words::bytes(*count),
                (_, Value::Text(text)) => clean(text).into_owned(),
                (_, value) => value.to_string(),
            };
            Text::new(Role::Dim, format!("{:<18} ", clean(name))).and(Role::Plain, shown)
        })
        .collect()
}
