//! A page that the engine does not go on from: what the API says is behind it must be within reach.
//!
//! The exits of a step, and the cycle behind it, take a page without a way on for the end of the list, and a
//! watermark then moves past what nobody has read. So `more` is an error where nothing leads to it.

use super::next::{no_next, truth};
use crate::error::RequestError;
use crate::scan::Scanned;

/// How the page behind this one would be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// By nobody: the list has one page.
    Nobody,
    /// By its number, whatever the answer says.
    Number,
    /// By the token of this answer.
    Token,
}

/// Whether nothing is lost behind a page whose answer says at its first probe, `more`, whether there is more.
///
/// An answer that lacks it says nothing of more. `sent` are its records as the API sent them.
///
/// # Errors
///
/// `paging.no_next`, transient, where there is more and the list has one page, the token to it is missing,
/// or the page has no records, so that its step would leave by the exit for the end; `paging.bad_answer`
/// where `more` is neither true nor false.
pub fn way_on(more: &str, behind: Behind, sent: u64, seen: &Scanned) -> Result<(), RequestError> {
    let said = seen.probes.first().and_then(Option::as_ref);
    if said.is_none_or(serde_json::Value::is_null) || !truth(more, said)? {
        return Ok(());
    }
    match behind {
        Behind::Nobody => Err(no_next("this list is asked for one page only")),
        Behind::Token if seen.token.is_none() => Err(no_next(
            "page numbers do not reach it and the answer has no token",
        )),
        Behind::Number | Behind::Token if sent == 0 => {
            Err(no_next("this one holds no records, which reads as the end"))
        }
        Behind::Number | Behind::Token => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(behind: Behind, said: Value, count: u64, token: Option<&str>, expect: Option<&str>) {
        let seen = Scanned {
            probes: vec![Some(said.clone())],
            token: token.map(str::to_owned),
            ..Scanned::default()
        };
        let got = way_on("info.more", behind, count, &seen).err();
        let code = got.as_ref().map(|error| error.code.as_str());
        assert_eq!(code, expect, "{behind:?} {said} {count} {token:?}: {got:?}");
    }

    #[test]
    fn more_without_a_way_to_it_is_an_error_and_no_end() {
        let lost = Some("paging.no_next");
        check(Behind::Nobody, json!(true), 3, None, lost);
        check(Behind::Nobody, json!("true"), 3, Some("t"), lost);
        check(Behind::Nobody, json!(false), 3, None, None);
        check(Behind::Number, json!(true), 3, None, None);
        check(Behind::Number, json!(true), 0, None, lost);
        check(Behind::Number, json!(false), 0, None, None);
        check(Behind::Token, json!(true), 3, None, lost);
        check(Behind::Token, json!(true), 3, Some("t"), None);
        check(Behind::Token, json!(true), 0, Some("t"), lost);
        check(Behind::Token, json!(false), 3, None, None);
    }

    #[test]
    fn what_is_not_said_is_no_word_of_more_and_what_is_no_truth_is_refused() {
        let seen = Scanned {
            probes: vec![None],
            ..Scanned::default()
        };
        assert!(way_on("info.more", Behind::Nobody, 3, &seen).is_ok());
        check(Behind::Token, json!(null), 3, None, None);
        check(
            Behind::Token,
            json!("yes"),
            3,
            None,
            Some("paging.bad_answer"),
        );
        check(Behind::Number, json!(1), 3, None, Some("paging.bad_answer"));
    }
}
