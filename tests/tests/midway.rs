//! Webhooks in the middle of a cycle on the real binary: who goes on, once, and what survives a crash.

use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::future::join_all;
use serde_json::{Value, json};
use velodrome_tests::{Answer, Folder, Server, Sink};

/// Tells its link, waits, and says what it heard.
const ASK: &str = r#"
cycle: ask
steps:
  webhook:
    use: generic_webhook.webhook
    then: tell
  tell:
    use: generic_webhook.post
    url: SINK/tell
    map: {link: "${asked.resume_url}", id: "${webhook.id}"}
    then: asked
  asked:
    use: generic_webhook.webhook
    name: "May <b>it</b> & go?"
    match: {id: "${webhook.id}"}
    fields:
      go: {type: boolean, default: true}
      why: {type: text, max_length: 40}
    auth: {bearer: {secret: "${env:HOOK_SECRET}"}}
    timeout: 10 minutes
    then: heard
    else: late
  heard: {use: stop, message: "heard ${asked.go} ${asked.why ?? \"nothing\"}"}
  late: {use: stop, message: nobody said anything}
"#;

const SETTINGS: &str = "env_for_cycles: [HOOK_SECRET]\n";
const BEARER: (&str, &str) = ("authorization", "Bearer waiting-is-over");
const JSON: (&str, &str) = ("content-type", "application/json");
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

async fn sink() -> Result<Sink> {
    Sink::start(|_, _| (200, json!({}), Duration::ZERO)).await
}

async fn serve(sink: &Sink, cycles: &[(&str, &str)]) -> Result<Server> {
    let settings = format!("egress: {{allow: [\"{}\"]}}\n{SETTINGS}", sink.host());
    let cycles: Vec<(&str, String)> = cycles
        .iter()
        .map(|(name, text)| (*name, text.replace("SINK", sink.url())))
        .collect();
    let cycles: Vec<(&str, &str)> = cycles.iter().map(|(name, text)| (*name, &**text)).collect();
    Folder::new(&cycles, &settings)?
        .with_environment("HOOK_SECRET", "waiting-is-over")
        .serve()
        .await
}

/// Begins a run and waits until it waits; gives its id.
async fn waiting(server: &Server, cycle: &str, body: Value) -> Result<String> {
    let answer = server.hook(cycle, &body.to_string()).await?;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let run = answer.json()["run"].as_str().context("a run")?.to_owned();
    let waits = |found: &Value| found["status"] == "waiting" && found["step"] == "asked";
    server.wait_for(&format!("/runs/{run}"), waits).await?;
    Ok(run)
}

async fn call(server: &Server, path: &str, body: Value) -> Result<Answer> {
    let url = format!("{}/hooks/{path}", server.url());
    let body = body.to_string().into_bytes();
    server
        .client()
        .send("POST", &url, &[JSON, BEARER], body)
        .await
}

async fn ends(server: &Server, run: &str, status: &str) -> Result<Value> {
    let over = |found: &Value| found["status"] == status;
    server.wait_for(&format!("/runs/{run}"), over).await
}

/// What the run's `stop` said.
async fn said(server: &Server, run: &str) -> Result<Vec<String>> {
    let lines = server
        .log(&format!("run={run}&event=run.succeeded"))
        .await?;
    let text = |line: &Value| line["message"].as_str().unwrap_or_default().to_owned();
    Ok(lines.iter().map(text).collect())
}

fn told(answer: &Answer) -> (u16, String) {
    (answer.status, answer.code())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_looked_at_by_anybody_and_only_a_post_goes_on() -> Result<()> {
    let sink = sink().await?;
    let server = serve(&sink, &[("ask.yaml", ASK)]).await?;
    let client = server.client();
    let run = waiting(&server, "ask", json!({"id": 1})).await?;
    let other = waiting(&server, "ask", json!({"id": 2})).await?;
    let links: Vec<String> = sink
        .came()
        .iter()
        .filter_map(|came| Some(came.body["link"].as_str()?.to_owned()))
        .collect();
    let [link, of_other] = links.as_slice() else {
        panic!("{links:?}");
    };
    for verb in ["GET", "HEAD", "GET"] {
        let seen = client.send(verb, link, &[], Vec::new()).await?;
        assert_eq!(seen.status, 200, "{}", seen.text);
        assert_eq!(seen.header("cache-control"), "no-store");
        let policy = seen.header("content-security-policy");
        assert!(policy.contains("sandbox allow-forms"), "{policy}");
        if verb == "GET" {
            assert!(
                seen.text.contains("May &lt;b&gt;it&lt;/b&gt; &amp; go?"),
                "{}",
                seen.text
            );
            assert!(seen.text.contains("name=\"why\""), "{}", seen.text);
        }
    }
    let wrong = client.send("PUT", link, &[], Vec::new()).await?;
    assert_eq!((wrong.status, wrong.header("allow")), (405, "GET, POST"));
    // Guesses, parts, and the links of another run and another step.
    let last = link.chars().last().context("a link")?;
    let cut = &link[..link.len() - 1];
    let guesses = [
        cut.to_owned(),
        format!("{cut}{}", if last == 'A' { 'B' } else { 'A' }),
        format!("{link}A"),
        link.replace("/asked/", "/webhook/"),
        link.replace("resume_", ""),
        format!("{}/hooks/ask/asked/{run}", server.url()),
    ];
    for guess in guesses {
        for verb in ["GET", "POST"] {
            let seen = client.send(verb, &guess, &[JSON], b"{}".to_vec()).await?;
            assert_eq!(seen.status, 404, "{verb} {guess}: {}", seen.text);
        }
    }
    let unfit = client
        .send("POST", link, &[JSON], br#"{"go": 7}"#.to_vec())
        .await?;
    assert_eq!(told(&unfit), (422, "webhook.field_invalid".to_owned()));
    // It waits still. The link is all that is asked for; what a form leaves empty is no value.
    let accept = ("accept", "text/html,application/xhtml+xml;q=0.9");
    let page = ("origin", "null");
    let form = b"go=false&why=".to_vec();
    let thanks = client
        .send("POST", link, &[FORM, accept, page], form)
        .await?;
    assert_eq!(thanks.status, 200, "{}", thanks.text);
    assert!(thanks.text.contains("Thank you"), "{}", thanks.text);
    ends(&server, &run, "succeeded").await?;
    assert_eq!(said(&server, &run).await?, ["heard false nothing"]);
    let again = client.send("POST", link, &[JSON], b"{}".to_vec()).await?;
    assert_eq!(told(&again), (409, "wait.over".to_owned()));
    let seen = client.send("GET", link, &[], Vec::new()).await?;
    assert_eq!(seen.status, 409);
    assert!(seen.text.contains("Nothing to do"), "{}", seen.text);
    let answered = client
        .send("POST", of_other, &[JSON], br#"{"why": "so"}"#.to_vec())
        .await?;
    assert_eq!(
        (answered.status, &answered.json()["run"]),
        (202, &json!(other))
    );
    ends(&server, &other, "succeeded").await?;
    assert_eq!(said(&server, &other).await?, ["heard true so"]);

    // Whoever has a link may answer: it is shown nowhere, and is in no file of the folder.
    let shown = [
        server.log("").await?,
        vec![
            server.get("/runs").await?,
            server.get(&format!("/runs/{run}")).await?,
        ],
    ];
    let secret = link.rsplit('_').next().context("a link")?;
    let (_, secret) = link.split_once("resume_").context(secret.to_owned())?;
    assert!(!json!(shown).to_string().contains(secret));
    assert!(!server.log_text().contains(secret));
    for entry in std::fs::read_dir(server.folder().path().join("data"))? {
        let path = entry?.path();
        if path.is_file() {
            let bytes = std::fs::read(&path)?;
            let found = bytes
                .windows(secret.len())
                .any(|at| at == secret.as_bytes());
            assert!(!found, "{} holds a link", path.display());
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_at_two_links_is_two_requests_and_twice_at_one_is_one() -> Result<()> {
    let sink = sink().await?;
    let server = serve(&sink, &[("ask.yaml", ASK)]).await?;
    let runs = [
        waiting(&server, "ask", json!({"id": 1})).await?,
        waiting(&server, "ask", json!({"id": 2})).await?,
    ];
    let key = ("idempotency-key", "yes");
    for (run, told) in runs.iter().zip(sink.came()) {
        let link = told.body["link"].as_str().context("a link")?.to_owned();
        for replayed in ["", "true"] {
            let answer = server
                .client()
                .send("POST", &link, &[JSON, key], b"{}".to_vec())
                .await?;
            assert_eq!((answer.status, &answer.json()["run"]), (202, &json!(run)));
            assert_eq!(answer.header("idempotency-replayed"), replayed);
        }
        ends(&server, run, "succeeded").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_for_the_newest_run_that_it_fits_and_each_is_answered_once() -> Result<()> {
    let sink = sink().await?;
    let server = serve(&sink, &[("ask.yaml", ASK)]).await?;
    let none = call(&server, "ask/asked", json!({"id": 7})).await?;
    assert_eq!(told(&none), (404, "wait.none".to_owned()));
    let older = waiting(&server, "ask", json!({"id": 7})).await?;
    let newer = waiting(&server, "ask", json!({"id": "7"})).await?;
    let other = waiting(&server, "ask", json!({"id": 8})).await?;
    let refused = server
        .client()
        .send(
            "POST",
            &format!("{}/hooks/ask/asked", server.url()),
            &[JSON],
            b"{}".to_vec(),
        )
        .await?;
    assert_eq!(told(&refused), (401, "webhook.unauthenticated".to_owned()));
    for unfit in [
        json!({"id": "07"}),
        json!({"id": null}),
        json!({}),
        json!([7]),
    ] {
        let answer = call(&server, "ask/asked", unfit.clone()).await?;
        assert!(
            matches!(answer.status, 404 | 422),
            "{unfit}: {}",
            answer.text
        );
    }
    // At once: each of the two is answered by one, the rest come too late.
    let at_once = (0..20).map(|_| call(&server, "ask/asked", json!({"id": 7})));
    let answers = join_all(at_once)
        .await
        .into_iter()
        .collect::<Result<Vec<_>>>()?;
    let mut went_on: Vec<String> = Vec::new();
    for answer in &answers {
        match answer.status {
            202 => went_on.push(answer.json()["run"].as_str().unwrap_or_default().to_owned()),
            _ => assert_eq!(told(answer), (409, "wait.over".to_owned())),
        }
    }
    went_on.sort();
    let mut both = [older.clone(), newer.clone()];
    both.sort();
    assert_eq!(went_on, both);
    // In order: newest first.
    let older = waiting(&server, "ask", json!({"id": 9})).await?;
    let newer = waiting(&server, "ask", json!({"id": 9})).await?;
    for run in [newer, older] {
        let answer = call(&server, "ask/asked", json!({"id": 9})).await?;
        assert_eq!(answer.json()["run"], json!(run), "{}", answer.text);
    }
    // `loop stop` ends a wait like everything else.
    let of_other = server.get(&format!("/runs/{other}")).await?["loop"].clone();
    let of_other = of_other.as_str().context("a loop")?;
    server
        .api("POST", &format!("/loops/{of_other}/stop"))
        .await?;
    ends(&server, &other, "stopped").await?;
    let late = call(&server, "ask/asked", json!({"id": 8})).await?;
    assert_eq!(told(&late), (409, "wait.over".to_owned()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_and_their_links_survive_kills_and_give_up_no_earlier_than_due() -> Result<()> {
    let sink = sink().await?;
    let soon = ASK
        .replace("cycle: ask", "cycle: soon")
        .replace("10 minutes", "2 seconds");
    let mut server = serve(&sink, &[("ask.yaml", ASK), ("soon.yaml", &soon)]).await?;
    let first = waiting(&server, "ask", json!({"id": 1})).await?;
    let second = waiting(&server, "ask", json!({"id": 2})).await?;
    let gives_up = waiting(&server, "soon", json!({"id": 3})).await?;
    let rotated = server.folder().command(&["key", "rotate"]).await?;
    assert_eq!(rotated.0, 0, "{}", rotated.2);
    server.kill().await?;
    server.start().await?;
    let link = sink.came()[0].body["link"]
        .as_str()
        .context("a link")?
        .to_owned();
    let seen = server.client().send("GET", &link, &[], Vec::new()).await?;
    assert_eq!(seen.status, 200, "{}", seen.text);
    let answer = server
        .client()
        .send("POST", &link, &[JSON], b"{}".to_vec())
        .await?;
    assert_eq!((answer.status, &answer.json()["run"]), (202, &json!(first)));
    server.kill().await?;
    server.start().await?;
    // What was answered is answered.
    ends(&server, &first, "succeeded").await?;
    let again = server
        .client()
        .send("POST", &link, &[JSON], b"{}".to_vec())
        .await?;
    assert_eq!(told(&again), (409, "wait.over".to_owned()));
    let answer = call(&server, "ask/asked", json!({"id": 2})).await?;
    assert_eq!(answer.json()["run"], json!(second), "{}", answer.text);
    ends(&server, &gives_up, "succeeded").await?;
    assert_eq!(said(&server, &gives_up).await?, ["nobody said anything"]);
    let time = |event: &str| format!("run={gives_up}&event={event}");
    let started = server.log(&time("wait.started")).await?;
    let ended = server.log(&time("wait.ended")).await?;
    let until = started[0]["data"]["until"].as_str().context("until")?;
    assert!(
        ended[0]["time"].as_str() >= Some(until),
        "{ended:?} {until}"
    );
    Ok(())
}

/// Handlers at a webhook in the middle, and storage that they write.
const HANDLED: &str = r#"
cycle: handled
steps:
  webhook: {use: generic_webhook.webhook, then: asked}
  asked:
    use: generic_webhook.webhook
    dedupe: delivery
    match: {id: "${webhook.id}"}
    script: |
      fn before_webhook() {
          if method_request.ping == true {
              method_response = #{pong: true};
              return false;
          }
          method_request.id = method_request.number;
          return true;
      }
      fn after_webhook() {
          cycle_storage_increment("heard", 1);
          if method_response.word == "no" { return false; }
          if method_response.word == "throw" { throw "not that"; }
          method_response.word = method_response.word.to_upper();
          return true;
      }
    then: heard
  heard: {use: stop, message: "heard ${asked.word}"}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn its_handlers_let_pass_ignore_answer_or_throw_and_the_run_waits_until_one_passes()
-> Result<()> {
    let sink = sink().await?;
    let server = serve(&sink, &[("handled.yaml", HANDLED)]).await?;
    let run = waiting(&server, "handled", json!({"id": 4})).await?;
    let say = async |word: &str, delivery: &str| {
        let body = json!({"number": 4, "word": word, "delivery": delivery});
        call(&server, "handled/asked", body).await
    };
    let heard = async || -> Result<i64> {
        let path = "/storage/generic_webhook/heard?cycle=handled";
        let answer = server.api("GET", path).await?;
        Ok(answer.json()["value"].as_i64().unwrap_or(0))
    };
    let answer = call(&server, "handled/asked", json!({"ping": true})).await?;
    assert_eq!((answer.status, answer.json()), (200, json!({"pong": true})));
    let ignored = say("no", "a").await?;
    assert_eq!(
        (
            ignored.status,
            &ignored.json()["status"],
            &ignored.json()["run"]
        ),
        (200, &json!("ignored"), &json!(run))
    );
    let thrown = say("throw", "b").await?;
    assert_eq!(told(&thrown), (500, "webhook.script_failed".to_owned()));
    assert!(thrown.text.contains("not that"), "{}", thrown.text);
    let waits = server.get(&format!("/runs/{run}")).await?;
    assert_eq!(waits["status"], "waiting");
    assert_eq!(
        heard().await?,
        1,
        "what an ignored request wrote is kept, a thrown one wrote nothing"
    );
    // The same delivery is the same answer, also where it was ignored.
    let again = say("no", "a").await?;
    assert_eq!(again.header("idempotency-replayed"), "true");
    let passed = say("yes", "c").await?;
    assert_eq!(passed.status, 202, "{}", passed.text);
    ends(&server, &run, "succeeded").await?;
    assert_eq!(said(&server, &run).await?, ["heard YES"]);
    let again = say("yes", "c").await?;
    assert_eq!(
        (again.status, again.header("idempotency-replayed")),
        (202, "true")
    );
    assert_eq!(heard().await?, 2);
    Ok(())
}

/// Takes requests until its time is up; each is answered by a child run.
const REPEATS: &str = r#"
cycle: repeats
steps:
  webhook: {use: generic_webhook.webhook, then: asked}
  asked:
    use: generic_webhook.webhook
    match: {id: "${webhook.id}"}
    repeat: true
    timeout: 3 seconds
    then: answer
    else: closed
  answer: {use: respond, body: {to: "${webhook.id}", heard: "${asked.word}"}}
  closed: {use: stop, message: closed}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn one_that_repeats_answers_each_caller_by_a_child_run() -> Result<()> {
    let sink = sink().await?;
    let mut server = serve(&sink, &[("repeats.yaml", REPEATS)]).await?;
    let run = waiting(&server, "repeats", json!({"id": 5})).await?;
    let words = ["a", "b", "c"];
    let calls = words.map(|word| call(&server, "repeats/asked", json!({"id": 5, "word": word})));
    for (word, answer) in words.iter().zip(join_all(calls).await) {
        let answer = answer?;
        assert_eq!(
            (answer.status, answer.json()),
            (200, json!({"to": 5, "heard": word}))
        );
    }
    server.kill().await?;
    server.start().await?;
    let answer = call(&server, "repeats/asked", json!({"id": 5, "word": "d"})).await?;
    assert_eq!(answer.json()["heard"], "d", "{}", answer.text);
    ends(&server, &run, "succeeded").await?;
    assert_eq!(
        said(&server, &run).await?.first().map(String::as_str),
        Some("closed")
    );
    let runs = server.get("/runs?cycle=repeats").await?;
    let children = runs["items"].as_array().context("runs")?;
    let children = children.iter().filter(|one| one["parent"] == json!(run));
    assert_eq!(children.count(), 4);
    let late = call(&server, "repeats/asked", json!({"id": 5})).await?;
    assert_eq!(told(&late), (409, "wait.over".to_owned()));
    Ok(())
}

/// Its trigger's caller and the one in the middle both wait for an answer.
const TWICE: &str = r#"
cycle: twice
steps:
  webhook: {use: generic_webhook.webhook, then: quick}
  quick:
    use: decision
    if: {left: "${webhook.quick}", is: equals, right: true}
    then: at_once
    else: asked
  at_once: {use: respond, body: at once}
  asked: {use: generic_webhook.webhook, then: answer}
  answer: {use: respond, body: "${asked.word}"}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_respond_answers_whoever_called_last_and_the_first_caller_hears_that_it_waits()
-> Result<()> {
    let sink = sink().await?;
    let server = serve(&sink, &[("twice.yaml", TWICE)]).await?;
    let quick = server.hook("twice", r#"{"quick": true}"#).await?;
    assert_eq!((quick.status, quick.text.as_str()), (200, "at once"));
    let run = waiting(&server, "twice", json!({})).await?;
    let answer = call(&server, "twice/asked", json!({"word": "heard"})).await?;
    assert_eq!((answer.status, answer.text.as_str()), (200, "heard"));
    ends(&server, &run, "succeeded").await?;
    Ok(())
}

/// Posts to the webhook in the middle of another cycle, and says what came of it.
const POKE: &str = r#"
cycle: poke
steps:
  webhook: {use: generic_webhook.webhook, then: poke}
  poke:
    use: generic_webhook.post
    url: ${hook:ask.asked}
    map: {id: "${webhook.id}", why: poked}
    then: poked
    catch: missed
  poked: {use: stop, message: "woke ${poke.run} ${poke.http.status}"}
  missed: {use: stop, message: "missed ${poke.error.status} ${poke.error.code}"}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_step_of_this_server_wakes_a_run_that_waits_and_hears_where_none_does() -> Result<()> {
    let sink = sink().await?;
    let server = serve(&sink, &[("ask.yaml", ASK), ("poke.yaml", POKE)]).await?;
    let run = waiting(&server, "ask", json!({"id": 6})).await?;
    let poke = async || -> Result<String> {
        let begun = server.hook("poke", r#"{"id": 6}"#).await?;
        let id = begun.json()["run"].as_str().context("a run")?.to_owned();
        ends(&server, &id, "succeeded").await?;
        Ok(said(&server, &id).await?.join(" "))
    };
    assert_eq!(poke().await?, format!("woke {run} 202"));
    ends(&server, &run, "succeeded").await?;
    assert_eq!(said(&server, &run).await?, ["heard true poked"]);
    assert_eq!(poke().await?, "missed 409 wait.over");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_found_by_what_its_own_version_matches_by() -> Result<()> {
    let sink = sink().await?;
    let server = serve(&sink, &[("ask.yaml", ASK)]).await?;
    let old = waiting(&server, "ask", json!({"id": 1})).await?;
    let changed = ASK
        .replace(
            "match: {id: \"${webhook.id}\"}",
            "match: {number: \"${webhook.id}\"}",
        )
        .replace("heard ${asked.go}", "changed ${asked.go}")
        .replace("SINK", sink.url());
    server.folder().write_cycle("ask.yaml", &changed)?;
    server.log_of("event=cycle.loaded", 2).await?;
    let new = waiting(&server, "ask", json!({"id": 1})).await?;
    let answer = call(&server, "ask/asked", json!({"number": 1})).await?;
    assert_eq!(answer.json()["run"], json!(new), "{}", answer.text);
    let answer = call(&server, "ask/asked", json!({"id": 1})).await?;
    assert_eq!(answer.json()["run"], json!(old), "{}", answer.text);
    ends(&server, &old, "succeeded").await?;
    ends(&server, &new, "succeeded").await?;
    assert_eq!(said(&server, &old).await?, ["heard true nothing"]);
    assert_eq!(said(&server, &new).await?, ["changed true nothing"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_goes_on_while_its_cycle_pauses_or_finishes_and_not_once_it_is_stopped()
-> Result<()> {
    let sink = sink().await?;
    let server = serve(&sink, &[("ask.yaml", ASK)]).await?;
    let first = waiting(&server, "ask", json!({"id": 1})).await?;
    let second = waiting(&server, "ask", json!({"id": 2})).await?;
    let third = waiting(&server, "ask", json!({"id": 3})).await?;
    server.api("POST", "/cycles/ask/pause").await?;
    let answer = call(&server, "ask/asked", json!({"id": 1})).await?;
    assert_eq!(answer.json()["run"], json!(first), "{}", answer.text);
    ends(&server, &first, "succeeded").await?;
    server.api("POST", "/cycles/ask/start").await?;
    server.api("POST", "/cycles/ask/finish").await?;
    assert_eq!(server.get("/cycles/ask").await?["state"], "finishing");
    let answer = call(&server, "ask/asked", json!({"id": 2})).await?;
    assert_eq!(answer.json()["run"], json!(second), "{}", answer.text);
    ends(&server, &second, "succeeded").await?;
    server.api("POST", "/cycles/ask/stop").await?;
    ends(&server, &third, "stopped").await?;
    let answer = call(&server, "ask/asked", json!({"id": 3})).await?;
    assert_eq!(told(&answer), (409, "cycle.stopped".to_owned()));
    let link = sink.came()[2].body["link"]
        .as_str()
        .context("a link")?
        .to_owned();
    let answer = server
        .client()
        .send("POST", &link, &[JSON], b"{}".to_vec())
        .await?;
    assert_eq!(told(&answer), (409, "cycle.stopped".to_owned()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_run_is_answered_once_though_the_server_is_killed_again_and_again() -> Result<()> {
    const RUNS: u64 = 60;
    let sink = sink().await?;
    let mut server = serve(&sink, &[("ask.yaml", ASK)]).await?;
    let mut runs = Vec::new();
    for id in 0..RUNS {
        runs.push(waiting(&server, "ask", json!({"id": id})).await?);
    }
    let mut random = velodrome_tests::Random::new(5);
    let client = server.client().clone();
    let url = format!("{}/hooks/ask/asked", server.url());
    // Whoever is not answered, or told to come again, does so under the same key.
    let mut asking = tokio::task::JoinSet::new();
    asking.spawn(async move {
        let mut again = 0;
        for id in 0..RUNS {
            let (key, body) = (format!("answer-{id}"), json!({"id": id}).to_string());
            let headers = [JSON, BEARER, ("idempotency-key", key.as_str())];
            let answer = loop {
                let body = body.clone().into_bytes();
                match client.send("POST", &url, &headers, body).await {
                    Ok(answer) if answer.status != 503 => break answer,
                    _ => again += 1,
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            };
            assert_eq!(answer.status, 202, "{id}: {}", answer.text);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        again
    });
    let mut kills = 0;
    let again = loop {
        if let Some(asked) = asking.try_join_next() {
            break asked?;
        }
        let moment = 20 + random.below(150);
        tokio::time::sleep(Duration::from_millis(moment)).await;
        server.kill().await?;
        server.start().await?;
        kills += 1;
    };
    for run in &runs {
        ends(&server, run, "succeeded").await?;
    }
    let heard = server.log("event=webhook.accepted&step=asked").await?;
    let mut by_run: Vec<&str> = heard
        .iter()
        .filter_map(|line| line["run"].as_str())
        .collect();
    by_run.sort_unstable();
    by_run.dedup();
    assert_eq!((heard.len(), by_run.len()), (RUNS as usize, RUNS as usize));
    println!("{RUNS} runs answered through {kills} kills, {again} requests sent again");
    Ok(())
}
