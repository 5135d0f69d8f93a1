//! `paging:` of a method: how its pages follow each other, and what ends them.
//!
//! A list that the engine pages must be able to end: a style that only counts needs an end test.

use velodrome_types::Json;

use super::method::sent;
use super::one_or_more;
use crate::connector::{
    Counted, OffsetStep, PageSize, Pager, PagingDef, PagingEnd, PagingStyle, SendAs, TokenAt,
    TokenHandoff,
};
use crate::format::{PAGE_HANDOFF, PAGE_SEND, PAGE_SIZE, PAGE_TOKEN, PAGE_WHEN, PAGING};
use crate::keys::{Faults, Keys, choice, text, whole};
use crate::yaml::{Node, Value};

/// Records that one walk brings at most, where the definition says nothing.
const MAX_RECORDS: u64 = 10_000;

#[derive(Clone, Copy, PartialEq)]
enum Style {
    None,
    ByHand,
    Page,
    Offset,
    Cursor,
    LastRecord,
    LinkHeader,
    NextUrl,
    Keyset,
    Handoff,
}

const STYLES: &[(&str, Style)] = &[
    ("none", Style::None),
    ("by_hand", Style::ByHand),
    ("page", Style::Page),
    ("offset", Style::Offset),
    ("cursor", Style::Cursor),
    ("last_record", Style::LastRecord),
    ("link_header", Style::LinkHeader),
    ("next_url", Style::NextUrl),
    ("keyset", Style::Keyset),
    ("handoff", Style::Handoff),
];

/// The names that `last:` of a keyset lists: what `${last.x}` may read.
pub(super) fn last_names(node: Option<&Node>) -> Vec<String> {
    let Some(Value::Map(entries)) = node.map(|node| &node.value) else {
        return Vec::new();
    };
    let last = entries.iter().find(|entry| entry.key == "last");
    last.into_iter()
        .flat_map(|entry| one_or_more(&entry.value))
        .filter_map(|node| Some(node.scalar()?.text.clone()))
        .collect()
}

pub(super) fn read(node: &Node, faults: &mut Faults) -> PagingDef {
    if node.scalar().is_some() {
        return match choice(node, "`paging`", &STYLES[..2], faults) {
            Some(Style::ByHand) => PagingDef::ByHand {
                handoff: None,
                more: None,
            },
            _ => PagingDef::None,
        };
    }
    let Some(mut keys) = Keys::in_table(node, &PAGING, "`paging`", faults) else {
        return PagingDef::None;
    };
    let style = keys
        .need("style", "`paging`", faults)
        .and_then(|node| choice(node, "`style`", STYLES, faults));
    let paging = match style {
        None => PagingDef::None,
        Some(Style::None) => match path("more", &mut keys, faults) {
            Some(more) => PagingDef::Whole { more },
            None => PagingDef::None,
        },
        Some(Style::ByHand) => PagingDef::ByHand {
            handoff: keys.get("handoff").and_then(|node| by_hand(node, faults)),
            more: path("more", &mut keys, faults),
        },
        Some(style) => pager(style, node, &mut keys, faults)
            .map_or(PagingDef::None, |pager| PagingDef::Engine(Box::new(pager))),
    };
    keys.finish("`paging`", faults);
    paging
}

/// A path in the answer's body.
fn path(key: &'static str, keys: &mut Keys<'_>, faults: &mut Faults) -> Option<String> {
    keys.get(key)
        .and_then(|node| text(node, &format!("`{key}`"), faults))
}

fn pager(style: Style, node: &Node, keys: &mut Keys<'_>, faults: &mut Faults) -> Option<Pager> {
    let size = keys.get("size").and_then(|node| size(node, faults));
    let more = path("more", keys, faults);
    let total = path("total", keys, faults);
    let total_pages = path("total_pages", keys, faults);
    let maximum = keys
        .get("maximum")
        .and_then(|node| count(node, "`maximum`", 0, faults));
    let short_page = keys
        .get("short_page")
        .and_then(|node| choice(node, "`short_page`", GOES, faults));
    let empty_page = keys
        .get("empty_page")
        .and_then(|node| choice(node, "`empty_page`", GOES, faults));
    let max_records = keys
        .get("max_records")
        .and_then(|node| count(node, "`max_records`", 1, faults));

    let counts = matches!(style, Style::Page | Style::Offset | Style::Handoff);
    let ends = more.is_some()
        || total.is_some()
        || total_pages.is_some()
        || maximum.is_some()
        || short_page == Some(false)
        || empty_page == Some(false);
    if counts && !ends {
        let message = "nothing ends this list: it would be asked for ever";
        faults.error("paging.no_end", node.span, message).hint(
            "say `more`, `total`, `total_pages` or `maximum`, or `empty_page: stop` or `short_page: stop`",
        );
    }
    if short_page == Some(false) && size.is_none() {
        let message = "`short_page: stop` needs `size`: what is a whole page?";
        faults.error("field.missing", node.span, message);
    }
    for (key, given, fits) in [
        ("total_pages", total_pages.is_some(), style == Style::Page),
        ("maximum", maximum.is_some(), counts),
    ] {
        if given && !fits {
            let span = keys.span_of(key).unwrap_or(node.span);
            let message = format!("`{key}` means nothing in this style");
            faults.error("field.alone", span, message);
        }
    }
    // Where the API itself says that there is more, a page without records is no end.
    let told =
        more.is_some() || matches!(style, Style::Cursor | Style::LinkHeader | Style::NextUrl);
    let end = PagingEnd {
        more,
        total,
        total_pages,
        maximum,
        short_page: short_page == Some(false),
        past_empty: empty_page.unwrap_or(told),
    };
    let style = read_style(style, node, size.as_ref(), keys, faults)?;
    Some(Pager {
        style,
        size,
        end,
        max_records: max_records.unwrap_or(MAX_RECORDS),
    })
}

/// Whether the walk goes on.
const GOES: &[(&str, bool)] = &[("stop", false), ("continue", true)];

fn read_style(
    style: Style,
    node: &Node,
    size: Option<&PageSize>,
    keys: &mut Keys<'_>,
    faults: &mut Faults,
) -> Option<PagingStyle> {
    Some(match style {
        Style::None | Style::ByHand => return None,
        Style::Page => PagingStyle::Page(counted(1, keys, faults)?),
        Style::Offset => {
            let words = [("records", OffsetStep::Records), ("size", OffsetStep::Size)];
            let step = keys
                .get("step")
                .and_then(|node| choice(node, "`step`", &words, faults))
                .unwrap_or_default();
            if step == OffsetStep::Size && size.is_none() {
                let message = "`step: size` needs `size`";
                faults.error("field.missing", node.span, message);
            }
            PagingStyle::Offset {
                count: counted(0, keys, faults)?,
                step,
            }
        }
        Style::Cursor => {
            let next = keys
                .need("next", "`paging`", faults)
                .and_then(|node| token_at(node, faults));
            let send = send(keys, faults);
            PagingStyle::Cursor {
                next: next?,
                send: send?,
            }
        }
        Style::LastRecord => {
            let next = need_text("next", "`paging`", keys, faults);
            let send = send(keys, faults);
            PagingStyle::LastRecord {
                next: next?,
                send: send?,
            }
        }
        Style::LinkHeader => PagingStyle::LinkHeader {
            rel: keys
                .get("rel")
                .and_then(|node| text(node, "`rel`", faults))
                .unwrap_or_else(|| "next".to_owned()),
            next: keys
                .get("next")
                .and_then(|node| text(node, "`next`", faults)),
        },
        Style::NextUrl => PagingStyle::NextUrl {
            next: need_text("next", "`paging`", keys, faults)?,
        },
        Style::Keyset => {
            keys.need("last", "`paging`", faults)?;
            PagingStyle::Keyset {
                last: last_names(Some(node)),
            }
        }
        Style::Handoff => {
            if size.is_none() {
                let message = "`style: handoff` needs `size`: how many records do pages have?";
                faults.error("field.missing", node.span, message);
            }
            let count = counted(1, keys, faults);
            let node = keys.need("handoff", "`paging`", faults)?;
            let mut keys = Keys::in_table(node, &PAGE_HANDOFF, "`handoff`", faults)?;
            let reach = keys
                .need("reach", "`handoff`", faults)
                .and_then(|node| count_of(node, "`reach`", faults));
            let token = need_text("token", "`handoff`", &mut keys, faults);
            let send = need_text("send", "`handoff`", &mut keys, faults);
            let when = keys.get("when").and_then(|node| when(node, faults));
            keys.finish("`handoff`", faults);
            PagingStyle::Handoff {
                count: count?,
                reach: reach?,
                token: token?,
                send: SendAs::Query(send?),
                when,
            }
        }
    })
}

fn need_text(
    key: &'static str,
    of: &str,
    keys: &mut Keys<'_>,
    faults: &mut Faults,
) -> Option<String> {
    keys.need(key, of, faults)
        .and_then(|node| text(node, &format!("`{key}`"), faults))
}

fn counted(start: u64, keys: &mut Keys<'_>, faults: &mut Faults) -> Option<Counted> {
    let words = [("send", true), ("omit", false)];
    Some(Counted {
        start: keys
            .get("start")
            .and_then(|node| count(node, "`start`", 0, faults))
            .unwrap_or(start),
        first: keys
            .get("first")
            .and_then(|node| choice(node, "`first`", &words, faults))
            .unwrap_or(true),
        send: send(keys, faults)?,
    })
}

/// `send: {query: page}`.
fn send(keys: &mut Keys<'_>, faults: &mut Faults) -> Option<SendAs> {
    let node = keys.need("send", "`paging`", faults)?;
    let mut keys = Keys::in_table(node, &PAGE_SEND, "`send`", faults)?;
    let place = sent(&mut keys, faults);
    if place.is_none() {
        let message = "`send` says where: `query`, `header` or `field`";
        faults.error("field.missing", node.span, message);
    }
    keys.finish("`send`", faults);
    place
}

/// `size: 200`, or with where it is sent.
fn size(node: &Node, faults: &mut Faults) -> Option<PageSize> {
    if node.scalar().is_some() {
        return Some(PageSize {
            send: None,
            value: count(node, "`size`", 1, faults)?,
        });
    }
    let mut keys = Keys::in_table(node, &PAGE_SIZE, "`size`", faults)?;
    let send = sent(&mut keys, faults);
    let value = keys
        .need("value", "`size`", faults)
        .and_then(|node| count(node, "`value`", 1, faults));
    keys.finish("`size`", faults);
    Some(PageSize {
        send,
        value: value?,
    })
}

/// `next: info.token`, or `next: {header: X-Next}`.
fn token_at(node: &Node, faults: &mut Faults) -> Option<TokenAt> {
    if node.scalar().is_some() {
        return text(node, "`next`", faults).map(TokenAt::Body);
    }
    let mut keys = Keys::in_table(node, &PAGE_TOKEN, "`next`", faults)?;
    let header = need_text("header", "`next`", &mut keys, faults);
    keys.finish("`next`", faults);
    header.map(TokenAt::Header)
}

/// A whole number, also one that stands in quotes.
fn count(node: &Node, what: &str, least: u64, faults: &mut Faults) -> Option<u64> {
    let quoted = node
        .scalar()
        .and_then(|scalar| scalar.text.trim().parse().ok())
        .filter(|number| *number >= least);
    quoted.or_else(|| whole(node, what, least, faults))
}

fn count_of(node: &Node, what: &str, faults: &mut Faults) -> Option<u64> {
    count(node, what, 1, faults)
}

/// `handoff` of a list that is paged by hand.
fn by_hand(node: &Node, faults: &mut Faults) -> Option<TokenHandoff> {
    let mut keys = Keys::in_table(node, &PAGE_HANDOFF, "`handoff`", faults)?;
    let page = need_text("page", "`handoff`", &mut keys, faults);
    let token = need_text("token", "`handoff`", &mut keys, faults);
    let send = need_text("send", "`handoff`", &mut keys, faults);
    let reach = keys
        .need("reach", "`handoff`", faults)
        .and_then(|node| count_of(node, "`reach`", faults));
    let per_page = keys
        .need("per_page", "`handoff`", faults)
        .and_then(|node| count_of(node, "`per_page`", faults));
    let when = keys.get("when").and_then(|node| when(node, faults));
    keys.finish("`handoff`", faults);
    Some(TokenHandoff {
        page: page?,
        reach: reach?,
        per_page: per_page?,
        token: token?,
        send: send?,
        when,
    })
}

/// `when: {setting: api_version, in: [v3, v8]}`.
fn when(node: &Node, faults: &mut Faults) -> Option<(String, Vec<Json>)> {
    let mut keys = Keys::in_table(node, &PAGE_WHEN, "`when`", faults)?;
    let setting = need_text("setting", "`when`", &mut keys, faults);
    let values: Vec<Json> = keys
        .get("in")
        .into_iter()
        .flat_map(one_or_more)
        .map(Node::to_json)
        .collect();
    keys.finish("`when`", faults);
    Some((setting?, values))
}
