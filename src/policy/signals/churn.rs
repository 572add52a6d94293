//! The lexicon of leaving: patterns by language, and what takes a match back. A customer leaves *our product*: its
//! subscription, plan, account, contract. An appointment, an order line, a reservation, another shop's product is not ours.
//!
//! Not here: how words are cut and compared (`policy/words.rs`).

use std::sync::LazyLock;

use crate::policy::signals::Hit;
use crate::policy::words::{Pattern, Sentence, Token, WordSet, quoted};

/// Named lists of words that the patterns share, all languages together.
const CLASSES: &[(&str, &str)] = &[
    // What is ours, by language.
    (
        "en_ours",
        "subscription*|subscripton|subsciption|subscribtion|subcription|sub|plan|plans|account|accounts|acct|membership|service|services|contract|licence*|license*|software|platform|product|tool|app|workspace|autorenew*|renewal|renewals|trial|brightslot|you|yall",
    ),
    (
        "de_ours",
        "*abo|abos|*abonnement*|*vertrag*|*konto|*account|accounts|*mitgliedschaft*|*tarif|*lizenz*|*paket|*zugang|dienst|service|software|programm|plattform|produkt|*verlangerung|brightslot|testphase|probeabo|*plan",
    ),
    (
        "fr_ours",
        "abonnement*|abo|contrat*|compte*|forfait*|formule|service*|souscription|licence*|logiciel|plateforme|adhesion|renouvellement|reconduction|essai|brightslot",
    ),
    (
        "es_ours",
        "suscripcion*|subscripcion*|plan|planes|cuenta*|contrato*|servicio*|membresia|licencia*|software|plataforma|programa|abono|renovacion|prueba|brightslot",
    ),
    (
        "pt_ours",
        "assinatura*|subscricao|subscricoes|plano|planos|conta|contas|contrato*|servico*|licenca*|software|plataforma|programa|adesao|renovacao|mensalidade|teste|brightslot",
    ),
    // What is not: the things that our customers cancel every day.
    (
        "other",
        "appointment*|meeting*|booking*|reservation*|slot|slots|session*|class|classes|visit*|call|calls|webinar|demo|order|orders|item|items|line|lines|delivery|shipment|parcel|package|reminder*|invoice*|payment*|refund*|event*|lesson*|course*|workshop*|rental|ticket*|return|returns|hold|deposit*|voucher*|consultation*|treatment*|haircut*|checkup*|invite*|invitation*|message*|text|texts|sms|transfer*|job|jobs|*termin|*termine|*terminen|*termins|*buchung|*buchungen|besprechung*|*bestellung*|*lieferung|*sendung|*kurs|kurse|*rechnung*|*zahlung*|reservierung*|gutschein*|*stunde|rendez|rdv|reunion|reservation|reservations|commande|commandes|livraison|seance*|rencontre|cours|rappel*|facture*|cita|citas|reserva|reservas|pedido|pedidos|reunion*|sesion*|clase|clases|envio|factura*|recordatorio*|consulta|consultas|marcacao|marcacoes|agendamento*|reuniao|reunioes|encomenda*|sessao|sessoes|aula|aulas|fatura*|lembrete*|horario*|visita|visitas|entrega*|compra|compras",
    ),
    (
        "en_my",
        "my|our|the|this|this|your|ur|all|both|everything|a|an|of|to|entire|whole|current|existing|monthly|yearly|annual|paid|for",
    ),
    (
        "en_cancel",
        "cancel|cancels|canceled|cancelled|canceling|cancelling|cancellation|cancelation|cancle|cancell|cancal|terminate|terminated|terminating|termination|discontinue|discontinued|discontinuing|discontinuation|unsubscribe|unsubscribing|deactivate|deactivated|deactivating|deactivation|close|closing|closed|closure|delete|deleting|deletion|end|ending|stop|stopping|quit|quitting|drop|dropping|ditch|ditching|scrap|axe|kill|nix|shut|leave|leaving|abandon|abandoning",
    ),
];

/// `(id, pattern)`; the first part of the id is the language.
const PATTERNS: &[(&str, &str)] = &[
    // English: a verb of ending, then what is ours.
    ("en.cancel_ours", "@en_cancel ~5 @en_ours"),
    (
        "en.ours_cancelled",
        "subscription*|plan|account|membership|contract|service|licence|license|workspace|renewal ~2 be|being|get|gets|is|to ~1 cancelled|canceled|terminated|closed|deactivated|discontinued|deleted|stopped|ended",
    ),
    (
        "en.ours_cancel_noun",
        "subscription*|plan|account|membership|contract|service|licence|license|workspace|brightslot cancellation|cancelation|termination|closure|cancel|deactivation",
    ),
    (
        "en.want_cancelled",
        "want|need|like|get|have ~4 subscription*|plan|account|membership|contract|service|licence|license ~2 cancelled|canceled|terminated|closed|deactivated|ended|stopped|gone",
    ),
    ("en.cancel_us_out", "cancel|take|count|sign us|me out"),
    ("en.cancel_with_you", "cancel*|end|ending|part|parting|finish* ~3 with you"),
    ("en.unsubscribe_app", "stop|stopping|quit|quitting using|paying ~3 you|this|the|your|our|for|brightslot"),
    (
        "en.no_longer",
        "no longer|not want|wants|need|needs|require|use|using|wish|interested ~6 subscription*|plan|account|service|software|platform|product|tool|app|brightslot|membership",
    ),
    (
        "en.dont_need",
        "dont|doesnt|wont ~1 want|need|use|require ~4 subscription|plan|account|service|software|platform|brightslot|membership ~2 anymore|longer|more",
    ),
    ("en.not_renew", "not|dont|wont|cant|never|without ~4 renew|renewing|renewal|renewed"),
    ("en.not_renew2", "dont|not let|want|have ~3 subscription|plan|it|account|contract renew|autorenew|renewed"),
    (
        "en.turn_off_renew",
        "turn|switch|disable|stop|stopping|cancel|end|prevent ~3 auto|automatic|renewal|renewing|renews|autorenewal|autorenew ~2 renew*|off|$",
    ),
    ("en.let_lapse", "let|letting ~4 lapse|expire|run out"),
    (
        "en.switch_to",
        "switch|switching|switched|move|moving|moved|migrate|migrating|migrated|change|changing|going|jump|jumping|shift|shifting|transition|transitioning|transferring ~3 to|over|with ~4 competitor*|alternative|provider|vendor|supplier|system|tool|solution|software|platform|product|elsewhere",
    ),
    (
        "en.switch_away",
        "switch|switching|move|moving|migrate|migrating|going|walk|walking|shift|transition|transitioning|port|porting ~3 away|elsewhere|off ~2 from|you|your|brightslot|$",
    ),
    ("en.elsewhere", "take|taking|took ~2 business|money|custom ~1 elsewhere|away"),
    ("en.elsewhere2", "look|looking|go|going|shop|shopping|gone elsewhere|around"),
    (
        "en.found_other",
        "found|find|chosen|chose|picked|signed|gone|went|going|decided ~4 another|different|cheaper|better|new|other|alternative provider|vendor|tool|system|solution|software|platform|product|service|supplier|option|alternative",
    ),
    (
        "en.alternatives",
        "looking|evaluating|considering|comparing|exploring|trialling|reviewing|investigating ~3 alternatives|competitors",
    ),
    ("en.with_competitor", "signed|sign|going|gone|went ~2 with ~2 competitor*|provider|vendor|supplier"),
    ("en.leaving_you", "leave|leaving|left|leaves ~1 you|brightslot|yall"),
    ("en.part_ways", "part|parting ways|company"),
    ("en.goodbye", "goodbye|farewell ~2 brightslot|subscription"),
    ("en.downgrade", "downgrade|downgraded|downgrading|downgrades|downsize|downsizing"),
    (
        "en.move_down",
        "move|moving|step|stepping|drop|dropping|go|going|switch|switching|scale|scaling|put|bring|get ~3 down|back ~2 to ~4 team|solo|plan|tier|free|basic|starter|standard|lower|smaller|cheaper|pro|one",
    ),
    (
        "en.lower_plan",
        "lower|smaller|cheaper|lesser|free|basic|less ~1 plan|tier|package|subscription|version|option|expensive",
    ),
    (
        "en.smaller_move",
        "move|switch|change|go|put|get|swap|like|want|need ~5 lower|smaller|cheaper|free plan|tier|package|subscription|version|option",
    ),
    (
        "en.fewer_seats",
        "reduce|reducing|cut|cutting|drop|dropping|decrease|decreasing|lower|remove|removing|cancel|shrink|trim|get ~2 rid|down|by|of ~4 seat|seats|licence*|license*|users|user",
    ),
    (
        "en.fewer_seats1",
        "reduce|reducing|cut|cutting|drop|dropping|decrease|decreasing|lower|remove|removing|trim|shrink ~5 seat|seats|licences|licenses",
    ),
    ("en.fewer_seats2", "fewer|less seat|seats|licence*|license*|users"),
    (
        "en.account_gone",
        "remove|removing|erase|erasing|wipe|delete|deleting|close|closing ~3 account|workspace|profile",
    ),
    ("en.close_account", "close|closing|shut|shutting ~2 down? ~2 account|workspace"),
    (
        "en.end_contract",
        "end|ending|exit|exiting|out|leave|leaving|get ~2 of? ~2 contract|agreement|subscription|relationship",
    ),
    ("en.notice", "notice ~3 termination|cancellation|leave|terminate|cancel"),
    ("en.give_notice", "give|giving|hand|serve|giving ~3 notice"),
    (
        "en.done_with",
        "done|finished|through|fed ~1 with ~2 you|brightslot|platform|software|service|subscription|product|app",
    ),
    (
        "en.stop_charging",
        "stop|quit|dont|not|never ~3 charge|charging|billing|bill|taking|debiting ~2 me|us|our|my|card|again|account",
    ),
    ("en.nothing_charged", "nothing|no ~4 charged|billed ~1 in|after|again|anymore|next|from"),
    ("en.final_month", "last|final month|invoice|year|bill|period with|for|from us|you|brightslot"),
    ("en.how_cancel", "how|where|can|could|may|what ~8 cancel|unsubscribe|terminate|downgrade ~4 $"),
    ("en.want_out", "want|need|like|wants out|leave"),
    ("en.cancel_it_all", "cancel ~2 everything|all|immediately|effective|asap|us|me|now|today|please $"),
    ("en.cancel_bare", "^ please|pls|plz|kindly? cancel|unsubscribe|terminate ~1 $"),
    (
        "en.going_close",
        "closing|close|shutting|winding ~3 business|practice|studio|shop|clinic|salon|doors|company|down ~20 subscription|account|plan|brightslot|contract",
    ),
    (
        "en.retiring",
        "retire|retiring|retirement|shutting|closing|winding|bankrupt|selling ~14 longer|subscription|account|anymore|contract",
    ),
    ("en.not_worth", "not|isnt|wasnt|hardly|barely worth ~3 money|price|cost|it|paying|subscription"),
    ("en.cancel_before", "cancel* ~2 before ~6 renew*|charged|billed|bill|trial|ends|period"),
    ("en.end_of_period", "cancel* ~3 at|by|from|effective|as ~3 end ~3 month|year|period|term|cycle|trial|contract"),
    // German.
    ("de.kuendig_ours", "kundig*|gekundigt*|gekuendigt*|kuendig*|auf|zu ~8 @de_ours"),
    ("de.ours_kuendig", "@de_ours ~12 kundig*|gekundigt*|gekuendigt*|kuendig*|aufkundig*|*kundigen"),
    ("de.hiermit", "hiermit ~2 kundige*|kuendige*"),
    ("de.kuendigung", "^ meine|unsere|betreff|betrifft|re|fwd? kundigung|kuendigung ~4 $"),
    ("de.kuendigung_ours", "kundigung|kuendigung*|kundigungs*|stornierung ~5 @de_ours"),
    (
        "de.kuendigung_conf",
        "kundigungsbestatigung|kundigungsfrist*|kuendigungsfrist*|sonderkundigung*|kundigungsschreiben",
    ),
    ("de.bestaetig_kuendigung", "bestatig* ~5 kundigung|kuendigung"),
    (
        "de.kuendig_zum",
        "kundig*|kuendig*|gekundigt|kundigung ~3 zum|fristgerecht|fristlos|zu|per ~4 ende|monatsende|jahresende|nachst*|termin|ablauf|januar|dezember|februar|marz|april|mai|juni|juli|august|september|oktober|november|quartal*",
    ),
    (
        "de.kuendigen_moechte",
        "mochte*|wurde*|will|wollen|muss|mussen|kann|konnen|wie|werde|werden ~8 kundigen|kuendigen",
    ),
    (
        "de.stornier_ours",
        "stornier*|storno|beend*|abbestell*|abmeld*|abgemeldet|stilleg*|loschen|schliessen|auflosen|aufloesen|widerruf*|deaktivier* ~5 @de_ours",
    ),
    (
        "de.ours_beenden",
        "@de_ours ~9 stornier*|beend*|abbestell*|abgemeldet|stilllegen|loschen|geloscht|schliessen|geschlossen|auflosen|aufgelost|widerrufen|deaktivier*|auslaufen|loswerden|lauft aus?",
    ),
    ("de.auslaufen", "auslaufen ~2 lassen"),
    (
        "de.nicht_verlaengern",
        "nicht|keine|ohne|kein ~5 verlangern|verlangert|verlaengern|verlangerung|verlaengerung|erneuern",
    ),
    (
        "de.wechsel",
        "wechsel*|umsteigen|umgestiegen|umzusteigen|gewechselt|umziehen ~6 anbieter|konkurrenz*|mitbewerber*|wettbewerb*|losung|software|system|tool|programm|alternative",
    ),
    (
        "de.zu_anbieter",
        "zu|zur|zum|mit ~3 anderen|andere|anderem|neuen|neue|gunstigeren ~1 anbieter|losung|software|system|tool|programm|mitbewerber* ~6 wechsel*|umsteigen|gewechselt|gehen|umziehen|umgestiegen|umzusteigen",
    ),
    ("de.konkurrenz", "zur|zu konkurrenz|wettbewerber*"),
    (
        "de.anderer_anbieter",
        "anderen|neuen|gunstigeren anbieter ~4 entschieden|gefunden|gewahlt|gewechselt|entscheiden",
    ),
    ("de.steigen_um", "steigen|steige ~8 um $"),
    ("de.verlassen", "verlassen ~3 sie|brightslot|euch"),
    (
        "de.brauchen_nicht_mehr",
        "brauch*|benotig*|nutzen|nutze|verwenden|wollen|will|mochte* ~7 nicht|kein|keine|keinen mehr|langer",
    ),
    (
        "de.nicht_mehr_nutzen",
        "nicht mehr|weiter|langer ~4 nutzen|verwenden|brauchen|benotigen|weiternutzen|weiterfuhren|fortfuhren",
    ),
    ("de.downgrade", "downgrad*|herabstuf*|herunterstuf*|zuruckstuf*|runterstuf*|abstufen|downgegraded"),
    (
        "de.kleiner",
        "kleiner*|gunstiger*|niedriger*|billiger*|kostenlos* ~1 *tarif*|*paket*|*plan|*abo|*abonnement|version|*lizenz",
    ),
    (
        "de.runter",
        "auf|zu|zum ~4 solo|team|business|basis|tarif|abo|plan ~3 herunter*|runter*|zuruck|zuruckgehen|herabsetzen|zuruckwechseln",
    ),
    (
        "de.platze_weg",
        "weniger|reduzier*|streich*|verringer*|kundig*|entfern*|abbestell* ~5 platze|platzen|lizenzen|nutzer|plate|seats|arbeitsplatze|platz|sitze",
    ),
    (
        "de.platze_weg2",
        "platze|lizenzen|nutzer|seats|arbeitsplatze|platz ~6 weniger|reduzier*|streichen|verringern|kundigen|entfernen|abbestellen|zuruckgeben",
    ),
    ("de.abbuchung_stop", "nicht|nichts|keine|kein ~3 mehr|weiter* ~3 abbuch*|abgebucht|abbuchung*|berechnet|belastet"),
    ("de.vertragsende", "vertragsende|vertragsbeendigung|vertragskundigung|abokundigung|kontoloschung|kontokundigung"),
    ("de.zusammenarbeit", "zusammenarbeit ~6 beenden|beendet|kundigen|auslaufen"),
    ("de.raus", "aussteigen|ausstieg ~3 vertrag|abo|abonnement|$"),
    // French.
    ("fr.resil", "resili*"),
    (
        "fr.annul_ours",
        "annul*|stopp*|arret*|supprim*|clotur*|ferm*|cess*|interromp*|desactiv*|mettre|mettons|mets ~5 @fr_ours",
    ),
    (
        "fr.ours_annul",
        "@fr_ours ~6 annul*|stopp*|arrete*|supprime*|cloture*|ferme|fermer|cesse*|interromp*|desactive*|terminer",
    ),
    ("fr.mettre_fin", "mettre|mettons|mets|met|mettrai|mettrons fin ~4 @fr_ours|collaboration|relation"),
    ("fr.fin", "fin|cloture|arret|suppression|annulation|fermeture|interruption ~3 @fr_ours"),
    ("fr.desabonn", "desabonn*|desinscri*|desinscription"),
    ("fr.pas_renouv", "pas|plus|sans|non|aucun ~5 renouvel*|reconduire|reconduit*|reconduction|prolonger"),
    ("fr.non_renouv", "non renouvellement|reconduction"),
    ("fr.concurrent", "concurrent*|concurrence"),
    (
        "fr.autre_presta",
        "autre|autres|nouveau|nouvelle prestataire|fournisseur|solution|logiciel|outil|plateforme|systeme",
    ),
    ("fr.passer_autre", "pass*|chang*|migr*|bascul*|opt*|all*|part* ~4 autre|ailleurs|concurrent*"),
    ("fr.changer", "chang* ~1 prestataire|fournisseur|logiciel|outil"),
    ("fr.quitter", "quitt* ~3 @fr_ours|vous|brightslot|$"),
    ("fr.plus_besoin", "plus|pas ~3 besoin ~5 @fr_ours|vous|outil"),
    ("fr.nutilise_plus", "n ~2 utilis*|voul*|souhait* plus ~6 @fr_ours|outil|votre|vos"),
    ("fr.ne_veux_plus", "ne ~2 veux|veut|voulons|souhait*|desir* plus ~6 @fr_ours|continuer|payer|utiliser|poursuivre"),
    ("fr.inferieur", "inferieur*|moins cher*|chere|cheres|moindre"),
    ("fr.retrograd", "retrograd*|downgrad*"),
    ("fr.formule_petite", "formule|forfait|abonnement|offre|plan ~1 plus? inferieur*|petit*|moins|basique|gratuit*"),
    ("fr.plus_petit", "plus petit|petite|bas|basse ~1 formule|forfait|abonnement|offre|plan"),
    ("fr.petite_formule", "petite|petit formule|forfait|abonnement|offre"),
    (
        "fr.moins_places",
        "reduire|reduis*|diminuer|supprimer|retirer|enlever|moins ~6 place|places|licences|licence|utilisateurs|sieges|postes",
    ),
    ("fr.plus_prelev", "ne|n|plus|pas ~3 prelev*|debite*|facture* ~2 plus|$"),
    ("fr.stop_prelev", "arret*|stopp*|cess* ~3 prelevement*|facturation|paiements"),
    (
        "fr.repasser",
        "repass*|redescend*|descend*|revenir|retour ~4 solo|team|formule|forfait|gratuit*|inferieur*|plan|offre",
    ),
    // Spanish.
    (
        "es.baja",
        "dar|darme|darnos|doy|damos|daria|dando|dado|den|deis|dame|denos|solicit*|pedir|tramit*|causar|quiero|queremos ~5 baja",
    ),
    ("es.baja_ours", "baja ~4 @es_ours"),
    ("es.baja_bare", "^ solicitud? de? baja ~4 $"),
    (
        "es.cancel_ours",
        "cancel*|anul*|rescind*|termin*|finaliz*|cerrar|cierr*|cierre|cierren|elimin*|borrar|borren|suspend*|deten* ~6 @es_ours",
    ),
    ("es.ours_cancel", "@es_ours ~5 cancel*|anul*|rescind*|cerrar|cierr*|dar|finalizar"),
    ("es.no_renovar", "no|sin|evitar ~5 renov*|prorrog*"),
    ("es.competencia", "competencia|competidor*"),
    (
        "es.otro",
        "cambi*|pas*|mud*|migr*|ir|irnos|irme|vamos|voy|optado|contratado|encontrado ~4 otro|otra|otros|otras proveedor*|empresa|herramienta|solucion|plataforma|programa|software|sistema|servicio|opcion",
    ),
    ("es.cambiar_prov", "cambi* de proveedor|herramienta|plataforma|programa|software|sistema|empresa"),
    ("es.dejar", "dej* de usar|utilizar|pagar|trabajar"),
    ("es.dejar_ours", "dejar|dejamos|dejo|dejaremos|abandon*|abandonar ~2 @es_ours"),
    ("es.ya_no", "ya no|tampoco ~4 necesit*|quer*|quier*|us*|utiliz*|interes* ~5 @es_ours|seguir|continuar"),
    ("es.no_seguir", "no ~4 seguir|continuar|seguiremos|continuaremos|queremos mas ~3 $"),
    (
        "es.no_seguir2",
        "no ~3 seguir|continuar|seguiremos|continuaremos ~3 con|usando|pagando|en ~4 @es_ours|ustedes|vosotros",
    ),
    (
        "es.bajar_plan",
        "bajar*|rebajar|pasar|pasarnos|cambiar|volver|reducir|bajarme|bajarnos ~6 plan|inferior|basico|solo|team|tarifa|gratuit* ~2 inferior|basico|barato|menor|pequeno|team|solo|gratuit*",
    ),
    ("es.bajar", "baj*|rebaj*|reduc* ~3 plan|suscripcion|tarifa|nivel"),
    (
        "es.plan_inferior",
        "plan|suscripcion|tarifa|version ~1 mas? inferior|barato|barata|menor|pequeno|basico|basica|gratuita|gratuito|economico",
    ),
    ("es.downgrade", "downgrade|degradar"),
    ("es.menos_puestos", "reducir|quitar|eliminar|menos|bajar|disminuir ~5 licencias|puestos|usuarios|asientos|plazas"),
    ("es.no_cobr", "no|dej*|par* ~4 cobr*|cargu*|factur* ~2 mas|nada|$"),
    (
        "es.cancel_bare",
        "^ quiero|queremos|quisiera|deseo|deseamos|necesito|solicito? la? cancelar|cancelacion|anulacion $",
    ),
    // Portuguese.
    (
        "pt.cancel_ours",
        "cancel*|encerr*|rescind*|termin*|finaliz*|anul*|fech*|exclu*|elimin*|apag*|desativ*|interromp* ~6 @pt_ours",
    ),
    ("pt.ours_cancel", "@pt_ours ~5 cancel*|encerr*|rescind*|terminada|fechada|desativ*"),
    ("pt.desist", "desist* ~4 @pt_ours"),
    ("pt.nao_renovar", "nao|sem|evitar ~5 renov*|prorrog*"),
    ("pt.concorrente", "concorrente*|concorrencia"),
    (
        "pt.outro",
        "mudar|mudando|mudamos|mudei|trocar|trocando|trocamos|migrar|migrando|passar|passamos|ir|indo|optamos|contratamos|encontramos|vamos ~4 outro|outra|outros|outras fornecedor*|empresa|ferramenta|solucao|plataforma|programa|software|sistema|servico|opcao",
    ),
    ("pt.mudar_forn", "mud*|troc* de fornecedor|ferramenta|plataforma|programa|software|sistema|empresa"),
    ("pt.deixar", "deix*|parar|paro|paramos de usar|utilizar|pagar"),
    ("pt.deixar_ours", "deixar|deixamos|abandon*|sair|saindo|saimos ~3 @pt_ours|voces"),
    (
        "pt.nao_mais",
        "nao ~3 quer*|precis*|us*|utiliz*|vamos|pretend*|desej* ~2 mais|continuar ~5 @pt_ours|continuar|seguir|usar|$",
    ),
    ("pt.nao_continuar", "nao ~3 continuar|seguir|continuaremos"),
    ("pt.ja_nao", "ja nao ~3 quer*|precis*|us*|utiliz*|interess* ~5 @pt_ours|continuar"),
    ("pt.downgrade", "downgrade|rebaixar"),
    (
        "pt.plano_menor",
        "plano|assinatura|pacote|versao ~1 mais? inferior|barato|barata|menor|basico|basica|gratuito|gratuita|economico",
    ),
    (
        "pt.baixar",
        "baix*|reduz*|descer|voltar|passar|mudar ~4 plano|subscricao|assinatura ~3 inferior|menor|team|solo|basico|barato|gratuito|mensal",
    ),
    ("pt.reduzir_plano", "reduz*|baixar|diminuir ~2 plano|assinatura|subscricao"),
    (
        "pt.menos_lugares",
        "reduz*|remover|tirar|menos|diminuir|retirar ~5 licencas|lugares|utilizadores|usuarios|assentos",
    ),
    ("pt.nao_cobrar", "nao|parar|parem|deixem ~4 cobr*|debit* ~2 mais|nada|$"),
    ("pt.rescisao", "rescisao|distrato"),
    ("pt.cancel_de", "cancelamento|encerramento ~3 @pt_ours"),
    ("pt.cancel_bare", "^ quero|queremos|gostaria|solicito|pedido? de|o? cancelar|cancelamento $"),
];

/// Whole sentences of one or two words that mean leaving only where nothing else can be meant.
const WEAK: &[(&str, &str)] = &[
    (
        "en.bare",
        "^ please? cancel|cancellation|cancelation|termination|unsubscribe|downgrade|cancelling|canceling|resignation request|please|us|me|notice|everything? please? $",
    ),
    ("de.bare", "^ kundigung|kuendigung|vertragskundigung|abmeldung|stornierung $"),
    ("fr.bare", "^ resiliation|desabonnement|annulation|demande? de? resiliation? $"),
    ("es.bare", "^ solicitud? de? baja|cancelacion|anulacion $"),
    ("pt.bare", "^ pedido? de? cancelamento|rescisao $"),
];

/// What takes a match back when it stands in or around the matched words.
struct Guards {
    negated: Vec<Pattern>,
    contrast: WordSet,
    theirs: Vec<Pattern>,
    arriving: Vec<Pattern>,
    other: WordSet,
}

struct Lexicon {
    patterns: Vec<Pattern>,
    weak: Vec<Pattern>,
    guards: Guards,
}

static LEXICON: LazyLock<Lexicon> = LazyLock::new(|| {
    let parse =
        |rows: &[(&'static str, &str)]| rows.iter().map(|(id, text)| Pattern::parse(id, text, CLASSES)).collect();
    Lexicon {
        patterns: parse(PATTERNS),
        weak: parse(WEAK),
        guards: Guards {
            negated: parse(&[
                (
                    "en",
                    "not|dont|doesnt|didnt|never|wont|wouldnt|isnt|arent|havent|without|no ~1 want|wanting|wish|plan|planning|intend|intention|plans|going|asking|trying|looking|interested? ~2 to|of|in|on|about? cancel*|close|closing|leave|leaving|downgrade|downgrading|terminate|terminating|end|ending|unsubscribe|switch|switching|move|moving|delete|deleting",
                ),
                (
                    "en",
                    "not|dont|never|didnt|without|wont|isnt|arent cancel*|closing|close|leaving|leave|downgrading|downgrade|terminating|terminate|unsubscribe|switching|delete",
                ),
                ("en", "stop|rather than|instead of than? cancelling|canceling"),
                (
                    "de",
                    "nicht|niemals|nie|ohne|keine|keinesfalls ~3 kundigen|kuendigen|gekundigt|kundigung|stornieren|beenden|wechseln|loschen|zu",
                ),
                ("fr", "ne|n|pas|sans|jamais ~4 resilier|resilie|annuler|resiliation|quitter|arreter"),
                ("es", "no|sin|nunca ~3 cancelar|cancelarla|darme|dar|anular|cambiar|baja|dejar"),
                ("pt", "nao|sem|nunca ~3 cancelar|encerrar|rescindir|mudar|deixar|sair"),
            ]),
            contrast: WordSet::parse(
                "but|unless|until|otherwise|however|if|aber|ausser|sonst|wenn|falls|mais|sauf|sinon|si|pero|salvo|mas|senao|se",
                CLASSES,
            ),
            theirs: parse(&[
                (
                    "en",
                    "his|her|their|clients|customers|patients|members|client|customer|patient|member|students|student|guest|guests|user ~2 membership|memberships|plan|plans|subscription|subscriptions|account|contract|package|appointment*|booking*",
                ),
                (
                    "de",
                    "kunde|kundin|kunden|patient*|mitglied*|gast|gaste|klient*|schuler* ~8 kundig*|stornier*|beend*|abmeld*|absag*|gekundigt",
                ),
                (
                    "fr",
                    "client|cliente|clients|patient*|membre*|adherent*|eleve* ~6 annul*|resili*|desabonn*|desinscri*",
                ),
                ("es", "cliente|clienta|clientes|paciente*|socio*|socia*|alumno*|alumna* ~6 cancel*|anul*|baja"),
                ("pt", "cliente|clientes|paciente*|socio*|aluno*|aluna* ~6 cancel*|anul*|desist*"),
            ]),
            arriving: parse(&[
                (
                    "en",
                    "come|coming|came|switch|switching|switched|move|moving|moved|migrate|migrating|changing|join|joining|joined ~3 to|over ~1 to? you|brightslot|yours|your",
                ),
                ("en", "joining|joined|choose|chose|chosen|choosing you|brightslot"),
                ("de", "zu ihnen|euch|brightslot ~3 wechsel*|umsteigen|gewechselt|kommen|gekommen|umziehen"),
                ("de", "wechsel*|umsteigen|kommen ~3 zu ihnen|euch|brightslot"),
                ("fr", "pass*|viens|venons|venir|rejoin*|migr*|arriv* ~3 chez|vers|sur vous|brightslot"),
                ("es", "pas*|cambi*|venir|vengo|venimos|mud* ~3 a|con ustedes|vosotros|brightslot"),
                ("pt", "mud*|vir|vim|viemos|passar|migr* ~3 para|com voces|vos|brightslot"),
            ]),
            other: WordSet::parse("@other", CLASSES),
        },
    }
});

/// Looks for wording of leaving in a customer's own sentences. `shop` is the shop's name, empty where it is not known.
pub fn find(sentences: &[Sentence], shop: &str) -> Option<Hit> {
    let lexicon = &*LEXICON;
    for (number, sentence) in sentences.iter().enumerate() {
        for pattern in &lexicon.patterns {
            let mut from = 0;
            while let Some((start, end)) = pattern.find_from(&sentence.tokens, &lexicon.guards.other, from) {
                if !taken_back(sentences, number, (start, end), pattern.id, shop, &lexicon.guards) {
                    return Some(Hit { pattern: pattern.id, words: quoted(sentence, start, end) });
                }
                from = start + 1;
            }
        }
    }
    let daily_work = sentences.iter().any(|s| s.tokens.iter().any(|token| lexicon.guards.other.holds(&token.word)));
    if daily_work {
        return None;
    }
    sentences.iter().find_map(|sentence| {
        lexicon.weak.iter().find_map(|pattern| {
            let (start, end) = pattern.find(&sentence.tokens, &lexicon.guards.other)?;
            Some(Hit { pattern: pattern.id, words: quoted(sentence, start, end) })
        })
    })
}

/// Whether something around a match says that no one leaves us.
fn taken_back(
    sentences: &[Sentence],
    number: usize,
    (start, end): (usize, usize),
    id: &str,
    shop: &str,
    guards: &Guards,
) -> bool {
    let sentence = &sentences[number];
    let none = WordSet::default();
    let overlaps = |pattern: &Pattern| {
        let mut from = 0;
        while let Some((a, b)) = pattern.find_from(&sentence.tokens, &none, from) {
            if a < end && start < b {
                return true;
            }
            from = a + 1;
        }
        false
    };
    // An ending that is itself a "not" (not renewing, no longer needing) cannot be negated by that word.
    let says_not = [
        "not",
        "no_longer",
        "dont",
        "nicht",
        "pas_",
        "plus_",
        "nutilise",
        "ne_veux",
        "nao",
        "no_",
        "ya_no",
        "ja_nao",
        "stop",
        "nothing",
        "abbuchung",
    ]
    .iter()
    .any(|part| id.contains(part));
    if !says_not && guards.negated.iter().any(overlaps) {
        let rest = &sentence.tokens[start..];
        let next = sentences.get(number + 1).and_then(|s| s.tokens.first());
        let contrasted = rest.iter().chain(next).any(|token| guards.contrast.holds(&token.word));
        if !contrasted {
            return true;
        }
    }
    if guards.theirs.iter().any(overlaps) {
        return true;
    }
    if sentences.iter().any(|s| guards.arriving.iter().any(|p| p.find(&s.tokens, &none).is_some())) {
        return true;
    }
    another_shops(&sentence.tokens[start..end], shop)
}

/// `our Slotwise subscription`: a name that is neither the shop's nor a plan's stands before what would be ours.
fn another_shops(matched: &[Token], shop: &str) -> bool {
    if shop.is_empty() || matched.len() < 3 {
        return false;
    }
    let shop = crate::policy::words::fold(shop);
    let [.., before, name, last] = matched else { return false };
    let mine = matches!(
        before.word.as_str(),
        "my" | "our"
            | "the"
            | "mein"
            | "meine"
            | "unser"
            | "unsere"
            | "notre"
            | "mon"
            | "mi"
            | "nuestra"
            | "nuestro"
            | "minha"
            | "meu"
            | "nossa"
            | "nosso"
    );
    let plan = matches!(
        name.word.as_str(),
        "solo"
            | "team"
            | "business"
            | "enterprise"
            | "pro"
            | "premium"
            | "basic"
            | "starter"
            | "standard"
            | "plus"
            | "free"
            | "yearly"
            | "annual"
            | "monthly"
    );
    mine && name.capital()
        && !name.raw.chars().all(char::is_uppercase)
        && !last.capital()
        && !plan
        && !shop.contains(&name.word)
        && !name.word.contains(&shop)
}
