//! Reading the helpdesk: who we are, new tickets by both lanes, a ticket's messages, a requester's other tickets, groups,
//! articles. Follows pages by their cursors, never by a URL out of a body: those may name another host.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::text::{cut, from_html, visible_characters};
use super::{Error, Kind, VENDOR, Zendesk, wire};
use crate::article::Article;
use crate::clients::encode;
use crate::ids::{ArticleId, CommentId, GroupId, TicketId, UserId};
use crate::ticket::{Attachment, Author, EarlierTicket, Message, Requester, TEXT_MAX_BYTES, Ticket, TicketStatus};

/// The most pages of one ticket's comments that are read (100 comments each).
const COMMENT_PAGES_MAX: usize = 10;
/// The most pages of articles that are read (100 articles each).
const ARTICLE_PAGES_MAX: usize = 100;

/// The user that we act as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Me {
    /// Its number.
    pub id: UserId,
    /// `admin`, `agent` or `end-user`.
    pub role: String,
    /// Its name, as customers see it.
    pub name: String,
}

/// Everything of a ticket but its messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketHead {
    /// Its number.
    pub id: TicketId,
    /// Its subject line.
    pub subject: String,
    /// Where it stands.
    pub status: TicketStatus,
    /// How it came in.
    pub channel: String,
    /// Whose it is. Name and address are missing where the helpdesk did not send the user along.
    pub requester: Requester,
    /// Addresses in copy, lower case; `user <number>` for somebody whose address is not known.
    pub cc: Vec<String>,
    /// The colleague it is assigned to.
    pub assignee: Option<UserId>,
    /// The group it is filed under.
    pub group: Option<GroupId>,
    /// Its tags, as filed.
    pub tags: Vec<String>,
    /// When it was opened.
    pub created_at: Timestamp,
    /// The stamp: when it last changed, to the second.
    pub updated_at: Timestamp,
    /// When the export last saw it change, in seconds since the Unix epoch (system changes too); absent outside the export.
    pub generated_s: Option<i64>,
    /// The closed ticket that this one follows.
    pub follows: Option<TicketId>,
    /// It lives in a chat, where our comment may not reach anybody.
    pub from_messaging_channel: bool,
}

impl TicketHead {
    /// The ticket with its messages, oldest first.
    pub fn into_ticket(self, messages: Vec<Message>) -> Ticket {
        Ticket {
            id: self.id,
            subject: self.subject,
            status: self.status,
            channel: self.channel,
            requester: self.requester,
            cc: self.cc,
            assignee: self.assignee,
            group: self.group,
            tags: self.tags,
            created_at: self.created_at,
            updated_at: self.updated_at,
            follows: self.follows,
            messages,
        }
    }
}

/// A page of the ticket list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketPage {
    /// Newest change first.
    pub heads: Vec<TicketHead>,
    /// Where the next page starts; `None` on the last one.
    pub after: Option<String>,
}

/// Where the export goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IncrementalFrom {
    /// The first call ever: everything that changed since, which must be over 60 s ago.
    Start(Timestamp),
    /// Every later call.
    Cursor(String),
}

/// A page of the export that loses nothing (but shows the newest 60 s only later).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncrementalPage {
    /// Oldest change first; deleted tickets too.
    pub heads: Vec<TicketHead>,
    /// Where to go on, to be stored in the commit that takes the heads. `None`: keep the one before.
    pub cursor: Option<String>,
    /// Nothing more for now.
    pub end_of_stream: bool,
}

/// A group of colleagues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its number.
    pub id: GroupId,
    /// Its name.
    pub name: String,
}

type Users = BTreeMap<i64, wire::User>;

impl Zendesk {
    /// The user that we act as. Without valid credentials the helpdesk answers 200 as “Anonymous user”: that is refused here.
    pub async fn me(&self) -> Result<Me, Error> {
        let answer = self.get("/users/me.json").await?;
        let user: wire::User = part(&answer, "user")?;
        match user.id {
            Some(id) => {
                Ok(Me { id: UserId(id), role: user.role.unwrap_or_default(), name: user.name.unwrap_or_default() })
            }
            None => Err(Error::refused(
                VENDOR,
                Some(200),
                Some("anonymous"),
                "the credentials are not valid: the helpdesk sees us as an anonymous user\nhint: check the address in front \
                 of the token, or use an OAuth client",
            )),
        }
    }

    /// The ticket list, newest change first, a hundred at a time. Sees a change within seconds, but not archived tickets.
    pub async fn list_newest(&self, after: Option<&str>) -> Result<TicketPage, Error> {
        let mut path = "/tickets.json?sort=-updated_at&page%5Bsize%5D=100&include=users".to_owned();
        if let Some(after) = after {
            path += &format!("&page%5Bafter%5D={}", encode(after));
        }
        let answer = self.get(&path).await?;
        let heads = self.heads(&answer).await?;
        Ok(TicketPage { heads, after: next_cursor(&answer) })
    }

    /// The export: every change since, each ticket in its final state, at least once.
    pub async fn incremental(&self, from: &IncrementalFrom) -> Result<IncrementalPage, Error> {
        let from = match from {
            IncrementalFrom::Start(at) => format!("start_time={}", at.as_second()),
            IncrementalFrom::Cursor(cursor) => format!("cursor={}", encode(cursor)),
        };
        let answer = self.get(&format!("/incremental/tickets/cursor.json?{from}&per_page=1000&include=users")).await?;
        let heads = self.heads(&answer).await?;
        let cursor = answer.get("after_cursor").and_then(Value::as_str).map(str::to_owned);
        let end_of_stream = answer.get("end_of_stream").and_then(Value::as_bool).unwrap_or(heads.is_empty());
        Ok(IncrementalPage { heads, cursor, end_of_stream })
    }

    /// One ticket.
    pub async fn head(&self, ticket: TicketId) -> Result<TicketHead, Error> {
        let answer = self.get(&format!("/tickets/{ticket}.json?include=users")).await?;
        let one: wire::Ticket = part(&answer, "ticket")?;
        let mut users = users(&answer);
        self.fetch_missing(std::slice::from_ref(&one), &mut users).await?;
        Ok(head_of(one, &users))
    }

    /// A ticket's messages, oldest first: the newest thousand. `own` is the number of the user that we act as.
    pub async fn messages(&self, ticket: TicketId, requester: UserId, own: UserId) -> Result<Vec<Message>, Error> {
        let mut messages = Vec::new();
        let mut after: Option<String> = None;
        for _ in 0..COMMENT_PAGES_MAX {
            // Newest first, so that a ticket with more comments than we read loses its oldest ones.
            let mut path = format!("/tickets/{ticket}/comments.json?include=users&sort=-created_at&page%5Bsize%5D=100");
            if let Some(after) = &after {
                path += &format!("&page%5Bafter%5D={}", encode(after));
            }
            let answer = self.get(&path).await?;
            let users = users(&answer);
            let comments: Vec<wire::Comment> = part(&answer, "comments")?;
            messages.extend(comments.into_iter().map(|comment| message_of(comment, &users, requester, own)));
            after = next_cursor(&answer);
            if after.is_none() {
                break;
            }
        }
        messages.sort_by_key(|message: &Message| (message.at, message.id));
        messages.dedup_by_key(|message| message.id);
        Ok(messages)
    }

    /// The requester's tickets, newest change first, at most ten.
    pub async fn requested_by(&self, user: UserId) -> Result<Vec<EarlierTicket>, Error> {
        let answer =
            self.get(&format!("/users/{user}/tickets/requested.json?sort=-updated_at&page%5Bsize%5D=10")).await?;
        let tickets: Vec<wire::Ticket> = part(&answer, "tickets")?;
        let earlier = tickets.into_iter().take(10).map(|ticket| EarlierTicket {
            id: TicketId(ticket.id),
            status: wire::status(ticket.status.as_deref()),
            created_at: ticket.created_at,
            subject: subject(&ticket),
        });
        Ok(earlier.collect())
    }

    /// The groups that tickets can go to.
    pub async fn groups(&self) -> Result<Vec<Group>, Error> {
        let answer = self.get("/groups.json?page%5Bsize%5D=100").await?;
        let groups: Vec<Value> = part(&answer, "groups")?;
        let alive = groups.iter().filter(|group| group.get("deleted").and_then(Value::as_bool) != Some(true));
        Ok(alive
            .filter_map(|group| {
                let name = group.get("name").and_then(Value::as_str)?.to_owned();
                Some(Group { id: GroupId(wire::number(group.get("id")?)?), name })
            })
            .collect())
    }

    /// The whole help center, drafts and internal articles too, marked as such: our credentials see them.
    pub async fn articles(&self) -> Result<Vec<Article>, Error> {
        let mut articles = Vec::new();
        let mut sections: BTreeMap<i64, String> = BTreeMap::new();
        let mut found: Vec<wire::Article> = Vec::new();
        let mut after: Option<String> = None;
        for _ in 0..ARTICLE_PAGES_MAX {
            let mut path =
                "/help_center/articles.json?include=sections&sort_by=updated_at&page%5Bsize%5D=100".to_owned();
            if let Some(after) = &after {
                path += &format!("&page%5Bafter%5D={}", encode(after));
            }
            let answer = self.get(&path).await?;
            found.extend(part::<Vec<wire::Article>>(&answer, "articles")?);
            for section in answer.get("sections").and_then(Value::as_array).into_iter().flatten() {
                if let (Some(id), Some(name)) =
                    (section.get("id").and_then(wire::number), section.get("name").and_then(Value::as_str))
                {
                    sections.insert(id, name.to_owned());
                }
            }
            after = next_cursor(&answer);
            if after.is_none() {
                break;
            }
        }
        for article in found {
            let section = article.section_id.and_then(|id| sections.get(&id)).cloned().unwrap_or_default();
            articles.push(Article {
                id: ArticleId(article.id),
                title: article.title.or(article.name).unwrap_or_default(),
                url: article.html_url.unwrap_or_default(),
                body_html: article.body.unwrap_or_default(),
                locale: article.locale.unwrap_or_default().to_lowercase(),
                section,
                updated_at: article.edited_at.or(article.updated_at).unwrap_or(Timestamp::UNIX_EPOCH),
                draft: article.draft.unwrap_or(true),
                internal: article.user_segment_id.is_some()
                    || article.user_segment_ids.is_some_and(|ids| !ids.is_empty()),
            });
        }
        Ok(articles)
    }

    /// The tickets of an answer, with the users that came along or are fetched for them.
    async fn heads(&self, answer: &Value) -> Result<Vec<TicketHead>, Error> {
        let tickets: Vec<wire::Ticket> = part(answer, "tickets")?;
        let mut users = users(answer);
        self.fetch_missing(&tickets, &mut users).await?;
        Ok(tickets.into_iter().map(|ticket| head_of(ticket, &users)).collect())
    }

    /// Fetches the requesters and people in copy that the answer did not bring: none, as a rule.
    async fn fetch_missing(&self, tickets: &[wire::Ticket], users: &mut Users) -> Result<(), Error> {
        let living = tickets.iter().filter(|t| !matches!(t.status.as_deref(), Some("deleted" | "closed")));
        let wanted = living.flat_map(|t| t.requester_id.into_iter().chain(copied(t)));
        let mut missing: Vec<i64> = wanted.filter(|id| !users.contains_key(id)).collect();
        missing.sort_unstable();
        missing.dedup();
        for ids in missing.chunks(100) {
            let list: Vec<String> = ids.iter().map(i64::to_string).collect();
            match self.get(&format!("/users/show_many.json?ids={}", list.join(","))).await {
                Ok(answer) => users.extend(self::users(&answer)),
                // Somebody who cannot be read stays unknown; that must not stop the ticket.
                Err(Error::Refused { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// A member of an answer, as the shape it should have.
pub(super) fn part<T: DeserializeOwned>(answer: &Value, key: &str) -> Result<T, Error> {
    let member = answer.get(key).unwrap_or(&Value::Null);
    T::deserialize(member).map_err(|e| {
        Kind::Read.lost(VENDOR, format!("the answer's `{key}` was not understood: {}", shape_only(&e)), None)
    })
}

/// A parse error without the value it met, which may be a customer's.
pub(super) fn shape_only(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(['"', '`']).next().unwrap_or_default().trim().to_owned()
}

/// The cursor of the next page. The last page carries one too: only `has_more` counts.
pub(super) fn next_cursor(answer: &Value) -> Option<String> {
    let meta = answer.get("meta")?;
    if meta.get("has_more")?.as_bool()? { Some(meta.get("after_cursor")?.as_str()?.to_owned()) } else { None }
}

fn users(answer: &Value) -> Users {
    let list = answer.get("users").and_then(Value::as_array).into_iter().flatten();
    let users = list.filter_map(|user| <wire::User as serde::Deserialize>::deserialize(user).ok());
    users.filter_map(|user| Some((user.id?, user))).collect()
}

fn copied(ticket: &wire::Ticket) -> impl Iterator<Item = i64> {
    let listed = ticket.email_cc_ids.iter().chain(&ticket.collaborator_ids).flatten().copied();
    let requester = ticket.requester_id;
    listed.filter(move |id| Some(*id) != requester)
}

fn subject(ticket: &wire::Ticket) -> String {
    let subject = ticket.raw_subject.as_deref().or(ticket.subject.as_deref()).unwrap_or_default();
    cut(visible_characters(subject).trim(), 1_000).replace('\n', " ")
}

fn head_of(ticket: wire::Ticket, users: &Users) -> TicketHead {
    let requester_id = ticket.requester_id.unwrap_or(0);
    let requester = users.get(&requester_id);
    let mut cc: Vec<String> = Vec::new();
    for id in copied(&ticket) {
        let user = users.get(&id);
        // Colleagues in copy are no strangers.
        if user.is_some_and(|u| matches!(u.role.as_deref(), Some("agent" | "admin"))) {
            continue;
        }
        let address = user.and_then(|u| u.email.as_deref()).map_or_else(|| format!("user {id}"), str::to_lowercase);
        if !cc.contains(&address) {
            cc.push(address);
        }
    }
    TicketHead {
        id: TicketId(ticket.id),
        subject: subject(&ticket),
        status: wire::status(ticket.status.as_deref()),
        channel: ticket.via.channel(),
        requester: Requester {
            id: UserId(requester_id),
            name: requester.and_then(|u| u.name.clone()).unwrap_or_default(),
            address: requester.and_then(|u| u.email.as_deref()).map(str::to_lowercase),
            verified: requester.and_then(|u| u.verified).unwrap_or(false),
            external_id: requester.and_then(|u| u.external_id.clone()),
        },
        cc,
        assignee: ticket.assignee_id.map(UserId),
        group: ticket.group_id.map(GroupId),
        created_at: ticket.created_at,
        updated_at: ticket.updated_at,
        generated_s: ticket.generated_timestamp.filter(|s| *s > 0),
        follows: ticket.via.follows().map(TicketId),
        from_messaging_channel: ticket.from_messaging_channel.unwrap_or(false),
        tags: ticket.tags.unwrap_or_default(),
    }
}

fn message_of(comment: wire::Comment, users: &Users, requester: UserId, own: UserId) -> Message {
    let author_id = UserId(comment.author_id.unwrap_or(0));
    let role = users.get(&author_id.0).and_then(|user| user.role.as_deref());
    let author = if author_id == own {
        Author::Deskhand
    } else if author_id == requester {
        Author::Requester
    } else if matches!(role, Some("agent" | "admin")) {
        Author::Agent
    } else {
        Author::OtherEndUser
    };
    let whole = match comment.html_body.as_deref().filter(|html| !html.trim().is_empty()) {
        Some(html) => from_html(html),
        None => {
            let plain = comment.plain_body.as_deref().or(comment.body.as_deref()).unwrap_or_default();
            visible_characters(plain).trim().to_owned()
        }
    };
    let text = cut(&whole, TEXT_MAX_BYTES).to_owned();
    let attachments = comment.attachments.iter().flatten().filter(|file| file.deleted != Some(true));
    Message {
        id: CommentId(comment.id),
        author,
        author_id,
        public: comment.public.unwrap_or(false),
        at: comment.created_at,
        cut: text.len() < whole.len(),
        text,
        attachments: attachments
            .map(|file| Attachment {
                name: file.file_name.clone().unwrap_or_default(),
                content_type: file.content_type.clone().unwrap_or_default(),
                size: file.size.unwrap_or(0),
            })
            .collect(),
        flags: comment.flags(),
        marker: comment.marker().map(str::to_owned),
    }
}
