//! What pages read.

use super::*;
use crate::ids::ApprovalId;
use crate::intent::Intent;
use crate::journal::views::{ApprovalFilter, CategoryRow, Counts, Deaths, Kind, KindCosts, RunFilter, Views};
use crate::money::Money;
use crate::policy::RuleId;
use crate::run::row::{ApprovalRow, ApprovalState, CallRow, ToolRow};

const DAY_MS: i64 = 86_400_000;

async fn put(store: &SqliteJournal, projection: Projection) {
    let entries = vec![opened(&projection.row.run, projection.row.ticket.0)];
    let admitted = store.admit(vec![Arrival::Open { entries, projection: Box::new(projection) }], None).await.unwrap();
    assert_eq!(admitted, [Admitted::Opened]);
}

/// Five runs on three days: tickets 1 to 5.
async fn five_runs() -> (TempDir, SqliteJournal) {
    let (folder, store) = store();
    for (ticket, subject, requester, outcome, category, cost_micros) in [
        (1, "Where is my parcel?", "Zoë Müller", Some("resolved"), "orders", 100),
        (2, "Refund for order 1042", "Ada", Some("escalated"), "refunds", 900),
        (3, "REFUND 7", "Bob", None, "refunds", 50),
        (4, "Buy cheap pills", "Eve", Some("skipped"), "", 0),
        (5, "Kündigung Café-Abo", "Zoe", Some("failed"), "account", 300),
    ] {
        let opened_ms = MONDAY_MS + (ticket - 1) / 2 * DAY_MS + ticket;
        let mut row = row(&run_id(ticket), ticket, outcome.is_none().then_some(0));
        row.subject = subject.to_owned();
        row.requester = requester.to_owned();
        row.outcome = outcome.map(str::to_owned);
        if outcome.is_some() {
            row.status = RunStatus::Closed;
            row.closed_ms = Some(opened_ms + 1_000);
        }
        row.category = (!category.is_empty()).then(|| category.to_owned());
        row.model = Some(if ticket == 2 { "claude-opus-4-7" } else { "claude-sonnet-4-6" }.to_owned());
        row.rule = (ticket == 2).then_some(RuleId::RefundLimit);
        row.asked_ms = opened_ms - 500;
        row.opened_ms = opened_ms;
        row.first_answer_ms = matches!(ticket, 1 | 2 | 5).then_some(opened_ms - 500 + ticket * 1_000);
        row.cost_micros = cost_micros;
        row.usage = Usage { input: 1, cache_write_5m: 2, cache_write_1h: 3, cache_read: 4, output: 5 };
        put(&store, beside(row)).await;
    }
    (folder, store)
}

fn tickets(rows: &[RunRow]) -> Vec<i64> {
    rows.iter().map(|row| row.ticket.0).collect()
}

#[tokio::test]
async fn lists_narrow_and_page() {
    let (_folder, store) = five_runs().await;
    let check = |filter: RunFilter, expected: &'static [i64]| {
        let store = &store;
        async move {
            let found = store.runs(&filter, None, 10).await.unwrap();
            assert_eq!(tickets(&found), expected, "{filter:?}");
        }
    };
    let all = RunFilter::default;
    let text = |text: &str| RunFilter { text: Some(text.to_owned()), ..RunFilter::default() };
    check(all(), &[5, 4, 3, 2, 1]).await;
    check(RunFilter { status: Some(RunStatus::Open), ..all() }, &[3]).await;
    check(RunFilter { status: Some(RunStatus::Closed), ..all() }, &[5, 4, 2, 1]).await;
    check(RunFilter { outcome: Some("escalated".to_owned()), ..all() }, &[2]).await;
    check(RunFilter { category: Some("refunds".to_owned()), ..all() }, &[3, 2]).await;
    check(RunFilter { model: Some("claude-opus-4-7".to_owned()), ..all() }, &[2]).await;
    check(RunFilter { ticket: Some(TicketId(4)), ..all() }, &[4]).await;
    check(RunFilter { since_ms: Some(MONDAY_MS + DAY_MS), ..all() }, &[5, 4, 3]).await;
    check(RunFilter { outcome: Some("resolved".to_owned()), since_ms: Some(MONDAY_MS + DAY_MS), ..all() }, &[]).await;
    check(text("refund"), &[3, 2]).await;
    check(text(" order  refund "), &[2]).await;
    check(text("zoe"), &[5, 1]).await;
    check(text("MULLER"), &[1]).await;
    check(text("kündig cafe"), &[5]).await;
    check(text("1042"), &[2]).await;
    check(text("3"), &[3]).await;
    check(text("#4"), &[4]).await;
    check(text("run_2_20"), &[2]).await;
    check(text("run_9_90"), &[]).await;
    check(text("nothing"), &[]).await;
    check(text("\"refund\" OR NOT (*) -order^"), &[]).await;
    check(text(" ?! "), &[5, 4, 3, 2, 1]).await;

    let first = store.runs(&all(), None, 2).await.unwrap();
    assert_eq!(tickets(&first), [5, 4]);
    let before = (first[1].opened_ms, first[1].run.clone());
    assert_eq!(tickets(&store.runs(&all(), Some(before), 2).await.unwrap()), [3, 2]);

    let run = store.run(&run_id(2)).await.unwrap().unwrap();
    assert_eq!((run.rule, run.cost_micros, run.usage.output), (Some(RuleId::RefundLimit), 900, 5));
    assert_eq!(store.run(&run_id(9)).await.unwrap(), None);
    assert_eq!(tickets(&store.runs_of_ticket(TicketId(3)).await.unwrap()), [3]);
}

#[tokio::test]
async fn a_row_is_what_the_last_append_made_it() {
    let (_folder, store) = five_runs().await;
    let lease = claim(&store, 0).await.unwrap();
    let mut row = store.run(&run_id(3)).await.unwrap().unwrap();
    row.subject = "Now about invoices".to_owned();
    row.status = RunStatus::WaitingVendor;
    row.reason = Some("stripe is busy".to_owned());
    row.language = Some("de".to_owned());
    row.wake_ms = Some(77);
    row.steps = 4;
    row.usage.cache_read = 40_000;
    row.unpriced_calls = 1;
    store.append(&lease, 1, vec![note(1)], beside(row.clone())).await.unwrap();
    assert_eq!(store.run(&run_id(3)).await.unwrap(), Some(row.clone()));
    let text = |text: &str| RunFilter { text: Some(text.to_owned()), ..RunFilter::default() };
    assert_eq!(tickets(&store.runs(&text("invoice"), None, 9).await.unwrap()), [3]);
    assert_eq!(tickets(&store.runs(&text("refund"), None, 9).await.unwrap()), [2]);
    row.status = RunStatus::Closed;
    row.outcome = Some("resolved".to_owned());
    row.closed_ms = Some(MONDAY_MS + DAY_MS + 9);
    row.wake_ms = None;
    store.append(&lease, 2, vec![note(2)], beside(row.clone())).await.unwrap();
    assert_eq!(store.run(&run_id(3)).await.unwrap(), Some(row));
}

#[tokio::test]
async fn figures_add_up() {
    let (_folder, store) = five_runs().await;
    let counts = store.counts(MONDAY_MS + 2 * DAY_MS).await.unwrap();
    assert_eq!(counts, Counts { open: 1, failed: 1, closed_today: 1, ..Counts::default() });
    assert_eq!(store.counts(MONDAY_MS + 9 * DAY_MS).await.unwrap().failed, 0);

    let days = store.outcomes_by_day(0, 0).await.unwrap();
    let shown: Vec<String> = days
        .iter()
        .map(|d| format!("{} {} {} {} {} {}", d.day, d.resolved, d.escalated, d.skipped, d.failed, d.open))
        .collect();
    assert_eq!(shown, ["2026-11-16 1 1 0 0 0", "2026-11-17 0 0 1 0 1", "2026-11-18 0 0 0 1 0"]);
    // Five hours behind UTC, all of them were opened the evening before.
    assert_eq!(store.outcomes_by_day(0, -5 * 3_600).await.unwrap()[0].day.to_string(), "2026-11-15");

    let categories = store.categories(0).await.unwrap();
    let row = |category: Option<&str>, runs, resolved, escalated, cost_micros| CategoryRow {
        category: category.map(str::to_owned),
        runs,
        resolved,
        escalated,
        cost_micros,
    };
    assert_eq!(
        categories,
        [
            row(Some("refunds"), 2, 0, 1, 950),
            row(None, 1, 0, 0, 0),
            row(Some("account"), 1, 0, 0, 300),
            row(Some("orders"), 1, 1, 0, 100),
        ]
    );
    assert_eq!(tickets(&store.costliest(0, 2).await.unwrap()), [2, 5]);
    let answer = store.first_answer(0).await.unwrap().unwrap();
    assert_eq!((answer.count, answer.median_ms, answer.p95_ms), (3, 2_000, 5_000));
    assert_eq!(store.first_answer(MONDAY_MS + 3 * DAY_MS).await.unwrap(), None);
}

#[tokio::test]
async fn costs_stand_by_category_and_outcome() {
    let (_folder, store) = five_runs().await;
    let shown = |rows: Vec<KindCosts>| {
        let line = |row: &KindCosts| (row.kind.clone().unwrap_or_default(), row.runs, row.resolved, row.cost_micros);
        rows.iter().map(line).collect::<Vec<_>>()
    };
    let line = |kind: &str, runs, resolved, micros| (kind.to_owned(), runs, resolved, micros);
    let by_category = store.costs_by_kind(0, Kind::Category).await.unwrap();
    assert_eq!(by_category[0].usage.cache_read, 8);
    assert_eq!(
        shown(by_category),
        [line("refunds", 2, 0, 950), line("account", 1, 0, 300), line("orders", 1, 1, 100), line("", 0, 0, 0)]
    );
    assert_eq!(
        shown(store.costs_by_kind(MONDAY_MS + DAY_MS, Kind::Outcome).await.unwrap()),
        [line("failed", 1, 0, 300), line("", 1, 0, 50), line("skipped", 0, 0, 0)]
    );
    let models = store.runs_by_model(MONDAY_MS + DAY_MS).await.unwrap();
    assert_eq!(models, [("claude-sonnet-4-6".to_owned(), 3)]);
}

#[tokio::test]
async fn what_a_run_had_cost_is_taken_down_when_its_worker_dies() {
    let (folder, store) = store();
    let mut run = row(&run_id(1), 1, Some(0));
    run.cost_micros = 70;
    run.usage = Usage { input: 1, cache_write_5m: 2, cache_write_1h: 3, cache_read: 4, output: 5 };
    put(&store, beside(run)).await;
    let ttl = std::time::Duration::from_millis(10);
    let lease = store.claim("one", 100, ttl).await.unwrap().unwrap().lease;
    store.release(lease).await.unwrap();
    assert_eq!(store.deaths(0).await.unwrap(), Deaths::default(), "given back");
    store.claim("one", 200, ttl).await.unwrap().unwrap();
    store.claim("two", 300, ttl).await.unwrap().unwrap();
    assert_eq!(store.deaths(0).await.unwrap(), Deaths { count: 1, tokens: 15, cost_micros: 70 }, "ran out");
    store.close().await;
    drop(store);
    let store = SqliteJournal::open(folder.path()).unwrap();
    assert_eq!(store.deaths(0).await.unwrap().count, 2, "the process ended under it");
    assert_eq!(store.deaths(250).await.unwrap(), Deaths { count: 1, tokens: 15, cost_micros: 70 });
}

#[tokio::test]
async fn calls_and_tools_are_summed() {
    let (_folder, store) = store();
    let call = |step, at_ms, model: &str, cost_micros| CallRow {
        step: StepNo(step),
        at_ms,
        kind: "turn".to_owned(),
        model: model.to_owned(),
        usage: Usage { input: 1, cache_write_5m: 2, cache_write_1h: 3, cache_read: 4, output: 5 },
        cost_micros,
        first_byte_ms: 10,
        took_ms: 20,
    };
    let tool = |step, tool: &str, is_error, took_ms| ToolRow {
        step: StepNo(step),
        at_ms: MONDAY_MS,
        tool: tool.to_owned(),
        is_error,
        took_ms,
        output_bytes: 100,
    };
    let mut projection = rows(1, Some(0));
    projection.calls = vec![
        call(1, MONDAY_MS, "sonnet", Some(7)),
        call(2, MONDAY_MS + DAY_MS, "opus", Some(30)),
        call(3, MONDAY_MS + DAY_MS, "opus", Some(40)),
        call(4, MONDAY_MS + DAY_MS, "unknown", None),
    ];
    projection.tools = vec![
        tool(1, "get_customer", false, 10),
        tool(2, "get_customer", true, 21),
        tool(3, "create_refund", false, 300),
    ];
    put(&store, projection).await;
    put(&store, closed(2, "skipped")).await;
    put(&store, closed(3, "resolved")).await;

    let totals = store.cost_totals(0).await.unwrap();
    assert_eq!((totals.runs, totals.resolved, totals.calls, totals.unpriced_calls), (2, 1, 4, 1));
    assert_eq!((totals.cost_micros, totals.usage.cache_read, totals.usage.prompt()), (77, 16, 40));
    let later = store.cost_totals(MONDAY_MS + 3 * DAY_MS).await.unwrap();
    assert_eq!((later.calls, later.cost_micros, later.runs), (0, 0, 0));

    let days = store.costs_by_day(0, 0).await.unwrap();
    let shown: Vec<String> =
        days.iter().map(|d| format!("{} {} {} {}", d.day.unwrap(), d.model, d.calls, d.cost_micros)).collect();
    assert_eq!(shown, ["2026-11-16 sonnet 1 7", "2026-11-17 opus 2 70", "2026-11-17 unknown 1 0"]);
    let models = store.costs_by_model(0).await.unwrap();
    let shown: Vec<_> = models.iter().map(|m| (m.model.as_str(), m.cost_micros, m.unpriced_calls, m.day)).collect();
    assert_eq!(shown, [("opus", 70, 0, None), ("sonnet", 7, 0, None), ("unknown", 0, 1, None)]);
    let tools = store.tool_use(0).await.unwrap();
    let shown: Vec<_> = tools.iter().map(|t| (t.tool.as_str(), t.uses, t.errors, t.output_bytes, t.took_ms)).collect();
    assert_eq!(shown, [("get_customer", 2, 1, 200, 15), ("create_refund", 1, 0, 100, 300)]);
}

fn approval(ticket: i64, step: u32, due_ms: i64) -> ApprovalRow {
    let input = serde_json::json!({
        "payment": "pay_1", "amount_minor": 74_000, "currency": "usd", "reason": "duplicate", "explanation": "charged twice",
    });
    ApprovalRow {
        approval: ApprovalId::for_step(&run_id(ticket), StepNo(step)),
        run: run_id(ticket),
        step: StepNo(step),
        state: ApprovalState::Waiting,
        rule: RuleId::RefundLimit,
        why: "above $500.00".to_owned(),
        intent: Intent::parse("create_refund", &input).unwrap(),
        amount: Some(Money::usd(74_000)),
        customer: "Ada".to_owned(),
        subject: "Refund".to_owned(),
        requested_ms: MONDAY_MS + ticket,
        due_ms,
        decision: None,
        decided_by: None,
        decided_ms: None,
        hold_until_ms: None,
    }
}

#[tokio::test]
async fn the_inbox_shows_what_waits_by_urgency() {
    let (_folder, store) = store();
    for (ticket, due_ms) in [(1, 300), (2, 100), (3, 200)] {
        put(&store, Projection { approvals: vec![approval(ticket, 4, due_ms)], ..rows(ticket, None) }).await;
    }
    let mut held = ApprovalRow {
        state: ApprovalState::Held,
        decision: Some("approve".to_owned()),
        decided_by: Some("ada@example.com".to_owned()),
        decided_ms: Some(MONDAY_MS),
        hold_until_ms: Some(MONDAY_MS + 60_000),
        ..approval(2, 4, 100)
    };
    held.amount = None;
    let projection = Projection { approvals: vec![held.clone()], ..rows(2, None) };
    store.interject(&run_id(2), 1, vec![note(1)], projection).await.unwrap();

    let steps = |rows: Vec<ApprovalRow>| rows.into_iter().map(|row| row.run).collect::<Vec<_>>();
    let list = |filter| store.approvals(filter, 10);
    assert_eq!(steps(list(ApprovalFilter::Waiting).await.unwrap()), [run_id(3), run_id(1)]);
    assert_eq!(list(ApprovalFilter::Decided).await.unwrap(), [held.clone()]);
    assert_eq!(steps(list(ApprovalFilter::All).await.unwrap()), [run_id(3), run_id(2), run_id(1)]);
    assert_eq!(store.approval(&held.approval).await.unwrap(), Some(held.clone()));
    assert_eq!(store.approval(&ApprovalId::for_step(&run_id(9), StepNo(1))).await.unwrap(), None);
    assert_eq!(store.approvals_of_run(&run_id(2)).await.unwrap(), [held]);
    let counts = store.counts(MONDAY_MS).await.unwrap();
    assert_eq!((counts.waiting_approvals, counts.held, counts.open), (2, 1, 3));
}

#[tokio::test]
async fn lists_use_their_indexes() {
    let (folder, _store) = store();
    let outside = rusqlite::Connection::open(folder.path().join("deskhand.db")).unwrap();
    let check = |filter: RunFilter, index: &str| {
        let (sql, values) = super::super::views::runs_query(&filter, Some(&(MONDAY_MS, run_id(1))), 50);
        let plan = super::file::plan(&outside, &sql, rusqlite::params_from_iter(values));
        assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{filter:?}: {plan}");
    };
    let all = RunFilter::default;
    check(all(), "runs_opened");
    check(RunFilter { status: Some(RunStatus::WaitingVendor), ..all() }, "runs_status");
    check(RunFilter { outcome: Some("failed".to_owned()), ..all() }, "runs_outcome");
    check(RunFilter { attention: true, since_ms: Some(1), ..all() }, "runs_attention");
    check(RunFilter { category: Some("refunds".to_owned()), ..all() }, "runs_category");
}
