//! An answer's body, never more of it than is wanted.

use bytes::{Bytes, BytesMut};

/// Reads up to so many bytes, counted after decompression; tells whether that was all.
pub(crate) async fn read_at_most(
    mut answer: reqwest::Response,
    limit: u64,
) -> Result<(Bytes, bool), reqwest::Error> {
    let mut body = Body::default();
    while let Some(chunk) = answer.chunk().await? {
        if !body.push(chunk, limit) {
            return Ok((body.into_bytes(), false));
        }
    }
    Ok((body.into_bytes(), true))
}

/// Bytes as they come; one chunk alone is not copied.
#[derive(Debug, Default)]
pub(super) struct Body {
    first: Bytes,
    more: BytesMut,
}

impl Body {
    /// Takes a chunk; false where it does not fit, with what fits taken.
    pub(super) fn push(&mut self, chunk: Bytes, limit: u64) -> bool {
        let have = (self.first.len().max(self.more.len())) as u64;
        let room = usize::try_from(limit.saturating_sub(have)).unwrap_or(usize::MAX);
        let fits = chunk.len() <= room;
        let chunk = chunk.slice(..chunk.len().min(room));
        if self.first.is_empty() && self.more.is_empty() {
            self.first = chunk;
        } else {
            if self.more.is_empty() {
                self.more
                    .extend_from_slice(&std::mem::take(&mut self.first));
            }
            self.more.extend_from_slice(&chunk);
        }
        fits
    }

    pub(super) fn into_bytes(self) -> Bytes {
        if self.more.is_empty() {
            self.first
        } else {
            self.more.freeze()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_at_the_limit() {
        let mut body = Body::default();
        assert!(body.push(Bytes::from_static(b"abc"), 5));
        assert!(body.push(Bytes::from_static(b"de"), 5));
        assert!(body.push(Bytes::new(), 5));
        assert!(!body.push(Bytes::from_static(b"f"), 5));
        assert_eq!(body.into_bytes(), "abcde");
        let mut body = Body::default();
        assert!(!body.push(Bytes::from_static(b"abcdef"), 5));
        assert_eq!(body.into_bytes(), "abcde");
    }
}
