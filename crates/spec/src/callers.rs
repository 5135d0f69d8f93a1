//! Who may call a webhook: `auth`, `allow_ips`, `origins`, and where a server can be reached from.
//!
//! Read here for cycle files and for `webhooks:` of `velodrome.yaml` alike. Nothing is verified here:
//! the server does that, over the bytes that came.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use velodrome_types::Json;

use crate::expr::Expr;
use crate::format::{self, Table};
use crate::keys::{Faults, Keys, choice, closest, duration, list, text, texts};
use crate::reference::{Part, WrittenRoot, parts};
use crate::values::{Names, value};
use crate::yaml::{Node, Value};

/// How old, or how far ahead, a signed time may be where nothing else is said: what Stripe, Slack and
/// Standard Webhooks recommend.
pub const TOLERANCE: Duration = Duration::from_secs(300);

/// Who may call a webhook.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum WebhookAuth {
    /// Nothing is said.
    #[default]
    Unsaid,
    /// `auth: none`, written out: anybody.
    None,
    /// Whoever knows a secret.
    Required(Authentication),
}

/// One kind of `auth`, with its secrets.
#[derive(Clone, Debug, PartialEq)]
pub struct Authentication {
    /// How a request shows that its sender knows the secret.
    pub kind: AuthKind,
    /// The secrets, references all; any that fits will do, so that one can take another's place.
    pub secrets: Vec<Expr>,
}

/// How a request shows that its sender knows a secret.
#[derive(Clone, Debug, PartialEq)]
pub enum AuthKind {
    /// `Authorization: Bearer`.
    Bearer,
    /// `Authorization: Basic`; the secret is the password.
    Basic {
        /// Who it must be.
        user: Expr,
    },
    /// A signature as the file describes it.
    Hmac(HmacScheme),
    /// Standard Webhooks 1.0: `webhook-id`, `webhook-timestamp`, `webhook-signature`.
    StandardWebhooks,
    /// `X-Hub-Signature-256`.
    Github,
    /// `Stripe-Signature`.
    Stripe,
    /// `X-Slack-Signature`, `X-Slack-Request-Timestamp`.
    Slack,
    /// `X-Shopify-Hmac-Sha256`.
    Shopify,
}

/// `hmac:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HmacScheme {
    /// The signature's header, in lower case.
    pub header: String,
    /// The hash.
    pub algorithm: HmacAlgorithm,
    /// How the signature is written.
    pub encoding: SignatureEncoding,
    /// What stands before it.
    pub prefix: String,
    /// What is signed.
    pub signed: Signed,
}

/// `algorithm:`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is its name in SPEC §5")]
pub enum HmacAlgorithm {
    Sha1,
    #[default]
    Sha256,
    Sha384,
    Sha512,
}

/// `encoding:`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignatureEncoding {
    /// Of either case.
    #[default]
    Hex,
    /// The standard alphabet, padded or not.
    Base64,
}

/// `signed:` and `timestamp:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signed {
    /// The body alone. A time beside it is looked at and protects against nobody who means harm.
    Body(Option<SignedTime>),
    /// The time as it is written, a dot, the body.
    TimestampBody(SignedTime),
}

/// `timestamp:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedTime {
    /// Its header, in lower case.
    pub header: String,
    /// How far it may be from now, either way.
    pub tolerance: Duration,
}

/// What `webhooks:` of `velodrome.yaml` says for all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WebhookDefaults {
    /// Who may call a webhook that says nothing.
    pub auth: WebhookAuth,
    /// Whose word on the caller's address is taken.
    pub trusted_proxies: Vec<IpNet>,
}

/// Whether a server that listens there, or is called so, can be reached from other machines.
pub fn is_exposed(listen: &str, service_url: Option<&str>) -> bool {
    let host = |authority: &str| match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host.to_owned(),
        _ => authority.to_owned(),
    };
    let url = service_url.map(|url| {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        host(authority.rsplit('@').next().unwrap_or_default())
    });
    !is_loopback(&host(listen)) || url.is_some_and(|host| !is_loopback(&host))
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback(),
        Err(_) => {
            let last = bare.trim_end_matches('.').rsplit('.').next();
            last.is_some_and(|last| last.eq_ignore_ascii_case("localhost"))
        }
    }
}

/// Addresses and ranges.
pub(crate) fn addresses(node: &Node, what: &str, faults: &mut Faults) -> Vec<IpNet> {
    let mut found = Vec::new();
    for (item, written) in texts(node, what, faults) {
        let net = written
            .parse::<IpNet>()
            .or_else(|_| written.parse::<IpAddr>().map(IpNet::from));
        match net {
            Ok(net) => found.push(canonical(net)),
            Err(_) => {
                let message = format!("`{written}` is neither an address nor a range");
                faults
                    .error("value.address", item.span, message)
                    .hint("such as `203.0.113.7` or `10.0.0.0/8`");
            }
        }
    }
    found
}

/// An IPv4 range that is written as IPv6 (`::ffff:10.0.0.0/104`) as what it is.
fn canonical(net: IpNet) -> IpNet {
    let IpNet::V6(v6) = net else { return net };
    let v4 = v6.addr().to_ipv4_mapped();
    let length = v6.prefix_len().checked_sub(96);
    match v4.zip(length).map(|(ip, length)| Ipv4Net::new(ip, length)) {
        Some(Ok(v4)) => IpNet::V4(v4),
        _ => net,
    }
}

/// Origins as browsers write them: in lower case, without the scheme's own port.
pub(crate) fn origins(node: &Node, faults: &mut Faults) -> Vec<String> {
    let mut found = Vec::new();
    for (item, written) in texts(node, "`origins`", faults) {
        let lower = written.to_ascii_lowercase();
        let parts = lower.split_once("://").filter(|(scheme, host)| {
            let taken = |c: char| c.is_ascii_alphanumeric() || "-.:[]_".contains(c);
            matches!(*scheme, "http" | "https") && !host.is_empty() && host.chars().all(taken)
        });
        let Some((scheme, host)) = parts else {
            let message = format!("`{written}` is no origin");
            faults
                .error("value.url", item.span, message)
                .hint("scheme, host and port only: `https://shop.example.com`");
            continue;
        };
        let usual = if scheme == "https" { ":443" } else { ":80" };
        let host = host.strip_suffix(usual).unwrap_or(host);
        found.push(format!("{scheme}://{host}"));
    }
    found
}

/// `none`, or one kind.
pub(crate) fn auth(node: &Node, names: &mut dyn Names, faults: &mut Faults) -> WebhookAuth {
    if node.scalar().is_some_and(|scalar| scalar.text == "none") {
        return WebhookAuth::None;
    }
    let kinds: Vec<&str> = format::AUTH.keys.iter().map(|key| key.name).collect();
    let Value::Map(entries) = &node.value else {
        let message = format!("`auth` must be `none` or one kind, not {}", node.kind());
        faults.error("value.type", node.span, message).hint(format!(
            "the kinds are {}: `bearer: {{secret: \"${{secret:hook}}\"}}`",
            list(&kinds)
        ));
        return WebhookAuth::Unsaid;
    };
    let [entry] = entries.as_slice() else {
        let message = "`auth` has exactly one kind";
        faults.error("value.type", node.span, message);
        return WebhookAuth::Unsaid;
    };
    let Some(table) = table_of(&entry.key) else {
        let message = format!("`{}` is no kind of `auth`", entry.key);
        let fault = faults.error("value.choice", entry.key_span, message);
        match closest(&entry.key, kinds.iter().copied()) {
            Some(meant) => fault.hint(format!("did you mean `{meant}`?")),
            None => fault.hint(format!("the kinds are {}", list(&kinds))),
        }
        return WebhookAuth::Unsaid;
    };
    let what = format!("`{}`", entry.key);
    let Some(mut keys) = Keys::in_table(&entry.value, table, &what, faults) else {
        return WebhookAuth::Unsaid;
    };
    let secrets = keys
        .need("secret", &what, faults)
        .map_or_else(Vec::new, |node| secrets(node, names, faults));
    let kind = kind(&entry.key, &mut keys, names, faults);
    keys.finish(&what, faults);
    match kind {
        Some(kind) => WebhookAuth::Required(Authentication { kind, secrets }),
        None => WebhookAuth::Unsaid,
    }
}

fn table_of(kind: &str) -> Option<&'static Table> {
    match format::AUTH.key(kind)?.takes {
        format::Takes::Keys(table) => Some(table),
        _ => None,
    }
}

fn kind(
    name: &str,
    keys: &mut Keys<'_>,
    names: &mut dyn Names,
    faults: &mut Faults,
) -> Option<AuthKind> {
    Some(match name {
        "bearer" => AuthKind::Bearer,
        "basic" => {
            let node = keys.need("user", "`basic`", faults)?;
            let user = value(node, names, faults)?;
            let literal = matches!(&user, Expr::Literal(Json::String(_)));
            if !literal && !is_reference(node) {
                let message = "`user` must be text, or a reference known before any run";
                faults
                    .error("value.type", node.span, message)
                    .hint("`user: caller`, or `user: ${env:X}`");
            }
            AuthKind::Basic { user }
        }
        "hmac" => AuthKind::Hmac(hmac(keys, faults)?),
        "standard_webhooks" => AuthKind::StandardWebhooks,
        "github" => AuthKind::Github,
        "stripe" => AuthKind::Stripe,
        "slack" => AuthKind::Slack,
        _ => AuthKind::Shopify,
    })
}

fn hmac(keys: &mut Keys<'_>, faults: &mut Faults) -> Option<HmacScheme> {
    let header = keys
        .need("header", "`hmac`", faults)
        .and_then(|node| header(node, faults));
    let algorithms = [
        ("sha1", HmacAlgorithm::Sha1),
        ("sha256", HmacAlgorithm::Sha256),
        ("sha384", HmacAlgorithm::Sha384),
        ("sha512", HmacAlgorithm::Sha512),
    ];
    let algorithm = keys
        .get("algorithm")
        .and_then(|node| choice(node, "`algorithm`", &algorithms, faults));
    let encodings = [
        ("hex", SignatureEncoding::Hex),
        ("base64", SignatureEncoding::Base64),
    ];
    let encoding = keys
        .get("encoding")
        .and_then(|node| choice(node, "`encoding`", &encodings, faults));
    let prefix = keys
        .get("prefix")
        .and_then(|node| text(node, "`prefix`", faults));
    let with_time = keys.get("signed").and_then(|node| {
        choice(
            node,
            "`signed`",
            &[("body", false), ("timestamp.body", true)],
            faults,
        )
    });
    let said = keys.entry("timestamp");
    let time = said.and_then(|entry| signed_time(&entry.value, faults));
    let signed = match (with_time.unwrap_or(false), said) {
        (true, None) => {
            let message = "`signed: timestamp.body` needs `timestamp`";
            faults
                .error("field.missing", keys.span, message)
                .hint("name the header it comes in: `timestamp: {header: X-Timestamp}`");
            return None;
        }
        (true, Some(_)) => Signed::TimestampBody(time?),
        (false, None) => Signed::Body(None),
        (false, Some(entry)) => {
            let message = "`timestamp` is not signed: whoever sends a request again writes it anew";
            faults
                .warning("auth.unsigned_timestamp", entry.key_span, message)
                .hint("`signed: timestamp.body`, if the sender signs so");
            Signed::Body(time)
        }
    };
    Some(HmacScheme {
        header: header?,
        algorithm: algorithm.unwrap_or_default(),
        encoding: encoding.unwrap_or_default(),
        prefix: prefix.unwrap_or_default(),
        signed,
    })
}

fn signed_time(node: &Node, faults: &mut Faults) -> Option<SignedTime> {
    let mut keys = Keys::in_table(node, &format::SIGNED_TIME, "`timestamp`", faults)?;
    let header = keys
        .need("header", "`timestamp`", faults)
        .and_then(|node| header(node, faults));
    let tolerance = keys
        .get("tolerance")
        .and_then(|node| duration(node, "`tolerance`", faults))
        .unwrap_or(TOLERANCE);
    keys.finish("`timestamp`", faults);
    Some(SignedTime {
        header: header?,
        tolerance,
    })
}

/// The name of a header, in lower case.
fn header(node: &Node, faults: &mut Faults) -> Option<String> {
    let written = text(node, "`header`", faults)?;
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if written.is_empty() || !written.chars().all(token) {
        let message = format!("`{written}` cannot name a header");
        faults.error("request.bad_header", node.span, message);
        return None;
    }
    Some(written.to_ascii_lowercase())
}

/// One or several references, never a literal: a secret does not stand in a file.
fn secrets(node: &Node, names: &mut dyn Names, faults: &mut Faults) -> Vec<Expr> {
    let nodes = match &node.value {
        Value::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    if nodes.is_empty() {
        let message = "`secret` names no secret: nobody could call";
        faults.error("value.type", node.span, message);
    }
    let each = nodes.iter().filter_map(|node| secret(node, names, faults));
    each.collect()
}

fn secret(node: &Node, names: &mut dyn Names, faults: &mut Faults) -> Option<Expr> {
    let before = faults.0.len();
    let found = value(node, names, faults);
    if faults.0.len() == before && !is_reference(node) {
        faults
            .error(
                "auth.literal_secret",
                node.span,
                "a secret does not stand in the file",
            )
            .hint("name it: `secret: ${secret:hook}`, and `velodrome secret set hook`");
        return None;
    }
    found
}

/// Whether a text has a reference to something outside the file, and no default that stands in it.
fn is_reference(node: &Node) -> bool {
    let written = node.scalar().and_then(|scalar| parts(&scalar.text).ok());
    let references: Vec<_> = written
        .iter()
        .flatten()
        .filter_map(|part| match part {
            Part::Ref(reference) => Some(reference),
            Part::Text(_) => None,
        })
        .collect();
    let outside = |root: &WrittenRoot| matches!(root, WrittenRoot::Kind(kind, _) if matches!(kind.as_str(), "secret" | "env" | "file"));
    !references.is_empty()
        && references
            .iter()
            .all(|reference| outside(&reference.root) && reference.default.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_exposed_where_others_can_reach_it() {
        let check = |listen: &str, url: Option<&str>, expect: bool| {
            assert_eq!(is_exposed(listen, url), expect, "{listen} {url:?}");
        };
        for listen in [
            "127.0.0.1:7300",
            "[::1]:7300",
            "localhost:80",
            "127.9.9.9:1",
        ] {
            check(listen, None, false);
            check(listen, Some("http://127.0.0.1:7300"), false);
            check(listen, Some("http://app.localhost/base"), false);
            check(listen, Some("http://[::1]:7300/"), false);
            check(listen, Some("https://flows.example.com"), true);
            check(listen, Some("https://localhost@flows.example.com/"), true);
            check(listen, Some("http://192.0.2.7:7300"), true);
        }
        for listen in ["0.0.0.0:7300", "[::]:7300", "10.0.0.1:80", "flows:7300"] {
            check(listen, None, true);
        }
    }

    #[test]
    fn ipv4_ranges_in_ipv6_are_ipv4() {
        let check = |written: &str, expect: &str| {
            assert_eq!(canonical(written.parse().unwrap()).to_string(), expect);
        };
        check("::ffff:10.0.0.0/104", "10.0.0.0/8");
        check("::ffff:203.0.113.7/128", "203.0.113.7/32");
        check("2001:db8::/32", "2001:db8::/32");
        check("::/0", "::/0");
        check("10.0.0.0/8", "10.0.0.0/8");
    }
}
