//! Users, sessions, links, and the chain of the audit trail.

use rusqlite::Connection;

use super::*;
use crate::journal::accounts::{Accounts, Changed, LinkPurpose, NewUser, Role, TokenHash, User};
use crate::journal::views::Views;

const BY: &str = "command line";

async fn add(accounts: &dyn Accounts, email: &str, role: Role) -> Option<User> {
    let new = NewUser { email: email.to_owned(), name: "Ada".to_owned(), role, password_hash: None };
    accounts.create_user(new, BY, 1).await.unwrap()
}

#[tokio::test]
async fn an_address_is_one_user_in_any_case() {
    let (_folder, store) = store();
    let ada = add(&store, " Ada@Example.com", Role::Admin).await.unwrap();
    assert_eq!((ada.email.as_str(), ada.role, ada.disabled_ms), ("ada@example.com", Role::Admin, None));
    assert_eq!(add(&store, "ADA@example.com", Role::Viewer).await, None);
    assert_eq!(store.user_by_email("aDa@example.com").await.unwrap(), Some(ada.clone()));
    add(&store, "a@example.com", Role::Viewer).await.unwrap();
    let emails: Vec<String> = store.users().await.unwrap().into_iter().map(|user| user.email).collect();
    assert_eq!(emails, ["a@example.com", "ada@example.com"]);
    assert!(!format!("{ada:?}").contains("example.com"));
}

#[tokio::test]
async fn changes_of_users_leave_audit_lines_and_an_admin() {
    let (_folder, store) = store();
    let ada = add(&store, "ada@example.com", Role::Admin).await.unwrap().user;
    let bob = add(&store, "bob@example.com", Role::Viewer).await.unwrap().user;
    assert_eq!(store.set_role(ada, Role::Viewer, BY, 2).await.unwrap(), Changed::LastAdmin);
    assert_eq!(store.disable(ada, true, BY, 2).await.unwrap(), Changed::LastAdmin);
    assert_eq!(store.set_role(bob, Role::Admin, "ada@example.com", 3).await.unwrap(), Changed::Done);
    assert_eq!(store.disable(ada, true, BY, 4).await.unwrap(), Changed::Done);
    assert_eq!(store.set_role(bob, Role::Viewer, BY, 5).await.unwrap(), Changed::LastAdmin, "a disabled one is none");
    assert_eq!(store.disable(ada, false, BY, 6).await.unwrap(), Changed::Done);
    assert_eq!(store.set_password(bob, "$argon2id$x", BY, 7).await.unwrap(), Changed::Done);
    let nobody = crate::journal::accounts::UserNo(99);
    assert_eq!(store.set_password(nobody, "$argon2id$x", BY, 7).await.unwrap(), Changed::NoSuchUser);

    let lines: Vec<String> = store
        .audit(None, 100)
        .await
        .unwrap()
        .iter()
        .map(|line| format!("{} {} {} {} {}", line.line, line.who, line.what, line.subject, line.detail))
        .collect();
    assert_eq!(
        lines,
        [
            "6 command line password_set bob@example.com ",
            "5 command line user_enabled ada@example.com ",
            "4 command line user_disabled ada@example.com ",
            "3 ada@example.com role_set bob@example.com admin",
            "2 command line user_created bob@example.com viewer",
            "1 command line user_created ada@example.com admin",
        ]
    );
    assert_eq!(store.audit(Some(3), 1).await.unwrap()[0].line, 2);
    assert_eq!(store.verify_audit().await.unwrap(), None);
}

#[tokio::test]
async fn a_session_lasts_until_it_ends_or_is_ended() {
    let (_folder, store) = store();
    let ada = add(&store, "ada@example.com", Role::Admin).await.unwrap().user;
    let bob = add(&store, "bob@example.com", Role::Viewer).await.unwrap().user;
    let token = TokenHash::of("t1");
    store.create_session(token, bob, 0, 1_000_000).await.unwrap();
    let seen = |now_ms| {
        let store = &store;
        async move { store.session(token, now_ms).await.unwrap().map(|(user, session)| (user.user, session.seen_ms)) }
    };
    assert_eq!(seen(59_999).await, Some((bob, 0)));
    assert_eq!(seen(60_000).await, Some((bob, 60_000)));
    assert_eq!(seen(60_001).await, Some((bob, 60_000)));
    assert_eq!(seen(1_000_000).await, None, "it has ended");
    assert!(store.session(TokenHash::of("t2"), 1).await.unwrap().is_none());

    store.create_session(TokenHash::of("t3"), bob, 5, 1_000_000).await.unwrap();
    store.create_session(TokenHash::of("t4"), ada, 5, 1_000_000).await.unwrap();
    assert_eq!(store.sessions(bob, 10).await.unwrap().len(), 2);
    store.revoke_session(token).await.unwrap();
    assert_eq!(seen(60_002).await, None);
    assert_eq!(store.revoke_sessions(bob, BY, 10).await.unwrap(), 1);
    store.create_session(token, bob, 0, 1_000_000).await.unwrap();
    store.disable(bob, true, BY, 11).await.unwrap();
    assert_eq!(seen(12).await, None);
    store.create_session(token, ada, 0, 1_000_000).await.unwrap();
    store.set_password(ada, "$argon2id$x", BY, 13).await.unwrap();
    assert_eq!(seen(14).await, None);
}

#[tokio::test]
async fn a_link_works_once() {
    let (_folder, store) = store();
    let bob = add(&store, "bob@example.com", Role::Viewer).await.unwrap();
    let (setup, first, second) = (TokenHash::of("s"), TokenHash::of("1"), TokenHash::of("2"));
    store.create_link(setup, LinkPurpose::SetUp, None, 0, 100).await.unwrap();
    store.create_link(first, LinkPurpose::SignIn, Some(bob.user), 0, 100).await.unwrap();
    assert!(store.link_works(setup, LinkPurpose::SetUp, 99).await.unwrap());
    assert!(!store.link_works(setup, LinkPurpose::SetUp, 100).await.unwrap());
    assert!(!store.link_works(setup, LinkPurpose::SignIn, 1).await.unwrap(), "for something else");

    // A hundred at once: one of them gets it.
    let tries = join_all((0..100).map(|_| store.consume_link(setup, LinkPurpose::SetUp, 50))).await;
    assert_eq!(tries.into_iter().filter(|used| matches!(used, Ok(Some(None)))).count(), 1);

    store.create_link(second, LinkPurpose::SignIn, Some(bob.user), 1, 100).await.unwrap();
    assert_eq!(store.consume_link(first, LinkPurpose::SignIn, 2).await.unwrap(), None, "a newer one took its place");
    assert_eq!(store.consume_link(second, LinkPurpose::SignIn, 2).await.unwrap(), Some(Some(bob.clone())));
    assert_eq!(store.consume_link(second, LinkPurpose::SignIn, 2).await.unwrap(), None);
    let third = TokenHash::of("3");
    store.create_link(third, LinkPurpose::SignIn, Some(bob.user), 1, 100).await.unwrap();
    store.disable(bob.user, true, BY, 2).await.unwrap();
    assert_eq!(store.consume_link(third, LinkPurpose::SignIn, 3).await.unwrap(), None);
}

#[tokio::test]
async fn failures_are_counted_by_key_and_forgotten_after_a_day() {
    let (_folder, store) = store();
    for (key, now_ms) in [("ada@example.com", 10), ("ada@example.com", 20), ("10.0.0.1", 20)] {
        store.record_sign_in_failure(key, now_ms).await.unwrap();
    }
    assert_eq!(store.sign_in_failures("ada@example.com", 0).await.unwrap(), 2);
    assert_eq!(store.sign_in_failures("ada@example.com", 11).await.unwrap(), 1);
    assert_eq!(store.sign_in_failures("10.0.0.1", 0).await.unwrap(), 1);
    store.record_sign_in_failure("10.0.0.1", 86_400_015).await.unwrap();
    assert_eq!(store.sign_in_failures("ada@example.com", 0).await.unwrap(), 1);
}

#[tokio::test]
async fn a_changed_audit_trail_is_noticed() {
    let (folder, store) = store();
    for n in 1..=5 {
        store.append_audit("ada@example.com", "approval_decided", &format!("apr_1_1_{n}"), "approve", n).await.unwrap();
    }
    assert_eq!(store.verify_audit().await.unwrap(), None);
    let outside = Connection::open(folder.path().join("deskhand.db")).unwrap();
    outside.execute_batch("DROP TRIGGER audit_is_never_changed; DROP TRIGGER audit_is_never_deleted").unwrap();
    for (harm, undo, found) in [
        ("UPDATE audit SET who = 'eve' WHERE line = 3", "UPDATE audit SET who = 'ada@example.com' WHERE line = 3", 3),
        ("UPDATE audit SET at_ms = 9 WHERE line = 1", "UPDATE audit SET at_ms = 1 WHERE line = 1", 1),
        ("UPDATE audit SET line = 9 WHERE line = 5", "UPDATE audit SET line = 5 WHERE line = 9", 5),
    ] {
        outside.execute(harm, []).unwrap();
        assert_eq!(store.verify_audit().await.unwrap(), Some(found), "{harm}");
        outside.execute(undo, []).unwrap();
        assert_eq!(store.verify_audit().await.unwrap(), None, "{undo}");
    }
    outside.execute("DELETE FROM audit WHERE line = 2", []).unwrap();
    assert_eq!(store.verify_audit().await.unwrap(), Some(2));
}
