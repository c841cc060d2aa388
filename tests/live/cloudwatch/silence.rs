//! Alarms are silenced and woken as the run says, once, and only those that it has silenced itself.

use gonogo::core::action::Action;
use gonogo::core::job::{Adoption, Outcome};
use gonogo::core::kind::SilenceAction;
use gonogo::core::target::Target;
use gonogo::core::time::Span;
use gonogo::lab::cloudwatch::{CloudWatchFault, LabAlarm};
use gonogo::world::World as _;

use super::Service;
use crate::support::{Setting, Stage, failed, key, succeeded, unknown};

const ALARM: LabAlarm = LabAlarm { acts: true, in_alarm: false, composite: false };

impl Service {
    /// With two alarms whose actions are on, a composite one too, and one that somebody else has silenced.
    async fn with_alarms() -> Self {
        let service = Self::new().await;
        service.service.put_alarm("connections", ALARM);
        service.service.put_alarm("everything", LabAlarm { composite: true, ..ALARM });
        service.service.put_alarm("old", LabAlarm { acts: false, ..ALARM });
        service
    }

    fn actors(&self) -> Stage {
        Setting::default().target("metrics", Target::Cloudwatch(self.region())).stage()
    }

    fn acts(&self, alarm: &str) -> bool {
        self.service.alarm(alarm).unwrap().acts
    }
}

fn silence(end: bool) -> Action {
    let alarms = ["connections", "everything", "old"].map(str::to_owned).into();
    Action::Silence(SilenceAction { target: "metrics".into(), alarms, end, limit: Span::secs(30) })
}

#[tokio::test]
async fn what_the_run_has_silenced_is_woken_and_nothing_else() {
    let service = Service::with_alarms().await;
    let mut stage = service.actors();
    let done = stage.run(silence(false)).await;
    let summary = succeeded(&done);
    assert!(summary.starts_with("silent in metrics (CloudWatch in eu-central-1"), "{summary}");
    assert!(summary.ends_with(": connections, everything; silent before, and left so at the end: old"), "{summary}");
    assert!(!service.acts("connections") && !service.acts("everything") && !service.acts("old"));
    // One of them rang meanwhile, and nobody heard it.
    service.service.put_alarm("connections", LabAlarm { acts: false, in_alarm: true, composite: false });
    let done = stage.run(silence(true)).await;
    let summary = succeeded(&done);
    assert!(summary.contains(": connections, everything; in ALARM now, and nobody was told: connections"), "{summary}");
    assert!(service.acts("connections") && service.acts("everything") && !service.acts("old"));
    assert_eq!(service.service.switches(), 2);
    let done = stage.run(silence(true)).await;
    assert!(succeeded(&done).contains("has silenced none of them"), "{done:?}");
    assert_eq!(service.service.switches(), 2);
    stage.assert_clean(&["canary-secret-key"]);
}

#[tokio::test]
async fn alarms_that_do_not_exist_are_told_before_anything_is_sent() {
    let service = Service::with_alarms().await;
    service.service.remove_alarm("everything");
    let refused = service.actors().run(silence(false)).await;
    assert!(failed(&refused).contains("has no alarm everything; nothing was sent"), "{refused:?}");
    assert!(service.acts("connections"));
    assert_eq!(service.service.switches(), 0);
    // Of others that are silent already nothing is to be woken later.
    let service = Service::with_alarms().await;
    for alarm in ["connections", "everything"] {
        service.service.put_alarm(alarm, LabAlarm { acts: false, ..service.service.alarm(alarm).unwrap() });
    }
    let mut stage = service.actors();
    assert!(succeeded(&stage.run(silence(false)).await).contains("somebody else has silenced all of them"));
    assert!(succeeded(&stage.run(silence(true)).await).contains("has silenced none of them"));
    assert_eq!(service.service.switches(), 0);
}

#[tokio::test]
async fn a_lost_answer_is_looked_after_and_nothing_is_sent_twice() {
    let service = Service::with_alarms().await;
    let mut stage = service.actors();
    service.service.switching_goes_wrong(CloudWatchFault::DropAfterApply);
    let done = stage.run(silence(false)).await;
    assert!(succeeded(&done).contains("though the answer was lost: connections, everything"), "{done:?}");
    assert_eq!(service.service.switches(), 1);
    service.service.switching_goes_wrong(CloudWatchFault::DropBefore);
    let lost = stage.run(silence(true)).await;
    assert!(unknown(&lost).contains("still silent: connections, everything; it may still be carried out"), "{lost:?}");
    assert_eq!(service.service.switches(), 2, "the SDK must not send it again");
    succeeded(&stage.run(silence(true)).await);
    assert!(service.acts("connections") && service.acts("everything"));
}

#[tokio::test]
async fn what_is_refused_has_changed_nothing_and_what_comes_too_early_is_sent_again() {
    let service = Service::with_alarms().await;
    let mut stage = service.actors();
    service.service.switching_goes_wrong(CloudWatchFault::AccessDenied);
    let refused = stage.run(silence(false)).await;
    let what = failed(&refused);
    assert!(what.contains("AccessDenied") && what.ends_with("nothing was changed"), "{what}");
    assert!(
        succeeded(&stage.run(silence(true)).await).contains("has silenced none of them"),
        "nothing is left written down"
    );
    service.service.switching_goes_wrong(CloudWatchFault::Throttled);
    succeeded(&stage.run(silence(false)).await);
    assert!(stage.lines().iter().any(|line| line.contains("Throttling") && line.contains("sent again in 2 s")));
    assert!(!service.acts("connections"));
}

#[tokio::test]
async fn after_a_restart_it_is_looked_what_became_of_it_and_nothing_is_sent() {
    // Nothing had been written down, so nothing had been sent.
    let service = Service::with_alarms().await;
    let mut stage = service.actors();
    let wanted = key("silence");
    stage.world.adopt(wanted.clone(), &silence(false));
    assert_eq!(stage.adopted(&wanted).await, Adoption::Running);
    let outcome = stage.ended(&wanted).await;
    assert!(failed(&outcome).ends_with("nothing was sent"), "{outcome:?}");
    // It had taken effect; the end of it finds what was written down.
    succeeded(&stage.run(silence(false)).await);
    let again = key("again");
    stage.world.adopt(again.clone(), &silence(false));
    assert_eq!(stage.adopted(&again).await, Adoption::Running);
    match stage.ended(&again).await {
        Outcome::Succeeded { summary } => {
            assert!(summary.contains("as was found after a restart: connections"), "{summary}");
        }
        other => panic!("{other:?}"),
    }
    let switches = service.service.switches();
    let end = key("end");
    stage.world.adopt(end.clone(), &silence(true));
    assert_eq!(stage.adopted(&end).await, Adoption::Running);
    let outcome = stage.ended(&end).await;
    assert!(unknown(&outcome).contains("still silent: connections, everything"), "{outcome:?}");
    assert_eq!(service.service.switches(), switches);
}
