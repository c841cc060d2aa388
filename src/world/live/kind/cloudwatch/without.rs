//! CloudWatch in a build without AWS: nobody is asked. The command line refuses such a run before it begins.

use std::sync::Arc;
use std::time::Duration;

use crate::core::job::Outcome;
use crate::core::kind::{CloudwatchProbe, SilenceAction};
use crate::core::reading::Failure;
use crate::core::time::Span;
use crate::core::value::Value;
use crate::world::live::Shared;
use crate::world::live::kind::{JobContext, Measure, Perform};

const MISSING: &str = "this build of gonogo has no AWS: build it with the cargo feature `aws`, which is on by default";

impl Measure for CloudwatchProbe {
    type Memory = ();

    const DESCRIPTORS: u32 = 0;

    async fn measure(&self, _: &Shared, _: Duration, (): &mut ()) -> Result<Value, Failure> {
        Err(Failure::new(MISSING.to_owned()))
    }
}

impl Perform for SilenceAction {
    async fn perform(&self, _: &Arc<Shared>, _: JobContext<'_>) -> (Outcome, Option<Span>) {
        (Outcome::Failed { what: format!("{MISSING}; nothing was sent") }, None)
    }
}
