//! Walking a list: by number, by token, and where each ends.

use serde_json::json;

use crate::client::{Reply, Zoho, list_path};

fn refused(reply: &Reply, code: &str) {
    assert_eq!(reply.status, 400, "{}", reply.text);
    assert_eq!(reply.json()["code"], code);
}

async fn token(zoho: &Zoho, more: &str) -> String {
    zoho.list(more).await.next_token()
}

#[tokio::test]
async fn page_numbers_give_each_record_once() {
    let zoho = Zoho::with(450).await;
    let mut ids = Vec::new();
    for page in 1..=3 {
        let reply = zoho.list(&format!("&page={page}")).await;
        assert_eq!(reply.info()["page"], page);
        assert_eq!(reply.info()["more_records"], page < 3);
        ids.extend(reply.ids());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 450);
    assert_eq!(zoho.list("&page=4").await.status, 204);
}

#[tokio::test]
async fn tokens_give_each_record_once_and_lead_back() {
    let zoho = Zoho::with(450).await;
    let first = zoho.list("").await;
    let mut ids = first.ids();
    let second = zoho
        .list(&format!("&page_token={}", first.next_token()))
        .await;
    ids.extend(second.ids());
    let third = zoho
        .list(&format!("&page_token={}", second.next_token()))
        .await;
    ids.extend(third.ids());
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 450);
    let info = third.info();
    assert_eq!(info["more_records"], false);
    assert_eq!(info["next_page_token"], json!(null));
    assert_eq!(info["count"], 50);
    assert_eq!(
        second.info()["page"],
        1,
        "the number under a token tells nothing"
    );
    assert_eq!(
        second.info()["page_token_expiry"],
        "2026-03-13T14:00:00+02:00"
    );
    let back = info["previous_page_token"]
        .as_str()
        .expect("there is a page before");
    assert_eq!(
        zoho.list(&format!("&page_token={back}")).await.ids(),
        second.ids()
    );
    assert!(back.len() <= 96);
}

#[tokio::test]
async fn numbers_reach_record_2000_from_the_third_version_on() {
    let zoho = Zoho::with(2_500).await;
    assert_eq!(zoho.list("&page=10").await.ids().len(), 200);
    let over = zoho.list("&page=11").await;
    refused(&over, "DISCRETE_PAGINATION_LIMIT_EXCEEDED");
    assert_eq!(over.json()["details"], json!({"limit": 2000}));
    let message = "You can only get the first 2000 records without using page_token param";
    assert_eq!(over.json()["message"], message);
    assert_eq!(zoho.list("&per_page=5&page=400").await.ids().len(), 5);
    refused(
        &zoho.list("&per_page=5&page=401").await,
        "DISCRETE_PAGINATION_LIMIT_EXCEEDED",
    );
    refused(
        &zoho.list("&page=4000000000").await,
        "DISCRETE_PAGINATION_LIMIT_EXCEEDED",
    );

    let beyond = token(&zoho, "&page=10").await;
    assert_eq!(
        zoho.list(&format!("&page_token={beyond}"))
            .await
            .ids()
            .len(),
        200
    );
}

#[tokio::test]
async fn second_version_walks_past_2000_and_knows_no_tokens() {
    let zoho = Zoho::with(2_500).await;
    let late = zoho.get("v2/Contacts?page=13&fields=id").await;
    assert_eq!(late.ids().len(), 100);
    assert_eq!(late.info()["more_records"], false);
    assert_eq!(zoho.get("v2/Contacts?page=14&fields=id").await.status, 204);
    assert_eq!(
        zoho.get("v2/Contacts?page=4294967295&fields=id")
            .await
            .status,
        204
    );
    let ignored = zoho.get("v2/Contacts?page=2&page_token=x&fields=id").await;
    assert_eq!(ignored.info()["page"], 2);
}

#[tokio::test]
async fn a_token_is_bound_to_every_other_parameter() {
    let zoho = Zoho::with(450).await;
    let given = token(&zoho, "&sort_by=id&sort_order=asc&per_page=100").await;
    let with = async |path: &str| zoho.get(&format!("{path}&page_token={given}")).await;
    let same = list_path("&sort_by=id&sort_order=asc&per_page=100");
    assert_eq!(with(&same).await.status, 200);
    let shuffled = "v8/Contacts?per_page=100&sort_order=asc&sort_by=id&fields=id,Full_Name,Email,Modified_Time";
    assert_eq!(with(shuffled).await.status, 200);
    for altered in [
        list_path("&sort_by=id&sort_order=desc&per_page=100"),
        list_path("&sort_by=id&sort_order=asc&per_page=200"),
        list_path("&sort_by=id&sort_order=asc"),
        list_path("&sort_by=id&sort_order=asc&per_page=100&converted=both"),
        "v8/Contacts?fields=id&sort_by=id&sort_order=asc&per_page=100".to_owned(),
    ] {
        let reply = with(&altered).await;
        refused(&reply, "TOKEN_BOUND_DATA_MISMATCH");
        assert_eq!(reply.json()["details"], json!({"param_name": "page_token"}));
    }
}

#[tokio::test]
async fn a_token_is_bound_to_the_header_only_if_asked() {
    let zoho = Zoho::with(450).await;
    let early = "2020-01-01T00:00:00Z";
    let follow = async |since: &str| {
        let given = zoho.get_since(&list_path(""), early).await.next_token();
        zoho.get_since(&list_path(&format!("&page_token={given}")), since)
            .await
    };
    let other = "2020-01-02T00:00:00Z";
    assert_eq!(follow(other).await.status, 200);
    zoho.turn("options", json!({"bind_header": true})).await;
    assert_eq!(follow(early).await.status, 200);
    refused(&follow(other).await, "TOKEN_BOUND_DATA_MISMATCH");
}

#[tokio::test]
async fn a_token_that_was_touched_is_garbage() {
    let zoho = Zoho::with(450).await;
    let given = token(&zoho, "").await;
    let mut touched = given.clone();
    touched.replace_range(6..7, if &given[6..7] == "1" { "2" } else { "1" });
    refused(
        &zoho.list(&format!("&page_token={touched}")).await,
        "INVALID_DATA",
    );
    let long = format!("{given}{given}");
    refused(
        &zoho.list(&format!("&page_token={long}")).await,
        "INVALID_DATA",
    );
    let elsewhere = Zoho::with(450).await;
    refused(
        &elsewhere.list(&format!("&page_token={given}")).await,
        "INVALID_DATA",
    );
}

#[tokio::test]
async fn a_token_lives_a_day_or_as_long_as_set() {
    let mut zoho = Zoho::with(450).await;
    let given = token(&zoho, "").await;
    zoho.advance("24h").await;
    zoho.grant("ZohoCRM.modules.ALL").await;
    let late = zoho.list(&format!("&page_token={given}")).await;
    refused(&late, "EXPIRED_VALUE");
    let details = json!({"api_name": "page_token", "json_path": "$.query.page_token"});
    assert_eq!(late.json()["details"], details);
    zoho.turn("options", json!({"page_token_life": "30s"}))
        .await;
    let given = token(&zoho, "").await;
    zoho.advance("29s").await;
    assert_eq!(zoho.list(&format!("&page_token={given}")).await.status, 200);
    zoho.advance("1s").await;
    refused(
        &zoho.list(&format!("&page_token={given}")).await,
        "EXPIRED_VALUE",
    );
}

#[tokio::test]
async fn tokens_reach_100000_records() {
    let zoho = Zoho::with(100_200).await;
    let path = "v8/Contacts?fields=id";
    let mut next = zoho.get(path).await.next_token();
    let mut read = 200;
    let end = loop {
        let reply = zoho.get(&format!("{path}&page_token={next}")).await;
        if reply.status != 200 {
            break reply;
        }
        read += reply.info()["count"].as_u64().expect("a count");
        next = reply.next_token();
    };
    assert_eq!(read, 100_000);
    refused(&end, "PAGINATION_LIMIT_EXCEEDED");
    assert_eq!(zoho.sim.stats().distinct_records, 100_000);
}

#[tokio::test]
async fn more_records_without_a_token_can_be_ordered() {
    let zoho = Zoho::with(450).await;
    zoho.turn("options", json!({"withhold_page_token": true}))
        .await;
    let info = zoho.list("").await.info();
    assert_eq!(
        (&info["more_records"], &info["next_page_token"]),
        (&json!(true), &json!(null))
    );
    zoho.turn("options", json!({"withhold_page_token": false}))
        .await;
    token(&zoho, "").await;
}

#[tokio::test]
async fn an_edit_of_a_read_row_loses_another_under_modified_order_but_not_under_id_order() {
    for (sort, lost) in [("Modified_Time", 1), ("id", 0)] {
        let zoho = Zoho::with(20).await;
        let all = zoho.list("").await.ids();
        let query = format!("&sort_by={sort}&sort_order=asc&per_page=5");
        let first = zoho.list(&query).await;
        zoho.turn("mutate", json!({"op": "edit", "id": first.ids()[0]}))
            .await;
        let mut read = first.ids();
        for page in 2..=4 {
            read.extend(zoho.list(&format!("{query}&page={page}")).await.ids());
        }
        let missing = all.iter().filter(|id| !read.contains(id)).count();
        assert_eq!(missing, lost, "{sort}");
    }
}
