//! Schedules in virtual time: when they start, when not, and what a crash makes of them.

use std::sync::Arc;
use std::time::Duration;

use velodrome_connect::{BUILT_IN, Carrying, Outgoing, Transport};
use velodrome_runtime::api::CycleCommand;
use velodrome_runtime::simulated::{Simulated, SimulatedOptions, VirtualTime};
use velodrome_runtime::{CycleFiles, EditedFiles};
use velodrome_script::{ScriptHost, ScriptLimits, Workers};
use velodrome_spec::check_connector;
use velodrome_store::{LogFilter, MemoryStore, Store};
use velodrome_testkit::{Faults, Faulty};
use velodrome_types::{CycleState, Event, LogLine, Timestamp};

/// No cycle here asks anybody.
#[derive(Debug)]
struct Nobody;

impl Transport for Nobody {
    fn carry(&self, request: Outgoing) -> Carrying<'_> {
        panic!("nobody is asked: {request:?}");
    }
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("a fixture")
}

fn start() -> Timestamp {
    at("2026-01-01T00:00:00Z")
}

const MINUTE: Duration = Duration::from_secs(60);

/// A cycle with this `schedule:`, and what else is said, whose loops take so long.
fn cycle(schedule: &str, more: &str, takes: &str) -> String {
    format!(
        r#"
cycle: clock
schedule: {schedule}
{more}
steps:
  webhook:
    use: generic_webhook.webhook
    fields: {{page: {{type: integer, default: 0}}}}
    then: work
  work: {{use: delay, for: {takes}}}
"#
    )
}

/// An engine, its files, and what is stored.
struct Life {
    simulated: Simulated,
    files: Arc<EditedFiles>,
    store: Arc<dyn Store>,
}

impl Life {
    fn begin(text: &str) -> Self {
        Self::on(
            Arc::new(MemoryStore::new()),
            text,
            VirtualTime::new(start()),
        )
    }

    fn on(store: Arc<dyn Store>, text: &str, time: VirtualTime) -> Self {
        let connectors = BUILT_IN.iter().map(|(name, text)| {
            let def = check_connector(name, text).0.expect("built in");
            (Arc::new(def), (*text).to_owned())
        });
        let files = Arc::new(EditedFiles::default());
        files.put("clock.yaml", text.to_owned());
        let simulated = Simulated::start(SimulatedOptions {
            store: Arc::clone(&store),
            files: CycleFiles::Edited(Arc::clone(&files)),
            connectors: connectors.collect(),
            connections: Vec::new(),
            egress: Default::default(),
            response_limit: 1 << 20,
            error_webhook: None,
            env: Default::default(),
            host: Arc::new(ScriptHost::new(ScriptLimits::default(), Workers::threads())),
            world: Arc::new(Nobody),
            time,
            seed: 1,
            jitter: Some(0.0),
            horizon: MINUTE * 60 * 24 * 365,
            schedules: true,
        })
        .expect("a fixture");
        Self {
            simulated,
            files,
            store,
        }
    }

    fn until(&self, minutes: u32) -> &Self {
        self.simulated.run_until(start().plus(MINUTE * minutes));
        self
    }

    fn say(&self, command: CycleCommand) -> CycleState {
        let engine = self.simulated.engine().clone();
        let said = self
            .simulated
            .add(async move { engine.command(&"clock".into(), command).await });
        self.simulated.run_until(self.simulated.time().now());
        let view = self.simulated.outcome(said).expect("it is done at once");
        view.expect("it is done").state
    }

    fn edit(&self, text: &str) {
        self.files.put("clock.yaml", text.to_owned());
        let engine = self.simulated.engine().clone();
        let read = self.simulated.add(async move { engine.reload().await });
        self.simulated.run_until(self.simulated.time().now());
        let problems = self.simulated.outcome(read).expect("it is done at once");
        assert_eq!(problems, [""; 0]);
    }

    fn lines(&self, event: Event) -> Vec<LogLine> {
        lines(&*self.store, event)
    }

    /// When the moments were due that something happened to, in minutes and, behind the colon, seconds.
    fn due(&self, event: Event) -> Vec<String> {
        due(&*self.store, event)
    }

    fn next(&self) -> Option<Timestamp> {
        let view = self
            .simulated
            .engine()
            .cycle(&"clock".into())
            .expect("a fixture");
        view.schedule.and_then(|schedule| schedule.next)
    }
}

fn lines(store: &dyn Store, event: Event) -> Vec<LogLine> {
    let filter = LogFilter {
        event: Some(event),
        ..LogFilter::default()
    };
    store.log_after(0, &filter, 10_000).expect("a fixture").0
}

fn due(store: &dyn Store, event: Event) -> Vec<String> {
    let lines = lines(store, event);
    let due = lines.iter().map(|line| {
        let due = &line.data.as_ref().expect("it says what was due")["due"];
        let due = at(due.as_str().expect("a moment"));
        let seconds = due.since(start()).as_secs();
        format!("{}:{:02}", seconds / 60, seconds % 60)
    });
    due.collect()
}

#[test]
fn every_five_minutes_is_every_five_minutes() {
    let life = Life::begin(&cycle(
        "{every: 5 minutes, send: {page: 7}}",
        "",
        "1 second",
    ));
    life.until(0);
    assert_eq!(life.next(), Some(start().plus(MINUTE * 5)));
    life.until(31);
    let expected = ["5:00", "10:00", "15:00", "20:00", "25:00", "30:00"];
    assert_eq!(life.due(Event::ScheduleFired), expected);
    let accepted = life.lines(Event::WebhookAccepted);
    assert_eq!(accepted.len(), 6);
    for (number, line) in accepted.iter().enumerate() {
        assert!(line.message.contains("page=7"), "{line:?}");
        assert_eq!(line.time, start().plus(MINUTE * 5 * (number as u32 + 1)));
    }
    assert_eq!(life.lines(Event::LoopSucceeded).len(), 6);
    let fired = &life.lines(Event::ScheduleFired)[0];
    assert_eq!(
        fired.run, accepted[0].run,
        "the line names the run it began"
    );
    let view = life.simulated.engine().cycle(&"clock".into()).unwrap();
    assert_eq!(view.schedule.unwrap().when, "every 5 min");
}

#[test]
fn the_same_moments_give_the_same_log() {
    let told = || {
        let life = Life::begin(&cycle("{every: 1 minute}", "", "90 seconds"));
        life.until(60);
        let all = life.store.log_after(0, &LogFilter::default(), 10_000);
        serde_json::to_string(&all.unwrap().0).unwrap()
    };
    assert_eq!(told(), told());
}

fn started_at(schedule: &str, zone: &str, from: &str, until: &str) -> Vec<String> {
    let text = cycle(schedule, &format!("time_zone: {zone}"), "1 second");
    let store = Arc::new(MemoryStore::new());
    let life = Life::on(store, &text, VirtualTime::new(at(from)));
    life.simulated.run_until(at(until));
    let accepted = life.lines(Event::WebhookAccepted);
    accepted.iter().map(|line| line.time.to_string()).collect()
}

#[test]
fn half_past_two_comes_once_on_the_days_when_clocks_change() {
    let daily = "{cron: \"30 2 * * *\"}";
    assert_eq!(
        started_at(
            daily,
            "Europe/Berlin",
            "2026-03-28T12:00:00Z",
            "2026-03-30T12:00:00Z"
        ),
        ["2026-03-29T01:00:00.000Z", "2026-03-30T00:30:00.000Z"]
    );
    assert_eq!(
        started_at(
            daily,
            "Europe/Berlin",
            "2026-10-24T12:00:00Z",
            "2026-10-26T12:00:00Z"
        ),
        ["2026-10-25T00:30:00.000Z", "2026-10-26T01:30:00.000Z"]
    );
    assert_eq!(
        started_at(
            daily,
            "America/New_York",
            "2026-03-07T12:00:00Z",
            "2026-03-09T12:00:00Z"
        ),
        ["2026-03-08T07:00:00.000Z", "2026-03-09T06:30:00.000Z"]
    );
    let early = "{cron: \"30 1 * * *\"}";
    assert_eq!(
        started_at(
            early,
            "America/New_York",
            "2026-10-31T12:00:00Z",
            "2026-11-02T12:00:00Z"
        ),
        ["2026-11-01T05:30:00.000Z", "2026-11-02T06:30:00.000Z"]
    );
}

#[test]
fn a_start_is_skipped_while_a_loop_is_in_progress() {
    let life = Life::begin(&cycle("{every: 5 minutes}", "", "12 minutes"));
    life.until(31);
    assert_eq!(life.due(Event::ScheduleFired), ["5:00", "20:00"]);
    assert_eq!(
        life.due(Event::ScheduleSkipped),
        ["10:00", "15:00", "25:00", "30:00"]
    );
    let why = &life.lines(Event::ScheduleSkipped)[0].message;
    assert!(
        why.ends_with("a loop of the cycle is in progress or queued"),
        "{why}"
    );
}

#[test]
fn starts_queue_where_the_file_says_so() {
    let queue = "{every: 5 minutes, if_running: queue}";
    let life = Life::begin(&cycle(queue, "concurrency: 1", "12 minutes"));
    life.until(31);
    assert_eq!(life.due(Event::ScheduleFired).len(), 6);
    assert_eq!(life.due(Event::ScheduleSkipped), [""; 0]);
    let began = life.lines(Event::LoopStarted);
    let began: Vec<_> = began.iter().map(|line| line.time).collect();
    let every_twelve = [5, 17, 29].map(|minutes| start().plus(MINUTE * minutes));
    assert_eq!(began, every_twelve);
    let view = life.simulated.engine().cycle(&"clock".into()).unwrap();
    assert_eq!((view.running, view.queued), (1, 3));
}

#[test]
fn a_full_queue_skips_a_start_and_says_why() {
    let queue = "{every: 5 minutes, if_running: queue}";
    let life = Life::begin(&cycle(queue, "concurrency: 1\nqueue_limit: 1", "1 hour"));
    life.until(16);
    assert_eq!(life.due(Event::ScheduleFired), ["5:00", "10:00"]);
    let skipped = life.lines(Event::ScheduleSkipped);
    assert_eq!(skipped.len(), 1);
    assert_eq!(
        skipped[0].code.as_ref().unwrap().to_string(),
        "cycle.queue_full"
    );
}

#[test]
fn what_the_webhooks_fields_refuse_is_skipped_and_does_not_come_again() {
    let life = Life::begin(&cycle(
        "{every: 5 minutes, send: {page: first}}",
        "",
        "1 second",
    ));
    life.until(11);
    assert_eq!(life.due(Event::ScheduleFired), [""; 0]);
    assert_eq!(life.due(Event::ScheduleSkipped), ["5:00", "10:00"]);
    let code = life.lines(Event::ScheduleSkipped)[0].code.clone().unwrap();
    assert_eq!(code.to_string(), "webhook.field_invalid");
}

/// A life that ends at minute 12, and the one that goes on at minute 33.
fn went_down(schedule: &str, takes: &str) -> Life {
    let text = cycle(schedule, "", takes);
    let before = Arc::new(MemoryStore::new());
    let died = Life::on(Arc::clone(&before) as _, &text, VirtualTime::new(start()));
    died.until(12);
    let left = Arc::new(before.reopened());
    drop(died);
    let life = Life::on(left, &text, VirtualTime::new(start().plus(MINUTE * 33)));
    life.until(41);
    life
}

#[test]
fn one_start_makes_up_for_all_that_were_missed() {
    let life = went_down("{every: 5 minutes}", "1 second");
    assert_eq!(
        life.due(Event::ScheduleFired),
        ["5:00", "10:00", "30:00", "35:00", "40:00"]
    );
    let late = &life.lines(Event::ScheduleFired)[2];
    assert_eq!(late.data.as_ref().unwrap()["missed"], 3);
    assert_eq!(late.data.as_ref().unwrap()["late_ms"], 180_000);
    assert!(
        late.message.ends_with("3 min late, 3 before it missed"),
        "{}",
        late.message
    );
}

#[test]
fn missed_starts_are_passed_over_where_the_file_says_so() {
    let life = went_down("{every: 5 minutes, catch_up: none}", "1 second");
    assert_eq!(
        life.due(Event::ScheduleFired),
        ["5:00", "10:00", "35:00", "40:00"]
    );
    assert_eq!(life.due(Event::ScheduleSkipped), ["30:00"]);
}

/// Nothing was missed while the server was down: what comes when it is up again has not been either.
#[test]
fn a_start_behind_a_restart_that_missed_nothing_is_not_passed_over() {
    let text = cycle("{every: 5 minutes, catch_up: none}", "", "1 second");
    let before = Arc::new(MemoryStore::new());
    let died = Life::on(Arc::clone(&before) as _, &text, VirtualTime::new(start()));
    died.until(11);
    let left = Arc::new(before.reopened());
    drop(died);
    let life = Life::on(left, &text, VirtualTime::new(start().plus(MINUTE * 12)));
    life.until(21);
    assert_eq!(
        life.due(Event::ScheduleFired),
        ["5:00", "10:00", "15:00", "20:00"]
    );
    assert_eq!(life.due(Event::ScheduleSkipped), [""; 0]);
}

#[test]
fn a_loop_that_a_crash_left_in_progress_is_in_progress() {
    let life = went_down("{every: 5 minutes}", "29 minutes");
    assert_eq!(life.due(Event::ScheduleFired), ["5:00", "35:00"]);
    assert_eq!(
        life.due(Event::ScheduleSkipped),
        ["10:00", "30:00", "40:00"]
    );
}

#[test]
fn a_crash_at_any_commit_neither_loses_nor_repeats_a_start() {
    let text = cycle("{every: 5 minutes, if_running: queue}", "", "1 minute");
    let expected = ["5:00", "10:00", "15:00", "20:00"];
    let mut crashes = 0;
    for number in 0..10 {
        let before = Faults {
            crash_before: Some(number),
            ..Faults::default()
        };
        let after = Faults {
            crash_after: Some(number),
            ..Faults::default()
        };
        for faults in [before, after] {
            let time = VirtualTime::new(start());
            let faulty = Faulty::new(MemoryStore::new(), faults, time.clone());
            // While an engine starts its commits are no schedule's.
            let life = Life::on(Arc::clone(&faulty) as _, &text, time);
            life.simulated.add(faulty.started());
            life.until(21);
            let (left, down_at) = (faulty.left(), life.simulated.time().now());
            if faulty.has_crashed() {
                crashes += 1;
            }
            drop(life);
            // The next life begins two seconds later, in time for every moment but the one in hand.
            let time = VirtualTime::new(down_at.plus(Duration::from_secs(2)));
            let life = Life::on(Arc::new(left), &text, time);
            life.until(21);
            let fired = life.due(Event::ScheduleFired);
            if number > 2 {
                assert_eq!(fired, expected, "commit {number}");
            } else {
                // It had not begun to count: it counts from the second life on.
                assert!(fired.len() >= 3, "commit {number}: {fired:?}");
            }
            assert_eq!(life.lines(Event::WebhookAccepted).len(), fired.len());
        }
    }
    assert_eq!(crashes, 20, "each fault happens once");
}

#[test]
fn a_disk_that_refuses_makes_a_start_late_and_not_lost() {
    let text = cycle("{every: 5 minutes}", "", "1 second");
    let time = VirtualTime::new(start());
    let faults = Faults {
        refuse: (2..5).collect(),
        ..Faults::default()
    };
    let faulty = Faulty::new(MemoryStore::new(), faults, time.clone());
    let life = Life::on(Arc::clone(&faulty) as _, &text, time);
    life.simulated.add(faulty.started());
    life.until(16);
    assert!(faulty.refused() >= 2, "{faulty:?}");
    assert_eq!(life.due(Event::ScheduleFired), ["5:00", "10:00", "15:00"]);
}

#[test]
fn an_edit_of_the_schedule_counts_from_the_edit_and_any_other_changes_nothing() {
    let life = Life::begin(&cycle("{every: 5 minutes}", "", "1 second"));
    life.until(7);
    // Another edit: the moments stay.
    life.edit(&cycle(
        "{every: 5 minutes, send: {page: 2}}",
        "name: Clock",
        "1 second",
    ));
    life.until(11);
    assert_eq!(life.due(Event::ScheduleFired), ["5:00", "10:00"]);
    let last = life.lines(Event::WebhookAccepted).pop().unwrap();
    assert!(last.message.contains("page=2"), "{last:?}");
    // The clock stands at the end of the last loop: 10:01.
    life.edit(&cycle("{every: 3 minutes}", "", "1 second"));
    life.until(17);
    assert_eq!(
        life.due(Event::ScheduleFired),
        ["5:00", "10:00", "13:01", "16:01"]
    );
    let without =
        cycle("{every: 3 minutes}", "", "1 second").replace("schedule: {every: 3 minutes}", "");
    life.edit(&without);
    life.until(60);
    assert_eq!(life.due(Event::ScheduleFired).len(), 4);
    assert_eq!(life.store.schedule_rows().unwrap(), []);
}

#[test]
fn a_stopped_cycle_takes_no_starts_and_makes_up_for_none() {
    let life = Life::begin(&cycle("{every: 5 minutes}", "", "1 second"));
    life.until(6);
    assert_eq!(life.say(CycleCommand::Stop), CycleState::Stopped);
    assert_eq!(life.next(), None);
    // Something else lets time pass.
    let time = life.simulated.time().clone();
    life.simulated
        .add(async move { time.sleep(MINUTE * 20).await });
    life.until(30);
    assert_eq!(life.say(CycleCommand::Start), CycleState::Running);
    life.until(36);
    let fired = life.due(Event::ScheduleFired);
    assert_eq!(
        fired,
        ["5:00", "30:01", "35:01"],
        "counted from 25:01 on, when it was started"
    );
}

#[test]
fn a_paused_cycle_queues_a_start_as_it_queues_a_webhook() {
    let life = Life::begin(&cycle("{every: 5 minutes}", "", "1 second"));
    life.until(6);
    assert_eq!(life.say(CycleCommand::Pause), CycleState::Paused);
    life.until(16);
    assert_eq!(life.due(Event::ScheduleFired), ["5:00", "10:00"]);
    assert_eq!(life.due(Event::ScheduleSkipped), ["15:00"]);
    assert_eq!(life.lines(Event::LoopStarted).len(), 1);
    assert_eq!(life.say(CycleCommand::Start), CycleState::Running);
    life.until(17);
    assert_eq!(life.lines(Event::LoopStarted).len(), 2);
}

#[test]
fn a_webhook_that_answers_itself_or_ignores_passes_a_start_on() {
    let with = |handler: &str| {
        cycle("{every: 5 minutes}", "", "1 second").replace(
            "    then: work",
            &format!("    script: {handler}\n    then: work"),
        )
    };
    let life = Life::begin(&with("fn before_webhook() { return false; }"));
    life.until(11);
    assert_eq!(life.due(Event::ScheduleFired), [""; 0]);
    assert_eq!(life.due(Event::ScheduleSkipped), ["5:00", "10:00"]);
    let life = Life::begin(&with("fn after_webhook() { return false; }"));
    life.until(11);
    assert_eq!(life.due(Event::ScheduleFired), ["5:00", "10:00"]);
    assert_eq!(life.lines(Event::WebhookIgnored).len(), 2);
}
