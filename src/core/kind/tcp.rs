//! The `tcp` probe.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::spec::{CheckContext, Complaint, ProbeDoc, ProbeSpec, TargetUse};
use crate::core::syntax::is_host_port;
use crate::core::value::{Field, Shape};

/// Whether a TCP connection opens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TcpProbe {
    /// `host:port`.
    pub address: String,
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
            Field::new("open", Shape::Bool, "whether the connection opened"),
            Field::new("connect_ms", Shape::Float, "time until it was open").unit("milliseconds").null("it was not"),
        ]
    }
}
