//! One-time links that sign a browser in: kept in memory by their hash, for ten minutes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;
use velodrome_types::{Timestamp, TokenId};

use super::caller::{Holder, Print};
use crate::token::TokenHash;

/// How long a link may wait to be opened.
const LASTS: Duration = Duration::from_secs(10 * 60);
/// Links that wait at once; beyond it the oldest is of no use any more.
const MOST: usize = 64;

/// The links that wait; cheap to clone, all clones know the same.
#[derive(Clone, Debug, Default)]
pub struct SignInLinks(Arc<Mutex<Vec<Waiting>>>);

#[derive(Debug)]
struct Waiting {
    ticket: [u8; 32],
    /// None is the token of the data folder's file.
    token: Option<TokenId>,
    print: Print,
    until: Timestamp,
}

impl SignInLinks {
    /// A link that signs in as the admin token does, and works once within ten minutes.
    pub fn for_admin(&self, service_url: &str, admin: &TokenHash, now: Timestamp) -> String {
        self.link(service_url, &Holder::admin(admin.bytes()), now).0
    }

    /// A link for whoever has this token, and when it ends.
    pub(crate) fn link(
        &self,
        service_url: &str,
        holder: &Holder,
        now: Timestamp,
    ) -> (String, Timestamp) {
        let (ticket, until) = self.ticket(holder, now);
        (format!("{service_url}/sign-in?ticket={ticket}"), until)
    }

    fn ticket(&self, holder: &Holder, now: Timestamp) -> (String, Timestamp) {
        let mut random = [0; 32];
        getrandom::fill(&mut random).expect("the operating system gives random bytes");
        let ticket = URL_SAFE_NO_PAD.encode(random);
        let until = now.plus(LASTS);
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|link| link.until > now);
        if waiting.len() >= MOST {
            waiting.remove(0);
        }
        waiting.push(Waiting {
            ticket: Sha256::digest(ticket.as_bytes()).into(),
            token: holder.id,
            print: holder.print,
            until,
        });
        (ticket, until)
    }

    /// Takes the link of this ticket, which is used up then: the token that it signs in with.
    pub(super) fn take(&self, ticket: &str, now: Timestamp) -> Option<(Option<TokenId>, Print)> {
        let hash: [u8; 32] = Sha256::digest(ticket.as_bytes()).into();
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|link| link.until > now);
        let at = waiting
            .iter()
            .position(|link| link.ticket.ct_eq(&hash).into())?;
        let link = waiting.remove(at);
        Some((link.token, link.print))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn a_link_works_once_and_for_ten_minutes() {
        let links = SignInLinks::default();
        let holder = Holder::admin(&[7; 32]);
        let (ticket, until) = links.ticket(&holder, at(0));
        assert_eq!(until, at(600));
        assert_eq!(links.take("", at(1)), None);
        assert_eq!(links.take(&ticket[1..], at(1)), None);
        assert_eq!(links.take(&ticket, at(599)), Some((None, holder.print)));
        assert_eq!(links.take(&ticket, at(599)), None);
        let (late, _) = links.ticket(&holder, at(0));
        assert_eq!(links.take(&late, at(600)), None);
    }

    #[test]
    fn few_wait_at_once() {
        let links = SignInLinks::default();
        let holder = Holder::admin(&[7; 32]);
        let (first, _) = links.ticket(&holder, at(0));
        let all: Vec<String> = (0..MOST).map(|_| links.ticket(&holder, at(1)).0).collect();
        assert_eq!(links.take(&first, at(2)), None);
        assert!(all.iter().all(|ticket| links.take(ticket, at(2)).is_some()));
    }
}
