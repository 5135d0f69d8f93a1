//! Turns: who may be asked how often, who is next, and what a connection that was asked to wait does.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use velodrome_connect::{
    Asker, Carrying, Connection, ErrorKind, Incoming, Outgoing, RequestError, Response,
    SendOptions, Transport,
};
use velodrome_connect::{ConnectOptions, EgressRules};
use velodrome_spec::connector::{
    AuthDef, ConnectorDef, ErrorAction, ErrorRule, MethodDef, Rate, StatusMatch,
};
use velodrome_types::{CycleId, LoopId, StepId};

use crate::support::*;

/// A world that tells who came and answers when it is let.
#[derive(Debug)]
struct Gatekeeper {
    came: mpsc::UnboundedSender<String>,
    let_go: Arc<Semaphore>,
}

impl Transport for Gatekeeper {
    fn carry(&self, request: Outgoing) -> Carrying<'_> {
        let asker = request.asker.expect("every request says who asks");
        let told = format!("{}/{}", asker.cycle, asker.step);
        self.came.send(told).expect("the test listens");
        Box::pin(async move {
            let permit = self.let_go.acquire().await.expect("never closed");
            permit.forget();
            Ok(Incoming {
                status: 200,
                headers: Vec::new(),
                body: "{}".into(),
            })
        })
    }
}

struct Scene {
    rig: Arc<Rig>,
    came: mpsc::UnboundedReceiver<String>,
    let_go: Arc<Semaphore>,
    callers: JoinSet<Result<Response, RequestError>>,
}

impl Scene {
    fn new(workers: usize) -> Self {
        let (came, hears) = mpsc::unbounded_channel();
        let let_go = Arc::new(Semaphore::new(0));
        let mut rig = rig_with(ConnectOptions {
            workers,
            egress: EgressRules::default(),
            ..ConnectOptions::default()
        });
        rig.connect = rig.connect.carried_by(Arc::new(Gatekeeper {
            came,
            let_go: Arc::clone(&let_go),
        }));
        Self {
            rig: Arc::new(rig),
            came: hears,
            let_go,
            callers: JoinSet::new(),
        }
    }

    /// A request of this cycle's loop with that number; its step tells which.
    fn ask(&mut self, connection: &Arc<Connection>, cycle: &str, looped: u8) {
        self.ask_method(connection, &method("GET", None), cycle, looped);
    }

    fn ask_method(
        &mut self,
        connection: &Arc<Connection>,
        method: &MethodDef,
        cycle: &str,
        looped: u8,
    ) {
        let (rig, connection, method) = (self.rig.clone(), connection.clone(), method.clone());
        let how = SendOptions {
            asker: Some(Asker {
                cycle: CycleId::from(cycle),
                step: StepId::from(format!("{looped}").as_str()),
                loop_id: LoopId::from_bytes([looped; 16]),
                lap: 1,
            }),
            ..how()
        };
        self.callers.spawn(async move {
            let request = request("GET", "https://api.test/");
            rig.connect.send(&connection, &method, &request, how).await
        });
    }

    /// Lets everything happen that happens by itself.
    async fn settle(&self) {
        for _ in 0..2_000 {
            tokio::task::yield_now().await;
        }
    }

    /// Who came since the last look.
    async fn came(&mut self) -> Vec<String> {
        self.settle().await;
        let mut came = Vec::new();
        while let Ok(one) = self.came.try_recv() {
            came.push(one);
        }
        came
    }

    /// Answers one request and tells who comes for it.
    async fn next(&mut self) -> Vec<String> {
        self.let_go.add_permits(1);
        self.came().await
    }
}

fn limited(name: &str, set: impl FnOnce(&mut ConnectorDef)) -> Arc<Connection> {
    let mut def = connector(AuthDef::None, None);
    set(&mut def);
    let mut connection = connection(def);
    connection.id = name.into();
    Arc::new(connection)
}

fn rate(requests: u32, per: u64) -> Rate {
    Rate {
        requests,
        per: Duration::from_millis(per),
    }
}

#[tokio::test]
async fn a_cycle_with_a_thousand_waiting_starves_nobody() {
    let mut scene = Scene::new(256);
    let api = limited("api", |def| def.limits.concurrent = Some(1));
    for looped in 0..250 {
        for _ in 0..4 {
            scene.ask(&api, "greedy", looped);
        }
    }
    assert_eq!(scene.came().await, ["greedy/0"]);
    scene.ask(&api, "modest", 1);
    scene.ask(&api, "modest", 2);
    scene.ask(&api, "third", 3);
    scene.settle().await;
    let mut order = Vec::new();
    for _ in 0..7 {
        order.extend(scene.next().await);
    }
    assert_eq!(
        order,
        [
            "greedy/0", "modest/1", "third/3", "greedy/1", "modest/2", "greedy/2", "greedy/3"
        ]
    );
}

#[tokio::test]
async fn loops_of_one_cycle_take_turns() {
    let mut scene = Scene::new(256);
    let api = limited("api", |def| def.limits.concurrent = Some(1));
    for looped in [1, 1, 1, 1, 2, 2, 3] {
        scene.ask(&api, "cycle", looped);
        scene.settle().await;
    }
    let mut order = scene.came().await;
    for _ in 0..6 {
        order.extend(scene.next().await);
    }
    let expect = [1, 1, 2, 3, 1, 2, 1].map(|looped| format!("cycle/{looped}"));
    assert_eq!(order, expect);
}

#[tokio::test]
async fn a_slow_connection_takes_no_worker_that_it_cannot_use() {
    let mut scene = Scene::new(8);
    let slow = limited("slow", |def| def.limits.concurrent = Some(2));
    let other = limited("other", |_| {});
    for looped in 0..100 {
        scene.ask(&slow, "slow", looped);
    }
    assert_eq!(scene.came().await.len(), 2);
    for looped in 0..20 {
        scene.ask(&other, "other", looped);
    }
    assert_eq!(scene.came().await.len(), 6, "the rest of the workers");
    // Of the next answers, each lets one come that can.
    for _ in 0..10 {
        assert_eq!(scene.next().await.len(), 1);
    }
}

#[tokio::test]
async fn a_rate_holds_for_all_that_ask_a_connection() {
    let mut scene = Scene::new(256);
    let api = limited("api", |def| {
        def.limits.rates = vec![rate(3, 1_000), rate(5, 5_000)]
    });
    let free = limited("free", |_| {});
    scene.let_go.add_permits(1_000);
    for looped in 0..12 {
        scene.ask(&api, if looped % 2 == 0 { "a" } else { "b" }, looped);
    }
    scene.ask(&free, "free", 99);
    assert_eq!(scene.came().await, ["a/0", "b/1", "a/2", "free/99"]);
    let clock = scene.rig.clock.clone();
    clock.advance(Duration::from_millis(999));
    assert!(scene.came().await.is_empty());
    clock.advance(Duration::from_millis(1));
    assert_eq!(scene.came().await, ["b/3", "a/4"], "five in five seconds");
    clock.advance(Duration::from_millis(3_999));
    assert!(scene.came().await.is_empty());
    clock.advance(Duration::from_millis(1));
    assert_eq!(scene.came().await.len(), 3);
    clock.advance(Duration::from_millis(5_000));
    assert_eq!(scene.came().await.len(), 3);
}

#[tokio::test]
async fn a_method_has_limits_of_its_own_beside_the_connections() {
    let mut scene = Scene::new(256);
    let api = limited("api", |def| def.limits.concurrent = Some(3));
    let mut search = method("GET", None);
    search.name = "search".to_owned();
    search.limits.concurrent = Some(1);
    for looped in 0..3 {
        scene.ask_method(&api, &search, "a", looped);
    }
    assert_eq!(scene.came().await, ["a/0"]);
    for looped in 10..14 {
        scene.ask(&api, "b", looped);
    }
    assert_eq!(
        scene.came().await,
        ["b/10", "b/11"],
        "three on the connection"
    );
    assert_eq!(scene.next().await.len(), 1);
}

#[tokio::test]
async fn one_that_goes_away_leaves_its_place() {
    let mut scene = Scene::new(256);
    let api = limited("api", |def| def.limits.concurrent = Some(1));
    scene.ask(&api, "a", 1);
    scene.settle().await;
    let rig = Arc::clone(&scene.rig);
    let (connection, asked) = (Arc::clone(&api), method("GET", None));
    let gone = {
        let how = SendOptions {
            asker: Some(Asker {
                cycle: CycleId::from("gone"),
                step: StepId::from("x"),
                loop_id: LoopId::from_bytes([7; 16]),
                lap: 1,
            }),
            ..how()
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let request = request("GET", "https://api.test/");
            let _ = rig.connect.send(&connection, &asked, &request, how).await;
        });
        tasks
    };
    scene.settle().await;
    scene.ask(&api, "a", 2);
    scene.settle().await;
    assert_eq!(scene.came().await, ["a/1"]);
    drop(gone);
    scene.settle().await;
    assert_eq!(scene.next().await, ["a/2"]);
    assert!(scene.next().await.is_empty());
    assert_eq!(scene.callers.len(), 2);
}

#[tokio::test]
async fn a_process_that_ends_sends_back_who_waits() {
    let mut scene = Scene::new(1);
    let api = limited("api", |_| {});
    scene.ask(&api, "a", 1);
    scene.settle().await;
    scene.ask(&api, "a", 2);
    scene.settle().await;
    scene.rig.connect.close();
    let waited = scene.callers.join_next().await.unwrap().unwrap();
    let error = waited.unwrap_err();
    assert_eq!(
        (error.code.as_str(), error.kind),
        ("request.held", ErrorKind::Held)
    );
    scene.let_go.add_permits(1);
    let under_way = scene.callers.join_next().await.unwrap().unwrap();
    assert_eq!(under_way.unwrap().status, 200);
}

/// An API that asks to wait until it is told to take requests.
async fn strict(answer: Arc<Mutex<Option<Reply>>>) -> Server {
    Server::start(move |_| {
        answer
            .lock()
            .unwrap()
            .clone()
            .unwrap_or_else(|| reply_json(200, json!({})))
    })
    .await
}

fn waiting(gaps: &[u64]) -> ErrorRule {
    ErrorRule {
        status: vec![StatusMatch::Is(429), StatusMatch::Is(403)],
        code: Vec::new(),
        message: Vec::new(),
        header: Vec::new(),
        action: ErrorAction::Wait(gaps.iter().map(|gap| Duration::from_secs(*gap)).collect()),
        until_header: Some("x-ratelimit-reset".to_owned()),
    }
}

#[tokio::test]
async fn an_api_that_asks_to_wait_is_left_alone_by_all() {
    let answer = Arc::new(Mutex::new(None));
    let server = strict(Arc::clone(&answer)).await;
    let rig = rig();
    let seconds = rig.clock.now().as_millis() / 1_000;
    let date = ("date", "Mon, 23 Nov 2026 12:00:00 GMT");
    for (name, reply, rule, expect) in [
        (
            "seconds",
            reply(429, "").header("retry-after", "30"),
            None,
            30,
        ),
        (
            "http_date",
            reply(429, "")
                .header(date.0, date.1)
                .header("retry-after", "Mon, 23 Nov 2026 12:00:45 GMT"),
            None,
            45,
        ),
        ("gap", reply(429, ""), Some(waiting(&[60, 120])), 60),
        (
            "reset",
            reply(403, "")
                .header(date.0, date.1)
                .header("x-ratelimit-reset", (seconds + 90).to_string()),
            Some(waiting(&[60])),
            90,
        ),
        (
            "said_before_gaps",
            reply(429, "").header("retry-after", "17"),
            Some(waiting(&[60])),
            17,
        ),
    ] {
        let mut def = connector(AuthDef::None, None);
        def.errors.extend(rule);
        let mut connection = connection(def);
        connection.id = name.into();
        let ask = || async {
            let request = request("GET", &server.url("/"));
            rig.ask(&connection, &request, how()).await
        };
        *answer.lock().unwrap() = Some(reply);
        let first = ask().await.unwrap_err();
        assert_eq!(
            (first.code.as_str(), first.kind),
            ("request.status", ErrorKind::Transient)
        );
        *answer.lock().unwrap() = None;
        let asked = server.seen().len();
        let second = ask().await.unwrap_err();
        assert_eq!(
            (second.code.as_str(), second.kind),
            ("request.held", ErrorKind::Held),
            "{name}"
        );
        assert_eq!(
            second.retry_after,
            Some(Duration::from_secs(expect)),
            "{name}"
        );
        assert_eq!(server.seen().len(), asked, "nothing was sent");
        rig.clock.advance(Duration::from_secs(expect));
        assert_eq!(ask().await.unwrap().status, 200, "{name}");
    }
}

#[tokio::test]
async fn gaps_grow_while_an_api_goes_on_asking() {
    let answer = Arc::new(Mutex::new(Some(reply(429, ""))));
    let server = strict(Arc::clone(&answer)).await;
    let rig = rig();
    let mut def = connector(AuthDef::None, None);
    def.errors = vec![waiting(&[60, 120, 300])];
    let connection = connection(def);
    let ask = || async {
        let request = request("GET", &server.url("/"));
        rig.ask(&connection, &request, how()).await
    };
    let held = || async { ask().await.unwrap_err().retry_after.unwrap().as_secs() };
    for gap in [60, 120, 300, 300] {
        assert_eq!(ask().await.unwrap_err().code.as_str(), "request.status");
        assert_eq!(held().await, gap);
        rig.clock.advance(Duration::from_secs(gap));
    }
    *answer.lock().unwrap() = None;
    ask().await.unwrap();
    *answer.lock().unwrap() = Some(reply(429, ""));
    ask().await.unwrap_err();
    assert_eq!(held().await, 60, "it was taken in between");
}

#[tokio::test]
async fn a_short_wait_is_spent_waiting() {
    let answer = Arc::new(Mutex::new(Some(reply(429, "").header("retry-after", "2"))));
    let server = Arc::new(strict(Arc::clone(&answer)).await);
    let rig = Arc::new(rig());
    let connection = Arc::new(connection(connector(AuthDef::None, None)));
    let ask = || {
        let (rig, server, connection) = (rig.clone(), server.clone(), connection.clone());
        async move {
            let request = request("GET", &server.url("/"));
            rig.ask(&connection, &request, how()).await
        }
    };
    ask().await.unwrap_err();
    *answer.lock().unwrap() = None;
    let mut waits = JoinSet::new();
    waits.spawn(ask());
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.seen().len(), 1);
    rig.clock.advance(Duration::from_secs(2));
    assert_eq!(
        waits.join_next().await.unwrap().unwrap().unwrap().status,
        200
    );
}

#[tokio::test]
async fn a_rule_may_go_by_a_header() {
    let server = Server::start(|seen| match &seen.path[1..] {
        "none" => reply(403, ""),
        left => reply(403, "").header("x-ratelimit-remaining", left),
    })
    .await;
    let rig = rig();
    let check = async |wanted: &str, path: &str, expect| {
        let mut def = connector(AuthDef::None, None);
        let header = ("x-ratelimit-remaining".to_owned(), wanted.to_owned());
        def.errors = vec![ErrorRule {
            header: vec![header],
            ..waiting(&[])
        }];
        let request = request("GET", &server.url(path));
        let asked = rig.ask(&connection(def), &request, how()).await;
        assert_eq!(asked.unwrap_err().kind, expect, "{wanted} {path}");
    };
    check("0", "/7", ErrorKind::Permanent).await;
    check("0", "/0", ErrorKind::Transient).await;
    check("*", "/7", ErrorKind::Transient).await;
    check("*", "/none", ErrorKind::Permanent).await;
}

#[tokio::test]
async fn a_rule_may_go_by_a_part_of_the_message() {
    let server = Server::start(|seen| match seen.path.as_str() {
        "/limited" => reply_json(403, json!({"message": "A Secondary Rate Limit was hit"})),
        "/forbidden" => reply_json(403, json!({"message": "Resource not accessible"})),
        "/nested" => reply_json(403, json!({"error": {"message": "secondary rate limit"}})),
        _ => reply(403, "secondary rate limit"),
    })
    .await;
    let rig = rig();
    let mut def = connector(AuthDef::None, None);
    def.errors = vec![ErrorRule {
        message: vec!["abuse".to_owned(), "secondary rate limit".to_owned()],
        ..waiting(&[])
    }];
    for (path, expect) in [
        ("/limited", ErrorKind::Transient),
        ("/forbidden", ErrorKind::Permanent),
        ("/nested", ErrorKind::Permanent),
        ("/text", ErrorKind::Permanent),
    ] {
        let request = request("GET", &server.url(path));
        let asked = rig.ask(&connection(def.clone()), &request, how()).await;
        assert_eq!(asked.unwrap_err().kind, expect, "{path}");
    }
}
