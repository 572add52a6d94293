//! Signing in and out: password, one-time links, the first admin. Who is signed in is told by `session`.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use crate::journal::accounts::{LinkPurpose, NewUser, Role, TokenHash, User};
use crate::web::error::Error;
use crate::web::session::{Fields, OpenForm, Posted, SESSION_TTL, clear_cookie, new_token, set_cookie};
use crate::web::{Web, show};

/// So many failures within [`THROTTLE_WINDOW`] and an address must wait.
const FAILURES_MAX: u64 = 5;
/// How long failures count.
const THROTTLE_WINDOW: Duration = Duration::from_secs(15 * 60);
/// The shortest password that is taken, in characters.
const PASSWORD_MIN: usize = 12;
/// The longest text that is hashed or looked up, in bytes: more is no password or address.
const FIELD_MAX_BYTES: usize = 512;

/// One thing that is wrong with a form: the field's id, and what to do.
struct Mistake {
    field: &'static str,
    text: &'static str,
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    shop: &'a str,
    demo: bool,
    next: &'a str,
    email: &'a str,
    problem: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "link.html")]
struct LinkPage<'a> {
    shop: &'a str,
    demo: bool,
    set_up: bool,
    name: &'a str,
    email: &'a str,
    mistakes: Vec<Mistake>,
}

impl LinkPage<'_> {
    fn mistake(&self, field: &str) -> Option<&'static str> {
        self.mistakes.iter().find(|mistake| mistake.field == field).map(|mistake| mistake.text)
    }
}

#[derive(Template)]
#[template(path = "link_over.html")]
struct LinkOverPage<'a> {
    shop: &'a str,
    demo: bool,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    next: String,
}

/// The form.
pub(super) async fn page(State(web): State<Arc<Web>>, Query(query): Query<Next>) -> Result<Response, Error> {
    let settings = &web.app.settings;
    show(&SignInPage {
        shop: &settings.shop,
        demo: settings.demo,
        next: local_path(&query.next),
        email: "",
        problem: None,
    })
}

/// Takes it. A wrong password and an unknown address get the same words after the same work.
pub(super) async fn sign_in(State(web): State<Arc<Web>>, OpenForm(fields): OpenForm) -> Result<Response, Error> {
    let email = fields.get("email").to_lowercase();
    let again = |status: StatusCode, problem: &str| -> Result<Response, Error> {
        let page = SignInPage {
            shop: &web.app.settings.shop,
            demo: web.app.settings.demo,
            next: local_path(fields.get("next")),
            email: &email,
            problem: Some(problem),
        };
        Ok((status, show(&page)?).into_response())
    };
    let wrong = "The address or the password is not right. Check both and try again.";
    if email.len() > FIELD_MAX_BYTES || fields.raw("password").len() > FIELD_MAX_BYTES {
        return again(StatusCode::UNPROCESSABLE_ENTITY, wrong);
    }
    let now_ms = web.app.clock.now_ms();
    let key = format!("address {email}");
    let window_ms = i64::try_from(THROTTLE_WINDOW.as_millis()).expect("minutes fit");
    if web.app.accounts.sign_in_failures(&key, now_ms - window_ms).await? >= FAILURES_MAX {
        let wait = "There were five failures for this address. Wait 15 minutes, then try again.";
        return again(StatusCode::TOO_MANY_REQUESTS, wait);
    }
    let user = web.app.accounts.user_by_email(&email).await?.filter(|user| user.disabled_ms.is_none());
    let stored = user.as_ref().and_then(|user| user.password_hash.clone());
    let right = verify(fields.raw("password").to_owned(), stored).await?;
    match user {
        Some(user) if right => start_session(&web, &user, local_path(fields.get("next"))).await,
        _ => {
            web.app.accounts.record_sign_in_failure(&key, now_ms).await?;
            again(StatusCode::UNPROCESSABLE_ENTITY, wrong)
        }
    }
}

/// Ends the session.
pub(super) async fn sign_out(State(web): State<Arc<Web>>, posted: Posted) -> Result<Response, Error> {
    web.app.accounts.revoke_session(posted.viewer.token).await?;
    let cookie = clear_cookie(web.app.settings.secure_cookies);
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/sign-in")).into_response())
}

/// What a one-time link leads to. Looking does not use it up: mail scanners look.
pub(super) async fn link(State(web): State<Arc<Web>>, Path(token): Path<String>) -> Result<Response, Error> {
    match purpose(&web, &token).await? {
        Some(purpose) => show(&link_page(&web, purpose, &Fields::default(), Vec::new())),
        None => over(&web),
    }
}

/// Uses it up.
pub(super) async fn use_link(
    State(web): State<Arc<Web>>,
    Path(token): Path<String>,
    OpenForm(fields): OpenForm,
) -> Result<Response, Error> {
    let Some(purpose) = purpose(&web, &token).await? else {
        return over(&web);
    };
    let mistakes = mistakes(&web, purpose, &fields).await?;
    if !mistakes.is_empty() {
        let page = link_page(&web, purpose, &fields, mistakes);
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, show(&page)?).into_response());
    }
    let password = fields.raw("password");
    let hash = if password.is_empty() { None } else { Some(hash(password.to_owned()).await?) };
    let now_ms = web.app.clock.now_ms();
    let Some(user) = web.app.accounts.consume_link(TokenHash::of(&token), purpose, now_ms).await? else {
        return over(&web);
    };
    let user = match (purpose, user, hash) {
        (LinkPurpose::SetUp, _, hash) => {
            let new = NewUser {
                email: fields.get("email").to_lowercase(),
                name: fields.get("name").to_owned(),
                role: Role::Admin,
                password_hash: hash,
            };
            let made = web.app.accounts.create_user(new, "set-up link", now_ms).await?;
            made.ok_or_else(|| Error::Broken("the address was taken between two looks".to_owned()))?
        }
        (LinkPurpose::SignIn, Some(user), Some(hash)) => {
            web.app.accounts.set_password(user.user, &hash, &user.email, now_ms).await?;
            user
        }
        (LinkPurpose::SignIn, Some(user), None) => user,
        (LinkPurpose::SignIn, None, _) => return over(&web),
    };
    start_session(&web, &user, "/").await
}

async fn purpose(web: &Web, token: &str) -> Result<Option<LinkPurpose>, Error> {
    let now_ms = web.app.clock.now_ms();
    for purpose in [LinkPurpose::SetUp, LinkPurpose::SignIn] {
        if web.app.accounts.link_works(TokenHash::of(token), purpose, now_ms).await? {
            return Ok(Some(purpose));
        }
    }
    Ok(None)
}

fn link_page<'a>(web: &'a Web, purpose: LinkPurpose, fields: &'a Fields, mistakes: Vec<Mistake>) -> LinkPage<'a> {
    LinkPage {
        shop: &web.app.settings.shop,
        demo: web.app.settings.demo,
        set_up: purpose == LinkPurpose::SetUp,
        name: fields.get("name"),
        email: fields.get("email"),
        mistakes,
    }
}

fn over(web: &Web) -> Result<Response, Error> {
    let page = LinkOverPage { shop: &web.app.settings.shop, demo: web.app.settings.demo };
    Ok((StatusCode::GONE, show(&page)?).into_response())
}

async fn mistakes(web: &Web, purpose: LinkPurpose, fields: &Fields) -> Result<Vec<Mistake>, Error> {
    let mut found = Vec::new();
    let mut add = |field, text| found.push(Mistake { field, text });
    let password = fields.raw("password");
    if purpose == LinkPurpose::SetUp {
        if fields.get("name").is_empty() || fields.get("name").len() > FIELD_MAX_BYTES {
            add("name", "Enter your name, as colleagues know you.");
        }
        let email = fields.get("email");
        let sound = email.split_once('@').is_some_and(|(left, right)| !left.is_empty() && right.contains('.'));
        if !sound || email.len() > FIELD_MAX_BYTES || email.contains(char::is_whitespace) {
            add("email", "Enter an address like name@example.com.");
        } else if web.app.accounts.user_by_email(email).await?.is_some() {
            add("email", "There is a user with this address already. Enter another one.");
        }
    }
    let needed = purpose == LinkPurpose::SetUp || !password.is_empty();
    if needed && (password.chars().count() < PASSWORD_MIN || password.len() > FIELD_MAX_BYTES) {
        add("password", "Enter a password of 12 characters or more. Several words are fine.");
    }
    Ok(found)
}

async fn start_session(web: &Web, user: &User, to: &str) -> Result<Response, Error> {
    let token = new_token();
    let now_ms = web.app.clock.now_ms();
    let ttl_ms = i64::try_from(SESSION_TTL.as_millis()).expect("hours fit");
    web.app.accounts.create_session(TokenHash::of(&token), user.user, now_ms, now_ms + ttl_ms).await?;
    let cookie: HeaderValue = set_cookie(&token, web.app.settings.secure_cookies);
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(to)).into_response())
}

/// Only a path of ours is followed after signing in.
fn local_path(next: &str) -> &str {
    let ours = next.starts_with('/') && !next.starts_with("//") && !next.contains(['\\', '\r', '\n']);
    if ours { next } else { "/" }
}

/// Compared with when the address is unknown, so that this takes as long.
static NOBODY: LazyLock<String> = LazyLock::new(|| hash_now("nobody has this password").unwrap_or_default());

fn hash_now(password: &str) -> Result<String, Error> {
    let hashed = Argon2::default().hash_password(password.as_bytes());
    hashed.map(|hash| hash.to_string()).map_err(|e| Error::Broken(format!("a password could not be hashed: {e}")))
}

/// An Argon2id hash of a password, in the PHC format. Takes some 20 ms of a processor.
pub async fn hash(password: String) -> Result<String, Error> {
    let hashing = tokio::task::spawn_blocking(move || hash_now(&password));
    hashing.await.map_err(|_| Error::Broken("hashing a password was cut short".to_owned()))?
}

async fn verify(password: String, stored: Option<String>) -> Result<bool, Error> {
    let verifying = tokio::task::spawn_blocking(move || {
        let known = stored.is_some();
        let text = stored.unwrap_or_else(|| NOBODY.clone());
        let fits = PasswordHash::new(&text)
            .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok());
        fits && known
    });
    verifying.await.map_err(|_| Error::Broken("checking a password was cut short".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_ours_are_followed() {
        let check = |next: &str, to: &str| assert_eq!(local_path(next), to);
        check("/runs?q=a", "/runs?q=a");
        check("//evil.example", "/");
        check("/\\evil.example", "/");
        check("https://evil.example", "/");
        check("", "/");
    }
}
