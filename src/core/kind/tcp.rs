//! The `tcp` probe.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::spec::{CheckContext, Complaint, ProbeDoc, ProbeSpec, RehearsedChanges, TargetUse};
use crate::core::ids::ProbeId;
use crate::core::syntax::is_host_port;
use crate::core::time::Span;
use crate::core::value::{Field, Shape, Value};

/// Whether a TCP connection opens and stays open.
///
/// Every result is a reading, no answer too, so that `!port.open` can be a condition. A connection that the other side
/// closes or resets within a quarter of a second is not open: a proxy without a server behind it accepts connections
/// like that. A server that waits for its client, or speaks first, is open. A name that cannot be resolved is a failure.
/// When an address answers that the name did not have before, every hold on this probe begins anew. The watching takes
/// its time whatever the `limit` is, which is therefore 500ms at least.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TcpProbe {
    /// `host:port`.
    pub address: String,
}

impl TcpProbe {
    /// For how long an open connection is watched. A proxy, a load balancer or a forwarded port accepts it and then closes it as
    /// soon as no server answers behind.
    pub const LOOK: Span = Span(250);
}

impl ProbeSpec for TcpProbe {
    fn targets(&self) -> Vec<TargetUse<'_>> {
        Vec::new()
    }

    fn addresses(&self) -> Vec<&str> {
        vec![&self.address]
    }

    fn shape(&self) -> Shape {
        Shape::Record(Self::fields())
    }

    fn fixed(&self, _: &ProbeId, _: &RehearsedChanges<'_>) -> Vec<(&'static str, Value)> {
        vec![("open", true.into()), ("state", "open".into()), ("failure", "".into())]
    }

    fn advice(&self, _: &ProbeId, _: &str) -> String {
        "in a rehearsal every port is open".to_owned()
    }

    fn shortest_limit(&self) -> Option<(Span, &'static str)> {
        Some((Span(2 * Self::LOOK.0), "an open connection is watched for 250 ms before it counts as open"))
    }

    fn check(&self, _: &CheckContext<'_>) -> Vec<Complaint> {
        if is_host_port(&self.address) {
            return Vec::new();
        }
        vec![Complaint::value(&["address"], "this is not `host:port`", "expected a host and a port")]
    }
}

impl ProbeDoc for TcpProbe {
    const EXAMPLE: &'static str = r#"title: See that the new mail server can be reached
probes:
  smtp: { kind: tcp, address: "mail.example.com:25" }
phases:
  - title: Look
    steps:
      - id: reachable
        title: Wait until the port is open
        action: { wait: { until: { conditions: [smtp.open], within: 5m } } }
        expect: 10s
        reversibility: free
"#;
    const RIGHTS: &'static str = "None. A firewall must let this machine connect.";

    fn fields() -> Vec<Field> {
        vec![
            Field::new("open", Shape::Bool, "whether the connection opened and stayed open"),
            Field::new(
                "state",
                Shape::Text,
                "`open`, `refused`, `filtered` (no answer), `unreachable`, `closed` (at once) or `reset` (at once)",
            )
            .words(&["open", "refused", "filtered", "unreachable", "closed", "reset"]),
            Field::new("failure", Shape::Text, "why it is not open, in a sentence; empty when it is"),
            Field::new("address", Shape::Text, "IP address and port that answered").null("nothing did"),
            Field::new("connect_ms", Shape::Float, "time until it was open").unit("milliseconds").null("it was not"),
        ]
    }
}
