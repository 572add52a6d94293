//! The router's answer from heuristics over the ticket's text.

use serde_json::{Map, Value, json};

use super::case::{Case, Want};
use super::conversation::{Conversation, Used};
use super::figures;
use super::knowledge;
use super::signals;
use super::text::{self, folded_words};

/// The fields of Deskhand's router for this text. `opening` is the user message: the ticket's number, then JSON or plain text.
pub fn route(opening: &str) -> Map<String, Value> {
    let ticket = read(opening);
    let own = text::own_part(&ticket.newest);
    let about = format!("{}\n{own}", ticket.subject);
    let words = folded_words(&about);
    let money = signals::money_back(&words, &about) || signals::duplicate(&words);
    let churn = signals::churn(&words);
    let legal = signals::legal(&words);
    let spam = signals::spam(&words);
    let wants_person = signals::wants_person(&words);
    let questions = own.matches('?').count();
    let angry = signals::angry(&words, &about);
    let long = ticket.messages > 3 || words.len() > 220;
    let complex =
        money || questions > 2 || angry || long || legal || churn || figures::seats(&about).is_some() && questions > 1;
    let category = if spam {
        "spam"
    } else if legal {
        "legal"
    } else if churn {
        "cancellation"
    } else if money {
        "refund"
    } else if signals::billing_date(&words) || signals::pause(&words) || signals::resume(&words) {
        "billing"
    } else if signals::order_status(&words) {
        "order"
    } else if signals::account(&words) || figures::seats(&about).is_some() {
        "account"
    } else if signals::how_to(&words, &about) {
        "how_to"
    } else {
        "other"
    };
    let first =
        text::sentences(&own).into_iter().find(|s| text::words(s).len() > 3).unwrap_or_else(|| ticket.subject.clone());
    let summary: String = first.chars().take(160).collect();
    let fields = json!({
        "category": category,
        "language": text::language_code(if own.trim().is_empty() { &ticket.subject } else { &own }),
        "complexity": if complex { "complex" } else { "simple" },
        "churn": churn,
        "wants_person": wants_person,
        "legal": legal,
        "asks_refund": money,
        "spam": spam,
        "search": search(&ticket),
        "summary": if summary.trim().is_empty() { "The message has no text.".to_owned() } else { summary },
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// What to look for in the help center: for a question of how something is done, its words; for money back, the rule.
fn search(ticket: &Read) -> String {
    let message = json!({"from": "customer", "at": "", "text": ticket.newest});
    let this = json!({"this_ticket": {"subject": ticket.subject, "messages": [message]}});
    let read = Used { tool: "get_recent_tickets".into(), input: json!({}), value: this, error: false };
    let talk = Conversation { facts: vec![read], ..Conversation::default() };
    let case = Case::read(&talk);
    match case.wants.contains(&Want::HowTo) {
        true => knowledge::queries(&case).into_iter().next().unwrap_or_default(),
        false => String::new(),
    }
}

/// The customer's newest message in the router's user message.
pub fn newest(opening: &str) -> String {
    read(opening).newest
}

#[derive(Default)]
struct Read {
    subject: String,
    newest: String,
    messages: usize,
}

/// Finds subject and newest customer message in the router's JSON, whatever its exact keys; plain text is taken whole.
fn read(opening: &str) -> Read {
    let json = opening.find('{').and_then(|at| {
        serde_json::Deserializer::from_str(&opening[at..]).into_iter::<Value>().next().and_then(Result::ok)
    });
    let Some(json) = json else {
        let rest = opening.split_once('\n').map_or(opening, |(_, rest)| rest);
        return Read { newest: rest.to_owned(), messages: 1, ..Read::default() };
    };
    let mut read = Read::default();
    let mut customer = Vec::new();
    collect(&json, "", &mut read, &mut customer);
    if let Some(newest) = customer.pop() {
        read.newest = newest;
    }
    read
}

fn collect(value: &Value, key: &str, read: &mut Read, customer: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            let from = fields.get("from").or_else(|| fields.get("author")).and_then(Value::as_str);
            let said = fields.get("text").or_else(|| fields.get("body")).and_then(Value::as_str);
            if let Some(said) = said {
                read.messages += 1;
                if from.is_none_or(|from| ["customer", "requester", "end_user"].contains(&from)) {
                    customer.push(said.to_owned());
                }
            }
            for (key, inner) in fields {
                collect(inner, key, read, customer);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, key, read, customer)),
        Value::String(text) if key == "subject" && read.subject.is_empty() => read.subject = text.clone(),
        // A text without an author around it, such as `newest`.
        Value::String(text) if ["newest", "message", "newest_message"].contains(&key) => customer.push(text.clone()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Map<String, Value> {
        let ticket = json!({"subject": "", "messages": [{"from": "customer", "at": "x", "text": text}]});
        route(&format!("Ticket 7\n{ticket}"))
    }

    #[test]
    fn signals_in_five_languages() {
        // text, churn, wants a person, legal, asks for a refund, spam
        let check = |text: &str, expected: &str| {
            let route = of(text);
            let on: Vec<&str> = ["churn", "wants_person", "legal", "asks_refund", "spam"]
                .into_iter()
                .filter(|key| route[*key] == true)
                .collect();
            assert_eq!(on.join(" "), expected, "{text}");
        };
        check("Where is order BS-10401? Is there a tracking number?", "");
        check("Please cancel our subscription at the end of the month.", "churn");
        check("I need to cancel my appointment tomorrow at 3pm with a customer.", "");
        check("Please cancel my order BS-1, I ordered by mistake.", "");
        check("hiermit kündige ich unser Team-Abonnement fristgerecht", "churn");
        check("Je souhaite résilier notre abonnement à cette date.", "churn");
        check("Queremos dar de baja nuestra suscripción.", "churn");
        check("Quero cancelar minha assinatura, por favor.", "churn");
        check("Can you move us down to Team? A downgrade is fine.", "churn");
        check("I'm cancelling my Slotwise subscription this week and coming to you for good", "");
        check("Would it be possible to speak with a real person about it?", "wants_person");
        check("GET ME A HUMAN BEING on this.", "wants_person");
        check("Ich möchte das mit einem Mitarbeiter persönlich besprechen.", "wants_person");
        check("¿Podría hablar con una persona del equipo?", "wants_person");
        check("Quero falar com uma pessoa, por favor.", "wants_person");
        check("Je voudrais parler à quelqu'un.", "wants_person");
        check("our attorney will file a claim", "legal");
        check("Conformément au RGPD, je vous demande l'effacement de mes données", "legal");
        check("I'm disputing the charge with my bank. Chargeback.", "legal");
        check("Bitte erstatten Sie uns eine der beiden Zahlungen.", "asks_refund");
        check("Serait-il possible de nous rembourser la moitié ?", "asks_refund");
        check("¿Me pueden devolver los 239 €?", "asks_refund");
        check("Quero o meu dinheiro de volta.", "asks_refund");
        check("We are an SEO agency and guarantee backlinks", "spam");
    }

    #[test]
    fn money_anger_and_length_are_complex() {
        let check = |text: &str, complexity: &str, category: &str| {
            let route = of(text);
            assert_eq!((&route["complexity"], &route["category"]), (&json!(complexity), &json!(category)), "{text}");
        };
        check("How do I turn on the waiting list?", "simple", "how_to");
        check("Where is my order?", "simple", "order");
        check("Please refund order BS-1.", "complex", "refund");
        check("WHY IS NOTHING WORKING HERE SINCE YESTERDAY", "complex", "how_to");
        check("Can I a? Can I b? Can I c?", "complex", "how_to");
    }

    #[test]
    fn the_newest_message_of_the_customer_counts() {
        let ticket = json!({"ticket": {"subject": "s", "messages": [
            {"from": "customer", "text": "Please refund me"}, {"from": "agent", "text": "done"},
            {"from": "customer", "text": "Merci beaucoup pour votre aide, nous sommes contents"}]}});
        let route = route(&format!("Ticket 7\n{ticket}"));
        assert_eq!((&route["language"], &route["asks_refund"]), (&json!("fr"), &json!(false)));
    }
}
