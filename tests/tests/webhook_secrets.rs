//! Secrets of webhooks over the real binary: senders' own libraries sign now, a secret that is set counts from
//! the next request on, and one is changed for another without a request that is refused.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use velodrome_tests::{Answer, Folder, Server, signed, true_time};

/// Kind, and the name of the secret that its webhook reads.
const KINDS: &[(&str, &str)] = &[
    ("github", "github_hook"),
    ("standard_webhooks", "standard_hook"),
    ("stripe", "stripe_hook"),
];

fn cycle(id: &str, auth: &str) -> String {
    format!(
        "cycle: {id}\nsteps:\n  webhook:\n    use: generic_webhook.webhook\n    auth: {auth}\n    then: end\n  \
         end: {{use: stop}}\n"
    )
}

async fn set(server: &Server, name: &str, value: &str) -> Result<()> {
    let line = ["secret", "set", name, "-"];
    let (code, _, error) = server.folder().command_told(&line, value).await?;
    assert_eq!(code, 0, "{name}: {error}");
    Ok(())
}

async fn post(server: &Server, cycle: &str, headers: &Value, body: &str) -> Result<Answer> {
    let headers = headers.as_object().context("headers")?;
    let mut pairs = vec![("content-type", "application/json")];
    pairs.extend(
        headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))),
    );
    let url = format!("{}/hooks/{cycle}", server.url());
    server
        .client()
        .send("POST", &url, &pairs, body.as_bytes().to_vec())
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn three_libraries_sign_and_a_secret_counts_from_the_next_request_on() -> Result<()> {
    let cycles: Vec<(String, String)> = KINDS
        .iter()
        .map(|(kind, name)| {
            let auth = format!("{{{kind}: {{secret: \"${{secret:{name}}}\"}}}}");
            (format!("{kind}.yaml"), cycle(kind, &auth))
        })
        .collect();
    let cycles: Vec<(&str, &str)> = cycles
        .iter()
        .map(|(a, b)| (a.as_str(), b.as_str()))
        .collect();
    let server = Folder::new(&cycles, "")?.serve().await?;

    let body = "{\"order\": 7,  \"name\": \"Zoë ✓\"}\n";
    // The secrets of two rounds, in the form that each sender gives them.
    let secret = |kind: &str, round: usize| match kind {
        "standard_webhooks" => [
            "whsec_c3RhbmRhcmQtd2ViaG9va3Mtc2VjcmV0LTA=",
            "whsec_c3RhbmRhcmQtd2ViaG9va3Mtc2VjcmV0LTE=",
        ][round],
        "stripe" => [
            "whsec_stripe0AbCdEf0123456789",
            "whsec_stripe1AbCdEf0123456789",
        ][round],
        _ => ["It's a secret to everybody", "It's another secret"][round],
    };
    let mut wanted = Vec::new();
    for round in [0, 1] {
        for (kind, _) in KINDS {
            let id = format!("msg_{round}");
            wanted.push(json!({
                "kind": kind, "secret": secret(kind, round), "id": id, "now": true_time() / 1000, "body": body,
            }));
        }
    }
    let headers = signed(&json!(wanted)).await?;
    for (at, (kind, name)) in KINDS.iter().enumerate() {
        let (first, second) = (&headers[at], &headers[at + KINDS.len()]);
        let status = async |headers: &Value| -> Result<u16> {
            Ok(post(&server, kind, headers, body).await?.status)
        };
        // Nobody has set it: nobody passes.
        assert_eq!(status(first).await?, 401, "{kind}");
        set(&server, name, secret(kind, 0)).await?;
        assert_eq!(status(first).await?, 202, "{kind}: {first}");
        assert_eq!(status(second).await?, 401, "{kind}");
        let changed = post(&server, kind, first, &body.replace('7', "8")).await?;
        assert_eq!(changed.status, 401, "{kind}: {}", changed.text);
        // No restart, no edit of a file.
        set(&server, name, secret(kind, 1)).await?;
        assert_eq!(status(first).await?, 401, "{kind}");
        assert_eq!(status(second).await?, 202, "{kind}: {second}");
        let line = ["secret", "delete", name, "--yes"];
        let (code, _, error) = server.folder().command(&line).await?;
        assert_eq!(code, 0, "{error}");
        assert_eq!(status(second).await?, 401, "{kind}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_changed_for_another_while_both_are_taken() -> Result<()> {
    let auth = "{bearer: {secret: [\"${secret:hook_new}\", \"${secret:hook_old}\"]}}";
    let server = Folder::new(&[("orders.yaml", &cycle("orders", auth))], "")?
        .serve()
        .await?;
    let statuses = async || -> Result<[u16; 2]> {
        let mut seen = [0; 2];
        for (at, token) in ["Bearer the old secret", "Bearer the new secret"]
            .into_iter()
            .enumerate()
        {
            seen[at] = post(&server, "orders", &json!({"authorization": token}), "{}")
                .await?
                .status;
        }
        Ok(seen)
    };
    assert_eq!(statuses().await?, [401, 401]);
    // The new one is not set yet: that keeps nobody out who knows the old one.
    set(&server, "hook_old", "the old secret").await?;
    assert_eq!(statuses().await?, [202, 401]);
    set(&server, "hook_new", "the new secret").await?;
    assert_eq!(statuses().await?, [202, 202]);
    // The sender has changed over; the old one is taken back.
    let (code, _, error) = server
        .folder()
        .command(&["secret", "delete", "hook_old", "--yes"])
        .await?;
    assert_eq!(code, 0, "{error}");
    assert_eq!(statuses().await?, [401, 202]);
    Ok(())
}
