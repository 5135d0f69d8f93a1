//! Requests that others signed, and what becomes of them when anything about them is changed.

use axum::http::{HeaderName, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac as _};
use secrecy::SecretString;
use serde::Deserialize;
use sha1::Sha1;
use sha2::Sha512;
use velodrome_runtime::api::{HmacAlgorithm, HmacScheme, SignatureEncoding, SignedTime};

use super::*;

const NOW: i64 = 1_764_072_000_000;

#[derive(Deserialize)]
struct Fixture {
    requests: Vec<Foreign>,
}

/// A request that somebody else signed.
#[derive(Clone, Debug, Deserialize)]
struct Foreign {
    kind: String,
    secret: String,
    /// Seconds since 1970.
    now: i64,
    body: String,
    made_by: String,
    headers: std::collections::BTreeMap<String, String>,
}

fn foreign() -> Vec<Foreign> {
    let text = include_str!("../../../tests/signed/requests.json");
    serde_json::from_str::<Fixture>(text).unwrap().requests
}

impl Foreign {
    fn scheme(&self) -> Scheme {
        match self.kind.as_str() {
            "standard_webhooks" => Scheme::StandardWebhooks,
            "github" => Scheme::Github,
            "stripe" => Scheme::Stripe,
            "slack" => Scheme::Slack,
            "shopify" => Scheme::Shopify,
            other => panic!("no kind `{other}`"),
        }
    }

    fn header_map(&self) -> HeaderMap {
        let pairs = self.headers.iter();
        pairs
            .map(|(name, value)| {
                let name: HeaderName = name.parse().unwrap();
                (name, HeaderValue::from_str(value).unwrap())
            })
            .collect()
    }

    fn passes_at(&self, seconds: i64, secrets: &[HookSecret]) -> Result<(), Unauthenticated> {
        let request = Request {
            headers: &self.header_map(),
            body: self.body.as_bytes(),
            now: Timestamp::from_millis(seconds * 1000),
        };
        authenticate(&self.scheme(), secrets, request)
    }

    fn passes(&self) -> bool {
        self.passes_at(self.now, &[secret(&self.secret)]).is_ok()
    }
}

fn secret(text: &str) -> HookSecret {
    Ok(SecretString::from(text.to_owned()))
}

#[test]
fn what_others_sign_is_let_in() {
    let all = foreign();
    assert!(all.len() >= 20, "the fixture is short");
    for request in all {
        let passed = request.passes_at(request.now, &[secret(&request.secret)]);
        assert_eq!(passed, Ok(()), "{request:?}");
        assert!(!request.made_by.is_empty());
    }
}

#[test]
fn any_secret_that_fits_will_do_and_none_that_does_not() {
    for request in foreign() {
        let (right, now) = (secret(&request.secret), request.now);
        let wrong = || match request.kind.as_str() {
            "standard_webhooks" => secret("whsec_c29tZXRoaW5nIGVsc2U="),
            _ => secret("something else"),
        };
        assert!(request.passes_at(now, &[wrong(), right.clone()]).is_ok());
        assert!(request.passes_at(now, &[right, wrong()]).is_ok());
        assert!(request.passes_at(now, &[wrong(), wrong()]).is_err());
        assert!(request.passes_at(now, &[]).is_err(), "no secret");
    }
}

#[test]
fn one_changed_byte_of_anything_signed_refuses() {
    for request in foreign() {
        let mut longer = request.clone();
        longer.body.push(' ');
        assert!(!longer.passes(), "{request:?} with a space more");
        for name in request.headers.keys() {
            let mut without = request.clone();
            without.headers.remove(name);
            assert!(!without.passes(), "{request:?} without `{name}`");
            let mut empty = request.clone();
            empty.headers.insert(name.clone(), String::new());
            assert!(!empty.passes(), "{request:?} with an empty `{name}`");
            let mut twice = request.header_map();
            let name: HeaderName = name.parse().unwrap();
            let value = twice[&name].clone();
            twice.append(name, value);
            let twice = Request {
                headers: &twice,
                body: request.body.as_bytes(),
                now: Timestamp::from_millis(request.now * 1000),
            };
            let secrets = [secret(&request.secret)];
            assert!(authenticate(&request.scheme(), &secrets, twice).is_err());
        }
        for (name, value) in &request.headers {
            // Of several signatures one is enough; the others may be whatever they are.
            if request.made_by.contains("two secrets") {
                continue;
            }
            for at in 0..value.len() {
                let mut bytes = value.clone().into_bytes();
                bytes[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
                let mut changed = request.clone();
                let text = String::from_utf8(bytes).unwrap();
                changed.headers.insert(name.clone(), text);
                assert!(!changed.passes(), "{changed:?}");
            }
        }
    }
}

#[test]
fn a_signed_time_holds_for_five_minutes_either_way() {
    for request in foreign() {
        let timed = matches!(
            request.kind.as_str(),
            "standard_webhooks" | "stripe" | "slack"
        );
        let secrets = [secret(&request.secret)];
        for (apart, expect) in [(-301, !timed), (-300, true), (300, true), (301, !timed)] {
            let passed = request.passes_at(request.now + apart, &secrets);
            assert_eq!(passed.is_ok(), expect, "{} after {apart} s", request.kind);
        }
    }
}

#[test]
fn an_empty_or_missing_secret_lets_nobody_pass_and_the_operator_hears_why() {
    for request in foreign() {
        let unset = Err("the secret `hook` is not set".to_owned());
        let refused = request.passes_at(request.now, &[unset]).unwrap_err();
        assert_eq!(refused.why.as_deref(), Some("the secret `hook` is not set"));
        assert!(
            !refused.told.contains("not set"),
            "the caller is told: {refused:?}"
        );
    }
    let mut request = foreign().swap_remove(0);
    request.secret = "whsec_not base64".to_owned();
    let secrets = [secret(&request.secret)];
    let refused = request.passes_at(request.now, &secrets).unwrap_err();
    assert!(refused.why.unwrap().contains("whsec_"));
}

#[test]
fn githubs_older_signature_counts_for_nothing() {
    let mut mac = <Hmac<Sha1> as KeyInit>::new_from_slice(b"s").unwrap();
    mac.update(b"{}");
    let hex: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let check = |name: &'static str, value: String| {
        let headers = HeaderMap::from_iter([(
            HeaderName::from_static(name),
            HeaderValue::from_str(&value).unwrap(),
        )]);
        passes(&Scheme::Github, &headers, b"{}", &["s"])
    };
    assert!(!check("x-hub-signature", format!("sha1={hex}")));
    assert!(!check("x-hub-signature-256", format!("sha1={hex}")));
    assert!(!check("x-hub-signature-256", format!("sha256={hex}")));
}

fn passes(scheme: &Scheme, headers: &HeaderMap, body: &[u8], secrets: &[&str]) -> bool {
    let secrets: Vec<HookSecret> = secrets.iter().map(|text| secret(text)).collect();
    let request = Request {
        headers,
        body,
        now: Timestamp::from_millis(NOW),
    };
    authenticate(scheme, &secrets, request).is_ok()
}

fn with(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

#[test]
fn a_bearer_shows_a_secret_whole() {
    let check = |pairs: &[(&'static str, &str)], expect: bool| {
        let passed = passes(&Scheme::Bearer, &with(pairs), b"", &["old", "s3cret"]);
        assert_eq!(passed, expect, "{pairs:?}");
    };
    check(&[("authorization", "Bearer s3cret")], true);
    check(&[("authorization", "bearer  old")], true);
    check(&[], false);
    for wrong in [
        "Bearer",
        "Bearer ",
        "Bearer s3cre",
        "Bearer s3cret2",
        "Basic s3cret",
        "s3cret",
    ] {
        check(&[("authorization", wrong)], false);
    }
    let right = ("authorization", "Bearer s3cret");
    check(&[right, right], false);
    check(&[("proxy-authorization", "Bearer s3cret")], false);
}

#[test]
fn a_user_shows_name_and_password() {
    let scheme = Scheme::Basic {
        user: "caller".to_owned(),
    };
    let check = |text: &str, expect: bool| {
        let value = format!("Basic {}", STANDARD.encode(text));
        let passed = passes(
            &scheme,
            &with(&[("authorization", &value)]),
            b"",
            &["a:b", "pass"],
        );
        assert_eq!(passed, expect, "{text}");
    };
    check("caller:pass", true);
    check("caller:a:b", true);
    for wrong in [
        "caller",
        "caller:",
        ":pass",
        "other:pass",
        "caller:Pass",
        "caller:pass ",
    ] {
        check(wrong, false);
    }
    assert!(!passes(
        &scheme,
        &with(&[("authorization", "Basic ?")]),
        b"",
        &["pass"]
    ));
}

#[test]
fn a_signature_is_as_the_file_describes_it() {
    let scheme = |algorithm, encoding, prefix: &str, signed| {
        Scheme::Hmac(HmacScheme {
            header: "x-signature".to_owned(),
            algorithm,
            encoding,
            prefix: prefix.to_owned(),
            signed,
        })
    };
    let time = || SignedTime {
        header: "x-time".to_owned(),
        tolerance: Duration::from_secs(60),
    };
    // The constants below are by Python: hmac.new(b"key", TEXT, ALGORITHM).hexdigest()
    let body = b"{\"page\": 1}";
    let check = |scheme: &Scheme, signature: &str, came: &str, expect: bool| {
        let headers = with(&[("x-signature", signature), ("x-time", came)]);
        assert_eq!(
            passes(scheme, &headers, body, &["key"]),
            expect,
            "{scheme:?} {signature} {came}"
        );
    };
    let at = "1764072000";
    let sha1 = scheme(
        HmacAlgorithm::Sha1,
        SignatureEncoding::Hex,
        "sha1=",
        Signed::Body(None),
    );
    check(&sha1, &format!("sha1={SHA1}"), at, true);
    check(&sha1, &format!("sha1={}", SHA1.to_uppercase()), at, true);
    check(&sha1, SHA1, at, false);
    check(&sha1, &format!("SHA1={SHA1}"), at, false);
    let sha384 = scheme(
        HmacAlgorithm::Sha384,
        SignatureEncoding::Hex,
        "",
        Signed::Body(None),
    );
    check(&sha384, SHA384, at, true);
    check(&sha384, SHA1, at, false);
    let timed = scheme(
        HmacAlgorithm::Sha512,
        SignatureEncoding::Base64,
        "v1,",
        Signed::TimestampBody(time()),
    );
    let sign = |came: &str| {
        let mut mac = <Hmac<Sha512> as KeyInit>::new_from_slice(b"key").unwrap();
        mac.update(came.as_bytes());
        mac.update(b".");
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    };
    for came in [at, "1764072000500", "2025-11-25T12:00:59Z", "1764071940"] {
        check(&timed, &sign(came), came, true);
    }
    check(&timed, &sign("1764071939"), "1764071939", false);
    check(&timed, &sign("1764072061"), "1764072061", false);
    check(&timed, &sign(at), "1764072001", false);
    check(&timed, &sign(""), "", false);
    check(&timed, &format!("v1,{SHA512_AT}"), at, true);
    let beside = scheme(
        HmacAlgorithm::Sha1,
        SignatureEncoding::Hex,
        "",
        Signed::Body(Some(time())),
    );
    check(&beside, SHA1, at, true);
    check(&beside, SHA1, "1764071939", false);
}

const SHA1: &str = "f5dd28a5dc531642ddbd8b9ba5dd28376ed4fe28";
const SHA384: &str = "d2436386f6116ce6f2c44e94479808934d8ca8a9608ce57321127ce7b657b3465aaf77c548b2ab5a7eed1b177f4a0532";
const SHA512_AT: &str =
    "n16ZpCsYKsrWy4PRAa5owdemFFe6Bds6unTA1//9Sds1H22nJIctCBa/LtMHfD2JdGUWf4wEjpErYTf6cNUrSg==";
