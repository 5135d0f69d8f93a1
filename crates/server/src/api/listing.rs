//! Pages over what is in memory as a whole: few items, each with a text that orders it.

use std::cmp::Reverse;

use velodrome_runtime::api::{Listing, Problem};

use super::parameters::Parameters;

/// Those of `items` that `cursor` and `limit` ask for, in the order of their texts. A cursor is the
/// text of the last item given, so that items may come and go between two pages.
pub(crate) fn part<T>(
    mut items: Vec<T>,
    parameters: &Parameters,
    text: impl Fn(&T) -> String,
) -> Result<Listing<T>, Problem> {
    items.sort_by_cached_key(&text);
    if let Some(after) = parameters.text("cursor")? {
        items.retain(|item| text(item).as_str() > after);
    }
    cut(items, parameters, text)
}

/// The same from the last text to the first: the newest first, where the text is an id.
pub(super) fn part_backwards<T>(
    mut items: Vec<T>,
    parameters: &Parameters,
    text: impl Fn(&T) -> String,
) -> Result<Listing<T>, Problem> {
    items.sort_by_cached_key(|item| Reverse(text(item)));
    if let Some(before) = parameters.text("cursor")? {
        items.retain(|item| text(item).as_str() < before);
    }
    cut(items, parameters, text)
}

fn cut<T>(
    mut items: Vec<T>,
    parameters: &Parameters,
    text: impl Fn(&T) -> String,
) -> Result<Listing<T>, Problem> {
    let limit = parameters.limit()?;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(&text);
    Ok(Listing { items, next })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_one_another_to_the_end() {
        let check = |query: &str, items: &[&str], next: Option<&str>| {
            let parameters = Parameters::read(Some(query), &["limit", "cursor"]).unwrap();
            let all = vec!["c", "a", "b", "e", "d"];
            let listing = part(all, &parameters, |item| (*item).to_owned()).unwrap();
            assert_eq!(
                (listing.items.as_slice(), listing.next.as_deref()),
                (items, next),
                "{query}"
            );
        };
        check("", &["a", "b", "c", "d", "e"], None);
        check("limit=2", &["a", "b"], Some("b"));
        check("limit=2&cursor=b", &["c", "d"], Some("d"));
        check("limit=2&cursor=d", &["e"], None);
        check("limit=5", &["a", "b", "c", "d", "e"], None);
        check("cursor=bb", &["c", "d", "e"], None);
        check("cursor=z", &[], None);
    }
    #[test]
    fn backwards_too() {
        let check = |query: &str, items: &[&str], next: Option<&str>| {
            let parameters = Parameters::read(Some(query), &["limit", "cursor"]).unwrap();
            let listing =
                part_backwards(vec!["a", "c", "b"], &parameters, |item| (*item).to_owned());
            let listing = listing.unwrap();
            assert_eq!(
                (listing.items.as_slice(), listing.next.as_deref()),
                (items, next),
                "{query}"
            );
        };
        check("", &["c", "b", "a"], None);
        check("limit=2", &["c", "b"], Some("b"));
        check("limit=2&cursor=b", &["a"], None);
    }
}
