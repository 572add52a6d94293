//! Who calls: OAuth client credentials, the legacy API token, and what a caller may do.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Answer, Call, Outcome, shape};
use crate::sim::credentials::{ZENDESK_API_TOKEN, ZENDESK_CLIENT_ID, ZENDESK_CLIENT_SECRET};
use crate::sim::world::{Event, Guard};

/// Life of a token whose request named none, in seconds.
const DEFAULT_LIFE_S: i64 = 1800;

/// An authenticated user.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) user: i64,
    pub(super) role: &'static str,
    /// Scopes of its token; `None` for an API token, which has none.
    scopes: Option<String>,
}

fn refused() -> Answer {
    Answer::new(401, json!({ "error": "Couldn't authenticate you" }))
}

fn invalid_token() -> Answer {
    let description = "The access token provided is expired, revoked, malformed or invalid for other reasons.";
    Answer::new(401, json!({ "error": "invalid_token", "error_description": description }))
}

/// `POST /oauth/tokens`.
pub(super) fn token(call: &Call<'_>) -> Outcome {
    let body = call.json()?;
    let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default();
    let wrong = |error: &str, description: &str| {
        Answer::bad_request("", "").replaced(json!({ "error": error, "error_description": description }))
    };
    if text("grant_type") != "client_credentials" {
        return Err(wrong("unsupported_grant_type", "The authorization grant type is not supported."));
    }
    if text("client_id") != ZENDESK_CLIENT_ID || text("client_secret") != ZENDESK_CLIENT_SECRET {
        let body = json!({ "error": "invalid_client", "error_description": "Client authentication failed." });
        return Err(Answer::new(401, body));
    }
    let life = match body.get("expires_in") {
        None | Some(Value::Null) => DEFAULT_LIFE_S,
        Some(value) => match value.as_i64() {
            Some(life) if life > 300 && life < 172_800 => life,
            _ => return Err(wrong("invalid_request", "expires_in must be more than 300 and less than 172800")),
        },
    };
    // A scope that is no string, or is misspelt, still yields a token; the calls with it are refused.
    let scope = match body.get("scope") {
        Some(Value::String(scope)) => scope.clone(),
        Some(other) => other.to_string(),
        None => "read".to_owned(),
    };
    let mut world = call.desk.world.lock();
    let salt = format!("{} {} {}", call.desk.world.seed(), world.now(), world.tokens.len());
    let token: String = Sha256::digest(salt.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let expires = world.now() + std::time::Duration::from_secs(life.unsigned_abs());
    world.apply(Event::TokenIssued { token: token.clone(), scope: scope.clone(), expires });
    Ok(Answer::ok(json!({ "access_token": token, "token_type": "bearer", "scope": scope, "expires_in": life })))
}

/// Who sent this, or a 401.
pub(super) fn caller(call: &Call<'_>) -> Result<Caller, Answer> {
    let header = call.header("authorization").ok_or_else(refused)?;
    let mut world = call.desk.world.lock();
    if call.strikes.has("401") {
        return Err(ended(&mut world, header));
    }
    if let Some(token) = header.strip_prefix("Bearer ") {
        let found = world.tokens.get(token.trim()).filter(|known| known.expires > world.now());
        let scopes = Some(found.ok_or_else(invalid_token)?.scope.clone());
        return Ok(Caller { user: world.bot, role: "admin", scopes });
    }
    let basic = header.strip_prefix("Basic ").and_then(|text| STANDARD.decode(text.trim()).ok());
    let basic = basic.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(refused)?;
    let (name, token) = basic.split_once(':').ok_or_else(refused)?;
    let address = name.strip_suffix("/token").ok_or_else(refused)?;
    let user = world.user_at(address).filter(|user| user.is_staff()).ok_or_else(refused)?;
    if token != ZENDESK_API_TOKEN {
        return Err(refused());
    }
    Ok(Caller { user: user.id, role: user.role, scopes: None })
}

/// Ends the access token of this header, before its time. A token of the legacy kind has no end: it is refused once.
fn ended(world: &mut Guard<'_>, header: &str) -> Answer {
    let Some(token) = header.strip_prefix("Bearer ").map(str::trim) else { return refused() };
    if let Some(known) = world.tokens.get(token).cloned() {
        let expires = world.now();
        world.apply(Event::TokenIssued { token: token.to_owned(), scope: known.scope, expires });
    }
    invalid_token()
}

/// Whether the token's scopes reach.
pub(super) fn scope(caller: &Caller, resource: &str, write: bool) -> Result<(), Answer> {
    let Some(scopes) = &caller.scopes else { return Ok(()) };
    let word = if write { "write" } else { "read" };
    let narrow = format!("{resource}:{word}");
    if scopes.split(' ').any(|scope| scope == word || (scope == narrow && !resource.is_empty())) {
        return Ok(());
    }
    let description = format!("You are missing the following required scopes: {word}");
    Err(Answer::new(403, json!({ "error": "Forbidden", "description": description })))
}

/// A 403 for everybody but admins.
pub(super) fn admin(caller: &Caller) -> Result<(), Answer> {
    if caller.role == "admin" {
        return Ok(());
    }
    let message = "You do not have access to this page. Please contact the account owner of this help desk.";
    Err(Answer::new(403, json!({ "error": { "title": "Forbidden", "message": message } })))
}

/// `GET /users/me`: without valid credentials 200 and nobody, with a wrong token 401.
pub(super) fn me(call: &Call<'_>) -> Outcome {
    let basic_password = call.header("authorization").is_some_and(|header| {
        let text = header.strip_prefix("Basic ").and_then(|text| STANDARD.decode(text.trim()).ok());
        text.is_some_and(|bytes| !String::from_utf8_lossy(&bytes).contains("/token:"))
    });
    if call.header("authorization").is_none() || basic_password {
        return Ok(Answer::ok(shape::anonymous()));
    }
    let caller = call.allow("users", false)?;
    let world = call.desk.world.lock();
    let user = world.users.get(&caller.user).ok_or_else(Answer::not_found)?;
    let mut body = shape::user(&world, user);
    body["authenticity_token"] = json!("simulated-authenticity-token");
    Ok(Answer::ok(json!({ "user": body })))
}

/// `GET /oauth/tokens/current`.
pub(super) fn current(call: &Call<'_>) -> Outcome {
    let caller = call.allow("", false)?;
    let scopes: Vec<&str> = caller.scopes.as_deref().unwrap_or("read write").split(' ').collect();
    let world = call.desk.world.lock();
    let token = call.header("authorization").and_then(|header| header.strip_prefix("Bearer "));
    let expires = token.and_then(|token| world.tokens.get(token.trim())).map(|token| shape::time(token.expires));
    Ok(Answer::ok(json!({ "token": { "id": 1, "user_id": caller.user, "scopes": scopes, "expires_at": expires } })))
}

impl Answer {
    fn replaced(mut self, body: Value) -> Self {
        self.body = body;
        self
    }
}
