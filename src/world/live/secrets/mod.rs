//! Secrets: fetched at the moment of use, and kept out of everything that leaves the world.
//!
//! Values live only here, in memory, and in what is sent to the other side.

mod forms;
pub(in crate::world::live) mod mask;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use self::mask::Masker;
use super::files::{FILE_LIMIT, SECRET_FILES, read_in_thread};
use super::foreign;
use super::programs::{self, Printed, Unusable};
use super::waiting::waiting_for;
use crate::core::ids::SecretId;
use crate::core::plan::SecretSource;
use crate::core::quote::Placeholder;
use crate::diagnostics;

/// Longest a program that gives a secret may run.
const COMMAND_LIMIT: Duration = Duration::from_secs(20);
/// How long the output of such a program is used again, since probes ask every second.
const COMMAND_KEPT: Duration = Duration::from_mins(1);
/// Largest secret in bytes.
const LARGEST: u64 = 64 * 1024;
/// Old values of one secret that are still masked, for sources that give a new one each time.
const REMEMBERED: usize = 16;

/// The plan's secrets.
#[derive(Debug)]
pub(in crate::world::live) struct Secrets {
    sources: BTreeMap<SecretId, SecretSource>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Every value ever fetched, newest last.
    values: BTreeMap<SecretId, Vec<String>>,
    /// When a program last returned a value.
    asked: BTreeMap<SecretId, Instant>,
    masker: Masker,
}

impl Secrets {
    /// Takes the plan's sources. Values that are available without waiting are read now, so that they are masked.
    pub(in crate::world::live) fn new(sources: BTreeMap<SecretId, SecretSource>) -> Self {
        let secrets = Self { sources, seen: Mutex::default() };
        secrets.prime_environment();
        let files = secrets.files();
        let (sender, read) = std::sync::mpsc::channel();
        // A separate thread, since a dead disk may block it for ever.
        let reader = std::thread::Builder::new().name("secrets".to_owned());
        let started = reader.spawn(move || sender.send(read_regular(files)));
        if started.is_ok() {
            secrets.remember_all(read.recv_timeout(FILE_LIMIT).unwrap_or_default());
        }
        secrets
    }

    /// Reads the present values from environment and files, so that they are masked wherever they appear.
    pub(in crate::world::live) async fn prime(&self) {
        self.prime_environment();
        let files = self.files();
        if !files.is_empty() {
            let values = read_in_thread(SECRET_FILES, move || Ok(read_regular(files))).await;
            self.remember_all(values.unwrap_or_default());
        }
    }

    fn prime_environment(&self) {
        for (id, source) in &self.sources {
            if let SecretSource::Env(name) = source
                && let Ok(value) = std::env::var(name)
            {
                self.remember(id, &value);
            }
        }
    }

    fn files(&self) -> Vec<(SecretId, String)> {
        let file = |(id, source): (&SecretId, &SecretSource)| match source {
            SecretSource::File(path) => Some((id.clone(), path.clone())),
            SecretSource::Env(_) | SecretSource::Command(_) => None,
        };
        self.sources.iter().filter_map(file).collect()
    }

    fn remember_all(&self, values: Vec<(SecretId, String)>) {
        for (id, value) in values {
            self.remember(&id, &value);
        }
    }

    /// Returns `text` with every placeholder replaced by its secret, escaped as the placeholder says, or a sentence
    /// that names the secret and its source.
    pub(in crate::world::live) async fn reveal(&self, text: &str) -> Result<String, String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, secret, after)) = Placeholder::split(rest) {
            out.push_str(before);
            let value = self.value(secret.name).await.inspect_err(|why| warn!(why = %why, "no secret"))?;
            let unknown = || format!("{} asks for a quoting there is not", foreign::brief(&secret.to_string(), 80));
            out.push_str(&secret.fill(&value).ok_or_else(unknown)?);
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }

    /// Name of the first secret that `text` mentions.
    pub(in crate::world::live) fn first_in(text: &str) -> Option<&str> {
        Placeholder::split(text).map(|(_, secret, _)| secret.name)
    }

    /// Environment variables that hold secrets and must not be inherited by commands.
    pub(in crate::world::live) fn variables(&self) -> impl Iterator<Item = &str> {
        self.sources.values().filter_map(|source| match source {
            SecretSource::Env(name) => Some(name.as_str()),
            SecretSource::File(_) | SecretSource::Command(_) => None,
        })
    }

    /// A masker for every value known by now.
    pub(in crate::world::live) fn masker(&self) -> Masker {
        self.seen().masker.clone()
    }

    /// Makes outside text fit to leave the world: secrets masked, hostile characters visible.
    pub(in crate::world::live) fn tell(&self, text: &str) -> String {
        foreign::clean(&self.masker().mask(text))
    }

    /// The same on one line of at most `most` characters, for the middle of a sentence.
    pub(in crate::world::live) fn tell_brief(&self, text: &str, most: usize) -> String {
        foreign::brief(&self.masker().mask(text), most)
    }

    async fn value(&self, name: &str) -> Result<String, String> {
        let Some((id, source)) = self.sources.get_key_value(name) else {
            return Err(format!("the runbook has no secret `{}`", foreign::brief(name, 80)));
        };
        let value = match source {
            SecretSource::Env(variable) => {
                std::env::var(variable).map_err(|_| format!("secret `{id}`: the variable {variable} is not set"))?
            }
            SecretSource::File(path) => {
                let own = path.clone();
                let read = read_in_thread(path, move || read_file(&own).map_err(|err| err.to_string()));
                let read = waiting_for(|| format!("the file of secret `{id}` ({path})"), read);
                read.await.map_err(|err| format!("secret `{id}`: {path}: {err}"))?
            }
            SecretSource::Command(words) => {
                if let Some(value) = self.recent(id) {
                    value
                } else {
                    let command = waiting_for(|| format!("the command of secret `{id}`"), run(words));
                    let value = command.await.map_err(|err| format!("secret `{id}`: {err}"))?;
                    self.seen().asked.insert(id.clone(), Instant::now());
                    value
                }
            }
        };
        if value.is_empty() {
            return Err(format!("secret `{id}` is empty"));
        }
        self.remember(id, &value);
        Ok(value)
    }

    fn recent(&self, id: &SecretId) -> Option<String> {
        let seen = self.seen();
        seen.asked.get(id).filter(|at| at.elapsed() < COMMAND_KEPT)?;
        seen.values.get(id)?.last().cloned()
    }

    fn remember(&self, id: &SecretId, value: &str) {
        let mut seen = self.seen();
        let values = seen.values.entry(id.clone()).or_default();
        if let Some(at) = values.iter().position(|known| known == value) {
            let known = values.remove(at);
            values.push(known);
            return;
        }
        if values.len() == REMEMBERED {
            values.remove(0);
        }
        values.push(value.to_owned());
        let masker = Masker::new(
            seen.values.iter().flat_map(|(id, values)| values.iter().map(|value| (id.as_str(), value.as_str()))),
        );
        seen.masker = masker.clone();
        diagnostics::mask_with(move |text| masker.mask(text));
        debug!(secret = %id, known = seen.values.len(), "a value is masked from now on");
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads only regular files. A pipe can be read only once, and may wait for its writer.
fn read_regular(files: Vec<(SecretId, String)>) -> Vec<(SecretId, String)> {
    let regular = files.into_iter().filter(|(_, path)| Path::new(path).is_file());
    regular.filter_map(|(id, path)| Some((id, read_file(&path).ok()?))).collect()
}

fn read_file(path: &str) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(path)?.take(LARGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(std::io::Error::other("it is longer than 64 KiB"));
    }
    Ok(without_break(text))
}

async fn run(words: &[String]) -> Result<String, String> {
    let (program, args) = words.split_first().ok_or("its command is empty")?;
    let mut command = programs::command(program);
    command.args(args);
    let printed = tokio::time::timeout(COMMAND_LIMIT, programs::run(command, LARGEST))
        .await
        .map_err(|_| format!("{program} gave nothing within {} s", COMMAND_LIMIT.as_secs()))?;
    let Printed { status, out, .. } = printed.map_err(|why| match why {
        Unusable::Unstarted(err) => format!("{program} does not start: {err}"),
        Unusable::TooMuch => format!("{program} printed more than 64 KiB and was stopped"),
        Unusable::Lost(err) => format!("{program}: {err}"),
    })?;
    if !status.success() {
        return Err(format!("{program} ended with {status}"));
    }
    // The text itself is the secret: an error about it must not quote it.
    String::from_utf8(out).map(without_break).map_err(|_| format!("{program} printed something that is not UTF-8"))
}

fn without_break(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(sources: &[(&str, SecretSource)]) -> Secrets {
        Secrets::new(sources.iter().map(|(id, source)| (SecretId::from(*id), source.clone())).collect())
    }

    fn command(text: &str) -> SecretSource {
        SecretSource::Command(["/bin/sh", "-c", text].map(str::to_owned).to_vec())
    }

    #[tokio::test]
    async fn values_are_put_in_late_and_masked_from_then_on() {
        let secrets = secrets(&[("a", command("printf 'hunter22\\n'"))]);
        assert_eq!(secrets.tell("hunter22"), "hunter22", "not known before it is used");
        assert_eq!(secrets.reveal("x=«secret:a»;").await.unwrap(), "x=hunter22;");
        assert_eq!(secrets.tell("got hunter22\u{1b}"), "got «secret:a»␛");
    }

    #[tokio::test]
    async fn values_are_escaped_for_their_place_and_masked_in_that_form_too() {
        let secrets = secrets(&[("a", command(r#"printf '%s' "it's \\ a \"b\"""#))]);
        let places = [
            ("«secret:a»", r#"it's \ a "b""#),
            ("E'«secret:a|literal»'", r#"E'it''s \\ a "b"'"#),
            ("'«secret:a|conninfo»'", r#"'it\'s \\ a "b"'"#),
            ("E'''«secret:a|conninfo|literal»'''", r#"E'''it\\''s \\\\ a "b"'''"#),
            (r#""«secret:a|name»""#, r#""it's \ a ""b""""#),
        ];
        for (text, wanted) in places {
            let revealed = secrets.reveal(text).await.unwrap();
            assert_eq!(revealed, wanted);
            let masked = secrets.tell(&revealed);
            assert!(masked.contains("«secret:a»") && !masked.contains("it"), "{text}: {masked}");
        }
        let err = secrets.reveal("«secret:a|shell»").await.unwrap_err();
        assert_eq!(err, "«secret:a|shell» asks for a quoting there is not");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_file_that_nobody_writes_holds_up_nobody_else_and_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        let secrets = secrets(&[("pipe", SecretSource::File(pipe.display().to_string()))]);
        let secrets = std::sync::Arc::new(secrets);
        let asked = tokio::spawn({
            let secrets = std::sync::Arc::clone(&secrets);
            async move { secrets.reveal("«secret:pipe»").await }
        });
        // There is one worker thread: if it were blocked, this would never run.
        tokio::spawn(async {}).await.unwrap();
        let err = asked.await.unwrap().unwrap_err();
        assert!(err.contains("secret `pipe`") && err.contains("within 4 s"), "{err}");
        // Releases the thread that waits for a writer, or the runtime would wait for it.
        drop(std::fs::OpenOptions::new().write(true).open(&pipe).unwrap());
    }

    #[tokio::test]
    async fn a_missing_secret_is_named_with_its_source() {
        let secrets = secrets(&[
            ("env", SecretSource::Env("GONOGO_TEST_NOT_SET".to_owned())),
            ("file", SecretSource::File("/nonexistent/secret".to_owned())),
            ("program", command("echo canary-value; exit 3")),
        ]);
        assert_eq!(
            secrets.reveal("«secret:env»").await.unwrap_err(),
            "secret `env`: the variable GONOGO_TEST_NOT_SET is not set"
        );
        assert!(secrets.reveal("«secret:file»").await.unwrap_err().contains("/nonexistent/secret"));
        let err = secrets.reveal("«secret:program»").await.unwrap_err();
        assert!(err.contains("/bin/sh") && err.contains('3') && !err.contains("canary"), "{err}");
        assert_eq!(secrets.reveal("«secret:other»").await.unwrap_err(), "the runbook has no secret `other`");
    }
}
