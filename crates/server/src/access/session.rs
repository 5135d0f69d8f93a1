//! The session of a browser: a signed value in a cookie, which names the token that it was begun with.
//!
//! ```text
//!  base64url( number 16 | ends 8 | print 16 | token's id 16, or none | HMAC-SHA-256 over all that 32 )
//! ```
//!
//! Nothing is stored for one, so that it also begins where the disk is full, and it survives a restart: the key is
//! derived from the sealed key of links. It is over when its time is, when its token is revoked, has expired or
//! was replaced, and when somebody signs out: that alone is stored, until it would have ended by itself.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use velodrome_types::{Timestamp, TokenId};

use super::caller::{Holder, Print};

/// How long one lasts. Not longer for being used: whoever is on call signs in once a week, and a cookie that was
/// copied is of no use for ever.
pub(super) const LASTS: std::time::Duration = std::time::Duration::from_secs(7 * 24 * 60 * 60);

/// What a key is for, in front of what it signs.
const SESSION: &[u8] = b"session\0";
const CSRF: &[u8] = b"csrf\0";
const SIGNED: usize = 32;

/// Signs sessions.
pub(super) struct SessionKey([u8; 32]);

impl std::fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionKey(…)")
    }
}

/// A session that was signed here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Session {
    /// What it is called when it is ended.
    pub(super) number: [u8; 16],
    pub(super) ends: Timestamp,
    pub(super) print: Print,
    /// None is the token of the data folder's file.
    pub(super) token: Option<TokenId>,
}

impl Session {
    /// One that begins now.
    pub(super) fn begin(number: [u8; 16], holder: &Holder, now: Timestamp) -> Self {
        Self {
            number,
            ends: now.plus(LASTS),
            print: holder.print,
            token: holder.id,
        }
    }

    /// Its number as text.
    pub(super) fn name(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.number)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.number.to_vec();
        bytes.extend_from_slice(&self.ends.as_millis().to_be_bytes());
        bytes.extend_from_slice(&self.print);
        if let Some(id) = &self.token {
            bytes.extend_from_slice(id.as_bytes());
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (number, rest) = bytes.split_first_chunk::<16>()?;
        let (ends, rest) = rest.split_first_chunk::<8>()?;
        let (print, rest) = rest.split_first_chunk::<16>()?;
        let token = match rest {
            [] => None,
            id => Some(TokenId::from_bytes(id.try_into().ok()?)),
        };
        Some(Self {
            number: *number,
            ends: Timestamp::from_millis(i64::from_be_bytes(*ends)),
            print: *print,
            token,
        })
    }
}

impl SessionKey {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The cookie's value.
    pub(super) fn sign(&self, session: &Session) -> String {
        let mut bytes = session.bytes();
        let signature = self.mac(SESSION, &bytes).finalize().into_bytes();
        bytes.extend_from_slice(&signature);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The session of a cookie's value; none if it was not signed here or its time is over.
    pub(super) fn open(&self, value: &str, now: Timestamp) -> Option<Session> {
        let bytes = URL_SAFE_NO_PAD.decode(value).ok()?;
        let (bytes, signature) = bytes.split_last_chunk::<SIGNED>()?;
        self.mac(SESSION, bytes).verify_slice(signature).ok()?;
        Session::read(bytes).filter(|session| session.ends > now)
    }

    /// What a form of this session sends back.
    pub(super) fn csrf(&self, session: &Session) -> String {
        let mac = self.mac(CSRF, &session.number).finalize();
        URL_SAFE_NO_PAD.encode(mac.into_bytes())
    }

    /// Whether a form sent what this session's forms do.
    pub(super) fn is_csrf(&self, session: &Session, sent: &str) -> bool {
        self.csrf(session).as_bytes().ct_eq(sent.as_bytes()).into()
    }

    fn mac(&self, purpose: &[u8], bytes: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes any key");
        mac.update(purpose);
        mac.update(bytes);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(token: Option<TokenId>) -> Session {
        Session {
            number: [1; 16],
            ends: Timestamp::from_millis(1_000),
            print: [2; 16],
            token,
        }
    }

    #[test]
    fn only_what_was_signed_here_opens_and_only_in_its_time() {
        let key = SessionKey::new([7; 32]);
        let now = Timestamp::from_millis;
        for session in [session(None), session(Some(TokenId::from_bytes([3; 16])))] {
            let value = key.sign(&session);
            assert_eq!(key.open(&value, now(999)), Some(session.clone()));
            assert_eq!(key.open(&value, now(1_000)), None);
            assert_eq!(SessionKey::new([8; 32]).open(&value, now(0)), None);
            for at in 0..value.len() {
                let mut other = value.clone().into_bytes();
                other[at] = if other[at] == b'A' { b'B' } else { b'A' };
                let other = String::from_utf8(other).unwrap();
                assert_eq!(key.open(&other, now(0)), None, "changed at {at}");
            }
        }
        let value = key.sign(&session(None));
        for wrong in [
            "",
            "AAAA",
            &value[..value.len() - 4],
            &format!("{value}AAAA"),
        ] {
            assert_eq!(key.open(wrong, now(0)), None, "{wrong}");
        }
    }

    #[test]
    fn a_form_of_another_session_is_none_of_this_one() {
        let key = SessionKey::new([7; 32]);
        let (one, mut other) = (session(None), session(None));
        other.number = [9; 16];
        let sent = key.csrf(&one);
        assert!(key.is_csrf(&one, &sent));
        assert!(!key.is_csrf(&other, &sent));
        for wrong in ["", &sent[1..], &key.sign(&one)] {
            assert!(!key.is_csrf(&one, wrong), "{wrong}");
        }
    }
}
