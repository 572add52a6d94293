//! The lexicons of matters that belong to a person: the customer asks for one, law, safety, personal data, disputes, and the
//! claim of an account by name alone.

use std::sync::LazyLock;

use crate::policy::signals::{Hit, LegalHit, LegalKind};
use crate::policy::words::{Pattern, Sentence, WordSet, quoted};

const CLASSES: &[(&str, &str)] = &[
    (
        "human",
        "human|humans|person|people|manager|supervisor|someone|somebody|representative|rep|agent|operator|advisor|colleague|staff|employee",
    ),
    (
        "mensch",
        "mensch|menschen|mitarbeiter*|ansprechpartner*|person|kollege*|kollegin|vorgesetzte*|jemand|jemandem|jemanden|sachbearbeiter*|berater*",
    ),
    (
        "humain",
        "humain|humaine|personne|conseiller*|conseillere|responsable|collegue|quelqu|interlocuteur|agent|operateur",
    ),
    (
        "humano",
        "humano|humana|persona|pessoa|agente|asesor*|atendente|responsable|responsavel|encargado|supervisor*|gerente|operador*|alguien|alguem|compañero|colega",
    ),
];

const PERSON: &[(&str, &str)] = &[
    (
        "en.speak_to",
        "speak|talk|chat|connect|connected|transfer|transferred|escalate|escalated|forward|put|pass ~3 to|with|through ~3 @human",
    ),
    (
        "en.want_human",
        "want|need|like|get|give|prefer|request|asking|demand ~4 human|manager|supervisor|representative|rep|real|live|actual|person",
    ),
    (
        "en.real_person",
        "real|live|actual|human|breathing person|human|people|agent|being|someone|representative|support|colleague",
    ),
    ("en.call_me", "call|phone|ring ~1 me|us|back $"),
    ("en.call_me2", "someone|somebody|anyone|you|colleague ~2 call|phone|ring me|us"),
    ("en.call_me3", "give|please ~1 me|us|call a|me|us? call|back|on"),
    ("en.not_bot", "no|not|stop|without|dont ~4 bot|bots|robot|chatbot|ai|automated|machine"),
    ("de.mit_mensch", "mit ~4 @mensch ~3 sprechen|reden|telefonieren|verbunden|verbinden|sprechen"),
    ("de.mensch", "echten|echter|richtigen|richtiger|realen|menschlichen|menschlicher @mensch"),
    ("de.sprechen_mensch", "sprechen|reden ~3 mit ~3 @mensch"),
    ("de.rueckruf", "ruckruf|zuruckrufen|zuruckruft|ruckruft"),
    ("de.anrufen", "rufen|rufe|ruf ~3 mich|uns ~3 an"),
    ("de.kein_bot", "kein|keinen|keine|nicht ~3 bot|roboter|chatbot|ki|automat*|maschine"),
    ("de.weiterleiten", "leiten|weiterleiten|verbinden|weitergeben ~6 @mensch"),
    ("fr.parler", "parler|discuter|echanger|communiquer ~4 @humain"),
    ("fr.vrai", "vrai|vraie|veritable @humain"),
    ("fr.etre_humain", "etre|un|une humain|humaine"),
    ("fr.rappel", "rappel*|appel* ~1 moi|nous"),
    ("fr.rappel2", "me|nous rappeler|rappelle|appeler|rappeliez"),
    ("fr.pas_robot", "pas|sans|non ~3 robot|bot|machine|automatique|chatbot"),
    ("es.hablar", "hablar|comunicar*|contactar|conversar ~3 @humano"),
    ("es.real", "persona|pessoa|agente|humano|atendente real|humana|humano|verdad|verdade|carne"),
    ("es.llamar", "me|nos llam*|llamen|liguem|ligar|liga"),
    ("es.llamar2", "llamenme|llamadme|llameme|llamarme|llamarnos|llamennos|liguem|ligarem ~1 me? $"),
    ("es.no_bot", "no|sin|nao|sem ~3 bot|robot|robo|maquina|chatbot"),
    ("pt.falar", "falar|conversar ~3 @humano"),
    ("pt.ligar", "podem|pode|poderiam|podiam|favor ~2 ligar|telefonar ~1 me|nos?"),
];

const LEGAL: &[(LegalKind, &str, &str)] = &[
    (LegalKind::Legal, "en.lawyer", "my|our|a|an|with|through ~1 lawyer*|attorney*|solicitor*|counsel"),
    (LegalKind::Legal, "en.legal_action", "legal action|steps|proceedings|advice|counsel|department|claim|notice"),
    (LegalKind::Legal, "en.sue", "sue|suing|lawsuit|litigation|subpoena"),
    (LegalKind::Legal, "en.court", "take|taking|see|small|go|going|in ~3 court|claims"),
    (LegalKind::Legal, "en.authority", "trading standards|ombudsman"),
    (LegalKind::Legal, "en.bbb", "bbb|ftc|ombudsman|cfpb"),
    (LegalKind::Legal, "en.attorney_general", "attorney general"),
    (LegalKind::Legal, "en.breach", "breach of contract"),
    (LegalKind::Legal, "en.claim", "file|filing|filed ~2 claim|complaint|suit ~4 against|court|authority|with"),
    (
        LegalKind::Legal,
        "de.anwalt",
        "anwalt*|rechtsanwalt*|anwaltlich*|rechtsweg|rechtliche*|rechtsabteilung|klage|verklag*|gericht|gerichtlich*|mahnbescheid|verbraucherzentrale|strafanzeige|anzeige|abmahnung|schadenersatz*|schadensersatz*",
    ),
    (
        LegalKind::Legal,
        "fr.avocat",
        "avocat|avocats|avocate|tribunal|tribunaux|judiciaire*|juridique*|dgccrf|huissier|contentieux|plainte|prejudice|indemnisation",
    ),
    (LegalKind::Legal, "fr.demeure", "mise|mets|mettons ~2 demeure"),
    (
        LegalKind::Legal,
        "es.abogado",
        "abogad*|demandar*|demandare*|tribunales|juzgado*|judicial*|juridic*|legales|hacienda|denuncia*|denunciar*|indemnizacion|burofax",
    ),
    (
        LegalKind::Legal,
        "pt.advogado",
        "advogad*|processar|tribunal|tribunais|procon|judicia*|juridic*|indemnizacao|indenizacao|litigio",
    ),
    (LegalKind::Legal, "pt.reclamacoes", "livro de reclamacoes"),
    (LegalKind::Safety, "en.fire", "burning smell|smell"),
    (
        LegalKind::Safety,
        "en.fire2",
        "smoke|smoking|smoked|sparks|sparking|fire|exploded|explosion|electrocuted|shock|bulging|bulge|swollen|overheat*|melted|melting",
    ),
    (LegalKind::Safety, "en.hot", "very|so|too|extremely|really|dangerously hot"),
    (LegalKind::Safety, "en.hurt", "injured|injury|hurt myself|himself|herself|patient|customer|badly|child"),
    (
        LegalKind::Safety,
        "en.burned",
        "burned|burnt|injured|injury|hospital|electric|electrical ~2 hand|fingers|himself|herself|myself|skin|customer|patient|shock",
    ),
    (LegalKind::Safety, "en.self_harm", "kill|hurt|harm|end myself|yourself|you|my life?"),
    (LegalKind::Safety, "en.suicide", "suicid*"),
    (
        LegalKind::Safety,
        "de.brand",
        "brennt|brandgeruch|verbrannt*|raucht|qualmt|rauch|funken|explodiert|stromschlag|verletzt|verletzung|uberhitzt|aufgeblaht|geschmolzen|suizid*|feuer",
    ),
    (
        LegalKind::Safety,
        "fr.feu",
        "brule|brulee|fumee|etincelle*|explose|incendie|blesse|blessee|electrocut*|surchauff*|gonflee|suicid*",
    ),
    (
        LegalKind::Safety,
        "es.fuego",
        "quemado|humo|chispas|exploto|incendio|herid*|descarga|sobrecalent*|hinchada|hinchado|suicid*",
    ),
    (LegalKind::Safety, "es.olor", "olor|cheiro a? quemado|queimado"),
    (
        LegalKind::Safety,
        "pt.fogo",
        "fumo|fumaca|faiscas|explodiu|incendio|ferido|ferida|sobreaquec*|superaquec*|queimou|suicid*",
    ),
    (LegalKind::DataProtection, "en.gdpr", "gdpr|ccpa|dsar|dpo"),
    (
        LegalKind::DataProtection,
        "en.erase",
        "delete|deletion|erase|erasure|remove|removal|wipe ~5 my|our|personal ~1 data|information",
    ),
    (LegalKind::DataProtection, "en.access", "subject access request"),
    (LegalKind::DataProtection, "en.copy", "copy ~3 all ~3 data ~4 me|us"),
    (LegalKind::DataProtection, "en.forgotten", "right to be? forgotten|erasure|access"),
    (LegalKind::DataProtection, "en.hold", "what|which ~2 personal? data|information ~4 about me|us"),
    (LegalKind::DataProtection, "en.breach", "data breach|leak|protection"),
    (LegalKind::DataProtection, "de.dsgvo", "dsgvo|datenschutz*|datenauskunft|auskunftsersuchen|datenpanne|datenleck"),
    (
        LegalKind::DataProtection,
        "de.loeschen",
        "personenbezogen*|personlichen|meiner|meine ~1 daten ~8 losch*|geloscht|auskunft",
    ),
    (
        LegalKind::DataProtection,
        "de.loeschung",
        "losch*|loeschen|loeschung ~6 meine|meiner|personlichen|personenbezogen* ~1 daten",
    ),
    (LegalKind::DataProtection, "fr.rgpd", "rgpd|cnil"),
    (LegalKind::DataProtection, "fr.effacer", "effac*|supprim*|suppression|droit ~8 donnees ~1 personnelles?"),
    (LegalKind::DataProtection, "es.rgpd", "rgpd|lopd|lopdgdd|lgpd"),
    (LegalKind::DataProtection, "es.borrar", "borr*|elimin*|supresion|suprim*|derecho ~5 datos ~1 personales?"),
    (LegalKind::DataProtection, "pt.apagar", "apag*|elimin*|exclu*|exclusao|direito ~5 dados ~1 pessoais?"),
    (LegalKind::Chargeback, "en.chargeback", "chargeback*|charge-back"),
    (LegalKind::Chargeback, "en.charge_back", "charge back"),
    (
        LegalKind::Chargeback,
        "en.dispute",
        "dispute|disputing|disputed|reverse|reversing ~4 bank|charge|payment|transaction|card|paypal",
    ),
    (
        LegalKind::Chargeback,
        "de.rueckbuchung",
        "ruckbuchung|zuruckbuchen|zuruckgebucht|rucklastschrift|ruckbuchen|chargeback",
    ),
    (LegalKind::Chargeback, "fr.opposition", "opposition|contester|conteste ~4 banque|carte|prelevement|paiement"),
    (LegalKind::Chargeback, "es.contracargo", "contracargo*|estorno bancario?"),
    (LegalKind::Chargeback, "es.devolver_recibo", "disputar|reclamacion|reclamar|devolver ~4 banco|recibo"),
    (LegalKind::Chargeback, "pt.banco", "contestar|contestacao|disputar|estornar ~4 banco|cartao|pagamento"),
];

const NAME_ONLY: &[(&str, &str)] = &[
    (
        "en.private_mail",
        "writing|write|mailing|emailing|contacting ~3 from ~3 private|personal|another|different|other|new ~2 mail|email|e|address|account",
    ),
    ("en.private_mail2", "this|from is? my|a private|personal ~1 mail|email|address"),
    ("en.cant_mail", "cant|cannot|lost|no|dont ~4 access ~4 mail|email|mailbox|inbox"),
    ("en.cant_mail2", "cant|cannot ~2 get|log|access ~3 work|old|business|company ~1 mail|email|mailbox"),
    ("en.on_behalf", "behalf of"),
    (
        "de.private_mail",
        "schreibe|schreiben|melde ~5 privaten|privater|anderen|anderer|neuen ~2 adresse|mailadresse|mail|email|account",
    ),
    ("de.kein_zugriff", "keinen|kein zugriff|zugang ~4 mail*|postfach|email*|adresse"),
    ("de.im_auftrag", "im auftrag|namen von"),
    ("fr.adresse", "ecris|ecrire|contacte ~4 adresse|mail ~1 perso*|privee|autre"),
    ("fr.autre_adresse", "autre|nouvelle adresse mail|email|e"),
    ("es.correo", "escribo|contacto ~5 correo|email|direccion ~1 personal|privado|otro|particular"),
    ("es.otro_correo", "otro|nuevo correo|email"),
    ("pt.email", "escrevo|contacto ~5 email|endereco|e ~2 pessoal|particular|outro"),
];

struct Lexicon {
    person: Vec<Pattern>,
    legal: Vec<(LegalKind, Pattern)>,
    name_only: Vec<Pattern>,
    not_a_person: Vec<Pattern>,
    not_legal: Vec<Pattern>,
}

static LEXICON: LazyLock<Lexicon> = LazyLock::new(|| {
    let parse =
        |rows: &[(&'static str, &str)]| rows.iter().map(|(id, text)| Pattern::parse(id, text, CLASSES)).collect();
    Lexicon {
        person: parse(PERSON),
        legal: LEGAL.iter().map(|(kind, id, text)| (*kind, Pattern::parse(id, text, CLASSES))).collect(),
        name_only: parse(NAME_ONLY),
        not_a_person: parse(&[
            (
                "en",
                "clients|customers|patients|client|customer|patient|they|she|he|guests|members|people ~4 call|speak|talk|phone|chat|ring",
            ),
            ("en", "how ~6 call|calls ~3 client*|customer*|patient*"),
            ("en", "book|books|booking|pick|picks|choose|chooses|reserve ~4 person|people|someone|staff|colleague"),
        ]),
        not_legal: parse(&[
            ("en", "fire hd|tv|stick|tablet"),
            ("en", "legal ~1 name|entity|form|address|holiday|notice page"),
            ("en", "smoke|fire detector|alarm"),
        ]),
    }
});

/// The sentences of one message.
pub struct Lines<'a> {
    /// Subject first.
    pub sentences: &'a [Sentence],
}

impl Lines<'_> {
    fn first<'p>(&self, patterns: impl Iterator<Item = &'p Pattern> + Clone, not: &[Pattern]) -> Option<Hit> {
        let none = WordSet::default();
        self.sentences.iter().find_map(|sentence| {
            if not.iter().any(|pattern| pattern.find(&sentence.tokens, &none).is_some()) {
                return None;
            }
            patterns.clone().find_map(|pattern| {
                let (start, end) = pattern.find(&sentence.tokens, &none)?;
                Some(Hit { pattern: pattern.id, words: quoted(sentence, start, end) })
            })
        })
    }

    /// The customer asks for a person.
    pub fn wants_person(&self) -> Option<Hit> {
        self.first(LEXICON.person.iter(), &LEXICON.not_a_person)
    }

    /// Law, safety, personal data, disputes.
    pub fn legal(&self) -> Option<LegalHit> {
        LEXICON.legal.iter().find_map(|(kind, pattern)| {
            let hit = self.first(std::iter::once(pattern), &LEXICON.not_legal)?;
            Some(LegalHit { kind: *kind, hit })
        })
    }

    /// The sender claims an account by name, from an address that is not on record.
    pub fn name_only_claim(&self) -> Option<Hit> {
        self.first(LEXICON.name_only.iter(), &[])
    }
}
