//! CloudWatch in a build without AWS: nobody is asked. The command line refuses such a run before it begins.

use std::time::Duration;

use crate::core::kind::CloudwatchProbe;
use crate::core::reading::Failure;
use crate::core::value::Value;
use crate::world::live::Shared;
use crate::world::live::kind::Measure;

impl Measure for CloudwatchProbe {
    type Memory = ();

    const DESCRIPTORS: u32 = 0;

    async fn measure(&self, _: &Shared, _: Duration, (): &mut ()) -> Result<Value, Failure> {
        Err(Failure::new(
            "this build of gonogo has no AWS: build it with the cargo feature `aws`, which is on by default".to_owned(),
        ))
    }
}
