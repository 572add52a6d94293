//! Reading plain text: words, likeness, languages, amounts, dates and quantities. No decisions about tickets.

use std::collections::BTreeSet;

/// The words of a text: lower case, letters and digits alone, in order.
pub fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

/// How much two texts share, from 0 to 1: shared distinct words over those of the shorter text.
pub fn similarity(a: &[String], b: &[String]) -> f64 {
    let a: BTreeSet<&String> = a.iter().collect();
    let b: BTreeSet<&String> = b.iter().collect();
    let shorter = a.len().min(b.len());
    if shorter == 0 {
        return 0.0;
    }
    // A small weight on the longer side tells a whole match from a few shared words.
    let shared = a.intersection(&b).count() as f64;
    shared / shorter as f64 * 0.8 + shared / a.len().max(b.len()) as f64 * 0.2
}
