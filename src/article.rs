//! A help-center article as the helpdesk serves it. No wire shapes; the index of `knowledge/` is built from these.

use jiff::Timestamp;

use crate::ids::ArticleId;

/// An article of the help center in one language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Article {
    /// Its number.
    pub id: ArticleId,
    /// Its title.
    pub title: String,
    /// Where customers read it; the link that an answer may cite.
    pub url: String,
    /// Its text, HTML as the authors wrote it.
    pub body_html: String,
    /// Its language, lower case: `en-us`, `de`.
    pub locale: String,
    /// The name of its section; empty when the helpdesk did not say.
    pub section: String,
    /// When its content last changed.
    pub updated_at: Timestamp,
    /// Not published.
    pub draft: bool,
    /// Not for everybody: bound to a user segment.
    pub internal: bool,
}

impl Article {
    /// Whether it may be quoted to customers.
    pub fn is_public(&self) -> bool {
        !self.draft && !self.internal
    }
}
