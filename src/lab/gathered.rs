//! What the lab's customers meet, as metrics of the lab's CloudWatch: `Requests` and `Errors` of `Lab/Shop`, once a second.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::AWS_KEY;
use super::cloudwatch::{CloudWatch, CloudWatchOptions, LabAlarm};
use super::customers::Memory;

/// How late every other number is: the lab has no two minutes.
const LATE: Duration = Duration::from_secs(10);

/// The lab's CloudWatch, with two alarms that can be silenced.
pub(super) fn service() -> Arc<CloudWatch> {
    let options = CloudWatchOptions { key_id: AWS_KEY.to_owned(), late: LATE, ..CloudWatchOptions::default() };
    let cloudwatch = CloudWatch::new(options);
    for alarm in ["shop-errors", "shop-no-customers"] {
        cloudwatch.put_alarm(alarm, LabAlarm { acts: true, in_alarm: false, composite: false });
    }
    Arc::new(cloudwatch)
}

/// Counts for ever. As with the services of AWS, errors are left out while there are none.
pub(super) async fn gather(cloudwatch: Arc<CloudWatch>, memory: Arc<Memory>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut before = memory.report();
    loop {
        ticks.tick().await;
        let now = memory.report();
        // Failures are counted anew after a reset.
        let failed = now.failed.checked_sub(before.failed).unwrap_or(now.failed);
        let counted = [("Requests", now.requests.saturating_sub(before.requests)), ("Errors", failed)];
        for (name, count) in counted.into_iter().filter(|(name, count)| *name == "Requests" || *count > 0) {
            #[allow(clippy::cast_precision_loss)] // some tens
            let number = (Duration::ZERO, count as f64);
            cloudwatch.put("Lab/Shop", name, &[("Shop", "lab")], number, true);
        }
        before = now;
    }
}
