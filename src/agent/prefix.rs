//! What stands before the messages in every request of one kind: model, options, tools, system. These are the same bytes each
//! time and by far the most of a request, so they are written and hashed once; a request adds its messages to them. What is
//! said in it is `conversation.rs`'s business.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::agent::conversation::{Asking, Request};

/// The bytes before the messages, and the state of the hash after them.
#[derive(Debug)]
pub struct Prefix {
    text: String,
    hashed: Sha256,
}

impl Prefix {
    /// `head` is written as a JSON object; `messages` will be its last member.
    pub fn new(head: &impl Serialize) -> Self {
        let mut text = serde_json::to_string(head).expect("a head of strings and numbers always serialises");
        let closed = text.pop();
        debug_assert_eq!(closed, Some('}'), "a head is an object");
        text.push_str(",\"messages\":");
        let mut hashed = Sha256::new();
        hashed.update(text.as_bytes());
        Self { text, hashed }
    }

    /// The whole request.
    pub fn request(&self, messages: &impl Serialize) -> Request {
        let mut rest = serde_json::to_string(messages).expect("messages of strings and numbers always serialise");
        rest.push('}');
        let mut hash = self.hashed.clone();
        hash.update(rest.as_bytes());
        let digest = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Request { body: [self.text.as_str(), rest.as_str()].concat(), digest }
    }
}

/// Prefixes that were made already: one for each kind of request, model and way of asking, a handful in all.
#[derive(Debug, Default)]
pub struct Prefixes(Mutex<Vec<(Key, Arc<Prefix>)>>);

impl Clone for Prefixes {
    /// A copy begins empty: the texts that it stands beside may be changed.
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// What a prefix depends on.
#[derive(Debug, PartialEq, Eq)]
struct Key {
    kind: &'static str,
    model: String,
    asking: Asking,
}

impl Prefixes {
    /// The prefix of this kind, model and way of asking; `make` makes it the first time.
    pub fn get(&self, kind: &'static str, model: &str, asking: &Asking, make: impl FnOnce() -> Prefix) -> Arc<Prefix> {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |key: &Key| key.kind == kind && key.model == model && key.asking == *asking;
        if let Some((_, prefix)) = made.iter().find(|(key, _)| fits(key)) {
            return prefix.clone();
        }
        let prefix = Arc::new(make());
        made.push((Key { kind, model: model.to_owned(), asking: asking.clone() }, prefix.clone()));
        prefix
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_in_two_pieces_is_the_request_in_one() {
        let messages = json!([{ "role": "user", "content": "é \"quoted\" \n" }]);
        let head = json!({ "model": "m", "max_tokens": 5, "system": "s" });
        let request = Prefix::new(&head).request(&messages);
        let mut whole = head;
        whole["messages"] = messages;
        assert_eq!(request.body, whole.to_string());
        let digest: String = Sha256::digest(whole.to_string()).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(request.digest, digest);
    }

    #[test]
    fn a_prefix_is_made_once_for_each_way_of_asking() {
        let asking = |effort: &str| Asking {
            effort: effort.to_owned(),
            thinking: false,
            tokens_max: 5,
            prefix_ttl: crate::run::ttl::Ttl::FiveMinutes,
        };
        let (prefixes, mut made) = (Prefixes::default(), 0);
        let mut get = |kind, model: &str, effort: &str| {
            prefixes.get(kind, model, &asking(effort), || {
                made += 1;
                Prefix::new(&json!({ "model": model, "effort": effort }))
            })
        };
        let first = get("turn", "a", "low");
        assert!(Arc::ptr_eq(&first, &get("turn", "a", "low")));
        for (kind, model, effort) in [("route", "a", "low"), ("turn", "b", "low"), ("turn", "a", "high")] {
            assert!(!Arc::ptr_eq(&first, &get(kind, model, effort)), "{kind} {model} {effort}");
        }
        assert_eq!(made, 4);
    }
}
