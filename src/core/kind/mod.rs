//! The kinds of probe and action: the one list, and what each kind is for the core.
//!
//! Everything else that treats kinds differently (measuring, performing, rehearsing, drawing) has a file a kind too and
//! goes through [`kinds`], so a kind that lacks a layer does not compile, and no other code needs to match on kinds.

pub mod catalog;
pub mod spec;

/// Passes the list of kinds to the macro `$with`, which generates what a layer needs from it.
///
/// A line is the module of the kind in every layer, the variant and type of its probe with its word in runbooks (and
/// `pane` when the screen draws it in a way of its own), and the same of its action. Adding a kind is adding a line.
macro_rules! kinds {
    ($with:ident) => {
        $with! {
            replication { probe Replication(ReplicationProbe) "postgres.replication" pane replication }
            dns { probe Dns(DnsProbe) "dns" pane dns }
            http { probe Http(HttpProbe) "http" pane http action Http(HttpAction) "http" }
            http_json { probe HttpJson(HttpJsonProbe) "http.json" }
            sql { probe Sql(SqlProbe) "sql" action Sql(SqlAction) "sql" }
            command { probe Command(CommandProbe) "command" action Command(CommandAction) "command" }
            tcp { probe Tcp(TcpProbe) "tcp" }
            tls { probe Tls(TlsProbe) "tls" pane tls }
            pgbouncer { probe Pgbouncer(PgbouncerProbe) "pgbouncer" action Pgbouncer(PgbouncerAction) "pgbouncer" }
            route53 { probe Route53(Route53Probe) "route53" pane route53 action Route53(Route53Action) "route53.change" }
            cloudwatch { probe Cloudwatch(CloudwatchProbe) "cloudwatch" pane cloudwatch action Silence(SilenceAction) "cloudwatch.silence" }
            dns_update { action DnsUpdate(DnsUpdateAction) "dns.update" }
        }
    };
}
pub(crate) use kinds;

macro_rules! modules {
    ($($module:ident {
        $(probe $probe:ident($probe_type:ident) $probe_word:literal $(pane $pane:ident)?)?
        $(action $action:ident($action_type:ident) $action_word:literal)?
    })*) => {
        $(
            pub mod $module;
            $(pub use $module::$probe_type;)?
            $(pub use $module::$action_type;)?
        )*
    };
}
kinds!(modules);
