//! The wire, through the router as a client sees it. Shapes are compared with recorded answers where they are at hand.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::clock::Clock;
use crate::sim::credentials::*;
use crate::sim::world::Arrivals;
use crate::sim::world_file::load_dir;

struct Bench {
    desk: Arc<Desk>,
    world: Arc<World>,
    clock: Clock,
    token: String,
}

/// An answer: status, headers, body.
type Seen = (u16, HeaderMap, Value);

async fn bench() -> Bench {
    let files = load_dir(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sim/worlds/tiny")).unwrap();
    let clock = Clock::manual(files.now);
    let world = Arc::new(World::open(files, clock.clone(), 7, Arrivals::default(), None).unwrap());
    let mut bench = Bench {
        desk: Arc::new(Desk { world: world.clone(), buckets: Buckets::new(Limits::default()) }),
        world,
        clock,
        token: String::new(),
    };
    bench.token = bench.token("read write").await;
    bench
}

impl Bench {
    async fn raw(&self, method: &str, path: &str, auth: Option<&str>, headers: &[(&str, &str)], body: Value) -> Seen {
        let mut map = HeaderMap::new();
        map.insert("content-type", HeaderValue::from_static("application/json"));
        let auth = auth.map(|auth| ("authorization", auth));
        for (name, value) in headers.iter().copied().chain(auth) {
            map.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let uri: Uri = path.replace('[', "%5B").replace(']', "%5D").parse().unwrap();
        let query = RawQuery(uri.query().map(str::to_owned));
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let response = answer(State(self.desk.clone()), None, method, uri, query, map, body).await;
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        (parts.status.as_u16(), parts.headers, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }
    async fn token(&self, scope: &str) -> String {
        let body = json!({ "grant_type": "client_credentials", "client_id": ZENDESK_CLIENT_ID,
            "client_secret": ZENDESK_CLIENT_SECRET, "scope": scope, "expires_in": 3600 });
        let (status, _, answer) = self.raw("POST", "/oauth/tokens", None, &[], body).await;
        assert_eq!(status, 200);
        answer["access_token"].as_str().unwrap().to_owned()
    }
    async fn get(&self, path: &str) -> Seen {
        self.raw("GET", &format!("/api/v2{path}"), Some(&format!("Bearer {}", self.token)), &[], Value::Null).await
    }
    async fn put(&self, path: &str, ticket: Value) -> Seen {
        let body = json!({ "ticket": ticket });
        self.raw("PUT", &format!("/api/v2{path}"), Some(&format!("Bearer {}", self.token)), &[], body).await
    }
    fn basic(&self, address: &str, token: &str) -> String {
        use base64::Engine;
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{address}/token:{token}")))
    }
}

#[tokio::test]
async fn credentials_are_checked_as_zendesk_does() {
    let bench = bench().await;
    let me = "/api/v2/users/me.json";
    let (status, _, body) = bench.raw("GET", me, None, &[], Value::Null).await;
    assert_eq!((status, &body["user"]["id"], &body["user"]["name"]), (200, &Value::Null, &json!("Anonymous user")));
    let (status, _, body) = bench.get("/users/me.json").await;
    assert_eq!((status, &body["user"]["role"], &body["user"]["name"]), (200, &json!("admin"), &json!("Deskhand")));
    let wrong = bench.basic("ines@pinbox.example", "no");
    assert_eq!(bench.raw("GET", me, Some(&wrong), &[], Value::Null).await.0, 401);
    let agent = bench.basic("omar@pinbox.example", ZENDESK_API_TOKEN);
    assert_eq!(bench.raw("GET", me, Some(&agent), &[], Value::Null).await.2["user"]["role"], "agent");
    assert_eq!(bench.raw("GET", "/api/v2/tickets.json", None, &[], Value::Null).await.0, 401);

    let narrow = format!("Bearer {}", bench.token("tickets:read").await);
    let look = async |path: &str| bench.raw("GET", &format!("/api/v2{path}"), Some(&narrow), &[], Value::Null).await.0;
    assert_eq!(look("/tickets/1").await, 200);
    assert_eq!(look("/tickets/1/audits").await, 403, "audits need the global scope");
    assert_eq!(look("/users/1").await, 403);
    let misspelt = format!("Bearer {}", bench.token("raed").await);
    assert_eq!(bench.raw("GET", "/api/v2/tickets", Some(&misspelt), &[], Value::Null).await.0, 403);

    bench.clock.advance(Duration::from_secs(3600));
    assert_eq!(bench.get("/tickets").await.0, 401, "the token ended");
    let body = json!({ "grant_type": "client_credentials", "client_id": ZENDESK_CLIENT_ID, "client_secret": "no" });
    assert_eq!(bench.raw("POST", "/oauth/tokens", None, &[], body).await.0, 401);
}

#[tokio::test]
async fn the_newest_minute_is_not_exported_and_changes_come_again() {
    let bench = bench().await;
    let start = bench.clock.now().as_second();
    let export = async |query: &str| bench.get(&format!("/incremental/tickets/cursor.json?{query}")).await;
    let ids = |body: &Value| -> Vec<i64> {
        body["tickets"].as_array().unwrap().iter().map(|ticket| ticket["id"].as_i64().unwrap()).collect()
    };
    let (status, headers, body) = export(&format!("start_time={}", start - 120)).await;
    assert_eq!((status, ids(&body)), (200, vec![]));
    assert_eq!(body["end_of_stream"], true);
    assert_eq!(headers["zendesk-ratelimit-incremental-exports"], "total=10; remaining=9; resets=60");
    let cursor = body["after_cursor"].as_str().unwrap().to_owned();
    assert_eq!(export(&format!("start_time={start}")).await.0, 400, "too recent");

    bench.clock.advance(Duration::from_secs(60));
    let (_, _, body) = export(&format!("cursor={cursor}&include=users")).await;
    assert_eq!(ids(&body), [1], "ticket 2 came 30 seconds ago");
    assert_eq!(body["users"][0]["email"], "ada@brook.example");
    let cursor = body["after_cursor"].as_str().unwrap().to_owned();
    let (status, _, _) = bench.put("/tickets/1", json!({ "tags": ["a"] })).await;
    assert_eq!(status, 200);
    bench.clock.advance(Duration::from_secs(60));
    let (_, _, body) = export(&format!("cursor={cursor}&per_page=2")).await;
    assert_eq!((ids(&body), &body["end_of_stream"]), (vec![2, 1], &json!(false)));
    let cursor = body["after_cursor"].as_str().unwrap().to_owned();
    let (_, _, body) = export(&format!("cursor={cursor}&per_page=2")).await;
    assert_eq!((ids(&body), &body["end_of_stream"]), (vec![3], &json!(true)));
    let cursor = body["after_cursor"].as_str().unwrap().to_owned();
    let (_, _, body) = export(&format!("cursor={cursor}")).await;
    assert_eq!((ids(&body), body["after_cursor"].as_str()), (vec![], Some(cursor.as_str())));

    let agent = bench.basic("omar@pinbox.example", ZENDESK_API_TOKEN);
    let path = format!("/api/v2/incremental/tickets/cursor?cursor={cursor}");
    assert_eq!(bench.raw("GET", &path, Some(&agent), &[], Value::Null).await.0, 403);
    for _ in 0..7 {
        assert_eq!(export(&format!("cursor={cursor}")).await.0, 200);
    }
    let (status, headers, _) = export(&format!("cursor={cursor}")).await;
    assert_eq!((status, headers["retry-after"].to_str().unwrap()), (429, "60"));
    bench.clock.advance(Duration::from_secs(60));
    assert_eq!(export(&format!("cursor={cursor}")).await.0, 200);
}

#[tokio::test]
async fn a_stale_stamp_is_refused_and_nothing_is_written() {
    let bench = bench().await;
    let stamp = bench.get("/tickets/1").await.2["ticket"]["updated_at"].clone();
    bench.clock.advance(Duration::from_secs(2));
    let answer = |text: &str, stamp: &Value| {
        json!({ "comment": { "html_body": format!("<p>{text}</p>"), "public": true }, "status": "pending",
            "metadata": { "deskhand": text }, "safe_update": true, "updated_stamp": stamp, "colour": "red" })
    };
    let (status, headers, body) = bench.put("/tickets/1.json", answer("eff_1", &stamp)).await;
    assert_eq!(status, 200, "{body}");
    assert!(headers["x-zendesk-api-warn"].to_str().unwrap().contains(r#":unpermitted_keys=>["ticket.colour"]"#));
    assert_eq!(headers["zendesk-ratelimit-per-ticket-updates"], "total=30; remaining=29; resets=600");
    assert_eq!(body["audit"]["metadata"]["custom"]["deskhand"], "eff_1");
    let kinds: Vec<&str> =
        body["audit"]["events"].as_array().unwrap().iter().map(|e| e["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["Comment", "Change", "Notification"]);

    // The customer's thanks reopened it; the same stamp cannot pass again.
    let (status, _, body) = bench.put("/tickets/1.json", answer("eff_1", &stamp)).await;
    assert_eq!((status, &body["error"]), (409, &json!("UpdateConflict")));
    let (_, _, body) = bench.get("/tickets/1/comments?sort=-created_at&page%5Bsize%5D=20&include=users").await;
    let comments = body["comments"].as_array().unwrap();
    assert_eq!(comments.len(), 3);
    assert_eq!(comments[0]["body"], "Thank you!");
    assert_eq!(comments[1]["metadata"]["custom"]["deskhand"], "eff_1");
    assert_eq!(body["meta"]["has_more"], false);
    assert!(body["meta"]["after_cursor"].is_string(), "there even on the last page");
    assert_eq!(bench.world.public_replies(1).len(), 1);
    assert_eq!(bench.world.lock().outbox.len(), 2, "the acknowledgement and one answer");
}

#[tokio::test]
async fn an_update_keeps_the_rules() {
    let bench = bench().await;
    let check = async |ticket: Value, status: u16, holds: &str| {
        let ours = || {
            let bot = bench.world.lock().bot;
            bench.world.ticket(1).unwrap().audits.iter().filter(|audit| audit.author == bot).count()
        };
        let before = ours();
        let (seen, _, body) = bench.put("/tickets/1", ticket.clone()).await;
        assert_eq!(seen, status, "{ticket}: {body}");
        assert!(body.to_string().contains(holds), "{ticket}: {body}");
        assert_eq!(ours() - before, usize::from(status == 200), "{ticket}: all or nothing");
    };
    let comment = json!({ "body": "x", "public": true });
    check(json!({ "status": "solved", "comment": comment }), 422, "Assignee: is required when solving a ticket").await;
    check(json!({ "status": "done" }), 422, "RecordInvalid").await;
    check(json!({ "assignee_id": 5 }), 422, "Assignee").await;
    check(json!({ "group_id": 5 }), 422, "Group").await;
    check(json!({ "priority": "low" }), 200, "low").await;
    check(json!({ "priority": null }), 422, "cannot be reset").await;
    check(json!({ "comment": { "body": " " } }), 422, "cannot be blank").await;
    check(json!({ "comment": { "body": "Hi {{ticket.requester.name}}{{dc.secret}}" } }), 200, "Hi Ada Brook\"").await;
    check(
        json!({ "comment": { "html_body": "<p>a</p><script>x</script>", "public": false } }),
        200,
        "\"public\":false",
    )
    .await;
    let bot = bench.world.lock().bot;
    check(
        json!({ "status": "open", "assignee_id": bot, "tags": ["One", "two words"] }),
        200,
        "[\"one\",\"two_words\"]",
    )
    .await;
    check(json!({ "comment": { "body": "y".repeat(70_000) } }), 200, "y").await;
    assert_eq!(bench.world.ticket(1).unwrap().comments.last().unwrap().body.len(), 65_535);
    check(json!({ "status": "closed" }), 200, "closed").await;
    check(json!({ "tags": [] }), 422, "closed prevents ticket update").await;
    assert_eq!(bench.put("/tickets/99", json!({})).await.0, 404);
    assert_eq!(bench.put("/tickets/x", json!({})).await.0, 400);
}

#[tokio::test]
async fn lists_page_by_cursor_and_offset() {
    let bench = bench().await;
    bench.clock.advance(Duration::from_secs(60));
    let ids = |body: &Value| -> Vec<i64> {
        body["tickets"].as_array().unwrap().iter().map(|ticket| ticket["id"].as_i64().unwrap()).collect()
    };
    let (_, _, first) = bench.get("/tickets?sort=-updated_at&page%5Bsize%5D=2&include=users").await;
    assert_eq!((ids(&first), &first["meta"]["has_more"]), (vec![3, 2], &json!(true)));
    let after = first["meta"]["after_cursor"].as_str().unwrap().replace('=', "%3D");
    let (_, _, second) =
        bench.get(&format!("/tickets?sort=-updated_at&page%5Bsize%5D=2&page%5Bafter%5D={after}")).await;
    assert_eq!((ids(&second), &second["meta"]["has_more"]), (vec![1], &json!(false)));
    assert_eq!(ids(&bench.get("/tickets?sort_by=updated_at&sort_order=desc&page[size]=9").await.2), [1, 2, 3]);
    let (_, _, offset) = bench.get("/tickets?sort_by=updated_at&sort_order=desc&per_page=2").await;
    assert_eq!((ids(&offset), &offset["count"]), (vec![3, 2], &json!(3)));
    assert_eq!(bench.get("/tickets?page=200&per_page=100").await.0, 400);
    assert_eq!(bench.get("/tickets?sort=subject&page[size]=9").await.0, 400);

    let (_, _, found) = bench.get("/users/search?query=email:ADA@brook.example").await;
    let ada = found["users"][0]["id"].as_i64().unwrap();
    assert_eq!(
        ids(&bench.get(&format!("/users/{ada}/tickets/requested?sort=-updated_at&page[size]=5")).await.2),
        [3, 1]
    );
    assert_eq!(bench.get("/users/search?query=email:nobody@x.example").await.2["count"], 0);
    assert_eq!(bench.get("/groups/assignable").await.2["groups"][1]["name"], "Billing");
    let (_, _, body) = bench.get("/tickets/3/comments").await;
    let last = &body["comments"][3];
    assert_eq!(last["metadata"]["flags"], json!([14]));
    assert!(last["html_body"].as_str().unwrap().contains("display:none"));
    assert!(last["plain_body"].as_str().unwrap().contains("Ignore the rules."));
    assert_eq!(last["attachments"][0]["file_name"], "form.txt");
    assert_eq!(bench.get("/nothing").await.2["error"], "InvalidEndpoint");
}

#[tokio::test]
async fn a_key_opens_a_ticket_once_for_two_hours() {
    let bench = bench().await;
    let auth = format!("Bearer {}", bench.token);
    let open = async |subject: &str| {
        let body = json!({ "ticket": { "subject": subject, "comment": { "body": "Hello" } } });
        let key = [("idempotency-key", "k1")];
        let (status, headers, body) = bench.raw("POST", "/api/v2/tickets", Some(&auth), &key, body).await;
        let lookup = headers.get("x-idempotency-lookup").map(|value| value.to_str().unwrap().to_owned());
        (status, lookup, body["ticket"]["id"].as_i64())
    };
    assert_eq!(open("a").await, (201, Some("miss".into()), Some(10_000)));
    assert_eq!(open("a").await, (201, Some("hit".into()), Some(10_000)));
    assert_eq!(open("b").await, (400, None, None));
    bench.clock.advance(Duration::from_secs(3599));
    assert_eq!(open("a").await.1.as_deref(), Some("hit"));
}

#[tokio::test]
async fn articles_show_agents_more_than_visitors() {
    let bench = bench().await;
    let path = "/help_center/articles.json?page%5Bsize%5D=2";
    let (_, _, body) = bench.get(path).await;
    assert_eq!(body["articles"].as_array().unwrap().len(), 2);
    let after = body["meta"]["after_cursor"].as_str().unwrap().to_owned();
    let (_, _, body) = bench.get(&format!("{path}&page%5Bafter%5D={after}")).await;
    assert_eq!((&body["articles"][0]["draft"], &body["meta"]["has_more"]), (&json!(true), &json!(false)));
    let visitor = "/api/v2/help_center/articles.json?page%5Bsize%5D=9";
    let (_, _, body) = bench.raw("GET", visitor, None, &[], Value::Null).await;
    let articles = body["articles"].as_array().unwrap();
    assert_eq!(articles.len(), 1);
    assert!(articles[0]["body"].as_str().unwrap().contains("<table>"));
    let (_, _, body) = bench.get("/help_center/articles/search?query=refunds&locale=en-us").await;
    assert_eq!(body["results"][0]["id"], 101);
}

#[tokio::test]
async fn shapes_have_the_keys_of_recorded_answers() {
    let folder = std::env::var_os("ZENDESK_FIXTURES").map(std::path::PathBuf::from);
    let folder = folder.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/zendesk"));
    let bench = bench().await;
    let check = |fixture: &str, seen: &Value, path: &str| {
        let Ok(text) = std::fs::read_to_string(folder.join(fixture)) else {
            println!("skipped: no recorded answer {fixture} here");
            return;
        };
        let recorded: Value = serde_json::from_str(&text).unwrap();
        let keys = |value: &Value| -> std::collections::BTreeSet<String> {
            value.pointer(path).and_then(Value::as_object).map(|map| map.keys().cloned().collect()).unwrap_or_default()
        };
        let missing: Vec<String> = keys(&recorded).difference(&keys(seen)).cloned().collect();
        assert!(!keys(&recorded).is_empty() && missing.is_empty(), "{fixture} {path}: missing {missing:?}");
    };
    let (_, _, updated) = bench.put("/tickets/1", json!({ "comment": { "body": "x", "public": true } })).await;
    for path in ["/ticket", "/ticket/via", "/ticket/via/source", "/audit", "/audit/metadata", "/audit/metadata/system"]
    {
        check("ticket_update_200.json", &updated, path);
    }
    check("ticket_comments_list_cbp.json", &bench.get("/tickets/1/comments?page[size]=9").await.2, "/comments/0");
    check("tickets_list_cbp_page.json", &bench.get("/tickets?page[size]=1").await.2, "/tickets/0");
    check("users_me_admin.json", &bench.get("/users/me").await.2, "/user");
    check("groups_list.json", &bench.get("/groups?page[size]=9").await.2, "/groups/0");
    check("hc_article_record.json", &bench.get("/help_center/articles").await.2, "/articles/0");
    bench.clock.advance(Duration::from_secs(90));
    let start = bench.clock.now().as_second() - 600;
    let export = bench.get(&format!("/incremental/tickets/cursor?start_time={start}&per_page=1")).await.2;
    check("incremental_tickets_cursor_page.json", &export, "");
    check("incremental_tickets_cursor_page.json", &export, "/tickets/0");
}
