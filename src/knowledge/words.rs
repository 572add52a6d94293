//! Words of a text as the index compares them: lower case, without accents, without endings, without the words that say
//! nothing. One rough way for five languages; index and query go through the same, so that roughness meets itself.

/// The most words of a query that are looked at.
pub const QUERY_WORDS_MAX: usize = 32;

/// All words that mean something, in order, with repetitions.
pub fn words(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut word = String::new();
    for c in text.chars().chain([' ']) {
        if c.is_alphanumeric() {
            fold(c, &mut word);
        } else if !word.is_empty() {
            if !STOP.contains(&word.as_str()) && (word.len() > 1 || word.bytes().all(|b| b.is_ascii_digit())) {
                out.push(stem(&word));
            }
            word.clear();
        }
    }
    out
}

/// Each word of a query once.
pub fn query_words(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for word in words(text) {
        if !out.contains(&word) {
            out.push(word);
        }
        if out.len() == QUERY_WORDS_MAX {
            break;
        }
    }
    out
}

fn fold(c: char, out: &mut String) {
    for c in c.to_lowercase() {
        let plain = match c {
            'à' | 'á' | 'â' | 'ã' | 'å' | 'ā' => "a",
            'ä' | 'æ' => "a",
            'ç' | 'ć' | 'č' => "c",
            'è' | 'é' | 'ê' | 'ë' | 'ę' | 'ē' => "e",
            'ì' | 'í' | 'î' | 'ï' => "i",
            'ñ' | 'ń' => "n",
            'ò' | 'ó' | 'ô' | 'õ' | 'ö' | 'ø' => "o",
            'œ' => "oe",
            'ù' | 'ú' | 'û' | 'ü' => "u",
            'ý' | 'ÿ' => "y",
            'ß' => "ss",
            'š' | 'ś' => "s",
            'ž' | 'ź' | 'ż' => "z",
            '\u{300}'..='\u{36f}' => "",
            other => {
                out.push(other);
                continue;
            }
        };
        out.push_str(plain);
    }
}

/// Takes common endings off. Rough on purpose; never below three letters.
fn stem(word: &str) -> String {
    if word.len() < 4 || !word.bytes().all(|b| b.is_ascii_lowercase()) {
        return word.to_owned();
    }
    if let Some(root) = word.strip_suffix("ies").filter(|root| root.len() >= 3) {
        return format!("{root}y");
    }
    const ENDINGS: [&str; 21] = [
        "ieren", "ierung", "ations", "ation", "ungen", "iert", "iere", "ings", "ing", "ung", "ern", "eur", "er", "en",
        "em", "es", "ed", "os", "as", "s", "e",
    ];
    let mut root = word;
    // Twice, for `messages` → `messag`, `settings` → `sett`.
    for _ in 0..2 {
        let ending = ENDINGS.iter().find(|ending| root.len() >= ending.len() + 3 && root.ends_with(**ending));
        match ending {
            Some(&"s") if root.ends_with("ss") || root.ends_with("us") => break,
            Some(ending) => root = &root[..root.len() - ending.len()],
            None => break,
        }
    }
    // `cancell` → `cancel`, `shipp` → `ship`.
    let bytes = root.as_bytes();
    if bytes.len() >= 4
        && bytes[bytes.len() - 1] == bytes[bytes.len() - 2]
        && !b"aeiou".contains(&bytes[bytes.len() - 1])
    {
        root = &root[..root.len() - 1];
    }
    root.to_owned()
}

/// Words that say nothing about a topic, folded as above.
#[rustfmt::skip]
const STOP: &[&str] = &[
    // English
    "a", "an", "the", "and", "or", "but", "if", "then", "is", "are", "was", "were", "be", "been", "am", "i", "me", "my",
    "mine", "we", "us", "our", "you", "your", "he", "she", "it", "its", "they", "them", "their", "this", "that", "these",
    "those", "to", "of", "in", "on", "at", "by", "for", "from", "with", "about", "as", "into", "do", "does", "did", "done",
    "have", "has", "had", "can", "could", "will", "would", "should", "shall", "may", "might", "must", "not", "no", "yes",
    "so", "too", "very", "just", "also", "how", "what", "when", "where", "which", "who", "why", "there", "here", "any",
    "some", "all", "please", "hi", "hello", "dear", "thanks", "thank", "want", "need", "like", "get", "got", "know", "tell",
    "help", "question", "ve", "ll", "re", "don", "doesn", "didn", "isn", "still", "already", "let", "possible", "way",
    "up", "out", "own", "one", "more", "than", "because", "since", "again", "now", "use", "using", "make", "don't",
    // German
    "der", "die", "das", "den", "dem", "des", "ein", "eine", "einen", "einem", "einer", "eines", "und", "oder", "aber",
    "wenn", "ist", "sind", "war", "bin", "ich", "mich", "mir", "mein", "meine", "meinen", "meinem", "meiner", "wir",
    "uns", "unser", "unsere", "sie", "ihr", "ihre", "ihnen", "er", "es", "zu", "zum", "zur", "im", "auf", "mit", "von",
    "vom", "fur", "bei", "aus", "nach", "uber", "wie", "was", "wann", "wo", "warum", "nicht", "kein", "keine", "kann",
    "konnen", "mochte", "muss", "soll", "habe", "haben", "hat", "hatte", "wird", "werden", "noch", "schon", "auch",
    "bitte", "hallo", "danke", "man", "sich", "dass", "doch",
    // French
    "le", "la", "les", "un", "une", "du", "de", "et", "ou", "mais", "si", "est", "sont", "je", "moi", "mon", "ma", "mes",
    "nous", "notre", "nos", "vous", "votre", "vos", "il", "elle", "ils", "ce", "cet", "cette", "ces", "au", "aux",
    "dans", "sur", "par", "pour", "avec", "ne", "pas", "plus", "que", "qui", "quoi", "quand", "comment", "pourquoi",
    "puis", "peut", "peux", "ai", "avez", "ont", "etre", "avoir", "bonjour", "merci", "svp", "est-ce", "se", "en", "y",
    // Spanish and Portuguese
    "el", "los", "las", "una", "uno", "unos", "o", "u", "os", "as", "um", "uma", "del", "al", "do", "da", "dos", "em",
    "no", "na", "nos", "nas", "por", "para", "con", "com", "sin", "sem", "es", "son", "e", "sao", "yo", "eu", "mi", "mis",
    "meu", "minha", "su", "sus", "seu", "sua", "nuestro", "nosso", "como", "cuando", "quando", "donde", "onde", "porque",
    "que", "puedo", "puede", "posso", "pode", "tengo", "tiene", "tenho", "tem", "hay", "ha", "esta", "este", "isso",
    "ser", "estar", "muy", "muito", "mas", "hola", "ola", "gracias", "obrigado", "favor", "me", "te", "lo", "nao", "ao",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_one_word_meet() {
        let check = |forms: &[&str]| {
            let stems: Vec<Vec<String>> = forms.iter().map(|form| words(form)).collect();
            assert!(stems.iter().all(|s| s.len() == 1 && *s == stems[0]), "{forms:?} → {stems:?}");
        };
        check(&["refund", "refunds", "refunded", "Refunding"]);
        check(&["cancel", "cancelled", "cancelling", "cancellation"]);
        check(&["charge", "charges", "charged", "charging"]);
        check(&["ship", "shipped", "shipping", "ships"]);
        check(&["delivery", "deliveries"]);
        check(&["Rechnung", "Rechnungen"]);
        check(&["Erstattung", "erstatten"]);
        check(&["pause", "pausieren", "pausiert", "Pausen"]);
        check(&["café", "cafe", "cafés"]);
        check(&["straße", "strasse"]);
    }

    #[test]
    fn what_says_nothing_is_left_out() {
        assert_eq!(query_words("How do I change my billing date? Billing!"), ["chang", "bil", "dat"]);
        assert_eq!(query_words("Wie kann ich das, bitte?"), Vec::<String>::new());
        assert_eq!(query_words("error 404 \"OR\" NEAR(x*) -a"), ["error", "404", "near"]);
    }
}
