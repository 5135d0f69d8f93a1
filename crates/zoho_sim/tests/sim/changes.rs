//! Writing, deleting, the list of the deleted, and changes between pages.

use serde_json::{Value, json};

use crate::client::{Reply, Zoho, list_path};

const LATER: &str = "2026-03-12T14:10:00+02:00";

async fn tail(zoho: &Zoho, id: &str) -> Value {
    zoho.get(&format!("v8/Contacts/{id}")).await.json()["data"][0].clone()
}

#[tokio::test]
async fn an_inserted_contact_is_the_newest_of_the_list() {
    let zoho = Zoho::with(3).await;
    zoho.advance("10m").await;
    let body = json!({"data": [{
        "Last_Name": "Okafor", "First_Name": "Tunde", "Email": "t@lagoonworks.example",
        "Created_Time": "1999-01-01T00:00:00Z", "id": "7", "Nonsense": 1,
    }]});
    let reply = zoho.write("POST", "v8/Contacts", body).await;
    assert_eq!(reply.status, 201);
    let item = reply.json()["data"][0].clone();
    assert_eq!(item["code"], "SUCCESS");
    assert_eq!(item["message"], "record added");
    assert_eq!(item["status"], "success");
    let details = &item["details"];
    assert_eq!(
        (&details["Modified_Time"], &details["Created_Time"]),
        (&json!(LATER), &json!(LATER))
    );
    assert_eq!(details["Created_By"]["name"], "Asha Menon");
    let id = details["id"].as_str().expect("an id");
    assert_eq!(zoho.list("").await.ids()[0], id, "ids grow");
    let record = tail(&zoho, id).await;
    assert_eq!(record["Full_Name"], "Tunde Okafor");
    assert_eq!(record["Created_Time"], LATER);
    assert_eq!(record["Phone"], Value::Null);
}

#[tokio::test]
async fn an_update_moves_modified_time_and_shows_in_lists_at_once() {
    let zoho = Zoho::with(3).await;
    let id = zoho.list("").await.ids()[2].clone();
    let before = tail(&zoho, &id).await;
    zoho.advance("10m").await;
    let body = json!({"data": [{"Last_Name": "Renamed"}]});
    let reply = zoho.write("PUT", &format!("v8/Contacts/{id}"), body).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json()["data"][0]["message"], "record updated");
    let listed = zoho.get_since(&list_path(""), LATER).await;
    assert_eq!(listed.ids(), std::slice::from_ref(&id));
    assert!(listed.column("Full_Name")[0].ends_with(" Renamed"));
    assert_eq!(listed.column("Modified_Time"), [LATER]);
    let after = tail(&zoho, &id).await;
    assert_eq!(after["Created_Time"], before["Created_Time"]);
    assert_eq!(after["Email"], before["Email"]);
}

#[tokio::test]
async fn a_batch_says_for_each_record_how_it_went() {
    let zoho = Zoho::with(3).await;
    let ids = zoho.list("").await.ids();
    let body = json!({"data": [
        {"id": ids[0], "Phone": "1"}, {"id": "5912345000000000001"}, {"Phone": "2"},
        {"id": ids[1], "Last_Name": " "},
    ]});
    let reply = zoho.write("PUT", "v8/Contacts", body).await;
    assert_eq!(reply.status, 207);
    let body = reply.json();
    let codes: Vec<&Value> = (0..4).map(|nth| &body["data"][nth]["code"]).collect();
    assert_eq!(
        codes,
        [
            "SUCCESS",
            "INVALID_DATA",
            "MANDATORY_NOT_FOUND",
            "MANDATORY_NOT_FOUND"
        ]
    );
    let none = zoho
        .write(
            "POST",
            "v8/Contacts",
            json!({"data": [{"First_Name": "Rosa"}]}),
        )
        .await;
    assert_eq!(none.status, 400);
    let item = &none.json()["data"][0];
    assert_eq!(
        item["details"],
        json!({"api_name": "Last_Name", "json_path": "$.data[0].Last_Name"})
    );
    assert_eq!(zoho.list("").await.ids(), ids);
}

#[tokio::test]
async fn bodies_that_are_no_batch_are_refused_in_data() {
    let zoho = Zoho::with(1).await;
    let long: Vec<Value> = (0..101).map(|_| json!({"Last_Name": "x"})).collect();
    for (body, code) in [
        ("", "INVALID_DATA"),
        ("[]", "INVALID_DATA"),
        ("{\"data\":{}}", "INVALID_DATA"),
        ("{\"data\":[]}", "INVALID_DATA"),
        ("{\"data\":[1]}", "INVALID_DATA"),
        (&json!({"data": long}).to_string(), "LIMIT_EXCEEDED"),
    ] {
        let reply = zoho
            .send(zoho.crm("POST", "v8/Contacts").body(body.to_owned()))
            .await;
        assert_eq!(reply.status, 400, "{body}");
        assert_eq!(reply.json()["data"][0]["code"], code, "{body}");
    }
    assert_eq!(zoho.list("").await.ids().len(), 1);
}

async fn deleted(zoho: &Zoho, query: &str) -> Reply {
    zoho.get(&format!("v8/Contacts/deleted?{query}")).await
}

#[tokio::test]
async fn a_deleted_contact_leaves_the_list_and_is_told_of() {
    let mut zoho = Zoho::with(4).await;
    assert_eq!(deleted(&zoho, "type=all").await.status, 204);
    let ids = zoho.list("").await.ids();
    let name = zoho.list("").await.column("Full_Name")[1].clone();
    let one = zoho
        .send(zoho.crm("DELETE", &format!("v8/Contacts/{}", ids[1])))
        .await;
    assert_eq!(one.status, 200);
    assert_eq!(one.json()["data"][0]["details"], json!({"id": ids[1]}));
    assert_eq!(one.json()["data"][0]["message"], "record deleted");
    zoho.advance("10m").await;
    let several = format!("v8/Contacts?ids={},{}", ids[3], ids[1]);
    assert_eq!(
        zoho.send(zoho.crm("DELETE", &several)).await.status,
        207,
        "one is gone already"
    );
    assert_eq!(zoho.list("").await.ids(), [ids[0].clone(), ids[2].clone()]);
    assert_eq!(
        zoho.get(&format!("v8/Contacts/{}", ids[1])).await.status,
        204
    );

    let all = deleted(&zoho, "type=all").await;
    assert_eq!(
        all.ids(),
        [ids[3].clone(), ids[1].clone()],
        "the latest first"
    );
    assert_eq!(
        all.json()["data"][1],
        json!({
            "deleted_by": {"name": "Asha Menon", "id": "5912345000000231001"}, "id": ids[1],
            "display_name": name, "type": "recycle",
            "created_by": {"name": "Asha Menon", "id": "5912345000000231001"},
            "deleted_time": "2026-03-12T14:00:00+02:00",
        })
    );
    let info = json!({"per_page": 200, "count": 2, "page": 1, "more_records": false});
    assert_eq!(all.info(), info);
    let page = deleted(&zoho, "type=all&per_page=1").await;
    assert_eq!(
        (page.ids().len(), &page.info()["more_records"]),
        (1, &json!(true))
    );
    let second = deleted(&zoho, "type=all&per_page=1&page=2").await;
    assert_eq!(second.ids(), [ids[1].clone()]);
    let since = zoho.get_since("v8/Contacts/deleted?type=all", LATER).await;
    assert_eq!(since.ids(), [ids[3].clone()]);
    let none = zoho
        .get_since("v8/Contacts/deleted", "2026-03-12T14:10:01+02:00")
        .await;
    assert_eq!((none.status, none.text.as_str()), (304, ""));
    assert_eq!(deleted(&zoho, "type=permanent").await.status, 204);

    zoho.advance("1441h").await;
    zoho.grant("ZohoCRM.modules.ALL").await;
    assert_eq!(
        deleted(&zoho, "type=recycle").await.status,
        204,
        "60 days empty the bin"
    );
    let old = deleted(&zoho, "type=permanent").await.json()["data"][0].clone();
    assert_eq!(
        (&old["display_name"], &old["deleted_by"]),
        (&Value::Null, &Value::Null)
    );
    zoho.advance("1441h").await;
    zoho.grant("ZohoCRM.modules.ALL").await;
    assert_eq!(
        deleted(&zoho, "type=all").await.status,
        204,
        "120 days and it is forgotten"
    );
}

#[tokio::test]
async fn deleted_refuses_inside_data() {
    let zoho = Zoho::with(1).await;
    let reply = deleted(&zoho, "type=some").await;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.json()["data"][0]["code"], "INVALID_DATA");
    assert_eq!(
        reply.json()["data"][0]["details"],
        json!({"param_name": "type"})
    );
}

async fn walk(zoho: &Zoho) -> Vec<String> {
    let mut read = Vec::new();
    let mut reply = zoho.list("&sort_by=id&sort_order=asc&per_page=5").await;
    loop {
        read.extend(reply.ids());
        if reply.info()["more_records"] == false {
            return read;
        }
        let next = reply.next_token();
        let more = format!("&sort_by=id&sort_order=asc&per_page=5&page_token={next}");
        reply = zoho.list(&more).await;
    }
}

#[tokio::test]
async fn a_delete_between_pages_loses_a_row_even_under_tokens() {
    let zoho = Zoho::with(15).await;
    let all = walk(&zoho).await;
    let change = json!({"op": "delete", "position": 0, "between_pages": 1});
    assert_eq!(zoho.turn("mutate", change).await["planned"], 1);
    let read = walk(&zoho).await;
    assert!(
        read.contains(&all[0]),
        "the change waits for page 1 to be served"
    );
    assert!(
        !read.contains(&all[5]),
        "its neighbour moved up into the page that was read"
    );
    assert_eq!(read.len(), 14);
    assert_eq!(walk(&zoho).await, all[1..], "and it happens once");
}

#[tokio::test]
async fn additions_and_edits_between_pages_happen_after_that_page() {
    let zoho = Zoho::with(15).await;
    let all = walk(&zoho).await;
    zoho.turn(
        "mutate",
        json!([
            {"op": "add", "count": 2, "between_pages": 2},
            {"op": "edit", "id": all[0], "set": {"Phone": "+47 1"}, "between_pages": 2},
        ]),
    )
    .await;
    zoho.list("&sort_by=id&sort_order=asc&per_page=5").await;
    assert_ne!(tail(&zoho, &all[0]).await["Phone"], "+47 1");
    assert_eq!(walk(&zoho).await.len(), 17);
    assert_eq!(tail(&zoho, &all[0]).await["Phone"], "+47 1");
}

#[tokio::test]
async fn changes_now_are_by_place_or_id_and_at_a_time() {
    let zoho = Zoho::with(10).await;
    let all = walk(&zoho).await;
    let edit = json!({"op": "edit", "position": 2, "count": 3, "at": "2026-03-12T13:00:00Z"});
    assert_eq!(zoho.turn("mutate", edit).await["ids"], json!(all[2..5]));
    let since = zoho
        .get_since(&list_path("&sort_order=asc"), "2026-03-12T13:00:00Z")
        .await;
    assert_eq!(since.ids(), all[2..5]);
    zoho.turn(
        "mutate",
        json!({"op": "delete", "id": all[9], "permanent": true}),
    )
    .await;
    assert_eq!(
        deleted(&zoho, "type=permanent").await.ids(),
        [all[9].clone()]
    );
    let added = zoho
        .turn("mutate", json!({"op": "add", "set": {"Last_Name": "Zed"}}))
        .await;
    let id = added["ids"][0].as_str().expect("an id");
    assert_eq!(tail(&zoho, id).await["Last_Name"], "Zed");
}

#[tokio::test]
async fn changes_that_make_no_sense_are_refused() {
    let zoho = Zoho::with(3).await;
    for change in [
        json!({"op": "edit"}),
        json!({"op": "edit", "position": 0, "id": "1"}),
        json!({"op": "edit", "position": 3}),
        json!({"op": "edit", "position": 0, "count": 4_294_967_295_u32}),
        json!({"op": "delete", "id": "12"}),
        json!({"op": "delete", "position": 0, "between_pages": 0}),
        json!({"op": "add", "count": 100_001}),
        json!({"op": "add", "number": 1}),
        json!({"op": "destroy"}),
        json!("edit"),
    ] {
        let reply = zoho.try_turn("mutate", change.clone()).await;
        assert_eq!(reply.status, 422, "{change}");
        assert!(reply.json()["error"].is_string(), "{change}");
    }
    assert_eq!(zoho.list("").await.ids().len(), 3);
}
