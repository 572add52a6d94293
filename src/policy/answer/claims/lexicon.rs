//! The phrases by which answers claim and promise, in five languages. Patterns as `policy/words.rs` describes them.

/// Named lists of words.
pub(super) const CLASSES: &[(&str, &str)] = &[
    ("en_we", "i|we|ive|weve|team|colleague|colleagues|just|already|now|have|has"),
    ("en_done", "refunded|reimbursed|credited|repaid|returned|reversed"),
    (
        "en_made",
        "issued|processed|initiated|made|arranged|sent|approved|completed|started|triggered|submitted|executed|authorised|authorized|created|put",
    ),
    ("en_refund", "refund|refunds|reimbursement|money|chargeback|credit"),
    (
        "fr_rembourse",
        "rembourse|remboursee|rembourses|remboursees|recredite|recreditee|credite|creditee|restitue|restituee|reverse",
    ),
    (
        "es_hecho",
        "reembolsado|reembolsada|reembolsados|devuelto|devuelta|devueltos|abonado|reintegrado|acreditado|reintegrada",
    ),
    (
        "pt_feito",
        "reembolsado|reembolsada|reembolsados|devolvido|devolvida|estornado|estornada|creditado|restituido|ressarcido",
    ),
    (
        "en_plan",
        "plan|subscription|seat|seats|account|billing|tier|quantity|licence|licences|license|licenses|renewal|invoice",
    ),
    (
        "de_abo",
        "*abo|*abonnement|*abonnements|*tarif|*plan|*platze|*platz|lizenzen|lizenz|*konto|abrechnungstag|abrechnungsdatum|rechnungsdatum|vertrag",
    ),
    ("fr_abo", "abonnement|forfait|formule|place|places|compte|facturation|plan|licences|licence"),
    ("es_abo", "suscripcion|plan|plaza|plazas|puestos|puesto|cuenta|facturacion|licencias|licencia|asientos"),
    ("pt_abo", "subscricao|assinatura|plano|lugar|lugares|conta|faturacao|cobranca|licencas|licenca|faturamento"),
];

/// Words that turn a claim into its opposite when they stand in it or just before it.
pub(super) const NEGATIONS: &str = "not|cannot|cant|never|unable|nothing|neither|nor|hasnt|havent|wont|wasnt|isnt|arent|werent|didnt|dont|doesnt|couldnt|wouldnt|without|nicht|kein|keine|keinen|keinem|keiner|nie|niemals|noch|nichts|ohne|pas|jamais|aucun|aucune|sans|rien|ningun|ninguna|ningunos|sin|nunca|tampoco|nao|nenhum|nenhuma|sem|nem|nada|failed|declined|rejected";

/// Words by which a sentence says a rule rather than a deed.
pub(super) const CONDITIONS: &str = "if|unless|whether|falls|wenn|sofern|si|sauf|se|caso|always|immer|toujours|siempre|sempre|usually|normally|generally";

/// Words of an offer or a possibility.
pub(super) const OFFERS: &str = "could|would|may|might|should|wurde|wurden|konnte|konnten|durfte|pourrait|pourrions|pourriez|podria|podriamos|podriam|poderia|poderiamos|want|wish|like";

/// Words that say it was done before.
pub(super) const ALREADY: &str =
    "already|earlier|previously|bereits|schon|deja|ya|ja|anteriormente|precedemment|vorher";

/// Claims and promises of a refund.
pub(super) const REFUND: &[(&str, &str)] = &[
    ("en.did", "i|we|ive|weve|team|colleague|colleagues ~4 @en_done"),
    ("en.made", "@en_made ~3 your|the|a|full|this|partial|both|that ~2 refund|refunds|reimbursement"),
    (
        "en.was",
        "your|this|both|full|that|it|my|our ~3 refund|refunds|reimbursement|money|charge|charges|payment|payments|amount|order ~9 has|have|was|were|is|are|been ~4 @en_done|issued|processed|initiated|completed|approved",
    ),
    (
        "en.the_was",
        "the ~4 refund|refunds|reimbursement|money|charge|payment|amount|order|total|price ~9 has|have|was|were|is|are|been ~4 @en_done|issued|processed|initiated|completed|approved",
    ),
    ("en.refund_for", "refund ~6 has|is|was been|now? ~2 issued|processed|made|sent|completed|approved"),
    ("en.on_way", "refund|refunds|money|reimbursement|dollars|credit ~9 on its|the|their|your way"),
    ("en.on_way2", "refund|refunds|money|reimbursement ~5 back in|on|to|with"),
    (
        "en.went_back",
        "went|gone|going|goes|sent|put|transferred|returned|moved|left ~6 back ~2 to|on|onto|in ~2 your|the",
    ),
    ("en.left_us", "left us"),
    ("en.done_to", "@en_done ~8 to|onto|on your|the|same ~3 card|account|bank|visa|mastercard|amex|paypal|method"),
    ("en.been_done", "been|be|was|were|is|are ~2 refunded|reimbursed|credited|repaid"),
    ("en.will", "will|shall|ill|well|going|about ~4 refund|reimburse|credit|repay"),
    (
        "en.will_money",
        "youll|will|shall|going ~3 receive|get|see|have|find|send|return|issue|process ~5 refund|reimbursement|money|funds|credit",
    ),
    ("en.you_got", "youve|you ~2 been ~1 refunded|reimbursed|credited"),
    ("en.got_back", "get|got|gets|have|getting your|the|that money|payment back"),
    ("en.is_back", "money|amount|payment is|are|was back"),
    ("en.will_arrive", "refund|money|reimbursement ~2 will|should ~2 arrive|appear|show|reach|land"),
    ("en.amount_back", "you|your ~3 get|have ~5 back on|to|within"),
    ("en.bare", "^ refunded|refund issued|processed|complete|completed|done|approved|in|your|the"),
    (
        "de.habe",
        "habe|haben|hat|wurde|wurden|ist|sind|worden ~14 erstattet|zuruckerstattet|ruckerstattet|zuruckgezahlt|zuruckuberwiesen|gutgeschrieben|zuruckgebucht|ruckvergutet|zuruckgegeben",
    ),
    (
        "de.erstattet",
        "erstattet|zuruckerstattet|gutgeschrieben|zuruckgezahlt|zuruckuberwiesen ~2 habe|haben|wurde|wurden|worden|ist",
    ),
    (
        "de.erstattung",
        "erstattung|ruckerstattung|gutschrift|ruckzahlung ~9 veranlasst|ausgelost|angewiesen|vorgenommen|durchgefuhrt|erfolgt|gesendet|bearbeitet|eingeleitet|genehmigt|abgeschlossen|unterwegs|raus|gebucht",
    ),
    (
        "de.veranlasst",
        "habe|haben|wurde ~8 erstattung|ruckerstattung|gutschrift|ruckzahlung ~4 veranlasst|ausgelost|angewiesen|vorgenommen|durchgefuhrt|gesendet|bearbeitet|eingeleitet|gebucht",
    ),
    (
        "de.wird",
        "werde|werden|wird ~12 erstatten|erstattet|zuruckerstatten|zuruckerstattet|zuruckzahlen|zuruckuberweisen|gutschreiben|gutgeschrieben|zuruckgezahlt|zuruckuberwiesen|veranlassen|anweisen",
    ),
    ("de.wir_erstatten", "wir|ich erstatten|erstatte ~3 ihnen|dir|euch"),
    ("de.erhalten", "erhalten|bekommen ~4 sie|ihr ~6 zuruck|erstattung|ruckerstattung|gutschrift"),
    ("de.sie_erhalten", "sie|du erhalten|bekommen|erhaltst|bekommst ~6 zuruck|erstattung|ruckerstattung|geld"),
    ("de.geld", "geld|betrag|summe|zahlung ~4 ist|sind|geht|kommt ~4 zuruck|unterwegs|auf ~3 konto|weg|karte|zuruck"),
    ("fr.avons", "ai|avons|a|avez|viens|venons ~6 @fr_rembourse|rembourser"),
    ("fr.ete", "ete|est|sont|etes|sera|serez|seront ~3 @fr_rembourse"),
    (
        "fr.remb",
        "remboursement ~9 effectue|emis|lance|envoye|initie|traite|valide|approuve|declenche|fait|parti|route|cours",
    ),
    (
        "fr.fait_remb",
        "effectue|emis|lance|initie|procede|traite|envoye|demande|declenche|valide ~3 le|un|votre|au|remboursement|d ~3 remboursement|rembourser",
    ),
    ("fr.vais", "vais|allons|rembourserai|rembourserons|va ~3 rembours*|recredit*"),
    (
        "fr.futur",
        "rembourserai|rembourserons|rembourserez|recevrez ~5 remboursement|rembourse|vous|montant|argent|euros|eur|$",
    ),
    ("fr.vous_remb", "nous|je vous remboursons|rembourse|rembourserons|rembourserai"),
    ("fr.recevrez", "recevrez|receverez|verrez|retrouverez ~6 remboursement|argent"),
    ("fr.recevoir", "allez recevoir ~6 remboursement|argent"),
    ("es.hemos", "he|hemos|ha|han|sido|fue|fueron|esta|queda|quedo ~5 @es_hecho"),
    (
        "es.reemb",
        "reembolso|devolucion ~9 emitido|emitida|realizado|realizada|procesado|procesada|tramitado|tramitada|efectuado|efectuada|enviado|enviada|hecho|hecha|aprobado|aprobada|iniciado|iniciada|completado|camino|ordenada|ordenado",
    ),
    (
        "es.hecho_reemb",
        "emitido|realizado|procesado|tramitado|efectuado|enviado|hecho|iniciado|aprobado|ordenado|gestionado ~3 reembolso|devolucion",
    ),
    (
        "es.reembolse",
        "reembolse|reembolsamos|devolvimos|devolvi|le|les|te ~1 reembolsamos|devolvimos|reembolse|devolvi",
    ),
    (
        "es.futuro",
        "reembolsaremos|reembolsare|devolveremos|devolvere|abonaremos|reintegraremos|recibira|recibiras|recibiran|sera|seran ~5 reembolso|reembolsado|devolucion|devuelto|importe|dinero|le|usted|euros|$",
    ),
    ("es.vamos", "vamos|voy a reembolsar*|devolver*"),
    ("es.dinero", "dinero|importe ~4 camino|devuelto"),
    ("es.futuro2", "reembolsaremos|reembolsare|devolveremos|devolvere|reintegraremos"),
    ("pt.foi", "foi|foram|fui|ja|esta|sera|serao|tenho|temos|ser ~5 @pt_feito"),
    ("pt.reembolsei", "reembolsei|reembolsamos|reembolsamo|devolvi|devolvemos|estornei|estornamos|creditamos|creditei"),
    (
        "pt.reemb",
        "reembolso|devolucao|estorno ~9 emitido|emitida|realizado|realizada|processado|processada|feito|feita|efetuado|efetuada|enviado|enviada|aprovado|aprovada|iniciado|iniciada|concluido|caminho|solicitado",
    ),
    (
        "pt.fiz",
        "fiz|fizemos|emitimos|emiti|processei|processamos|efetuamos|efetuei|iniciei|iniciamos|enviei|enviamos|solicitei|realizei|realizamos|aprovei|aprovamos ~4 reembolso|devolucao|estorno",
    ),
    ("pt.futuro", "reembolsaremos|reembolsarei|devolveremos|devolverei|estornaremos"),
    ("pt.vamos", "vamos|vou|iremos|irei ~1 reembolsar|devolver|estornar|reembolsa|fazer|creditar"),
    ("pt.recebera", "recebera|receberao|vai|ira ~2 receber? ~2 reembolso|dinheiro|devolucao|estorno|valor"),
    ("pt.dinheiro", "dinheiro|valor ~4 caminho|devolvido"),
];

/// Claims and promises of a changed subscription.
pub(super) const CHANGE: &[(&str, &str)] = &[
    (
        "en.did",
        "i|we|ive|weve ~2 changed|updated|upgraded|downgraded|moved|switched|paused|resumed|cancelled|canceled|added|removed|reduced|increased|extended|closed|activated|reactivated|adjusted|set|shifted|put|unpaused ~6 @en_plan",
    ),
    (
        "en.was",
        "@en_plan ~4 has|have|was|were|is|are|been ~2 changed|updated|upgraded|downgraded|moved|switched|paused|resumed|cancelled|canceled|added|removed|reduced|increased|closed|reactivated|adjusted|terminated",
    ),
    (
        "en.now_on",
        "you|youre|account|subscription ~2 now ~2 on|paused|has|have|cancelled|canceled|upgraded ~4 plan|seats|team|business|solo|enterprise|$",
    ),
    (
        "en.will",
        "ill|i will|well|we will|shall|going ~2 change|update|upgrade|downgrade|move|switch|pause|resume|cancel|add|remove ~6 @en_plan",
    ),
    ("en.will2", "will|shall ~1 change|update|upgrade|downgrade|move|switch|pause|resume|cancel ~3 your ~3 @en_plan"),
    (
        "en.will_be",
        "@en_plan ~2 will be ~2 changed|updated|upgraded|downgraded|moved|paused|resumed|cancelled|canceled|added|removed",
    ),
    (
        "de.habe",
        "habe|haben|wurde|wurden|ist|sind ~4 @de_abo ~8 geandert|umgestellt|hochgestuft|herabgestuft|pausiert|gekundigt|storniert|hinzugefugt|entfernt|erhoht|reduziert|verschoben|angepasst|aktualisiert|verlangert|gewechselt|beendet|aufgestockt|reaktiviert",
    ),
    (
        "de.wurde",
        "@de_abo ~4 wurde|wurden|ist|sind ~8 geandert|umgestellt|hochgestuft|herabgestuft|pausiert|gekundigt|storniert|hinzugefugt|entfernt|erhoht|reduziert|verschoben|angepasst|aktualisiert|beendet|aufgestockt|reaktiviert",
    ),
    (
        "de.werde",
        "werde|werden|wird ~4 @de_abo ~8 andern|umstellen|hochstufen|pausieren|kundigen|hinzufugen|entfernen|erhohen|reduzieren|verschieben|anpassen|pausiert|gekundigt|geandert",
    ),
    (
        "fr.avons",
        "ai|avons ~3 change|modifie|mis|suspendu|ajoute|retire|supprime|augmente|resilie|annule|passe|deplace|reactive|pause ~6 @fr_abo",
    ),
    (
        "fr.ete",
        "@fr_abo ~4 ete|est|sont ~2 change|changee|modifie|modifiee|suspendu|suspendue|ajoute|ajoutee|ajoutees|resilie|resiliee|annule|pause|reactive|active|deplacee",
    ),
    ("fr.vais", "vais|allons ~2 changer|modifier|suspendre|ajouter|retirer|resilier|annuler|passer ~5 @fr_abo"),
    (
        "es.hemos",
        "he|hemos ~3 cambiado|modificado|pausado|anadido|agregado|quitado|eliminado|cancelado|actualizado|aumentado|movido|reactivado|suspendido ~6 @es_abo",
    ),
    (
        "es.sido",
        "@es_abo ~4 ha|han|esta|fue|queda|estan|sido ~2 cambiado|cambiada|modificado|modificada|pausado|pausada|cancelado|cancelada|actualizado|actualizada|anadido|anadidas|anadida|suspendida",
    ),
    ("es.voy", "voy|vamos a cambiar|modificar|pausar|anadir|cancelar|actualizar ~5 @es_abo"),
    (
        "pt.fiz",
        "alterei|alteramos|mudei|mudamos|pausei|pausamos|adicionei|adicionamos|cancelei|cancelamos|atualizei|atualizamos|acrescentei|acrescentamos|removi|suspendi|suspendemos ~6 @pt_abo",
    ),
    (
        "pt.foi",
        "@pt_abo ~4 foi|foram|esta|estao ~2 alterado|alterada|mudado|pausado|pausada|cancelado|cancelada|atualizado|atualizada|adicionado|adicionados|adicionada|suspensa|suspenso",
    ),
    ("pt.vou", "vou|vamos ~1 alterar|mudar|pausar|adicionar|cancelar|atualizar ~5 @pt_abo"),
];

/// Claims and promises of a mail.
pub(super) const MAIL: &[(&str, &str)] = &[
    ("en.sent", "i|we|ive|weve ~2 sent|emailed|mailed|scheduled ~6 email|mail|you|follow|reminder|confirmation"),
    (
        "en.will",
        "i|we|ill|well ~2 email|mail|send ~2 you ~6 email|mail|reminder|confirmation|follow|later|tomorrow|week|days",
    ),
    ("en.will2", "youll|you will ~2 receive|get ~4 email|mail"),
    ("en.separate", "separate|follow|confirmation ~2 email|mail ~4 sent|scheduled|way"),
    (
        "de.gesendet",
        "habe|haben|wurde ~8 mail|nachricht|erinnerung|bestatigungsmail ~4 gesendet|geschickt|versendet|verschickt|geplant",
    ),
    (
        "de.werde",
        "werde|werden|sie ~3 erhalten|erhalte|ihnen|eine ~4 mail|erinnerungsmail|bestatigungsmail ~4 senden|schicken|erhalten|$",
    ),
    ("fr.envoye", "ai|avons ~3 envoye|adresse|programme ~5 mail|email|courriel|e|message|rappel"),
    ("fr.recevrez", "recevrez|enverrai|enverrons ~5 mail|email|courriel|e"),
    ("es.enviado", "he|hemos ~2 enviado|programado|mandado ~5 correo|email|mensaje|recordatorio"),
    ("es.recibira", "recibira|enviare|enviaremos|mandare|mandaremos ~5 correo|email"),
    ("pt.enviei", "enviei|enviamos|mandei|mandamos|agendei|programei ~5 email|e|mensagem|lembrete"),
    ("pt.recebera", "recebera|enviarei|enviaremos|receberas ~5 email|e"),
];

/// Promises that nobody here keeps: calls, colleagues with a time, favours.
pub(super) const PROMISE: &[(&str, &str)] = &[
    ("en.call", "ill|i will|well|we will|shall ~2 call|phone|ring ~1 you"),
    ("en.call2", "give|giving ~1 you ~1 a call|ring"),
    (
        "en.someone",
        "colleague|someone|somebody|team|specialist|manager|engineer|engineers|technician|agent|representative|expert|department ~2 will|is|are ~3 contact|call|reach|get|reply|respond|write|be|look|going|follow|investigate",
    ),
    (
        "en.update",
        "ill|i will|well|we will ~2 keep|follow|check|monitor|update|look|investigate|get|contact|inform|notify|let|pass|forward|fix|ensure|make ~2 you|up|back|into|on|know|posted|in|this|that|sure|it|your",
    ),
    ("en.within", "will|shall ~3 back to you"),
    ("en.be_in_touch", "will|shall ~2 be in touch"),
    ("en.ship_new", "ill|i will|well|we will|shall ~2 send|ship|dispatch|mail ~3 new|replacement|another|label|spare"),
    (
        "en.discount",
        "ill|i will|well|we will|have|ive|weve ~3 give|given|apply|applied|add|added|grant|granted|offer ~3 discount|credit|voucher|coupon|free|extra",
    ),
    (
        "en.fixed",
        "fixed|resolved|released|ready ~2 by|within|in ~1 tomorrow|monday|friday|today|tonight|hours|days|minutes|week|24|48|an",
    ),
    ("en.guarantee", "guarantee|promise ~1 you|that|it|this"),
    ("de.anrufen", "werde|werden|rufe|rufen ~5 anrufen|zuruck|an"),
    ("de.rueckruf", "ruckruf ~4 innerhalb|heute|morgen|binnen|stunden"),
    (
        "de.kollege",
        "kollege|kollegin|kollegen|team|mitarbeiter|techniker|jemand|spezialist|fachabteilung|abteilung ~8 melden|meldet|kontaktieren|kontaktiert|anrufen|zuruckrufen|zukommen|setzen|bei",
    ),
    ("de.melden", "melde|melden|werde|werden ~3 mich|uns ~6 bei|melden ~2 ihnen|dir|euch|kummern|melden"),
    ("de.halten", "halte|halten|werde|werden ~3 sie|dich ~4 laufenden|informieren|benachrichtigen"),
    (
        "de.zusenden",
        "werde|werden|schicke|schicken|senden ~5 neue*|neues|ersatz*|austausch*|ersatzgerat ~4 zu|schicken|senden|zusenden|zuschicken|$",
    ),
    ("de.verspreche", "verspreche|versprechen|garantiere|garantieren ~2 ihnen|dir|dass"),
    (
        "fr.appeler",
        "appellerai|appellerons|rappellerai|rappellerons|contacterai|contacterons|recontacterai|recontacterons|appellera|contactera|rappellera|recontactera",
    ),
    ("fr.vais", "vais|allons|va ~3 appeler|rappeler|contacter|recontacter|renvoyer|verifier|suivre|informer|tenir"),
    (
        "fr.collegue",
        "collegue|equipe|conseiller|technicien|specialiste|responsable ~3 vous ~2 contactera|appellera|repondra|recontactera|rappellera|ecrira",
    ),
    (
        "fr.tiendrai",
        "tiendrai|tiendrons|informerai|informerons|enverrons|enverrai ~4 informe|informee|courant|nouveau|nouvelle|remplacement|vous",
    ),
    ("fr.promets", "promets|promettons|garantis|garantissons ~3 que|vous"),
    (
        "es.llamar",
        "llamare|llamaremos|llamara|llamaran|contactaremos|contactare|contactara|contactaran|avisare|avisaremos|informaremos|informare|mantendre|mantendremos",
    ),
    ("es.pondra", "pondra|pondran|pondremos|pondre ~2 contacto"),
    ("es.en_contacto", "pondra|pondran|pondremos|pondre en contacto"),
    ("es.vamos", "vamos|voy a llamar*|contactar*|avisar*|investigar|revisar|enviarle|enviarles|mandarle"),
    ("es.prometo", "prometo|prometemos|garantizo|garantizamos que|le|les|te"),
    ("es.enviaremos", "enviaremos|enviare|mandaremos ~3 nuevo|nueva|reemplazo|otro|otra|repuesto"),
    (
        "pt.ligar",
        "ligarei|ligaremos|ligara|telefonarei|contactarei|contactaremos|contactara|contataremos|contatara|entrarei|entraremos|entrara|avisarei|avisaremos|informarei|informaremos|manterei|manteremos",
    ),
    (
        "pt.vamos",
        "vou|vamos|vai|ira|irei|iremos ~1 ligar|telefonar|contactar|contatar|entrar|avisar|investigar|verificar|acompanhar|retornar",
    ),
    ("pt.prometo", "prometo|prometemos|garanto|garantimos que|lhe"),
    ("pt.enviaremos", "enviaremos|enviarei|mandaremos ~3 novo|nova|substituto|substituicao|outro|outra"),
];
