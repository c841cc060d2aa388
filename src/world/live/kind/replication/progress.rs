//! How far the first copy is, and what replication leaves out: sequences.

use std::collections::BTreeMap;
use std::time::Instant;

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::Both;
use super::asked::{PgResult, Slot, Subscription};
use crate::core::kind::replication::ShrinkingTrend;
use crate::core::reading::Failure;
use crate::core::time::Span;

/// Rows of the published tables as the source estimates them; NULL for a table that was never analysed.
const ESTIMATES: &str = "select distinct t.schemaname || '.' || t.tablename as name, \
    case when c.reltuples > 0 or c.reltuples = 0 and c.relpages > 0 then c.reltuples::int8 \
      when pg_relation_size(c.oid) = 0 then 0 end as rows \
    from pg_publication_tables t join pg_namespace n on n.nspname = t.schemaname \
      join pg_class c on c.relnamespace = n.oid and c.relname = t.tablename where t.pubname = any ($1)";

/// The tables of a subscription: whether each is copied, and the rows that a copy under way has brought.
const COPIES: &str = "select n.nspname || '.' || t.relname as name, r.srsubstate in ('f', 's', 'r') as copied, \
    r.srsubstate = 'i' as waits, p.tuples_processed::int8 as rows \
    from pg_subscription_rel r join pg_class t on t.oid = r.srrelid join pg_namespace n on n.oid = t.relnamespace \
      left join pg_stat_progress_copy p on p.relid = r.srrelid and p.datname = current_database() \
    where r.srsubid::int8 = $1";

/// Every permanent sequence: its newest number, or the one before its first. NULL where the role may not read it.
const SEQUENCES: &str = "select n.nspname || '.' || c.relname as name, q.seqincrement as step, \
    case when has_sequence_privilege(c.oid, 'SELECT,USAGE') then \
      coalesce(pg_sequence_last_value(c.oid::regclass), q.seqstart - q.seqincrement) end as newest \
    from pg_sequence q join pg_class c on c.oid = q.seqrelid join pg_namespace n on n.oid = c.relnamespace \
    where c.relpersistence = 'p' and n.nspname !~ '^pg_'";

/// Longest time for which it is foretold that a slot has no room left, in seconds: a rate that needs longer is noise.
const FORESEEN: f64 = 86_400.0;

/// How far the first copy is.
#[derive(Clone, Copy, Default)]
pub(super) struct CopyProgress {
    pub(super) total: Option<i64>,
    pub(super) copied: Option<i64>,
    pub(super) ends_in: Option<f64>,
}

/// What one measurement of progress leaves for the next.
#[derive(Default)]
pub(super) struct Progress {
    begun: Option<Instant>,
    rows: ShrinkingTrend,
    room: ShrinkingTrend,
}

impl Progress {
    fn moment(&mut self) -> Span {
        let now = Instant::now();
        Span::of(now.duration_since(*self.begun.get_or_insert(now)))
    }

    /// Seconds until the slot has no room left. The room is freed by whole WAL files, so that it shrinks within the newest
    /// one also where nothing is kept.
    #[allow(clippy::cast_precision_loss)] // bytes of a disk
    pub(super) fn full_in(&mut self, slot: Option<&Slot>) -> Option<f64> {
        let moment = self.moment();
        self.room.see(moment, slot.and_then(|slot| slot.safe).map(|room| room as f64));
        slot.filter(|slot| slot.retained > Some(slot.segment))?;
        self.room.ends_in().filter(|seconds| *seconds < FORESEEN)
    }

    /// Looks how far the first copy is, while there is one.
    #[allow(clippy::cast_precision_loss)] // rows of a database
    pub(super) async fn of_copy(
        &mut self,
        both: &Both<'_>,
        subscription: &Subscription,
    ) -> Result<CopyProgress, Failure> {
        let moment = self.moment();
        let Some(id) = subscription.id.filter(|_| subscription.ready < subscription.tables) else {
            self.rows.see(moment, None);
            return Ok(CopyProgress::default());
        };
        let estimates = both.on_source(ask_estimates(both.source.client(), &subscription.publications).await)?;
        let copied = if subscription.version >= 140_000 {
            both.on_target(ask_copied(both.target.client(), id, &estimates).await)?
        } else {
            None
        };
        let total = estimates.values().copied().sum::<Option<i64>>();
        let left = total.zip(copied).map(|(total, copied)| (total - copied).max(0) as f64);
        self.rows.see(moment, left);
        Ok(CopyProgress { total, copied, ends_in: self.rows.ends_in() })
    }
}

async fn ask_estimates(client: &Client, publications: &[String]) -> PgResult<BTreeMap<String, Option<i64>>> {
    let rows = client.query_typed(ESTIMATES, &[(&publications, Type::TEXT_ARRAY)]).await?;
    rows.iter().map(|row| Ok((row.try_get("name")?, row.try_get("rows")?))).collect()
}

/// Rows that have been copied; `None` when that is not known of a table.
async fn ask_copied(
    client: &Client,
    subscription: i64,
    estimates: &BTreeMap<String, Option<i64>>,
) -> PgResult<Option<i64>> {
    let rows = client.query_typed(COPIES, &[(&subscription, Type::INT8)]).await?;
    let mut sum = Some(0_i64);
    for row in &rows {
        let name: String = row.try_get("name")?;
        let of_table = match (row.try_get("copied")?, row.try_get("waits")?) {
            (true, _) => estimates.get(&name).copied().flatten(),
            (false, true) => Some(0),
            (false, false) => row.try_get("rows")?,
        };
        sum = sum.zip(of_table).map(|(sum, of_table)| sum.saturating_add(of_table));
    }
    Ok(sum)
}

/// A sequence: how it counts, and its newest number where the role may read it.
#[derive(Clone, Copy)]
struct Sequence {
    step: i64,
    newest: Option<i64>,
}

type Sequences = BTreeMap<String, Sequence>;

/// How far the target's sequences lie behind those of the source.
#[derive(Clone, Default, PartialEq, Debug)]
pub(super) struct SequenceGap {
    pub(super) gap: Option<i64>,
    /// The sequence it is of, or the one that is missing or cannot be read.
    pub(super) sequence: Option<String>,
}

pub(super) async fn ask_sequence_gap(both: &Both<'_>) -> Result<SequenceGap, Failure> {
    let (source, target) = tokio::join!(ask_sequences(both.source.client()), ask_sequences(both.target.client()));
    Ok(sequence_gap(&both.on_source(source)?, &both.on_target(target)?))
}

async fn ask_sequences(client: &Client) -> PgResult<Sequences> {
    let rows = client.query_typed(SEQUENCES, &[]).await?;
    let sequence = |row: &tokio_postgres::Row| {
        Ok((row.try_get("name")?, Sequence { step: row.try_get("step")?, newest: row.try_get("newest")? }))
    };
    rows.iter().map(sequence).collect()
}

fn sequence_gap(source: &Sequences, target: &Sequences) -> SequenceGap {
    let mut farthest = SequenceGap { gap: Some(0), sequence: None };
    for (name, on_source) in source {
        let on_target = target.get(name).and_then(|on_target| on_target.newest);
        let (Some(newest), Some(on_target)) = (on_source.newest, on_target) else {
            return SequenceGap { gap: None, sequence: Some(name.clone()) };
        };
        let behind = newest.saturating_sub(on_target).checked_div(on_source.step).unwrap_or(0);
        if Some(behind) > farthest.gap {
            farthest = SequenceGap { gap: Some(behind), sequence: Some(name.clone()) };
        }
    }
    farthest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_that_is_farthest_behind_counts_and_one_that_cannot_be_read_makes_it_unknown() {
        let of = |all: &[(&str, i64, Option<i64>)]| -> Sequences {
            all.iter()
                .map(|(name, step, newest)| ((*name).to_owned(), Sequence { step: *step, newest: *newest }))
                .collect()
        };
        let source = of(&[("s.a", 1, Some(10)), ("s.b", 10, Some(200)), ("s.down", -1, Some(-50))]);
        let gap = |target: &Sequences| {
            let gap = sequence_gap(&source, target);
            (gap.gap, gap.sequence)
        };
        let all = of(&[("s.a", 1, Some(10)), ("s.b", 10, Some(200)), ("s.down", -1, Some(-50))]);
        assert_eq!(gap(&all), (Some(0), None));
        let ahead = of(&[("s.a", 1, Some(1_010)), ("s.b", 10, Some(100)), ("s.down", -1, Some(-20))]);
        assert_eq!(gap(&ahead), (Some(30), Some("s.down".to_owned())), "it counts down");
        let hidden = of(&[("s.a", 1, None), ("s.b", 10, Some(100)), ("s.down", -1, Some(-20))]);
        assert_eq!(gap(&hidden), (None, Some("s.a".to_owned())));
        assert_eq!(gap(&of(&[("s.a", 1, Some(10))])), (None, Some("s.b".to_owned())), "missing on the target");
    }
}
