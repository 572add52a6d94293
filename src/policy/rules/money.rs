//! Refunds. Amounts come from the vendor's records, in minor units; sums are exact and checked. A refund is judged against
//! three limits that are the same number: by itself, with the refunds of its order, with the customer's refunds in the window.
//! One that equals an earlier one of its payment needs a person, whoever made that.

use jiff::SignedDuration;

use crate::account::{AccountRead, Payment, Refund};
use crate::ids::{IdempotencyKey, PaymentId};
use crate::intent::CreateRefund;
use crate::money::{Currency, Money};
use crate::policy::facts::{ConfirmedEffect, Facts};
use crate::policy::{Judgement, Policy, RuleId, Verdict};

/// Judges a refund. Exactly the limit is allowed; what cannot be summed without overflow is above every limit.
pub(super) fn judge_refund(facts: &Facts, refund: &CreateRefund, policy: &Policy) -> Judgement {
    let amount = refund.amount();
    let not_refundable = |why: String, hint: &str| {
        let reason = format!("{why}; {hint}");
        Judgement::new(RuleId::NotRefundable, Verdict::Refuse { reason }, why)
            .with("payment", refund.payment.as_str())
            .with("amount_minor", amount.minor)
            .with("currency", amount.currency.as_str())
    };
    let Some((account, payment)) = facts.account.and_then(|account| Some((account, account.payment(&refund.payment)?)))
    else {
        return not_refundable(
            format!("payment `{}` was not found", refund.payment),
            "use `get_order_status` to see this customer's payments",
        );
    };
    if amount.minor <= 0 {
        return not_refundable("the amount must be above 0".into(), "give the amount in minor units");
    }
    if amount.currency != payment.amount.currency {
        return not_refundable(
            format!("payment `{}` is in {}, not in {}", payment.id, payment.amount.currency, amount.currency),
            "use the payment's currency",
        );
    }
    if payment.disputed {
        return not_refundable(
            format!("payment `{}` is disputed at the bank", payment.id),
            "call `escalate_to_human` with reason `ambiguous_account`",
        );
    }
    if payment.status != "succeeded" {
        return not_refundable(
            format!("payment `{}` is `{}`, so no money came in that could go back", payment.id, payment.status),
            "tell the customer, or call `escalate_to_human`",
        );
    }
    let twin = facts.effects.iter().any(|effect| {
        matches!(effect, ConfirmedEffect::Refund { payment, amount: done, status, .. }
            if *payment == refund.payment && *done == amount && counts(status))
    });
    if twin {
        let why = format!("{amount} of payment `{}` was already refunded in this run", payment.id);
        return Judgement::new(RuleId::Repeated, Verdict::Escalate, why)
            .with("payment", refund.payment.as_str())
            .with("amount_minor", amount.minor);
    }
    let fresh = fresh_refunds(facts.effects, payment);
    let Some(rest) = fresh.and_then(|fresh| payment.refundable.minor.checked_sub(fresh)) else {
        return not_refundable("the refunds of this run do not add up".into(), "call `escalate_to_human`");
    };
    if amount.minor > rest {
        let left = Money::new(rest.max(0), amount.currency);
        let hint = if rest > 0 { "ask for at most that much" } else { "nothing of it can go back any more" };
        return not_refundable(format!("of payment `{}` only {left} can still go back", payment.id), hint)
            .with("refundable_minor", rest.max(0));
    }
    let Some(limit) = policy.refund_limit_minor.get(&amount.currency).copied() else {
        let why = format!("no refund limit is set for {}", amount.currency.as_str().to_ascii_uppercase());
        return Judgement::new(RuleId::CurrencyWithoutLimit, Verdict::Escalate, why)
            .with("payment", refund.payment.as_str())
            .with("amount_minor", amount.minor)
            .with("currency", amount.currency.as_str());
    };
    let sums = Sums::of(facts, account, payment, amount, policy);
    judge_sums(refund, amount, rest, limit, &sums, policy)
}

/// What a refund is judged as that this run made and forgot; `None`: it was not made.
pub(super) fn judge_made(facts: &Facts, refund: &CreateRefund) -> Option<Judgement> {
    let made = made_already(facts, refund)?;
    let why = format!("this run made it already, as refund `{}`; it is only looked up", made.id);
    let judgement = Judgement::new(RuleId::None, Verdict::Allow, why)
        .with("payment", refund.payment.as_str())
        .with("amount_minor", refund.amount().minor)
        .with("currency", refund.amount().currency.as_str())
        .with("refund", made.id.as_str());
    Some(judgement)
}

/// This very refund, when the vendor's records show it under a key of this run and its entries do not know of it: the journal
/// was put back from a backup that is older. Whoever asks for it again is told that it happened; it is never made anew.
///
/// To be asked with all effects of the run: a refund that the entries know would be taken for a forgotten one without them.
pub fn made_already<'a>(facts: &Facts<'a>, refund: &CreateRefund) -> Option<&'a Refund> {
    let payment = facts.account?.payment(&refund.payment)?;
    let amount = refund.amount();
    let known = facts.effects.iter().filter(|effect| {
        matches!(effect, ConfirmedEffect::Refund { payment, amount: done, status, .. }
            if *payment == refund.payment && *done == amount && counts(status))
    });
    let is_own = |made: &&Refund| made.effect_key.as_deref().is_some_and(|key| IdempotencyKey::is_of(key, facts.run));
    let mut shown: Vec<&Refund> =
        payment.refunds.iter().filter(|made| made.counts() && made.amount == amount).filter(is_own).collect();
    // The known ones are the oldest: what was forgotten came after them.
    shown.sort_by_key(|made| made.created_at);
    shown.into_iter().nth(known.count())
}

fn judge_sums(refund: &CreateRefund, amount: Money, rest: i64, limit: i64, sums: &Sums, policy: &Policy) -> Judgement {
    let limit_shown = Money::new(limit, amount.currency);
    let total = |before: Option<i64>| before.and_then(|sum| sum.checked_add(amount.minor));
    let order_total = total(sums.order);
    let customer_total = total(sums.customer);
    let days = policy.refund_window_days;

    let (rule, verdict, why) = if let Some(twin) = &sums.twin {
        let why = format!("{amount} of payment `{}` went back already, as refund `{}`", refund.payment, twin.id);
        (RuleId::Repeated, Verdict::NeedsApproval, why)
    } else if amount.minor > limit {
        let why = format!("the refund of {amount} is above the limit of {limit_shown}");
        (RuleId::RefundLimit, Verdict::NeedsApproval, why)
    } else if order_total.is_none_or(|sum| sum > limit) {
        let why = format!(
            "with {} already refunded of the same order, {amount} make {}, above the limit of {limit_shown}",
            shown(sums.order, amount.currency),
            shown(order_total, amount.currency)
        );
        (RuleId::RefundSum, Verdict::NeedsApproval, why)
    } else if customer_total.is_none_or(|sum| sum > limit) {
        let why = format!(
            "with {} refunded to this customer in {days} days, {amount} make {}, above the limit of {limit_shown}",
            shown(sums.customer, amount.currency),
            shown(customer_total, amount.currency)
        );
        (RuleId::RefundSum, Verdict::NeedsApproval, why)
    } else {
        (RuleId::None, Verdict::Allow, format!("{amount} is within the limit of {limit_shown}, alone and summed"))
    };
    let mut judgement = Judgement::new(rule, verdict, why)
        .with("payment", refund.payment.as_str())
        .with("amount_minor", amount.minor)
        .with("currency", amount.currency.as_str())
        .with("limit_minor", limit)
        .with("refundable_minor", rest)
        .with("order_refunded_minor", sums.order)
        .with("customer_refunded_minor", sums.customer)
        .with("window_days", policy.refund_window_days);
    // Each currency has its own limit and its own sum; what went back in others is shown to whoever reads the judgement.
    if !sums.other_currencies.is_empty() {
        let list: Vec<String> = sums.other_currencies.iter().map(Money::to_string).collect();
        judgement = judgement.with("other_currencies", list);
    }
    if let Some(order) = &sums.order_id {
        judgement = judgement.with("order", order.as_str());
    }
    judgement
}

fn shown(minor: Option<i64>, currency: Currency) -> String {
    minor.map_or_else(|| "more than can be counted".to_owned(), |minor| Money::new(minor, currency).to_string())
}

/// Whether a refund with this status is back or on its way.
fn counts(status: &str) -> bool {
    !matches!(status, "failed" | "canceled")
}

/// What went back before this refund, in its currency's minor units; `None` when it cannot be summed.
struct Sums {
    order: Option<i64>,
    customer: Option<i64>,
    order_id: Option<crate::ids::OrderId>,
    /// An equal refund of the same payment, whoever made it.
    twin: Option<Refund>,
    other_currencies: Vec<Money>,
}

impl Sums {
    fn of(facts: &Facts, account: &AccountRead, payment: &Payment, amount: Money, policy: &Policy) -> Sums {
        let currency = amount.currency;
        let order_id = order_of(account, payment);
        // Without an order the payment stands for itself: two halves of one renewal are one refund in two parts.
        let same_order = |other: &Payment| match &order_id {
            Some(order) => order_of(account, other).as_ref() == Some(order),
            None => other.id == payment.id,
        };
        let since = facts
            .now
            .checked_sub(SignedDuration::from_hours(24 * i64::from(policy.refund_window_days)))
            .unwrap_or(jiff::Timestamp::MIN);
        let mut order = Some(0_i64);
        let mut customer = Some(0_i64);
        let mut other_currencies = Vec::new();
        // One under a key of this run that its entries do not know was forgotten with a backup: the tool finds it again.
        let is_own =
            |refund: &Refund| refund.effect_key.as_deref().is_some_and(|key| IdempotencyKey::is_of(key, facts.run));
        let is_twin = |refund: &&Refund| refund.counts() && refund.amount == amount && !is_own(refund);
        let twin = payment.refunds.iter().find(is_twin).cloned();
        let add = |sum: &mut Option<i64>, minor: i64| *sum = sum.and_then(|s| s.checked_add(minor));
        for paid in &account.payments {
            for refund in paid.refunds.iter().filter(|refund| refund.counts()) {
                // The window is closed at its old end: a refund of exactly so many days ago still counts.
                let within = refund.created_at >= since;
                if refund.amount.currency != currency {
                    if within {
                        other_currencies.push(refund.amount);
                    }
                    continue;
                }
                if same_order(paid) {
                    add(&mut order, refund.amount.minor);
                }
                if within {
                    add(&mut customer, refund.amount.minor);
                }
            }
        }
        for effect in facts.effects {
            let ConfirmedEffect::Refund { payment: refunded, order: settled, amount, status } = effect else {
                continue;
            };
            if !counts(status) {
                continue;
            }
            if amount.currency != currency {
                other_currencies.push(*amount);
                continue;
            }
            let paid = account.payment(refunded);
            let of_order = paid.is_some_and(same_order) || (order_id.is_some() && *settled == order_id);
            if of_order {
                add(&mut order, amount.minor);
            }
            add(&mut customer, amount.minor);
        }
        Sums { order, customer, order_id, twin, other_currencies }
    }
}

/// The order that a payment settled, by the payment's record or by the order's.
fn order_of(account: &AccountRead, payment: &Payment) -> Option<crate::ids::OrderId> {
    payment.order.clone().or_else(|| {
        let order = account.orders.iter().find(|order| order.payments.contains(&payment.id))?;
        Some(order.id.clone())
    })
}

/// What this run already gave back of a payment, in minor units.
fn fresh_refunds(effects: &[ConfirmedEffect], payment: &Payment) -> Option<i64> {
    fn of<'a>(effect: &'a ConfirmedEffect, id: &PaymentId) -> Option<&'a Money> {
        match effect {
            ConfirmedEffect::Refund { payment, amount, status, .. } if payment == id && counts(status) => Some(amount),
            _ => None,
        }
    }
    effects
        .iter()
        .filter_map(|effect| of(effect, &payment.id))
        .try_fold(0_i64, |sum, amount| sum.checked_add(amount.minor))
}
