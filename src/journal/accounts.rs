//! Who may use the pages: users, their sessions and one-time links, and the audit trail of what they changed.
//!
//! Secrets never come here: a password is an Argon2id hash, a token its SHA-256. Every change of a user or a switch writes
//! its audit line in the same commit; the trail is append-only and each line carries the hash of the one before.
//! Times are milliseconds since the Unix epoch.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::journal::Error;

/// A user's number, ours. (The helpdesk's people are [`crate::ids::UserId`].)
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserNo(pub i64);

impl fmt::Display for UserNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a user may do; each role may do all that the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees runs and figures.
    Viewer,
    /// Also judges answers.
    Reviewer,
    /// Also decides approvals, pauses and resumes.
    Approver,
    /// Also keeps users.
    Admin,
}

impl Role {
    /// All four, the least first.
    pub const ALL: [Role; 4] = [Role::Viewer, Role::Reviewer, Role::Approver, Role::Admin];

    /// As stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Reviewer => "reviewer",
            Role::Approver => "approver",
            Role::Admin => "admin",
        }
    }
    /// Back from the stored form.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Someone who may sign in.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Our number of them.
    pub user: UserNo,
    /// Lower case; unique.
    pub email: String,
    /// As the pages show them.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Argon2id, in the PHC format; `None`: has not set a password yet.
    pub password_hash: Option<String>,
    /// When they were added.
    pub created_ms: i64,
    /// Since when they may no longer sign in.
    pub disabled_ms: Option<i64>,
}

impl fmt::Debug for User {
    /// Without the address and the hash: logs hold neither.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("user", &self.user)
            .field("role", &self.role)
            .field("disabled_ms", &self.disabled_ms)
            .finish_non_exhaustive()
    }
}

/// A user to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUser {
    /// Trimmed and put in lower case by the store.
    pub email: String,
    /// As the pages show them.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Argon2id, in the PHC format; `None`: a one-time link lets them set it.
    pub password_hash: Option<String>,
}

/// What became of a change of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// Done, with its audit line.
    Done,
    /// There is no such user.
    NoSuchUser,
    /// Nothing was changed: nobody would be left who can keep users.
    LastAdmin,
}

/// The SHA-256 of a token. The token itself goes to its holder and is never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    /// Of this token.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }
}

/// A signed-in browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Names it among its user's sessions; no secret.
    pub session: i64,
    /// Whose.
    pub user: UserNo,
    /// When they signed in.
    pub created_ms: i64,
    /// When it was last used, to the minute.
    pub seen_ms: i64,
    /// When it ends.
    pub expires_ms: i64,
}

/// What a one-time link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkPurpose {
    /// First run: makes the first admin. It is nobody's.
    SetUp,
    /// Lets its user in to set a password.
    SignIn,
}

impl LinkPurpose {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            LinkPurpose::SetUp => "setup",
            LinkPurpose::SignIn => "sign_in",
        }
    }
}

/// A line of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditLine {
    /// Counted from 1 without gaps.
    pub line: i64,
    /// When.
    pub at_ms: i64,
    /// Who: a user's address, `command line`, `deskhand`.
    pub who: String,
    /// What was done, one word: `switch_set`, `user_created`, `approval_decided`.
    pub what: String,
    /// To what: a switch, a user's address, an approval.
    pub subject: String,
    /// More, for people; may be empty.
    pub detail: String,
    /// SHA-256 over the line before's hash and this line, in hex.
    pub hash: String,
}

/// Users, sessions, links and the audit trail. `by` and `who` are what the audit line names. Every method fails with
/// [`Error::Storage`], [`Error::Corrupt`] or [`Error::Closed`] only.
#[async_trait]
pub trait Accounts: Send + Sync + 'static {
    /// Adds a user; `None` when the address is taken.
    async fn create_user(&self, user: NewUser, by: &str, now_ms: i64) -> Result<Option<User>, Error>;

    /// The user with this address, in any case, disabled ones included.
    async fn user_by_email(&self, email: &str) -> Result<Option<User>, Error>;

    /// All users by address, disabled ones included.
    async fn users(&self) -> Result<Vec<User>, Error>;

    /// Sets a password and ends all sessions of the user.
    async fn set_password(&self, user: UserNo, password_hash: &str, by: &str, now_ms: i64) -> Result<Changed, Error>;

    /// Gives another role. It holds from the next request on.
    async fn set_role(&self, user: UserNo, role: Role, by: &str, now_ms: i64) -> Result<Changed, Error>;

    /// Shuts a user out (`true`) and ends all their sessions and links, or lets them in again.
    async fn disable(&self, user: UserNo, disabled: bool, by: &str, now_ms: i64) -> Result<Changed, Error>;

    /// Signs a browser in.
    async fn create_session(
        &self,
        token: TokenHash,
        user: UserNo,
        now_ms: i64,
        expires_ms: i64,
    ) -> Result<Session, Error>;

    /// The session of this token with its user; `None` when it is unknown, has ended, or its user is disabled. Notes that
    /// it was used, at most once a minute.
    async fn session(&self, token: TokenHash, now_ms: i64) -> Result<Option<(User, Session)>, Error>;

    /// The sessions of a user that have not ended, the newest first.
    async fn sessions(&self, user: UserNo, now_ms: i64) -> Result<Vec<Session>, Error>;

    /// Ends the session of this token, if there is one.
    async fn revoke_session(&self, token: TokenHash) -> Result<(), Error>;

    /// Ends all sessions of a user and says how many there were.
    async fn revoke_sessions(&self, user: UserNo, by: &str, now_ms: i64) -> Result<u64, Error>;

    /// Makes a one-time link. Earlier ones for the same purpose and user no longer work.
    async fn create_link(
        &self,
        token: TokenHash,
        purpose: LinkPurpose,
        user: Option<UserNo>,
        now_ms: i64,
        expires_ms: i64,
    ) -> Result<(), Error>;

    /// Whether a link would work now, without using it up: for the form that it leads to.
    async fn link_works(&self, token: TokenHash, purpose: LinkPurpose, now_ms: i64) -> Result<bool, Error>;

    /// Uses a link up. `Some` exactly once in its life, with its user (none for a set-up link); `None` when it is unknown,
    /// used, has ended, or its user is disabled.
    async fn consume_link(
        &self,
        token: TokenHash,
        purpose: LinkPurpose,
        now_ms: i64,
    ) -> Result<Option<Option<User>>, Error>;

    /// Notes a failed sign-in under a key of the throttle (an address, a network). Forgets those older than a day.
    async fn record_sign_in_failure(&self, key: &str, now_ms: i64) -> Result<(), Error>;

    /// How many failures a key has since a time.
    async fn sign_in_failures(&self, key: &str, since_ms: i64) -> Result<u64, Error>;

    /// Appends a line to the audit trail.
    async fn append_audit(&self, who: &str, what: &str, subject: &str, detail: &str, now_ms: i64) -> Result<(), Error>;

    /// Checks the whole chain; the number of the first line that does not fit, if there is one.
    async fn verify_audit(&self) -> Result<Option<i64>, Error>;
}
