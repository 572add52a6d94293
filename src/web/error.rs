//! What a page says when it cannot do as asked: the status, plain words, a reference for the log and a way on. Never the
//! inner text of a failure.

use askama::Template;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};

use crate::journal;

/// Why a page could not be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing here.
    #[error("there is nothing at this address")]
    NotFound,
    /// The user's role does not allow it.
    #[error("this needs the role {0}")]
    Forbidden(&'static str),
    /// The run's entries are no longer kept.
    #[error("`{run}` is no longer kept")]
    Retired {
        /// Which run.
        run: String,
        /// When it ended, in words; empty where that is not known.
        ended: String,
        /// When its entries were removed, in words.
        removed: String,
    },
    /// The form did not come from one of our pages, or is too old.
    #[error("the form cannot be trusted: {0}")]
    Forged(&'static str),
    /// Nobody is signed in; the browser is sent to the sign-in page.
    #[error("nobody is signed in")]
    SignedOut {
        /// Where to go afterwards.
        next: String,
    },
    /// The journal did not do as asked.
    #[error("the journal did not do as asked")]
    Journal(#[from] journal::Error),
    /// A template could not be written.
    #[error("the page could not be written")]
    Render(#[from] askama::Error),
    /// What was stored does not fit what this version expects.
    #[error("{0}")]
    Broken(String),
}

/// What an error page says; the middleware turns it into the page, with the request's reference.
#[derive(Debug, Clone)]
pub(super) struct Words {
    pub(super) title: &'static str,
    pub(super) text: String,
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    title: &'a str,
    text: &'a str,
    reference: &'a str,
}

impl Error {
    fn status(&self) -> StatusCode {
        match self {
            Error::NotFound | Error::Journal(journal::Error::NoSuchRun(_)) => StatusCode::NOT_FOUND,
            Error::Retired { .. } => StatusCode::GONE,
            Error::Forbidden(_) | Error::Forged(_) => StatusCode::FORBIDDEN,
            Error::SignedOut { .. } => StatusCode::SEE_OTHER,
            Error::Journal(journal::Error::Closed) => StatusCode::SERVICE_UNAVAILABLE,
            Error::Journal(_) | Error::Render(_) | Error::Broken(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        if let Error::SignedOut { next } = &self {
            let to = if next == "/" { "/sign-in".to_owned() } else { format!("/sign-in?next={}", encode(next)) };
            return Redirect::to(&to).into_response();
        }
        let status = self.status();
        if status.is_server_error() {
            let mut chain = vec![self.to_string()];
            let mut cause = std::error::Error::source(&self);
            while let Some(inner) = cause {
                chain.push(inner.to_string());
                cause = inner.source();
            }
            tracing::error!(error = chain.join(": "), "page failed");
        }
        let words = match &self {
            Error::Forbidden(role) => Words {
                title: "You may not do this",
                text: format!(
                    "This needs the role “{role}” or higher. Someone who keeps the users can give it to you."
                ),
            },
            Error::Retired { run, ended, removed } => Words {
                title: "This run is no longer kept",
                text: format!(
                    "{run}{} was removed on {removed}, because runs are kept for a time that is set (`retention_days`). What it \
                     cost and how it came out stay in the sums; what was written to the customer stands on the ticket.",
                    if ended.is_empty() { String::new() } else { format!(" ended on {ended} and") }
                ),
            },
            Error::Forged(_) => Words {
                title: "This form is too old",
                text: "Nothing was changed. Go back, load the page again and send the form once more.".to_owned(),
            },
            _ => words_for(status),
        };
        let mut response = status.into_response();
        response.extensions_mut().insert(words);
        response
    }
}

/// The words for a status that came without any.
pub(super) fn words_for(status: StatusCode) -> Words {
    let (title, text) = match status {
        StatusCode::NOT_FOUND => ("There is nothing here", "The address may be mistyped, or the run was erased."),
        StatusCode::METHOD_NOT_ALLOWED => ("This cannot be done here", "Go back and use the form or link on the page."),
        StatusCode::PAYLOAD_TOO_LARGE => {
            ("That is too much", "Nothing was changed. Shorten the text and send it again.")
        }
        StatusCode::SERVICE_UNAVAILABLE => ("Deskhand is stopping", "Nothing was changed. Try again in a minute."),
        status if status.is_client_error() => {
            ("This could not be understood", "Nothing was changed. Go back and try again.")
        }
        _ => (
            "This page failed",
            "Nothing was changed by loading it. Try again; if it stays so, look into the log for the reference.",
        ),
    };
    Words { title, text: text.to_owned() }
}

/// The error page itself.
pub(super) fn page(status: StatusCode, words: &Words, reference: &str) -> Response {
    let page = ErrorPage { title: words.title, text: &words.text, reference };
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(_) => (status, [(header::CONTENT_TYPE, "text/plain")], words.title).into_response(),
    }
}

/// A path for a query: everything but letters, digits and a few marks as `%xx`.
pub(super) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_was_removed_is_not_said_to_be_mistyped() {
        let said = |ended: &str| {
            let error = Error::Retired { run: "run_7_70".into(), ended: ended.into(), removed: "Mon 16 Nov".into() };
            let response = error.into_response();
            assert_eq!(response.status(), StatusCode::GONE);
            response.extensions().get::<Words>().expect("words").text.clone()
        };
        let text = said("Sun 1 Nov");
        assert!(text.starts_with("run_7_70 ended on Sun 1 Nov and was removed on Mon 16 Nov, because"), "{text}");
        assert!(said("").starts_with("run_7_70 was removed on Mon 16 Nov, because"));
    }
}
