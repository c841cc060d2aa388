//! The `tls` probe in a rehearsal: every server has a valid certificate with plenty of days left.

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
        let first = *first.get_or_insert(look.model.now);
        let days = |days: u64| Span::secs(days * 24 * 60 * 60);
        let (begins, ends) = (first.before(days(10)), first.plus(days(Self::REHEARSED_DAYS.into())));
        let shown = |at: At| at.timestamp().map(|at| at.to_string()).unwrap_or_default();
        let name = self.expected_name();
        Ok(Value::map([
            ("valid", true.into()),
            ("reason", "".into()),
            ("days_left", Value::Float(Self::REHEARSED_DAYS.into())),
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
}
