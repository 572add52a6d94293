//! Which language a text is in: votes of small words first, because tickets are short, then `whatlang` for longer ones.

use crate::policy::words::fold;

/// Small words that are frequent in one of the five languages and rare in the others, folded.
const VOTES: &[(&str, &[&str])] = &[
    (
        "en",
        &[
            "the", "and", "you", "your", "is", "are", "was", "have", "has", "we", "i", "my", "our", "it", "this",
            "that", "with", "for", "to", "of", "please", "can", "how", "what", "when", "not", "would", "will", "been",
            "hello", "hi", "thanks", "where", "from", "but", "there", "they", "she", "an", "on", "at", "id", "im",
            "dont",
        ],
    ),
    (
        "de",
        &[
            "der", "die", "das", "und", "ist", "ich", "wir", "sie", "nicht", "ein", "eine", "einen", "einem", "mit",
            "fur", "auf", "zu", "zum", "zur", "von", "bitte", "haben", "habe", "wie", "wann", "uns", "unser", "unsere",
            "unseren", "mein", "meine", "ihr", "ihre", "ihnen", "mir", "mochte", "kann", "konnen", "guten", "hallo",
            "danke", "dem", "den", "auch", "noch", "wird", "werden", "wurde", "sehr", "bei", "oder", "aber", "ihren",
            "im", "am",
        ],
    ),
    (
        "fr",
        &[
            "le", "les", "je", "nous", "vous", "est", "une", "des", "du", "et", "pour", "avec", "dans", "sur", "pas",
            "mon", "notre", "votre", "nos", "vos", "mes", "bonjour", "merci", "comment", "quand", "ne", "au", "aux",
            "cette", "ce", "sont", "avons", "avez", "ai", "mais", "bien", "il", "elle", "l", "d", "qu", "j", "ou",
            "etre", "suis", "sera",
        ],
    ),
    (
        "es",
        &[
            "el", "los", "las", "una", "es", "y", "mi", "mis", "nuestro", "nuestra", "su", "sus", "del", "al", "por",
            "hola", "gracias", "favor", "como", "cuando", "pero", "esta", "este", "estoy", "quiero", "queremos",
            "puedo", "pueden", "hemos", "he", "ha", "buenos", "buenas", "usted", "ustedes", "lo", "nos", "con", "muy",
            "ya", "donde", "hay", "en", "la", "le", "un",
        ],
    ),
    (
        "pt",
        &[
            "o", "os", "uma", "um", "e", "meu", "minha", "nosso", "nossa", "seu", "sua", "do", "da", "dos", "das",
            "no", "na", "nos", "nas", "ao", "em", "com", "por", "ola", "oi", "obrigado", "obrigada", "nao", "voce",
            "voces", "como", "quando", "mas", "esta", "estou", "quero", "gostaria", "posso", "podem", "tenho", "temos",
            "bom", "dia", "ate", "ja", "muito", "onde", "pelo", "pela", "foi", "eu",
        ],
    ),
];

/// The language of a text as a two-letter code; `None` when it is not certain. Links and addresses do not vote.
pub fn of(text: &str) -> Option<&'static str> {
    let plain: String = text
        .split_whitespace()
        .filter(|word| !word.contains("://") && !word.contains('@'))
        .collect::<Vec<_>>()
        .join(" ");
    let folded = fold(&plain);
    let words: Vec<&str> = folded.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let mut counts: Vec<(usize, &'static str)> = VOTES
        .iter()
        .map(|(language, list)| (words.iter().filter(|word| list.contains(*word)).count(), *language))
        .collect();
    let lower = plain.to_lowercase();
    for (language, marks) in [("de", "ßäü"), ("es", "ñ¿¡"), ("pt", "ãõ"), ("fr", "èêœ")] {
        let seen = lower.chars().filter(|c| marks.contains(*c)).count();
        if let Some((count, _)) = counts.iter_mut().find(|(_, l)| *l == language) {
            *count += seen.min(4);
        }
    }
    counts.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    let (first, language) = counts[0];
    let second = counts[1].0;
    let clear = first >= 2 && first >= second + 2 && (first - second) * 4 >= first;
    // A text in some sixth language gathers few votes among many words.
    if clear && first * 8 >= words.len() {
        return Some(language);
    }
    let info = whatlang::detect(&plain)?;
    if plain.chars().count() < 60 || !info.is_reliable() {
        return None;
    }
    code(info.lang())
}

/// The two-letter code of a language that `whatlang` knows, for those that a shop is likely to meet.
fn code(language: whatlang::Lang) -> Option<&'static str> {
    use whatlang::Lang;
    Some(match language {
        Lang::Eng => "en",
        Lang::Deu => "de",
        Lang::Fra => "fr",
        Lang::Spa => "es",
        Lang::Por => "pt",
        Lang::Ita => "it",
        Lang::Nld => "nl",
        Lang::Pol => "pl",
        Lang::Ces => "cs",
        Lang::Swe => "sv",
        Lang::Dan => "da",
        Lang::Rus => "ru",
        Lang::Ukr => "uk",
        Lang::Tur => "tr",
        Lang::Jpn => "ja",
        Lang::Kor => "ko",
        Lang::Cmn => "zh",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_texts_have_a_language() {
        let check = |text: &str, expected: Option<&str>| assert_eq!(of(text), expected, "{text}");
        check("Where is my order? Thanks for your help", Some("en"));
        check("Wo bleibt meine Bestellung und wann wird sie geliefert?", Some("de"));
        check("Bonjour, je n'ai pas reçu ma commande, merci de votre retour", Some("fr"));
        check("Hola, ¿cuándo llega mi pedido? Gracias", Some("es"));
        check("Olá, não recebi a minha encomenda. Obrigado", Some("pt"));
        check("BS-10401", None);
        check("ok", None);
    }
}
