//! GitHub's issues: docs.github.com/en/rest/issues/issues, using-the-rest-api/using-pagination-in-the-rest-api.

use serde_json::{Value, json};

use super::{Api, Asked, Reply, size};

/// The token that it takes.
pub const TOKEN: &str = "ghp_a-token-of-a-test";

/// A repository with issues, in the order of their creation.
#[derive(Debug, Default)]
pub struct GitHub {
    issues: Vec<Value>,
}

impl GitHub {
    /// So many issues, all of 2025.
    pub fn with_issues(many: u64) -> Self {
        let mut made = Self::default();
        for number in 1..=many {
            made.open(number, "2025-06-01T12:00:00Z");
        }
        made
    }

    /// Opens an issue.
    pub fn open(&mut self, number: u64, at: &str) {
        self.issues.push(json!({
            "id": 9_000 + number,
            "number": number,
            "title": format!("issue {number}"),
            "state": if number.is_multiple_of(3) { "closed" } else { "open" },
            "created_at": at,
            "updated_at": at,
        }));
    }

    fn list(&self, asked: &Asked) -> Reply {
        let state = asked.query.get("state").map_or("open", String::as_str);
        // Dates are all in one form, so that they are ordered as texts are.
        let fits = |issue: &&Value| {
            let updated = issue["updated_at"].as_str().unwrap_or_default();
            let since = asked.query.get("since");
            (state == "all" || issue["state"] == state)
                && since.is_none_or(|since| updated > since.as_str())
        };
        let mut found: Vec<&Value> = self.issues.iter().filter(fits).collect();
        if asked.query.get("direction").map(String::as_str) != Some("asc") {
            found.reverse();
        }
        let per_page = size(asked.number("per_page"), 30, 100);
        let page = asked.number("page").unwrap_or(1).max(1);
        let pages = (found.len() as u64).div_ceil(per_page).max(1);
        let first = usize::try_from((page - 1) * per_page).unwrap_or(usize::MAX);
        let of_page: Vec<&Value> = found
            .into_iter()
            .skip(first)
            .take(usize::try_from(per_page).unwrap_or(usize::MAX))
            .collect();
        let reply = Reply::new(200, json!(of_page));
        let mut links = Vec::new();
        let mut link = |page: u64, rel: &str| {
            links.push(format!("<{}>; rel=\"{rel}\"", page_url(asked, page)));
        };
        if page > 1 {
            link(page - 1, "prev");
        }
        if page < pages {
            link(page + 1, "next");
            link(pages, "last");
        }
        if page > 1 {
            link(1, "first");
        }
        match links.is_empty() {
            true => reply,
            false => reply.with("link", links.join(", ")),
        }
    }
}

/// An issue needs a title.
fn create(asked: &Asked) -> Reply {
    let issue = asked.json();
    if issue["title"].as_str().is_none_or(str::is_empty) {
        let error = json!({"resource": "Issue", "field": "title", "code": "missing_field"});
        let refused = json!({"message": "Validation Failed", "errors": [error]});
        return Reply::new(422, refused);
    }
    Reply::new(201, json!({"number": 1, "title": issue["title"]}))
}

/// As GitHub writes it: by the repository's number, with what was asked, and the page.
fn page_url(asked: &Asked, page: u64) -> String {
    let mut url = format!("{}/repositories/7/issues?", asked.base);
    for (name, value) in asked.query.iter().filter(|(name, _)| *name != "page") {
        let value = value.replace(':', "%3A");
        url.push_str(&format!("{name}={value}&"));
    }
    format!("{url}page={page}")
}

impl Api for GitHub {
    fn answer(&mut self, asked: &Asked) -> Reply {
        if asked.header("user-agent").is_empty() {
            let why = "Request forbidden by administrative rules. Please make sure your request has a User-Agent header";
            return Reply::new(403, json!({ "message": why }));
        }
        if asked.header("authorization") != format!("Bearer {TOKEN}") {
            return Reply::new(401, json!({"message": "Bad credentials"}));
        }
        match (asked.verb.as_str(), asked.path.as_str()) {
            ("GET", "/repos/octo-org/octo-repo/issues" | "/repositories/7/issues") => {
                self.list(asked)
            }
            ("POST", "/repos/octo-org/octo-repo/issues") => create(asked),
            _ => Reply::new(404, json!({"message": "Not Found"})),
        }
    }
}
