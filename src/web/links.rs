//! The links that a start prints: to make the first admin, to look at a demo.

use std::time::Duration;

use crate::clock::Clock;
use crate::journal::Error;
use crate::journal::accounts::{Accounts, LinkPurpose, NewUser, Role, TokenHash};
use crate::web::session::new_token;

/// How long the link of the first start works.
const SET_UP_TTL: Duration = Duration::from_secs(24 * 3_600);
/// How long a demo's link works.
const DEMO_TTL: Duration = Duration::from_secs(7 * 24 * 3_600);
/// The admin of every demo. `.example` belongs to nobody.
const DEMO_ADMIN: &str = "admin@demo.example";

/// A link that makes the first admin, as long as there is no user. A new start makes a new one; the older no longer works.
pub async fn first_run_link(accounts: &dyn Accounts, url: &str, clock: &Clock) -> Result<Option<String>, Error> {
    if !accounts.users().await?.is_empty() {
        return Ok(None);
    }
    let token = new_token();
    let now_ms = clock.now_ms();
    accounts.create_link(TokenHash::of(&token), LinkPurpose::SetUp, None, now_ms, now_ms + ms(SET_UP_TTL)).await?;
    Ok(Some(link(url, &token)))
}

/// A link that signs in the demo's admin, who is made if need be.
pub async fn demo_sign_in_link(accounts: &dyn Accounts, url: &str, clock: &Clock) -> Result<String, Error> {
    let now_ms = clock.now_ms();
    let admin = match accounts.user_by_email(DEMO_ADMIN).await? {
        Some(admin) => Some(admin),
        None => {
            let name = "Demo admin".to_owned();
            let new = NewUser { email: DEMO_ADMIN.to_owned(), name, role: Role::Admin, password_hash: None };
            match accounts.create_user(new, "demo", now_ms).await? {
                Some(made) => Some(made),
                None => accounts.user_by_email(DEMO_ADMIN).await?,
            }
        }
    };
    let token = new_token();
    let user = admin.map(|admin| admin.user);
    accounts.create_link(TokenHash::of(&token), LinkPurpose::SignIn, user, now_ms, now_ms + ms(DEMO_TTL)).await?;
    Ok(link(url, &token))
}

fn link(url: &str, token: &str) -> String {
    format!("{}/link/{token}", url.trim_end_matches('/'))
}

fn ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).expect("days fit")
}
