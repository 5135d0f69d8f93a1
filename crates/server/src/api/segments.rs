//! The variable parts of a path, decoded.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use velodrome_runtime::api::Problem;

use crate::problem::Refusal;

/// What stands in the path's places; refused with problem details where it is not UTF-8.
#[derive(Debug)]
pub(crate) struct Segments<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Segments<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(segments)) => Ok(Self(segments)),
            Err(error) => {
                let what = format!("the path cannot be read: {}", error.body_text());
                Err(Problem::new(400, "api.bad_parameter", what).into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::extract::Request;
    use axum::routing::get;
    use axum::{Router, body};
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;

    use super::*;

    async fn key_of(path: &str) -> (u16, String) {
        let show = async |Segments((connection, key)): Segments<(String, String)>| {
            format!("{connection}|{key}")
        };
        let router = Router::new().nest("/v1", Router::new().route("/s/{c}/{k}", get(show)));
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let response = TowerToHyperService::new(router)
            .call(request)
            .await
            .unwrap();
        let status = response.status().as_u16();
        let body = body::to_bytes(response.into_body(), usize::MAX)
            .await
            .unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn keys_are_decoded_and_may_hold_slashes() {
        for (path, expect) in [
            ("/v1/s/zoho/pageNumber", "zoho|pageNumber"),
            ("/v1/s/zoho/a%2Fb%20c%25", "zoho|a/b c%"),
            ("/v1/s/zoho/a+b", "zoho|a+b"),
            ("/v1/s/zoho/%C3%A9", "zoho|é"),
        ] {
            assert_eq!(key_of(path).await, (200, expect.to_owned()));
        }
    }

    #[tokio::test]
    async fn what_is_not_utf_8_is_a_problem() {
        let (status, body) = key_of("/v1/s/zoho/%ff").await;
        assert_eq!(status, 400);
        assert!(body.contains("api.bad_parameter"), "{body}");
    }
}
