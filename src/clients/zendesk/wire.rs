//! The shapes on Zendesk's wire, as far as we read them. Everything that may be absent or new is optional: the vendor adds
//! fields, values and forms at any time. Nothing here leaves the client.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::super::safe_text;
use super::{CLOSED, SOLVE_INVALID};
use crate::ticket::TicketStatus;

#[derive(Deserialize)]
pub(super) struct TokenAnswer {
    pub access_token: String,
    #[serde(default)]
    pub scope: Option<String>,
    #[serde(default)]
    pub expires_in: Option<i64>,
}

#[derive(Deserialize)]
pub(super) struct Ticket {
    pub id: i64,
    #[serde(default)]
    pub subject: Option<String>,
    #[serde(default)]
    pub raw_subject: Option<String>,
    #[serde(default)]
    pub status: Option<String>,
    #[serde(default)]
    pub via: Via,
    #[serde(default)]
    pub requester_id: Option<i64>,
    #[serde(default)]
    pub assignee_id: Option<i64>,
    #[serde(default)]
    pub group_id: Option<i64>,
    #[serde(default)]
    pub email_cc_ids: Option<Vec<i64>>,
    #[serde(default)]
    pub collaborator_ids: Option<Vec<i64>>,
    #[serde(default)]
    pub tags: Option<Vec<String>>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    #[serde(default)]
    pub generated_timestamp: Option<i64>,
    #[serde(default)]
    pub from_messaging_channel: Option<bool>,
}

/// How something came in. The channel is a text or a number, by the vendor's own documentation.
#[derive(Deserialize, Default)]
pub(super) struct Via {
    #[serde(default)]
    pub channel: Value,
    #[serde(default)]
    pub source: Value,
}

impl Via {
    pub fn channel(&self) -> String {
        match &self.channel {
            Value::String(name) => name.clone(),
            // The documented numbers of the ways that matter here.
            Value::Number(n) => match n.as_i64() {
                Some(0) => "web".into(),
                Some(4) => "email".into(),
                Some(5) => "api".into(),
                Some(8) => "rule".into(),
                _ => format!("via_{n}"),
            },
            _ => "unknown".into(),
        }
    }

    /// The closed ticket that this one follows.
    pub fn follows(&self) -> Option<i64> {
        if self.source.get("rel")?.as_str()? != "follow_up" {
            return None;
        }
        number(self.source.get("from")?.get("ticket_id")?)
    }
}

#[derive(Deserialize)]
pub(super) struct User {
    /// `null` for somebody who is not signed in.
    #[serde(default)]
    pub id: Option<i64>,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub email: Option<String>,
    #[serde(default)]
    pub verified: Option<bool>,
    #[serde(default)]
    pub external_id: Option<String>,
    #[serde(default)]
    pub role: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Comment {
    pub id: i64,
    #[serde(default)]
    pub author_id: Option<i64>,
    #[serde(default)]
    pub body: Option<String>,
    #[serde(default)]
    pub html_body: Option<String>,
    #[serde(default)]
    pub plain_body: Option<String>,
    #[serde(default)]
    pub public: Option<bool>,
    #[serde(default)]
    pub attachments: Option<Vec<Attachment>>,
    #[serde(default)]
    pub audit_id: Option<i64>,
    pub created_at: Timestamp,
    #[serde(default)]
    pub metadata: Value,
}

impl Comment {
    /// The helpdesk's warnings about the sender.
    pub fn flags(&self) -> Vec<i64> {
        let flags = self.metadata.get("flags").and_then(Value::as_array);
        flags.into_iter().flatten().filter_map(number).collect()
    }

    pub fn marker(&self) -> Option<&str> {
        marker(&self.metadata)
    }
}

/// Our marker in an audit's or a comment's metadata.
pub(super) fn marker(metadata: &Value) -> Option<&str> {
    metadata.get("custom")?.get(super::write::MARKER)?.as_str()
}

#[derive(Deserialize)]
pub(super) struct Attachment {
    #[serde(default)]
    pub file_name: Option<String>,
    #[serde(default)]
    pub content_type: Option<String>,
    #[serde(default)]
    pub size: Option<u64>,
    #[serde(default)]
    pub deleted: Option<bool>,
}

#[derive(Deserialize)]
pub(super) struct Audit {
    pub id: i64,
    pub created_at: Timestamp,
    #[serde(default)]
    pub metadata: Value,
    #[serde(default)]
    pub events: Vec<Value>,
}

impl Audit {
    /// The comment that this write made.
    pub fn comment(&self) -> Option<i64> {
        let comment = self.events.iter().find(|e| e.get("type").and_then(Value::as_str) == Some("Comment"))?;
        number(comment.get("id")?)
    }

    /// Whether a rule of the helpdesk mailed this person because of the write.
    pub fn notified(&self, user: i64) -> bool {
        self.events.iter().any(|event| {
            let mailed =
                matches!(event.get("type").and_then(Value::as_str), Some("Notification" | "NotificationWithCcs"));
            let recipients = event.get("recipients").and_then(Value::as_array);
            mailed && recipients.into_iter().flatten().filter_map(number).any(|id| id == user)
        })
    }
}

#[derive(Deserialize)]
pub(super) struct Article {
    pub id: i64,
    #[serde(default)]
    pub title: Option<String>,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub html_url: Option<String>,
    #[serde(default)]
    pub body: Option<String>,
    #[serde(default)]
    pub locale: Option<String>,
    #[serde(default)]
    pub section_id: Option<i64>,
    #[serde(default)]
    pub updated_at: Option<Timestamp>,
    #[serde(default)]
    pub edited_at: Option<Timestamp>,
    /// Absent is taken for a draft: better one article too few.
    #[serde(default)]
    pub draft: Option<bool>,
    #[serde(default)]
    pub user_segment_id: Option<i64>,
    #[serde(default)]
    pub user_segment_ids: Option<Vec<i64>>,
}

/// A number that may come as text.
pub(super) fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

/// An unknown status is taken for open: somebody must look.
pub(super) fn status(word: Option<&str>) -> TicketStatus {
    match word {
        Some("new") => TicketStatus::New,
        Some("pending") => TicketStatus::Pending,
        Some("hold") => TicketStatus::Hold,
        Some("solved") => TicketStatus::Solved,
        Some("closed") => TicketStatus::Closed,
        Some("deleted") => TicketStatus::Deleted,
        _ => TicketStatus::Open,
    }
}

pub(super) fn status_word(status: TicketStatus) -> &'static str {
    match status {
        TicketStatus::New => "new",
        TicketStatus::Open => "open",
        TicketStatus::Pending => "pending",
        TicketStatus::Hold => "hold",
        TicketStatus::Solved => "solved",
        TicketStatus::Closed => "closed",
        TicketStatus::Deleted => "deleted",
    }
}

/// What a refusal says, whichever of its shapes it has: `{error, description, details}`, `{error: {title, message}}`,
/// `{errors: [{code, title, detail}]}`, `{error: "sentence"}`, text, HTML, nothing.
#[derive(Default)]
pub(super) struct Refusal {
    pub code: Option<String>,
    /// Safe for a log.
    pub text: String,
    /// The fields that a 422 names.
    fields: Vec<String>,
}

impl Refusal {
    pub fn read(body: &[u8]) -> Self {
        let Ok(value) = serde_json::from_slice::<Value>(body) else {
            // HTML of a proxy says nothing; a plain sentence may.
            let text = String::from_utf8_lossy(&body[..body.len().min(2_000)]).trim().to_owned();
            let text = if text.starts_with('<') { String::new() } else { safe_text(&text) };
            return Self { text, ..Self::default() };
        };
        let text = |v: &Value, key: &str| v.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut refusal = match (value.get("error"), value.get("errors")) {
            (Some(Value::String(error)), _) if error.contains(' ') => {
                Self { text: safe_text(error), ..Self::default() }
            }
            (Some(Value::String(error)), _) => {
                Self { code: Some(error.clone()), text: safe_text(&text(&value, "description")), ..Self::default() }
            }
            (Some(inner @ Value::Object(_)), _) => {
                let title = text(inner, "title");
                Self { text: safe_text(&format!("{title}: {}", text(inner, "message"))), code: None, ..Self::default() }
            }
            (_, Some(Value::Array(list))) if !list.is_empty() => {
                let code = list[0].get("code").and_then(Value::as_str).map(str::to_owned);
                Self { code, text: safe_text(&text(&list[0], "title")), ..Self::default() }
            }
            _ => Self::default(),
        };
        if let Some(Value::Object(details)) = value.get("details") {
            let mut said = Vec::new();
            for (field, rows) in details {
                refusal.fields.push(field.clone());
                for row in rows.as_array().into_iter().flatten() {
                    said.push(text(row, "description"));
                }
            }
            if !said.is_empty() {
                refusal.text = safe_text(&format!("{}: {}", refusal.text, said.join("; ")));
            }
        }
        refusal
    }

    /// Our name for a 422 on a write, by the fields it names, never by its words: they come in the account's language.
    pub fn write_code(&self) -> &str {
        let names = |field: &str| self.fields.iter().any(|f| f == field);
        match self.code.as_deref() {
            Some("RecordInvalid") if names("status") => CLOSED,
            Some("RecordInvalid") if names("base") => SOLVE_INVALID,
            Some(code) => code,
            None => "RecordInvalid",
        }
    }
}
