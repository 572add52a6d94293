//! Who asks: the session cookie, the token that every form carries, the role. Signing in itself is in `sign_in`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Form, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use rand::RngExt;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::journal::accounts::{Role, TokenHash, User};
use crate::web::Web;
use crate::web::error::Error;

/// How long a browser stays signed in.
pub const SESSION_TTL: Duration = Duration::from_secs(12 * 3_600);

const COOKIE: &str = "deskhand";

/// A new secret of 256 bits, as text for a cookie or a link.
pub fn new_token() -> String {
    let bytes: [u8; 32] = rand::rng().random();
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The person who is signed in.
#[derive(Debug, Clone)]
pub(super) struct Viewer {
    pub(super) user: User,
    pub(super) token: TokenHash,
    pub(super) csrf: String,
}

impl Viewer {
    /// Lets pass who has this role or a higher one.
    pub(super) fn must_be(&self, role: Role) -> Result<(), Error> {
        if self.user.role >= role { Ok(()) } else { Err(Error::Forbidden(role.as_str())) }
    }
    /// Whether the person may decide approvals, pause and resume.
    pub(super) fn decides(&self) -> bool {
        self.user.role >= Role::Approver
    }
}

impl FromRequestParts<Arc<Web>> for Viewer {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web>) -> Result<Self, Error> {
        let signed_out = || Error::SignedOut {
            next: match parts.method {
                Method::GET => parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
                _ => "/".to_owned(),
            },
        };
        let token = cookie(&parts.headers).ok_or_else(signed_out)?;
        let hash = TokenHash::of(&token);
        let now_ms = web.app.clock.now_ms();
        let (user, _) = web.app.accounts.session(hash, now_ms).await?.ok_or_else(signed_out)?;
        Ok(Self { user, token: hash, csrf: csrf_for(&token) })
    }
}

/// The fields of a form that was posted by one of our pages.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields(pub(super) Vec<(String, String)>);

impl Fields {
    /// A field, trimmed; empty when it is not there.
    pub(super) fn get(&self, name: &str) -> &str {
        self.raw(name).trim()
    }
    /// A field as it was typed; empty when it is not there.
    pub(super) fn raw(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}

/// A form from someone who is signed in, checked for its token and origin.
#[derive(Debug)]
pub(super) struct Posted {
    pub(super) viewer: Viewer,
    pub(super) fields: Fields,
}

impl FromRequest<Arc<Web>> for Posted {
    type Rejection = Error;

    async fn from_request(request: Request, web: &Arc<Web>) -> Result<Self, Error> {
        let (mut parts, body) = request.into_parts();
        let viewer = Viewer::from_request_parts(&mut parts, web).await?;
        let fields = OpenForm::from_request(Request::from_parts(parts, body), web).await?.0;
        if !bool::from(fields.get("csrf").as_bytes().ct_eq(viewer.csrf.as_bytes())) {
            return Err(Error::Forged("its token is not the session's"));
        }
        Ok(Self { viewer, fields })
    }
}

/// A form from somebody who is not signed in yet: only its origin is checked.
#[derive(Debug)]
pub(super) struct OpenForm(pub(super) Fields);

impl FromRequest<Arc<Web>> for OpenForm {
    type Rejection = Error;

    async fn from_request(request: Request, web: &Arc<Web>) -> Result<Self, Error> {
        if !same_origin(request.headers()) {
            return Err(Error::Forged("it comes from another site"));
        }
        let Form(pairs) = Form::<Vec<(String, String)>>::from_request(request, web)
            .await
            .map_err(|_| Error::Forged("it is no form"))?;
        let lines = |(name, value): (String, String)| (name, value.replace("\r\n", "\n"));
        Ok(Self(Fields(pairs.into_iter().map(lines).collect())))
    }
}

/// Whether a request that changes something comes from one of our own pages. A browser always says so; a request without
/// either header is no browser's, and carries the form's token or nothing.
fn same_origin(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site")
        && !matches!(site, "same-origin" | "none")
    {
        return false;
    }
    match (text("origin"), text("host")) {
        (None, _) => true,
        (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, from)| from.eq_ignore_ascii_case(host)),
        (Some(_), None) => false,
    }
}

/// The token of a session's forms: derived from the cookie, so that it needs no place of its own and ends with it.
fn csrf_for(token: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(token.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(b"deskhand form");
    URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
}

fn cookie(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .find_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            (name == COOKIE && !value.is_empty()).then(|| value.to_owned())
        })
}

/// The header that gives a browser its session.
pub(super) fn set_cookie(token: &str, secure: bool) -> HeaderValue {
    cookie_header(token, SESSION_TTL.as_secs(), secure)
}

/// The header that takes it away.
pub(super) fn clear_cookie(secure: bool) -> HeaderValue {
    cookie_header("", 0, secure)
}

fn cookie_header(value: &str, max_age_s: u64, secure: bool) -> HeaderValue {
    let secure = if secure { "; Secure" } else { "" };
    HeaderValue::from_str(&format!("{COOKIE}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{secure}"))
        .expect("a token is made of letters, digits, `-` and `_`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_of_another_site_is_refused() {
        let check = |pairs: &[(&'static str, &str)], good: bool| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, value.parse().unwrap());
            }
            assert_eq!(same_origin(&headers), good, "{pairs:?}");
        };
        check(&[("host", "desk.example")], true);
        check(&[("host", "desk.example"), ("origin", "https://desk.example")], true);
        check(&[("host", "127.0.0.1:8420"), ("origin", "http://127.0.0.1:8420")], true);
        check(&[("host", "desk.example"), ("origin", "https://evil.example")], false);
        check(&[("host", "desk.example"), ("origin", "null")], false);
        check(&[("host", "desk.example"), ("sec-fetch-site", "cross-site")], false);
        check(&[("host", "desk.example"), ("origin", "https://desk.example"), ("sec-fetch-site", "same-origin")], true);
    }
}
