//! Runbooks: good ones become plans, all faults of broken ones are reported, and texts made to exhaust the reader are
//! refused early.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gonogo::core::ids::StepId;
use gonogo::core::plan::Plan;
use gonogo::runbook::{self, Loaded, Options};

fn runbooks(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runbooks").join(kind)
}

fn good(name: &str, options: &Options) -> Loaded {
    let source = fs::read_to_string(runbooks("good").join(name)).unwrap();
    runbook::load_str(name, source, options).unwrap_or_else(|errors| panic!("{}", errors.render(false, 100)))
}

fn profile(name: &str) -> Options {
    Options { profile: Some(name.to_owned()), ..Options::default() }
}

fn set(name: &str, value: &str) -> Options {
    Options { set: vec![(name.to_owned(), value.to_owned())], ..Options::default() }
}

/// The plan as an operator would read it.
fn told(plan: &Plan) -> String {
    let mut text = String::new();
    for step in &plan.steps {
        let needs: Vec<&str> = step.needs.iter().map(StepId::as_str).collect();
        writeln!(
            text,
            "{}. {} ({}) needs [{}], confirm {:?}, {}",
            step.number,
            step.title,
            step.id,
            needs.join(", "),
            step.confirm,
            step.reversibility.as_str()
        )
        .unwrap();
        let rule = |id| plan.condition(id).unwrap().source();
        for gate in &step.gates {
            writeln!(
                text,
                "   gate {:?}: {} hold {} override {}",
                gate.name,
                rule(gate.condition),
                gate.hold,
                gate.overridable
            )
            .unwrap();
        }
        for line in &step.work.preview {
            writeln!(text, "   | {line}").unwrap();
        }
        for check in &step.verify {
            writeln!(
                text,
                "   verify {:?}: {} hold {} within {}",
                check.name,
                rule(check.condition),
                check.hold,
                check.within
            )
            .unwrap();
        }
        for guard in &step.guards {
            writeln!(text, "   guard {:?}: {} tolerate {}", guard.name, rule(guard.condition), guard.tolerate).unwrap();
        }
        for line in step.undo.iter().flat_map(|work| &work.preview) {
            writeln!(text, "   < {line}").unwrap();
        }
    }
    text
}

#[test]
fn good_runbooks_become_plans() {
    for name in ["minimal.yaml", "everything.yaml"] {
        let loaded = good(name, &Options::default());
        insta::assert_snapshot!(name, format!("{}\n{}", told(&loaded.plan), loaded.diagnostics(name)));
    }
}

#[test]
fn broken_runbooks_are_told_everything() {
    let mut names: Vec<_> = fs::read_dir(runbooks("broken")).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    names.sort();
    assert!(names.len() >= 30);
    let mut wrong = Vec::new();
    for path in names {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let told = match runbook::load(&path, &Options::default()) {
            Ok(_) => "this was accepted\n".to_owned(),
            Err(errors) => {
                let directory = format!("{}/", runbooks("broken").display());
                errors.render(false, 400).replace(&directory, "")
            }
        };
        assert!(!told.chars().any(|c| c.is_control() && c != '\n' && c != '\t'), "{name}: {told:?}");
        let expected = path.with_extension("stderr");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected, &told).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != told {
            wrong.push(format!("{name} says\n{told}"));
        }
    }
    assert!(wrong.is_empty(), "{}\nUPDATE=1 rewrites the expected messages", wrong.join("\n"));
}

#[test]
fn a_profile_replaces_vars_targets_secrets_and_window() {
    let plan = good("everything.yaml", &profile("lab")).plan;
    assert_eq!(plan.profile.as_deref(), Some("lab"));
    assert!(plan.window.is_none() && plan.rehearsals.is_none());
    let text = format!("{:?} {:?} {}", plan.targets, plan.secrets, told(&plan));
    assert!(text.contains("127.0.0.1:5300") && text.contains("LAB_DNS_KEY") && text.contains("ttl 2"), "{text}");
    let staging = good("everything.yaml", &profile("staging")).plan;
    assert_eq!(staging.rehearsals.unwrap().required, 1);
    assert_ne!(staging.digest, plan.digest);
}

#[test]
fn set_overrides_a_var_everywhere_and_keeps_its_type() {
    let loaded = good("everything.yaml", &set("ttl", "7"));
    assert!(told(&loaded.plan).contains("ttl 7") && told(&loaded.plan).contains("dns_app.ttl <= 7"));
    assert_eq!(loaded.profiles, ["lab", "staging"]);
    // What comes from outside is text, not a template.
    let mut template = set("service", "{{ secrets.hook }}");
    template.set.push(("domain".to_owned(), "shop.example.com".to_owned()));
    let loaded = good("everything.yaml", &template);
    assert_eq!(loaded.plan.title, "Move {{ secrets.hook }} to the new home");
}

#[test]
fn wrong_options_are_told_with_the_nearest_name() {
    let source = fs::read_to_string(runbooks("good").join("everything.yaml")).unwrap();
    let told = |options: &Options| runbook::load_str("r.yaml", source.as_str(), options).unwrap_err().to_string();
    insta::assert_snapshot!(
        [profile("lib"), set("tll", "5"), set("ttl", "soon"), set("careful", "maybe")]
            .map(|options| told(&options))
            .concat()
    );
}

#[test]
fn the_digest_tells_plans_apart_and_not_their_spelling() {
    let digest = |text: &str| runbook::load_str("r", text, &Options::default()).unwrap().plan.digest;
    let one = "title: T\nphases: [{ title: P, steps: [{ id: a, title: A, action: { manual: [look] } }] }]\n";
    let same = "# a comment\nvars: { t: T }\nphases:\n- steps:\n  - title: \"A\"\n    id: a\n    action:\n      manual: ['look']\n  title: P\ntitle: '{{ vars.t }}'\n";
    let other = one.replace("look", "listen");
    assert_eq!(digest(one), digest(same));
    assert_ne!(digest(one), digest(&other));
    assert_eq!(digest(one).len(), 64);
}

#[test]
fn a_section_that_would_leave_something_behind_has_no_undo() {
    let text = |undo: &str| {
        format!(
            "title: T\nphases: [{{ title: P, steps: [{{ id: a, title: A, reversibility: lossless, section: {{ deadline: 5s, steps: [\
             {{ title: One, action: {{ command: {{ run: one }} }}{undo} }}, \
             {{ title: Two, action: {{ wait: {{ for: 1s }} }} }}] }} }}] }}]\n"
        )
    };
    let plan = |text: &str| runbook::load_str("r", text, &Options::default()).unwrap().plan;
    assert!(plan(&text("")).steps[0].undo.is_none());
    let undo = plan(&text(", undo: { command: { run: back } }")).steps[0].undo.clone().unwrap();
    assert_eq!(undo.preview, ["1. undo: One", "   back"]);
    assert!(undo.section && undo.deadline.is_none(), "nothing takes a way back back");
}

/// What a section does by itself when it fails is part of what is confirmed, whatever takes back the whole.
#[test]
fn a_section_with_an_undo_of_its_own_says_how_it_takes_itself_back() {
    let text = "
title: T
owner: Ada
roles: { dba: Ben, platform: Cleo }
phases:
  - title: P
    steps:
      - id: a
        title: A
        reversibility: lossless
        section:
          deadline: 5s
          steps:
            - { title: One, action: { command: { run: one } }, undo: { command: { run: back one, limit: 7s } } }
            - { title: Two, action: { command: { run: two } } }
            - { title: Three, action: { wait: { for: 1s } } }
            - { title: Four, action: { command: { run: four } }, undo: { command: { run: back four } } }
        undo: { section: { steps: [{ title: Whole, action: { command: { run: back whole } } }] } }
";
    let work = |text: &str| runbook::load_str("r", text, &Options::default()).unwrap().plan.steps[0].work.clone();
    let before = work(text);
    let expected = [
        "if it fails: undo 4. Four",
        "   back four",
        "if it fails: nothing takes back 2. Two",
        "if it fails: undo 1. One",
        "   back one",
    ];
    assert!(before.preview.ends_with(&expected.map(str::to_owned)), "{:#?}", before.preview);
    // A confirmation of the one is none of the other.
    assert_ne!(before.digest, work(&text.replace("back one", "back another")).digest);
    let undo = runbook::load_str("r", text, &Options::default()).unwrap().plan.steps[0].undo.clone().unwrap();
    assert_eq!(undo.preview, ["1. Whole", "   back whole"], "nothing takes a way back back");

    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    let gonogo = std::process::Command::new(env!("CARGO_BIN_EXE_gonogo"));
    let output = { gonogo }.arg("plan").arg(file.path()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let more = ["undo 1. 7.0 s, good with exit status 0", "owner Ada", "roles: dba Ben, platform Cleo"];
    for line in expected.into_iter().chain(more) {
        assert!(told.contains(line), "{line}:\n{told}");
    }
}

#[test]
fn warnings_point_at_what_deserves_a_second_look() {
    let text = r#"
title: T
roles: { lead: Ada }
vars: { spare: 1, api_key: hunter2, key_file: where }
secrets: { spare: { env: X } }
targets:
  db: { postgres: { dsn: "host=db user=a password=hunter2" } }
  web: { http: { url: "https://web.example", headers: { X-Api-Token: abc } } }
  shop: { http: { url: "https://shop.example" } }
  plain: { http: { url: "http://192.0.2.1" } }
  pooler: { postgres: { dsn: "host=pooler user=admin dbname=pgbouncer" } }
  zone: { dns: { zone: example.com, authoritative: [192.0.2.53, "192.0.2.53:53"], resolvers: { a: 192.0.2.1, b: "[::ffff:192.0.2.1]:53", c: "192.0.2.1:54" } } }
probes:
  name: { kind: dns, target: zone, name: app.example.com, old: [192.0.2.10], new: [192.0.2.20] }
  weighted: { kind: dns, target: zone, name: w.example.com, old: [192.0.2.10], new: { one_of: [192.0.2.20], share: 0.2 } }
  lag: { kind: postgres.replication, source: db, target: pooler, subscription: s }
  port: { kind: tcp, address: "db:5432" }
  idle: { kind: tcp, address: "db:5432" }
  slow: { kind: tcp, address: "db:5432", every: 2s, limit: 30s }
  calm: { kind: tcp, address: "db:5432", every: 15s, limit: 30s }
  acting: { kind: http, sides: { web: shop }, path: /orders, method: POST, body: "{}" }
  thin: { kind: http, sides: { web: shop }, window: 99, requests: { home: { path: / }, order: { path: /, method: PUT } } }
  long: { kind: http, sides: { web: shop }, every: 10s, limit: 3s, window: 200 }
  plain: { kind: http, sides: { web: plain }, connections: kept }
phases:
  - title: P
    steps:
      - id: a
        title: A
        owner: Bob
        gates: [acting.web.errors < 5, "port.state != 'close'", plain.web.phases.tls < 5.0, plain.web.total.slow == 0, plain.web.status < 100, weighted.new == 1, port.open, slow.open && calm.open, acting.web.errors == 0.0, "thin.web.home.p99 < 300.0 && thin.web.home.p95 < 90.0", long.web.p99 < 1.0, size(name.authoritative_missing) == 0, lag.seconds < 1.0]
        action: { command: { run: drop, env: { DB_PASSWORD: hunter2 } } }
        reversibility: free
      - id: b
        title: B
        action: { command: { run: drop } }
        reversibility: none
        verify: [{ that: calm.open && port.open, hold: 5s }]
        expect: 5s
      - id: hold-back
        title: Hold clients back
        action: { pgbouncer: { target: pooler, do: pause, database: shop } }
        reversibility: none
        confirm: id
        expect: 5s
      - id: follow
        title: Follow
        action: { wait: { until: { conditions: [port.open, name.new == name.total], within: 1h } } }
        undo:
          section:
            steps:
              - { title: back, action: { wait: { until: { conditions: ["name.resolvers.all(r, r.state == 'old')"], within: 1h } } } }
              - { title: held, action: { wait: { until: { conditions: [name.old == name.total], hold: 5s, within: 1h } } } }
        reversibility: free
        expect: 5s
      - id: switch
        title: Switch
        section:
          deadline: 30s
          steps:
            - { title: close, action: { pgbouncer: { target: pooler, do: disable, database: shop } } }
            - title: pause
              action: { pgbouncer: { target: pooler, do: pause, database: shop } }
              undo: { pgbouncer: { target: pooler, do: resume, database: shop } }
            - { title: go on, action: { pgbouncer: { target: pooler, do: resume, database: shop } } }
        reversibility: none
        confirm: id
        verify: [port.open]
        expect: 5s
"#;
    let loaded = runbook::load_str("r.yaml", text, &Options::default()).unwrap();
    insta::assert_snapshot!(loaded.diagnostics("r.yaml"));
    let shown = loaded.diagnostics("r.yaml").render(true, 100);
    assert!(!shown.contains("hunter2") && !shown.contains("abc"), "excerpts show a secret: {shown}");
}

#[test]
fn text_differs_in_case_and_names_do_not() {
    let text = r"
title: T
targets: { zone: { dns: { zone: example.com, authoritative: [192.0.2.53] } } }
probes: { a: { kind: dns, target: zone, name: a.example.com, type: TYPE, old: [Token.a], new: [token.A] } }
phases:
  - title: P
    steps: [{ id: a, title: A, gates: [a.authoritative_old], action: { manual: [look] } }]
";
    let load = |of: &str| runbook::load_str("r.yaml", text.replace("TYPE", of), &Options::default());
    load("TXT").unwrap();
    assert!(load("CNAME").unwrap_err().to_string().contains("old and new are the same"));
}

#[test]
fn the_type_of_a_field_is_no_secret_whatever_the_field_is_called() {
    let text = r#"
title: T
targets: { jobs: { http: { url: "https://jobs.example" } } }
probes:
  jobs: { kind: http.json, target: jobs, fields: { deploy_key: bool, token: { type: string, at: /token } } }
  hook: { kind: command, run: ./hook, env: { HOOK_TOKEN: TOLD }, fields: { token_age: int, has_secret: bool } }
phases:
  - title: P
    steps:
      - { id: a, title: A, gates: [jobs.deploy_key && jobs.token == "" && hook.token_age < 3 && hook.has_secret], action: { manual: [look] } }
"#;
    let warnings = |text: &str| {
        let loaded = runbook::load_str("r.yaml", text, &Options::default()).unwrap_or_else(|errors| panic!("{errors}"));
        loaded.diagnostics("r.yaml").to_string().matches("a secret stands here in clear text").count()
    };
    assert_eq!(warnings(text), 1, "only what the command is given");
    assert_eq!(warnings(&text.replace("TOLD", "string")), 1, "what a command is given is no type");
}

#[test]
fn files_that_are_no_runbook_are_refused_with_a_reason() {
    let directory = tempfile::tempdir().unwrap();
    let load = |path: &Path| {
        let told = runbook::load(path, &Options::default()).unwrap_err().to_string();
        told.replace(&directory.path().display().to_string(), "DIR")
    };
    insta::assert_snapshot!([load(&directory.path().join("none.yaml")), load(directory.path())].concat());
}

/// How long a busy machine may take over anything.
const PATIENCE: Duration = Duration::from_mins(1);

/// A refusal of `text`. That it comes at all is what is tested: no text may keep its reader busy for ever. How long it
/// takes is measured by `benches/runbook`.
fn refused(name: &'static str, text: String) -> String {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || drop(tell.send(runbook::load_str(name, text, &Options::default()))));
    let errors = told.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{name} is still being read"));
    let errors = errors.expect_err("a monster is refused");
    let told = errors.to_string();
    assert!(told.len() < 20_000, "{name} says {} bytes", told.len());
    let shown = errors.render(false, 100);
    assert!(shown.len() < 1_000_000, "{name} shows {} bytes", shown.len());
    told
}

#[test]
fn texts_made_to_exhaust_the_reader_are_refused() {
    for (name, text) in crate::monsters::all() {
        let told = refused(name, text);
        assert!(told.contains("error"), "{name}: {told}");
    }
}

#[test]
fn a_file_larger_than_any_memory_is_refused_unread() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("huge.yaml");
    fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    let told = runbook::load(&path, &Options::default()).unwrap_err().to_string();
    assert!(told.contains("too large"), "{told}");
}

/// A runbook of many steps, each with a gate and the usual keys.
fn long(steps: usize) -> String {
    let mut text =
        "title: Long\nprobes:\n  port: { kind: tcp, address: \"db:5432\" }\nphases:\n  - title: P\n    steps:\n"
            .to_owned();
    for at in 0..steps {
        writeln!(text, "      - id: step-{at}\n        title: Step number {at}\n        gates: [{{ that: port.open, hold: 5s }}]\n        action: {{ command: {{ run: [./do, \"{at}\"] }} }}\n        reversibility: free\n        expect: 5s").unwrap();
    }
    text
}

#[test]
fn a_runbook_of_ten_thousand_steps_loads() {
    let text = long(10_000);
    let loaded = runbook::load_str("long", text, &Options::default()).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(loaded.plan.steps.len(), 10_000);
    assert_eq!(loaded.plan.conditions.len(), 1);
    assert_eq!(loaded.plan.steps[9_999].needs[0].as_str(), "step-9998");
}

#[test]
fn the_published_schema_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/runbook.schema.json");
    let fresh = format!("{}\n", serde_json::to_string_pretty(&runbook::schema()).unwrap());
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &fresh).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap_or_default(), fresh, "UPDATE=1 rewrites it");
}

/// Whoever copies it copies its habits, too.
#[test]
fn the_bundled_runbook_has_nothing_to_warn_of_in_any_profile() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("runbook.yaml");
    let profiles = runbook::load(&path, &Options::default()).unwrap().profiles;
    assert!(!profiles.is_empty());
    for profile in std::iter::once(None).chain(profiles.into_iter().map(Some)) {
        let options = Options { profile: profile.clone(), ..Options::default() };
        let loaded = runbook::load(&path, &options).unwrap_or_else(|errors| panic!("{errors}"));
        assert!(loaded.warnings.is_empty(), "{profile:?}: {}", loaded.diagnostics("runbook.yaml"));
    }
}

/// While the way back is open two slots keep WAL on two disks, and somebody must be told before one is full.
#[test]
fn the_bundled_runbook_stops_waiting_when_a_slot_fills_a_disk() {
    use gonogo::core::evidence::{Baselines, Verdict};
    use gonogo::core::expr::Sight;
    use gonogo::core::time::Span;
    use gonogo::core::value::Value;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("runbook.yaml");
    let plan = runbook::load(&path, &Options::default()).unwrap().plan;
    let reading = |retained: i64, status: &str| {
        Value::map([
            ("retained_bytes", Value::Int(retained)),
            ("wal_status", status.into()),
            ("streaming", true.into()),
        ])
    };
    for id in ["watch", "keep-old"] {
        let broken = |lag: &Value, way_back: &Value| -> Vec<String> {
            let guards = plan.step(&StepId::from(id)).unwrap().guards.iter();
            let sees = |probe: &gonogo::core::ids::ProbeId| match probe.as_str() {
                "lag" => Sight::Fresh { value: lag, age: Span(1) },
                "way_back" => Sight::Fresh { value: way_back, age: Span(1) },
                _ => Sight::Missing,
            };
            let verdict = |condition| plan.condition(condition).unwrap().evaluate(&sees, &Baselines::new()).verdict;
            guards.filter(|guard| verdict(guard.condition) == Verdict::NoGo).map(|guard| guard.name.clone()).collect()
        };
        let (little, much) = (reading(1 << 20, "extended"), reading(21 << 30, "extended"));
        assert_eq!(broken(&little, &little), Vec::<String>::new(), "{id}");
        assert_eq!(broken(&much, &little), ["no slot fills a disk"], "{id}");
        assert_eq!(broken(&little, &much), ["no slot fills a disk"], "{id}");
        let losing = reading(1 << 20, "unreserved");
        assert_eq!(broken(&losing, &little), ["no slot is about to be lost"], "{id}");
        assert_eq!(broken(&little, &losing), ["no slot is about to be lost"], "{id}");
    }
}

#[test]
fn a_records_that_move_while_nobody_looks_at_aaaa_are_warned_of() {
    let text = |more: &str, gate: &str, changes: &str| {
        format!(
            r"
title: T
targets:
  zone: {{ dns: {{ zone: example.com, authoritative: [192.0.2.53] }} }}
probes:
  name: {{ kind: dns, target: zone, name: app.example.com, old: [192.0.2.10], new: [192.0.2.20]{more} }}
phases:
  - title: P
    steps:
      - id: a
        title: A
        gates: [{{ that: '{gate}', hold: 5s }}]
        action: {{ dns.update: {{ target: zone, changes: [{changes}] }} }}
        undo: {{ manual: [Put it back] }}
        reversibility: lossless
        expect: 5s
"
        )
    };
    let a = "{ name: App.example.com., from: [192.0.2.10], to: [192.0.2.20], ttl: 60 }";
    let both =
        format!("{a}, {{ name: app.example.com, type: AAAA, from: ['2001:db8::1'], to: ['2001:db8::2'], ttl: 60 }}");
    let other = "{ name: mail.example.com, from: [192.0.2.10], to: [192.0.2.20], ttl: 60 }";
    let aaaa = ", aaaa: { old: ['2001:db8::1'], new: ['2001:db8::2'] }";
    let none = ", aaaa: { old: [], new: [] }";
    let nobody = "nobody asks whether AAAA of `app.example.com` is left behind";
    let behind = "AAAA of `app.example.com` is left behind: actions change A, and none changes AAAA";
    for (text, warned) in [
        (text("", "name.authoritative_old", a), Some(nobody)),
        (text("", "name.authoritative_old", other), None),
        (text("", "!name.aaaa_left_behind", a), None),
        (text(none, "name.authoritative_old", a), None),
        (text(aaaa, "name.authoritative_old", a), Some(behind)),
        (text(aaaa, "name.authoritative_old", &both), None),
    ] {
        let loaded = runbook::load_str("r.yaml", text.clone(), &Options::default());
        let loaded = loaded.unwrap_or_else(|faults| panic!("{faults}"));
        let found: Vec<&str> = loaded.warnings.iter().map(|warning| &*warning.message).collect();
        let of_aaaa: Vec<&str> = found.iter().copied().filter(|message| message.contains("AAAA")).collect();
        assert_eq!(of_aaaa, warned.into_iter().collect::<Vec<_>>(), "{text}");
    }
}
