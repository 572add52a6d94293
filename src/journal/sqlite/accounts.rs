//! Users, sessions, links and the audit trail in SQLite.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};
use sha2::{Digest, Sha256};

use super::SqliteJournal;
use super::fault::Fault;
use crate::journal::Error;
use crate::journal::accounts::{
    Accounts, AuditLine, Changed, LinkPurpose, NewUser, Role, Session, TokenHash, User, UserNo,
};

/// How often at most a session's use is noted.
const SEEN_STEP_MS: i64 = 60_000;
/// How long a failed sign-in is remembered.
const FAILURES_KEPT_MS: i64 = 86_400_000;

const USER_COLUMNS: &str = "user, email, name, role, password_hash, created_ms, disabled_ms";

fn user(row: &Row<'_>) -> Result<User, rusqlite::Error> {
    let role = row.get_ref(3)?.as_str()?;
    let role = Role::parse(role).ok_or_else(|| {
        rusqlite::Error::FromSqlConversionFailure(3, rusqlite::types::Type::Text, format!("`{role}` is no role").into())
    })?;
    Ok(User {
        user: UserNo(row.get(0)?),
        email: row.get(1)?,
        name: row.get(2)?,
        role,
        password_hash: row.get(4)?,
        created_ms: row.get(5)?,
        disabled_ms: row.get(6)?,
    })
}

fn find_user(connection: &Connection, no: UserNo) -> Result<Option<User>, Fault> {
    let mut statement = connection.prepare_cached(&format!("SELECT {USER_COLUMNS} FROM users WHERE user = ?1"))?;
    Ok(statement.query_row([no.0], user).optional()?)
}

fn session(row: &Row<'_>) -> Result<Session, rusqlite::Error> {
    Ok(Session {
        session: row.get(0)?,
        user: UserNo(row.get(1)?),
        created_ms: row.get(2)?,
        seen_ms: row.get(3)?,
        expires_ms: row.get(4)?,
    })
}

/// Addresses are compared as they are stored: trimmed, in lower case.
fn plain(email: &str) -> String {
    email.trim().to_lowercase()
}

/// Whether this user is the only one left who can keep users.
fn is_last_admin(connection: &Connection, user: &User) -> Result<bool, Fault> {
    if user.role != Role::Admin || user.disabled_ms.is_some() {
        return Ok(false);
    }
    let mut others =
        connection.prepare_cached("SELECT 1 FROM users WHERE role = 'admin' AND disabled_ms IS NULL AND user <> ?1")?;
    Ok(!others.exists([user.user.0])?)
}

fn end_sessions(connection: &Connection, user: UserNo) -> Result<u64, Fault> {
    Ok(connection.prepare_cached("DELETE FROM sessions WHERE user = ?1")?.execute([user.0])? as u64)
}

/// Appends a line to the audit trail, in the same commit as what it speaks of.
pub(super) fn audit(
    connection: &Connection,
    who: &str,
    what: &str,
    subject: &str,
    detail: &str,
    at_ms: i64,
) -> Result<(), Fault> {
    let last: Option<(i64, String)> = connection
        .prepare_cached("SELECT line, hash FROM audit ORDER BY line DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (last, before) = last.unwrap_or_default();
    let line = AuditLine {
        line: last + 1,
        at_ms,
        who: who.to_owned(),
        what: what.to_owned(),
        subject: subject.to_owned(),
        detail: detail.to_owned(),
        hash: String::new(),
    };
    connection
        .prepare_cached(
            "INSERT INTO audit (line, at_ms, who, what, subject, detail, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![line.line, at_ms, who, what, subject, detail, chained(&before, &line)])?;
    Ok(())
}

/// The hash of a line: over the hash before and the line as a JSON array, which no two different lines share.
fn chained(before: &str, line: &AuditLine) -> String {
    let text = serde_json::to_string(&(line.line, line.at_ms, &line.who, &line.what, &line.subject, &line.detail))
        .expect("numbers and texts");
    let mut hash = Sha256::new();
    hash.update(before.as_bytes());
    hash.update(text.as_bytes());
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a line of the audit trail.
pub(super) fn audit_line(row: &Row<'_>) -> Result<AuditLine, rusqlite::Error> {
    Ok(AuditLine {
        line: row.get(0)?,
        at_ms: row.get(1)?,
        who: row.get(2)?,
        what: row.get(3)?,
        subject: row.get(4)?,
        detail: row.get(5)?,
        hash: row.get(6)?,
    })
}

pub(super) fn verify_audit(connection: &Connection) -> Result<Option<i64>, Fault> {
    let mut statement =
        connection.prepare("SELECT line, at_ms, who, what, subject, detail, hash FROM audit ORDER BY line")?;
    let mut before = String::new();
    for (expected, line) in (1..).zip(statement.query_map([], audit_line)?) {
        let line = line?;
        if line.line != expected || line.hash != chained(&before, &line) {
            return Ok(Some(expected));
        }
        before = line.hash;
    }
    Ok(None)
}

/// Changes one user, unless there is none, and writes the audit line.
struct Change {
    user: UserNo,
    by: String,
    now_ms: i64,
}

impl Change {
    fn make(
        &self,
        connection: &Connection,
        what: &str,
        detail: &str,
        change: impl FnOnce(&User) -> Result<Changed, Fault>,
    ) -> Result<Changed, Fault> {
        let Some(user) = find_user(connection, self.user)? else { return Ok(Changed::NoSuchUser) };
        let changed = change(&user)?;
        if changed == Changed::Done {
            audit(connection, &self.by, what, &user.email, detail, self.now_ms)?;
        }
        Ok(changed)
    }
}

const LINK_SQL: &str = "SELECT l.user FROM links AS l LEFT JOIN users AS u ON u.user = l.user
     WHERE l.token_hash = ?1 AND l.purpose = ?2 AND l.used_ms IS NULL AND l.expires_ms > ?3 AND u.disabled_ms IS NULL";

#[async_trait]
impl Accounts for SqliteJournal {
    async fn create_user(&self, new: NewUser, by: &str, now_ms: i64) -> Result<Option<User>, Error> {
        let by = by.to_owned();
        self.write(move |connection| {
            let email = plain(&new.email);
            if connection.prepare_cached("SELECT 1 FROM users WHERE email = ?1")?.exists([&email])? {
                return Ok(None);
            }
            connection
                .prepare_cached(
                    "INSERT INTO users (email, name, role, password_hash, created_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute(params![email, new.name, new.role.as_str(), new.password_hash, now_ms])?;
            let user = UserNo(connection.last_insert_rowid());
            audit(connection, &by, "user_created", &email, new.role.as_str(), now_ms)?;
            find_user(connection, user)
        })
        .await
    }

    async fn user_by_email(&self, email: &str) -> Result<Option<User>, Error> {
        let email = plain(email);
        self.read(move |connection| {
            let sql = format!("SELECT {USER_COLUMNS} FROM users WHERE email = ?1");
            Ok(connection.prepare_cached(&sql)?.query_row([email], user).optional()?)
        })
        .await
    }

    async fn users(&self) -> Result<Vec<User>, Error> {
        self.read(|connection| {
            let sql = format!("SELECT {USER_COLUMNS} FROM users ORDER BY email");
            Ok(connection.prepare_cached(&sql)?.query_map([], user)?.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn set_password(&self, user: UserNo, password_hash: &str, by: &str, now_ms: i64) -> Result<Changed, Error> {
        let (change, password_hash) = (Change { user, by: by.to_owned(), now_ms }, password_hash.to_owned());
        self.write(move |connection| {
            change.make(connection, "password_set", "", |user| {
                connection
                    .prepare_cached("UPDATE users SET password_hash = ?2 WHERE user = ?1")?
                    .execute(params![user.user.0, password_hash])?;
                end_sessions(connection, user.user)?;
                Ok(Changed::Done)
            })
        })
        .await
    }

    async fn set_role(&self, user: UserNo, role: Role, by: &str, now_ms: i64) -> Result<Changed, Error> {
        let change = Change { user, by: by.to_owned(), now_ms };
        self.write(move |connection| {
            change.make(connection, "role_set", role.as_str(), |user| {
                if role != Role::Admin && is_last_admin(connection, user)? {
                    return Ok(Changed::LastAdmin);
                }
                connection
                    .prepare_cached("UPDATE users SET role = ?2 WHERE user = ?1")?
                    .execute(params![user.user.0, role.as_str()])?;
                Ok(Changed::Done)
            })
        })
        .await
    }

    async fn disable(&self, user: UserNo, disabled: bool, by: &str, now_ms: i64) -> Result<Changed, Error> {
        let change = Change { user, by: by.to_owned(), now_ms };
        let what = if disabled { "user_disabled" } else { "user_enabled" };
        self.write(move |connection| {
            change.make(connection, what, "", |user| {
                if disabled && is_last_admin(connection, user)? {
                    return Ok(Changed::LastAdmin);
                }
                connection
                    .prepare_cached("UPDATE users SET disabled_ms = ?2 WHERE user = ?1")?
                    .execute(params![user.user.0, disabled.then_some(now_ms)])?;
                if disabled {
                    end_sessions(connection, user.user)?;
                    connection
                        .prepare_cached("UPDATE links SET used_ms = ?2 WHERE user = ?1 AND used_ms IS NULL")?
                        .execute([user.user.0, now_ms])?;
                }
                Ok(Changed::Done)
            })
        })
        .await
    }

    async fn create_session(
        &self,
        token: TokenHash,
        user: UserNo,
        now_ms: i64,
        expires_ms: i64,
    ) -> Result<Session, Error> {
        self.write(move |connection| {
            connection.prepare_cached("DELETE FROM sessions WHERE expires_ms <= ?1")?.execute([now_ms])?;
            connection
                .prepare_cached(
                    "INSERT INTO sessions (token_hash, user, created_ms, seen_ms, expires_ms) VALUES (?1, ?2, ?3, ?3, ?4)",
                )?
                .execute(params![token.0, user.0, now_ms, expires_ms])?;
            let session = connection.last_insert_rowid();
            Ok(Session { session, user, created_ms: now_ms, seen_ms: now_ms, expires_ms })
        })
        .await
    }

    async fn session(&self, token: TokenHash, now_ms: i64) -> Result<Option<(User, Session)>, Error> {
        let found = self
            .read(move |connection| {
                let found = connection
                    .prepare_cached(
                        "SELECT session, user, created_ms, seen_ms, expires_ms FROM sessions
                         WHERE token_hash = ?1 AND expires_ms > ?2",
                    )?
                    .query_row(params![token.0, now_ms], session)
                    .optional()?;
                let Some(session) = found else { return Ok(None) };
                let user = find_user(connection, session.user)?.filter(|user| user.disabled_ms.is_none());
                Ok(user.map(|user| (user, session)))
            })
            .await?;
        let Some((user, mut session)) = found else { return Ok(None) };
        if now_ms - session.seen_ms >= SEEN_STEP_MS {
            let no = session.session;
            self.write(move |connection| {
                connection
                    .prepare_cached("UPDATE sessions SET seen_ms = ?2 WHERE session = ?1")?
                    .execute([no, now_ms])?;
                Ok(())
            })
            .await?;
            session.seen_ms = now_ms;
        }
        Ok(Some((user, session)))
    }

    async fn sessions(&self, user: UserNo, now_ms: i64) -> Result<Vec<Session>, Error> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT session, user, created_ms, seen_ms, expires_ms FROM sessions
                 WHERE user = ?1 AND expires_ms > ?2 ORDER BY session DESC",
            )?;
            Ok(statement.query_map([user.0, now_ms], session)?.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn revoke_session(&self, token: TokenHash) -> Result<(), Error> {
        self.write(move |connection| {
            connection.prepare_cached("DELETE FROM sessions WHERE token_hash = ?1")?.execute([token.0])?;
            Ok(())
        })
        .await
    }

    async fn revoke_sessions(&self, user: UserNo, by: &str, now_ms: i64) -> Result<u64, Error> {
        let by = by.to_owned();
        self.write(move |connection| {
            let Some(found) = find_user(connection, user)? else { return Ok(0) };
            let ended = end_sessions(connection, user)?;
            audit(connection, &by, "sessions_revoked", &found.email, &ended.to_string(), now_ms)?;
            Ok(ended)
        })
        .await
    }

    async fn create_link(
        &self,
        token: TokenHash,
        purpose: LinkPurpose,
        user: Option<UserNo>,
        now_ms: i64,
        expires_ms: i64,
    ) -> Result<(), Error> {
        self.write(move |connection| {
            connection
                .prepare_cached("UPDATE links SET used_ms = ?3 WHERE purpose = ?1 AND user IS ?2 AND used_ms IS NULL")?
                .execute(params![purpose.as_str(), user.map(|user| user.0), now_ms])?;
            connection
                .prepare_cached(
                    "INSERT INTO links (token_hash, purpose, user, created_ms, expires_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute(params![token.0, purpose.as_str(), user.map(|user| user.0), now_ms, expires_ms])?;
            Ok(())
        })
        .await
    }

    async fn link_works(&self, token: TokenHash, purpose: LinkPurpose, now_ms: i64) -> Result<bool, Error> {
        self.read(move |connection| {
            Ok(connection.prepare_cached(LINK_SQL)?.exists(params![token.0, purpose.as_str(), now_ms])?)
        })
        .await
    }

    async fn consume_link(
        &self,
        token: TokenHash,
        purpose: LinkPurpose,
        now_ms: i64,
    ) -> Result<Option<Option<User>>, Error> {
        self.write(move |connection| {
            let owner: Option<Option<i64>> = connection
                .prepare_cached(LINK_SQL)?
                .query_row(params![token.0, purpose.as_str(), now_ms], |row| row.get(0))
                .optional()?;
            let Some(owner) = owner else { return Ok(None) };
            connection
                .prepare_cached("UPDATE links SET used_ms = ?2 WHERE token_hash = ?1")?
                .execute(params![token.0, now_ms])?;
            match owner {
                Some(no) => find_user(connection, UserNo(no)).map(Some),
                None => Ok(Some(None)),
            }
        })
        .await
    }

    async fn record_sign_in_failure(&self, key: &str, now_ms: i64) -> Result<(), Error> {
        let key = key.to_owned();
        self.write(move |connection| {
            connection
                .prepare_cached("DELETE FROM sign_in_failures WHERE at_ms < ?1")?
                .execute([now_ms - FAILURES_KEPT_MS])?;
            connection
                .prepare_cached("INSERT INTO sign_in_failures (key, at_ms) VALUES (?1, ?2)")?
                .execute(params![key, now_ms])?;
            Ok(())
        })
        .await
    }

    async fn sign_in_failures(&self, key: &str, since_ms: i64) -> Result<u64, Error> {
        let key = key.to_owned();
        self.read(move |connection| {
            let mut statement =
                connection.prepare_cached("SELECT count(*) FROM sign_in_failures WHERE key = ?1 AND at_ms >= ?2")?;
            Ok(statement.query_row(params![key, since_ms], |row| row.get(0))?)
        })
        .await
    }

    async fn append_audit(&self, who: &str, what: &str, subject: &str, detail: &str, now_ms: i64) -> Result<(), Error> {
        let [who, what, subject, detail] = [who, what, subject, detail].map(str::to_owned);
        self.write(move |connection| audit(connection, &who, &what, &subject, &detail, now_ms)).await
    }

    async fn verify_audit(&self) -> Result<Option<i64>, Error> {
        self.read(verify_audit).await
    }
}
