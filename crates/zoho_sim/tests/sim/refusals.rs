//! Zoho's refusals: status, code, message and details, one fault at a time.

use serde_json::{Value, json};

use crate::client::{Zoho, list_path};

struct Expect {
    status: u16,
    code: &'static str,
    message: &'static str,
    details: Value,
}

fn bad(code: &'static str, message: &'static str, details: Value) -> Expect {
    Expect {
        status: 400,
        code,
        message,
        details,
    }
}

async fn check(zoho: &Zoho, path: &str, expect: Expect) {
    let reply = zoho.get(path).await;
    assert_eq!(reply.status, expect.status, "{path}: {}", reply.text);
    assert_eq!(
        reply.json(),
        json!({
            "code": expect.code, "details": expect.details, "message": expect.message,
            "status": "error",
        }),
        "{path}"
    );
}

#[tokio::test]
async fn parameters_are_refused_one_by_one() {
    let zoho = Zoho::with(5).await;
    let invalid = |name: &str| bad("INVALID_DATA", "invalid data", json!({"param_name": name}));
    let pattern = |name: &str| {
        let message = "Please check whether the input values are correct";
        bad("PATTERN_NOT_MATCHED", message, json!({"param_name": name}))
    };
    let ambiguous = |one: &str, other: &str| {
        let details = json!({"ambiguity_due_to": [{"param_name": one}, {"param_name": other}]});
        bad(
            "AMBIGUITY_DURING_PROCESSING",
            "ambiguity while processing the request",
            details,
        )
    };
    let no_fields = || {
        let details = json!({"param_name": "fields"});
        bad(
            "REQUIRED_PARAM_MISSING",
            "required param is missing",
            details,
        )
    };
    for version in ["v3", "v4", "v5", "v6", "v7", "v8"] {
        check(&zoho, &format!("{version}/Contacts"), no_fields()).await;
    }
    check(&zoho, "v8/Contacts?fields=", no_fields()).await;
    let many = vec!["Email"; 51].join(",");
    let limit = json!({"limit": 50, "param_name": "fields"});
    let limit = bad("LIMIT_EXCEEDED", "limit exceeded", limit);
    check(&zoho, &format!("v8/Contacts?fields={many}"), limit).await;
    let sorts = json!({
        "param_name": "sort_by", "supported_values": ["id", "Created_Time", "Modified_Time"],
    });
    let sort = || bad("INVALID_DATA", "invalid data", sorts.clone());
    check(&zoho, &list_path("&sort_by=Email"), sort()).await;
    check(&zoho, "v2/Contacts?sort_by=No_Such_Field", sort()).await;
    check(&zoho, &list_path("&sort_order=up"), invalid("sort_order")).await;
    check(
        &zoho,
        &list_path("&cvid=5912345000000000009"),
        invalid("cvid"),
    )
    .await;
    check(&zoho, &list_path("&converted=maybe"), invalid("converted")).await;
    check(&zoho, &list_path("&approved=1"), invalid("approved")).await;
    check(&zoho, &list_path("&ids=one"), invalid("ids")).await;
    check(&zoho, &list_path("&per_page=201"), invalid("per_page")).await;
    check(&zoho, &list_path("&per_page=0"), pattern("per_page")).await;
    check(&zoho, &list_path("&per_page=x"), pattern("per_page")).await;
    check(&zoho, &list_path("&page=0"), pattern("page")).await;
    check(&zoho, &list_path("&page=-1"), pattern("page")).await;
    check(&zoho, &list_path("&page=99999999999"), pattern("page")).await;
    check(
        &zoho,
        &list_path("&page_token=garbage"),
        invalid("page_token"),
    )
    .await;
    check(&zoho, &list_path("&page_token="), invalid("page_token")).await;
    check(
        &zoho,
        &list_path("&page=1&page_token=x"),
        ambiguous("page", "page_token"),
    )
    .await;
    let view = "&cvid=5912345000000087501";
    check(
        &zoho,
        &list_path(&format!("{view}&sort_by=id")),
        ambiguous("cvid", "sort_by"),
    )
    .await;
    assert_eq!(zoho.list(view).await.status, 200);
    assert_eq!(
        zoho.list("&per_page=200&page=1&converted=both&approved=true")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn fifty_fields_are_not_too_many() {
    let zoho = Zoho::with(1).await;
    let many = vec!["Email"; 50].join(",");
    assert_eq!(
        zoho.get(&format!("v8/Contacts?fields={many}")).await.status,
        200
    );
}

#[tokio::test]
async fn a_malformed_modified_since_is_refused() {
    let zoho = Zoho::with(5).await;
    let malformed = [
        "Thu, 12 Mar 2026 12:00:00 GMT",
        "2026-03-12",
        "2026-03-12T12:00:00",
        "2026-03-12 12:00:00Z",
        "2026-03-12T12:00:00+01:00[Europe/Oslo]",
        "now",
        "",
    ];
    for text in malformed {
        let reply = zoho.get_since(&list_path(""), text).await;
        assert_eq!(reply.status, 400, "{text}");
        assert_eq!(reply.json()["code"], "INVALID_DATA", "{text}");
        assert_eq!(
            reply.json()["details"]["param_name"],
            "If-Modified-Since",
            "{text}"
        );
    }
    for text in [
        "2020-01-01T00:00:00+05:30",
        "2020-01-01T00:00:00-11:00",
        "2020-01-01T00:00:00Z",
    ] {
        assert_eq!(
            zoho.get_since(&list_path(""), text).await.status,
            200,
            "{text}"
        );
    }
}

#[tokio::test]
async fn addresses_that_are_not_there_are_refused() {
    let zoho = Zoho::with(1).await;
    let module = || {
        let message = "the module name given seems to be invalid";
        bad("INVALID_MODULE", message, json!({"resource_path_index": 0}))
    };
    let pattern = || Expect {
        status: 404,
        code: "INVALID_URL_PATTERN",
        message: "Please check if the URL trying to access is a correct one",
        details: json!({}),
    };
    check(&zoho, "v8/Leads?fields=id", module()).await;
    check(&zoho, "v2/contacts", module()).await;
    check(&zoho, "v9/Contacts?fields=id", pattern()).await;
    check(&zoho, "v1/Contacts", pattern()).await;
    check(&zoho, "v8", pattern()).await;
    check(&zoho, "v8/Contacts/search?word=a", pattern()).await;
    check(&zoho, "v8/Contacts/5912345000000500002/Notes", pattern()).await;
    let id = bad(
        "INVALID_DATA",
        "the id given seems to be invalid",
        json!({}),
    );
    check(&zoho, "v8/Contacts/somebody", id).await;
    let elsewhere = zoho.send(zoho.request("GET", "/nowhere")).await;
    assert_eq!(
        (elsewhere.status, elsewhere.json()["code"].as_str()),
        (404, Some("INVALID_URL_PATTERN"))
    );
    assert_eq!(elsewhere.header("server"), "ZGS");
}

#[tokio::test]
async fn a_method_that_is_not_served_is_refused() {
    let zoho = Zoho::with(1).await;
    for (method, path) in [("PATCH", "v8/Contacts"), ("POST", "v8/Contacts/deleted")] {
        let reply = zoho.send(zoho.crm(method, path)).await;
        assert_eq!(reply.status, 400, "{method}");
        assert_eq!(reply.json()["code"], "INVALID_REQUEST_METHOD");
        assert_eq!(
            reply.json()["message"],
            "The http request method type is not a valid one"
        );
    }
}

#[tokio::test]
async fn callers_without_a_usable_header_fail_to_authenticate() {
    let zoho = Zoho::with(1).await;
    let path = format!("/crm/{}", list_path(""));
    let refused = |reply: crate::client::Reply| {
        assert_eq!(reply.status, 401);
        assert_eq!(
            reply.json(),
            json!({
                "code": "AUTHENTICATION_FAILURE", "details": {},
                "message": "Authentication failed", "status": "error",
            })
        );
        assert!(!reply.headers.contains_key("x-accesstoken-reset"));
    };
    refused(zoho.send(zoho.request("GET", &path)).await);
    for header in ["Basic abc", "Zoho-oauthtoken", "Zoho-oauthtoken ", ""] {
        refused(
            zoho.send(zoho.request("GET", &path).header("Authorization", header))
                .await,
        );
    }
    let in_query = format!("{path}&access_token={}", zoho.access_token);
    refused(zoho.send(zoho.request("GET", &in_query)).await);
}

#[tokio::test]
async fn a_token_that_is_not_alive_is_invalid() {
    let mut zoho = Zoho::with(1).await;
    let alive = zoho.access_token.clone();
    zoho.access_token = "1000.feed.beef".to_owned();
    let invalid = || Expect {
        status: 401,
        code: "INVALID_TOKEN",
        message: "invalid oauth token",
        details: json!({}),
    };
    check(&zoho, &list_path(""), invalid()).await;
    zoho.access_token = alive;
    zoho.advance("59m 59s").await;
    assert_eq!(zoho.list("").await.status, 200);
    zoho.advance("1s").await;
    check(&zoho, &list_path(""), invalid()).await;
}

#[tokio::test]
async fn either_scheme_is_taken_and_counted() {
    let zoho = Zoho::with(1).await;
    let path = format!("/crm/{}", list_path(""));
    let bearer = format!("Bearer {}", zoho.access_token);
    let reply = zoho
        .send(zoho.request("GET", &path).header("Authorization", bearer))
        .await;
    assert_eq!(reply.status, 200);
    zoho.list("").await;
    zoho.list("").await;
    let schemes = zoho.sim.stats().authorization_schemes;
    assert_eq!(
        schemes,
        [("bearer".to_owned(), 1), ("zoho-oauthtoken".to_owned(), 2)].into()
    );
}

#[tokio::test]
async fn scopes_are_compared_with_the_method() {
    let mut zoho = Zoho::with(1).await;
    let body = json!({"data": [{"Last_Name": "Berg"}]});
    for (scope, reads, writes) in [
        ("ZohoCRM.modules.ALL", 200, 201),
        ("ZohoCRM.modules.READ", 200, 401),
        ("ZohoCRM.modules.contacts.READ", 200, 401),
        ("ZohoCRM.modules.Contacts.ALL", 200, 201),
        ("ZohoCRM.modules.contacts.CREATE", 401, 201),
        ("ZohoCRM.modules.leads.READ", 401, 401),
        ("ZohoCRM.users.ALL,ZohoCRM.modules.contacts.READ", 200, 401),
        ("ZohoCRM.users.ALL", 401, 401),
    ] {
        zoho.grant(scope).await;
        let read = zoho.list("").await;
        assert_eq!(read.status, reads, "{scope}");
        let written = zoho.write("POST", "v8/Contacts", body.clone()).await;
        assert_eq!(written.status, writes, "{scope}");
        if reads == 401 {
            assert_eq!(read.json()["code"], "OAUTH_SCOPE_MISMATCH", "{scope}");
        }
    }
}
