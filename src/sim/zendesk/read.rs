//! Reading tickets, users and groups: lists with cursors and offsets, and the incremental export.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::shape::HOST;
use super::{Answer, Call, Outcome, auth, shape, unruly};
use crate::sim::world::{SimTicket, State, stable_id};
use crate::sim::world_file::TicketStatus;

/// What is younger than this is not exported yet, in seconds.
const BLIND_S: i64 = 60;
/// Closed tickets older than this are archived: readable by number, absent from lists.
const ARCHIVED_AFTER_S: i64 = 120 * 86_400;
/// Rows that offset pages reach.
const OFFSET_MAX: usize = 10_000;

pub(super) fn id_of(text: &str) -> Result<i64, Answer> {
    text.parse().map_err(|_| {
        Answer::bad_attribute(format!(
            "You passed an invalid value for the id attribute. Invalid parameter: id must be an integer, got {text}"
        ))
    })
}

/// Which part of a list is asked for.
enum Page {
    Cursor { size: usize, after: Option<String> },
    Offset { page: usize, per_page: usize },
}

fn page_of(call: &Call<'_>) -> Result<Page, Answer> {
    if call.query.contains_key("page[size]") || call.query.contains_key("page[after]") {
        let size = call.param("page[size]").map_or(Ok(100), str::parse::<usize>);
        let size = size.ok().filter(|size| (1..=100).contains(size));
        let size = size.ok_or_else(|| Answer::bad_attribute("page[size] must be a number from 1 to 100"))?;
        if call.query.contains_key("page[before]") {
            return Err(Answer::bad_attribute("page[before] is not simulated"));
        }
        return Ok(Page::Cursor { size, after: call.param("page[after]").map(str::to_owned) });
    }
    let number = |key: &str, default: usize| call.param(key).map_or(Ok(default), str::parse::<usize>);
    let page = number("page", 1).ok().filter(|page| *page >= 1);
    let per_page = number("per_page", 100).ok().filter(|size| *size >= 1).map(|size| size.min(100));
    match (page, per_page) {
        (Some(page), Some(per_page)) if page * per_page <= OFFSET_MAX => Ok(Page::Offset { page, per_page }),
        (Some(_), Some(_)) => {
            let title = "Invalid pagination depth";
            let detail = format!("Pagination deeper than {OFFSET_MAX} rows is not supported");
            let body = json!({ "errors": [{ "code": "InvalidPaginationDepth", "title": title, "detail": detail }] });
            Err(Answer::new(400, body))
        }
        _ => Err(Answer::bad_attribute("page and per_page must be numbers of at least 1")),
    }
}

/// One page of rows that are in order already. `key` names a row in a cursor; it must not repeat within the list.
fn list<T>(
    call: &Call<'_>,
    path: &str,
    name: &str,
    rows: Vec<T>,
    key: impl Fn(&T) -> String,
    shape: impl Fn(&T) -> Value,
) -> Result<(Map<String, Value>, Vec<T>), Answer> {
    let mut out = Map::new();
    match page_of(call)? {
        Page::Cursor { size, after } => {
            let from = match after {
                None => 0,
                Some(cursor) => {
                    let bad = || Answer::bad_attribute("page[after] is not valid");
                    let bytes = STANDARD.decode(cursor.as_bytes()).map_err(|_| bad())?;
                    let known = String::from_utf8(bytes).map_err(|_| bad())?;
                    let (place, known) = known.split_once('|').ok_or_else(bad)?;
                    // A row that moved or went leaves its place: rows before it are not shown again.
                    let place = place.parse::<usize>().map_err(|_| bad())?;
                    rows.iter().position(|row| key(row) == known).map_or(place, |index| index + 1)
                }
            };
            let total = rows.len();
            let picked: Vec<T> = rows.into_iter().skip(from).take(size).collect();
            let cursor =
                |index: usize, row: Option<&T>| row.map(|row| STANDARD.encode(format!("{}|{}", index, key(row))));
            let after = cursor(from + picked.len(), picked.last());
            let before = cursor(from, picked.first());
            out.insert(name.to_owned(), picked.iter().map(&shape).collect());
            let has_more = from + picked.len() < total;
            out.insert("meta".into(), json!({ "has_more": has_more, "after_cursor": after, "before_cursor": before }));
            let link = |which: &str, cursor: &Option<String>| {
                let encode = |text: &str| text.replace('=', "%3D").replace('+', "%2B").replace('/', "%2F");
                let one = |c: &String| {
                    format!("{HOST}/api/v2/{path}.json?page%5B{which}%5D={}&page%5Bsize%5D={size}", encode(c))
                };
                cursor.as_ref().map(one)
            };
            out.insert("links".into(), json!({ "prev": link("before", &before), "next": link("after", &after) }));
            Ok((out, picked))
        }
        Page::Offset { page, per_page } => {
            let total = rows.len();
            let picked: Vec<T> = rows.into_iter().skip((page - 1) * per_page).take(per_page).collect();
            out.insert(name.to_owned(), picked.iter().map(&shape).collect());
            let link = |page: usize| format!("{HOST}/api/v2/{path}.json?page={page}&per_page={per_page}");
            let next = (page * per_page < total).then(|| link(page + 1));
            out.insert("next_page".into(), json!(next));
            out.insert("previous_page".into(), json!((page > 1).then(|| link(page - 1))));
            out.insert("count".into(), json!(total));
            Ok((out, picked))
        }
    }
}

fn ticket_list(call: &Call<'_>, world: &State, path: &str, mut rows: Vec<&SimTicket>) -> Outcome {
    let cursor = matches!(page_of(call)?, Page::Cursor { .. });
    // With cursors only `sort` works; with offsets only `sort_by` and `sort_order` do.
    let (field, down) = if cursor {
        let sort = call.param("sort").unwrap_or("id");
        (sort.trim_start_matches('-').to_owned(), sort.starts_with('-'))
    } else {
        (call.param("sort_by").unwrap_or("id").to_owned(), call.param("sort_order") == Some("desc"))
    };
    match field.as_str() {
        "id" => rows.sort_by_key(|ticket| ticket.id),
        "updated_at" => rows.sort_by_key(|ticket| (ticket.updated, ticket.id)),
        "status" => rows.sort_by_key(|ticket| (ticket.status, ticket.id)),
        "created_at" if !cursor => rows.sort_by_key(|ticket| (ticket.created, ticket.id)),
        other => return Err(Answer::bad_attribute(format!("sort is not valid: {other}"))),
    }
    if down {
        rows.reverse();
    }
    let key = |ticket: &&SimTicket| format!("{} {}", ticket.id, ticket.updated);
    let (mut out, picked) = list(call, path, "tickets", rows, key, |ticket| shape::ticket(world, ticket))?;
    if call.includes("users") {
        let users = shape::users(world, picked.iter().flat_map(|ticket| shape::users_of(ticket)));
        out.insert("users".into(), users);
    }
    Ok(Answer::ok(Value::Object(out)))
}

pub(super) fn tickets(call: &Call<'_>) -> Outcome {
    call.allow("tickets", false)?;
    let world = call.desk.world.lock();
    let now = world.now().as_second();
    let archived = |ticket: &SimTicket| {
        ticket.status == TicketStatus::Closed && now - ticket.updated.as_second() > ARCHIVED_AFTER_S
    };
    let external = call.param("external_id");
    let rows = world
        .tickets
        .values()
        .filter(|ticket| !archived(ticket))
        .filter(|ticket| external.is_none() || ticket.external_id.as_deref() == external)
        .collect();
    ticket_list(call, &world, "tickets", rows).map(|answer| unruly::page(call, answer))
}

pub(super) fn requested(call: &Call<'_>, id: &str) -> Outcome {
    call.allow("tickets", false)?;
    let id = id_of(id)?;
    let world = call.desk.world.lock();
    if !world.users.contains_key(&id) {
        return Err(Answer::not_found());
    }
    let rows = world.tickets.values().filter(|ticket| ticket.requester == id).collect();
    ticket_list(call, &world, &format!("users/{id}/tickets/requested"), rows)
}

pub(super) fn show_many(call: &Call<'_>) -> Outcome {
    call.allow("tickets", false)?;
    let ids = ids_of(call)?;
    let world = call.desk.world.lock();
    let found: Vec<&SimTicket> = ids.iter().filter_map(|id| world.tickets.get(id)).collect();
    let tickets: Vec<Value> = found.iter().map(|ticket| shape::ticket(&world, ticket)).collect();
    let mut out = json!({ "tickets": tickets, "next_page": null, "previous_page": null, "count": found.len() });
    if call.includes("users") {
        out["users"] = shape::users(&world, found.iter().flat_map(|ticket| shape::users_of(ticket)));
    }
    Ok(Answer::ok(out))
}

fn ids_of(call: &Call<'_>) -> Result<Vec<i64>, Answer> {
    let ids: Result<Vec<i64>, Answer> = call
        .param("ids")
        .unwrap_or_default()
        .split(',')
        .filter(|id| !id.is_empty())
        .map(|id| id_of(id.trim()))
        .collect();
    let ids = ids?;
    if ids.len() > 100 {
        let description = "Parameter ids cannot specify more than 100 values";
        let body = json!({ "error": "TooManyValues", "description": description, "max_count": 100 });
        return Err(Answer::new(400, body));
    }
    Ok(ids)
}

pub(super) fn ticket(call: &Call<'_>, id: &str) -> Outcome {
    call.allow("tickets", false)?;
    let id = id_of(id)?;
    let world = call.desk.world.lock();
    let ticket = world.tickets.get(&id).ok_or_else(Answer::not_found)?;
    let mut out = json!({ "ticket": shape::ticket(&world, ticket) });
    if call.includes("users") {
        out["users"] = shape::users(&world, shape::users_of(ticket));
    }
    Ok(Answer::ok(out))
}

pub(super) fn comments(call: &Call<'_>, id: &str) -> Outcome {
    call.allow("tickets", false)?;
    let id = id_of(id)?;
    let world = call.desk.world.lock();
    let ticket = world.tickets.get(&id).ok_or_else(Answer::not_found)?;
    let mut rows: Vec<_> = ticket.comments.iter().collect();
    if newest_first(call)? {
        rows.reverse();
    }
    let shaped = |comment: &&_| shape::comment(&world, ticket, comment);
    let (mut out, picked) =
        list(call, &format!("tickets/{id}/comments"), "comments", rows, |row| row.id.to_string(), shaped)?;
    if call.includes("users") {
        out.insert("users".into(), shape::users(&world, picked.iter().map(|comment| comment.author)));
    }
    Ok(Answer::ok(Value::Object(out)))
}

/// Oldest first unless asked otherwise; cursors take `sort`, offsets `sort_order`.
fn newest_first(call: &Call<'_>) -> Result<bool, Answer> {
    if matches!(page_of(call)?, Page::Offset { .. }) {
        return Ok(call.param("sort_order") == Some("desc"));
    }
    match call.param("sort") {
        None | Some("created_at") => Ok(false),
        Some("-created_at") => Ok(true),
        Some(other) => Err(Answer::bad_attribute(format!("sort is not valid: {other}"))),
    }
}

pub(super) fn audits(call: &Call<'_>, id: &str) -> Outcome {
    // Audits need the global scope; `tickets:read` is refused.
    call.allow("", false)?;
    let id = id_of(id)?;
    let world = call.desk.world.lock();
    let ticket = world.tickets.get(&id).ok_or_else(Answer::not_found)?;
    let mut rows: Vec<_> = ticket.audits.iter().collect();
    if newest_first(call)? {
        rows.reverse();
    }
    let shaped = |audit: &&_| shape::audit(&world, ticket, audit);
    let (out, _) = list(call, &format!("tickets/{id}/audits"), "audits", rows, |row| row.id.to_string(), shaped)?;
    Ok(Answer::ok(Value::Object(out)))
}

pub(super) fn related(call: &Call<'_>, id: &str) -> Outcome {
    call.allow("tickets", false)?;
    let id = id_of(id)?;
    let world = call.desk.world.lock();
    let ticket = world.tickets.get(&id).ok_or_else(Answer::not_found)?;
    let sources: Vec<String> = ticket.follows.iter().map(i64::to_string).collect();
    let body = json!({ "topic_id": null, "jira_issue_ids": [], "followup_source_ids": sources, "from_archive": false,
        "incidents": 0, "url": format!("{HOST}/api/v2/tickets/{id}/related.json") });
    Ok(Answer::ok(json!({ "ticket_related": body })))
}

/// `GET /incremental/tickets/cursor`: ascending by (generated, id), without the newest minute.
pub(super) fn incremental(call: &Call<'_>) -> Outcome {
    let caller = call.allow("", false)?;
    auth::admin(&caller)?;
    let world = call.desk.world.lock();
    let bucket = call.desk.buckets.take_incremental(world.now())?;
    let now = world.exported(world.now()).as_second();
    let bad = |description: &str| Answer::bad_request("InvalidValue", description).with(bucket.0, bucket.1.clone());
    let per_page = call.param("per_page").map_or(Ok(1000), str::parse::<usize>).ok().filter(|n| (1..=1000).contains(n));
    let per_page = per_page.ok_or_else(|| bad("per_page must be a number from 1 to 1000"))?;
    let given = call.param("cursor");
    let (from, mut last) = match (given, call.param("start_time")) {
        (Some(cursor), _) => {
            let read = read_cursor(cursor).ok_or_else(|| bad("cursor is not valid"))?;
            (read, cursor.to_owned())
        }
        (None, Some(start)) => {
            let start: i64 = start.parse().map_err(|_| bad("start_time must be Unix seconds"))?;
            if start > now - BLIND_S {
                return Err(bad("Too recent start_time. Use a start_time older than 60 seconds"));
            }
            ((start, -1), write_cursor(start, 0))
        }
        (None, None) => return Err(bad("start_time or cursor is required")),
    };
    let generated = |ticket: &SimTicket| (ticket.generated.as_second(), ticket.id);
    let mut rows: Vec<&SimTicket> = world
        .tickets
        .values()
        .filter(|ticket| generated(ticket).0 <= now - BLIND_S && generated(ticket) > from)
        .collect();
    rows.sort_by_key(|ticket| generated(ticket));
    let end_of_stream = rows.len() <= per_page;
    rows.truncate(per_page);
    if let Some(ticket) = rows.last() {
        let (at, id) = generated(ticket);
        last = write_cursor(at, id);
    }
    let url = format!(
        "{HOST}/api/v2/incremental/tickets/cursor.json?cursor={}&per_page={per_page}",
        last.replace('=', "%3D")
    );
    let tickets: Vec<Value> = rows.iter().map(|ticket| shape::ticket(&world, ticket)).collect();
    let mut out = json!({
        "tickets": tickets, "after_url": url, "before_url": null, "after_cursor": last, "before_cursor": null,
        "end_of_stream": end_of_stream,
    });
    if call.includes("users") {
        out["users"] = shape::users(&world, rows.iter().flat_map(|ticket| shape::users_of(ticket)));
    }
    Ok(unruly::page(call, Answer::ok(out)).with(bucket.0, bucket.1))
}

/// The recorded form of a cursor: base64 of `{generated}.0||{id}|`.
pub(super) fn write_cursor(at: i64, id: i64) -> String {
    STANDARD.encode(format!("{at}.0||{id}|"))
}

fn read_cursor(cursor: &str) -> Option<(i64, i64)> {
    let text = String::from_utf8(STANDARD.decode(cursor).ok()?).ok()?;
    let (at, id) = text.strip_suffix('|')?.split_once(".0||")?;
    Some((at.parse().ok()?, id.parse().ok()?))
}

pub(super) fn user(call: &Call<'_>, id: &str) -> Outcome {
    call.allow("users", false)?;
    let id = id_of(id)?;
    let world = call.desk.world.lock();
    let user = world.users.get(&id).ok_or_else(Answer::not_found)?;
    let mut out = json!({ "user": shape::user(&world, user) });
    if call.includes("organizations") {
        let one = |name: &String| {
            json!({ "id": stable_id("organization", name), "name": name, "external_id": null, "domain_names": [],
                "details": null, "notes": null, "group_id": null, "tags": [], "organization_fields": {},
                "shared_tickets": false, "shared_comments": false })
        };
        out["organizations"] = user.organization.iter().map(one).collect();
    }
    Ok(Answer::ok(out))
}

pub(super) fn show_many_users(call: &Call<'_>) -> Outcome {
    call.allow("users", false)?;
    let ids = ids_of(call)?;
    let world = call.desk.world.lock();
    let users = shape::users(&world, ids);
    let count = users.as_array().map_or(0, Vec::len);
    Ok(Answer::ok(json!({ "users": users, "next_page": null, "previous_page": null, "count": count })))
}

pub(super) fn identities(call: &Call<'_>, id: &str) -> Outcome {
    call.allow("users", false)?;
    let id = id_of(id)?;
    let world = call.desk.world.lock();
    let user = world.users.get(&id).ok_or_else(Answer::not_found)?;
    let one = |(index, (address, verified)): (usize, &(String, bool))| {
        json!({
            "id": stable_id("identity", address), "user_id": id, "type": "email", "value": address,
            "verified": verified, "primary": index == 0, "created_at": shape::time(user.created),
            "updated_at": shape::time(user.created), "undeliverable_count": 0, "deliverable_state": "deliverable",
        })
    };
    let rows: Vec<Value> = user.addresses.iter().enumerate().map(one).collect();
    let count = rows.len();
    Ok(Answer::ok(json!({ "identities": rows, "next_page": null, "previous_page": null, "count": count })))
}

/// `query=email:…` or free words over name and addresses, or `external_id=`. Offset pages only.
pub(super) fn search_users(call: &Call<'_>) -> Outcome {
    call.allow("users", false)?;
    let world = call.desk.world.lock();
    let query = call.param("query").map(|query| query.trim().to_lowercase());
    let external = call.param("external_id");
    if query.as_deref().is_none_or(str::is_empty) && external.is_none() {
        return Err(Answer::bad_request("invalid", "query or external_id is required"));
    }
    let matches = |user: &&crate::sim::world::User| {
        if let Some(external) = external {
            return user.external_id.as_deref() == Some(external);
        }
        let query = query.as_deref().unwrap_or_default();
        let (word, in_name) = match query.strip_prefix("email:") {
            Some(word) => (word.trim_matches('"'), false),
            None => (query.trim_matches('"'), true),
        };
        // A part of an address is enough, as in the real index.
        user.addresses.iter().any(|(address, _)| address.to_lowercase().contains(word))
            || (in_name && user.name.to_lowercase().contains(word))
    };
    let rows: Vec<_> = world.users.values().filter(matches).collect();
    let (out, _) =
        list(call, "users/search", "users", rows, |user| user.id.to_string(), |user| shape::user(&world, user))?;
    Ok(Answer::ok(Value::Object(out)))
}

pub(super) fn groups(call: &Call<'_>) -> Outcome {
    call.allow("groups", false)?;
    let world = call.desk.world.lock();
    let first = world.groups.first().map(|(id, _)| *id);
    let rows: Vec<&(i64, String)> = world.groups.iter().collect();
    let shaped = |group: &&(i64, String)| shape::group(&world, group.0, &group.1, Some(group.0) == first);
    let (out, _) = list(call, "groups", "groups", rows, |group| group.0.to_string(), shaped)?;
    Ok(Answer::ok(Value::Object(out)))
}

/// The triggers of a new account that mail people outside.
pub(super) fn triggers(call: &Call<'_>) -> Outcome {
    call.allow("triggers", false)?;
    let world = call.desk.world.lock();
    let at = shape::time(world.files.now);
    let trigger = |(place, title, event): (usize, &str, &str)| {
        let id = stable_id("trigger", title);
        json!({
            "url": format!("{HOST}/api/v2/triggers/{id}.json"), "id": id, "title": title, "raw_title": title, "active": true,
            "updated_at": at, "created_at": at, "default": true, "description": null, "raw_description": null,
            "position": place, "category_id": "1",
            "actions": [{ "field": "notification_user", "value": ["requester_and_ccs", "{{ticket.title}}", "{{ticket.latest_public_comment_html}}"] }],
            "conditions": { "all": [
                { "field": "update_type", "operator": "is", "value": event },
                { "field": "comment_is_public", "operator": "is", "value": "true" },
            ], "any": [] },
        })
    };
    let all = [
        (1, "Notify requester and CCs of received request", "Create"),
        (2, "Notify requester and CCs of comment update", "Change"),
        (3, "Notify requester of new proactive ticket", "Create"),
    ];
    let rows: Vec<Value> = all.into_iter().map(trigger).collect();
    let count = rows.len();
    Ok(Answer::ok(json!({ "triggers": rows, "next_page": null, "previous_page": null, "count": count })))
}

pub(super) fn ticket_fields(call: &Call<'_>) -> Outcome {
    call.allow("tickets", false)?;
    let field = |(kind, title): &(&str, &str)| {
        json!({
            "id": stable_id("field", kind), "type": kind, "title": title, "raw_title": title, "active": true,
            "required": *kind == "assignee", "removable": false,
        })
    };
    let all = [
        ("subject", "Subject"),
        ("description", "Description"),
        ("status", "Status"),
        ("tickettype", "Type"),
        ("priority", "Priority"),
        ("group", "Group"),
        ("assignee", "Assignee"),
    ];
    let rows: Vec<Value> = all.iter().map(field).collect();
    let count = rows.len();
    Ok(Answer::ok(json!({ "ticket_fields": rows, "next_page": null, "previous_page": null, "count": count })))
}
