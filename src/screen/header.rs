//! The header: what the operator must be able to see at any moment.

use super::keys::KeyAction;
use super::naming::name_of;
use super::{Brief, Header, Role, Text, ViewContext};
use crate::core::board::Freshness;
use crate::core::forecast::{self, Estimate};
use crate::core::ids::StepId;
use crate::core::plan::Reversibility;
use crate::core::rollback::{WayBack, way_back};
use crate::core::time::Span;
use crate::text::clean;
use crate::words;

pub(super) fn header(context: &ViewContext) -> Header {
    let ViewContext { plan, run, now, .. } = context;
    let opened = run.opened.unwrap_or(*now);
    let until = run.ended.as_ref().map_or(*now, |(at, _)| *at);
    let driver = match &run.driver {
        Some(who) => format!("{} drives", clean(&who.0)),
        None if context.watching => "nobody drives: watching".to_owned(),
        None => "nobody drives".to_owned(),
    };
    let ahead = Ahead::of(context);
    Header {
        title: clean(&plan.title).into_owned(),
        mode: mode(context),
        profile: plan.profile.as_deref().map(|profile| clean(profile).into_owned()).unwrap_or_default(),
        run: if context.watching { driver } else { format!("run {} · {driver}", context.run_name) },
        clock: format!("{}  {}", words::elapsed(until.since(opened)), words::clock(*now, &context.zone)),
        unkept: unkept(context),
        shown_time: shown_time(context),
        window: window(context, &ahead, false),
        update: update(context),
        pause: pause(context, &ahead, Told::Whole),
        back: back(context, &ahead, false),
        customers: customers(context),
        brief: Brief {
            window: window(context, &ahead, true),
            pause: pause(context, &ahead, Told::Brief),
            bare_pause: pause(context, &ahead, Told::Bare),
            back: back(context, &ahead, true),
        },
        alarm: alarm(context),
    }
}

fn mode(context: &ViewContext) -> String {
    match context.run.mode {
        Some(mode) if context.is_replay() => format!("REPLAY of {}", mode.as_str()),
        None if context.is_replay() => "REPLAY".to_owned(),
        Some(mode) => mode.as_str().to_owned(),
        None => "WATCH".to_owned(),
    }
}

/// How many readings the disk was too slow to keep: the panes show them now, a replay will not.
fn unkept(context: &ViewContext) -> Text {
    match context.samples_dropped {
        0 => Text::default(),
        dropped => Text::new(Role::NoGo, words::unkept(dropped)),
    }
}

/// Columns for what a recording lacks; the rest is said when it is left.
const NOTE: usize = 48;

/// The pace, and the place in a replay: `×60 · fact 41 of 212`.
fn shown_time(context: &ViewContext) -> Text {
    let Some(shown_time) = &context.shown_time else { return Text::default() };
    let text = if shown_time.pace.paused {
        Text::new(Role::Strong, format!("paused (×{})", shown_time.pace.speed))
    } else {
        Text::new(Role::Active, format!("×{}", shown_time.pace.speed))
    };
    let Some(place) = &shown_time.place else { return text };
    let text = text.and(Role::Plain, format!(" · fact {} of {}", place.fact, place.of));
    match &place.note {
        Some(note) => text.and(Role::Unknown, format!(" · {}", crate::text::fit(&clean(note), NOTE))),
        None => text,
    }
}

fn alarm(context: &ViewContext) -> Option<String> {
    if let (None, Some(since)) = (context.fault, context.silent) {
        return Some(format!(
            "JOURNAL SILENT since {} UTC ({}) · nothing is started until it answers",
            words::utc(since),
            context.now.since(since)
        ));
    }
    match (context.fault, &context.run.ended) {
        (Some(fault), _) if context.is_replay() => Some(clean(fault).into_owned()),
        (Some(fault), _) => Some(format!("JOURNAL FAILED: {} · nothing more is done, panes stay live", clean(fault))),
        (None, Some((at, _))) => {
            Some(format!("RUN {} at {} UTC", words::run_state(context.plan, context.run), words::utc(*at)))
        }
        (None, None) if context.leaving => Some("LEAVING: waiting for what is under way".to_owned()),
        (None, None) => None,
    }
}

/// The forecast and the way back, computed once per picture.
struct Ahead {
    /// The rest of the work.
    rest: Option<Estimate>,
    /// What the write pause comes to, as far as it lies ahead.
    pause: Option<Estimate>,
    way: WayBack,
    /// How long the way back takes.
    back: Estimate,
}

impl Ahead {
    fn of(context: &ViewContext) -> Self {
        let ViewContext { plan, run, now, .. } = context;
        let way = way_back(plan, run);
        // A session that only watches has no steps ahead.
        let driven = !context.watching;
        Self {
            // The limit of one part says nothing about an end that nobody knows.
            rest: forecast::rest(plan, run, *now)
                .filter(|rest| driven && rest.says_something() && (rest.span > Span::ZERO || !rest.at_least)),
            pause: forecast::pause(plan, run, *now).filter(|_| driven),
            back: forecast::way(plan, run, *now, &way.steps),
            way,
        }
    }
}

/// Window and forecast, in full or in brief.
fn window(context: &ViewContext, ahead: &Ahead, brief: bool) -> Text {
    let rest = ahead.rest;
    let told = rest.map(|rest| words::about(&rest, true));
    let Some(window) = context.run.window(context.plan) else {
        let lead = if brief { "end in" } else { "forecast end in" };
        return told.map_or_else(Text::default, |told| Text::new(Role::Dim, format!("{lead} {told}")));
    };
    let late = |left: Span| rest.is_some_and(|rest| rest.latest() > left);
    let role = |late: bool, else_| if late { Role::NoGo } else { else_ };
    let word = if brief { "" } else { "window " };
    if context.now < window.opens {
        let late = late(window.closes.since(window.opens));
        let text = Text::new(Role::Unknown, format!("{word}opens in {}", window.opens.since(context.now)));
        let of = if brief { "" } else { "forecast " };
        return match told {
            Some(told) => text.and(role(late, Role::Dim), format!(", {of}{told} of work")),
            None => text,
        };
    }
    let left = window.closes.since(context.now);
    if left == Span::ZERO {
        let text = Text::new(Role::NoGo, format!("{word}CLOSED {} ago", context.now.since(window.closes)));
        return match told {
            Some(told) => text.and(Role::NoGo, format!(", {told} of work left")),
            None => text,
        };
    }
    let late = late(left);
    let text = Text::new(role(late, Role::Plain), format!("{word}closes in {left}"));
    let end = if brief { "end" } else { "forecast end" };
    match told {
        Some(told) => text.and(role(late, Role::Dim), format!(", {end} in {told}")),
        None => text,
    }
}

fn update(context: &ViewContext) -> Text {
    let (Some(comms), Some(last), None) = (&context.plan.comms, context.run.last_update, &context.run.ended) else {
        return Text::default();
    };
    let since = context.now.since(last);
    if since >= comms.every {
        let text = Text::new(Role::NoGo, format!("status update OVERDUE by {}", since.left_after(comms.every)));
        match name_of(context, KeyAction::Status, None) {
            Some(name) => text.and(Role::Plain, ", ").and(Role::Key, name).and(Role::Plain, " when told"),
            None => text,
        }
    } else {
        Text::new(Role::Dim, format!("update due in {}", comms.every.left_after(since)))
    }
}

/// How much detail is shown where there is little room.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    /// Everything.
    Whole,
    /// Without spreads.
    Brief,
    /// What has happened, and of the forecast only what needs the operator.
    Bare,
}

fn pause(context: &ViewContext, ahead: &Ahead, told: Told) -> Text {
    let so_far = context.run.writes.so_far(context.now);
    let shown = format!("{}.{:02} s", so_far.0 / 1_000, so_far.0 % 1_000 / 10);
    let paused = context.run.writes.since.is_some();
    let budget = context.plan.write_pause_budget;
    let text = match budget {
        Some(budget) => format!("{shown} of {budget}"),
        None => shown,
    };
    let over = budget.is_some_and(|budget| so_far > budget);
    let role = match (over, paused) {
        (true, _) => Role::NoGo,
        (false, true) => Role::Active,
        (false, false) => Role::Plain,
    };
    let word = if paused { "WRITES PAUSED " } else { "write pause " };
    let text = Text::new(if paused { Role::Active } else { Role::Dim }, word).and(role, text);
    let Some(all) = ahead.pause.map(|rest| rest.after(so_far)) else {
        return text;
    };
    let too_long = budget.is_some_and(|budget| all.latest() > budget);
    if !all.says_something() || told == Told::Bare && !too_long {
        return text;
    }
    let role = if too_long { Role::NoGo } else { Role::Dim };
    text.and(role, format!(", expect {}", words::about(&all, told == Told::Whole)))
}

fn back(context: &ViewContext, ahead: &Ahead, brief: bool) -> Text {
    let way = &ahead.way;
    let text = Text::new(Role::Dim, if brief { "rollback: " } else { "rollback now: " });
    let number =
        |id: &StepId| context.plan.step(id).map_or_else(|| id.to_string(), |step| format!("step {}", step.number));
    if way.steps.is_empty() {
        return match &way.blocked_by {
            Some(step) => text.and(Role::NoGo, format!("none, past {}", number(step))),
            None => text.and(Role::Go, "nothing to take back"),
        };
    }
    let role = match way.cost {
        Reversibility::Free | Reversibility::Lossless => Role::Go,
        Reversibility::Lossy | Reversibility::None => Role::NoGo,
    };
    let takes = ahead.back;
    let takes = if takes.says_something() { format!(", {}", words::about(&takes, !brief)) } else { String::new() };
    let far = way.blocked_by.as_ref().map_or_else(String::new, |step| format!(", only back to {}", number(step)));
    text.and(role, way.cost.as_str())
        .and(Role::Plain, format!("{takes}, {}{far}", words::count(way.steps.len(), "step")))
}

fn run_ended_at(context: &ViewContext) -> Option<crate::core::time::At> {
    context.run.customers_at.or(context.run.ended.as_ref().map(|(at, _)| *at))
}

fn customers(context: &ViewContext) -> Text {
    let Some(probe) = &context.plan.customers else { return Text::default() };
    let label = Text::new(Role::Dim, "customers: ");
    let ended = context.run.customers.as_ref();
    let latest = context.board.latest(probe).and_then(|latest| latest.good.as_ref()).map(|(_, value)| value);
    let fresh = context.board.freshness(context.plan, context.now, probe);
    let value = match (ended, latest, fresh) {
        (Some(value), _, _) => value,
        (None, Some(value), Freshness::Fresh | Freshness::Stale) => value,
        _ => return label.and(Role::Unknown, "no reading"),
    };
    let read = match (ended, context.board.latest(probe).and_then(|latest| latest.good.as_ref())) {
        // What was recorded with the end of the run has the age of that end.
        (Some(_), _) => run_ended_at(context).map(|at| format!(" as of {} UTC", words::utc(at))),
        (None, Some((at, _))) => Some(format!(" · {}", words::age(context.now.since(*at)))),
        (None, None) => None,
    };
    let read = read.unwrap_or_default();
    let failed = value.at("failed").and_then(crate::core::value::Value::int);
    let longest = value.at("longest_pause_ms").and_then(crate::core::value::Value::number);
    let stale = ended.is_none() && fresh == Freshness::Stale;
    let (number, age) = if stale { (Role::Dim, Role::Unknown) } else { (Role::Plain, Role::Dim) };
    let word = if stale { " STALE" } else { "" };
    match (failed, longest) {
        (Some(failed), Some(longest)) => label
            .and(if failed > 0 && !stale { Role::NoGo } else { number }, format!("{failed} failed"))
            .and(number, format!(", {} worst", words::seconds(longest / 1_000.0)))
            .and(age, format!("{word}{read}")),
        _ => label.and(Role::Unknown, "no reading"),
    }
}
