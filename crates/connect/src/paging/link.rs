//! The `Link` header (RFC 8288).

use url::Url;

/// The target of the first link with this relation, as it is written.
///
/// Takes several links in a header and several headers; commas and semicolons inside `<…>` and quotes;
/// relations in any case, bare or quoted, several in one. Only the first `rel` of a link counts. A link
/// whose `anchor` names another resource than the one asked is not about this list.
pub(super) fn target<'h>(
    headers: impl Iterator<Item = &'h str>,
    rel: &str,
    asked: &Url,
) -> Option<String> {
    headers
        .flat_map(links)
        .find(|link| {
            let of_this = link
                .anchor
                .as_ref()
                .is_none_or(|anchor| asked.join(anchor).is_ok_and(|url| same(&url, asked)));
            let relation = link.rel.as_deref().unwrap_or_default();
            let meant = relation
                .split_ascii_whitespace()
                .any(|word| word.eq_ignore_ascii_case(rel));
            meant && of_this
        })
        .map(|link| link.target)
}

fn same(a: &Url, b: &Url) -> bool {
    let bare = |url: &Url| {
        let mut url = url.clone();
        url.set_fragment(None);
        url
    };
    bare(a) == bare(b)
}

#[derive(Debug, Default)]
struct Link {
    target: String,
    rel: Option<String>,
    anchor: Option<String>,
}

/// The links of one header; what cannot be read ends them.
fn links(header: &str) -> Vec<Link> {
    let mut rest = Rest(header);
    let mut links = Vec::new();
    loop {
        while rest.take(',') {}
        if !rest.take('<') {
            return links;
        }
        let Some(target) = rest.until('>') else {
            return links;
        };
        let mut link = Link {
            target: target.trim().to_owned(),
            ..Link::default()
        };
        while rest.take(';') {
            let name = rest.token().to_ascii_lowercase();
            let value = if rest.take('=') {
                rest.value()
            } else {
                String::new()
            };
            match name.as_str() {
                "rel" => link.rel = link.rel.or(Some(value)),
                "anchor" => link.anchor = link.anchor.or(Some(value)),
                _ => {}
            }
        }
        links.push(link);
    }
}

/// What is left of a header.
struct Rest<'h>(&'h str);

impl<'h> Rest<'h> {
    /// Whether this comes next, behind white space; passes it then.
    fn take(&mut self, wanted: char) -> bool {
        let text = self.0.trim_start_matches([' ', '\t']);
        match text.strip_prefix(wanted) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn until(&mut self, end: char) -> Option<&'h str> {
        let (text, rest) = self.0.split_once(end)?;
        self.0 = rest;
        Some(text)
    }

    fn token(&mut self) -> &'h str {
        let text = self.0.trim_start_matches([' ', '\t']);
        let end = text
            .find(['=', ';', ',', ' ', '\t', '"', '<', '>'])
            .unwrap_or(text.len());
        self.0 = &text[end..];
        &text[..end]
    }

    fn value(&mut self) -> String {
        if !self.take('"') {
            return self.token().to_owned();
        }
        let (mut value, mut escaped) = (String::new(), false);
        for (at, c) in self.0.char_indices() {
            match c {
                _ if escaped => {
                    value.push(c);
                    escaped = false;
                }
                '\\' => escaped = true,
                '"' => {
                    self.0 = &self.0[at + 1..];
                    return value;
                }
                _ => value.push(c),
            }
        }
        self.0 = "";
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(headers: &[&str], expect: Option<&str>) {
        let asked = Url::parse("https://a.test/items?page=1").unwrap();
        let got = target(headers.iter().copied(), "next", &asked);
        assert_eq!(got.as_deref(), expect, "{headers:?}");
    }

    #[test]
    fn links_are_read_as_rfc_8288_says() {
        check(
            &["<https://a.test/?p=2>; rel=\"next\""],
            Some("https://a.test/?p=2"),
        );
        check(
            &["<https://a.test/?p=2>; rel=next"],
            Some("https://a.test/?p=2"),
        );
        check(&["</?p=2>;rel=NEXT"], Some("/?p=2"));
        check(&["<?p=2>; REL = \"Next\""], Some("?p=2"));
        check(&["< /?p=2 > ; rel=next"], Some("/?p=2"));
        check(&["</1>; rel=back, </3>; rel=next"], Some("/3"));
        check(&["</1>; rel=back", "</3>; rel=next"], Some("/3"));
        check(
            &["</1>; rel=\"first prev\", </9>; rel=\"last next\""],
            Some("/9"),
        );
        check(&["</3>; title=\"a, b; rel=back\"; rel=next"], Some("/3"));
        check(
            &["</3>; title=\"say \\\"x\\\", y\"; rel=\"next\""],
            Some("/3"),
        );
        check(&["</a,b;c?x=<y>; rel=next"], Some("/a,b;c?x=<y"));
        check(
            &["</3>; hreflang=de; type=\"text/html\"; rel=next"],
            Some("/3"),
        );
        check(&["</3>; title*=UTF-8''n%20x; rel=next"], Some("/3"));
        check(&[" , ,</3>; rel=next,"], Some("/3"));
        check(&["</3>;; rel=next"], Some("/3"));
        check(&["</1>; rel=next, </2>; rel=next"], Some("/1"));
    }

    #[test]
    fn what_is_no_next_link_of_this_list_is_passed_over() {
        check(&[], None);
        check(&[""], None);
        check(&["</1>; rel=back"], None);
        check(&["</1>"], None);
        check(&["</1>; rel"], None);
        check(&["</1>; rel=\"\""], None);
        check(&["</1>; rel=nextish"], None);
        // Only the first `rel` counts.
        check(&["</1>; rel=prev; rel=next"], None);
        check(&["</1>; rel=next; anchor=\"#foo\""], Some("/1"));
        check(&["</1>; rel=next; anchor=\"/other\""], None);
        check(
            &["</1>; rel=next; anchor=\"https://a.test/items?page=1\""],
            Some("/1"),
        );
        for broken in ["/1; rel=next", "<", "</1", "</1>; rel=\"next", "garbage"] {
            let asked = Url::parse("https://a.test/").unwrap();
            let _ = target([broken].into_iter(), "next", &asked);
        }
    }
}
