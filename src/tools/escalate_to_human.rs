//! `escalate_to_human`: the note among colleagues, the holding sentence to the customer, group and priority.
//!
//! One write of a ticket carries one comment. The sentence to the customer is that comment, together with group, priority and
//! status; the note goes first, as a write of its own under its own mark, so that a crash between the two repeats neither.
//! New words of the customer do not stop a hand-over: the colleague reads them. A person who takes the ticket does.

use super::ticket_write::{Write, note, taken_meanwhile, write};
use super::{Context, Error, Performed, Tools};
use crate::clients::zendesk::Assignee;
use crate::intent::EscalateToHuman;
use crate::ticket::TicketStatus;

/// The note's text; `{{…}}` are filled in.
const NOTE: &str = include_str!("../../prompts/handover.md");

/// What people read of a hand-over that ended between its two writes.
const HALF_SENT: &str = "The note to the colleagues stands on the ticket; the sentence to the customer, group and priority \
                         were not written.";

pub(super) async fn perform(
    tools: &Tools,
    context: &Context<'_>,
    escalation: &EscalateToHuman,
) -> Result<Performed, Error> {
    let stamp = match note(tools, context, &super::log_resolution::answer_html(&note_text(context, escalation))).await?
    {
        Ok(stamp) => stamp,
        Err(overtaken) => return Ok(overtaken),
    };
    let mut ticket = context.ticket.clone();
    ticket.updated_at = stamp;
    let context =
        Context { ticket: &ticket, key: context.key.clone(), done_line: String::new(), made: None, ..*context };
    // An earlier try of the sentence may still be under way, and then only its mark says how this ends.
    if !context.again
        && let Some(overtaken) = taken_meanwhile(tools, &context).await?
    {
        return Ok(overtaken);
    }
    let groups = &tools.settings.groups;
    let group = groups.get(context.rule.as_str()).or_else(|| groups.get("default")).copied();
    let done = write(
        tools,
        &context,
        Write {
            html: super::log_resolution::answer_html(&escalation.holding_message),
            status: TicketStatus::Open,
            assignee: Assignee::Nobody,
            group,
            priority: Some(escalation.priority),
            tag: "deskhand_escalated",
            hands_over: true,
        },
    )
    .await?;
    Ok(match done {
        // Without permission we come this far only when the note was found.
        Performed::HeldBack { .. } => Performed::HeldBack { found: Some(HALF_SENT.to_owned()) },
        done => done,
    })
}

fn note_text(context: &Context<'_>, escalation: &EscalateToHuman) -> String {
    let or_none = |text: &str| match text.trim() {
        "" => "–".to_owned(),
        text => text.to_owned(),
    };
    let account = match context.account.customer() {
        Some(customer) => format!("{} ({})", customer.name, customer.id),
        None => format!("{} accounts match", context.account.customers.len()),
    };
    [
        ("{{rule}}", context.rule.title().to_owned()),
        ("{{why}}", or_none(&escalation.found)),
        ("{{asked}}", or_none(&escalation.asked)),
        ("{{account}}", account),
        ("{{found}}", or_none(&escalation.found)),
        ("{{done}}", or_none(&escalation.done)),
        ("{{effects}}", or_none(&context.done_line)),
        ("{{suggested}}", or_none(&escalation.suggested_answer)),
    ]
    .iter()
    .fold(NOTE.to_owned(), |text, (name, value)| text.replace(name, value))
}
