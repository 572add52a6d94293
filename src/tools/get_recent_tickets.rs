//! `get_recent_tickets`: this ticket's thread and the requester's other tickets. Colleagues' notes are left out: they are not
//! facts, and not for the customer's eyes.

use serde_json::{Value, json};

use super::{Context, Performed};
use crate::account::AccountRead;
use crate::clients::zendesk::own_words;
use crate::ticket::{Author, Message, Ticket};

/// How many messages of a long thread the model reads: the first, and the newest ones.
const MESSAGES_MAX: usize = 12;
/// How much of one message the model reads, in characters; the newest request gets [`NEWEST_MAX_CHARS`].
const MESSAGE_MAX_CHARS: usize = 1_500;
/// How much of the newest request the model reads, in characters.
const NEWEST_MAX_CHARS: usize = 8_000;

pub(super) fn perform(context: &Context<'_>) -> Performed {
    Performed::answer(output(context.ticket, context.account, context.ticket.messages.len(), "en"))
}

/// What the model reads of a ticket (its first `shown` messages) and of the requester's others.
pub fn output(ticket: &Ticket, account: &AccountRead, shown: usize, language: &str) -> Value {
    let public: Vec<&Message> = ticket.messages.iter().take(shown).filter(|message| message.public).collect();
    let newest_request = public.iter().rposition(|message| message.author == Author::Requester);
    let skipped = public.len().saturating_sub(MESSAGES_MAX);
    let mut messages = Vec::new();
    for (at, message) in public.iter().enumerate() {
        if at > 0 && at <= skipped {
            continue; // The first message says what it is about; the newest say where it stands.
        }
        messages.push(message_output(message, Some(at) == newest_request));
    }
    let earlier: Vec<Value> = account
        .earlier
        .iter()
        .map(|earlier| {
            json!({
                "id": earlier.id,
                "subject": clip(&earlier.subject, 120),
                "status": earlier.status,
                "created": earlier.created_at.strftime("%Y-%m-%d").to_string(),
            })
        })
        .collect();
    let mut this = json!({
        "id": ticket.id,
        "subject": clip(&ticket.subject, 300),
        "channel": ticket.channel,
        "language": language,
        "requester": clip(&ticket.requester.name, 120),
        "messages": messages,
    });
    if skipped > 0 {
        this["messages_left_out"] = json!(skipped);
    }
    if let Some(follows) = ticket.follows {
        this["follows_closed_ticket"] = json!(follows);
    }
    json!({ "this_ticket": this, "earlier": earlier })
}

/// What the model reads of one message: the sender's own words, clearly theirs.
pub fn message_output(message: &Message, newest: bool) -> Value {
    let (own, quoted) = own_words(&message.text);
    let limit = if newest { NEWEST_MAX_CHARS } else { MESSAGE_MAX_CHARS };
    // A message that is nothing but quoted text may be a forward: then the quote is the message.
    let text = if own.trim().is_empty() { quoted.unwrap_or_default() } else { own };
    let from = match message.author {
        Author::Requester => "customer",
        Author::OtherEndUser => "other person in copy",
        Author::Agent => "agent",
        Author::Deskhand => "you",
    };
    let mut out = json!({ "from": from, "at": message.at.to_string(), "text": clip(text.trim(), limit) });
    if !message.attachments.is_empty() {
        let names: Vec<String> = message.attachments.iter().map(|a| clip(&a.name, 80)).collect();
        out["attachments_not_read"] = json!(names);
    }
    out
}

/// At most so many characters, with a mark where something is missing.
fn clip(text: &str, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        Some((at, _)) => format!("{}… [cut]", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::clip;

    #[test]
    fn clips_at_characters() {
        assert_eq!(clip("äöü", 3), "äöü");
        assert_eq!(clip("äöüß", 3), "äöü… [cut]");
    }
}
