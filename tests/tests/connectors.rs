//! The built-in connectors on the real binary, each against an API that answers as its documents say.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use velodrome_tests::fake::{
    Api, Asked, Fake, GITHUB_TOKEN, GitHub, HUBSPOT_TOKEN, HubSpot, Reply, STRIPE_KEY, Stripe,
};
use velodrome_tests::{Folder, Server, Sink};

const GITHUB_ISSUES: &str = include_str!("../../cycles/github_issues.yaml");
const STRIPE_CHARGES: &str = include_str!("../../cycles/stripe_charges.yaml");
const HUBSPOT_CONTACTS: &str = include_str!("../../cycles/hubspot_contacts.yaml");

/// The world that the shipped cycles send records to.
async fn world() -> Result<Sink> {
    Sink::start(|_, _| (200, json!({}), Duration::ZERO)).await
}

/// Serves a cycle with one connection to a fake API, signed in with this secret.
async fn serve<A: Api>(
    api: &Fake<A>,
    connector: &str,
    (setting, secret): (&str, &str),
    cycle: (&str, &str),
    hosts: &[&str],
) -> Result<Server> {
    let mut allowed = vec![api.host()];
    allowed.extend(hosts);
    let settings = format!(
        "egress: {{allow: {}}}
connections:
  {connector}:
    connector: {connector}
    settings: {{{setting}: \"${{env:API_SECRET}}\", api_url: \"{}\"}}
",
        json!(allowed),
        api.url()
    );
    let name = format!("{}.yaml", cycle.0);
    let folder = Folder::new(&[(&name, cycle.1)], &settings)?;
    let server = folder
        .with_environment("API_SECRET", secret)
        .serve()
        .await?;
    Ok(server)
}

/// Calls the cycle and waits until its loop has ended.
async fn run(server: &Server, cycle: &str, body: &str) -> Result<Value> {
    let answer = server.hook(cycle, body).await?.json();
    let id = answer["loop"]
        .as_str()
        .context("it is accepted")?
        .to_owned();
    server.loop_over(&id).await
}

/// How often each path was sent to.
fn sent(sink: &Sink) -> BTreeMap<String, usize> {
    let mut sent = BTreeMap::new();
    for came in sink.came() {
        *sent.entry(came.path).or_default() += 1;
    }
    sent
}

fn each_once(sent: &BTreeMap<String, usize>, expect: impl Iterator<Item = String>) {
    let expect: BTreeMap<String, usize> = expect.map(|path| (path, 1)).collect();
    assert_eq!(*sent, expect);
}

fn asked_of<A: Api>(api: &Fake<A>, name: &str) -> Vec<Option<String>> {
    let asked = api.asked();
    let found = asked.iter().map(|asked| asked.query.get(name).cloned());
    found.collect()
}

fn seconds_between(before: &Asked, after: &Asked) -> f64 {
    after.at.duration_since(before.at).as_secs_f64()
}

/// Nothing that a person may read holds the secret.
async fn nowhere_shown(server: &Server, secret: &str) -> Result<()> {
    let lines = server.log("").await?;
    let told = json!(lines).to_string() + &server.log_text();
    assert!(!told.contains(secret), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn github_is_walked_by_its_links_and_left_alone_as_long_as_it_asks() -> Result<()> {
    let (api, board) = (Fake::start(GitHub::with_issues(230)).await?, world().await?);
    let cycle = GITHUB_ISSUES.replace("https://board.example.com", board.url());
    let signed = ("token", GITHUB_TOKEN);
    let cycle = ("github_issues", cycle.as_str());
    let server = serve(&api, "github", signed, cycle, &[board.host()]).await?;
    // The second page is refused twice: nothing is left until the limit starts anew, then too many at once.
    let now = SystemTime::UNIX_EPOCH.elapsed()?.as_secs();
    let nothing_left = Reply::new(403, json!({"message": "API rate limit exceeded"}))
        .with("x-ratelimit-remaining", "0")
        .with("x-ratelimit-reset", (now + 3).to_string());
    api.trouble(1, nothing_left);
    let secondary = "You have exceeded a secondary rate limit";
    let too_many = Reply::new(429, json!({ "message": secondary })).with("retry-after", "1");
    api.trouble(2, too_many);

    let over = run(&server, "github_issues", "{}").await?;
    assert_eq!(over["status"], "succeeded", "{over:#}");
    assert_eq!(over["records"], 230);
    each_once(
        &sent(&board),
        (1..=230).map(|n| format!("/issues/{}", 9_000 + n)),
    );
    let first = board
        .came()
        .into_iter()
        .find(|came| came.path == "/issues/9003");
    let first = first.context("the third issue")?.body;
    assert_eq!(
        (&first["number"], &first["state"]),
        (&json!(3), &json!("closed"))
    );

    let asked = api.asked();
    let pages: Vec<Option<String>> = asked_of(&api, "page");
    let page = |number: &str| Some(number.to_owned());
    assert_eq!(pages, [None, page("2"), page("2"), page("2"), page("3")]);
    for asked in &asked {
        assert_eq!(
            asked.header("authorization"),
            format!("Bearer {GITHUB_TOKEN}")
        );
        assert_eq!(asked.header("x-github-api-version"), "2022-11-28");
        assert_eq!(asked.query.get("per_page").map(String::as_str), Some("100"));
        assert_eq!(
            asked.query.get("since"),
            None,
            "the first run reads everything"
        );
    }
    // The server's clock had begun its second before the test read it.
    assert!(
        seconds_between(&asked[1], &asked[2]) > 1.0,
        "until the limit starts anew"
    );
    assert!(
        seconds_between(&asked[2], &asked[3]) > 0.9,
        "a second, by Retry-After"
    );

    // Next time only what has changed since; the date itself is the server's own.
    api.with(|github| github.open(231, "2099-01-01T00:00:00Z"));
    let over = run(&server, "github_issues", "{}").await?;
    assert_eq!(
        (&over["status"], &over["records"]),
        (&json!("succeeded"), &json!(1))
    );
    assert!(api.asked()[5].query.contains_key("since"));
    assert_eq!(sent(&board).len(), 231);
    nowhere_shown(&server, GITHUB_TOKEN).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_github_token_may_not_do_fails_at_once_and_moves_no_date() -> Result<()> {
    let (api, board) = (Fake::start(GitHub::with_issues(230)).await?, world().await?);
    let cycle = GITHUB_ISSUES.replace("https://board.example.com", board.url());
    let cycle = ("github_issues", cycle.as_str());
    let signed = ("token", GITHUB_TOKEN);
    let server = serve(&api, "github", signed, cycle, &[board.host()]).await?;
    let message = "Resource not accessible by personal access token";
    let refused = Reply::new(403, json!({ "message": message }));
    api.trouble(2, refused.with("x-ratelimit-remaining", "4999"));
    let over = run(&server, "github_issues", "{}").await?;
    assert_eq!(over["status"], "failed", "{over:#}");
    assert_eq!(api.asked().len(), 3, "it is not tried again");
    assert_eq!(server.log("event=watermark.moved").await?.len(), 0);
    assert!(board.came().is_empty());

    // A token that is void.
    let server = serve(
        &api,
        "github",
        ("token", "ghp_void"),
        cycle,
        &[board.host()],
    )
    .await?;
    let over = run(&server, "github_issues", "{}").await?;
    assert_eq!(over["status"], "failed", "{over:#}");
    let failed = server.log("event=request.failed").await?;
    assert_eq!(
        (&failed[0]["code"], &failed[0]["status"]),
        (&json!("request.status"), &json!(401))
    );
    nowhere_shown(&server, "ghp_void").await
}

#[tokio::test(flavor = "multi_thread")]
async fn stripe_is_walked_by_the_last_charge_with_its_key_as_the_user() -> Result<()> {
    let (api, books) = (
        Fake::start(Stripe::with_charges(250)).await?,
        world().await?,
    );
    let cycle = STRIPE_CHARGES.replace("https://books.example.com", books.url());
    let cycle = ("stripe_charges", cycle.as_str());
    let signed = ("secret_key", STRIPE_KEY);
    let server = serve(&api, "stripe", signed, cycle, &[books.host()]).await?;
    let limited = json!({"error": {"type": "invalid_request_error", "code": "rate_limit"}});
    api.trouble(1, Reply::new(429, limited));

    let over = run(&server, "stripe_charges", "{}").await?;
    assert_eq!(over["status"], "succeeded", "{over:#}");
    assert_eq!(over["records"], 250);
    each_once(
        &sent(&books),
        (1..=250).map(|n| format!("/charges/ch_{n:05}")),
    );
    let after = |id: &str| Some(id.to_owned());
    // Newest first, a hundred a page.
    assert_eq!(
        asked_of(&api, "starting_after"),
        [
            None,
            after("ch_00151"),
            after("ch_00151"),
            after("ch_00051")
        ]
    );
    let asked = api.asked();
    assert!(
        seconds_between(&asked[1], &asked[2]) > 0.9,
        "the first gap is a second"
    );
    assert!(
        asked
            .iter()
            .all(|asked| asked.header("stripe-version") == "2024-06-20")
    );

    // Next time only charges since then.
    let over = run(&server, "stripe_charges", "{}").await?;
    assert_eq!(
        (&over["status"], &over["records"]),
        (&json!("succeeded"), &json!(0))
    );
    let since = api.asked()[4].query.get("created[gte]").cloned();
    let since: u64 = since.context("a date")?.parse()?;
    let now = SystemTime::UNIX_EPOCH.elapsed()?.as_secs();
    assert!(since.abs_diff(now) < 120, "{since} {now}");
    nowhere_shown(&server, STRIPE_KEY).await
}

#[tokio::test(flavor = "multi_thread")]
async fn stripe_is_written_to_by_forms_and_once_whatever_comes_back() -> Result<()> {
    let api = Fake::start(Stripe::default()).await?;
    let cycle = r#"
cycle: customers
steps:
  webhook: {use: generic_webhook.webhook, then: make}
  make:
    use: stripe.create_customer
    retry: {times: 3, first: 20 ms}
    map:
      email: ${webhook.email}
      name: "Ada & Sons"
      metadata: {order: "${webhook.order}", paid: true}
"#;
    let signed = ("secret_key", STRIPE_KEY);
    let server = serve(&api, "stripe", signed, ("customers", cycle), &[]).await?;
    // An answer that says to try again, though 402 usually does not.
    let again = Reply::new(402, json!({"error": {"type": "api_error"}}));
    api.trouble(0, again.with("stripe-should-retry", "true"));
    let body = json!({"email": "ada@example.com", "order": 7}).to_string();
    let over = run(&server, "customers", &body).await?;
    assert_eq!(over["status"], "succeeded", "{over:#}");
    let asked = api.asked();
    assert_eq!(asked.len(), 2);
    let expect = [
        ("email", "ada@example.com"),
        ("metadata[order]", "7"),
        ("metadata[paid]", "true"),
        ("name", "Ada & Sons"),
    ];
    let expect = expect.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(asked[1].form(), BTreeMap::from(expect));
    let keys: Vec<&str> = asked
        .iter()
        .map(|asked| asked.header("idempotency-key"))
        .collect();
    assert!(!keys[0].is_empty() && keys[0] == keys[1], "{keys:?}");
    assert_eq!(api.with(|stripe| stripe.customers().len()), 1);

    // And one that says it does not help, though 500 usually does.
    let no = Reply::new(500, json!({"error": {"type": "api_error"}}));
    api.trouble(2, no.with("stripe-should-retry", "false"));
    let over = run(&server, "customers", &body).await?;
    assert_eq!(over["status"], "failed", "{over:#}");
    assert_eq!(api.asked().len(), 3);
    assert_ne!(api.asked()[2].header("idempotency-key"), keys[0]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn hubspot_is_searched_by_the_ids_behind_the_last_one() -> Result<()> {
    let (api, list) = (
        Fake::start(HubSpot::with_contacts(450)).await?,
        world().await?,
    );
    let cycle = HUBSPOT_CONTACTS.replace("https://mailing.example.com", list.url());
    let cycle = ("hubspot_contacts", cycle.as_str());
    let signed = ("access_token", HUBSPOT_TOKEN);
    let server = serve(&api, "hubspot", signed, cycle, &[list.host()]).await?;
    let locked = json!({"status": "error", "message": "locked"});
    api.trouble(1, Reply::new(423, locked));

    let ids = api.with(|hubspot| hubspot.ids());
    let over = run(&server, "hubspot_contacts", "{}").await?;
    assert_eq!(over["status"], "succeeded", "{over:#}");
    assert_eq!(over["records"], 450);
    let mut came: Vec<String> = list
        .came()
        .iter()
        .map(|came| came.body["contact"].as_str().unwrap_or_default().to_owned())
        .collect();
    came.sort_by_key(|id| id.parse::<u64>().unwrap_or(0));
    assert_eq!(came, ids);
    let email = &list.came()[0].body["email"];
    assert!(
        email
            .as_str()
            .is_some_and(|text| text.ends_with("@example.com")),
        "{email}"
    );

    let asked = api.asked();
    let behind: Vec<Value> = asked
        .iter()
        .map(|asked| asked.json()["filterGroups"][0]["filters"][1]["value"].clone())
        .collect();
    // 200, 200, 50 and none; the second was locked at first.
    assert_eq!(behind, ["0", &ids[199], &ids[199], &ids[399], &ids[449]]);
    assert!(
        seconds_between(&asked[1], &asked[2]) > 1.9,
        "at least two seconds"
    );
    let bearer = format!("Bearer {HUBSPOT_TOKEN}");
    assert!(
        asked
            .iter()
            .all(|asked| asked.header("authorization") == bearer)
    );
    assert_eq!(
        asked[0].json()["properties"],
        json!(["email", "firstname", "lifecyclestage"])
    );

    // Next time the search asks from the first answer's date on.
    let over = run(&server, "hubspot_contacts", "{}").await?;
    assert_eq!(
        (&over["status"], &over["records"]),
        (&json!("succeeded"), &json!(0))
    );
    let since = api.asked()[5].json()["filterGroups"][0]["filters"][0]["value"].as_u64();
    let now = u64::try_from(SystemTime::UNIX_EPOCH.elapsed()?.as_millis())?;
    assert!(
        since.is_some_and(|since| since.abs_diff(now) < 600_000),
        "{since:?}"
    );
    nowhere_shown(&server, HUBSPOT_TOKEN).await
}

/// Each service says its code elsewhere; a person reads it in the error, and rules go by it.
#[tokio::test(flavor = "multi_thread")]
async fn what_each_api_says_of_an_error_is_read_where_it_says_it() -> Result<()> {
    let api = Fake::start(GitHub::default()).await?;
    let cycle = "
cycle: once
steps:
  webhook: {use: generic_webhook.webhook, then: ask}
  ask:
    use: github.create_issue
    map: {owner: octo-org, repo: octo-repo, title: \"${webhook.title}\"}
";
    let signed = ("token", GITHUB_TOKEN);
    let server = serve(&api, "github", signed, ("once", cycle), &[]).await?;
    let over = run(&server, "once", r#"{"title": ""}"#).await?;
    assert_eq!(over["status"], "failed", "{over:#}");
    assert_eq!(api.asked().len(), 1);
    let told = server.log("event=request.failed").await?;
    let message = told[0]["message"].as_str().unwrap_or_default();
    assert!(message.contains("code `missing_field`"), "{message}");

    // Another request holds the object: tried again by the step's own gaps, and the connection is not held back.
    let api = Fake::start(Stripe::with_charges(3)).await?;
    let cycle = "
cycle: once
steps:
  webhook: {use: generic_webhook.webhook, then: ask}
  ask:
    use: stripe.get_charge
    retry: {times: 2, first: 20 ms}
    map: {id: ch_00002}
";
    let signed = ("secret_key", STRIPE_KEY);
    let server = serve(&api, "stripe", signed, ("once", cycle), &[]).await?;
    let locked = json!({"error": {"type": "invalid_request_error", "code": "lock_timeout"}});
    api.trouble(0, Reply::new(429, locked));
    let over = run(&server, "once", "{}").await?;
    assert_eq!(over["status"], "succeeded", "{over:#}");
    let asked = api.asked();
    assert!(
        seconds_between(&asked[0], &asked[1]) < 0.9,
        "the gap of a limit is a second"
    );

    // The limit of the day is waited for longer than that of ten seconds.
    let api = Fake::start(HubSpot::with_contacts(3)).await?;
    let cycle = "
cycle: once
steps:
  webhook: {use: generic_webhook.webhook, then: ask}
  ask: {use: hubspot.list_contacts}
";
    let signed = ("access_token", HUBSPOT_TOKEN);
    let server = serve(&api, "hubspot", signed, ("once", cycle), &[]).await?;
    let limited = json!({"status": "error", "errorType": "RATE_LIMIT", "policyName": "DAILY"});
    api.trouble(0, Reply::new(429, limited));
    server.hook("once", "{}").await?;
    let put_back = server.log_of("event=retry.scheduled", 1).await?;
    let message = put_back[0]["message"].as_str().unwrap_or_default();
    assert!(message.contains("10 m"), "{message}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn hubspot_is_searched_behind_the_ten_thousandth_record() -> Result<()> {
    let api = Fake::start(HubSpot::with_contacts(10_250)).await?;
    let cycle = r#"
cycle: contacts
steps:
  webhook: {use: generic_webhook.webhook, then: changed}
  changed: {use: hubspot.list_new_updated_contacts}
"#;
    let signed = ("access_token", HUBSPOT_TOKEN);
    let server = serve(&api, "hubspot", signed, ("contacts", cycle), &[]).await?;
    let over = run(&server, "contacts", "{}").await?;
    assert_eq!(over["status"], "succeeded", "{over:#}");
    assert_eq!(over["records"], 10_250);
    // 51 whole pages, one of 50, and the empty one.
    assert_eq!(api.asked().len(), 53);
    assert_eq!(server.log_of("event=watermark.moved", 1).await?.len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn hubspot_lists_all_contacts_by_its_cursor() -> Result<()> {
    let (api, list) = (
        Fake::start(HubSpot::with_contacts(250)).await?,
        world().await?,
    );
    let cycle = format!(
        r#"
cycle: contacts
steps:
  webhook: {{use: generic_webhook.webhook, then: all}}
  all: {{use: hubspot.list_contacts, then: tell}}
  tell:
    use: generic_webhook.put
    url: {}/contacts/${{item.id}}
    for_each: ${{all.records}}
    parallel: 8
"#,
        list.url()
    );
    let signed = ("access_token", HUBSPOT_TOKEN);
    let server = serve(
        &api,
        "hubspot",
        signed,
        ("contacts", &cycle),
        &[list.host()],
    )
    .await?;
    let ids = api.with(|hubspot| hubspot.ids());
    let over = run(&server, "contacts", "{}").await?;
    assert_eq!(over["status"], "succeeded", "{over:#}");
    each_once(&sent(&list), ids.iter().map(|id| format!("/contacts/{id}")));
    let after = [None, Some(ids[99].clone()), Some(ids[199].clone())];
    assert_eq!(asked_of(&api, "after"), after);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn generic_webhook_sends_each_verb_with_its_body() -> Result<()> {
    let sink = Sink::start(|came, _| {
        let verb = came.head.split(' ').next().unwrap_or_default();
        (200, json!({ "verb": verb }), Duration::ZERO)
    })
    .await?;
    let mut cycle =
        "cycle: verbs\nsteps:\n  webhook: {use: generic_webhook.webhook, then: first}\n".to_owned();
    let steps = ["first", "second", "third", "fourth", "fifth"];
    let verbs = ["delete", "get", "patch", "post", "put"];
    for (at, (step, verb)) in steps.iter().zip(verbs).enumerate() {
        let map = if verb == "get" {
            ""
        } else {
            ", map: {id: 7, before: \"${webhook.id}\"}"
        };
        let then = steps.get(at + 1).map(|next| format!(", then: {next}"));
        cycle.push_str(&format!(
            "  {step}: {{use: generic_webhook.{verb}, url: \"{}/{verb}/${{webhook.id}}\"{map}{}}}\n",
            sink.url(),
            then.unwrap_or_default()
        ));
    }
    let settings = format!("egress: {{allow: [\"{}\"]}}\n", sink.host());
    let server = Folder::new(&[("verbs.yaml", &cycle)], &settings)?
        .serve()
        .await?;
    let over = run(&server, "verbs", r#"{"id": "a b"}"#).await?;
    assert_eq!(over["status"], "succeeded", "{over:#}");
    let came = sink.came();
    let heads: Vec<&str> = came
        .iter()
        .map(|came| came.head.lines().next().unwrap_or_default())
        .collect();
    assert_eq!(
        heads,
        [
            "DELETE /delete/a%20b HTTP/1.1",
            "GET /get/a%20b HTTP/1.1",
            "PATCH /patch/a%20b HTTP/1.1",
            "POST /post/a%20b HTTP/1.1",
            "PUT /put/a%20b HTTP/1.1",
        ]
    );
    for came in &came {
        let get = came.head.starts_with("GET");
        let body = if get {
            Value::Null
        } else {
            json!({"id": 7, "before": "a b"})
        };
        assert_eq!(came.body, body, "{}", came.head);
        assert_eq!(
            came.key.is_empty(),
            get,
            "what changes something has a key: {}",
            came.head
        );
    }
    Ok(())
}
