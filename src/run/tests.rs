//! Folding entries by hand: what a run knows of tries, approvals and people after each line.

use jiff::Timestamp;

use crate::failure::{Failure, FailureClass};
use crate::ids::{CommentId, RunId, StepNo, TicketId, ToolCallId, UserId};
use crate::intent::{Intent, SendFollowupEmail};
use crate::run::decide;
use crate::run::entry::{Body, Entry, Outcome, StepResult, Work};
use crate::run::state::{RULE_CALL, RunState};
use crate::ticket::{Author, Message, Requester, Ticket, TicketStatus};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + seconds).unwrap()
}

fn message(id: i64, author: Author) -> Message {
    Message {
        id: CommentId(id),
        author,
        author_id: UserId(9),
        public: true,
        at: at(0),
        text: "Hello".to_owned(),
        cut: false,
        attachments: Vec::new(),
        flags: Vec::new(),
        marker: None,
    }
}

fn opened() -> Entry {
    let ticket = Ticket {
        id: TicketId(1),
        subject: "Question".to_owned(),
        status: TicketStatus::New,
        channel: "email".to_owned(),
        requester: Requester {
            id: UserId(9),
            name: "Ada".to_owned(),
            address: Some("ada@low.example".to_owned()),
            verified: true,
            external_id: None,
        },
        cc: Vec::new(),
        assignee: None,
        group: None,
        tags: Vec::new(),
        created_at: at(0),
        updated_at: at(0),
        follows: None,
        messages: vec![message(2, Author::Requester)],
    };
    let run = RunId::for_trigger(TicketId(1), CommentId(2));
    let body = Body::RunOpened { run, ticket: Box::new(ticket), trigger: CommentId(2), prompts: "p".to_owned() };
    Entry::new(at(0), body)
}

fn mail(after_s: i64) -> Work {
    let mail = SendFollowupEmail { after_s, subject: "Later".to_owned(), body: "Hello".to_owned() };
    Work::Tool { call: ToolCallId::new(RULE_CALL), intent: Intent::SendFollowupEmail(mail), approval: None }
}

/// `s` started, `r` put off as surely not done, `u` put off with the answer lost, `a` a further try written down.
fn folded(lines: &str) -> Result<RunState, String> {
    let mut entries = vec![opened()];
    let step = StepNo(1);
    for (at_s, line) in (1..).zip(lines.chars()) {
        let delayed = |class| {
            let failure = Failure { class, vendor: "email".to_owned(), message: "away".to_owned() };
            Body::StepDelayed { step, attempt: 1, failure, retry_at_ms: at(at_s + 1).as_millisecond() }
        };
        let body = match line {
            's' => Body::StepStarted { step, work: mail(0) },
            'r' => delayed(FailureClass::Retry),
            'u' => delayed(FailureClass::Unknown),
            'a' => Body::StepRetried { step, attempt: 2 },
            other => panic!("{other}"),
        };
        entries.push(Entry::new(at(at_s), body));
    }
    RunState::fold(&entries).map_err(|broken| broken.why)
}

#[test]
fn a_try_whose_end_is_not_known_is_told_from_one_that_surely_did_not_leave() {
    let check = |lines: &str, may_have_acted: bool| {
        let state = folded(lines).unwrap();
        assert_eq!(state.open[&StepNo(1)].may_have_acted(), may_have_acted, "{lines}");
    };
    check("s", true); // Died in its first try.
    check("sr", false); // The first try surely did not leave.
    check("sra", true); // Died in the second.
    check("srar", false);
    check("su", true); // The answer was lost: it stays so, whatever comes after.
    check("suar", true);
    assert_eq!(folded("a").unwrap_err(), "step 1 is not open");
    assert_eq!(folded("sa").unwrap_err(), "a try of step 1 is under way");
}

/// What could not be told on the ticket after the run's end stays for a page to show.
#[test]
fn a_refused_note_after_the_end_is_kept_for_people() {
    let step = StepNo;
    let finished = |number, result| Body::StepFinished { step: step(number), result, took_ms: 1 };
    let failed = |class| {
        let failure = Failure { class, vendor: "zendesk".to_owned(), message: "closed".to_owned() };
        StepResult::Failed { failure, call: None }
    };
    let scheduled = StepResult::Tool {
        output: serde_json::json!({}),
        is_error: false,
        effect: Some(crate::policy::facts::ConfirmedEffect::Mail { after_s: 60, sent: false }),
        reference: None,
        stamp: None,
    };
    let bodies = vec![
        Body::StepStarted { step: step(1), work: mail(60) },
        finished(1, scheduled),
        Body::RunClosed { outcome: Outcome::Resolved },
        Body::StepStarted { step: step(2), work: Work::Mail { scheduled: step(1) } },
        finished(2, failed(FailureClass::Unknown)),
        Body::StepStarted { step: step(3), work: Work::Note { text: "x".to_owned() } },
    ];
    let mut entries = vec![opened()];
    entries.extend((1..).zip(bodies).map(|(at_s, body)| Entry::new(at(at_s), body)));
    assert_eq!(RunState::fold(&entries).unwrap().attention(), None, "the note may still be written");
    entries.push(Entry::new(at(9), finished(3, failed(FailureClass::Refused))));
    let state = RunState::fold(&entries).unwrap();
    let said = state.attention().expect("a page shows it");
    assert!(said.contains("may have been sent"), "{said}");
    assert_eq!(state.rest().1, None, "nothing is left to do");
}

#[test]
fn only_mail_must_not_be_repeated() {
    let check = |work: &Work, repeatable: bool| assert_eq!(work.is_repeatable(), repeatable, "{work:?}");
    check(&mail(0), false);
    check(&mail(60), true); // Scheduling sends nothing.
    check(&Work::Mail { scheduled: StepNo(1) }, false);
    check(&Work::ReadFacts, true);
    check(&Work::Model { model: "m".to_owned() }, true);
}

#[test]
fn a_parked_run_that_goes_on_looks_for_its_answer_under_the_key_that_it_had() {
    let resolution: Intent = Intent::EscalateToHuman(crate::intent::EscalateToHuman {
        reason: crate::intent::EscalationReason::OutOfScope,
        asked: "a".to_owned(),
        found: "b".to_owned(),
        done: String::new(),
        suggested_answer: String::new(),
        holding_message: "c".to_owned(),
        priority: crate::intent::Priority::Normal,
    });
    let work = Work::Tool { call: ToolCallId::new(RULE_CALL), intent: resolution, approval: None };
    for class in [FailureClass::Unknown, FailureClass::Refused] {
        let failure = Failure { class, vendor: "zendesk".to_owned(), message: "away".to_owned() };
        let lines = vec![
            opened(),
            Entry::new(at(1), Body::StepStarted { step: StepNo(1), work: work.clone() }),
            Entry::new(
                at(2),
                Body::StepFinished {
                    step: StepNo(1),
                    result: StepResult::Failed { failure: failure.clone(), call: None },
                    took_ms: 1,
                },
            ),
            Entry::new(at(3), Body::RunClosed { outcome: Outcome::Failed { message: "away".to_owned() } }),
        ];
        let (len, new, _) = decide::retry(&lines, "ada", at(4)).unwrap();
        assert_eq!(len, 4);
        let state = RunState::fold(&[lines, new].concat()).unwrap();
        let open = &state.open[&StepNo(1)];
        assert_eq!((&open.work, open.may_have_acted(), open.attempts), (&work, true, 0), "{class:?}");
        assert_eq!(state.next_step, StepNo(2), "no new step, so no new key");
    }
}
