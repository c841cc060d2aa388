//! The `tls` probe in a rehearsal: every server has a valid certificate, whose days count down from plenty.

use super::{Look, Observe};
use crate::core::kind::TlsProbe;
use crate::core::time::{At, Span};
use crate::core::value::Value;
use crate::world::sim::dice::Dice;
use crate::world::sim::model::Model;

impl Observe for TlsProbe {
    /// When the certificate was first seen.
    type Memory = Option<At>;

    fn takes(&self, _: &Model, dice: &mut Dice) -> f64 {
        dice.around(30.0, 0.3)
    }

    fn sees(&self, look: Look<'_>, first: &mut Option<At>) -> Result<Value, String> {
        let now = look.model.now;
        let first = *first.get_or_insert(now);
        let (begins, ends) = (first.before(days(10)), ends(first));
        #[allow(clippy::cast_precision_loss)] // milliseconds of some days
        let left = (ends.0.saturating_sub(now.0)) as f64 / days(1).0 as f64;
        let valid = left >= 0.0;
        let shown = |at: At| at.timestamp().map(|at| at.to_string()).unwrap_or_default();
        let name = self.expected_name();
        Ok(Value::map([
            ("valid", valid.into()),
            ("reason", if valid { "" } else { "expired a while ago" }.into()),
            ("days_left", Value::Float(left)),
            ("not_before", shown(begins).into()),
            ("not_after", shown(ends).into()),
            ("names", Value::List(vec![name.into()])),
            ("subject", format!("CN={name}").into()),
            ("issuer", "CN=Simulated authority".into()),
            ("self_signed", false.into()),
            ("fingerprint", "0".repeat(64).into()),
            ("chain_length", 2.into()),
            ("protocol", "TLSv1.3".into()),
            ("cipher", "TLS_AES_256_GCM_SHA384".into()),
            ("alpn", self.alpn.first().cloned().into()),
            ("address", self.endpoint().into()),
            ("connect_ms", Value::Float(look.dice.around(2.0, 0.3))),
            ("handshake_ms", Value::Float(look.dice.around(15.0, 0.3))),
        ]))
    }
    /// The next moment at which whole days are left: limits are given in days.
    fn next_change(&self, now: At, first: &Self::Memory) -> At {
        let Some(first) = *first else { return At::NEVER };
        let day = days(1).0;
        let left = ends(first).since(now).0;
        // Just past it, so that `days_left >= 14` has turned, too.
        if left == 0 { At::NEVER } else { now.plus(Span((left - 1) % day + 2)) }
    }
}

fn days(days: u64) -> Span {
    Span::secs(days * 24 * 60 * 60)
}

fn ends(first: At) -> At {
    first.plus(days(TlsProbe::REHEARSED_DAYS.into()))
}
