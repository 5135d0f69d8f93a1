//! `docs/access.md`: who may do what, with the table of every route and every kind of caller as the server has it.
//!
//! `tests/tests/access_table.rs` holds the real server against the same table.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use velodrome_server::{Asker, RouteRule, Verdict, Who, route_table};

use super::NOTE;
use super::shown::look;

const TABLE: &str = "tests/tests/access_table.rs";
/// What shows the rules that the page tells: the file and the functions.
const SHOWN: [(&str, &[&str]); 3] = [
    (
        TABLE,
        &[
            "every_route_answers_every_kind_of_caller_as_the_table_says",
            "no_route_is_reached_by_another_way_to_write_its_path",
            "no_route_is_reached_by_another_method_or_by_a_header_that_names_it",
        ],
    ),
    (
        "tests/tests/access.rs",
        &[
            "a_token_may_what_its_role_says_and_is_kept_as_a_hash_alone",
            "a_token_that_has_expired_lets_nobody_in",
            "the_run_log_says_on_whose_word_something_was_done",
            "every_change_is_told_with_who_asked_for_it",
        ],
    ),
    (
        "tests/tests/sessions.rs",
        &[
            "a_session_begins_with_a_token_and_ends_with_it",
            "signing_out_ends_the_session_for_good",
            "a_link_signs_in_once_and_only_by_its_button",
            "the_sign_in_takes_ten_wrong_tokens_a_minute_and_a_right_bearer_always",
            "nobody_is_signed_in_by_a_page_of_another_server",
            "pages_carry_a_policy_that_lets_nothing_in",
        ],
    ),
];

const HEAD: &str = r#"
All but webhooks, the page a sign-in comes back to, `/healthz` and `/readyz` asks for a token. A program sends it as
`Authorization: Bearer vdt_…`; a person gives it once to the console and has a cookie from then on. Who may call a
webhook is another matter: see [webhooks](webhooks.md).

## Tokens

The first start makes `<data>/admin.token`, readable by its owner only; commands on the same machine find it by
themselves. `token create` makes more:

```console
$ velodrome token create --role operate --name ci --expires 90d
token_…ewvv13t: `ci`, role operate, until 2027-02-24 19:10:04; it is shown this once:
vdt_9h…
$ velodrome token create --role metrics > prometheus.token
$ velodrome token list
$ velodrome token revoke ci
```

| role | what it may do |
|---|---|
| `metrics` | read `/metrics`, and nothing else |
| `read` | look at everything but what is secret: cycles, runs, loops, storage, connections, watermarks, the log, metrics |
| `operate` | start, stop, pause, retry, replay, trigger; set storage and watermarks; sign a connection in; reload |
| `admin` | everything: secrets, tokens, the key, a connection's client, signing it out, backups |

Each role may do what those above it in this table may. A token is 32 random bytes. The server keeps its SHA-256, sealed like a
[secret](secrets.md), and shows it once; a key change keeps it. It ends when it is revoked or when its `--expires` is over, a
duration or a date; what is begun with it, sessions of browsers and links, ends with it. There may be 1,000. To replace
`admin.token`, delete the file and start the server again: the next start makes another.

A program elsewhere takes a token by `--token-file`: `velodrome --server https://flows.example --token-file ci.token cycle list`.

## The console

`serve` and `demo --keep` print a link that signs a browser in, once, within ten minutes. It opens a page with a button, so
that a preview of the link does not use it up. Later, `/sign-in` takes a token by hand, and `POST /api/v1/sign-in-links` makes a
link for whoever asks, with the role of its token. What somebody opened before he was signed in is what he comes to then.

The cookie `velodrome_session` is `HttpOnly`, `SameSite=Strict`, and `Secure` where `service_url` is `https`. It holds no
token: it names one and is signed. It lasts seven days, over restarts, and ends with its token or by signing out. A
console on another port of the same host has the same cookie name: the last to sign in has it.

What a browser asks with the cookie must come from this server's own pages, by `Origin` and `Sec-Fetch-Site`; a link that
somebody follows may come from anywhere. A change must bring the CSRF token of the session besides, as the field `csrf` of a
form or as the header `X-CSRF-Token`.

Every request, with a cookie or a token, must name this server in `Host`: by the host of `service_url`, an address that it
listens on, or a loopback name. So a page that has its own name point here (DNS rebinding) gets nothing.

Pages carry `Content-Security-Policy: default-src 'none'` with what this server has itself, no inline script and no frame
around them; answers of the API `default-src 'none'; frame-ancestors 'none'; sandbox`; those of webhooks `sandbox`. All carry
`nosniff`, and but for webhooks `Cache-Control: no-store`, assets apart.

## Wrong tokens

Ten wrong tokens a minute come from an address, an IPv6 network of 64 bits being one; then it is answered 429 with
`Retry-After` ([`api.too_many_attempts`](errors/api.too_many_attempts.md)). At the sign-in that holds for a right one too, so that
nobody guesses on; a right `Bearer` is always let in, so that a program with an old token does not keep its neighbours out. Past 100 in
a minute over all, an address has one instead of ten. Behind a proxy the caller's address is the proxy's word,
where `webhooks: {trusted_proxies}` names it; else all callers share the proxy's.

## Who did it

The run log says in `data.by` on whose word something was done, by the token's name (`admin` is the one of the data
folder): `cycle.started`, `.paused`, `.finishing`, `.stopped`, `.purged`, and what stops or takes up again a loop or a run
(`loop.stopped`, `run.stopped`, `run.resumed`), and `watermark.moved` by hand.

```console
$ velodrome logs --event cycle.paused --json | jq -r '.time + " " + .data.by'
2026-11-26T19:10:31.204Z night_shift
```

The server's own log has every change that somebody with a token or a session asked for, also where the role was not enough, and
every sign-in: who, what, from where and what came of it. A run that `velodrome trigger` began is told there, as `asked for`.

## Every route

`yes` is what the route answers; `sign-in` is 303 to there; a number is the status that a caller is refused with, by
[`api.unauthenticated`](errors/api.unauthenticated.md) (401), and by
[`api.forbidden`](errors/api.forbidden.md), [`api.csrf_refused`](errors/api.csrf_refused.md),
[`api.origin_refused`](errors/api.origin_refused.md) or [`api.host_refused`](errors/api.host_refused.md) (403), in the order of the columns.
`GET` is `HEAD` too. Both columns of cookies and the next are an admin's session, the last is an admin's token.

"#;

/// The page.
///
/// # Errors
///
/// If a test that it names is not there.
pub(super) fn page() -> Result<String> {
    let mut page = format!("# Access\n\n{NOTE}{HEAD}");
    let table = route_table();
    let heads: Vec<&str> = Asker::ALL.into_iter().map(Asker::name).collect();
    writeln!(page, "| route | {} |", heads.join(" | "))?;
    writeln!(page, "|---|{}", "---|".repeat(heads.len()))?;
    for rule in &table {
        if let Who::Role(..) = rule.who {
            let cells: Vec<String> = Asker::ALL.map(|asker| cell(rule, asker)).to_vec();
            let RouteRule { method, path, .. } = rule;
            writeln!(page, "| `{method} {path}` | {} |", cells.join(" | "))?;
        }
    }
    page.push_str("\nOpen to whoever reaches the server:\n\n| route | why |\n|---|---|\n");
    for rule in &table {
        if let Who::Anybody(why) = rule.who {
            writeln!(page, "| `{} {}` | {why} |", rule.method, rule.path)?;
        }
    }
    page.push_str(
        "\nEach path is written in one way. Another way to write one (`//api`, `/api/v1/../v1`, `%2e%2e`, `%2F`, a slash at the\n\
         end, upper case, a dot segment behind an open route such as `/hooks/..`), another method, or a header that names a\n\
         path or a method leads to no route that the caller may not use.\n\n## Shown by\n\n",
    );
    for (file, tests) in SHOWN {
        for test in tests {
            look(Path::new(file), test)?;
            writeln!(page, "- `{test}`, `{file}`")?;
        }
    }
    Ok(page)
}

fn cell(rule: &RouteRule, asker: Asker) -> String {
    match rule.verdict(asker) {
        Verdict::In => "yes".to_owned(),
        Verdict::SignIn => "sign-in".to_owned(),
        Verdict::Refused(status, _) => status.to_string(),
    }
}
