//! The help center: articles as agents and as visitors see them, and their search.

use serde_json::{Value, json};

use super::shape::HOST;
use super::{Answer, Call, Outcome, auth, shape};
use crate::sim::world::{State, stable_id, text};
use crate::sim::world_file::{Article, Audience};

pub(super) fn dispatch(call: &Call<'_>, rest: &[&str]) -> (&'static str, Outcome) {
    // A locale may stand in front: `/help_center/en-us/articles`.
    let (locale, rest) = match rest {
        [locale, tail @ ..] if !tail.is_empty() && *locale != "articles" && locale.len() <= 5 => (Some(*locale), tail),
        _ => (None, rest),
    };
    match rest {
        ["articles", "search"] => ("/help_center/articles/search", search(call, locale)),
        ["articles"] => ("/help_center/articles", articles(call, locale)),
        ["articles", id] => ("/help_center/articles/{id}", article(call, id)),
        ["sections"] => ("/help_center/sections", sections(call)),
        _ => ("(other)", Err(Answer::invalid_endpoint())),
    }
}

/// Visitors see what is published for everybody; agents see drafts and internal articles as well.
fn sees_all(call: &Call<'_>) -> Result<bool, Answer> {
    if call.header("authorization").is_none() {
        return Ok(false);
    }
    let caller = auth::caller(call)?;
    auth::scope(&caller, "hc", false)?;
    Ok(true)
}

fn visible<'a>(world: &'a State, all: bool, locale: Option<&'a str>) -> impl Iterator<Item = &'a Article> + 'a {
    let speaks = move |article: &Article| {
        locale.is_none_or(|locale| locale == "*" || wire_locale(&article.locale).eq_ignore_ascii_case(locale))
    };
    let open = move |article: &Article| all || (!article.draft && article.audience == Audience::Public);
    world.files.articles.iter().filter(move |article| speaks(article) && open(article))
}

/// `en` is `en-us` at Zendesk.
fn wire_locale(locale: &str) -> String {
    if locale == "en" { "en-us".to_owned() } else { locale.to_ascii_lowercase() }
}

/// `GET /help_center/articles`: cursor pages with `page[size]`, else offset pages.
fn articles(call: &Call<'_>, locale: Option<&str>) -> Outcome {
    let all = sees_all(call)?;
    let world = call.desk.world.lock();
    let mut rows: Vec<&Article> = visible(&world, all, locale).collect();
    match call.param("sort_by").unwrap_or("position") {
        "updated_at" | "edited_at" => rows.sort_by_key(|article| (article.updated, article.id)),
        "title" => rows.sort_by_key(|article| (article.title.clone(), article.id)),
        _ => rows.sort_by_key(|article| article.id),
    }
    if call.param("sort_order") == Some("desc") {
        rows.reverse();
    }
    let shaped = |article: &&Article| shape_of(&world, article);
    let size = |key: &str| call.param(key).and_then(|text| text.parse::<usize>().ok());
    if call.query.contains_key("page[size]") || call.query.contains_key("page[after]") {
        let size = size("page[size]").unwrap_or(30);
        if !(1..=100).contains(&size) {
            return Err(Answer::bad_attribute("page[size] must be a number from 1 to 100"));
        }
        let from = match call.param("page[after]") {
            None => 0,
            Some(cursor) => {
                let id = cursor.strip_prefix("article-").and_then(|id| id.parse::<i64>().ok());
                let id = id.ok_or_else(|| Answer::bad_attribute("page[after] is not valid"))?;
                rows.iter().position(|article| article.id == id).map_or(rows.len(), |index| index + 1)
            }
        };
        let picked: Vec<&Article> = rows.iter().skip(from).take(size).copied().collect();
        let cursor = |article: Option<&&Article>| article.map(|article| format!("article-{}", article.id));
        let (after, before) = (cursor(picked.last()), cursor(picked.first()));
        let has_more = from + picked.len() < rows.len();
        let link = after
            .as_ref()
            .map(|after| format!("{HOST}/api/v2/help_center/articles?page%5Bafter%5D={after}&page%5Bsize%5D={size}"));
        return Ok(Answer::ok(json!({
            "meta": { "has_more": has_more, "after_cursor": after, "before_cursor": before },
            "links": { "prev": null, "next": link.filter(|_| has_more) },
            "articles": picked.iter().map(shaped).collect::<Vec<_>>(),
        })));
    }
    let per_page = size("per_page").unwrap_or(30).clamp(1, 100);
    Ok(Answer::ok(offset_page(call, "articles", rows.iter().map(shaped).collect(), per_page)))
}

fn offset_page(call: &Call<'_>, name: &str, rows: Vec<Value>, per_page: usize) -> Value {
    let page = call.param("page").and_then(|text| text.parse::<usize>().ok()).unwrap_or(1).max(1);
    let count = rows.len();
    let next = page * per_page < count;
    let link = |page: usize| format!("{HOST}/api/v2/help_center/articles?page={page}&per_page={per_page}");
    let picked: Vec<Value> = rows.into_iter().skip((page - 1) * per_page).take(per_page).collect();
    json!({
        "count": count, "next_page": next.then(|| link(page + 1)), "page": page,
        "page_count": count.div_ceil(per_page), "per_page": per_page,
        "previous_page": (page > 1).then(|| link(page - 1)), name: picked,
    })
}

fn article(call: &Call<'_>, id: &str) -> Outcome {
    let all = sees_all(call)?;
    let id = super::read::id_of(id)?;
    let world = call.desk.world.lock();
    let article = visible(&world, all, None).find(|article| article.id == id).ok_or_else(Answer::not_found)?;
    Ok(Answer::ok(json!({ "article": shape_of(&world, article) })))
}

/// `GET /help_center/articles/search`: every word counts, a word in the title counts more.
fn search(call: &Call<'_>, locale: Option<&str>) -> Outcome {
    let all = sees_all(call)?;
    let query = call.param("query").unwrap_or_default().to_lowercase();
    let words: Vec<&str> = query.split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() > 1).collect();
    if words.is_empty() {
        return Err(Answer::bad_request("invalid", "one of query, category, section, label_names is required"));
    }
    let world = call.desk.world.lock();
    let wanted = call.param("locale").or(locale);
    let known = |locale: &&str| *locale == "*" || visible(&world, true, Some(locale)).next().is_some();
    let wanted = wanted.filter(known).unwrap_or("en-us");
    let score = |article: &Article| {
        let (title, body) = (article.title.to_lowercase(), article.markdown.to_lowercase());
        let one = |word: &&str| 5 * usize::from(title.contains(*word)) + body.matches(*word).count().min(5);
        words.iter().map(one).sum::<usize>()
    };
    let mut rows: Vec<(usize, &Article)> = visible(&world, all, Some(wanted))
        .map(|article| (score(article), article))
        .filter(|(score, _)| *score > 0)
        .collect();
    rows.sort_by_key(|(score, article)| (std::cmp::Reverse(*score), article.id));
    let shaped = |(_, article): &(usize, &Article)| {
        let mut out = shape_of(&world, article);
        let plain = text::to_plain(&shape::article_html(&article.markdown));
        out["snippet"] = json!(plain.chars().take(200).collect::<String>());
        out["result_type"] = json!("article");
        out
    };
    let per_page = call.param("per_page").and_then(|text| text.parse().ok()).unwrap_or(25usize).clamp(1, 100);
    Ok(Answer::ok(offset_page(call, "results", rows.iter().map(shaped).collect(), per_page)))
}

fn sections(call: &Call<'_>) -> Outcome {
    let all = sees_all(call)?;
    let world = call.desk.world.lock();
    let names: std::collections::BTreeSet<&str> =
        visible(&world, all, None).map(|article| article.section.as_str()).collect();
    let one = |name: &&str| {
        let id = stable_id("section", name);
        json!({ "id": id, "url": format!("{HOST}/api/v2/help_center/en-us/sections/{id}.json"), "name": name,
            "locale": "en-us", "source_locale": "en-us", "category_id": stable_id("category", "general"), "position": 0 })
    };
    Ok(Answer::ok(offset_page(call, "sections", names.iter().map(one).collect(), 100)))
}

fn shape_of(world: &State, article: &Article) -> Value {
    let locale = wire_locale(&article.locale);
    let at = shape::time(article.updated);
    let internal = article.audience == Audience::Internal;
    let segment = internal.then(|| stable_id("segment", "agents"));
    let slug: String = article.title.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let domains = &world.files.shop.link_domains;
    let host = domains.iter().find(|domain| domain.starts_with("help.")).or(domains.first());
    let host = host.map_or("help.example", String::as_str);
    json!({
        "id": article.id,
        "url": format!("{HOST}/api/v2/help_center/{locale}/articles/{}.json", article.id),
        "html_url": format!("https://{host}/hc/{locale}/articles/{}-{slug}", article.id),
        "author_id": world.bot,
        "comments_disabled": false,
        "draft": article.draft,
        "promoted": false,
        "position": 0,
        "vote_sum": 0,
        "vote_count": 0,
        "section_id": stable_id("section", &article.section),
        "created_at": at,
        "updated_at": at,
        "name": article.title,
        "title": article.title,
        "source_locale": locale,
        "locale": locale,
        "outdated": false,
        "outdated_locales": [],
        "edited_at": at,
        "user_segment_id": segment,
        "permission_group_id": stable_id("permission", "all"),
        "content_tag_ids": [],
        "label_names": [],
        "body": shape::article_html(&article.markdown),
        "user_segment_ids": segment.into_iter().collect::<Vec<_>>(),
    })
}
