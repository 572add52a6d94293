//! Answers of real accounts, recorded by others, read through the real client. The recordings lie beside the project; where
//! they are absent the tests say so and pass.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse;
use deskhand::clients::Acting;
use deskhand::clients::zendesk::{Assignee, Auth, IncrementalFrom, Settings, TicketUpdate, Zendesk};
use deskhand::clock::Clock;
use deskhand::failure::FailureClass;
use deskhand::ids::{CommentId, IdempotencyKey, RunId, StepNo, TicketId, UserId};
use deskhand::ticket::TicketStatus;

fn recordings() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/fixtures/zendesk");
    if !folder.is_dir() {
        println!("skipped: the recorded answers are not at {}", folder.display());
        return None;
    }
    Some(folder)
}

/// A server that answers each path (without its query) with a status and a recording.
async fn client(folder: &Path, routes: &[(&str, u16, &str)]) -> Zendesk {
    let routes: BTreeMap<String, (u16, String)> = routes
        .iter()
        .map(|(path, status, file)| {
            let text = std::fs::read_to_string(folder.join(file)).expect("a recording");
            ((*path).to_owned(), (*status, text))
        })
        .collect();
    let routes = Arc::new(routes);
    let answer = move |uri: Uri| {
        let found = routes.get(uri.path()).cloned();
        async move {
            match found {
                Some((status, text)) => {
                    let status = StatusCode::from_u16(status).expect("a status");
                    (status, [("content-type", "application/json")], text).into_response()
                }
                None => (StatusCode::IM_A_TEAPOT, format!("no recording for {uri}")).into_response(),
            }
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    let auth = Auth::ApiToken { email: "agent@acme.example".to_owned(), token: "t".to_owned().into() };
    let clock = Clock::manual("2026-11-20T09:00:00Z".parse().expect("a time"));
    Zendesk::new(Settings::new(url, auth), clock).expect("a client")
}

#[tokio::test]
async fn recorded_reads_become_our_words() {
    let Some(folder) = recordings() else { return };
    let zendesk = client(
        &folder,
        &[
            ("/api/v2/users/me.json", 200, "users_me_admin.json"),
            ("/api/v2/tickets.json", 200, "tickets_list_cbp_page.json"),
            ("/api/v2/tickets/4017.json", 200, "ticket_show_200.json"),
            ("/api/v2/tickets/33/comments.json", 200, "ticket_comments_list_cbp.json"),
            ("/api/v2/incremental/tickets/cursor.json", 200, "incremental_tickets_cursor_end.json"),
            ("/api/v2/groups.json", 200, "groups_list.json"),
        ],
    )
    .await;
    let me = zendesk.me().await.expect("users/me");
    assert!(me.id.0 > 1_000_000_000_000 && me.role == "admin", "{me:?}");

    let head = zendesk.head(TicketId(4017)).await.expect("a ticket");
    assert_eq!(head.id, TicketId(4017));
    assert!(head.updated_at >= head.created_at);

    let page = zendesk.list_newest(None).await.expect("the list");
    assert!(!page.heads.is_empty());

    let messages = zendesk.messages(TicketId(33), UserId(26_155_588_908_179), UserId(1)).await.expect("comments");
    assert!(!messages.is_empty());
    assert!(messages.iter().all(|message| message.id > CommentId(0)), "{messages:?}");

    let export = zendesk.incremental(&IncrementalFrom::Cursor("x".to_owned())).await.expect("the export");
    assert!(export.end_of_stream && export.cursor.is_some() && !export.heads.is_empty());

    let groups = zendesk.groups().await.expect("groups");
    assert!(groups.iter().all(|group| group.id.0 > 0 && !group.name.is_empty()), "{groups:?}");
}

#[tokio::test]
async fn a_recorded_write_and_recorded_refusals_are_told_apart() {
    let Some(folder) = recordings() else { return };
    let routes = [
        ("/api/v2/tickets/4016.json", 200, "ticket_update_200.json"),
        ("/api/v2/tickets/1.json", 404, "ticket_update_404.json"),
        ("/api/v2/tickets/2.json", 422, "error_422_record_invalid_user_email.json"),
        ("/api/v2/tickets/3.json", 400, "error_400_too_many_values.json"),
    ];
    let zendesk = client(&folder, &routes).await;
    let acting = Acting::until(Clock::system(), i64::MAX);
    let update = |ticket: i64| TicketUpdate {
        ticket: TicketId(ticket),
        requester: UserId(1),
        comment: Some(("<p>Hello</p>".to_owned(), true)),
        status: Some(TicketStatus::Solved),
        assignee: Assignee::Keep,
        group: None,
        priority: None,
        tags: None,
        marker: IdempotencyKey::for_step(&RunId::for_trigger(TicketId(ticket), CommentId(1)), StepNo(1)),
        part: None,
        stamp: "2023-09-18T23:26:01Z".parse().expect("a time"),
    };
    let done = zendesk.update(&acting, &update(4016)).await.expect("the recorded write");
    assert!(done.audit.is_some_and(|audit| audit > 0), "{done:?}");
    for (ticket, status) in [(1, 404), (2, 422), (3, 400)] {
        let refused = zendesk.update(&acting, &update(ticket)).await.expect_err("a refusal");
        assert_eq!((refused.class(), refused.status()), (FailureClass::Refused, Some(status)), "{refused}");
    }
}
