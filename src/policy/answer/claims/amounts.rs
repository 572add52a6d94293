//! Amounts of money in an answer, and the amounts that are confirmed.

use crate::money::{Currency, Money};
use crate::policy::facts::{ConfirmedEffect, Facts};

/// An amount as an answer says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    /// As written.
    pub(super) text: String,
    /// The currencies that the mark can stand for; empty for a `$` of whatever country.
    currency: Option<Currency>,
    /// The digits before the fraction.
    whole: i64,
    /// The digits after it, at most three.
    fraction: String,
    /// Whether it says what something cost rather than what went back: `of the $98.00`, `sur les 110 €`.
    base: bool,
}

impl Said {
    /// The amount in minor units of this currency; `None` when it cannot be one of this currency.
    fn minor(&self, currency: Currency) -> Option<i64> {
        if self.currency.is_some_and(|said| said != currency) {
            return None;
        }
        let scale = currency.scale() as usize;
        if self.fraction.len() > scale && self.fraction[scale..].bytes().any(|b| b != b'0') {
            return None;
        }
        let fraction: String = self.fraction.chars().chain("000".chars()).take(scale).collect();
        let unit = 10_i64.pow(currency.scale());
        self.whole.checked_mul(unit)?.checked_add(fraction.parse().unwrap_or(0))
    }

    fn is(&self, money: Money) -> bool {
        self.minor(money.currency) == Some(money.minor)
    }
}

/// Marks of currencies, before or after a number.
const MARKS: &[(&str, &str)] = &[
    ("us$", "usd"),
    ("usd", "usd"),
    ("dollars", "usd"),
    ("dollar", "usd"),
    ("dólares", "usd"),
    ("$", ""),
    ("€", "eur"),
    ("euros", "eur"),
    ("euro", "eur"),
    ("eur", "eur"),
    ("£", "gbp"),
    ("gbp", "gbp"),
    ("pounds", "gbp"),
    ("¥", "jpy"),
    ("jpy", "jpy"),
    ("yen", "jpy"),
    ("chf", "chf"),
    ("r$", "brl"),
    ("brl", "brl"),
    ("cad", "cad"),
    ("aud", "aud"),
    ("kwd", "kwd"),
    ("sek", "sek"),
    ("dkk", "dkk"),
    ("nok", "nok"),
    ("pln", "pln"),
    ("reais", "brl"),
];

/// All amounts in a text that carry a mark of a currency.
pub(super) fn read(text: &str) -> Vec<Said> {
    let chars: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        if !chars[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let mut end = at;
        while end < chars.len() {
            let c = chars[end];
            let digit_next = chars.get(end + 1).is_some_and(char::is_ascii_digit);
            let group_next = (1..=3).all(|i| chars.get(end + i).is_some_and(char::is_ascii_digit))
                && !chars.get(end + 4).is_some_and(char::is_ascii_digit);
            let inside = c.is_ascii_digit()
                || (matches!(c, '.' | ',' | '’' | '\'') && digit_next)
                || (matches!(c, ' ' | '\u{a0}' | '\u{202f}') && group_next && end - at <= 3);
            if !inside {
                break;
            }
            end += 1;
        }
        let number: String = chars[at..end].iter().collect();
        let before: String = chars[at.saturating_sub(10)..at].iter().collect::<String>().to_lowercase();
        let after: String = chars[end..chars.len().min(end + 10)].iter().collect::<String>().to_lowercase();
        let (before_trim, after_trim) = (before.trim_end(), after.trim_start());
        let mark = MARKS.iter().find(|(mark, _)| {
            let stands =
                |rest: Option<char>| !rest.is_some_and(char::is_alphabetic) || !mark.ends_with(char::is_alphabetic);
            let ends = before_trim.strip_suffix(mark).is_some_and(|rest| stands(rest.chars().next_back()));
            let starts = after_trim.strip_prefix(mark).is_some_and(|rest| stands(rest.chars().next()));
            ends || starts
        });
        if let Some((_, code)) = mark
            && let Some((whole, fraction)) = split(&number)
        {
            let from = at.saturating_sub(24);
            let lead: String = chars[from..at].iter().collect::<String>().to_lowercase();
            let lead = lead.trim_end_matches(|c: char| !c.is_alphabetic()).trim_end_matches("us").trim_end();
            let behind: String = chars[end..chars.len().min(end + 24)].iter().collect::<String>().to_lowercase();
            let marks_base = [
                "of the", "out of", "of your", "sur les", "sur", "von den", "von", "de los", "dos", "das", "de las",
                "from the",
            ];
            let paid = ["you paid", "paid", "bezahlt", "payé", "que vous avez", "que pagó", "que pagou"];
            let base = !found.is_empty() && marks_base.iter().any(|m| lead.ends_with(m))
                || paid.iter().any(|p| behind.trim_start_matches(|c: char| !c.is_alphabetic()).starts_with(p));
            found.push(Said { text: number, currency: code.parse().ok(), whole, fraction, base });
        }
        at = end.max(at + 1);
    }
    found
}

/// `1,249.00`, `1.249,00`, `1 249,00`, `49`: the whole and the fraction.
fn split(number: &str) -> Option<(i64, String)> {
    let plain: String = number.chars().filter(|c| !matches!(c, ' ' | '\u{a0}' | '\u{202f}' | '\'' | '’')).collect();
    let last = plain.rfind(['.', ',']);
    let (whole, fraction) = match last {
        // Three digits after the only mark are a group of thousands, except after a lone zero.
        Some(at) if plain.len() - at - 1 == 3 && plain.matches(['.', ',']).count() == 1 && &plain[..at] != "0" => {
            (plain.as_str(), "")
        }
        Some(at) if plain.len() - at - 1 <= 3 => {
            let mark = plain.as_bytes()[at];
            let repeated = plain.bytes().filter(|b| *b == mark).count() > 1;
            if repeated { (plain.as_str(), "") } else { (&plain[..at], &plain[at + 1..]) }
        }
        Some(_) => return None,
        None => (plain.as_str(), ""),
    };
    let digits: String = whole.chars().filter(char::is_ascii_digit).collect();
    Some((digits.parse().ok()?, fraction.to_owned()))
}

/// The refunds of this run that count.
pub(super) fn of_run(facts: &Facts) -> Vec<Money> {
    facts
        .effects
        .iter()
        .filter_map(|effect| match effect {
            ConfirmedEffect::Refund { amount, status, .. } if !matches!(status.as_str(), "failed" | "canceled") => {
                Some(*amount)
            }
            _ => None,
        })
        .collect()
}

/// The refunds in the vendor's records that count.
pub(super) fn on_record(facts: &Facts) -> Vec<Money> {
    let payments = facts.account.map_or(&[][..], |account| account.payments.as_slice());
    payments.iter().flat_map(|p| &p.refunds).filter(|r| r.counts()).map(|r| r.amount).collect()
}

/// Orders of which something went back, by id and printed number.
pub(super) fn refunded_orders(facts: &Facts) -> Vec<String> {
    let Some(account) = facts.account else { return Vec::new() };
    let mut names = Vec::new();
    for payment in account.payments.iter().filter(|p| p.refunds.iter().any(|r| r.counts())) {
        names.push(payment.id.to_string());
        for order in &account.orders {
            if payment.order.as_ref() == Some(&order.id) || order.payments.contains(&payment.id) {
                names.push(order.id.to_string());
                names.extend(order.number.clone());
            }
        }
        names.extend(payment.order.as_ref().map(ToString::to_string));
    }
    names
}

/// The confirmed refunds as people read them.
pub(super) fn shown(facts: &Facts) -> String {
    let all: Vec<String> = of_run(facts).iter().chain(&on_record(facts)).map(Money::to_string).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

/// What else the records hold that an answer may name beside a refund: prices, payments, what is left.
fn known(facts: &Facts) -> Vec<Money> {
    let Some(account) = facts.account else { return Vec::new() };
    let mut all = Vec::new();
    for payment in &account.payments {
        all.extend([payment.amount, payment.refundable]);
    }
    for order in &account.orders {
        all.push(order.total);
        all.extend(order.items.iter().map(|item| item.total));
    }
    all.extend(account.plans.iter().map(|plan| plan.price));
    all.extend(account.subscriptions.iter().map(|subscription| subscription.plan.price));
    all
}

/// Whether the amounts of a sentence that claims a refund are borne out; else the amount that is not.
pub(super) fn borne_out(facts: &Facts, said: &[Said]) -> Result<(), String> {
    let fresh = of_run(facts);
    let mut confirmed = fresh.clone();
    confirmed.extend(on_record(facts));
    // Several refunds of this run may be named by their sum.
    let sum =
        fresh.split_first().and_then(|(first, rest)| rest.iter().try_fold(*first, |sum, next| sum.checked_add(*next)));
    confirmed.extend(sum);
    let known = known(facts);
    let claims: Vec<&Said> = said.iter().filter(|amount| !amount.base).collect();
    let is_confirmed = |amount: &Said| confirmed.iter().any(|money| amount.is(*money));
    let Some(first) = claims.first() else {
        // Only what was paid is named; the refund itself must be one of this run.
        return if fresh.is_empty() { Err(said[0].text.clone()) } else { Ok(()) };
    };
    if !is_confirmed(first) {
        return Err(first.text.clone());
    }
    for amount in said {
        let of_records = known.iter().any(|money| amount.is(*money));
        let borne_out = is_confirmed(amount) || (amount.base && of_records) || adds_up(&claims, &confirmed);
        if !borne_out {
            return Err(amount.text.clone());
        }
    }
    Ok(())
}

/// Whether the later amounts are the parts of the first: `$173.00 ($149.00 and $24.00)`.
fn adds_up(claims: &[&Said], confirmed: &[Money]) -> bool {
    let Some((first, parts)) = claims.split_first() else { return false };
    confirmed.iter().filter(|money| first.is(**money)).any(|money| {
        let sum: Option<i64> = parts.iter().try_fold(0_i64, |sum, part| sum.checked_add(part.minor(money.currency)?));
        !parts.is_empty() && sum == Some(money.minor)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_people_write_them() {
        let check = |text: &str, currency: &str, expected: &[i64]| {
            let currency: Currency = currency.parse().unwrap();
            let minor: Vec<i64> = read(text).iter().filter_map(|said| said.minor(currency)).collect();
            assert_eq!(minor, expected, "{text}");
        };
        check("I have refunded $1,249.00 today", "usd", &[124_900]);
        check("49,00 $ erstattet", "usd", &[4_900]);
        check("1.249,00 € und 5 bis 10 Werktage", "eur", &[124_900]);
        check("1 249,50 € remboursés", "eur", &[124_950]);
        check("£49 of the £98.00 you paid", "gbp", &[4_900, 9_800]);
        check("5,000 JPY", "jpy", &[5_000]);
        check("¥5,000", "jpy", &[5_000]);
        check("1.234 KWD", "kwd", &[1_234_000]);
        check("USD 20", "usd", &[2_000]);
        check("order 10401 of 12 November", "usd", &[]);
        check("$5,00", "usd", &[500]);
    }
}
