//! `log_resolution`: the public answer with status, tags and summary, as one write of the ticket.

use pulldown_cmark::{Options, Parser, html};

use super::ticket_write::{Write, write};
use super::{Context, Error, Performed, Tools};
use crate::clients::zendesk::{Assignee, SOLVE_INVALID};
use crate::intent::{LogResolution, ResolutionOutcome};
use crate::ticket::TicketStatus;

pub(super) async fn perform(
    tools: &Tools,
    context: &Context<'_>,
    resolution: &LogResolution,
) -> Result<Performed, Error> {
    let answer = |status, tag| Write {
        html: answer_html(&resolution.answer),
        status,
        assignee: Assignee::To(tools.me),
        group: None,
        priority: None,
        tag,
        hands_over: false,
    };
    let status = match resolution.outcome {
        ResolutionOutcome::Solved => TicketStatus::Solved,
        ResolutionOutcome::WaitingForCustomer => TicketStatus::Pending,
    };
    match write(tools, context, answer(status, "deskhand_answered")).await {
        // Fields that the helpdesk wants before a ticket is solved are a person's to fill in. Nothing was written: the answer
        // goes out and the ticket stays open for them, under a tag of its own.
        Err(error) if error.code() == Some(SOLVE_INVALID) && status == TicketStatus::Solved => {
            tracing::warn!(ticket.id = %context.ticket.id, "the ticket cannot be solved and stays open: {error}");
            write(tools, context, answer(TicketStatus::Open, "deskhand_unsolved")).await
        }
        other => other,
    }
}

/// Markdown of the model → HTML with nothing in it but text structure and links.
pub fn answer_html(markdown: &str) -> String {
    let mut raw = String::new();
    html::push_html(&mut raw, Parser::new_ext(markdown, Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TABLES));
    let tags = [
        "p",
        "br",
        "ul",
        "ol",
        "li",
        "strong",
        "em",
        "a",
        "code",
        "pre",
        "blockquote",
        "h2",
        "h3",
        "h4",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "del",
    ];
    ammonia::Builder::new().tags(tags.into_iter().collect()).link_rel(None).clean(&raw).to_string()
}

#[cfg(test)]
mod tests {
    use super::answer_html;

    #[test]
    fn only_text_structure_and_links_get_through() {
        let check = |markdown: &str, html: &str| assert_eq!(answer_html(markdown).trim(), html, "{markdown}");
        check("Hi *Ada*,\n\nall done.", "<p>Hi <em>Ada</em>,</p>\n<p>all done.</p>");
        check(
            "[help](https://help.brightslot.example/a)",
            "<p><a href=\"https://help.brightslot.example/a\">help</a></p>",
        );
        check("<script>alert(1)</script>ok", "ok");
        check("[x](javascript:alert(1))", "<p><a>x</a></p>");
        check("<img src=x onerror=alert(1)>", "");
    }
}
