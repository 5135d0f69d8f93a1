//! Who may use the API: whoever names this server as the host and holds the token.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use velodrome_runtime::api::Problem;

use crate::app::App;
use crate::origin::KnownHosts;
use crate::problem::Refusal;
use crate::token::TokenHash;

/// Lets through what may use the API.
pub(crate) async fn authenticated(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    match permitted(&app.hosts, &app.options.admin_token, &request) {
        Ok(()) => next.run(request).await,
        Err(problem) => Refusal(problem).into_response(),
    }
}

fn permitted(hosts: &KnownHosts, token: &TokenHash, request: &Request) -> Result<(), Problem> {
    if !hosts.accept(request.headers(), request.uri()) {
        let what = "`Host` names another server: use this one's address, or set `service_url`";
        return Err(Problem::new(403, "api.host_refused", what));
    }
    let refused = |what: &str| Err(Problem::new(401, "api.unauthenticated", what));
    match bearer(request.headers()) {
        Some(presented) if token.matches(presented) => Ok(()),
        Some(_) => refused("this token is not known: send the one in `admin.token`"),
        None => refused("send the token in `admin.token` as `Authorization: Bearer …`"),
    }
}

/// The token of the one `Authorization` header. The scheme's case does not matter (RFC 9110 §11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn asked(pairs: &[(&str, &str)]) -> Result<(), (u16, String)> {
        let hosts = KnownHosts::new("http://127.0.0.1:7300", &[]);
        let mut request = Request::builder().uri("/api/v1/cycles");
        for (name, value) in pairs {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        permitted(&hosts, &TokenHash::of("vdt_right"), &request)
            .map_err(|problem| (problem.status, problem.code.to_string()))
    }

    #[test]
    fn the_token_opens_and_nothing_else_does() {
        let host = ("host", "localhost:7300");
        assert_eq!(
            asked(&[host, ("authorization", "Bearer vdt_right")]),
            Ok(())
        );
        assert_eq!(
            asked(&[host, ("authorization", "bearer  vdt_right ")]),
            Ok(())
        );
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "vdt_right",
            "Bearer vdt_wrong",
            "Bearer vdt_right,",
            "Basic vdt_right",
            "Bearervdt_right",
        ] {
            let refused = asked(&[host, ("authorization", wrong)]);
            assert_eq!(
                refused,
                Err((401, "api.unauthenticated".to_owned())),
                "{wrong}"
            );
        }
        assert_eq!(asked(&[host]), Err((401, "api.unauthenticated".to_owned())));
        let twice = [
            host,
            ("authorization", "Bearer vdt_right"),
            ("authorization", "Bearer vdt_wrong"),
        ];
        assert_eq!(asked(&twice), Err((401, "api.unauthenticated".to_owned())));
    }

    #[test]
    fn under_a_foreign_name_even_the_token_does_not_open() {
        let token = ("authorization", "Bearer vdt_right");
        for pairs in [&[("host", "evil.example"), token][..], &[token][..]] {
            assert_eq!(asked(pairs), Err((403, "api.host_refused".to_owned())));
        }
    }
}
