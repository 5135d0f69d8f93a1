//! Get Records: what a page holds, in which order, and the two empty answers.

use serde_json::{Value, json};
use velodrome_zoho_sim::{SimOptions, start};

use crate::client::{FIELDS, Zoho, options};

#[tokio::test]
async fn a_page_has_the_asked_fields_and_info() {
    let zoho = Zoho::with(3).await;
    let reply = zoho.list("").await;
    assert_eq!(reply.status, 200);
    let body = reply.json();
    let first = body["data"][0].as_object().expect("a record");
    let names: Vec<&str> = first.keys().map(String::as_str).collect();
    assert_eq!(names, ["Email", "Full_Name", "Modified_Time", "id"]);
    assert_eq!(
        body["info"],
        json!({
            "per_page": 200, "next_page_token": null, "count": 3, "sort_by": "id", "page": 1,
            "previous_page_token": null, "page_token_expiry": null, "sort_order": "desc",
            "more_records": false,
        })
    );
}

#[tokio::test]
async fn ids_are_long_texts_above_double_precision() {
    let zoho = Zoho::with(50).await;
    for id in zoho.list("").await.ids() {
        assert!((18..=19).contains(&id.len()), "{id}");
        assert!(id.parse::<u64>().expect("digits") > 1 << 53, "{id}");
    }
}

#[tokio::test]
async fn contacts_are_the_same_for_the_same_seed_and_other_for_another() {
    let one = Zoho::with(40).await.list("").await.text;
    let same = Zoho::with(40).await.list("").await.text;
    let other = SimOptions {
        seed: 2,
        ..options(40)
    };
    let other = Zoho::start(other).await.list("").await.text;
    assert_eq!(one, same);
    assert_ne!(one, other);
}

#[tokio::test]
async fn times_have_whole_seconds_and_the_users_offset_and_lie_in_the_past() {
    let zoho = Zoho::with(200).await;
    let times = zoho.list("").await.column("Modified_Time");
    let now = "2026-03-12T14:00:00+02:00";
    for time in &times {
        assert!(time.len() == 25 && time.ends_with("+02:00"), "{time}");
        assert!(
            time.as_str() < now && time.as_str() > "2026-02-09",
            "{time}"
        );
    }
    let days: std::collections::BTreeSet<&str> = times.iter().map(|time| &time[..10]).collect();
    assert!(
        days.len() > 20,
        "200 contacts should spread over the month: {days:?}"
    );
}

#[tokio::test]
async fn every_address_is_on_an_example_domain_and_its_own() {
    let zoho = Zoho::with(200).await;
    let mut emails = zoho.list("").await.column("Email");
    assert!(emails.iter().all(|email| email.ends_with(".example")));
    emails.sort();
    emails.dedup();
    assert_eq!(emails.len(), 200);
}

#[tokio::test]
async fn second_version_gives_all_fields_and_an_info_without_tokens() {
    let zoho = Zoho::with(3).await;
    for version in ["v2", "v2.1"] {
        let body = zoho
            .get(&format!("{version}/Contacts?per_page=2"))
            .await
            .json();
        let record = body["data"][0].as_object().expect("a record");
        assert!(record.len() > 50, "{version}: {}", record.len());
        assert_eq!(record["Owner"]["name"], "Asha Menon");
        assert_eq!(record["$approval"]["approve"], false);
        assert_eq!(
            body["info"],
            json!({
                "per_page": 2, "count": 2, "page": 1, "sort_by": "id", "sort_order": "desc",
                "more_records": true,
            })
        );
    }
}

#[tokio::test]
async fn every_later_version_is_served() {
    let zoho = Zoho::with(1).await;
    for version in ["v3", "v4", "v5", "v6", "v7", "v8"] {
        let reply = zoho.get(&format!("{version}/Contacts?fields=Email")).await;
        assert_eq!(reply.status, 200, "{version}");
        assert_eq!(reply.info()["next_page_token"], Value::Null);
    }
}

#[tokio::test]
async fn id_comes_even_if_not_asked_and_unknown_fields_do_not() {
    let zoho = Zoho::with(1).await;
    let body = zoho
        .get("v8/Contacts?fields=Email,No_Such_Field")
        .await
        .json();
    let names: Vec<&String> = body["data"][0]
        .as_object()
        .expect("a record")
        .keys()
        .collect();
    assert_eq!(names, ["Email", "id"]);
}

async fn sorted(zoho: &Zoho, query: &str, column: &str, ascending: bool) {
    let values = zoho
        .get(&format!("{query}&fields={FIELDS},Created_Time"))
        .await
        .column(column);
    let mut expected = values.clone();
    expected.sort();
    if !ascending {
        expected.reverse();
    }
    assert_eq!(values, expected, "{query}");
    assert_eq!(values.len(), 60);
}

#[tokio::test]
async fn rows_are_sorted_as_asked_and_by_falling_id_otherwise() {
    let zoho = Zoho::with(60).await;
    sorted(&zoho, "v8/Contacts?", "id", false).await;
    sorted(&zoho, "v8/Contacts?sort_order=asc", "id", true).await;
    sorted(&zoho, "v8/Contacts?sort_by=id&sort_order=desc", "id", false).await;
    sorted(
        &zoho,
        "v8/Contacts?sort_by=Modified_Time&sort_order=asc",
        "Modified_Time",
        true,
    )
    .await;
    sorted(
        &zoho,
        "v8/Contacts?sort_by=Modified_Time",
        "Modified_Time",
        false,
    )
    .await;
    sorted(
        &zoho,
        "v8/Contacts?sort_by=Created_Time&sort_order=asc",
        "Created_Time",
        true,
    )
    .await;
    sorted(
        &zoho,
        "v2/Contacts?sort_by=Email&sort_order=asc",
        "Email",
        true,
    )
    .await;
}

#[tokio::test]
async fn ids_choose_records() {
    let zoho = Zoho::with(9).await;
    let all = zoho.list("").await.ids();
    let chosen = zoho
        .list(&format!("&ids={},{}", all[7], all[2]))
        .await
        .ids();
    assert_eq!(chosen, [all[2].clone(), all[7].clone()]);
}

#[tokio::test]
async fn modified_since_is_inclusive_and_compares_instants() {
    let zoho = Zoho::with(30).await;
    let all = zoho.list("&sort_by=Modified_Time").await;
    let (ids, times) = (all.ids(), all.column("Modified_Time"));
    let there = &times[9];
    let same = zoho.get_since(&all_sorted(), there).await;
    assert_eq!(
        same.ids(),
        ids[..10],
        "the record of that very second comes too"
    );
    let in_utc = crate::client::at(there).to_string();
    assert!(in_utc.ends_with('Z'));
    assert_eq!(
        zoho.get_since(&all_sorted(), &in_utc).await.ids(),
        ids[..10]
    );
}

fn all_sorted() -> String {
    crate::client::list_path("&sort_by=Modified_Time")
}

#[tokio::test]
async fn nothing_new_is_304_and_nothing_at_all_is_204() {
    let zoho = Zoho::with(3).await;
    let future = "2026-03-12T14:00:01+02:00";
    let unchanged = zoho.get_since(&all_sorted(), future).await;
    assert_eq!((unchanged.status, unchanged.text.as_str()), (304, ""));
    let beyond = zoho.list("&page=2").await;
    assert_eq!((beyond.status, beyond.text.as_str()), (204, ""));
    let beyond = format!("{}&page=2", all_sorted());
    assert_eq!(
        zoho.get_since(&beyond, "2020-01-01T00:00:00Z").await.status,
        304
    );

    let empty = Zoho::with(0).await;
    assert_eq!(empty.list("").await.status, 204);
    assert_eq!(empty.get_since(&all_sorted(), future).await.status, 304);
}

#[tokio::test]
async fn one_identical_second_is_possible() {
    let zoho = Zoho::start(SimOptions {
        spread_days: 0,
        ..options(20)
    })
    .await;
    let mut times = zoho.list("").await.column("Modified_Time");
    times.dedup();
    assert_eq!(times.len(), 1);
}

#[tokio::test]
async fn one_record_is_read_by_its_id() {
    let zoho = Zoho::with(3).await;
    let list = zoho.list("").await;
    let (id, time) = (&list.ids()[1], &list.column("Modified_Time")[1]);
    let one = zoho.get(&format!("v8/Contacts/{id}")).await;
    assert_eq!(one.ids(), std::slice::from_ref(id));
    assert_eq!(
        zoho.get("v8/Contacts/5912345000000000001").await.status,
        204
    );
    let path = format!("v8/Contacts/{id}");
    assert_eq!(zoho.get_since(&path, time).await.status, 200);
    assert_eq!(
        zoho.get_since(&path, "2026-03-12T12:00:00Z").await.status,
        304
    );
}

#[tokio::test]
async fn headers_are_zohos_and_the_date_is_the_clocks() {
    let zoho = Zoho::with(1).await;
    let check = |reply: &crate::client::Reply| {
        assert_eq!(reply.header("date"), "Thu, 12 Mar 2026 12:00:00 GMT");
        assert_eq!(reply.header("server"), "ZGS");
    };
    let reply = zoho.list("").await;
    check(&reply);
    assert_eq!(
        reply.header("content-type"),
        "application/json;charset=UTF-8"
    );
    assert_eq!(
        reply.header("x-accesstoken-reset"),
        "2026-03-12T15:00:00+02:00"
    );
    assert_eq!(reply.header("transfer-encoding"), "chunked");
    assert_eq!(
        reply.header("content-disposition"),
        "attachment; filename=response.json"
    );
    assert_eq!(reply.header("pragma"), "no-cache");
    assert!(reply.header("set-cookie").starts_with("crmcsr="));
    assert!(!reply.headers.contains_key("x-api-credits-remaining"));
    check(&zoho.refresh().await);
    check(&zoho.list("&page=9").await);
}

#[tokio::test]
async fn stats_count_what_was_served() {
    let zoho = Zoho::with(5).await;
    zoho.list("&per_page=2").await;
    let second = zoho.list("&per_page=2&page=2").await;
    zoho.list("&per_page=2&page=2").await;
    zoho.list("&page=3").await;
    let token = zoho.list("&per_page=2").await.next_token();
    zoho.list(&format!("&per_page=2&page_token={token}")).await;
    let stats = zoho.sim.stats();
    assert_eq!(stats.list_requests, 6);
    assert_eq!(stats.list_requests_with_records, 5);
    assert_eq!(stats.records_served, 10);
    assert_eq!(stats.distinct_records, 4);
    assert_eq!(stats.repeated_records[&second.ids()[0]], 3);
    assert_eq!(stats.pages_asked, [(1, 2), (2, 2), (3, 1)].into());
    assert_eq!(stats.page_tokens_asked, 1);
    let served: Value = zoho.send(zoho.request("GET", "/_sim/stats")).await.json();
    assert_eq!(
        served,
        serde_json::to_value(&stats).expect("stats are JSON")
    );
    zoho.send(zoho.request("DELETE", "/_sim/stats")).await;
    assert_eq!(zoho.sim.stats(), Default::default());
}

#[tokio::test]
async fn requests_are_kept_without_credentials() {
    let zoho = Zoho::with(1).await;
    zoho.get_since(&crate::client::list_path("&page=1"), "2020-01-01T00:00:00Z")
        .await;
    zoho.send(zoho.request("POST", "/oauth/v2/token?client_secret=hush&grant_type=x"))
        .await;
    let log = zoho.send(zoho.request("GET", "/_sim/requests")).await;
    assert!(!log.text.contains("hush") && !log.text.contains(&zoho.access_token));
    let kept = log.json();
    let kept = &kept["requests"];
    assert_eq!(kept[0]["path"], "/crm/v8/Contacts");
    assert_eq!(kept[0]["authorization"], "zoho-oauthtoken");
    assert_eq!(kept[0]["if_modified_since"], "2020-01-01T00:00:00Z");
    assert_eq!(
        (&kept[0]["status"], &kept[0]["records"]),
        (&json!(200), &json!(1))
    );
    assert_eq!(kept[1]["query"], "client_secret=***&grant_type=x");
}

#[tokio::test]
async fn stopping_closes_the_port() {
    let zoho = Zoho::with(1).await;
    zoho.list("").await;
    let again = zoho.crm("GET", "v8/Contacts?fields=id");
    let address = zoho
        .sim
        .url()
        .trim_start_matches("http://")
        .parse()
        .expect("an address");
    zoho.sim.stop().await;
    assert!(again.send().await.is_err());
    let reborn = start(SimOptions {
        listen: address,
        ..options(1)
    })
    .await;
    reborn.expect("the port should be free").stop().await;
}

#[tokio::test]
async fn a_taken_address_is_an_error_that_names_it() {
    let zoho = Zoho::with(0).await;
    let listen = zoho
        .sim
        .url()
        .trim_start_matches("http://")
        .parse()
        .expect("an address");
    let error = start(SimOptions {
        listen,
        ..options(0)
    })
    .await
    .expect_err("the port is taken");
    assert!(error.to_string().contains(&listen.to_string()), "{error}");
}
