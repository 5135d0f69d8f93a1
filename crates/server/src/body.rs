//! Reads a request's body, never more of it than the limit.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, EXPECT};
use bytes::{Bytes, BytesMut};
use tokio::time::timeout;
use velodrome_runtime::api::Problem;

/// How long a body may take to arrive: a megabyte over a slow line, but no caller that holds a
/// connection for ever.
const READ_TIME: Duration = Duration::from_secs(30);
/// How much of a body that is too large is read and dropped, so that its sender, who reads no answer
/// before it has sent all, gets to see it rather than a broken connection.
const DRAIN_LIMIT: u64 = 8 * 1024 * 1024;
/// How long that may take.
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// Why a body was not read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BodyFault {
    /// It is over the limit.
    TooLarge,
    /// It stopped before its end, or its framing is wrong.
    Broken,
    /// It took too long.
    Slow,
}

/// The whole body. One that arrives in one piece is not copied.
pub(crate) async fn read_body(
    headers: &HeaderMap,
    mut body: Body,
    limit: u64,
) -> Result<Bytes, BodyFault> {
    if let Some(length) = announced(headers).filter(|length| *length > limit) {
        // A sender that waits for `100 Continue` has sent nothing yet and takes the refusal at once.
        if !headers.contains_key(EXPECT) && length <= limit.saturating_add(DRAIN_LIMIT) {
            drain(&mut body).await;
        }
        return Err(BodyFault::TooLarge);
    }
    let read = timeout(READ_TIME, collect(&mut body, limit))
        .await
        .unwrap_or(Err(BodyFault::Slow));
    if read == Err(BodyFault::TooLarge) {
        drain(&mut body).await;
    }
    read
}

/// The same, what is wrong as the caller is told of it.
pub(crate) async fn read_whole(
    headers: &HeaderMap,
    body: Body,
    limit: u64,
) -> Result<Bytes, Problem> {
    let read = read_body(headers, body, limit).await;
    read.map_err(|why| match why {
        BodyFault::TooLarge => Problem::new(
            413,
            "api.too_large",
            format!("the body is over {limit} bytes"),
        ),
        BodyFault::Broken => Problem::new(400, "api.bad_body", "the body broke off"),
        BodyFault::Slow => Problem::new(408, "api.body_slow", "the body took too long to come"),
    })
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn next_data(body: &mut Body) -> Result<Option<Bytes>, BodyFault> {
    loop {
        match poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
            None => return Ok(None),
            Some(Err(_)) => return Err(BodyFault::Broken),
            Some(Ok(frame)) => {
                // Trailers are of no use to anybody here.
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

async fn collect(body: &mut Body, limit: u64) -> Result<Bytes, BodyFault> {
    let within = |length: usize| u64::try_from(length).is_ok_and(|length| length <= limit);
    let Some(first) = next_data(body).await? else {
        return Ok(Bytes::new());
    };
    if !within(first.len()) {
        return Err(BodyFault::TooLarge);
    }
    if body.is_end_stream() {
        return Ok(first);
    }
    let Some(second) = next_data(body).await? else {
        return Ok(first);
    };
    let mut whole = BytesMut::with_capacity(first.len() + second.len());
    whole.extend_from_slice(&first);
    let mut next = Some(second);
    while let Some(data) = next {
        if !within(whole.len().saturating_add(data.len())) {
            return Err(BodyFault::TooLarge);
        }
        whole.extend_from_slice(&data);
        next = next_data(body).await?;
    }
    Ok(whole.freeze())
}

async fn drain(body: &mut Body) {
    let reading = async {
        let mut dropped: u64 = 0;
        while let Ok(Some(data)) = next_data(body).await {
            dropped = dropped.saturating_add(data.len() as u64);
            if dropped > DRAIN_LIMIT {
                break;
            }
        }
    };
    // Whether it came to its end in time makes no difference to the answer.
    drop(timeout(DRAIN_TIME, reading).await);
}

#[cfg(test)]
mod tests {
    use std::io;

    use axum::http::HeaderValue;
    use futures_util::stream;

    use super::*;

    fn pieces(parts: &[&'static str]) -> Body {
        let parts: Vec<io::Result<Bytes>> = parts
            .iter()
            .map(|part| Ok(Bytes::from_static(part.as_bytes())))
            .collect();
        Body::from_stream(stream::iter(parts))
    }

    #[tokio::test]
    async fn bodies_up_to_the_limit_are_read_whole() {
        let check = async |body: Body, expect: Result<&'static str, BodyFault>| {
            let read = read_body(&HeaderMap::new(), body, 6).await;
            assert_eq!(read, expect.map(|text| Bytes::from_static(text.as_bytes())));
        };
        check(Body::empty(), Ok("")).await;
        check(Body::from("123456"), Ok("123456")).await;
        check(Body::from("1234567"), Err(BodyFault::TooLarge)).await;
        check(pieces(&["12", "34", "56"]), Ok("123456")).await;
        check(pieces(&["12", "34", "56", "7"]), Err(BodyFault::TooLarge)).await;
        check(pieces(&["1234567"]), Err(BodyFault::TooLarge)).await;
        check(pieces(&["12"]), Ok("12")).await;
    }

    #[tokio::test]
    async fn one_piece_is_not_copied() {
        let sent = Bytes::from_static(b"{\"page\":1}");
        let read = read_body(&HeaderMap::new(), Body::from(sent.clone()), 100)
            .await
            .unwrap();
        assert_eq!(read.as_ptr(), sent.as_ptr());
    }

    #[tokio::test]
    async fn a_length_over_the_limit_is_refused_before_it_is_sent() {
        let never = Body::from_stream(stream::pending::<io::Result<Bytes>>());
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("7"));
        headers.insert(EXPECT, HeaderValue::from_static("100-continue"));
        assert_eq!(
            read_body(&headers, never, 6).await,
            Err(BodyFault::TooLarge)
        );
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_told_apart() {
        let cut = vec![Ok(Bytes::from_static(b"1")), Err(io::Error::other("cut"))];
        let read = read_body(&HeaderMap::new(), Body::from_stream(stream::iter(cut)), 6).await;
        assert_eq!(read, Err(BodyFault::Broken));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_comes_is_given_up() {
        let never = Body::from_stream(stream::pending::<io::Result<Bytes>>());
        assert_eq!(
            read_body(&HeaderMap::new(), never, 6).await,
            Err(BodyFault::Slow)
        );
    }
}
