//! Writing to the helpdesk: one `PUT` per decision, guarded by the stamp that was read and marked with the effect's key, and
//! finding that mark again when an answer was lost. There is no idempotency key for updates: the mark and the stamp are it.
//!
//! The guard compares whole seconds. Two writes of ours can still not both pass: one that was lost and lands later moves the
//! stamp, and one that landed within the second is found by its mark before anything is sent again.

use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::read::{next_cursor, part};
use super::{Acting, Error, Kind, Sent, VENDOR, Zendesk, wire};
use crate::clients::encode;
use crate::ids::{CommentId, GroupId, IdempotencyKey, TicketId, UserId};
use crate::intent::Priority;
use crate::ticket::TicketStatus;

/// Where the effect's key stands in a ticket's metadata.
pub(super) const MARKER: &str = "deskhand_effect";

/// The longest comment that is sent, in bytes of HTML. The helpdesk cuts silently at 64 kB.
pub const COMMENT_MAX_BYTES: usize = 60_000;

/// How many pages of a ticket's history are looked through for marks.
const MARK_PAGES_MAX: u32 = 10;

/// What becomes of the assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assignee {
    /// Stays.
    Keep,
    /// Is taken away.
    Nobody,
    /// Goes to this person.
    To(UserId),
}

/// One write: everything of it happens, or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketUpdate {
    /// Which ticket.
    pub ticket: TicketId,
    /// Whose it is: to see whether the answer was mailed.
    pub requester: UserId,
    /// HTML, and whether customers see it. One write carries one comment.
    pub comment: Option<(String, bool)>,
    /// The status after it.
    pub status: Option<TicketStatus>,
    /// The assignment after it. Solving an unassigned ticket needs one.
    pub assignee: Assignee,
    /// The group after it.
    pub group: Option<GroupId>,
    /// The priority after it.
    pub priority: Option<Priority>,
    /// The whole list of tags after it: what is missing is removed.
    pub tags: Option<Vec<String>>,
    /// The effect's key, kept in the ticket's metadata.
    pub marker: IdempotencyKey,
    /// Tells two writes of one effect apart (a public sentence and a note): `Some("note")`.
    pub part: Option<&'static str>,
    /// The `updated_at` that was read: the write is refused when the ticket has changed since.
    pub stamp: Timestamp,
}

/// A write that is known to have happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Updated {
    /// The ticket's stamp after it.
    pub stamp: Timestamp,
    /// The audit that records it.
    pub audit: Option<i64>,
    /// The comment that it made.
    pub comment: Option<CommentId>,
    /// Whether a rule of the helpdesk mailed the requester; `None` when that is not known.
    pub notified: Option<bool>,
}

impl Zendesk {
    /// Writes once. `Refused` with [`super::UPDATE_CONFLICT`], [`super::CLOSED`], [`super::SOLVE_INVALID`] or
    /// [`super::NOT_FOUND`]: this attempt wrote nothing (an earlier attempt under the same key may have: look with
    /// [`Zendesk::find_marker`]). `Unknown`: look before sending again, with the same stamp.
    pub async fn update(&self, acting: &Acting, update: &TicketUpdate) -> Result<Updated, Error> {
        let body = body(update)?;
        let path = format!("/tickets/{}.json", update.ticket);
        let reply = self.call(Method::PUT, &path, Some(body), Sent::Effect(acting)).await?;
        let answer = self.json(reply, Kind::Effect)?;
        let ticket: Result<wire::Ticket, _> = part(&answer, "ticket");
        let audit: Option<wire::Audit> = part(&answer, "audit").ok();
        let stamp = ticket.map(|t| t.updated_at).ok().or(audit.as_ref().map(|a| a.created_at));
        let Some(stamp) = stamp else {
            return Err(Error::unknown(VENDOR, "the answer to a write was not understood"));
        };
        Ok(Updated {
            stamp,
            audit: audit.as_ref().map(|a| a.id),
            comment: audit.as_ref().and_then(wire::Audit::comment).map(CommentId),
            notified: audit.as_ref().map(|a| a.notified(update.requester.0)),
        })
    }

    /// Looks whether an effect has been written: in the newest comments, then in the newest audits.
    pub async fn find_marker(&self, ticket: TicketId, key: &IdempotencyKey) -> Result<Option<Updated>, Error> {
        self.find_marker_part(ticket, key, None).await
    }

    /// The same for one of several writes of an effect.
    pub async fn find_marker_part(
        &self,
        ticket: TicketId,
        key: &IdempotencyKey,
        of: Option<&str>,
    ) -> Result<Option<Updated>, Error> {
        let wanted = marker(key, of);
        let path = format!("/tickets/{ticket}/comments.json?sort=-created_at&page%5Bsize%5D=20");
        let comments: Vec<wire::Comment> = part(&self.get(&path).await?, "comments")?;
        if let Some(comment) = comments.iter().find(|comment| comment.marker() == Some(&wanted)) {
            return Ok(Some(Updated {
                stamp: comment.created_at,
                audit: comment.audit_id,
                comment: Some(CommentId(comment.id)),
                notified: None,
            }));
        }
        let mut after: Option<String> = None;
        for _ in 0..2 {
            let mut path = format!("/tickets/{ticket}/audits.json?sort=-created_at&page%5Bsize%5D=100");
            if let Some(after) = &after {
                path += &format!("&page%5Bafter%5D={}", encode(after));
            }
            let answer = self.get(&path).await?;
            let audits: Vec<wire::Audit> = part(&answer, "audits")?;
            if let Some(audit) = audits.iter().find(|audit| wire::marker(&audit.metadata) == Some(&wanted)) {
                return Ok(Some(Updated {
                    stamp: audit.created_at,
                    audit: Some(audit.id),
                    comment: audit.comment().map(CommentId),
                    notified: None,
                }));
            }
            after = next_cursor(&answer);
            if after.is_none() {
                break;
            }
        }
        Ok(None)
    }

    /// The marks on a ticket that begin like this and were set since a time, the newest first: what was written under any
    /// step of a run or of a ticket.
    pub async fn marks_since(&self, ticket: TicketId, prefix: &str, since: Timestamp) -> Result<Vec<String>, Error> {
        let mut marks = Vec::new();
        let mut after: Option<String> = None;
        for _ in 0..MARK_PAGES_MAX {
            let mut path = format!("/tickets/{ticket}/audits.json?sort=-created_at&page%5Bsize%5D=100");
            if let Some(after) = &after {
                path += &format!("&page%5Bafter%5D={}", encode(after));
            }
            let answer = self.get(&path).await?;
            let audits: Vec<wire::Audit> = part(&answer, "audits")?;
            let reached = audits.iter().any(|audit| audit.created_at < since);
            let fresh = audits.iter().filter(|audit| audit.created_at >= since);
            marks.extend(
                fresh
                    .filter_map(|audit| wire::marker(&audit.metadata))
                    .filter(|m| m.starts_with(prefix))
                    .map(str::to_owned),
            );
            after = next_cursor(&answer);
            if reached || after.is_none() {
                break;
            }
        }
        Ok(marks)
    }
}

fn marker(key: &IdempotencyKey, part: Option<&str>) -> String {
    match part {
        Some(part) => format!("{key}.{part}"),
        None => key.to_string(),
    }
}

/// The bytes of a write; the same for the same update.
fn body(update: &TicketUpdate) -> Result<String, Error> {
    let mut ticket = Map::new();
    if let Some((html, public)) = &update.comment {
        let html = neutralise(html);
        if html.len() > COMMENT_MAX_BYTES {
            return Err(Error::refused(
                VENDOR,
                None,
                Some("CommentTooLong"),
                format!("the comment is longer than {COMMENT_MAX_BYTES} bytes\nhint: shorten it"),
            ));
        }
        ticket.insert("comment".into(), json!({"html_body": html, "public": public}));
    }
    if let Some(status) = update.status {
        if matches!(status, TicketStatus::Closed | TicketStatus::Deleted | TicketStatus::New) {
            return Err(Error::refused(VENDOR, None, Some("BadStatus"), "a write may not set this status"));
        }
        ticket.insert("status".into(), wire::status_word(status).into());
    }
    match update.assignee {
        Assignee::Keep => {}
        Assignee::Nobody => {
            ticket.insert("assignee_id".into(), Value::Null);
        }
        Assignee::To(user) => {
            ticket.insert("assignee_id".into(), user.0.into());
        }
    }
    if let Some(group) = update.group {
        ticket.insert("group_id".into(), group.0.into());
    }
    if let Some(priority) = update.priority {
        ticket.insert("priority".into(), serde_json::to_value(priority).expect("a word"));
    }
    if let Some(tags) = &update.tags {
        ticket.insert("tags".into(), json!(tags));
    }
    ticket.insert("metadata".into(), json!({ MARKER: marker(&update.marker, update.part) }));
    ticket.insert("safe_update".into(), true.into());
    ticket.insert("updated_stamp".into(), stamp_text(update.stamp).into());
    Ok(json!({ "ticket": ticket }).to_string())
}

/// As the helpdesk writes it: whole seconds.
fn stamp_text(stamp: Timestamp) -> String {
    let seconds = Timestamp::from_second(stamp.as_second()).unwrap_or(stamp);
    seconds.to_string()
}

/// Breaks every `{{`, so that the helpdesk expands nothing in our text: with a placeholder in it, a ticket could make us
/// print what only colleagues may see. A brace written as an entity counts too.
pub fn neutralise(html: &str) -> String {
    let mut plain = html.to_owned();
    for entity in ["&#123;", "&#0123;", "&#x7b;", "&#x7B;", "&#X7b;", "&#X7B;", "&lbrace;", "&lcub;"] {
        if plain.contains(entity) {
            plain = plain.replace(entity, "{");
        }
    }
    let mut out = String::with_capacity(plain.len());
    let mut before = ' ';
    for c in plain.chars() {
        if before == '{' && matches!(c, '{' | '%') {
            out.push('\u{200b}');
        }
        out.push(c);
        before = c;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{RunId, StepNo};

    fn update() -> TicketUpdate {
        TicketUpdate {
            ticket: TicketId(35),
            requester: UserId(9),
            comment: Some(("<p>Hi {{ticket.requester.email}}</p>".into(), true)),
            status: Some(TicketStatus::Solved),
            assignee: Assignee::To(UserId(987)),
            group: None,
            priority: Some(Priority::High),
            tags: Some(vec!["a".into()]),
            marker: IdempotencyKey::for_step(&RunId::for_trigger(TicketId(35), CommentId(7)), StepNo(4)),
            part: None,
            stamp: "2026-11-22T10:00:07.900Z".parse().unwrap(),
        }
    }

    #[test]
    fn one_write_has_one_form() {
        assert_eq!(
            body(&update()).unwrap(),
            "{\"ticket\":{\"comment\":{\"html_body\":\"<p>Hi {\u{200b}{ticket.requester.email}}</p>\",\"public\":true},\
             \"status\":\"solved\",\"assignee_id\":987,\"priority\":\"high\",\"tags\":[\"a\"],\
             \"metadata\":{\"deskhand_effect\":\"eff_35_7_4\"},\"safe_update\":true,\
             \"updated_stamp\":\"2026-11-22T10:00:07Z\"}}"
        );
        let quiet = TicketUpdate {
            comment: None,
            status: None,
            assignee: Assignee::Nobody,
            group: Some(GroupId(5)),
            priority: None,
            tags: None,
            part: Some("note"),
            ..update()
        };
        assert_eq!(
            body(&quiet).unwrap(),
            "{\"ticket\":{\"assignee_id\":null,\"group_id\":5,\"metadata\":{\"deskhand_effect\":\"eff_35_7_4.note\"},\
             \"safe_update\":true,\"updated_stamp\":\"2026-11-22T10:00:07Z\"}}"
        );
    }

    #[test]
    fn what_the_helpdesk_would_spoil_is_not_sent() {
        let long = TicketUpdate { comment: Some(("x".repeat(COMMENT_MAX_BYTES + 1), true)), ..update() };
        assert_eq!(body(&long).unwrap_err().code(), Some("CommentTooLong"));
        let closed = TicketUpdate { status: Some(TicketStatus::Closed), ..update() };
        assert_eq!(body(&closed).unwrap_err().code(), Some("BadStatus"));
    }

    #[test]
    fn no_placeholder_survives() {
        for text in ["{{a}}", "{{{a}}}", "&#123;{a", "{&lbrace;a", "&#x7b;&#x7B;", "{%if%}"] {
            let safe = neutralise(text);
            assert!(!safe.contains("{{") && !safe.contains("{%"), "{text} → {safe}");
        }
        assert_eq!(neutralise("{ a } {b}"), "{ a } {b}");
    }
}
