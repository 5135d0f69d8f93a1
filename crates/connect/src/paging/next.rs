//! The page behind the one that has just been read.

use std::collections::BTreeMap;

use url::Url;
use velodrome_spec::connector::{
    AuthDef, ConnectorDef, Counted, OffsetStep, Pager, PagingStyle, TokenAt,
};
use velodrome_types::{Json, JsonMap};

use super::cursor::{PageAt, PageCursor};
use super::link;
use crate::error::RequestError;
use crate::request::shown;
use crate::scan::{Scanned, token, value_at};

/// Pages without records in a row that are passed where the API says there is more.
const EMPTY_PAGES: u32 = 20;

/// A page as it came.
#[derive(Clone, Copy, Debug)]
pub struct PageSeen<'a> {
    /// What was scanned of it, as [`crate::Want::of_page`] asks.
    pub scanned: &'a Scanned,
    /// The answer's headers, names in lower case.
    pub headers: &'a [(String, String)],
    /// The URL that was asked, as it was built.
    pub url: &'a str,
    /// Whether the answer means that there is nothing (`Verdict::Empty`).
    pub nothing: bool,
}

/// Where the page behind `cursor`'s is asked; `None` where it was the last.
///
/// # Errors
///
/// `paging.bad_answer` where what tells of the end is missing or no such thing; `paging.no_next`,
/// transient, where there is more and nothing that leads to it; `paging.repeated` where it leads back;
/// `paging.other_origin` where it leads to another server; `paging.empty_pages` where no end comes.
pub fn next_page(
    connector: &ConnectorDef,
    settings: &BTreeMap<String, Json>,
    pager: &Pager,
    cursor: &PageCursor,
    seen: PageSeen<'_>,
) -> Result<Option<PageCursor>, RequestError> {
    let count = seen.scanned.count;
    if seen.nothing {
        return Ok(None);
    }
    let end = &pager.end;
    let mut probes = seen.scanned.probes.iter().map(Option::as_ref);
    let more = match &end.more {
        Some(path) => Some(truth(path, probes.next().flatten())?),
        None => None,
    };
    let total = match &end.total {
        Some(path) => Some(number(path, probes.next().flatten())?),
        None => None,
    };
    let pages = match &end.total_pages {
        Some(path) => Some(number(path, probes.next().flatten())?),
        None => None,
    };
    if more == Some(false)
        || total.is_some_and(|total| cursor.records + count >= total)
        || pages.is_some_and(|pages| cursor.page >= pages)
    {
        return Ok(None);
    }
    if count == 0 {
        if !end.past_empty {
            return Ok(None);
        }
        if cursor.empty + 1 >= EMPTY_PAGES {
            let message = format!(
                "{EMPTY_PAGES} pages in a row held no records, and the API says there are more"
            );
            return Err(RequestError::permanent("paging.empty_pages", message));
        }
    }
    let whole = pager.size.as_ref().map_or(0, |size| size.value);
    if end.short_page && count < whole {
        return Ok(None);
    }
    let Some(at) = place(connector, settings, pager, cursor, seen)? else {
        return match more {
            // The API says that there is more: taking this for the end would lose it.
            Some(true) => Err(no_next("nothing in the answer leads to it")),
            _ => Ok(None),
        };
    };
    match (&at, end.maximum) {
        (PageAt::Number(number), Some(maximum)) if *number > maximum => return Ok(None),
        _ => {}
    }
    match cursor.onward(at, count) {
        Some(next) => Ok(Some(next)),
        None => Err(RequestError::permanent(
            "paging.repeated",
            format!(
                "page {} leads to a page that was asked before: the list would never end",
                cursor.page
            ),
        )),
    }
}

/// What the next request asks, if the answer leads anywhere.
fn place(
    connector: &ConnectorDef,
    settings: &BTreeMap<String, Json>,
    pager: &Pager,
    cursor: &PageCursor,
    seen: PageSeen<'_>,
) -> Result<Option<PageAt>, RequestError> {
    let count = seen.scanned.count;
    Ok(match &pager.style {
        PagingStyle::Page(counted) => Some(PageAt::Number(number_of(counted, cursor) + 1)),
        PagingStyle::Offset {
            count: counted,
            step,
        } => {
            let by = match (step, &pager.size) {
                (OffsetStep::Size, Some(size)) => size.value,
                _ => count,
            };
            // An offset that stays where it is asks the same again.
            (by > 0).then(|| PageAt::Number(number_of(counted, cursor).saturating_add(by)))
        }
        PagingStyle::Cursor { next, .. } => {
            let token = match next {
                TokenAt::Body(_) => seen.scanned.token.clone(),
                TokenAt::Header(name) => header(seen.headers, name)
                    .next()
                    .and_then(|text| token(Json::String(text.to_owned()))),
            };
            token.map(PageAt::Token)
        }
        PagingStyle::LastRecord { next, .. } => {
            let Some(last) = &seen.scanned.last else {
                return Ok(None);
            };
            let found = token(value_at(last, next)?)
                .ok_or_else(|| no_next(&format!("the last record has no `{next}`")))?;
            Some(PageAt::Token(found))
        }
        PagingStyle::LinkHeader { rel, .. } => {
            let asked = parsed(seen.url)?;
            let link = link::target(header(seen.headers, "link"), rel, &asked)
                .or_else(|| seen.scanned.token.clone());
            link.map(|link| next_url(connector, &asked, &link))
                .transpose()?
        }
        PagingStyle::NextUrl { .. } => {
            let asked = parsed(seen.url)?;
            let link = seen.scanned.token.as_deref();
            link.map(|link| next_url(connector, &asked, link))
                .transpose()?
        }
        PagingStyle::Keyset { last: names } => {
            let Some(last) = &seen.scanned.last else {
                return Ok(None);
            };
            let mut fields = JsonMap::new();
            for name in names {
                let value = last.get(name).filter(|value| !value.is_null());
                let value =
                    value.ok_or_else(|| no_next(&format!("the last record has no `{name}`")))?;
                fields.insert(name.clone(), value.clone());
            }
            Some(PageAt::Behind(fields))
        }
        PagingStyle::Handoff {
            count: counted,
            reach,
            when,
            ..
        } => {
            let meant = when.as_ref().is_none_or(|(setting, values)| {
                settings
                    .get(setting)
                    .is_some_and(|value| values.contains(value))
            });
            let next = match &cursor.at {
                PageAt::Token(_) => None,
                _ => Some(number_of(counted, cursor) + 1),
            };
            let size = pager.size.as_ref().map_or(1, |size| size.value);
            match next {
                Some(next) if !meant || (next + 1 - counted.start) * size <= *reach => {
                    Some(PageAt::Number(next))
                }
                _ => seen.scanned.token.clone().map(PageAt::Token),
            }
        }
    })
}

/// The number that this page was asked with.
fn number_of(counted: &Counted, cursor: &PageCursor) -> u64 {
    match cursor.at {
        PageAt::Number(number) => number,
        _ => counted.start,
    }
}

pub(super) fn no_next(why: &str) -> RequestError {
    RequestError::transient(
        "paging.no_next",
        format!("there is another page, but {why}"),
    )
}

fn parsed(url: &str) -> Result<Url, RequestError> {
    Url::parse(url).map_err(|error| {
        RequestError::permanent("request.bad_url", format!("`{}`: {error}", shown(url)))
    })
}

fn header<'h>(headers: &'h [(String, String)], name: &str) -> impl Iterator<Item = &'h str> {
    let name = name.to_ascii_lowercase();
    headers
        .iter()
        .filter(move |(known, _)| *known == name)
        .map(|(_, value)| value.as_str())
}

/// A link, resolved against what was asked. It leads to the same server, and what signs requests in is
/// not kept with it.
fn next_url(connector: &ConnectorDef, asked: &Url, link: &str) -> Result<PageAt, RequestError> {
    let mut url = asked.join(link.trim()).map_err(|error| {
        let message = format!("the link to the next page is no URL: {error}");
        RequestError::permanent("paging.bad_answer", message)
    })?;
    if url.origin() != asked.origin() || !url.origin().is_tuple() {
        let message = format!(
            "the next page would be asked of `{}`, not of `{}`: only the server that was asked is",
            url.origin().ascii_serialization(),
            asked.origin().ascii_serialization()
        );
        return Err(RequestError::permanent("paging.other_origin", message));
    }
    url.set_fragment(None);
    if let AuthDef::ApiKey { query, .. } = &connector.auth {
        let secret = |name: &str| query.iter().any(|(known, _)| known == name);
        if url.query_pairs().any(|(name, _)| secret(&name)) {
            let kept: Vec<(String, String)> = url
                .query_pairs()
                .filter(|(name, _)| !secret(name))
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect();
            url.query_pairs_mut().clear().extend_pairs(kept);
        }
    }
    Ok(PageAt::Url(url.into()))
}

fn bad(path: &str, what: &str) -> RequestError {
    RequestError::permanent(
        "paging.bad_answer",
        format!("`{path}` in the answer is {what}, so nobody knows whether there is another page"),
    )
}

/// `true` or `false`, also as text; anything else is an error and never silently the end.
pub(super) fn truth(path: &str, found: Option<&Json>) -> Result<bool, RequestError> {
    match found {
        Some(Json::Bool(truth)) => Ok(*truth),
        Some(Json::String(text)) if text.trim().eq_ignore_ascii_case("true") => Ok(true),
        Some(Json::String(text)) if text.trim().eq_ignore_ascii_case("false") => Ok(false),
        None | Some(Json::Null) => Err(bad(path, "missing")),
        Some(_) => Err(bad(path, "neither true nor false")),
    }
}

fn number(path: &str, found: Option<&Json>) -> Result<u64, RequestError> {
    let number = match found {
        Some(Json::Number(number)) => number.as_u64().or_else(|| {
            let float = number.as_f64()?;
            (float.fract() == 0.0 && (0.0..9e15).contains(&float)).then_some(float as u64)
        }),
        Some(Json::String(text)) => text.trim().parse().ok(),
        None | Some(Json::Null) => return Err(bad(path, "missing")),
        Some(_) => None,
    };
    number.ok_or_else(|| bad(path, "no whole number"))
}
