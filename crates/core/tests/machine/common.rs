//! A page loop as a plan, built by hand: no YAML, no files.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use velodrome_core::{
    Acceptance, Delivery, Facts, Ids, Input, ListAnswer, Loop, Run, Transition, accept_first_lap,
    advance,
};
use velodrome_spec::Plan;
use velodrome_spec::callers::WebhookAuth;
use velodrome_spec::connector::{
    Advance, AuthDef, ConnectorDef, DateFormat, IncrementalDef, MethodDef, MethodKind, Pager,
    PagingDef, PagingEnd, PagingStyle, RequestDefaults, ResponseDef, SendAs,
};
use velodrome_spec::expr::{Expr, HookTarget, Reference, Root, Segment};
use velodrome_spec::plan::{
    Comparison, Condition, EachPlan, FirstRun, Forks, Handoff, IfUnknown, ListStep, Live,
    LogPolicy, LoopLimits, MethodUse, Retention, SendStep, Sources, Step, StepIx, StepKind,
    WebhookStep,
};
use velodrome_types::{
    ConnectionId, CycleId, CycleState, Json, LoopId, OnError, RetryPolicy, RunId, StepId, Timestamp,
};

pub(crate) const WEBHOOK: StepIx = StepIx(0);
pub(crate) const CONTACTS: StepIx = StepIx(1);
pub(crate) const MORE: StepIx = StepIx(2);
pub(crate) const PAUSE: StepIx = StepIx(3);
pub(crate) const NEXT: StepIx = StepIx(4);
pub(crate) const REMEMBER: StepIx = StepIx(5);

fn method(kind: MethodKind, list: bool) -> MethodDef {
    MethodDef {
        name: String::new(),
        title: "method".into(),
        kind,
        verb: "GET".into(),
        path: None,
        request: RequestDefaults::default(),
        body: None,
        inputs: BTreeMap::new(),
        open_body: true,
        response: ResponseDef {
            open: true,
            ..ResponseDef::default()
        },
        paging: if list {
            PagingDef::ByHand {
                handoff: None,
                more: None,
            }
        } else {
            PagingDef::None
        },
        incremental: list.then(|| IncrementalDef {
            field: "Modified_Time".into(),
            send_as: SendAs::Header("If-Modified-Since".into()),
            format: DateFormat::Iso8601OffsetSeconds,
            key: vec!["id".into()],
            inclusive: true,
            overlap: Duration::from_secs(2),
            advance: Advance::ByStep,
        }),
        errors: Vec::new(),
        limits: Default::default(),
        script: None,
        two_exits: list,
    }
}

fn connector() -> Arc<ConnectorDef> {
    Arc::new(ConnectorDef {
        name: "any".into(),
        title: "Any".into(),
        docs: None,
        settings: BTreeMap::new(),
        auth: AuthDef::None,
        base_url: None,
        request: RequestDefaults::default(),
        error_fields: Default::default(),
        errors: Vec::new(),
        limits: Default::default(),
        methods: BTreeMap::from([
            ("webhook".to_owned(), method(MethodKind::Webhook, false)),
            ("list".to_owned(), method(MethodKind::List, true)),
            ("post".to_owned(), method(MethodKind::Request, false)),
        ]),
        script: None,
        script_files: Vec::new(),
        path: String::new(),
        hash: "c".into(),
    })
}

fn uses(name: &str) -> MethodUse {
    MethodUse {
        connection: ConnectionId::from("any"),
        connector: connector(),
        method: name.into(),
    }
}

pub(crate) fn step(id: &str, kind: StepKind) -> Step {
    Step {
        id: StepId::from(id),
        name: id.into(),
        kind,
        script: None,
        then: None,
        otherwise: None,
        catch: None,
        forks: Forks::default(),
        split: false,
        on_error: OnError::StopRun,
        retry: RetryPolicy::default(),
        timeout: Duration::from_secs(30),
        if_unknown: IfUnknown::Resend,
        each: None,
        live: Live::default(),
        line: 1,
    }
}

pub(crate) fn reference(step: StepIx, name: &str) -> Expr {
    Expr::Ref(Reference {
        root: Root::Step(step),
        path: vec![Segment::Key(name.into())],
        default: None,
        source: format!("${{…{name}}}"),
    })
}

/// webhook → contacts → more_records → pause → next_page; both false exits → remember.
pub(crate) fn page_loop(delay: Duration) -> Plan {
    let webhook = WebhookStep {
        method: uses("webhook"),
        fields: Vec::new(),
        dedupe: None,
        auth: WebhookAuth::Unsaid,
        allow_ips: Vec::new(),
        origins: Vec::new(),
        respond_within: None,
        matches: Vec::new(),
        repeat: false,
        waits: None,
    };
    let list = ListStep {
        method: uses("list"),
        map: vec![("page".into(), reference(WEBHOOK, "page"))],
        first_run: FirstRun::All,
    };
    let post = SendStep {
        method: uses("post"),
        map: Vec::new(),
        url: None,
        target: Some(HookTarget {
            cycle: CycleId::from("pages"),
            step: None,
        }),
        query: Vec::new(),
        ok: vec![],
        headers: Vec::new(),
        handoff: Handoff::Direct,
    };
    let decision = Condition::Compare {
        left: reference(CONTACTS, "more_records"),
        is: Comparison::Equals,
        right: Some(Expr::Literal(Json::from("true"))),
    };
    let live = |names: &[&str]| Live {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
    };
    Plan {
        cycle: CycleId::from("pages"),
        name: "Pages".into(),
        hash: "0123456789abcdef".into(),
        trigger: WEBHOOK,
        steps: vec![
            Step {
                then: Some(CONTACTS),
                live: live(&["page"]),
                ..step("webhook", StepKind::Webhook(webhook))
            },
            Step {
                then: Some(MORE),
                otherwise: Some(REMEMBER),
                live: live(&["more_records"]),
                ..step("contacts", StepKind::List(list))
            },
            Step {
                then: Some(PAUSE),
                otherwise: Some(REMEMBER),
                ..step("more_records", StepKind::Decision(decision))
            },
            Step {
                then: Some(NEXT),
                ..step("pause", StepKind::Delay(delay))
            },
            step("next_page", StepKind::Send(post)),
            step("remember", StepKind::Watermark { of: CONTACTS }),
        ],
        concurrency: Some(1),
        queue_limit: 10,
        limits: LoopLimits::default(),
        variables: Vec::new(),
        autostart: true,
        retention: Retention::default(),
        error_webhook: None,
        schedule: None,
        log: LogPolicy::default(),
        sources: Sources::default(),
    }
}

/// webhook → each, which posts one request for each of `items`.
pub(crate) fn items(items: &Json, parallel: u32, skip_failures: bool) -> Plan {
    let mut plan = page_loop(Duration::ZERO);
    let webhook = Step {
        then: Some(StepIx(1)),
        ..plan.steps[0].clone()
    };
    let each = EachPlan {
        list: Expr::Literal(items.clone()),
        parallel,
        skip_failures,
    };
    let names = ["count", "succeeded", "failed", "results"];
    let mut post = plan.steps[NEXT.0 as usize].clone();
    if let StepKind::Send(send) = &mut post.kind {
        send.target = None;
    }
    let post = Step {
        id: StepId::from("each"),
        each: Some(each),
        then: Some(StepIx(2)),
        live: Live {
            names: names.map(str::to_owned).into(),
        },
        ..post
    };
    let pause = step("pause", StepKind::Delay(Duration::from_secs(1)));
    plan.steps = vec![webhook, post, pause];
    plan
}

#[derive(Debug)]
pub(crate) struct Nothing;

impl velodrome_core::Statics for Nothing {
    fn resume_url(&self, cycle: &CycleId, step: &StepId, run: RunId) -> String {
        format!("https://velodrome.example/hooks/{cycle}/{step}/{run}")
    }

    fn hook_url(&self, target: &HookTarget) -> String {
        format!("http://here/hooks/{}", target.cycle)
    }

    fn env(&self, _: &str) -> Option<String> {
        None
    }

    fn secret(&self, _: &str) -> Option<String> {
        None
    }

    fn hook_at(&self, url: &str) -> Option<HookTarget> {
        let cycle = url.strip_prefix("http://here/hooks/")?.into();
        Some(HookTarget { cycle, step: None })
    }

    fn error_webhook(&self) -> Option<Arc<Expr>> {
        None
    }
}

#[derive(Debug, Default)]
pub(crate) struct Stored(pub(crate) Option<Timestamp>);

impl velodrome_core::Watermarks for Stored {
    fn get(&self, _: &StepId) -> Result<Option<Timestamp>, String> {
        Ok(self.0)
    }
}

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

pub(crate) fn later(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

/// Ids of runs that begin, each another, the same in each run of a test.
#[derive(Debug)]
pub(crate) struct Counted;

thread_local! {
    static BEGUN: Cell<u64> = const { Cell::new(0) };
}

impl Ids for Counted {
    fn run_id(&self, _: Timestamp) -> RunId {
        let number = BEGUN.get() + 1;
        BEGUN.set(number);
        let mut random = [0xff; 10];
        random[2..].copy_from_slice(&number.to_be_bytes());
        RunId::new(NOW, random)
    }
}

pub(crate) fn run_id(number: u8) -> RunId {
    RunId::new(NOW, [number; 10])
}

pub(crate) fn moved_at(
    plan: &Plan,
    run: Run,
    looped: Loop,
    input: Input,
    now: Timestamp,
    stored: &Stored,
) -> Option<Transition> {
    let facts = Facts {
        now,
        jitter: 0.0,
        cycle: CycleState::Running,
        watermarks: stored,
        statics: &Nothing,
        ids: &Counted,
    };
    advance(plan, run, looped, input, &facts)
}

pub(crate) fn moved(plan: &Plan, run: Run, looped: Loop, input: Input) -> Option<Transition> {
    moved_at(plan, run, looped, input, NOW, &Stored::default())
}

pub(crate) fn accepted(plan: &Plan) -> Acceptance {
    let delivery = Delivery {
        body: serde_json::json!({"page": 1}),
        ..Delivery::default()
    };
    accept_first_lap(
        plan,
        (run_id(1), LoopId::new(NOW, [9; 10])),
        delivery,
        None,
        true,
        NOW,
    )
}

/// A run that is asking its list.
pub(crate) fn asking(plan: &Plan) -> Transition {
    let Acceptance { run, looped, .. } = accepted(plan);
    moved(
        plan,
        run,
        looped,
        Input::Begin {
            body: serde_json::json!({"page": 1}),
            logs: vec![],
        },
    )
    .expect("a fixture")
}

pub(crate) fn page(more: bool) -> ListAnswer {
    ListAnswer {
        status: 200,
        count: 200,
        bytes: 41_000,
        ms: 112,
        url: "http://api/Contacts".into(),
        asked: serde_json::json!({"page": 1}),
        page_hash: 1,
        fields: serde_json::json!({"more_records": more})
            .as_object()
            .expect("a fixture")
            .clone(),
        date: Some(NOW),
        ..ListAnswer::default()
    }
}

pub(crate) fn messages(transition: &Transition) -> Vec<String> {
    transition
        .lines
        .iter()
        .map(|line| {
            let step = line.step.as_ref().map_or("", |step| step.as_str());
            format!("{} {step} {}", line.event, line.message)
        })
        .collect()
}

/// Makes the list page itself, its records and their count read.
pub(crate) fn page_by_engine(plan: &mut Plan) {
    for name in ["records", "count"] {
        plan.steps[CONTACTS.0 as usize]
            .live
            .names
            .insert(name.to_owned());
    }
    let StepKind::List(list) = &mut plan.steps[CONTACTS.0 as usize].kind else {
        return;
    };
    let mut connector = (*list.method.connector).clone();
    let method = connector.methods.get_mut("list").expect("a fixture");
    method.paging = PagingDef::Engine(Box::new(Pager {
        style: PagingStyle::NextUrl {
            next: "next".into(),
        },
        size: None,
        end: PagingEnd::default(),
        max_records: 10_000,
    }));
    list.method.connector = Arc::new(connector);
}

/// Makes the list's watermark move without a step.
pub(crate) fn advance_on_success(plan: &mut Plan) {
    let StepKind::List(list) = &mut plan.steps[CONTACTS.0 as usize].kind else {
        return;
    };
    let mut connector = (*list.method.connector).clone();
    let method = connector.methods.get_mut("list").expect("a fixture");
    method.incremental.as_mut().expect("a fixture").advance = Advance::OnSuccess;
    list.method.connector = Arc::new(connector);
}
