//! `send_followup_email`: a mail to the requester, now or later, to no one else. A mail cannot be asked for twice under a
//! key, so one whose sending was interrupted is never sent again: a person decides. One that surely did not leave (the server
//! was away, or asked to wait before it had the mail) is tried again.

use serde_json::json;

use super::ticket_write::guard;
use super::{Answer, Context, Error, Performed, Tools};
use crate::clients::email::Mail;
use crate::intent::SendFollowupEmail;
use crate::policy::facts::ConfirmedEffect;

pub(super) async fn perform(
    tools: &Tools,
    context: &Context<'_>,
    mail: &SendFollowupEmail,
) -> Result<Performed, Error> {
    if mail.after_s == 0 {
        return send(tools, context, mail).await;
    }
    if context.acting.is_none() {
        return Ok(Performed::HELD_BACK); // What would not be sent later is not promised now.
    }
    if tools.email.is_none() || context.ticket.requester.address.is_none() {
        return Ok(Performed::refusal("no mail can be sent to this requester", "answer on the ticket instead"));
    }
    let due = tools.clock.now() + jiff::SignedDuration::from_secs(mail.after_s);
    Ok(Performed::Answer(Answer {
        output: json!({ "mail": { "status": "scheduled", "due": due.strftime("%Y-%m-%dT%H:%MZ").to_string() } }),
        effect: Some(ConfirmedEffect::Mail { after_s: mail.after_s, sent: false }),
        ..Answer::default()
    }))
}

/// Sends a mail now: one asked for at once, or a scheduled one that is due.
pub async fn send(tools: &Tools, context: &Context<'_>, mail: &SendFollowupEmail) -> Result<Performed, Error> {
    if context.again {
        let message = "sending was interrupted; the mail may have left and is not sent again".to_owned();
        return Ok(Performed::Lost { vendor: "email", message });
    }
    let Some(acting) = context.acting else { return Ok(Performed::HELD_BACK) };
    let (Some(email), Some(address)) = (&tools.email, &context.ticket.requester.address) else {
        return Ok(Performed::refusal("no mail can be sent to this requester", "answer on the ticket instead"));
    };
    if let Some(overtaken) = guard(tools, context).await? {
        return Ok(overtaken);
    }
    let queued = email
        .send(
            acting,
            &Mail {
                to: address.clone(),
                subject: mail.subject.clone(),
                text: mail.body.clone(),
                message_id: context.key.clone(),
                reply_to: Some(tools.settings.support_address.clone()),
                in_reply_to: None,
                date: context.started_at,
            },
        )
        .await?;
    Ok(Performed::Answer(Answer {
        output: json!({ "mail": { "status": "sent", "due": null } }),
        effect: Some(ConfirmedEffect::Mail { after_s: mail.after_s, sent: true }),
        reference: Some(queued),
        ..Answer::default()
    }))
}
