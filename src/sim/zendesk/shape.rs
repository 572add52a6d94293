//! The JSON of Zendesk's objects, as recorded answers show it.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::sim::world::{Audit, AuditEvent, Comment, SimTicket, State, User, stable_id, text};
use crate::sim::world_file::{Channel, TicketStatus};

/// The host in URLs inside bodies. It does not exist: a client builds its URLs from its own base.
pub(super) const HOST: &str = "https://simulated.zendesk.example";

/// Seconds and a `Z`, as Support writes times.
pub(super) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn via(channel: &str, from: Value, to: Value, rel: Option<&str>) -> Value {
    json!({ "channel": channel, "source": { "from": from, "to": to, "rel": rel } })
}

/// How a ticket or a comment of a user came in.
fn via_of(world: &State, channel: Channel, author: i64) -> Value {
    match channel {
        Channel::Email => {
            let shop = &world.files.shop;
            let user = world.users.get(&author);
            let address = user.and_then(User::email);
            let from = json!({
                "address": address, "name": user.map(|user| &user.name),
                "original_recipients": [address, shop.support_address],
            });
            via("email", from, json!({ "name": shop.name, "address": shop.support_address }), None)
        }
        other => via(other.as_str(), json!({}), json!({}), None),
    }
}

pub(super) fn ticket(world: &State, ticket: &SimTicket) -> Value {
    let requester = world.users.get(&ticket.requester);
    let first = ticket.comments.first();
    let organization = requester.and_then(|user| user.organization.as_deref());
    let fields: Vec<Value> =
        ticket.custom_fields.iter().map(|(id, value)| json!({ "id": id, "value": value })).collect();
    let mut source = via_of(world, ticket.channel, ticket.requester);
    if let Some(followed) = ticket.follows {
        source["source"]["from"]["ticket_id"] = json!(followed);
        source["source"]["from"]["subject"] = json!(world.tickets.get(&followed).map(|ticket| &ticket.subject));
        source["source"]["rel"] = json!("follow_up");
    }
    let recipient = (ticket.channel == Channel::Email).then_some(&world.files.shop.support_address);
    json!({
        "url": format!("{HOST}/api/v2/tickets/{}.json", ticket.id),
        "id": ticket.id,
        "external_id": ticket.external_id,
        "via": source,
        "created_at": time(ticket.created),
        "updated_at": time(ticket.updated),
        "generated_timestamp": ticket.generated.as_second(),
        "type": ticket.kind,
        "subject": ticket.subject,
        "raw_subject": ticket.subject,
        "description": first.map(|comment| &comment.body),
        "priority": ticket.priority,
        "status": ticket.status.as_str(),
        "recipient": recipient,
        "requester_id": ticket.requester,
        "submitter_id": ticket.submitter,
        "assignee_id": ticket.assignee,
        "organization_id": organization.map(|name| stable_id("organization", name)),
        "group_id": ticket.group,
        "collaborator_ids": ticket.ccs,
        "follower_ids": [],
        "email_cc_ids": ticket.ccs,
        "forum_topic_id": null,
        "problem_id": null,
        "has_incidents": false,
        "is_public": ticket.comments.iter().any(|comment| comment.public),
        "due_at": null,
        "tags": ticket.tags,
        "custom_fields": fields,
        "satisfaction_rating": null,
        "sharing_agreement_ids": [],
        "custom_status_id": status_id(ticket.status),
        "fields": fields,
        "followup_ids": ticket.followups,
        "ticket_form_id": stable_id("form", "default"),
        "brand_id": stable_id("brand", &world.files.shop.name),
        "allow_channelback": false,
        "allow_attachments": true,
        "from_messaging_channel": false,
    })
}

fn status_id(status: TicketStatus) -> i64 {
    stable_id("status", status.as_str())
}

fn body_fields(comment: &Comment) -> Map<String, Value> {
    let html = format!("<div class=\"zd-comment\" dir=\"auto\">{}</div>", comment.html);
    let attachments: Vec<Value> = comment
        .attachments
        .iter()
        .map(|(id, name, kind, text)| {
            let content = format!("{HOST}/attachments/token/simulated{id}/?name={name}");
            json!({
                "url": format!("{HOST}/api/v2/attachments/{id}.json"), "id": id, "file_name": name,
                "content_url": content, "mapped_content_url": content, "content_type": kind,
                "size": text.as_ref().map_or(0, String::len), "width": null, "height": null, "inline": false,
                "deleted": false, "malware_access_override": false, "malware_scan_result": "not_scanned",
                "thumbnails": [],
            })
        })
        .collect();
    let body = json!({
        "author_id": comment.author, "body": comment.body, "html_body": html, "plain_body": comment.body,
        "public": comment.public, "attachments": attachments, "audit_id": comment.audit,
    });
    match body {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn metadata(audit: &Audit) -> Value {
    let mut system = json!({
        "client": audit.client, "ip_address": "192.0.2.1", "location": "", "latitude": 0.0, "longitude": 0.0,
    });
    if !audit.headers.is_empty() {
        system["raw_email_headers"] = json!(audit.headers); // Ours alone: see the head of `zendesk.rs`.
    }
    let mut out = json!({ "system": system, "custom": audit.custom });
    if !audit.flags.is_empty() {
        let trusted = !audit.flags.iter().any(|flag| matches!(flag, 14 | 20 | 21 | 22));
        let options: Map<String, Value> =
            audit.flags.iter().map(|flag| (flag.to_string(), json!({ "trusted": trusted }))).collect();
        out["flags"] = json!(audit.flags);
        out["flags_options"] = Value::Object(options);
        out["trusted"] = json!(trusted);
    }
    out
}

pub(super) fn comment(world: &State, ticket: &SimTicket, comment: &Comment) -> Value {
    let mut out = Map::new();
    out.insert("id".into(), json!(comment.id));
    out.insert("type".into(), json!("Comment"));
    out.extend(body_fields(comment));
    out.insert("via".into(), via_of(world, comment.channel, comment.author));
    out.insert("created_at".into(), json!(time(comment.at)));
    let audit = ticket.audit_of(comment);
    out.insert("metadata".into(), audit.map_or(json!({ "system": {}, "custom": {} }), metadata));
    Value::Object(out)
}

pub(super) fn audit(world: &State, ticket: &SimTicket, audit: &Audit) -> Value {
    let events: Vec<Value> = audit.events.iter().filter_map(|(id, event)| event_of(ticket, *id, event)).collect();
    json!({
        "id": audit.id, "ticket_id": ticket.id, "created_at": time(audit.at), "author_id": audit.author,
        "metadata": metadata(audit), "events": events, "via": via_of(world, audit.channel, audit.author),
    })
}

fn event_of(ticket: &SimTicket, id: i64, event: &AuditEvent) -> Option<Value> {
    Some(match event {
        AuditEvent::Comment(comment) => {
            let comment = ticket.comments.iter().find(|one| one.id == *comment)?;
            let mut out = Map::new();
            out.insert("id".into(), json!(id));
            out.insert("type".into(), json!("Comment"));
            out.extend(body_fields(comment));
            Value::Object(out)
        }
        AuditEvent::Create(field, value) => json!({ "id": id, "type": "Create", "value": value, "field_name": field }),
        AuditEvent::Change(field, new, old) => {
            json!({ "id": id, "type": "Change", "value": new, "field_name": field, "previous_value": old })
        }
        AuditEvent::Notification { trigger, recipients } => {
            let from =
                json!({ "deleted": false, "title": trigger, "id": stable_id("trigger", trigger), "revision_id": 1 });
            json!({
                "id": id, "type": "Notification", "via": via("rule", from, json!({}), Some("trigger")),
                "subject": "{{ticket.title}}", "body": "{{ticket.latest_public_comment_html}}", "recipients": recipients,
            })
        }
    })
}

pub(super) fn user(world: &State, user: &User) -> Value {
    let staff = user.is_staff();
    json!({
        "id": user.id,
        "url": format!("{HOST}/api/v2/users/{}.json", user.id),
        "name": user.name,
        "email": user.email(),
        "created_at": time(user.created),
        "updated_at": time(user.created),
        "time_zone": world.files.shop.time_zone,
        "iana_time_zone": world.files.shop.time_zone,
        "phone": null,
        "shared_phone_number": null,
        "photo": null,
        "locale_id": 1,
        "locale": "en-US",
        "organization_id": user.organization.as_deref().map(|name| stable_id("organization", name)),
        "role": user.role,
        "verified": user.verified(),
        "external_id": user.external_id,
        "tags": [],
        "alias": null,
        "active": true,
        "shared": false,
        "shared_agent": false,
        "last_login_at": null,
        "two_factor_auth_enabled": null,
        "signature": null,
        "details": null,
        "notes": null,
        "role_type": if user.role == "admin" { json!(4) } else { Value::Null },
        "custom_role_id": null,
        "moderator": staff,
        "ticket_restriction": if staff { Value::Null } else { json!("requested") },
        "only_private_comments": false,
        "restricted_agent": !staff,
        "suspended": false,
        "default_group_id": user.group,
        "report_csv": user.role == "admin",
        "user_fields": {},
    })
}

pub(super) fn anonymous() -> Value {
    json!({ "user": {
        "id": null, "url": null, "name": "Anonymous user", "email": "invalid@example.com", "created_at": null,
        "updated_at": null, "time_zone": "UTC", "iana_time_zone": "Etc/UTC", "phone": null, "photo": null,
        "locale_id": 1, "locale": "en-US", "organization_id": null, "role": "end-user", "verified": false,
        "external_id": null, "tags": [], "alias": null, "active": false, "shared": false, "user_fields": {},
    } })
}

pub(super) fn group(world: &State, id: i64, name: &str, first: bool) -> Value {
    let at = time(world.files.now);
    json!({
        "url": format!("{HOST}/api/v2/groups/{id}.json"), "id": id, "is_public": true, "name": name,
        "description": "", "default": first, "deleted": false, "created_at": at, "updated_at": at,
    })
}

/// Users that objects of an answer mention, each once, in the order of their numbers.
pub(super) fn users(world: &State, ids: impl IntoIterator<Item = i64>) -> Value {
    let ids: std::collections::BTreeSet<i64> = ids.into_iter().collect();
    ids.iter().filter_map(|id| world.users.get(id)).map(|one| user(world, one)).collect()
}

/// All users of a ticket.
pub(super) fn users_of(ticket: &SimTicket) -> Vec<i64> {
    let mut ids = vec![ticket.requester, ticket.submitter];
    ids.extend(ticket.assignee);
    ids.extend(&ticket.ccs);
    ids
}

/// HTML of an article.
pub(super) fn article_html(markdown: &str) -> String {
    let options = pulldown_cmark::Options::ENABLE_TABLES | pulldown_cmark::Options::ENABLE_STRIKETHROUGH;
    let mut html = String::new();
    pulldown_cmark::html::push_html(&mut html, pulldown_cmark::Parser::new_ext(markdown, options));
    html
}

/// HTML of a comment that an agent wrote as Markdown.
pub(super) fn markdown_comment(body: &str) -> String {
    let html = article_html(body);
    if html.is_empty() { text::to_html(body) } else { html.trim().to_owned() }
}
