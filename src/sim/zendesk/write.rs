//! Changing and opening tickets: one audit per call, all or nothing.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::read::id_of;
use super::{Answer, Call, Outcome, shape};
use crate::sim::world::{Event, Guard, NewComment, NewTicket, SimTicket, State, TicketUpdate, stable_id, text};
use crate::sim::world_file::TicketStatus;

/// A body is cut here without a word, in bytes.
const COMMENT_MAX_BYTES: usize = 65_535;
/// The most comments of a ticket.
const COMMENTS_MAX: usize = 5000;
/// How long a key of `POST /tickets` lives, in seconds.
const KEY_LIFE_S: i64 = 2 * 3600;

/// Keys of a ticket that an update takes.
const KEYS: &[&str] = &[
    "comment",
    "status",
    "assignee_id",
    "assignee_email",
    "group_id",
    "priority",
    "type",
    "subject",
    "tags",
    "custom_fields",
    "due_at",
    "external_id",
    "requester_id",
    "organization_id",
    "problem_id",
    "collaborator_ids",
    "email_ccs",
    "followers",
    "attribute_value_ids",
    "custom_status_id",
    "metadata",
    "safe_update",
    "updated_stamp",
    "macro_ids",
    "additional_collaborators",
];
/// Keys that only a new ticket takes as well.
const CREATE_KEYS: &[&str] =
    &["requester", "submitter_id", "via_followup_source_id", "description", "recipient", "ticket_form_id", "brand_id"];
const COMMENT_KEYS: &[&str] = &["body", "html_body", "plain_body", "public", "author_id", "uploads"];

/// What `x-zendesk-api-warn` says of keys that were dropped; `None` when there were none.
fn warning(ticket: &Map<String, Value>, action: &str, known: impl Fn(&str) -> bool) -> Option<String> {
    let mut dropped: Vec<String> =
        ticket.keys().filter(|key| !known(key)).map(|key| format!("\"ticket.{key}\"")).collect();
    if let Some(Value::Object(comment)) = ticket.get("comment") {
        let odd = comment.keys().filter(|key| !COMMENT_KEYS.contains(&key.as_str()));
        dropped.extend(odd.map(|key| format!("\"ticket.comment.{key}\"")));
    }
    (!dropped.is_empty()).then(|| {
        format!(
            "{{:allowed_parameters=>{{:controller=>\"tickets\", :action=>\"{action}\", :unpermitted_keys=>[{}], :invalid_values=>[]}}}}",
            dropped.join(", ")
        )
    })
}

fn ticket_object(call: &Call<'_>) -> Result<Map<String, Value>, Answer> {
    match call.json()?.remove("ticket") {
        Some(Value::Object(ticket)) => Ok(ticket),
        _ => Err(Answer::bad_request("Unprocessable", "the body has no object `ticket`")),
    }
}

/// `PUT /tickets/{id}`.
pub(super) fn update(call: &Call<'_>, id: &str) -> Outcome {
    let caller = call.allow("tickets", true)?;
    let id = id_of(id)?;
    let body = ticket_object(call)?;
    let warn = warning(&body, "update", |key| KEYS.contains(&key));
    let mut world = call.desk.world.lock();
    let Some(ticket) = world.tickets.get(&id) else {
        let answer = Answer::not_found();
        return Err(match warn {
            Some(warn) => answer.with("x-zendesk-api-warn", warn),
            None => answer,
        });
    };
    let buckets = call.desk.buckets.take_update(caller.user, id, world.now())?;
    let client = call.header("user-agent").unwrap_or_default();
    let update = checked(&world, ticket, &body, caller.user, client);
    let mut answer = match update {
        Ok(update) => {
            world.apply(Event::TicketUpdated { ticket: id, update });
            updated(&world, id)?
        }
        Err(refusal) => refusal,
    };
    answer.headers.extend(buckets);
    Ok(match warn {
        Some(warn) => answer.with("x-zendesk-api-warn", warn),
        None => answer,
    })
}

/// The ticket and its newest audit.
fn updated(world: &Guard<'_>, id: i64) -> Outcome {
    let ticket = world.tickets.get(&id).ok_or_else(Answer::not_found)?;
    let audit = ticket.audits.last().map(|audit| shape::audit(world, ticket, audit));
    Ok(Answer::ok(json!({ "ticket": shape::ticket(world, ticket), "audit": audit })))
}

/// Every rule of an update, before anything is changed.
fn checked(
    world: &State,
    ticket: &SimTicket,
    body: &Map<String, Value>,
    user: i64,
    client: &str,
) -> Result<TicketUpdate, Answer> {
    if ticket.status == TicketStatus::Closed {
        return Err(Answer::invalid("status", "Status: closed prevents ticket update"));
    }
    collision(ticket, body)?;
    let mut update =
        TicketUpdate { author: user, client: client.to_owned(), channel: "api".into(), ..Default::default() };
    if let Some(comment) = body.get("comment") {
        let inherited = ticket.comments.first().is_none_or(|first| first.public);
        update.comment = Some(comment_of(world, Some(ticket), comment, inherited, user)?);
    }
    if ticket.comments.len() >= COMMENTS_MAX && update.comment.is_some() {
        return Err(Answer::invalid("base", "Ticket: has too many comments"));
    }
    fields(world, body, &mut update)?;
    if let Some(status) = &update.status {
        if status == "new" && ticket.status != TicketStatus::New {
            return Err(Answer::invalid("status", "Status: cannot be set back to new"));
        }
        let assignee = update.assignee.unwrap_or(ticket.assignee);
        if status == "solved" && assignee.is_none() {
            let row = json!([{
                "description": "Assignee: is required when solving a ticket", "error": null,
                "ticket_field_id": stable_id("field", "assignee"), "ticket_field_type": "FieldAssignee",
            }]);
            return Err(Answer::invalid_rows("base", row));
        }
    }
    if body.get("priority").is_some_and(Value::is_null) && ticket.priority.is_some() {
        return Err(Answer::invalid("priority", "Priority: cannot be reset"));
    }
    Ok(update)
}

/// `safe_update` with any value compares the stamp; without a stamp it does nothing.
fn collision(ticket: &SimTicket, body: &Map<String, Value>) -> Result<(), Answer> {
    let (Some(_), Some(stamp)) = (body.get("safe_update"), body.get("updated_stamp").filter(|s| !s.is_null())) else {
        return Ok(());
    };
    let given = stamp.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    match given {
        Some(given) if given.as_second() == ticket.updated.as_second() => Ok(()),
        Some(_) => {
            let description = "Safe Update prevented the update due to outdated ticket data. Please fetch the latest ticket data and try again.";
            Err(Answer::new(409, json!({ "error": "UpdateConflict", "description": description })))
        }
        None => Err(Answer::bad_attribute("updated_stamp must be a time such as 2026-11-22T10:00:07Z")),
    }
}

/// Fields that updates and new tickets share.
fn fields(world: &State, body: &Map<String, Value>, update: &mut TicketUpdate) -> Result<(), Answer> {
    let word = |key: &str, allowed: &[&str]| match body.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if allowed.contains(&text.as_str()) => Ok(Some(text.clone())),
        Some(other) => Err(Answer::invalid(key, format!("{key}: {other} is not included in the list"))),
    };
    update.status = word("status", &["new", "open", "pending", "hold", "solved", "closed"])?;
    update.priority = word("priority", &["low", "normal", "high", "urgent"])?;
    update.kind = word("type", &["problem", "incident", "question", "task"])?;
    let number = |key: &str| match body.get(key) {
        None => Ok(None),
        Some(Value::Null) => Ok(Some(None)),
        Some(value) => match value.as_i64().or_else(|| value.as_str()?.parse().ok()) {
            Some(id) => Ok(Some(Some(id))),
            None => Err(Answer::invalid(key, format!("{key}: {value} is invalid"))),
        },
    };
    update.assignee = number("assignee_id")?;
    if let Some(Some(id)) = update.assignee.filter(|id| id.is_some_and(|id| !world.is_staff(id))) {
        return Err(Answer::invalid("assignee", format!("Assignee: {id} is invalid")));
    }
    if let Some(email) = body.get("assignee_email").and_then(Value::as_str) {
        let staff = world.user_at(email).filter(|user| user.is_staff());
        update.assignee = Some(Some(staff.ok_or_else(|| Answer::invalid("assignee", "Assignee: is invalid"))?.id));
    }
    update.group = number("group_id")?;
    if let Some(Some(id)) = update.group
        && !world.groups.iter().any(|(known, _)| *known == id)
    {
        return Err(Answer::invalid("group", format!("Group: {id} is invalid")));
    }
    if let Some(subject) = body.get("subject").filter(|value| !value.is_null()) {
        let subject = subject.as_str().ok_or_else(|| Answer::invalid("subject", "Subject: is invalid"))?;
        update.subject = Some(subject.to_owned());
    }
    update.external_id = body.get("external_id").and_then(Value::as_str).map(str::to_owned);
    update.tags = body.get("tags").filter(|value| !value.is_null()).map(tag_list).transpose()?;
    update.custom_fields = custom_fields(body)?;
    update.custom = match body.get("metadata") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(map)) => map.clone(),
        Some(_) => return Err(Answer::bad_attribute("metadata must be an object")),
    };
    Ok(())
}

/// A list of tags, or one text with spaces or commas.
fn tag_list(value: &Value) -> Result<Vec<String>, Answer> {
    match value {
        Value::Array(all) => {
            let text = |one: &Value| one.as_str().map(str::to_owned);
            all.iter().map(text).collect::<Option<_>>().ok_or_else(|| Answer::bad_attribute("tags must be texts"))
        }
        Value::String(text) => Ok(text.split([',', ' ']).map(str::to_owned).collect()),
        _ => Err(Answer::bad_attribute("tags must be a list")),
    }
}

fn custom_fields(body: &Map<String, Value>) -> Result<BTreeMap<i64, Value>, Answer> {
    let mut out = BTreeMap::new();
    let fields = body.get("custom_fields").and_then(Value::as_array).into_iter().flatten();
    for field in fields {
        let id = field.get("id").and_then(Value::as_i64);
        let id = id.ok_or_else(|| Answer::bad_attribute("custom_fields must hold objects with id and value"))?;
        out.insert(id, field.get("value").cloned().unwrap_or(Value::Null));
    }
    Ok(out)
}

/// A comment to write: `html_body` wins over `body`; placeholders are filled in, long texts are cut.
fn comment_of(
    world: &State,
    ticket: Option<&SimTicket>,
    value: &Value,
    inherited_public: bool,
    user: i64,
) -> Result<NewComment, Answer> {
    let blank = || Answer::invalid("comment", "Comment: cannot be blank");
    let comment = match value {
        Value::Object(map) => map.clone(),
        Value::String(text) => Map::from_iter([("body".to_owned(), json!(text))]),
        _ => return Err(blank()),
    };
    let get = |key: &str| comment.get(key).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
    let author = match comment.get("author_id").filter(|id| !id.is_null()) {
        None => user,
        Some(id) => {
            let known = id.as_i64().filter(|id| world.users.contains_key(id));
            known.ok_or_else(|| Answer::invalid("author", "Author: is invalid"))?
        }
    };
    let public = match comment.get("public") {
        None | Some(Value::Null) => inherited_public,
        Some(Value::Bool(public)) => *public,
        Some(_) => return Err(Answer::bad_attribute("comment.public must be true or false")),
    };
    let fill = |text: &str| if world.is_staff(author) { filled(world, ticket, author, text) } else { text.to_owned() };
    let (mut body, mut html) = match (get("html_body"), get("body")) {
        (Some(html), _) => {
            let html = ammonia::clean(&fill(html));
            (text::to_plain(&html), html)
        }
        (None, Some(body)) => {
            let body = collapsed(&text::to_plain_keep_lines(&fill(body)));
            let html = if world.is_staff(author) { shape::markdown_comment(&body) } else { text::to_html(&body) };
            (body, ammonia::clean(&html))
        }
        (None, None) => return Err(blank()),
    };
    text::cut(&mut body, COMMENT_MAX_BYTES);
    text::cut(&mut html, COMMENT_MAX_BYTES);
    let flags = if author == user { Vec::new() } else { vec![11] };
    Ok(NewComment { author, public, body, html, flags })
}

/// Runs of spaces become one, runs of empty lines too.
fn collapsed(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.replace("\r\n", "\n").chars() {
        let same = matches!(c, ' ' | '\n') && out.ends_with(c);
        let third = c == '\n' && out.ends_with("\n\n");
        if (same && c == ' ') || third {
            continue;
        }
        out.push(c);
    }
    out.trim().to_owned()
}

/// Placeholders of an agent's comment are filled in; unknown ones vanish.
fn filled(world: &State, ticket: Option<&SimTicket>, author: i64, text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        out.push_str(&rest[..start]);
        let Some(length) = rest[start + 2..].find("}}") else {
            rest = &rest[start..];
            break;
        };
        let name = rest[start + 2..start + 2 + length].trim();
        let requester = ticket.and_then(|ticket| world.users.get(&ticket.requester));
        let full = requester.map(|user| user.name.clone()).unwrap_or_default();
        let value = match name {
            "ticket.id" => ticket.map(|ticket| ticket.id.to_string()),
            "ticket.title" => ticket.map(|ticket| ticket.subject.clone()),
            "ticket.status" => ticket.map(|ticket| ticket.status.to_string()),
            "ticket.description" => ticket.and_then(|t| t.comments.first()).map(|comment| comment.body.clone()),
            "ticket.requester.name" => Some(full),
            "ticket.requester.first_name" => full.split(' ').next().map(str::to_owned),
            "ticket.requester.email" => requester.and_then(|user| user.email()).map(str::to_owned),
            "current_user.name" => world.users.get(&author).map(|user| user.name.clone()),
            _ => None,
        };
        out.push_str(&value.unwrap_or_default());
        rest = &rest[start + 2 + length + 2..];
    }
    out.push_str(rest);
    out
}

/// `POST /tickets`, with the semantics of `Idempotency-Key`.
pub(super) fn create(call: &Call<'_>) -> Outcome {
    let caller = call.allow("tickets", true)?;
    let body = ticket_object(call)?;
    let warn = warning(&body, "create", |key| KEYS.contains(&key) || CREATE_KEYS.contains(&key));
    let mut world = call.desk.world.lock();
    let key = call.header("idempotency-key").map(str::to_owned);
    if key.as_ref().is_some_and(|key| key.len() > 255 || key.is_empty()) {
        return Err(Answer::bad_request("IdempotentRequestError", "The idempotency key must have 1 to 255 characters"));
    }
    let fingerprint: String = Sha256::digest(call.body).iter().map(|byte| format!("{byte:02x}")).collect();
    if let Some(key) = &key
        && let Some(stored) = world.stored_key("zendesk", key)
        && world.now().as_second() - stored.at.as_second() < KEY_LIFE_S
    {
        if stored.fingerprint != fingerprint {
            let description = "Request parameters don't match the given idempotency key";
            return Err(Answer::bad_request("IdempotentRequestError", description));
        }
        return Ok(Answer::new(stored.status, stored.body.clone()).with("x-idempotency-lookup", "hit"));
    }
    let mut ticket = new_ticket(&world, &body, caller.user)?;
    ticket.client = call.header("user-agent").unwrap_or_default().to_owned();
    let id = world.next_ticket();
    world.apply(Event::TicketCreated { ticket });
    let mut answer = updated(&world, id)?;
    answer.status = 201;
    answer.headers.push(("location", format!("{}/api/v2/tickets/{id}.json", shape::HOST)));
    if let Some(key) = key {
        let body = answer.body.clone();
        world.apply(Event::KeyStored { vendor: "zendesk".into(), key, fingerprint, status: 201, body });
        answer.headers.push(("x-idempotency-lookup", "miss".to_owned()));
    }
    Ok(match warn {
        Some(warn) => answer.with("x-zendesk-api-warn", warn),
        None => answer,
    })
}

fn new_ticket(world: &State, body: &Map<String, Value>, user: i64) -> Result<NewTicket, Answer> {
    let source = match body.get("via_followup_source_id").filter(|id| !id.is_null()) {
        None => None,
        Some(id) => {
            let source = id.as_i64().and_then(|id| world.tickets.get(&id)).ok_or_else(Answer::not_found)?;
            if source.status != TicketStatus::Closed {
                return Err(Answer::invalid("base", "Followup: the source ticket is not closed"));
            }
            Some(source)
        }
    };
    let comment = body.get("comment").or_else(|| body.get("description"));
    let comment = comment.ok_or_else(|| Answer::invalid("base", "Description: cannot be blank"))?;
    let comment = comment_of(world, source, comment, true, user)?;
    let mut update = TicketUpdate::default();
    fields(world, body, &mut update)?;
    let requester = match body.get("requester_id").filter(|id| !id.is_null()) {
        Some(id) => id.as_i64().filter(|id| world.users.contains_key(id)),
        None => match body.get("requester").and_then(|requester| requester.get("email")).and_then(Value::as_str) {
            Some(email) => world.user_at(email).map(|user| user.id),
            None => Some(source.map_or(user, |source| source.requester)),
        },
    };
    let requester = requester.ok_or_else(|| Answer::invalid("requester", "Requester: is invalid"))?;
    let subject = update.subject.or_else(|| source.map(|source| source.subject.clone()));
    Ok(NewTicket {
        subject: subject.unwrap_or_else(|| comment.body.chars().take(60).collect()),
        requester,
        submitter: user,
        tags: update.tags.or_else(|| source.map(|source| source.tags.clone())).unwrap_or_default(),
        status: update.status,
        follows: source.map(|source| source.id),
        external_id: update.external_id,
        priority: update.priority,
        assignee: update.assignee.flatten(),
        group: update.group.flatten(),
        custom: update.custom,
        client: String::new(),
        comment,
    })
}

/// `GET`, `PUT` (adds), `POST` (sets) and `DELETE` (removes) of `/tickets/{id}/tags`: each change is one update.
pub(super) fn tags(call: &Call<'_>, id: &str) -> Outcome {
    let reads = call.method == axum::http::Method::GET;
    let caller = call.allow("tickets", !reads)?;
    let id = id_of(id)?;
    let mut world = call.desk.world.lock();
    let ticket = world.tickets.get(&id).ok_or_else(Answer::not_found)?;
    if reads {
        return Ok(Answer::ok(json!({ "tags": ticket.tags })));
    }
    let body = call.json()?;
    let given = tag_list(body.get("tags").unwrap_or(&Value::Null))?;
    let buckets = call.desk.buckets.take_update(caller.user, id, world.now())?;
    if ticket.status == TicketStatus::Closed {
        return Err(Answer::invalid("status", "Status: closed prevents ticket update"));
    }
    collision(ticket, &body)?;
    let mut tags = ticket.tags.clone();
    match call.method.as_str() {
        "PUT" => tags.extend(given),
        "POST" => tags = given,
        "DELETE" => tags.retain(|tag| !given.contains(tag)),
        _ => return Err(Answer::invalid_endpoint()),
    }
    let client = call.header("user-agent").unwrap_or_default().to_owned();
    let update =
        TicketUpdate { author: caller.user, tags: Some(tags), client, channel: "api".into(), ..Default::default() };
    world.apply(Event::TicketUpdated { ticket: id, update });
    let tags = world.tickets.get(&id).map(|ticket| ticket.tags.clone());
    let mut answer = Answer::ok(json!({ "tags": tags }));
    answer.headers.extend(buckets);
    Ok(answer)
}
