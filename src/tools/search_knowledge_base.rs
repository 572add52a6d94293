//! `search_knowledge_base`: the best passages of the public help center, with article id and date. Drafts and internal
//! articles are not in the index at all.

use serde_json::{Value, json};

use super::{Context, Error, Performed, Tools};
use crate::intent::SearchKnowledgeBase;

/// How many passages the model reads at most.
const PASSAGES_MAX: usize = 4;

pub(super) async fn perform(
    tools: &Tools,
    context: &Context<'_>,
    asked: &SearchKnowledgeBase,
) -> Result<Performed, Error> {
    let mut output = look_up(tools, &asked.query, context.language).await?;
    if output["passages"].as_array().is_none_or(Vec::is_empty) {
        output["hint"] = json!(
            "no article fits. Try once with other words; if nothing is found, do not answer from memory: escalate with reason no_grounding"
        );
    }
    Ok(Performed::answer(output))
}

/// The best passages for a query, as the model reads them.
pub async fn look_up(tools: &Tools, query: &str, language: &str) -> Result<Value, Error> {
    let (knowledge, query, language) = (tools.knowledge.clone(), query.to_owned(), language.to_owned());
    let searched = tokio::task::spawn_blocking(move || knowledge.search(&query, Some(&language), PASSAGES_MAX)).await;
    let failed = |reason: String| Error::retry("knowledge", None, reason);
    let found = searched.map_err(|e| failed(e.to_string()))?.map_err(|e| failed(e.to_string()))?;
    let passages: Vec<Value> = found
        .iter()
        .map(|passage| {
            json!({
                "article": passage.article,
                "title": passage.title,
                "heading": passage.heading,
                "text": passage.text,
                "url": passage.url,
                "updated": passage.updated.strftime("%Y-%m-%d").to_string(),
            })
        })
        .collect();
    Ok(json!({ "passages": passages }))
}
