//! The parameters of Get Records: read and checked in one place, one refusal at a time.

use jiff::Timestamp;

use crate::clock::parse_zoho_time;
use crate::contacts::Order;
use crate::errors::CrmError;
use crate::fields::Field;
use crate::generate::VIEW_ID;
use crate::paging_token::Binding;
use crate::query::Pairs;
use crate::render::Selection;
use crate::version::Version;

/// Records a page may have, and has by default.
const PER_PAGE: u32 = 200;

/// Fields that may be asked for at once, from v3 on.
const FIELDS: usize = 50;

/// Records that page numbers reach, from v3 on.
const PAGED_RECORDS: u64 = 2_000;

/// Ids that `ids` may have.
const IDS: usize = 100;

/// Where in the list the page begins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place<'a> {
    Page(u32),
    Token(&'a str),
}

/// What a list request asks for.
#[derive(Debug)]
pub(crate) struct ListParams<'a> {
    pub(crate) selection: Selection<'a>,
    pub(crate) per_page: u32,
    pub(crate) place: Place<'a>,
    pub(crate) order: Order,
    /// `sort_by` as the answer's `info` repeats it.
    pub(crate) sort_by: &'static str,
    pub(crate) descending: bool,
    pub(crate) ids: Option<Vec<u64>>,
    pub(crate) since: Option<Timestamp>,
}

impl<'a> ListParams<'a> {
    pub(crate) fn read(
        version: Version,
        query: &'a Pairs,
        if_modified_since: Option<&str>,
    ) -> Result<Self, CrmError> {
        let tokens = version.has_page_tokens();
        let selection = selection(query)?;
        if selection.is_none() && version.requires_fields() {
            return Err(CrmError::MissingParam("fields"));
        }
        let token = query.get("page_token").filter(|_| tokens);
        if token.is_some() && query.get("page").is_some() {
            return Err(CrmError::Ambiguous("page", "page_token"));
        }
        if query.get("cvid").is_some() && query.get("sort_by").is_some() {
            return Err(CrmError::Ambiguous("cvid", "sort_by"));
        }
        if query
            .get("cvid")
            .is_some_and(|view| view != VIEW_ID.to_string())
        {
            return Err(CrmError::InvalidParam("cvid"));
        }
        for name in ["converted", "approved"] {
            one_of(query, name, &["true", "false", "both"])?;
        }
        let (order, sort_by) = order(version, query)?;
        one_of(query, "sort_order", &["asc", "desc"])?;
        let per_page = per_page(query)?;
        let place = match token {
            Some(token) => Place::Token(token),
            None => Place::Page(page(query)?),
        };
        if let Place::Page(page) = place
            && tokens
            && u64::from(page) * u64::from(per_page) > PAGED_RECORDS
        {
            return Err(CrmError::PageTokenNeeded);
        }
        Ok(Self {
            selection,
            per_page,
            place,
            order,
            sort_by,
            descending: query.get("sort_order") != Some("asc"),
            ids: ids(query)?,
            since: since(if_modified_since)?,
        })
    }
}

/// Everything that a page token is bound to.
pub(crate) fn binding(query: &Pairs, bound_header: Option<&str>) -> Binding {
    let others = query
        .iter()
        .filter(|(name, _)| !matches!(*name, "page" | "page_token"));
    Binding::of(others.chain(bound_header.map(|value| ("header: if-modified-since", value))))
}

pub(crate) fn selection(query: &Pairs) -> Result<Selection<'_>, CrmError> {
    let selection = query.text("fields");
    match selection {
        Some(names) if names.split(',').count() > FIELDS => Err(CrmError::TooManyFields),
        _ => Ok(selection),
    }
}

pub(crate) fn per_page(query: &Pairs) -> Result<u32, CrmError> {
    match positive(query, "per_page")? {
        None => Ok(PER_PAGE),
        Some(count) if count <= PER_PAGE => Ok(count),
        Some(_) => Err(CrmError::InvalidParam("per_page")),
    }
}

pub(crate) fn page(query: &Pairs) -> Result<u32, CrmError> {
    Ok(positive(query, "page")?.unwrap_or(1))
}

/// `If-Modified-Since`. What Zoho does with a malformed one is not known; here it is refused.
pub(crate) fn since(header: Option<&str>) -> Result<Option<Timestamp>, CrmError> {
    let Some(text) = header else { return Ok(None) };
    parse_zoho_time(text)
        .map(Some)
        .ok_or(CrmError::InvalidParam("If-Modified-Since"))
}

pub(crate) fn one_of(query: &Pairs, name: &'static str, values: &[&str]) -> Result<(), CrmError> {
    match query.get(name) {
        Some(value) if !values.contains(&value) => Err(CrmError::InvalidParam(name)),
        _ => Ok(()),
    }
}

/// The values of `ids`.
pub(crate) fn ids(query: &Pairs) -> Result<Option<Vec<u64>>, CrmError> {
    let Some(text) = query.get("ids") else {
        return Ok(None);
    };
    let ids: Result<Vec<u64>, _> = text.split(',').map(|id| id.trim().parse()).collect();
    match ids {
        Ok(ids) if ids.len() <= IDS => Ok(Some(ids)),
        _ => Err(CrmError::InvalidParam("ids")),
    }
}

fn positive(query: &Pairs, name: &'static str) -> Result<Option<u32>, CrmError> {
    let Some(text) = query.get(name) else {
        return Ok(None);
    };
    let number = text.parse().ok().filter(|number| *number > 0);
    number.map(Some).ok_or(CrmError::NotAnInteger(name))
}

fn order(version: Version, query: &Pairs) -> Result<(Order, &'static str), CrmError> {
    match query.get("sort_by") {
        None | Some("id") => Ok((Order::Id, "id")),
        Some("Created_Time") => Ok((Order::Created, "Created_Time")),
        Some("Modified_Time") => Ok((Order::Modified, "Modified_Time")),
        Some(name) => match Field::named(name).map(Field::name) {
            Some(name) if version.sorts_by_any_field() => Ok((Order::Text(name), name)),
            _ => Err(CrmError::UnsupportedSort),
        },
    }
}
