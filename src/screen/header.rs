//! The header: what must be true to the operator's eye at any moment.

use super::{Header, Role, Scene, Text, words};
use crate::core::board::Freshness;
use crate::core::plan::Reversibility;
use crate::core::rollback::way_back;
use crate::core::time::Span;
use crate::text::clean;

pub(super) fn header(scene: &Scene) -> Header {
    let Scene { plan, run, now, .. } = scene;
    let opened = run.opened.unwrap_or(*now);
    let until = run.ended.as_ref().map_or(*now, |(at, _)| *at);
    let driver = match &run.driver {
        Some(who) => format!("{} drives", clean(&who.0)),
        None if scene.watching => "nobody drives: watching".to_owned(),
        None => "nobody drives".to_owned(),
    };
    Header {
        title: clean(&plan.title).into_owned(),
        mode: mode(scene),
        profile: plan.profile.as_deref().map(|profile| clean(profile).into_owned()).unwrap_or_default(),
        run: if scene.watching { driver } else { format!("run {} · {driver}", scene.run_name) },
        clock: format!("{}  {}", words::elapsed(until.since(opened)), words::clock(*now, &scene.zone)),
        passing: passing(scene),
        window: window(scene),
        update: update(scene),
        pause: pause(scene),
        back: back(scene),
        customers: customers(scene),
        alarm: alarm(scene),
    }
}

fn mode(scene: &Scene) -> String {
    match scene.run.mode {
        Some(mode) if scene.is_replay() => format!("REPLAY of {}", mode.as_str()),
        None if scene.is_replay() => "REPLAY".to_owned(),
        Some(mode) => mode.as_str().to_owned(),
        None => "WATCH".to_owned(),
    }
}

/// Columns for what a recording lacks; the rest is said when it is left.
const NOTE: usize = 48;

/// The pace, and the place in a replay: `×60 · fact 41 of 212`.
fn passing(scene: &Scene) -> Text {
    let Some(passing) = &scene.passing else { return Text::default() };
    let text = if passing.pace.paused {
        Text::new(Role::Strong, format!("paused (×{})", passing.pace.speed))
    } else {
        Text::new(Role::Active, format!("×{}", passing.pace.speed))
    };
    let Some(place) = &passing.place else { return text };
    let text = text.and(Role::Plain, format!(" · fact {} of {}", place.fact, place.of));
    match &place.note {
        Some(note) => text.and(Role::Unknown, format!(" · {}", crate::text::fit(&clean(note), NOTE))),
        None => text,
    }
}

fn alarm(scene: &Scene) -> Option<String> {
    if let (None, Some(since)) = (scene.fault, scene.silent) {
        return Some(format!(
            "JOURNAL SILENT since {} UTC ({}) · nothing is started until it answers",
            words::utc(since),
            scene.now.since(since)
        ));
    }
    match (scene.fault, &scene.run.ended) {
        (Some(fault), _) if scene.is_replay() => Some(clean(fault).into_owned()),
        (Some(fault), _) => Some(format!("JOURNAL FAILED: {} · nothing more is done, panes stay live", clean(fault))),
        (None, Some((at, _))) => {
            Some(format!("RUN {} at {} UTC", words::run_state(scene.plan, scene.run), words::utc(*at)))
        }
        (None, None) if scene.leaving => Some("LEAVING: waiting for what is under way".to_owned()),
        (None, None) => None,
    }
}

/// What the rest should take by the runbook's own account.
fn forecast(scene: &Scene) -> Option<Span> {
    let rest = scene.plan.steps.iter().filter(|step| !scene.run.is_settled(&step.id));
    rest.map(|step| step.expect).try_fold(Span::ZERO, |sum, expect| Some(Span(sum.0.saturating_add(expect?.0))))
}

fn window(scene: &Scene) -> Text {
    let forecast = forecast(scene);
    let rest = forecast
        .filter(|rest| *rest > Span::ZERO && scene.run.ended.is_none())
        .map_or_else(String::new, |rest| format!("about {rest} of work left"));
    let Some(window) = scene.plan.window else { return Text::new(Role::Dim, rest) };
    if scene.now < window.opens {
        return Text::new(Role::Unknown, format!("window opens in {}", window.opens.since(scene.now)));
    }
    let left = window.closes.since(scene.now);
    if left == Span::ZERO {
        return Text::new(Role::NoGo, format!("window CLOSED {} ago", scene.now.since(window.closes)));
    }
    let late = forecast.is_some_and(|rest| rest > left);
    let text = Text::new(if late { Role::NoGo } else { Role::Plain }, format!("window closes in {left}"));
    if rest.is_empty() { text } else { text.and(Role::Dim, format!(", {rest}")) }
}

fn update(scene: &Scene) -> Text {
    let (Some(comms), Some(last), None) = (&scene.plan.comms, scene.run.last_update, &scene.run.ended) else {
        return Text::default();
    };
    let since = scene.now.since(last);
    if since >= comms.every {
        Text::new(Role::NoGo, format!("status update OVERDUE by {}", since.left_after(comms.every)))
    } else {
        Text::new(Role::Dim, format!("update due in {}", comms.every.left_after(since)))
    }
}

fn pause(scene: &Scene) -> Text {
    let so_far = scene.run.writes.so_far(scene.now);
    let shown = format!("{}.{:02} s", so_far.0 / 1_000, so_far.0 % 1_000 / 10);
    let paused = scene.run.writes.since.is_some();
    let text = match scene.plan.write_pause_budget {
        Some(budget) => format!("{shown} of {budget}"),
        None => shown,
    };
    let over = scene.plan.write_pause_budget.is_some_and(|budget| so_far > budget);
    let role = match (over, paused) {
        (true, _) => Role::NoGo,
        (false, true) => Role::Active,
        (false, false) => Role::Plain,
    };
    let word = if paused { "WRITES PAUSED " } else { "write pause " };
    Text::new(if paused { Role::Active } else { Role::Dim }, word).and(role, text)
}

fn back(scene: &Scene) -> Text {
    let way = way_back(scene.plan, scene.run);
    let text = Text::new(Role::Dim, "rollback now: ");
    if way.steps.is_empty() {
        return match way.blocked_by {
            Some(step) => text.and(Role::NoGo, format!("none, past {}", clean(step.as_str()))),
            None => text.and(Role::Go, "nothing to take back"),
        };
    }
    let role = match way.cost {
        Reversibility::Free | Reversibility::Lossless => Role::Go,
        Reversibility::Lossy | Reversibility::None => Role::NoGo,
    };
    let about = way.expect.filter(|span| *span > Span::ZERO).map_or_else(String::new, |span| format!(", about {span}"));
    let far = way.blocked_by.map_or_else(String::new, |step| format!(", only back to {}", clean(step.as_str())));
    text.and(role, way.cost.as_str())
        .and(Role::Plain, format!("{about}, {}{far}", words::count(way.steps.len(), "step")))
}

fn run_ended_at(scene: &Scene) -> Option<crate::core::time::At> {
    scene.run.customers_at.or(scene.run.ended.as_ref().map(|(at, _)| *at))
}

fn customers(scene: &Scene) -> Text {
    let Some(probe) = &scene.plan.customers else { return Text::default() };
    let label = Text::new(Role::Dim, "customers: ");
    let ended = scene.run.customers.as_ref();
    let latest = scene.board.latest(probe).and_then(|latest| latest.good.as_ref()).map(|(_, value)| value);
    let fresh = scene.board.freshness(scene.plan, scene.now, probe);
    let value = match (ended, latest, fresh) {
        (Some(value), _, _) => value,
        (None, Some(value), Freshness::Fresh | Freshness::Stale) => value,
        _ => return label.and(Role::Unknown, "no reading"),
    };
    let read = match (ended, scene.board.latest(probe).and_then(|latest| latest.good.as_ref())) {
        // What was recorded with the end of the run is as old as the end.
        (Some(_), _) => run_ended_at(scene).map(|at| format!(" as of {} UTC", words::utc(at))),
        (None, Some((at, _))) => Some(format!(" · {}", words::age(scene.now.since(*at)))),
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
