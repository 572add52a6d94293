//! Searching the help center and judging what came back: a passage counts only when it shares enough of the question's words.

use std::collections::BTreeSet;

use serde_json::Value;

use super::case::Case;
use super::signals;
use super::text::{self, Language, content_words, same_stem};

/// Words of a query.
const QUERY_WORDS: usize = 9;
/// Characters of an article that are quoted.
const QUOTE_MAX: usize = 520;

/// Words of support mail and what they are in English, folded; help centers are often in English alone.
const DICTIONARY: &[(&str, &str)] = &[
    ("termin", "appointment"),
    ("termine", "appointments"),
    ("buchung", "booking"),
    ("buchungen", "bookings"),
    ("buchungsseite", "booking page"),
    ("warteliste", "waiting list"),
    ("kunde", "client"),
    ("kunden", "clients"),
    ("rechnung", "invoice"),
    ("rechnungen", "invoices"),
    ("konto", "account"),
    ("passwort", "password"),
    ("kennwort", "password"),
    ("anmelden", "sign in"),
    ("einloggen", "sign in"),
    ("erinnerung", "reminder"),
    ("erinnerungen", "reminders"),
    ("kalender", "calendar"),
    ("synchronisieren", "sync"),
    ("drucker", "printer"),
    ("kartenleser", "card reader"),
    ("lesegerat", "reader"),
    ("mitarbeiter", "staff"),
    ("benutzer", "user"),
    ("rolle", "role"),
    ("rollen", "roles"),
    ("rechte", "permissions"),
    ("einrichten", "set up"),
    ("andern", "change"),
    ("hinzufugen", "add"),
    ("loschen", "delete"),
    ("exportieren", "export"),
    ("importieren", "import"),
    ("anzahlung", "deposit"),
    ("anzahlungen", "deposits"),
    ("zahlung", "payment"),
    ("zahlungen", "payments"),
    ("rucksendung", "return"),
    ("lieferung", "shipping"),
    ("offnungszeiten", "opening hours"),
    ("stornieren", "cancel"),
    ("absagen", "cancel"),
    ("sprache", "language"),
    ("einladen", "invite"),
    ("standort", "location"),
    ("standorte", "locations"),
    ("zeitzone", "time zone"),
    ("gutschein", "voucher"),
    ("adresse", "address"),
    ("sicherung", "backup"),
    ("verbinden", "connect"),
    ("aktivieren", "turn on"),
    ("deaktivieren", "turn off"),
    ("rendez", "appointment"),
    ("reservation", "booking"),
    ("reservations", "bookings"),
    ("attente", "waiting list"),
    ("clients", "clients"),
    ("facture", "invoice"),
    ("factures", "invoices"),
    ("compte", "account"),
    ("mot", "password"),
    ("passe", "password"),
    ("rappel", "reminder"),
    ("rappels", "reminders"),
    ("calendrier", "calendar"),
    ("agenda", "calendar"),
    ("synchroniser", "sync"),
    ("imprimante", "printer"),
    ("lecteur", "reader"),
    ("carte", "card"),
    ("employe", "staff"),
    ("utilisateur", "user"),
    ("droits", "permissions"),
    ("configurer", "set up"),
    ("modifier", "change"),
    ("changer", "change"),
    ("ajouter", "add"),
    ("supprimer", "delete"),
    ("exporter", "export"),
    ("importer", "import"),
    ("acompte", "deposit"),
    ("paiement", "payment"),
    ("retour", "return"),
    ("livraison", "shipping"),
    ("horaires", "opening hours"),
    ("annuler", "cancel"),
    ("langue", "language"),
    ("inviter", "invite"),
    ("fuseau", "time zone"),
    ("activer", "turn on"),
    ("desactiver", "turn off"),
    ("connecter", "connect"),
    ("cita", "appointment"),
    ("citas", "appointments"),
    ("reserva", "booking"),
    ("reservas", "bookings"),
    ("espera", "waiting list"),
    ("cliente", "client"),
    ("clientes", "clients"),
    ("factura", "invoice"),
    ("facturas", "invoices"),
    ("cuenta", "account"),
    ("contrasena", "password"),
    ("recordatorio", "reminder"),
    ("recordatorios", "reminders"),
    ("calendario", "calendar"),
    ("sincronizar", "sync"),
    ("impresora", "printer"),
    ("lector", "reader"),
    ("tarjeta", "card"),
    ("empleado", "staff"),
    ("usuario", "user"),
    ("permisos", "permissions"),
    ("configurar", "set up"),
    ("cambiar", "change"),
    ("anadir", "add"),
    ("agregar", "add"),
    ("eliminar", "delete"),
    ("exportar", "export"),
    ("importar", "import"),
    ("deposito", "deposit"),
    ("pago", "payment"),
    ("devolucion", "return"),
    ("envio", "shipping"),
    ("horario", "opening hours"),
    ("cancelar", "cancel"),
    ("idioma", "language"),
    ("invitar", "invite"),
    ("activar", "turn on"),
    ("desactivar", "turn off"),
    ("conectar", "connect"),
    ("consulta", "appointment"),
    ("marcacao", "booking"),
    ("marcacoes", "bookings"),
    ("agendamento", "appointment"),
    ("agendamentos", "appointments"),
    ("fatura", "invoice"),
    ("faturas", "invoices"),
    ("conta", "account"),
    ("senha", "password"),
    ("lembrete", "reminder"),
    ("lembretes", "reminders"),
    ("impressora", "printer"),
    ("leitor", "reader"),
    ("cartao", "card"),
    ("funcionario", "staff"),
    ("utilizador", "user"),
    ("permissoes", "permissions"),
    ("alterar", "change"),
    ("mudar", "change"),
    ("adicionar", "add"),
    ("excluir", "delete"),
    ("pagamento", "payment"),
    ("devolucao", "return"),
    ("horarios", "opening hours"),
    ("convidar", "invite"),
    ("ativar", "turn on"),
    ("desativar", "turn off"),
    ("calendarios", "calendar"),
];

fn in_english(word: &str) -> Option<&'static str> {
    DICTIONARY.iter().find(|(other, _)| *other == word).map(|(_, english)| *english)
}

/// The words that the question turns on: those of its questions, else of all; subject included.
pub fn key_words(case: &Case<'_>) -> Vec<String> {
    let asking = |sentence: &String| sentence.contains('?') || signals::how_to(&text::folded_words(sentence), sentence);
    let sentences = text::sentences(&case.own);
    let mut questions: Vec<String> = sentences.iter().filter(|s| s.contains('?')).cloned().collect();
    if questions.is_empty() {
        questions = sentences.iter().filter(|s| asking(s)).cloned().collect();
    }
    let mut words = content_words(&questions.join("\n"));
    let more = if words.len() < 2 {
        content_words(&case.about)
    } else {
        content_words(case.about.lines().next().unwrap_or(""))
    };
    for word in more {
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words.truncate(QUERY_WORDS);
    words
}

/// The searches to make, in order; the second only when its words differ.
pub fn queries(case: &Case<'_>) -> Vec<String> {
    let words = key_words(case);
    let mut out = vec![words.join(" ")];
    if case.language != Language::En {
        let english: Vec<&str> = words.iter().filter_map(|word| in_english(word)).collect();
        if !english.is_empty() {
            out.push(english.join(" "));
        }
    }
    out.retain(|query| !query.is_empty());
    if out.is_empty() {
        out.push(case.about.split_whitespace().take(QUERY_WORDS).collect::<Vec<_>>().join(" "));
    }
    out
}

/// The passage that answers the question, if one really does.
pub fn best_passage<'a>(case: &Case<'a>) -> Option<&'a Value> {
    let words = key_words(case);
    let found = case
        .used("search_knowledge_base")
        .filter(|used| !used.error)
        .flat_map(|used| Case::rows(&used.value, "passages"));
    let mut best: Option<(usize, &Value)> = None;
    for passage in found {
        if let Some(score) = score(case, &words, passage)
            && best.is_none_or(|(most, _)| score > most)
        {
            best = Some((score, passage));
        }
    }
    best.map(|(_, passage)| passage)
}

/// How well a passage fits: `None` below the floor. Words of the title count twice. Outside English only words that stand there
/// or that the dictionary knows are asked for; a term of several words in the title counts as two hits.
fn score(case: &Case<'_>, words: &[String], passage: &Value) -> Option<usize> {
    let text_of = |key: &str| passage[key].as_str().unwrap_or("");
    let title: BTreeSet<String> =
        content_words(&format!("{} {}", text_of("title"), text_of("heading"))).into_iter().collect();
    let body: BTreeSet<String> = content_words(text_of("text")).into_iter().collect();
    let english = |word: &str| in_english(word).map(content_words).unwrap_or_default();
    let has = |set: &BTreeSet<String>, word: &str| set.iter().any(|other| same_stem(other, word));
    let stands = |set: &BTreeSet<String>, word: &str| has(set, word) || english(word).iter().any(|e| has(set, e));
    let (mut known, mut in_title, mut in_all) = (0, 0, 0);
    for word in words {
        let here = stands(&title, word) || stands(&body, word);
        let term = english(word);
        known += usize::from(here || case.language == Language::En || !term.is_empty());
        in_title += usize::from(stands(&title, word));
        in_all += usize::from(here) + usize::from(term.len() > 1 && term.iter().all(|e| has(&title, e)));
    }
    let enough = match known {
        0 => false,
        1 => in_title == 1 && words.len() <= 3,
        2 => in_all >= 2,
        count => in_all >= 2 && (in_all * 2 >= count || (in_title >= 2 && in_all * 3 >= count)),
    };
    enough.then_some(in_all * 2 + in_title)
}

/// The sentences of a passage that say most about the question, in their order, when it is in the customer's language.
pub fn quote(case: &Case<'_>, passage: &Value) -> String {
    let whole = passage["text"].as_str().unwrap_or("");
    if text::language(whole).is_some_and(|language| language != case.language) {
        return String::new();
    }
    let words = key_words(case);
    let plain = |sentence: &String| {
        !sentence.starts_with(['#', '|', '>', '!'])
            && text::words(sentence).len() >= 4
            && !text::poses_as_instruction(sentence)
    };
    let sentences: Vec<String> = text::sentences(whole).into_iter().filter(plain).collect();
    let weight = |sentence: &String| {
        let own = content_words(sentence);
        words.iter().filter(|word| own.iter().any(|other| same_stem(other, word))).count()
    };
    let mut order: Vec<usize> = (0..sentences.len()).collect();
    order.sort_by_key(|n| (std::cmp::Reverse(weight(&sentences[*n])), *n));
    let mut kept: Vec<usize> = Vec::new();
    let mut length = 0;
    for n in order.into_iter().take(4) {
        if length + sentences[n].len() <= QUOTE_MAX {
            length += sentences[n].len();
            kept.push(n);
        }
    }
    kept.sort_unstable();
    kept.iter().map(|n| sentences[*n].trim_start_matches(['-', '*', ' ']).to_owned()).collect::<Vec<_>>().join(" ")
}
